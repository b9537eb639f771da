//! A page into its file: whole or not at all, and never over something else by accident.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Where a page is to go.
#[derive(Clone, Debug)]
pub struct Destination {
    path: PathBuf,
    overwrites: bool,
}

/// Why a page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is a file.
    #[error(
        "`{}` exists already and was not overwritten: name another file, or add `--force`",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is something that is no file.
    #[error("`{}` is not a file: name a file for the page, such as `report.html`", path.display())]
    NotAFile {
        /// What is no file.
        path: PathBuf,
    },
    /// The folder is not there.
    #[error("the page cannot be written to `{}`: there is no folder `{}`", path.display(), folder.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The system refuses.
    #[error("the page cannot be written to `{}`: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        source: io::Error,
    },
}

impl Destination {
    /// A file that is not there yet, or with `overwrites` perhaps is. Tries whether it can be written, so that nobody
    /// waits for a long replay in vain.
    pub fn new(path: impl Into<PathBuf>, overwrites: bool) -> Result<Self, SaveError> {
        let path = path.into();
        let destination = Self { path, overwrites };
        destination.check()?;
        drop(destination.beside()?);
        Ok(destination)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the page: beside the file first, so that there never is half a page.
    pub fn write(&self, page: &str) -> Result<(), SaveError> {
        self.check()?;
        let mut file = self.beside()?;
        let written = file
            .write_all(page.as_bytes())
            .and_then(|()| file.as_file().sync_all());
        written.map_err(|source| self.refused(source))?;
        let kept = if self.overwrites {
            file.persist(&self.path)
        } else {
            file.persist_noclobber(&self.path)
        };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(SaveError::Exists {
                    path: self.path.clone(),
                })
            }
            Err(error) => Err(self.refused(error.error)),
        }
    }

    fn check(&self) -> Result<(), SaveError> {
        let path = self.path.clone();
        let is_named = self.path.file_name().is_some();
        match fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => Err(SaveError::NotAFile { path }),
            Ok(_) if !self.overwrites => Err(SaveError::Exists { path }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_named => {
                let folder = self.folder();
                if folder.is_dir() {
                    return Ok(());
                }
                let folder = folder.to_path_buf();
                Err(SaveError::NoFolder { path, folder })
            }
            Err(source) => Err(self.refused(source)),
        }
    }

    fn beside(&self) -> Result<NamedTempFile, SaveError> {
        let file = Builder::new()
            .prefix(".electrumx-warden-page-")
            // As any new file: what the user's mask leaves of it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(self.folder());
        file.map_err(|error| self.refused(error))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    fn refused(&self, source: io::Error) -> SaveError {
        let path = self.path.clone();
        SaveError::Refused { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, overwrites: bool) -> String {
        Destination::new(path, overwrites).unwrap_err().to_string()
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn nothing_is_overwritten_unless_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let destination = Destination::new(&path, false).unwrap();
        assert_eq!(entries(folder.path()), 0);
        // Somebody else was faster.
        fs::write(&path, "mine").unwrap();
        let error = destination.write("<!doctype html></html>\n").unwrap_err();
        let exists = format!(
            "`{}` exists already and was not overwritten: name another file, or add `--force`",
            path.display()
        );
        assert_eq!(error.to_string(), exists);
        assert_eq!(refusal(&path, false), exists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let destination = Destination::new(&path, true).unwrap();
        destination.write("<!doctype html></html>\n").unwrap();
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn what_cannot_be_written_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display();
        assert_eq!(
            refusal(folder.path(), true),
            format!("`{shown}` is not a file: name a file for the page, such as `report.html`")
        );
        assert_eq!(
            refusal(&folder.path().join("none/report.html"), false),
            format!(
                "the page cannot be written to `{shown}/none/report.html`: there is no folder `{shown}/none`"
            )
        );
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let beneath = refusal(&file.join("report.html"), false);
        assert_eq!(
            beneath,
            format!(
                "the page cannot be written to `{shown}/file/report.html`: Not a directory (os error 20)"
            )
        );
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind() {
        let full = Path::new("/dev/full");
        assert!(refusal(full, true).contains("is not a file"));
        assert!(
            refusal(Path::new("/proc/report.html"), true)
                .starts_with("the page cannot be written to")
        );
    }
}
