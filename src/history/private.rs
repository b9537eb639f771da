//! Which peers stand for many people: Tor, local proxies, carrier-grade NAT.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::decision::SessionRef;

/// The IPv4 blocks of private peers: unspecified, private networks, carrier-grade NAT, loopback,
/// link-local.
pub(crate) const PRIVATE_V4: [Ipv4Net; 7] = [
    v4_block([0, 0, 0, 0], 32),
    v4_block([10, 0, 0, 0], 8),
    v4_block([100, 64, 0, 0], 10),
    v4_block([127, 0, 0, 0], 8),
    v4_block([169, 254, 0, 0], 16),
    v4_block([172, 16, 0, 0], 12),
    v4_block([192, 168, 0, 0], 16),
];

/// The IPv6 blocks of private peers: unspecified, loopback, unique local, link-local.
pub(crate) const PRIVATE_V6: [Ipv6Net; 4] = [
    v6_block(Ipv6Addr::UNSPECIFIED, 128),
    v6_block(Ipv6Addr::LOCALHOST, 128),
    v6_block(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    v6_block(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

const fn v4_block([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6_block(address: Ipv6Addr, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, length)
}

/// Whether an address says nothing of who is behind it.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        // As bits, for every address is asked about at every poll.
        IpAddr::V4(v4) => PRIVATE_V4.iter().any(|block| {
            let other = v4.to_bits() ^ block.addr().to_bits();
            other.leading_zeros() >= block.prefix_len().into()
        }),
        IpAddr::V6(v6) => PRIVATE_V6.iter().any(|block| {
            let other = v6.to_bits() ^ block.addr().to_bits();
            other.leading_zeros() >= block.prefix_len().into()
        }),
    }
}

/// How wide the targets of `address` and `subnet` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SubnetWidths {
    /// Prefix length of an IPv4 subnet, 24 by default.
    pub v4: u8,
    /// Prefix length of an IPv6 subnet, 48 by default.
    pub v6: u8,
}

impl Default for SubnetWidths {
    fn default() -> Self {
        Self { v4: 24, v6: 48 }
    }
}

impl SubnetWidths {
    /// One customer of a provider: an IPv4 address or an IPv6 /64.
    pub(crate) const ADDRESS: Self = Self { v4: 32, v6: 64 };

    /// The network of this width that `address` is in.
    pub(crate) fn network(self, address: IpAddr) -> IpNet {
        match address {
            IpAddr::V4(v4) => Ipv4Net::new_assert(v4, self.v4.min(32)).trunc().into(),
            IpAddr::V6(v6) => Ipv6Net::new_assert(v6, self.v6.min(128)).trunc().into(),
        }
    }
}

/// Who a session belongs to, as far as that can be told: its address, or where that stands for
/// many people, the session itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// An IPv4 address or an IPv6 /64.
    Address(IpNet),
    /// The ID of a session from a private or unknown peer.
    Session(u64),
}

impl Party {
    /// The session's party.
    pub fn of(session: &SessionRef) -> Self {
        match session.peer.0.map(|peer| peer.ip()) {
            Some(address) if !is_private(address) => {
                Self::Address(SubnetWidths::ADDRESS.network(address))
            }
            _ => Self::Session(session.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public() {
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "::",
            "fd87:d87e::1",
            "fe80::1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "0.0.0.1",
            "11.0.0.0",
            "100.128.0.1",
            "126.1.1.1",
            "172.32.0.1",
            "2a00::1",
            "::2",
            "fec0::1",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn networks() {
        let net =
            |widths: SubnetWidths, text: &str| widths.network(text.parse().unwrap()).to_string();
        assert_eq!(net(SubnetWidths::ADDRESS, "1.2.3.4"), "1.2.3.4/32");
        assert_eq!(
            net(SubnetWidths::ADDRESS, "2a00:1:2:3:4::5"),
            "2a00:1:2:3::/64"
        );
        assert_eq!(net(SubnetWidths::default(), "1.2.3.4"), "1.2.3.0/24");
        assert_eq!(
            net(SubnetWidths::default(), "2a00:1:2:3:4::5"),
            "2a00:1:2::/48"
        );
    }
}
