//! A recording as a command hears it: with a bar for how far it has got, and warnings of what is wrong
//! with it. What is heard is for the command to judge.

use std::path::PathBuf;
use std::time::Duration;

use super::exit::Failure;
use super::progress::Progress;
use super::screen::warn;
use super::setup;
use crate::recording::{Item, Notice, Player, Recording, Start, Tick};
use crate::time::Timestamp;

/// What a recording tells, warnings left out.
#[derive(Debug)]
pub(super) enum Heard {
    /// The agent began: nothing before this matters to what follows.
    Start(Box<Start>),
    /// A poll. Whoever does not keep it gives it back.
    Tick(Box<Tick>),
}

/// A recording while it is played.
#[derive(Debug)]
pub(super) struct Playing {
    recording: Recording,
    player: Player,
    progress: Progress,
    told: Vec<Notice>,
    last: Option<Timestamp>,
}

impl Playing {
    pub(super) fn begin(recording: Recording) -> Self {
        Self {
            player: recording.play(),
            recording,
            progress: Progress::start(),
            told: Vec::new(),
            last: None,
        }
    }

    /// What comes next; `None` at the end.
    pub(super) fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        for item in self.player.by_ref() {
            match item.map_err(setup::unreadable)? {
                Item::Start(start) => return Ok(Some(Heard::Start(start))),
                Item::Notice(notice) if self.told.contains(&notice) => {}
                Item::Notice(notice) => {
                    warn(&notice.to_string());
                    self.told.push(notice);
                }
                Item::Tick(tick) => {
                    let sessions = tick.snapshot.sessions.len();
                    self.progress.tick(&self.player, tick.at, sessions);
                    self.last = self.last.max(Some(tick.at));
                    return Ok(Some(Heard::Tick(tick)));
                }
            }
        }
        self.progress.finish();
        Ok(None)
    }

    /// Takes a tick back, so that no memory is asked for per session.
    pub(super) fn give_back(&self, tick: Box<Tick>) {
        self.player.give_back(tick);
    }

    /// Once more from the beginning, and no further than it was heard before: what an agent at work
    /// has recorded since stays out.
    pub(super) fn rewind(&mut self) {
        if let Some(last) = self.last {
            let recording = std::mem::take(&mut self.recording);
            self.recording = recording.before(last + Duration::from_millis(1));
        }
        self.player = self.recording.play();
        self.progress = Progress::start();
    }
}

/// Shows each poll of recordings that were played before: what is wrong with them is told already.
pub(super) fn look_through(paths: &[PathBuf], mut see: impl FnMut(&Tick)) -> Result<(), Failure> {
    let mut player = setup::recording(paths)?.with_groups(false).play();
    while let Some(item) = player.next() {
        if let Item::Tick(tick) = item.map_err(setup::unreadable)? {
            see(&tick);
            player.give_back(tick);
        }
    }
    Ok(())
}

impl Drop for Playing {
    /// Whoever stops in the middle leaves no bar.
    fn drop(&mut self) {
        self.progress.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Epoch;
    use crate::policy::Mode;
    use crate::recording::{Recorder, RecorderOptions, Turn};
    use crate::visit::Visits;

    fn at(s: u64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + Duration::from_secs(s)
    }

    fn record(recorder: &mut Recorder, s: u64) {
        if recorder.is_between_segments(at(s)) {
            recorder.begin(at(s), Start::default()).unwrap();
        }
        let turn = Turn {
            at: at(s),
            epoch: Epoch(1),
            mode: Mode::DryRun,
            polled: Err("no answer"),
            rounds: &[],
            visits: &Visits::default(),
            inspected: &[],
            acts: &[],
            closed: &[],
            by_hand: &[],
            not_held_off: 0,
            settled: at(s),
        };
        recorder.record(&turn, None).unwrap();
    }

    fn heard(playing: &mut Playing) -> Vec<u64> {
        let mut seconds = Vec::new();
        while let Some(heard) = playing.hear().unwrap() {
            if let Heard::Tick(tick) = heard {
                seconds.push(tick.at.since(at(0)).as_secs());
                playing.give_back(tick);
            }
        }
        seconds
    }

    #[test]
    fn what_is_recorded_meanwhile_is_not_heard() {
        let folder = tempfile::tempdir().unwrap();
        let options = || RecorderOptions::unbounded(folder.path());
        let mut recorder = Recorder::open(options()).unwrap();
        (1..=3).for_each(|s| record(&mut recorder, s));
        let recording = Recording::open(&[folder.path().to_owned()]).unwrap();
        let mut playing = Playing::begin(recording);
        assert_eq!(heard(&mut playing), [1, 2, 3]);
        (4..=5).for_each(|s| record(&mut recorder, s));
        recorder.finish().unwrap();
        drop(recorder);
        record(&mut Recorder::open(options()).unwrap(), 6);
        playing.rewind();
        // Whoever stops in the middle has heard it all before.
        assert!(playing.hear().unwrap().is_some());
        playing.rewind();
        assert_eq!(heard(&mut playing), [1, 2, 3]);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        playing.rewind();
        assert_eq!(heard(&mut playing), [0; 0]);
        assert!(matches!(playing.told[..], [Notice::Gone { .. }]));
    }
}
