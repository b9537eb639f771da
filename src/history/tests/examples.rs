//! One matter at a time.

use super::Watch;
use crate::field::Scope;
use crate::field::Scope::{Address, Client, Group, Server, Session, Subnet};
use crate::history::{Bounds, Continuity};
use crate::scene::{Scene, millis};
use crate::snapshot::Transport;
use crate::wire::Inspection;

const PEER: &str = "8.8.8.8:1";

/// A history that has watched an empty server for long enough.
fn watched(wanted: &[&'static str]) -> (Watch, Scene) {
    let (mut watch, mut scene) = (Watch::new("1m", wanted), Scene::new());
    watch.see(&scene.poll());
    watch.see_for(&mut scene, 60, 10);
    (watch, scene)
}

#[test]
fn traffic_of_who_left_stays_for_the_window_and_no_longer() {
    let (mut watch, mut scene) = watched(&[
        "address sent_rate",
        "subnet sent_rate",
        "client sent_rate",
        "session sent_rate",
        "server sent_rate",
    ]);
    let id = scene.connect(PEER, "wallet");
    scene.of(id).sent = 6_000;
    watch.see_for(&mut scene, 10, 10);
    let targets = [
        (Address, "8.8.8.8"),
        (Subnet, "8.8.8.0/24"),
        (Client, "wallet"),
        (Server, "server"),
    ];
    scene.leave(id);
    for _ in 0..5 {
        watch.see_for(&mut scene, 10, 10);
        for (scope, target) in targets {
            let rate = watch.get(scope, "sent_rate", target);
            assert_eq!(rate, Some(100.0), "{scope}");
        }
        assert_eq!(watch.get(Session, "sent_rate", "0"), None);
    }
    watch.see_for(&mut scene, 10, 10);
    for (scope, target) in targets {
        let rate = watch.get(scope, "sent_rate", target);
        assert_eq!(rate, Some(0.0), "{scope}");
    }
}

#[test]
fn who_comes_back_adds_to_what_was() {
    let (mut watch, mut scene) = watched(&[
        "address sent_rate",
        "address new_sessions",
        "address gone_sessions",
        "address sessions",
    ]);
    for _ in 0..3 {
        let id = scene.connect(PEER, "wallet");
        scene.of(id).sent = 600;
        watch.see_for(&mut scene, 10, 10);
        scene.leave(id);
    }
    let get = |field| watch.get(Address, field, "8.8.8.8");
    assert_eq!(get("sent_rate"), Some(30.0));
    assert_eq!(get("new_sessions"), Some(3.0));
    assert_eq!(get("gone_sessions"), Some(2.0));
    assert_eq!(get("sessions"), Some(1.0));
}

#[test]
fn a_missed_poll_neither_loses_nor_doubles_traffic() {
    let (mut watch, mut scene) = watched(&["session sent_rate"]);
    let id = scene.connect(PEER, "wallet");
    for missed in [false, true, true, false, false, false] {
        scene.wait(10.0);
        scene.of(id).sent += 1_000;
        if !missed {
            watch.see(&scene.poll());
        }
    }
    assert_eq!(watch.get(Session, "sent_rate", "0"), Some(100.0));
}

#[test]
fn before_a_window_has_passed_only_young_sessions_have_a_rate() {
    let mut watch = Watch::new(
        "1m",
        &[
            "session sent_rate",
            "address sent_rate",
            "session sent_share",
        ],
    );
    let mut scene = Scene::new();
    for (age_s, peer) in [(60.0, "8.8.8.8:1"), (0.5, "8.8.4.4:1"), (60.5, "9.9.9.9:1")] {
        let id = scene.connect(peer, "wallet");
        let row = scene.of(id);
        row.since_ms -= millis(age_s);
        row.sent = 6_000;
    }
    let id = scene.connect("1.1.1.1:1", "wallet");
    scene.of(id).is_age_unknown = true;
    watch.see(&scene.poll());
    let rate = |id| watch.get(Session, "sent_rate", id);
    assert_eq!(rate("0"), Some(100.0));
    assert_eq!(rate("1"), Some(100.0));
    assert_eq!((rate("2"), rate("3")), (None, None));
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), None);
    assert_eq!(watch.get(Session, "sent_share", "0"), None);
}

