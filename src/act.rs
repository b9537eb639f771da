//! Carries out what is permitted: the only module that changes anything on the server.
//!
//! Dry-run differs from enforcing here and nowhere else. An intent is in the journal before the
//! server is asked; what the server says of each session becomes the outcome.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use tracing::{error, warn};

use crate::decision::{Decision, Epoch, Outcome, SessionRef, Suppression};
use crate::escape;
use crate::journal::{
    DecisionId, Entry, Journal, JournalError, LogRun, LogStage, LogStart, StateChange,
};
use crate::limits::{Bucket, Budget, Cooldown, Ruling, Verdict};
use crate::policy::reading::read_bounded;
use crate::policy::{Action, DaemonTarget, Mode, Quota};
use crate::redact::{SecretUrls, redact};
use crate::rpc::{Client, Disconnected, Failure, Logging, RpcError, Said, Word};
use crate::snapshot::Snapshot;

/// How many sessions an outcome names one by one.
const NAMED_MAX: usize = 5;

/// A file of daemons' URLs is not longer.
const URLS_BYTES_MAX: usize = 64 * 1_024;

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
    /// Intended, but the server was certainly never asked: so many sessions, or 1 for the server.
    pub unsent: usize,
}

/// Decisions that are held back without being journalled one by one, so that nobody can wash the
/// journal out by being held back: beyond 300 at once and 20 a minute they are counted only.
const HELD_BACK: Budget = Budget {
    rate: Quota {
        count: 20,
        per: Duration::from_secs(60),
    },
    burst: 300,
};

/// The hand that acts, and what it must undo later.
#[derive(Debug, Default)]
pub struct Actor {
    runs: Vec<LogRun>,
    held_back: Option<Bucket>,
    is_ambiguous: bool,
}

/// What came of the rulings of a poll.
#[derive(Debug)]
pub struct Done {
    /// Worst offenders first. What was held back as at the poll before is left out.
    pub carried: Vec<Carried>,
    /// Held back for the first time, and neither journalled nor among `carried`: too many were.
    pub untold: usize,
    /// Whether the journal has all of it.
    pub journalled: Result<(), JournalError>,
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

    /// Whether an RPC connection bears the ID of a session that something is to be done about, as in
    /// releases to 1.3, which count RPC connections apart. The next poll is better made over another
    /// connection, which gets another number. Told once.
    pub fn wants_another_connection(&mut self) -> bool {
        std::mem::take(&mut self.is_ambiguous)
    }

    /// Journals the rulings of a poll, carries out what is permitted, and journals the outcomes. If
    /// the intent cannot be journalled, nothing is done.
    pub async fn carry_out(
        &mut self,
        rulings: Vec<Ruling>,
        limits: impl FnOnce() -> serde_json::Value,
        cooldowns: Vec<Cooldown>,
        client: &mut Client,
        journal: &mut Journal,
    ) -> Done {
        let carried = rulings.into_iter().filter_map(expected).collect();
        let (mut carried, untold) = self.told(carried);
        let ambiguous = Outcome::Suppressed(Suppression::AmbiguousId);
        self.is_ambiguous |= carried.iter().any(|carried| carried.outcome == ambiguous);
        let journalled = if carried.is_empty() {
            Ok(())
        } else {
            let mut changes: Vec<StateChange> =
                cooldowns.into_iter().map(StateChange::Cooldown).collect();
            changes.push(StateChange::Limits(limits()));
            self.perform(&mut carried, &changes, client, journal).await
        };
        Done {
            carried,
            untold,
            journalled,
        }
    }

    /// Leaves out, and counts, decisions that are held back beyond [`HELD_BACK`].
    fn told(&mut self, mut carried: Vec<Carried>) -> (Vec<Carried>, usize) {
        let all = carried.len();
        let held_back = &mut self.held_back;
        carried.retain(
            |Carried {
                 decision, outcome, ..
             }| {
                if !matches!(outcome, Outcome::Suppressed(_)) {
                    return true;
                }
                let bucket = held_back.get_or_insert_with(|| Bucket::full(HELD_BACK, decision.at));
                let is_told = bucket.available(HELD_BACK, decision.at) > 0;
                bucket.take(usize::from(is_told));
                is_told
            },
        );
        let untold = all - carried.len();
        (carried, untold)
    }

    async fn perform(
        &mut self,
        carried: &mut [Carried],
        changes: &[StateChange],
        client: &mut Client,
        journal: &mut Journal,
    ) -> Result<(), JournalError> {
        let entries: Vec<Entry> = carried.iter().map(entry).collect();
        match journal.intend(&entries, changes) {
            Ok(ids) => {
                for (carried, id) in carried.iter_mut().zip(ids) {
                    carried.id = Some(id);
                }
            }
            Err(error) => {
                fail_intended(carried, &error);
                return Err(error);
            }
        }
        let intended: Vec<usize> = (0..carried.len())
            .filter(|&i| carried[i].outcome == Outcome::Intended)
            .collect();
        if intended.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        disconnect(carried, &intended, client).await;
        self.log(carried, &intended, client, &mut changes).await;
        change_daemon(carried, &intended, client).await;
        alert(carried, &intended);
        let outcomes: Vec<(DecisionId, Outcome)> = intended
            .iter()
            .filter_map(|&i| Some((carried[i].id?, carried[i].outcome.clone())))
            .collect();
        journal.finish_all(&outcomes, &changes)
    }

