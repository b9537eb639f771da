//! Carries out what is permitted: the only module that changes anything on the server.
//!
//! Dry-run differs from enforcing here and nowhere else. An intent is in the journal before the
//! server is asked; what the server says of each session becomes the outcome.

use std::collections::HashMap;
use std::fmt::Write as _;

use tracing::{error, warn};

use crate::decision::{Decision, Epoch, Outcome, SessionRef};
use crate::escape;
use crate::journal::{
    DecisionId, Entry, Journal, JournalError, LogRun, LogStage, LogStart, StateChange,
};
use crate::limits::{Cooldown, Ruling, Verdict};
use crate::policy::{Action, DaemonTarget, Mode};
use crate::redact::{SecretUrls, redact};
use crate::rpc::{Client, Disconnected, Logging, Said, Word};
use crate::snapshot::Snapshot;

/// How many sessions an outcome names one by one.
const NAMED_MAX: usize = 5;

/// A decision that went through the limits, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// Its number in the journal, if it has one.
    pub id: Option<DecisionId>,
    /// The decision.
    pub decision: Decision,
    /// The outcome.
    pub outcome: Outcome,
    /// Left for the next poll, for want of budget.
    pub withheld: usize,
}

/// The hand that acts, and what it must undo later.
#[derive(Debug, Default)]
pub struct Actor {
    runs: Vec<LogRun>,
}

impl Actor {
    /// Takes up the log runs that an earlier run of the agent left.
    pub fn restore(&mut self, runs: Vec<LogRun>) {
        self.runs = runs;
    }

    /// Sessions that are logged for the agent now.
    pub fn log_runs(&self) -> &[LogRun] {
        &self.runs
    }

    /// Journals the rulings of a poll, carries out what is permitted, and journals the outcomes. If
    /// the intent cannot be journalled, nothing is done, and the error is given back.
    pub async fn carry_out(
        &mut self,
        rulings: Vec<Ruling>,
        limits: serde_json::Value,
        cooldowns: Vec<Cooldown>,
        client: &mut Client,
        journal: &mut Journal,
    ) -> (Vec<Carried>, Result<(), JournalError>) {
        let mut carried: Vec<Carried> = rulings.into_iter().filter_map(expected).collect();
        if carried.is_empty() {
            return (carried, Ok(()));
        }
        let entries: Vec<Entry> = carried.iter().map(entry).collect();
        let mut changes: Vec<StateChange> =
            cooldowns.into_iter().map(StateChange::Cooldown).collect();
        changes.push(StateChange::Limits(limits));
        match journal.intend(&entries, &changes) {
            Ok(ids) => {
                for (carried, id) in carried.iter_mut().zip(ids) {
                    carried.id = Some(id);
                }
            }
            Err(error) => {
                fail_intended(&mut carried, &error);
                return (carried, Err(error));
            }
        }
        let intended: Vec<usize> = (0..carried.len())
            .filter(|&i| carried[i].outcome == Outcome::Intended)
            .collect();
        if intended.is_empty() {
            return (carried, Ok(()));
        }
        let mut changes = Vec::new();
        disconnect(&mut carried, &intended, client).await;
        self.log(&mut carried, &intended, client, &mut changes)
            .await;
        change_daemon(&mut carried, &intended, client).await;
        alert(&mut carried, &intended);
        let outcomes: Vec<(DecisionId, Outcome)> = intended
            .iter()
            .filter_map(|&i| Some((carried[i].id?, carried[i].outcome.clone())))
            .collect();
        let result = journal.finish_all(&outcomes, &changes);
        (carried, result)
    }

