//! What was decided beside what was expected; and of what did not come about, why not.

use std::sync::Arc;
use std::time::Duration;

use super::play::{Audience, Happened, play_before};
use super::{Expected, Trial};
use crate::decision::Evidence;
use crate::policy::Mode;
use crate::snapshot::Snapshot;
use crate::warden::Warden;

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of time.
    pub rows: Vec<Row>,
    /// Policies that the test is about and that could be judged at no poll, each with a field that
    /// could not be told. That such a policy does not act says nothing.
    pub unjudged: Vec<(Arc<str>, Arc<str>)>,
}

/// A decision, expected or made.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Expected, and so it came.
    Met(Expected, Box<Happened>),
    /// Expected, and it came at another time, or for another number of sessions, or was held back.
    Otherwise(Expected, Box<Happened>),
    /// Expected, and it did not come.
    Missing(Expected, Why),
    /// It came, and nobody expected it.
    Unexpected(Box<Happened>),
}

/// Why a policy did not act on a target at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// The poll failed, and this policy looks at more than `rpc_down`.
    Missed,
    /// It is switched off.
    Off,
    /// Its tests held, but not yet for long enough.
    Pending {
        /// For how long they had held.
        held: Duration,
        /// For how long they must.
        hold: Duration,
        /// What they saw.
        evidence: Vec<Evidence>,
    },
    /// A test of it cannot be told, for whatever target.
    Unknown {
        /// The field.
        field: Arc<str>,
    },
    /// They did not hold then, but at another time they did.
    HeldAt {
        /// The last time.
        at: Duration,
        /// For how long then.
        held: Duration,
        /// For how long they must.
        hold: Duration,
        /// What they saw.
        evidence: Vec<Evidence>,
    },
    /// It acted on this target before, or was held back before: see the other rows.
    Earlier,
    /// They never held.
    Never,
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
            Self::Met(expected, _) | Self::Otherwise(expected, _) | Self::Missing(expected, _) => {
                expected.at
            }
            Self::Unexpected(happened) => happened.at,
        }
    }

    /// What was expected, if anything was.
    pub fn expected(&self) -> Option<&Expected> {
        match self {
            Self::Met(expected, _) | Self::Otherwise(expected, _) | Self::Missing(expected, _) => {
                Some(expected)
            }
            Self::Unexpected(_) => None,
        }
    }

    /// What came, if anything did.
    pub fn actual(&self) -> Option<&Happened> {
        match self {
            Self::Met(_, happened) | Self::Otherwise(_, happened) | Self::Unexpected(happened) => {
                Some(happened)
            }
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
    let mut missing = Vec::new();
    for expected in open {
        match take(&mut happened, |it| expected.is_near(it)) {
            Some(it) => rows.push(Row::Otherwise(expected.clone(), Box::new(it))),
            None => missing.push(expected.clone()),
        }
    }
    // What is held back touches nobody: a test that does not ask for it need not list it.
    let unexpected = happened.into_iter().flatten().filter(|it| it.by.is_none());
    let acted: Vec<_> = rows.iter().filter_map(Row::actual).map(key).collect();
    rows.extend(unexpected.map(|it| Row::Unexpected(Box::new(it))));
    if !missing.is_empty() {
        let mut watcher = Watcher::new(trial, &missing);
        play_before(trial, &mut watcher);
        let has_acted = |it: &Expected| acted.contains(&(it.policy.clone(), it.target.clone()));
        rows.extend(watcher.open.into_iter().map(|open| {
            let is_earlier = open.why == Why::Never && has_acted(&open.expected);
            let why = if is_earlier { Why::Earlier } else { open.why };
            Row::Missing(open.expected, why)
        }));
    }
    rows.sort_by_key(Row::at);
    let unjudged = judged.open.into_iter();
    Comparison {
        rows,
        unjudged: unjudged
            .filter_map(|(policy, field)| Some((policy, field?)))
            .collect(),
    }
}

fn key(happened: &Happened) -> (Arc<str>, super::Wanted) {
    (happened.decision.policy.clone(), happened.target.clone())
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
    }

    /// Whether at least policy and target are right. What was held back at another time explains
    /// nothing.
    fn is_near(&self, happened: &Happened) -> bool {
        let is_about_it = self.policy == happened.decision.policy && self.target == happened.target;
        let acts = happened.by.is_none() || self.held_back.is_some();
        is_about_it && (acts || self.at == happened.at)
    }
}

/// Looks on for whether the policies can be judged.
struct Judged {
    /// Those that could not be yet, with a field that could not be told.
    open: Vec<(Arc<str>, Option<Arc<str>>)>,
}

impl Judged {
    fn new(trial: &Trial) -> Self {
        let open = trial.about.iter().map(|policy| (policy.clone(), None));
        Self {
            open: open.collect(),
        }
    }
}

impl Audience for Judged {
    fn judged(&mut self, _: Duration, warden: &mut Warden, _: &Snapshot) {
        if self.open.is_empty() {
            return;
        }
        let unjudged = warden.unjudged();
        self.open.retain_mut(|(name, field)| {
            let mut unjudged = unjudged.iter();
            let unknown = unjudged.find(|(policy, _)| policy.name == *name);
            *field = unknown.map(|(_, test)| test.field_written.clone());
            field.is_some()
        });
    }
}

/// Looks on for why what is missing does not come.
struct Watcher {
    open: Vec<Open>,
}

struct Open {
    expected: Expected,
    why: Why,
}

impl Watcher {
    fn new(trial: &Trial, missing: &[Expected]) -> Self {
        let open = missing.iter().map(|expected| {
            let policies = &trial.policies.policies;
            let policy = policies
                .iter()
                .find(|policy| policy.name == expected.policy);
            let is_off = policy.is_some_and(|policy| policy.mode == Mode::Off);
            let poll = expected.at.as_millis() / trial.script.interval.as_millis().max(1);
            let is_missed = trial
                .script
                .missed
                .iter()
                .any(|&missed| missed as u128 == poll);
            let why = match (is_off, is_missed) {
                (true, _) => Why::Off,
                (_, true) => Why::Missed,
                _ => Why::Never,
            };
            Open {
                expected: expected.clone(),
                why,
            }
        });
        Self {
            open: open.collect(),
        }
    }
}

impl Audience for Watcher {
    fn judged(&mut self, at: Duration, warden: &mut Warden, snapshot: &Snapshot) {
        let pending = warden.pending(snapshot);
        let unjudged = warden.unjudged();
        for Open { expected, why } in &mut self.open {
            let is_meant = |name: &Arc<str>| *name == expected.policy;
            let mut pending = pending.iter();
            let pending = pending.find(|it| {
                is_meant(&it.policy) && super::Wanted::of(&it.target) == expected.target
            });
            let mut unjudged = unjudged.iter();
            let unknown = unjudged.find(|(policy, _)| is_meant(&policy.name));
            let is_then = at == expected.at;
            match (&*why, pending, unknown) {
                (Why::Off | Why::Missed | Why::Pending { .. } | Why::Unknown { .. }, ..) => {}
                (_, Some(it), _) if is_then => {
                    *why = Why::Pending {
                        held: it.held,
                        hold: it.hold,
                        evidence: it.evidence.clone(),
                    };
                }
                (_, Some(it), _) => {
                    *why = Why::HeldAt {
                        at,
                        held: it.held,
                        hold: it.hold,
                        evidence: it.evidence.clone(),
                    };
                }
                (Why::Never, None, Some((_, test))) if is_then => {
                    *why = Why::Unknown {
                        field: test.field_written.clone(),
                    };
                }
                _ => {}
            }
        }
    }
}
