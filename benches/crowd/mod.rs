//! A server full of made-up clients, and what it answers to `sessions` and `groups` from poll to
//! poll.
//!
//! Cheaper than the simulated server, and just as varied where that costs time: addresses of both
//! families, hundreds of names, counters and costs that move for a third of the sessions, a few sessions that leave and as many that come.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up numbers, all small and from 0 up"
)]

pub(crate) mod rules;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use electrumx_warden::decision::Epoch;
use electrumx_warden::snapshot::{Snapshot, Span, Uptime};
use electrumx_warden::time::Timestamp;
use fastrand::Rng;

/// Between two polls.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// Distinct client names.
pub(crate) const NAMES: usize = 300;
/// How long the server has run at the first poll.
const UPTIME_S: f64 = 1_000_000.0;

/// The sessions of a server.
pub(crate) struct Crowd {
    rng: Rng,
    names: Vec<String>,
    sessions: Vec<Session>,
    next_id: u64,
    uptime_s: f64,
    polls: u64,
    /// How many leave and come between two polls.
    pub(crate) comers: usize,
}

struct Session {
    id: u64,
    flags: &'static str,
    peer: SocketAddr,
    name: usize,
    protocol: &'static str,
    cost: f64,
    pending: u32,
    txs: u64,
    subs: u64,
    recv: (u64, u64),
    sent: (u64, u64),
    since_s: f64,
}

impl Crowd {
    /// As many sessions as asked for, that have been there for up to a day.
    pub(crate) fn new(sessions: usize, seed: u64) -> Self {
        let families = [
            "electrum/4.",
            "Sparrow 2.",
            "BlueWallet/7.",
            "bdk-0.",
            "shop/",
        ];
        let mut crowd = Self {
            rng: Rng::with_seed(seed),
            names: (0..NAMES)
                .map(|i| format!("{}{}.{}", families[i % 5], i / 50, i % 50))
                .collect(),
            sessions: Vec::with_capacity(sessions),
            next_id: 10_000,
            uptime_s: UPTIME_S,
            polls: 0,
            comers: sessions / 1_000,
        };
        for _ in 0..sessions {
            let age_s = crowd.rng.f64() * 86_400.0;
            crowd.join(age_s);
        }
        crowd
            .sessions
            .sort_by(|a, b| a.since_s.total_cmp(&b.since_s));
        for (session, id) in crowd.sessions.iter_mut().zip(10_000..) {
            session.id = id;
        }
        crowd
    }

