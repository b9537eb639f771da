//! The files of a recording: their names, and which are segments.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime};

use crate::time::Timestamp;

const SUFFIX: &str = ".rec.zst";

/// The name of a segment: names in order are segments in order.
pub(super) fn name(began: Timestamp, run: &str, part: u32) -> String {
    let time = DateTime::from_timestamp_millis(began.as_millis()).unwrap_or_default();
    let time = time.format("%Y%m%dT%H%M%S%3fZ");
    format!("{time}-{run}-{part:04}{SUFFIX}")
}

/// When a segment began, if its file bears a name that [`name`] gives.
fn began(name: &OsStr) -> Option<Timestamp> {
    let stem = name.to_str()?.strip_suffix(SUFFIX)?;
    let mut parts = stem.split('-');
    let (time, run, part) = (parts.next()?, parts.next()?, parts.next()?);
    let is_run = run.len() == 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_part = part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_run || !is_part || parts.next().is_some() {
        return None;
    }
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%3fZ").ok()?;
    Some(Timestamp::from_millis(time.and_utc().timestamp_millis()))
}

/// A segment and its size.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) began: Timestamp,
}

/// The files of a folder that may be segments, by whatever name.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_one = entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(SUFFIX.as_bytes());
        // A link to a segment is as good as one.
        if is_one && fs::metadata(entry.path()).is_ok_and(|it| it.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The segments of a folder in order, by the names that they were given.
pub(super) fn find(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if let Some(began) = began(&entry.file_name())
            && metadata.is_file()
        {
            found.push(Found {
                path: entry.path(),
                bytes: metadata.len(),
                began,
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
