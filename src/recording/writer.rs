//! Puts a recorder on a thread of its own, so that whoever hands it polls does not wait for the disk.
//!
//! What is handed over are the replies as heard and what is known of the poll. To put that into
//! lines, to hide addresses, to compress and to sync is the thread's work. It may be behind by a few
//! polls; what comes then is lost, and said to be.

use std::collections::VecDeque;
use std::mem;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::line::TickHead;
use super::recorder::Standing;
use super::{Recorder, RecordingError, Start, Turn};
use crate::rpc::Tape;
use crate::time::Timestamp;

/// So much may be handed over that is not written yet, the beginning of a segment counted.
const AHEAD: usize = 16;
/// Nor more bytes than this, unless it is one poll.
const AHEAD_BYTES: usize = 64 << 20;
/// What was handed over is waited for at the end, but no longer than this.
const END_MAX: Duration = Duration::from_secs(10);

/// A recorder at work on a thread of its own. Dropping it ends it, see [`Writer::end`].
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    jobs: Option<SyncSender<Job>>,
    reports: Receiver<Report>,
    /// What is not reported yet: a poll's bytes, or the beginning of a segment.
    waiting: VecDeque<Option<usize>>,
    /// As of the last report.
    standing: Standing,
    /// When a poll was lost because the thread was behind.
    lost: Option<Timestamp>,
    /// To be filled again.
    spare: Option<Tape>,
    patience: Patience,
}

/// How long [`Writer::news`] waits for news.
#[derive(Clone, Copy, Debug)]
enum Patience {
    Never,
    /// Until everything is written.
    Always,
    /// Until the thread has ended.
    Until(Instant),
}

#[derive(Debug)]
enum Job {
    Begin {
        at: Timestamp,
        start: Box<Start>,
        /// Whether polls were lost before it.
        is_anew: bool,
        /// Whether what is old may go.
        by_age: bool,
    },
    Turn {
        head: Box<TickHead<'static>>,
        tape: Tape,
    },
}

/// What came of a job.
#[derive(Debug)]
struct Report {
    is_recorded: Result<bool, RecordingError>,
    standing: Standing,
    tape: Option<Tape>,
}

impl Writer {
    /// Never waits: for agents.
    pub fn aside(recorder: Recorder) -> Self {
        Self::start(recorder, Patience::Never)
    }

    /// Waits until each poll is written: for time that is not the wall's.
    pub fn in_step(recorder: Recorder) -> Self {
        Self::start(recorder, Patience::Always)
    }

    fn start(recorder: Recorder, patience: Patience) -> Self {
        let (writer, todo, done) = Self::of(&recorder, patience);
        thread::spawn(move || write(recorder, &todo, &done));
        writer
    }

    /// With what its thread works on.
    fn of(recorder: &Recorder, patience: Patience) -> (Self, Receiver<Job>, Sender<Report>) {
        let (jobs, todo) = sync_channel(AHEAD);
        let (done, reports) = channel();
        let writer = Self {
            folder: recorder.folder().to_owned(),
            jobs: Some(jobs),
            reports,
            waiting: VecDeque::with_capacity(AHEAD),
            standing: recorder.standing(),
            lost: None,
            spare: None,
            patience,
        };
        (writer, todo, done)
    }

    /// What came of the next thing that was handed over, if that is known: whether a poll was
    /// recorded. To be asked until there is nothing.
    ///
    /// # Errors
    /// It could not be written; nothing is recorded for a while.
    pub fn news(&mut self) -> Option<Result<bool, RecordingError>> {
        let report = match self.patience {
            Patience::Never => self.reports.try_recv().ok(),
            Patience::Always if self.waiting.is_empty() => None,
            Patience::Always => self.reports.recv().ok(),
            Patience::Until(end) => {
                let left = end.saturating_duration_since(Instant::now());
                match self.reports.recv_timeout(left) {
                    Ok(report) => Some(report),
                    Err(RecvTimeoutError::Disconnected) => None,
                    Err(RecvTimeoutError::Timeout) => {
                        self.patience = Patience::Never;
                        return Some(Err(self.behind()));
                    }
                }
            }
        }?;
        self.waiting.pop_front();
        self.standing = report.standing;
        self.spare = report.tape.or(self.spare.take());
        Some(report.is_recorded)
    }

