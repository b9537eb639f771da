//! How policies stand with a target: what each test sees of it, what it lacks, what they wait for.
//!
//! Looks at what a poll has left; judges nothing, and remembers nothing.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::compile::{Compiled, How, Probe, Table};
use super::decide::facts;
use super::evidence::saw;
use super::select::{Facts, Unknown};
use super::{Engine, Evaluation, Proposal, Protected};
use crate::decision::{Evidence, Seen, Target};
use crate::field::{Dimension, Field, Scope, Source};
use crate::history::{History, SERVER};
use crate::policy::{Action, AllOf, Comparison, Condition, Margin, Policy, Test};
use crate::snapshot::Snapshot;
use crate::time::{Timestamp, rfc3339, seconds};

/// How a policy stands with a target after a poll.
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
    /// The tables of its `at_once`; any of them is enough.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sooner: Vec<Vec<Looked>>,
}

impl Standing {
    /// The table of its `when` that holds.
    pub fn holding(&self) -> Option<&[Looked]> {
        self.when
            .iter()
            .find(|table| all_hold(table))
            .map(Vec::as_slice)
    }

    /// Whether it has held for long enough.
    pub fn is_due(&self) -> bool {
        self.holds && (self.at_once || self.held >= self.hold)
    }

    /// The table of its `when` that is nearest to holding, and how near that is, from 0 to 1.
    pub fn nearest(&self) -> Option<(&[Looked], f64)> {
        let tables = self.when.iter().map(|table| {
            let nearness = table.iter().map(Looked::nearness);
            (table.as_slice(), nearness.fold(1.0, f64::min))
        });
        // Of equals the first.
        tables.reduce(|best, table| if table.1 > best.1 { table } else { best })
    }

    /// How near it is to acting: below 1 its tests do not hold, below 2 they have not held for long
    /// enough.
    pub fn progress(&self) -> f64 {
        if self.is_due() {
            2.0
        } else if self.holds {
            1.0 + self.held.as_secs_f64() / self.hold.as_secs_f64()
        } else {
            self.nearest().map_or(0.0, |(_, nearness)| nearness * 0.999)
        }
    }
}

fn all_hold(table: &[Looked]) -> bool {
    table.iter().all(|test| test.holds)
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
    /// What a number is compared with, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// The dimension of `seen`, if that is a number.
    pub dimension: Option<Dimension>,
    /// Why it cannot be told, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing: Option<Missing>,
}

/// Why a test cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Missing {
    /// The server has not been watched for as long as the policy's window.
    Window {
        /// Since when it is.
        #[serde(with = "rfc3339")]
        since: Timestamp,
        /// When it will have been.
        #[serde(with = "rfc3339")]
        until: Timestamp,
    },
    /// Too few regulars have a value to say what is normal.
    Population,
    /// The server's release does not give it.
    Release,
    /// The session was not inspected yet.
    Inspection,
    /// Nobody probes the daemons, or has not yet.
    Probes,
    /// How many slots there are is not configured, or is certainly wrong.
    Slots,
    /// There is no canary, or its last visit does not tell it.
    Canary,
    /// Which sessions make up the group is not certain, or was not within the window.
    Members,
    /// The client's name has no version in it.
    Version,
    /// It is about what is around the target, whose peer stands for many people.
    Apart,
    /// The server does not say.
    Untold,
}

impl Looked {
    /// How far a number is from the threshold.
    pub fn margin(&self) -> Option<Margin> {
        let comparison = Comparison::of(&self.test)?;
        match (&self.seen, self.threshold) {
            (Some(Seen::Number(seen)), Some(threshold)) => {
                Some(Margin::of(comparison, *seen, threshold))
            }
            _ => None,
        }
    }

    /// How near it is to holding, from 0 to 1.
    pub fn nearness(&self) -> f64 {
        if self.holds {
            return 1.0;
        }
        self.margin().map_or(0.0, |margin| margin.nearness)
    }
}

