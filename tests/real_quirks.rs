//! What real servers do when clients are hostile or the daemon is ill, each as seen on its release.
//!
//! With `RECORD_QUIRKS=1` the raw replies are written to `tests/fixtures/quirks`, for tests that need no server.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use support::client::Client;
use support::daemon::{Daemon, Mood};
use support::electrumx::{ElectrumX, Setup};
use support::netns::Netns;
use support::python::Release;
use support::rpc::Rpc;
use support::wait;

/// The server's reply as it wrote it; kept as a fixture if so wished.
fn raw(rpc: &mut Rpc, release: Release, method: &str, params: &str, fixture: &str) -> String {
    let line = rpc.0.exchange(method, params).expect("a reply");
    let line = String::from_utf8(line).expect("replies are ASCII");
    if std::env::var_os("RECORD_QUIRKS").is_some() {
        let dir = format!(
            "{}/tests/fixtures/quirks/{}",
            env!("CARGO_MANIFEST_DIR"),
            release.capture()
        );
        std::fs::create_dir_all(&dir).expect("make the folder");
        std::fs::write(format!("{dir}/{fixture}.json"), format!("{line}\n"))
            .expect("write the fixture");
    }
    line
}

fn each(check: impl Fn(Release, &ElectrumX, &Daemon)) {
    if support::skipped() {
        return;
    }
    for release in Release::ALL {
        let daemon = Daemon::start(3);
        let server = Setup::new(release, &[daemon.url()]).start();
        check(release, &server, &daemon);
    }
}

