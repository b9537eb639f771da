//! A clock that is wrong when the agent starts.

use std::time::Duration;

use electrumx_warden::sim::Release;

use crate::scene::{Scene, evil, executed};

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
