//! Writes a recording, within bounds of age and size.
//!
//! A recorder that cannot write says so and stands still for a while. It takes as long as its disk
//! does; [`super::Writer`] puts it on a thread of its own.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::claim::Claim;
use super::line::{Heading, HeadingLine, SumLine, TickHead, TickLine};
use super::reader::is_being_written;
use super::{Act, FORMAT, RecordingError, Start, segment};
use crate::daemon::Round;
use crate::decision::{Epoch, Outcome, Target};
use crate::penalty::ManualAct;
use crate::policy::Mode;
use crate::pseudonym::{Key, Pseudonyms, Reply, Unreadable};
use crate::redact::redact;
use crate::rpc::Tape;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::visit::Visits;
use crate::wire::text_length;

/// How much is kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderOptions {
    /// The folder; made if it is not there.
    pub path: PathBuf,
    /// Segments that ended longer ago go.
    pub age_max: Duration,
    /// Beyond so many bytes the oldest segments go.
    pub size_max: u64,
    /// So many bytes of the disk stay free for others: the oldest segments go for them, and then
    /// nothing is recorded.
    pub reserve: u64,
}

impl RecorderOptions {
    /// Into a folder of which nothing ever goes by itself.
    pub fn unbounded(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            age_max: Duration::MAX,
            size_max: u64::MAX,
            reserve: 0,
        }
    }

    /// Where the key of pseudonyms is kept if nobody says: beside the folder.
    pub fn key_path(&self) -> PathBuf {
        // Without a slash at the end, so that the key is not within.
        let mut path = self.path.components().as_path().as_os_str().to_owned();
        path.push(".key");
        path.into()
    }
}

/// A segment is no longer than this, so that what goes goes in small pieces.
const SEGMENT_LENGTH_MAX: Duration = Duration::from_hours(1);
/// Nor larger, in bytes as written.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// When a segment begins, no more than so many go for their age: a clock that is wrong for a while
/// does not cost all of them.
const AGED_MAX: u32 = 2;
/// Of all that is kept a segment is this part at the most.
const SEGMENTS_MIN: u32 = 8;
/// The pause after a failure.
pub(super) const RETRY: Duration = Duration::from_secs(60);
/// Polls resemble each other, and the window of this level holds several of up to ten thousand sessions.
const LEVEL: i32 = 9;
/// For polls that are larger than its window, when it would find nothing and take its time.
const LEVEL_OF_LARGE: i32 = 1;
/// What resembles the poll before is found by itself then, up to two to this power bytes back.
const WINDOW_OF_LARGE: u32 = 25;
/// Shorter repetitions of a row are accidents: without them it takes less room, and less time to read.
const MATCH_MIN: u32 = 6;
/// In bytes as sent.
const LARGE: usize = 4 << 20;

/// What is to be recorded of a poll that succeeded or failed.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// When it was judged.
    pub at: Timestamp,
    /// The connection.
    pub epoch: Epoch,
    /// The mode in force.
    pub mode: Mode,
    /// The snapshot, or why there is none.
    pub polled: Result<&'a Snapshot, &'a str>,
    /// What was heard of the daemons since the poll before.
    pub rounds: &'a [Round],
    /// What the canary's visits felt since then.
    pub visits: &'a Visits,
    /// The sessions whose inspection was taken in.
    pub inspected: &'a [u64],
    /// The policies that somebody asked to let go on, before the poll was judged.
    pub closed: &'a [Arc<str>],
    /// What people changed by hand since the poll before.
    pub by_hand: &'a [ManualAct],
    /// What the agent did.
    pub acts: &'a [Act],
    /// Of the sessions of those who are banned so many were never asked to be disconnected, the last.
    pub not_held_off: usize,
    /// When it had done that.
    pub settled: Timestamp,
}

/// How a recorder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A segment is open and has room.
    Within,
    /// The next tick begins a segment.
    Between,
    /// It could not write at this time, and lets some pass.
    Paused(Timestamp),
}

impl Standing {
    pub(super) fn is_between_segments(self, at: Timestamp) -> bool {
        match self {
            Self::Within => false,
            Self::Between => true,
            Self::Paused(failed) => at.since(failed) >= RETRY,
        }
    }
}

/// Writes ticks.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    /// Since the first segment, or before.
    claim: Option<Claim>,
    /// Tells this run's segments from those of others.
    run: String,
    next_part: u32,
    segment: Option<Segment>,
    failed_at: Option<Timestamp>,
    hidden: Option<Hidden>,
    /// Lines of its own.
    lines: Vec<u8>,
    /// Of the last tick.
    tick_bytes: usize,
    /// Whether segments go for their age.
    by_age: bool,
}

