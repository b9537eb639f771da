//! The simulation's story, from beginning to end, with the policies that ship.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions, Cadence, Tick};
use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::policy::{Mode, PolicySet};
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::{Pace, Release, STORY, Server, World};
use electrumx_warden::warden::{Settings, Warden};

use crate::scene::{INTERVAL, SimClock};

fn policies() -> PolicySet {
    PolicySet::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")])
        .set
        .unwrap()
}

fn agent(server: &Arc<Server>, set: PolicySet, mode: Mode, journal: &Path) -> Box<Agent> {
    let settings = Settings {
        mode,
        ..Settings::default()
    };
    let agent = Agent::new(
        Warden::new(set, settings),
        Client::new(ClientOptions::new(server.addr().to_string())),
        Journal::open(journal).unwrap(),
        Box::new(SimClock(Arc::clone(server))),
        AgentOptions {
            cadence: Cadence::steady(INTERVAL),
            inspect_max: 20,
            retention: Retention::default(),
        },
    );
    Box::new(agent.unwrap())
}

async fn play(world: World, mode: Mode, mut each: impl FnMut(&Tick)) -> Arc<Server> {
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut agent = agent(
        &server,
        policies(),
        mode,
        &folder.path().join("journal.sqlite"),
    );
    while server.now() < STORY {
        let tick = agent.tick().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        each(&tick);
        for _ in 0..INTERVAL.as_secs() {
            server.advance(Duration::from_secs(1));
        }
    }
    server
}

#[tokio::test]
async fn the_story_ends_well_on_releases_that_reckon_costs() {
    let releases = [
        Release::V1_13_0,
        Release::V1_16_0,
        Release::V1_20_0,
        Release::V2_0_0,
    ];
    for release in releases {
        for seed in 1..=2 {
            let server = play(World::story(release, seed), Mode::Enforce, |_| {}).await;
            let score = server.world().score();
            assert_eq!(
                score.abusers_disconnected, score.abusers,
                "{release:?} {seed} {score:#?}"
            );
            assert_eq!(
                score.honest_disconnected, 0,
                "{release:?} {seed} {score:#?}"
            );
        }
    }
}

#[tokio::test]
async fn in_dry_run_nothing_changes_on_the_server() {
    let mut dry = 0;
    let server = play(World::story(Release::V1_20_0, 1), Mode::DryRun, |tick| {
        assert!(
            !tick
                .carried
                .iter()
                .any(|c| matches!(c.outcome, Outcome::Executed { .. } | Outcome::Failed { .. }))
        );
        dry += tick
            .carried
            .iter()
            .filter(|c| c.outcome == Outcome::DryRun)
            .count();
    })
    .await;
    let score = server.world().score();
    assert_eq!(
        (score.abusers_disconnected, score.honest_disconnected),
        (0, 0)
    );
    assert!(dry > 20, "{dry}");
}
