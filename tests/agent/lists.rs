//! List files change under a running agent.

use std::path::PathBuf;

use electrumx_warden::sim::Release;

use crate::log::Log;
use crate::scene::{Scene, executed, policy};

/// Disconnects clients whose addresses are in a file.
async fn scene(list: &str) -> (Scene, PathBuf) {
    let mut scene = Scene::new(Release::V1_20_0, "").await;
    let path = scene.folder.path().join("bad.txt");
    std::fs::write(&path, list).unwrap();
    scene.policies = format!("[lists]\nbad = {{ file = \"{}\" }}\n", path.display())
        + &policy(
            "bad",
            "session",
            "{ address = \"in @bad\" }",
            "\"disconnect\"",
            "",
        );
    for last in 1..=3 {
        scene.client("x", last);
    }
    scene.settings.limits.disconnect.burst = 1;
    scene.settings.limits.disconnect.rate.count = 6;
    scene.agent();
    (scene, path)
}

#[tokio::test]
async fn a_changed_list_counts_from_the_next_poll_on() {
    let (log, _guard) = Log::listen();
    let (mut scene, path) = scene("198.51.100.1\n").await;
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(log.lines().is_empty());
    std::fs::write(&path, "198.51.100.1\n198.51.100.2\n").unwrap();
    scene.good_poll().await;
    let read = format!("INFO read the list `{}` again", path.display());
    assert_eq!(log.lines(), [read]);
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(log.lines().is_empty());
}

/// As it looks where the file system tells no more than seconds, or a program sets the time back.
#[tokio::test]
async fn a_change_that_neither_length_nor_time_shows_is_seen() {
    let (mut scene, path) = scene("198.51.100.1\n").await;
    assert_eq!(executed(&scene.good_poll().await), 1);
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "198.51.100.2\n").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    scene.good_poll().await;
    assert_eq!(executed(&scene.good_poll().await), 1);
}

#[tokio::test]
async fn a_broken_list_keeps_the_old_one_and_says_why() {
    let (log, _guard) = Log::listen();
    let (mut scene, path) = scene("198.51.100.1\n198.51.100.2\n").await;
    std::fs::write(&path, "198.51.100.1\n198.51.100.2\n198.51.100.x\u{1b}\n").unwrap();
    assert_eq!(executed(&scene.good_poll().await), 1);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let begins = format!("WARN the list `{}` stays as it was: ", path.display());
    assert!(lines[0].starts_with(&begins), "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
    assert_eq!(
        executed(&scene.good_poll().await),
        1,
        "the old list is in force"
    );
    assert!(log.lines().is_empty(), "told once");
    std::fs::write(&path, "198.51.100.3\n").unwrap();
    scene.good_poll().await;
    assert_eq!(executed(&scene.good_poll().await), 1);
}

#[tokio::test]
async fn a_list_that_vanishes_keeps_the_old_one_and_says_so() {
    let (log, _guard) = Log::listen();
    let (mut scene, path) = scene("198.51.100.1\n198.51.100.2\n").await;
    std::fs::remove_file(&path).unwrap();
    scene.good_poll().await;
    let lines = log.lines();
    let expected = format!(
        "WARN the list `{0}` stays as it was: cannot read `{0}`: there is no such file",
        path.display()
    );
    assert_eq!(lines, [expected]);
    assert_eq!(
        executed(&scene.good_poll().await),
        1,
        "the old list is in force"
    );
    assert!(log.lines().is_empty(), "told once");
    std::fs::write(&path, "198.51.100.3\n").unwrap();
    scene.good_poll().await;
    assert_eq!(log.lines().len(), 1);
    assert_eq!(executed(&scene.good_poll().await), 1);
}

/// A pipe would hold the agent up for ever.
#[tokio::test]
async fn a_list_that_is_no_file_any_more_is_not_waited_for() {
    let (log, _guard) = Log::listen();
    let (mut scene, path) = scene("198.51.100.1\n").await;
    scene.good_poll().await;
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    scene.good_poll().await;
    let lines = log.lines();
    assert!(lines[0].contains("stays as it was: "), "{lines:?}");
}
