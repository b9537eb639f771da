//! A running `ElectrumX` of a real release, with ports, database and log of its own.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::port::Port;
use super::process::Tied;
use super::python::Release;
use super::rpc::Rpc;
use super::wait;

/// Longest time from the start to serving clients.
const START: Duration = Duration::from_secs(30);

/// What a server is to be started with.
#[derive(Debug)]
pub(crate) struct Setup {
    release: Release,
    daemons: Vec<String>,
    env: Vec<(String, String)>,
    interfaces: &'static str,
    ssl: Option<u16>,
}

impl Setup {
    /// A server of `release` over the daemons with these URLs, in order of preference.
    pub(crate) fn new(release: Release, daemons: &[String]) -> Self {
        Self {
            release,
            daemons: daemons.to_vec(),
            env: Vec::new(),
            interfaces: "127.0.0.1",
            ssl: None,
        }
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes clients at every address, which only a network namespace should be given.
    #[must_use]
    pub(crate) fn everywhere(mut self) -> Self {
        self.interfaces = "";
        self
    }

    /// Takes clients over TLS too.
    #[must_use]
    pub(crate) fn ssl(mut self, port: u16) -> Self {
        self.ssl = Some(port);
        self
    }

    /// Switches the server's own throttling off, so that abusers are the agent's alone.
    #[must_use]
    pub(crate) fn without_cost_limits(self) -> Self {
        self.env("COST_SOFT_LIMIT", "0").env("COST_HARD_LIMIT", "0")
    }

    /// Starts the server and waits until it serves clients.
    pub(crate) fn start(self) -> ElectrumX {
        let mut server = self.start_unready();
        server.wait_until_serving();
        server
    }

    /// Starts the server and waits until its RPC answers; it may never catch up.
    pub(crate) fn start_unready(self) -> ElectrumX {
        let mut server = self.spawn_only();
        server.wait_for_rpc();
        server
    }

    /// Starts the server and waits for nothing.
    pub(crate) fn spawn_only(self) -> ElectrumX {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (rpc, tcp) = (Port::take(), Port::take());
        let process = self.spawn(&dir, &rpc, &tcp);
        ElectrumX {
            setup: self,
            process,
            rpc,
            tcp,
            dir,
        }
    }

    fn spawn(&self, dir: &TempDir, rpc: &Port, tcp: &Port) -> Tied {
        let environment = self.release.environment();
        std::fs::create_dir_all(database(dir)).expect("make the database folder");
        let variables = self.variables(dir, rpc, tcp);
        write_environment(&environment_path(dir), &variables);
        // 1.16.0 installs its script without the permission to run it.
        let (python, script) = (
            environment.join("bin/python"),
            environment.join("bin/electrumx_server"),
        );
        Tied::start(&python, [script], &log_path(dir), |command| {
            command.env_clear().envs(variables);
        })
    }

    fn variables(&self, dir: &TempDir, rpc: &Port, tcp: &Port) -> Vec<(String, String)> {
        let (rpc, tcp) = (rpc.number(), tcp.number());
        let (daemons, interfaces) = (self.daemons.join(","), self.interfaces);
        let database = database(dir).display().to_string();
        let ssl = self.ssl.map(|ssl| format!(",ssl://{interfaces}:{ssl}"));
        let ssl = ssl.unwrap_or_default();
        let services = format!("tcp://{interfaces}:{tcp},rpc://127.0.0.1:{rpc}{ssl}");
        let own = [
            ("PATH", "/usr/bin:/bin"),
            ("COIN", self.release.coin()),
            ("NET", "regtest"),
            ("DB_ENGINE", "leveldb"),
            ("DB_DIRECTORY", &database),
            ("DAEMON_URL", &daemons),
            ("SERVICES", &services),
            ("ALLOW_ROOT", "1"),
            ("PEER_DISCOVERY", ""),
            ("PEER_ANNOUNCE", ""),
            ("DAEMON_POLL_INTERVAL_BLOCKS", "250"),
            ("DAEMON_POLL_INTERVAL_MEMPOOL", "250"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.into_iter().chain(self.env.iter().cloned()).collect()
    }
}

fn database(dir: &TempDir) -> PathBuf {
    dir.path().join("db")
}

fn environment_path(dir: &TempDir) -> PathBuf {
    dir.path().join("electrumx.conf")
}

/// As systemd's `EnvironmentFile` has it; it bears passwords.
fn write_environment(path: &Path, variables: &[(String, String)]) {
    let lines = variables
        .iter()
        .map(|(name, value)| format!("{name}='{value}'\n"));
    std::fs::write(path, lines.collect::<String>()).expect("write the environment");
    let owner_only = Permissions::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).expect("keep the environment to oneself");
}

fn log_path(dir: &TempDir) -> PathBuf {
    dir.path().join("electrumx.log")
}

/// The server; killed when dropped.
#[derive(Debug)]
pub(crate) struct ElectrumX {
    setup: Setup,
    process: Tied,
    rpc: Port,
    tcp: Port,
    dir: TempDir,
}

impl ElectrumX {
    /// Where its `LocalRPC` listens, on 127.0.0.1.
    pub(crate) fn rpc_port(&self) -> u16 {
        self.rpc.number()
    }

    /// Where clients connect, over loopback.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tcp.number()))
    }

    pub(crate) fn tcp_port(&self) -> u16 {
        self.tcp.number()
    }

    /// The file with its environment.
    pub(crate) fn environment(&self) -> PathBuf {
        environment_path(&self.dir)
    }

    /// A new `LocalRPC` connection.
    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::connect(self.rpc_port()).expect("the LocalRPC takes connections")
    }

    /// A client that has introduced itself.
    pub(crate) fn client(&self, name: &str) -> Client {
        Client::named(self.address(), name).expect("the server takes clients")
    }

    /// Everything the server has logged, over restarts.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until getinfo's number at `key` is `value`.
    pub(crate) fn wait_for(&self, key: &str, value: u32) {
        let mut rpc = self.rpc();
        wait::until(
            &format!("`{key}` to be {value}"),
            Duration::from_secs(20),
            || (rpc.ask("getinfo")[key] == value).then_some(()),
        );
    }

    /// Whether the server's process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.ended()
    }

    /// Kills the server as `kill -9` does, which leaves its ports and database for `start_again`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the killed server again with the same ports and database.
    pub(crate) fn start_again(&mut self) {
        self.process.kill();
        self.process = self.setup.spawn(&self.dir, &self.rpc, &self.tcp);
        self.wait_for_rpc();
        self.wait_until_serving();
    }

    fn wait_for_rpc(&mut self) {
        wait::until("the LocalRPC", START, || {
            assert!(
                !self.process.ended(),
                "ElectrumX ended:\n{}",
                self.process.log()
            );
            Rpc::connect(self.rpc.number()).ok()
        });
    }

    pub(crate) fn wait_until_serving(&mut self) {
        wait::until("ElectrumX to serve clients", START, || {
            assert!(
                !self.process.ended(),
                "ElectrumX ended:\n{}",
                self.process.log()
            );
            Client::silent(self.address()).ok()
        });
    }
}