    /// Ends the log runs whose time has come, and forgets those of sessions that are gone. `log` is
    /// a toggle, so the `L` flag in the snapshot says whether there is anything to undo. To be called
    /// before the same snapshot is acted on: what is switched on by that has no flag in it yet.
    ///
    /// A journal that cannot be written does not hold this up: what the agent has begun it ends, and
    /// the flag keeps that from being done twice.
    pub async fn end_log_runs(
        &mut self,
        snapshot: &Snapshot,
        client: &mut Client,
        journal: &mut Journal,
    ) -> Result<(), JournalError> {
        let Dues {
            over,
            due,
            is_ambiguous,
        } = self.dues(snapshot);
        self.is_ambiguous |= is_ambiguous;
        let ending = due.iter().map(|&session| StateChange::LogStage {
            session,
            stage: LogStage::Ending,
        });
        let changes: Vec<StateChange> = over
            .iter()
            .map(|&session| StateChange::LogEnded(session))
            .chain(ending)
            .collect();
        let mut journalled = save(journal, &changes);
        self.runs.retain(|run| !over.contains(&run.session));
        if !due.is_empty() {
            let ended = switch_off(&due, snapshot.epoch, client).await;
            self.runs.retain(|run| !ended.contains(&run.session));
            let changes: Vec<StateChange> = ended.into_iter().map(StateChange::LogEnded).collect();
            journalled = journalled.and(save(journal, &changes));
        }
        journalled
    }

    fn dues(&self, snapshot: &Snapshot) -> Dues {
        let mut dues = Dues::default();
        if self.runs.is_empty() {
            return dues;
        }
        let sessions = &snapshot.sessions;
        // Of the few runs each finds its row in one walk over the many sessions.
        let runs: HashMap<u64, usize> = (0..)
            .zip(&self.runs)
            .map(|(index, run)| (run.session.id, index))
            .collect();
        let mut rows = vec![None; self.runs.len()];
        let mut is_rpcs = vec![false; self.runs.len()];
        for (row, id) in sessions.id.iter().enumerate() {
            match runs.get(id) {
                Some(&run) if sessions.flags[row].is_rpc() => is_rpcs[run] = true,
                Some(&run) => rows[run] = Some(row),
                None => {}
            }
        }
        for ((run, row), is_rpc) in self.runs.iter().zip(rows).zip(is_rpcs) {
            match row.filter(|&row| is_same(run, snapshot, row)) {
                Some(row) if sessions.flags[row].logged && run.until > snapshot.at() => {}
                Some(row) if sessions.flags[row].logged && is_rpc => dues.is_ambiguous = true,
                Some(row) if sessions.flags[row].logged => dues.due.push(run.session),
                // Gone, or somebody switched it off: there is nothing left to undo.
                _ => dues.over.push(run.session),
            }
        }
        dues
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
                unsent,
                ..
            } = &mut carried[i];
            if !is_log(&decision.action) {
                continue;
            }
            *unsent = words.unsent(&decision.sessions);
            *outcome = words.outcome(&decision.sessions, "logging", |logging| match logging {
                Logging::On => None,
                Logging::Off => Some("somebody else has it logged already"),
            });
            let Action::Log { duration } = decision.action else {
                continue;
            };
            for &session in &decision.sessions {
                let stage = match words.of(session.id) {
                    Heard::Word(Word::Done(Logging::On)) => LogStage::On,
                    Heard::Word(Word::Done(Logging::Off) | Word::Unknown)
                    | Heard::Refused
                    | Heard::Unsent => {
                        changes.push(StateChange::LogEnded(session));
                        continue;
                    }
                    // Perhaps it was switched on: the next snapshot's flag tells.
                    Heard::Word(Word::Other(_) | Word::Nothing) | Heard::Lost => LogStage::Intended,
                };
                changes.push(StateChange::LogStage { session, stage });
                self.runs.push(LogRun {
                    session,
                    until: decision.at + duration,
                    policy: decision.policy.clone(),
                    decision: id.unwrap_or(DecisionId(0)),
                    stage,
                });
            }
        }
    }
}

/// Log runs with something to be done about them.
#[derive(Debug, Default)]
struct Dues {
    over: Vec<SessionRef>,
    due: Vec<SessionRef>,
    is_ambiguous: bool,
}

fn save(journal: &mut Journal, changes: &[StateChange]) -> Result<(), JournalError> {
    if changes.is_empty() {
        return Ok(());
    }
    journal.save(changes)
}

