//! Who is never a target, whatever a policy says.

use std::net::IpAddr;

use regex::Regex;

use crate::policy::AddressSet;

/// Protected addresses and client names.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// Addresses and networks.
    pub addresses: AddressSet,
    /// Patterns of client names. Clients choose their names: who knows a pattern can hide behind
    /// it.
    pub clients: Vec<Regex>,
}

impl Protection {
    /// Whether a session from this address, or by this name, must be left alone.
    pub fn covers(&self, address: Option<IpAddr>, client: &str) -> bool {
        address.is_some_and(|address| self.addresses.contains_addr(address))
            || self.clients.iter().any(|pattern| pattern.is_match(client))
    }
}