#[test]
fn who_was_there_before_the_watch_began_brings_nothing_along() {
    let mut watch = Watch::new("1m", &["session sent_rate", "address new_sessions"]);
    let mut scene = Scene::new();
    let id = scene.connect(PEER, "wallet");
    scene.of(id).sent = 1_000_000_000;
    scene.wait(86_400.0);
    watch.see(&scene.poll());
    watch.see_for(&mut scene, 60, 10);
    assert_eq!(watch.get(Session, "sent_rate", "0"), Some(0.0));
    assert_eq!(watch.get(Address, "new_sessions", "8.8.8.8"), Some(0.0));
}

#[test]
fn who_gets_a_place_late_brings_nothing_along() {
    let bounds = Bounds {
        sessions_max: 1,
        ..Bounds::default()
    };
    let wanted = &[
        "session sent_rate",
        "address sent_rate",
        "address new_sessions",
    ];
    let mut watch = Watch::bounded("1m", wanted, bounds);
    let mut scene = Scene::new();
    let first = scene.connect("9.9.9.9:1", "wallet");
    let late = scene.connect(PEER, "wallet");
    scene.of(late).sent = 1_000_000_000;
    watch.see(&scene.poll());
    watch.see_for(&mut scene, 60, 10);
    assert_eq!(watch.history.untracked(), 7);
    scene.leave(first);
    // Its slot is free one poll after that.
    watch.see_for(&mut scene, 20, 10);
    assert_eq!(watch.get(Session, "sent_rate", "1"), Some(0.0));
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(0.0));
    assert_eq!(watch.get(Address, "new_sessions", "8.8.8.8"), Some(0.0));
}

#[test]
fn an_address_without_a_place_gets_one_when_there_is_room() {
    let bounds = Bounds {
        targets_max: 1,
        ..Bounds::default()
    };
    let mut watch = Watch::bounded("1m", &["address sessions"], bounds);
    let mut scene = Scene::new();
    let first = scene.connect("9.9.9.9:1", "wallet");
    scene.connect(PEER, "wallet");
    watch.see(&scene.poll());
    assert_eq!(watch.get(Address, "sessions", "8.8.8.8"), None);
    scene.leave(first);
    watch.see_for(&mut scene, 20, 10);
    assert_eq!(watch.get(Address, "sessions", "8.8.8.8"), Some(1.0));
}

#[test]
fn tables_are_bounded() {
    let bounds = Bounds {
        sessions_max: 20,
        targets_max: 10,
        ..Bounds::default()
    };
    let wanted = &[
        "address sessions",
        "subnet sessions",
        "client sessions",
        "session subs",
    ];
    let mut watch = Watch::bounded("1m", wanted, bounds);
    let mut scene = Scene::new();
    for poll in 0..50_u32 {
        scene.rows.clear();
        for i in 0..40_u32 {
            scene.connect(
                &format!("[2a00:{poll:x}:{i:x}::1]:1"),
                &format!("name {poll} {i}"),
            );
        }
        let before = watch.history.untracked();
        watch.see_for(&mut scene, 10, 10);
        for (scope, field, max) in [
            (Session, "subs", 20),
            (Address, "sessions", 10),
            (Subnet, "sessions", 10),
            (Client, "sessions", 10),
        ] {
            assert!(watch.all(scope, field).len() <= max, "{scope}");
        }
        assert!(watch.history.untracked() >= before + 60);
    }
}

#[test]
fn who_is_there_comes_before_those_who_may_come_back() {
    let bounds = Bounds {
        // Who left is found gone only when those who came are counted.
        sessions_max: 20 + 12,
        ..Bounds::default()
    };
    let mut watch = Watch::bounded("1m", &["session sent_rate"], bounds);
    let mut scene = Scene::new();
    for poll in 0..30_u32 {
        // Up to twelve leave and as many come: in a minute far more than there are places.
        let leaving = if poll % 2 == 0 { 12 } else { 4 };
        scene.rows.drain(..scene.rows.len().min(leaving));
        while scene.rows.len() < 20 {
            let host = scene.rows.len();
            let id = scene.connect(&format!("8.{poll}.8.{host}:1"), "wallet");
            scene.of(id).sent = 600;
        }
        watch.see_for(&mut scene, 10, 10);
        assert_eq!(watch.history.untracked(), 0, "{poll}");
        if poll > 6 {
            let rates = watch.all(Session, "sent_rate");
            assert_eq!(rates.len(), 20);
            assert!(
                rates.iter().all(|&(_, rate)| rate > 0.0 && rate <= 10.1),
                "{rates:?}"
            );
        }
    }
}

