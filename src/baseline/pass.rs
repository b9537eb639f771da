//! A recording judged once: which sessions policies would disconnect, whatever limits say.
//!
//! The engine is the production's, and so is the history below it. What it decides is counted before
//! budgets and modes: a threshold that is wrong is wrong even where a limit hides it.
//!
//! What is counted in a part of the recording depends on that part alone, so that a laxer threshold
//! never counts more: a session counts in each part in which it is hit, and an alert as often as its
//! cooldown lets it, by the first poll that it is due at. (Of times that lie so far apart none can
//! be more than those that are taken as early as possible.)

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::survey::history;
use crate::decision::{Decision, SessionRef, Target};
use crate::engine::{Engine, Evaluation};
use crate::history::{Continuity, History};
use crate::policy::{ActionKind, PolicySet};
use crate::recording::{Start, Tick};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::warden::Settings;

/// Of one policy no more sessions are told apart in a part: so many are wrong by any budget.
const HITS_MAX: usize = 100_000;

/// How often a policy hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// In the part by which thresholds are found.
    pub training: u64,
    /// In the part by which they are checked.
    pub held_out: u64,
}

/// What one policy hit in one part.
#[derive(Debug, Default)]
pub(super) struct Hit {
    pub(super) sessions: HashSet<SessionRef>,
    alerts: u64,
    /// When each target's alert was counted last.
    alerted: HashMap<Target, Timestamp>,
}

impl Hit {
    /// As many as count against a budget.
    pub(super) fn count(&self, of: ActionKind, but: &HashSet<SessionRef>) -> u64 {
        if of == ActionKind::Alert {
            self.alerts
        } else {
            self.sessions.difference(but).count() as u64
        }
    }

    fn add(&mut self, decision: Decision, cooldown: Duration) {
        for session in decision.sessions {
            if self.sessions.len() < HITS_MAX {
                self.sessions.insert(session);
            }
        }
        if decision.action.kind() == ActionKind::Alert {
            self.alert(decision.target, decision.at, cooldown);
        }
    }

    fn alert(&mut self, target: Target, at: Timestamp, cooldown: Duration) {
        let is_full = self.alerted.len() >= HITS_MAX;
        match self.alerted.get_mut(&target) {
            Some(last) if *last + cooldown > at => return,
            Some(last) => *last = at,
            None if is_full => return,
            None => _ = self.alerted.insert(target, at),
        }
        self.alerts += 1;
    }
}

/// What one policy hit in the part by which thresholds are found, and in that by which they are
/// checked.
#[derive(Debug, Default)]
pub(super) struct ByPart {
    pub(super) training: Hit,
    pub(super) held_out: Hit,
}

impl ByPart {
    /// As many as count against a budget.
    pub(super) fn count(&self, of: ActionKind, but: &HashSet<SessionRef>) -> Hits {
        Hits {
            training: self.training.count(of, but),
            held_out: self.held_out.count(of, but),
        }
    }
}

/// A pass over a recording: feed it, from its beginning.
#[derive(Debug)]
pub struct Pass {
    set: PolicySet,
    engine: Engine,
    history: History,
    /// The last poll of the training comes no later.
    training: Timestamp,
    /// Whether only the training matters.
    is_training: bool,
    training_polls: u64,
    held_out_polls: u64,
    hits: HashMap<Arc<str>, ByPart>,
}

impl Pass {
    pub(super) fn new(set: PolicySet, training: Timestamp, is_training: bool) -> Self {
        let settings = Settings::default();
        let engine = Engine::new(set.clone(), settings.protection.clone());
        Self {
            history: history(engine.plan(), &settings),
            engine,
            set,
            training,
            is_training,
            training_polls: 0,
            held_out_polls: 0,
            hits: HashMap::new(),
        }
    }

    /// The agent that recorded began.
    pub fn start(&mut self, start: &Start) {
        let protection = start.settings.protection.clone();
        self.engine = Engine::new(self.set.clone(), protection);
        self.history = history(self.engine.plan(), &start.settings);
        self.history.restore_clients(start.clients.clone());
    }

    /// Takes in a poll. Gives whether the next one matters.
    pub fn turn(&mut self, tick: &Tick) -> bool {
        let is_held_out = tick.at > self.training;
        if is_held_out && self.is_training {
            return false;
        }
        if is_held_out {
            self.held_out_polls += 1;
        } else {
            self.training_polls += 1;
        }
        let evaluation = if tick.failure.is_some() {
            let Snapshot { rounds, visits, .. } = &tick.snapshot;
            self.history.missed(tick.at, rounds, visits);
            self.engine.missed(&self.history, tick.at, tick.epoch)
        } else {
            let snapshot = &tick.snapshot;
            if self.history.begin(snapshot) == Continuity::Gap {
                self.engine.forget();
            }
            for (id, inspection) in &tick.inspections {
                self.history.inspected(*id, inspection);
            }
            self.history.finish(snapshot);
            self.engine.evaluate(&self.history, snapshot)
        };
        self.count(evaluation, is_held_out);
        true
    }

    fn count(&mut self, evaluation: Evaluation, is_held_out: bool) {
        let due = evaluation.proposals.into_iter();
        let due = due.filter(|it| it.barred.is_none());
        for decision in due.map(|it| it.decision) {
            let policy = self.set.named(&decision.policy);
            let cooldown = policy.map_or(Duration::ZERO, |policy| policy.cooldown);
            let hits = self.hits.entry(decision.policy.clone()).or_default();
            let hit = if is_held_out {
                &mut hits.held_out
            } else {
                &mut hits.training
            };
            hit.add(decision, cooldown);
        }
    }

    /// Polls that it heard, missed ones too.
    pub(super) const fn polls(&self) -> u64 {
        self.training_polls + self.held_out_polls
    }

    /// Those in the part by which thresholds are found.
    pub(super) const fn training_polls(&self) -> u64 {
        self.training_polls
    }

    /// What a policy hit.
    pub(super) fn hit(&self, policy: &str) -> Option<&ByPart> {
        self.hits.get(policy)
    }
}
