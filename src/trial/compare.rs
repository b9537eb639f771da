//! What was decided beside what was expected; and of what did not come about, why not.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::play::{Audience, Happened, play_before};
use super::script::ROWS_MAX;
use super::{Expected, Trial, Wanted};
use crate::decision::Decision;
use crate::engine::{Apart, Looked, Missing};
use crate::policy::{Mode, Policy};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::warden::{Account, Subject, Warden};

/// So many sessions are asked for the target that is looked for.
const ROWS_LOOKED_MAX: usize = 100;

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of time.
    pub rows: Vec<Row>,
    /// Policies that the test is about, and that could not act whatever the sessions did. That such a
    /// policy does not act says nothing.
    pub unjudged: Vec<(Arc<str>, Unjudged)>,
}

/// Why a policy could not act in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// This field of it could not be told at any poll.
    Unknown(Arc<str>),
    /// The test is over before the policy can act.
    Short(Short),
    /// It wanted to act, and something else held it back.
    HeldBack(&'static str),
}

/// When a policy could act first, and when the test is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The last poll of the test.
    pub ends: Duration,
    /// When the policy's window is covered, if it has to be waited for.
    pub covered: Option<Duration>,
    /// When its `for` is over, if it has one.
    pub held: Option<Duration>,
    /// So many polls are needed for the policy to act.
    pub polls: usize,
}

/// A decision, expected or made.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Expected, and so it came.
    Met(Expected, Box<Happened>),
    /// Expected, and it came at another time, or for another number of sessions, or was held back.
    Otherwise(Expected, Box<Happened>, Option<Course>),
    /// Expected, and it did not come.
    Missing(Expected, Why),
    /// It came, and nobody expected it.
    Unexpected(Box<Happened>),
}

/// How a decision came about that was expected at another time.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The policy's window, and when it was covered, if it had to be waited for.
    pub window: Option<(Duration, Duration)>,
    /// When the server was started again, if the tests held only after that: whatever was before it
    /// counts for nothing.
    pub restarted: Option<Duration>,
    /// Since when its tests held.
    pub held_from: Duration,
    /// The policy's `for`, if it has one and the decision did not come `at_once`.
    pub hold: Option<Duration>,
    /// If it came later than expected, why it did not come then.
    pub not_then: Option<Why>,
}

/// Why a policy did not act on a target at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// The poll failed, and this policy looks at more than `rpc_down`.
    Missed,
    /// It is switched off.
    Off,
    /// There was no such target.
    Absent,
    /// It does not look at this target.
    Apart(Apart),
    /// It wanted to, and was held back, as it was at the poll before.
    HeldBack {
        /// By what, in a word.
        by: &'static str,
        /// Until when, from the first poll on, if that is known.
        until: Option<Duration>,
    },
    /// Its tests held, but not yet for long enough.
    Pending {
        /// For how long they had held.
        held: Duration,
        /// For how long they must.
        hold: Duration,
        /// The tests.
        tests: Vec<Looked>,
    },
    /// This table of its `unless` held.
    Spared(Vec<Looked>),
    /// These tests did not hold.
    Fails {
        /// The tests.
        tests: Vec<Looked>,
        /// The poll at which the window is covered of those that could not be told for want of that.
        full: Option<Duration>,
    },
}

impl Why {
    fn of(account: Account, begun: Timestamp, interval: Duration) -> Self {
        let standing = account.standing;
        if let Some(apart) = account.apart {
            return Self::Apart(apart);
        }
        if let Some(by) = &account.held_back
            && account.due.is_some()
        {
            return Self::HeldBack {
                by: by.word(),
                until: by.until().map(|until| until.since(begun)),
            };
        }
        if standing.holds {
            return Self::Pending {
                held: standing.held,
                hold: standing.hold,
                tests: standing.holding().unwrap_or_default().to_vec(),
            };
        }
        if !standing.unless.is_empty() {
            return Self::Spared(standing.unless);
        }
        let nearest = standing.nearest().map(|(table, _)| table);
        let failing = nearest.unwrap_or_default().iter().filter(|it| !it.holds);
        let tests: Vec<Looked> = failing.cloned().collect();
        let full = tests.iter().filter_map(|test| match test.missing {
            Some(Missing::Window { until, .. }) => {
                let polls = until
                    .since(begun)
                    .as_millis()
                    .div_ceil(interval.as_millis());
                Some(interval * u32::try_from(polls).unwrap_or(u32::MAX))
            }
            _ => None,
        });
        Self::Fails {
            full: full.max(),
            tests,
        }
    }
}

