//! Policies judged on a history: who is due for what, with the evidence.
//!
//! Pure: no clock, no I/O, no randomness. The same snapshots give the same decisions. Whether a
//! decision is carried out is for the limits and the modes to say, not for the engine.

mod choice;
mod compile;
mod decide;
mod evict;
mod evidence;
mod explain;
mod hold;
mod population;
mod protection;
mod resume;
mod select;
#[cfg(test)]
mod tests;
mod verdicts;

use std::time::Duration;

use crate::decision::{Decision, Epoch, Evidence, Suppression, Target};
use crate::field::Scope;
use crate::history::{History, Plan};
use crate::policy::{ActionKind, AllOf, Policy, PolicySet, Test};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

use hold::{Beat, Lineages};

pub use explain::{Apart, Case, Looked, Missing, Standing};

use compile::{Compiled, Probe, compile};
use population::Population;
use protection::Guard;
pub use protection::{Protected, Protection};
pub use resume::SavedHolds;
use select::{Facts, Unknown};
use verdicts::Verdicts;

/// Of one policy at one poll at most so many targets come to a decision, the worst first.
pub const DECISIONS_MAX: usize = 1_000;

/// Targets that are looked at in one go: what is read of as many stays in a processor's cache.
const BLOCK: usize = 4_096;

/// Of one policy at most so many targets are named whose hold time has not passed.
const PENDING_MAX: usize = 20;

/// A decision, and what bars it already before the limits are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The decision.
    pub decision: Decision,
    /// Why it cannot be carried out.
    pub barred: Option<Suppression>,
}

/// A target for which a policy holds, but not yet for long enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The policy's name.
    pub policy: std::sync::Arc<str>,
    /// The target.
    pub target: Target,
    /// For how long it has held.
    pub held: Duration,
    /// For how long it must.
    pub hold: Duration,
    /// The tests that hold.
    pub evidence: Vec<Evidence>,
}

/// What the engine made of a poll.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Worst offenders first; of equals, the policy that stands first, then the session with the
    /// lower ID, or of other targets the one in the lower slot: slots are given in the order in which
    /// targets come, and freed ones are given again.
    pub proposals: Vec<Proposal>,
    /// Targets beyond [`DECISIONS_MAX`] a policy.
    pub crowded: u64,
}

/// The policies, with what they remember between polls.
#[derive(Debug)]
pub struct Engine {
    set: PolicySet,
    plan: Plan,
    guard: Guard,
    compiled: Vec<Compiled>,
    verdicts: Verdicts,
    population: Population,
    /// When the last poll was tried, whether it succeeded or not.
    tried: Option<Timestamp>,
    slots: Vec<u32>,
    exempt: Vec<u32>,
    holding: Vec<(u32, usize)>,
    sooner: Vec<(u32, usize)>,
}

impl Engine {
    /// Makes the policies ready.
    pub fn new(set: PolicySet, protection: Protection) -> Self {
        let plan = Plan::new(&set.policies);
        let mut verdicts = Verdicts::default();
        let compiled = compile(&set, &plan, &mut verdicts);
        Self {
            set,
            plan,
            guard: Guard::new(protection),
            compiled,
            verdicts,
            population: Population::default(),
            tried: None,
            slots: Vec::new(),
            exempt: Vec::new(),
            holding: Vec::new(),
            sooner: Vec::new(),
        }
    }

    /// What the history must keep for these policies.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The policies.
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// The policies, for reading a list again.
    pub fn set_mut(&mut self) -> &mut PolicySet {
        &mut self.set
    }

    /// How often a text or address was really looked at, since the start.
    pub fn verdicts_asked(&self) -> u64 {
        self.verdicts.asked
    }

    /// How often of these a pattern was matched against a text.
    pub fn patterns_matched(&self) -> u64 {
        self.verdicts.matched
    }

    /// Forgets for how long anything has held: the evidence has a gap that is too long.
    pub fn forget(&mut self) {
        for compiled in &mut self.compiled {
            compiled.holds.clear();
            compiled.resumed.clear();
        }
    }

