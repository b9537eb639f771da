//! `journal`: what the agent decided, why, and what came of it.

use std::io;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::json::{DecisionJson, decision_json};
use super::screen::{Format, Screen, warn};
use super::setup;
use super::show::{self, DIM, HEAD, counted};
use super::value::whole;
use super::when::{When, now};
use crate::decision::Outcome;
use crate::escape;
use crate::field::Dimension;
use crate::journal::{DecisionId, Filter, OutcomeKind, Reader, Row};
use crate::policy::ActionKind;
use crate::policy::reading::{by_nearness, word};
use crate::time::Timestamp;
use crate::units::{format, format_duration};

/// The journal is asked for so many rows at a time, so that the agent's upkeep is not held up.
const PAGE: u32 = 500;

/// So many sessions of one decision are listed.
const SESSIONS_SHOWN: usize = 20;

/// The server's words are cut to this many columns.
const DETAIL_COLUMNS: usize = 400;

/// Show what the agent decided, why, and what came of it.
///
/// Reads the journal while the agent runs, or afterwards. Times are UTC.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("where").required(true).args(["path", "config"]),
    after_help = "Examples:
  electrumx-warden journal --config electrumx-warden.toml --since 2h
  electrumx-warden journal --path electrumx-warden.sqlite --outcome failed
  electrumx-warden journal --path electrumx-warden.sqlite --id 42
  electrumx-warden journal --path electrumx-warden.sqlite --format json --limit 9999"
)]
pub(super) struct Args {
    /// The journal
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,

    /// The agent's configuration, which names the journal
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Show this one in full, with its evidence
    #[arg(long, value_name = "N", value_parser = whole::<i64>(1..=i64::MAX as u64 - 1, "42"),
          conflicts_with_all = ["since", "until", "policy", "target", "outcome", "action", "limit", "order"])]
    id: Option<i64>,

    /// Decided then or later: 2026-01-31, 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    since: Option<When>,

    /// Decided before then
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    until: Option<When>,

    /// By the policy of this name
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// For targets with this in them: part of an address, a subnet, a name
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,

    /// With this outcome
    #[arg(long, value_parser = outcome_parser())]
    outcome: Option<OutcomeKind>,

    /// Wanting this
    #[arg(long, value_parser = action_parser())]
    action: Option<ActionKind>,

    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = whole::<u32>(1..=1_000_000, "50"))]
    limit: u32,

    /// Which come first
    #[arg(long, value_enum, default_value_t)]
    order: Order,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    #[default]
    Newest,
    Oldest,
}

fn outcome_parser() -> impl TypedValueParser<Value = OutcomeKind> {
    named(&OutcomeKind::ALL, OutcomeKind::name)
}

fn action_parser() -> impl TypedValueParser<Value = ActionKind> {
    const KINDS: [ActionKind; 4] = [
        ActionKind::Disconnect,
        ActionKind::Log,
        ActionKind::DaemonUrl,
        ActionKind::Alert,
    ];
    named(&KINDS, ActionKind::name)
}

fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |&one| name(one));
    PossibleValuesParser::new(names).try_map(move |text| {
        let one = all.iter().copied().find(|&one| name(one) == text);
        one.ok_or("unknown")
    })
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let filter = args.filter(now())?;
    let reader = match (&args.path, &args.config) {
        (Some(path), _) => setup::reader(path)?,
        (None, Some(config)) => {
            let path = setup::config(config)?.journal.path;
            setup::reader(&path)?.of_agent()?
        }
        (None, None) => return Err(Failure::new(Exit::Usage, "name the journal: `--path FILE`")),
    };
    if args.format == Format::Text
        && let Some(replayed) = reader.replayed()?
    {
        screen.prose(show::replayed(&replayed), 4)?;
        screen.line("")?;
    }
    match args.id {
        Some(id) => show_one(&reader, id, args.format, screen),
        None => list(&reader, filter, args, screen),
    }
}

fn show_one(
    reader: &Reader,
    id: i64,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let found = reader.query(&Filter {
        beyond: Some(DecisionId(id + 1)),
        limit: 1,
        ..Filter::default()
    })?;
    let Some(row) = found.into_iter().find(|row| row.id.0 == id) else {
        let message = format!("the journal has no decision {id}: it was never made, or is too old");
        return Err(Failure::new(Exit::Failed, message));
    };
    match format {
        Format::Text => show_in_full(&row, screen)?,
        Format::Json => write(&row, screen)?,
    }
    Ok(Exit::Ok)
}

