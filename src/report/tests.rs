//! A scene's polls through the collector, with decisions made up for them.

use std::sync::Arc;
use std::time::Duration;

use super::sample::{KICK, LOG, decided, held_back, side};
use super::*;
use crate::decision::{BanOrder, BanRefusal, NoBan, Suppression};
use crate::policy::Action;
use crate::scene::Scene;
use crate::warden::Settings;

#[test]
fn nothing_at_all_is_a_report_too() {
    let report = Collector::new(side("a", &[("hog", KICK)]), None).finish();
    assert_eq!(report.replayed, Replayed::default());
    assert_eq!(report.decided.policies.len(), 1);
    assert_eq!(report.comparison, None);
    assert_eq!(report.timeline.acts, [Vec::<u64>::new()]);
    serde_json::to_string(&report).unwrap();
}

#[test]
fn bytes_are_counted_from_the_first_poll_on() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[]), None);
    let old = scene.connect("8.8.8.8:1", "old");
    scene.of(old).sent = 1_000_000;
    scene.wait(100.0);
    collector.poll(&scene.poll(), &[], &[]);
    scene.of(old).sent += 500;
    scene.wait(10.0);
    // Who came since the last poll did all that it did since then.
    let young = scene.connect("8.8.8.9:1", "young");
    (scene.of(young).sent, scene.of(young).recv) = (70, 30);
    collector.poll(&scene.poll(), &[], &[]);
    scene.leave(old);
    scene.of(young).recv += 1;
    scene.wait(10.0);
    collector.missed(scene.at(), "no answer", &[], &[]);
    scene.wait(10.0);
    collector.poll(&scene.poll(), &[], &[]);
    let report = collector.finish();
    let replayed = &report.replayed;
    assert_eq!((replayed.sent_bytes, replayed.recv_bytes), (570, 31));
    assert_eq!((replayed.sessions, replayed.sessions_peak), (2, 2));
    assert_eq!((replayed.addresses, replayed.subnets), (2, 1));
    assert_eq!((replayed.polls, replayed.missed), (3, 1));
    let timeline = &report.timeline;
    assert_eq!(timeline.sent_rate, [None, Some(57.0), None, Some(0.0)]);
    assert_eq!(timeline.recv_rate, [None, Some(3.0), None, Some(0.05)]);
    assert_eq!(timeline.sessions_max, [Some(1), Some(2), None, Some(1)]);
}

#[test]
fn the_same_id_after_a_restart_is_another_session() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[]), None);
    scene.connect("8.8.8.8:1", "one");
    collector.poll(&scene.poll(), &[], &[]);
    scene.wait(60.0);
    scene.restart();
    scene.wait(5.0);
    let again = scene.connect("8.8.4.4:1", "two");
    scene.of(again).sent = 7;
    collector.poll(&scene.poll(), &[], &[]);
    // The agent's connection alone was new: everybody is still there.
    scene.epoch.0 += 1;
    scene.wait(10.0);
    scene.of(again).sent = 9;
    collector.poll(&scene.poll(), &[], &[]);
    let replayed = collector.finish().replayed;
    assert_eq!((replayed.sessions, replayed.sent_bytes), (2, 9));
    assert_eq!(replayed.restarts, 1);
    assert_eq!(replayed.addresses, 2);
}

#[test]
fn rows_in_any_order_are_the_same_sessions() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[]), None);
    for i in 0..20 {
        scene.connect(&format!("8.8.8.{i}:1"), "x");
    }
    for turn in 1..=4 {
        for row in &mut scene.rows {
            row.sent += 10;
        }
        let by = 7 * turn;
        scene.rows.rotate_left(by % 20);
        collector.poll(&scene.poll(), &[], &[]);
        scene.wait(10.0);
    }
    let replayed = collector.finish().replayed;
    assert_eq!((replayed.sessions, replayed.sent_bytes), (20, 20 * 30));
}

