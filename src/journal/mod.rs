//! The memory of the agent: each decision with its evidence and outcome, and the state that keeps
//! a restart from repeating or forgetting anything. `SQLite`, with a write-ahead log.
//!
//! An intent is on the disk, together with the cooldowns, budgets and log runs that follow from it,
//! before anything is done. So a kill at any moment loses nothing and repeats nothing: at worst the
//! next run finds an intent without an outcome, which [`Journal::take_interrupted`] hands out to be
//! told.
//!
//! One agent has a journal open; any number of readers may look at the same time. The journal
//! decides nothing and asks no clock. Calls block, as long as a disk takes to sync.

mod clients;
mod error;
mod event;
mod lock;
mod preflight;
mod query;
mod replay;
mod retention;
mod row;
mod schema;
mod state;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};

pub use self::clients::RestoredClients;
pub use self::error::JournalError;
pub use self::event::{EVENTS_MAX, Event, EventFilter, EventRow};
pub use self::lock::Holder;
pub use self::query::{Filter, OutcomeKind, Outcomes};
pub use self::replay::{ReplayJournal, Replayed};
pub use self::retention::{Retention, Upkeep};
pub use self::row::{EVIDENCE_MAX, NAME_CHARS_MAX, Row, SESSIONS_MAX, TEXT_CHARS_MAX};
pub use self::state::{LogRun, LogStage, SavedState, StateChange};
pub use self::summary::{POLICIES_MAX, PolicySummary};

use self::lock::Lock;
use self::retention::{AgeQuota, SizeTurn};
use crate::decision::{Decision, Outcome, SessionRef};
use crate::history::ClientChanges;
use crate::time::Timestamp;

/// The outcome of an intent that a run of the agent left behind.
pub const INTERRUPTED: &str = "the agent stopped before it learned the outcome";

/// A decision's number in its journal, from 1 on; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(pub i64);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decision to be written, and what has come of it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The decision.
    pub decision: Decision,
    /// [`Outcome::Intended`] if it is about to be carried out, or else the end of it.
    pub outcome: Outcome,
    /// The sessions that it is about to have logged. Each becomes a [`LogRun`] in stage
    /// [`LogStage::Intended`] and replaces an earlier one of the same session.
    pub logs: Vec<LogStart>,
}

impl Entry {
    /// Without log runs.
    pub const fn new(decision: Decision, outcome: Outcome) -> Self {
        Self {
            decision,
            outcome,
            logs: Vec::new(),
        }
    }
}

/// A session that is about to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    /// The session.
    pub session: SessionRef,
    /// When logging is to end.
    pub until: Timestamp,
}

/// The journal of the one agent that writes it.
#[derive(Debug)]
pub struct Journal {
    // Closed before the lock goes, since fields are dropped in this order.
    connection: Connection,
    _lock: Lock,
    path: PathBuf,
    /// Committed as intended, by this run.
    pending: HashSet<DecisionId>,
    owed: Owed,
    interrupted: Vec<Row>,
    written_since_upkeep: u64,
    age_quota: AgeQuota,
    size_turn: SizeTurn,
    /// How much of the file the clients take.
    client_bytes: u64,
}

/// What could not be written when it was learned; the next commit begins with it. Bounded by what
/// was intended before: one outcome an intent, a few changes a log run.
#[derive(Debug, Default)]
struct Owed {
    outcomes: Vec<(DecisionId, Outcome)>,
    changes: Vec<StateChange>,
}

