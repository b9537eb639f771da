//! How the world goes on over time, without sockets.

use super::*;

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
fn a_scripted_session_does_what_it_is_told() {
    let mut world = World::empty(Release::V1_20_0, 2);
    let key = world.connect("45.83.91.7:5000".parse().unwrap(), "a name of many letters");
    world.serve(
        key,
        &Traffic {
            requests: 2,
            errors: 3,
            subs: 4,
            recv_bytes: 1_000,
            sent_bytes: 9_000,
            pending: 5,
            ..Traffic::default()
        },
    );
    let rows: Value = serde_json::from_slice(&world.reply("sessions").unwrap()).unwrap();
    let expected = json!([
        0,
        "T10",
        "45.83.91.7:5000",
        "a name of many le",
        "1.4",
        307.0296,
        0.0,
        5,
        0,
        4,
        10,
        1084,
        10,
        9064,
        0.0
    ]);
    assert_eq!(rows, json!([expected]));
    let info: Value = serde_json::from_slice(&world.reply("getinfo").unwrap()).unwrap();
    assert_eq!(info["sessions"]["errors"], 3);
    assert_eq!(info["request counts"]["invalid method"], 3);
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