/// A policy and a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The target.
    pub target: Target,
    /// How the policy stands with it.
    pub standing: Standing,
    /// Why the policy does not look at it at all.
    pub apart: Option<Apart>,
    /// What the policy wanted of it at this poll.
    pub proposal: Option<Proposal>,
}

/// Why a policy does not look at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apart {
    /// Its peer stands for many people, and the policy has no `include_private`.
    Private,
    /// The session is closing.
    Closing,
    /// The group is not among those that the server names.
    Absent,
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
                standings.push(self.standing(index, SERVER, history, snapshot));
            }
        }
        standings
    }

    /// How each policy that is not off stands with those of `targets` that are of its scope, after
    /// [`Engine::evaluate`] with the same snapshot: of each policy the `max` targets that it is
    /// nearest to acting on, and how many that leaves out.
    pub(crate) fn cases(
        &mut self,
        history: &History,
        snapshot: &Snapshot,
        targets: impl Fn(Scope) -> Vec<u32>,
        max: usize,
    ) -> Vec<(Vec<Case>, usize)> {
        (0..self.compiled.len())
            .map(|index| {
                let scope = self.set.policies[self.compiled[index].policy].scope;
                self.cases_of(index, history, snapshot, targets(scope), max)
            })
            .collect()
    }

    /// Why the session in a row of the snapshot is never a target, if the configuration says so.
    pub(crate) fn protected(&mut self, snapshot: &Snapshot, row: usize) -> Option<Protected> {
        self.guard.protected(&snapshot.sessions, row)
    }

    /// The policies that are judged, in the order of [`Engine::cases`].
    pub(crate) fn judged(&self) -> impl Iterator<Item = &Policy> {
        let compiled = self.compiled.iter();
        compiled.map(|compiled| &self.set.policies[compiled.policy])
    }

    fn cases_of(
        &mut self,
        index: usize,
        history: &History,
        snapshot: &Snapshot,
        targets: Vec<u32>,
        max: usize,
    ) -> (Vec<Case>, usize) {
        let mut standings: Vec<(u32, Standing)> = targets
            .into_iter()
            .map(|slot| (slot, self.standing(index, slot, history, snapshot)))
            .collect();
        standings.sort_by(|(_, a), (_, b)| b.progress().total_cmp(&a.progress()));
        let left_out = standings.len().saturating_sub(max);
        standings.truncate(max);
        let mut evaluation = Evaluation::default();
        if standings.iter().any(|(_, standing)| standing.is_due()) {
            self.decide(index, history, snapshot, &mut evaluation);
        }
        let policy = &self.set.policies[self.compiled[index].policy];
        let cases = standings.into_iter().map(|(slot, standing)| {
            let target = history.target(policy.scope, slot);
            let mut proposals = evaluation.proposals.iter();
            Case {
                apart: apart(policy, slot, history, snapshot),
                proposal: proposals
                    .find(|proposal| proposal.decision.target == target)
                    .cloned(),
                target,
                standing,
            }
        });
        (cases.collect(), left_out)
    }

    fn standing(
        &mut self,
        index: usize,
        slot: u32,
        history: &History,
        snapshot: &Snapshot,
    ) -> Standing {
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
        let mut looked = |tests: &AllOf, table: &Table, unknown| -> Vec<Looked> {
            let mut holds = vec![false; tests.tests.len()];
            for probe in &table.probes {
                let mut slots = vec![slot];
                facts.narrow_by(probe, unknown, &mut slots, verdicts, population);
                holds[probe.test] = !slots.is_empty();
            }
            let saw = saw(&tests.tests, table, &facts, slot, population);
            let looked = holds.into_iter().zip(saw).enumerate();
            looked
                .map(|(place, (holds, saw))| {
                    let probe = table.probes.iter().find(|probe| probe.test == place);
                    look(holds, saw, &tests.tests[place], probe, &facts, slot)
                })
                .collect()
        };
        let mut all = |condition: Option<&Condition>, tables: &[Table], unknown| {
            let tests = condition.iter().flat_map(|condition| &condition.any);
            let looked = tests
                .zip(tables)
                .map(|(tests, table)| looked(tests, table, unknown));
            looked.collect::<Vec<_>>()
        };
        let when = all(Some(&policy.when), &compiled.when, Unknown::Fails);
        let unless = all(policy.unless.as_ref(), &compiled.unless, Unknown::Holds);
        let sooner = all(policy.at_once.as_ref(), &compiled.at_once, Unknown::Fails);
        let held = compiled.held(slot);
        Standing {
            holds: held.is_some(),
            when,
            unless: unless
                .into_iter()
                .find(|table| all_hold(table))
                .unwrap_or_default(),
            held: held.unwrap_or_default(),
            at_once: compiled.at_once(slot).is_some(),
            sooner,
            hold: policy.hold,
            policy: policy.name.clone(),
            action: policy.action.clone(),
        }
    }
}

