//! What each policy's decisions came to.

use std::collections::BTreeMap;
use std::io;

use anstream::adapter::strip_str;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen, table_lines};
use crate::cli::show::{self, DIM, HEAD, counted, number};
use crate::journal::{Filter, PolicySummary, Reader};

/// On a screen narrower than this it is a list.
const NARROW: usize = 70;

/// One of a policy's figures.
type Count = fn(&PolicySummary) -> u64;

pub(super) fn show(
    reader: &Reader,
    filter: &Filter,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let summaries = reader.summary(filter)?;
    match format {
        Format::Json => {
            for summary in &summaries {
                screen.json("summary", &SummaryJson::of(summary))?;
            }
        }
        Format::Text if summaries.is_empty() => screen.line("no decisions")?,
        Format::Text => text(&summaries, screen)?,
    }
    Ok(Exit::Ok)
}

fn text(summaries: &[PolicySummary], screen: &mut Screen) -> io::Result<()> {
    match screen.width() {
        width if width < NARROW => {
            for summary in summaries {
                screen.prose(entry(summary), 4)?;
            }
        }
        width => {
            let wide = table(summaries, true);
            let fits = table_lines(wide.clone(), usize::MAX)
                .iter()
                .all(|line| strip_str(line).to_string().width() <= width);
            screen.table(if fits { wide } else { table(summaries, false) })?;
        }
    }
    let sum = |of: Count| summaries.iter().map(of).sum::<u64>();
    let total = format!(
        "{} of {}: {} held back",
        counted(
            size(sum(PolicySummary::acts) + sum(PolicySummary::held_back_total)),
            "decision",
            "decisions"
        ),
        counted(summaries.len(), "policy", "policies"),
        shown(sum(PolicySummary::held_back_total)),
    );
    screen.paragraph(&total, DIM)
}

/// Columns of counts that are nothing but zeros are left out. Where it is not wide the action stands
/// below the policy.
fn table(summaries: &[PolicySummary], is_wide: bool) -> Table {
    const COUNTS: [(&str, Count); 5] = [
        ("done", |it| it.executed),
        ("would do", |it| it.dry_run),
        ("failed", |it| it.failed),
        ("unknown", |it| it.intended),
        ("targets", |it| it.targets),
    ];
    let is_needed = |of: Count| summaries.iter().any(|it| of(it) > 0);
    let counts: Vec<_> = COUNTS
        .into_iter()
        .filter(|&(_, of)| is_needed(of))
        .collect();
    let names: &[&str] = if is_wide {
        &["policy", "action"]
    } else {
        &["policy, action"]
    };
    let headings: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
    let mut table = show::table(&[names, &headings, &["held back", "last (UTC)"]].concat());
    for summary in summaries {
        let (policy, last) = (show::text(&summary.policy), show::time(summary.last));
        let (mut cells, last) = if is_wide {
            (vec![Cell::new(policy), Cell::new(summary.action)], last)
        } else {
            let policy = format!("{policy}\n{}", summary.action);
            (vec![Cell::new(policy)], last.replacen(' ', "\n", 1))
        };
        for (_, of) in &counts {
            cells.push(Cell::new(some(of(summary))).set_alignment(CellAlignment::Right));
        }
        cells.push(Cell::new(held_back(summary, "\n")));
        cells.push(Cell::new(last));
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(names.len()).take(counts.len()) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(last) = table.column_iter_mut().last() {
        last.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn entry(summary: &PolicySummary) -> String {
    let parts = [
        (summary.executed, "done"),
        (summary.dry_run, "would do"),
        (summary.failed, "failed"),
        (summary.intended, "unknown"),
    ];
    let mut parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", shown(*count)))
        .collect();
    if !summary.held_back.is_empty() {
        parts.push(format!("held back: {}", held_back(summary, ", ")));
    }
    format!(
        "{HEAD}{}{HEAD:#} {}: {}; {}, last {}",
        show::text(&summary.policy),
        summary.action,
        parts.join(", "),
        counted(size(summary.targets), "target", "targets"),
        show::time(summary.last),
    )
}

/// Why, and how often, the most frequent first.
fn held_back(summary: &PolicySummary, between: &str) -> String {
    let mut reasons: Vec<_> = summary.held_back.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons = reasons
        .iter()
        .map(|(why, count)| format!("{} {}", show::text(why), shown(**count)));
    reasons.collect::<Vec<_>>().join(between)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn shown(count: u64) -> String {
    number(size(count))
}

/// Nothing in place of a zero, so that the others stand out.
fn some(count: u64) -> String {
    match count {
        0 => "–".to_owned(),
        count => shown(count),
    }
}

/// See [`PolicySummary`]; docs/command-line.md says what each key means.
#[derive(Debug, Serialize)]
struct SummaryJson<'a> {
    policy: &'a str,
    action: &'static str,
    executed: u64,
    dry_run: u64,
    failed: u64,
    intended: u64,
    held_back: &'a BTreeMap<String, u64>,
    targets: u64,
    last: String,
}

impl<'a> SummaryJson<'a> {
    fn of(summary: &'a PolicySummary) -> Self {
        Self {
            policy: &summary.policy,
            action: summary.action.name(),
            executed: summary.executed,
            dry_run: summary.dry_run,
            failed: summary.failed,
            intended: summary.intended,
            held_back: &summary.held_back,
            targets: summary.targets,
            last: summary.last.to_string(),
        }
    }
}
