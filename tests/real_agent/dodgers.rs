//! Clients that mean never to be there when the agent looks.
//!
//! Scouts named `<` are cut at each poll that sees them, and so tell when it came. The others connect right after, and
//! leave before the next poll can come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::SECOND;
use super::siege::{Siege, abuser_address, connect, disconnects};
use super::support::client::Client;
use super::support::python::Release;
use super::support::shipped::shipped_with;
use super::support::warden::Agent;

const SCOUTS: u8 = 4;
const DODGERS: u8 = 6;

/// While something is up polls come once a second on average, and most of them much later than this after another.
const STAY: Duration = Duration::from_millis(400);

/// A poll in ten finds them there.
const UNSEEN_MAX: Duration = Duration::from_secs(180);

/// Of brief sessions one is enough, and who is back within 30 s is cut.
fn sooner(text: &str) -> String {
    let shipped = "brief_sessions = \"> 4\" }\nwindow   = \"2m\"";
    text.replace(shipped, "brief_sessions = \"> 0\" }\nwindow   = \"30s\"")
}

/// When the last poll came, as far as the scouts can tell.
#[derive(Debug, Default)]
struct Phase {
    polled: Mutex<Option<Instant>>,
    news: Condvar,
    is_over: AtomicBool,
    bytes: AtomicU64,
}

impl Phase {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Connects again and again, each time until it is cut.
    fn scout(&self, connect: impl Fn() -> io::Result<Client>) {
        while !self.is_over() {
            let Ok(mut scout) = connect() else { continue };
            if scout.introduce("\"<\"").is_ok() && !scout.closed_within(5 * SECOND) {
                continue;
            }
            *self.polled.lock().expect("no panic") = Some(Instant::now());
            self.news.notify_all();
            thread::sleep(SECOND / 5);
        }
    }

    /// The next poll after `known`, or nothing after a second.
    fn next(&self, known: Option<Instant>) -> Option<Instant> {
        let polled = self.polled.lock().expect("no panic");
        let is_old = |polled: &mut Option<Instant>| *polled <= known;
        let waited = self.news.wait_timeout_while(polled, SECOND, is_old);
        let polled = *waited.expect("no panic").0;
        polled.filter(|_| polled > known)
    }

    /// Draws for `STAY` after each poll.
    fn dodge(&self, connect: impl Fn() -> io::Result<Client>) {
        let mut known = None;
        while !self.is_over() {
            let Some(polled) = self.next(known) else {
                continue;
            };
            known = Some(polled);
            let Ok(mut client) = connect() else { continue };
            if client.introduce("\"4.5.8\"").is_err() {
                continue;
            }
            while polled.elapsed() < STAY {
                let bytes = client.draw(1) as u64;
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                if bytes == 0 {
                    break;
                }
            }
        }
    }
}

/// Whether the agent has cut a dodger because of the comings and goings that it saw. Scouts come and go as well.
fn has_cut_a_dodger(agent: &Agent) -> bool {
    let is_of_a_dodger = |session: &Value| {
        let peer = session["peer"].as_str().expect("a peer");
        let peer: SocketAddr = peer.parse().expect("an address and a port");
        (0..DODGERS).any(|n| peer.ip() == abuser_address(n, 0))
    };
    agent.journal().iter().any(|decision| {
        let mut sessions = decision["sessions"].as_array().expect("sessions").iter();
        decision["policy"] == "quick-reconnector"
            && decision["outcome"] == "executed"
            && sessions.any(is_of_a_dodger)
    })
}

#[test]
fn who_dodges_the_polls_is_seen_and_cut_all_the_same() {
    Siege::of(Release::V1_20_0, 40, |siege| {
        let policies = shipped_with(sooner);
        let mut agent = siege.agent(policies.path());
        let phase = Arc::new(Phase::default());
        let port = siege.server.tcp_port();
        for n in 0..SCOUTS {
            let phase = Arc::clone(&phase);
            thread::spawn(move || phase.scout(|| connect(port, abuser_address(100 + n, 0))));
        }
        for n in 0..DODGERS {
            let phase = Arc::clone(&phase);
            thread::spawn(move || phase.dodge(|| connect(port, abuser_address(n, 0))));
        }
        let begun = Instant::now();
        while !has_cut_a_dodger(&agent) {
            assert!(begun.elapsed() < UNSEEN_MAX, "never seen: {phase:?}");
            siege.pass(SECOND);
        }
        let (cut_after, drawn) = (begun.elapsed(), phase.bytes.load(Ordering::Relaxed));
        phase.is_over.store(true, Ordering::Relaxed);
        let acts = disconnects(&mut agent);
        let scouted = acts
            .iter()
            .filter(|act| act["policy"] == "hostile-name")
            .count();
        println!(
            "dodgers: {} MB until the first cut, after {cut_after:.0?}; {scouted} scouts cut",
            drawn / 1_000_000
        );
        assert!(
            scouted > 3 && drawn > 0,
            "they know the phase and draw: {acts:#?}"
        );
    });
}
