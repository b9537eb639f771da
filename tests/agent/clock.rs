//! A clock that is wrong when the agent starts, or is set while it runs.

use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions, Cadence, Ended};
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::poll::Clock;
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::Release;
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use tokio::time::Instant;

use crate::scene::{Scene, evil, executed, set};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn one_start_with_a_clock_years_ahead_costs_no_decision() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.settings.limits.breaker.regulars_min = 1_000;
    for last in 1..=20 {
        scene.client("evil/1", last);
        assert_eq!(executed(&scene.good_poll().await), 1);
    }
    scene.kill_agent();
    scene.ahead = DAY * 400;
    for _ in 0..30 {
        scene.good_poll().await;
    }
    assert_eq!(scene.rows().len(), 20);
    // Whoever has had it confirmed for an hour believes it, slowly.
    for _ in 0..360 {
        scene.good_poll().await;
    }
    assert_eq!(scene.rows().len(), 19);
}

/// The time of the runtime, and how far the wall clock is from it: nothing for ten minutes, then an hour.
struct SetLater(Instant);

impl Clock for SetLater {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.0.elapsed()
    }

    fn apart(&self) -> Duration {
        if self.0.elapsed() < Duration::from_mins(10) {
            Duration::ZERO
        } else {
            Duration::from_hours(1)
        }
    }
}

/// For how long an agent runs that may run for three hours, and why it ended.
async fn lasts(follow_after: Option<Duration>) -> (Duration, Ended) {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut agent = Agent::new(
        Warden::new(set(&evil()), Settings::default()),
        // Nobody listens there.
        Client::new(ClientOptions::new("127.0.0.1:1")),
        Journal::open(&folder.path().join("journal.sqlite")).unwrap(),
        Box::new(SetLater(began)),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(60)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    if let Some(after) = follow_after {
        agent.follow_clock(after);
    }
    let shutdown = tokio::time::sleep(Duration::from_hours(3));
    let ended = agent.run(shutdown, |_, _| {}).await;
    (began.elapsed(), ended)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_ends_the_agent_so_that_the_next_has_the_right_time() {
    let (lasted, ended) = lasts(Some(Duration::ZERO)).await;
    assert_eq!(ended, Ended::ClockSet);
    let minutes = lasted.as_secs() / 60;
    assert!(
        (10..=13).contains(&minutes),
        "at the second poll: {minutes}"
    );
    // Not again at once; and never where nobody starts another.
    let (lasted, ended) = lasts(Some(Duration::from_hours(1))).await;
    assert_eq!((lasted.as_secs() / 3_600, ended), (1, Ended::ClockSet));
    assert_eq!(lasts(None).await.1, Ended::Asked);
}
