//! Whether an act helped: loads before it and afterwards, as data.
//!
//! This is for people. No policy, limit or breaker looks at it: an attacker who stays quiet for five minutes
//! to make an act look useful, or loud to make it look useless, changes nothing but what is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::seconds;

/// How long after an act the first look is.
pub const SOON: Duration = Duration::from_secs(30);

/// How long after an act the last look is.
pub const LATER: Duration = Duration::from_secs(300);

/// A look that is later than this beyond its time tells of something else, and is none.
pub const LATE_MAX: Duration = Duration::from_secs(60);

/// Loads around an act.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relief {
    /// At the poll that decided it.
    pub before: Load,
    /// [`SOON`] after it; `None` if no poll succeeded then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soon: Option<Load>,
    /// [`LATER`] after it; `None` if no poll succeeded then, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Load>,
}

/// The load at a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The target's part. Of a session it is that of its address. `None` where it stands for nobody in particular: of a
    /// session from a private peer, of a group, of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Traffic>,
    /// All clients' part.
    pub clients: Traffic,
    /// Requests that the server has not answered.
    pub pending_requests: u64,
    /// What the canary felt; `None` without one, or while it was not served.
    #[serde(
        rename = "felt_latency_s",
        with = "seconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub felt_latency: Option<Duration>,
}

/// What sessions do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connected now.
    pub sessions: u64,
    /// Bytes received and sent a second between the last two polls, of those connected now; `None` if the poll follows
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<f64>,
}
