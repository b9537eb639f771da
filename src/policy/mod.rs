//! Policies, checked: scope, tests, times, action. What is here can be evaluated as it stands.
//!
//! Parsing and its diagnostics are in the parts; evaluation is the engine's.

mod action;
pub mod bounds;
mod condition;
mod diagnostic;
mod implication;
mod lint;
mod list;
mod load;
mod lone;
mod margin;
mod registry;
mod set;
mod shipped;
mod source;
mod syntax;
mod table;
mod test;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::daemon::Address;
use crate::field::{Dimension, Field, Kind, Scope};
use crate::slots::Part;
use crate::version::Version;

/// What the agent's configuration is read with too.
pub(crate) mod reading {
    pub(crate) use super::bounds::{bad_quantity, duration, out_of_bounds, quota, strict_quota};
    pub(crate) use super::diagnostic::{Findings, by_nearness, closest};
    pub(crate) use super::list::{canonical, parse_net};
    pub(crate) use super::load::read_bounded;
    pub(crate) use super::registry::{bad_entry, host_bits, unreadable};
    pub(crate) use super::set::{Document, mode, unknown_word};
    pub(crate) use super::source::{Place, Text, Written, word};
    pub(crate) use super::table::{Entry, Node, TOP, Table, listed};
    pub(crate) use super::test::regex;
}

pub use diagnostic::{Diagnostic, Problem};
pub use lint::Capabilities;
pub use list::{AddressSet, List, ListFile};
pub use load::read_list;
pub use lone::LoneTest;
pub use margin::Margin;
pub use set::{Checked, PolicySet, ReadList, check, check_within};
pub use shipped::shipped;
pub use source::Source;

/// Whether decisions are carried out; of two modes the weaker wins.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Not evaluated at all.
    Off,
    /// Evaluated, limited, journalled; nothing is done.
    #[default]
    DryRun,
    /// Carried out.
    Enforce,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::DryRun => "dry-run",
            Self::Enforce => "enforce",
        })
    }
}

/// What a policy wants done. Credentials are not part of it: daemons are named by their addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Close the sessions.
    Disconnect,
    /// Close the sessions, and keep whoever did it out for a while.
    Ban {
        /// How long.
        duration: Duration,
    },
    /// Close sessions while slots are short, those first that are missed least.
    Evict {
        /// Until such a part of the slots is free.
        keep_free: Part,
    },
    /// Have the server log the sessions for a while.
    Log {
        /// How long.
        duration: Duration,
    },
    /// Have the server change its daemon.
    DaemonUrl {
        /// Where to.
        to: DaemonTarget,
    },
    /// Only say so, in the log and the journal.
    Alert,
}

impl Action {
    /// The kind, as in the configuration's budgets.
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Disconnect => ActionKind::Disconnect,
            Self::Ban { .. } => ActionKind::Ban,
            Self::Evict { .. } => ActionKind::Evict,
            Self::Log { .. } => ActionKind::Log,
            Self::DaemonUrl { .. } => ActionKind::DaemonUrl,
            Self::Alert => ActionKind::Alert,
        }
    }
}

/// The kinds of action; each has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// See [`Action::Disconnect`].
    Disconnect,
    /// See [`Action::Ban`].
    Ban,
    /// See [`Action::Evict`].
    Evict,
    /// See [`Action::Log`].
    Log,
    /// See [`Action::DaemonUrl`].
    DaemonUrl,
    /// See [`Action::Alert`].
    Alert,
}

impl ActionKind {
    /// Whether it is done to sessions one by one, and not to the target or the server as a whole.
    pub const fn is_done_to_sessions(self) -> bool {
        self.disconnects() || matches!(self, Self::Log)
    }

    /// Whether the sessions it is done to are closed.
    pub const fn disconnects(self) -> bool {
        self.blames() || matches!(self, Self::Evict)
    }

