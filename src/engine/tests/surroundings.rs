//! Policies that look at what is around their targets.

use super::{Judge, ids, policy, targets};
use crate::decision::Seen;
use crate::engine::{Missing, Standing};
use crate::scene::Scene;

fn disconnect(when: &str, more: &str) -> Judge {
    Judge::new(&policy("p", "session", when, more))
}

/// A session with so many subscriptions.
fn connect(scene: &mut Scene, peer: &str, client: &str, subs: u64) -> u64 {
    let id = scene.connect(peer, client);
    scene.of(id).subs = subs;
    id
}

/// Of four sessions with many subscriptions two have a neighbour behind their address: one with many
/// itself, one with none.
fn neighbours() -> Scene {
    let mut scene = Scene::new();
    connect(&mut scene, "8.8.8.8:1", "a", 9);
    connect(&mut scene, "8.8.8.8:2", "b", 9);
    connect(&mut scene, "8.8.8.9:1", "b", 9);
    connect(&mut scene, "8.8.7.8:1", "b", 9);
    connect(&mut scene, "8.8.8.8:3", "c", 0);
    scene
}

fn due(when: &str) -> Vec<String> {
    targets(&disconnect(when, "").see(&neighbours()))
}

#[test]
fn what_is_around_restricts_whom_the_own_tests_find() {
    assert_eq!(due("{ subs = \"> 5\" }"), ["0", "1", "2", "3"]);
    let subs = |around: &str| due(&format!("{{ subs = \"> 5\", {around} }}"));
    // The third session of 8.8.8.8 has no subscriptions: it is never hit.
    assert_eq!(subs("address.sessions = \"> 2\""), ["0", "1"]);
    assert_eq!(subs("\"address.subs\" = \"<= 9\""), ["2", "3"]);
    assert_eq!(subs("subnet.sessions = \">= 4\""), ["0", "1", "2"]);
    assert_eq!(subs("client.subs = \"> 20\""), ["1", "2", "3"]);
    assert_eq!(subs("server.subs = \"> 35\""), ["0", "1", "2", "3"]);
    assert_eq!(subs("server.subs = \"> 36\""), [""; 0]);
    assert_eq!(subs("subnet.address = \"in 8.8.7.0/24\""), ["3"]);
    assert_eq!(subs("\"client.client\" = \"=~ ^a\""), ["0"]);
    assert_eq!(subs("server.version = \"=~ .\""), [""; 0]);
    assert_eq!(
        subs("address.subs = \"> 9\", subnet.addresses = \"== 2\", server.sessions = \"== 5\""),
        ["0", "1"]
    );
}

#[test]
fn in_unless_and_at_once_as_well() {
    let spared = "unless = { address.sessions = \"> 2\" }";
    let mut judge = disconnect("{ subs = \"> 5\" }", spared);
    assert_eq!(targets(&judge.see(&neighbours())), ["2", "3"]);
    let sooner = "for = \"1m\"\nat_once = { server.subs = \"> 30\", client.sessions = \"> 2\" }";
    let mut judge = disconnect("{ subs = \"> 5\" }", sooner);
    assert_eq!(targets(&judge.see(&neighbours())), ["1", "2", "3"]);
}

#[test]
fn a_policy_on_addresses_looks_at_the_subnet_and_the_server() {
    let mut scene = neighbours();
    scene.wait(1.0);
    let judge = |when: &str| Judge::new(&policy("p", "address", when, "members = \"all\""));
    let due = |when: &str| {
        let mut due = targets(&judge(when).see(&scene));
        due.sort();
        due
    };
    assert_eq!(
        due("{ subs = \"> 5\", subnet.addresses = \"> 1\" }"),
        ["8.8.8.8", "8.8.8.9"]
    );
    assert_eq!(
        due("{ subs = \"> 5\", server.sessions = \"> 5\" }"),
        [""; 0]
    );
    for scope in ["subnet", "client"] {
        let when = "{ subs = \"> 20\", server.sessions = \"== 5\" }";
        let mut judge = Judge::new(&policy("p", scope, when, "members = \"all\""));
        assert_eq!(judge.see(&scene).len(), 1, "{scope}");
    }
}

