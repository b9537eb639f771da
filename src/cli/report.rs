//! The report of a replay as people and programs read it in a terminal; as a page it is
//! [`report::html`](crate::report::html)'s.

use std::fmt::Write as _;
use std::io;

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, Table};

use super::screen::{Format, Screen, table_lines, wrap};
use super::show::{self, BAD, DIM, GOOD, HEAD, WARN, reasons, target, time};
use crate::escape;
use crate::report::{
    Comparison, Decided, Example, Opening, Outcomes, PairFigures, Part, Parts, PolicyFigures,
    Replayed, Report, Totals, Words, held_back_by,
};

const WORDS: Words = Words::TERMINAL;

/// Examples of one policy that the text has; the page has more.
const EXAMPLES_SHOWN: usize = 3;

/// Longer texts are cut.
const TEXT_COLUMNS: usize = 400;

/// Writes the whole report: for programs one line of type `report`.
pub(super) fn write(report: &Report, format: Format, screen: &mut Screen) -> io::Result<()> {
    match format {
        Format::Text => {
            let width = screen.width();
            screen.text(Text::of(report, width))
        }
        Format::Json => screen.json("report", report),
    }
}

/// Lines as they come.
struct Text {
    text: String,
    width: usize,
}

impl Text {
    fn of(report: &Report, width: usize) -> String {
        let mut text = Self {
            text: String::new(),
            width,
        };
        text.opening(report);
        text.replayed(&report.replayed);
        let is_two = report.against.is_some();
        text.decided(&report.decided, if is_two { "A" } else { "Policies" });
        if let Some((against, comparison)) = report.against.as_ref().zip(report.comparison.as_ref())
        {
            text.decided(against, "B");
            text.comparison(comparison);
        }
        text.examples(&report.decided);
        text.text
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str, indent: usize, style: Style) {
        for line in wrap(text, self.width, indent) {
            self.line(format!("{style}{line}{style:#}"));
        }
    }

    fn heading(&mut self, heading: &str) {
        self.line("");
        self.line(format!("{HEAD}{heading}{HEAD:#}"));
    }

    fn table(&mut self, table: Table) {
        for line in table_lines(table, self.width) {
            self.line(line);
        }
    }

    fn opening(&mut self, report: &Report) {
        self.paragraph(&report.summary(WORDS).join(" "), 0, Style::new());
        let attention = report.attention(WORDS);
        for point in &attention {
            self.paragraph(&format!("! {}", line(point)), 2, WARN);
        }
        if attention.is_empty() && report.replayed.polls > 0 {
            self.line(format!("{GOOD}Nothing stands out; whether the right ones are touched, the examples tell.{GOOD:#}"));
        }
    }

    fn replayed(&mut self, replayed: &Replayed) {
        let (Some(from), Some(to)) = (replayed.from, replayed.to) else {
            return;
        };
        self.heading("Replayed");
        let mut row = |what: &str, text: String| {
            self.paragraph(&format!("{what:<10}{text}"), 10, Style::new());
        };
        row("time", format!("{} to {} UTC", time(from), time(to)));
        let servers = replayed.servers.iter().map(|server| {
            let told = [&server.version, &server.coin].into_iter().flatten();
            told.map(|told| show::text(told))
                .collect::<Vec<_>>()
                .join(", ")
        });
        let servers: Vec<_> = servers.filter(|server| !server.is_empty()).collect();
        if !servers.is_empty() {
            row("server", servers.join("; then "));
        }
        row("polls", polls(replayed));
        row("sessions", sessions(replayed));
        row(
            "traffic",
            format!(
                "{} received, {} sent",
                WORDS.bytes(replayed.recv_bytes),
                WORDS.bytes(replayed.sent_bytes)
            ),
        );
    }

    fn decided(&mut self, decided: &Decided, what: &str) {
        self.heading(&format!("{what}: {}", line(&decided.label)));
        if decided.policies.is_empty() {
            return self.line("no policies");
        }
        let layout = Layout::of(self.width);
        let mut table = show::table(layout.header());
        for policy in &decided.policies {
            table.add_row(layout.row(policy));
        }
        if decided.policies.len() > 1 {
            table.add_row(layout.totals(&decided.totals));
        }
        align(&mut table, 2 - usize::from(layout == Layout::Narrow)..8);
        self.table(table);
        self.held_back(decided);
        self.hours(&decided.totals.hours);
    }

