//! The moment of a recording, judged by the production core.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::next::whole_seconds;
use super::subject::who;
use crate::cli::exit::{Exit, Failure};
use crate::cli::judging::Judging;
use crate::cli::playing::{Heard, Playing, look_through};
use crate::cli::show::time;
use crate::cli::{screen, setup};
use crate::history::History;
use crate::policy::{Mode, PolicySet};
use crate::recording::Tick;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::warden::{Explanation, Subject};

/// A poll stands for so many intervals after it, and for so long at least.
const INTERVALS_MAX: u32 = 3;
const AGE_MIN: Duration = Duration::from_secs(2);

/// When a subject was seen in a recording.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
}

/// What there is to say of a recording without the subject.
#[derive(Debug, Default)]
struct Sightings {
    polls: Option<Seen>,
    subject: Option<Seen>,
}

/// How the policies stood with the subject at the last poll that succeeded until `at`.
pub(super) fn explain(
    paths: &[PathBuf],
    at: Option<Timestamp>,
    key: Option<&Path>,
    set: PolicySet,
    subject: Subject,
) -> Result<Explanation, Failure> {
    let recording = setup::recording(paths)?;
    let judging = Judging::new(&recording, None, key)?;
    let (subject, asked) = match subject {
        Subject::Address(address) => (Subject::Address(judging.name(address)), Some(address)),
        session @ Subject::Session(_) => (session, None),
    };
    let is_nameless = recording.pseudonyms().is_some() && key.is_none();
    if is_nameless && matches!(subject, Subject::Address(_)) {
        screen::warn(
            "the addresses of this recording are pseudonyms: ask for one of these, or give --key FILE",
        );
    }
    let until = at.unwrap_or(Timestamp::from_millis(i64::MAX));
    let moment = at.unwrap_or(recording.span().last);
    let back = set.looks_back();
    let mut replay = judging.replay(&recording, set);
    let recording = recording.from(moment, back);
    let mut around = Around::default();
    let mut last: Option<Box<Tick>> = None;
    let mut begins = None;
    let mut playing = Playing::begin(recording.with_groups(replay.warden().needs_groups()));
    while let Some(heard) = playing.hear()? {
        match heard {
            Heard::Start(start) => begins = Some(start),
            Heard::Tick(tick) if tick.at > until => {
                around.next = Some(tick.at);
                break;
            }
            Heard::Tick(tick) => {
                // Not before, for the moment may be the last of the run before.
                if let Some(start) = begins.take() {
                    around.interval = start.interval;
                    replay.start(&start);
                    last = None;
                }
                around.last = Some(tick.at);
                replay.turn(&tick);
                if tick.failure.is_none() {
                    last = Some(tick);
                }
            }
        }
    }
    drop(playing);
    if let Some((at, tick)) = at.zip(last.as_ref())
        && let Some(why) = around.unknown(at, tick.at)
    {
        return Err(Failure::new(Exit::Failed, why));
    }
    let explanation = last.and_then(|tick| replay.warden_mut().explain(&tick.snapshot, subject));
    match explanation {
        Some(mut explanation) => {
            // Nothing is done to what is past.
            for account in &mut explanation.accounts {
                account.mode = account.mode.min(Mode::DryRun);
            }
            Ok(explanation)
        }
        None => Err(Failure::new(
            Exit::Failed,
            nowhere(paths, at, subject, &who(subject, asked))?,
        )),
    }
}

/// The polls around the moment that is asked for.
#[derive(Debug, Default)]
struct Around {
    interval: Duration,
    /// Before it or at it, be it good or not.
    last: Option<Timestamp>,
    next: Option<Timestamp>,
}

impl Around {
    /// Why it is not known how things stood at `at`, if the last poll that succeeded was at `good`.
    fn unknown(&self, at: Timestamp, good: Timestamp) -> Option<String> {
        let age = at.since(good);
        if age <= (self.interval * INTERVALS_MAX).max(AGE_MIN) {
            return None;
        }
        let (last, age) = (self.last.unwrap_or(good), whole_seconds(age));
        let (at, shown) = (time(at), time(good));
        Some(match self.next {
            _ if last > good => format!(
                "no poll succeeded from {shown} to {at}: how things stood then is not known; `--at \
                 '{shown}'` is the last poll before that"
            ),
            None => format!(
                "the recording ends at {shown}, {age} before {at}: how things stood then is not known; \
                 without `--at` its last poll is shown"
            ),
            Some(next) => format!(
                "nobody looked from {shown} to {}: how things stood at {at} is not known; give one of \
                 these two times by `--at`",
                time(next)
            ),
        })
    }
}

/// Where the subject is, if not there: all of the recording is looked through for it.
fn nowhere(
    paths: &[PathBuf],
    at: Option<Timestamp>,
    subject: Subject,
    who: &str,
) -> Result<String, Failure> {
    let mut sightings = Sightings::default();
    look_through(paths, |tick| {
        if tick.failure.is_none() {
            sightings.add(tick.at, &tick.snapshot, subject);
        }
    })?;
    let moment = at.map_or("at its last poll".to_owned(), |at| {
        format!("at {}", time(at))
    });
    let began = sightings.polls.map(|polls| polls.first);
    let began = began.filter(|&began| at.is_some_and(|at| at < began));
    Ok(match (sightings.subject, sightings.polls) {
        (Some(Seen { first, last }), _) if let Some(began) = began => format!(
            "the recording begins at {}, and has nothing before that; {who} is in it from {} to {}: give \
             one of these times by `--at`",
            time(began),
            time(first),
            time(last)
        ),
        (Some(Seen { first, last }), _) => format!(
            "{who} is in this recording from {} to {}, and not {moment}: give one of these times by \
             `--at`",
            time(first),
            time(last)
        ),
        (None, Some(Seen { first, last })) if at.is_some_and(|at| at < first) => format!(
            "the recording goes from {} to {}, and has nothing before that; {who} is nowhere in it",
            time(first),
            time(last)
        ),
        (None, Some(Seen { first, last })) => format!(
            "{who} is nowhere in this recording, which goes from {} to {}",
            time(first),
            time(last)
        ),
        (None, None) => "no poll of this recording has succeeded: there is nobody in it".to_owned(),
    })
}

