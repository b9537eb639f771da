//! The pseudonyms themselves: a bijection of all addresses that keeps prefixes, as Crypto-PAn has it.
//!
//! Whether a bit is flipped depends on the key and on the bits before it, so two addresses share
//! exactly as long a prefix afterwards as before. Where the way to a block of private addresses still
//! goes on nothing is flipped, so each of these blocks is mapped onto itself. The price: a public
//! block beside a private one, such as 11.0.0.0/8 or 192.169.0.0/16, stays where it is too, and only
//! within it are addresses mixed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use siphasher::sip::SipHasher24;

use crate::history::{PRIVATE_V4, PRIVATE_V6};

/// A bijection.
#[derive(Clone, Debug)]
pub(super) struct Tree(SipHasher24);

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Hide,
    Reveal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4 = 4,
    V6 = 6,
}

/// A hash decides over so many bits: 63 of its 64 bits are the nodes of a tree of so many levels.
const LEVELS: u32 = 6;

impl Tree {
    pub(super) const fn new(function: SipHasher24) -> Self {
        Self(function)
    }

    pub(super) fn hide(&self, address: IpAddr) -> IpAddr {
        self.map(address, Way::Hide)
    }

    pub(super) fn reveal(&self, pseudonym: IpAddr) -> IpAddr {
        self.map(pseudonym, Way::Reveal)
    }

    pub(super) fn hide_v4(&self, address: Ipv4Addr) -> Ipv4Addr {
        self.map_v4(address, Way::Hide)
    }

    pub(super) fn hide_v6(&self, address: Ipv6Addr) -> Ipv6Addr {
        self.map_v6(address, Way::Hide)
    }

    fn map(&self, address: IpAddr, way: Way) -> IpAddr {
        match address {
            IpAddr::V4(v4) => self.map_v4(v4, way).into(),
            IpAddr::V6(v6) => self.map_v6(v6, way).into(),
        }
    }

    fn map_v4(&self, address: Ipv4Addr, way: Way) -> Ipv4Addr {
        if address.is_loopback() {
            return address;
        }
        let kept = PRIVATE_V4
            .iter()
            .map(|&block| kept(address.into(), block.into()));
        let bits = u128::from(address.to_bits()) << 96;
        let mapped = self.walk(Family::V4, bits, kept.max().unwrap_or(0), way);
        Ipv4Addr::from_bits((mapped >> 96) as u32)
    }

    fn map_v6(&self, address: Ipv6Addr, way: Way) -> Ipv6Addr {
        if let Some(v4) = address.to_ipv4_mapped() {
            return self.map_v4(v4, way).to_ipv6_mapped();
        }
        let mapped_v4 = ipnet::Ipv6Net::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
        let kept = PRIVATE_V6
            .iter()
            .chain([&mapped_v4])
            .map(|&block| kept(address.into(), block.into()));
        let mapped = self.walk(Family::V6, address.to_bits(), kept.max().unwrap_or(0), way);
        Ipv6Addr::from_bits(mapped)
    }

    /// Maps `from`, whose bits stand at the upper end, all but the first `kept` of them.
    fn walk(&self, family: Family, from: u128, kept: u32, way: Way) -> u128 {
        let width = match family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let mut address = from & prefix(kept);
        let mut mapped = address;
        let mut hash = 0;
        for depth in kept..width {
            let level = depth % LEVELS;
            if level == 0 || depth == kept {
                hash = self.hash(family, depth - level, address);
            }
            let above = address.checked_shr(128 - depth).unwrap_or(0) & ((1 << level) - 1);
            let flip = u128::from(hash >> (1 << level | above) & 1);
            let bit = from >> (127 - depth) & 1;
            let other = bit ^ flip;
            let own = if way == Way::Hide { bit } else { other };
            address |= own << (127 - depth);
            mapped |= other << (127 - depth);
        }
        mapped
    }

    fn hash(&self, family: Family, depth: u32, address: u128) -> u64 {
        let mut node = [0; 18];
        node[0] = family as u8;
        node[1] = u8::try_from(depth).unwrap_or(u8::MAX);
        node[2..].copy_from_slice(&(address & prefix(depth)).to_be_bytes());
        self.0.hash(&node)
    }
}

/// How many bits of `address` must stay for `block` to stay itself: to where their ways part.
fn kept(address: IpAddr, block: IpNet) -> u32 {
    let differing = match (address, block.addr()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return 0,
    };
    // The bit in which they differ must do so afterwards too.
    (differing + 1).min(block.prefix_len().into())
}

