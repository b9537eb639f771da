//! What a round of probes heard: of each daemon its chain, or why there is no answer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// All daemons asked at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// When the last answer was there, or given up.
    pub at: Timestamp,
    /// By daemon, in the configuration's order.
    pub reports: Vec<Report>,
}

/// One daemon's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its chain, or why it cannot be told.
    pub heard: Result<Chain, Failure>,
    /// How long the answer took.
    pub took: Duration,
}

/// Why a daemon did not say what its chain is. Texts are bounded, redacted and the daemon's own, so
/// hostile where they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "kebab-case")]
pub enum Failure {
    /// No connection, no answer in time, or none that a daemon gives.
    Unreachable {
        /// What happened.
        detail: String,
    },
    /// It is there, but has no time: its queue of requests is full, or it accepted the request and
    /// did not answer in time.
    Busy {
        /// What happened.
        detail: String,
    },
    /// It refuses the user, the password or the address that asks: HTTP 401 or 403.
    WrongCredentials,
    /// It is starting: error -28.
    WarmingUp {
        /// The daemon's words, such as `Verifying blocks…`.
        detail: String,
    },
}

/// A daemon's chain, as `getblockchaininfo` has it, and what was asked beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// `main`, `test`, `testnet4`, `signet`, `regtest`.
    pub name: Box<str>,
    /// Of the last block that it has validated.
    pub height: u64,
    /// Of the last header that it has: the blocks in between are still to come.
    pub headers: u64,
    /// The hash of the block at `height`.
    pub tip: BlockHash,
    /// All work up to the tip.
    pub work: Work,
    /// Whether it says that it still catches up for the first time.
    pub is_initial_download: bool,
    /// Whether it has thrown blocks away that `ElectrumX` may want.
    pub is_pruned: bool,
    /// Hashes at other heights of its own chain, by height: where the chains of all daemons can be
    /// compared. The heights are those of [`Round::heights`].
    pub hashes: Vec<(u64, BlockHash)>,
    /// Its indexes; `None` if they were not asked for.
    pub indexes: Option<Vec<Index>>,
}

/// An index of a daemon, as `getindexinfo` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// `txindex` or the like.
    pub name: Box<str>,
    /// Whether it is complete.
    pub is_synced: bool,
}

/// A block's hash, in the order in which it is printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash([u8; 32]);

/// The work in a chain; more of it is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work([u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct BadHex;

/// Chains are compared this far below their tips too: whoever differs there is on another chain, and
/// no reorganisation leads from one to the other. `ElectrumX` itself undoes up to 200 blocks.
const ANCHOR_DEPTH: u64 = 100;

/// Heights for that are multiples of this, so that they stay the same for a while.
const ANCHOR_STEP: u64 = 100;

impl Round {
    /// The chain of each daemon that told it.
    pub(crate) fn chains(&self) -> impl Iterator<Item = Option<&Chain>> {
        self.reports.iter().map(|report| report.heard.as_ref().ok())
    }

    /// The heights below `height` whose hashes are worth comparing, in ascending order: the tips of
    /// all daemons, and two well below each. `tips` may hold what was heard of a daemon earlier.
    pub fn heights(tips: impl IntoIterator<Item = u64>, height: u64) -> Vec<u64> {
        let mut heights: Vec<u64> = tips
            .into_iter()
            .flat_map(|tip| {
                let anchor = anchor_height(tip);
                [tip, anchor, anchor.saturating_sub(ANCHOR_STEP)]
            })
            .filter(|&wanted| wanted < height)
            .collect();
        heights.sort_unstable();
        heights.dedup();
        heights
    }
}

/// The height well below a tip where chains are compared.
pub(crate) fn anchor_height(tip: u64) -> u64 {
    tip.saturating_sub(ANCHOR_DEPTH) / ANCHOR_STEP * ANCHOR_STEP
}

impl Chain {
    /// The hash of its block at `height`, if that was asked.
    pub fn hash(&self, height: u64) -> Option<BlockHash> {
        if height == self.height {
            return Some(self.tip);
        }
        let found = self.hashes.iter().find(|(at, _)| *at == height);
        found.map(|&(_, hash)| hash)
    }
}

macro_rules! hex {
    ($name:ident) => {
        impl $name {
            /// From its bytes, the most significant first.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl FromStr for $name {
            type Err = BadHex;

            fn from_str(text: &str) -> Result<Self, BadHex> {
                decode(text).map(Self)
            }
        }

        /// 64 hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex!(BlockHash);
hex!(Work);

fn decode(text: &str) -> Result<[u8; 32], BadHex> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(BadHex);
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| BadHex)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| BadHex)?;
    }
    Ok(bytes)
}

/// A daemon as `getinfo` shows it: `HOST:PORT`, without credentials.
pub type Address = Arc<str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits() {
        let text = "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048";
        assert_eq!(text.parse::<BlockHash>().unwrap().to_string(), text);
        for bad in [
            "",
            "00",
            &text[1..],
            &text.replace('8', "g"),
            &text.replace("a8", "é"),
        ] {
            assert_eq!(bad.parse::<BlockHash>(), Err(BadHex), "{bad}");
        }
    }

    #[test]
    fn chains_are_compared_at_all_tips_and_well_below_them() {
        assert_eq!(
            Round::heights([840_123, 840_120, 110], 840_123),
            [0, 110, 839_900, 840_000, 840_120]
        );
        assert_eq!(Round::heights([5, 7], 5), [0]);
        assert!(Round::heights([5], 0).is_empty());
    }
}
