//! How the world goes on over time, without sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::*;
use crate::sim::session::Session;

const REPLIES: [&str; 3] = ["sessions", "groups", "getinfo"];

fn replies(world: &World) -> Vec<String> {
    REPLIES
        .iter()
        .map(|m| String::from_utf8(world.reply(m).unwrap()).unwrap())
        .collect()
}

#[test]
fn the_same_seed_and_time_give_the_same_bytes_however_time_was_cut() {
    for release in [Release::V1_0_17, Release::V1_6, Release::V2_0_0] {
        let mut whole = World::story(release, 5);
        let mut cut = World::story(release, 5);
        whole.advance(Duration::from_millis(200_123));
        let mut rng = fastrand::Rng::with_seed(1);
        while cut.now() < whole.now() {
            let step =
                Duration::from_millis(rng.u64(1..3_000)).min(whole.now().saturating_sub(cut.now()));
            cut.advance(step);
            cut.reply("sessions");
        }
        assert_eq!(replies(&whole), replies(&cut));
        assert_eq!(whole.events(), cut.events());
        let mut other = World::story(release, 6);
        other.advance(Duration::from_millis(200_123));
        assert_ne!(replies(&whole), replies(&other));
    }
}

#[test]
fn the_story_has_everyone_in_it() {
    let mut world = World::story(Release::V2_0_0, 1);
    world.advance(STORY);
    let score = world.score();
    assert_eq!((score.honest, score.abusers), (150, 25));
    assert_eq!(
        (score.honest_disconnected, score.abusers_disconnected),
        (0, 0)
    );
    assert_eq!(score.kinds.len(), Kind::ALL.len());
    let begun = world
        .records()
        .filter(|(_, record)| record.abuse_from.is_some())
        .count();
    assert_eq!(begun, 25, "all who can be abusive are");
    let last = world
        .records()
        .filter_map(|(_, record)| record.abuse_from)
        .max()
        .unwrap();
    assert!(
        last + Duration::from_mins(3) < STORY,
        "time enough to catch the last: {last:?}"
    );
}

/// An address's /24 or /48.
fn subnet(ip: IpAddr) -> String {
    let net = ipnet::IpNet::new(ip, if ip.is_ipv4() { 24 } else { 48 }).unwrap();
    net.trunc().to_string()
}

/// What a watcher can count of those who are there and those who have been.
#[derive(Default)]
struct Tally {
    sent_rate: BTreeMap<String, f64>,
    connections: BTreeMap<String, u64>,
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
        let mut newest = world
            .sessions()
            .as_slice()
            .last()
            .map(|session| session.key);
        for second in 0..60 {
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
                    *tally.connections.entry(net).or_default() += 1;
                }
            }
            newest = world
                .sessions()
                .as_slice()
                .last()
                .map(|session| session.key)
                .max(newest);
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
            let connections = tally.connections.values().max().copied().unwrap_or(0);
            assert!(
                connections <= 3,
                "seed {seed}: {connections} connections a minute"
            );
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
                Kind::QuickReconnector => tally.connections.values().all(|n| *n >= 13),
                _ => {
                    tally.subs.values().all(|subs| *subs > 10_000)
                        && tally.pending.values().all(|pending| *pending > 200)
                }
            };
            assert!(
                ok,
                "seed {seed}: {kind:?}: {:?} {:?}",
                tally.sent_rate, tally.connections
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
        || (public && tally.connections.get(&net).is_some_and(|count| *count > 6))
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
            (150, 0),
            "{score:#?}"
        );
    }
}

#[test]
fn abusers_give_up_after_their_last_return() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_honest()) {
        let mut world = World::empty(Release::V1_20_0, 9);
        world.invite(kind, Duration::ZERO);
        let mut most = 0;
        for _ in 0..600 {
            world.advance(Duration::from_secs(1));
            let keys: Vec<_> = world.sessions().as_slice().iter().map(|s| s.key).collect();
            most = most.max(keys.len() as u64);
            for key in keys {
                world.disconnect(key);
            }
        }
        assert!(
            world.sessions().as_slice().is_empty(),
            "{kind:?} is still there"
        );
        let (_, record) = world.records().next().unwrap();
        let machines = record.disconnects / u64::from(kind.returns() + 1);
        assert_eq!(
            record.disconnects % u64::from(kind.returns() + 1),
            0,
            "{kind:?}: {record:?}"
        );
        assert!(machines >= 1 && machines >= most, "{kind:?}");
        let texts: Vec<String> = world.events().into_iter().map(|event| event.text).collect();
        assert!(texts.last().unwrap().ends_with("has given up"), "{texts:?}");
    }
}

