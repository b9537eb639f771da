//! Sinks enforce bans: each keeps networks out by its own means, and knows nothing of policies.

pub mod nftables;

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::time::Timestamp;

/// Bans that are new or changed, and bans that were lifted.
///
/// A network is one address or more, IPv4 or IPv6, and may be part of another. Bits behind its prefix are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Networks to keep out, each with its end, which replaces an earlier one.
    pub held: Vec<(IpNet, Timestamp)>,
    /// Networks to let in again, whether or not they are kept out. A network that is also held stays out.
    pub lifted: Vec<IpNet>,
}

/// All networks to keep out, each with its end.
pub type Desired = BTreeMap<IpNet, Timestamp>;
