//! A world on a TCP port: what connects to it finds a server's `LocalRPC`.
//!
//! All that happens to a connection is decided by the world; this only moves bytes and time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::Fault;
use super::rpc::Answer;
use super::session::SessionKey;
use super::world::World;

/// The server drops longer requests; this one drops the connection.
const REQUEST_BYTES_MAX: u64 = 1_000_000;
/// How often time passes by itself.
const BEAT: Duration = Duration::from_millis(10);

/// How a world's time goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Only when [`Server::advance`] says so.
    Manual,
    /// So many simulated seconds for each real one; 1 is real time.
    Times(f64),
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    fault: Mutex<Option<Fault>>,
    /// The world's time. Marked as changed whenever a connection may have been closed, too.
    time: watch::Sender<Duration>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> MutexGuard<'_, Option<Fault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, dt: Duration) {
        let now = {
            let mut world = self.world();
            world.advance(dt);
            world.now()
        };
        self.time.send_replace(now);
    }

    fn touch(&self) {
        let now = self.world().now();
        self.time.send_replace(now);
    }
}

/// A simulated server that listens on loopback until dropped or shut down.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start(world: World, pace: Pace) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let time = watch::Sender::new(world.now());
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            fault: Mutex::new(None),
            time,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        if let Pace::Times(times) = pace {
            tasks.spawn(beat(Arc::clone(&shared), times));
        }
        Ok(Self {
            shared,
            addr,
            tasks,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The world, locked. Nothing moves and nobody is answered while it is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// The world's time since its beginning.
    pub fn now(&self) -> Duration {
        self.world().now()
    }

    /// Lets the world's time pass, beside what its pace does.
    pub fn advance(&self, dt: Duration) {
        self.shared.advance(dt);
    }

    /// From now on every reply has this fault, or none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *self.shared.fault() = fault;
    }

    /// The server is started again: see [`World::restart`]. It listens on the same port.
    pub fn restart(&self) {
        self.world().restart();
        self.shared.touch();
    }

    /// Stops listening and breaks every connection.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Lets time pass as the real clock does, `times` as fast.
async fn beat(shared: Arc<Shared>, times: f64) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(BEAT).await;
        let now = Instant::now();
        shared.advance((now - last).mul_f64(times));
        last = now;
    }
}

/// Connections are tasks of this one, so that all end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, peer)) = accepted {
                    connections.spawn(serve(stream, peer, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let key = shared.world().open_rpc(peer);
    // A client that resets the connection is no news to anyone.
    let _ = answer_all(stream, key, &shared).await;
    // One that the server closed stays listed for a while.
    let mut world = shared.world();
    if world.is_open(key) {
        world.hang_up(key);
    }
}

async fn answer_all(mut stream: TcpStream, key: SessionKey, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut time = shared.time.subscribe();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut request = (&mut read).take(REQUEST_BYTES_MAX);
        // Between requests the server may close the connection; a reply under way is finished.
        tokio::select! {
            () = closed_by_server(&mut time, key, shared) => return Ok(()),
            read = request.read_until(b'\n', &mut line) => read?,
        };
        if line.pop() != Some(b'\n') {
            return Ok(());
        }
        let answer = shared.world().request(key, &line);
        hold(shared, answer.hold).await;
        let (bytes, close) = spoil(shared, &line, answer).await;
        write.write_all(&bytes).await?;
        // What was asked may have closed other connections.
        shared.touch();
        if close {
            return write.shutdown().await;
        }
    }
}

async fn closed_by_server(time: &mut watch::Receiver<Duration>, key: SessionKey, shared: &Shared) {
    while shared.world().is_open(key) {
        if time.changed().await.is_err() {
            return;
        }
    }
}

/// What is written in the end, and whether the connection is closed after it.
async fn spoil(shared: &Shared, line: &[u8], answer: Answer) -> (Vec<u8>, bool) {
    let fault = *shared.fault();
    let Some(fault) = fault else {
        return (answer.bytes, answer.close);
    };
    let mangled = fault.mangle(method(line).as_deref(), answer.bytes);
    tokio::time::sleep(mangled.wait).await;
    (mangled.bytes, mangled.close || answer.close)
}

/// Waits in simulated time.
async fn hold(shared: &Shared, duration: Duration) {
    if duration.is_zero() {
        return;
    }
    let due = shared.world().now() + duration;
    let mut time = shared.time.subscribe();
    // An error means that the server is gone, and this task with it.
    let _ = time.wait_for(|now| *now >= due).await;
}

fn method(line: &[u8]) -> Option<String> {
    let request: serde_json::Value = serde_json::from_slice(line).ok()?;
    request["method"].as_str().map(str::to_owned)
}