    /// Judges a snapshot that the history has taken in.
    pub fn evaluate(&mut self, history: &History, snapshot: &Snapshot) -> Evaluation {
        let at = snapshot.at();
        let elapsed = self.tried.map_or(Duration::ZERO, |tried| at.since(tried));
        self.tried = Some(at);
        self.verdicts.begin(&self.set);
        self.population.clear();
        self.guard.clear();
        let mut evaluation = Evaluation::default();
        self.find_holding(history, snapshot);
        for index in 0..self.compiled.len() {
            let Compiled {
                policy,
                holds,
                holding,
                ..
            } = &mut self.compiled[index];
            let policy = &self.set.policies[*policy];
            let beat = Beat {
                at,
                elapsed,
                away_max: policy.window,
            };
            let targets = Targets {
                history,
                scope: policy.scope,
            };
            holds.update(holding, beat, &targets);
            self.go_on(index, history, at);
            self.decide(index, history, snapshot, &mut evaluation);
        }
        sort_worst_first(&mut evaluation.proposals, &self.set);
        evaluation
    }

    /// Takes in a poll that failed, after the history has: hold times stand still. Only policies are judged
    /// that look at nothing but what is known then, and none of them changes the daemon.
    pub fn missed(&mut self, history: &History, at: Timestamp, epoch: Epoch) -> Evaluation {
        let elapsed = self.tried.map_or(Duration::ZERO, |tried| at.since(tried));
        self.tried = Some(at);
        let snapshot = Snapshot::missed(at, epoch);
        self.verdicts.begin(&self.set);
        self.population.clear();
        self.guard.clear();
        let mut evaluation = Evaluation::default();
        for index in 0..self.compiled.len() {
            if !self.compiled[index].is_blind {
                continue;
            }
            self.compiled[index].holding.clear();
            self.compiled[index].at_once_now.clear();
            self.find_holding_of(index, &[0], history, &snapshot);
            let Compiled { holds, holding, .. } = &mut self.compiled[index];
            let beat = Beat {
                at,
                elapsed,
                away_max: Duration::ZERO,
            };
            let server = Targets {
                history,
                scope: Scope::Server,
            };
            holds.update(holding, beat, &server);
            self.go_on(index, history, at);
            self.decide(index, history, &snapshot, &mut evaluation);
        }
        for Proposal { decision, barred } in &mut evaluation.proposals {
            if decision.action.kind() == ActionKind::DaemonUrl {
                decision.daemons.clear();
                *barred = Some(Suppression::UnfitDaemon {
                    why: "without a snapshot no daemon can be told to be fit".into(),
                });
            }
        }
        evaluation
    }

    /// Whether any policy holds for any target, for however long.
    pub fn holds_any(&self) -> bool {
        let mut holds = self.compiled.iter().map(|compiled| &compiled.holds);
        holds.any(|holds| holds.iter().next().is_some())
    }

    /// The targets whose hold time has not passed, of each policy a few.
    pub fn pending(&mut self, history: &History, snapshot: &Snapshot) -> Vec<Pending> {
        let mut pending = Vec::new();
        for index in 0..self.compiled.len() {
            let policy = &self.set.policies[self.compiled[index].policy];
            let compiled = &self.compiled[index];
            let waiting: Vec<_> = compiled
                .holds
                .iter()
                .filter(|held| !compiled.is_due(held, policy.hold))
                .take(PENDING_MAX)
                .copied()
                .collect();
            for held in waiting {
                let evidence = self.evidence(index, &held, history, snapshot);
                let policy = &self.set.policies[self.compiled[index].policy];
                pending.push(Pending {
                    policy: policy.name.clone(),
                    target: history.target(policy.scope, held.slot),
                    held: held.duration,
                    hold: policy.hold,
                    evidence,
                });
            }
        }
        pending
    }

    /// The policies that test a number which is unknown for every target, each with that test: the
    /// window is not covered yet, or the release does not tell.
    pub fn unjudged(&self, history: &History) -> Vec<(&Policy, &Test)> {
        let mut unjudged = Vec::new();
        for compiled in &self.compiled {
            let policy = &self.set.policies[compiled.policy];
            let tables = policy.when.any.iter().zip(&compiled.when);
            let blocked: Option<Vec<&Test>> = tables
                .map(|(all, table)| blocked_by(history, policy, all, table))
                .collect();
            let test = blocked.and_then(|tests| tests.first().copied());
            unjudged.extend(test.map(|test| (policy, test)));
        }
        unjudged
    }

