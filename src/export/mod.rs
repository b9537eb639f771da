//! A recording as Parquet tables, partitioned by server and day as Hive does it, for `DuckDB`,
//! `DataFusion`, Spark and the like. docs/export.md has the tables, and questions to ask.
//!
//! It reckons nothing: what the server said is written as it was read, pseudonyms included, and the
//! decisions are those of [`crate::replay`].

mod column;
mod error;
mod folder;
mod partition;
mod table;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use folder::Folder;
use partition::{Day, server_folder};
use table::Table;
use tables::{Acts, Daemons, Decisions, Groups, Inspections, Polls, Sessions};

use crate::daemon::Address;
use crate::history::SubnetWidths;
use crate::recording::{Start, Tick};
use crate::replay::Replay;

pub use error::ExportError;

/// What was written of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its name, which is that of its folder.
    pub table: &'static str,
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Tables in the making, at one partition at a time: feed it recordings, of one server after the other.
/// Unless it is finished, the folder is left as it was.
pub struct Export {
    /// Closed before the folder goes.
    tables: Tables,
    folder: Folder,
}

impl Export {
    /// Into a folder that is empty or not there; with policies at work also what they would have
    /// decided.
    ///
    /// # Errors
    /// The folder is not empty, or cannot be written.
    pub fn begin(out: &Path, replay: Option<Replay>) -> Result<Self, ExportError> {
        let folder = Folder::begin(out)?;
        Ok(Self {
            tables: Tables::new(folder.unfinished(), replay),
            folder,
        })
    }

    /// An agent that recorded began.
    ///
    /// # Errors
    /// The tables cannot be written, or the server's name is none for a folder.
    pub fn start(&mut self, start: &Start) -> Result<(), ExportError> {
        self.tables.start(start)
    }

    /// Takes in a poll.
    ///
    /// # Errors
    /// The tables cannot be written.
    pub fn take(&mut self, tick: &Tick) -> Result<(), ExportError> {
        self.tables.take(tick)
    }

    /// All tables appear.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn finish(mut self) -> Result<Vec<Written>, ExportError> {
        self.tables.end()?;
        self.folder.finish()?;
        Ok(self.tables.written())
    }
}

struct Tables {
    out: PathBuf,
    /// The server's folder, with the day whose files are being written.
    server: String,
    day: Option<Day>,
    widths: SubnetWidths,
    /// The server's, in the order of their reports.
    addresses: Vec<Address>,
    sessions: Table<Sessions>,
    polls: Table<Polls>,
    daemons: Table<Daemons>,
    groups: Table<Groups>,
    inspections: Table<Inspections>,
    acts: Table<Acts>,
    /// Empty without a replay.
    decisions: Table<Decisions>,
    replay: Option<Replay>,
}

impl Tables {
    fn new(out: &Path, replay: Option<Replay>) -> Self {
        Self {
            out: out.to_owned(),
            server: String::new(),
            day: None,
            widths: SubnetWidths::default(),
            addresses: Vec::new(),
            sessions: Table::new(),
            polls: Table::new(),
            daemons: Table::new(),
            groups: Table::new(),
            inspections: Table::new(),
            acts: Table::new(),
            decisions: Table::new(),
            replay,
        }
    }

    /// A run of an agent has files of its own.
    fn start(&mut self, start: &Start) -> Result<(), ExportError> {
        self.end()?;
        self.server = server_folder(&start.server).ok_or_else(|| ExportError::ServerName {
            name: start.server.clone(),
        })?;
        self.widths = start.settings.widths;
        self.addresses.clone_from(&start.settings.daemons.addresses);
        if let Some(replay) = &mut self.replay {
            replay.start(start);
        }
        Ok(())
    }

    fn take(&mut self, tick: &Tick) -> Result<(), ExportError> {
        let day = Day::of(tick.at);
        if self.day != Some(day) {
            self.end()?;
            self.begin(day)?;
        }
        if tick.failure.is_none() {
            self.take_snapshot(tick)?;
        }
        self.take_rounds(tick)?;
        for act in &tick.acts {
            self.acts.push(|rows| rows.push(tick, act))?;
        }
        let decided = self.take_decisions(tick)?;
        self.polls.push(|rows| rows.push(tick, decided))
    }

    fn take_snapshot(&mut self, tick: &Tick) -> Result<(), ExportError> {
        let widths = self.widths;
        for row in 0..tick.snapshot.sessions.len() {
            self.sessions.push(|rows| rows.push(tick, row, widths))?;
        }
        for row in 0..tick.snapshot.groups.len() {
            self.groups.push(|rows| rows.push(tick, row))?;
        }
        for (id, inspection) in &tick.inspections {
            self.inspections
                .push(|rows| rows.push(tick, *id, inspection))?;
        }
        Ok(())
    }

    /// Whether or not the server answered, its daemons may have.
    fn take_rounds(&mut self, tick: &Tick) -> Result<(), ExportError> {
        for round in &tick.snapshot.rounds {
            for (daemon, report) in self.addresses.iter().zip(&round.reports) {
                self.daemons
                    .push(|rows| rows.push(tick, round.at, daemon, report))?;
            }
        }
        Ok(())
    }

    /// How many, if there are policies.
    fn take_decisions(&mut self, tick: &Tick) -> Result<Option<usize>, ExportError> {
        let Some(replay) = &mut self.replay else {
            return Ok(None);
        };
        let turn = replay.turn(tick);
        for carried in &turn.carried {
            self.decisions.push(|rows| rows.push(carried))?;
        }
        Ok(Some(turn.carried.len()))
    }

    fn begin(&mut self, day: Day) -> Result<(), ExportError> {
        self.day = Some(day);
        let partition = Path::new(&self.server).join(day.folder());
        let (out, partition) = (&*self.out, &*partition);
        self.sessions.begin(out, partition)?;
        self.polls.begin(out, partition)?;
        self.daemons.begin(out, partition)?;
        self.groups.begin(out, partition)?;
        self.inspections.begin(out, partition)?;
        self.acts.begin(out, partition)?;
        self.decisions.begin(out, partition)
    }

    fn end(&mut self) -> Result<(), ExportError> {
        self.day = None;
        self.sessions.end()?;
        self.polls.end()?;
        self.daemons.end()?;
        self.groups.end()?;
        self.inspections.end()?;
        self.acts.end()?;
        self.decisions.end()
    }

    fn written(&self) -> Vec<Written> {
        vec![
            self.sessions.written(),
            self.polls.written(),
            self.daemons.written(),
            self.groups.written(),
            self.inspections.written(),
            self.acts.written(),
            self.decisions.written(),
        ]
    }
}
