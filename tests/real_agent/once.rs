//! `once` prints the right snapshot and decisions of every release, and without `--enforce` changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::SECOND;
use super::support;
use super::support::client::Client;
use super::support::crowd::Busy;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::python::Release;
use super::support::rpc::Rpc;
use super::support::warden::{Ended, once, policies};

/// Honest and abusive clients of one server, in the middle of what they do.
struct Crowd {
    honest: Vec<Client>,
    /// Makes an error now and then, below the policy's threshold.
    clumsy: Busy,
    flood: Busy,
    hostile: Vec<Client>,
    scrapers: Vec<Client>,
}

impl Crowd {
    fn gather(server: &ElectrumX) -> Self {
        let honest = ["4.5.8", "electrum/4.6.2"].map(|name| {
            let mut client = server.client(name);
            assert_eq!(client.subscribe_headers()["height"], 10);
            client
        });
        let errors = |name, pause_ms, count| {
            let pause = Duration::from_millis(pause_ms);
            Busy::with(server.client(name), pause, move |client| {
                client.flood_errors(count);
            })
        };
        let hostile = [r#""\u001b[2Jgone""#, r#""a\ud800b""#].map(|name| {
            let mut client = Client::silent(server.address()).expect("connect");
            client.introduce(name).expect("be welcome");
            client
        });
        Self {
            honest: honest.into(),
            clumsy: errors("4.4.0", 700, 1),
            flood: errors("4.3.2", 100, 50),
            hostile: hostile.into(),
            scrapers: vec![server.client("AddrScraper/1"), server.client("scrapy")],
        }
    }

    /// Each policy with the ports of the sessions that it ought to find.
    fn findings(&self) -> BTreeSet<(String, Vec<u16>)> {
        let named = [("hostile-name", &self.hostile), ("scraper", &self.scrapers)];
        let named = named.into_iter().flat_map(|(policy, clients)| {
            let ports = clients.iter().map(Client::port);
            ports.map(move |port| (policy, port))
        });
        let all = named.chain([("error-flood", self.flood.port())]);
        all.map(|(policy, port)| (policy.to_owned(), vec![port]))
            .collect()
    }
}

fn found(ended: &Ended, outcome: &str) -> BTreeSet<(String, Vec<u16>)> {
    let decisions = ended.all("decision");
    let of_outcome = decisions.iter().filter(|d| d["outcome"] == outcome);
    let finding = |decision: &Value| {
        let sessions = decision["sessions"].as_array().expect("sessions").iter();
        let port = |session: &Value| session["peer"].as_str()?.rsplit_once(':')?.1.parse().ok();
        let mut ports: Vec<u16> = sessions.map(|s| port(s).expect("a peer")).collect();
        ports.sort_unstable();
        (
            decision["policy"].as_str().expect("a name").to_owned(),
            ports,
        )
    };
    of_outcome.map(finding).collect()
}

/// Of the server whatever an action would change.
fn state(rpc: &mut Rpc) -> Value {
    let info = rpc.ask("getinfo");
    let mut clients = rpc.sessions();
    clients.retain(|row| row[3] != "RPC");
    let who: Vec<Value> = clients
        .iter()
        .map(|row| json!([row[0], row[1], row[2]]))
        .collect();
    json!([info["daemon"], info["sessions"]["logged"], info["pid"], who])
}

