//! What the agent takes in memory.
//!
//! For each size a fresh process polls a server in this one over TCP, with the shipped policies and
//! the default bounds, and tells its peak. Time is the process's own: it waits for no window.

#![expect(dead_code, reason = "the crowd serves other benches too")]

mod crowd;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crowd::{Crowd, INTERVAL};
use electrumx_warden::agent::{Agent, AgentOptions, Cadence};
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::policy::PolicySet;
use electrumx_warden::poll::Clock;
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use serde_json::json;

/// Sessions, and the MiB that the agent may take with them.
const SIZES: [(usize, f64); 3] = [(1_000, 16.0), (10_000, f64::INFINITY), (100_000, 128.0)];
/// Longer than the longest window of the shipped policies.
const POLLS: usize = 40;

fn main() -> ExitCode {
    if let Ok(addr) = std::env::var("WARDEN_BENCH_SERVER") {
        return watch(addr);
    }
    println!("sessions | peak MiB | at most");
    let mut is_good = true;
    for (sessions, peak_max) in SIZES {
        let peak = peak_mib(sessions);
        let at_most = if peak_max.is_finite() {
            peak_max.to_string()
        } else {
            String::new()
        };
        println!("{sessions:>8} | {peak:>8.1} | {at_most:>7}");
        is_good &= peak < peak_max;
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        println!("the agent takes more memory than it may");
        ExitCode::FAILURE
    }
}

fn shipped() -> PolicySet {
    PolicySet::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")])
        .set
        .expect("the shipped policies are good")
}

/// The peak of an agent in a process of its own.
fn peak_mib(sessions: usize) -> f64 {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = server.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut crowd = Crowd::new(sessions, 1);
        // One after the other: before it costs the server too much, the agent connects anew.
        for stream in server.incoming().flatten() {
            // How a connection ends is the agent's affair.
            _ = serve(&stream, &mut crowd);
        }
    });
    let agent = Command::new(std::env::current_exe().expect("this program"))
        .env("WARDEN_BENCH_SERVER", addr)
        .output()
        .expect("this program starts");
    assert!(agent.status.success(), "{agent:?}");
    let text = String::from_utf8_lossy(&agent.stdout);
    text.trim().parse::<f64>().expect("a number of KiB") / 1_024.0
}

/// Answers until the agent hangs up. Time passes with each look at the sessions.
fn serve(stream: &TcpStream, crowd: &mut Crowd) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream);
    let (mut line, mut result) = (String::new(), Vec::new());
    while requests.read_line(&mut line)? > 0 {
        let request: serde_json::Value = serde_json::from_str(&line)?;
        line.clear();
        let mut reply = br#"{"jsonrpc":"2.0","result":"#.to_vec();
        match request["method"].as_str() {
            Some("getinfo") => crowd.write_getinfo(&mut result),
            Some("groups") => crowd.write_groups(&mut result),
            Some("sessions") => {
                crowd.write_sessions(&mut result);
                crowd.advance();
            }
            method => {
                reply = br#"{"jsonrpc":"2.0","error":"#.to_vec();
                let message = format!("unknown method {method:?}");
                result = serde_json::to_vec(&json!({ "code": -32601, "message": message }))?;
            }
        }
        reply.extend_from_slice(&result);
        writeln!(reply, ",\"id\":{}}}", request["id"])?;
        (&mut &*stream).write_all(&reply)?;
    }
    Ok(())
}

/// The time of the poll under way.
struct PollClock(Arc<AtomicU32>);

impl Clock for PollClock {
    fn now(&self) -> Timestamp {
        let polls = self.0.load(Ordering::Relaxed);
        Timestamp::from_millis(1_767_225_600_000) + INTERVAL * polls
    }
}

/// The agent, as `run` has it.
#[tokio::main(flavor = "current_thread")]
async fn watch(addr: String) -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&folder.path().join("journal.sqlite")).expect("a journal");
    let options = AgentOptions {
        cadence: Cadence::steady(INTERVAL),
        inspect_max: 20,
        retention: Retention::default(),
    };
    let warden = Warden::new(shipped(), Settings::default());
    let client = Client::new(ClientOptions::new(addr));
    let polls = Arc::new(AtomicU32::new(0));
    let clock = Box::new(PollClock(Arc::clone(&polls)));
    let mut agent = Agent::new(warden, client, journal, clock, options).expect("an agent");
    for _ in 0..POLLS {
        let tick = agent.tick().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        polls.fetch_add(1, Ordering::Relaxed);
    }
    println!("{}", peak_kib());
    ExitCode::SUCCESS
}

/// As Linux counts it.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    peak.trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number")
}