    /// Ends the log runs whose time has come, and forgets those of sessions that are gone. `log` is
    /// a toggle, so the `L` flag in the snapshot says whether there is anything to undo.
    pub async fn end_log_runs(
        &mut self,
        snapshot: &Snapshot,
        client: &mut Client,
        journal: &mut Journal,
    ) -> Result<(), JournalError> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let sessions = &snapshot.sessions;
        let rows: HashMap<u64, usize> = (0..sessions.len())
            .filter(|&row| !sessions.flags[row].is_rpc())
            .map(|row| (sessions.id[row], row))
            .collect();
        let rpc_bears = |id| {
            (0..sessions.len()).any(|row| sessions.flags[row].is_rpc() && sessions.id[row] == id)
        };
        let mut over = Vec::new();
        let mut due = Vec::new();
        for run in &self.runs {
            let row = rows
                .get(&run.session.id)
                .filter(|&&row| is_same(run, snapshot, row));
            match row {
                // Gone, or somebody switched it off: there is nothing left to undo.
                None => over.push(run.session),
                Some(&row) if !sessions.flags[row].logged => over.push(run.session),
                Some(_) if run.until <= snapshot.at() && !rpc_bears(run.session.id) => {
                    due.push(run.session);
                }
                Some(_) => {}
            }
        }
        let mut changes: Vec<StateChange> = over
            .iter()
            .map(|&session| StateChange::LogEnded(session))
            .collect();
        let ending = due.iter().map(|&session| StateChange::LogStage {
            session,
            stage: LogStage::Ending,
        });
        changes.extend(ending);
        if changes.is_empty() {
            return Ok(());
        }
        journal.save(&changes)?;
        self.runs.retain(|run| !over.contains(&run.session));
        if due.is_empty() {
            return Ok(());
        }
        let ended = switch_off(&due, snapshot.epoch, client).await;
        self.runs.retain(|run| !ended.contains(&run.session));
        let changes: Vec<StateChange> = ended.into_iter().map(StateChange::LogEnded).collect();
        journal.save(&changes)
    }

    async fn log(
        &mut self,
        carried: &mut [Carried],
        intended: &[usize],
        client: &mut Client,
        changes: &mut Vec<StateChange>,
    ) {
        let is_log = |action: &Action| matches!(action, Action::Log { .. });
        let Some((epoch, ids)) = sessions_of(carried, intended, is_log) else {
            return;
        };
        let said = client.log(epoch, &ids).await;
        let words = Words::new(said);
        // Somebody switched it on between the poll and now, and the toggle switched it off.
        let undone: Vec<u64> = words.done(Logging::Off);
        if !undone.is_empty() {
            let again = client.log(epoch, &undone).await;
            if let Some(failure) = again.failure {
                error!(
                    sessions = ?undone,
                    "switched off the logging of sessions that somebody else had just switched on, \
                     and could not switch it on again: {}", failure.error
                );
            }
        }
        for &i in intended {
            let Carried {
                decision,
                outcome,
                id,
                ..
            } = &mut carried[i];
            if !is_log(&decision.action) {
                continue;
            }
            *outcome = words.outcome(&decision.sessions, "logging", |logging| match logging {
                Logging::On => None,
                Logging::Off => Some("somebody else has it logged already"),
            });
            let Action::Log { duration } = decision.action else {
                continue;
            };
            for &session in &decision.sessions {
                if matches!(words.by_id.get(&session.id), Some(Word::Done(Logging::On))) {
                    changes.push(StateChange::LogStage {
                        session,
                        stage: LogStage::On,
                    });
                    self.runs.push(LogRun {
                        session,
                        until: decision.at + duration,
                        policy: decision.policy.clone(),
                        decision: id.unwrap_or(DecisionId(0)),
                        stage: LogStage::On,
                    });
                } else if words.is_known_undone(session.id) {
                    changes.push(StateChange::LogEnded(session));
                } else {
                    // Perhaps it was switched on: the next snapshot's flag tells.
                    self.runs.push(LogRun {
                        session,
                        until: decision.at + duration,
                        policy: decision.policy.clone(),
                        decision: id.unwrap_or(DecisionId(0)),
                        stage: LogStage::Intended,
                    });
                }
            }
        }
    }
}

/// A ruling as it will come out unless something goes wrong. What was suppressed in the same way at
/// the last poll is not told again.
fn expected(ruling: Ruling) -> Option<Carried> {
    let (outcome, withheld) = match (ruling.verdict, ruling.mode) {
        (
            Verdict::Suppressed {
                is_repeat: true, ..
            },
            _,
        ) => return None,
        (Verdict::Suppressed { by, .. }, _) => (Outcome::Suppressed(by), 0),
        (Verdict::Permitted { withheld }, Mode::Enforce) => (Outcome::Intended, withheld),
        (Verdict::Permitted { withheld }, Mode::DryRun | Mode::Off) => (Outcome::DryRun, withheld),
    };
    Some(Carried {
        id: None,
        decision: ruling.decision,
        outcome,
        withheld,
    })
}