#[test]
fn who_comes_and_goes_leaves_no_list_behind() {
    let (mut watch, mut scene) = (Watch::new("1h", &["session sent_rate"]), Scene::new());
    for _ in 0..400 {
        scene.rows.clear();
        scene.connect(PEER, "wallet");
        watch.see_for(&mut scene, 4, 4);
    }
    let listed = watch.history.sessions.listed();
    assert!((1..=130).contains(&listed), "{listed}");
}

#[test]
fn a_restart_drops_everything_and_so_does_a_gap() {
    let (mut watch, mut scene) = watched(&["address sent_rate", "address new_sessions"]);
    let id = scene.connect(PEER, "wallet");
    scene.of(id).sent = 6_000;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(100.0));
    scene.wait(5.0);
    scene.restart();
    let id = scene.connect(PEER, "wallet");
    scene.of(id).sent = 6_000;
    scene.wait(5.0);
    assert_eq!(watch.see(&scene.poll()), Continuity::Restarted);
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), None);
    watch.see_for(&mut scene, 60, 10);
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(0.0));
    scene.of(id).sent += 6_000;
    scene.wait(301.0);
    assert_eq!(watch.see(&scene.poll()), Continuity::Gap);
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), None);
    watch.see_for(&mut scene, 60, 10);
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(0.0));
    assert_eq!(watch.get(Address, "new_sessions", "8.8.8.8"), Some(0.0));
}

#[test]
fn a_gap_with_a_restart_in_it_is_a_gap() {
    let (mut watch, mut scene) = watched(&["server daemon_stalled"]);
    scene.wait(150.0);
    scene.restart();
    scene.wait(151.0);
    assert_eq!(watch.see(&scene.poll()), Continuity::Gap);
    let stalled = watch.get(Server, "daemon_stalled", "server");
    assert_eq!(stalled, Some(0.0));
}

#[test]
fn a_server_whose_clock_is_set_back_has_not_restarted() {
    let (mut watch, mut scene) = watched(&["session sent_rate"]);
    scene.started_ms += 3_600_000;
    scene.wait(10.0);
    assert_eq!(watch.see(&scene.poll()), Continuity::Continued);
}

#[test]
fn a_restart_shows_in_an_uptime_that_has_not_grown_enough() {
    let (mut watch, mut scene) = (Watch::new("1m", &["session subs"]), Scene::new());
    scene.started_ms = scene.now_ms - 10_000;
    watch.see(&scene.poll());
    scene.wait(100.0);
    let pid = scene.pid;
    scene.restart();
    scene.pid = pid;
    scene.wait(50.0);
    assert_eq!(watch.see(&scene.poll()), Continuity::Restarted);
}

#[test]
fn another_connection_to_the_same_server_goes_on() {
    let (mut watch, mut scene) = watched(&["session sent_rate", "address new_sessions"]);
    let id = scene.connect(PEER, "wallet");
    watch.see_for(&mut scene, 60, 10);
    scene.of(id).sent += 6_000;
    scene.epoch.0 += 1;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(watch.get(Session, "sent_rate", "0"), Some(100.0));
    assert_eq!(watch.get(Address, "new_sessions", "8.8.8.8"), Some(0.0));
}

#[test]
fn the_same_id_is_another_session_when_peer_or_counters_say_so() {
    let wanted = &[
        "session sent_rate",
        "address new_sessions",
        "address gone_sessions",
    ];
    for change in ["peer", "counters"] {
        let (mut watch, mut scene) = watched(wanted);
        let id = scene.connect(PEER, "wallet");
        scene.of(id).sent = 60_000;
        watch.see_for(&mut scene, 70, 10);
        let now_ms = scene.now_ms;
        let row = scene.of(id);
        row.since_ms = now_ms;
        row.sent = 1_200;
        if change == "peer" {
            row.peer = "8.8.8.8:2".into();
            row.sent = 61_200;
        }
        watch.see_for(&mut scene, 10, 10);
        let expected = if change == "peer" { 1_020.0 } else { 20.0 };
        assert_eq!(
            watch.get(Session, "sent_rate", "0"),
            Some(expected),
            "{change}"
        );
        assert_eq!(watch.get(Address, "new_sessions", "8.8.8.8"), Some(1.0));
        assert_eq!(watch.get(Address, "gone_sessions", "8.8.8.8"), Some(1.0));
    }
}

