//! What goes wrong with a journal, told apart by what the operator has to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use super::DecisionId;

/// Why the journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory is missing; it is not made, a mistyped path would go unnoticed.
    #[error(
        "the journal's directory `{}` does not exist: create it, or choose another path",
        .0.display()
    )]
    NoDirectory(PathBuf),
    /// Nothing to read.
    #[error("there is no journal at `{}`: check the path, or run the agent first", .0.display())]
    Missing(PathBuf),
    /// A directory, a device, a pipe.
    #[error("`{}` is not a regular file: choose another path for the journal", .0.display())]
    NotAFile(PathBuf),
    /// Where a new one was to be, something is.
    #[error(
        "`{}` is there already and is not overwritten: give another path for the journal",
        .0.display()
    )]
    Exists(PathBuf),
    /// Not an agent's.
    #[error(
        "the journal `{}` is of a replay, and not what an agent did: name another one, or move this one \
         away",
        .0.display()
    )]
    OfReplay(PathBuf),
    /// Permissions, or a read-only file system.
    #[error(
        "the journal `{}` cannot be opened ({reason}): give this user access to the file and its \
         directory",
        path.display()
    )]
    Denied {
        /// The journal.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// Another agent holds the lock.
    #[error(
        "the journal `{}` is in use by another agent{}: stop that one, or give this one a journal \
         of its own",
        path.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The journal.
        path: PathBuf,
        /// The other agent's process, if it said so.
        holder: Option<u32>,
    },
    /// Not an `SQLite` file.
    #[error(
        "`{}` is no journal, not even an SQLite file; it was left as it is: choose another \
         path, or move it away",
        .0.display()
    )]
    NotSqlite(PathBuf),
    /// Another program's database.
    #[error(
        "`{}` is an SQLite database of another program; it was left as it is: choose another path, \
         or move it away",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// Of a later release.
    #[error(
        "the journal `{}` has format {found}, and this release knows formats up to {known}; it was \
         left as it is: run the release that wrote it, or move it away to start a new one",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format this release knows.
        known: i64,
    },
    /// Of an earlier release, and opened only for reading.
    #[error(
        "the journal `{}` has format {found}, and this release reads format {known}: start the \
         agent of this release once, it converts the journal",
        path.display()
    )]
    Older {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format this release reads.
        known: i64,
    },
    /// Damaged.
    #[error(
        "the journal `{}` is damaged ({reason}); it was left as it is: move it and its `-wal` file \
         away to start a new one; cooldowns and running log durations are forgotten then",
        path.display()
    )]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// `SQLite`'s word.
        reason: String,
    },
    /// One row makes no sense, though the file is whole: somebody edited it.
    #[error(
        "a row of the journal `{}` cannot be read ({reason}): undo the change that somebody made \
         to it, or move the journal away to start a new one",
        path.display()
    )]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// What is wrong with the value.
        reason: String,
    },
    /// The file system cannot share memory between processes.
    #[error(
        "the journal `{}` cannot be kept there, the file system does not support write-ahead \
         logging: put it on a local disk",
        .0.display()
    )]
    NoWal(PathBuf),
    /// Renamed or deleted under the running agent; writing on would go nowhere.
    #[error(
        "the journal `{}` was moved or deleted while in use: put it back, or restart the agent",
        .0.display()
    )]
    Moved(PathBuf),
    /// No room.
    #[error("no room left for the journal `{}`: free some space on its disk", .0.display())]
    Full(PathBuf),
    /// The disk fails, or went read-only.
    #[error("the journal `{}` cannot be written ({reason}): check its disk", path.display())]
    Disk {
        /// The journal.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// Somebody else's transaction took too long.
    #[error(
        "the journal `{}` is locked by another program: end that one's transaction",
        .0.display()
    )]
    Busy(PathBuf),
    /// A second outcome, or one for a decision of another run.
    #[error("decision {0} is not waiting for an outcome")]
    NotIntended(DecisionId),
    /// Anything else; a mistake in this program.
    #[error("the journal `{}` failed: {source}", path.display())]
    Other {
        /// The journal.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
}

impl JournalError {
    /// Whether it lies with the disk or with another program, so that it may pass by itself.
    ///
    /// Then nothing of the failed call was written and [`Journal::probe`](super::Journal::probe)
    /// tells when it is over; until then nothing may be enforced.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full(_) | Self::Disk { .. } | Self::Busy(_) | Self::Moved(_)
        )
    }

    /// Whether it lies with the machine or the user, so that it may be otherwise for an agent that runs
    /// elsewhere or as another user.
    pub const fn is_of_this_place(&self) -> bool {
        matches!(
            self,
            Self::NoDirectory(_) | Self::Denied { .. } | Self::Full(_) | Self::Disk { .. }
        )
    }

    /// Whether the journal stays unusable until a person changes something. Otherwise it may become
    /// usable without that, and opening it is worth another try.
    pub const fn needs_a_person(&self) -> bool {
        !self.may_pass() && !matches!(self, Self::InUse { .. } | Self::Other { .. })
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied {
                path,
                reason: plain(error),
            },
            _ => Self::Disk {
                path,
                reason: plain(error),
            },
        }
    }

    pub(super) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let reason = error.to_string();
        match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, cause) => Self::Unreadable {
                path,
                reason: cause.to_string(),
            },
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Self::Unreadable { path, reason },
            _ => match error.sqlite_error() {
                Some(failure) => Self::from_code(path, *failure, reason, error),
                None => Self::Other {
                    path,
                    source: error,
                },
            },
        }
    }

    fn from_code(
        path: PathBuf,
        failure: ffi::Error,
        reason: String,
        source: rusqlite::Error,
    ) -> Self {
        match failure.code {
            ErrorCode::DiskFull => Self::Full(path),
            // What mapping the index of the write-ahead log meets on a full disk.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                Self::Full(path)
            }
            ErrorCode::SystemIoFailure | ErrorCode::ReadOnly => Self::Disk { path, reason },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy(path),
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Denied { path, reason },
            ErrorCode::NotADatabase => Self::NotSqlite(path),
            ErrorCode::DatabaseCorrupt => Self::Corrupt { path, reason },
            _ => Self::Other { path, source },
        }
    }
}

/// Without the number that the standard library appends: `permission denied`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}