impl Journal {
    /// Opens the journal at `path`, or makes one where there is no file, and marks what a run
    /// before left unfinished.
    ///
    /// The lock file is `path` with `-lock` after it. Reads the whole file once to find damage.
    ///
    /// # Errors
    /// Nothing that is not a sound journal of this or an earlier format is ever changed, and the
    /// error says what to do about it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let path = schema::place(path)?;
        let lock = Lock::take(&path)?;
        let connection = schema::open_writer(&path)?;
        let mut journal = Self {
            connection,
            _lock: lock,
            path,
            pending: HashSet::new(),
            owed: Owed::default(),
            interrupted: Vec::new(),
            written_since_upkeep: 0,
            age_quota: AgeQuota::default(),
            size_turn: SizeTurn::default(),
            client_bytes: 0,
        };
        journal.client_bytes = journal.measure_clients()?;
        journal.interrupted = journal.write(mark_interrupted)?;
        Ok(journal)
    }

    /// Looks whether [`open`](Self::open) would refuse the journal at `path`, for all that can be told
    /// without making or changing anything: damage within it cannot.
    ///
    /// # Errors
    /// What `open` would say; not that another agent has it open.
    pub fn check(path: &Path) -> Result<(), JournalError> {
        preflight::check(path)
    }

    /// Opens the journal at `path` for reading, whether an agent runs or not.
    pub fn open_read_only(path: &Path) -> Result<Reader, JournalError> {
        let path = schema::real_file(path)?;
        let connection = schema::open_reader(&path)?;
        Ok(Reader { connection, path })
    }

    /// The agent that has the journal at `path` open, if one runs.
    pub fn holder(path: &Path) -> Holder {
        Holder::of(path)
    }

    /// Decisions that an earlier run intended and never finished; now failed, with
    /// [`INTERRUPTED`]. The server may or may not have done them. The second call returns none.
    pub fn take_interrupted(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.interrupted)
    }

    /// The state as committed.
    pub fn load_state(&self) -> Result<SavedState, JournalError> {
        state::load(&self.connection).map_err(|error| self.error(error))
    }

    /// What an earlier run knew of clients, `clients_max` of them at the most; what is beyond that or
    /// cannot be read is deleted.
    pub fn take_clients(&mut self, clients_max: usize) -> Result<RestoredClients, JournalError> {
        let restored = self.write(|transaction| clients::take(transaction, clients_max))?;
        self.client_bytes = self.measure_clients()?;
        Ok(restored)
    }

    /// Commits what has changed of clients.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn save_clients(&mut self, changes: &ClientChanges) -> Result<(), JournalError> {
        self.write(|transaction| clients::save(transaction, changes))?;
        self.client_bytes = self.measure_clients()?;
        Ok(())
    }

    fn measure_clients(&self) -> Result<u64, JournalError> {
        clients::bytes(&self.connection).map_err(|error| self.error(error))
    }

    /// Commits decisions and the state that follows from them, all or nothing. Once this has
    /// returned, what is intended may be done.
    ///
    /// # Errors
    /// Nothing was written and nothing may be done. See [`JournalError::may_pass`].
    pub fn intend(
        &mut self,
        entries: &[Entry],
        changes: &[StateChange],
    ) -> Result<Vec<DecisionId>, JournalError> {
        let ids = self.write(|transaction| {
            let ids = insert_all(transaction, entries)?;
            apply_all(transaction, changes)?;
            Ok(ids)
        })?;
        let intended = ids.iter().zip(entries);
        let intended = intended.filter(|(_, entry)| entry.outcome == Outcome::Intended);
        self.pending.extend(intended.map(|(id, _)| *id));
        self.written_since_upkeep += ids.len() as u64;
        Ok(ids)
    }

    /// [`Self::finish_all`] for one.
    pub fn finish(&mut self, id: DecisionId, outcome: Outcome) -> Result<(), JournalError> {
        self.finish_all(&[(id, outcome)], &[])
    }

    /// Commits what came of intents of this run, with changes of the state that follow.
    ///
    /// # Errors
    /// [`JournalError::NotIntended`] if one of them has its outcome already: nothing is written.
    /// After any other error the journal keeps all of it in mind, and the next call that succeeds
    /// writes it: don't repeat the call.
    pub fn finish_all(
        &mut self,
        outcomes: &[(DecisionId, Outcome)],
        changes: &[StateChange],
    ) -> Result<(), JournalError> {
        if let Some((id, _)) = outcomes.iter().find(|(id, _)| !self.pending.contains(id)) {
            return Err(JournalError::NotIntended(*id));
        }
        for (id, _) in outcomes {
            self.pending.remove(id);
        }
        self.conclude(outcomes, changes)
    }

    /// Commits what became of an outcome later, in its place; an error as in [`Self::finish_all`].
    pub fn amend(
        &mut self,
        id: DecisionId,
        outcome: Outcome,
        changes: &[StateChange],
    ) -> Result<(), JournalError> {
        self.conclude(&[(id, outcome)], changes)
    }

    fn conclude(
        &mut self,
        outcomes: &[(DecisionId, Outcome)],
        changes: &[StateChange],
    ) -> Result<(), JournalError> {
        let written = self.write(|transaction| {
            finish_all(transaction, outcomes)?;
            apply_all(transaction, changes)
        });
        if written.is_err() {
            self.owed.add(outcomes, changes);
        }
        written
    }

    /// Commits changes of the state alone; an error as in [`Self::finish_all`].
    pub fn save(&mut self, changes: &[StateChange]) -> Result<(), JournalError> {
        self.finish_all(&[], changes)
    }

    /// Commits what happened to the server. The oldest beyond [`EVENTS_MAX`] goes.
    ///
    /// # Errors
    /// Nothing was written, and it is not kept in mind.
    pub fn note(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        self.write(|transaction| event::insert(transaction, at, event))
    }

    /// Commits what a person did, with the changes of the state that follow, all or nothing.
    ///
    /// # Errors
    /// Nothing was written, and it is not kept in mind: nothing may be done.
    pub fn note_with(
        &mut self,
        at: Timestamp,
        event: &Event,
        changes: &[StateChange],
    ) -> Result<(), JournalError> {
        self.write(|transaction| {
            event::insert(transaction, at, event)?;
            apply_all(transaction, changes)
        })
    }

    /// Whether the journal can be written again: tries it with more bytes than a poll's decisions
    /// usually take, and writes what it could not write before.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO probe VALUES (1, zeroblob(65536))",
                    [],
                )
                .map(drop)
        })
    }

    /// A round of upkeep, to be called once a poll: prunes, shrinks the file and its log.
    pub fn maintain(
        &mut self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Upkeep, JournalError> {
        let size_max_bytes = retention.size_max_bytes.saturating_add(self.client_bytes);
        let upkeep = retention::maintain(
            &mut self.connection,
            now,
            &Retention {
                size_max_bytes,
                ..*retention
            },
            self.written_since_upkeep,
            &mut self.age_quota,
            &mut self.size_turn,
        )
        .map_err(|error| JournalError::from_sqlite(&self.path, error))?;
        self.written_since_upkeep = 0;
        Ok(upkeep)
    }

    /// The rows that `filter` lets through.
    pub fn query(&self, filter: &Filter) -> Result<Vec<Row>, JournalError> {
        query::query(&self.connection, filter).map_err(|error| self.error(error))
    }

    /// The one way to write: a transaction that begins with what is owed.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let error = |error| JournalError::from_sqlite(&self.path, error);
        if schema::has_moved(&self.connection).map_err(error)? {
            return Err(JournalError::Moved(self.path.clone()));
        }
        let value = commit(&mut self.connection, &self.owed, work).map_err(error)?;
        self.owed = Owed::default();
        Ok(value)
    }

    fn error(&self, error: rusqlite::Error) -> JournalError {
        JournalError::from_sqlite(&self.path, error)
    }
}

