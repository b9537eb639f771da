//! The folder that is exported to: all of it appears at the end, or nothing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ExportError;

/// Readers pass over what begins with a dot.
const UNFINISHED: &str = ".unfinished-";

/// Recordings are for their owner and group alone, and so is what is made of them.
pub(super) const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// Makes a folder, and what is above it.
pub(super) fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(path)
}

/// A folder in the making.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// On the same file system, so that what is in it is moved by its name alone.
    unfinished: Option<TempDir>,
    /// So that it goes again if nothing comes of it.
    is_new: bool,
}

impl Folder {
    /// A folder that is empty, or not there yet.
    pub(super) fn begin(path: &Path) -> Result<Self, ExportError> {
        let is_new = match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let path = path.to_owned();
                    return Err(ExportError::NotEmpty { path });
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(ExportError::io(path, "made"))?;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && path.exists() => {
                let path = path.to_owned();
                return Err(ExportError::NotAFolder { path });
            }
            Err(error) => return Err(ExportError::io(path, "read")(error)),
        };
        let mut folder = Self {
            path: path.to_owned(),
            unfinished: None,
            is_new,
        };
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(path)
            .map_err(ExportError::io(path, "written"))?;
        folder.unfinished = Some(unfinished);
        Ok(folder)
    }

    /// Where to write.
    pub(super) fn unfinished(&self) -> &Path {
        self.unfinished.as_ref().map_or(&self.path, TempDir::path)
    }

    /// Puts what was written in its place.
    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        let Some(unfinished) = &self.unfinished else {
            return Ok(());
        };
        let failed = ExportError::io(&self.path, "written");
        put_in_place(unfinished.path(), &self.path).map_err(failed)?;
        self.is_new = false;
        Ok(())
    }
}

fn put_in_place(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    fs::File::open(to)?.sync_all()
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.unfinished = None;
        if self.is_new {
            // Which fails if there is anything in it.
            _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("a/b");
        let folder = Folder::begin(&out).unwrap();
        fs::create_dir(folder.unfinished().join("table")).unwrap();
        drop(folder);
        assert!(!out.exists());

        fs::create_dir(&out).unwrap();
        drop(Folder::begin(&out).unwrap());
        assert!(out.exists(), "it was there before");

        let folder = Folder::begin(&out).unwrap();
        fs::create_dir(folder.unfinished().join("table")).unwrap();
        folder.finish().unwrap();
        let names = fs::read_dir(&out).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["table"]);

        let error = Folder::begin(&out).unwrap_err().to_string();
        assert!(error.ends_with("is not empty, and nothing is overwritten: give another folder"));
        let file = place.path().join("report.html");
        fs::write(&file, "").unwrap();
        let error = Folder::begin(&file).unwrap_err().to_string();
        assert!(error.ends_with("report.html` is a file, and the tables are many files: give a folder, empty or not there yet"));
    }
}
