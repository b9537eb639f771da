//! How a policy for the server stands: which of its tests hold, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::compile::Table;
use super::decide::facts;
use super::evidence::saw;
use super::select::Unknown;
use crate::decision::{Evidence, Seen};
use crate::field::{Dimension, Scope};
use crate::history::History;
use crate::policy::{Action, Condition, Policy};
use crate::snapshot::Snapshot;
use crate::time::seconds;

/// The server has one slot in every column.
const SERVER: u32 = 0;

/// How a policy for the server stands after a poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The policy's name.
    pub policy: Arc<str>,
    /// What it wants.
    pub action: Action,
    /// Whether its `when` holds and its `unless` does not.
    pub holds: bool,
    /// The tables of its `when`; any of them is enough.
    pub when: Vec<Vec<Looked>>,
    /// The table of its `unless` that holds, if one does.
    pub unless: Vec<Looked>,
    /// For how long it has held.
    #[serde(rename = "held_s", with = "seconds")]
    pub held: Duration,
    /// For how long it must.
    #[serde(rename = "hold_s", with = "seconds")]
    pub hold: Duration,
    /// Whether it need not wait.
    pub at_once: bool,
}

impl Standing {
    /// The table of its `when` that holds.
    pub fn holding(&self) -> Option<&[Looked]> {
        let holds = |table: &&Vec<Looked>| table.iter().all(|test| test.holds);
        self.when.iter().find(holds).map(Vec::as_slice)
    }

    /// Whether it has held for long enough.
    pub fn is_due(&self) -> bool {
        self.holds && (self.at_once || self.held >= self.hold)
    }
}

/// A test and what it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// Whether it holds.
    pub holds: bool,
    /// The field, as the policy names it.
    pub field: Arc<str>,
    /// The test, as the policy has it.
    pub test: Arc<str>,
    /// What it saw, if that is known.
    pub seen: Option<Seen>,
    /// The dimension of `seen`, if that is a number.
    pub dimension: Option<Dimension>,
}

impl Looked {
    fn new(holds: bool, evidence: Evidence) -> Self {
        let is_known = match &evidence.seen {
            Seen::Flag(_) => true,
            Seen::Number(number) => !number.is_nan(),
            Seen::Text(text) => !text.is_empty(),
        };
        Self {
            holds,
            field: evidence.field,
            test: evidence.test,
            seen: is_known.then_some(evidence.seen),
            dimension: evidence.dimension,
        }
    }
}

impl Engine {
    /// How the policies for the server stand that `is_wanted` lets through, after
    /// [`Engine::evaluate`] with the same snapshot.
    pub fn standings(
        &mut self,
        history: &History,
        snapshot: &Snapshot,
        is_wanted: impl Fn(&Policy) -> bool,
    ) -> Vec<Standing> {
        let mut standings = Vec::new();
        for index in 0..self.compiled.len() {
            let policy = &self.set.policies[self.compiled[index].policy];
            if policy.scope == Scope::Server && is_wanted(policy) {
                standings.push(self.standing(index, history, snapshot));
            }
        }
        standings
    }

    fn standing(&mut self, index: usize, history: &History, snapshot: &Snapshot) -> Standing {
        let policy = self.set.policies[self.compiled[index].policy].clone();
        let mut looked = |condition: &Condition, unless: bool| -> Vec<Vec<Looked>> {
            (0..condition.any.len())
                .map(|table| self.looked(index, table, unless, history, snapshot))
                .collect()
        };
        let when = looked(&policy.when, false);
        let unless = policy.unless.as_ref();
        let unless = unless
            .map(|unless| looked(unless, true))
            .unwrap_or_default();
        let holds = |table: &Vec<Looked>| table.iter().all(|test| test.holds);
        let compiled = &self.compiled[index];
        let held = compiled.holds.iter().next();
        Standing {
            holds: held.is_some(),
            when,
            unless: unless.into_iter().find(holds).unwrap_or_default(),
            held: held.map(|held| held.duration).unwrap_or_default(),
            at_once: compiled.at_once(SERVER).is_some(),
            hold: policy.hold,
            policy: policy.name,
            action: policy.action,
        }
    }

    /// The tests of one table, in the policy's order.
    fn looked(
        &mut self,
        index: usize,
        table: usize,
        is_unless: bool,
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<Looked> {
        let Self {
            set,
            compiled,
            verdicts,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let policy = &set.policies[compiled.policy];
        let facts = facts(set, compiled, history, snapshot);
        let condition = policy.unless.as_ref().filter(|_| is_unless);
        let all = &condition.unwrap_or(&policy.when).any[table];
        let (tables, unknown): (&[Table], _) = if is_unless {
            (&compiled.unless, Unknown::Holds)
        } else {
            (&compiled.when, Unknown::Fails)
        };
        let mut holds = vec![false; all.tests.len()];
        for probe in &tables[table].probes {
            let mut slots = vec![SERVER];
            facts.narrow_by(probe, unknown, &mut slots, verdicts, population);
            holds[probe.test] = !slots.is_empty();
        }
        let saw = saw(&all.tests, &tables[table], &facts, SERVER, population);
        let looked = holds.into_iter().zip(saw);
        looked.map(|(holds, saw)| Looked::new(holds, saw)).collect()
    }
}
