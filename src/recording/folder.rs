//! A recording to be read: which segments, in which order, and whether they belong together.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::decoder::ReplyDecoder;
use super::line::Heading;
use super::reader::{self, SegmentReader};
use super::{Notice, Player, RecordingError, Start, segment};
use crate::time::Timestamp;

/// Segments in the order of time. Those that an agent at work adds later are none of it.
#[derive(Debug, Default)]
pub struct Recording {
    segments: Vec<Segment>,
    notices: Vec<Notice>,
    bytes: u64,
    /// Whether what the server said of its groups is left out.
    skips_groups: bool,
    /// No tick from here on is played.
    before: Option<Timestamp>,
}

/// A segment with its heading.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) heading: Heading<'static>,
    pub(super) bytes: u64,
}

/// From the first segment's beginning to the last one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The beginning of the first.
    pub first: Timestamp,
    /// The beginning of the last.
    pub last: Timestamp,
}

impl Recording {
    /// Looks for the segments at these paths, files and folders, and reads their headings.
    ///
    /// # Errors
    /// There are none, or what is there is none of a recording.
    pub fn open(paths: &[PathBuf]) -> Result<Self, RecordingError> {
        let mut recording = Self::default();
        for path in paths {
            let files = files(path)?;
            for file in &files {
                match recording.add(file) {
                    // One file that a power cut left behind is no reason to read nothing else.
                    Err(RecordingError::Foreign { path: file, why }) if file != *path => {
                        recording.notices.push(Notice::Skipped { path: file, why });
                    }
                    added => added?,
                }
            }
        }
        let Self { segments, .. } = &mut recording;
        segments.sort_by(|a, b| order(a).cmp(&order(b)));
        for pair in segments.windows(2) {
            let [first, second] = pair else { continue };
            let name = |segment: &Segment| (segment.heading.run.clone(), segment.heading.part);
            if name(first) == name(second) {
                return Err(RecordingError::Twice {
                    first: first.path.clone(),
                    second: second.path.clone(),
                });
            }
        }
        if segments.is_empty() {
            let path = paths.first().cloned().unwrap_or_default();
            let why = recording.notices.first().cloned();
            return Err(RecordingError::Empty { path, why });
        }
        Ok(recording)
    }

    fn add(&mut self, path: &Path) -> Result<(), RecordingError> {
        let count = Arc::new(AtomicU64::new(0));
        let metadata = match fs::metadata(path) {
            // An agent at work has let it go since the folder was looked at.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(RecordingError::io(path, "read"))?,
        };
        self.bytes += metadata.len();
        let path = path.to_owned();
        match SegmentReader::open(&path, count)? {
            Some(reader) => self.segments.push(Segment {
                path,
                heading: reader.heading,
                bytes: metadata.len(),
            }),
            None => self.notices.push(Notice::Truncated { path, after: None }),
        }
        Ok(())
    }

    /// When its segments begin.
    pub fn span(&self) -> Span {
        let began = |segment: Option<&Segment>| segment.map(|it| it.heading.began);
        Span {
            first: began(self.segments.first()).unwrap_or_default(),
            last: began(self.segments.last()).unwrap_or_default(),
        }
    }

    /// What the agent began with.
    pub fn starts(&self) -> impl Iterator<Item = &Start> {
        self.segments.iter().map(|segment| &segment.heading.start)
    }

    /// Whether a recorder is at work on it.
    pub fn is_being_written(&self) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| reader::is_being_written(&segment.path))
    }

    /// The servers that it tells of, by name.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = self.starts().map(|start| &*start.server).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    /// The fingerprint of the key that its pseudonyms were made with, if addresses are pseudonyms.
    pub fn pseudonyms(&self) -> Option<&str> {
        let mut headings = self.segments.iter().map(|segment| &segment.heading);
        headings.find_map(|heading| heading.pseudonyms.as_deref())
    }

    /// Two segments in which addresses do not mean the same, if there are such.
    pub fn mixed(&self) -> Option<(&Path, &Path)> {
        let [first, rest @ ..] = &self.segments[..] else {
            return None;
        };
        let key = |segment: &Segment| segment.heading.pseudonyms.clone();
        let other = rest.iter().find(|other| key(other) != key(first))?;
        Some((&first.path, &other.path))
    }

    /// A recording for each server, in the order of their names: those of the same time can be played
    /// one after the other only.
    pub fn by_server(self) -> Vec<Self> {
        let mut servers: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
        for segment in self.segments {
            let server = segment.heading.start.server.clone();
            servers.entry(server).or_default().push(segment);
        }
        let mut notices = self.notices;
        let recording = |segments: Vec<Segment>| Self {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments,
            notices: std::mem::take(&mut notices),
            skips_groups: self.skips_groups,
            before: self.before,
        };
        servers.into_values().map(recording).collect()
    }

    /// Leaves out what the server said of its groups, unless they are needed: that takes a third of
    /// the time to decode.
    #[must_use]
    pub fn with_groups(self, are_needed: bool) -> Self {
        Self {
            skips_groups: !are_needed,
            ..self
        }
    }

    /// Plays all of it, on a thread of its own; as often as one likes. A segment that an agent at work
    /// has let go since is told of.
    pub fn play(&self) -> Player {
        let paths = self.segments.iter().map(|segment| segment.path.clone());
        Player::start(
            paths.collect(),
            self.notices.clone(),
            self.bytes,
            self.before,
            ReplyDecoder::new(!self.skips_groups),
        )
    }

    /// What is needed to know how things stood at `at` for whoever remembers so much, and on to its
    /// end.
    #[must_use]
    pub fn from(mut self, at: Timestamp, memory: Duration) -> Self {
        let start = at - memory;
        // A segment ends when the next one begins.
        let first = self
            .segments
            .iter()
            .rposition(|it| it.heading.began <= start);
        self.segments.drain(..first.unwrap_or(0));
        self
    }

    /// What was before `at` alone.
    #[must_use]
    pub fn before(mut self, at: Timestamp) -> Self {
        self.before = Some(self.before.map_or(at, |before| before.min(at)));
        self
    }
}

fn order(segment: &Segment) -> (Timestamp, &str, u32) {
    let heading = &segment.heading;
    (heading.began, &heading.run, heading.part)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(RecordingError::Missing {
                path: path.to_owned(),
            });
        }
        metadata => metadata.map_err(RecordingError::io(path, "read"))?,
    };
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = segment::files(path).map_err(RecordingError::io(path, "read"))?;
    if files.is_empty() {
        return Err(RecordingError::NoSegments {
            path: path.to_owned(),
        });
    }
    Ok(files)
}
