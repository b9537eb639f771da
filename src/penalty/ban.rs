//! A ban: whom it keeps out, why, and until when.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::pieces;
use crate::time::Timestamp;

/// Whose word a ban is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BannedBy {
    /// A policy's; the journal has the decision.
    Policy(Arc<str>),
    /// A person's.
    Hand {
        /// The user's name and number, as the system has them.
        user: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
}

/// Unescaped: `policy hog`, `user (1000): scans`.
impl fmt::Display for BannedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Hand { user, reason } if reason.is_empty() => write!(f, "{user}"),
            Self::Hand { user, reason } => write!(f, "{user}: {reason}"),
        }
    }
}

/// A network that is kept out for a while, but for its holes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The network.
    pub net: IpNet,
    /// Parts of it that are not kept out: protected addresses, and those of regulars.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub holes: Vec<IpNet>,
    /// Since when.
    pub begin: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// Whose word it is.
    pub by: BannedBy,
    /// Sessions that came all the same and were disconnected for it.
    #[serde(default)]
    pub kept_out: u64,
}

impl Ban {
    /// Whether it keeps an address out.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.net.contains(&address) && !self.holes.iter().any(|hole| hole.contains(&address))
    }

    /// Replaces the addresses in it. A person's reason is left out, for it may have addresses in it.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        self.net = to(self.net);
        for hole in &mut self.holes {
            *hole = to(*hole);
        }
        if let BannedBy::Hand { reason, .. } = &mut self.by {
            *reason = "".into();
        }
    }

    /// The networks that it comes to without its holes.
    pub fn pieces(&self) -> Vec<IpNet> {
        pieces(self.net, &self.holes)
    }
}
