//! Sessions are logged for a while: switched on once and off once, whoever else has a hand in it.

use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::decision::{Outcome, Suppression};
use electrumx_warden::sim::{Release, SessionKey, Traffic};

use crate::scene::{INTERVAL, Scene, executed, is_logged, policy, toggle};
use crate::tap::Trick;

/// Logs clients whose name begins with `odd` for a minute.
fn odd(cooldown: &str) -> String {
    policy(
        "odd",
        "session",
        "{ client = \"=~ ^odd\" }",
        "{ log = { for = \"1m\" } }",
        &format!("cooldown = \"{cooldown}\""),
    )
}

async fn scene(release: Release) -> (Scene, SessionKey) {
    let scene = Scene::new(release, odd("1h")).await;
    scene.client("good", 1);
    let key = scene.client("odd/1", 2);
    (scene, key)
}

/// So many polls; whether the session was logged after each.
async fn logged(scene: &mut Scene, key: SessionKey, polls: usize) -> String {
    let mut logged = String::new();
    for _ in 0..polls {
        scene.poll().await;
        logged.push(if scene.is_logged(key) { 'L' } else { '-' });
    }
    logged
}

#[tokio::test]
async fn on_once_and_off_once_on_every_release() {
    for release in Release::ALL {
        let (mut scene, key) = scene(release).await;
        let logged = logged(&mut scene, key, 12).await;
        // 1.0.17 gives the RPC connection an ID of its own; it may be that of the session.
        let first = logged.find('L').unwrap();
        assert!(first <= 2, "{release}: {logged}");
        let on = logged.matches('L').count();
        assert!((6..=8).contains(&on), "{release}: {logged}");
        assert!(
            logged
                .trim_start_matches('-')
                .trim_end_matches('-')
                .bytes()
                .all(|b| b == b'L')
        );
        let id = scene.server.world().id_of(key).unwrap();
        // 0.10.2 refuses the first request, for its parameters have names.
        let asked = if release == Release::V0_10_2 { 3 } else { 2 };
        assert_eq!(scene.tap.ids("log"), vec![id; asked], "{release}");
        assert_eq!(scene.log_runs(), 0);
    }
}

#[tokio::test]
async fn off_once_though_the_agent_is_killed_at_any_poll() {
    for after in 1..9 {
        let (mut scene, key) = scene(Release::V1_20_0).await;
        let mut told = logged(&mut scene, key, after).await;
        scene.kill_agent();
        told += &logged(&mut scene, key, 12 - after).await;
        assert_eq!(told, "LLLLLL------", "killed after {after}");
        assert_eq!(scene.tap.asked("log").len(), 2, "killed after {after}");
        assert_eq!(scene.log_runs(), 0);
    }
}

/// The clock was a day ahead when the run began, and is right after a restart of the agent.
#[tokio::test]
async fn a_run_that_began_while_the_clock_was_ahead_ends_after_its_length() {
    let (mut scene, key) = scene(Release::V1_20_0).await;
    scene.ahead = Duration::from_hours(24);
    assert_eq!(logged(&mut scene, key, 2).await, "LL");
    scene.kill_agent();
    scene.ahead = Duration::ZERO;
    assert_eq!(logged(&mut scene, key, 3).await, "LLL");
    // Not a minute more with each restart.
    scene.kill_agent();
    assert_eq!(logged(&mut scene, key, 4).await, "LLL-");
    assert_eq!(scene.tap.asked("log").len(), 2);
    assert_eq!(scene.log_runs(), 0);
}

#[tokio::test]
async fn it_is_logged_again_after_the_cooldown() {
    let mut scene = Scene::new(Release::V1_20_0, odd("2m")).await;
    let key = scene.client("odd/1", 2);
    let told = logged(&mut scene, key, 24).await;
    assert_eq!(told, "LLLLLL------LLLLLL------");
    assert_eq!(scene.tap.asked("log").len(), 4);
}

