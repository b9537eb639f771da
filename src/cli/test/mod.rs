//! `test`: plays the tests that stand beside the policies, and shows where they differ from what is
//! decided.

mod draft;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use comfy_table::Cell;
use serde::Serialize;

use crate::cli::check::Finding;
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen};
use crate::cli::show::{self, BAD, DIM, GOOD, HEAD, WARN, counted};
use crate::cli::when::{When, now};
use crate::engine::{Apart, Looked, Missing};
use crate::escape;
use crate::policy::Diagnostic;
use crate::trial::{
    self, Comparison, Expected, Happened, Loaded, Row, Trial, Unjudged, Untested, Why,
};
use crate::units::format_duration;

/// So many decisions of one test are shown, those as expected last.
const ROWS_MAX: usize = 30;

/// Names of tests and paths are cut to this many columns.
const NAME_COLUMNS: usize = 200;

/// Play the tests that stand beside the policies
///
/// A test is a few sessions over time, in a short notation, and the decisions that are expected of
/// them. It is played by the code that judges a real server; no server is needed, and nothing is
/// changed. docs/policy-tests.md tells how tests are written.
///
/// With --from and --at a test is drafted from a moment of a recording, and not played: PATH then is
/// where the policies are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden test
  electrumx-warden test policies/errors.test.toml
  electrumx-warden test policies/errors.toml --filter flood
  electrumx-warden test --complete --format json | jq 'select(.ok == false)'
  electrumx-warden test --from demo.rec --at 2026-01-31T12:00:00Z --to policies/moment.test.toml")]
pub(super) struct Args {
    /// Files that end in `.test.toml`, policy files that have one beside them, and folders
    #[arg(value_name = "PATH", default_value = "policies")]
    paths: Vec<PathBuf>,

    /// Only the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Fail also if a policy has no test that it acts, or none that it does not
    #[arg(long, conflicts_with = "filter")]
    complete: bool,

    /// Draft a test from this recording
    #[arg(long, value_name = "RECORDING", requires = "at", conflicts_with_all = ["filter", "complete", "format"])]
    from: Vec<PathBuf>,

    /// The moment: 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", requires = "from", value_parser = When::parse)]
    at: Option<When>,

    /// Judge the recording by mode, limits and protection of this configuration; the draft names it
    #[arg(long, value_name = "FILE", requires = "from")]
    config: Option<PathBuf>,

    /// The key of the recording's pseudonyms, so that addresses in policies are found by theirs
    #[arg(long, value_name = "FILE", requires = "from")]
    key: Option<PathBuf>,

    /// Write the draft to this file, which must not be there yet; without it, to standard output
    #[arg(long, value_name = "FILE", requires = "from")]
    to: Option<PathBuf>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    screen.outlive_readers();
    if let Some(at) = args.at {
        return draft::draft(args, at.resolve(now()), screen);
    }
    let Loaded {
        mut trials,
        mut diagnostics,
        files,
    } = trial::load(&args.paths);
    let mut policies = Vec::new();
    if args.complete && diagnostics.is_empty() {
        let checked = trial::policies(&args.paths);
        let errors = checked.diagnostics.into_iter().filter(Diagnostic::is_error);
        diagnostics.extend(errors);
        policies = checked.set.unwrap_or_default().policies;
    }
    if let Some(part) = &args.filter {
        trials.retain(|trial| trial.name.contains(&**part));
        if trials.is_empty() && diagnostics.is_empty() {
            let message = format!("no test has `{part}` in its name");
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    let played = trials.iter().map(|trial| Played {
        trial,
        result: trial.run(),
    });
    let played: Vec<Played<'_>> = played.collect();
    let results = played.iter().map(|it| (it.trial, &it.result));
    let report = Report {
        untested: trial::untested(&policies, &results),
        files,
        diagnostics,
        played,
    };
    match args.format {
        Format::Text => report.show(screen)?,
        Format::Json => report.write(screen)?,
    }
    Ok(report.exit())
}

/// A test and what came of it.
struct Played<'t> {
    trial: &'t Trial,
    result: Comparison,
}

/// All tests.
struct Report<'t> {
    files: usize,
    diagnostics: Vec<Diagnostic>,
    untested: Vec<Untested>,
    played: Vec<Played<'t>>,
}

