//! What a person changed by hand.

use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Ban;

/// A change by hand. Each says how things are afterwards, so doing it again changes nothing: a recording may
/// have it both in what a segment begins with and in a poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManualAct {
    /// This ban, in the place of another of the same network.
    Ban(Ban),
    /// No ban of this network, nor of any within it.
    Unban(IpNet),
    /// No ban by this policy.
    UnbanPolicy(Arc<str>),
    /// No ban.
    UnbanAll,
    /// No strikes of this network or of any within it, and no mark of an earlier act on the clients in it.
    Pardon(IpNet),
}

impl ManualAct {
    /// Replaces the addresses in it; see [`Ban::map_addresses`].
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        match self {
            Self::Ban(ban) => ban.map_addresses(to),
            Self::Unban(net) | Self::Pardon(net) => *net = to(*net),
            Self::UnbanPolicy(_) | Self::UnbanAll => {}
        }
    }
}
