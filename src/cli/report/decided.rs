//! What one set of policies decided: a row a policy, what held it back, and when it acted.

use std::ops::Range;

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, Table};

use super::compared::Alike;
use super::{Text, line, number};
use crate::cli::show::{self, BAD, DIM, HEAD, time};
use crate::report::{Decided, Opening, Outcomes, PolicyFigures, Totals, words};

/// Openings of the breaker that are told with their times; the page has more.
const OPENINGS_SHOWN: usize = 5;

impl Text {
    /// One set of policies, but for those that act alike in the other.
    pub(super) fn decided(
        &mut self,
        decided: &Decided,
        what: &str,
        alike: &Alike,
        has_hours: bool,
    ) {
        self.heading(&format!("{what}: {}", line(&decided.label)));
        if decided.policies.is_empty() {
            return self.line("no policies");
        }
        if self.width < Layout::NARROW {
            self.in_sentences(decided, alike);
        } else {
            self.in_table(decided, alike);
        }
        if let Some(left_out) = alike.left_out() {
            self.paragraph(&left_out, 0, DIM);
        }
        self.held_back(decided);
        self.helped(decided);
        if has_hours {
            self.hours(&decided.totals.hours);
        }
    }

    /// Where no table has room.
    fn in_sentences(&mut self, decided: &Decided, alike: &Alike) {
        for policy in alike.others(&decided.policies) {
            let figures = figures(&policy.outcomes, policy.targets, policy.sessions);
            let (name, wants) = (show::text(&policy.name), line(&policy.wants));
            self.paragraph(&format!("{name}, {wants}: {figures}"), 2, Style::new());
        }
        if decided.policies.len() > 1 {
            let totals = &decided.totals;
            let figures = figures(&totals.outcomes, totals.targets, totals.sessions);
            self.paragraph(&format!("all together: {figures}"), 2, HEAD);
        }
    }

    fn in_table(&mut self, decided: &Decided, alike: &Alike) {
        let layout = Layout::of(self.width);
        let mut table = show::table(layout.header());
        for policy in alike.others(&decided.policies) {
            table.add_row(layout.row(policy));
        }
        if decided.policies.len() > 1 {
            table.add_row(layout.totals(&decided.totals));
        }
        align(&mut table, 2 - usize::from(layout == Layout::Narrow)..8);
        self.table(table);
    }

    fn helped(&mut self, decided: &Decided) {
        let mut has_heading = false;
        for policy in &decided.policies {
            let Some(helped) = &policy.helped else {
                continue;
            };
            if !std::mem::replace(&mut has_heading, true) {
                self.line("");
                self.line("Did it help");
            }
            let line = format!("{}: {}", show::text(&policy.name), words::helped(helped));
            self.paragraph(&line, 4, Style::new());
        }
    }

    fn held_back(&mut self, decided: &Decided) {
        let outcomes = &decided.totals.outcomes;
        if !outcomes.suppressed_by.is_empty() {
            self.line("");
            self.line("Held back, because");
        }
        for suppressed in &outcomes.suppressed_by {
            let count = words::number(suppressed.decisions);
            let line = format!("{count:>9}  {}", words::held_back_by(suppressed.by));
            self.paragraph(&line, 11, Style::new());
        }
        if outcomes.withheld_sessions > 0 {
            let count = words::number(outcomes.withheld_sessions);
            let line = format!(
                "{count:>9}  sessions of other decisions, for which the limits left no room"
            );
            self.paragraph(&line, 11, Style::new());
        }
        let refused = decided.totals.bans.iter().flat_map(|bans| &bans.refused);
        for (place, refused) in refused.enumerate() {
            if place == 0 {
                self.line("");
                self.line("Not banned, because");
            }
            let count = words::number(refused.bans);
            let line = format!("{count:>9}  {}", words::refused_because(refused.why));
            self.paragraph(&line, 11, Style::new());
        }
        for Opening { at, until } in decided.breaker.openings_listed.iter().take(OPENINGS_SHOWN) {
            let opening = format!(
                "{BAD}policy stopped by the breaker{BAD:#} from {} until {} UTC",
                time(*at),
                time(*until)
            );
            self.paragraph(&opening, 2, Style::new());
        }
    }

