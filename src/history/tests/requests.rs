//! The server's own totals of requests.

use super::Watch;
use crate::field::Scope::Server;
use crate::history::Bounds;
use crate::scene::Scene;

const PEER: &str = "8.8.8.8:1";
const FIELDS: [&str; 4] = [
    "request_total_rate",
    "method_rate.server.ping",
    "method_rate.server.banner",
    "unseen_request_rate",
];

/// A server with one client that asks 2/s, and others that no poll sees.
struct Busy {
    watch: Watch,
    scene: Scene,
    id: u64,
    pings: u64,
    by_rpc: u64,
}

impl Busy {
    fn bounded(bounds: Bounds) -> Self {
        let wanted = [
            "server request_total_rate",
            "server method_rate.server.ping",
            "server method_rate.server.banner",
            "server unseen_request_rate",
        ];
        let mut scene = Scene::new();
        Self {
            watch: Watch::bounded("1m", &wanted, bounds),
            id: scene.connect(PEER, "wallet"),
            scene,
            pings: 1_000,
            by_rpc: 0,
        }
    }

    fn new() -> Self {
        let mut busy = Self::bounded(Bounds::default());
        busy.polls(1, 0);
        busy
    }

    /// Polls every 10 s, between two of which somebody unseen asks `unseen` times.
    fn polls(&mut self, polls: u32, unseen: u64) {
        for _ in 0..polls {
            self.scene.wait(10.into());
            self.scene.of(self.id).requests += 20;
            self.pings += 20 + unseen;
            self.by_rpc += 30;
            self.tell();
            self.watch.see(&self.scene.poll());
        }
    }

    fn tell(&mut self) {
        let counts = [
            ("server.ping", self.pings),
            ("invalid method", 5),
            ("getinfo", self.by_rpc),
        ];
        let counts = counts.map(|(method, count)| (method.into(), count));
        self.scene.info.requests = Some(counts.into());
    }

    fn rates(&self) -> [Option<f64>; 4] {
        FIELDS.map(|field| self.watch.get(Server, field, "server"))
    }
}

#[test]
fn what_no_session_seen_asked_is_unseen_and_what_the_rpc_is_asked_is_not() {
    let mut busy = Busy::new();
    busy.polls(4, 0);
    assert_eq!(busy.rates(), [None; 4]);
    busy.polls(2, 0);
    assert_eq!(busy.rates(), [Some(5.0), Some(2.0), Some(0.0), Some(0.0)]);
    busy.polls(6, 300);
    assert_eq!(
        busy.rates(),
        [Some(35.0), Some(32.0), Some(0.0), Some(30.0)]
    );
    busy.polls(6, 0);
    assert_eq!(busy.rates()[3], Some(0.0));
}

#[test]
fn what_a_session_asked_before_it_left_is_seen_or_unseen_and_never_below_zero() {
    let mut busy = Busy::new();
    busy.polls(6, 0);
    // Received, and not counted before the next poll.
    busy.scene.of(busy.id).requests += 500;
    busy.polls(1, 0);
    assert_eq!(busy.rates()[3], Some(0.0));
    busy.pings += 500;
    busy.polls(1, 0);
    assert_eq!(busy.rates()[3], Some(0.0));
}

#[test]
fn a_total_that_falls_or_is_not_told_is_unknown_for_a_window() {
    type Change = fn(&mut Busy);
    let changes: [Change; 3] = [
        |busy| busy.scene.info.requests = None,
        |busy| {
            let requests = busy.scene.info.requests.as_mut().unwrap();
            requests.insert("server.ping".into(), 7);
        },
        |busy| {
            let requests = busy.scene.info.requests.as_mut().unwrap();
            requests.remove("getinfo");
        },
    ];
    for change in changes {
        let mut busy = Busy::new();
        busy.polls(6, 0);
        busy.scene.wait(10.into());
        change(&mut busy);
        busy.watch.see(&busy.scene.poll());
        assert_eq!(busy.rates(), [None; 4]);
        busy.polls(5, 0);
        assert_eq!(busy.rates(), [None; 4]);
        busy.polls(2, 0);
        assert_eq!(busy.rates()[3], Some(0.0));
    }
}

#[test]
fn a_restart_begins_the_totals_anew() {
    let mut busy = Busy::new();
    busy.polls(7, 100);
    busy.scene.restart();
    busy.id = busy.scene.connect(PEER, "wallet");
    (busy.pings, busy.by_rpc) = (0, 0);
    busy.polls(5, 0);
    assert_eq!(busy.rates(), [None; 4]);
    busy.polls(2, 0);
    assert_eq!(busy.rates()[3], Some(0.0));
}

#[test]
fn with_sessions_that_are_not_followed_nothing_is_told() {
    let mut busy = Busy::bounded(Bounds {
        sessions_max: 1,
        ..Bounds::default()
    });
    busy.scene.connect("8.8.4.4:1", "wallet");
    busy.polls(9, 0);
    assert_eq!(busy.rates(), [None; 4]);
}
