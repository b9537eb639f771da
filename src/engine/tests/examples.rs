//! One matter at a time.

use std::time::Duration;

use super::{Judge, TEN, ids, policy, targets};
use crate::decision::{Seen, Suppression};
use crate::engine::DECISIONS_MAX;
use crate::history::Bounds;
use crate::policy::ListId;
use crate::scene::{Row, Scene};
use crate::snapshot::Transport;

/// It falls on all members, whoever did it.
const ALL: &str = "members = \"all\"";

fn hold_policy() -> String {
    policy("p", "session", "{ subs = \"> 5\" }", "for = \"30s\"")
}

/// A scene with one session that has `subs` subscriptions.
fn one(subs: u64) -> (Scene, u64) {
    let mut scene = Scene::new();
    let id = scene.connect("8.8.8.8:1", "wallet");
    scene.of(id).subs = subs;
    (scene, id)
}

#[test]
fn a_hold_time_runs_from_poll_to_poll() {
    let (mut judge, (mut scene, _)) = (Judge::new(&hold_policy()), one(9));
    let due: Vec<usize> = (0..5).map(|_| judge.due(&mut scene, 10).len()).collect();
    assert_eq!(due, [0, 0, 0, 1, 1]);
    let proposal = &judge.see(&scene)[0];
    assert_eq!(proposal.decision.held, Duration::from_secs(40));
    assert_eq!(proposal.decision.evidence[0].seen, Seen::Number(9.0));
    assert!((proposal.decision.severity - 1.8).abs() < 1e-9);
}

fn hasty() -> String {
    let more = "for = \"30s\"\nat_once = [{ pending_requests = \"> 10\" }, { cost_rate = \"> 1/s\" }]\n\
                unless = { client = \"good\" }";
    policy("p", "session", "{ subs = \"> 5\" }", more)
}

#[test]
fn at_once_does_not_wait() {
    let (mut judge, (mut scene, id)) = (Judge::new(&hasty()), one(9));
    let slow = scene.connect("8.8.8.8:2", "wallet");
    scene.of(slow).subs = 9;
    assert!(judge.due(&mut scene, 10).is_empty());
    scene.of(id).pending = 11;
    scene.wait(10.0);
    let proposals = judge.see(&scene);
    assert_eq!(targets(&proposals), ["0"]);
    let decision = &proposals[0].decision;
    assert!(decision.at_once);
    assert_eq!(decision.held, TEN);
    let fields: Vec<&str> = decision.evidence.iter().map(|e| &*e.field).collect();
    assert_eq!(fields, ["subs", "pending_requests"]);
    // Of `when` alone, as without it.
    assert!((decision.severity - 1.8).abs() < 1e-9);
    let snapshot = scene.poll();
    let pending = judge.engine.pending(&judge.history, &snapshot);
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].evidence.len(), 1);

    scene.of(id).pending = 0;
    scene.of(id).subs = 5;
    assert!(judge.due(&mut scene, 10).is_empty());
    scene.of(id).subs = 9;
    scene.wait(10.0);
    let waited = judge.see(&scene);
    assert_eq!(targets(&waited), ["1"]);
    assert!(!waited[0].decision.at_once);
    assert_eq!(waited[0].decision.evidence.len(), 1);
}

#[test]
fn at_once_is_nothing_without_when_and_spares_whom_unless_spares() {
    let (mut judge, (mut scene, id)) = (Judge::new(&hasty()), one(5));
    scene.of(id).pending = 11;
    let good = scene.connect("8.8.8.8:2", "good");
    (scene.of(good).subs, scene.of(good).pending) = (9, 11);
    assert!(judge.due(&mut scene, 10).is_empty());
}

#[test]
fn what_cannot_be_told_is_not_at_once() {
    let more = "for = \"30s\"\nat_once = { cost = \"< 1_000\" }";
    let mut judge = Judge::new(&policy("p", "session", "{ subs = \"> 5\" }", more));
    let (mut scene, id) = one(9);
    scene.of(id).cost = f64::NAN;
    assert!(judge.due(&mut scene, 10).is_empty());
    scene.of(id).cost = 5.0;
    assert_eq!(judge.due(&mut scene, 10), ["0"]);
}

