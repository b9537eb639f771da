//! Plays a recording: reads and decodes on a thread of its own, while whoever listens judges.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::decoder::ReplyDecoder;
use super::line::Heading;
use super::reader::{Next, SegmentReader, is_being_written};
use super::{Item, Notice, RecordingError, Start, Tick};
use crate::time::Timestamp;

/// So many ticks are decoded ahead.
const AHEAD: usize = 4;

/// Two runs may overlap by this much: a clock that was set back while the agent was down.
const OVERLAP_MAX: Duration = Duration::from_secs(60);

/// A recording as it is played.
#[derive(Debug)]
pub struct Player {
    items: Receiver<Result<Item, RecordingError>>,
    /// Ticks that were listened to, to be filled again.
    used: Sender<Box<Tick>>,
    read: Arc<AtomicU64>,
    bytes: u64,
}

impl Player {
    pub(super) fn start(
        segments: VecDeque<PathBuf>,
        notices: Vec<Notice>,
        bytes: u64,
        before: Option<Timestamp>,
        decoder: ReplyDecoder,
    ) -> Self {
        let (sender, items) = sync_channel(AHEAD);
        let (used, fresh) = channel();
        let read = Arc::new(AtomicU64::new(0));
        let mut tape = Tape {
            segments,
            before,
            start: None,
            decoder,
            playing: None,
            ended: None,
            read: Arc::clone(&read),
            sender,
            fresh,
        };
        thread::spawn(move || {
            for notice in notices {
                tape.tell(Ok(Item::Notice(notice)));
            }
            if let Err(error) = tape.play() {
                tape.tell(Err(error));
            }
        });
        Self {
            items,
            used,
            read,
            bytes,
        }
    }

    /// Takes a tick back, so that no memory is asked for per session.
    pub fn give_back(&self, tick: Box<Tick>) {
        _ = self.used.send(tick);
    }

    /// How much of the recording has been read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        let read = self.read.load(Ordering::Relaxed);
        (read as f64 / self.bytes.max(1) as f64).min(1.0)
    }
}

impl Iterator for Player {
    type Item = Result<Item, RecordingError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        self.items.recv().ok()
    }
}

/// What the player's thread works on.
struct Tape {
    segments: VecDeque<PathBuf>,
    /// No tick from here on is told.
    before: Option<Timestamp>,
    /// How the agent stood, to be told with the first tick after that.
    start: Option<Box<Start>>,
    decoder: ReplyDecoder,
    /// The segment before, as far as the next must know.
    playing: Option<(Heading<'static>, PathBuf)>,
    /// The last tick of all.
    ended: Option<Timestamp>,
    read: Arc<AtomicU64>,
    sender: SyncSender<Result<Item, RecordingError>>,
    fresh: Receiver<Box<Tick>>,
}

impl Tape {
    fn play(&mut self) -> Result<(), RecordingError> {
        while let Some(path) = self.segments.pop_front() {
            let mut reader = match SegmentReader::open(&path, Arc::clone(&self.read)) {
                Ok(Some(reader)) => reader,
                Ok(None) => continue,
                // It was there a moment ago; an agent at work may have let it go.
                Err(error) if error.is_missing() => {
                    self.tell(Ok(Item::Notice(Notice::Gone { path })));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(gap) = self.gap(&reader.heading) {
                self.tell(Ok(Item::Notice(gap)));
            }
            if !self.follows(&reader.heading) {
                self.start = Some(Box::new(reader.heading.start.clone()));
            }
            if !self.play_segment(&mut reader)? {
                return Ok(());
            }
            self.ended = reader.last.or(self.ended);
            self.playing = Some((reader.heading, path));
        }
        Ok(())
    }

    /// `false` if there is nothing more to tell, or nobody listens any more.
    fn play_segment(&mut self, reader: &mut SegmentReader) -> Result<bool, RecordingError> {
        loop {
            let mut tick = self.fresh.try_recv().unwrap_or_default();
            match reader.next(&mut tick, &mut self.decoder)? {
                Next::Tick => {
                    self.check_order(reader, tick.at)?;
                    if self.before.is_some_and(|before| tick.at >= before) {
                        return Ok(false);
                    }
                    if let Some(start) = self.start.take() {
                        self.tell(Ok(Item::Start(start)));
                    }
                    if !self.tell(Ok(Item::Tick(tick))) {
                        return Ok(false);
                    }
                }
                Next::End => return Ok(true),
                Next::Truncated if is_being_written(reader.path()) => return Ok(true),
                Next::Truncated => {
                    let notice = Notice::Truncated {
                        path: reader.path().to_owned(),
                        after: reader.last,
                    };
                    return Ok(self.tell(Ok(Item::Notice(notice))));
                }
            }
        }
    }

    /// Whether a segment goes on where the one before has ended.
    fn follows(&self, heading: &Heading<'_>) -> bool {
        self.playing
            .as_ref()
            .is_some_and(|(before, _)| before.run == heading.run && before.part + 1 == heading.part)
    }

    /// What is missing between the segment before and another of its run.
    fn gap(&self, heading: &Heading<'_>) -> Option<Notice> {
        let (before, _) = self.playing.as_ref()?;
        let (from, to) = (self.ended?, heading.began);
        let gap_max = heading.start.settings.bounds.gap_max;
        let is_gap = !self.follows(heading) || to.since(from) > gap_max;
        (before.run == heading.run && is_gap).then_some(Notice::Gap { from, to })
    }

    fn check_order(&self, reader: &SegmentReader, at: Timestamp) -> Result<(), RecordingError> {
        let (Some((_, first)), Some(ended)) = (&self.playing, self.ended) else {
            return Ok(());
        };
        if ended.since(at) > OVERLAP_MAX {
            return Err(RecordingError::Overlap {
                first: first.clone(),
                ends: ended,
                second: reader.path().to_owned(),
                began: at,
            });
        }
        Ok(())
    }

    fn tell(&self, item: Result<Item, RecordingError>) -> bool {
        self.sender.send(item).is_ok()
    }
}
