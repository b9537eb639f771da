//! What is said of a decision that a test expects, and of one that came.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::show::{self, counted};
use crate::decision::Decision;
use crate::engine::{Apart, Looked, Missing};
use crate::trial::{Course, Expected, Happened, Short, Why};
use crate::units::format_duration;

/// So many of those acted on are shown.
const MEMBERS_SHOWN: usize = 3;

/// `50s cost-flood 203.0.113.7:50001`
pub(super) fn expectation(expected: &Expected) -> String {
    let bans = expected.bans.as_ref();
    let bans = bans.map(|nets| members(&nets.iter().map(show::network).collect::<Vec<_>>()));
    Line {
        at: expected.at,
        policy: &expected.policy,
        target: expected.target.to_string(),
        sessions: expected.sessions,
        acts_on: expected.acts_on.as_deref().map(members),
        bans,
        ban_for: expected.ban_for,
        held_back: expected.held_back,
    }
    .words()
}

/// The number of sessions, whose they are, and who is banned, is told where it is asked.
pub(super) fn event(happened: &Happened, expected: Option<&Expected>) -> String {
    let asks = |what: fn(&Expected) -> bool| expected.is_some_and(what);
    let decision = &happened.decision;
    let peers = decision.sessions.iter().map(|session| session.peer);
    let peers: Vec<_> = peers.collect();
    let nets = decision.bans.iter().map(|ban| show::network(&ban.net));
    let nets: Vec<_> = nets.collect();
    Line {
        at: happened.at,
        policy: &decision.policy,
        target: happened.target.to_string(),
        sessions: asks(|it| it.sessions.is_some()).then_some(peers.len()),
        acts_on: asks(|it| it.acts_on.is_some()).then(|| members(&peers)),
        bans: asks(|it| it.bans.is_some()).then(|| members(&nets)),
        ban_for: decision
            .bans_for()
            .filter(|_| asks(|it| it.ban_for.is_some())),
        held_back: happened.held_back(),
    }
    .words()
}

/// A decision in a line.
struct Line<'a> {
    at: Duration,
    policy: &'a str,
    target: String,
    sessions: Option<usize>,
    acts_on: Option<String>,
    bans: Option<String>,
    ban_for: Option<Duration>,
    held_back: Option<&'static str>,
}

impl Line<'_> {
    fn words(&self) -> String {
        let (at, policy) = (format_duration(self.at), show::text(self.policy));
        let mut line = format!("{at} {policy} {}", show::text(&self.target));
        if let Some(sessions) = self.sessions {
            let sessions = counted(sessions, "session", "sessions");
            _ = write!(line, ", {sessions}");
        }
        if let Some(members) = &self.acts_on {
            _ = write!(line, ", acts on {members}");
        }
        if let Some(nets) = &self.bans {
            _ = write!(line, ", bans {nets}");
        }
        if let Some(ban_for) = self.ban_for {
            _ = write!(line, ", for {}", format_duration(ban_for));
        }
        if let Some(by) = self.held_back {
            _ = write!(line, ", held back: {by}");
        }
        line
    }
}

/// `203.0.113.7, 203.0.113.8 and 3 more`
fn members(peers: &[impl ToString]) -> String {
    let mut shown: Vec<_> = peers.iter().map(ToString::to_string).collect();
    shown.dedup();
    if shown.is_empty() {
        return "nobody".to_owned();
    }
    let more = shown.len().saturating_sub(MEMBERS_SHOWN);
    shown.truncate(MEMBERS_SHOWN);
    let shown = shown.join(", ");
    if more == 0 {
        return shown;
    }
    format!("{shown} and {} more", show::number(more))
}

/// The tests that held, for how long, and on whom it falls.
pub(super) fn reasons(decision: &Decision) -> String {
    let mut reasons = show::reasons(&decision.evidence);
    if !decision.held.is_zero() {
        _ = write!(reasons, " for {}", format_duration(decision.held));
    }
    if let Some(choice) = &decision.choice {
        _ = write!(reasons, "; {}", show::choice(choice));
    }
    reasons
}