fn judges_and_acts(release: Release) {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(10);
    let server = Setup::new(release, &[daemon.url()])
        .without_cost_limits()
        .start();
    let crowd = Crowd::gather(&server);
    let mut rpc = server.rpc();
    in_dry_run_it_tells_and_changes_nothing(release, &server, &daemon, &crowd, &mut rpc);

    let ended = once(server.rpc_port(), &policies("abuse"), 3, &["--enforce"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(found(&ended, "executed"), crowd.findings());
    for decision in ended.all("decision") {
        assert_eq!(decision["detail"], "disconnected 1", "{decision}");
    }
    let summary = ended.one("summary");
    assert_eq!(
        (&summary["executed"], &summary["failed"]),
        (&json!(5), &json!(0))
    );

    let mut abusive = crowd.hostile;
    abusive.extend(crowd.scrapers);
    abusive.push(crowd.flood.stop());
    for client in &mut abusive {
        assert!(client.closed_within(5 * SECOND), "{release:?}: {client:?}");
    }
    let mut honest = crowd.honest;
    honest.push(crowd.clumsy.stop());
    for client in &mut honest {
        assert!(client.is_served(), "{release:?}: {client:?}");
    }
    let own = rpc
        .session_of(rpc.0.local_port())
        .expect("the RPC connection stays");
    assert_eq!(own[3], "RPC");
}

fn in_dry_run_it_tells_and_changes_nothing(
    release: Release,
    server: &ElectrumX,
    daemon: &Daemon,
    crowd: &Crowd,
    rpc: &mut Rpc,
) {
    let before = state(rpc);
    let ended = once(server.rpc_port(), &policies("abuse"), 3, &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(found(&ended, "dry-run"), crowd.findings());
    assert_eq!(found(&ended, "executed"), BTreeSet::new());
    for client in crowd
        .honest
        .iter()
        .map(Client::port)
        .chain([crowd.clumsy.port()])
    {
        assert!(!ended.stdout.contains(&format!(":{client}")), "{ended:#?}");
    }

    let snapshot = ended.one("snapshot");
    assert_eq!(
        snapshot["version"],
        format!("ElectrumX {}", release.version())
    );
    assert_eq!(snapshot["daemon"], daemon.shown().trim_end_matches('/'));
    assert_eq!(
        (&snapshot["daemon_height"], &snapshot["db_height"]),
        (&json!(10), &json!(10))
    );
    // The agent's own connection, and the test's.
    assert_eq!(snapshot["rpc_connections"], 2);
    assert_eq!(
        (&snapshot["clients"], &snapshot["sessions"]),
        (&json!(8), &json!(10))
    );
    let errors_now = rpc.ask("getinfo")["sessions"]["errors"].as_u64();
    assert!(snapshot["errors"].as_u64() > Some(50), "{snapshot}");
    assert!(snapshot["errors"].as_u64() <= errors_now, "{snapshot}");

    assert_eq!(state(rpc), before, "{release:?}");
}

#[test]
fn release_1_13_0_is_judged_and_acted_on() {
    judges_and_acts(Release::V1_13_0);
}

#[test]
fn release_1_16_0_is_judged_and_acted_on() {
    judges_and_acts(Release::V1_16_0);
}

#[test]
fn release_1_20_0_is_judged_and_acted_on() {
    judges_and_acts(Release::V1_20_0);
}

#[test]
fn release_2_0_0_is_judged_and_acted_on() {
    judges_and_acts(Release::V2_0_0);
}

/// By `inspect_session`: errors that cost a session next to nothing beside its other traffic still show.
#[test]
fn errors_of_a_session_count_on_release_2_0_0() {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(10);
    let server = Setup::new(Release::V2_0_0, &[daemon.url()])
        .without_cost_limits()
        .start();
    let work = |name, errors, pings| {
        Busy::with(server.client(name), SECOND / 5, move |client| {
            client.flood_errors(errors);
            client.ping(pings);
        })
    };
    // Each of three policies finds one client, and none finds the last.
    let many = work("many", 30, 300);
    let mostly = work("mostly", 4, 1);
    let methods = Busy::with(server.client("methods"), SECOND / 5, |client| {
        client.flood_errors(1);
        client.subscribe_scripts(20);
    });
    let honest = work("honest", 1, 30);

    let ended = once(server.rpc_port(), &policies("errors"), 5, &["--enforce"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let finding = |policy: &str, busy: &Busy| (policy.to_owned(), vec![busy.port()]);
    let expected = [
        finding("many-errors", &many),
        finding("mostly-errors", &mostly),
        finding("one-method", &methods),
    ];
    assert_eq!(found(&ended, "executed"), expected.into());
    for gone in [many, mostly, methods] {
        assert!(gone.stop().closed_within(5 * SECOND));
    }
    assert!(honest.stop().is_served());
}
