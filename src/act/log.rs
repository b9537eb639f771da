//! Logging for a while: switched on once, switched off once, across restarts too.
//!
//! `log` is a toggle, so the server's flag is read before anything is asked, and what an operator
//! switched is left as it is.

use std::collections::HashMap;

use tracing::error;

use super::words::{Heard, Words};
use super::{Actor, Carried, sessions_of};
use crate::decision::{Epoch, SessionRef};
use crate::journal::{DecisionId, Journal, JournalError, LogRun, LogStage, StateChange};
use crate::policy::Action;
use crate::rpc::{Client, Logging, Word};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

impl Actor {
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
        let clamped = self.clamp(snapshot.at());
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
            .chain(clamped)
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

    /// No run lasts longer from now on than it was to last in all. One that does was begun while the
    /// clock was ahead.
    fn clamp(&mut self, now: Timestamp) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for run in &mut self.runs {
            let latest = now + run.length;
            if run.until > latest {
                run.until = latest;
                changes.push(StateChange::LogUntil {
                    session: run.session,
                    until: latest,
                });
            }
        }
        changes
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

    pub(super) async fn log(
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
                    length: duration,
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

/// A session is the one of the run if ID and peer are, and it connected at about the same time. A run
/// whose clock was ahead of this one does not tell when that was.
fn is_same(run: &LogRun, snapshot: &Snapshot, row: usize) -> bool {
    const SLACK_S: f64 = 60.0;
    if run.session.since.since(snapshot.at()).as_secs_f64() > SLACK_S {
        return snapshot.sessions.peer[row] == run.session.peer;
    }
    let since_s = snapshot.at().since(run.session.since).as_secs_f64();
    let age_s = snapshot.sessions.age_s[row];
    snapshot.sessions.peer[row] == run.session.peer
        && (age_s.is_nan() || (since_s - age_s).abs() <= SLACK_S)
}
