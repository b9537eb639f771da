//! `run`: logging that is switched on once and off once, whatever happens in between; and how it ends.

use std::io::Read as _;
use std::net::TcpListener;

use serde_json::{Value, json};

use super::SECOND;
use super::support::client::Client;
use super::support::crowd::Busy;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::python::Release;
use super::support::rpc::Rpc;
use super::support::warden::{Agent, policies};
use super::support::{self, wait};

/// Whether the server logs the session with this port at the other end.
fn is_logged(rpc: &mut Rpc, port: u16) -> bool {
    let row = rpc.session_of(port).expect("the session stays");
    row[1].as_str().expect("flags").contains('L')
}

/// How many requests the agent has sent over its present connection: two a poll.
pub(crate) fn requests(rpc: &mut Rpc) -> u64 {
    let own = rpc.0.local_port();
    let mut rows = rpc.sessions();
    rows.retain(|row| {
        row[3] == "RPC"
            && !row[2]
                .as_str()
                .is_some_and(|p| p.ends_with(&format!(":{own}")))
    });
    rows.iter().filter_map(|row| row[10].as_u64()).sum()
}

/// A client that an operator has the server log, and that the policy would have it log too.
fn logged_by_an_operator(server: &ElectrumX, rpc: &mut Rpc) -> Client {
    let client = server.client("curious/operator");
    let id = rpc.session_of(client.port()).expect("a row")[0].clone();
    rpc.with_ids("log", &[id.as_u64().expect("an ID")]);
    assert!(is_logged(rpc, client.port()));
    client
}

/// Waits until the agent, at work on its present connection, has asked `more` times than this call found.
fn wait_for_polls(agent: &mut Agent, rpc: &mut Rpc, polls: u64) {
    let before = requests(rpc);
    wait::until("more polls", 20 * SECOND, || {
        assert!(!agent.has_ended(), "the agent ended");
        (requests(rpc) >= before + 2 * polls).then_some(())
    });
}

fn logs_once_and_ends_it_once(release: Release, is_killed: bool) {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(3);
    let server = Setup::new(release, &[daemon.url()]).start();
    let mut rpc = server.rpc();
    let operated = logged_by_an_operator(&server, &mut rpc);
    let mut honest = server.client("4.5.8");
    let mut agent = Agent::start(server.rpc_port(), &policies("curious"));
    wait::until("the first poll", 10 * SECOND, || {
        (requests(&mut rpc) > 0).then_some(())
    });
    let curious = server.client("curious/1");
    let port = curious.port();
    let curious = Busy::with(curious, SECOND / 4, |client| {
        client.ping(1);
    });
    let pings_logged = || server.log().matches("server.ping").count();

    wait::until("logging", 5 * SECOND, || {
        is_logged(&mut rpc, port).then_some(())
    });
    wait::until("its words in the server's log", 5 * SECOND, || {
        (pings_logged() > 0).then_some(())
    });
    if is_killed {
        agent.kill();
        assert!(is_logged(&mut rpc, port), "nobody is there to end it");
        agent.start_again();
    }
    wait::until("the end of logging", 10 * SECOND, || {
        (!is_logged(&mut rpc, port)).then_some(())
    });
    let logged = pings_logged();
    wait_for_polls(&mut agent, &mut rpc, 3);
    assert!(!is_logged(&mut rpc, port), "it was switched off twice");
    assert_eq!(pings_logged(), logged, "the server logs it no more");
    assert!(is_logged(&mut rpc, operated.port()), "the operator's stays");

    assert_eq!(agent.terminate(2 * SECOND), 0);
    assert!(curious.stop().is_served() && honest.is_served());
    let journal = agent.journal();
    let done: Vec<&Value> = journal
        .iter()
        .filter(|d| d["outcome"] != "suppressed")
        .collect();
    assert_eq!(done.len(), 1, "{journal:#?}");
    assert_eq!(
        (&done[0]["outcome"], &done[0]["detail"], &done[0]["policy"]),
        (
            &json!("executed"),
            &json!("logging 1"),
            &json!("log-the-curious")
        )
    );
    let peer = format!("127.0.0.1:{port}");
    assert_eq!(done[0]["sessions"][0]["peer"], peer);
}

#[test]
fn logging_goes_on_once_and_off_once_on_1_13_0() {
    logs_once_and_ends_it_once(Release::V1_13_0, false);
}

#[test]
fn logging_goes_on_once_and_off_once_on_2_0_0() {
    logs_once_and_ends_it_once(Release::V2_0_0, false);
}

#[test]
fn logging_ends_once_after_a_kill_on_1_16_0() {
    logs_once_and_ends_it_once(Release::V1_16_0, true);
}

#[test]
fn logging_ends_once_after_a_kill_on_1_20_0() {
    logs_once_and_ends_it_once(Release::V1_20_0, true);
}

#[test]
fn sigterm_ends_it_though_the_server_hangs() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = server.local_addr().expect("an address").port();
    let mut agent = Agent::start(port, &policies("curious"));
    let (mut connection, _) = server.accept().expect("the agent connects");
    let mut request = [0; 1];
    connection.read_exact(&mut request).expect("the agent asks");
    assert_eq!(agent.terminate(2 * SECOND), 0);
}
