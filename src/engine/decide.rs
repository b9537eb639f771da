//! From targets that have held for long enough to decisions with evidence and members.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::compile::{Compiled, How};
use super::hold::Held;
use super::select::Facts;
use super::{DECISIONS_MAX, Engine, Evaluation, Proposal};
use crate::decision::{Decision, Epoch, Evidence, Seen, SessionRef, Suppression, Target};
use crate::field::{Dimension, Field, Kind, Scope};
use crate::history::History;
use crate::policy::{Action, Comparison, Policy, Predicate, Test, Threshold};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The sessions of one target.
#[derive(Debug, Default)]
struct Members {
    sessions: Vec<SessionRef>,
    /// Closing, protected, exempt by the policy, or with the ID of an RPC connection.
    spared: u32,
    ambiguous: u32,
    logged: u32,
}

impl Engine {
    pub(super) fn decide(
        &mut self,
        index: usize,
        history: &History,
        snapshot: &Snapshot,
        evaluation: &mut Evaluation,
    ) {
        let policy = &self.set.policies[self.compiled[index].policy];
        let (scope, hold) = (policy.scope, policy.hold);
        let due: Vec<Held> = self.compiled[index]
            .holds
            .iter()
            .filter(|h| h.duration >= hold)
            .copied()
            .collect();
        if due.is_empty() {
            return;
        }
        let mut due: Vec<(f64, Target, Held)> = due
            .into_iter()
            .map(|held| {
                (
                    self.severity(index, &held, history, snapshot),
                    history.target(scope, held.slot),
                    held,
                )
            })
            .collect();
        due.sort_by(|(a, a_target, _), (b, b_target, _)| {
            worse(*a, *b).then_with(|| a_target.cmp(b_target))
        });
        evaluation.crowded += due.len().saturating_sub(DECISIONS_MAX) as u64;
        due.truncate(DECISIONS_MAX);

        let mut members = self.members(index, &due, history, snapshot);
        for (severity, target, held) in due {
            let members = members.remove(&held.slot).unwrap_or_default();
            let policy = &self.set.policies[self.compiled[index].policy];
            let Some(barred) = bar(policy, &members, held.slot, history) else {
                continue;
            };
            let decision = Decision {
                at: snapshot.at(),
                epoch: snapshot.epoch,
                policy: policy.name.clone(),
                mode: policy.mode,
                action: policy.action.clone(),
                target,
                held: held.duration,
                severity,
                sessions: members.sessions,
                spared: members.spared + members.ambiguous,
                evidence: self.evidence(index, &held, history, snapshot),
            };
            evaluation.proposals.push(Proposal { decision, barred });
        }
    }

    /// A policy that looks at nothing but `rpc_down`, while no poll succeeds.
    pub(super) fn decide_blind(
        &mut self,
        index: usize,
        down_s: f64,
        at: Timestamp,
        epoch: Epoch,
        elapsed: Duration,
    ) -> Option<Proposal> {
        let compiled = &mut self.compiled[index];
        let policy = &self.set.policies[compiled.policy];
        let table = policy.when.any.iter().position(|all| {
            all.tests.iter().all(|test| match test.predicate {
                Predicate::Compare(comparison, Threshold::Fixed(threshold)) => {
                    comparison.function()(down_s, threshold)
                }
                _ => false,
            })
        });
        let holding: Vec<(u32, usize)> = table.map(|table| (0, table)).into_iter().collect();
        compiled.holds.update(&holding, elapsed, |_| 0);
        let held = *compiled
            .holds
            .iter()
            .find(|held| held.duration >= policy.hold)?;
        let tests = &policy.when.any[held.table].tests;
        let evidence = tests.iter().map(|test| {
            let threshold = match test.predicate {
                Predicate::Compare(_, Threshold::Fixed(value)) => Some(value),
                _ => None,
            };
            Evidence {
                field: test.field_written.clone(),
                test: test.written.clone(),
                seen: Seen::Number(down_s),
                threshold,
                dimension: Some(Dimension::Duration),
            }
        });
        let evidence: Vec<_> = evidence.collect();
        let ratios = evidence
            .iter()
            .filter_map(|e| Some(ratio(down_s, e.threshold?)));
        Some(Proposal {
            decision: Decision {
                at,
                epoch,
                policy: policy.name.clone(),
                mode: policy.mode,
                action: policy.action.clone(),
                target: Target::Server,
                held: held.duration,
                severity: ratios.fold(1.0, f64::max),
                sessions: Vec::new(),
                spared: 0,
                evidence,
            },
            barred: None,
        })
    }

    /// The greatest ratio of a value seen to its threshold; 1 if no number is tested upwards.
    fn severity(
        &mut self,
        index: usize,
        held: &Held,
        history: &History,
        snapshot: &Snapshot,
    ) -> f64 {
        let Self {
            set,
            compiled,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let facts = facts(set, compiled, history, snapshot);
        let mut worst = 1.0_f64;
        for probe in &compiled.when[held.table].probes {
            if let How::Compare {
                column,
                comparison,
                threshold,
            } = probe.how
                && matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual)
            {
                let seen = history.column(column)[held.slot as usize];
                worst = worst.max(ratio(seen, facts.threshold(column, threshold, population)));
            }
        }
        worst
    }

