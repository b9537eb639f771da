//! Clients that attack what the server says of its clients: costs of `Infinity` and `NaN`, names that are no Unicode.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::SECOND;
use super::support::client::Client;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::netns::Netns;
use super::support::python::Release;
use super::support::warden::{Agent, once, policies};
use super::support::{self, wait};

/// One subnet, so that the cost of the one is laid upon the other.
const EVIL: &str = "45.90.1.66";
const HONEST: &str = "45.90.1.10";

fn connect(server: &ElectrumX, from: &str) -> Client {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let to = SocketAddr::new(ip(HONEST), server.tcp_port());
    Client::silent_from(SocketAddr::new(ip(from), 0), to).expect("connect")
}

/// A client whose cost the server takes for infinite, under a name with half a character.
fn attack(server: &ElectrumX) -> Client {
    let mut evil = connect(server, EVIL);
    evil.introduce(r#""evil\ud800""#).expect("be welcome");
    evil.spend_without_bound();
    let mut rpc = server.rpc();
    wait::until("an infinite cost", 20 * SECOND, || {
        let line = rpc.0.exchange("sessions", "[]").expect("a reply");
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_seen = line.contains("Infinity") && line.contains("NaN");
        // 1.16.0 may throw it out for that before anybody looks.
        let is_gone = !line.contains(r"\ud800");
        (is_seen || is_gone).then_some(())
    });
    evil
}

/// Runs a test with a server in a namespace, and a neighbour of the attacker's to be.
fn attacked(release: Release, test: impl FnOnce(ElectrumX, Client) + Send) {
    if support::skipped() {
        return;
    }
    let addresses = [EVIL, HONEST].map(|text| text.parse().expect("an address"));
    Netns::with(&addresses).within(|| {
        let daemon = Daemon::start(5);
        let server = Setup::new(release, &[daemon.url()]).everywhere().start();
        let mut neighbour = connect(&server, HONEST);
        neighbour.introduce("\"4.5.8\"").expect("be welcome");
        test(server, neighbour);
    });
}

fn the_attacker_alone_goes(release: Release) {
    attacked(release, |server, mut neighbour| {
        let mut evil = attack(&server);
        let ended = once(server.rpc_port(), &policies("costly"), 2, &["--enforce"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let decision = ended.one("decision");
        assert_eq!(decision["outcome"], "executed", "{decision}");
        let peer = decision["sessions"][0]["peer"].as_str().expect("a peer");
        assert!(peer.starts_with(EVIL), "{decision}");
        assert_eq!(decision["sessions"].as_array().map(Vec::len), Some(1));
        assert!(evil.closed_within(5 * SECOND));
        assert!(neighbour.is_served());
        // What it has left behind in its group blinds nobody.
        let ended = once(server.rpc_port(), &policies("costly"), 1, &["--enforce"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(ended.one("snapshot")["clients"], 1);
        assert_eq!(ended.all("decision"), [] as [Value; 0]);
    });
}

#[test]
fn an_infinite_cost_is_seen_on_1_13_0() {
    the_attacker_alone_goes(Release::V1_13_0);
}

#[test]
fn an_infinite_cost_is_seen_on_1_20_0() {
    the_attacker_alone_goes(Release::V1_20_0);
}

/// The attacker's second connection breaks the server's RPC for good: `getinfo` fails from then on. 1.16.0 even ends.
fn a_broken_rpc_is_told(release: Release) {
    attacked(release, |mut server, _neighbour| {
        let mut agent = Agent::start(server.rpc_port(), &policies("down"));
        agent.wait_to_say("watching", 1);
        wait::until("the agent's connection", 20 * SECOND, || {
            let rpcs = server.rpc().sessions();
            (rpcs.iter().filter(|row| row[3] == "RPC").count() == 2).then_some(())
        });
        let first = attack(&server);
        drop(first);
        let _second = connect(&server, EVIL);

        agent.wait_to_say(
            "poll failed: the server answered `getinfo` with error -32603: internal server error",
            1,
        );
        agent.wait_to_say("alert: rpc_down ", 1);
        assert!(!agent.has_ended());
        server.start_again();
        agent.wait_to_say("polls succeed again", 1);
        assert_eq!(agent.terminate(2 * SECOND), 0);
        let mut alerts = agent.journal();
        alerts.retain(|decision| decision["outcome"] == "executed");
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        assert_eq!(alerts[0]["policy"], "server-silent");
    });
}

#[test]
fn a_broken_rpc_is_told_on_1_16_0() {
    a_broken_rpc_is_told(Release::V1_16_0);
}

#[test]
fn a_broken_rpc_is_told_on_1_20_0() {
    a_broken_rpc_is_told(Release::V1_20_0);
}

#[test]
fn a_broken_rpc_is_told_on_2_0_0() {
    a_broken_rpc_is_told(Release::V2_0_0);
}
