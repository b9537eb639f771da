//! `demo`: the whole story, however short, and always the same.

use std::process::Stdio;

use serde_json::Value;

use crate::process::{command, output};

async fn demo(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let args = [&["demo", "--for", "5s"], args].concat();
    output(command(folder.path(), &args)).await
}

#[tokio::test]
async fn the_same_seed_gives_the_same_to_the_byte() {
    let args = ["--seed", "7", "--format", "json"];
    let (one, two) = tokio::join!(demo(&args), demo(&args));
    assert_eq!((one.0, &*one.2), (0, ""));
    assert!(one == two);
    let last: Value = serde_json::from_str(one.1.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "summary");
    assert!(last["abusers"].as_u64().unwrap() > 5);
    assert_eq!(last["abusers"], last["abusers_disconnected"]);
    assert!(last["honest"].as_u64().unwrap() > 5);
    assert_eq!(last["honest_disconnected"], 0);
    let times = &last["time_to_disconnect_s"];
    assert!(times["p50"].as_f64().unwrap() <= times["max"].as_f64().unwrap());
    for line in one.1.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["type"].is_string());
    }
}

#[tokio::test]
async fn it_ends_with_a_table() {
    let (code, out, told) = demo(&[]).await;
    assert_eq!((code, &*told), (0, ""));
    let lines: Vec<&str> = out.lines().rev().take(3).collect();
    let (caught, all) = lines[2]
        .strip_prefix("abusers: ")
        .and_then(|rest| rest.split_once(" disconnected, in "))
        .and_then(|(counts, _)| counts.split_once(" of "))
        .unwrap();
    assert_eq!(caught, all);
    assert!(lines[1].starts_with("honest:  0 of "), "{lines:?}");
    assert!(lines[1].ends_with(" disconnected by mistake"), "{lines:?}");
    assert!(lines[0].contains("60 polls, "), "{lines:?}");
    assert!(!out.contains('\u{1b}'));
}

#[tokio::test]
async fn a_reader_that_stops_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), &["demo", "--for", "5s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let ended = ended.await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[tokio::test]
async fn its_length_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    for length in ["4s", "11m", "0", "5", "-5s", "now"] {
        let args = ["demo", &format!("--for={length}")];
        let (code, out, told) = output(command(folder.path(), &args)).await;
        assert_eq!((code, &*out), (2, ""), "{length}: {told}");
    }
}

#[tokio::test]
async fn an_attack_is_compared_with_the_same_without_an_agent() {
    let args = [
        "--attack",
        "hog-neighbours",
        "--seed",
        "3",
        "--format",
        "json",
    ];
    let (one, two) = tokio::join!(demo(&args), demo(&args));
    assert_eq!((one.0, &*one.2), (0, ""));
    assert!(one == two);
    let last: Value = serde_json::from_str(one.1.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "summary");
    assert_eq!(last["attack"], "hog-neighbours");
    assert_eq!(last["roles"]["neighbour"]["met"], 30);
    assert_eq!(last["roles"]["neighbour"]["honest"], true);
    assert_eq!(last["roles"]["abuser"]["met"], 1);
    let through = last["through"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&through), "{through}");
    assert!(last["polls"].as_u64().unwrap() > 24, "jittered, and faster");
}

#[tokio::test]
async fn under_attack_a_stuck_daemon_is_left() {
    let (code, out, told) = demo(&["--attack", "tags-once", "--format", "json"]).await;
    assert_eq!((code, &*told), (0, ""));
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let failover_s = last["failover_s"].as_f64();
    assert!(failover_s.is_some_and(|it| it < 300.0), "{last}");
    assert_eq!(last["shortfalls"], serde_json::json!([]));
}

#[tokio::test]
async fn in_dry_run_an_attack_goes_on() {
    let args = ["--attack", "housemate", "--dry-run"];
    let (code, out, told) = demo(&args).await;
    assert_eq!((code, &*told), (0, ""));
    let last = out.lines().last().unwrap();
    assert_eq!(last, "in dry-run nobody is disconnected");
}

#[tokio::test]
async fn an_attack_that_is_not_known_is_told_with_one_that_is() {
    let (code, out, told) = demo(&["--attack", "hog-neighbors"]).await;
    assert_eq!((code, &*out), (2, ""));
    assert!(told.contains("invalid value 'hog-neighbors'"), "{told}");
    assert!(told.contains("'hog-neighbours'"), "{told}");
}
