//! Reports for tests: of scenes played through a collector, with decisions made up for them.

use std::time::Duration;

use super::*;
use crate::act::Carried;
use crate::decision::{Decision, Epoch, Outcome, Peer, Seen, SessionRef, Suppression};
use crate::field::Dimension;
use crate::policy::Action;
use crate::scene::Scene;

/// Half an hour of forty clients, one of whom is greedy and another of whom has a hostile name.
struct Half {
    scene: Scene,
    hog: u64,
    hostile: u64,
}

/// A name that is markup, turns text around and moves the cursor.
pub(crate) const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>\u{202e}\u{1b}[2J\u{2028}<!--";

impl Half {
    fn new() -> Self {
        let mut scene = Scene::new();
        for i in 0..38 {
            scene.connect(&format!("198.51.{}.{i}:50001", i % 5), "electrum/4.5.8");
        }
        scene.connect("127.0.0.1:9", "tor");
        let hog = scene.connect("203.0.113.9:50001", "hog/1.0");
        let hostile = scene.connect("[2001:db8:1:2::3]:50001", HOSTILE);
        Self {
            scene,
            hog,
            hostile,
        }
    }

    fn play(mut self, collector: &mut Collector, is_compared: bool) {
        for turn in 0..180_u64 {
            self.live(turn);
            if turn % 60 == 50 {
                collector.missed(self.scene.at(), "no answer within 10s", &[], &[]);
                continue;
            }
            let (decided, against) = self.decide(turn);
            let against = if is_compared { against } else { Vec::new() };
            collector.poll(&self.scene.poll(), &decided, &against);
        }
    }

    fn live(&mut self, turn: u64) {
        self.scene.wait(10.0);
        for row in &mut self.scene.rows {
            row.sent += 2_000 + row.id * 10;
            row.recv += 300;
            row.requests += 1;
        }
        self.scene.of(self.hog).sent += 3 << 20;
        self.scene.set_height(Some(800_000 + turn / 60));
        if turn.is_multiple_of(9) {
            self.scene
                .connect(&format!("192.0.2.{turn}:50001"), "wallet");
        }
    }

    fn decide(&self, turn: u64) -> (Vec<Carried>, Vec<Carried>) {
        let greedy = || {
            decided(
                &self.scene,
                "bandwidth-hog",
                KICK,
                &[self.hog],
                1.2 + turn as f64 / 50.0,
            )
        };
        let curious = || decided(&self.scene, "curious-client", LOG, &[self.hostile], 1.0);
        let many = || decided(&self.scene, "many-subs", KICK, &[3, 4, 5, 6], 2.5);
        let until = self.scene.at() + Duration::from_secs(600);
        match turn {
            40 => (vec![greedy()], vec![]),
            60 | 120 => (vec![named(curious())], vec![greedy(), many()]),
            41..100 => (
                vec![held_back(greedy(), Suppression::Cooldown { until })],
                vec![],
            ),
            140 => (
                vec![held_back(many(), Suppression::Breaker { until }), greedy()],
                vec![many()],
            ),
            _ => (vec![], vec![]),
        }
    }
}

/// About the client of that name.
fn named(mut carried: Carried) -> Carried {
    carried.decision.target = Target::Client(HOSTILE.into());
    carried.decision.evidence = vec![Evidence {
        field: "client".into(),
        test: "=~ (?i)script".into(),
        seen: Seen::Text(HOSTILE.into()),
        threshold: None,
        dimension: None,
    }];
    carried
}

fn ours() -> Side {
    let policies = [
        ("bandwidth-hog", KICK),
        ("curious-client", LOG),
        ("many-subs", KICK),
        ("never-needed", Action::Alert),
    ];
    side("policies", &policies)
}

/// A replay of one set of policies.
pub(crate) fn replay() -> Report {
    let mut collector = Collector::new(ours(), None);
    Half::new().play(&mut collector, false);
    collector.finish()
}

/// A replay of two.
pub(crate) fn comparison() -> Report {
    let against = side(
        "policies.old",
        &[("bandwidth-hog", KICK), ("many-subs", KICK)],
    );
    let mut collector = Collector::new(ours(), Some(against));
    Half::new().play(&mut collector, true);
    collector.finish()
}

/// A replay of nothing.
pub(crate) fn nothing() -> Report {
    Collector::new(side("policies", &[]), None).finish()
}

fn facts(name: &str, action: Action) -> PolicyFacts {
    PolicyFacts {
        further: Vec::new(),
        name: name.into(),
        about: format!("What {name} is for."),
        scope: Scope::Session,
        action,
        mode: Mode::DryRun,
    }
}

pub(crate) fn side(label: &str, policies: &[(&str, Action)]) -> Side {
    Side {
        label: label.into(),
        policies: policies
            .iter()
            .map(|(name, action)| facts(name, action.clone()))
            .collect(),
    }
}

fn session(scene: &Scene, id: u64) -> SessionRef {
    let row = scene.rows.iter().rfind(|row| row.id == id).unwrap();
    SessionRef {
        id,
        peer: Peer(row.peer.parse().ok()),
        since: Timestamp::from_millis(row.since_ms),
    }
}

/// What a policy wants for these sessions, the first of which is its target.
pub(crate) fn decided(
    scene: &Scene,
    policy: &str,
    action: Action,
    ids: &[u64],
    severity: f64,
) -> Carried {
    let sessions: Vec<_> = ids.iter().map(|&id| session(scene, id)).collect();
    Carried {
        id: None,
        decision: Decision {
            at: scene.at(),
            epoch: Epoch(1),
            policy: policy.into(),
            mode: Mode::DryRun,
            action,
            target: Target::Session(sessions[0]),
            evidence: vec![Evidence {
                field: "subs".into(),
                test: "> 100".into(),
                seen: Seen::Number(100.0 * severity),
                threshold: Some(100.0),
                dimension: Some(Dimension::Count),
            }],
            held: Duration::from_secs(60),
            severity,
            sessions,
            spared: 0,
            choice: None,
            at_once: false,
            bans: Vec::new(),
            refused: Vec::new(),
            daemons: Vec::new(),
        },
        outcome: Outcome::DryRun,
        withheld: 0,
        unsent: 0,
    }
}

pub(crate) fn held_back(mut carried: Carried, by: Suppression) -> Carried {
    carried.outcome = Outcome::Suppressed(by);
    carried
}

pub(crate) const KICK: Action = Action::Disconnect;
pub(crate) const LOG: Action = Action::Log {
    duration: Duration::from_secs(600),
};
