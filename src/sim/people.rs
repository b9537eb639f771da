//! Who the clients are: addresses and names, drawn from the seed.
//!
//! Addresses look public, so that the server groups them and a policy counts them; the honest
//! and the abusive never share a subnet. Nothing is ever sent to any of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::actor::{Actor, ActorId, Identity, Turn};
use super::habit::{Habits, Kind};
use super::score::Role;
use super::session::Transport;
use super::tactic::Tactic;
use crate::field::Dimension;
use crate::units;

/// First octets of the honest; no special range begins with one of them.
const HONEST_OCTETS: [u8; 12] = [5, 24, 31, 62, 71, 78, 81, 86, 91, 109, 151, 188];
/// First octets of the abusive.
pub(super) const ABUSIVE_OCTETS: [u8; 5] = [45, 89, 141, 179, 194];
/// Two offices with several wallets each.
const OFFICES: [[u8; 3]; 2] = [[82, 64, 17], [213, 95, 140]];

/// Two carriers that put many telephones behind one address.
const CARRIERS: [[u8; 4]; 2] = [[46, 114, 12, 7], [109, 41, 3, 200]];

const WALLETS: [&str; 9] = [
    "4.5.8",
    "4.5.5",
    "4.4.6",
    "3.3.8",
    "BlueWallet",
    "Sparrow 2.1.3",
    "Nunchuk",
    "bdk/0.31",
    "BitBoxApp 4.47",
];
const SHOPS: [&str; 3] = ["btcpay-electrum", "4.5.8", "shopd/1.4"];
const PHONES: [&str; 3] = ["BlueWallet", "GreenAndroid", "4.5.8"];
/// Made to hurt a terminal, a log or a page; and scrapers that say so.
const ODD_NAMES: [&str; 8] = [
    "all_seeing_eye",
    "\u{1b}[2J\u{1b}[31mowned",
    "<script>alert(1)</script>",
    "electrum-scraper",
    "\u{202e}8.5.4\u{2066}",
    "<img src=x onerror=alert(1)>",
    "\r\nHTTP/1.1 200",
    "all_seeing_eye_2",
];

impl Identity {
    /// Draws someone of a kind.
    pub(super) fn draw(id: ActorId, kind: Kind, rng: &mut Rng) -> Self {
        let transport = match kind {
            Kind::TorUser | Kind::Merchant => Transport::Tcp,
            _ => [
                Transport::Ssl,
                Transport::Ssl,
                Transport::Tcp,
                Transport::Websocket,
            ][rng.usize(..4)],
        };
        Self {
            id,
            kind,
            transport,
            client: client(id, kind, rng),
            protocol: ["1.4", "1.4.2", "1.4.3"][rng.usize(..3)],
            peers: peers(id, kind, rng),
            role: if kind.is_honest() {
                Role::Newcomer
            } else {
                Role::Abuser
            },
            habits: Habits::of(kind),
            returns: kind.returns(),
            tactic: Tactic::Plain,
        }
    }
}

fn client(id: ActorId, kind: Kind, rng: &mut Rng) -> String {
    let names: &[&str] = match kind {
        Kind::Merchant => &SHOPS,
        Kind::MobileWallet => &PHONES,
        // In turn rather than by chance, so that each is met.
        Kind::OddName => return ODD_NAMES[id.0 as usize % ODD_NAMES.len()].to_owned(),
        // Leaves before it has said who it is.
        Kind::QuickReconnector => &["unknown"],
        _ => &WALLETS,
    };
    names[rng.usize(..names.len())].to_owned()
}

/// One address a session.
fn peers(id: ActorId, kind: Kind, rng: &mut Rng) -> Vec<IpAddr> {
    match kind {
        Kind::TorUser => vec![Ipv4Addr::LOCALHOST.into()],
        Kind::NatWallet => {
            let [a, b, c] = OFFICES[id.0 as usize % OFFICES.len()];
            vec![Ipv4Addr::new(a, b, c, rng.u8(10..250)).into()]
        }
        Kind::MobileWallet if id.0.is_multiple_of(2) => {
            let carrier = CARRIERS[id.0 as usize / 2 % CARRIERS.len()];
            vec![Ipv4Addr::from(carrier).into()]
        }
        Kind::BandwidthHog if id.0.is_multiple_of(3) => ipv6_subnet(16, rng),
        Kind::BandwidthHog => ipv4_subnet(19, rng),
        // One machine, or a botnet out of one subnet.
        Kind::QuickReconnector if id.0.is_multiple_of(2) => ipv4_subnet(12, rng),
        _ if kind.is_honest() && rng.u8(..6) == 0 => vec![ipv6(&[0x2a02, 0x2003], rng)],
        _ if kind.is_honest() => vec![ipv4(&HONEST_OCTETS, rng)],
        _ => vec![ipv4(&ABUSIVE_OCTETS, rng)],
    }
}