impl Comparison {
    /// Whether all that was expected came, and nothing else.
    pub fn is_ok(&self) -> bool {
        self.rows.iter().all(|row| matches!(row, Row::Met(..)))
    }
}

impl Row {
    /// When it was expected, or else when it came.
    pub fn at(&self) -> Duration {
        match self {
            Self::Met(expected, _) | Self::Otherwise(expected, ..) | Self::Missing(expected, _) => {
                expected.at
            }
            Self::Unexpected(happened) => happened.at,
        }
    }

    /// What was expected, if anything was.
    pub fn expected(&self) -> Option<&Expected> {
        match self {
            Self::Met(expected, _) | Self::Otherwise(expected, ..) | Self::Missing(expected, _) => {
                Some(expected)
            }
            Self::Unexpected(_) => None,
        }
    }

    /// What came, if anything did.
    pub fn actual(&self) -> Option<&Happened> {
        match self {
            Self::Met(_, happened)
            | Self::Otherwise(_, happened, _)
            | Self::Unexpected(happened) => Some(happened),
            Self::Missing(..) => None,
        }
    }
}

/// Plays a test and compares.
pub(super) fn compare(trial: &Trial) -> Comparison {
    let mut judged = Judged::new(trial);
    let happened = play_before(trial, &mut judged);
    let mut happened: Vec<Option<Happened>> = happened.into_iter().map(Some).collect();
    let mut rows = Vec::new();
    let mut open = Vec::new();
    for expected in &trial.expected {
        match take(&mut happened, |it| expected.is_met_by(it)) {
            Some(it) => rows.push(Row::Met(expected.clone(), Box::new(it))),
            None => open.push(expected),
        }
    }
    let came = open.iter();
    let came = came.map(|expected| take(&mut happened, |it| expected.is_near(it)));
    let came: Vec<Option<Happened>> = came.collect();
    // Why it did not come when it was expected.
    let wanted = open.iter().zip(&came).filter(|(expected, came)| {
        let is_late = |it: &Happened| it.at > expected.at;
        came.as_ref().is_none_or(is_late)
    });
    let mut watcher = Watcher::new(trial, wanted.map(|(&expected, _)| expected));
    if !watcher.open.is_empty() {
        play_before(trial, &mut watcher);
    }
    let mut whys = watcher.open.into_iter().map(|open| open.why);
    for (expected, came) in open.into_iter().zip(came) {
        let expected = expected.clone();
        rows.push(match came {
            None => Row::Missing(expected, whys.next().unwrap_or(Why::Missed)),
            Some(it) => {
                let not_then = if it.at > expected.at {
                    whys.next()
                } else {
                    None
                };
                let course = (it.at != expected.at).then(|| judged.course(trial, &it, not_then));
                Row::Otherwise(expected, Box::new(it), course)
            }
        });
    }
    let held_back = held_back(trial, happened.iter().flatten());
    // What is held back touches nobody: a test that does not ask for it need not list it.
    let unexpected = happened.into_iter().flatten().filter(|it| it.by.is_none());
    rows.extend(unexpected.map(|it| Row::Unexpected(Box::new(it))));
    rows.sort_by_key(Row::at);
    let mut unjudged = judged.unjudged(trial);
    unjudged.extend(held_back);
    Comparison { rows, unjudged }
}

/// The policies that a test expects nothing of, and that were kept from acting by the limits alone.
fn held_back<'h>(
    trial: &Trial,
    happened: impl Iterator<Item = &'h Happened>,
) -> Vec<(Arc<str>, Unjudged)> {
    let mut held_back: Vec<(Arc<str>, Unjudged)> = Vec::new();
    for happened in happened {
        let policy = &happened.decision.policy;
        let is_expected = trial.expected.iter().any(|it| it.policy == *policy);
        let is_told = held_back.iter().any(|(told, _)| told == policy);
        if let Some(by) = happened.held_back()
            && trial.about.contains(policy)
            && !is_expected
            && !is_told
        {
            held_back.push((policy.clone(), Unjudged::HeldBack(by)));
        }
    }
    held_back
}

fn take(happened: &mut [Option<Happened>], is_it: impl Fn(&Happened) -> bool) -> Option<Happened> {
    let mut all = happened.iter_mut();
    all.find(|it| it.as_ref().is_some_and(&is_it))?.take()
}

impl Expected {
    fn is_met_by(&self, happened: &Happened) -> bool {
        let sessions = happened.decision.sessions.len();
        self.is_near(happened)
            && self.at == happened.at
            && self.held_back == happened.held_back()
            && self.sessions.is_none_or(|wanted| wanted == sessions)
            && self
                .acts_on
                .as_ref()
                .is_none_or(|wanted| are(wanted, happened))
            && self
                .bans
                .as_ref()
                .is_none_or(|wanted| are_banned(wanted, &happened.decision))
            && self
                .ban_for
                .is_none_or(|wanted| happened.decision.bans_for() == Some(wanted))
    }

