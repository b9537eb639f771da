//! Hold times over a restart of the agent.
//!
//! A target goes on where it was, if the tests hold for it at the first poll at which it can be told
//! whether they do. A policy that was changed in between begins anew: nobody held the new tests.

use std::time::Duration;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::compile::{Compiled, Table};
use super::hold::Held;
use crate::decision::{SessionRef, Target};
use crate::history::History;
use crate::policy::Policy;
use crate::time::Timestamp;

/// Of each policy so many targets are kept, those that have held for longest.
const SAVED_MAX: usize = 1_000;

/// As far as the start of one session may be apart, as two runs reckon it from its age.
const SINCE_SLACK: Duration = Duration::from_secs(5);

/// For how long a policy has held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedHolds {
    policy: Box<str>,
    /// Tells its tests from others.
    tests: u32,
    /// Each target, with milliseconds.
    held: Vec<(Target, u64)>,
}

impl SavedHolds {
    /// Replaces the targets.
    pub(crate) fn map_targets(&mut self, to: impl Fn(&Target) -> Target) {
        for (target, _) in &mut self.held {
            *target = to(target);
        }
    }
}

/// What of an earlier run a policy has not taken up yet.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    held: HashMap<Target, (Timestamp, Duration)>,
    /// Whoever has not been told of by then has not held on.
    until: Timestamp,
}

impl Resumed {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// For how long a target held that is told of now.
    fn take(&mut self, target: &Target) -> Option<Duration> {
        let (key, since) = key(target);
        let &(then, held) = self.held.get(&key)?;
        let apart = since.since(then).max(then.since(since));
        (apart <= SINCE_SLACK).then(|| {
            self.held.remove(&key);
            held
        })
    }
}

/// A session's start is reckoned from its age, and never quite the same twice.
fn key(target: &Target) -> (Target, Timestamp) {
    match *target {
        Target::Session(session) => {
            let since = Timestamp::default();
            (
                Target::Session(SessionRef { since, ..session }),
                session.since,
            )
        }
        ref target => (target.clone(), Timestamp::default()),
    }
}

/// Tells a policy's tests from others.
fn fingerprint(policy: &Policy) -> u32 {
    let Policy {
        scope,
        window,
        include_private,
        when,
        unless,
        ..
    } = policy;
    let tests = format!("{scope:?} {window:?} {include_private:?} {when:?} {unless:?}");
    crc32fast::hash(tests.as_bytes())
}

impl Engine {
    /// For how long what must hold for a while has held, for the next run.
    pub(crate) fn saved_holds(&self, history: &History) -> Vec<SavedHolds> {
        let mut saved = Vec::new();
        for compiled in &self.compiled {
            let policy = &self.set.policies[compiled.policy];
            if policy.hold.is_zero() {
                continue;
            }
            let mut held: Vec<_> = compiled.holds.iter().collect();
            held.sort_by_key(|held| std::cmp::Reverse(held.duration));
            held.truncate(SAVED_MAX);
            let of = |held: &Held| {
                let ms = u64::try_from(held.duration.as_millis()).unwrap_or(u64::MAX);
                (history.target(policy.scope, held.slot), ms)
            };
            if !held.is_empty() {
                saved.push(SavedHolds {
                    policy: (&*policy.name).into(),
                    tests: fingerprint(policy),
                    held: held.into_iter().map(of).collect(),
                });
            }
        }
        saved
    }

    /// Takes up what an earlier run saved, before the poll at `at`.
    pub(crate) fn resume(&mut self, saved: Vec<SavedHolds>, at: Timestamp) {
        for SavedHolds {
            policy: name,
            tests,
            held,
        } in saved
        {
            let policies = &self.set.policies;
            let is_it = |compiled: &&mut Compiled| {
                let policy = &policies[compiled.policy];
                *policy.name == *name && fingerprint(policy) == tests
            };
            if let Some(compiled) = self.compiled.iter_mut().find(is_it) {
                let held = held.iter().map(|(target, ms)| {
                    let (key, since) = key(target);
                    (key, (since, Duration::from_millis(*ms)))
                });
                compiled.resumed = Resumed {
                    held: held.collect(),
                    // A window is covered by then.
                    until: at + policies[compiled.policy].window * 2,
                };
            }
        }
    }

    /// Who holds now goes on where it was; who can be told and does not hold has not held on.
    pub(super) fn go_on(&mut self, index: usize, history: &History, at: Timestamp) {
        let Compiled {
            policy,
            when,
            holds,
            resumed,
            ..
        } = &mut self.compiled[index];
        if resumed.is_empty() {
            return;
        }
        let policy = &self.set.policies[*policy];
        let target = |slot| history.target(policy.scope, slot);
        holds.lengthen(|slot| resumed.take(&target(slot)));
        let is_known = |slot, table: &Table| {
            let mut columns = table.probes.iter().filter_map(|probe| probe.how.column());
            columns.all(|column| !history.column(column).of(slot).is_nan())
        };
        for &slot in history.live(policy.scope, policy.include_private) {
            if when.iter().any(|table| is_known(slot, table)) {
                resumed.take(&target(slot));
            }
        }
        if at > resumed.until {
            resumed.clear();
        }
    }
}
