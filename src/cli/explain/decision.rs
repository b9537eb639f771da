//! A decision of the journal, explained from its own evidence.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::bans;
use super::next::{After, View, whole_seconds};
use crate::cli::exit::{Exit, Failure};
use crate::cli::json::{DecisionJson, row_json};
use crate::cli::relief;
use crate::cli::screen::{Format, Screen};
use crate::cli::show::{self, BAD, DIM, GOOD, HEAD, WARN, counted};
use crate::decision::{Choice, Outcome, Suppression};
use crate::escape;
use crate::journal::{DecisionId, Filter, INTERRUPTED, JournalError, Reader, Replayed, Row};
use crate::policy::{Action, ActionKind, Mode, PolicySet};
use crate::recheck::{Recheck, Verdict, recheck};
use crate::time::Timestamp;
use crate::units::format_duration;

/// The server's words are cut to this many columns.
const DETAIL_COLUMNS: usize = 400;

/// What is known of a decision.
struct Known<'a> {
    row: &'a Row,
    /// The journal's file.
    journal: &'a Path,
    recheck: Recheck,
    after: After,
    /// The decision of the same poll that covers this one.
    covered_by: Option<DecisionId>,
    /// What was replayed, if the journal is a replay's.
    replayed: Option<Replayed>,
    view: View,
    now: Timestamp,
}

