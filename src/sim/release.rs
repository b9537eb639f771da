//! The releases of `ElectrumX` that the simulation can pass for, and what sets each apart.
//!
//! Every fact here comes from a capture of that release or from its sources. Wording of replies
//! lives with the methods; this file answers "which of the ways is it?".

use std::fmt;

/// A release whose replies the simulation gives.
///
/// Ordered by age, so that "from 1.6 on" reads `release >= Release::V1_6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// kyuupichan 0.10.2: 12 columns, bare lists as parameters, no `daemon_url`.
    V0_10_2,
    /// kyuupichan 1.0.17: 12 columns; RPC connections have an ID counter of their own.
    V1_0_17,
    /// kyuupichan 1.6: 13 columns, the first with a protocol version.
    V1_6,
    /// kyuupichan 1.13.0: 15 columns with costs; each session in two groups.
    V1_13_0,
    /// spesmilo 1.16.0: groups are subnets in CIDR; private peers are in none.
    V1_16_0,
    /// spesmilo 1.20.0.
    V1_20_0,
    /// spesmilo 2.0.0: `inspect_session`, subscriptions of two kinds.
    V2_0_0,
}

/// How a release names the groups of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    /// All that connected in the same 15 minutes; small groups are merged each minute.
    Slices,
    /// The 5 minutes of connecting (`t2`), and the subnet (`1.2.3`).
    SliceAndPrefix,
    /// The subnet (`1.2.3.0/24`), except for private peers.
    Cidr,
}

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 7] = [
        Self::V0_10_2,
        Self::V1_0_17,
        Self::V1_6,
        Self::V1_13_0,
        Self::V1_16_0,
        Self::V1_20_0,
        Self::V2_0_0,
    ];

    /// The number as the server prints it, `1.13.0`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V0_10_2 => "0.10.2",
            Self::V1_0_17 => "1.0.17",
            Self::V1_6 => "1.6",
            Self::V1_13_0 => "1.13.0",
            Self::V1_16_0 => "1.16.0",
            Self::V1_20_0 => "1.20.0",
            Self::V2_0_0 => "2.0.0",
        }
    }

    /// Columns in a row of `sessions`: 12, 13 or 15.
    pub fn columns(self) -> usize {
        match self {
            Self::V0_10_2 | Self::V1_0_17 => 12,
            Self::V1_6 => 13,
            _ => 15,
        }
    }

    /// Sessions have a cost, RPC connections included.
    pub(super) fn has_costs(self) -> bool {
        self >= Self::V1_13_0
    }

    /// `getinfo` and `disconnect` have their newer shape: spaces and nesting, strings only.
    pub(super) fn is_nested(self) -> bool {
        self >= Self::V1_13_0
    }

    pub(super) fn has_inspect(self) -> bool {
        self >= Self::V2_0_0
    }

    pub(super) fn grouping(self) -> Grouping {
        match self {
            Self::V0_10_2 | Self::V1_0_17 | Self::V1_6 => Grouping::Slices,
            Self::V1_13_0 => Grouping::SliceAndPrefix,
            _ => Grouping::Cidr,
        }
    }

    /// 0.10.11 to 1.3 count RPC connections apart, so that an ID can be borne twice.
    pub(super) fn counts_rpc_apart(self) -> bool {
        self == Self::V1_0_17
    }

    /// The request being answered counts as pending.
    pub(super) fn counts_own_request(self) -> bool {
        self >= Self::V1_6
    }

    /// The number at the end of a session's flags: a priority, later a concurrency.
    pub(super) fn flag_number(self, is_rpc: bool) -> u32 {
        match (self, is_rpc) {
            (Self::V0_10_2 | Self::V1_0_17, true) => 0,
            (Self::V0_10_2 | Self::V1_0_17, false) => 1,
            (Self::V1_6, _) => 6,
            (_, true) => 20,
            (_, false) => 10,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElectrumX {}", self.number())
    }
}