/// A session over Tor has no address of its own; the name and the server it shares with the others.
#[test]
fn a_private_peer_has_no_address_around_it() {
    let mut scene = Scene::new();
    for port in 0..3 {
        connect(&mut scene, &format!("127.0.0.1:{port}"), "tor", 9);
        connect(&mut scene, &format!("unknown{port}"), "tor", 9);
    }
    let due = |around: &str| {
        let when = format!("{{ subs = \"> 5\", {around} }}");
        disconnect(&when, "").see(&scene).len()
    };
    assert_eq!(due("address.sessions = \">= 0\""), 0);
    assert_eq!(due("address.sessions = \"< 100\""), 0);
    assert_eq!(due("subnet.sessions = \"!= 100\""), 0);
    assert_eq!(due("address.address = \"not in 8.0.0.0/8\""), 0);
    assert_eq!(due("client.sessions = \"== 6\""), 6);
    assert_eq!(due("server.sessions = \"== 6\""), 6);
    // Who may be exempt is.
    let spared = "unless = { address.sessions = \"> 100\" }";
    assert!(
        disconnect("{ subs = \"> 5\" }", spared)
            .see(&scene)
            .is_empty()
    );
    let text = policy(
        "p",
        "address",
        "{ subs = \"> 5\", subnet.sessions = \"> 0\" }",
        "include_private = true",
    );
    assert!(Judge::new(&text).see(&scene).is_empty());
}

#[test]
fn windowed_fields_take_the_policys_window() {
    let mut judge = disconnect(
        "{ sent_rate = \"> 100 B/s\", subnet.sent_rate = \"> 1 kB/s\" }",
        "window = \"30s\"",
    );
    let mut scene = Scene::new();
    let hog = scene.connect("8.8.8.8:1", "a");
    let other = scene.connect("8.8.8.9:1", "a");
    let quiet = scene.connect("8.8.8.10:1", "a");
    let apart = scene.connect("8.8.7.8:1", "a");
    let mut found = Vec::new();
    for _ in 0..5 {
        found.push(targets(&judge.see(&scene)));
        for (id, sent) in [(hog, 8_000), (other, 3_000), (quiet, 500), (apart, 8_000)] {
            scene.of(id).sent += sent;
        }
        scene.wait(10.0);
    }
    // Nothing is known before the window is covered.
    assert_eq!(
        found.iter().map(Vec::len).collect::<Vec<_>>(),
        [0, 0, 0, 2, 2]
    );
    assert_eq!(found[4], ["0", "1"]);
}

#[test]
fn addresses_that_came_to_the_subnet_count() {
    let mut judge = disconnect(
        "{ subs = \"> 5\", subnet.new_addresses = \"> 2\" }",
        "window = \"20s\"",
    );
    let mut scene = Scene::new();
    let old = connect(&mut scene, "8.8.8.8:1", "a", 9);
    let mut found = Vec::new();
    for host in 1..6 {
        found.push(targets(&judge.see(&scene)));
        scene.wait(10.0);
        connect(&mut scene, &format!("8.8.8.{}:1", 2 * host), "a", 0);
        connect(&mut scene, &format!("8.8.8.{}:1", 2 * host + 1), "a", 0);
    }
    assert_eq!(found[3..], [[old.to_string()], [old.to_string()]]);
    assert!(found[..2].iter().all(Vec::is_empty));
}

/// 20 regulars behind an address each, with a session a piece, are what is normal.
#[test]
fn multiples_are_of_the_other_scopes_population() {
    let crowd = |regulars: u64| {
        let mut scene = Scene::new();
        for host in 0..regulars {
            let id = connect(
                &mut scene,
                &format!("9.9.{host}.9:1"),
                &format!("w{host}"),
                1,
            );
            scene.of(id).since_ms -= 36_000_000;
        }
        for port in 0..5 {
            connect(&mut scene, &format!("8.8.8.8:{port}"), "many", 9);
        }
        connect(&mut scene, "8.8.7.8:1", "many", 9);
        scene
    };
    let when = "{ subs = \"> 5\", address.sessions = [\"> 1\", \"> 4x median\"] }";
    let mut judge = disconnect(when, "");
    let found = judge.see(&crowd(20));
    assert_eq!(found.len(), 5);
    assert_eq!(found[0].decision.evidence[2].threshold, Some(4.0));
    assert!(disconnect(when, "").see(&crowd(19)).is_empty());
    let p = "{ subs = \"> 5\", client.subs = [\"> 1\", \"> 2x p90\"] }";
    assert_eq!(disconnect(p, "").see(&crowd(20)).len(), 6);
}

