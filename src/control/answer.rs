//! What is answered. Times are milliseconds since the Unix epoch; texts are unescaped.

use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Place;
use crate::penalty::Ban;
use crate::policy::Mode;
use crate::time::Timestamp;

/// A line: what was asked for, or why not and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The request's own answer.
    Ok(serde_json::Value),
    /// What is wrong.
    Error(String),
}

impl Answer {
    pub(super) fn error(why: impl Into<String>) -> Self {
        Self::Error(why.into())
    }
}

/// Of `bans`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BansAnswer {
    /// The agent's mode: in dry-run bans of an earlier run may be in force, and no others.
    pub mode: Mode,
    /// As many bans are in force.
    pub total: usize,
    /// As many would be beside them, by decisions of dry-run.
    #[serde(default)]
    pub would_be: usize,
    /// Some of those that were asked for, the newest first.
    pub bans: Vec<BanRow>,
    /// What to ask for `after` these; nothing if they are the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Place>,
    /// Where bans take hold, beside the `LocalRPC`.
    pub sinks: Vec<SinkRow>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BanRow {
    /// As it is.
    #[serde(flatten)]
    pub ban: Ban,
    /// The strikes of its network now.
    pub strikes: f64,
}

/// How a sink stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkRow {
    /// Its name.
    pub name: String,
    /// Networks that it keeps out: bans without their holes.
    pub held: usize,
    /// Why it fails, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// Of `ban`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedAnswer {
    /// The ban. Its holes are the regulars and the protected addresses in it.
    #[serde(flatten)]
    pub ban: Ban,
    /// The end of the ban of the same network that it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Timestamp>,
}

/// Of `unban`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiftedAnswer {
    /// So many bans ended.
    pub bans: usize,
    /// The bans that go on, but for a hole.
    pub holed: Vec<IpNet>,
}

/// Of `pardon`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PardonedAnswer {
    /// Whose strikes.
    pub net: IpNet,
    /// So many strikes, of so many addresses and subnets.
    pub strikes: f64,
    /// See `strikes`.
    pub offenders: usize,
    /// So many clients may be regulars again without waiting a day.
    pub clients: usize,
    /// When the ban that still keeps it out ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banned_until: Option<Timestamp>,
}

/// Of `breaker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerAnswer {
    /// The policies that it has stopped.
    pub stopped: Vec<StoppedRow>,
    /// Until when all policies together leave regulars alone, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_used_up_until: Option<Timestamp>,
}

/// A policy that the breaker has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedRow {
    /// Which.
    pub policy: Arc<str>,
    /// Until when.
    pub until: Timestamp,
}

/// Of `breaker-close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAnswer {
    /// The policy that goes on.
    pub policy: String,
}
