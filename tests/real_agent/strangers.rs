//! `once` where there is no `ElectrumX`, or not its `LocalRPC`; and over a real bitcoind.

use super::support;
use super::support::bitcoind::Bitcoind;
use super::support::electrumx::Setup;
use super::support::port::Port;
use super::support::python::Release;
use super::support::warden::{once, policies};

/// What the program says on standard error about the server at `port`, with which it can do nothing.
fn complaint(port: u16) -> String {
    let ended = once(port, &policies("abuse"), 1, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    ended.stderr
}

#[test]
fn a_closed_port_is_told_with_a_remedy() {
    let port = Port::take();
    assert_eq!(
        complaint(port.number()),
        format!(
            "error: nothing listens at `127.0.0.1:{}`; start ElectrumX, or correct the address of its LocalRPC\n",
            port.number()
        )
    );
}

#[test]
fn a_real_bitcoind_is_no_electrumx_and_feeds_a_real_one() {
    if support::skipped() {
        return;
    }
    let bitcoind = Bitcoind::start();
    bitcoind.mine(5);
    let url = bitcoind.url();
    let (_, port) = url.rsplit_once(':').expect("a port");
    assert_eq!(
        complaint(port.parse().expect("a number")),
        "error: that is a web server (`HTTP/1.1 400 Bad Request`); ElectrumX's LocalRPC is usually port 8000\n"
    );

    let server = Setup::new(Release::V1_20_0, &[bitcoind.url()]).start();
    let honest = server.client("4.5.8");
    for (mined, height) in [(0, 5), (2, 7)] {
        bitcoind.mine(mined);
        server.wait_for("daemon height", height);
        server.wait_for("db height", height);
        let ended = once(server.rpc_port(), &policies("abuse"), 1, &[]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let snapshot = ended.one("snapshot");
        assert_eq!(snapshot["daemon_height"], height);
        assert_eq!(snapshot["db_height"], height);
        assert_eq!(snapshot["daemon"], format!("127.0.0.1:{port}"));
        assert_eq!(snapshot["clients"], 1, "{honest:?}");
    }
}

#[test]
fn the_port_for_clients_is_told_from_the_rpc() {
    if support::skipped() {
        return;
    }
    let daemon = support::daemon::Daemon::start(3);
    for (release, words) in [
        (
            Release::V1_13_0,
            "error: the server answered `getinfo` with error -32601: unknown method \"getinfo\"; that is perhaps the port \
             for clients; the LocalRPC's is usually 8000\n",
        ),
        (Release::V2_0_0, "; is that ElectrumX's LocalRPC?\n"),
    ] {
        let server = Setup::new(release, &[daemon.url()]).start();
        let said = complaint(server.tcp_port());
        assert!(said.ends_with(words), "{release:?}: {said}");
    }
}