#[test]
fn private_peers_have_no_address_of_their_own() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), None);
    let tor = scene.connect("127.0.0.1:1", "tor");
    scene.connect("unknown", "?");
    scene.connect("[2a00:1:2:3::1]:1", "six");
    scene.connect("[2a00:1:2:3::2]:1", "six");
    scene.connect("[2a00:1:2:4::2]:1", "six");
    let carried = decided(&scene, "hog", KICK, &[tor], 2.0);
    collector.poll(&scene.poll(), &[carried], &[]);
    let report = collector.finish();
    assert_eq!(report.replayed.private_sessions, 2);
    assert_eq!((report.replayed.addresses, report.replayed.subnets), (2, 1));
    let totals = &report.decided.totals;
    assert_eq!((totals.sessions, totals.addresses), (1, 0));
}

#[test]
fn a_session_is_counted_once_by_each_that_names_it() {
    let mut scene = Scene::new();
    let policies = [("hog", KICK), ("curious", LOG), ("tell", Action::Alert)];
    let mut collector = Collector::new(side("a", &policies), None);
    let ids: Vec<_> = (0..4)
        .map(|i| scene.connect(&format!("8.8.{i}.8:1"), "x"))
        .collect();
    for _ in 0..3 {
        let carried = [
            decided(&scene, "hog", KICK, &ids[..2], 2.0),
            decided(&scene, "curious", LOG, &ids[1..3], 3.0),
            decided(&scene, "tell", Action::Alert, &ids[3..], 4.0),
            held_back(
                decided(&scene, "hog", KICK, &ids[3..], 9.0),
                Suppression::Protection,
            ),
        ];
        collector.poll(&scene.poll(), &carried, &[]);
        scene.wait(10.0);
    }
    let report = collector.finish();
    let totals = &report.decided.totals;
    assert_eq!(
        (totals.outcomes.decisions, totals.outcomes.would_act),
        (12, 9)
    );
    assert_eq!(totals.sessions, 3);
    assert!((totals.sessions_share - 0.75).abs() < 1e-12);
    let (disconnected, logged) = (totals.disconnected_sessions, totals.logged_sessions);
    assert_eq!((disconnected, logged), (2, 2));
    assert_eq!(
        (totals.addresses, totals.subnets, totals.targets),
        (3, 3, 3)
    );
    let [hog, curious, tell] = &report.decided.policies[..] else {
        panic!("three")
    };
    assert_eq!((hog.sessions, hog.targets), (2, 2));
    let by = Suppressed {
        by: "protection",
        decisions: 3,
    };
    assert_eq!(hog.outcomes.suppressed_by, [by]);
    assert_eq!((curious.sessions, &*curious.wants), (2, "log for 10m"));
    assert_eq!((tell.sessions, tell.outcomes.would_act), (1, 3));
    // 1,000,000 s after the epoch is a quarter to two in the afternoon.
    assert_eq!(tell.hours[13], 3);
    assert_eq!(
        report.timeline.acts,
        [vec![1, 1, 1], vec![1, 1, 1], vec![1, 1, 1]]
    );
    assert_eq!(report.timeline.suppressed, [1, 1, 1]);
}

#[test]
fn the_worst_examples_are_kept_one_a_target_and_acts_first() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), None);
    let ids: Vec<_> = (0..9)
        .map(|i| scene.connect(&format!("8.8.{i}.8:1"), "x"))
        .collect();
    for (round, severity) in [5.0, f64::NAN, 7.0, 1.0].into_iter().enumerate() {
        let of = |&id: &u64| decided(&scene, "hog", KICK, &[id], severity + id as f64);
        let mut carried: Vec<_> = ids[round..].iter().map(of).collect();
        let worst = decided(&scene, "hog", KICK, &ids[..1], 1_000.0);
        carried.push(held_back(worst, Suppression::UncertainMembers));
        collector.poll(&scene.poll(), &carried, &[]);
        scene.wait(10.0);
    }
    let report = collector.finish();
    let examples = &report.decided.policies[0].examples;
    let shown: Vec<_> = examples
        .iter()
        .map(|example| (example.target.to_string(), example.severity))
        .collect();
    let expected: Vec<_> = (4..9)
        .rev()
        .map(|id| (format!("{id} (8.8.{id}.8:1)"), 7.0 + f64::from(id)))
        .collect();
    assert_eq!(shown, expected);
    assert!(examples.iter().all(|example| example.by.is_none()));
}

