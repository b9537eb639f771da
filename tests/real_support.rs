//! The tests' own servers do what the tests believe: real releases, the regtest daemon, clients.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use support::bitcoind::Bitcoind;
use support::client::Client;
use support::daemon::{Daemon, Mood};
use support::debian::{Mirror, mirrors};
use support::electrumx::Setup;
use support::netns::Netns;
use support::python::Release;
use support::rpc::Rpc;
use support::wait;

/// The recorded reply to `what`, from `tests/fixtures/wire`.
fn captured(release: Release, what: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/wire/{}/{what}.json",
        env!("CARGO_MANIFEST_DIR"),
        release.capture()
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let exchange: Value = serde_json::from_str(&text).expect("a capture is JSON");
    exchange["response"]["result"].clone()
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn answers_as_captured(release: Release) {
    if support::skipped() {
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
    assert_eq!(
        (&info["daemon height"], &info["db height"]),
        (&json!(10), &json!(10))
    );

    let row = rpc.session_of(honest.port()).expect("the client is listed");
    assert_eq!(
        row.as_array().map(Vec::len),
        captured(release, "sessions")[0].as_array().map(Vec::len)
    );
    assert_eq!(row[3], "4.5.8");
    let id = row[0].as_u64().expect("an ID");

    assert_eq!(
        rpc.with_ids("log", &[id]),
        [format!("logging session {id}")]
    );
    assert_eq!(
        rpc.with_ids("log", &[id]),
        [format!("not logging session {id}")]
    );
    assert_eq!(
        rpc.with_ids("disconnect", &[id]),
        [format!("disconnecting session {id}")]
    );
    assert!(honest.closed_within(Duration::from_secs(5)));

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

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn failover_goes_to_the_secondary_and_never_comes_back_by_itself() {
    if support::skipped() {
        return;
    }
    let (primary, secondary) = (Daemon::start(10), Daemon::start(10));
    // Two of the server's own pollers that fail in step flip the daemon twice, and come to rest nowhere: leave it one.
    let server = Setup::new(Release::V1_20_0, &[primary.url(), secondary.url()])
        .env("DAEMON_POLL_INTERVAL_MEMPOOL", "3600000")
        .start();
    let mut rpc = server.rpc();
    let mut on = |daemon: &Daemon, limit: Duration| {
        wait::until("the daemon to be in use", limit, || {
            (rpc.ask("getinfo")["daemon"] == daemon.shown()).then_some(())
        });
    };
    on(&primary, SECOND);

    // A height that stands still moves nobody.
    secondary.mine(5);
    std::thread::sleep(2 * SECOND);
    on(&primary, SECOND);

    primary.set(Mood::Down);
    on(&secondary, 20 * SECOND);
    server.wait_for("db height", 15);

    primary.mine(5);
    primary.set(Mood::Serving);
    std::thread::sleep(2 * SECOND);
    on(&secondary, SECOND);
    let reply = server
        .rpc()
        .0
        .call("daemon_url", &json!({ "daemon_url": "" }));
    assert_eq!(
        reply,
        Ok(json!(format!("now using daemon at {}", primary.shown())))
    );
    on(&primary, SECOND);
}

#[test]
fn a_killed_server_starts_again_with_new_ids_and_the_same_ports() {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(10);
    let mut server = Setup::new(Release::V1_20_0, &[daemon.url()]).start();
    let before = server.rpc().ask("getinfo")["pid"].clone();
    let mut client = server.client("4.5.8");
    server.kill();
    assert!(client.closed_within(5 * SECOND));
    server.start_again();
    let mut rpc = server.rpc();
    assert_ne!(rpc.ask("getinfo")["pid"], before);
    let client = server.client("4.5.8");
    let row = rpc.session_of(client.port()).expect("the client is listed");
    assert!(
        row[0].as_u64().is_some_and(|id| id <= 4),
        "IDs start again: {row}"
    );
}

#[test]
fn a_real_bitcoind_feeds_a_real_server() {
    if support::skipped() {
        return;
    }
    let bitcoind = Bitcoind::start();
    bitcoind.mine(5);
    let server = Setup::new(Release::V1_20_0, &[bitcoind.url()]).start();
    server.wait_for("db height", 5);
    bitcoind.mine(2);
    assert_eq!(bitcoind.height(), 7);
    server.wait_for("daemon height", 7);
    server.wait_for("db height", 7);
}

/// The names in `groups` of a server with clients at two addresses of one /24, one of another, and two of one /48.
fn groups_seen(release: Release) -> Vec<(String, u64)> {
    let sources = [
        "45.90.1.10",
        "45.90.1.20",
        "45.91.7.1",
        "2a01:b0:5::1",
        "2a01:b0:5:9::1",
    ];
    let addresses: Vec<IpAddr> = sources
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect();
    let net = Netns::with(&addresses);
    net.within(|| {
        let daemon = Daemon::start(5);
        let server = Setup::new(release, &[daemon.url()]).everywhere().start();
        let clients: Vec<Client> = addresses
            .iter()
            .map(|&source| {
                let at = SocketAddr::new(
                    addresses[if source.is_ipv4() { 0 } else { 3 }],
                    server.tcp_port(),
                );
                let mut client = Client::silent_from(SocketAddr::new(source, 0), at)
                    .expect("connect in the namespace");
                client.introduce("\"4.5.8\"").expect("be welcome");
                client
            })
            .collect();
        let mut rpc = server.rpc();
        let peer = |client: &Client, rpc: &mut Rpc| {
            rpc.session_of(client.port()).expect("a row")[2].to_string()
        };
        assert!(peer(&clients[2], &mut rpc).starts_with("\"45.91.7.1:"));
        assert!(peer(&clients[4], &mut rpc).starts_with("\"[2a01:b0:5:9::1]:"));
        let rows = rpc.ask("groups");
        let rows = rows.as_array().expect("rows").iter();
        let mut groups: Vec<(String, u64)> = rows
            .map(|row| {
                (
                    row[0].as_str().expect("a name").to_owned(),
                    row[1].as_u64().expect("a count"),
                )
            })
            .collect();
        groups.sort();
        groups
    })
}

fn named(groups: &[(&str, u64)]) -> Vec<(String, u64)> {
    groups
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect()
}

#[test]
fn public_addresses_make_groups() {
    if support::skipped() {
        return;
    }
    let cidr = named(&[
        ("2a01:b0:5::/48", 2),
        ("45.90.1.0/24", 2),
        ("45.91.7.0/24", 1),
    ]);
    assert_eq!(groups_seen(Release::V1_16_0), cidr);
    assert_eq!(groups_seen(Release::V2_0_0), cidr);
    // The oldest release pads IPv6 groups with zeros, adds time slices, and has private addresses in groups: ours.
    let (public, others): (Vec<_>, Vec<_>) = groups_seen(Release::V1_13_0)
        .into_iter()
        .partition(|(name, _)| name.starts_with("2a01") || name.starts_with("45"));
    assert_eq!(
        public,
        named(&[("2a01:00b0:0005", 2), ("45.90.1", 2), ("45.91.7", 1)])
    );
    let others: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(others, ["127.0.0", "t0"]);
}

#[test]
fn debian_mirrors_are_read_from_both_formats_of_sources() {
    let debian = |signed_by: Option<&str>| Mirror {
        uri: "http://mirror.example/debian".to_owned(),
        signed_by: signed_by.map(str::to_owned),
    };
    let stanzas = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: stable stable-updates\n\
         Components: main\nSigned-By: /keys/debian.gpg\n\nTypes: deb\nURIs: http://mirror.example/debian-security\n\
         Suites: stable-security\nComponents: main\n";
    assert_eq!(mirrors(stanzas), [debian(Some("/keys/debian.gpg"))]);
    let lines = "# deb http://old.example/debian stable main\ndeb [arch=amd64 signed-by=/k] http://mirror.example/debian stable main\n\
         deb http://mirror.example/debian stable main contrib\ndeb http://other.example/tool stable main\n";
    assert_eq!(mirrors(lines), [debian(Some("/k")), debian(None)]);
}