#[test]
fn at_once_while_no_poll_succeeds() {
    let held = |at_once: &str| {
        let more = format!("for = \"1m\"\nat_once = {{ {at_once} }}");
        let text = policy("p", "server", "{ rpc_down = \"> 5s\" }", &more);
        let (mut judge, mut scene) = (Judge::new(&text), Scene::new());
        judge.see(&scene);
        let mut found = None;
        for _ in 0..9 {
            scene.wait(10.0);
            found = found.or(judge.miss(&scene).pop());
        }
        let decision = found.unwrap().decision;
        let held_s = decision.held.as_secs();
        (held_s, decision.at_once, decision.evidence.len())
    };
    assert_eq!(held("rpc_down = \"> 25s\""), (20, true, 2));
    // What is not known while no poll succeeds neither speeds nor blinds.
    let unknown = "rpc_down = \"> 25s\", sessions = \">= 0\"";
    assert_eq!(held(unknown), (60, false, 1));
}

#[test]
fn a_missed_poll_freezes_hold_times() {
    let (mut judge, (mut scene, _)) = (Judge::new(&hold_policy()), one(9));
    judge.due(&mut scene, 10);
    judge.due(&mut scene, 10);
    for _ in 0..10 {
        scene.wait(10.0);
        assert!(judge.miss(&scene).is_empty());
    }
    let due: Vec<usize> = (0..3).map(|_| judge.due(&mut scene, 10).len()).collect();
    assert_eq!(due, [0, 1, 1]);
}

#[test]
fn a_false_test_begins_the_hold_time_anew() {
    let (mut judge, (mut scene, id)) = (Judge::new(&hold_policy()), one(9));
    for subs in [9, 9, 9, 5, 9, 9, 9] {
        scene.of(id).subs = subs;
        assert!(judge.due(&mut scene, 10).is_empty());
    }
    assert_eq!(judge.due(&mut scene, 10), ["0"]);
}

#[test]
fn another_session_in_the_same_slot_begins_anew() {
    let (mut judge, (mut scene, id)) = (Judge::new(&hold_policy()), one(9));
    for _ in 0..3 {
        judge.due(&mut scene, 10);
    }
    scene.leave(id);
    judge.due(&mut scene, 10);
    let next = scene.connect("8.8.8.8:2", "wallet");
    scene.of(next).subs = 9;
    for _ in 0..3 {
        assert!(judge.due(&mut scene, 10).is_empty());
    }
    assert_eq!(judge.due(&mut scene, 10), ["1"]);
}

#[test]
fn a_gap_or_a_restart_begins_anew() {
    for is_restart in [true, false] {
        let (mut judge, (mut scene, _)) = (Judge::new(&hold_policy()), one(9));
        for _ in 0..3 {
            judge.due(&mut scene, 10);
        }
        if is_restart {
            let rows = scene.rows.clone();
            scene.restart();
            scene.rows = rows;
        } else {
            scene.wait(301.0);
        }
        for _ in 0..3 {
            assert!(judge.due(&mut scene, 10).is_empty());
        }
        assert_eq!(judge.due(&mut scene, 10), ["0"]);
    }
}

#[test]
fn any_table_with_all_its_tests() {
    let when = "[ { subs = [\"> 5\", \"< 8\"], requests = \"> 10\" }, { client = \"=~ ^bad\" } ]";
    let mut judge = Judge::new(&policy("p", "session", when, ""));
    let mut scene = Scene::new();
    for (subs, requests, client) in [
        (6, 11, "good"),
        (8, 11, "good"),
        (6, 10, "good"),
        (0, 0, "bad"),
        (6, 11, "bad"),
    ] {
        let id = scene.connect(&format!("8.8.8.8:{}", scene.rows.len() + 1), client);
        (scene.of(id).subs, scene.of(id).requests) = (subs, requests);
    }
    let proposals = judge.see(&scene);
    assert_eq!(targets(&proposals), ["0", "4", "3"]);
    let fields: Vec<Vec<&str>> = proposals
        .iter()
        .map(|p| p.decision.evidence.iter().map(|e| &*e.field).collect())
        .collect();
    // The first table that holds tells why.
    let first = ["subs", "subs", "requests"].to_vec();
    assert_eq!(fields, [first.clone(), first, ["client"].to_vec()]);
}