    /// Whether at least policy and target are right. What was held back at another time explains
    /// nothing.
    fn is_near(&self, happened: &Happened) -> bool {
        let is_about_it = self.policy == happened.decision.policy && self.target == happened.target;
        let acts = happened.by.is_none() || self.held_back.is_some();
        is_about_it && (acts || self.at == happened.at)
    }
}

/// Whether those acted on are these, and all of these.
fn are(wanted: &[Wanted], happened: &Happened) -> bool {
    let sessions = &happened.decision.sessions;
    let is_wanted = |peer| wanted.iter().any(|wanted| wanted.has(peer));
    let is_hit = |wanted: &Wanted| sessions.iter().any(|session| wanted.has(session.peer));
    sessions.iter().all(|session| is_wanted(session.peer)) && wanted.iter().all(is_hit)
}

/// Whether these are banned, and all of these.
fn are_banned(wanted: &[IpNet], decision: &Decision) -> bool {
    let bans = &decision.bans;
    bans.iter().all(|ban| wanted.contains(&ban.net))
        && wanted
            .iter()
            .all(|net| bans.iter().any(|ban| ban.net == *net))
}

/// Looks on for whether the policies can be judged.
struct Judged {
    /// Those that could not be yet, with a field that could not be told.
    open: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// The others, with when they could be first.
    since: Vec<(Arc<str>, Duration)>,
}

impl Judged {
    fn new(trial: &Trial) -> Self {
        let policies = trial.policies.policies.iter();
        let open = policies.map(|policy| (policy.name.clone(), None));
        Self {
            open: open.collect(),
            since: Vec::new(),
        }
    }

    /// How a decision came about.
    fn course(&self, trial: &Trial, happened: &Happened, not_then: Option<Why>) -> Course {
        let decision = &happened.decision;
        let policy = trial.policies.named(&decision.policy);
        let is_windowed = |policy: &&Policy| {
            let mut tests = policy.when.any.iter().flat_map(|all| &all.tests);
            tests.any(|test| test.field.info().windowed)
        };
        let since = self.since.iter().find(|(it, _)| *it == decision.policy);
        let since = since.map(|(_, since)| *since);
        let held_from = happened.at.saturating_sub(decision.held);
        // What held only later did not wait for that.
        let covered = since.filter(|&since| !since.is_zero() && held_from <= since);
        let hold = policy.map(|policy| policy.hold);
        let window = policy.filter(is_windowed).map(|it| it.window);
        let restarts = trial.script.restarts.iter().filter(|&&poll| poll > 0);
        let restarts = restarts
            .map(|&poll| trial.script.interval * u32::try_from(poll).unwrap_or(u32::MAX))
            .filter(|&at| at <= held_from);
        // As long as its window had to be covered anew.
        let back = window.unwrap_or_default() + trial.script.interval;
        let restarted = restarts
            .max()
            .filter(|&at| held_from.saturating_sub(at) <= back);
        Course {
            window: window.zip(covered),
            restarted,
            held_from,
            hold: hold.filter(|hold| !hold.is_zero() && !decision.at_once),
            not_then,
        }
    }

    fn unjudged(self, trial: &Trial) -> Vec<(Arc<str>, Unjudged)> {
        let is_about = |policy: &&Policy| trial.about.contains(&policy.name);
        let policies = trial.policies.policies.iter().filter(is_about);
        let mut longer = None;
        let unjudged = policies.filter_map(|policy| {
            let name = &policy.name;
            let since = self.since(name).or_else(|| {
                let longer = longer.get_or_insert_with(|| Self::of_longer(trial));
                longer.as_ref()?.since(name)
            });
            let unjudged = match since {
                Some(since) => Unjudged::Short(Short::of(trial, policy, since)?),
                None => Unjudged::Unknown(self.unknown(name)?),
            };
            Some((name.clone(), unjudged))
        });
        unjudged.collect()
    }

    /// When a policy could be judged first.
    fn since(&self, policy: &str) -> Option<Duration> {
        let mut since = self.since.iter();
        Some(since.find(|(it, _)| **it == *policy)?.1)
    }

    /// The field for which it could not.
    fn unknown(&self, policy: &str) -> Option<Arc<str>> {
        let mut open = self.open.iter();
        open.find(|(it, _)| **it == *policy)?.1.clone()
    }

