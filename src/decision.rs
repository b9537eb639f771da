//! What the core says should happen and why, as data; and what came of it.
//!
//! Nothing here decides or acts: the engine makes decisions, the limits rule on them, one module
//! carries them out, the journal keeps them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::daemon::Address;
use crate::field::{Dimension, Scope};
use crate::policy::{Action, Mode};
use crate::time::Timestamp;
use crate::units;

/// The RPC connection that evidence was read over: what was read in one epoch may only be acted on
/// in the same. Counts up within one run of the agent.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The peer as the server names it; `unknown` where the server does not know it either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self(text.parse().ok()))
    }
}

/// A client session: its ID is unique on one server run only, so peer and start belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionRef {
    /// The server's ID.
    pub id: u64,
    /// The peer.
    pub peer: Peer,
    /// When it connected, by the agent's clock: the poll's time less the session's age.
    pub since: Timestamp,
}

/// What a decision is about. Clients choose names and addresses: escape before showing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "target", rename_all = "lowercase")]
pub enum Target {
    /// The server.
    Server,
    /// One session.
    Session(SessionRef),
    /// An address: /32 or /64.
    Address(IpNet),
    /// A subnet.
    Subnet(IpNet),
    /// A group, by the server's name.
    Group(Arc<str>),
    /// A client name.
    Client(Arc<str>),
}

impl Target {
    /// Its scope.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Server => Scope::Server,
            Self::Session(_) => Scope::Session,
            Self::Address(_) => Scope::Address,
            Self::Subnet(_) => Scope::Subnet,
            Self::Group(_) => Scope::Group,
            Self::Client(_) => Scope::Client,
        }
    }
}

/// Unescaped, without the scope: `42 (1.2.3.4:5678)`, `10.0.0.0/24`, `electrum/4.5`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Session(session) => write!(f, "{} ({})", session.id, session.peer),
            Self::Address(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Address(net) | Self::Subnet(net) => net.fmt(f),
            Self::Group(name) | Self::Client(name) => f.write_str(name),
        }
    }
}

/// A value as a test saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seen {
    /// A flag.
    Flag(bool),
    /// A number, in the unit of the field's dimension (bytes, seconds, 0 to 1).
    Number(f64),
    /// Text or an address; unescaped.
    Text(Arc<str>),
}

impl Seen {
    /// In words, with the unit of a number; unescaped.
    pub fn words(&self, dimension: Option<Dimension>) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => units::format(*number, dimension.unwrap_or(Dimension::Count)),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// One test that held, with what it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The field, as the policy names it.
    pub field: Arc<str>,
    /// The test as the policy has it: `> 1 MiB/s`.
    pub test: Arc<str>,
    /// The value seen.
    pub seen: Seen,
    /// What a numeric test compared with; `20x median` comes out as a number here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// The dimension of `seen` and `threshold`, if they are numbers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dimension: Option<Dimension>,
}

/// Of a target that is many sessions: on whom the decision falls, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// How it was told who did it.
    pub by: ChosenBy,
    /// The field, as the policy names it.
    pub field: Arc<str>,
    /// Members that may be acted on.
    pub members: u32,
    /// Those of them that are chosen.
    pub chosen: u32,
    /// Of these, whose own part is out of the ordinary.
    pub outliers: u32,
    /// Of these, the strangers that are not.
    pub strangers: u32,
    /// Regulars that are left alone.
    pub regulars: u32,
    /// What those come to who are left.
    pub rest: f64,
    /// Whether they still meet the tests: whoever else has a part in it is a regular, and does as
    /// others do.
    #[serde(default)]
    pub is_still_met: bool,
    /// What the test compares with.
    pub threshold: f64,
    /// The dimension of `rest` and `threshold`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dimension: Option<Dimension>,
}

/// How it was told who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// By each one's own part.
    Part,
    /// By which addresses came and went.
    Visits,
    /// By who came last.
    Newest,
    /// By who is missed least while slots are short: outliers are idle, strangers are not.
    Eviction,
}