#[test]
fn a_hog_is_caught_when_its_last_session_goes() {
    let mut world = World::empty(Release::V1_20_0, 2);
    world.invite(Kind::BandwidthHog, Duration::ZERO);
    world.advance(Duration::from_mins(1));
    let keys: Vec<_> = world.sessions().as_slice().iter().map(|s| s.key).collect();
    assert!(keys.len() >= 12);
    world.disconnect(keys[0]);
    assert_eq!(world.score().abusers_disconnected, 0);
    world.advance(Duration::from_secs(5));
    for key in &keys {
        world.disconnect(*key);
    }
    let (_, record) = world.records().next().unwrap();
    assert_eq!(record.first_disconnect_at, Some(Duration::from_mins(1)));
    assert_eq!(record.caught_at, Some(Duration::from_secs(65)));
    let begun = record.abuse_from.unwrap();
    assert_eq!(
        world.score().time_to_disconnect.unwrap().max,
        Duration::from_secs(65).saturating_sub(begun)
    );
}

#[test]
fn an_honest_client_comes_back_and_is_a_mistake() {
    let mut world = World::empty(Release::V1_20_0, 2);
    world.invite(Kind::LightWallet, Duration::ZERO);
    world.advance(Duration::from_secs(30));
    let key = world.sessions().as_slice()[0].key;
    world.disconnect(key);
    world.disconnect(key);
    assert_eq!(
        world.records().next().unwrap().1.disconnects,
        1,
        "it was closing already"
    );
    world.advance(Duration::from_secs(20));
    assert_eq!(world.sessions().as_slice().len(), 1);
    assert_eq!(world.score().honest_disconnected, 1);
}

#[test]
fn an_idle_rpc_connection_is_cut_after_ten_minutes() {
    let mut world = World::empty(Release::V1_13_0, 2);
    let idle = world.open_rpc("127.0.0.1:1".parse().unwrap());
    let busy = world.open_rpc("127.0.0.1:2".parse().unwrap());
    for _ in 0..12 {
        world.advance(Duration::from_mins(1));
        world.request(busy, br#"{"id":1,"method":"getinfo"}"#);
    }
    assert!(!world.is_open(idle));
    assert!(world.is_open(busy));
}

#[test]
fn a_connection_that_costs_too_much_is_closed() {
    let mut world = World::empty(Release::V1_20_0, 2);
    let rpc = world.open_rpc("127.0.0.1:1".parse().unwrap());
    let answers: Vec<Answer> = (0..110)
        .map(|_| world.request(rpc, br#"{"method":"x"}"#))
        .collect();
    let last = answers.iter().find(|answer| answer.close).unwrap();
    assert!(String::from_utf8_lossy(&last.bytes).contains("excessive resource usage"));
    assert!(!world.is_open(rpc));
    assert!(
        answers
            .iter()
            .all(|answer| answer.hold <= Duration::from_secs(2))
    );
    assert!(answers[60].hold > answers[30].hold);
    // A line that is no JSON costs eleven times as much.
    let rpc = world.open_rpc("127.0.0.1:1".parse().unwrap());
    let answers = (0..20).map(|_| world.request(rpc, b"{nonsense"));
    assert_eq!(answers.take_while(|answer| !answer.close).count(), 10);
}

#[test]
fn two_sessions_may_bear_an_id_and_either_may_go() {
    let went = |seed| {
        let mut world = World::empty(Release::V1_0_17, seed);
        let client = world.connect("45.83.91.7:5000".parse().unwrap(), "4.5.8");
        let rpc = world.open_rpc("127.0.0.1:1".parse().unwrap());
        assert_eq!((world.id_of(client), world.id_of(rpc)), (Some(0), Some(0)));
        let request = br#"{"id":1,"method":"disconnect","params":{"session_ids":["0"]}}"#;
        world.request(rpc, request);
        assert_ne!(world.is_open(client), world.is_open(rpc));
        world.is_open(rpc)
    };
    let outcomes: Vec<bool> = (0..16).map(went).collect();
    assert!(
        outcomes.contains(&true) && outcomes.contains(&false),
        "{outcomes:?}"
    );
}

#[test]
fn small_groups_of_old_releases_merge() {
    let mut world = World::empty(Release::V1_6, 2);
    world.connect("45.83.91.7:5000".parse().unwrap(), "4.5.8");
    world.advance(Duration::from_secs(650));
    world.connect("45.83.91.8:5000".parse().unwrap(), "4.5.8");
    let groups: Value = serde_json::from_slice(&world.reply("groups").unwrap()).unwrap();
    assert_eq!((&groups[0][0], &groups[1][0]), (&json!(104), &json!(105)));
    world.advance(Duration::from_mins(1));
    let groups: Value = serde_json::from_slice(&world.reply("groups").unwrap()).unwrap();
    assert_eq!(groups.as_array().unwrap().len(), 1);
    assert_eq!(
        (&groups[0][0], &groups[0][1]),
        (&json!(105), &json!(1)),
        "the idle one is gone"
    );
}

#[test]
fn a_big_world_is_steady() {
    let mut world = World::big(Release::V1_20_0, 3_000, 1);
    world.advance(Duration::from_secs(5));
    let rows: Vec<Value> = serde_json::from_slice(&world.reply("sessions").unwrap()).unwrap();
    assert_eq!(rows.len(), 3_000);
    assert!(world.events().is_empty(), "nothing happens");
    let ids: Vec<u64> = rows.iter().map(|row| row[0].as_u64().unwrap()).collect();
    assert!(ids.is_sorted(), "in the order of connecting");
}
