//! What `run` says: words for people, keys for programs.

use std::time::Duration;

use electrumx_warden::sim::{Pace, Release, Server, World};
use serde_json::{Value, json};

use crate::process::{Folder, until};

/// Alerts of the server, and disconnects a client whose name is as hostile as a name can be.
const POLICIES: &str = r#"
[lists]
bad = ["evil\u001b\" u:p@h"]

[[policy]]
name = "evil"
about = "x"
scope = "session"
when = { client = "in @bad" }
action = "disconnect"

[[policy]]
name = "many"
about = "x"
scope = "server"
when = { sessions = "> 0" }
action = "alert"
"#;

/// What it says until it has decided twice.
async fn said(format: &str) -> String {
    let world = World::empty(Release::V1_20_0, 1);
    let server = Server::start(world, Pace::Times(1.0)).await.unwrap();
    let name = "evil\u{1b}\" u:p@h";
    server.world().connect(([198, 51, 100, 1], 5).into(), name);
    let folder = Folder::new(server.addr());
    folder.configure(&format!("[log]\nformat = \"{format}\"\n"));
    std::fs::write(folder.path("policies/p.toml"), POLICIES).unwrap();
    let agent = folder.run();
    until("it decides", || {
        folder.journal().exists()
            && electrumx_warden::journal::Journal::open_read_only(&folder.journal()).is_ok()
            && folder.rows().len() >= 2
    })
    .await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{told}");
    told
}

#[tokio::test]
async fn json_has_what_matters_in_keys_of_its_own() {
    let told = said("json").await;
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        told.bytes().all(|byte| byte == b'\n' || byte >= b' '),
        "{told}"
    );
    let decided: Vec<&Value> = lines.iter().filter(|it| !it["outcome"].is_null()).collect();
    let of = |policy: &str, message: &str| {
        let is_it = |line: &&&Value| {
            line["policy"] == policy && line["message"].as_str().unwrap().starts_with(message)
        };
        let mut line = (**decided.iter().find(is_it).expect(message)).clone();
        for key in ["timestamp", "message"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    assert_eq!(
        of("evil", "executed"),
        json!({
            "level": "INFO", "target": "0 (198.51.100.1:5)", "decision": 1, "policy": "evil", "mode": "enforce",
            "action": "disconnect", "scope": "session", "address": "198.51.100.1",
            "session_count": 1, "outcome": "executed", "detail": "disconnected 1", "held_s": 0.0,
            "evidence": "client \"evil\\u{1b}\" ***@h\" (in @bad)",
        })
    );
    assert_eq!(of("many", "executed")["evidence"], "sessions 2 (> 0)");
    assert_eq!(
        of("many", "alert:"),
        json!({
            "level": "WARN", "target": "server", "policy": "many", "mode": "enforce",
            "action": "alert", "scope": "server", "outcome": "executed",
            "evidence": "sessions 2 (> 0)",
        })
    );
}

#[tokio::test]
async fn text_says_it_once() {
    let told = said("text").await;
    let line = |words: &str| {
        let line = told.lines().find(|line| line.contains(words)).expect(&told);
        let (_, line) = line.split_once("  ").unwrap();
        line.trim_start().to_owned()
    };
    let decided = line("disconnect session 0");
    assert!(!decided.contains("policy="), "{decided}");
    assert_eq!(
        line("alert: "),
        "WARN alert: sessions 2 (> 0); by `many` on server"
    );
}
