//! Reads one segment: lines into ticks, up to the last whole one.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeSeed;
use std::marker::PhantomData;
use zstd::stream::read::Decoder;

use super::line::{AnyHeading, Heading, HeadingLine, SumLine, TickHead, TickLine};
use super::{FORMAT, RecordingError, Start, Tick};
use crate::escape;
use crate::rpc::envelope::{read_kept, read_kept_sessions};
use crate::time::Timestamp;
use crate::wire::{GetinfoSeed, GroupsSeed, Inspection, tame};

/// A poll's lines are not longer: the agent takes no reply that is.
const TICK_BYTES_MAX: usize = (1 << 30) + HEAD_BYTES_MAX;
/// Nor are the lines that a recorder writes itself; a hundred thousand cooldowns are within.
const HEAD_BYTES_MAX: usize = 64 << 20;
/// A tick has no more replies than the agent asks for.
const REPLIES_MAX: usize = 1_024;
/// Compressed bytes are read in chunks of this many.
const CHUNK: usize = 1 << 18;

/// What a recording tells, in the order of time.
#[derive(Debug)]
pub enum Item {
    /// The agent began: nothing before this matters to what follows.
    Start(Box<Start>),
    /// A poll.
    Tick(Box<Tick>),
    /// Something that whoever relies on the recording should know.
    Notice(Notice),
}

/// What is wrong with a recording without making the rest of it useless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A segment ends in the middle: its writer was killed, or the disk was full.
    Truncated {
        /// The segment.
        path: PathBuf,
        /// Its last whole tick.
        after: Option<Timestamp>,
    },
    /// A file of the folder is no segment, whatever its name says.
    Skipped {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated { path, after } => {
                let path = path.display();
                match after {
                    Some(after) => write!(
                        f,
                        "`{path}` breaks off after {after}: read to its last whole poll"
                    ),
                    None => write!(f, "`{path}` breaks off before its first whole poll"),
                }
            }
            Self::Skipped { path, why } => {
                let path = path.display();
                write!(
                    f,
                    "`{path}` is left out, for it is no segment of a recording: {why}"
                )
            }
        }
    }
}

/// What comes next in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Tick,
    End,
    Truncated,
}

