//! Inspections of single sessions, where the server has them.

use std::time::Duration;

use electrumx_warden::sim::{Release, Traffic};

use crate::log::Log;
use crate::scene::{Scene, executed, policy};
use crate::tap::Trick;

/// What a client chose may be in its reply: it hides neither those after it, nor itself for long.
#[tokio::test]
async fn one_that_cannot_be_read_ends_no_other() {
    let errs = policy(
        "errs",
        "session",
        "{ errors = \"> 5\" }",
        "\"alert\"",
        "cooldown = \"1h\"",
    );
    let mut scene = Scene::new(Release::V2_0_0, errs).await;
    let keys = [30, 20, 10].map(|errors| (scene.client("x", errors), u64::from(errors)));
    let err = |scene: &Scene| {
        for (key, errors) in keys {
            let traffic = Traffic {
                errors,
                ..Traffic::default()
            };
            scene.server.world().serve(key, &traffic);
        }
    };
    let [first, second, third] = keys.map(|(key, _)| scene.server.world().id_of(key).unwrap());
    let asked = |scene: &Scene| -> Vec<u64> {
        let asked = scene.tap.asked("inspect_session");
        asked
            .iter()
            .map(|it| it["session_id"].as_u64().unwrap())
            .collect()
    };
    scene.good_poll().await;
    let before = asked(&scene).len();
    err(&scene);
    let (log, _guard) = Log::listen();
    // The second of three.
    scene
        .tap
        .play("inspect_session", Trick::Delay(Duration::ZERO));
    scene.tap.play("inspect_session", Trick::Garble);
    let outcomes = scene.good_poll().await;
    assert_eq!(asked(&scene)[before..], [first, second, third]);
    assert_eq!(executed(&outcomes), 2, "{outcomes:?}");
    let told = log.lines();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.contains("cannot inspect"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with(&format!("session={second}")), "{told:?}");
    // It has its turn again, not before the others, and is judged then.
    let before = asked(&scene).len();
    err(&scene);
    let outcomes = scene.good_poll().await;
    let again = asked(&scene)[before..].to_vec();
    assert!(again.len() == 3 && again[0] != second, "{again:?}");
    assert_eq!(executed(&outcomes), 1, "{outcomes:?}");
}