#[test]
fn a_comparison_parts_sessions_addresses_and_subnets() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(
        side("a", &[("hog", KICK), ("same", KICK)]),
        Some(side("b", &[("same", LOG), ("other", KICK)])),
    );
    let [mine, theirs, shared, near, free] = [
        "8.8.8.8:1",
        "9.9.9.9:1",
        "7.7.7.7:1",
        "8.8.8.9:1",
        "6.6.6.6:1",
    ]
    .map(|peer| scene.connect(peer, "x"));
    let spend = |scene: &mut Scene| {
        for (id, bytes) in [
            (mine, 100),
            (theirs, 20),
            (shared, 3),
            (near, 1_000),
            (free, 5_000),
        ] {
            scene.of(id).sent += bytes;
        }
        scene.wait(10.0);
    };
    collector.poll(&scene.poll(), &[], &[]);
    spend(&mut scene);
    let a = [
        decided(&scene, "hog", KICK, &[mine], 2.0),
        decided(&scene, "same", KICK, &[shared], 2.0),
    ];
    let b = [decided(&scene, "other", KICK, &[theirs], 2.0)];
    collector.poll(&scene.poll(), &a, &b);
    spend(&mut scene);
    let b = [decided(&scene, "same", LOG, &[shared], 2.0)];
    collector.poll(&scene.poll(), &[], &b);
    spend(&mut scene);
    scene.leave(mine);
    collector.poll(&scene.poll(), &[], &[]);
    let report = collector.finish();
    let comparison = report.comparison.as_ref().unwrap();
    let figures = |parts: &Parts| {
        [&parts.only_decided, &parts.only_against, &parts.both]
            .map(|part| (part.count, part.traffic_bytes))
    };
    // The session that left took the traffic of its last ten seconds with it.
    assert_eq!(figures(&comparison.sessions), [(1, 100), (1, 40), (1, 6)]);
    assert_eq!(figures(&comparison.addresses), [(1, 100), (1, 40), (1, 6)]);
    // The neighbour in the subnet moved bytes too.
    assert_eq!(figures(&comparison.subnets), [(1, 2_100), (1, 40), (1, 6)]);
    let part = &comparison.subnets.only_decided;
    assert_eq!(part.members[0].target, "8.8.8.0/24");
    let bytes = report.replayed.bytes();
    let apart = part.traffic_share - 2_100.0 / bytes as f64;
    assert!(apart.abs() < 1e-12, "{apart}");
    let example = &comparison.sessions.both.members[0];
    assert_eq!(
        (&*example.policy, example.client.as_deref()),
        ("same", Some("x"))
    );
    let names: Vec<_> = comparison
        .policies
        .iter()
        .map(|pair| (&*pair.name, pair.decided.is_some(), pair.against.is_some()))
        .collect();
    assert_eq!(
        names,
        [
            ("hog", true, false),
            ("same", true, true),
            ("other", false, true)
        ]
    );
    let totals = &report.decided.totals;
    assert_eq!((totals.sessions, totals.traffic_bytes), (2, 106));
    assert_eq!(report.against.unwrap().totals.logged_sessions, 1);
}