#[test]
fn the_evidence_has_them_and_they_are_no_severity() {
    let when = "{ subs = \"> 3\", address.subs = \"> 2\", address.private = false }";
    let mut judge = disconnect(when, "");
    let found = judge.see(&neighbours());
    let decision = &found[0].decision;
    let evidence: Vec<(&str, &Seen)> = decision
        .evidence
        .iter()
        .map(|it| (&*it.field, &it.seen))
        .collect();
    assert_eq!(
        evidence,
        [
            ("subs", &Seen::Number(9.0)),
            ("address.subs", &Seen::Number(18.0)),
            ("address.private", &Seen::Flag(false)),
        ]
    );
    // Three times its own threshold, and nine times that of its address.
    assert!((decision.severity - 3.0).abs() < 1e-9);
}

/// Who attacks raises what is around its neighbours as high as it likes: nobody is chosen for that.
#[test]
fn guilt_stays_the_members_own() {
    let mut scene = Scene::new();
    for port in 0..4 {
        let id = connect(&mut scene, &format!("8.8.8.8:{port}"), "wallet", 1);
        scene.of(id).pending = 900;
    }
    let hoarder = connect(&mut scene, "8.8.8.8:9", "wallet", 500);
    let when = "{ subs = \"> 100\", server.pending_requests = \"> 1_000\" }";
    let mut judge = Judge::new(&policy("p", "address", when, ""));
    let found = judge.see(&scene);
    assert_eq!(ids(&found[0]), [hoarder]);
    let choice = found[0].decision.choice.as_ref().unwrap();
    assert_eq!((&*choice.field, choice.chosen), ("subs", 1));
    assert!(!choice.is_still_met);
    // By what it is, and while the server suffers: all of that name.
    let when = "{ client = \"wallet\", server.pending_requests = \"> 1_000\" }";
    let mut judge = Judge::new(&policy("p", "client", when, ""));
    assert_eq!(ids(&judge.see(&scene)[0]).len(), 5);
}

/// What is around a session is not asked of each member of a wider target.
#[test]
fn an_unless_of_surroundings_spares_no_single_member() {
    let mut scene = neighbours();
    scene.wait(1.0);
    let more = "unless = { subnet.address = \"in 8.8.8.0/24\" }\nmembers = \"all\"";
    let mut judge = Judge::new(&policy("p", "address", "{ subs = \"> 5\" }", more));
    assert_eq!(targets(&judge.see(&scene)), ["8.8.7.8"]);
}

/// One test that is shared, with the slots of sessions, addresses and names all different.
#[test]
fn slots_that_are_taken_again_are_not_mistaken() {
    let mut judge = disconnect("{ subs = \"> 5\", address.sessions = \"> 1\" }", "");
    let mut scene = neighbours();
    assert_eq!(targets(&judge.see(&scene)), ["0", "1"]);
    for id in [0, 1, 4] {
        scene.leave(id);
    }
    scene.wait(10.0);
    let one = connect(&mut scene, "7.7.7.7:1", "d", 9);
    assert_eq!(targets(&judge.see(&scene)), [""; 0]);
    scene.wait(10.0);
    let two = connect(&mut scene, "7.7.7.7:2", "a", 9);
    assert_eq!(
        targets(&judge.see(&scene)),
        [one.to_string(), two.to_string()]
    );
}

