//! Recordings of two simulated servers around midnight, made once for all tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions, Cadence, Rounds};
use electrumx_warden::daemon::{BlockHash, Chain, Daemons, Failure, Report, Round, Work};
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::policy::{Mode, shipped};
use electrumx_warden::poll::Clock;
use electrumx_warden::recording::Recorder;
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::{Fault, Method, Pace, Release, Server, Stall, Traffic, World};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use electrumx_warden::watch;
use tempfile::TempDir;

/// 2026-07-01T23:40:00Z
const BEGIN: Timestamp = Timestamp::from_millis(1_782_949_200_000);

/// Names that servers bear here. The second is no name of a folder.
pub(crate) const SERVERS: [&str; 2] = ["fra-1", "nyc/../1: \"ü\" %2F"];

/// What a client may call itself.
pub(crate) const HOSTILE: &str = "'; DROP\u{202e}\u{1b}[2J\0,\"é";

/// So that the server does not close an idle session.
const PING: Traffic = Traffic {
    requests: 1,
    method: Method::Ping,
    subs: 0,
    errors: 0,
    txs: 0,
    recv_bytes: 60,
    sent_bytes: 40,
    pending: 0,
};

/// Its daemons, as the agent of the first server is configured with them.
pub(crate) const DAEMONS: [&str; 2] = ["127.0.0.1:8332", "127.0.0.1:8342"];

/// What probes have heard since the last poll.
#[derive(Clone, Default)]
struct Probes(Arc<Mutex<Vec<Round>>>);

impl Rounds for Probes {
    fn take(&mut self) -> Vec<Round> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Probes {
    /// The second daemon comes a block behind now and then, and has no time at others.
    fn hear(&self, at: Timestamp, poll: u64) {
        let chain = |height| Chain {
            name: "main".into(),
            height,
            headers: height,
            tip: BlockHash::from_bytes([1; 32]),
            work: Work::from_bytes([1; 32]),
            is_initial_download: false,
            is_pruned: false,
            hashes: Vec::new(),
            indexes: None,
        };
        let second = match poll % 10 {
            3 => Err(Failure::Busy {
                detail: "its queue\u{1b}[2J is full".into(),
            }),
            5 => Ok(chain(799_999)),
            _ => Ok(chain(800_000)),
        };
        let reports = [(Ok(chain(800_000)), 20), (second, 30 + poll)];
        let reports = reports.map(|(heard, took_ms)| Report {
            heard,
            took: Duration::from_millis(took_ms),
        });
        let mut rounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.push(Round {
            at,
            reports: reports.into(),
        });
    }
}

struct SimulatedClock(Arc<Server>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        BEGIN + self.0.now()
    }
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (release, name, path) in [
            (Release::V2_0_0, SERVERS[0], "0"),
            (Release::V1_6, SERVERS[1], "1"),
        ] {
            Box::pin(record(release, name, &folder.path().join(path))).await;
        }
    });
    folder
});

/// One a server.
pub(crate) fn recordings() -> [PathBuf; 2] {
    ["0", "1"].map(|name| FOLDER.path().join(name))
}

/// Ten minutes of abuse, then a night in which the daemon stands still; the server is started again in
/// between, and some polls fail.
async fn record(release: Release, name: &str, path: &Path) {
    let mut world = World::story(release, 7);
    let minutes = |count| Duration::from_mins(count);
    world.stall(Stall::Daemon, minutes(15), minutes(100));
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let journal = tempfile::tempdir().unwrap();
    let is_probed = name == SERVERS[0];
    let probes = Probes::default();
    let mut agent = agent(&server, journal.path(), is_probed);
    if is_probed {
        let urls = DAEMONS.map(|address| format!("http://user:pass@{address}"));
        let daemons = Daemons::parse(&urls.join(","), None).unwrap();
        agent.watch_daemons(daemons, Box::new(probes.clone()));
    }
    agent.record(Recorder::create(path).unwrap(), name.to_owned());
    let mut placeholder = None;
    for poll in 0..110 {
        if poll == 61 {
            server.restart();
            let peers: [SocketAddr; 2] =
                ["198.51.100.7:700", "198.51.100.8:800"].map(|peer| peer.parse().unwrap());
            _ = server.world().connect(peers[0], HOSTILE);
            placeholder = Some(server.world().connect(peers[1], "4.5.8"));
        }
        if let Some(key) = placeholder {
            server.world().serve(key, &PING);
        }
        if is_probed && poll % 3 > 0 {
            probes.hear(BEGIN + server.now(), poll);
        }
        let is_faulty = [20, 63].contains(&poll);
        server.set_fault(is_faulty.then_some(Fault::CloseMidReply));
        let tick = agent.tick().await;
        // A restart breaks the connection.
        assert_eq!(tick.failure.is_some(), is_faulty || poll == 61);
        let step = if poll < 60 { 10 } else { 120 };
        server.advance(Duration::from_secs(step));
    }
    agent.end_recording();
}

fn agent(server: &Arc<Server>, folder: &Path, is_probed: bool) -> Agent {
    let addresses = if is_probed { &DAEMONS[..] } else { &[] };
    let settings = Settings {
        daemons: watch::Settings {
            addresses: addresses.iter().map(|&address| address.into()).collect(),
            ..watch::Settings::default()
        },
        mode: Mode::Enforce,
        ..Settings::default()
    };
    Agent::new(
        Warden::new(shipped().set.unwrap(), settings),
        Client::new(ClientOptions {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(2),
            ..ClientOptions::new(server.addr().to_string())
        }),
        Journal::open(&folder.join("journal.sqlite")).unwrap(),
        Box::new(SimulatedClock(Arc::clone(server))),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(10)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap()
}