    /// Whether it says of those whose sessions are closed that they did wrong, and is remembered.
    pub const fn blames(self) -> bool {
        matches!(self, Self::Disconnect | Self::Ban)
    }

    /// The kind out of whose budget it is done: bans and evictions disconnect, too.
    #[must_use]
    pub const fn budget(self) -> Self {
        if self.disconnects() {
            Self::Disconnect
        } else {
            self
        }
    }

    /// As written in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Ban => "ban",
            Self::Evict => "evict",
            Self::Log => "log",
            Self::DaemonUrl => "daemon_url",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where `daemon_url` points the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonTarget {
    /// The first daemon of the agent's configuration.
    Primary,
    /// Of the configuration's daemons the first healthy one, in their order, at the best height.
    Best,
    /// The server's own `DAEMON_URL`: no credentials travel.
    Default,
    /// Daemons of the configuration, from 1 to [`DAEMONS_MAX`](bounds::DAEMONS_MAX), the first of
    /// them to be gone to.
    List(Arc<[Address]>),
}

/// So many a span of time; a policy's `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quota {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// After an act that failed, the hold time doubles; a policy's `backoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backoff {
    /// It grows no longer than this, which is no shorter than the hold time itself.
    pub max: Duration,
    /// After so long without a failure it is as before.
    pub reset: Duration,
}

impl Backoff {
    /// What a hold time of `hold` comes to after so many failures.
    pub fn hold(self, hold: Duration, failures: u32) -> Duration {
        let times = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
        hold.saturating_mul(times).min(self.max).max(hold)
    }
}

/// A checked policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Unique within a set.
    pub name: Arc<str>,
    /// What it is for, in a sentence.
    pub about: String,
    /// What it looks at.
    pub scope: Scope,
    /// When it wants to act.
    pub when: Condition,
    /// What it leaves alone all the same. A test that cannot be told counts as held here.
    pub unless: Option<Condition>,
    /// Over which windowed fields are taken.
    pub window: Duration,
    /// How long `when` must hold without a break.
    pub hold: Duration,
    /// When it does not wait for that.
    pub at_once: Option<Condition>,
    /// How much longer `when` must hold after failures.
    pub backoff: Option<Backoff>,
    /// What it wants done.
    pub action: Action,
    /// What it wants done to those who do it again, by strikes: the second takes the first of these, and
    /// so on. The last one stays. Each disconnects or bans, none more mildly than the one before.
    pub further: Vec<Action>,
    /// Before the same target is acted on again.
    pub cooldown: Duration,
    /// Targets acted on, for this policy alone: within any such span of time never more.
    pub limit: Option<Quota>,
    /// Its own mode.
    pub mode: Mode,
    /// Whether `address` and `subnet` take in private, loopback and unknown peers.
    pub include_private: bool,
    /// Of a target that is many sessions, which it acts on.
    pub members: Members,
}

/// Which sessions of a target a policy acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Members {
    /// Those who did it, until the rest no longer meets the test.
    #[default]
    Guilty,
    /// All of them.
    All,
}

impl Policy {
    /// All that it looks at.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        std::iter::once(&self.when)
            .chain(&self.at_once)
            .chain(&self.unless)
    }

    /// What it wants done to whoever has so many strikes already.
    pub fn rung(&self, strikes: usize) -> &Action {
        let further = strikes.min(self.further.len()).checked_sub(1);
        further.map_or(&self.action, |place| &self.further[place])
    }

    /// Whether it bans, now or later.
    pub fn bans(&self) -> bool {
        let mut actions = std::iter::once(&self.action).chain(&self.further);
        actions.any(|action| action.kind() == ActionKind::Ban)
    }

    /// The tests of a table of `when` that are of the target itself. What is around it only restricts
    /// whom these find, and says nothing of who did it.
    pub(crate) fn own_tests<'t>(&self, all: &'t AllOf) -> impl Iterator<Item = &'t Test> + Clone {
        let scope = self.scope;
        all.tests.iter().filter(move |test| test.scope == scope)
    }

    /// Of a policy that evicts, the part of the slots that it keeps free.
    pub const fn keeps_free(&self) -> Option<Part> {
        match self.action {
            Action::Evict { keep_free } => Some(keep_free),
            _ => None,
        }
    }

    /// The scope of the targets of its decisions: who goes while slots are short is about the server.
    pub fn decides_on(&self) -> Scope {
        self.keeps_free().map_or(self.scope, |_| Scope::Server)
    }

    /// Whether its targets are many sessions, of which it acts on those who did it.
    pub fn asks_who(&self) -> bool {
        self.members == Members::Guilty
            && self.action.kind().is_done_to_sessions()
            && !matches!(self.scope, Scope::Server | Scope::Session)
    }
}