/// Names as JSON, and as the server's JSON shows them.
const NAMES: &[(&str, &str)] = &[
    (r#""a\ud800b""#, r#""a\ud800b""#),
    (r#""a\u0000b""#, r#""a\u0000b""#),
    (
        r#""xxxxxxxxxxxxxxxx\ud83d\ude00y""#,
        r#""xxxxxxxxxxxxxxxx\ud83d\ude00""#,
    ),
    (r#""\u001b]0;t\u0007""#, r#""\u001b]0;t\u0007""#),
    (r#""\"],[\\""#, r#""\"],[\\""#),
    (r#""a\r\nb""#, r#""a\r\nb""#),
    (r#""\u202e\u2028""#, r#""\u202e\u2028""#),
    (r#""   ""#, r#""   ""#),
    (r#""RPC""#, r#""RPC""#),
    (r#""""#, r#""unknown""#),
    ("null", r#""unknown""#),
    ("false", r#""unknown""#),
    ("-0.0", r#""unknown""#),
    ("true", r#""True""#),
    ("1.5", r#""1.5""#),
    ("1e400", r#""inf""#),
    ("NaN", r#""nan""#),
    (r#"[1,"x",null]"#, r#""[1, 'x', None]""#),
    (r#"{"a":{"b":[1]}}"#, r#""{'a': {'b': [1]}}""#),
];

#[test]
fn names_of_every_kind_are_listed() {
    each(|release, server, _| {
        let mut long = Client::silent(server.address()).expect("connect");
        long.introduce(&format!("\"{}\"", "A".repeat(999_000)))
            .expect("a name of nearly 1 MB is welcome");
        let clients: Vec<Client> = NAMES
            .iter()
            .map(|(name, _)| {
                let mut client = Client::silent(server.address()).expect("connect");
                client.introduce(name).expect("be welcome");
                client
            })
            .collect();
        let line = raw(
            &mut server.rpc(),
            release,
            "sessions",
            "[]",
            "sessions_names",
        );
        let compact = line.replace("\", ", "\",");
        for (client, (name, shown)) in clients.iter().zip(NAMES) {
            let cell = format!(":{}\",{shown},", client.port());
            assert!(
                compact.contains(&cell),
                "{release:?}: name {name} is not shown as {shown}: {line}"
            );
        }
        assert!(
            line.contains(&format!("\"{}\"", "A".repeat(17))),
            "names are cut at 17 characters"
        );
        // One client with a lone surrogate makes the whole reply unreadable for those who want strings.
        assert!(serde_json::from_str::<Value>(&line).is_err(), "{line}");
    });
}

#[test]
fn a_line_that_is_too_long_counts_as_bytes_only() {
    each(|release, server, _| {
        let mut client = Client::silent(server.address()).expect("connect");
        client
            .lines()
            .send_line(&"x".repeat(1_500_000))
            .expect("send");
        let mut rpc = server.rpc();
        wait::until("the bytes to count", Duration::from_secs(5), || {
            rpc.session_of(client.port())
                .filter(|row| row[11].as_u64() > Some(1_400_000))
        });
        let line = raw(
            &mut rpc,
            release,
            "sessions",
            "[]",
            "sessions_line_too_long",
        );
        let row = rpc.session_of(client.port()).expect("a row");
        assert_eq!(
            (&row[10], &row[12]),
            (&json!(0), &json!(0)),
            "no message came or went: {line}"
        );
        assert!(
            !client.closed_within(Duration::from_millis(300)),
            "it stays"
        );
    });
}

#[test]
fn a_batch_is_one_message_and_many_errors() {
    each(|release, server, _| {
        let mut client = server.client("batch");
        let calls: Vec<String> = (100..120)
            .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"no.such.method"}}"#))
            .collect();
        client
            .lines()
            .send_line(&format!("[{}]", calls.join(",")))
            .expect("send");
        let mut rpc = server.rpc();
        wait::until("the errors to count", Duration::from_secs(5), || {
            (rpc.ask("getinfo")["sessions"]["errors"] == 20).then_some(())
        });
        let row = rpc.session_of(client.port()).expect("a row");
        assert_eq!(
            row[10], 2,
            "{release:?}: `server.version` and the batch: {row}"
        );
        assert!(
            row[5].as_f64() > Some(1_900.0),
            "{release:?}: an error costs 100: {row}"
        );
    });
}

#[test]
fn a_second_disconnect_says_the_same_or_unknown() {
    each(|release, server, _| {
        let client = server.client("slow");
        let mut rpc = server.rpc();
        let id = rpc.session_of(client.port()).expect("a row")[0]
            .as_u64()
            .expect("an ID");
        let told = rpc.with_ids("disconnect", &[id, id, 999_999]);
        assert_eq!(
            told,
            [
                format!("disconnecting session {id}"),
                "unknown: 999999".to_owned()
            ],
            "one line an ID"
        );
        let again = rpc.with_ids("disconnect", &[id]);
        let words = [
            format!("disconnecting session {id}"),
            format!("unknown: {id}"),
        ];
        assert!(words.contains(&again[0]), "{release:?}: {again:?}");
        wait::until("the session to be gone", Duration::from_secs(5), || {
            (rpc.with_ids("disconnect", &[id]) == [format!("unknown: {id}")]).then_some(())
        });
        assert_eq!(rpc.with_ids("log", &[id]), [format!("unknown: {id}")]);
    });
}

#[test]
fn the_rpc_connection_is_found_by_its_port_and_not_inspected() {
    each(|release, server, _| {
        let mut rpc = server.rpc();
        let port = rpc.0.local_port();
        let row = rpc.session_of(port).expect("our own row");
        assert!(
            row[1].as_str().is_some_and(|flags| flags.starts_with('R')),
            "{row}"
        );
        assert!(row[5].as_f64() < Some(1.0), "its cost: {row}");
        if release == Release::V2_0_0 {
            let line = raw(
                &mut rpc,
                release,
                "inspect_session",
                &format!("[{}]", row[0]),
                "inspect_rpc_session",
            );
            assert!(line.contains("is not a client session"), "{line}");
        }
    });
}

#[test]
fn one_client_makes_costs_infinite_for_its_whole_subnet() {
    if support::skipped() {
        return;
    }
    let evil: IpAddr = "45.90.1.66".parse().expect("an address");
    let honest: IpAddr = "45.90.1.10".parse().expect("an address");
    for release in Release::ALL {
        Netns::with(&[evil, honest]).within(|| spoil(release, evil, honest));
    }
}

fn spoil(release: Release, evil: IpAddr, honest: IpAddr) {
    let daemon = Daemon::start(5);
    let mut server = Setup::new(release, &[daemon.url()]).everywhere().start();
    let to = SocketAddr::new(honest, server.tcp_port());
    let mut neighbour = Client::silent_from(SocketAddr::new(honest, 0), to).expect("connect");
    neighbour.introduce("\"4.5.8\"").expect("be welcome");
    let mut rpc = server.rpc();
    let mut seen = |method: &str, fixture: &str, wanted: &str| {
        wait::until(wanted, Duration::from_secs(20), || {
            let line = raw(&mut rpc, release, method, "[]", fixture);
            line.contains(wanted).then_some(line)
        })
    };

    let mut first = Client::silent_from(SocketAddr::new(evil, 0), to).expect("connect");
    first.introduce("\"evil\"").expect("be welcome");
    first.spend_without_bound();
    let line = seen("sessions", "sessions_infinite", "Infinity");
    assert!(
        line.contains("NaN"),
        "{release:?}: infinity less infinity: {line}"
    );
    drop(first);

    let second = Client::silent_from(SocketAddr::new(evil, 0), to).expect("connect");
    if release == Release::V1_13_0 {
        drop(second);
        seen("sessions", "sessions_infinite_later", "Infinity");
        seen("groups", "groups_infinite", "Infinity");
    } else if release == Release::V1_16_0 {
        // The new session fails half made, stays in the list, and ends the server at the next notice to clients.
        wait::until("the server's end", Duration::from_secs(20), || {
            server.has_ended().then_some(())
        });
        return;
    } else {
        // The new session fails half made, stays in the list, and breaks every reply that sums over it.
        for method in ["sessions", "groups", "getinfo"] {
            seen(method, &format!("{method}_broken"), "internal server error");
        }
    }
    assert!(
        neighbour.is_served(),
        "{release:?}: the neighbour is still served"
    );
}

#[test]
fn getinfo_before_the_server_has_caught_up() {
    if support::skipped() {
        return;
    }
    for release in Release::ALL {
        let daemon = Daemon::start(5);
        daemon.set(Mood::Withholding);
        let mut server = Setup::new(release, &[daemon.url()]).start_unready();
        let mut rpc = server.rpc();
        raw(
            &mut rpc,
            release,
            "getinfo",
            "[]",
            "getinfo_before_catch_up",
        );
        assert!(
            Client::silent(server.address()).is_err(),
            "{release:?}: no client can connect"
        );
        let info: Value = rpc.ask("getinfo");
        assert_eq!(info["daemon height"], 5);
        assert_eq!(info["db height"], -1, "{release:?}");
        daemon.set(Mood::Serving);
        server.wait_until_serving();
    }
}

#[test]
fn no_rpc_before_the_daemon_has_answered() {
    if support::skipped() {
        return;
    }
    for release in Release::ALL {
        for mood in [Mood::Down, Mood::WarmingUp, Mood::Refusing] {
            let daemon = Daemon::start(5);
            daemon.set(mood);
            let mut server = Setup::new(release, &[daemon.url()]).spawn_only();
            wait::until("the server to complain", Duration::from_secs(10), || {
                server.log().contains("ing occasionally").then_some(())
            });
            assert!(
                Rpc::connect(server.rpc_port()).is_err(),
                "{release:?} {mood:?}"
            );
            daemon.set(Mood::Serving);
            server.wait_until_serving();
            assert_eq!(server.rpc().ask("getinfo")["daemon height"], 5);
        }
    }
}

#[test]
fn abusers_show_in_the_columns() {
    each(|release, server, daemon| {
        daemon.set_tx_size(100_000);
        let (mut errors, mut hog, mut hoarder) = (
            server.client("errors"),
            server.client("hog"),
            server.client("hoarder"),
        );
        assert_eq!(errors.flood_errors(10), 10);
        assert!(hog.draw(5) > 1_000_000);
        assert_eq!(hoarder.subscribe_scripts(20), 20);
        let mut rpc = server.rpc();
        let mut row = |client: &Client| rpc.session_of(client.port()).expect("a row");
        assert!(
            row(&errors)[5].as_f64() > Some(1_000.0),
            "{release:?}: an error costs 100"
        );
        assert!(
            row(&hog)[13].as_u64() > Some(1_000_000),
            "{release:?}: bytes sent"
        );
        assert_eq!(row(&hoarder)[9], 20, "{release:?}: subscriptions");
        assert!(
            errors.is_served() && hog.is_served() && hoarder.is_served(),
            "{release:?}"
        );
    });
}

#[test]
fn the_server_itself_closes_those_over_its_hard_limit() {
    if support::skipped() {
        return;
    }
    for release in Release::ALL {
        let daemon = Daemon::start(3);
        let setup = Setup::new(release, &[daemon.url()])
            .env("COST_SOFT_LIMIT", "500")
            .env("COST_HARD_LIMIT", "1000")
            .env("REQUEST_SLEEP", "0");
        let server = setup.start();
        let mut flood = server.client("flood");
        assert!(flood.flood_errors(20) < 20, "{release:?}");
        assert!(flood.closed_within(Duration::from_secs(10)), "{release:?}");

        let server = Setup::new(release, &[daemon.url()])
            .without_cost_limits()
            .start();
        let mut flood = server.client("flood");
        assert_eq!(flood.flood_errors(300), 300, "{release:?}: no limits");
    }
}