impl Sightings {
    fn add(&mut self, at: Timestamp, snapshot: &Snapshot, subject: Subject) {
        see(&mut self.polls, at);
        let sessions = &snapshot.sessions;
        let is_there = match subject {
            Subject::Session(id) => sessions.id.contains(&id),
            Subject::Address(address) => sessions.peer.iter().any(|peer| {
                peer.0
                    .is_some_and(|peer| History::is_same_address(peer.ip(), address))
            }),
        };
        if is_there {
            see(&mut self.subject, at);
        }
    }
}

fn see(seen: &mut Option<Seen>, at: Timestamp) {
    let first = seen.map_or(at, |seen| seen.first);
    *seen = Some(Seen { first, last: at });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Epoch;
    use crate::policy::shipped;
    use crate::recording::{Recorder, RecorderOptions, Start, Turn};
    use crate::rpc::Tape;
    use crate::snapshot::Span;
    use crate::visit::Visits;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + Duration::from_secs(minutes * 60)
    }

    #[test]
    fn what_nobody_saw_is_not_known() {
        let around = |last, next| Around {
            interval: Duration::from_mins(1),
            last: Some(at(last)),
            next,
        };
        assert_eq!(around(10, None).unknown(at(13), at(10)), None);
        assert_eq!(around(10, Some(at(99))).unknown(at(13), at(10)), None);
        let unknown = [
            around(10, None).unknown(at(14), at(10)),
            around(10, Some(at(99))).unknown(at(14), at(10)),
            around(14, Some(at(15))).unknown(at(14), at(10)),
        ];
        let unknown = unknown.map(|why| why.unwrap());
        insta::assert_snapshot!(unknown.join("\n"), @r"
        the recording ends at 2026-01-01 00:10:00, 4m before 2026-01-01 00:14:00: how things stood then is not known; without `--at` its last poll is shown
        nobody looked from 2026-01-01 00:10:00 to 2026-01-01 01:39:00: how things stood at 2026-01-01 00:14:00 is not known; give one of these two times by `--at`
        no poll succeeded from 2026-01-01 00:10:00 to 2026-01-01 00:14:00: how things stood then is not known; `--at '2026-01-01 00:10:00'` is the last poll before that
        ");
    }

    const GETINFO: &str = r#"{"jsonrpc":"2.0","result":{"version":"ElectrumX 1.20.0","daemon height":1,"db height":1,"pid":1,"uptime":"1d 00h 00m","sessions":{"count":1,"errors":0,"logged":0,"pending requests":0,"subs":0}},"id":1}"#;
    const SESSIONS: &str = r#"{"jsonrpc":"2.0","result":[[7,"T1","8.8.8.8:5","evil","1.4",0.0,0.0,0,0,0,1,2,3,4,600.5]],"id":2}"#;

    /// A run of the agent, with a poll a minute; those that are not good have failed.
    fn run(folder: &Path, minutes: std::ops::Range<u64>, is_good: impl Fn(u64) -> bool) {
        let mut recorder = Recorder::open(RecorderOptions::unbounded(folder)).unwrap();
        let mut tape = Tape::default();
        tape.hear("getinfo", GETINFO.as_bytes());
        tape.hear("sessions", SESSIONS.as_bytes());
        let start = Start {
            interval: Duration::from_mins(1),
            ..Start::default()
        };
        recorder.begin(at(minutes.start), start).unwrap();
        for minute in minutes {
            let span = Span {
                asked: at(minute),
                answered: at(minute),
            };
            let snapshot = Snapshot {
                epoch: Epoch(1),
                server_read: span,
                sessions_read: span,
                ..Snapshot::default()
            };
            let polled = is_good(minute).then_some(&snapshot).ok_or("no answer");
            let turn = Turn {
                at: at(minute),
                epoch: Epoch(1),
                mode: Mode::DryRun,
                polled,
                rounds: &[],
                visits: &Visits::default(),
                inspected: &[],
                acts: &[],
                closed: &[],
                by_hand: &[],
                not_held_off: 0,
                settled: at(minute),
            };
            recorder.record(&turn, Some(&tape)).unwrap();
        }
        recorder.finish().unwrap();
    }

    /// What is known of one run says nothing of the next.
    #[test]
    fn a_moment_beside_a_restart_of_the_agent_is_explained_or_not_known() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), 0..5, |_| true);
        run(folder.path(), 5..9, |minute| minute > 6);
        let explained = |at: Option<Timestamp>| {
            let set = shipped().set.unwrap();
            let paths = [folder.path().to_owned()];
            explain(&paths, at, None, set, Subject::Session(7)).map(|it| it.at)
        };
        for (minute, is_known) in [(4, true), (5, false), (6, false), (7, true), (8, true)] {
            let explained = explained(Some(at(minute)));
            assert_eq!(explained.is_ok(), is_known, "minute {minute}");
        }
        assert!(explained(None).is_ok());
    }
}