/// What takes the place of clients' addresses.
#[derive(Debug)]
struct Hidden {
    pseudonyms: Pseudonyms,
    fingerprint: String,
    replies: Vec<u8>,
}

struct Segment {
    path: PathBuf,
    encoder: Encoder<'static, File>,
    level: i32,
    began: Timestamp,
    bytes: u64,
    /// Of these, those of the heading, which may be larger than all ticks.
    heading_bytes: u64,
    /// The next tick is to be another's, if there is one by then.
    is_over: bool,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder into a folder, which may hold recordings already.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(options: RecorderOptions) -> Result<Self, RecordingError> {
        let folder = &options.path;
        make(folder)?;
        segment::find(folder).map_err(RecordingError::io(folder, "read"))?;
        Ok(Self {
            options,
            claim: None,
            run: format!("{:08x}", fastrand::u32(..)),
            next_part: 0,
            segment: None,
            failed_at: None,
            hidden: None,
            lines: Vec::new(),
            tick_bytes: 0,
            by_age: true,
        })
    }

    /// Replaces the addresses of clients by the pseudonyms of this key.
    #[must_use]
    pub fn hiding(mut self, key: &Key) -> Self {
        self.hidden = Some(Hidden {
            pseudonyms: Pseudonyms::new(key),
            fingerprint: key.fingerprint(),
            replies: Vec::new(),
        });
        self
    }

    /// The fingerprint of the key, if addresses are replaced.
    pub fn pseudonyms(&self) -> Option<&str> {
        self.hidden.as_ref().map(|hidden| &*hidden.fingerprint)
    }

