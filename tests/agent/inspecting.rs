//! Inspections of single sessions, where the server has them.

use std::time::Duration;

use electrumx_warden::sim::{Release, Traffic};

use crate::log::Log;
use crate::scene::{Scene, executed, policy};
use crate::tap::Trick;

fn errs() -> String {
    policy(
        "errs",
        "session",
        "{ errors = \"> 5\" }",
        "\"alert\"",
        "cooldown = \"1h\"",
    )
}

/// What a client chose may be in its reply: it hides neither those after it, nor itself for long.
#[tokio::test]
async fn one_that_cannot_be_read_ends_no_other() {
    let mut scene = Scene::new(Release::V2_0_0, errs()).await;
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
        .filter(|line| line.contains("inspections cannot be read"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with(&format!("session={second} count=1")),
        "{told:?}"
    );
    // It has its turn again, not before the others, and is judged then.
    let before = asked(&scene).len();
    err(&scene);
    let outcomes = scene.good_poll().await;
    let again = asked(&scene)[before..].to_vec();
    assert!(again.len() == 3 && again[0] != second, "{again:?}");
    assert_eq!(executed(&outcomes), 1, "{outcomes:?}");
}

/// A client chooses whether its inspection can be read, and its line in the log must not be one a poll.
#[tokio::test]
async fn those_that_cannot_be_read_are_logged_once_a_minute_and_counted() {
    let mut scene = Scene::new(Release::V2_0_0, errs()).await;
    let keys = [1, 2, 3].map(|last| scene.client("x", last));
    scene.good_poll().await;
    let (log, _guard) = Log::listen();
    let poll = async |scene: &mut Scene, is_garbled: bool| {
        for key in keys {
            let traffic = Traffic {
                errors: 3,
                ..Traffic::default()
            };
            scene.server.world().serve(key, &traffic);
            if is_garbled {
                scene.tap.play("inspect_session", Trick::Garble);
            }
        }
        scene.good_poll().await;
        let lines = log.lines();
        let of_inspections = |line: &&String| line.contains("inspections");
        lines.iter().filter(of_inspections).cloned().collect()
    };
    let mut told: Vec<Vec<String>> = Vec::new();
    for n in 0..24 {
        told.push(poll(&mut scene, n <= 8).await);
    }
    let told: Vec<_> = told
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.is_empty())
        .collect();
    let is = |n: usize, poll: usize, words: &str, end: &str| {
        let (at, lines) = &told[n];
        let is_line = lines[0].contains(words) && lines[0].ends_with(end);
        assert!(*at == poll && lines.len() == 1 && is_line, "{told:#?}");
    };
    is(
        0,
        0,
        "WARN inspections cannot be read, that of session ",
        " count=3",
    );
    is(
        1,
        6,
        "WARN inspections cannot be read, that of session ",
        " count=18",
    );
    is(
        2,
        12,
        "WARN inspections could not be read in the last minute",
        " count=6",
    );
    is(3, 18, "INFO inspections can be read again", "again");
    assert_eq!(told.len(), 4, "{told:#?}");
}