impl Report<'_> {
    fn exit(&self) -> Exit {
        if !self.diagnostics.is_empty() {
            Exit::Setup
        } else if self.failed() == 0 && self.untested.is_empty() {
            Exit::Ok
        } else {
            Exit::Failed
        }
    }

    fn failed(&self) -> usize {
        self.played.iter().filter(|it| !it.result.is_ok()).count()
    }

    fn show(&self, screen: &mut Screen) -> io::Result<()> {
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

    fn write(&self, screen: &mut Screen) -> io::Result<()> {
        for diagnostic in &self.diagnostics {
            screen.json("diagnostic", &Finding::of(diagnostic))?;
        }
        for played in &self.played {
            screen.json("test", &played.json())?;
        }
        for untested in &self.untested {
            let untested = UntestedJson {
                policy: &untested.policy,
                never_acts: untested.never_fires,
                never_spares: untested.never_spares,
            };
            screen.json("untested", &untested)?;
        }
        let summary = Summary {
            ok: self.exit() == Exit::Ok,
            files: self.files,
            tests: self.played.len(),
            failed: self.failed(),
            untested: self.untested.len(),
            errors: self.diagnostics.len(),
        };
        screen.json("summary", &summary)
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
                Unjudged::Short(hold) => format!(
                    "cannot act: the test is over before its `for` of {}",
                    format_duration(*hold)
                ),
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
        for reason in shown.iter().filter_map(|row| reason(row)) {
            screen.entry(&format!("  {reason}"), 4)?;
        }
        Ok(())
    }

    fn json(&self) -> TestJson<'_> {
        let rows = self.result.rows.iter().map(|row| RowJson {
            came: match row {
                Row::Met(..) => "as expected",
                Row::Otherwise(..) => "otherwise",
                Row::Missing(..) => "missing",
                Row::Unexpected(_) => "unexpected",
            },
            expected: row.expected().map(|it| DecisionJson {
                at_s: it.at.as_secs_f64(),
                policy: &it.policy,
                target: it.target.to_string(),
                held_back: it.held_back,
                sessions: it.sessions,
            }),
            actual: row.actual().map(|it| DecisionJson {
                at_s: it.at.as_secs_f64(),
                policy: &it.decision.policy,
                target: it.target.to_string(),
                held_back: it.held_back(),
                sessions: Some(it.decision.sessions.len()),
            }),
            why: match row {
                Row::Missing(_, why) => Some(why_not(why)),
                _ => None,
            },
        });
        TestJson {
            file: &self.trial.file,
            line: self.trial.line,
            name: &self.trial.name,
            ok: self.result.is_ok(),
            unjudged: self.result.unjudged.iter().map(|(it, _)| &**it).collect(),
            decisions: rows.collect(),
        }
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
    let (mark, color) = match row {
        Row::Met(..) => ("=", None),
        Row::Otherwise(..) => ("!", Some(Color::Yellow)),
        Row::Missing(..) => ("-", Some(Color::Red)),
        Row::Unexpected(_) => ("+", Some(Color::Red)),
    };
    [mark.to_owned(), expected, actual].map(|text| match color {
        Some(color) => Cell::new(text).fg(color),
        None => Cell::new(text),
    })
}

/// `50s error-flood 203.0.113.7:50001`
fn expectation(expected: &Expected) -> String {
    line(
        &format_duration(expected.at),
        &expected.policy,
        &expected.target.to_string(),
        expected.sessions,
        expected.held_back,
    )
}

/// The number of sessions is told where it is asked.
fn event(happened: &Happened, expected: Option<&Expected>) -> String {
    let is_asked = expected.is_some_and(|expected| expected.sessions.is_some());
    let sessions = happened.decision.sessions.len();
    line(
        &format_duration(happened.at),
        &happened.decision.policy,
        &happened.target.to_string(),
        is_asked.then_some(sessions),
        happened.held_back(),
    )
}