impl Compiled {
    /// For how long it has held for a target, if it does.
    fn held(&self, slot: u32) -> Option<Duration> {
        let mut held = self.holds.iter();
        Some(held.find(|held| held.slot == slot)?.duration)
    }
}

fn look(
    holds: bool,
    evidence: Evidence,
    test: &Test,
    probe: Option<&Probe>,
    facts: &Facts<'_>,
    slot: u32,
) -> Looked {
    let is_known = match (&evidence.seen, probe) {
        (Seen::Number(number), _) => !number.is_nan(),
        (Seen::Flag(_), _) | (Seen::Text(_), None) => true,
        (Seen::Text(_), Some(probe)) => {
            let (facts, slot) = facts.subject(probe, slot);
            slot.is_some_and(|slot| has_text(&facts, test.field, slot))
        }
    };
    let threshold = evidence.threshold.filter(|threshold| !threshold.is_nan());
    let missing = if !is_known {
        Some(missing(test, probe, facts, slot))
    } else if matches!(probe, Some(probe) if matches!(probe.how, How::Compare { .. }))
        && threshold.is_none()
    {
        Some(Missing::Population)
    } else {
        None
    };
    Looked {
        holds,
        field: evidence.field,
        test: evidence.test,
        seen: is_known.then_some(evidence.seen),
        threshold,
        dimension: evidence.dimension,
        missing,
    }
}

/// Whether a field of text or an address is known.
fn has_text(facts: &Facts<'_>, field: Field, slot: u32) -> bool {
    match (field, facts.scope) {
        (Field::Address, Scope::Session) => facts.history.session(slot).peer.0.is_some(),
        (Field::Address, _) => true,
        _ => facts.text(field, slot).is_some(),
    }
}

fn missing(test: &Test, probe: Option<&Probe>, facts: &Facts<'_>, slot: u32) -> Missing {
    let (history, info) = (facts.history, test.field.info());
    if !facts.snapshot.capabilities().gives(test.field) {
        return Missing::Release;
    }
    match info.source {
        Source::Probes => return Missing::Probes,
        Source::Slots => return Missing::Slots,
        Source::Canary => return Missing::Canary,
        _ => {}
    }
    let is_alone = probe.is_some_and(|probe| facts.subject(probe, slot).1.is_none());
    if is_alone && history.is_private(facts.scope, slot) {
        return Missing::Apart;
    }
    if !is_alone && test.field == Field::ClientVersion {
        return Missing::Version;
    }
    if info.source == Source::Inspection && !history.is_inspected(slot) {
        return Missing::Inspection;
    }
    let column = probe.and_then(|probe| probe.how.column());
    if let Some((since, until)) = column.and_then(|column| history.uncovered(column)) {
        return Missing::Window { since, until };
    }
    if test.scope == Scope::Group {
        return Missing::Members;
    }
    Missing::Untold
}

fn apart(policy: &Policy, slot: u32, history: &History, snapshot: &Snapshot) -> Option<Apart> {
    if history.is_live(policy.scope, policy.include_private, slot) {
        return None;
    }
    Some(match policy.scope {
        Scope::Session if snapshot.sessions.flags[history.row(slot)].closing => Apart::Closing,
        Scope::Address | Scope::Subnet => Apart::Private,
        _ => Apart::Absent,
    })
}
