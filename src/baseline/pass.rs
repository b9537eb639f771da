//! A recording judged once: which sessions policies would disconnect, whatever limits say.
//!
//! The engine is the production's, and so is the history below it. What it decides is counted before
//! cooldowns, budgets and modes: a threshold that is wrong is wrong even where a limit hides it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::survey::{Watched, history};
use crate::decision::{SessionRef, Target};
use crate::engine::{Engine, Evaluation};
use crate::history::{Continuity, History};
use crate::policy::{ActionKind, PolicySet};
use crate::recording::{Start, Tick};
use crate::warden::Settings;

/// Of one policy no more sessions are told apart: so many are wrong by any budget.
const HITS_MAX: usize = 100_000;

/// Which part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// By which thresholds are found.
    Training,
    /// By which they are checked.
    HeldOut,
}

/// How often a policy hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// In the part by which thresholds are found.
    pub training: u64,
    /// In the part by which they are checked.
    pub held_out: u64,
}

impl Hits {
    fn add(&mut self, part: Part) {
        match part {
            Part::Training => self.training += 1,
            Part::HeldOut => self.held_out += 1,
        }
    }
}

/// What one policy hit.
#[derive(Debug, Default)]
pub(super) struct Hit {
    /// Sessions, each in the part where it was hit first: it would have been gone from there on.
    pub(super) sessions: HashMap<SessionRef, Part>,
    /// Alerts: how often a target came to be due.
    pub(super) alerts: Hits,
    /// The targets that are due.
    due: HashSet<Target>,
}

impl Hit {
    /// As many as count against a budget.
    pub(super) fn count(&self, of: ActionKind, but: &HashSet<SessionRef>) -> Hits {
        if of == ActionKind::Alert {
            return self.alerts;
        }
        let mut hits = Hits::default();
        for (_, &part) in self.sessions.iter().filter(|(it, _)| !but.contains(it)) {
            hits.add(part);
        }
        hits
    }
}

/// A pass over a recording: feed it, from its beginning.
#[derive(Debug)]
pub struct Pass {
    set: PolicySet,
    engine: Engine,
    history: History,
    watched: Watched,
    /// The training ends here, by the time watched.
    training: Duration,
    /// Nothing later matters to this pass.
    until: Option<Duration>,
    hits: HashMap<Arc<str>, Hit>,
    /// The last part that was seen.
    part: Part,
}

impl Pass {
    pub(super) fn new(set: PolicySet, training: Duration, until: Option<Duration>) -> Self {
        let settings = Settings::default();
        let engine = Engine::new(set.clone(), settings.protection.clone());
        Self {
            history: history(engine.plan(), &settings),
            engine,
            set,
            watched: Watched::default(),
            training,
            until,
            hits: HashMap::new(),
            part: Part::Training,
        }
    }

    /// The agent that recorded began.
    pub fn start(&mut self, start: &Start) {
        let protection = start.settings.protection.clone();
        self.engine = Engine::new(self.set.clone(), protection);
        self.history = history(self.engine.plan(), &start.settings);
        self.watched.start();
        for hit in self.hits.values_mut() {
            hit.due.clear();
        }
    }

    /// Takes in a poll. Gives whether the next one matters.
    pub fn turn(&mut self, tick: &Tick) -> bool {
        let evaluation = if tick.failure.is_some() {
            self.engine.missed(tick.at, tick.epoch)
        } else {
            let snapshot = &tick.snapshot;
            let continuity = self.history.begin(snapshot);
            if continuity == Continuity::Gap {
                self.engine.forget();
            }
            for (id, inspection) in &tick.inspections {
                self.history.inspected(*id, inspection);
            }
            self.history.finish(snapshot);
            self.watched.poll(snapshot.at(), continuity);
            self.engine.evaluate(&self.history, snapshot)
        };
        if self.watched.total > self.training {
            self.part = Part::HeldOut;
        }
        if self.until.is_some_and(|until| self.watched.total > until) {
            return false;
        }
        self.count(evaluation);
        true
    }

    fn count(&mut self, evaluation: Evaluation) {
        let part = self.part;
        let mut due: HashMap<Arc<str>, HashSet<Target>> = HashMap::new();
        for proposal in evaluation.proposals {
            let decision = proposal.decision;
            if proposal.barred.is_some() {
                continue;
            }
            let hit = self.hits.entry(decision.policy.clone()).or_default();
            for session in decision.sessions {
                if hit.sessions.len() < HITS_MAX {
                    hit.sessions.entry(session).or_insert(part);
                }
            }
            if decision.action.kind() == ActionKind::Alert {
                if !hit.due.contains(&decision.target) {
                    hit.alerts.add(part);
                }
                due.entry(decision.policy)
                    .or_default()
                    .insert(decision.target);
            }
        }
        for (policy, hit) in &mut self.hits {
            hit.due = due.remove(policy).unwrap_or_default();
        }
    }

    /// What a policy hit.
    pub(super) fn hit(&self, policy: &str) -> Option<&Hit> {
        self.hits.get(policy)
    }
}
