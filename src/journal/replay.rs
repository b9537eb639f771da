//! The journal of a replay: what policies would have decided, in the form of an agent's journal.
//!
//! It says of itself whose it is, so that nobody takes it for what an agent did. It is written beside its
//! place, and put there in one piece at the end: a replay that fails leaves nothing behind.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use tempfile::{Builder, TempDir, TempPath};

use super::row::Json;
use super::{DecisionId, Entry, Journal, JournalError, StateChange, schema};
use crate::decision::Outcome;
use crate::policy::Mode;
use crate::relief::Relief;
use crate::time::Timestamp;

/// So many decisions are written at once: each commit waits for the disk.
const BATCH: usize = 500;

/// A table that an agent's journal does not have.
const TABLE: &str = "
    CREATE TABLE replay (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        json TEXT NOT NULL
    ) STRICT;
";

/// What was replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The recordings, as they were named.
    pub recordings: Vec<String>,
    /// What the policies are called.
    pub policies: String,
    /// The first poll that was judged.
    pub from: Timestamp,
    /// The last poll: how cooldowns stand is known until then.
    pub to: Timestamp,
    /// The agent's mode by which the decisions were made, from each time on.
    pub modes: Vec<(Timestamp, Mode)>,
}

impl Replayed {
    /// The agent's mode at a time.
    pub fn mode(&self, at: Timestamp) -> Option<Mode> {
        let mut modes = self.modes.iter().rev();
        modes.find(|(from, _)| *from <= at).map(|&(_, mode)| mode)
    }
}

/// The journal of a replay while it is written.
#[derive(Debug)]
pub struct ReplayJournal {
    journal: Journal,
    /// Not written yet; their numbers follow those that are.
    entries: Vec<Entry>,
    written: i64,
    path: PathBuf,
    beside: TempDir,
}

impl ReplayJournal {
    /// A journal that is to be at `path`, where nothing is yet.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let folder = schema::folder(path)?;
        if path.symlink_metadata().is_ok() {
            return Err(JournalError::Exists(path.to_owned()));
        }
        let beside = Builder::new()
            .prefix(".electrumx-warden-journal-")
            .tempdir_in(folder)
            .map_err(|error| JournalError::from_io(path, &error))?;
        let mut journal = Journal::open(&beside.path().join("journal"))?;
        // What goes wrong with it goes wrong with this one.
        path.clone_into(&mut journal.path);
        Ok(Self {
            journal,
            entries: Vec::new(),
            written: 0,
            path: path.to_owned(),
            beside,
        })
    }

    /// Takes a decision with what came of it. They are numbered in their order, from 1 on.
    pub fn add(&mut self, entry: Entry) -> Result<(), JournalError> {
        self.entries.push(entry);
        if self.entries.len() < BATCH {
            return Ok(());
        }
        self.write()
    }

    /// What became of an outcome later, in its place.
    pub fn amend(&mut self, id: DecisionId, outcome: Outcome) -> Result<(), JournalError> {
        let waiting = id.0.checked_sub(self.written + 1);
        let waiting = waiting.and_then(|waiting| usize::try_from(waiting).ok());
        match waiting.and_then(|waiting| self.entries.get_mut(waiting)) {
            Some(entry) => entry.outcome = outcome,
            None => self.journal.amend(id, outcome, &[])?,
        }
        Ok(())
    }

    /// What became of the load after acts.
    pub fn relieve(&mut self, reliefs: &[(DecisionId, Relief)]) -> Result<(), JournalError> {
        // Seldom asked for before they are written: half a minute passes first.
        self.write()?;
        let changes = reliefs.iter();
        let changes = changes.map(|&(id, relief)| StateChange::Relief(id, relief));
        self.journal.save(&changes.collect::<Vec<_>>())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let ids = self.journal.intend(&self.entries, &[])?;
        self.written = ids.last().map_or(self.written, |last| last.0);
        self.entries.clear();
        Ok(())
    }

    /// Puts the journal in its place: one file, with the state in which the replay ended.
    ///
    /// # Errors
    /// Nothing is there then, or what somebody else put there in the meantime.
    pub fn keep(mut self, replayed: &Replayed, state: &[StateChange]) -> Result<(), JournalError> {
        self.write()?;
        self.journal.save(state)?;
        self.journal.write(|transaction| {
            transaction.execute_batch(TABLE)?;
            transaction.execute("INSERT INTO replay VALUES (1, ?1)", [Json(replayed)])
        })?;
        let Self {
            journal,
            path,
            beside,
            ..
        } = self;
        schema::close(journal.connection)
            .map_err(|error| JournalError::from_sqlite(&path, error))?;
        let file = TempPath::try_from_path(beside.path().join("journal"));
        let file = file.map_err(|error| JournalError::from_io(&path, &error))?;
        file.persist_noclobber(&path)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => JournalError::Exists(path),
                _ => JournalError::from_io(&path, &error.error),
            })
    }
}

/// What the journal is a replay of, if it is one's.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Replayed>> {
    if !is_of_replay(connection)? {
        return Ok(None);
    }
    connection
        .query_row("SELECT json FROM replay", [], |row| row.get(0))
        .optional()
        .map(|found| found.map(|Json(replayed)| replayed))
}

pub(super) fn is_of_replay(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'replay'",
        [],
        |row| row.get(0),
    )
}