/// A ruling as it will come out unless something goes wrong. What was suppressed in the same way at
/// the last poll is not told again, and nothing is where the agent only watches.
fn expected(ruling: Ruling) -> Option<Carried> {
    let (outcome, withheld) = match (ruling.verdict, ruling.mode) {
        (_, Mode::Off)
        | (
            Verdict::Suppressed {
                is_repeat: true, ..
            },
            _,
        ) => return None,
        (Verdict::Suppressed { by, .. }, _) => (Outcome::Suppressed(by), 0),
        (Verdict::Permitted { withheld }, Mode::Enforce) => (Outcome::Intended, withheld),
        (Verdict::Permitted { withheld }, Mode::DryRun) => (Outcome::DryRun, withheld),
    };
    Some(Carried {
        id: None,
        decision: ruling.decision,
        outcome,
        withheld,
        unsent: 0,
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
        carried.unsent = carried.decision.sessions.len().max(1);
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
            decision,
            outcome,
            unsent,
            ..
        } = &mut carried[i];
        if is_disconnect(&decision.action) {
            *unsent = words.unsent(&decision.sessions);
            *outcome = words.outcome(&decision.sessions, "disconnected", |Disconnected| None);
        }
    }
}

async fn change_daemon(carried: &mut [Carried], intended: &[usize], client: &mut Client) {
    for &i in intended {
        let Carried {
            decision,
            outcome,
            unsent,
            ..
        } = &mut carried[i];
        let Action::DaemonUrl { to } = &decision.action else {
            continue;
        };
        let said = match daemon_urls(to) {
            Err(detail) => Err(detail),
            Ok(urls) => {
                let said = client.daemon_url(decision.epoch, &urls).await;
                *unsent = usize::from(said.as_ref().is_err_and(is_unsent));
                said.map_err(|error| error.to_string())
            }
        };
        *outcome = match said {
            Ok(detail) => Outcome::Executed { detail },
            Err(detail) => Outcome::Failed { detail },
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
        DaemonTarget::File(path) => read_bounded((**path).as_ref(), URLS_BYTES_MAX)
            .map_err(|error| format!("cannot read the daemons' URLs from `{path}`: {error}"))?,
    };
    let urls: Vec<&str> = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .collect();
    if text.len() > URLS_BYTES_MAX {
        return Err(format!(
            "the list of daemons' URLs is longer than {URLS_BYTES_MAX} bytes"
        ));
    }
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
    // Somebody switched them off since the poll: back to that.
    let switched_on = words.done(Logging::On);
    let mut still_on = Vec::new();
    if !switched_on.is_empty() {
        let again = Words::new(client.log(epoch, &switched_on).await);
        let off = again.done(Logging::Off);
        still_on.extend(switched_on.into_iter().filter(|id| !off.contains(id)));
    }
    due.iter()
        .filter(|session| match words.of(session.id) {
            Heard::Word(Word::Done(_)) => !still_on.contains(&session.id),
            Heard::Word(Word::Unknown) => true,
            // The next snapshot's flag tells.
            _ => false,
        })
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
    /// Asked about in the call that failed, and refused.
    refused: HashSet<u64>,
    /// Asked about in the call that failed, with an outcome that nobody knows.
    lost: HashSet<u64>,
}

/// What became of asking for one session.
enum Heard<'a, T> {
    Word(&'a Word<T>),
    /// The server refused the whole request.
    Refused,
    /// Asked for, outcome unknown.
    Lost,
    /// Never asked for.
    Unsent,
}

/// Whether a request that failed so was certainly never sent.
fn is_unsent(error: &RpcError) -> bool {
    !error.is_outcome_unknown() && !matches!(error, RpcError::Server { .. })
}

impl<T: Copy + PartialEq> Words<T> {
    fn new(said: Said<T>) -> Self {
        let mut words = Self {
            by_id: said.words.into_iter().collect(),
            error: None,
            refused: HashSet::new(),
            lost: HashSet::new(),
        };
        if let Some(Failure {
            error, unanswered, ..
        }) = said.failure
        {
            if error.is_outcome_unknown() {
                words.lost.extend(unanswered);
            } else if !is_unsent(&error) {
                words.refused.extend(unanswered);
            }
            words.error = Some(error.to_string());
        }
        words
    }

    fn of(&self, id: u64) -> Heard<'_, T> {
        match self.by_id.get(&id) {
            Some(word) => Heard::Word(word),
            None if self.lost.contains(&id) => Heard::Lost,
            None if self.refused.contains(&id) => Heard::Refused,
            None => Heard::Unsent,
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

    fn unsent(&self, sessions: &[SessionRef]) -> usize {
        let is_unsent = |session: &&SessionRef| matches!(self.of(session.id), Heard::Unsent);
        sessions.iter().filter(is_unsent).count()
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
            let id = session.id;
            match self.of(id) {
                Heard::Word(Word::Done(what)) => match objection(*what) {
                    None => done += 1,
                    Some(objection) => not_done.push(format!("{id}: {objection}")),
                },
                Heard::Word(Word::Unknown) => gone += 1,
                Heard::Word(Word::Other(words)) => not_done.push(format!("{id}: {words}")),
                Heard::Word(Word::Nothing) => {
                    not_done.push(format!("{id}: the server said nothing of it"));
                }
                Heard::Lost => not_done.push(format!("{id}: asked for, outcome unknown")),
                Heard::Refused => not_done.push(format!("{id}: refused")),
                Heard::Unsent => not_done.push(format!("{id}: not asked for")),
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