/// Any of several tables.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Never empty.
    pub any: Vec<AllOf>,
}

/// A table: all its tests must hold.
#[derive(Clone, Debug)]
pub struct AllOf {
    /// Never empty.
    pub tests: Vec<Test>,
}

/// A field and what it must be.
#[derive(Clone, Debug)]
pub struct Test {
    /// Whose field it is: the policy's own scope, or one of its
    /// [surroundings](Scope::surroundings).
    pub scope: Scope,
    /// The field.
    pub field: Field,
    /// The method, of a field that has one.
    pub method: Option<Arc<str>>,
    /// What it must be.
    pub predicate: Predicate,
    /// The field as written, for people.
    pub field_written: Arc<str>,
    /// The test as written, for people.
    pub written: Arc<str>,
}

impl Test {
    /// Whether it demands that a number exceeds something.
    pub(crate) const fn is_upward(&self) -> bool {
        matches!(&self.predicate, Predicate::Compare(comparison, _) if comparison.is_upwards())
    }

    /// Whether all pass it but those that it names: `!=`, `!~`, `not in`.
    pub(super) const fn excludes(&self) -> bool {
        match &self.predicate {
            Predicate::Compare(comparison, _) | Predicate::Version(comparison, _) => {
                matches!(comparison, Comparison::NotEqual)
            }
            Predicate::Equals { negated, .. }
            | Predicate::Matches { negated, .. }
            | Predicate::In { negated, .. } => *negated,
            Predicate::Is(_) => false,
        }
    }

    /// For how long something must have been so, if the test asks for a time.
    pub(super) fn waits(&self) -> Duration {
        match (&self.predicate, self.field.info().kind) {
            (
                Predicate::Compare(_, Threshold::Fixed(seconds)),
                Kind::Number(Dimension::Duration),
            ) => Duration::try_from_secs_f64(*seconds).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// What a test demands.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// A number compares so with the threshold.
    Compare(Comparison, Threshold),
    /// A version compares so with this one.
    Version(Comparison, Version),
    /// A flag is so.
    Is(bool),
    /// Text equals this (`==`), or with `negated` does not (`!=`).
    Equals {
        /// The text.
        text: Arc<str>,
        /// `!=`.
        negated: bool,
    },
    /// Text matches (`=~`), or with `negated` does not (`!~`).
    Matches {
        /// The pattern.
        regex: Regex,
        /// `!~`.
        negated: bool,
    },
    /// Text or address is in the list, or with `negated` is not.
    In {
        /// The list.
        list: ListId,
        /// `not in`.
        negated: bool,
    },
}

/// `>`, `>=`, `<`, `<=`, `==`, `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// What a number is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// A fixed quantity, in the unit of the field's dimension.
    Fixed(f64),
    /// So many times what is normal among the scope's targets in this snapshot. Does not hold
    /// where fewer than [`POPULATION_MIN`] of them have a value.
    Population {
        /// Multiplies the quantile.
        times: f64,
        /// From 0 to 1; 0.5 is the median.
        quantile: f64,
    },
}

/// Below this many targets with a value nothing is called normal.
pub const POPULATION_MIN: usize = 20;

/// A list in a [`PolicySet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub usize);