/// What a policy makes of a name that has no version is nothing.
#[test]
fn versions_are_read_out_of_names() {
    let names = [
        "electrum/3.3.3",
        "electrum/3.3.4",
        "3.3.4rc1",
        "electrum/3.3.4.1",
        "BlueWallet",
        "",
        "evil 99999999999999999999999.1",
    ];
    let mut scene = Scene::new();
    for (port, name) in names.into_iter().enumerate() {
        scene.connect(&format!("8.8.8.8:{port}"), name);
    }
    let due = |when: &str, more: &str| targets(&disconnect(when, more).see(&scene));
    assert_eq!(due("{ client_version = \"< 3.3.4\" }", ""), ["0", "2"]);
    assert_eq!(
        due("{ client_version = \">= 3.3.4\" }", ""),
        ["1", "3", "6"]
    );
    assert_eq!(due("{ client_version = \"= 3.3.4.0\" }", ""), ["1"]);
    assert_eq!(
        due("{ client_version = \"!= 3.3.4\" }", ""),
        ["0", "2", "3", "6"]
    );
    assert_eq!(
        due(
            "{ client = \"=~ ^electrum/\", client_version = \"< 3.3.4\" }",
            ""
        ),
        ["0"]
    );
    // Whose version is not known is spared.
    assert_eq!(
        due(
            "{ address = \"in 8.8.8.8\" }",
            "unless = { client_version = \">= 3.3.4\" }"
        ),
        ["0", "2"]
    );
    assert_eq!(
        due(
            "{ address = \"in 8.8.8.8\", client.client_version = \"> 9\" }",
            ""
        ),
        ["6"]
    );
    let mut judge = Judge::new(&policy(
        "p",
        "client",
        "{ client_version = \"< 3.3.4\" }",
        "",
    ));
    let found = judge.see(&scene);
    assert_eq!(targets(&found), ["electrum/3.3.3", "3.3.4rc1"]);
    assert_eq!(ids(&found[1]), [2]);
    let evidence = &found[1].decision.evidence[0];
    assert_eq!(evidence.seen, Seen::Text("3.3.4rc1".into()));
    let asked = judge.engine.verdicts_asked();
    judge.see(&scene);
    assert_eq!(judge.engine.verdicts_asked(), asked);
}

fn standing(judge: &mut Judge, scene: &Scene, id: u64) -> Standing {
    judge.see(scene);
    let slot = judge.history.find_session(id).unwrap();
    let snapshot = scene.poll();
    let cases = judge
        .engine
        .cases(&judge.history, &snapshot, |_| vec![slot], 1);
    cases[0].0[0].standing.clone()
}

#[test]
fn why_they_cannot_be_told() {
    let mut scene = Scene::new();
    let tor = connect(&mut scene, "127.0.0.1:1", "tor", 9);
    let public = connect(&mut scene, "8.8.8.8:1", "wallet", 9);
    let when = "{ subs = \"> 5\", address.sessions = \"> 1\", address.sent_rate = \"> 1 B/s\", \
                server.version = \"=~ 1\", client.sessions = \"> 0\", \
                subnet.address = \"not in 9.0.0.0/8\" }";
    let mut judge = disconnect(when, "");
    let missing = |standing: &Standing| -> Vec<Option<&'static str>> {
        let looked = standing.when[0].iter();
        looked
            .map(|looked| {
                looked.missing.map(|missing| match missing {
                    Missing::Apart => "apart",
                    Missing::Window { .. } => "window",
                    Missing::Untold => "untold",
                    _ => "other",
                })
            })
            .collect()
    };
    let looked = standing(&mut judge, &scene, tor);
    let apart = Some("apart");
    assert_eq!(
        missing(&looked),
        [None, apart, apart, Some("untold"), None, apart]
    );
    let looked = standing(&mut judge, &scene, public);
    let (window, untold) = (Some("window"), Some("untold"));
    assert_eq!(missing(&looked), [None, None, window, untold, None, None]);
    assert_eq!(looked.when[0][1].seen, Some(Seen::Number(1.0)));
}

#[test]
fn a_policy_that_cannot_be_judged_says_by_which_test() {
    let mut judge = disconnect("{ subs = \"> 5\", address.sent_rate = \"> 1 B/s\" }", "");
    judge.see(&neighbours());
    let unjudged = judge.engine.unjudged(&judge.history);
    let fields: Vec<&str> = unjudged
        .iter()
        .map(|(_, test)| &*test.field_written)
        .collect();
    assert_eq!(fields, ["address.sent_rate"]);
    let mut judge = disconnect("{ subs = \"> 5\", address.sessions = \"> 1\" }", "");
    judge.see(&neighbours());
    assert!(judge.engine.unjudged(&judge.history).is_empty());
}
