//! The shipped policies for daemons, with shorter times, over two real bitcoind and a real `ElectrumX`.

#[path = "../support/mod.rs"]
mod support;

mod failback;
mod failover;
mod secrets;

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use support::bitcoind::Bitcoind;
use support::electrumx::{ElectrumX, Setup};
use support::python::Release;
use support::wait;
use support::warden::{Agent, policies};

const SECOND: Duration = Duration::from_secs(1);

/// Rounds of probes in which everything that is going to be done is done: more than a rise and a hold.
const A_WHILE: usize = 8;

/// So that a daemon says what it is asked.
const OPTIONS: [&str; 2] = ["-txindex=1", "-debug=rpc"];

/// How high the chain is when the server and the agent start.
const START: u32 = 10;

/// A server on the first of two daemons, which are peers, and an agent that enforces.
struct Site {
    agent: Agent,
    server: ElectrumX,
    primary: Bitcoind,
    secondary: Bitcoind,
    _policies: TempDir,
}

impl Site {
    fn start() -> Self {
        let [primary, secondary] = [0, 1].map(|_| Bitcoind::start_with(&OPTIONS));
        Self::over(primary, secondary, "", &[])
    }

    /// With more keys in `[server.daemon]`, and environment variables for the agent.
    fn over(primary: Bitcoind, secondary: Bitcoind, more: &str, env: &[(&str, String)]) -> Self {
        primary.join(&secondary);
        primary.mine(START);
        secondary.wait_for_height(START);
        let urls = [primary.url(), secondary.url()];
        let server = Setup::new(Release::V1_20_0, &urls).start();
        let shipped = shipped();
        let config = format!(
            "[server.daemon]\nurls = {{ electrumx = '{}' }}\ninterval = \"1s\"\npropagation = \"2s\"\nrise = 3\nfall = 2\n{more}",
            server.environment().display()
        );
        let mut agent = Agent::start_with(server.rpc_port(), shipped.path(), &config, env);
        agent.wait_to_say("watching", 1);
        let site = Self {
            agent,
            server,
            primary,
            secondary,
            _policies: shipped,
        };
        assert!(site.is_at(&site.primary));
        site
    }

    fn is_at(&self, daemon: &Bitcoind) -> bool {
        let info = self.server.rpc().ask("getinfo");
        info["daemon"] == format!("{}/", daemon.shown())
    }

    /// The server goes on by itself, for its daemon has ended.
    fn stop_primary(&mut self) {
        self.primary.stop();
        wait::until("the secondary", 30 * SECOND, || {
            self.is_at(&self.secondary).then_some(())
        });
    }

    /// Changes of daemon that the server was asked for, the oldest first.
    fn changes(&self) -> Vec<Value> {
        let mut changes = self.agent.journal();
        changes
            .retain(|change| change["action"] == "daemon_url" && change["outcome"] != "suppressed");
        changes
    }

    /// A change is confirmed when the server names the daemon, and again with the daemon's next block.
    fn confirmed(&mut self, times: usize) -> Value {
        self.agent.wait_to_say("getinfo names the daemon", times);
        self.secondary.mine(1);
        let height = self.secondary.height();
        let followed = format!("; followed to block {height}");
        let changes = wait::until(&followed, 20 * SECOND, || {
            let changes = self.changes();
            let detail = changes.last()?["detail"].as_str()?;
            detail.ends_with(&followed).then_some(changes)
        });
        assert_eq!(changes.len(), times, "{changes:#?}");
        let change = changes.into_iter().next_back().expect("a change");
        assert_eq!(change["outcome"], "executed", "{change}");
        let detail = change["detail"].as_str().expect("words");
        assert!(detail.contains("; named by getinfo after "), "{detail}");
        change
    }

    /// The server's index has all of the daemon's chain.
    fn assert_indexed(&self, daemon: &Bitcoind) {
        let height = daemon.height();
        self.server.wait_for("db height", height);
        let mut client = self.server.client("4.5.8");
        for height in START..=height {
            let hash = daemon.cli(&["getblockhash", &height.to_string()]);
            let header = daemon.cli(&["getblockheader", &hash, "false"]);
            assert_eq!(client.header(height), header, "of block {height}");
        }
    }
}

/// Waits until the agent has asked a daemon for its chain so many times more.
fn let_probe(daemon: &Bitcoind, rounds: usize) {
    let probes = || daemon.said("method=getblockchaininfo");
    let before = probes();
    wait::until("more probes", 60 * SECOND, || {
        (probes() >= before + rounds).then_some(())
    });
}

fn assert_brought_by(change: &Value, policy: &str, daemon: &Bitcoind) {
    let detail = change["detail"].as_str().expect("words");
    let words = format!("now using daemon at {}/; ", daemon.shown());
    assert_eq!(change["policy"], policy, "{change}");
    assert!(detail.starts_with(&words), "{change}");
}

/// A folder with the policies that ship, in a hurry, and with those that tell the primary's state.
fn shipped() -> TempDir {
    let mut text = include_str!("../../policies/daemons.toml").to_owned();
    for (slow, quick, times) in [
        ("for      = \"5m\"", "for      = \"2s\"", 2),
        ("for      = \"2m\"", "for      = \"2s\"", 1),
        ("for      = \"30m\"", "for      = \"2s\"", 1),
        ("cooldown = \"2m\"", "cooldown = \"1s\"", 1),
        ("cooldown = \"5m\"", "cooldown = \"1s\"", 1),
    ] {
        assert_eq!(text.matches(slow).count(), times, "`{slow}` ships");
        text = text.replace(slow, quick);
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("daemons.toml"), text).expect("write the policies");
    let states = dir.path().join("primary-states.toml");
    fs::copy(policies("primary-states"), states).expect("copy the policies");
    dir
}