#[test]
fn holding_goes_on_from_one_table_to_the_other() {
    let when = "[ { subs = \"> 5\" }, { requests = \"> 5\" } ]";
    let mut judge = Judge::new(&policy("p", "session", when, "for = \"20s\""));
    let (mut scene, id) = one(9);
    judge.due(&mut scene, 10);
    (scene.of(id).subs, scene.of(id).requests) = (0, 9);
    judge.due(&mut scene, 10);
    assert_eq!(judge.due(&mut scene, 10), ["0"]);
}

#[test]
fn what_cannot_be_told_fails_in_when_and_spares_in_unless() {
    let cases = [
        ("{ cost = \"> 0\" }", "", 0),
        ("{ cost = \"<= 0\" }", "", 0),
        ("{ subs = \"> 5\" }", "unless = { cost = \"> 5\" }", 0),
        (
            "{ subs = \"> 5\" }",
            "unless = { cost = \"> 5\", subs = \"> 50\" }",
            1,
        ),
        (
            "{ subs = \"> 5\" }",
            "unless = { sent_rate = \"> 5 B/s\" }",
            0,
        ),
        ("{ subs = \"> 1x median\" }", "", 0),
        (
            "{ subs = \"> 5\" }",
            "unless = { subs = \"> 1x median\" }",
            0,
        ),
        ("{ address = \"not in 1.2.3.4\" }", "", 0),
        (
            "{ subs = \"> 5\" }",
            "unless = { address = \"in 1.2.3.4\" }",
            0,
        ),
    ];
    for (when, more, expected) in cases {
        let mut judge = Judge::new(&policy("p", "session", when, more));
        let (mut scene, id) = one(9);
        scene.generation = crate::snapshot::Generation::Plain;
        scene.of(id).since_ms -= 3_600_000;
        scene.of(id).peer = "unknown".into();
        assert_eq!(judge.see(&scene).len(), expected, "{when} {more}");
    }
}

#[test]
fn protected_members_of_a_subnet_are_spared_one_by_one() {
    let text = policy("p", "subnet", "{ sessions = \"> 2\" }", ALL)
        + &policy(
            "q",
            "subnet",
            "{ sessions = \"> 2\" }",
            "members = \"all\"\nunless = { address = \"in 8.8.8.7\" }",
        )
        + &policy(
            "r",
            "subnet",
            "{ sessions = \"> 2\", address = \"not in 8.8.8.6\" }",
            ALL,
        );
    let mut judge = Judge::protecting(&text, &["8.8.8.8/32"], &["^friend$"]);
    let mut scene = Scene::new();
    for (address, client) in [
        ("8", "wallet"),
        ("7", "wallet"),
        ("6", "wallet"),
        ("5", "friend"),
    ] {
        scene.connect(&format!("8.8.8.{address}:1"), client);
    }
    let proposals = judge.see(&scene);
    let acted: Vec<_> = proposals.iter().map(ids).collect();
    assert_eq!(acted, [vec![1, 2], vec![2], vec![1]]);
    let spared: Vec<_> = proposals.iter().map(|p| p.decision.spared).collect();
    assert_eq!(spared, [2, 3, 3]);
}

#[test]
fn a_protected_name_is_spared_even_where_names_have_no_place() {
    let bounds = Bounds {
        targets_max: 1,
        ..Bounds::default()
    };
    let text = policy("p", "session", "{ subs = \"> 5\" }", "");
    let mut judge = Judge::bounded(&text, &[], &["^friend$"], bounds);
    let mut scene = Scene::new();
    for client in ["stranger", "friend"] {
        let id = scene.connect(&format!("8.8.8.8:{}", scene.rows.len() + 1), client);
        scene.of(id).subs = 9;
    }
    let proposals = judge.see(&scene);
    assert_eq!(targets(&proposals), ["0", "1"]);
    assert_eq!(proposals[0].barred, None);
    assert_eq!(proposals[1].barred, Some(Suppression::Protection));
}