fn entry(carried: &Carried) -> Entry {
    let decision = &carried.decision;
    let logs = match decision.action {
        Action::Log { duration } if carried.outcome == Outcome::Intended => decision
            .sessions
            .iter()
            .map(|&session| LogStart {
                session,
                until: decision.at + duration,
            })
            .collect(),
        _ => Vec::new(),
    };
    Entry {
        decision: decision.clone(),
        outcome: carried.outcome.clone(),
        logs,
    }
}

fn fail_intended(carried: &mut [Carried], error: &JournalError) {
    let intended = carried
        .iter_mut()
        .filter(|carried| carried.outcome == Outcome::Intended);
    for carried in intended {
        let detail = format!("not done, for the journal cannot be written: {error}");
        carried.outcome = Outcome::Failed { detail };
    }
}

/// The epoch and the sessions of the intended decisions with such an action.
fn sessions_of(
    carried: &[Carried],
    intended: &[usize],
    is_wanted: impl Fn(&Action) -> bool,
) -> Option<(Epoch, Vec<u64>)> {
    let decisions = || {
        intended
            .iter()
            .map(|&i| &carried[i].decision)
            .filter(|d| is_wanted(&d.action))
    };
    let epoch = decisions().next()?.epoch;
    Some((
        epoch,
        decisions()
            .flat_map(|d| &d.sessions)
            .map(|session| session.id)
            .collect(),
    ))
}

async fn disconnect(carried: &mut [Carried], intended: &[usize], client: &mut Client) {
    let is_disconnect = |action: &Action| matches!(action, Action::Disconnect);
    let Some((epoch, ids)) = sessions_of(carried, intended, is_disconnect) else {
        return;
    };
    let words = Words::new(client.disconnect(epoch, &ids).await);
    for &i in intended {
        let Carried {
            decision, outcome, ..
        } = &mut carried[i];
        if is_disconnect(&decision.action) {
            *outcome = words.outcome(&decision.sessions, "disconnected", |Disconnected| None);
        }
    }
}

async fn change_daemon(carried: &mut [Carried], intended: &[usize], client: &mut Client) {
    for &i in intended {
        let Carried {
            decision, outcome, ..
        } = &mut carried[i];
        let Action::DaemonUrl { to } = &decision.action else {
            continue;
        };
        *outcome = match daemon_urls(to) {
            Err(detail) => Outcome::Failed { detail },
            Ok(urls) => match client.daemon_url(decision.epoch, &urls).await {
                Ok(detail) => Outcome::Executed { detail },
                Err(error) => Outcome::Failed {
                    detail: error.to_string(),
                },
            },
        };
    }
}

fn daemon_urls(to: &DaemonTarget) -> Result<SecretUrls, String> {
    let text = match to {
        // The empty text is the server's word for its own DAEMON_URL.
        DaemonTarget::Default => return Ok(SecretUrls::new("")),
        DaemonTarget::Env(name) => std::env::var(&**name).map_err(|_| {
            format!("the environment variable `{name}` is not set: set it to the daemons' URLs")
        })?,
        DaemonTarget::File(path) => std::fs::read_to_string(&**path)
            .map_err(|error| format!("cannot read the daemons' URLs from `{path}`: {error}"))?,
    };
    let urls: Vec<&str> = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .collect();
    if urls.is_empty() {
        return Err(
            "the list of daemons' URLs is empty: an empty list would mean the default".into(),
        );
    }
    Ok(SecretUrls::new(urls.join(",")))
}

fn alert(carried: &mut [Carried], intended: &[usize]) {
    for &i in intended {
        let Carried {
            decision, outcome, ..
        } = &mut carried[i];
        if decision.action == Action::Alert {
            let target = decision.target.to_string();
            warn!(
                policy = &*decision.policy,
                target = &*escape::log(&target),
                "alert: {}",
                why(decision)
            );
            *outcome = Outcome::Executed {
                detail: "told".into(),
            };
        }
    }
}

/// The evidence on one line, for the log: escaped.
fn why(decision: &Decision) -> String {
    let mut text = String::new();
    for evidence in &decision.evidence {
        let separator = if text.is_empty() { "" } else { ", " };
        _ = write!(text, "{separator}{} {}", evidence.field, evidence.test);
    }
    escape::log(&redact(&text)).into_owned()
}

