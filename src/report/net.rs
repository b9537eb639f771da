//! Public addresses and subnets as numbers, which is all that the collector asks of them for every session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::decision::{SessionRef, Target};
use crate::history::{Party, SubnetWidths};

/// An address, /32 or /64, or a subnet: an IPv6 prefix of 64 bits at the most, or an IPv4 one behind a prefix that no
/// peer has. How wide subnets are, those who ask must know.
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

    /// The address, and the subnet of these widths that it is in.
    pub(super) fn with_subnet(self, widths: SubnetWidths) -> [Self; 2] {
        let host = if self.is_v4() {
            u64::from(u32::MAX.checked_shr(widths.v4.into()).unwrap_or(0))
        } else {
            u64::MAX.checked_shr(widths.v6.into()).unwrap_or(0)
        };
        let subnet = NonZeroU64::new(self.0.get() & !host);
        [self, subnet.map_or(self, Self)]
    }

    /// A number for filters: from 0 to 1023, spread over it.
    pub(super) const fn spread(self) -> usize {
        (self.0.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }

    /// The address, or the subnet if these are the widths of subnets.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is the address"
    )]
    pub(super) fn target(self, subnet: Option<SubnetWidths>) -> Target {
        let bits = self.0.get();
        let widths = subnet.unwrap_or(SubnetWidths::ADDRESS);
        let net = if self.is_v4() {
            let width = widths.v4.min(32);
            Ipv4Net::new_assert(Ipv4Addr::from_bits(bits as u32), width).into()
        } else {
            let width = widths.v6.min(64);
            let address = Ipv6Addr::from_bits(u128::from(bits) << 64);
            Ipv6Net::new_assert(address, width).into()
        };
        match subnet {
            Some(_) => Target::Subnet(net),
            None => Target::Address(net),
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
        let widths = |v4, v6| SubnetWidths { v4, v6 };
        let (usual, narrow, wide) = (SubnetWidths::default(), widths(32, 64), widths(8, 16));
        for (peer, address, widths, subnet) in [
            ("203.0.113.9:1", "203.0.113.9", usual, "203.0.113.0/24"),
            ("203.0.113.9:1", "203.0.113.9", narrow, "203.0.113.9/32"),
            ("203.0.113.9:1", "203.0.113.9", wide, "203.0.0.0/8"),
            (
                "203.0.113.9:1",
                "203.0.113.9",
                widths(29, 128),
                "203.0.113.8/29",
            ),
            (
                "255.255.255.255:1",
                "255.255.255.255",
                usual,
                "255.255.255.0/24",
            ),
            (
                "[2a00:1:2:3:4::5]:1",
                "2a00:1:2:3::/64",
                usual,
                "2a00:1:2::/48",
            ),
            (
                "[2a00:1:2:3:4::5]:1",
                "2a00:1:2:3::/64",
                narrow,
                "2a00:1:2:3::/64",
            ),
            ("[2a00:1:2:3:4::5]:1", "2a00:1:2:3::/64", wide, "2a00::/16"),
            (
                "[2a00:1:2:3:4::5]:1",
                "2a00:1:2:3::/64",
                widths(0, 128),
                "2a00:1:2:3::/64",
            ),
            ("[ff02::1]:1", "ff02::/64", usual, "ff02::/48"),
        ] {
            let session = SessionRef {
                id: 1,
                peer: Peer(peer.parse().ok()),
                since: Timestamp::default(),
            };
            let [found, around] = Net::of(&session).unwrap().with_subnet(widths);
            assert_eq!(found.target(None).to_string(), address);
            assert_eq!(around.target(Some(widths)).to_string(), subnet);
            assert!(found.spread() < 1_024);
        }
    }
}