#[test]
fn counters_that_go_back_within_a_long_session_bring_nothing_along() {
    let (mut watch, mut scene) = watched(&["session sent_rate", "address sent_rate"]);
    let id = scene.connect(PEER, "wallet");
    scene.of(id).sent = 1_000_000_000;
    scene.of(id).recv = 100;
    watch.see_for(&mut scene, 600, 10);
    scene.of(id).recv = 99;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(watch.get(Session, "sent_rate", "0"), Some(0.0));
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(0.0));
}

#[test]
fn an_unknown_age_over_another_connection_loses_the_history_and_brings_nothing_along() {
    let (mut watch, mut scene) = watched(&["session sent_rate", "address sent_rate"]);
    let id = scene.connect(PEER, "wallet");
    scene.of(id).is_age_unknown = true;
    scene.of(id).sent = 1_000_000_000;
    watch.see_for(&mut scene, 120, 10);
    scene.epoch.0 += 1;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(watch.get(Session, "sent_rate", "0"), Some(0.0));
    assert_eq!(watch.get(Address, "sent_rate", "8.8.8.8"), Some(0.0));
}

#[test]
fn heights_stand_still_as_far_as_was_watched() {
    let (mut watch, mut scene) = watched(&["server daemon_stalled", "server db_stalled"]);
    let stalled = |watch: &Watch| watch.get(Server, "daemon_stalled", "server");
    assert_eq!(stalled(&watch), Some(60.0));
    scene.set_height(None);
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(stalled(&watch), Some(70.0));
    scene.set_height(Some(800_001));
    watch.see_for(&mut scene, 20, 10);
    assert_eq!(stalled(&watch), Some(10.0));
    // The daemon's height goes on over a restart of the server: it is the daemon's.
    scene.restart();
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(stalled(&watch), Some(20.0));
}

#[test]
fn rpc_connections_are_nobodys_traffic() {
    let (mut watch, mut scene) =
        watched(&["server sent_rate", "client sessions", "address sessions"]);
    let id = scene.connect("127.0.0.1:9", "RPC");
    scene.of(id).flags.transport = Transport::Rpc;
    scene.of(id).sent = 1_000_000;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(watch.get(Server, "sent_rate", "server"), Some(0.0));
    assert_eq!(watch.get(Client, "sessions", "RPC"), None);
    assert_eq!(watch.get(Address, "sessions", "127.0.0.1"), None);
}

#[test]
fn a_groups_rate_is_not_known_while_its_members_are_not() {
    let (mut watch, mut scene) = watched(&["group sent_rate", "group sessions", "group subs"]);
    let id = scene.connect(PEER, "wallet");
    scene.groups = vec![("8.8.8.0/24".into(), 1)];
    let get = |watch: &Watch, field| watch.get(Group, field, "8.8.8.0/24");
    scene.of(id).sent += 6_000;
    scene.of(id).subs = 5;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(get(&watch, "sent_rate"), Some(100.0));
    assert_eq!(get(&watch, "subs"), Some(5.0));
    scene.groups[0].1 = 2;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(get(&watch, "sent_rate"), None);
    assert_eq!(get(&watch, "subs"), None);
    assert_eq!(get(&watch, "sessions"), Some(2.0));
    scene.groups[0].1 = 1;
    watch.see_for(&mut scene, 50, 10);
    assert_eq!(get(&watch, "sent_rate"), None);
    assert_eq!(get(&watch, "subs"), Some(5.0));
    scene.of(id).sent += 600;
    watch.see_for(&mut scene, 10, 10);
    assert_eq!(get(&watch, "sent_rate"), Some(10.0));
}

#[test]
fn gap_max_itself_is_no_gap() {
    let (mut watch, mut scene) = watched(&["session subs"]);
    scene.wait(Bounds::default().gap_max.as_secs_f64());
    assert_eq!(watch.see(&scene.poll()), Continuity::Continued);
}

fn errors(errors: u64) -> Inspection {
    Inspection {
        errors,
        requests: 1_000,
        ..Inspection::default()
    }
}

