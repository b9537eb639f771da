//! What came of tests, for people: a line a test, then what was expected beside what came.

use std::io;

use comfy_table::Cell;

use super::words::{course_words, event, expectation, reasons, short_words, why_not};
use crate::cli::exit::Exit;
use crate::cli::screen::Screen;
use crate::cli::show::{self, BAD, DIM, GOOD, HEAD, WARN, counted};
use crate::escape;
use crate::policy::Diagnostic;
use crate::trial::{Comparison, Row, Trial, Unjudged, Untested};
use crate::units::format_duration;

/// So many decisions of one test are shown, those as expected last.
const ROWS_MAX: usize = 30;

/// Names of tests and paths are cut to this many columns.
const NAME_COLUMNS: usize = 200;

/// A test and what came of it.
pub(super) struct Played<'t> {
    pub(super) trial: &'t Trial,
    pub(super) result: Comparison,
}

/// All tests.
pub(super) struct Report<'t> {
    pub(super) files: usize,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) untested: Vec<Untested>,
    pub(super) played: Vec<Played<'t>>,
}

impl Report<'_> {
    pub(super) fn exit(&self) -> Exit {
        if !self.diagnostics.is_empty() {
            Exit::Setup
        } else if self.failed() == 0 && self.untested.is_empty() {
            Exit::Ok
        } else {
            Exit::Failed
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.played.iter().filter(|it| !it.result.is_ok()).count()
    }

    pub(super) fn show(&self, screen: &mut Screen) -> io::Result<()> {
        screen.diagnostics(&self.diagnostics)?;
        for of_file in self.played.chunk_by(|a, b| a.trial.file == b.trial.file) {
            let file = path(&of_file[0].trial.file);
            screen.line(format!("{HEAD}{file}{HEAD:#}"))?;
            for played in of_file {
                played.show_verdict(screen)?;
            }
        }
        for played in self.played.iter().filter(|it| !it.result.is_ok()) {
            screen.line("")?;
            played.show_rows(screen)?;
        }
        if !self.untested.is_empty() {
            screen.line("")?;
        }
        for untested in &self.untested {
            let policy = show::text(&untested.policy);
            let lacks = match (untested.never_fires, untested.never_spares) {
                (true, true) => "acts, and none that it does not",
                (true, false) => "acts",
                _ => "does not act",
            };
            let line =
                format!("{BAD}untested{BAD:#}  {HEAD}{policy}{HEAD:#} has no test that it {lacks}");
            screen.entry(&line, 10)?;
        }
        if !self.played.is_empty() || self.diagnostics.is_empty() {
            screen.line("")?;
        }
        screen.line(self.verdict())
    }

    /// `24 tests in 7 files: ok`
    fn verdict(&self) -> String {
        let tests = counted(self.played.len(), "test", "tests");
        let files = counted(self.files, "file", "files");
        let mut wrong = Vec::new();
        if self.failed() > 0 {
            wrong.push(format!("{} failed", self.failed()));
        }
        if !self.untested.is_empty() {
            let policies = counted(self.untested.len(), "policy", "policies");
            wrong.push(format!("{policies} untested"));
        }
        if !self.diagnostics.is_empty() {
            wrong.push(counted(self.diagnostics.len(), "error", "errors"));
        }
        let verdict = if wrong.is_empty() {
            format!("{GOOD}ok{GOOD:#}")
        } else {
            format!("{BAD}{}{BAD:#}", wrong.join(", "))
        };
        format!("{tests} in {files}: {verdict}")
    }
}

impl Played<'_> {
    fn show_verdict(&self, screen: &mut Screen) -> io::Result<()> {
        let name = name(self.trial);
        let word = if self.result.is_ok() {
            format!("{GOOD}ok{GOOD:#}    ")
        } else {
            format!("{BAD}FAILED{BAD:#}")
        };
        screen.entry(&format!("  {word}  {name}"), 10)?;
        for (policy, why) in &self.result.unjudged {
            let policy = show::text(policy);
            let why = match why {
                Unjudged::Unknown(field) => {
                    format!(
                        "is never judged: `{}` cannot be told at any poll",
                        show::text(field)
                    )
                }
                Unjudged::HeldBack(by) => format!("would act, and is held back: {by}"),
                Unjudged::Short(short) => short_words(short),
            };
            let note = format!("          {WARN}note{WARN:#} {policy} {why}");
            screen.entry(&note, 15)?;
        }
        Ok(())
    }

    /// What was expected beside what came, then the reasons.
    fn show_rows(&self, screen: &mut Screen) -> io::Result<()> {
        let Trial { file, line, .. } = self.trial;
        let (file, name) = (path(file), name(self.trial));
        screen.entry(&format!("{file}:{line}: {HEAD}{name}{HEAD:#}"), 2)?;
        let is_met = |row: &&Row| matches!(row, Row::Met(..));
        let rows = &self.result.rows;
        let wrong = rows.iter().filter(|row| !is_met(row)).count();
        let shown: Vec<&Row> = if rows.len() <= ROWS_MAX {
            rows.iter().collect()
        } else {
            rows.iter()
                .filter(|row| !is_met(row))
                .take(ROWS_MAX)
                .collect()
        };
        let mut table = show::table(&["", "expected", "actual"]);
        for row in &shown {
            table.add_row(cells(row));
        }
        screen.table(table)?;
        let more = wrong.saturating_sub(ROWS_MAX);
        if more > 0 {
            screen.line(format!("{DIM}and {more} more that differ{DIM:#}"))?;
        }
        for row in shown {
            show_reason(row, screen)?;
        }
        Ok(())
    }
}

fn name(trial: &Trial) -> String {
    escape::terminal(&trial.name, NAME_COLUMNS).into_owned()
}

fn path(path: &str) -> String {
    escape::terminal(path, NAME_COLUMNS).into_owned()
}

/// A decision expected and one that came, side by side.
fn cells(row: &Row) -> [Cell; 3] {
    use comfy_table::Color;
    let expected = row.expected().map_or_else(String::new, expectation);
    let actual = row
        .actual()
        .map_or_else(String::new, |it| event(it, row.expected()));
    let color = match row {
        Row::Met(..) => None,
        Row::Otherwise(..) => Some(Color::Yellow),
        Row::Missing(..) | Row::Unexpected(_) => Some(Color::Red),
    };
    [mark(row).to_owned(), expected, actual].map(|text| match color {
        Some(color) => Cell::new(text).fg(color),
        None => Cell::new(text),
    })
}

const fn mark(row: &Row) -> &'static str {
    match row {
        Row::Met(..) => "=",
        Row::Otherwise(..) => "!",
        Row::Missing(..) => "-",
        Row::Unexpected(_) => "+",
    }
}

/// Why something did not come, or what made it come, and when.
fn show_reason(row: &Row, screen: &mut Screen) -> io::Result<()> {
    let told = match row {
        Row::Met(..) => return Ok(()),
        Row::Missing(expected, why) => format!("{}: {}", expectation(expected), why_not(why)),
        Row::Unexpected(it) | Row::Otherwise(_, it, _) => {
            format!("{}: {}", event(it, row.expected()), reasons(&it.decision))
        }
    };
    screen.entry(&format!("  {WARN}{}{WARN:#} {told}", mark(row)), 4)?;
    let Row::Otherwise(expected, _, Some(course)) = row else {
        return Ok(());
    };
    screen.entry(&format!("    {}", course_words(course)), 4)?;
    match &course.not_then {
        Some(why) => {
            let at = format_duration(expected.at);
            screen.entry(&format!("    at {at}: {}", why_not(why)), 4)
        }
        None => Ok(()),
    }
}
