use std::sync::Arc;
use std::time::Duration;

use super::Replay;
use crate::act::Carried;
use crate::agent::{Agent, AgentOptions};
use crate::journal::{Journal, Retention};
use crate::policy::{Mode, shipped};
use crate::poll::Clock;
use crate::recording::{Item, Recorder, Recording};
use crate::rpc::{Client, ClientOptions};
use crate::sim::{Pace, Release, Server, World};
use crate::time::Timestamp;
use crate::warden::{Settings, Warden};

struct SimulatedClock(Arc<Server>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.0.now()
    }
}

/// Everything that is told of a poll, as bytes.
fn told(carried: &[Carried]) -> String {
    let line = |carried: &Carried| {
        let Carried {
            decision,
            outcome,
            withheld,
            unsent,
            ..
        } = carried;
        let decision = serde_json::to_string(decision).unwrap();
        let outcome = serde_json::to_string(outcome).unwrap();
        format!("{decision} {outcome} {withheld} {unsent}\n")
    };
    carried.iter().map(line).collect()
}

/// What an agent told of each poll, with its recording.
async fn recorded(release: Release, mode: Mode, polls: usize) -> (Vec<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::story(release, 7);
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let settings = Settings {
        mode,
        ..Settings::default()
    };
    let mut agent = Agent::new(
        Warden::new(shipped().set.unwrap(), settings),
        Client::new(ClientOptions::new(server.addr().to_string())),
        Journal::open(&folder.path().join("journal")).unwrap(),
        Box::new(SimulatedClock(Arc::clone(&server))),
        AgentOptions {
            interval: Duration::from_secs(10),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    let recorder = Recorder::create(&folder.path().join("recording")).unwrap();
    agent.record(recorder, "sim".into());
    let mut lines = Vec::new();
    for _ in 0..polls {
        let tick = agent.tick().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        lines.push(told(&tick.carried));
        server.advance(Duration::from_secs(10));
    }
    (lines, folder)
}

fn replayed(folder: &tempfile::TempDir) -> Vec<String> {
    let mut replay = Replay::new(shipped().set.unwrap(), None);
    let recording = Recording::open(&[folder.path().join("recording")]).unwrap();
    let mut lines = Vec::new();
    for item in recording.play() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Tick(tick) => lines.push(told(&replay.turn(&tick).carried)),
            // The recorder was dropped without an end, as by a kill.
            Item::Notice(_) => {}
        }
    }
    lines
}

#[tokio::test]
async fn the_decisions_of_a_run_come_out_again_byte_for_byte() {
    for (release, mode) in [
        (Release::V1_20_0, Mode::Enforce),
        (Release::V1_20_0, Mode::DryRun),
        (Release::V2_0_0, Mode::Enforce),
    ] {
        let (live, folder) = recorded(release, mode, 60).await;
        let again = replayed(&folder);
        assert_eq!(live.len(), again.len());
        for (poll, (live, again)) in live.iter().zip(&again).enumerate() {
            assert_eq!(live, again, "poll {poll}");
        }
        let bytes: usize = live.iter().map(String::len).sum();
        assert!(bytes > 10_000, "so little was decided: {bytes} bytes");
    }
}