/// Switches off the logging of sessions that the last snapshot showed logged; gives those that it
/// need not try again.
async fn switch_off(due: &[SessionRef], epoch: Epoch, client: &mut Client) -> Vec<SessionRef> {
    let ids: Vec<u64> = due.iter().map(|session| session.id).collect();
    let words = Words::new(client.log(epoch, &ids).await);
    let switched_on = words.done(Logging::On);
    if !switched_on.is_empty() {
        // Somebody switched them off since the poll: back to that.
        let again = client.log(epoch, &switched_on).await;
        if let Some(failure) = again.failure {
            error!(sessions = ?switched_on, "left sessions logged: {}", failure.error);
        }
    }
    due.iter()
        .filter(|session| words.is_answered(session.id))
        .copied()
        .collect()
}

/// A session is the one of the run if ID and peer are, and it connected at about the same time.
fn is_same(run: &LogRun, snapshot: &Snapshot, row: usize) -> bool {
    const SLACK_S: f64 = 60.0;
    let since_s = snapshot.at().since(run.session.since).as_secs_f64();
    let age_s = snapshot.sessions.age_s[row];
    snapshot.sessions.peer[row] == run.session.peer
        && (age_s.is_nan() || (since_s - age_s).abs() <= SLACK_S)
}

/// What the server said of each session.
struct Words<T> {
    by_id: HashMap<u64, Word<T>>,
    error: Option<String>,
    /// Asked about in the call that failed, with an outcome that nobody knows.
    unanswered: Vec<u64>,
}

impl<T: Copy + PartialEq> Words<T> {
    fn new(said: Said<T>) -> Self {
        let (error, unanswered) = match said.failure {
            None => (None, Vec::new()),
            Some(failure) => {
                let is_unknown = failure.error.is_outcome_unknown();
                let unanswered = if is_unknown {
                    failure.unanswered
                } else {
                    Vec::new()
                };
                (Some(failure.error.to_string()), unanswered)
            }
        };
        Self {
            by_id: said.words.into_iter().collect(),
            error,
            unanswered,
        }
    }

    fn done(&self, what: T) -> Vec<u64> {
        let done = self
            .by_id
            .iter()
            .filter(|(_, word)| matches!(word, Word::Done(w) if *w == what));
        let mut ids: Vec<u64> = done.map(|(&id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    fn is_answered(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether nothing was done to this session for certain.
    fn is_known_undone(&self, id: u64) -> bool {
        !self.unanswered.contains(&id)
    }

    /// Done if anything was; what was not is told.
    fn outcome(
        &self,
        sessions: &[SessionRef],
        verb: &str,
        objection: impl Fn(T) -> Option<&'static str>,
    ) -> Outcome {
        let (mut done, mut gone) = (0_usize, 0_usize);
        let mut not_done = Vec::new();
        for session in sessions {
            match self.by_id.get(&session.id) {
                Some(Word::Done(what)) => match objection(*what) {
                    None => done += 1,
                    Some(objection) => not_done.push(format!("{}: {objection}", session.id)),
                },
                Some(Word::Unknown) => gone += 1,
                Some(Word::Other(words)) => not_done.push(format!("{}: {words}", session.id)),
                Some(Word::Nothing) => {
                    not_done.push(format!("{}: the server said nothing of it", session.id));
                }
                None if self.unanswered.contains(&session.id) => {
                    not_done.push(format!("{}: asked for, outcome unknown", session.id));
                }
                None => not_done.push(format!("{}: not asked for", session.id)),
            }
        }
        let mut detail = format!("{verb} {done}");
        if gone > 0 {
            _ = write!(detail, ", {gone} already gone");
        }
        if !not_done.is_empty() {
            _ = write!(
                detail,
                ", not done {}: {}",
                not_done.len(),
                some_of(&not_done)
            );
        }
        if let Some(error) = &self.error {
            _ = write!(detail, "; {error}");
        }
        if done > 0 || (gone > 0 && not_done.is_empty()) {
            Outcome::Executed { detail }
        } else {
            Outcome::Failed { detail }
        }
    }
}

fn some_of(texts: &[String]) -> String {
    let mut shown = texts
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if texts.len() > NAMED_MAX {
        _ = write!(shown, "; and {} more", texts.len() - NAMED_MAX);
    }
    shown
}