    /// Whether the next tick begins a segment, by the news so far: [`Writer::begin`] is to be called
    /// before anything of it is judged. While it is not known whether a segment is over, it goes on.
    pub fn is_between_segments(&self, at: Timestamp) -> bool {
        if let Some(lost) = self.lost {
            return self.waiting.is_empty() && Standing::Paused(lost).is_between_segments(at);
        }
        let has_room = self.waiting.len() < AHEAD;
        let is_beginning = self.waiting.contains(&None);
        has_room && !is_beginning && self.standing.is_between_segments(at)
    }

    /// Whether polls are being lost because the thread was behind.
    pub fn is_losing(&self) -> bool {
        self.lost.is_some()
    }

    /// Begins a segment. Older ones go for their age only if the clock may be trusted: `by_age`.
    pub fn begin(&mut self, at: Timestamp, start: Start, by_age: bool) {
        let is_anew = self.lost.take().is_some();
        let start = Box::new(start);
        let begin = Job::Begin {
            at,
            start,
            is_anew,
            by_age,
        };
        // If there is no thread any more, the turn that follows tells so.
        _ = self.hand_over(begin, None);
    }

    /// Hands over a turn with the replies of a poll that succeeded, and leaves another tape in the place
    /// of `tape`.
    ///
    /// # Errors
    /// The thread is behind: the tick is lost, and so are those that follow until a segment begins.
    pub fn record(&mut self, turn: &Turn<'_>, tape: &mut Tape) -> Result<(), RecordingError> {
        if self.lost.is_some() {
            return Ok(());
        }
        let bytes = tape.bytes();
        let turned = if self.is_behind(bytes) {
            Err(())
        } else {
            let fresh = self.spare.take().unwrap_or_default();
            let tape = mem::replace(tape, fresh);
            let head = Box::new(TickHead::of(turn).into_owned());
            self.hand_over(Job::Turn { head, tape }, Some(bytes))
        };
        turned.map_err(|()| {
            self.lost = Some(turn.at);
            self.behind()
        })
    }

    /// Ends the recording when all that was handed over is written. What comes of that, [`Writer::news`]
    /// tells; it waits for it, though not forever.
    pub fn end(&mut self) {
        if self.jobs.take().is_some() {
            self.patience = Patience::Until(Instant::now() + END_MAX);
        }
    }

    fn is_behind(&self, bytes: usize) -> bool {
        let ahead: usize = self.waiting.iter().flatten().sum();
        self.waiting.len() >= AHEAD || ahead > 0 && ahead + bytes > AHEAD_BYTES
    }

    fn hand_over(&mut self, job: Job, bytes: Option<usize>) -> Result<(), ()> {
        let jobs = self.jobs.as_ref().ok_or(())?;
        jobs.try_send(job).map_err(drop)?;
        self.waiting.push_back(bytes);
        Ok(())
    }

