//! What may be asked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::decision::Target;
use crate::time::Timestamp;
use crate::warden::Warden;

/// Bans in an answer if nobody says, and at the most.
pub const BANS_DEFAULT: usize = 100;
/// See [`BANS_DEFAULT`].
pub const BANS_MAX: usize = 1_000;

/// The longest reason of a ban.
pub const REASON_CHARS_MAX: usize = 200;

/// A request, as its line has it: `{"ask":"pardon","net":"203.0.113.7"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The bans in force, the newest first.
    Bans {
        /// So many at the most, up to [`BANS_MAX`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
        /// Those behind this one: the `next` of the answer before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Place>,
        /// In place of them those that would be, by decisions of dry-run.
        #[serde(default, skip_serializing_if = "is_false")]
        would_be: bool,
    },
    /// Keep a network out.
    Ban {
        /// Which.
        net: Network,
        /// For so many seconds.
        for_s: u64,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Regulars as well.
        #[serde(default, skip_serializing_if = "is_false")]
        regulars_too: bool,
    },
    /// Let somebody in again: exactly one of the three says whom.
    Unban {
        /// This network.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        net: Option<Network>,
        /// All whom this policy banned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<String>,
        /// Everybody.
        #[serde(default, skip_serializing_if = "is_false")]
        all: bool,
    },
    /// Forget strikes.
    Pardon {
        /// Whose.
        net: Network,
    },
    /// The policies that the breaker has stopped.
    Breaker {},
    /// Let one of them go on.
    BreakerClose {
        /// Which.
        policy: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A place in the list of bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// When the ban began.
    pub begin: Timestamp,
    /// Its network.
    pub net: IpNet,
}

/// Whom it is about, as a person writes it: `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/48`.
///
/// An IPv6 client is a /64, so that is what an IPv6 address alone means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(Warden::client_net(address)));
        }
        let Ok(net) = text.parse::<IpNet>() else {
            return Err(
                "expected an address or a network such as `203.0.113.7`, `203.0.113.0/24` or \
                 `2001:db8:1::/48`"
                    .to_owned(),
            );
        };
        if net.trunc() != net {
            return Err(format!(
                "`{net}` has bits behind its prefix: write `{}` for the network, or `{}` for the address",
                net.trunc(),
                net.addr()
            ));
        }
        match net {
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
                Err(format!("`{net}` is IPv4 written as IPv6: write it as IPv4"))
            }
            IpNet::V6(v6) if v6.prefix_len() > 64 => Err(format!(
                "`{net}` is a part of a client's /64: write `{}`",
                Warden::client_net(net.addr())
            )),
            _ => Ok(Self(net)),
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Target::Address(self.0).fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