/// The cooldown may end before the log run does.
#[tokio::test]
async fn a_session_that_is_logged_is_left_alone() {
    let mut scene = Scene::new(Release::V1_20_0, odd("10s")).await;
    let key = scene.client("odd/1", 2);
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert_eq!(
        scene.good_poll().await,
        [("odd".into(), Outcome::Suppressed(Suppression::NothingToDo))]
    );
    assert!(scene.good_poll().await.is_empty(), "told once");
    assert!(scene.is_logged(key));
    assert_eq!(scene.tap.asked("log").len(), 1);
}

#[tokio::test]
async fn what_an_operator_switched_on_is_never_touched() {
    let (mut scene, key) = scene(Release::V1_20_0).await;
    scene.toggle(key);
    assert_eq!(logged(&mut scene, key, 12).await, "LLLLLLLLLLLL");
    scene.kill_agent();
    assert_eq!(logged(&mut scene, key, 3).await, "LLL");
    assert!(scene.tap.asked("log").is_empty());
}

#[tokio::test]
async fn what_an_operator_switches_off_and_on_again_is_the_operators() {
    let (mut scene, key) = scene(Release::V1_20_0).await;
    assert_eq!(logged(&mut scene, key, 2).await, "LL");
    scene.toggle(key);
    assert_eq!(logged(&mut scene, key, 2).await, "--");
    assert_eq!(scene.log_runs(), 0);
    scene.toggle(key);
    assert_eq!(logged(&mut scene, key, 8).await, "LLLLLLLL");
    assert_eq!(scene.tap.asked("log").len(), 1);
}

#[tokio::test]
async fn a_session_that_is_gone_is_forgotten() {
    let (mut scene, key) = scene(Release::V1_20_0).await;
    scene.poll().await;
    assert_eq!(scene.log_runs(), 1);
    scene.server.world().hang_up(key);
    scene.poll().await;
    assert_eq!(scene.log_runs(), 0);
}

/// After a restart of the server its ID is another's, who is logged by an operator.
#[tokio::test]
async fn another_session_with_the_id_is_left_alone() {
    let (mut scene, _) = scene(Release::V1_20_0).await;
    scene.poll().await;
    let id = scene.tap.ids("log")[0];
    scene.server.restart();
    let keys: Vec<_> = (0..5).map(|n| scene.client("good", 10 + n)).collect();
    let other = keys
        .into_iter()
        .find(|&key| scene.server.world().id_of(key) == Some(id))
        .unwrap();
    scene.toggle(other);
    scene.poll().await;
    for _ in 0..10 {
        scene.good_poll().await;
    }
    assert!(scene.is_logged(other));
    assert_eq!(scene.log_runs(), 0);
}

/// `log` is a toggle: between the poll and the act an operator switches it on.
#[tokio::test]
async fn a_race_with_an_operator_for_on_is_put_right() {
    for release in [Release::V0_10_2, Release::V1_6, Release::V2_0_0] {
        let (mut scene, key) = scene(release).await;
        let id = scene.server.world().id_of(key).unwrap();
        let server = Arc::clone(&scene.server);
        let race = Trick::First(Box::new(move || toggle(&server, id)));
        // 0.10.2 refuses the first request, for its parameters have names.
        if release == Release::V0_10_2 {
            scene.tap.play("log", Trick::Delay(Duration::ZERO));
        }
        scene.tap.play("log", race);
        let outcomes = scene.good_poll().await;
        let [(_, Outcome::Failed { detail })] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        let expected = format!("logging 0, not done 1: {id}: somebody else has it logged already");
        assert_eq!(*detail, expected);
        assert_eq!(logged(&mut scene, key, 10).await, "LLLLLLLLLL", "{release}");
        assert_eq!(scene.log_runs(), 0);
    }
}

/// The same the other way round: when the time is over an operator switches it off.
#[tokio::test]
async fn a_race_with_an_operator_for_off_is_put_right() {
    let (mut scene, key) = scene(Release::V1_20_0).await;
    assert_eq!(logged(&mut scene, key, 6).await, "LLLLLL");
    let id = scene.server.world().id_of(key).unwrap();
    let server = Arc::clone(&scene.server);
    scene
        .tap
        .play("log", Trick::First(Box::new(move || toggle(&server, id))));
    assert_eq!(logged(&mut scene, key, 4).await, "----");
    assert_eq!(scene.tap.asked("log").len(), 3);
}

