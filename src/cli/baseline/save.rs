//! A page into its file: whole or not at all, and never over another by accident.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::exit::{Exit, Failure};

/// Where a page is to go: known to be writable before anything takes long.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    overwrites: bool,
    file: NamedTempFile,
}

impl Destination {
    pub(super) fn new(path: &Path, overwrites: bool) -> Result<Self, Failure> {
        let shown = path.display();
        let refuse = |message| Err(Failure::new(Exit::Setup, message));
        if path.exists() && !path.is_file() {
            return refuse(format!(
                "`{shown}` is not a file: name a file for the page, such as `baseline.html`"
            ));
        }
        if path.exists() && !overwrites {
            return refuse(exists(path));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.exists() {
            return refuse(format!(
                "the page cannot be written to `{shown}`: there is no folder `{}`",
                folder.display()
            ));
        }
        let file = NamedTempFile::new_in(folder);
        Ok(Self {
            path: path.to_owned(),
            overwrites,
            file: file.map_err(|error| unwritable(Exit::Setup, path, &error))?,
        })
    }

    pub(super) fn write(mut self, page: &str) -> Result<(), Failure> {
        let failed = |error: &std::io::Error| unwritable(Exit::Failed, &self.path, error);
        let written = self.file.write_all(page.as_bytes());
        written.map_err(|error| failed(&error))?;
        let persisted = if self.overwrites {
            self.file.persist(&self.path)
        } else {
            self.file.persist_noclobber(&self.path)
        };
        match persisted {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Failure::new(Exit::Failed, exists(&self.path)))
            }
            Err(error) => Err(unwritable(Exit::Failed, &self.path, &error.error)),
        }
    }
}

fn exists(path: &Path) -> String {
    format!(
        "`{}` exists already and was not overwritten: name another file, or add `--force`",
        path.display()
    )
}

fn unwritable(exit: Exit, path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::new(
        exit,
        format!("the page cannot be written to `{path}`: {error}"),
    )
}
