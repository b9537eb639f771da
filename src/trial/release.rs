//! What a release of `ElectrumX` tells in a snapshot, by its number.

use std::net::IpAddr;
use std::time::Duration;

use crate::decision::Peer;
use crate::history::{SubnetWidths, is_private};
use crate::snapshot::Generation;

/// The first release whose `sessions` can be read.
const FIRST: (u32, u32, u32) = (0, 8, 8);

/// The one that is played where a test names none.
pub(super) const DEFAULT: Release = Release(1, 20, 0);

/// One that tells neither protocol nor cost, and one that tells no cost.
pub(super) const OLDEST: Release = Release(1, 0, 17);
pub(super) const OLD: Release = Release(1, 5, 0);

/// A release: `1.20.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release(pub(super) u32, pub(super) u32, pub(super) u32);

impl Release {
    /// From `1.20` or `1.20.0`; none that is older than any known.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        let parts: Vec<&str> = text.split('.').collect();
        if !(2..=3).contains(&parts.len()) {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            let is_number = part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
            *number = part.parse().ok().filter(|_| is_number)?;
        }
        let [major, minor, patch] = numbers;
        ((major, minor, patch) >= FIRST).then_some(Self(major, minor, patch))
    }

    pub(super) fn generation(self) -> Generation {
        if self >= Self(1, 10, 1) {
            Generation::Cost
        } else if self >= Self(1, 1, 0) {
            Generation::Protocol
        } else {
            Generation::Plain
        }
    }

    /// As `getinfo` has it, where it does.
    pub(super) fn version(self) -> Option<String> {
        let Self(major, minor, patch) = self;
        let version = match (self < Self(1, 11, 0), patch) {
            (true, 0) => format!("ElectrumX {major}.{minor}"),
            _ => format!("ElectrumX {major}.{minor}.{patch}"),
        };
        (self >= Self(1, 6, 0)).then_some(version)
    }

    pub(super) fn has_coin(self) -> bool {
        self >= Self(1, 11, 0)
    }

    /// Whether `getinfo` tells the daemon and the uptime.
    pub(super) fn has_daemon(self) -> bool {
        self >= Self(0, 10, 17)
    }

    /// Whether `getinfo` tells how often each method was called.
    pub(super) fn has_totals(self) -> bool {
        self >= Self(1, 11, 0)
    }

    pub(super) fn has_inspection(self) -> bool {
        self >= Self(2, 0, 0)
    }

    /// The groups of a session that connected when the server had run for `uptime`.
    pub(super) fn groups(self, peer: Peer, uptime: Duration) -> Vec<String> {
        let address = peer.0.map(|peer| peer.ip());
        if self < Self(1, 10, 1) {
            return vec![(uptime.as_secs() / 900).to_string()];
        }
        if self < Self(1, 16, 0) {
            let slice = format!("t{}", uptime.as_secs() / 300);
            return std::iter::once(slice).chain(address.map(prefix)).collect();
        }
        // Python calls the addresses of documents private; what tests are written with is public here.
        let public = address.filter(|&address| !is_private(address));
        let net = public.map(|address| SubnetWidths::default().network(address).to_string());
        net.into_iter().collect()
    }
}

/// `1.2.3`, or the first three groups of an IPv6 address with their zeros.
fn prefix(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:04x}:{b:04x}:{c:04x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for text in [
            "", "1", "1.", "1.2.3.4", "1.x", "+1.2", "0.8.7", "1.99999", "v1.2",
        ] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
        let told = |text| {
            let release = Release::parse(text).unwrap();
            (release.generation(), release.version())
        };
        assert_eq!(told("0.8.8"), (Generation::Plain, None));
        assert_eq!(told("1.1"), (Generation::Protocol, None));
        assert_eq!(
            told("1.10"),
            (Generation::Protocol, Some("ElectrumX 1.10".into()))
        );
        assert_eq!(
            told("1.10.1"),
            (Generation::Cost, Some("ElectrumX 1.10.1".into()))
        );
        assert_eq!(
            told("2.0"),
            (Generation::Cost, Some("ElectrumX 2.0.0".into()))
        );
    }

    #[test]
    fn groups() {
        let of = |release, peer: &str| {
            let peer = Peer(peer.parse().ok());
            let release = Release::parse(release).unwrap();
            release.groups(peer, Duration::from_secs(700)).join(" ")
        };
        assert_eq!(of("1.6", "203.0.113.7:1"), "0");
        assert_eq!(of("1.13", "203.0.113.7:1"), "t2 203.0.113");
        assert_eq!(of("1.13", "[2001:db8::1]:1"), "t2 2001:0db8:0000");
        assert_eq!(of("1.13", "unknown"), "t2");
        assert_eq!(of("1.16", "203.0.113.7:1"), "203.0.113.0/24");
        assert_eq!(of("1.16", "[2001:db8::1]:1"), "2001:db8::/48");
        assert_eq!(of("1.16", "10.0.0.1:1"), "");
    }
}