#[test]
fn rpc_and_closing_sessions_are_never_targets() {
    let text = policy("p", "session", "{ subs = \"> 5\" }", "")
        + &policy(
            "q",
            "address",
            "{ subs = \"> 5\" }",
            "include_private = true",
        )
        + &policy("r", "client", "{ subs = \"> 5\" }", "");
    let mut judge = Judge::new(&text);
    let mut scene = Scene::new();
    for kind in ["rpc", "closing", "plain", "ambiguous"] {
        let id = scene.connect(&format!("127.0.0.1:{}", scene.rows.len() + 1), "one");
        let row = scene.of(id);
        row.subs = 9;
        match kind {
            "rpc" => (row.flags.transport, row.id) = (Transport::Rpc, 3),
            "closing" => row.flags.closing = true,
            _ => {}
        }
    }
    let proposals = judge.see(&scene);
    let acted: Vec<_> = proposals
        .iter()
        .map(|p| (ids(p), p.barred.clone()))
        .collect();
    assert_eq!(
        acted,
        [
            (vec![2], None),
            (vec![2], None),
            (vec![2], None),
            (vec![], Some(Suppression::AmbiguousId)),
        ]
    );
}

#[test]
fn private_peers_are_a_target_only_where_the_policy_says_so() {
    let when = "{ sessions = \"> 0\" }";
    let mut scene = Scene::new();
    for peer in ["8.8.8.8:1", "127.0.0.1:1", "[fd87:d87e::1]:1", "unknown"] {
        scene.connect(peer, "wallet");
    }
    let mut public = Judge::new(&policy("p", "address", when, ""));
    assert_eq!(targets(&public.see(&scene)), ["8.8.8.8"]);
    let mut all = Judge::new(&policy("p", "address", when, "include_private = true"));
    assert_eq!(
        targets(&all.see(&scene)),
        ["8.8.8.8", "127.0.0.1", "fd87:d87e::/64"]
    );
}

fn crowd(count: u64, subs: impl Fn(u64) -> u64) -> Scene {
    let mut scene = Scene::new();
    for i in 0..count {
        let id = scene.connect(&format!("8.8.{}.{}:1", i / 250, i % 250 + 1), "wallet");
        scene.of(id).subs = subs(i);
        scene.of(id).since_ms -= 3_600_000;
    }
    scene
}

#[test]
fn multiples_of_the_median_need_twenty_with_a_value() {
    let text = policy("p", "session", "{ subs = \"> 3x median\" }", "");
    let subs = |i| if i == 4 { 31 } else { 10 };
    assert!(Judge::new(&text).see(&crowd(19, subs)).is_empty());
    let proposals = Judge::new(&text).see(&crowd(20, subs));
    assert_eq!(targets(&proposals), ["4"]);
    assert_eq!(proposals[0].decision.evidence[0].threshold, Some(30.0));
}

#[test]
fn decoys_do_not_make_what_is_normal() {
    let text = policy("p", "session", "{ subs = \"> 3x median\" }", "");
    let mut scene = crowd(20, |_| 10);
    let old = scene.rows[0].since_ms;
    for i in 0..200_u32 {
        // Strangers of many addresses, and one regular's many sessions, the oldest of them as it should be.
        let decoy = scene.connect(&format!("9.9.{i}.9:1"), "wallet");
        scene.of(decoy).subs = 30;
        let many = scene.connect(&format!("8.8.0.1:{}", i + 2), "wallet");
        scene.of(many).subs = 30;
        scene.of(many).since_ms = old + 1;
    }
    let hog = scene.connect("9.8.7.6:1", "wallet");
    scene.of(hog).subs = 31;
    let proposals = Judge::new(&text).see(&scene);
    assert_eq!(targets(&proposals), [hog.to_string()]);
    assert_eq!(proposals[0].decision.evidence[0].threshold, Some(30.0));
}