/// In words: `13 of 19 sessions (1 out of the ordinary, 12 strangers), leaving sent_rate at 995 KiB/s`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = if self.members == 1 {
            "session"
        } else {
            "sessions"
        };
        let rest = units::format(self.rest, self.dimension.unwrap_or(Dimension::Count));
        let (chosen, members, field) = (self.chosen, self.members, &self.field);
        match (chosen, self.is_still_met) {
            (0, _) if self.by == ChosenBy::Eviction => write!(
                f,
                "none of {members} {sessions} ({} of regulars): nobody may go, with {field} at {rest}",
                self.regulars
            ),
            (0, true) => write!(
                f,
                "none of {members} {sessions} ({} of regulars): nobody stands out, with {field} at \
                 {rest}",
                self.regulars
            ),
            (0, false) => write!(
                f,
                "none of {members} {sessions}: whoever did it is gone, leaving {field} at {rest}"
            ),
            (_, is_still_met) => {
                let who = self.who();
                write!(
                    f,
                    "{chosen} of {members} {sessions} ({who}), leaving {field} at {rest}"
                )?;
                if is_still_met && self.by == ChosenBy::Eviction {
                    f.write_str(", which is not enough, but nobody else may go")?;
                } else if is_still_met {
                    f.write_str(", which still meets the test, but nobody else stands out")?;
                }
                Ok(())
            }
        }
    }
}

impl Choice {
    /// What those who are chosen have in common.
    fn who(&self) -> String {
        let strangers = if self.strangers == 1 {
            "1 stranger".to_owned()
        } else {
            format!("{} strangers", self.strangers)
        };
        match (self.by, self.outliers, self.strangers) {
            (ChosenBy::Eviction, idle, 0) => format!("{idle} idle"),
            (ChosenBy::Eviction, 0, _) => format!("{strangers}, none idle"),
            (ChosenBy::Eviction, idle, _) => format!("{idle} idle, {strangers}"),
            (ChosenBy::Newest, ..) => "the newest".to_owned(),
            (ChosenBy::Visits, ..) => "new ones, of addresses that come and go".to_owned(),
            (ChosenBy::Part, outliers, 0) => format!("{outliers} out of the ordinary"),
            (ChosenBy::Part, 0, _) => strangers,
            (ChosenBy::Part, outliers, _) => {
                format!("{outliers} out of the ordinary, {strangers}")
            }
        }
    }
}

/// A network that a decision keeps out, beside disconnecting who is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BanOrder {
    /// The network.
    pub net: IpNet,
    /// Until when.
    pub until: Timestamp,
    /// Its strikes before this one, as far as they have not faded.
    pub strikes: f64,
    /// Protected addresses and those of regulars, which are not kept out.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub holes: Vec<IpNet>,
}

/// A network that its strikes would keep out, and why it is only disconnected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRefusal {
    /// The network.
    pub net: IpNet,
    /// Why.
    #[serde(flatten)]
    pub why: NoBan,
}

/// Why a network is not banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum NoBan {
    /// Regulars are there, or were not long ago.
    Regulars,
    /// A protected client is there.
    Protected,
    /// It is the server's own, or the agent's.
    Own,
    /// The budget of bans is used up.
    Limit {
        /// Until when, for one at least.
        until: Timestamp,
    },
}

impl NoBan {
    /// As in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Regulars => "regulars",
            Self::Protected => "protected",
            Self::Own => "own",
            Self::Limit { .. } => "limit",
        }
    }
}

impl fmt::Display for NoBan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regulars => "regulars share it",
            Self::Protected => "a protected client shares it",
            Self::Own => "it is the server's own",
            Self::Limit { .. } => "the budget of bans is used up",
        })
    }
}