    /// How many sessions.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    fn join(&mut self, age_s: f64) {
        let rng = &mut self.rng;
        let port = rng.u16(1_024..);
        let peer = match rng.u32(..100) {
            // Tor: one address, many people.
            0..5 => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            5..20 => {
                let prefix = 0x2a00_0000_0000_0000 | u128::from(rng.u64(..1 << 36));
                let host = u128::from(rng.u64(..));
                SocketAddr::from((Ipv6Addr::from_bits(prefix << 64 | host), port))
            }
            _ => {
                let first = [5, 24, 31, 62, 71, 78, 81, 86, 91, 109, 151, 188][rng.usize(..12)];
                let rest = rng.u32(..1 << 24);
                SocketAddr::from((Ipv4Addr::from_bits(first << 24 | rest), port))
            }
        };
        // Few names are borne by many, and many by few.
        let name = (rng.f64() * rng.f64() * NAMES as f64) as usize;
        let requests = (age_s / 60.0) as u64 + rng.u64(3..200);
        self.sessions.push(Session {
            id: self.next_id,
            flags: ["S10", "S10", "T10", "W7"][rng.usize(..4)],
            peer,
            name,
            protocol: ["1.4", "1.4.2", "1.4.3"][rng.usize(..3)],
            cost: rng.f64() * 400.0,
            pending: 0,
            txs: rng.u64(..3),
            subs: rng.u64(..400),
            recv: (requests, requests * 90),
            sent: (requests, requests * rng.u64(200..2_000)),
            since_s: self.uptime_s - age_s,
        });
        self.next_id += 1;
    }

    /// Lets the time between two polls pass.
    pub(crate) fn advance(&mut self) {
        self.uptime_s += INTERVAL.as_secs_f64();
        for _ in 0..self.comers {
            let gone = self.rng.usize(..self.sessions.len());
            self.sessions.remove(gone);
        }
        self.polls += 1;
        // 10,000 an hour is what a server forgives, and it reckons with everybody every 300 s.
        let is_time = self.polls.is_multiple_of(30);
        let forgiven = if is_time { 834.0 } else { 0.0 };
        let rng = &mut self.rng;
        for session in &mut self.sessions {
            session.cost = (session.cost - forgiven).max(0.0);
            if rng.u32(..3) != 0 {
                continue;
            }
            let requests = rng.u64(1..20);
            let size = requests * rng.u64(100..3_000);
            session.recv.0 += requests;
            session.recv.1 += requests * 90;
            session.sent.0 += requests;
            session.sent.1 += size;
            session.subs += rng.u64(..2);
            session.pending = rng.u32(..3);
            session.cost += rng.f64() * 80.0 + size as f64 / 100_000.0;
        }
        for _ in 0..self.comers {
            let age_s = self.rng.f64() * INTERVAL.as_secs_f64();
            self.join(age_s);
        }
    }

    /// The `result` of `sessions`.
    pub(crate) fn write_sessions(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(b'[');
        for (i, s) in self.sessions.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let age_s = self.uptime_s - s.since_s;
            let extra = s.cost * 0.25;
            let name = &self.names[s.name];
            write!(
                out,
                r#"{comma}[{},"{}","{}","{name}","{}",{:?},{extra:?},{},{},{},{},{},{},{},{age_s:?}]"#,
                s.id,
                s.flags,
                s.peer,
                s.protocol,
                s.cost,
                s.pending,
                s.txs,
                s.subs,
                s.recv.0,
                s.recv.1,
                s.sent.0,
                s.sent.1,
            )
            .expect("memory takes it");
        }
        out.push(b']');
    }

    /// The `result` of `groups`: subnets, as releases from 1.16 on have them.
    pub(crate) fn write_groups(&self, out: &mut Vec<u8>) {
        let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
        for s in &self.sessions {
            let subnet = match s.peer {
                SocketAddr::V4(peer) if peer.ip().is_loopback() => continue,
                SocketAddr::V4(peer) => {
                    let [a, b, c, _] = peer.ip().octets();
                    format!("{a}.{b}.{c}.0/24")
                }
                SocketAddr::V6(peer) => {
                    let [a, b, c, ..] = peer.ip().segments();
                    let net = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
                    format!("{net}/48")
                }
            };
            groups.entry(subnet).or_default().add(s);
        }
        out.clear();
        out.push(b'[');
        for (i, (name, sums)) in groups.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let [pending, txs, subs, r0, r1, s0, s1] = sums.counters;
            write!(
                out,
                r#"{comma}["{name}",{},{:?},0.5,{pending},{txs},{subs},{r0},{r1},{s0},{s1}]"#,
                sums.sessions, sums.cost,
            )
            .expect("memory takes it");
        }
        out.push(b']');
    }

    /// The `result` of `getinfo`.
    pub(crate) fn write_getinfo(&self, out: &mut Vec<u8>) {
        out.clear();
        let minutes = self.uptime_s as u64 / 60;
        write!(
            out,
            r#"{{"version":"ElectrumX 1.20.0","coin":"Bitcoin","daemon height":900000,"db height":900000,"pid":4711,"uptime":"{}d {:02}h {:02}m","sessions":{{"count":{},"errors":0,"logged":0,"pending requests":0,"subs":0}}}}"#,
            minutes / 1_440,
            minutes / 60 % 24,
            minutes % 60,
            self.sessions.len(),
        )
        .expect("memory takes it");
    }

    /// Fills in of a snapshot what `getinfo` would have said, and its times.
    pub(crate) fn date(&self, snapshot: &mut Snapshot) {
        let since_start = Duration::from_secs_f64(self.uptime_s - UPTIME_S);
        let at = Timestamp::from_millis(1_767_225_600_000) + since_start;
        let span = Span {
            asked: at,
            answered: at,
        };
        snapshot.epoch = Epoch(1);
        (snapshot.server_read, snapshot.sessions_read) = (span, span);
        snapshot.server.sessions = self.sessions.len() as u64;
        snapshot.server.pid = Some(4_711);
        snapshot.server.uptime = Some(Uptime {
            at_least: Duration::from_secs(self.uptime_s as u64),
            resolution: Duration::from_secs(60),
        });
    }
}

#[derive(Default)]
struct Sums {
    sessions: u64,
    cost: f64,
    counters: [u64; 7],
}

impl Sums {
    fn add(&mut self, s: &Session) {
        self.sessions += 1;
        self.cost += s.cost;
        let counters = [
            u64::from(s.pending),
            s.txs,
            s.subs,
            s.recv.0,
            s.recv.1,
            s.sent.0,
            s.sent.1,
        ];
        for (sum, counter) in self.counters.iter_mut().zip(counters) {
            *sum += counter;
        }
    }
}