#[test]
fn who_has_left_is_not_what_is_normal() {
    let text = policy(
        "p",
        "address",
        "{ sessions = \"> 3x median\" }",
        "window = \"5m\"",
    ) + &policy(
        "q",
        "address",
        "{ new_sessions = \"> 1000\" }",
        "window = \"5m\"",
    );
    let mut judge = Judge::new(&text);
    let mut scene = Scene::new();
    for poll in 0..8 {
        scene.wait(10.0);
        scene.rows = crowd(20, |_| 0).rows;
        for row in &mut scene.rows {
            row.peer = row.peer.replacen("8.8.", &format!("8.{poll}."), 1);
        }
        assert_eq!(judge.see(&scene).len(), 0, "{poll}");
    }
}

#[test]
fn the_worst_comes_first_and_of_equals_the_first_policy_and_the_lower_id() {
    let text = policy("b", "session", "{ subs = \"> 10\" }", "")
        + &policy("a", "session", "{ requests = \"> 10\" }", "")
        + &policy("c", "session", "{ client = \"wallet\" }", "");
    let order = |order: &[usize]| {
        let mut scene = crowd(4, |i| [40, 20, 20, 0][usize::try_from(i).unwrap()]);
        scene.of(1).requests = 40;
        let rows: Vec<Row> = order.iter().map(|&i| scene.rows[i].clone()).collect();
        scene.rows = rows;
        let proposals = Judge::new(&text).see(&scene);
        let names = proposals.iter().map(|p| p.decision.policy.to_string());
        names.zip(targets(&proposals)).collect::<Vec<_>>()
    };
    let expected = order(&[0, 1, 2, 3]);
    let shown: Vec<String> = expected.iter().map(|(p, t)| format!("{p}{t}")).collect();
    assert_eq!(shown, ["b0", "a1", "b1", "b2", "c0", "c1", "c2", "c3"]);
    assert_eq!(order(&[3, 2, 1, 0]), expected);
    assert_eq!(order(&[2, 0, 3, 1]), expected);
}

#[test]
fn of_equal_addresses_the_one_that_came_first() {
    let mut judge = Judge::new(&policy("p", "address", "{ sessions = \"> 0\" }", ""));
    let mut scene = Scene::new();
    for peer in ["9.9.9.9:1", "1.1.1.1:1", "[2a00::1]:1", "8.8.8.8:1"] {
        scene.connect(peer, "wallet");
    }
    let came = ["9.9.9.9", "1.1.1.1", "2a00::/64", "8.8.8.8"];
    assert_eq!(judge.due(&mut scene, 10), came);
    scene.rows.reverse();
    assert_eq!(judge.due(&mut scene, 10), came);
}

#[test]
fn of_one_policy_the_worst_thousand() {
    let mut judge = Judge::new(&policy("p", "session", "{ subs = \"> 1\" }", ""));
    let evaluation = judge.evaluate(&crowd(1_200, |i| i + 2));
    assert_eq!(evaluation.proposals.len(), DECISIONS_MAX);
    assert_eq!(evaluation.crowded, 200);
    assert_eq!(targets(&evaluation.proposals)[0], "1199");
}

#[test]
fn whom_nothing_can_be_done_to_does_not_crowd_out_others() {
    let text = policy("p", "session", "{ subs = \"> 1\" }", "");
    let mut judge = Judge::protecting(&text, &["8.8.0.0/16"], &[]);
    let mut scene = crowd(1_200, |_| 1_000);
    let id = scene.connect("9.9.9.9:1", "wallet");
    scene.of(id).subs = 2;
    let proposals = judge.see(&scene);
    assert_eq!(proposals.len(), DECISIONS_MAX);
    assert_eq!(proposals.iter().filter(|p| p.barred.is_none()).count(), 1);
}