/// A segment from its heading on.
pub(super) struct SegmentReader {
    path: PathBuf,
    stream: BufReader<Decoder<'static, BufReader<Counted>>>,
    pub(super) heading: Heading<'static>,
    /// The lines of a tick.
    bytes: Vec<u8>,
    /// Where each reply is in them.
    replies: Vec<Range<usize>>,
    pub(super) last: Option<Timestamp>,
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    count: Arc<AtomicU64>,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Whether there was a whole line.
enum Line {
    Whole,
    None,
    Broken,
}

/// Whether a recorder is at work on a segment, so that it has no end yet.
pub(super) fn is_being_written(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl SegmentReader {
    /// Opens a segment; `None` if it ends before its heading does. What is read of it is added to
    /// `count`.
    pub(super) fn open(path: &Path, count: Arc<AtomicU64>) -> Result<Option<Self>, RecordingError> {
        let file = File::open(path).map_err(RecordingError::io(path, "read"))?;
        let file = BufReader::with_capacity(CHUNK, Counted { file, count });
        let decoder = Decoder::with_buffer(file).map_err(RecordingError::io(path, "read"))?;
        let mut stream = BufReader::with_capacity(CHUNK, decoder);
        let mut bytes = Vec::new();
        let heading = match read_line(&mut stream, &mut bytes, HEAD_BYTES_MAX) {
            Ok(Line::Whole) => heading(path, &bytes)?,
            Ok(Line::None | Line::Broken) if bytes.is_empty() || bytes[0] == b'{' => {
                return Ok(None);
            }
            Ok(_) => return Err(foreign(path, "it does not begin with a heading")),
            Err(error) => {
                return Err(foreign(
                    path,
                    &format!("it is not compressed by zstd ({error})"),
                ));
            }
        };
        Ok(Some(Self {
            path: path.to_owned(),
            stream,
            heading,
            bytes,
            replies: Vec::new(),
            last: None,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next tick into `tick`. Unless it gives [`Next::Tick`], what is in it is rubbish.
    pub(super) fn next(&mut self, tick: &mut Tick) -> Result<Next, RecordingError> {
        let next = self.read_tick(tick)?;
        if next == Next::Tick {
            if let Some(last) = self.last.filter(|&last| last > tick.at) {
                return Err(RecordingError::Disorder {
                    path: self.path.clone(),
                    at: tick.at,
                    last,
                });
            }
            self.last = Some(tick.at);
        }
        Ok(next)
    }

    fn read_tick(&mut self, tick: &mut Tick) -> Result<Next, RecordingError> {
        let Self {
            stream,
            bytes,
            replies,
            ..
        } = self;
        bytes.clear();
        replies.clear();
        let line = read_line(stream, bytes, HEAD_BYTES_MAX);
        match line {
            Ok(Line::Whole) => {}
            Ok(Line::None) => return Ok(Next::End),
            Ok(Line::Broken) => return Ok(Next::Truncated),
            Err(error) => return Err(self.damaged(&error.to_string())),
        }
        let head_end = bytes.len();
        let count = match serde_json::from_slice::<TickLine<'_>>(bytes) {
            Ok(line) => line.tick.replies.len(),
            Err(error) => return Err(self.damaged(&error.to_string())),
        };
        if count > REPLIES_MAX {
            return Err(self.damaged("a poll of too many replies"));
        }
        for _ in 0..count {
            let start = bytes.len();
            match read_line(stream, bytes, TICK_BYTES_MAX) {
                Ok(Line::Whole) => replies.push(start..bytes.len() - 1),
                Ok(_) => return Ok(Next::Truncated),
                Err(error) => return Err(self.damaged(&error.to_string())),
            }
        }
        let sum_start = bytes.len();
        match read_line(stream, bytes, TICK_BYTES_MAX) {
            Ok(Line::Whole) => {}
            Ok(_) => return Ok(Next::Truncated),
            Err(error) => return Err(self.damaged(&error.to_string())),
        }
        let sum = serde_json::from_slice::<SumLine>(&bytes[sum_start..]);
        if !sum.is_ok_and(|sum| sum.crc32 == crc32fast::hash(&bytes[..sum_start])) {
            return Err(self.damaged("a checksum is wrong"));
        }
        self.decode(head_end, tick)
            .map_err(|why| self.damaged(&why))?;
        Ok(Next::Tick)
    }

    fn decode(&mut self, head_end: usize, tick: &mut Tick) -> Result<(), String> {
        let (head, replies) = self.bytes.split_at_mut(head_end);
        let line: TickLine<'_> = serde_json::from_slice(head).map_err(|error| error.to_string())?;
        let head = line.tick;
        tick.inspections.clear();
        let mut inspected = head.inspected.iter();
        let is_groups = |method: &std::borrow::Cow<'_, str>| method == "groups";
        if !head.replies.iter().any(is_groups) {
            tick.snapshot.groups.clear();
        }
        for (method, range) in head.replies.iter().zip(&self.replies) {
            let reply = &mut replies[range.start - head_end..range.end - head_end];
            if method != "sessions" {
                tame(reply);
            }
            match &**method {
                "getinfo" => decode(reply, GetinfoSeed(&mut tick.snapshot.server))?,
                "groups" => decode(reply, GroupsSeed(&mut tick.snapshot.groups))?,
                "sessions" => read_kept_sessions(reply, &mut tick.snapshot.sessions)?,
                "inspect_session" => {
                    // The server refuses to tell of sessions that are gone.
                    if let Ok(inspection) = decode(reply, PhantomData::<Inspection>)
                        && let Some(&id) = inspected.next()
                    {
                        tick.inspections.push((id, inspection));
                    }
                }
                // Of a later version, and of no use to this one.
                _ => {}
            }
        }
        take_head(tick, head);
        Ok(())
    }

    fn damaged(&self, why: &str) -> RecordingError {
        RecordingError::Damaged {
            path: self.path.clone(),
            after: self.last,
            why: escape::log(why).into_owned(),
        }
    }
}

fn take_head(tick: &mut Tick, head: TickHead<'_>) {
    tick.at = head.at;
    tick.epoch = head.epoch;
    tick.mode = head.mode;
    tick.failure = head.failure.map(std::borrow::Cow::into_owned);
    tick.acts = head.acts.into_owned();
    tick.settled = head.settled.unwrap_or(head.at);
    let snapshot = &mut tick.snapshot;
    snapshot.epoch = head.epoch;
    snapshot.server_read = head.getinfo.map(Into::into).unwrap_or_default();
    snapshot.sessions_read = head.sessions.map(Into::into).unwrap_or_default();
    snapshot.rounds = head.rounds.into_owned();
}

fn decode<'de, S: DeserializeSeed<'de>>(reply: &'de [u8], seed: S) -> Result<S::Value, String> {
    read_kept(reply, seed)
}

/// Appends a line with its newline, to `most` bytes at the most.
fn read_line(stream: &mut impl io::BufRead, bytes: &mut Vec<u8>, most: usize) -> io::Result<Line> {
    let before = bytes.len();
    let room = most.saturating_sub(before) as u64;
    match stream.take(room).read_until(b'\n', bytes) {
        // A frame without an end, as its writer left it.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Line::Broken),
        Err(error) => Err(error),
        Ok(_) if bytes.len() == before => Ok(Line::None),
        Ok(_) if bytes.last() == Some(&b'\n') => Ok(Line::Whole),
        Ok(read) if read as u64 == room => Err(io::Error::other("a line has no end")),
        Ok(_) => Ok(Line::Broken),
    }
}

fn heading(path: &Path, line: &[u8]) -> Result<Heading<'static>, RecordingError> {
    let any: AnyHeading = serde_json::from_slice(line)
        .map_err(|_| foreign(path, "its first line is no heading of a recording"))?;
    if any.recording.format > FORMAT {
        return Err(RecordingError::Future {
            path: path.to_owned(),
            format: any.recording.format,
            by: escape::log(&any.recording.by).into_owned(),
        });
    }
    let HeadingLine { recording } = serde_json::from_slice(line).map_err(|error| {
        let why = format!("its heading cannot be read ({error})");
        foreign(path, &escape::log(&why))
    })?;
    if let Some(what) = recording.start.complaint() {
        let why = format!("its heading has settings that no agent has (`{what}`)");
        return Err(foreign(path, &why));
    }
    Ok(Heading {
        format: recording.format,
        by: recording.by.into_owned().into(),
        run: recording.run.into_owned().into(),
        part: recording.part,
        began: recording.began,
        pseudonyms: recording.pseudonyms.map(|text| text.into_owned().into()),
        start: recording.start,
    })
}

fn foreign(path: &Path, why: &str) -> RecordingError {
    RecordingError::Foreign {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