#[test]
fn errors_count_from_the_first_look_or_from_a_fresh_start() {
    let (mut watch, mut scene) = watched(&["session error_rate", "session errors"]);
    let old = scene.connect(PEER, "wallet");
    watch.see_for(&mut scene, 60, 10);
    let new = scene.connect("8.8.4.4:1", "wallet");
    for id in [old, new] {
        scene.of(id).cost = 100_000.0;
    }
    scene.errors = 1_200;
    scene.wait(10.0);
    let snapshot = scene.poll();
    watch.history.begin(&snapshot);
    assert_eq!(watch.history.inspect_next(1), [old]);
    assert_eq!(watch.history.inspect_next(9), [old, new]);
    watch.history.inspected(old, &errors(600));
    watch.history.inspected(new, &errors(600));
    watch.history.finish(&snapshot);
    let get = |watch: &Watch, field, id| watch.get(Session, field, id);
    assert_eq!(get(&watch, "errors", "0"), Some(600.0));
    assert_eq!(get(&watch, "error_rate", "0"), Some(0.0));
    assert_eq!(get(&watch, "error_rate", "1"), Some(10.0));
    scene.wait(10.0);
    let snapshot = scene.poll();
    watch.history.begin(&snapshot);
    assert_eq!(watch.history.inspect_next(9), [0_u64; 0]);
    watch.history.inspected(old, &errors(1_200));
    watch.history.inspected(77, &errors(1_200));
    watch.history.finish(&snapshot);
    assert_eq!(get(&watch, "error_rate", "0"), Some(10.0));
    assert_eq!(get(&watch, "errors", "1"), Some(600.0));
}

#[test]
fn a_private_peer_is_not_part_of_a_wide_public_subnet() {
    let mut watch = Watch::new("1m", &["subnet sessions", "address sessions"]);
    watch.history.widths.v4 = 8;
    let mut scene = Scene::new();
    for peer in ["172.2.0.1:1", "172.16.0.1:1", "10.0.0.1:1"] {
        scene.connect(peer, "wallet");
    }
    watch.see(&scene.poll());
    assert_eq!(watch.get(Subnet, "sessions", "172.0.0.0/8"), Some(1.0));
    assert_eq!(watch.get(Subnet, "sessions", "10.0.0.0/8"), Some(1.0));
    assert_eq!(watch.get(Address, "sessions", "172.16.0.1"), Some(1.0));
}

#[test]
fn nobody_hides_from_inspection() {
    let (mut watch, mut scene) = watched(&["session errors"]);
    let ids: Vec<u64> = (1..=4)
        .map(|port| scene.connect(&format!("8.8.8.8:{port}"), "x"))
        .collect();
    scene.errors = 500;
    watch.see_for(&mut scene, 20, 10);
    let costly = |scene: &mut Scene, ids: &[u64]| {
        for &id in ids {
            scene.of(id).cost += 100.0 * (id + 1) as f64;
        }
    };
    // One leaves with 500 errors while the others make as many: the sum stands still.
    scene.leave(ids[3]);
    costly(&mut scene, &ids[..3]);
    scene.wait(10.0);
    let snapshot = scene.poll();
    watch.history.begin(&snapshot);
    assert_eq!(watch.history.inspect_next(2), [ids[2], ids[1]]);
    for id in [ids[2], ids[1]] {
        watch.history.inspected(id, &errors(1));
    }
    watch.history.finish(&snapshot);
    // Whoever was not looked at yet comes first, however cheap beside the others.
    costly(&mut scene, &ids[..3]);
    scene.errors += 1;
    scene.wait(10.0);
    let snapshot = scene.poll();
    watch.history.begin(&snapshot);
    assert_eq!(watch.history.inspect_next(2), [ids[0], ids[2]]);
}

#[test]
fn who_made_errors_and_comes_back_is_inspected_first() {
    let (mut watch, mut scene) = watched(&["session error_rate"]);
    let others: Vec<u64> = (1..=5)
        .map(|port| scene.connect(&format!("8.8.4.{port}:1"), "y"))
        .collect();
    let offender = scene.connect("8.8.8.8:1", "x");
    watch.see_for(&mut scene, 20, 10);
    scene.errors = 500;
    scene.of(offender).cost += 50_000.0;
    scene.wait(10.0);
    let snapshot = scene.poll();
    watch.history.begin(&snapshot);
    watch.history.inspected(offender, &errors(500));
    watch.history.finish(&snapshot);
    scene.leave(offender);
    let back = scene.connect("8.8.8.8:2", "x");
    for &id in &others {
        scene.of(id).cost += 90_000.0;
    }
    scene.of(back).cost += 100.0;
    scene.errors += 1;
    scene.wait(10.0);
    watch.history.begin(&scene.poll());
    assert_eq!(watch.history.inspect_next(3)[0], back);
}

