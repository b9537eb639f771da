//! The disk of the journal is full: nothing is enforced, that is said once, and the watch goes on.
//! The test runs itself in a mount namespace with a small file system of its own.

use std::path::Path;

use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::Row;
use electrumx_warden::sim::Release;

use crate::log::Log;
use crate::scene::{Scene, evil, executed, policy};
use crate::small_disk::{fill, on_a_small_disk};

#[test]
fn while_the_disk_is_full_nothing_is_enforced() {
    on_a_small_disk(|disk| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(live_through(disk));
    });
}

async fn live_through(disk: &Path) {
    let odd = policy(
        "odd",
        "session",
        "{ client = \"=~ ^odd\" }",
        "{ log = { for = \"1m\" } }",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, evil() + &odd).await;
    scene.folder = tempfile::tempdir_in(disk).unwrap();
    scene.settings.limits.breaker.clients_min = 1_000;
    let ballast = disk.join("ballast");
    let logged = scene.client("odd/1", 250);
    assert_eq!(executed(&scene.good_poll().await), 1);

    let (log, _guard) = Log::listen();
    fill(&ballast);
    // The write-ahead log may have room for a few more.
    let mut last = 0;
    let held = loop {
        last += 1;
        let key = scene.client("evil/1", last);
        let outcomes = scene.good_poll().await;
        if executed(&outcomes) == 0 {
            let Outcome::Failed { detail } = &outcomes[0].1 else {
                panic!("{outcomes:?}");
            };
            assert!(
                detail.starts_with("not done, for the journal cannot be written: no room left"),
                "{detail}"
            );
            break key;
        }
        assert!(!scene.is_open(key));
        assert!(last < 200, "the disk never was full");
    };
    let told = log.lines();
    let errors: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    assert!(
        errors[0].starts_with(
            "ERROR nothing is enforced any more, for the journal cannot be written: no room left"
        ),
        "{told:?}"
    );

    // The watch goes on, and what the agent began it ends.
    let asked = scene.tap.asked("disconnect").len();
    for _ in 0..7 {
        assert_eq!(executed(&scene.good_poll().await), 0);
    }
    assert!(scene.is_open(held));
    assert!(!scene.is_logged(logged), "its minute is over");
    assert_eq!(scene.tap.asked("disconnect").len(), asked);
    assert!(log.lines().is_empty(), "told once");

    std::fs::remove_file(&ballast).unwrap();
    // Nothing was done, so there is no cooldown to wait for.
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(!scene.is_open(held));
    assert_eq!(
        log.lines(),
        ["INFO the journal can be written again: back to mode enforce"]
    );
    assert_eq!(scene.log_runs(), 0);
    let rows = scene.rows();
    let done = |row: &&Row| matches!(row.outcome, Outcome::Executed { .. });
    assert_eq!(rows.iter().filter(done).count(), usize::from(last) + 1);
}