    /// As if the test went on until all windows are covered; `None` if that is too much to play.
    fn of_longer(trial: &Trial) -> Option<Self> {
        let windows = trial.policies.policies.iter().map(|policy| policy.window);
        let window = windows.max().unwrap_or_default().as_millis();
        let more = window.div_ceil(trial.script.interval.as_millis());
        let polls = trial.script.polls + usize::try_from(more).ok()? + 1;
        let sessions = trial.script.sessions.iter().map(|it| it.peers.len());
        let rows = sessions.sum::<usize>().max(1).checked_mul(polls)?;
        if rows > ROWS_MAX {
            return None;
        }
        let mut longer = trial.clone();
        longer.script.polls = polls;
        let mut judged = Self::new(&longer);
        play_before(&longer, &mut judged);
        Some(judged)
    }
}

impl Short {
    /// If the test is too short for a policy that could be judged from `since` on.
    fn of(trial: &Trial, policy: &Policy, since: Duration) -> Option<Self> {
        let interval = trial.script.interval;
        let last = u32::try_from(trial.script.polls - 1).unwrap_or(u32::MAX);
        let ends = interval * last;
        let waits = !policy.hold.is_zero() && policy.at_once.is_none();
        let held = waits.then(|| since + policy.hold);
        let from = held.unwrap_or(since);
        let polls = from.as_millis().div_ceil(interval.as_millis()) + 1;
        (from > ends).then(|| Self {
            ends,
            covered: Some(since).filter(|since| !since.is_zero()),
            held,
            polls: usize::try_from(polls).unwrap_or(usize::MAX),
        })
    }
}

impl Audience for Judged {
    fn judged(&mut self, at: Duration, warden: &mut Warden, _: &Snapshot) {
        if self.open.is_empty() {
            return;
        }
        let unjudged = warden.unjudged();
        self.open.retain_mut(|(name, field)| {
            let mut unjudged = unjudged.iter();
            let unknown = unjudged.find(|(policy, _)| policy.name == *name);
            *field = unknown.map(|(_, test)| test.field_written.clone());
            if field.is_none() {
                self.since.push((name.clone(), at));
            }
            field.is_some()
        });
    }
}

/// Looks on for why what is missing does not come.
struct Watcher {
    open: Vec<Open>,
    interval: Duration,
}

struct Open {
    expected: Expected,
    why: Why,
}

impl Watcher {
    fn new<'e>(trial: &Trial, missing: impl Iterator<Item = &'e Expected>) -> Self {
        let open = missing.map(|expected| {
            let policies = &trial.policies.policies;
            let policy = policies.iter().find(|it| it.name == expected.policy);
            let why = match policy {
                Some(policy) if policy.mode == Mode::Off => Why::Off,
                // Whatever poll is not judged.
                _ => Why::Missed,
            };
            Open {
                expected: expected.clone(),
                why,
            }
        });
        Self {
            open: open.collect(),
            interval: trial.script.interval,
        }
    }
}

impl Audience for Watcher {
    fn judged(&mut self, at: Duration, warden: &mut Warden, snapshot: &Snapshot) {
        let begun = snapshot.at() - at;
        for Open { expected, why } in &mut self.open {
            if at == expected.at && *why != Why::Off {
                let account = account(expected, warden, snapshot);
                let why_not = |account| Why::of(account, begun, self.interval);
                *why = account.map_or(Why::Absent, why_not);
            }
        }
    }
}

/// How the policy stands with the target that is expected.
fn account(expected: &Expected, warden: &mut Warden, snapshot: &Snapshot) -> Option<Account> {
    let sessions = &snapshot.sessions;
    let address = |row: usize| sessions.peer[row].0.map(|peer| peer.ip());
    let is_member = |&row: &usize| match &expected.target {
        // Whatever session there is, the server is looked at too: the agent's own is one.
        Wanted::Server => true,
        Wanted::Session(peer) => sessions.peer[row] == *peer,
        Wanted::Net(net) => address(row).is_some_and(|address| net.contains(&address)),
        Wanted::Text(text) => {
            // A group is found by any of its sessions.
            let is_named = sessions.names.get(sessions.client[row]) == &**text;
            is_named || !sessions.flags[row].is_rpc()
        }
    };
    let mut rows = (0..sessions.len()).filter(is_member).take(ROWS_LOOKED_MAX);
    rows.find_map(|row| {
        let explanation = warden.explain(snapshot, Subject::Session(sessions.id[row]))?;
        explanation.accounts.into_iter().find(|account| {
            account.standing.policy == expected.policy
                && Wanted::of(&account.target) == expected.target
        })
    })
}
