//! `daemon_url`: back to the first daemon, and to one whose credentials show nowhere.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::SECOND;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::python::Release;
use super::support::warden::Agent;
use super::support::{self, secret, wait};

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
    agent.wait_to_say("getinfo names the daemon", 1);
    assert_eq!(agent.terminate(2 * SECOND), 0);
    let journal = agent.journal();
    assert_eq!(journal.len(), 1, "{journal:#?}");
    assert_eq!(journal[0]["outcome"], "executed");
    let detail = journal[0]["detail"].as_str().expect("words");
    let words = format!(
        "now using daemon at {}; named by getinfo after ",
        first.shown()
    );
    assert!(detail.starts_with(&words), "{detail}");
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

/// An agent that has the server go to `wanted`, and knows the daemons from its environment.
fn sent(server: &ElectrumX, away: &Daemon, wanted: &str, urls: &[String]) -> (TempDir, Agent) {
    let (dir, policy) = policy(away, &format!("[\"{wanted}\"]"));
    let env = [
        ("DAEMONS", urls.join(",")),
        ("ELECTRUMX_WARDEN_LOG", "trace".to_owned()),
    ];
    let config = "[server.daemon]\nurls = { env = \"DAEMONS\" }\ninterval = \"1s\"\nrise = 1\n";
    let agent = Agent::start_with(server.rpc_port(), &policy, config, &env);
    (dir, agent)
}

fn credentials_show_nowhere(release: Release) {
    if support::skipped() {
        return;
    }
    let (first, spare) = (Daemon::start(10), Daemon::start(10));
    let server = Setup::new(release, &[first.url()]).start();
    let secret = format!("{USER}:{PASSWORD}");
    let urls = [&first, &spare].map(|daemon| daemon.url().replace("user:secret", &secret));
    let address = spare.shown();
    let address = address.trim_end_matches('/');
    let secrets = secret::forms(USER, PASSWORD);

    let (_dir, mut agent) = sent(&server, &first, address, &urls);
    agent.wait_to_say("getinfo names the daemon", 1);
    secret::assert_absent(&agent.written(), &secrets);
    assert_eq!(agent.terminate(2 * SECOND), 0);
    secret::assert_absent(&agent.written(), &secrets);
    assert!(is_at(&server, &spare));
    let mut journal = agent.journal();
    journal.retain(|decision| decision["outcome"] != "suppressed");
    assert_eq!(journal.len(), 1, "{journal:#?}");
    assert_eq!(journal[0]["outcome"], "executed");

    // Without an `@` the user might as well be a host.
    for (url, complaint) in [
        (format!("http://{secret}@:8332"), "its host is no name"),
        (format!("http://{secret}"), "it has no user and password"),
    ] {
        let (_dir, mut agent) = sent(&server, &spare, address, &[url]);
        assert_ne!(agent.code_within(5 * SECOND), 0);
        assert!(agent.log().contains(complaint), "{}", agent.log());
        secret::assert_absent(&agent.files(), &secrets);
    }
}

#[test]
fn credentials_show_nowhere_on_1_13_0() {
    credentials_show_nowhere(Release::V1_13_0);
}

#[test]
fn credentials_show_nowhere_on_2_0_0() {
    credentials_show_nowhere(Release::V2_0_0);
}
