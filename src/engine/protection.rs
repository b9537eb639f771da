//! Who is never a target, whatever a policy says.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::policy::AddressSet;
use crate::snapshot::Sessions;

/// Protected addresses and client names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Protection {
    /// Addresses and networks.
    pub addresses: AddressSet,
    /// Patterns of client names. Clients choose their names: who knows a pattern can hide behind
    /// it.
    #[serde(with = "patterns")]
    pub clients: Vec<Regex>,
    /// The server's own addresses and the agent's: whoever comes from them is judged as others are, and
    /// never banned.
    #[serde(default)]
    pub own: AddressSet,
}

/// Patterns as their text.
mod patterns {
    use regex::Regex;
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(
        patterns: &[Regex],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(patterns.iter().map(Regex::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Regex>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let patterns = texts.iter().map(|text| Regex::new(text));
        patterns.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

impl Protection {
    /// Replaces the addresses in it.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        for set in [&mut self.addresses, &mut self.own] {
            *set = set.mapped(&to);
        }
    }

    /// Whether a session from this address, or by this name, must be left alone.
    pub fn covers(&self, address: Option<IpAddr>, client: &str) -> bool {
        self.covers_address(address) || self.covers_name(client)
    }

    fn covers_address(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.addresses.contains_addr(address))
    }

    fn covers_name(&self, client: &str) -> bool {
        self.clients.iter().any(|pattern| pattern.is_match(client))
    }
}

/// Why a session is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protected {
    /// By its address.
    Address,
    /// By its client name.
    Client,
}

/// The protection, with what it says of the names of one snapshot: each name is asked about once.
#[derive(Debug)]
pub(super) struct Guard {
    protection: Protection,
    names: Vec<Option<bool>>,
}

impl Guard {
    pub(super) const fn new(protection: Protection) -> Self {
        Self {
            protection,
            names: Vec::new(),
        }
    }

    /// At the beginning of a poll.
    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    /// Whether whoever has this address must be left alone.
    pub(super) fn covers_address(&self, address: IpAddr) -> bool {
        self.protection.covers_address(Some(address))
    }

    /// Whether the session in a row must be left alone.
    pub(super) fn covers(&mut self, sessions: &Sessions, row: usize) -> bool {
        self.protected(sessions, row).is_some()
    }

    /// Why the session in a row must be left alone, if it must.
    pub(super) fn protected(&mut self, sessions: &Sessions, row: usize) -> Option<Protected> {
        let address = sessions.peer[row].0.map(|peer| peer.ip());
        if self.protection.covers_address(address) {
            return Some(Protected::Address);
        }
        let client = sessions.client[row];
        self.names.resize(sessions.names.len(), None);
        let is_covered = *self.names[client.index()]
            .get_or_insert_with(|| self.protection.covers_name(sessions.names.get(client)));
        is_covered.then_some(Protected::Client)
    }
}