pub(super) fn explain(
    reader: &Reader,
    journal: &Path,
    id: i64,
    policies: Option<&PolicySet>,
    now: Timestamp,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let row = find(reader, id, journal)?;
    let replayed = reader.replayed()?;
    let view = View::of(replayed.as_ref(), now);
    let policy = policies.and_then(|set| set.named(&row.decision.policy));
    let known = Known {
        recheck: recheck(&row),
        after: After::of(&row, reader, view, policy.map(|policy| policy.cooldown))?,
        covered_by: covered_by(reader, &row)?,
        row: &row,
        journal,
        replayed,
        view,
        now,
    };
    match format {
        Format::Text => show_all(&known, screen)?,
        Format::Json => write(&known, screen)?,
    }
    Ok(if known.recheck.agrees() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn find(reader: &Reader, id: i64, journal: &Path) -> Result<Row, Failure> {
    let found = reader.query(&Filter {
        beyond: Some(DecisionId(id + 1)),
        limit: 1,
        ..Filter::default()
    })?;
    if let Some(row) = found.into_iter().find(|row| row.id.0 == id) {
        return Ok(row);
    }
    let any = reader.query(&Filter {
        limit: 1,
        ..Filter::default()
    })?;
    let path = journal.display();
    let message = if any.is_empty() {
        format!(
            "the journal `{path}` has no decisions: the agent has made none, or they were too old to keep"
        )
    } else {
        format!(
            "the journal has no decision {id}: it was never made, or is too old; `electrumx-warden \
             journal --all --path {path}` lists those that it has"
        )
    };
    Err(Failure::new(Exit::Failed, message))
}

/// The other decision is of the same poll, and so is its time.
fn covered_by(reader: &Reader, row: &Row) -> Result<Option<DecisionId>, JournalError> {
    let Outcome::Suppressed(Suppression::Covered { policy }) = &row.outcome else {
        return Ok(None);
    };
    let at = row.decision.at;
    let same_poll = reader.query(&Filter {
        since: Some(at),
        until: Some(at + std::time::Duration::from_millis(1)),
        policy: Some(policy.to_string()),
        limit: 1_000,
        ..Filter::default()
    })?;
    let is_done = |other: &&Row| {
        !matches!(other.outcome, Outcome::Suppressed(_))
            && other.decision.action.kind().budget() == row.decision.action.kind().budget()
    };
    let mut done = same_poll.iter().filter(is_done);
    // Of several it is not known which one has which session.
    let first = done.next().map(|other| other.id);
    Ok(first.filter(|_| done.next().is_none()))
}

impl Known<'_> {
    fn until(&self, until: Timestamp) -> String {
        self.view.until(until)
    }

    /// What came of it, and why, in sentences.
    fn story(&self) -> Vec<String> {
        match &self.row.outcome {
            Outcome::Executed { detail } => self.executed(detail),
            Outcome::DryRun => self.not_done(),
            Outcome::Intended => vec![
                "It was about to be done, and what came of it is not in the journal: the agent is at it \
                 right now, or it stopped, and will say so when it starts again."
                    .to_owned(),
            ],
            Outcome::Failed { detail }
                if detail == INTERRUPTED && self.row.decision.action == Action::Alert =>
            {
                vec![
                    "It was about to be logged when the agent stopped, and may be in the log or not."
                        .to_owned(),
                ]
            }
            Outcome::Failed { detail } if detail == INTERRUPTED => vec![
                "It was about to be done when the agent stopped: the server may have done it or not."
                    .to_owned(),
                "If it was not done, and still deserves to be, the agent decides it again.".to_owned(),
            ],
            Outcome::Failed { detail } => {
                let who = match self.replayed {
                    None => "It was tried, and failed",
                    Some(_) => "The live agent tried just this, and failed",
                };
                vec![format!("{who}: {}.", escape::terminal(detail, DETAIL_COLUMNS))]
            }
            Outcome::Suppressed(by) => self.held_back(by),
        }
    }

    fn held_back(&self, by: &Suppression) -> Vec<String> {
        let decision = &self.row.decision;
        let kind = decision.action.kind();
        let (why, what_to_do) = match by {
            Suppression::Protection => (
                "every session of it is protected, closing, or an RPC connection".to_owned(),
                "If one of them should not be protected, see `[protect]` of the configuration."
                    .to_owned(),
            ),
            Suppression::Cooldown { until } => (
                format!(
                    "the policy decided on this target before, and left it alone {}",
                    self.until(*until)
                ),
                "A shorter `cooldown` in the policy would let it act sooner.".to_owned(),
            ),
            Suppression::Backoff { hold, failures } => (
                format!(
                    "after {} its tests must hold for {} since the last one",
                    counted(*failures as usize, "failure", "failures"),
                    format_duration(*hold)
                ),
                "The failures are in the journal: `electrumx-warden journal --outcome failed`."
                    .to_owned(),
            ),
            Suppression::PolicyLimit { until } => (
                format!("the policy's `limit` was used up {}", self.until(*until)),
                "A higher `limit` in the policy would let more through.".to_owned(),
            ),
            Suppression::ActionLimit { until } => (
                format!(
                    "what `[limits]` allows of `{}` was used up {}",
                    kind.budget().name(),
                    self.until(*until)
                ),
                if kind.disconnects() {
                    "A higher `disconnect` in `[limits]` would let more through, or, if these are regular \
                     clients, a higher `disconnect_regulars`."
                        .to_owned()
                } else {
                    format!("A higher `{}` in `[limits]` would let more through.", kind.name())
                },
            ),
            Suppression::Breaker { until } => (
                format!(
                    "the breaker had stopped the policy {}: it was to disconnect so many regular \
                     clients, or so many of all newcomers, that it is more likely wrong than they are",
                    self.until(*until)
                ),
                "Look at what it decided at that time before anything else.".to_owned(),
            ),
            Suppression::ShareOfAll { until } => self.share_of_all(*until),
            Suppression::Covered { policy } => (
                format!(
                    "policy `{}` acted on all its sessions at the same poll",
                    show::text(policy)
                ),
                match self.covered_by {
                    Some(id) => format!("That is decision {id}."),
                    None => "Whoever is done with need not be done with twice.".to_owned(),
                },
            ),
            Suppression::Banned { until } => (
                format!("whoever it is about was banned already, {}", self.until(*until)),
                "Whoever is there all the same is disconnected for that at the next poll.".to_owned(),
            ),
            Suppression::UncertainMembers => (
                "which sessions make up the group was not certain: the server counts others than the \
                 agent finds"
                    .to_owned(),
                "It is decided again at a poll that tells.".to_owned(),
            ),
            Suppression::AmbiguousId => (
                "an RPC connection bore the same ID, and the server might have closed that one"
                    .to_owned(),
                "The agent opens another connection, and looks again.".to_owned(),
            ),
            Suppression::NothingToDo => (
                "the server logs all its sessions already".to_owned(),
                String::new(),
            ),
            Suppression::NobodyStandsOut => (
                nobody_stands_out(decision.choice.as_ref()),
                "`members = \"all\"` in the policy would have it act on everybody all the same."
                    .to_owned(),
            ),
            Suppression::UnfitDaemon { why } => (
                escape::terminal(why, DETAIL_COLUMNS).into_owned(),
                "See `electrumx-warden daemons` for how they are now.".to_owned(),
            ),
        };
        let mut story = vec![format!("It was held back: {why}.")];
        story.extend(Some(what_to_do).filter(|text| !text.is_empty()));
        story
    }

    /// Why the share of all policies held it back, and what to do.
    fn share_of_all(&self, until: Timestamp) -> (String, String) {
        let why = format!(
            "all policies together had disconnected as many regular clients as `share_of_all` in \
             `[breaker]` allows {}, and every client here is a regular one",
            self.until(until)
        );
        let what_to_do = format!(
            "Look at the acts just before it: `electrumx-warden journal --path {}`. If a policy is \
             wrong, correct it; if all are right, a higher `share_of_all` would let more through. \
             Strangers are still disconnected.",
            self.journal.display()
        );
        (why, what_to_do)
    }

    /// Why nothing was done.
    fn not_done(&self) -> Vec<String> {
        let decision = &self.row.decision;
        // A replay never does anything, whatever the mode.
        if let Some(replayed) = &self.replayed {
            let would = match (decision.mode, replayed.mode(decision.at)) {
                (Mode::Enforce, Some(Mode::Enforce)) => {
                    "an agent in mode `enforce` would have done it"
                }
                (Mode::Enforce, _) => {
                    "the agent's mode was `dry-run`, though the policy's is `enforce`"
                }
                (Mode::DryRun | Mode::Off, _) => "the policy's own mode is `dry-run`",
            };
            return vec![format!("Nothing was done, as this is a replay: {would}.")];
        }
        let (why, place) = if decision.mode == Mode::DryRun {
            ("the policy's own mode is `dry-run`", "policy")
        } else {
            (
                "the agent's mode was `dry-run`, though the policy's is `enforce`",
                "configuration",
            )
        };
        vec![
            format!("Nothing was done: {why}."),
            format!("To have such things done, write `mode = \"enforce\"` in the {place}."),
        ]
    }

    /// A change of daemon is amended as it is confirmed.
    fn executed(&self, detail: &str) -> Vec<String> {
        if self.row.decision.action == Action::Alert {
            let who = match self.replayed {
                None => "It was logged, for a person to look at",
                Some(_) => "The live agent logged it too",
            };
            return vec![format!("{who}; an alert asks nothing of the server.")];
        }
        let mut parts = detail.split("; ").filter(|part| !part.is_empty());
        let said = parts.next().unwrap_or("nothing");
        let who = match self.replayed {
            None => "It was done",
            Some(_) => "The live agent did just this",
        };
        let mut story = vec![format!(
            "{who}; the server said: {}.",
            escape::terminal(said, DETAIL_COLUMNS)
        )];
        let later = parts.map(|part| format!("Then: {}.", escape::terminal(part, DETAIL_COLUMNS)));
        story.extend(later);
        story
    }
}

fn show_all(known: &Known<'_>, screen: &mut Screen) -> io::Result<()> {
    let Known { row, recheck, .. } = known;
    let decision = &row.decision;
    let style = show::outcome_style(&row.outcome);
    let outcome = show::outcome_word(&row.outcome);
    screen.prose(
        format!(
            "{HEAD}Decision {}{HEAD:#}: {}, {style}{outcome}{style:#}",
            row.id,
            show::deed(decision)
        ),
        4,
    )?;
    for sentence in known.story() {
        screen.prose(&sentence, 4)?;
    }
    screen.line("")?;
    let when = match &known.replayed {
        None => format!("{} ago", whole_seconds(known.now.since(decision.at))),
        Some(replayed) => format!("in a replay of {}", of_what(replayed)),
    };
    let mut held = match decision.held {
        held if held.is_zero() => "no time: it was seen for the first time".to_owned(),
        held => format_duration(held),
    };
    if decision.at_once {
        held += ", and `at_once` asks for no more";
    }
    let mut facts = vec![
        (
            "decided",
            format!("{}, {when}", show::exact_time(decision.at)),
        ),
        (
            "policy",
            format!("{} (mode {})", show::text(&decision.policy), decision.mode),
        ),
        ("held for", held),
        ("severity", severity(decision.severity)),
    ];
    if !decision.sessions.is_empty() || decision.spared > 0 {
        facts.push(("sessions", sessions(row)));
    }
    if let Some(choice) = &decision.choice {
        facts.push(("chosen", show::choice(choice)));
    }
    facts.extend(bans::facts(decision));
    if decision.action.kind() == ActionKind::DaemonUrl {
        facts.push(("action", show::action(decision)));
    }
    facts.extend(row.relief.iter().flat_map(relief::facts));
    facts.push(("next", known.after.next(row)));
    for (name, value) in facts {
        screen.prose(format!("  {DIM}{name:<8}{DIM:#}  {value}"), 12)?;
    }
    show_tests(row, recheck, screen)?;
    show_agreement(row, recheck, screen)
}

/// The recordings, and by what they were judged.
fn of_what(replayed: &Replayed) -> String {
    let recordings = replayed.recordings.join(" ");
    let of = format!("{recordings}, judged by {}", replayed.policies);
    escape::terminal(&of, DETAIL_COLUMNS).into_owned()
}

/// How many times the threshold the worst value was.
fn severity(severity: f64) -> String {
    if severity.is_infinite() {
        return "∞".to_owned();
    }
    let times = crate::units::format(severity, crate::field::Dimension::Count);
    if severity > 1.0 {
        format!("{times}: the worst value by its threshold")
    } else {
        times
    }
}

fn sessions(row: &Row) -> String {
    let decision = &row.decision;
    let count = decision.sessions.len() + row.sessions_left_out as usize;
    let mut text = counted(count, "session", "sessions");
    let named: Vec<String> = decision
        .sessions
        .iter()
        .take(3)
        .map(|it| it.id.to_string())
        .collect();
    if !named.is_empty() {
        let more = if count > named.len() { ", …" } else { "" };
        _ = write!(text, " ({}{more})", named.join(", "));
    }
    if decision.spared > 0 {
        let spared = decision.spared;
        _ = write!(
            text,
            ", and {spared} spared: protected, closing, or an RPC connection"
        );
    }
    text
}

fn show_tests(row: &Row, recheck: &Recheck, screen: &mut Screen) -> io::Result<()> {
    if row.decision.evidence.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = show::table(&["", "FIELD", "SEEN", "TEST", "MARGIN"]);
    for (evidence, reread) in row.decision.evidence.iter().zip(&recheck.evidence) {
        let mark = match reread.verdict {
            Verdict::Agrees => comfy_table::Cell::new("✓").fg(comfy_table::Color::Green),
            Verdict::Disagrees { .. } => comfy_table::Cell::new("✗").fg(comfy_table::Color::Red),
            Verdict::Unknown { .. } => comfy_table::Cell::new("?").fg(comfy_table::Color::Yellow),
        };
        let margin = reread
            .margin
            .map(|margin| show::margin(margin, evidence.dimension));
        let asked = show::asked(&evidence.test, evidence.threshold, evidence.dimension);
        table.add_row([
            mark,
            show::text(&evidence.field).into(),
            show::quoted_like(&evidence.seen, evidence.dimension, &asked).into(),
            asked.into(),
            margin.unwrap_or_default().into(),
        ]);
    }
    if let Some(field) = table.column_mut(1) {
        field.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
    }
    screen.table(table)?;
    if row.evidence_left_out > 0 {
        let more = row.evidence_left_out;
        screen.line(format!(
            "{DIM}and {more} more, which the journal has not kept{DIM:#}"
        ))?;
    }
    Ok(())
}

/// Whether the row can be believed.
fn show_agreement(row: &Row, recheck: &Recheck, screen: &mut Screen) -> io::Result<()> {
    screen.line("")?;
    let tests = row.decision.evidence.iter().zip(&recheck.evidence);
    let mut wrong: Vec<String> = tests
        .clone()
        .filter_map(|(evidence, reread)| match &reread.verdict {
            Verdict::Disagrees { why } => Some(format!("{}: {why}", evidence.field)),
            Verdict::Agrees | Verdict::Unknown { .. } => None,
        })
        .collect();
    wrong.extend(recheck.contradictions.iter().cloned());
    if !wrong.is_empty() {
        screen.prose(format!(
                "{BAD}This decision contradicts itself: the journal is damaged, or something else wrote \
                 it.{BAD:#}"
            ),
            4,
        )?;
        return wrong.iter().try_for_each(|why| {
            let why = escape::terminal(why, DETAIL_COLUMNS);
            screen.prose(format!("  {BAD}{why}{BAD:#}"), 4)
        });
    }
    let mut is_all = true;
    for (evidence, reread) in tests {
        if let Verdict::Unknown { why } = &reread.verdict {
            let field = show::text(&evidence.field);
            let why = escape::terminal(why, DETAIL_COLUMNS);
            screen.prose(format!("{WARN}?{WARN:#} {field}: {why}"), 4)?;
            is_all = false;
        }
    }
    let what = if is_all { "it" } else { "all else" };
    let agrees = format!("Reckoned again from its evidence, {what} comes out the same.");
    screen.prose(format!("{GOOD}{agrees}{GOOD:#}"), 4)
}

fn write(known: &Known<'_>, screen: &mut Screen) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        decision: DecisionJson<'a>,
        agrees: bool,
        recheck: &'a Recheck,
        story: Vec<String>,
        next: String,
        #[serde(with = "crate::time::rfc3339")]
        cooldown_until: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replay: Option<&'a Replayed>,
        #[serde(skip_serializing_if = "Option::is_none")]
        covered_by_id: Option<DecisionId>,
    }
    let row = known.row;
    let line = Line {
        decision: row_json(row),
        agrees: known.recheck.agrees(),
        recheck: &known.recheck,
        story: known.story(),
        next: known.after.next(row),
        cooldown_until: known.after.cooldown_until,
        replay: known.replayed.as_ref(),
        covered_by_id: known.covered_by,
    };
    screen.json("decision", &line)
}

fn nobody_stands_out(choice: Option<&Choice>) -> String {
    if choice.is_some_and(|choice| !choice.is_still_met) {
        "those who are left do not meet the test: whoever did it is gone, or is spared".to_owned()
    } else {
        "nobody's part is out of the ordinary, and all who are there are regulars".to_owned()
    }
}