/// What a policy wants for one target now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When: the time of the snapshot.
    pub at: Timestamp,
    /// The connection that read the evidence.
    pub epoch: Epoch,
    /// The policy's name.
    pub policy: Arc<str>,
    /// The policy's own mode; the agent's may be weaker.
    pub mode: Mode,
    /// What it wants.
    pub action: Action,
    /// For what.
    #[serde(flatten)]
    pub target: Target,
    /// The tests that held, in the policy's order: those of `when`, then those of `at_once`.
    pub evidence: Vec<Evidence>,
    /// For how long they have held without a break.
    pub held: Duration,
    /// The greatest ratio of a value seen to its threshold; 1 where no test compares numbers
    /// upwards. The worst offender is served first.
    pub severity: f64,
    /// The sessions to act on: the target's members less those spared. Empty for the server.
    pub sessions: Vec<SessionRef>,
    /// Members left alone: RPC, closing, protected.
    pub spared: u32,
    /// Of a target that is many sessions, on whom it falls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub choice: Option<Choice>,
    /// Whether the policy's `at_once` holds too, so that it need not wait for `for`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub at_once: bool,
    /// Whom it keeps out. Sessions from elsewhere are disconnected, and no more.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub bans: Vec<BanOrder>,
    /// Whom it would keep out by their strikes, and does not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub refused: Vec<BanRefusal>,
    /// Of `daemon_url`: where to, in order. Empty where that is the server's own list, or where it
    /// cannot be told.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub daemons: Vec<Address>,
}

impl Decision {
    /// How long the longest of its bans lasts, if there is any.
    pub fn bans_for(&self) -> Option<Duration> {
        self.bans.iter().map(|ban| ban.until.since(self.at)).max()
    }

    /// Has the action say what is wanted of the worst of them: a ban, if there is any.
    pub(crate) fn settle_action(&mut self) {
        if !self.action.kind().blames() {
            return;
        }
        self.action = self
            .bans_for()
            .map_or(Action::Disconnect, |duration| Action::Ban { duration });
    }
}

/// Why a decision is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Suppression {
    /// Every member is protected by the configuration, closing, or an RPC connection.
    Protection,
    /// The policy acted on this target not long ago.
    Cooldown {
        /// When it may again.
        until: Timestamp,
    },
    /// After failures the policy's tests must hold for longer than they have.
    Backoff {
        /// For how long.
        hold: Duration,
        /// After so many failures.
        failures: u32,
    },
    /// The policy's own limit is used up.
    PolicyLimit {
        /// When it may again.
        until: Timestamp,
    },
    /// The budget of this kind of action is used up.
    ActionLimit {
        /// When it may again, for one at least.
        until: Timestamp,
    },
    /// The policy was to disconnect too large a share of the regulars; a person must look.
    Breaker {
        /// When it closes by itself.
        until: Timestamp,
    },
    /// All policies together have disconnected as many regulars as they may, and everybody here is one.
    ShareOfAll {
        /// When they may disconnect one more, if the crowd stays as large.
        until: Timestamp,
    },
    /// An earlier decision of the same poll covers every session of this one.
    Covered {
        /// The policy that does.
        policy: Arc<str>,
    },
    /// Whoever it is about is banned already, and is kept out.
    Banned {
        /// Until when, the last of them.
        until: Timestamp,
    },
    /// Which sessions make up the group is not certain.
    UncertainMembers,
    /// An RPC connection bears the same ID: `disconnect` could hit either.
    AmbiguousId,
    /// Nothing to change: every session is logged already.
    NothingToDo,
    /// Nobody of the target's members did it: those who did are gone or spared, or all are regulars
    /// and none of them is out of the ordinary.
    NobodyStandsOut,
    /// The server must not go to that daemon now.
    UnfitDaemon {
        /// Why, with the daemon's address.
        why: String,
    },
}

impl Suppression {
    /// Every name.
    pub const NAMES: [&str; 14] = [
        "protection",
        "cooldown",
        "backoff",
        "policy-limit",
        "action-limit",
        "breaker",
        "share-of-all",
        "covered",
        "banned",
        "uncertain-members",
        "ambiguous-id",
        "nothing-to-do",
        "nobody-stands-out",
        "unfit-daemon",
    ];

