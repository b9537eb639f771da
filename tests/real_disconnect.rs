//! What one `disconnect` of many sessions costs a real server: how long the call takes, how long it takes until the
//! sessions are gone, and how long an honest client's request waits meanwhile.
//!
//! `cargo test --test real_disconnect -- --nocapture` prints it. docs/operation.md has what was measured.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::client::Client;
use support::daemon::Daemon;
use support::electrumx::{ElectrumX, Setup};
use support::python::Release;
use support::rpc::Rpc;

/// Far above what was measured, on a machine with other work to do.
const CALL_MAX: Duration = Duration::from_secs(20);

const PATIENCE: Duration = Duration::from_secs(30);

const BACKLOG: usize = 80;

/// From 1.20 on a server sends what it held back after a second, which is work for it.
const CALM: Duration = Duration::from_millis(1_500);

/// Beside the sessions the tests and the server open some files.
const FILES_SPARE: u64 = 200;

/// Held by the test that measures, so that no other of this file disturbs it.
static ALONE: Mutex<()> = Mutex::new(());

/// As a wallet begins: a name, the tip, an address.
const GREETING: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"server.version","params":["4.5.8","1.4"]}"#,
    "\n",
    r#"{"jsonrpc":"2.0","id":1,"method":"blockchain.headers.subscribe","params":[]}"#,
    "\n",
    r#"{"jsonrpc":"2.0","id":2,"method":"blockchain.scripthash.subscribe","params":["00000000000000000000000000000000000000000000000000000000000000aa"]}"#,
    "\n",
);

/// As many files as this process may open; a shell's usual 1,024 are too few.
fn allow_files(count: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < count) {
        let current = maximum.map_or(count, |maximum| maximum.min(count));
        let limit = Rlimit {
            current: Some(current),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).expect("more open files");
        assert!(
            current >= count,
            "`ulimit -Hn` allows {current} open files, and this needs {count}"
        );
    }
}

/// Sessions that have begun as wallets do.
fn crowd(server: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        // The server's listening socket takes a hundred that it has not accepted yet.
        let wave = BACKLOG.min(count - streams.len());
        streams.extend((0..wave).map(|_| greeted(server)));
        for stream in streams.iter_mut().rev().take(wave) {
            assert!(stream.read(&mut [0; 64]).expect("a reply") > 0);
        }
    }
    streams
}

fn greeted(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("connect");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("set a deadline");
    stream.write_all(GREETING.as_bytes()).expect("greet");
    stream
}

/// Waits until the server has closed all of them.
fn wait_for_ends(streams: &mut [TcpStream]) {
    for stream in streams {
        let mut heap = [0; 4_096];
        while stream.read(&mut heap).is_ok_and(|count| count > 0) {}
    }
}

/// An honest client that asks without pause, and how long it waited each time.
struct Asker {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<(Client, Vec<Duration>)>,
}

impl Asker {
    fn start(mut client: Client) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut waits = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                // A kilobyte and more of headers: smaller replies are held back from 1.20 on.
                let headers = client
                    .lines()
                    .exchange("blockchain.block.headers", "[0, 10]");
                headers.expect("an honest client is served");
                waits.push(asked.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            waits.sort_unstable();
            (client, waits)
        });
        Self { is_over, thread }
    }

    /// The client and the waits, the shortest first.
    fn stop(self) -> (Client, Vec<Duration>) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it was served")
    }
}

/// The IDs of all that are clients but the one with `port`.
fn others(rpc: &mut Rpc, port: u16) -> Vec<u64> {
    let ending = format!(":{port}");
    let mut rows = rpc.sessions();
    rows.retain(|row| {
        row[3] != "RPC" && !row[2].as_str().is_some_and(|peer| peer.ends_with(&ending))
    });
    rows.iter().filter_map(|row| row[0].as_u64()).collect()
}

fn disconnects(server: &ElectrumX, release: Release, count: usize) {
    let mut rpc = server.rpc();
    let honest = server.client("4.5.8");
    let mut streams = crowd(server.address(), count);
    let ids = others(&mut rpc, honest.port());
    assert_eq!(ids.len(), count);
    thread::sleep(CALM);
    let asker = Asker::start(honest);
    thread::sleep(Duration::from_secs(1));
    let (honest, usual) = asker.stop();

    let asker = Asker::start(honest);
    let called = Instant::now();
    let said = rpc.with_ids("disconnect", &ids);
    let call = called.elapsed();
    assert_eq!(said.len(), count);
    assert!(
        said.iter()
            .all(|line| line.starts_with("disconnecting session ")),
        "{said:?}"
    );
    wait_for_ends(&mut streams);
    let gone = called.elapsed();
    // Its own part of the work comes after the clients have heard.
    thread::sleep(CALM);
    let (_honest, waits) = asker.stop();
    let ms = |time: &Duration| format!("{:.1} ms", 1_000.0 * time.as_secs_f64());
    println!(
        "{}, {count} sessions: the call {}, gone after {}; an honest request waits {} at the longest, else {} (median {})",
        release.version(),
        ms(&call),
        ms(&gone),
        ms(waits.last().expect("waits")),
        ms(usual.last().expect("waits")),
        ms(&usual[usual.len() / 2]),
    );
    assert!(call < CALL_MAX && waits.last() < Some(&CALL_MAX));
}

fn a_disconnect_of_many_is_bearable(release: Release, counts: &[usize]) {
    if support::skipped() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    allow_files(3_000 + FILES_SPARE);
    let daemon = Daemon::start(20);
    let server = Setup::new(release, &[daemon.url()])
        .without_cost_limits()
        .env("MAX_SESSIONS", "4000")
        .start();
    for &count in counts {
        disconnects(&server, release, count);
    }
}

#[test]
fn a_disconnect_of_hundreds_is_bearable_on_1_16_0() {
    a_disconnect_of_many_is_bearable(Release::V1_16_0, &[100, 1_000]);
}

#[test]
fn a_disconnect_of_thousands_is_bearable_on_1_20_0() {
    a_disconnect_of_many_is_bearable(Release::V1_20_0, &[100, 1_000, 3_000]);
}
