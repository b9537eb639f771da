//! The agent's own visits: what they feel is known, and their session is nobody's.

use std::time::Duration;

use crate::decision::{Decision, Epoch, Peer};
use crate::scene::{Scene, policies};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::visit::{Felt, Unserved, Visit, Visits};
use crate::warden::{Ongoing, Settings, Warden};

const CANARY: &str = "127.0.0.1:40000";

/// Whatever is connected.
const ALL: &str = r#"
[[policy]]
name = "session"
scope = "session"
when = { age = ">= 0s" }
action = "disconnect"

[[policy]]
name = "address"
scope = "address"
include_private = true
members = "all"
when = { sessions = ">= 1" }
action = "disconnect"

[[policy]]
name = "client"
scope = "client"
members = "all"
when = { sessions = ">= 1" }
action = "disconnect"

[[policy]]
name = "group"
scope = "group"
members = "all"
when = { sessions = ">= 1" }
action = "disconnect"
"#;

fn warden(text: &str) -> Warden {
    Warden::new(policies(text), Settings::default())
}

fn judged(warden: &mut Warden, snapshot: &Snapshot) -> Vec<Decision> {
    warden.observe(snapshot);
    let rulings = warden.judge(snapshot).rulings.into_iter();
    rulings.map(|ruling| ruling.decision).collect()
}

/// As a poll of an agent whose canary has this socket.
fn seen(scene: &mut Scene, sockets: &[&str]) -> Snapshot {
    let mut snapshot = scene.poll();
    snapshot.visits.sockets = sockets
        .iter()
        .map(|socket| Peer(socket.parse().ok()))
        .collect();
    snapshot.mark_own();
    snapshot
}

fn peers(decisions: &[Decision]) -> Vec<String> {
    let sessions = decisions.iter().flat_map(|decision| &decision.sessions);
    let mut peers: Vec<_> = sessions.map(|session| session.peer.to_string()).collect();
    peers.sort();
    peers.dedup();
    peers
}

#[test]
fn its_session_is_in_no_decision_and_an_impostor_is() {
    let mut scene = Scene::new();
    let own = scene.connect(CANARY, "warden-canary/0.1.0");
    scene.connect("8.8.8.8:1", "4.5.8");
    scene.connect("127.0.0.1:40001", "warden-canary/0.1.0");
    scene.groups.push(("127.0.0.0/24".to_owned(), 2));
    let mut warden = warden(ALL);
    for _ in 0..5 {
        scene.wait(10.0);
        scene.of(own).sent += 5_000_000;
        let decisions = judged(&mut warden, &seen(&mut scene, &[CANARY]));
        let peers = peers(&decisions);
        assert!(!peers.contains(&CANARY.to_owned()), "{decisions:#?}");
    }
    // The same crowd to an agent without a canary.
    let mut warden = self::warden(ALL);
    scene.wait(10.0);
    let decisions = judged(&mut warden, &seen(&mut scene, &[]));
    assert!(peers(&decisions).contains(&CANARY.to_owned()));
    let mut warden = self::warden(ALL);
    scene.wait(10.0);
    let decisions = judged(&mut warden, &seen(&mut scene, &[CANARY]));
    assert_eq!(peers(&decisions), ["127.0.0.1:40001", "8.8.8.8:1"]);
}

#[test]
fn its_session_is_in_no_sum() {
    let text = r#"
[[policy]]
name = "two"
scope = "address"
include_private = true
when = { sessions = ">= 2" }
action = "alert"

[[policy]]
name = "two-of-a-name"
scope = "client"
when = { sessions = ">= 2" }
action = "alert"
"#;
    let mut scene = Scene::new();
    scene.connect(CANARY, "a");
    scene.connect("127.0.0.1:40001", "a");
    let mut warden = warden(text);
    scene.wait(10.0);
    assert_eq!(judged(&mut warden, &seen(&mut scene, &[CANARY])), []);
}

const FELT: &str = r#"
[[policy]]
name = "unserved"
scope = "server"
when = { felt_down = "> 1m" }
action = "alert"
cooldown = "1s"

[[policy]]
name = "slow"
scope = "server"
when = { felt_latency = "> 1s" }
action = "alert"
cooldown = "1s"

[[policy]]
name = "ends"
scope = "server"
when = { certificate_left = "< 1d" }
action = "alert"
cooldown = "1s"
"#;

fn felt(latency_ms: u64, certificate_ends: Option<Timestamp>) -> Felt {
    Felt {
        latency: Duration::from_millis(latency_ms),
        height: 800_000,
        certificate_ends,
    }
}

fn visits(at: Timestamp, felt: Result<Felt, Unserved>) -> Visits {
    Visits {
        made: vec![Visit { at, felt }],
        ..Visits::default()
    }
}

fn names(decisions: &[Decision]) -> Vec<&str> {
    decisions.iter().map(|decision| &*decision.policy).collect()
}

#[test]
fn what_it_feels_is_known_while_the_rpc_does_not_answer_too() {
    let mut scene = Scene::new();
    let mut warden = warden(FELT);
    scene.wait(10.0);
    let mut snapshot = scene.poll();
    let ends = scene.at() + Duration::from_secs(3_600);
    snapshot.visits = visits(scene.at(), Ok(felt(1_500, Some(ends))));
    assert_eq!(names(&judged(&mut warden, &snapshot)), ["slow", "ends"]);
    let began = scene.at() + Duration::from_secs(10);
    let mut due = Vec::new();
    for _ in 0..8 {
        scene.wait(10.0);
        let unserved = visits(scene.at(), Err(Unserved::Closed));
        let rulings = warden.missed(scene.at(), Epoch(1), &[], &unserved).rulings;
        if !rulings.is_empty() {
            due.push((scene.at().since(began).as_secs(), rulings.len()));
        }
    }
    assert_eq!(due, [(70, 1)]);
}

/// For how long nobody was served goes on over a restart of the agent.
#[test]
fn a_restart_of_the_agent_does_not_end_it() {
    let mut scene = Scene::new();
    let mut first = warden(FELT);
    for _ in 0..5 {
        scene.wait(10.0);
        let mut snapshot = scene.poll();
        snapshot.visits = visits(scene.at(), Err(Unserved::Closed));
        assert_eq!(judged(&mut first, &snapshot), []);
    }
    let saved = serde_json::to_string(&first.ongoing(scene.at())).unwrap();
    let mut second = warden(FELT);
    second.resume(serde_json::from_str::<Ongoing>(&saved).unwrap());
    scene.wait(30.0);
    let mut snapshot = scene.poll();
    snapshot.visits = visits(scene.at(), Err(Unserved::Closed));
    assert_eq!(names(&judged(&mut second, &snapshot)), ["unserved"]);
}

/// Nobody makes up what was not felt.
#[test]
fn without_a_visit_nothing_is_known() {
    let text = r#"
[[policy]]
name = "any"
scope = "server"
when = [
    { felt_down = ">= 0s" },
    { felt_latency = ">= 0s" },
    { felt_height = ">= 0" },
    { felt_height_lag = ">= 0" },
    { certificate_left = ">= 0s" },
]
action = "alert"
"#;
    let mut scene = Scene::new();
    let mut warden = warden(text);
    scene.wait(10.0);
    assert_eq!(judged(&mut warden, &scene.poll()), []);
}