    /// The stable word for it.
    pub const fn word(&self) -> &'static str {
        let [
            protection,
            cooldown,
            backoff,
            policy_limit,
            action_limit,
            breaker,
            share_of_all,
            covered,
            banned,
            uncertain_members,
            ambiguous_id,
            nothing_to_do,
            nobody_stands_out,
            unfit_daemon,
        ] = Self::NAMES;
        match self {
            Self::Protection => protection,
            Self::Cooldown { .. } => cooldown,
            Self::Backoff { .. } => backoff,
            Self::PolicyLimit { .. } => policy_limit,
            Self::ActionLimit { .. } => action_limit,
            Self::Breaker { .. } => breaker,
            Self::ShareOfAll { .. } => share_of_all,
            Self::Covered { .. } => covered,
            Self::Banned { .. } => banned,
            Self::UncertainMembers => uncertain_members,
            Self::AmbiguousId => ambiguous_id,
            Self::NothingToDo => nothing_to_do,
            Self::NobodyStandsOut => nobody_stands_out,
            Self::UnfitDaemon { .. } => unfit_daemon,
        }
    }

    /// When it ends, if it ends by itself at a time that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Cooldown { until }
            | Self::PolicyLimit { until }
            | Self::ActionLimit { until }
            | Self::Breaker { until }
            | Self::ShareOfAll { until }
            | Self::Banned { until } => Some(*until),
            Self::Protection
            | Self::Backoff { .. }
            | Self::Covered { .. }
            | Self::UncertainMembers
            | Self::AmbiguousId
            | Self::NothingToDo
            | Self::NobodyStandsOut
            | Self::UnfitDaemon { .. } => None,
        }
    }
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Committed before the act; stays so only if the agent died in between.
    Intended,
    /// Done; the server's words.
    Executed {
        /// What the server said, redacted and bounded.
        detail: String,
    },
    /// Would have been done.
    DryRun,
    /// Held back.
    Suppressed(Suppression),
    /// Tried, and the server refused or the connection broke.
    Failed {
        /// The server's words, redacted and bounded.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_says_who_and_why() {
        let choice = Choice {
            by: ChosenBy::Part,
            field: "sent_rate".into(),
            members: 31,
            chosen: 13,
            outliers: 1,
            strangers: 12,
            regulars: 4,
            rest: 1_024.0,
            is_still_met: false,
            threshold: 1_048_576.0,
            dimension: Some(Dimension::ByteRate),
        };
        let told = |change: &dyn Fn(&mut Choice)| {
            let mut changed = choice.clone();
            change(&mut changed);
            changed.to_string()
        };
        assert_eq!(
            told(&|_| ()),
            "13 of 31 sessions (1 out of the ordinary, 12 strangers), leaving sent_rate at 1 KiB/s"
        );
        assert_eq!(
            told(&|it| (it.chosen, it.outliers, it.strangers) = (1, 0, 1)),
            "1 of 31 sessions (1 stranger), leaving sent_rate at 1 KiB/s"
        );
        assert_eq!(
            told(&|it| (it.chosen, it.strangers, it.is_still_met) = (1, 0, true)),
            "1 of 31 sessions (1 out of the ordinary), leaving sent_rate at 1 KiB/s, which still \
             meets the test, but nobody else stands out"
        );
        assert_eq!(
            told(&|it| it.by = ChosenBy::Visits),
            "13 of 31 sessions (new ones, of addresses that come and go), leaving sent_rate at 1 KiB/s"
        );
        assert_eq!(
            told(&|it| (it.by, it.field, it.rest, it.dimension) =
                (ChosenBy::Newest, "sessions".into(), 18.0, None)),
            "13 of 31 sessions (the newest), leaving sessions at 18"
        );
        assert_eq!(
            told(&|it| (it.chosen, it.regulars, it.is_still_met) = (0, 31, true)),
            "none of 31 sessions (31 of regulars): nobody stands out, with sent_rate at 1 KiB/s"
        );
        assert_eq!(
            told(&|it| it.chosen = 0),
            "none of 31 sessions: whoever did it is gone, leaving sent_rate at 1 KiB/s"
        );
    }
}
