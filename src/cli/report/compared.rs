//! Two sets of policies side by side: whom each touches, and which policies differ.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use anstyle::Style;
use comfy_table::Cell;

use super::decided::align;
use super::{Text, line, number};
use crate::cli::show::{self, DIM, HEAD, counted, time};
use crate::report::{Comparison, EXAMPLES_MAX, PairFigures, Part, Parts, PolicyFigures, words};

/// The policies that act alike in both sets, of which nobody needs to read twice.
#[derive(Debug, Default)]
pub(super) struct Alike(HashSet<Arc<str>>);

impl Alike {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let pairs = comparison.policies.iter();
        let alike = pairs.filter(|pair| pair.acts_alike());
        Self(alike.map(|pair| pair.name.clone()).collect())
    }

    fn has(&self, policy: &str) -> bool {
        self.0.contains(policy)
    }

    pub(super) fn others<'a>(
        &self,
        policies: &'a [PolicyFigures],
    ) -> impl Iterator<Item = &'a PolicyFigures> {
        policies.iter().filter(|policy| !self.has(&policy.name))
    }

    /// How many are left out, if any are.
    pub(super) fn left_out(&self) -> Option<String> {
        let count = Some(self.0.len()).filter(|&count| count > 0)?;
        let acts = counted(count, "policy acts", "policies act");
        let is = if count == 1 { "is" } else { "are" };
        Some(format!(
            "{acts} the same in A and B, and {is} left out here"
        ))
    }
}

impl Text {
    pub(super) fn comparison(&mut self, comparison: &Comparison, alike: &Alike) {
        self.heading("Touched by A and by B");
        let mut table = show::table(&["touched", "by A only", "by B only", "by both"]);
        let kinds = [
            ("sessions", &comparison.sessions),
            ("addresses", &comparison.addresses),
            ("subnets", &comparison.subnets),
        ];
        for (what, parts) in kinds {
            let mut row = vec![Cell::new(what)];
            row.extend(parts_of(parts).map(|part| Cell::new(part_cell(part))));
            table.add_row(row);
        }
        align(&mut table, 1..4);
        self.table(table);
        self.paragraph("In brackets: the part of all traffic that they had after the first decision about them.", 0, DIM);
        self.policy_pairs(comparison, alike);
        for (name, part) in ["A", "B", "both"]
            .into_iter()
            .zip(parts_of(&comparison.sessions))
        {
            if part.members.is_empty() {
                continue;
            }
            let only = if name == "both" { "" } else { " only" };
            self.line("");
            self.line(format!("{HEAD}Sessions touched by {name}{only}{HEAD:#}"));
            for example in part.members.iter().take(EXAMPLES_MAX) {
                let mut line = format!("  {}", line(&example.target));
                if let Some(client) = &example.client {
                    let _ = write!(line, " \"{}\"", show::text(client));
                }
                let _ = write!(
                    line,
                    ", {} after {} of {}",
                    words::bytes(example.traffic_bytes),
                    show::text(&example.policy),
                    time(example.at)
                );
                self.paragraph(&line, 4, Style::new());
            }
            let more = part.count.saturating_sub(EXAMPLES_MAX as u64);
            if more > 0 {
                let more = words::number(more);
                let all = match part.members_left_out {
                    0 => "all".to_owned(),
                    _ => format!("the first {}", words::number(part.members.len() as u64)),
                };
                let rest = format!("  and {more} more: `--format json` has {all}");
                self.paragraph(&rest, 4, DIM);
            }
        }
    }

    fn policy_pairs(&mut self, comparison: &Comparison, alike: &Alike) {
        self.line("");
        let left_out = alike.left_out();
        let pairs = comparison.policies.iter();
        let pairs: Vec<_> = pairs.filter(|pair| !alike.has(&pair.name)).collect();
        if pairs.is_empty() {
            return self.line("Every policy acts the same in both.");
        }
        let mut table = show::table(&["policy", "acts of A", "of B", "sessions of A", "of B"]);
        for pair in pairs {
            let figure = |side: Option<PairFigures>, of: fn(PairFigures) -> u64| {
                side.map_or_else(|| Cell::new("-"), |side| number(of(side)))
            };
            table.add_row([
                Cell::new(show::text(&pair.name)),
                figure(pair.decided, |side| side.acts),
                figure(pair.against, |side| side.acts),
                figure(pair.decided, |side| side.sessions),
                figure(pair.against, |side| side.sessions),
            ]);
        }
        align(&mut table, 1..5);
        self.table(table);
        if let Some(left_out) = left_out {
            self.paragraph(&left_out, 0, DIM);
        }
    }
}

fn parts_of(parts: &Parts) -> [&Part; 3] {
    [&parts.only_decided, &parts.only_against, &parts.both]
}

/// `12 (0.4%)`
fn part_cell(part: &Part) -> String {
    let (count, share) = (words::number(part.count), words::share(part.traffic_share));
    format!("{count} ({share})")
}