#[test]
fn addresses_without_sessions_do_not_crowd_out_others() {
    let text = policy("p", "address", "{ request_rate = \"> 1/s\" }", "");
    let mut judge = Judge::new(&text);
    let mut scene = Scene::new();
    for _ in 0..7 {
        judge.due(&mut scene, 10);
    }
    scene.rows = crowd(1_200, |_| 0).rows;
    for row in &mut scene.rows {
        (row.requests, row.since_ms) = (1_000_000, scene.now_ms);
    }
    judge.due(&mut scene, 10);
    scene.rows.clear();
    let id = scene.connect("9.9.9.9:1", "wallet");
    scene.of(id).requests = 1_000;
    assert_eq!(judge.due(&mut scene, 10), ["9.9.9.9"]);
}

#[test]
fn a_name_is_asked_about_once() {
    let text = policy("p", "session", "{ client = \"=~ ^bad\" }", "")
        + &policy(
            "q",
            "session",
            "{ client = \"=~ ^bad\", subs = \"> 5\" }",
            "",
        );
    let mut judge = Judge::new(&text);
    let mut scene = crowd(100, |_| 9);
    for _ in 0..5 {
        judge.due(&mut scene, 10);
    }
    assert_eq!(judge.engine.verdicts_asked(), 1);
    scene.of(7).client = "bad".into();
    assert_eq!(judge.due(&mut scene, 10), ["7", "7"]);
    assert_eq!(judge.engine.verdicts_asked(), 2);
}

#[test]
fn a_list_that_is_read_again_counts_at_the_next_poll() {
    let text = "[lists]\nbad = { file = \"bad.txt\" }\n".to_owned()
        + &policy("p", "session", "{ client = \"in @bad\" }", "")
        + &policy(
            "q",
            "subnet",
            "{ sessions = \"> 0\" }",
            "unless = { address = \"in @good\" }",
        )
        + "[lists.good]\nfile = \"good.txt\"\n";
    let mut judge = Judge::new(&text);
    let (mut scene, _) = one(0);
    assert_eq!(judge.due(&mut scene, 10), ["8.8.8.0/24"]);
    let (bad, good) = (ListId(0), ListId(1));
    let set = judge.engine.set_mut();
    let of = |path: &str| {
        let file = set.list_files().iter().find(|f| f.path.ends_with(path));
        file.unwrap().id
    };
    let (bad, good) = (of("bad.txt").max(bad), of("good.txt").max(good));
    set.reload_list(bad, "wallet\n".into()).unwrap();
    set.reload_list(good, "8.8.0.0/16\n".into()).unwrap();
    assert_eq!(judge.due(&mut scene, 10), ["0"]);
    judge
        .engine
        .set_mut()
        .reload_list(bad, String::new())
        .unwrap();
    judge
        .engine
        .set_mut()
        .reload_list(good, String::new())
        .unwrap();
    assert_eq!(judge.due(&mut scene, 10), ["8.8.8.0/24"]);
}

#[test]
fn while_no_poll_succeeds_only_rpc_down_is_judged() {
    let text = policy("down", "server", "{ rpc_down = \"> 25s\" }", "")
        + &policy("held", "server", "{ rpc_down = \"> 5s\" }", "for = \"20s\"")
        + &policy(
            "short",
            "server",
            "{ rpc_down = \"> 5s\" }",
            "unless = { rpc_down = \"> 15s\" }",
        )
        + &policy("errors", "server", "{ errors = \">= 0\" }", "")
        + &policy(
            "mixed",
            "server",
            "{ rpc_down = \"> 5s\", errors = \">= 0\" }",
            "",
        );
    let mut judge = Judge::new(&text);
    let mut scene = Scene::new();
    let names = |proposals: &[super::Proposal]| {
        let names = proposals.iter().map(|p| p.decision.policy.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&judge.see(&scene)), ["errors"]);
    let mut missed = Vec::new();
    for _ in 0..4 {
        scene.wait(10.0);
        missed.push(names(&judge.miss(&scene)));
    }
    let expected: [&[&str]; 4] = [&["short"], &[], &["down", "held"], &["down", "held"]];
    assert_eq!(missed, expected);
    scene.wait(10.0);
    assert_eq!(names(&judge.see(&scene)), ["errors"]);
    scene.wait(10.0);
    assert_eq!(names(&judge.miss(&scene)), ["short"]);
}