/// As `[subnet]` of the policies' own configuration has it.
#[test]
fn subnets_are_as_wide_as_the_first_settings_say() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), Some(side("b", &[])));
    let start = |collector: &mut Collector, v4| {
        let mut settings = Settings::default();
        settings.widths.v4 = v4;
        collector.start(&settings);
    };
    let mine = scene.connect("8.8.8.8:1", "x");
    scene.connect("8.8.9.9:1", "x");
    start(&mut collector, 16);
    collector.poll(&scene.poll(), &[], &[]);
    scene.wait(10.0);
    let a = [decided(&scene, "hog", KICK, &[mine], 2.0)];
    collector.poll(&scene.poll(), &a, &[]);
    start(&mut collector, 24);
    scene.wait(10.0);
    collector.poll(&scene.poll(), &[], &[]);
    let report = collector.finish();
    assert_eq!((report.replayed.addresses, report.replayed.subnets), (2, 1));
    let comparison = report.comparison.unwrap();
    let member = &comparison.subnets.only_decided.members[0];
    assert_eq!(member.target, "8.8.0.0/16");
}

#[test]
fn a_failed_poll_can_still_bring_decisions() {
    let scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("down", Action::Alert)]), None);
    let mut scene_with = scene.clone();
    let id = scene_with.connect("8.8.8.8:1", "x");
    let mut alert = decided(&scene_with, "down", Action::Alert, &[id], 1.0);
    (alert.decision.target, alert.decision.sessions) = (Target::Server, Vec::new());
    for why in ["refused", "refused", "a", "b", "c", "d", "e", "f"] {
        collector.missed(scene.at(), why, std::slice::from_ref(&alert), &[]);
    }
    let report = collector.finish();
    let why: Vec<_> = report
        .replayed
        .missed_because
        .iter()
        .map(|missed| (&*missed.why, missed.count))
        .collect();
    assert_eq!(
        why,
        [
            ("refused", 2),
            ("other", 2),
            ("a", 1),
            ("b", 1),
            ("c", 1),
            ("d", 1)
        ]
    );
    assert_eq!(report.decided.totals.outcomes.would_act, 8);
    assert_eq!(report.decided.totals.targets, 1);
}

#[test]
fn an_opening_of_the_breaker_is_counted_once() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), None);
    let id = scene.connect("8.8.8.8:1", "x");
    for turn in 0..8 {
        let opened = if turn < 4 { 0 } else { 2_000_000 };
        let until = Timestamp::from_millis(1_001_800_000 + opened);
        let carried = held_back(
            decided(&scene, "hog", KICK, &[id], 2.0),
            Suppression::Breaker { until },
        );
        collector.poll(&scene.poll(), &[carried], &[]);
        collector.breaker_open(scene.at(), until);
        scene.wait(400.0);
    }
    let report = collector.finish();
    assert_eq!(report.decided.breaker.openings, 2);
    assert_eq!(report.decided.breaker.suppressed, 8);
    assert_eq!(report.replayed.gaps, 7);
}

#[test]
fn a_long_recording_has_few_bins_and_loses_nothing() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK), ("never", KICK)]), None);
    let id = scene.connect("8.8.8.8:1", "x");
    let polls = 5_000;
    for turn in 0..polls {
        scene.of(id).sent += 10;
        let carried = decided(&scene, "hog", KICK, &[id], 2.0);
        collector.poll(&scene.poll(), &[carried], &[]);
        // One week without anybody looking.
        scene.wait(if turn == 2_500 { 604_800.0 } else { 10.0 });
    }
    let report = collector.finish();
    let timeline = &report.timeline;
    let bins = timeline.from_ms.len();
    assert!((BINS_MAX / 4..=BINS_MAX).contains(&bins), "{bins}");
    assert_eq!(timeline.polls.iter().sum::<u64>(), polls);
    assert_eq!(timeline.acts[0].iter().sum::<u64>(), polls);
    assert!(timeline.acts[1].is_empty());
    assert!(timeline.from_ms.is_sorted());
    let spans = timeline.from_ms.iter().zip(&timeline.to_ms);
    for (from, to) in spans {
        assert!(((to - from) as f64) < timeline.width_s * 1_000.0);
    }
    assert_eq!(report.replayed.gaps, 1);
}

