//! The canary visits real servers over TCP and TLS; its session is nobody's, whatever policies say.

use std::path::Path;

use serde_json::Value;

use super::SECOND;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::port::Port;
use super::support::python::Release;
use super::support::warden::Agent;
use super::support::{self, wait};

const EVERYBODY: &str = r#"
[[policy]]
name = "everybody"
about = "Disconnects every session."
scope = "session"
when = { age = ">= 0s" }
action = "disconnect"
cooldown = "1s"

[[policy]]
name = "every-name"
about = "Disconnects every session by its name."
scope = "client"
members = "all"
when = { sessions = ">= 1" }
action = "disconnect"
cooldown = "1s"

[[policy]]
name = "unserved"
about = "Nobody is served."
scope = "server"
when = { felt_down = "> 1s" }
action = "alert"

[[policy]]
name = "height"
about = "The tip that wallets are told is the index's."
scope = "server"
when = { felt_height = ">= 1", felt_height_lag = "<= 0", felt_latency = "< 5s" }
action = "alert"

[[policy]]
name = "certificate"
about = "There is a certificate, and it is known when it ends."
scope = "server"
when = { certificate_left = "> 365d" }
action = "alert"
"#;

fn certificate(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    folder.join(name).display().to_string()
}

/// The canary's row among the server's sessions, by the name that it gives.
fn row(server: &ElectrumX) -> Option<Value> {
    let mut rows = server.rpc().sessions().into_iter();
    rows.find(|row| {
        row[3]
            .as_str()
            .is_some_and(|name| name.starts_with("warden-canary/"))
    })
}

fn policies_of(journal: &[Value]) -> Vec<&str> {
    let mut policies: Vec<_> = journal
        .iter()
        .filter_map(|it| it["policy"].as_str())
        .collect();
    policies.sort_unstable();
    policies.dedup();
    policies
}

/// Whoever is connected goes, by every scope; only the canary is nobody's.
fn stays_where_everybody_goes(server: &ElectrumX, connect: &str, says: &str) -> Agent {
    let table = format!("[canary]\nconnect = {connect}\ntimeout = \"5s\"\n");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policies = folder.path().join("everybody.toml");
    std::fs::write(&policies, EVERYBODY).expect("write the policies");
    let mut agent = Agent::start_with(server.rpc_port(), &policies, &table, &[]);
    agent.wait_to_say(says, 1);
    let own = wait::until("the canary's session", 10 * SECOND, || row(server));
    // Whoever takes its name is a client.
    let mut impostor = server.client("warden-canary/0.1.0");
    wait::until("the impostor to go", 10 * SECOND, || {
        (!impostor.is_served()).then_some(())
    });
    let visits = |row: &Value| row[10].as_u64();
    let before = row(server).and_then(|row| visits(&row));
    wait::until("more visits", 10 * SECOND, || {
        (row(server).and_then(|row| visits(&row)) > before).then_some(())
    });
    let still = row(server).expect("the canary stays");
    assert_eq!((&still[0], &still[2]), (&own[0], &own[2]));
    for decision in agent.journal() {
        let sessions = decision["sessions"].as_array().cloned().unwrap_or_default();
        assert!(
            sessions.iter().all(|it| it["peer"] != own[2]),
            "{decision:#}"
        );
    }
    assert!(
        !agent.log().contains("not among the server's"),
        "{}",
        agent.log()
    );
    agent
}

/// A server that is gone is felt, and one that is back.
fn feels_that_nobody_is_served(server: &mut ElectrumX, agent: &mut Agent) {
    server.kill();
    agent.wait_to_say("the canary is not served", 1);
    wait::until("a decision about it", 20 * SECOND, || {
        policies_of(&agent.journal())
            .contains(&"unserved")
            .then_some(())
    });
    server.start_again();
    agent.wait_to_say("the canary is served again", 1);
    assert_eq!(agent.terminate(2 * SECOND), 0);
}

#[test]
fn over_tcp_on_1_20_0() {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(3);
    let mut server = Setup::new(Release::V1_20_0, &[daemon.url()]).start();
    let connect = format!("\"tcp://127.0.0.1:{}\"", server.tcp_port());
    let says = format!("visiting tcp://127.0.0.1:{} as a wallet", server.tcp_port());
    let mut agent = stays_where_everybody_goes(&server, &connect, &says);
    feels_that_nobody_is_served(&mut server, &mut agent);
    // Plain TCP has no certificate.
    let journal = agent.journal();
    assert!(
        !policies_of(&journal).contains(&"certificate"),
        "{journal:#?}"
    );
    let served: Vec<_> = journal
        .iter()
        .filter(|it| it["policy"] == "height")
        .collect();
    assert!(!served.is_empty(), "{journal:#?}");
}

fn over_tls(release: Release, crt: &str) {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(3);
    let ssl = Port::take();
    let mut server = Setup::new(release, &[daemon.url()])
        .ssl(ssl.number())
        .env("SSL_CERTFILE", &certificate(crt))
        .env("SSL_KEYFILE", &certificate("server.key"))
        .start();
    let connect = format!("{{ electrumx = '{}' }}", server.environment().display());
    let says = format!("visiting ssl://127.0.0.1:{} as a wallet", ssl.number());
    let mut agent = stays_where_everybody_goes(&server, &connect, &says);
    wait::until("the certificate's end", 10 * SECOND, || {
        policies_of(&agent.journal())
            .contains(&"certificate")
            .then_some(())
    });
    feels_that_nobody_is_served(&mut server, &mut agent);
}

#[test]
fn over_tls_on_1_20_0() {
    over_tls(Release::V1_20_0, "server.crt");
}

/// As the documentation of `ElectrumX` has certificates made, which is version 1 of X.509.
#[test]
fn over_tls_with_a_certificate_of_version_1_on_1_16_0() {
    over_tls(Release::V1_16_0, "version-1.crt");
}