    fn behind(&self) -> RecordingError {
        RecordingError::Behind {
            path: self.folder.clone(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
        while self.news().is_some() {}
    }
}

/// What the thread does.
fn write(mut recorder: Recorder, jobs: &Receiver<Job>, reports: &Sender<Report>) {
    for job in jobs {
        // Nobody may listen any more, and all the same it is to be written.
        _ = reports.send(work(&mut recorder, job));
    }
    let is_recorded = recorder.finish().map(|()| false);
    let standing = recorder.standing();
    // Whoever hears that it has ended may open the folder again.
    drop(recorder);
    _ = reports.send(Report {
        is_recorded,
        standing,
        tape: None,
    });
}

fn work(recorder: &mut Recorder, job: Job) -> Report {
    let (is_recorded, tape) = match job {
        Job::Begin {
            at,
            start,
            is_anew,
            by_age,
        } => {
            if is_anew {
                recorder.leave_out();
            }
            recorder.prune_by_age(by_age);
            (recorder.begin(at, *start).map(|()| false), None)
        }
        Job::Turn { head, tape } => (recorder.write(*head, Some(&tape)), Some(tape)),
    };
    Report {
        is_recorded,
        standing: recorder.standing(),
        tape,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::decision::Epoch;
    use crate::policy::Mode;
    use crate::recording::{Item, RecorderOptions, Recording};
    use crate::visit::Visits;

    const SESSIONS: &[u8] = br#"{"jsonrpc":"2.0","result":[],"id":2}"#;

    fn at(s: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(s)
    }

    /// A writer whose thread works when it is told to.
    struct Desk {
        /// First, for the writer waits until it is gone.
        done: Sender<Report>,
        todo: Receiver<Job>,
        writer: Writer,
        recorder: Recorder,
    }

    impl Desk {
        fn new(folder: &Path) -> Self {
            let recorder = Recorder::open(RecorderOptions::unbounded(folder)).unwrap();
            let (writer, todo, done) = Writer::of(&recorder, Patience::Never);
            Self {
                done,
                todo,
                writer,
                recorder,
            }
        }

        /// Does the next job, if there is one.
        fn work_once(&mut self) -> bool {
            let job = self.todo.try_recv().ok();
            let report = job.map(|job| work(&mut self.recorder, job));
            report.is_some_and(|report| self.done.send(report).is_ok())
        }

        fn work(&mut self) {
            while self.work_once() {}
        }

        /// What an agent does of a poll that fails.
        fn poll(&mut self, s: u64) -> Result<(), RecordingError> {
            self.poll_of(s, &mut Tape::default())
        }

        fn poll_of(&mut self, s: u64, tape: &mut Tape) -> Result<(), RecordingError> {
            if self.writer.is_between_segments(at(s)) {
                self.writer.begin(at(s), Start::default(), true);
            }
            let turn = Turn {
                at: at(s),
                epoch: Epoch(1),
                mode: Mode::Off,
                polled: Err("no answer"),
                rounds: &[],
                visits: &Visits::default(),
                inspected: &[],
                closed: &[],
                by_hand: &[],
                acts: &[],
                not_held_off: 0,
                settled: at(s),
            };
            self.writer.record(&turn, tape)
        }

        /// How many polls were recorded, by the news.
        fn recorded(&mut self) -> usize {
            let news = std::iter::from_fn(|| self.writer.news());
            news.filter(|news| *news.as_ref().unwrap()).count()
        }
    }

    /// The seconds of the polls, each beginning of an agent in between as `None`.
    fn heard(folder: &Path) -> Vec<Option<u64>> {
        let recording = Recording::open(&[folder.to_owned()]).unwrap();
        let item = |item| match item {
            Item::Start(_) => Some(None),
            Item::Tick(tick) => Some(Some(tick.at.since(Timestamp::default()).as_secs())),
            Item::Notice(_) => None,
        };
        recording
            .play()
            .filter_map(|it| item(it.unwrap()))
            .collect()
    }

    #[test]
    fn what_is_handed_over_is_written_later_and_what_is_too_much_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(folder.path());
        // The beginning of the segment counts too.
        for s in 0..15 {
            desk.poll(s).unwrap();
        }
        let error = desk.poll(15).unwrap_err().to_string();
        assert_eq!(
            error.replace(&*folder.path().to_string_lossy(), "DIR"),
            "`DIR` does not take polls as fast as they come: look whether its disk is overloaded"
        );
        assert!(desk.writer.is_losing());
        assert!(desk.poll(16).is_ok(), "told once");
        assert_eq!(desk.recorded(), 0);

        desk.work();
        assert_eq!(desk.recorded(), 15);
        desk.poll(74).unwrap();
        desk.work();
        assert_eq!(desk.recorded(), 0, "it pauses");
        desk.poll(75).unwrap();
        assert!(!desk.writer.is_losing());
        desk.work();
        assert_eq!(desk.recorded(), 1);
        desk.recorder.finish().unwrap();
        let first = std::iter::once(None).chain((0..15).map(Some));
        let expected: Vec<Option<u64>> = first.chain([None, Some(75)]).collect();
        assert_eq!(heard(folder.path()), expected);
    }

    #[test]
    fn a_segment_goes_on_until_it_is_known_to_be_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(folder.path());
        desk.poll(0).unwrap();
        desk.work();
        assert_eq!(desk.recorded(), 1);
        // An hour is over, which is known only when that poll is written.
        desk.poll(3_600).unwrap();
        desk.poll(3_601).unwrap();
        assert!(!desk.writer.is_between_segments(at(3_602)));
        assert!(desk.work_once());
        assert_eq!(desk.recorded(), 1);
        assert!(desk.writer.is_between_segments(at(3_602)));
        desk.poll(3_602).unwrap();
        // What comes of the poll before is old news.
        assert!(desk.work_once());
        assert_eq!(desk.recorded(), 1);
        assert!(!desk.writer.is_between_segments(at(3_603)));
        desk.work();
        assert_eq!(desk.recorded(), 1);
        desk.recorder.finish().unwrap();
        let polls = [0, 3_600, 3_601, 3_602].map(Some);
        assert_eq!(heard(folder.path())[1..], polls, "one run");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn large_polls_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(folder.path());
        let large = vec![b' '; AHEAD_BYTES - 1];
        let mut tape = Tape::default();
        tape.hear("sessions", &large);
        desk.poll_of(0, &mut tape).unwrap();
        assert_eq!(tape.bytes(), 0);
        desk.poll(1).unwrap();
        tape.hear("sessions", SESSIONS);
        assert!(desk.poll_of(2, &mut tape).is_err());
    }

    #[test]
    fn tapes_go_round() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(folder.path());
        let mut tape = Tape::default();
        tape.hear("sessions", SESSIONS);
        desk.poll_of(0, &mut tape).unwrap();
        assert_eq!(tape.bytes(), 0);
        desk.work();
        assert_eq!(desk.recorded(), 1);
        // The first one again, which whoever fills it clears.
        desk.poll_of(1, &mut tape).unwrap();
        assert_eq!(tape.bytes(), SESSIONS.len() + 1);
    }

    #[test]
    fn a_failure_is_heard_of_later_and_the_end_waits_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let mut desk = Desk::new(&path);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::write(&path, "in its place").unwrap();
        desk.poll(0).unwrap();
        desk.poll(1).unwrap();
        desk.work();
        assert!(desk.writer.news().unwrap().is_err());
        assert_eq!(desk.recorded(), 0, "there was no segment to record into");
        assert!(!desk.writer.is_between_segments(at(59)));
        assert!(desk.writer.is_between_segments(at(60)));

        std::fs::remove_file(&path).unwrap();
        desk.poll(60).unwrap();
        desk.writer.end();
        let Desk {
            done,
            todo,
            writer,
            recorder,
        } = &mut desk;
        let spare = Recorder::open(RecorderOptions::unbounded(&path)).unwrap();
        let recorder = mem::replace(recorder, spare);
        let done = mem::replace(done, channel().0);
        thread::scope(|scope| {
            scope.spawn(move || write(recorder, todo, &done));
            let news: Vec<bool> = std::iter::from_fn(|| writer.news())
                .map(Result::unwrap)
                .collect();
            assert_eq!(news, [false, true, false]);
        });
        assert_eq!(heard(&path), [None, Some(60)]);
    }
}
