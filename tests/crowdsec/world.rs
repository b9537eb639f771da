//! A namespace with the real programs, a server and whoever connects to it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use electrumx_warden::config::{Secret, SecretSource};
use electrumx_warden::penalty::BannedBy;
use electrumx_warden::sink::{Changes, Desired, Hold};
use electrumx_warden::time::Timestamp;
use ipnet::IpNet;
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use crate::support::crowdsec::Programs;
use crate::support::netns::Netns;

/// The server's port.
const PORT: u16 = 50_001;

/// A SYN is sent again after a second.
const ANSWER: Duration = Duration::from_millis(300);

/// What the programs take for a change, at most.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) const EVIL: &str = "45.90.1.10";
pub(crate) const NEIGHBOUR: &str = "45.90.1.11";
pub(crate) const EVIL6: &str = "2a01:4f8:1:2::1";
pub(crate) const NEIGHBOUR6: &str = "2a01:4f8:1:3::1";

/// Runs a test in a namespace whose loopback has these addresses.
pub(crate) fn world(test: impl AsyncFnOnce(&Programs) + Send) {
    if crate::support::skipped() {
        return;
    }
    let programs = Programs::new();
    Netns::spanning(&["45.90.0.0/16", "2a01:4f8::/32"]).within(|| {
        // Unlike IPv4, to which a route to loopback is enough.
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        let _server = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).unwrap();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(test(&programs));
    });
}

/// Whether the server answers an address.
pub(crate) async fn answers(source: &str) -> bool {
    let source: IpAddr = source.parse().unwrap();
    let (socket, server): (_, IpAddr) = match source {
        IpAddr::V4(_) => (TcpSocket::new_v4(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (TcpSocket::new_v6(), Ipv6Addr::LOCALHOST.into()),
    };
    let socket = socket.unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let connected = timeout(ANSWER, socket.connect(SocketAddr::new(server, PORT))).await;
    // Neither a reset nor an ICMP message: either an answer or nothing.
    connected.map(Result::unwrap).is_ok()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(
            began.elapsed() < LIMIT,
            "waited {LIMIT:?} in vain for {what}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn until_kept_out(address: &str) {
    until(&format!("{address} to be kept out"), async || {
        !answers(address).await
    })
    .await;
}

pub(crate) async fn until_let_in(address: &str) {
    until(&format!("{address} to be let in"), async || {
        answers(address).await
    })
    .await;
}

pub(crate) fn now() -> Timestamp {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(0) + since
}

pub(crate) fn network(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Bans for so many minutes.
pub(crate) fn banned(networks: &[&str], minutes: u32) -> Desired {
    let hold = Hold {
        until: now() + minutes * MINUTE,
        by: BannedBy::Policy("hog".into()),
    };
    let networks = networks.iter().map(|text| network(text));
    networks.map(|net| (net, hold.clone())).collect()
}

pub(crate) fn hold(networks: &[&str], minutes: u32) -> Changes {
    Changes {
        held: banned(networks, minutes).into_iter().collect(),
        lifted: Vec::new(),
    }
}

pub(crate) fn lift(networks: &[&str]) -> Changes {
    Changes {
        held: Vec::new(),
        lifted: networks.iter().map(|text| network(text)).collect(),
    }
}

/// As the agent reads it.
pub(crate) fn secret(text: &str) -> Secret {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, text).unwrap();
    SecretSource::File(path).read().unwrap().secret
}
