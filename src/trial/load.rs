//! Finding test files on disk. What they say is checked elsewhere.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Trial;
use super::read::{Disk, ENDING, check};
use crate::policy::bounds::{POLICY_FILE_SIZE_MAX, POLICY_FILES_MAX};
use crate::policy::reading::{read_bounded, unreadable, word};
use crate::policy::{self, Diagnostic, Policy, PolicySet, Source};

/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 16;

/// What came of reading test files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The tests of the files without errors, in the order of the files.
    pub trials: Vec<Trial>,
    /// The policies that the test files are about that were given as such.
    pub policies: Vec<Policy>,
    /// Errors, file by file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many test files were read.
    pub files: usize,
}

/// Reads test files, and folders of them. A policy file stands for the test file beside it.
pub fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = Loaded::default();
    for path in test_files(paths, &mut loaded.diagnostics) {
        let text = match read_bounded(&path, POLICY_FILE_SIZE_MAX) {
            Ok(text) => text,
            Err(error) => {
                loaded.diagnostics.push(unreadable(&path, &error).of_test());
                continue;
            }
        };
        let name = path.to_string_lossy().into_owned();
        let checked = check(Source { name, text }, &mut Disk);
        loaded.files += 1;
        loaded.trials.extend(checked.trials);
        if paths.contains(&path) {
            loaded.policies.extend(checked.policies);
        }
        loaded.diagnostics.extend(checked.diagnostics);
    }
    loaded
}

/// The policies of folders and policy files among these paths; what test files are about, [`load`] says.
pub fn policies(paths: &[PathBuf]) -> policy::Checked {
    let is_test = |path: &&PathBuf| path.to_string_lossy().ends_with(ENDING) && !path.is_dir();
    let paths: Vec<PathBuf> = paths.iter().filter(|it| !is_test(it)).cloned().collect();
    if paths.is_empty() {
        return policy::Checked {
            set: None,
            diagnostics: Vec::new(),
            files: 0,
        };
    }
    PolicySet::load(&paths)
}

fn test_files(paths: &[PathBuf], diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(beside(path));
            continue;
        }
        let before = files.len();
        if let Err((folder, error)) = walk(path, DEPTH_MAX, &mut files) {
            diagnostics.push(unreadable(&folder, &error).of_test());
        } else if files.len() == before {
            let path = word(&path.to_string_lossy());
            diagnostics.push(
                Diagnostic::complaint(format!("no tests in `{path}`"))
                    .help("files of tests end in `.test.toml`, and stand beside the policies")
                    .of_test(),
            );
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    if files.len() > POLICY_FILES_MAX {
        let complaint = format!("at most {POLICY_FILES_MAX} test files are read");
        diagnostics.push(Diagnostic::complaint(complaint).of_test());
        files.truncate(POLICY_FILES_MAX);
    }
    files
}

/// `errors.test.toml` of `errors.toml`.
fn beside(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    match name.strip_suffix(".toml") {
        Some(stem) if !name.ends_with(ENDING) => PathBuf::from(format!("{stem}{ENDING}")),
        _ => path.to_owned(),
    }
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| (folder.to_owned(), error))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || files.len() > POLICY_FILES_MAX {
            continue;
        }
        if path.is_dir() && depth > 0 {
            walk(&path, depth - 1, files)?;
        } else if name.ends_with(ENDING) {
            files.push(path);
        }
    }
    Ok(())
}