/// Whether the toggle was heard cannot be known; the flag in the next snapshot tells.
#[tokio::test]
async fn a_line_that_breaks_at_the_toggle_leaves_nothing_behind() {
    for (cut_on, trick) in [
        (true, Trick::CutAfter),
        (true, Trick::CutBefore),
        (false, Trick::CutAfter),
        (false, Trick::CutBefore),
    ] {
        let (mut scene, key) = scene(Release::V1_20_0).await;
        let heard = matches!(trick, Trick::CutAfter);
        if !cut_on {
            assert_eq!(logged(&mut scene, key, 6).await, "LLLLLL");
        }
        scene.tap.play("log", trick);
        let told = logged(&mut scene, key, 9).await;
        let expected = match (cut_on, heard) {
            (true, true) => "LLLLLL---",
            (true, false) | (false, true) => "---------",
            (false, false) => "L--------",
        };
        assert_eq!(told, expected);
        assert_eq!(scene.log_runs(), 0);
    }
}

/// 1.0.17: an RPC connection bears the ID when the time is over.
#[tokio::test]
async fn an_ambiguous_id_is_switched_off_over_another_connection() {
    let mut scene = Scene::new(Release::V1_0_17, odd("1h")).await;
    for last in 0..3 {
        scene.client("good", last);
    }
    let key = scene.client("odd/1", 9);
    let id = scene.server.world().id_of(key).unwrap();
    assert_eq!(logged(&mut scene, key, 6).await, "LLLLLL");
    // The line breaks until the agent's connection bears the session's own ID.
    let rpc_id = |scene: &Scene| {
        let rows = scene.server.world().reply("sessions").unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
        let rows = rows.as_array().unwrap().clone();
        let row = rows
            .iter()
            .find(|row| row[1].as_str().unwrap().starts_with('R'));
        row.map(|row| row[0].as_u64().unwrap())
    };
    for _ in 0..20 {
        scene.tap.play("getinfo", Trick::CutBefore);
        scene.agent().tick().await;
        scene.operator("getinfo", &serde_json::json!([]));
        if scene.agent().tick().await.failure.is_none() && rpc_id(&scene) == Some(id) {
            break;
        }
    }
    assert!(scene.server.now() <= INTERVAL * 6);
    assert_eq!(logged(&mut scene, key, 2).await, "--");
}

#[tokio::test]
async fn in_dry_run_and_in_off_nobody_is_logged() {
    use electrumx_warden::policy::Mode;
    for mode in [Mode::DryRun, Mode::Off] {
        let (mut scene, key) = scene(Release::V1_20_0).await;
        scene.settings.mode = mode;
        assert_eq!(logged(&mut scene, key, 8).await, "--------");
        assert!(scene.tap.asked("log").is_empty());
        assert_eq!(scene.rows().is_empty(), mode == Mode::Off);
        assert_eq!(scene.log_runs(), 0);
    }
}

/// A client that is idle for long is cut off by the server; these are not about that.
#[tokio::test]
async fn many_are_logged_and_let_go() {
    let mut scene = Scene::new(Release::V2_0_0, odd("1h")).await;
    let keys: Vec<_> = (0..40).map(|last| scene.client("odd/2", last)).collect();
    scene.poll().await;
    assert!(keys.iter().all(|&key| is_logged(&scene.server, key)));
    for _ in 0..8 {
        for &key in &keys {
            let ping = Traffic {
                requests: 1,
                ..Traffic::default()
            };
            scene.server.world().serve(key, &ping);
        }
        scene.poll().await;
    }
    assert!(keys.iter().all(|&key| !is_logged(&scene.server, key)));
    assert_eq!(scene.tap.ids("log").len(), 80);
}