    /// A recorder into a folder of its own, without bounds.
    ///
    /// # Errors
    /// There is something at the path already.
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        if !is_free(path) {
            return Err(RecordingError::Exists {
                path: path.to_owned(),
            });
        }
        let mut recorder = Self::open(RecorderOptions::unbounded(path))?;
        recorder.claim()?;
        Ok(recorder)
    }

    /// Whether nothing was ever recorded into the folder.
    pub fn is_first(&self) -> bool {
        is_free(&self.options.path)
    }

    /// Keeps other recorders out of the folder, until it is dropped or fails; [`Recorder::begin`] does so
    /// too.
    ///
    /// # Errors
    /// Another is at work on it, or it cannot be read.
    pub fn claim(&mut self) -> Result<(), RecordingError> {
        if self.claim.is_none() {
            self.claim = Some(Claim::on(&self.options.path)?);
        }
        Ok(())
    }

    /// Whether the next tick begins a segment: [`Recorder::begin`] is to be called before anything of
    /// it is judged. A segment that is over takes ticks until then.
    pub fn is_between_segments(&self, at: Timestamp) -> bool {
        self.standing().is_between_segments(at)
    }

    pub(super) fn standing(&self) -> Standing {
        match (&self.segment, self.failed_at) {
            (Some(segment), _) if !segment.is_over => Standing::Within,
            (Some(_), _) | (None, None) => Standing::Between,
            (None, Some(failed)) => Standing::Paused(failed),
        }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.options.path
    }

    /// Ends the segment, begins the next, and lets go of what is beyond the bounds.
    ///
    /// # Errors
    /// It cannot be written; nothing is recorded until the next one.
    pub fn begin(&mut self, at: Timestamp, start: Start) -> Result<(), RecordingError> {
        let ended = self.finish();
        let begun = ended.and_then(|()| self.begin_segment(at, start));
        self.failed_at = None;
        if begun.is_err() {
            self.pause(at);
        }
        begun
    }

    /// Whether segments go for their age from here on: not while the clock may be wrong.
    pub(super) fn prune_by_age(&mut self, by_age: bool) {
        self.by_age = by_age;
    }

    /// What comes next does not follow on what was before: polls in between are lost.
    pub(super) fn leave_out(&mut self) {
        self.next_part += 1;
    }

    fn pause(&mut self, at: Timestamp) {
        self.failed_at = Some(at);
        // By then there may be another folder of that name.
        self.claim = None;
        self.leave_out();
    }

    fn begin_segment(&mut self, at: Timestamp, mut start: Start) -> Result<(), RecordingError> {
        // It may have been removed since.
        make(&self.options.path)?;
        self.claim()?;
        self.prune(at)?;
        self.keep_reserve()?;
        let path = self
            .options
            .path
            .join(segment::name(at, &self.run, self.next_part));
        let hidden = self.hidden.as_ref();
        if let Some(hidden) = hidden {
            start.hide(&hidden.pseudonyms);
        }
        let heading = HeadingLine {
            recording: Heading {
                format: FORMAT,
                by: concat!("electrumx-warden ", env!("CARGO_PKG_VERSION")).into(),
                run: Cow::Borrowed(&self.run),
                part: self.next_part,
                began: at,
                pseudonyms: hidden.map(|hidden| (&*hidden.fingerprint).into()),
                start,
            },
        };
        self.lines.clear();
        write_line(&mut self.lines, &heading);
        let crc32 = crc32fast::hash(&self.lines);
        write_line(&mut self.lines, &SumLine { crc32 });
        let is_large = self.tick_bytes > LARGE;
        let level = if is_large { LEVEL_OF_LARGE } else { LEVEL };
        let mut segment = Segment::create(path, at, level)?;
        if let Err(error) = segment.write(|out| out.write_all(&self.lines)) {
            // One a minute on a full disk would be many.
            _ = fs::remove_file(&segment.path);
            return Err(error);
        }
        segment.heading_bytes = segment.bytes;
        self.next_part += 1;
        self.segment = Some(segment);
        Ok(())
    }

    /// Records a tick, if there is a segment, and tells whether there was. `tape` has the replies of a
    /// poll that succeeded.
    ///
    /// # Errors
    /// It cannot be written: the segment ends with the tick before.
    pub fn record(&mut self, turn: &Turn<'_>, tape: Option<&Tape>) -> Result<bool, RecordingError> {
        self.write(TickHead::of(turn), tape)
    }

    /// The same, of a head that has no replies yet.
    pub(super) fn write(
        &mut self,
        head: TickHead<'_>,
        tape: Option<&Tape>,
    ) -> Result<bool, RecordingError> {
        let at = head.at;
        if self.segment.is_some()
            && let Err(error) = self.keep_reserve()
        {
            _ = self.finish();
            self.pause(at);
            return Err(error);
        }
        let Some(mut segment) = self.segment.take() else {
            return Ok(false);
        };
        let Self { hidden, lines, .. } = self;
        let written = segment.write(|out| match hidden {
            None => write_tick(out, lines, head, tape.into_iter().flat_map(Tape::replies)),
            Some(hidden) => hidden.write_tick(out, lines, head, tape),
        });
        self.tick_bytes = match written {
            Ok(bytes) => bytes,
            Err(error) => {
                self.pause(at);
                return Err(error);
            }
        };
        let size_max = SEGMENT_BYTES_MAX.min(self.options.size_max / u64::from(SEGMENTS_MIN));
        let length_max = SEGMENT_LENGTH_MAX.min(self.options.age_max / SEGMENTS_MIN);
        let is_unfit = self.tick_bytes > LARGE && segment.level != LEVEL_OF_LARGE;
        let tick_bytes = segment.bytes - segment.heading_bytes;
        let is_full = tick_bytes >= size_max || at.since(segment.began) >= length_max;
        segment.is_over = is_full || is_unfit;
        self.segment = Some(segment);
        Ok(true)
    }

    /// Ends the segment.
    ///
    /// # Errors
    /// Its end cannot be written; its ticks are.
    pub fn finish(&mut self) -> Result<(), RecordingError> {
        self.segment.take().map_or(Ok(()), Segment::finish)
    }

    /// Keeps the reserve of the disk free: while less is left, the oldest segment goes, but never one
    /// that is being written.
    ///
    /// # Errors
    /// No segment is left that could go.
    fn keep_reserve(&self) -> Result<(), RecordingError> {
        let RecorderOptions { path, reserve, .. } = &self.options;
        if *reserve == 0 || !lacks(path, *reserve)? {
            return Ok(());
        }
        let found = segment::find(path).map_err(RecordingError::io(path, "read"))?;
        for segment in found {
            if !is_being_written(&segment.path)
                && fs::remove_file(&segment.path).is_ok()
                && !lacks(path, *reserve)?
            {
                return Ok(());
            }
        }
        Err(RecordingError::Reserve {
            path: path.clone(),
            reserve: *reserve,
        })
    }

    /// Lets the oldest segments go that are beyond the bounds.
    fn prune(&self, at: Timestamp) -> Result<(), RecordingError> {
        let folder = &self.options.path;
        let found = segment::find(folder).map_err(RecordingError::io(folder, "read"))?;
        let mut bytes: u64 = found.iter().map(|segment| segment.bytes).sum();
        // The one that begins now needs room too.
        let size_max = self.options.size_max - self.options.size_max / u64::from(SEGMENTS_MIN);
        let mut aged = if self.by_age { AGED_MAX } else { 0 };
        for (index, segment) in found.iter().enumerate() {
            // It ended when the next one began.
            let ended = found.get(index + 1).map_or(at, |next| next.began);
            let is_aged = aged > 0 && at.since(ended) > self.options.age_max;
            if bytes <= size_max && !is_aged {
                break;
            }
            aged = aged.saturating_sub(1);
            // What cannot go, or is another recorder's, is no reason to record nothing.
            if !is_being_written(&segment.path) && fs::remove_file(&segment.path).is_ok() {
                bytes -= segment.bytes;
            }
        }
        Ok(())
    }
}

