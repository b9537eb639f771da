//! The honest stay far from any sensible threshold, and the abusive far beyond it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::*;
use crate::sim::session::Session;

/// An address's /24 or /48.
fn subnet(ip: IpAddr) -> String {
    let net = ipnet::IpNet::new(ip, if ip.is_ipv4() { 24 } else { 48 }).unwrap();
    net.trunc().to_string()
}

/// What a watcher can count of those who are there and those who have been.
#[derive(Default)]
struct Tally {
    sent_rate: BTreeMap<String, f64>,
    /// Sessions that came and went within half a minute.
    brief: BTreeMap<String, u64>,
    errors: HashMap<SessionKey, u64>,
    subs: HashMap<SessionKey, u64>,
    pending: HashMap<SessionKey, u64>,
}

impl Tally {
    /// Lives through a minute, looking every second, at those that `wanted` picks.
    fn minute(world: &mut World, wanted: impl Fn(Kind) -> bool) -> Self {
        let mut tally = Self::default();
        let mut seen: HashMap<SessionKey, (u64, u64)> = HashMap::new();
        let kinds: HashMap<ActorId, Kind> = world.records().map(|(id, r)| (id, r.kind)).collect();
        let newest = world
            .sessions()
            .as_slice()
            .last()
            .map(|session| session.key);
        let mut fresh: HashMap<SessionKey, (u64, String)> = HashMap::new();
        for second in 0..60 {
            let here: HashSet<SessionKey> = world
                .sessions()
                .as_slice()
                .iter()
                .map(|session| session.key)
                .collect();
            fresh.retain(|key, (since, net)| {
                let is_here = here.contains(key);
                if !is_here && second - *since < 30 {
                    *tally.brief.entry(net.clone()).or_default() += 1;
                }
                is_here
            });
            for session in world.sessions().as_slice() {
                let kind = session.arrival.actor.map(|id| kinds[&id]);
                if !kind.is_some_and(&wanted) || session.arrival.peer.ip().is_loopback() {
                    continue;
                }
                let net = subnet(session.arrival.peer.ip());
                let last = seen
                    .insert(session.key, (session.sent_bytes, session.errors))
                    .unwrap_or(if second == 0 {
                        (session.sent_bytes, session.errors)
                    } else {
                        (0, 0)
                    });
                *tally.sent_rate.entry(net.clone()).or_default() +=
                    (session.sent_bytes - last.0) as f64 / 60.0;
                *tally.errors.entry(session.key).or_default() += session.errors - last.1;
                tally.subs.insert(session.key, session.subs);
                let pending = tally.pending.entry(session.key).or_default();
                *pending = session.pending.max(*pending);
                if Some(session.key) > newest {
                    fresh.entry(session.key).or_insert((second, net));
                }
            }
            world.advance(Duration::from_secs(1));
        }
        tally
    }
}

#[test]
fn the_honest_stay_far_below_the_thresholds() {
    for seed in 0..4 {
        let mut world = World::honest(Release::V2_0_0, seed);
        while world.now() < STORY {
            let tally = Tally::minute(&mut world, Kind::is_honest);
            let rate = tally.sent_rate.values().copied().fold(0.0, f64::max);
            assert!(rate < 200_000.0, "seed {seed}: {rate} bytes a second");
            assert_eq!(tally.brief, BTreeMap::new(), "seed {seed}");
            assert!(
                tally.errors.values().all(|errors| *errors <= 3),
                "seed {seed}"
            );
            assert!(
                tally.subs.values().all(|subs| *subs <= 2_000),
                "seed {seed}"
            );
            assert!(
                tally.pending.values().all(|pending| *pending <= 12),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn the_abusive_are_far_above_them() {
    for seed in 0..4 {
        for kind in [
            Kind::ErrorFlood,
            Kind::BandwidthHog,
            Kind::QuickReconnector,
            Kind::SubscriptionHoarder,
        ] {
            let mut world = World::empty(Release::V2_0_0, seed);
            world.invite(kind, Duration::ZERO);
            world.advance(Duration::from_secs(25));
            let tally = Tally::minute(&mut world, |_| true);
            let ok = match kind {
                Kind::ErrorFlood => tally.errors.values().all(|errors| *errors > 1_200),
                Kind::BandwidthHog => tally.sent_rate.values().all(|rate| *rate > 1.4e6),
                Kind::QuickReconnector => tally.brief.values().all(|n| *n >= 13),
                _ => {
                    tally.subs.values().all(|subs| *subs > 10_000)
                        && tally.pending.values().all(|pending| *pending > 200)
                }
            };
            assert!(
                ok,
                "seed {seed}: {kind:?}: {:?} {:?}",
                tally.sent_rate, tally.brief
            );
        }
    }
}

/// A judge of the plainest kind, with thresholds in the middle of the margins.
fn plainly_abusive(session: &Session, tally: &Tally) -> bool {
    let net = subnet(session.arrival.peer.ip());
    let name = session.client_short();
    let odd = |c: char| c.is_control() || "<>\u{202e}\u{2066}".contains(c);
    let public = !session.arrival.peer.ip().is_loopback();
    session.subs > 10_000
        || session.pending > 100
        || name.chars().any(odd)
        || name.contains("all_seeing")
        || name.contains("scraper")
        || tally
            .errors
            .get(&session.key)
            .is_some_and(|errors| *errors > 60)
        || (public
            && tally
                .sent_rate
                .get(&net)
                .is_some_and(|rate| *rate > 1_048_576.0))
        || (public && tally.brief.get(&net).is_some_and(|count| *count > 6))
}

#[test]
fn a_plain_judge_catches_all_and_nobody_else() {
    for seed in 0..4 {
        let mut world = World::story(Release::V1_20_0, seed);
        while world.now() < STORY {
            let tally = Tally::minute(&mut world, |_| true);
            // Reconnectors are rarely there at the very moment: look a few times.
            for _ in 0..4 {
                let all = world.sessions().as_slice().iter();
                let bad: Vec<_> = all
                    .filter(|s| plainly_abusive(s, &tally))
                    .map(|s| s.key)
                    .collect();
                for key in bad {
                    world.disconnect(key);
                }
                world.advance(Duration::from_millis(700));
            }
        }
        let score = world.score();
        assert_eq!(
            (score.abusers, score.abusers_disconnected),
            (25, 25),
            "{score:#?}"
        );
        assert_eq!(
            (score.honest, score.honest_disconnected),
            (370, 0),
            "{score:#?}"
        );
    }
}
