//! Of a subnet that takes most of the bandwidth all hogs go, and the neighbours stay.
//!
//! Clients connect from public-looking addresses, in a network namespace of the test's own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::SECOND;
use super::support;
use super::support::client::Client;
use super::support::crowd::Busy;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::netns::Netns;
use super::support::python::Release;
use super::support::warden::{Ended, once, policies};

/// Three of one /24 and one next to it; two of one /48 and one next to it.
const HOGS_V4: [&str; 3] = ["45.90.1.10", "45.90.1.20", "45.90.1.200"];
const HOGS_V6: [&str; 2] = ["2a01:b0:5::1", "2a01:b0:5:9::1"];
const NEIGHBOURS: [&str; 2] = ["45.90.2.10", "2a01:b0:6::1"];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn connect(port: u16, from: &str) -> Client {
    let source = ip(from);
    let to = if source.is_ipv4() {
        HOGS_V4[0]
    } else {
        HOGS_V6[0]
    };
    let to = SocketAddr::new(ip(to), port);
    let mut client = Client::silent_from(SocketAddr::new(source, 0), to).expect("connect");
    client.introduce("\"4.5.8\"").expect("be welcome");
    client
}

/// Draws 100 kB again and again.
fn drawing(port: u16, from: &str, pause: Duration) -> Busy {
    Busy::with(connect(port, from), pause, |client| {
        client.draw(1);
    })
}

/// The targets of the executed decisions, the worst first. All are of the policy for subnets or groups.
fn executed(ended: &Ended) -> Vec<String> {
    let mut decisions = ended.all("decision");
    decisions.retain(|decision| decision["outcome"] == "executed");
    let target = |decision: &Value| {
        assert_ne!(decision["policy"], "session-hog", "{decision}");
        decision["target"].as_str().expect("a target").to_owned()
    };
    decisions.iter().map(target).collect()
}

/// Neighbours draw now and then while `abuse` takes its course; they are served before and after.
fn beside_neighbours<T>(port: u16, abuse: impl FnOnce() -> T) -> T {
    let neighbours = NEIGHBOURS.map(|source| drawing(port, source, 2 * SECOND));
    let result = abuse();
    for neighbour in neighbours {
        assert!(neighbour.stop().is_served());
    }
    result
}

fn enforce(server: &ElectrumX, name: &str) -> Ended {
    let ended = once(server.rpc_port(), &policies(name), 5, &["--enforce"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended
}

/// Hogs in both subnets go by `policy`, all of each subnet or group.
fn hogs_go(server: &ElectrumX, policy: &str, targets: [&str; 2]) {
    let port = server.tcp_port();
    beside_neighbours(port, || {
        let sources = HOGS_V4.iter().chain(&HOGS_V6);
        let hogs: Vec<Busy> = sources
            .map(|source| drawing(port, source, SECOND / 2))
            .collect();
        let ended = enforce(server, policy);
        assert_eq!(executed(&ended), targets, "{ended:#?}");
        let details: Vec<Value> = ended
            .all("decision")
            .iter()
            .map(|d| d["detail"].clone())
            .collect();
        assert_eq!(details, ["disconnected 3", "disconnected 2"], "{ended:#?}");
        for hog in hogs {
            assert!(hog.stop().closed_within(5 * SECOND), "{ended:#?}");
        }
    });
}

/// In either subnet a connection a second from each of two addresses, and none of them draws more than 100 kB.
fn reconnecting_launders_nothing(server: &ElectrumX) {
    let port = server.tcp_port();
    beside_neighbours(port, || {
        let [a, b, _] = HOGS_V4;
        let [c, d] = HOGS_V6;
        let launderers = [a, b, c, d].map(|source| {
            Busy::with(connect(port, source), SECOND, move |client| {
                *client = connect(port, source);
                client.draw(1);
            })
        });
        let ended = enforce(server, "laundry");
        let mut targets = executed(&ended);
        targets.sort();
        assert_eq!(targets, ["2a01:b0:5::/48", "45.90.1.0/24"], "{ended:#?}");
        drop(launderers);
    });
}

fn subnets_are_judged(release: Release, groups: [&str; 2]) {
    if support::skipped() {
        return;
    }
    let all = HOGS_V4.iter().chain(&HOGS_V6).chain(&NEIGHBOURS);
    let addresses: Vec<IpAddr> = all.map(|text| ip(text)).collect();
    Netns::with(&addresses).within(|| {
        let daemon = Daemon::start(5);
        daemon.set_tx_size(50_000);
        let setup = Setup::new(release, &[daemon.url()]);
        let server = setup.without_cost_limits().everywhere().start();
        hogs_go(&server, "subnets", ["45.90.1.0/24", "2a01:b0:5::/48"]);
        hogs_go(&server, "groups", groups);
        reconnecting_launders_nothing(&server);
    });
}

#[test]
fn subnets_are_judged_on_1_13_0() {
    subnets_are_judged(Release::V1_13_0, ["45.90.1", "2a01:00b0:0005"]);
}

#[test]
fn subnets_are_judged_on_1_20_0() {
    subnets_are_judged(Release::V1_20_0, ["45.90.1.0/24", "2a01:b0:5::/48"]);
}