/// Whether less than `reserve` is free on the disk of a folder.
fn lacks(folder: &Path, reserve: u64) -> Result<bool, RecordingError> {
    let disk = rustix::fs::statvfs(folder).map_err(io::Error::from);
    let disk = disk.map_err(RecordingError::io(folder, "asked for the room on its disk"))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize) < reserve)
}

fn make(folder: &Path) -> Result<(), RecordingError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .map_err(RecordingError::io(folder, "made"))
}

/// Whether a folder is not there, or empty.
fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

impl Segment {
    fn create(path: PathBuf, began: Timestamp, level: i32) -> Result<Self, RecordingError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&path)
            .map_err(RecordingError::io(&path, "written"))?;
        // By this readers know that it is being written, and no more than that depends on it.
        _ = file.try_lock();
        let encoder = Encoder::new(file, level).and_then(|mut encoder| {
            // The lines have checksums of their own, and those can be asked before the end.
            if level == LEVEL_OF_LARGE {
                encoder.long_distance_matching(true)?;
                encoder.window_log(WINDOW_OF_LARGE)?;
            } else {
                encoder.set_parameter(CParameter::MinMatch(MATCH_MIN))?;
            }
            Ok(encoder)
        });
        let encoder = encoder.map_err(RecordingError::io(&path, "written"))?;
        Ok(Self {
            path,
            encoder,
            level,
            began,
            bytes: 0,
            heading_bytes: 0,
            is_over: false,
        })
    }

    /// Writes lines whole, or else leaves the file as it was.
    fn write<T>(
        &mut self,
        lines: impl FnOnce(&mut Encoder<'static, File>) -> io::Result<T>,
    ) -> Result<T, RecordingError> {
        let written =
            lines(&mut self.encoder).and_then(|written| self.encoder.flush().map(|()| written));
        let file = self.encoder.get_ref();
        if written.is_err() {
            // What is there of the tick is of no use to anybody.
            _ = file.set_len(self.bytes);
        }
        let written = written.map_err(RecordingError::io(&self.path, "written"))?;
        let metadata = self.encoder.get_ref().metadata();
        let metadata = metadata.map_err(RecordingError::io(&self.path, "written"))?;
        if metadata.nlink() == 0 {
            let gone = io::Error::new(io::ErrorKind::NotFound, "somebody has removed it");
            return Err(RecordingError::io(&self.path, "written")(gone));
        }
        self.bytes = metadata.len();
        Ok(written)
    }

    fn finish(self) -> Result<(), RecordingError> {
        self.encoder
            .finish()
            .and_then(|file| file.sync_all())
            .map_err(RecordingError::io(&self.path, "written"))
    }
}

impl Hidden {
    /// A poll whose addresses cannot be told apart from the rest is recorded as one that failed. What
    /// was heard of the daemons by then goes with the next, as it does after a poll that fails.
    fn write_tick(
        &mut self,
        out: impl io::Write,
        scratch: &mut Vec<u8>,
        head: TickHead<'_>,
        tape: Option<&Tape>,
    ) -> io::Result<usize> {
        // First of all, for what else is to be hidden is known by the peers.
        let hidden = self.hide(tape);
        let acts: Vec<Act> = head.acts.iter().map(|act| self.act(act)).collect();
        let mut by_hand = head.by_hand.to_vec();
        for act in &mut by_hand {
            act.map_addresses(|net| self.pseudonyms.net(net));
        }
        let mut visits = head.visits.into_owned();
        for socket in &mut visits.sockets {
            *socket = self.pseudonyms.peer(*socket);
        }
        let words = "the poll failed; the words are left out with pseudonyms";
        let head = TickHead {
            acts: acts.into(),
            by_hand: by_hand.into(),
            visits: Cow::Owned(visits),
            // The server's words may have anything in them.
            failure: head.failure.map(|_| words.into()),
            ..head
        };
        match hidden {
            Ok(ends) => {
                let starts = std::iter::once(0).chain(ends.iter().map(|&(_, end)| end));
                let replies = starts
                    .zip(&ends)
                    .map(|(start, &(method, end))| (method, &self.replies[start..end]));
                write_tick(out, scratch, head, replies)
            }
            Err(unreadable) => {
                let why =
                    format!("not recorded, for its addresses cannot be told apart: {unreadable}");
                let head = head.failed(why);
                write_tick(out, scratch, head, std::iter::empty())
            }
        }
    }