impl Args {
    fn filter(&self, now: Timestamp) -> Result<Filter, Failure> {
        let filter = Filter {
            since: self.since.map(|when| when.resolve(now)),
            until: self.until.map(|when| when.resolve(now)),
            policy: self.policy.clone(),
            target_contains: self.target.clone(),
            outcome: self.outcome,
            action: self.action,
            newest_first: self.order == Order::Newest,
            ..Filter::default()
        };
        match (filter.since, filter.until) {
            (Some(since), Some(until)) if since >= until => {
                let message = format!("nothing is both since {since} and before {until}");
                Err(Failure::new(Exit::Usage, message))
            }
            _ => Ok(filter),
        }
    }
}

fn list(
    reader: &Reader,
    mut filter: Filter,
    args: &Args,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let layout = Layout::of(screen.width());
    let mut table = show::table(layout.header());
    let mut left = args.limit;
    while left > 0 {
        filter.limit = left.min(PAGE);
        let page = reader.query(&filter)?;
        for row in &page {
            match (args.format, layout) {
                (Format::Json, _) => write(row, screen)?,
                (Format::Text, Layout::List) => screen.prose(entry(row), 4)?,
                (Format::Text, _) => drop(table.add_row(layout.cells(row))),
            }
        }
        filter.beyond = page.last().map(|row| row.id).or(filter.beyond);
        left -= u32::try_from(page.len()).unwrap_or(left).min(left);
        if page.len() < filter.limit as usize {
            break;
        }
    }
    let count = args.limit - left;
    if count == 0 {
        nothing(reader, args, &filter, screen)?;
    } else if args.format == Format::Text {
        filter.limit = 1;
        let has_more = left == 0 && !reader.query(&filter)?.is_empty();
        if table.row_count() > 0 {
            screen.table(aligned(table))?;
        }
        screen.paragraph(&total(count as usize, has_more, args.order), DIM)?;
    }
    Ok(Exit::Ok)
}

/// Nothing passes the filter: a slip in it is not to pass for quiet.
fn nothing(
    reader: &Reader,
    args: &Args,
    filter: &Filter,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if args.format == Format::Text {
        let last = reader.query(&Filter {
            limit: 1,
            ..Filter::default()
        })?;
        let last = last.first().map(|row| row.decision.at);
        match last.filter(|&last| filter.since.is_some_and(|since| last < since)) {
            None => screen.line("no decisions")?,
            Some(last) => {
                let last = show::time(last);
                screen.prose(
                    format!("no decisions: the journal's last is of {last} UTC"),
                    0,
                )?;
            }
        }
    }
    let Some(policy) = &args.policy else {
        return Ok(());
    };
    let known = reader.policies()?;
    if !known.is_empty() && !known.contains(policy) {
        let known = by_nearness(policy, known.iter().map(String::as_str));
        let known: Vec<String> = known
            .iter()
            .map(|name| format!("`{}`", word(name)))
            .collect();
        warn(&format!(
            "the journal has no decision of a policy `{}`; it has those of {}",
            word(policy),
            known.join(", ")
        ));
    }
    Ok(())
}

