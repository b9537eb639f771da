//! Reads one segment: lines into ticks, up to the last whole one.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::stream::read::Decoder;

use super::decoder::ReplyDecoder;
use super::line::{AnyHeading, Heading, HeadingLine, SumLine, TickHead, TickLine};
use super::{FORMAT, RecordingError, Start, Tick};
use crate::escape;
use crate::regular;
use crate::time::Timestamp;

/// A poll's lines are not longer: the agent takes no reply that is.
const TICK_BYTES_MAX: usize = (1 << 30) + HEAD_BYTES_MAX;
/// Nor are the lines that a recorder writes itself: a million clients, of 150 bytes each, and a hundred
/// thousand cooldowns are within.
const HEAD_BYTES_MAX: usize = 256 << 20;
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
    /// Polls are missing between two segments of one run: they could not be written, or there were
    /// none, or a segment is not among those given.
    Gap {
        /// The last tick before.
        from: Timestamp,
        /// When the next segment begins.
        to: Timestamp,
    },
    /// A file of the folder is no segment, whatever its name says.
    Skipped {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A segment was there when the recording was opened, and is not any more.
    Gone {
        /// The segment.
        path: PathBuf,
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
            Self::Gap { from, to } => write!(f, "nothing is recorded from {from} to {to}"),
            Self::Skipped { path, why } => {
                let path = path.display();
                write!(
                    f,
                    "`{path}` is left out, for it is no segment of a recording: {why}"
                )
            }
            Self::Gone { path } => write!(
                f,
                "`{}` has been removed since this command began, as an agent does with what is too \
                 old: what was in it is left out",
                path.display()
            ),
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
    /// The first line of a tick.
    head: Vec<u8>,
    /// Those behind it.
    lines: Vec<u8>,
    /// Where each reply is in these.
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
    let file = regular::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl SegmentReader {
    /// Opens a segment; `None` if it ends before its heading does. What is read of it is added to
    /// `count`.
    pub(super) fn open(path: &Path, count: Arc<AtomicU64>) -> Result<Option<Self>, RecordingError> {
        let file = regular::open(path).map_err(RecordingError::io(path, "read"))?;
        let file = BufReader::with_capacity(CHUNK, Counted { file, count });
        let decoder = Decoder::with_buffer(file).map_err(RecordingError::io(path, "read"))?;
        let mut stream = BufReader::with_capacity(CHUNK, decoder);
        let (mut bytes, mut sum) = (Vec::new(), Vec::new());
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
        let read = read_line(&mut stream, &mut sum, HEAD_BYTES_MAX);
        let reader = Self {
            path: path.to_owned(),
            stream,
            heading,
            head: Vec::new(),
            lines: Vec::new(),
            replies: Vec::new(),
            last: None,
        };
        match read {
            Ok(Line::Whole) if is_sum(&sum, crc32fast::hash(&bytes)) => Ok(Some(reader)),
            Ok(Line::Whole) => Err(reader.damaged(WRONG_SUM)),
            Ok(Line::None | Line::Broken) => Ok(None),
            Err(error) => Err(reader.damaged(&error.to_string())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next tick into `tick`. Unless it gives [`Next::Tick`], what is in it is rubbish.
    pub(super) fn next(
        &mut self,
        tick: &mut Tick,
        decoder: &mut ReplyDecoder,
    ) -> Result<Next, RecordingError> {
        let read = self.read_tick(tick, decoder);
        let next = read.map_err(|why| self.damaged(&why))?;
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

    /// What is wrong with the segment, if anything is, in words.
    fn read_tick(&mut self, tick: &mut Tick, decoder: &mut ReplyDecoder) -> Result<Next, String> {
        let Self {
            stream,
            head,
            lines,
            replies,
            ..
        } = self;
        head.clear();
        lines.clear();
        replies.clear();
        match read_line(stream, head, HEAD_BYTES_MAX).map_err(in_words)? {
            Line::Whole => {}
            Line::None => return Ok(Next::End),
            Line::Broken => return Ok(Next::Truncated),
        }
        let TickLine { tick: told } = serde_json::from_slice(head).map_err(in_words)?;
        if told.replies.len() > REPLIES_MAX {
            return Err("a poll of too many replies".to_owned());
        }
        let is_whole = |method: &&str| told.replies.iter().any(|told| told == method);
        if told.failure.is_none() && !["getinfo", "sessions"].iter().all(is_whole) {
            return Err("a poll without its replies".to_owned());
        }
        let room = TICK_BYTES_MAX - head.len();
        for _ in &told.replies {
            let start = lines.len();
            let Line::Whole = read_line(stream, lines, room).map_err(in_words)? else {
                return Ok(Next::Truncated);
            };
            replies.push(start..lines.len() - 1);
        }
        let end = lines.len();
        let Line::Whole = read_line(stream, lines, room).map_err(in_words)? else {
            return Ok(Next::Truncated);
        };
        let mut sum = crc32fast::Hasher::new();
        sum.update(head);
        sum.update(&lines[..end]);
        let sum = sum.finalize();
        if !is_sum(&lines[end..], sum) {
            return Err(WRONG_SUM.to_owned());
        }
        let methods = told.replies.iter().map(|method| &**method);
        tick.inspections.clear();
        tick.snapshot.groups.clear();
        for (method, place) in methods.zip(&*replies) {
            decoder.decode(method, &mut lines[place.clone()], &told.inspected, tick)?;
        }
        take_head(tick, told);
        Ok(Next::Tick)
    }

    fn damaged(&self, why: &str) -> RecordingError {
        RecordingError::Damaged {
            path: self.path.clone(),
            after: self.last,
            why: escape::log(why).into_owned(),
        }
    }
}

const WRONG_SUM: &str = "a checksum is wrong";

fn is_sum(line: &[u8], sum: u32) -> bool {
    serde_json::from_slice(line).is_ok_and(|SumLine { crc32 }| crc32 == sum)
}

fn take_head(tick: &mut Tick, head: TickHead<'_>) {
    tick.at = head.at;
    tick.epoch = head.epoch;
    tick.mode = head.mode;
    tick.failure = head.failure.map(std::borrow::Cow::into_owned);
    tick.closed = head.closed.into_owned();
    tick.by_hand = head.by_hand.into_owned();
    tick.acts = head.acts.into_owned();
    tick.not_held_off = head.not_held_off;
    tick.settled = head.settled.unwrap_or(head.at);
    let snapshot = &mut tick.snapshot;
    snapshot.epoch = head.epoch;
    snapshot.server_read = head.getinfo.map(Into::into).unwrap_or_default();
    snapshot.sessions_read = head.sessions.map(Into::into).unwrap_or_default();
    snapshot.rounds = head.rounds.into_owned();
    snapshot.visits = head.visits.into_owned();
    snapshot.mark_own();
}

fn in_words(error: impl std::error::Error) -> String {
    error.to_string()
}

/// Appends a line with its newline, to `most` bytes at the most.
fn read_line(stream: &mut impl io::BufRead, bytes: &mut Vec<u8>, most: usize) -> io::Result<Line> {
    let before = bytes.len();
    let room = most.saturating_sub(before) as u64;
    match read_until_newline(&mut stream.take(room), bytes) {
        // A frame without an end, as its writer left it.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Line::Broken),
        Err(error) => Err(error),
        Ok(_) if bytes.len() == before => Ok(Line::None),
        Ok(_) if bytes.last() == Some(&b'\n') => Ok(Line::Whole),
        Ok(read) if read as u64 == room => Err(io::Error::other("a line has no end")),
        Ok(_) => Ok(Line::Broken),
    }
}

/// As `read_until` of the standard library, whose search goes byte by byte.
fn read_until_newline(stream: &mut impl io::BufRead, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let before = bytes.len();
    loop {
        let some = match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            some => some?,
        };
        let end = memchr::memchr(b'\n', some);
        let taken = end.map_or(some.len(), |end| end + 1);
        bytes.extend_from_slice(&some[..taken]);
        stream.consume(taken);
        if end.is_some() || taken == 0 {
            return Ok(bytes.len() - before);
        }
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
