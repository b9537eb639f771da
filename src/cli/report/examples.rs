//! The worst decisions of each policy, with what they saw.

use std::fmt::Write as _;

use anstyle::Style;

use super::compared::Alike;
use super::{Text, line};
use crate::cli::show::{self, DIM, HEAD, reasons, target, time};
use crate::report::{Decided, Example, words};

impl Text {
    /// The worst decisions of each policy, but for those that act alike in the other set.
    pub(super) fn examples(&mut self, decided: &Decided, alike: &Alike) {
        let with_examples = alike
            .others(&decided.policies)
            .filter(|policy| !policy.examples.is_empty());
        for policy in with_examples {
            self.line("");
            self.line(format!("{HEAD}{}{HEAD:#}", show::text(&policy.name)));
            let about: Vec<_> = policy.about.split_whitespace().collect();
            if !about.is_empty() {
                self.paragraph(&line(&about.join(" ")), 0, DIM);
            }
            for example in &policy.examples {
                self.paragraph(&example_line(example), 4, Style::new());
            }
            let targets = usize::try_from(policy.targets).unwrap_or(usize::MAX);
            let more = targets.saturating_sub(policy.examples.len());
            if more > 0 {
                let more = show::counted(more, "target", "targets");
                self.line(format!("{DIM}  and {more} more{DIM:#}"));
            }
        }
    }
}

/// `  2026-01-01 00:01:20  subnet 203.0.113.0/24, 12 sessions: sent_rate 3.2 MiB/s (> 1 MiB/s)`
fn example_line(example: &Example) -> String {
    let mut line = format!("  {}  {}", time(example.at), target(&example.target));
    if example.sessions > 1 {
        let _ = write!(line, ", {} sessions", words::number(example.sessions));
    }
    let reasons = reasons(&example.evidence);
    if !reasons.is_empty() {
        let _ = write!(line, ": {reasons}");
    }
    if example.held_s > 0.0 {
        let _ = write!(line, " for {}", words::span(example.held_s));
    }
    if let Some(choice) = &example.choice {
        let _ = write!(line, "; {}", show::choice(choice));
    }
    if let Some(by) = example.by {
        let _ = write!(line, "; held back, for {}", words::held_back_by(by));
    }
    line
}
