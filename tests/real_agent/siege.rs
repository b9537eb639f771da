//! A server under attack in a network namespace: honest clients, abusers at addresses of their own, and the agent.
//!
//! The agent enforces the policies that ship, most often ten times as fast.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::SECOND;
use super::support;
use super::support::abusers::{Abusers, Habit, Reached};
use super::support::client::Client;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::honest::Honest;
use super::support::netns::Netns;
use super::support::python::Release;
use super::support::wait;
use super::support::warden::Agent;

/// Sieges run beside each other, but for one that keeps the whole machine busy.
static MACHINE: RwLock<()> = RwLock::new(());

thread_local! {
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a siege that would disturb others.
pub(crate) fn alone(siege: impl FnOnce()) {
    let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    IS_ALONE.set(true);
    siege();
    IS_ALONE.set(false);
}

/// Where everybody is, the server included.
const EVERYWHERE: &str = "45.90.0.0/16";
const GATE: Ipv4Addr = Ipv4Addr::new(45, 90, 255, 1);
/// The last octet of every honest client's address, each in a /24 of its own.
const HONEST_HOST: u8 = 10;

const AGE: Duration = Duration::from_secs(20);

/// The honest client of a /24.
const fn honest_address(subnet: u8) -> Ipv4Addr {
    Ipv4Addr::new(45, 90, subnet, HONEST_HOST)
}

/// An abuser of a /24.
pub(crate) const fn abuser_address(subnet: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(45, 90, subnet, 100 + host)
}

/// The server, and who is honest.
#[derive(Debug)]
pub(crate) struct Siege {
    pub(crate) server: ElectrumX,
    pub(crate) honest: Honest,
    started: Instant,
    _daemon: Daemon,
}

/// Connects to the server at `port` from an address.
pub(crate) fn connect(port: u16, from: Ipv4Addr) -> io::Result<Client> {
    Client::silent_from((from, 0).into(), SocketAddr::from((GATE, port)))
}

impl Siege {
    /// Runs a test of a server with so many honest clients.
    pub(crate) fn of(release: Release, honest: u8, test: impl FnOnce(&mut Self) + Send) {
        Self::over(honest, test, |daemons| {
            Setup::new(release, daemons).without_cost_limits()
        });
    }

    /// The same of a server that throttles and cuts by its own reckoning, as it comes.
    pub(crate) fn with_cost_limits(
        release: Release,
        honest: u8,
        test: impl FnOnce(&mut Self) + Send,
    ) {
        Self::over(honest, test, |daemons| Setup::new(release, daemons));
    }

    /// The same of a server with these environment variables, too.
    pub(crate) fn with(
        release: Release,
        honest: u8,
        env: &[(&str, &str)],
        test: impl FnOnce(&mut Self) + Send,
    ) {
        Self::over(honest, test, |daemons| {
            let setup = Setup::new(release, daemons).without_cost_limits();
            env.iter()
                .fold(setup, |setup, (name, value)| setup.env(name, value))
        });
    }

    fn over(
        honest: u8,
        test: impl FnOnce(&mut Self) + Send,
        setup: impl FnOnce(&[String]) -> Setup + Send,
    ) {
        if support::skipped() {
            return;
        }
        let is_beside = !IS_ALONE.get();
        let _machine = is_beside.then(|| MACHINE.read().unwrap_or_else(PoisonError::into_inner));
        Netns::spanning(&[EVERYWHERE]).within(|| {
            let daemon = Daemon::start(5);
            daemon.set_tx_size(10_000);
            let server = setup(&[daemon.url()]).everywhere().start();
            let port = server.tcp_port();
            let honest = Honest::gather(honest, |n| {
                connect(port, honest_address(n)).expect("connect")
            });
            let mut siege = Self {
                server,
                honest,
                started: Instant::now(),
                _daemon: daemon,
            };
            test(&mut siege);
            let all = siege.honest.count();
            assert_eq!(siege.honest.served(), all, "an honest client was cut");
        });
    }

    /// Waits until whoever comes from now on is a stranger for twenty seconds and more. On a server that was just started a
    /// regular is who has been there for half of the time that it runs.
    pub(crate) fn age(&mut self) {
        while self.started.elapsed() < AGE {
            self.pass(SECOND);
        }
    }

    /// Waits until the server has none but the honest.
    pub(crate) fn wait_for_calm(&mut self) {
        let mut rpc = self.server.rpc();
        let all = self.honest.count();
        wait::until("the abusers to go", 20 * SECOND, || {
            let rows = rpc.sessions();
            let clients = rows.iter().filter(|row| row[3] != "RPC").count();
            (clients == all).then_some(())
        });
    }

    /// The agent, at work.
    pub(crate) fn agent(&self, policies: &Path) -> Agent {
        let mut agent = Agent::start(self.server.rpc_port(), policies);
        agent.wait_to_say("watching", 1);
        agent
    }

    /// Abusers with these addresses and habits, who come within a second or two.
    pub(crate) fn abusers(&self, who: impl IntoIterator<Item = (Ipv4Addr, Habit)>) -> Abusers {
        let port = self.server.tcp_port();
        let mut abusers = Abusers::default();
        for (from, habit) in who {
            abusers.add(habit, move || connect(port, from));
            thread::sleep(Duration::from_millis(4));
        }
        abusers
    }

    /// Lets time pass, while the honest are at work and must be served.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let all = self.honest.count();
        while Instant::now() < until {
            assert_eq!(self.honest.served(), all, "an honest client was cut");
            thread::sleep(SECOND / 4);
        }
    }
}

/// What the abusers reached in a span of time.
pub(crate) fn since(now: Reached, then: Reached) -> Reached {
    Reached {
        harm: now.harm - then.harm,
        cuts: now.cuts - then.cuts,
    }
}

/// The agent ends, having cut nobody honest and without its breaker having stopped a policy. Gives its disconnects.
pub(crate) fn disconnects(agent: &mut Agent) -> Vec<Value> {
    let mut decisions = acts(agent);
    decisions.retain(|decision| decision["action"] == "disconnect");
    decisions
}

/// The same, and its bans.
pub(crate) fn acts(agent: &mut Agent) -> Vec<Value> {
    assert_eq!(agent.terminate(5 * SECOND), 0);
    let log = agent.log();
    assert!(!log.contains("the breaker has stopped"), "{log}");
    let mut decisions = agent.journal();
    decisions.retain(|decision| decision["outcome"] == "executed");
    for decision in &decisions {
        for session in decision["sessions"].as_array().expect("sessions") {
            let peer = session["peer"].as_str().expect("a peer");
            let peer: SocketAddr = peer.parse().expect("an address and a port");
            let is_honest =
                matches!(peer.ip(), std::net::IpAddr::V4(ip) if ip.octets()[3] == HONEST_HOST);
            assert!(!is_honest, "{decision}");
        }
    }
    decisions
}
