//! What is wrong with a recording, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::{FORMAT, Notice};
use crate::field::Dimension;
use crate::time::Timestamp;
use crate::units;

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file or folder cannot be opened, read or written.
    #[error("the recording `{}` cannot be {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `written` or the like.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is nothing at the path.
    #[error("there is no recording `{}`: give a folder that `run`, `record` or `demo --record` has written, or segments of it", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A folder without segments.
    #[error("`{}` holds no segments of a recording (`*.rec.zst`)", path.display())]
    NoSegments {
        /// The folder.
        path: PathBuf,
    },
    /// All segments are without a whole tick.
    #[error("`{}` holds not one whole poll{}", path.display(), because(why.as_ref()))]
    Empty {
        /// The first path.
        path: PathBuf,
        /// What is wrong with its first segment.
        why: Option<Notice>,
    },
    /// Another kind of file.
    #[error("`{}` is no segment of a recording: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        why: String,
    },
    /// Written by a later version.
    #[error("`{}` has format {format}, written by `{by}`; this version reads up to {FORMAT}: use a later one", path.display())]
    Future {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The program that wrote it; escaped.
        by: String,
    },
    /// Its bytes are not what was written.
    #[error("`{}` is damaged {}: {why}; give the other segments by name to leave it out", path.display(), after_text(*after))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The last tick that is whole.
        after: Option<Timestamp>,
        /// What was found.
        why: String,
    },
    /// One segment twice.
    #[error("`{}` and `{}` are the same segment: give one of them", first.display(), second.display())]
    Twice {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two segments tell of the same time.
    #[error("`{}` begins at {began}, before `{}` ends ({ends}): two recordings of the same time cannot be replayed as one, give one of them", second.display(), first.display())]
    Overlap {
        /// The one that begins first.
        first: PathBuf,
        /// Its last tick.
        ends: Timestamp,
        /// The other.
        second: PathBuf,
        /// Its first tick.
        began: Timestamp,
    },
    /// Time goes back within a segment.
    #[error("`{}` is out of order: {at} comes after {last}", path.display())]
    Disorder {
        /// The file.
        path: PathBuf,
        /// The time that came too late.
        at: Timestamp,
        /// The time before it.
        last: Timestamp,
    },
    /// Polls come faster than they are written.
    #[error("`{}` does not take polls as fast as they come: look whether its disk is overloaded", path.display())]
    Behind {
        /// The folder.
        path: PathBuf,
    },
    /// Another recorder is at work on the folder.
    #[error(
        "`{}` is being recorded into by another recorder{}: give each a folder of its own, or stop \
         that one",
        path.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other's process, if it said so.
        holder: Option<u32>,
    },
    /// Too little of the disk is free, and no older segment is left that could go.
    #[error(
        "less than {} is free on the disk of `{}`, and that much is kept free (`reserve` of \
         `[record]`): free some space",
        units::format(*reserve as f64, Dimension::Size),
        path.display()
    )]
    Reserve {
        /// The folder.
        path: PathBuf,
        /// What is to stay free, in bytes.
        reserve: u64,
    },
    /// The place is taken.
    #[error("`{}` is there already and is not overwritten: give another path", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
}

fn after_text(after: Option<Timestamp>) -> String {
    after.map_or_else(
        || "from its beginning".to_owned(),
        |after| format!("after {after}"),
    )
}

impl RecordingError {
    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}

fn because(why: Option<&Notice>) -> String {
    why.map_or(String::new(), |why| format!(": {why}"))
}
