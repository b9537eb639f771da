//! `daemon_url`: back to the first daemon, and to one whose credentials show nowhere.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::SECOND;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::python::Release;
use super::support::warden::Agent;
use super::support::{self, wait};

/// A policy that wants `to` when the server is at the daemon that shows itself as `away`.
fn policy(away: &Daemon, to: &str) -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("daemon.toml");
    let shown = away.shown();
    let text = format!(
        "[[policy]]\nname = \"bring-back\"\nscope = \"server\"\nwhen = {{ daemon = \"== {}\" }}\n\
         action = {{ daemon_url = {{ to = {to} }} }}\ncooldown = \"1h\"\n",
        shown.trim_end_matches('/')
    );
    fs::write(&path, text).expect("write the policy");
    (dir, path)
}

fn is_at(server: &ElectrumX, daemon: &Daemon) -> bool {
    server.rpc().ask("getinfo")["daemon"] == daemon.shown()
}

/// Moves the server to a daemon that is not the first of its own list.
fn move_to(server: &ElectrumX, daemon: &Daemon) {
    let url = json!({ "daemon_url": daemon.url() });
    let said = server.rpc().0.call("daemon_url", &url);
    assert_eq!(
        said,
        Ok(json!(format!("now using daemon at {}", daemon.shown())))
    );
}

fn comes_back(release: Release) {
    if support::skipped() {
        return;
    }
    let (first, second) = (Daemon::start(10), Daemon::start(10));
    let server = Setup::new(release, &[first.url(), second.url()]).start();
    let mut honest = server.client("4.5.8");
    move_to(&server, &second);
    let (_dir, policy) = policy(&second, "\"default\"");
    let mut agent = Agent::start(server.rpc_port(), &policy);
    wait::until("the first daemon", 10 * SECOND, || {
        is_at(&server, &first).then_some(())
    });
    // Its height is the first daemon's again.
    first.mine(2);
    server.wait_for("db height", 12);
    assert_eq!(agent.terminate(2 * SECOND), 0);
    let journal = agent.journal();
    assert_eq!(journal.len(), 1, "{journal:#?}");
    assert_eq!(journal[0]["outcome"], "executed");
    assert_eq!(
        journal[0]["detail"],
        format!("now using daemon at {}", first.shown())
    );
    assert!(honest.is_served());
}

#[test]
fn the_default_is_the_first_daemon_on_1_13_0() {
    comes_back(Release::V1_13_0);
}

#[test]
fn the_default_is_the_first_daemon_on_2_0_0() {
    comes_back(Release::V2_0_0);
}

const PASSWORD: &str = "hunter2-Xyzzy";
const USER: &str = "rpc-user-7";

/// Has the agent move a server to `url`, and gives what came of it, once sure that no secret shows anywhere.
fn moved_in_secret(server: &ElectrumX, away: &Daemon, url: String, secrets: &[&str]) -> Value {
    let host = url.rsplit_once('@').map_or("localhost:1", |(_, host)| host);
    let to = format!("[\"{}\"]", host.trim_end_matches('/'));
    let (_dir, policy) = policy(away, &to);
    let env = [
        ("SPARE_DAEMON", url),
        ("ELECTRUMX_WARDEN_LOG", "trace".to_owned()),
    ];
    let mut agent = Agent::start_with(server.rpc_port(), &policy, &env);
    agent.wait_to_say("bring-back", 1);
    assert_eq!(agent.terminate(2 * SECOND), 0);

    let mut written = agent.files();
    for name in ["log", "journal.sqlite"] {
        assert!(written.iter().any(|(file, _)| file == name), "{name}");
    }
    for format in ["text", "json"] {
        let shown = agent.journal_as(format).stdout;
        written.push((format!("journal as {format}"), shown.into_bytes()));
    }
    for (name, bytes) in written {
        for secret in secrets.iter().map(|secret| secret.as_bytes()) {
            let place = bytes.windows(secret.len()).position(|part| part == secret);
            let around =
                place.map(|at| bytes[at.saturating_sub(80)..at + secret.len()].escape_ascii());
            assert!(place.is_none(), "{name} says: {}", around.expect("a place"));
        }
    }
    let mut journal = agent.journal();
    assert_eq!(journal.len(), 1, "{journal:#?}");
    journal.remove(0)
}

#[test]
#[ignore = "wants the URLs of `[server.daemon]`"]
fn credentials_show_nowhere() {
    if support::skipped() {
        return;
    }
    for release in [Release::V1_13_0, Release::V2_0_0] {
        let (first, spare) = (Daemon::start(10), Daemon::start(10));
        let server = Setup::new(release, &[first.url()]).start();
        let url = spare
            .url()
            .replace("user:secret", &format!("{USER}:{PASSWORD}"));
        let done = moved_in_secret(&server, &first, url, &[USER, PASSWORD]);
        assert_eq!(done["outcome"], "executed", "{done}");
        assert!(is_at(&server, &spare), "{done}");

        // The server refuses these, and repeats them. Without an `@` the user might as well be a host.
        for (url, secrets) in [
            (
                format!("http://{USER}:{PASSWORD}@:8332"),
                &[USER, PASSWORD][..],
            ),
            (format!("http://{USER}:{PASSWORD}"), &[PASSWORD][..]),
        ] {
            let refused = moved_in_secret(&server, &spare, url, secrets);
            assert_eq!(refused["outcome"], "failed", "{refused}");
            let detail = refused["detail"].as_str().expect("the server's words");
            assert!(
                detail.contains("CoinError('invalid daemon URL:"),
                "{detail}"
            );
            assert!(detail.contains("***"), "{detail}");
            assert!(is_at(&server, &spare), "{detail}");
        }
    }
}
