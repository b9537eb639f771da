//! The report of a replay as people and programs read it in a terminal; as a page it is
//! [`report::html`](crate::report::html)'s.

mod compared;
mod decided;
mod examples;

use std::fmt::Write as _;
use std::io;

use anstyle::Style;
use comfy_table::{Cell, Table};

use super::screen::{Format, Screen, table_lines, wrap};
use super::show::{self, GOOD, HEAD, WARN, time};
use crate::escape;
use crate::report::{Replayed, Report, words};
use compared::Alike;

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
        let alike = report.comparison.as_ref().map(Alike::of);
        let alike = alike.unwrap_or_default();
        let has_hours = report.replayed.has_hours();
        match report.against.as_ref().zip(report.comparison.as_ref()) {
            None => text.decided(&report.decided, "Policies", &alike, has_hours),
            Some((against, comparison)) => {
                text.decided(&report.decided, "A", &alike, has_hours);
                text.decided(against, "B", &alike, has_hours);
                text.comparison(comparison, &alike);
            }
        }
        text.examples(&report.decided, &alike);
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
        self.paragraph(&report.summary().join(" "), 0, Style::new());
        let attention = report.attention();
        for point in &attention {
            self.paragraph(&format!("! {}", line(point)), 2, WARN);
        }
        if attention.is_empty() && report.replayed.polls > 0 {
            self.paragraph(
                "Nothing stands out; whether the right ones are touched, the examples tell.",
                0,
                GOOD,
            );
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
                words::bytes(replayed.recv_bytes),
                words::bytes(replayed.sent_bytes)
            ),
        );
    }
}

/// Text that somebody else wrote, in a paragraph.
fn line(text: &str) -> String {
    escape::terminal(text, TEXT_COLUMNS).into_owned()
}

fn polls(replayed: &Replayed) -> String {
    let mut text = words::number(replayed.polls);
    if replayed.missed > 0 {
        let reasons = replayed.missed_because.iter().map(|missed| {
            let count = words::number(missed.count);
            format!("{count} {}", line(&missed.why))
        });
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        let _ = write!(
            text,
            ", and {} failed: {reasons}",
            words::number(replayed.missed)
        );
    }
    if replayed.gaps > 0 {
        let gaps = words::counted(replayed.gaps, "gap", "gaps");
        let _ = write!(text, "; {gaps}, {} in all", words::span(replayed.gaps_s));
    }
    if replayed.restarts > 0 {
        let restarts = words::counted(replayed.restarts, "restart", "restarts");
        let _ = write!(text, "; {restarts} of the server");
    }
    text
}

fn sessions(replayed: &Replayed) -> String {
    let mut text = format!(
        "{} of {} in {}",
        words::number(replayed.sessions),
        words::counted(replayed.addresses, "address", "addresses"),
        words::counted(replayed.subnets, "subnet", "subnets"),
    );
    if replayed.private_sessions > 0 {
        let private = words::number(replayed.private_sessions);
        let _ = write!(text, "; {private} of private or unknown peers");
    }
    if let Some(at) = replayed.sessions_peak_at {
        let peak = words::number(replayed.sessions_peak);
        let _ = write!(text, "; at most {peak} at once, at {}", time(at));
    }
    text
}

fn number(number: u64) -> Cell {
    Cell::new(words::number(number))
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

    /// Of half an hour there is one bar.
    #[test]
    fn hours_are_told_of_long_recordings() {
        let mut report = sample::replay();
        assert!(!shown(&report).contains("by the hour"));
        let from = report.replayed.from.unwrap();
        report.replayed.to = Some(from + std::time::Duration::from_hours(6));
        let text = shown(&report);
        let at = text.find("Acts by the hour").unwrap();
        let hours = text[at..].lines().take(2).map(str::trim_end);
        insta::assert_snapshot!(hours.collect::<Vec<_>>().join("\n"), @"
        Acts by the hour (UTC)  ·············██·········  at most 2
                                0     6     12    18
        ");
    }

    #[test]
    fn it_fits_any_screen() {
        for report in [sample::replay(), sample::comparison(), sample::nothing()] {
            for width in [40, 60, 80, 100, 120] {
                let text = strip_str(&Text::of(&report, width)).to_string();
                for line in text.lines() {
                    assert_eq!(line.trim_end(), line);
                    // A word that is too long for a line is not broken.
                    let is_word = !line.trim_start().contains(' ');
                    assert!(is_word || line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
        let narrow = strip_str(&Text::of(&sample::comparison(), 40)).to_string();
        let part = narrow.split("Held back").next().unwrap();
        insta::assert_snapshot!("narrow", part);
    }

    #[test]
    fn nothing_reads_well() {
        insta::assert_snapshot!(shown(&sample::nothing()));
    }
}