    /// What each test of the table that holds saw.
    pub(super) fn evidence(
        &mut self,
        index: usize,
        held: &Held,
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<Evidence> {
        let Self {
            set,
            compiled,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let facts = facts(set, compiled, history, snapshot);
        let policy = &set.policies[compiled.policy];
        let tests = &policy.when.any[held.table].tests;
        let mut evidence: Vec<(usize, Evidence)> = compiled.when[held.table]
            .probes
            .iter()
            .map(|probe| {
                let test = &tests[probe.test];
                let (seen, threshold) = match probe.how {
                    How::Compare {
                        column, threshold, ..
                    } => (
                        Seen::Number(history.column(column)[held.slot as usize]),
                        Some(facts.threshold(column, threshold, population)),
                    ),
                    How::Is { wanted, .. } => (Seen::Flag(wanted), None),
                    How::Verdict { field, .. } | How::Direct { field, .. } => {
                        (Seen::Text(shown(&facts, field, held.slot)), None)
                    }
                };
                let dimension = match test.field.info().kind {
                    Kind::Number(dimension) => Some(dimension),
                    _ => None,
                };
                let field = test.field_written.clone();
                let written = test.written.clone();
                (
                    probe.test,
                    Evidence {
                        field,
                        test: written,
                        seen,
                        threshold,
                        dimension,
                    },
                )
            })
            .collect();
        evidence.sort_by_key(|&(test, _)| test);
        evidence.into_iter().map(|(_, evidence)| evidence).collect()
    }

    /// The members of all targets that are due, in one pass over the sessions.
    fn members(
        &self,
        index: usize,
        due: &[(f64, Target, Held)],
        history: &History,
        snapshot: &Snapshot,
    ) -> HashMap<u32, Members> {
        let mut members: HashMap<u32, Members> = due
            .iter()
            .map(|(.., held)| (held.slot, Members::default()))
            .collect();
        let policy = &self.set.policies[self.compiled[index].policy];
        let (scope, is_log) = (policy.scope, matches!(policy.action, Action::Log { .. }));
        if scope == Scope::Server {
            return members;
        }
        let flags = &snapshot.sessions.flags;
        let rpc_ids: Vec<u64> = (0..snapshot.sessions.len())
            .filter(|&row| flags[row].is_rpc())
            .map(|row| snapshot.sessions.id[row])
            .collect();
        for session in history.connected() {
            for target in history.targets_of(scope, session).into_iter().flatten() {
                let Some(members) = members.get_mut(&target) else {
                    continue;
                };
                let reference = history.session(session);
                let flags = flags[history.row(session)];
                if rpc_ids.contains(&reference.id) {
                    members.ambiguous += 1;
                } else if flags.closing || self.is_exempt(index, history, snapshot, session) {
                    members.spared += 1;
                } else if is_log && flags.logged {
                    members.logged += 1;
                } else {
                    members.sessions.push(reference);
                }
            }
        }
        for members in members.values_mut() {
            members.sessions.sort_unstable();
        }
        members
    }

    /// Whether the configuration protects a session, or an `unless` that asks for nothing but its
    /// address or name exempts it even if its address or subnet is not exempt as a whole.
    fn is_exempt(
        &self,
        index: usize,
        history: &History,
        snapshot: &Snapshot,
        session: u32,
    ) -> bool {
        let client = history.client(Scope::Session, session);
        let name = client.map_or("", |client| history.client_name(client));
        let address = history.session(session).peer.0.map(|peer| peer.ip());
        if self.protection.covers(address, name) {
            return true;
        }
        let policy = &self.set.policies[self.compiled[index].policy];
        let facts = facts(&self.set, &self.compiled[index], history, snapshot);
        let unless = policy.unless.iter().flat_map(|unless| &unless.any);
        unless
            .filter(|all| all.tests.iter().all(Test::is_about_identity))
            .any(|all| {
                all.tests
                    .iter()
                    .all(|test| facts.member_holds(test, address, name))
            })
    }
}

fn facts<'a>(
    set: &'a crate::policy::PolicySet,
    compiled: &Compiled,
    history: &'a History,
    snapshot: &'a Snapshot,
) -> Facts<'a> {
    let policy = &set.policies[compiled.policy];
    Facts {
        set,
        history,
        snapshot,
        scope: policy.scope,
        include_private: policy.include_private,
    }
}

fn shown(facts: &Facts<'_>, field: Field, slot: u32) -> Arc<str> {
    match (field, facts.scope) {
        (Field::Address, Scope::Session) => match facts.history.session(slot).peer.0 {
            Some(peer) => peer.ip().to_string().into(),
            None => "unknown".into(),
        },
        (Field::Address, scope) => facts.history.target(scope, slot).to_string().into(),
        _ => facts.text(field, slot).unwrap_or_default().into(),
    }
}

/// `None` if there is nothing to decide: nobody is there to act on.
#[expect(
    clippy::option_option,
    reason = "no decision, a free one, or a barred one"
)]
fn bar(
    policy: &Policy,
    members: &Members,
    slot: u32,
    history: &History,
) -> Option<Option<Suppression>> {
    if !matches!(policy.action, Action::Disconnect | Action::Log { .. }) {
        return Some(None);
    }
    if policy.scope == Scope::Group && !history.has_certain_members(slot) {
        return Some(Some(Suppression::UncertainMembers));
    }
    if !members.sessions.is_empty() {
        return Some(None);
    }
    if members.logged > 0 {
        return Some(Some(Suppression::NothingToDo));
    }
    if members.ambiguous > 0 {
        return Some(Some(Suppression::AmbiguousId));
    }
    (members.spared > 0).then_some(Some(Suppression::Protection))
}

fn ratio(seen: f64, threshold: f64) -> f64 {
    if threshold > 0.0 {
        seen / threshold
    } else {
        1.0
    }
}

fn worse(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}