    /// Finds the targets for which each policy holds. All policies look at a block of targets before
    /// any looks at the next, so that what they read of it is still at hand.
    fn find_holding(&mut self, history: &History, snapshot: &Snapshot) {
        for compiled in &mut self.compiled {
            compiled.holding.clear();
            compiled.at_once_now.clear();
        }
        let mut start = 0;
        let mut is_left = true;
        while is_left {
            is_left = false;
            for index in 0..self.compiled.len() {
                let policy = &self.set.policies[self.compiled[index].policy];
                let live = history.live(policy.scope, policy.include_private);
                if let Some(block) = live.get(start..) {
                    is_left |= block.len() > BLOCK;
                    let block = &block[..block.len().min(BLOCK)];
                    self.find_holding_of(index, block, history, snapshot);
                }
            }
            start += BLOCK;
        }
    }

    fn find_holding_of(
        &mut self,
        index: usize,
        block: &[u32],
        history: &History,
        snapshot: &Snapshot,
    ) {
        let Self {
            set,
            compiled,
            verdicts,
            population,
            slots,
            exempt,
            holding,
            sooner,
            ..
        } = self;
        let compiled = &mut compiled[index];
        let policy = &set.policies[compiled.policy];
        let facts = Facts {
            set,
            history,
            snapshot,
            scope: policy.scope,
            include_private: policy.include_private,
        };
        holding.clear();
        for (number, table) in compiled.when.iter().enumerate() {
            slots.clear();
            slots.extend_from_slice(block);
            facts.narrow(table, Unknown::Fails, slots, verdicts, population);
            merge(holding, slots, number);
        }
        for table in &compiled.unless {
            exempt.clear();
            exempt.extend(holding.iter().map(|&(slot, _)| slot));
            facts.narrow(table, Unknown::Holds, exempt, verdicts, population);
            let mut exempt = exempt.iter().peekable();
            holding.retain(|&(slot, _)| exempt.next_if(|&&exempt| exempt == slot).is_none());
        }
        for (number, table) in compiled.at_once.iter().enumerate() {
            slots.clear();
            slots.extend(holding.iter().map(|&(slot, _)| slot));
            facts.narrow(table, Unknown::Fails, slots, verdicts, population);
            merge(sooner, slots, number);
        }
        compiled.at_once_now.append(sooner);
        compiled.holding.append(holding);
    }
}

/// The targets of a scope.
struct Targets<'a> {
    history: &'a History,
    scope: Scope,
}

impl Lineages for Targets<'_> {
    fn lineage(&self, slot: u32) -> u64 {
        self.history.lineage(self.scope, slot)
    }

    fn is_gone(&self, slot: u32, lineage: u64) -> bool {
        // A session that is closing is as good as gone.
        let is_here = || self.history.is_live(Scope::Session, true, slot);
        self.scope == Scope::Session && (!is_here() || self.lineage(slot) != lineage)
    }
}

/// Adds ascending `slots` to ascending `holding`; who holds by an earlier table keeps it.
fn merge(holding: &mut Vec<(u32, usize)>, slots: &[u32], table: usize) {
    if holding.is_empty() {
        holding.extend(slots.iter().map(|&slot| (slot, table)));
        return;
    }
    holding.extend(slots.iter().map(|&slot| (slot, table)));
    holding.sort_unstable();
    holding.dedup_by_key(|&mut (slot, _)| slot);
}

/// Equals of one policy stay in their order.
fn sort_worst_first(proposals: &mut [Proposal], set: &PolicySet) {
    let place = |name: &str| set.policies.iter().position(|policy| *policy.name == *name);
    proposals.sort_by(|a, b| {
        let (a, b) = (&a.decision, &b.decision);
        b.severity
            .total_cmp(&a.severity)
            .then_with(|| place(&a.policy).cmp(&place(&b.policy)))
    });
}

/// The first test of a table whose number is unknown for every target, if there are targets.
fn blocked_by<'a>(
    history: &History,
    policy: &Policy,
    all: &'a AllOf,
    table: &compile::Table,
) -> Option<&'a Test> {
    let live = history.live(policy.scope, policy.include_private);
    let is_unknown = |probe: &&Probe| {
        let Some(column) = probe.how.column() else {
            return false;
        };
        let values = history.column(column);
        let value = |&slot: &u32| match probe.scope {
            own if own == policy.scope => values.of(slot),
            around => match history.surrounding(policy.scope, slot, around) {
                Some(target) => values.of(target),
                None => f64::NAN,
            },
        };
        !live.is_empty() && live.iter().all(|slot| value(slot).is_nan())
    };
    let probe = table.probes.iter().find(is_unknown)?;
    Some(&all.tests[probe.test])
}