fn aligned(mut table: Table) -> Table {
    for (index, column) in table.column_iter_mut().take(2).enumerate() {
        column.set_constraint(ColumnConstraint::ContentWidth);
        if index == 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// How many are shown, and whether there are more.
fn total(count: usize, has_more: bool, order: Order) -> String {
    let count = counted(count, "decision", "decisions");
    let rest = match (has_more, order) {
        (false, _) => "",
        (true, Order::Newest) => "; there are older ones: raise --limit",
        (true, Order::Oldest) => "; there are newer ones: raise --limit",
    };
    format!("{count}{rest}")
}

/// A decision as an entry of a list.
fn entry(row: &Row) -> String {
    let decision = &row.decision;
    let style = show::outcome_style(&row.outcome);
    format!(
        "{HEAD}{}{HEAD:#}  {}  {}: {} {}: {style}{}{style:#}",
        row.id,
        show::time(decision.at),
        show::text(&decision.policy),
        show::action(decision),
        show::target(&decision.target),
        show::short_outcome(&row.outcome),
    )
}

/// Where six columns would break every word, two of them share a cell, one above the other; where four
/// would, it is a list.
#[derive(Clone, Copy)]
enum Layout {
    Wide,
    Narrow,
    List,
}

impl Layout {
    const WIDE: usize = 110;
    const NARROW: usize = 60;

    const fn of(width: usize) -> Self {
        if width < Self::NARROW {
            Self::List
        } else if width < Self::WIDE {
            Self::Narrow
        } else {
            Self::Wide
        }
    }

    const fn header(self) -> &'static [&'static str] {
        match self {
            Self::Wide => &["id", "time (UTC)", "policy", "target", "action", "outcome"],
            Self::Narrow | Self::List => &["id", "time (UTC)", "policy, target", "action, outcome"],
        }
    }

    fn cells(self, row: &Row) -> Vec<Cell> {
        let decision = &row.decision;
        let policy = show::text(&decision.policy);
        let target = show::target(&decision.target);
        let action = show::action(decision);
        let outcome = show::short_outcome(&row.outcome);
        let mut cells = vec![Cell::new(row.id), Cell::new(show::time(decision.at))];
        match self {
            Self::Wide => {
                cells.extend([policy, target, action].map(Cell::new));
                cells.push(show::outcome_cell(outcome, &row.outcome));
            }
            Self::Narrow | Self::List => {
                cells.push(Cell::new(format!("{policy}\n{target}")));
                let text = format!("{action}\n{outcome}");
                cells.push(show::outcome_cell(text, &row.outcome));
            }
        }
        cells
    }
}

fn show_in_full(row: &Row, screen: &mut Screen) -> io::Result<()> {
    let decision = &row.decision;
    let style = show::outcome_style(&row.outcome);
    let mut outcome = vec![format!("{style}{}{style:#}", show::outcome(&row.outcome))];
    if let Outcome::Executed { detail } = &row.outcome
        && !detail.is_empty()
    {
        outcome.push(escape::terminal(detail, DETAIL_COLUMNS).into_owned());
    }
    let mut deed = vec![show::action(decision)];
    if !decision.sessions.is_empty() {
        deed.push(counted(decision.sessions.len(), "session", "sessions"));
    }
    if row.sessions_left_out > 0 {
        deed.push(format!("and {} more", row.sessions_left_out));
    }
    if decision.spared > 0 {
        deed.push(format!("{} spared", decision.spared));
    }
    let mut held = format_duration(decision.held);
    if decision.at_once {
        held += ", at once";
    }
    screen.line(format!("{HEAD}Decision {}{HEAD:#}\n", row.id))?;
    let chosen = decision.choice.as_ref().map(show::choice);
    let facts = [
        ("time", show::exact_time(decision.at)),
        (
            "policy",
            format!("{} ({})", show::text(&decision.policy), decision.mode),
        ),
        ("target", show::target(&decision.target)),
        ("action", deed.join(", ")),
        ("outcome", outcome.join(": ")),
        ("held for", held),
        ("severity", severity(decision.severity)),
    ];
    for (name, value) in facts.into_iter().chain(chosen.map(|it| ("chosen", it))) {
        screen.prose(format!("  {DIM}{name:<8}{DIM:#}  {value}"), 12)?;
    }
    screen.line(format!("\n{HEAD}Evidence{HEAD:#}\n"))?;
    let mut table = show::table(&["field", "test", "seen", "threshold"]);
    for evidence in &decision.evidence {
        table.add_row([
            show::text(&evidence.field),
            show::text(&evidence.test),
            show::seen(evidence),
            show::threshold(evidence),
        ]);
    }
    screen.table(table)?;
    if row.evidence_left_out > 0 {
        screen.line(format!("{DIM}and {} more{DIM:#}", row.evidence_left_out))?;
    }
    show_sessions(row, screen)
}

/// How many times the threshold the worst value was.
fn severity(severity: f64) -> String {
    if severity.is_infinite() {
        return "∞".to_owned();
    }
    format(severity, Dimension::Count)
}

fn show_sessions(row: &Row, screen: &mut Screen) -> io::Result<()> {
    let sessions = &row.decision.sessions;
    if sessions.is_empty() {
        return Ok(());
    }
    screen.line(format!("\n{HEAD}Sessions{HEAD:#}\n"))?;
    let mut table = show::table(&["id", "peer", "connected (UTC)"]);
    for session in sessions.iter().take(SESSIONS_SHOWN) {
        table.add_row([
            session.id.to_string(),
            session.peer.to_string(),
            show::time(session.since),
        ]);
    }
    screen.table(table)?;
    let more = sessions.len().saturating_sub(SESSIONS_SHOWN) + row.sessions_left_out as usize;
    if more > 0 {
        screen.line(format!("{DIM}and {more} more{DIM:#}"))?;
    }
    Ok(())
}

fn write(row: &Row, screen: &mut Screen) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        decision: DecisionJson<'a>,
        #[serde(skip_serializing_if = "is_zero")]
        evidence_left_out: u32,
        #[serde(skip_serializing_if = "is_zero")]
        sessions_left_out: u32,
    }
    let line = Line {
        decision: decision_json(Some(row.id), &row.decision, &row.outcome),
        evidence_left_out: row.evidence_left_out,
        sessions_left_out: row.sessions_left_out,
    };
    screen.json("decision", &line)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