fn line(
    at: &str,
    policy: &str,
    target: &str,
    sessions: Option<usize>,
    held_back: Option<&str>,
) -> String {
    let mut line = format!("{at} {} {}", show::text(policy), show::text(target));
    if let Some(sessions) = sessions {
        let sessions = counted(sessions, "session", "sessions");
        _ = write!(line, ", {sessions}");
    }
    if let Some(by) = held_back {
        _ = write!(line, ", held back: {by}");
    }
    line
}

/// Why something did not come, or what made it come.
fn reason(row: &Row) -> Option<String> {
    match row {
        Row::Missing(expected, why) => Some(format!(
            "{WARN}-{WARN:#} {}: {}",
            expectation(expected),
            why_not(why)
        )),
        Row::Unexpected(happened) | Row::Otherwise(_, happened) => {
            let held = happened.decision.held;
            let held = if held.is_zero() {
                String::new()
            } else {
                format!(" for {}", format_duration(held))
            };
            Some(format!(
                "{WARN}{}{WARN:#} {}: {}{held}",
                if matches!(row, Row::Otherwise(..)) {
                    '!'
                } else {
                    '+'
                },
                event(happened, row.expected()),
                show::reasons(&happened.decision.evidence)
            ))
        }
        Row::Met(..) => None,
    }
}

fn why_not(why: &Why) -> String {
    let saw = |tests: &[Looked]| tests.iter().map(saw).collect::<Vec<_>>().join(", ");
    match why {
        Why::Missed => "that poll failed".to_owned(),
        Why::Off => "the policy's mode is off".to_owned(),
        Why::Absent => "there is no such target then".to_owned(),
        Why::Apart(Apart::Private) => {
            "its peer is private, and the policy has no `include_private`".to_owned()
        }
        Why::Apart(Apart::Closing) => "the session is closing".to_owned(),
        Why::Apart(Apart::Absent) => "the server does not name this group then".to_owned(),
        Why::HeldBack { by, until: None } => format!("held back: {by}"),
        Why::HeldBack {
            by,
            until: Some(until),
        } => format!("held back until {}: {by}", format_duration(*until)),
        Why::Pending { held, hold, tests } => format!(
            "held for {} of {}: {}",
            format_duration(*held),
            format_duration(*hold),
            saw(tests)
        ),
        Why::Spared(tests) => format!("spared by its `unless`: {}", saw(tests)),
        Why::Fails(tests) => saw(tests),
    }
}

/// `sent_rate is 3 B/s (not > 1 MiB/s)`
fn saw(looked: &Looked) -> String {
    let field = show::text(&looked.field);
    let asked = show::asked(&looked.test, looked.threshold, looked.dimension);
    match (&looked.seen, looked.missing) {
        (Some(seen), _) => {
            let seen = show::quoted(seen, looked.dimension);
            let not = if looked.holds { "" } else { "not " };
            format!("{field} is {seen} ({not}{asked})")
        }
        (None, Some(Missing::Window { .. })) => {
            format!("{field} is not known before the window is covered")
        }
        (None, Some(Missing::Population)) => {
            format!("{field}: too few have a value to say what is normal")
        }
        (None, Some(Missing::Release)) => format!("{field} is not told by this release"),
        (None, Some(Missing::Inspection)) => {
            format!("{field} is not known: the session has shown no cost of errors")
        }
        (None, _) => format!("{field} is not known"),
    }
}

#[derive(Serialize)]
struct TestJson<'a> {
    file: &'a str,
    line: usize,
    name: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unjudged: Vec<&'a str>,
    decisions: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    came: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<DecisionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<DecisionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct DecisionJson<'a> {
    at_s: f64,
    policy: &'a str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
}

#[derive(Serialize)]
struct UntestedJson<'a> {
    policy: &'a str,
    never_acts: bool,
    never_spares: bool,
}

/// The end of it.
#[derive(Serialize)]
struct Summary {
    ok: bool,
    files: usize,
    tests: usize,
    failed: usize,
    untested: usize,
    errors: usize,
}