/// `its window of 30s was covered at 30s, its tests held from 30s on, and its `for` of 10s was over at 40s`
pub(super) fn course_words(course: &Course) -> String {
    let mut words = Vec::new();
    if let Some((window, full)) = course.window {
        let (window, full) = (format_duration(window), format_duration(full));
        words.push(format!("its window of {window} was covered at {full}"));
    }
    if let Some(at) = course.restarted {
        let at = format_duration(at);
        words.push(format!(
            "the server was started again at {at}, from where on its window began anew"
        ));
    }
    let from = format_duration(course.held_from);
    words.push(format!("its tests held from {from} on"));
    if let Some(hold) = course.hold {
        let over = format_duration(course.held_from + hold);
        let hold = format_duration(hold);
        words.push(format!("its `for` of {hold} was over at {over}"));
    }
    words.join(", ")
}

/// `cannot act: the test ends at 20s; its window is covered at 30s and its `for` over at 40s: make it 5 polls
/// or more`
pub(super) fn short_words(short: &Short) -> String {
    let covered = short.covered.map(format_duration);
    let held = short.held.map(format_duration);
    let when = match (covered, held) {
        (Some(covered), Some(held)) => {
            format!("its window is covered at {covered} and its `for` over at {held}")
        }
        (Some(covered), None) => format!("its window is covered at {covered}"),
        (None, held) => format!("its `for` is over at {}", held.unwrap_or_default()),
    };
    let ends = format_duration(short.ends);
    let polls = short.polls;
    format!("cannot act: the test ends at {ends}; {when}: make it {polls} polls or more")
}

pub(super) fn why_not(why: &Why) -> String {
    let told = |tests: &[Looked]| {
        let tests = tests.iter().map(|test| saw(test, None));
        tests.collect::<Vec<_>>().join(", ")
    };
    match why {
        Why::Missed => "that poll failed".to_owned(),
        Why::Off => "the policy's mode is off".to_owned(),
        Why::Absent => "there is no such target then".to_owned(),
        Why::Apart(Apart::Private) => {
            "its peer is private, and the policy has no `include_private`".to_owned()
        }
        Why::Apart(Apart::Closing) => "the session is closing".to_owned(),
        Why::Apart(Apart::Absent) => "the server does not name this group then".to_owned(),
        Why::HeldBack { by, until: None } => format!("held back: {by}"),
        Why::HeldBack {
            by,
            until: Some(until),
        } => format!("held back until {}: {by}", format_duration(*until)),
        Why::Pending { held, hold, tests } => format!(
            "held for {} of {}: {}",
            format_duration(*held),
            format_duration(*hold),
            told(tests)
        ),
        Why::Spared(tests) => format!("spared by its `unless`: {}", told(tests)),
        Why::Fails { tests, full } => {
            let tests = tests.iter().map(|test| saw(test, *full));
            tests.collect::<Vec<_>>().join(", ")
        }
    }
}

/// `sent_rate is 3 B/s (not > 1 MiB/s)`
fn saw(looked: &Looked, full: Option<Duration>) -> String {
    let field = show::text(&looked.field);
    let asked = show::asked(&looked.test, looked.threshold, looked.dimension);
    match (&looked.seen, looked.missing) {
        (Some(seen), _) => {
            let seen = show::quoted(seen, looked.dimension);
            let not = if looked.holds { "" } else { "not " };
            format!("{field} is {seen} ({not}{asked})")
        }
        (None, Some(Missing::Window { .. })) => match full.map(format_duration) {
            Some(full) => {
                format!("{field} is not known before {full}, when the window is covered")
            }
            None => format!("{field} is not known before the window is covered"),
        },
        (None, Some(Missing::Population)) => {
            format!("{field}: too few have a value to say what is normal")
        }
        (None, Some(Missing::Release)) => format!("{field} is not told by this release"),
        (None, Some(Missing::Inspection)) => {
            format!("{field} is not known: the session has shown no cost of errors")
        }
        (None, Some(Missing::Version)) => {
            format!("{field} is not known: the client's name has no version in it")
        }
        (None, Some(Missing::Apart)) => {
            format!("{field} is not known: the peer is private and stands for many people")
        }
        (None, _) => format!("{field} is not known"),
    }
}