    fn act(&self, act: &Act) -> Act {
        let words = |detail: &str| self.pseudonyms.words(detail).into_owned();
        Act {
            target: self.pseudonyms.target(&act.target),
            outcome: match &act.outcome {
                // It names a daemon, by which the change is confirmed, and no client.
                done @ Outcome::Executed { .. } if act.target == Target::Server => done.clone(),
                Outcome::Executed { detail } => Outcome::Executed {
                    detail: words(detail),
                },
                Outcome::Failed { detail } => Outcome::Failed {
                    detail: words(detail),
                },
                other => other.clone(),
            },
            ..act.clone()
        }
    }

    /// Writes the replies by pseudonyms; gives the method of each and where it ends.
    fn hide(&mut self, tape: Option<&Tape>) -> Result<Vec<(&'static str, usize)>, Unreadable> {
        self.replies.clear();
        let mut ends = Vec::new();
        let replies = || tape.into_iter().flat_map(Tape::replies);
        // The other replies are read by whose addresses are in this one.
        let is_first = |method: &str| method == "sessions";
        let in_turn = replies()
            .filter(|(method, _)| is_first(method))
            .chain(replies().filter(|(method, _)| !is_first(method)));
        for (method, line) in in_turn {
            let reply = match method {
                "getinfo" => Reply::Getinfo,
                "groups" => Reply::Groups,
                "sessions" => Reply::Sessions,
                _ => Reply::Inspection,
            };
            self.pseudonyms.reply(reply, line, &mut self.replies)?;
            ends.push((method, self.replies.len()));
        }
        Ok(ends)
    }
}

/// Counts what it passes on, and sums it up.
struct Summed<W> {
    out: W,
    sum: crc32fast::Hasher,
    bytes: usize,
}

impl<W: io::Write> Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.bytes += bytes.len();
        self.out.write_all(bytes)
    }
}

/// Writes the lines of a tick, large replies straight from where they are; gives their length.
fn write_tick<'a>(
    out: impl io::Write,
    scratch: &mut Vec<u8>,
    head: TickHead<'_>,
    replies: impl Iterator<Item = (&'static str, &'a [u8])>,
) -> io::Result<usize> {
    let is_read = head.failure.is_none();
    let replies: Vec<_> = replies.filter(|_| is_read).collect();
    let tick = TickHead {
        replies: replies.iter().map(|&(method, _)| method.into()).collect(),
        ..head
    };
    let mut out = Summed {
        out,
        sum: crc32fast::Hasher::new(),
        bytes: 0,
    };
    scratch.clear();
    write_line(scratch, &TickLine { tick });
    out.write(scratch)?;
    for (method, line) in replies {
        // No release shows credentials there; a fork may.
        let told = (method == "getinfo").then(|| std::str::from_utf8(line));
        if let Some(Ok(line)) = told {
            scratch.clear();
            redact_texts(line, scratch);
            out.write(scratch)?;
        } else {
            out.write(line)?;
        }
        out.write(b"\n")?;
    }
    let crc32 = out.sum.clone().finalize();
    scratch.clear();
    write_line(scratch, &SumLine { crc32 });
    out.write(scratch)?;
    Ok(out.bytes)
}

/// Writes a line of JSON without the credentials that its texts have.
fn redact_texts(line: &str, out: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(start) = rest.find('"') {
        let (before, from) = rest.split_at(start + 1);
        // Both quotes are counted; a text that does not end has but one.
        let length = text_length(&rest.as_bytes()[start..]) - 1;
        let (text, behind) = from.split_at(length);
        let inner = text.strip_suffix('"').unwrap_or(text);
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(redact(inner).as_bytes());
        out.extend_from_slice(&text.as_bytes()[inner.len()..]);
        rest = behind;
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Writing into memory fails only for values that are no JSON, and there are none.
fn write_line(lines: &mut Vec<u8>, value: &impl serde::Serialize) {
    let written = serde_json::to_writer(&mut *lines, value);
    debug_assert!(written.is_ok(), "{written:?}");
    lines.push(b'\n');
}