/// The first `length` bits.
const fn prefix(length: u32) -> u128 {
    match u128::MAX.checked_shr(length) {
        Some(rest) => !rest,
        None => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::is_private;
    use crate::pseudonym::Key;

    fn tree() -> Tree {
        Tree::new(Key::generate().unwrap().function("test"))
    }

    /// Often near the special blocks.
    fn v4() -> impl Strategy<Value = Ipv4Addr> {
        let near = (0..PRIVATE_V4.len(), any::<u32>(), 0..33_u32);
        prop_oneof![
            any::<u32>(),
            near.prop_map(|(block, noise, keep)| {
                let noise = noise & u32::MAX.checked_shr(keep).unwrap_or(0);
                PRIVATE_V4[block].addr().to_bits() ^ noise
            }),
        ]
        .prop_map(Ipv4Addr::from_bits)
    }

    fn v6() -> impl Strategy<Value = Ipv6Addr> {
        let near = (0..PRIVATE_V6.len(), any::<u128>(), 0..129_u32);
        prop_oneof![
            any::<u128>(),
            v4().prop_map(|v4| v4.to_ipv6_mapped().to_bits()),
            near.prop_map(|(block, noise, keep)| {
                let noise = noise & u128::MAX.checked_shr(keep).unwrap_or(0);
                PRIVATE_V6[block].addr().to_bits() ^ noise
            }),
        ]
        .prop_map(Ipv6Addr::from_bits)
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![v4().prop_map(IpAddr::V4), v6().prop_map(IpAddr::V6)]
    }

    /// Two of a family that share a prefix of any length.
    fn kin() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        let v4 = (v4(), any::<u32>(), 0..33_u32).prop_map(|(a, noise, keep)| {
            let noise = noise & u32::MAX.checked_shr(keep).unwrap_or(0);
            (
                IpAddr::V4(a),
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() ^ noise)),
            )
        });
        let v6 = (v6(), any::<u128>(), 0..129_u32).prop_map(|(a, noise, keep)| {
            let noise = noise & u128::MAX.checked_shr(keep).unwrap_or(0);
            (
                IpAddr::V6(a),
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() ^ noise)),
            )
        });
        prop_oneof![v4, v6]
    }

    fn shared(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => unreachable!(),
        }
    }

    /// Which of the special blocks it is in.
    fn kind(address: IpAddr) -> Option<usize> {
        match address {
            IpAddr::V4(v4) => PRIVATE_V4.iter().position(|block| block.contains(&v4)),
            IpAddr::V6(v6) => PRIVATE_V6.iter().position(|block| block.contains(&v6)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_pseudonym_has_one_address(address in address()) {
            let tree = tree();
            prop_assert_eq!(tree.reveal(tree.hide(address)), address);
            prop_assert_eq!(tree.hide(tree.reveal(address)), address);
        }

        #[test]
        fn prefixes_are_kept((a, b) in kin()) {
            let tree = tree();
            prop_assert_eq!(shared(tree.hide(a), tree.hide(b)), shared(a, b));
        }

        #[test]
        fn private_stays_private_and_of_its_kind(address in address()) {
            let hidden = tree().hide(address);
            prop_assert_eq!(kind(hidden), kind(address));
            prop_assert_eq!(is_private(hidden), is_private(address));
            prop_assert_eq!(hidden.is_ipv4(), address.is_ipv4());
            if address.is_loopback() || address.is_unspecified() {
                prop_assert_eq!(hidden, address);
            }
        }

        #[test]
        fn a_mapped_address_is_its_ipv4(address in v4()) {
            let tree = tree();
            let mapped = tree.hide(address.to_ipv6_mapped().into());
            prop_assert_eq!(mapped.to_canonical(), tree.hide(address.into()));
        }
    }

    #[test]
    fn half_of_what_may_be_flipped_is() {
        let tree = tree();
        let mut flips = [0_u32; 32];
        let addresses = (0..20_000_u32).map(|i| i.wrapping_mul(2_654_435_761) | 0xc800_0000);
        for address in addresses {
            let flipped = address ^ tree.hide_v4(Ipv4Addr::from_bits(address)).to_bits();
            for (bit, flips) in (0..32).zip(&mut flips) {
                *flips += flipped >> (31 - bit) & 1;
            }
        }
        // 11001 and the next, then each has nodes enough to be near a half.
        for (bit, flips) in flips.iter().enumerate().skip(20) {
            assert!((9_000..11_000).contains(flips), "bit {bit}: {flips}");
        }
    }
}
