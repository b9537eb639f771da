//! `daemons`

use std::time::Duration;

use electrumx_warden::decision::{Seen, Suppression};
use electrumx_warden::engine::{Looked, Standing};
use electrumx_warden::field::Dimension;
use electrumx_warden::journal::Journal;
use electrumx_warden::policy::{Action, DaemonTarget, Mode};
use electrumx_warden::status::{DaemonStatus, PolicyStatus, ServerStatus, Status};
use electrumx_warden::time::Timestamp;
use electrumx_warden::watch::State;

use crate::{Folder, Ran};

const CONFIG: &str = r#"
[server]
rpc = "127.0.0.1:1"
connect_timeout = "1s"
[server.daemon]
urls = { env = "DAEMONS" }
timeout = "1s"
"#;

/// Ports at which nobody listens.
const DAEMONS: &str = "http://u:sesame@127.0.0.1:2/,http://u:sesame@127.0.0.1:3/";

fn folder() -> Folder {
    Folder::with(&[
        ("w.toml", CONFIG),
        (
            "policies/p.toml",
            include_str!("../../policies/daemons.toml"),
        ),
    ])
}

fn run(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = folder.command(&["daemons", "--config", "w.toml"]);
    folder.ran(command.args(args).env("DAEMONS", DAEMONS))
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(0) + now
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn looked(holds: bool, field: &str, test: &str, seen: Option<Seen>) -> Looked {
    let dimension = matches!(seen, Some(Seen::Number(_))).then_some(Dimension::Count);
    Looked {
        holds,
        field: field.into(),
        test: test.into(),
        seen,
        threshold: None,
        dimension,
        missing: None,
    }
}

fn policy(name: &str, to: DaemonTarget, when: Vec<Looked>) -> PolicyStatus {
    PolicyStatus {
        standing: Standing {
            policy: name.into(),
            action: Action::DaemonUrl { to },
            holds: when.iter().all(|looked| looked.holds),
            when: vec![when],
            unless: Vec::new(),
            held: seconds(80),
            hold: seconds(300),
            at_once: false,
            sooner: Vec::new(),
        },
        mode: Mode::Enforce,
        held_back: None,
        to: None,
    }
}

fn daemon(address: &str, state: State, at: Timestamp) -> DaemonStatus {
    let is_healthy = state == State::Healthy;
    DaemonStatus {
        address: address.into(),
        in_use: Some(false),
        state: Some(state),
        since: at - seconds(200),
        height: Some(800_123),
        height_gap: Some(0),
        is_healthy: Some(is_healthy),
        health_since: Some(at - seconds(80)),
        turning: None,
    }
}

/// The server on its backup, the primary well again, and a third that says something nasty.
fn status(at: Timestamp) -> Status {
    let on_primary = |holds| looked(holds, "on_primary", "false", Some(Seen::Flag(!holds)));
    let well = looked(true, "primary_healthy", "true", Some(Seen::Flag(true)));
    let gap = |seen| looked(false, "daemon_height_gap", ">= 3", seen);
    let spared = looked(true, "preempt", "false", Some(Seen::Flag(false)));
    Status {
        at,
        interval: seconds(10),
        mode: Mode::Enforce,
        outage: None,
        server: ServerStatus {
            polled: Some(at),
            version: Some("ElectrumX 1.20.0".into()),
            coin: Some("BitcoinMainnet".into()),
            daemon: Some("10.0.0.2:8332".into()),
            is_daemon_foreign: false,
            daemon_height: Some(800_123),
            db_height: Some(800_123),
            daemon_stalled: Some(seconds(3_600)),
            daemon_stall_odds: Some(0.002_478),
            stall: Some("slow block".into()),
        },
        daemons: vec![
            daemon("10.0.0.1:8332", State::Healthy, at),
            DaemonStatus {
                in_use: Some(true),
                turning: Some((2, 3)),
                is_healthy: Some(true),
                ..daemon("10.0.0.2:8332", State::Behind { blocks: 4 }, at)
            },
            DaemonStatus {
                height: None,
                height_gap: None,
                turning: Some((3, 12)),
                ..daemon(
                    "10.0.0.3:8332",
                    State::WarmingUp {
                        detail: "Loading\u{1b}[31m\nred".into(),
                    },
                    at,
                )
            },
        ],
        policies: vec![
            policy(
                "failback",
                DaemonTarget::Primary,
                vec![on_primary(true), well.clone()],
            ),
            policy(
                "failover",
                DaemonTarget::Best,
                vec![gap(Some(Seen::Number(0.0))), gap(None)],
            ),
            PolicyStatus {
                held_back: Some(Suppression::UnfitDaemon {
                    why: "`10.0.0.1:8332` is below the daemon in use: 9 of 10".into(),
                }),
                ..policy("held", DaemonTarget::Default, vec![on_primary(true)])
            },
            PolicyStatus {
                mode: Mode::DryRun,
                standing: Standing {
                    at_once: true,
                    ..policy(
                        "now",
                        DaemonTarget::List(vec!["10.0.0.3:8332".into()].into()),
                        vec![well],
                    )
                    .standing
                },
                held_back: None,
                to: Some("10.0.0.3:8332".into()),
            },
            PolicyStatus {
                standing: Standing {
                    holds: false,
                    unless: vec![spared],
                    ..policy("spared", DaemonTarget::Primary, vec![on_primary(true)]).standing
                },
                mode: Mode::Enforce,
                held_back: None,
                to: None,
            },
        ],
    }
}

/// What a running agent would leave; the journal is open as long as the value lives.
#[must_use]
fn leave(folder: &Folder, status: &Status) -> Journal {
    let path = folder.path().join("electrumx-warden.sqlite");
    status.save(&Status::path(&path)).unwrap();
    Journal::open(&path).unwrap()
}

#[test]
fn what_the_agent_sees_is_shown_with_what_comes_next() {
    let folder = folder();
    let _agent = leave(&folder, &status(now() - seconds(1)));
    let ran = run(&folder, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let out = ran.out.replace("saw it 2s ago", "saw it 1s ago");
    insta::assert_snapshot!(out);
}

#[test]
fn a_server_that_does_not_answer_is_said_to() {
    let folder = folder();
    let at = now();
    let mut status = status(at);
    status.server.polled = Some(at - seconds(125));
    let _agent = leave(&folder, &status);
    let out = run(&folder, &[]).out;
    let words = "the server has not answered for 2m5s, and what is said of it is from before";
    assert!(out.contains(words), "{out}");
}

#[test]
fn an_agent_that_hangs_and_a_daemon_of_nobodys_are_said_to_be() {
    let folder = folder();
    let mut status = status(now() - seconds(200));
    status.server.daemon = Some("localhost:8332".into());
    status.server.is_daemon_foreign = true;
    let _agent = leave(&folder, &status);
    let out = run(&folder, &[]).out;
    for words in [
        "it has not reported for 3m2",
        "`localhost:8332` is none of `[server.daemon]`",
    ] {
        assert!(out.contains(words), "{out}");
    }
}

#[test]
fn where_no_agent_runs_it_asks_for_itself() {
    let folder = folder();
    // Left a moment ago by an agent that was killed.
    drop(leave(&folder, &status(now())));
    let ran = run(&folder, &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .starts_with("error: nothing listens at `127.0.0.1:1`"),
        "{}",
        ran.err
    );
    insta::assert_snapshot!(ran.out);
    let _agent = leave(&folder, &status(now()));
    let asked = run(&folder, &["--ask"]);
    let process = format!("the agent (process {}) was not asked", std::process::id());
    assert!(asked.out.contains(&process), "{}", asked.out);
}

#[test]
fn programs_get_one_object_without_passwords() {
    let folder = folder();
    let _agent = leave(&folder, &status(now()));
    let ran = run(&folder, &["--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["type"], "daemons");
    assert_eq!(told["source"], "agent");
    assert_eq!(told["daemons"][1]["state"]["state"], "behind");
    assert_eq!(told["policies"][0]["policy"], "failback");
    assert_eq!(told["policies"][0]["hold_s"], 300.0);
    assert_eq!(told["server"]["daemon_stalled_s"], 3_600.0);
    assert_eq!(told["daemons"][0]["since"].as_str().unwrap().len(), 24);
    for args in [&["--ask"][..], &["--ask", "--format", "json"]] {
        let ran = run(&folder, args);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(
            all.contains("127.0.0.1:2") && !all.contains("sesame"),
            "{all}"
        );
    }
}

#[test]
fn without_daemons_in_the_configuration_it_says_what_is_missing() {
    let folder = Folder::with(&[("w.toml", "[server]\nrpc = \"127.0.0.1:1\"\n")]);
    let ran = folder.run(&["daemons", "--config", "w.toml"]);
    assert_eq!(
        (ran.code, &*ran.err),
        (
            3,
            "error: `w.toml` has no `[server.daemon]`: add `[server.daemon]` and below it `urls = { \
             electrumx = \"/etc/electrumx.conf\" }`, or wherever ElectrumX has its DAEMON_URL\n"
        )
    );
    // Not set where nobody sets it.
    let ran = self::folder().run(&["daemons", "--config", "w.toml"]);
    assert_eq!(ran.code, 3);
    assert_eq!(
        ran.err,
        "error: no daemons' URLs from the environment variable `DAEMONS`: it is not set: set it to \
         the URLs, separated by commas, in the agent's environment\n"
    );
}