#[test]
fn figures_read_as_json() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("policies", &[("hog", KICK)]), None);
    let id = scene.connect("8.8.8.8:1", "</script>");
    let name: Arc<str> = "</script>\u{2028}".into();
    let mut carried = decided(&scene, "hog", KICK, &[id], f64::INFINITY);
    carried.decision.target = Target::Client(name);
    collector.poll(&scene.poll(), &[carried], &[]);
    let json = serde_json::to_value(collector.finish()).unwrap();
    let example = &json["decided"]["policies"][0]["examples"][0];
    assert_eq!(example["scope"], "client");
    assert_eq!(example["target"], "</script>\u{2028}");
    assert_eq!(example["severity"], serde_json::Value::Null);
    assert_eq!(example["at"], "1970-01-12T13:46:40.000Z");
    assert_eq!(json["decided"]["policies"][0]["would_act"], 1);
    assert_eq!(json["timeline"]["from_ms"][0], 1_000_000_000);
}

#[test]
fn what_is_not_told_one_by_one_counts_all_the_same() {
    let mut scene = Scene::new();
    let ids: Vec<_> = (0..3)
        .map(|i| scene.connect(&format!("8.8.8.{i}:1"), "x"))
        .collect();
    let sides = || side("a", &[("hog", KICK)]);
    let mut collector = Collector::new(sides(), Some(sides()));
    collector.poll(&scene.poll(), &[], &[]);
    let held = |id: u64| {
        let carried = decided(&scene, "hog", KICK, &[id], 2.0);
        held_back(carried, Suppression::Protection)
    };
    let held: Vec<_> = ids.iter().map(|&id| held(id)).collect();
    collector.untold(&held, &held[..1]);
    let report = collector.finish();
    let outcomes = &report.decided.policies[0].outcomes;
    assert_eq!((outcomes.decisions, outcomes.suppressed), (3, 3));
    let by = [Suppressed {
        by: "protection",
        decisions: 3,
    }];
    assert_eq!(outcomes.suppressed_by, by);
    assert_eq!(report.timeline.suppressed, [3]);
    assert_eq!(report.timeline.against_suppressed, [1]);
    assert_eq!(report.comparison.unwrap().sessions.both.count, 0);
}

