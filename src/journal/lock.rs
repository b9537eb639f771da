//! One agent a journal: an advisory lock on a file beside it, held as long as the journal is open.
//!
//! The kernel drops the lock with the process, however that ends, so a lock file that a kill left
//! behind locks nothing and is never deleted: deleting it would let two agents lock two files of
//! one name. The database file itself is not locked, because closing a second descriptor of it
//! would drop `SQLite`'s own locks. Readers take no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::JournalError;
use crate::lock::try_lock;
use crate::regular;

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the journal at `journal`, a path without symbolic links.
    pub(super) fn take(journal: &Path) -> Result<Self, JournalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(super::schema::FILE_MODE)
            .open(beside(journal))
            .map_err(|error| JournalError::from_io(journal, &error))?;
        match try_lock(&file) {
            Ok(()) => {
                sign(&mut file);
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
                path: journal.to_owned(),
                holder: signature(&file),
            }),
            Err(TryLockError::Error(error)) => Err(JournalError::from_io(journal, &error)),
        }
    }
}

/// Whether an agent has a journal open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// None has.
    Nobody,
    /// This process; `None` if it did not say so.
    Process(Option<u32>),
    /// The lock cannot be looked at.
    Unknown,
}

impl Holder {
    /// Of the journal at `journal`. Whoever takes the lock at this very moment tries again.
    pub(super) fn of(journal: &Path) -> Self {
        let Ok(journal) = journal.canonicalize() else {
            return Self::Nobody;
        };
        match regular::open(&beside(&journal)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Nobody,
            Err(_) => Self::Unknown,
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Self::Nobody,
                Err(TryLockError::WouldBlock) => Self::Process(signature(&file)),
                Err(TryLockError::Error(_)) => Self::Unknown,
            },
        }
    }
}

/// The lock's file.
pub(super) fn beside(journal: &Path) -> PathBuf {
    behind(journal, "-lock")
}

/// The file whose name is the journal's with this after it.
pub(super) fn behind(journal: &Path, suffix: &str) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Leaves the process ID for the message of whoever comes second; a full disk is no obstacle.
fn sign(file: &mut File) {
    let _ = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
}

fn signature(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