pub(super) fn ipv4(octets: &[u8], rng: &mut Rng) -> IpAddr {
    let a = octets[rng.usize(..octets.len())];
    Ipv4Addr::new(a, rng.u8(1..250), rng.u8(1..250), rng.u8(1..250)).into()
}

fn ipv6(firsts: &[u16], rng: &mut Rng) -> IpAddr {
    let first = firsts[rng.usize(..firsts.len())];
    let [b, c, d] = [rng.u16(1..), rng.u16(1..), rng.u16(1..)];
    Ipv6Addr::new(first, b, c, d, 0, 0, 0, rng.u16(1..)).into()
}

/// Neighbours in one /24.
fn ipv4_subnet(count: u8, rng: &mut Rng) -> Vec<IpAddr> {
    let IpAddr::V4(first) = ipv4(&ABUSIVE_OCTETS, rng) else {
        return Vec::new();
    };
    let [a, b, c, _] = first.octets();
    let start = rng.u8(1..200);
    (0..count)
        .map(|i| Ipv4Addr::new(a, b, c, start + i * 2).into())
        .collect()
}

/// Neighbours in one /48, each in a /64 of its own.
fn ipv6_subnet(count: u16, rng: &mut Rng) -> Vec<IpAddr> {
    let (b, c) = (rng.u16(1..), rng.u16(1..));
    (0..count)
        .map(|i| Ipv6Addr::new(0x2a0b, b, c, i, 0, 0, 0, rng.u16(1..)).into())
        .collect()
}

impl Actor {
    /// What a person would be told; nothing about the everyday.
    pub(super) fn tell(&self, turn: Turn) -> Option<String> {
        let who = &self.identity;
        let origin = self.origin();
        let text = match (turn, who.kind) {
            (Turn::Arrived, Kind::HeavyWallet) => {
                format!("a wallet with 2_000 addresses begins its first sync from {origin}")
            }
            (_, kind) if kind.is_honest() => return None,
            (Turn::Arrived, _) => return None,
            (Turn::AbuseBegan, Kind::ErrorFlood) => {
                format!(
                    "{origin} begins to send {:.0} failing requests a second",
                    self.errors_per_second()
                )
            }
            (Turn::AbuseBegan, Kind::BandwidthHog) => format!(
                "{} sessions out of {origin} begin to pull {:.1} MiB/s",
                who.peers.len(),
                self.bytes_per_second() / 1_048_576.0
            ),
            (Turn::AbuseBegan, Kind::OddName) => {
                format!("{origin} calls itself `{}`", who.client.escape_default())
            }
            (Turn::AbuseBegan, Kind::QuickReconnector) if who.peers.len() > 1 => {
                format!(
                    "{} machines of {origin} connect and leave every few seconds",
                    who.peers.len()
                )
            }
            (Turn::AbuseBegan, Kind::QuickReconnector) => {
                format!("{origin} connects and leaves every few seconds")
            }
            (Turn::AbuseBegan, _) => {
                format!(
                    "{origin} begins to subscribe to {} addresses",
                    units::format(self.habits.subs_max as f64, Dimension::Count)
                )
            }
            (Turn::CameBack, _) => format!("{origin} ({}) is back", who.kind.label()),
            (Turn::GaveUp, _) => format!("{origin} ({}) has given up", who.kind.label()),
        };
        Some(text)
    }

    /// Who it is and where: `a neighbour, light wallet at 45.83.91.7`.
    pub(super) fn describe(&self) -> String {
        let who = &self.identity;
        let (role, kind) = (self.record.role.label(), who.kind.label());
        format!("a {role}, {kind} at {}", self.origin())
    }

    /// Its address, or the subnet of all its addresses.
    fn origin(&self) -> String {
        match self.identity.peers.as_slice() {
            [] => String::new(),
            [one] => one.to_string(),
            [first, ..] => {
                let length = if first.is_ipv4() { 24 } else { 48 };
                ipnet::IpNet::new(*first, length)
                    .map_or_else(|_| first.to_string(), |net| net.trunc().to_string())
            }
        }
    }
}
