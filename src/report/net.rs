//! Public addresses and subnets as numbers, which is all that the collector asks of them for every session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::decision::{SessionRef, Target};
use crate::history::Party;

/// An address, /32 or /64, or a subnet, /24 or /48: an IPv6 prefix, or an IPv4 one behind a prefix that no peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Net(NonZeroU64);

const V4: u64 = 0xffff_ffff_0000_0000;

impl Net {
    /// The address of a session that has one of its own.
    pub(super) fn of(session: &SessionRef) -> Option<Self> {
        let Party::Address(_) = Party::of(session) else {
            return None;
        };
        let bits = match session.peer.0?.ip() {
            IpAddr::V4(v4) => V4 | u64::from(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let prefix = [a, b, c, d].map(u64::from);
                prefix.iter().fold(0, |bits, part| bits << 16 | part)
            }
        };
        NonZeroU64::new(bits).map(Self)
    }

    const fn is_v4(self) -> bool {
        self.0.get() >> 32 == V4 >> 32
    }

    /// The address, and the subnet that it is in.
    pub(super) fn with_subnet(self) -> [Self; 2] {
        let host = if self.is_v4() { 0xff } else { 0xffff };
        let subnet = NonZeroU64::new(self.0.get() & !host);
        [self, subnet.map_or(self, Self)]
    }

    /// A number for filters: from 0 to 1023, spread over it.
    pub(super) const fn spread(self) -> usize {
        (self.0.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is the address"
    )]
    pub(super) fn target(self, is_subnet: bool) -> Target {
        let bits = self.0.get();
        let net = if self.is_v4() {
            let width = if is_subnet { 24 } else { 32 };
            Ipv4Net::new_assert(Ipv4Addr::from_bits(bits as u32), width).into()
        } else {
            let width = if is_subnet { 48 } else { 64 };
            let address = Ipv6Addr::from_bits(u128::from(bits) << 64);
            Ipv6Net::new_assert(address, width).into()
        };
        if is_subnet {
            Target::Subnet(net)
        } else {
            Target::Address(net)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Peer;
    use crate::time::Timestamp;

    #[test]
    fn addresses_and_subnets_read_as_they_are() {
        for (peer, address, subnet) in [
            ("203.0.113.9:1", "203.0.113.9", "203.0.113.0/24"),
            ("255.255.255.255:1", "255.255.255.255", "255.255.255.0/24"),
            ("[2a00:1:2:3:4::5]:1", "2a00:1:2:3::/64", "2a00:1:2::/48"),
            ("[ff02::1]:1", "ff02::/64", "ff02::/48"),
        ] {
            let session = SessionRef {
                id: 1,
                peer: Peer(peer.parse().ok()),
                since: Timestamp::default(),
            };
            let [found, around] = Net::of(&session).unwrap().with_subnet();
            assert_eq!(found.target(false).to_string(), address);
            assert_eq!(around.target(true).to_string(), subnet);
            assert!(found.spread() < 1_024);
        }
    }
}
