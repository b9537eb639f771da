//! What [`Journal::open`](super::Journal::open) would refuse, told beforehand: nothing is made or changed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::error::JournalError;
use super::lock::Holder;
use super::{lock, replay, schema};

pub(super) fn check(path: &Path) -> Result<(), JournalError> {
    let folder = schema::folder(path)?;
    let real = match schema::real_file(path) {
        Ok(real) => real,
        Err(JournalError::Missing(_)) => return room_for_files(path, folder),
        Err(error) => return Err(error),
    };
    let mut is_one_missing = false;
    for file in [
        real.clone(),
        lock::beside(&real),
        lock::behind(&real, "-wal"),
        lock::behind(&real, "-shm"),
    ] {
        match writable(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => is_one_missing = true,
            opened => drop(opened.map_err(|error| JournalError::from_io(&real, &error))?),
        }
    }
    if is_one_missing {
        room_for_files(&real, schema::folder(&real)?)?;
    }
    // Whoever has it open knows what it is, and may change it right now.
    match Holder::of(&real) {
        Holder::Process(_) => Ok(()),
        Holder::Nobody | Holder::Unknown => content(&real),
    }
}

/// Without waiting for anybody, should it be a pipe: `read` beside `write` sees to that.
fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether files can be made in the folder. The one that tries it has no name.
fn room_for_files(journal: &Path, folder: &Path) -> Result<(), JournalError> {
    let made = tempfile::tempfile_in(folder);
    made.map(drop)
        .map_err(|error| JournalError::from_io(journal, &error))
}

/// What the file is. `SQLite` reads it alone, without the log beside it, and makes none.
fn content(path: &Path) -> Result<(), JournalError> {
    let sql = |error| JournalError::from_sqlite(path, error);
    let escaped = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let uri = format!("file:{escaped}?immutable=1");
    let connection = Connection::open_with_flags(uri, flags).map_err(sql)?;
    schema::format(&connection, path)?;
    if replay::is_of_replay(&connection).map_err(sql)? {
        return Err(JournalError::OfReplay(path.to_owned()));
    }
    Ok(())
}
