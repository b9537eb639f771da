//! Why nothing is exported.

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use crate::escape;

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is something in the folder.
    #[error("`{}` is not empty, and nothing is overwritten: give another folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file is there, and no folder.
    #[error("`{}` is a file, and the tables are many files: give a folder, empty or not there yet", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be made or written.
    #[error("`{}` cannot be {what}: {source}; nothing is exported", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `made`, `written` or the like.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A table cannot be written.
    #[error("`{}` cannot be written: {source}; nothing is exported", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// There would be no folder of that name.
    #[error(
        "the server's name `{}` is too long for the name of a folder",
        escape::terminal(name, 60)
    )]
    ServerName {
        /// The name as recorded; unescaped.
        name: String,
    },
}

impl ExportError {
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }

    pub(super) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_owned();
        // What the file system says, it says best itself: of a full disk, for one.
        move |source| match source {
            ParquetError::External(source) if source.is::<io::Error>() => {
                let source = source.downcast::<io::Error>();
                let source = source.map_or_else(io::Error::other, |source| *source);
                let what = "written";
                Self::Io { path, what, source }
            }
            source => Self::Parquet { path, source },
        }
    }
}
