//! Policies made ready: tests with the columns they read and the verdicts they ask for.

use std::time::Duration;

use super::hold::{Held, Holds};
use super::resume::Resumed;
use super::verdicts::{DirectId, Question, Universe, VerdictId, Verdicts};
use crate::field::{Field, Scope};
use crate::history::{ColumnId, Plan};
use crate::policy::{
    AllOf, Comparison, Condition, Mode, Policy, PolicySet, Predicate, Test, Threshold,
};

/// A policy with what it needs at each poll.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: usize,
    pub(super) when: Vec<Table>,
    pub(super) at_once: Vec<Table>,
    pub(super) unless: Vec<Table>,
    pub(super) holds: Holds,
    pub(super) resumed: Resumed,
    /// The slots for which it holds at this poll, in ascending order, each with its table.
    pub(super) holding: Vec<(u32, usize)>,
    /// Those of them that need not wait, each with its table of `at_once`.
    pub(super) at_once_now: Vec<(u32, usize)>,
    /// Whether it looks at nothing but what is known while no poll succeeds, so that it can be judged then.
    pub(super) is_blind: bool,
}

impl Compiled {
    /// The table of `at_once` that holds for a slot now.
    pub(super) fn at_once(&self, slot: u32) -> Option<usize> {
        let now = &self.at_once_now;
        let found = now.binary_search_by_key(&slot, |&(slot, _)| slot).ok()?;
        Some(now[found].1)
    }

    /// Whether it is due for a target, of a policy whose hold time is `hold`.
    pub(super) fn is_due(&self, held: &Held, hold: Duration) -> bool {
        held.duration >= hold || self.at_once(held.slot).is_some()
    }
}

/// A table of tests, cheap ones first.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) probes: Vec<Probe>,
}

impl Table {
    /// The tests of the policy's own scope.
    pub(super) fn own_probes(&self, scope: Scope) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(move |probe| probe.scope == scope)
    }
}

/// A test as it is carried out.
#[derive(Debug)]
pub(super) struct Probe {
    /// Its place in the policy's table.
    pub(super) test: usize,
    /// Whose field it looks at: the policy's own scope, or one around it.
    pub(super) scope: Scope,
    pub(super) how: How,
}

/// The ways to carry out a test.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// A number.
    Compare {
        column: ColumnId,
        comparison: Comparison,
        threshold: Threshold,
    },
    /// A flag.
    Is { column: ColumnId, wanted: bool },
    /// A text or address with a slot of its own.
    Verdict {
        field: Field,
        verdict: VerdictId,
        negated: bool,
    },
    /// A text of which a server has few: no verdict is kept.
    Direct {
        field: Field,
        question: DirectId,
        negated: bool,
    },
}

impl How {
    /// The column that it reads.
    pub(super) const fn column(self) -> Option<ColumnId> {
        match self {
            Self::Compare { column, .. } | Self::Is { column, .. } => Some(column),
            Self::Verdict { .. } | Self::Direct { .. } => None,
        }
    }

    const fn cost(self) -> u8 {
        match self {
            Self::Compare { .. } | Self::Is { .. } => 1,
            Self::Verdict { .. } => 3,
            Self::Direct { .. } => 4,
        }
    }
}

impl Probe {
    /// What is asked of all targets once comes first; then what stands in a column.
    fn cost(&self, policy: &Policy) -> u8 {
        match self.how {
            _ if self.scope == policy.scope => self.how.cost(),
            _ if self.scope == Scope::Server => 0,
            _ => 1 + self.how.cost(),
        }
    }
}

pub(super) fn compile(set: &PolicySet, plan: &Plan, verdicts: &mut Verdicts) -> Vec<Compiled> {
    let active = set
        .policies
        .iter()
        .enumerate()
        .filter(|(_, p)| p.mode != Mode::Off);
    active
        .map(|(index, policy)| {
            let mut tables = |condition: &Condition| {
                condition
                    .any
                    .iter()
                    .map(|all| table(policy, all, plan, verdicts))
                    .collect()
            };
            Compiled {
                policy: index,
                when: tables(&policy.when),
                at_once: policy.at_once.as_ref().map(&mut tables).unwrap_or_default(),
                unless: policy.unless.as_ref().map(&mut tables).unwrap_or_default(),
                holds: Holds::default(),
                resumed: Resumed::default(),
                holding: Vec::new(),
                at_once_now: Vec::new(),
                is_blind: is_blind(policy),
            }
        })
        .collect()
}

/// An `at_once` of something else does not hold while that is not known, and blinds nobody.
fn is_blind(policy: &Policy) -> bool {
    let conditions = std::iter::once(&policy.when).chain(&policy.unless);
    let mut tests = conditions
        .flat_map(|condition| &condition.any)
        .flat_map(|all| &all.tests);
    policy.scope == Scope::Server && tests.all(|test| test.field.is_known_while_down())
}

fn table(policy: &Policy, all: &AllOf, plan: &Plan, verdicts: &mut Verdicts) -> Table {
    let mut probes: Vec<Probe> = all
        .tests
        .iter()
        .enumerate()
        .map(|(test, written)| Probe {
            test,
            scope: written.scope,
            how: how(policy, written, plan, verdicts),
        })
        .collect();
    probes.sort_by_key(|probe| probe.cost(policy));
    Table { probes }
}

fn how(policy: &Policy, test: &Test, plan: &Plan, verdicts: &mut Verdicts) -> How {
    let column = || plan.column(policy, test);
    let (question, negated) = match &test.predicate {
        Predicate::Compare(comparison, threshold) => {
            let (comparison, threshold) = (*comparison, *threshold);
            return How::Compare {
                column: column(),
                comparison,
                threshold,
            };
        }
        Predicate::Is(wanted) => {
            return How::Is {
                column: column(),
                wanted: *wanted,
            };
        }
        Predicate::Version(comparison, version) => {
            (Question::Version(*comparison, *version), false)
        }
        Predicate::Equals { text, negated } => (Question::Equals((**text).into()), *negated),
        Predicate::Matches { regex, negated } => (Question::Matches(regex.clone()), *negated),
        Predicate::In { list, negated } => (Question::InList(*list), *negated),
    };
    let field = test.field;
    let universe = match (test.scope, field) {
        (Scope::Session, Field::Address) => Universe::Session,
        (Scope::Address, Field::Address) => Universe::Address,
        (Scope::Subnet, Field::Address) => Universe::Subnet,
        (Scope::Session | Scope::Client, Field::Client | Field::ClientVersion) => Universe::Client,
        (Scope::Group, Field::Group) => Universe::Group,
        _ => {
            return How::Direct {
                field,
                question: verdicts.register_direct(question),
                negated,
            };
        }
    };
    How::Verdict {
        field,
        verdict: verdicts.register(universe, question),
        negated,
    }
}
