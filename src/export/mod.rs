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
use tables::{Acts, Decisions, Groups, Inspections, Polls, Sessions};

use crate::history::SubnetWidths;
use crate::recording::{Item, Notice, Player, Recording, Start, Tick};
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

/// What is told while it is done.
#[derive(Debug)]
pub enum News<'a> {
    /// A poll was written.
    Poll(&'a Player, &'a Tick),
    /// Something that whoever relies on the export should know.
    Notice(&'a Notice),
}

/// Writes a recording, of as many servers as there are, into a folder that is empty or not there; with
/// policies at work also what they would have decided. On failure the folder is left as it was.
///
/// # Errors
/// The recording cannot be read to its end, or the folder cannot be written.
pub fn export(
    recording: Recording,
    replay: Option<Replay>,
    out: &Path,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Vec<Written>, ExportError> {
    let folder = Folder::begin(out)?;
    let mut tables = Tables::new(folder.unfinished(), replay);
    for recording in recording.by_server() {
        tables.play(recording.play(), tell)?;
    }
    let written = tables.written();
    folder.finish()?;
    Ok(written)
}

/// All tables, at one partition at a time.
struct Tables {
    out: PathBuf,
    /// The server's folder, with the day whose files are being written.
    server: String,
    day: Option<Day>,
    widths: SubnetWidths,
    sessions: Table<Sessions>,
    polls: Table<Polls>,
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
            sessions: Table::new(),
            polls: Table::new(),
            groups: Table::new(),
            inspections: Table::new(),
            acts: Table::new(),
            decisions: Table::new(),
            replay,
        }
    }

    fn play(&mut self, mut player: Player, tell: &mut dyn FnMut(News)) -> Result<(), ExportError> {
        while let Some(item) = player.next() {
            match item? {
                Item::Start(start) => self.start(&start)?,
                Item::Notice(notice) => tell(News::Notice(&notice)),
                Item::Tick(tick) => {
                    self.take(&tick)?;
                    tell(News::Poll(&player, &tick));
                    player.give_back(tick);
                }
            }
        }
        self.end()
    }

    /// A run of an agent has files of its own.
    fn start(&mut self, start: &Start) -> Result<(), ExportError> {
        self.end()?;
        self.server = server_folder(&start.server).ok_or_else(|| ExportError::ServerName {
            name: start.server.clone(),
        })?;
        self.widths = start.settings.widths;
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
        self.groups.begin(out, partition)?;
        self.inspections.begin(out, partition)?;
        self.acts.begin(out, partition)?;
        self.decisions.begin(out, partition)
    }

    fn end(&mut self) -> Result<(), ExportError> {
        self.day = None;
        self.sessions.end()?;
        self.polls.end()?;
        self.groups.end()?;
        self.inspections.end()?;
        self.acts.end()?;
        self.decisions.end()
    }

    fn written(&self) -> Vec<Written> {
        vec![
            self.sessions.written(),
            self.polls.written(),
            self.groups.written(),
            self.inspections.written(),
            self.acts.written(),
            self.decisions.written(),
        ]
    }
}
