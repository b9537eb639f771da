//! Bans on real servers: whoever comes back and does it again is kept out, by the `LocalRPC` and by nftables, and
//! nobody else is.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::SECOND;
use super::siege::{Siege, abuser_address, connect};
use super::support::client::Client;
use super::support::netns::one_syn;
use super::support::nft::{Nft, executable};
use super::support::python::Release;
use super::support::wait;
use super::support::warden::{Agent, policies};

const EVIL: Ipv4Addr = abuser_address(7, 0);
const NEIGHBOUR: Ipv4Addr = abuser_address(7, 1);

/// Comes under a name, and gives the connection if the server takes it.
fn come(siege: &Siege, from: Ipv4Addr, name: &str) -> io::Result<Client> {
    let mut client = connect(siege.server.tcp_port(), from)?;
    client.introduce(&Value::from(name).to_string())?;
    Ok(client)
}

/// Is cut under a hostile name.
fn offend(siege: &Siege) {
    let mut client = come(siege, EVIL, "evil").expect("connect");
    assert!(client.closed_within(20 * SECOND), "it is cut");
}

fn bans(agent: &Agent) -> Vec<Value> {
    let mut decisions = agent.journal();
    decisions.retain(|decision| decision["action"] == "ban" && decision["outcome"] == "executed");
    decisions
}

/// By the `LocalRPC` alone: connected for a poll at the most, whatever it calls itself.
fn is_held_off(release: Release) {
    Siege::of(release, 10, |siege| {
        let mut agent = siege.agent(&policies("ladder"));
        offend(siege);
        offend(siege);
        wait::until("the ban", 20 * SECOND, || {
            (bans(&agent).len() == 1).then_some(())
        });
        let mut harmless = come(siege, EVIL, "4.5.8").expect("connect");
        assert!(harmless.closed_within(20 * SECOND), "it is banned");
        let mut neighbour = come(siege, NEIGHBOUR, "4.5.8").expect("connect");
        siege.pass(4 * SECOND);
        assert!(neighbour.is_served());
        // After a kill, too.
        agent.kill();
        agent.start_again();
        agent.wait_to_say("watching", 2);
        let mut harmless = come(siege, EVIL, "4.5.8").expect("connect");
        assert!(harmless.closed_within(20 * SECOND), "it is banned");
        assert_eq!(agent.terminate(5 * SECOND), 0);
        let [ban] = &bans(&agent)[..] else {
            panic!("one ban: {:#?}", agent.journal());
        };
        assert_eq!(ban["ban_for_s"], 600.0);
        assert_eq!(ban["bans"][0]["net"], format!("{EVIL}/32"));
        assert_eq!(ban["detail"], "disconnected 1");
    });
}

#[test]
fn whoever_is_banned_is_held_off_on_1_16_0() {
    is_held_off(Release::V1_16_0);
}

#[test]
fn whoever_is_banned_is_held_off_on_1_20_0() {
    is_held_off(Release::V1_20_0);
}

/// The program, in a folder of its own.
pub(crate) struct Firewall {
    folder: TempDir,
}

impl Firewall {
    /// To be called outside any namespace.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        executable(folder.path(), "nft", &Nft::Bookworm.script());
        Self { folder }
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").expect("a path");
        format!("{}:{path}", self.folder.path().display())
    }

    fn nft(&self, args: &[&str]) -> String {
        let nft = self.folder.path().join("nft");
        let output = Command::new(nft).args(args).output().expect("start nft");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub(crate) fn agent(&self, siege: &Siege, policies: &Path) -> Agent {
        let port = siege.server.tcp_port();
        let more = format!("[ban]\nsinks = [\"nftables\"]\nports = [{port}]\n");
        let env = [("PATH", self.path())];
        let mut agent = Agent::start_with(siege.server.rpc_port(), policies, &more, &env);
        agent.wait_to_say("watching", 1);
        agent
    }
}

fn answers(siege: &Siege, from: Ipv4Addr) -> bool {
    connect(siege.server.tcp_port(), from).is_ok()
}

fn wait_until_kept_out(siege: &Siege, why: &str) {
    wait::until(why, 90 * SECOND, || (!answers(siege, EVIL)).then_some(()));
}

fn cannot_connect(release: Release) {
    if super::support::skipped() {
        return;
    }
    let firewall = Firewall::new();
    Siege::of(release, 10, |siege| {
        one_syn();
        firewall.nft(&["add", "table", "inet", "electrumx_warden_not"]);
        let mut agent = firewall.agent(siege, &policies("ladder"));
        offend(siege);
        assert!(answers(siege, EVIL), "the first time it is only cut");
        offend(siege);
        wait_until_kept_out(siege, "the ban");
        assert!(answers(siege, NEIGHBOUR));
        siege.pass(2 * SECOND);
        // Somebody reloads the firewall.
        firewall.nft(&["flush", "ruleset"]);
        wait_until_kept_out(siege, "the repair");
        agent.wait_to_say("was put right", 1);
        // The agent is killed, and somebody takes its table away.
        agent.kill();
        assert!(!answers(siege, EVIL), "the kernel goes on");
        firewall.nft(&["delete", "table", "inet", "electrumx_warden"]);
        assert!(answers(siege, EVIL));
        agent.start_again();
        wait_until_kept_out(siege, "the agent's return");
        assert!(answers(siege, NEIGHBOUR));
        siege.pass(2 * SECOND);
        // In dry-run nobody is kept out.
        assert_eq!(agent.terminate(5 * SECOND), 0);
        let config = agent.path("warden.toml");
        let text = fs::read_to_string(&config).expect("the configuration");
        let text = text.replace("mode = \"enforce\"", "mode = \"dry-run\"");
        fs::write(&config, text).expect("write the configuration");
        agent.start_again();
        wait::until("the lift", 20 * SECOND, || {
            answers(siege, EVIL).then_some(())
        });
        assert_eq!(agent.terminate(5 * SECOND), 0);
        assert_eq!(bans(&agent).len(), 1);
    });
}

#[test]
fn whoever_is_banned_cannot_connect_to_1_16_0() {
    cannot_connect(Release::V1_16_0);
}

#[test]
fn whoever_is_banned_cannot_connect_to_1_20_0() {
    cannot_connect(Release::V1_20_0);
}

/// Without the program the watch goes on, and it is told.
#[test]
fn a_sink_that_fails_is_told_and_stops_nothing() {
    Siege::of(Release::V1_20_0, 3, |siege| {
        let port = siege.server.tcp_port();
        let more = format!("[ban]\nsinks = [\"nftables\"]\nports = [{port}]\n");
        let nowhere = tempfile::tempdir().expect("a temporary folder");
        let broken = executable(nowhere.path(), "nft", "echo broken >&2; exit 1");
        let env = [(
            "PATH",
            broken.parent().expect("a folder").display().to_string(),
        )];
        let mut agent =
            Agent::start_with(siege.server.rpc_port(), &policies("ladder"), &more, &env);
        agent.wait_to_say("bans do not take hold by `nftables`", 1);
        offend(siege);
        offend(siege);
        let mut harmless = come(siege, EVIL, "4.5.8").expect("connect");
        assert!(harmless.closed_within(20 * SECOND), "the LocalRPC holds");
        assert_eq!(agent.terminate(5 * SECOND), 0);
        let shown = agent.journal_as("text").stdout;
        assert!(shown.contains("sink failed"), "{shown}");
    });
}
