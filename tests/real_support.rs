//! The tests' own servers do what the tests believe: real releases, the regtest daemon, clients.

mod support;

use serde_json::{Value, json};
use support::daemon::Daemon;
use support::electrumx::Setup;
use support::python::Release;

/// The recorded reply to `what`, from `tests/fixtures/wire`.
fn captured(release: Release, what: &str) -> Value {
    let path = format!("{}/tests/fixtures/wire/{}/{what}.json", env!("CARGO_MANIFEST_DIR"), release.capture());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let exchange: Value = serde_json::from_str(&text).expect("a capture is JSON");
    exchange["response"]["result"].clone()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn answers_as_captured(release: Release) {
    if support::skipped("answers_as_captured") {
        return;
    }
    let daemon = Daemon::start(10);
    let server = Setup::new(release, &[daemon.url()]).start();
    let mut honest = server.client("4.5.8");
    assert_eq!(honest.subscribe_headers()["height"], 10);
    let mut rpc = server.rpc();

    let info = rpc.ask("getinfo");
    let known = captured(release, "getinfo");
    assert_eq!(keys(&info), keys(&known));
    assert_eq!(keys(&info["sessions"]), keys(&known["sessions"]));
    assert_eq!(info["version"], format!("ElectrumX {}", release.version()));
    assert_eq!(info["daemon"], daemon.shown());
    assert_eq!((&info["daemon height"], &info["db height"]), (&json!(10), &json!(10)));

    let row = rpc.session_of(honest.port()).expect("the client is listed");
    assert_eq!(row.as_array().map(Vec::len), captured(release, "sessions")[0].as_array().map(Vec::len));
    assert_eq!(row[3], "4.5.8");
    let id = row[0].as_u64().expect("an ID");

    assert_eq!(rpc.with_ids("log", &[id]), [format!("logging session {id}")]);
    assert_eq!(rpc.with_ids("log", &[id]), [format!("not logging session {id}")]);
    assert_eq!(rpc.with_ids("disconnect", &[id]), [format!("disconnecting session {id}")]);
    assert!(honest.closed_within(std::time::Duration::from_secs(5)));

    daemon.mine(3);
    server.wait_for("daemon height", 13);
    server.wait_for("db height", 13);
}

#[test]
fn release_1_13_0_answers_as_captured() {
    answers_as_captured(Release::V1_13_0);
}

#[test]
fn release_1_16_0_answers_as_captured() {
    answers_as_captured(Release::V1_16_0);
}

#[test]
fn release_1_20_0_answers_as_captured() {
    answers_as_captured(Release::V1_20_0);
}

#[test]
fn release_2_0_0_answers_as_captured() {
    answers_as_captured(Release::V2_0_0);
}