#[test]
fn whom_one_set_alone_touches_stands_out() {
    let mut scene = Scene::new();
    let ids: Vec<_> = (0..4)
        .map(|i| scene.connect(&format!("8.8.{i}.8:1"), "x"))
        .collect();
    let kick = |ids: &[u64]| [decided(&scene, "hog", KICK, ids, 2.0)];
    let played = |decided: &[u64], against: &[u64]| {
        let sides = || side("a", &[("hog", KICK)]);
        let mut collector = Collector::new(sides(), Some(sides()));
        collector.poll(&scene.poll(), &kick(decided), &kick(against));
        let attention = collector.finish().attention();
        let stands_out = attention
            .into_iter()
            .filter(|point| point.contains("alone"));
        stands_out.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(played(&ids[..3], &ids[2..]), @r"
    A touches 2 sessions that B leaves alone: 50% of all sessions, with 0 B after the first decision about each, 0% of all traffic.
    B touches 1 session that A leaves alone: 25% of all sessions, with 0 B after the first decision about each, 0% of all traffic.
    ");
    assert_eq!(played(&ids[..2], &ids[..2]), "");
}

#[test]
fn of_many_touched_the_first_thousand_are_named() {
    let mut scene = Scene::new();
    let ids: Vec<_> = (0..MEMBERS_MAX + 7)
        .map(|i| scene.connect(&format!("8.{}.{}.8:1", i / 250, i % 250), "x"))
        .collect();
    let sides = || side("a", &[("hog", KICK)]);
    let mut collector = Collector::new(sides(), Some(sides()));
    let carried = decided(&scene, "hog", KICK, &ids, 2.0);
    collector.poll(&scene.poll(), &[carried], &[]);
    scene.wait(10.0);
    scene.of(ids[MEMBERS_MAX + 3]).sent += 5;
    collector.poll(&scene.poll(), &[], &[]);
    let comparison = collector.finish().comparison.unwrap();
    for parts in [&comparison.sessions, &comparison.addresses] {
        let part = &parts.only_decided;
        assert_eq!(
            (part.members.len(), part.members_left_out),
            (MEMBERS_MAX, 7)
        );
        assert_eq!(part.members[0].traffic_bytes, 5);
    }
}

/// A decision that bans whoever it is about for ten minutes, and would ban another.
fn banned(scene: &Scene, id: u64, address: &str) -> crate::act::Carried {
    let duration = Duration::from_mins(10);
    let mut carried = decided(scene, "hog", Action::Ban { duration }, &[id], 2.0);
    let decision = &mut carried.decision;
    decision.bans.push(BanOrder {
        net: address.parse().unwrap(),
        until: decision.at + duration,
        strikes: 1.0,
        holes: Vec::new(),
    });
    decision.refused.push(BanRefusal {
        net: "8.8.4.4/32".parse().unwrap(),
        why: NoBan::Regulars,
    });
    carried
}

#[test]
fn what_bans_would_have_kept_out_is_counted_from_the_next_poll_on() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), None);
    let hog = scene.connect("8.8.8.8:1", "hog");
    let other = scene.connect("8.8.4.4:1", "other");
    collector.poll(&scene.poll(), &[], &[]);
    let act = |scene: &mut Scene, ids: &[u64]| {
        for &id in ids {
            scene.of(id).sent += 1_000;
            scene.of(id).requests += 10;
        }
        scene.wait(10.0);
    };
    act(&mut scene, &[hog, other]);
    let carried = banned(&scene, hog, "8.8.8.8/32");
    collector.poll(&scene.poll(), &[carried], &[]);
    // It goes on, as nobody is disconnected by a replay, and comes a second time.
    let again = scene.connect("8.8.8.8:2", "hog");
    for _ in 0..2 {
        act(&mut scene, &[hog, again, other]);
        let snapshot = scene.poll();
        let held_off = decided(&scene, "hog", KICK, &[hog, again], 1.0);
        let held_off = held_off.decision.sessions;
        collector.poll(&snapshot, &[], &[]);
        collector.held_off(&held_off, &[]);
    }
    let report = collector.finish();
    let bans = report.decided.totals.bans.as_ref().unwrap();
    assert_eq!((bans.bans, bans.networks), (1, 1));
    assert_eq!((bans.shortest_s, bans.longest_s), (600.0, 600.0));
    assert_eq!(
        bans.refused,
        [Refused {
            why: "regulars",
            bans: 1
        }]
    );
    assert_eq!(
        bans.kept_out,
        KeptOut {
            sessions: 2,
            requests: 40,
            requests_share: 40.0 / 80.0,
            traffic_bytes: 4_000,
            traffic_share: 4_000.0 / 8_000.0,
        }
    );
    insta::assert_snapshot!(report.summary().join("\n"), @r"
    Within 30s the server was asked 4 times, and had 3 client sessions from 2 public addresses, at most 3 at once.
    The policies would have banned 1 network for 10m: that would have kept out 2 sessions, 50% of all requests and 50% of all traffic. They would have disconnected 1 session: 33.3% of all sessions and 50% of all public addresses.
    ");
}

#[test]
fn without_bans_nothing_is_said_of_them() {
    let mut scene = Scene::new();
    let mut collector = Collector::new(side("a", &[("hog", KICK)]), None);
    let hog = scene.connect("8.8.8.8:1", "hog");
    let carried = decided(&scene, "hog", KICK, &[hog], 2.0);
    collector.poll(&scene.poll(), &[carried], &[]);
    assert_eq!(collector.finish().decided.totals.bans, None);
}

#[test]
fn a_ladder_is_told_with_its_rungs() {
    let ban = |minutes| Action::Ban {
        duration: Duration::from_mins(minutes),
    };
    let mut side = side("a", &[("hog", KICK)]);
    side.policies[0].further = vec![ban(10), ban(120)];
    let report = Collector::new(side, None).finish();
    assert_eq!(
        report.decided.policies[0].wants,
        "disconnect, then ban for 10m, 2h"
    );
}