#[test]
fn a_server_that_never_answered_is_down_since_the_first_try() {
    let mut judge = Judge::new(&policy("down", "server", "{ rpc_down = \"> 15s\" }", ""));
    let mut scene = Scene::new();
    let mut due = Vec::new();
    for _ in 0..3 {
        due.push(judge.miss(&scene).len());
        scene.wait(10.0);
    }
    assert_eq!(due, [0, 0, 1]);
}

#[test]
fn pending_says_who_holds_but_not_for_long_enough() {
    let (mut judge, (mut scene, _)) = (Judge::new(&hold_policy()), one(9));
    judge.due(&mut scene, 10);
    judge.due(&mut scene, 10);
    let pending = judge.engine.pending(&judge.history, &scene.poll());
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].held, pending[0].hold), (TEN, 3 * TEN));
    judge.due(&mut scene, 10);
    judge.due(&mut scene, 10);
    let pending = judge.engine.pending(&judge.history, &scene.poll());
    assert_eq!(pending, []);
}

#[test]
fn unjudged_says_which_field_is_not_known() {
    let text = policy(
        "rate",
        "address",
        "{ sessions = \"> 0\", sent_rate = \"> 1 B/s\" }",
        "",
    ) + &policy("cost", "session", "{ cost = \"> 1\" }", "")
        + &policy(
            "either",
            "session",
            "[ { cost = \"> 1\" }, { subs = \"> 1\" } ]",
            "",
        )
        + &policy("known", "session", "{ subs = \"> 1\" }", "");
    let mut judge = Judge::new(&text);
    let (mut scene, _) = one(0);
    scene.generation = crate::snapshot::Generation::Plain;
    judge.due(&mut scene, 10);
    let unjudged = |judge: &Judge| {
        let unjudged = judge.engine.unjudged(&judge.history).into_iter();
        unjudged
            .map(|(policy, test)| format!("{} {}", policy.name, test.field_written))
            .collect::<Vec<_>>()
    };
    assert_eq!(unjudged(&judge), ["rate sent_rate", "cost cost"]);
    for _ in 0..6 {
        judge.due(&mut scene, 10);
    }
    assert_eq!(unjudged(&judge), ["cost cost"]);
}

#[test]
fn a_group_whose_members_are_uncertain_yields_no_disconnect() {
    let mut judge = Judge::new(&policy("p", "group", "{ sessions = \"> 1\" }", ALL));
    let mut scene = Scene::new();
    for peer in ["8.8.8.8:1", "8.8.8.9:1"] {
        scene.connect(peer, "wallet");
    }
    scene.groups = vec![("8.8.8.0/24".into(), 3)];
    let uncertain = judge.see(&scene);
    assert_eq!(uncertain[0].barred, Some(Suppression::UncertainMembers));
    assert_eq!(ids(&uncertain[0]), [0_u64; 0]);
    scene.groups[0].1 = 2;
    scene.wait(10.0);
    let certain = judge.see(&scene);
    assert_eq!((ids(&certain[0]), &certain[0].barred), (vec![0, 1], &None));
}

#[test]
fn who_is_logged_already_is_not_logged_again() {
    let more = "action = { log = { for = \"1m\" } }";
    let mut judge = Judge::new(&policy("p", "address", "{ sessions = \"> 0\" }", more));
    let mut scene = Scene::new();
    scene.connect("8.8.8.8:1", "wallet");
    let logged = scene.connect("8.8.8.8:2", "wallet");
    scene.of(logged).flags.logged = true;
    assert_eq!(ids(&judge.see(&scene)[0]), [0]);
    scene.of(0).flags.logged = true;
    let barred = judge.see(&scene)[0].barred.clone();
    assert_eq!(barred, Some(Suppression::NothingToDo));
}