    fn hours(&mut self, hours: &[u64; 24]) {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let most = hours.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return;
        }
        let bar = |&count: &u64| match count {
            0 => '·',
            // From the lowest bar for few to the highest for the most.
            count => {
                BARS[usize::try_from((count * 8).div_ceil(most))
                    .unwrap_or(8)
                    .clamp(1, 8)
                    - 1]
            }
        };
        let bars: String = hours.iter().map(bar).collect();
        self.line("");
        let title = "Acts by the hour (UTC)  ";
        let indent = match self.width {
            Layout::NARROW.. => title.len(),
            _ => 0,
        };
        let (title, most) = (title.trim_end(), words::number(most));
        if indent == 0 {
            self.line(title);
            self.line(format!("{bars}  at most {most}"));
        } else {
            self.line(format!("{title:indent$}{bars}  at most {most}"));
        }
        self.line(format!("{:indent$}{DIM}0     6     12    18{DIM:#}", ""));
    }
}

/// `40 decided, 20 acts, 20 held back, 3 targets, 54 sessions`
fn figures(outcomes: &Outcomes, targets: u64, sessions: u64) -> String {
    format!(
        "{} decided, {}, {} held back, {}, {}",
        words::number(outcomes.decisions),
        words::counted(outcomes.acts(), "act", "acts"),
        words::number(outcomes.suppressed),
        words::counted(targets, "target", "targets"),
        words::counted(sessions, "session", "sessions"),
    )
}

/// Where eight columns would break every word, what a policy wants stands below its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Wide,
    Narrow,
}

impl Layout {
    const WIDE: usize = 100;
    /// Narrower than this, words would break in a table.
    const NARROW: usize = 72;
    const HEADER: [&str; 8] = [
        "policy",
        "wants",
        "decided",
        "acts",
        "held back",
        "targets",
        "sessions",
        "of all",
    ];
    const HEADER_NARROW: [&str; 7] = [
        "policy",
        "decided",
        "acts",
        "held back",
        "targets",
        "sessions",
        "of all",
    ];

    fn of(width: usize) -> Self {
        if width < Self::WIDE {
            Self::Narrow
        } else {
            Self::Wide
        }
    }

    fn header(self) -> &'static [&'static str] {
        match self {
            Self::Wide => &Self::HEADER,
            Self::Narrow => &Self::HEADER_NARROW,
        }
    }

    fn row(self, policy: &PolicyFigures) -> Vec<Cell> {
        let cells = self.cells(
            &show::text(&policy.name),
            &line(&policy.wants),
            &policy.outcomes,
            [policy.targets, policy.sessions],
            policy.sessions_share,
        );
        // What never decided anything steps back.
        let is_idle = policy.outcomes.decisions == 0;
        let styled = cells.into_iter().map(|cell| {
            if is_idle {
                cell.add_attribute(Attribute::Dim)
            } else {
                cell
            }
        });
        styled.collect()
    }

    fn totals(self, totals: &Totals) -> Vec<Cell> {
        let cells = self.cells(
            "all together",
            "",
            &totals.outcomes,
            [totals.targets, totals.sessions],
            totals.sessions_share,
        );
        let cells = cells.into_iter();
        cells
            .map(|cell| cell.add_attribute(Attribute::Bold))
            .collect()
    }

    fn cells(
        self,
        name: &str,
        wants: &str,
        outcomes: &Outcomes,
        [targets, sessions]: [u64; 2],
        share: f64,
    ) -> Vec<Cell> {
        let mut cells = match self {
            Self::Wide => vec![Cell::new(name), Cell::new(wants)],
            Self::Narrow if wants.is_empty() => vec![Cell::new(name)],
            Self::Narrow => vec![Cell::new(format!("{name}\n  {wants}"))],
        };
        let numbers = [
            outcomes.decisions,
            outcomes.acts(),
            outcomes.suppressed,
            targets,
            sessions,
        ];
        cells.extend(numbers.map(number));
        cells.push(Cell::new(words::share(share)));
        cells
    }
}

pub(super) fn align(table: &mut Table, columns: Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}