/// A journal opened for reading; never waits for the agent, nor the agent for it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// The rows that `filter` lets through, as committed when the call begins.
    pub fn query(&self, filter: &Filter) -> Result<Vec<Row>, JournalError> {
        query::query(&self.connection, filter)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// The events that `filter` lets through.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, JournalError> {
        event::query(&self.connection, filter)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// How many rows `filter` lets through, whatever its page.
    pub fn count(&self, filter: &Filter) -> Result<u64, JournalError> {
        query::count(&self.connection, filter)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// The decisions that `filter` lets through, whatever its page, summed up by policy; those with
    /// most acts first, [`POLICIES_MAX`] at the most. Reads all of them once.
    pub fn summary(&self, filter: &Filter) -> Result<Vec<PolicySummary>, JournalError> {
        summary::of(&self.connection, filter)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// Whether the file was moved or deleted since it was opened, so that nothing new comes.
    pub fn has_moved(&self) -> Result<bool, JournalError> {
        schema::has_moved(&self.connection)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// The policies that decided something, by name; 1,000 at the most.
    pub fn policies(&self) -> Result<Vec<String>, JournalError> {
        query::policies(&self.connection)
            .map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// The state as committed.
    pub fn load_state(&self) -> Result<SavedState, JournalError> {
        state::load(&self.connection).map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// What was replayed, if the journal is a replay's and no agent's.
    pub fn replayed(&self) -> Result<Option<Replayed>, JournalError> {
        replay::load(&self.connection).map_err(|error| JournalError::from_sqlite(&self.path, error))
    }

    /// The same reader, of an agent's journal.
    ///
    /// # Errors
    /// [`JournalError::OfReplay`] if it is none.
    pub fn of_agent(self) -> Result<Self, JournalError> {
        match self.replayed()? {
            None => Ok(self),
            Some(_) => Err(JournalError::OfReplay(self.path)),
        }
    }
}

impl Owed {
    fn add(&mut self, outcomes: &[(DecisionId, Outcome)], changes: &[StateChange]) {
        self.outcomes.extend_from_slice(outcomes);
        for change in changes {
            self.changes.retain(|earlier| !change.overrides(earlier));
            self.changes.push(change.clone());
        }
    }
}

fn commit<T>(
    connection: &mut Connection,
    owed: &Owed,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    finish_all(&transaction, &owed.outcomes)?;
    apply_all(&transaction, &owed.changes)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn insert_all(connection: &Connection, entries: &[Entry]) -> rusqlite::Result<Vec<DecisionId>> {
    let mut ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = row::insert(connection, &entry.decision, &entry.outcome)?;
        for &LogStart { session, until } in &entry.logs {
            let run = LogRun {
                session,
                until,
                length: until.since(entry.decision.at),
                policy: entry.decision.policy.clone(),
                decision: id,
                stage: LogStage::Intended,
            };
            state::start_log(connection, &run)?;
        }
        ids.push(id);
    }
    Ok(ids)
}

fn finish_all(connection: &Connection, outcomes: &[(DecisionId, Outcome)]) -> rusqlite::Result<()> {
    outcomes
        .iter()
        .try_for_each(|(id, outcome)| row::finish(connection, *id, outcome))
}

fn apply_all(connection: &Connection, changes: &[StateChange]) -> rusqlite::Result<()> {
    changes
        .iter()
        .try_for_each(|change| state::apply(connection, change))
}

fn mark_interrupted(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Row>> {
    let mut rows = query::intended(transaction)?;
    for row in &mut rows {
        row.outcome = Outcome::Failed {
            detail: INTERRUPTED.to_owned(),
        };
        row::finish(transaction, row.id, &row.outcome)?;
    }
    Ok(rows)
}