    fn held_back(&mut self, decided: &Decided) {
        let outcomes = &decided.totals.outcomes;
        if !outcomes.suppressed_by.is_empty() {
            self.line("");
            self.line("Held back, because");
        }
        for suppressed in &outcomes.suppressed_by {
            let count = WORDS.number(suppressed.decisions);
            let line = format!("{count:>9}  {}", held_back_by(suppressed.by));
            self.paragraph(&line, 11, Style::new());
        }
        if outcomes.withheld_sessions > 0 {
            let count = WORDS.number(outcomes.withheld_sessions);
            let line = format!(
                "{count:>9}  sessions of other decisions, for which the limits left no room"
            );
            self.paragraph(&line, 11, Style::new());
        }
        for Opening { at, until } in decided.breaker.openings_listed.iter().take(EXAMPLES_SHOWN) {
            self.line(format!(
                "{BAD}breaker open{BAD:#} from {} until {} UTC",
                time(*at),
                time(*until)
            ));
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
        self.line(format!(
            "Acts by the hour (UTC)  {bars}  at most {}",
            WORDS.number(most)
        ));
        self.line(format!(
            "{DIM}                        0     6     12    18{DIM:#}"
        ));
    }

    fn examples(&mut self, decided: &Decided) {
        let with_examples = decided
            .policies
            .iter()
            .filter(|policy| !policy.examples.is_empty());
        for policy in with_examples {
            self.line("");
            self.line(format!("{HEAD}{}{HEAD:#}", show::text(&policy.name)));
            let about: Vec<_> = policy.about.split_whitespace().collect();
            if !about.is_empty() {
                self.paragraph(&line(&about.join(" ")), 0, DIM);
            }
            for example in policy.examples.iter().take(EXAMPLES_SHOWN) {
                self.paragraph(&example_line(example), 4, Style::new());
            }
            let targets = usize::try_from(policy.targets).unwrap_or(usize::MAX);
            let more = targets.saturating_sub(policy.examples.len().min(EXAMPLES_SHOWN));
            if more > 0 {
                let more = show::counted(more, "target", "targets");
                self.line(format!("{DIM}  and {more} more{DIM:#}"));
            }
        }
    }

    fn comparison(&mut self, comparison: &Comparison) {
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
        self.policy_pairs(comparison);
        for (name, part) in ["A", "B", "both"]
            .into_iter()
            .zip(parts_of(&comparison.sessions))
        {
            if part.examples.is_empty() {
                continue;
            }
            let only = if name == "both" { "" } else { " only" };
            self.line("");
            self.line(format!("{HEAD}Sessions touched by {name}{only}{HEAD:#}"));
            for example in part.examples.iter().take(EXAMPLES_SHOWN) {
                let mut line = format!("  {}", line(&example.target));
                if let Some(client) = &example.client {
                    let _ = write!(line, " \"{}\"", show::text(client));
                }
                let _ = write!(
                    line,
                    ", {} after {} of {}",
                    WORDS.bytes(example.traffic_bytes),
                    show::text(&example.policy),
                    time(example.at)
                );
                self.paragraph(&line, 4, Style::new());
            }
        }
    }

    fn policy_pairs(&mut self, comparison: &Comparison) {
        let differ = |pair: &&crate::report::PolicyPair| pair.decided != pair.against;
        let pairs: Vec<_> = comparison.policies.iter().filter(differ).collect();
        self.line("");
        if pairs.is_empty() {
            return self.line("Every policy decided the same in both.");
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
    }
}

/// Text that somebody else wrote, in a paragraph.
fn line(text: &str) -> String {
    escape::terminal(text, TEXT_COLUMNS).into_owned()
}

fn polls(replayed: &Replayed) -> String {
    let mut text = WORDS.number(replayed.polls);
    if replayed.missed > 0 {
        let reasons = replayed.missed_because.iter().map(|missed| {
            let count = WORDS.number(missed.count);
            format!("{count} {}", line(&missed.why))
        });
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        let _ = write!(
            text,
            ", and {} failed: {reasons}",
            WORDS.number(replayed.missed)
        );
    }
    if replayed.gaps > 0 {
        let gaps = WORDS.counted(replayed.gaps, "gap", "gaps");
        let _ = write!(text, "; {gaps}, {} in all", WORDS.span(replayed.gaps_s));
    }
    if replayed.restarts > 0 {
        let restarts = WORDS.counted(replayed.restarts, "restart", "restarts");
        let _ = write!(text, "; {restarts} of the server");
    }
    text
}

fn sessions(replayed: &Replayed) -> String {
    let mut text = format!(
        "{} of {} in {}",
        WORDS.number(replayed.sessions),
        WORDS.counted(replayed.addresses, "address", "addresses"),
        WORDS.counted(replayed.subnets, "subnet", "subnets"),
    );
    if replayed.private_sessions > 0 {
        let private = WORDS.number(replayed.private_sessions);
        let _ = write!(text, "; {private} of private or unknown peers");
    }
    if let Some(at) = replayed.sessions_peak_at {
        let peak = WORDS.number(replayed.sessions_peak);
        let _ = write!(text, "; at most {peak} at once, at {}", time(at));
    }
    text
}

/// Where eight columns would break every word, what a policy wants stands below its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Wide,
    Narrow,
}

impl Layout {
    const WIDE: usize = 100;
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
        cells.push(Cell::new(WORDS.share(share)));
        cells
    }
}

/// `  2026-01-01 00:01:20  subnet 203.0.113.0/24, 12 sessions: sent_rate 3.2 MiB/s (> 1 MiB/s)`
fn example_line(example: &Example) -> String {
    let mut line = format!("  {}  {}", time(example.at), target(&example.target));
    if example.sessions > 1 {
        let _ = write!(line, ", {} sessions", WORDS.number(example.sessions));
    }
    let reasons = reasons(&example.evidence);
    if !reasons.is_empty() {
        let _ = write!(line, ": {reasons}");
    }
    if example.held_s > 0.0 {
        let _ = write!(line, " for {}", WORDS.span(example.held_s));
    }
    if let Some(by) = example.by {
        let _ = write!(line, "; held back, for {}", held_back_by(by));
    }
    line
}

fn parts_of(parts: &Parts) -> [&Part; 3] {
    [&parts.only_decided, &parts.only_against, &parts.both]
}

/// `12 (0.4%)`
fn part_cell(part: &Part) -> String {
    let (count, share) = (WORDS.number(part.count), WORDS.share(part.traffic_share));
    format!("{count} ({share})")
}

fn number(number: u64) -> Cell {
    Cell::new(WORDS.number(number))
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::report::sample;

    fn shown(report: &Report) -> String {
        let text = Text::of(report, 80);
        let text = strip_str(&text).to_string();
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{text}");
        text
    }

    #[test]
    fn a_replay_reads_well() {
        insta::assert_snapshot!(shown(&sample::replay()));
    }

    #[test]
    fn a_comparison_reads_well() {
        insta::assert_snapshot!(shown(&sample::comparison()));
    }

    #[test]
    fn nothing_reads_well() {
        insta::assert_snapshot!(shown(&sample::nothing()));
    }
}
