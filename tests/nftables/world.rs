//! A namespace with the real program, a server and whoever connects to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use electrumx_warden::penalty::BannedBy;
use electrumx_warden::sink::nftables::{Nftables, NftablesSettings, Ports, Reason, Repair};
use electrumx_warden::sink::{Changes, Desired, Hold};
use electrumx_warden::time::Timestamp;
use ipnet::IpNet;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::netns::Netns;
use crate::support::nft::{Nft, executable};
use crate::support::python::run;

/// When each test begins.
pub(crate) const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The ports at which whoever is banned gets no answer.
pub(crate) const PORTS: [u16; 2] = [50_001, 50_002];
/// Another server's.
pub(crate) const OTHER_PORT: u16 = 8_333;

/// A SYN is sent again after a second.
const ANSWER: Duration = Duration::from_millis(500);

pub(crate) struct World {
    /// The program.
    pub(crate) nft: PathBuf,
    /// The tests' own files.
    pub(crate) folder: TempDir,
    start: Instant,
    _servers: Vec<TcpListener>,
}

/// Runs a test in a namespace whose loopback has `addresses`.
pub(crate) fn world(addresses: &[&str], test: impl AsyncFnOnce(World) + Send) {
    world_with(Nft::Bookworm, addresses, test);
}

/// The same with a release of the program.
pub(crate) fn world_with(nft: Nft, addresses: &[&str], test: impl AsyncFnOnce(World) + Send) {
    if crate::support::skipped() {
        return;
    }
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let script = nft.script();
    let net = Netns::with(&addresses);
    net.within(|| {
        let folder = tempfile::tempdir().unwrap();
        let servers = PORTS.iter().chain([&OTHER_PORT]).map(|&port| listen(port));
        let world = World {
            nft: executable(folder.path(), "nft", &script),
            _servers: servers.collect(),
            start: Instant::now(),
            folder,
        };
        runtime().block_on(test(world));
    });
}

/// A runtime as the agent's.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Both families.
fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()
}

pub(crate) fn settings(program: &Path) -> NftablesSettings {
    NftablesSettings {
        ports: Ports::new(PORTS).unwrap(),
        program: Some(program.to_owned()),
        deadline: Duration::from_secs(60),
    }
}

impl World {
    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        AT + self.start.elapsed()
    }

    /// A sink that has made its table, which keeps out `desired` for an hour.
    pub(crate) async fn sink(&self, desired: &[&str]) -> Nftables {
        let mut sink = self.new_sink();
        let repair = sink
            .reconcile(&for_an_hour(desired), self.now())
            .await
            .unwrap();
        let networks = desired.len();
        assert_eq!(
            repair,
            Repair::Replaced {
                reason: Reason::Unknown,
                networks
            }
        );
        sink
    }

    /// A sink that knows nothing.
    pub(crate) fn new_sink(&self) -> Nftables {
        Nftables::new(settings(&self.nft))
    }

    /// Runs the program by hand.
    pub(crate) fn by_hand(&self, args: &str) -> String {
        let args = args.split(' ');
        run(Command::new(&self.nft).args(args), "see what nft says")
    }

    /// Everything that the firewall has.
    pub(crate) fn rules(&self) -> String {
        self.by_hand("list ruleset")
    }
}

/// Whether the server answers an address.
pub(crate) async fn answers(source: &str) -> bool {
    answers_at(source, PORTS[1]).await
}

/// Whether a port answers an address.
pub(crate) async fn answers_at(source: &str, port: u16) -> bool {
    let source: IpAddr = source.parse().unwrap();
    let server: IpAddr = match source {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    connects(source, SocketAddr::new(server, port)).await
}

/// Whether a server answers an address.
pub(crate) async fn connects(source: IpAddr, server: SocketAddr) -> bool {
    let socket = match source {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let connected = timeout(ANSWER, socket.connect(server)).await;
    // Neither a reset nor an ICMP message: either an answer or nothing.
    connected.map(Result::unwrap).is_ok()
}

pub(crate) fn network(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn until(until: Timestamp) -> Hold {
    let by = BannedBy::Policy("hog".into());
    Hold { until, by }
}

pub(crate) fn for_an_hour(networks: &[&str]) -> Desired {
    networks
        .iter()
        .map(|text| (network(text), until(AT + 60 * MINUTE)))
        .collect()
}

pub(crate) fn hold(networks: &[&str]) -> Changes {
    Changes {
        held: for_an_hour(networks).into_iter().collect(),
        lifted: Vec::new(),
    }
}

pub(crate) fn lift(networks: &[&str]) -> Changes {
    Changes {
        held: Vec::new(),
        lifted: networks.iter().map(|text| network(text)).collect(),
    }
}