#[test]
fn what_a_return_was_inspected_for_stays_when_the_one_before_is_gone() {
    let (mut watch, mut scene) = watched(&["session errors"]);
    let first = scene.connect("8.8.8.8:1", "x");
    watch.see_for(&mut scene, 20, 10);
    let inspect = |watch: &mut Watch, scene: &mut Scene, told: &[(u64, u64)]| {
        scene.wait(10.0);
        let snapshot = scene.poll();
        watch.history.begin(&snapshot);
        for &(id, count) in told {
            watch.history.inspected(id, &errors(count));
        }
        watch.history.finish(&snapshot);
    };
    inspect(&mut watch, &mut scene, &[(first, 500)]);
    watch.expel(first, scene.at());
    // The server takes a moment to close the connection.
    scene.wait(5.0);
    let back = scene.connect("8.8.8.8:2", "x");
    inspect(&mut watch, &mut scene, &[(back, 3)]);
    scene.leave(first);
    inspect(&mut watch, &mut scene, &[]);
    let told = watch.get(Session, "errors", &back.to_string());
    assert_eq!(told, Some(3.0));
}

#[test]
fn who_was_cut_and_is_back_is_judged_by_the_time_that_it_was_there() {
    let mut watch = Watch::new("1m", &["session sent_rate", "address new_sessions"]);
    let mut scene = Scene::new();
    let mut id = scene.connect("8.8.8.8:1", "hog");
    scene.of(id).since_ms -= 60_000;
    watch.see(&scene.poll());
    for _ in 0..7 {
        scene.of(id).sent += 10_000_000;
        watch.see_for(&mut scene, 10, 10);
    }
    for port in 2..8 {
        watch.expel(id, scene.at());
        scene.leave(id);
        scene.wait(5.0);
        id = scene.connect(&format!("8.8.8.8:{port}"), "hog");
        scene.wait(5.0);
        scene.of(id).sent = 5_000_000;
        watch.see(&scene.poll());
        let rate = watch.get(Scope::Session, "sent_rate", &id.to_string());
        assert!((rate.unwrap() - 1e6).abs() < 1e-3, "{rate:?}");
        let new = watch.get(Scope::Address, "new_sessions", "8.8.8.8");
        assert_eq!(new, Some(0.0), "coming back from that is not new");
    }
    // Where it leaves by itself, it is quieter for that.
    scene.leave(id);
    scene.wait(5.0);
    id = scene.connect("8.8.8.8:9", "hog");
    scene.wait(5.0);
    scene.of(id).sent = 5_000_000;
    watch.see(&scene.poll());
    let rate = watch
        .get(Scope::Session, "sent_rate", &id.to_string())
        .unwrap();
    assert!(rate < 0.95e6, "{rate}");
}

#[test]
fn who_was_cut_and_stays_away_for_longer_is_quieter_for_that() {
    let mut watch = Watch::new("1m", &["session sent_rate"]);
    let mut scene = Scene::new();
    let id = scene.connect("8.8.8.8:1", "wallet");
    scene.of(id).since_ms -= 60_000;
    watch.see(&scene.poll());
    for _ in 0..7 {
        scene.of(id).sent += 3_300_000;
        watch.see_for(&mut scene, 10, 10);
    }
    watch.expel(id, scene.at());
    scene.leave(id);
    watch.see_for(&mut scene, 30, 10);
    scene.wait(9.0);
    let back = scene.connect("8.8.8.8:2", "wallet");
    scene.of(back).sent = 330_000;
    scene.wait(1.0);
    watch.see(&scene.poll());
    let rate = watch.get(Session, "sent_rate", &back.to_string());
    // Of 39 s that it was away, 5 are the agent's doing.
    let expected = (2.0 * 3_300_000.0 + 330_000.0) / 55.0;
    assert!((rate.unwrap() - expected).abs() < 1e-3, "{rate:?}");
}
