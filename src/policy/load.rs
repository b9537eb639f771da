//! Reading policy files and list files from disk. What they say is checked elsewhere.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::bounds::{
    LIST_ENTRIES_DEFAULT, LIST_FILE_SIZE_MAX, POLICY_FILE_SIZE_MAX, POLICY_FILES_MAX,
};
use super::diagnostic::{Diagnostic, Problem};
use super::registry::{count, unreadable};
use super::set::{Checked, PolicySet, check_within};
use super::source::{Source, word};
use crate::regular;

/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 16;

impl PolicySet {
    /// Reads policy files, and folders of them, and checks them together.
    ///
    /// In a folder, and in those within it, every `*.toml` counts but `*.test.toml` and hidden
    /// files, in the order of their paths. A file that is named twice is read once.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Checked {
        Self::load_within(paths, LIST_ENTRIES_DEFAULT)
    }

    /// As [`PolicySet::load`], with another bound on the entries of all lists.
    pub fn load_within<P: AsRef<Path>>(paths: &[P], entries_max: usize) -> Checked {
        let mut diagnostics = Vec::new();
        let mut sources = Vec::new();
        for path in policy_files(paths, &mut diagnostics) {
            match read_bounded(&path, POLICY_FILE_SIZE_MAX) {
                Ok(text) => {
                    let name = path.to_string_lossy().into_owned();
                    sources.push(Source { name, text });
                }
                Err(error) => diagnostics.push(unreadable(&path, &error)),
            }
        }
        let mut checked = check_within(sources, &mut read_list, entries_max);
        if !diagnostics.is_empty() {
            checked.set = None;
            diagnostics.append(&mut checked.diagnostics);
            checked.diagnostics = diagnostics;
        }
        checked
    }
}

/// Reads a list file, for [`super::check`] and [`PolicySet::reload_list`].
pub fn read_list(path: &Path) -> io::Result<String> {
    read_bounded(path, LIST_FILE_SIZE_MAX)
}

/// One byte more than allowed is read, so that the check can tell.
pub(crate) fn read_bounded(path: &Path, size_max: usize) -> io::Result<String> {
    let file = regular::open(path)?;
    let mut text = String::new();
    file.take(size_max as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn policy_files<P: AsRef<Path>>(paths: &[P], diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if !path.is_dir() {
            files.push(path.to_owned());
            continue;
        }
        let before = files.len();
        walk(path, DEPTH_MAX, &mut files, diagnostics);
        if files.len() == before {
            let path = word(&path.to_string_lossy());
            diagnostics.push(
                Diagnostic::new(Problem::NoFiles { path })
                    .help("policy files end in `.toml`; those that end in `.test.toml` are tests"),
            );
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    if files.len() > POLICY_FILES_MAX {
        diagnostics.push(Diagnostic::new(Problem::TooMany {
            what: "there are too many policy files".to_owned(),
            max: count(POLICY_FILES_MAX),
        }));
        files.truncate(POLICY_FILES_MAX);
    }
    files
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, diagnostics: &mut Vec<Diagnostic>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<_> = match entries {
        Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
        Err(error) => return diagnostics.push(unreadable(folder, &error)),
    };
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || files.len() > POLICY_FILES_MAX {
            continue;
        }
        if path.is_dir() && depth > 0 {
            walk(&path, depth - 1, files, diagnostics);
        } else if name.ends_with(".toml") && !name.ends_with(".test.toml") {
            files.push(path);
        }
    }
}
