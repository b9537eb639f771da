//! The binary as a process, in a folder with a configuration and policies.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use electrumx_warden::journal::{Filter, Journal, Row};
use rustix::process::Signal;
use tempfile::TempDir;

/// Logs who is called `odd` for two seconds, once; disconnects who is called `evil`.
pub(crate) const POLICIES: &str = r#"
[[policy]]
name = "evil"
about = "x"
scope = "session"
when = { client = "=~ ^evil" }
action = "disconnect"
cooldown = "1h"

[[policy]]
name = "odd"
about = "x"
scope = "session"
when = { client = "=~ ^odd" }
action = { log = { for = "2s" } }
cooldown = "1h"
"#;

pub(crate) struct Folder(TempDir);

impl Folder {
    /// With a configuration in force for the server at `rpc`.
    pub(crate) fn new(rpc: SocketAddr) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut config = String::new();
        writeln!(config, "mode = \"enforce\"\n[server]\nrpc = \"{rpc}\"").unwrap();
        writeln!(
            config,
            "interval = \"1s\"\n[breaker]\nregulars_min = 1_000_000"
        )
        .unwrap();
        writeln!(
            config,
            "[limits]\nlog = {{ rate = \"1000/min\", burst = 1000 }}"
        )
        .unwrap();
        std::fs::write(folder.path("warden.toml"), config).unwrap();
        std::fs::create_dir(folder.path("policies")).unwrap();
        std::fs::write(folder.path("policies/p.toml"), POLICIES).unwrap();
        folder
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, more: &str) {
        let path = self.path("warden.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, config + more).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("electrumx-warden.sqlite")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(self.0.path(), args)
    }

    /// The agent.
    pub(crate) fn run(&self) -> Running {
        Running::start(&mut self.command(&["run", "--config", "warden.toml"]))
    }

    /// What the journal holds, oldest first.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let every = Filter {
            limit: u32::MAX,
            newest_first: false,
            ..Filter::default()
        };
        let journal = Journal::open_read_only(&self.journal()).unwrap();
        journal.query(&every).unwrap()
    }
}

/// The command in a folder, with nothing of the surroundings that changes what it prints.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_electrumx-warden"));
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("ELECTRUMX_WARDEN_LOG")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS");
    command
}

/// A process; killed when dropped.
#[derive(Clone)]
pub(crate) struct Running(Arc<Mutex<Child>>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::logging_to(command, Stdio::piped())
    }

    /// With standard error of the caller's choice, which [`Running::end`] shows only if it is a pipe.
    pub(crate) fn logging_to(command: &mut Command, stderr: Stdio) -> Self {
        command.stdout(Stdio::piped()).stderr(stderr);
        Self(Arc::new(Mutex::new(command.spawn().unwrap())))
    }

    /// The reader of its log leaves.
    pub(crate) fn close_stderr(&self) {
        drop(self.0.lock().unwrap().stderr.take());
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.lock().unwrap().id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.0.lock().unwrap().kill().unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.0.lock().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn try_wait(&self) -> Option<ExitStatus> {
        self.0.lock().unwrap().try_wait().unwrap()
    }

    /// How it ended and what it said on standard error, if it ends in time.
    pub(crate) async fn end(&self, within: Duration) -> (ExitStatus, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.try_wait() {
                let mut text = String::new();
                let pipe = self.0.lock().unwrap().stderr.take();
                if let Some(mut pipe) = pipe {
                    std::io::Read::read_to_string(&mut pipe, &mut text).unwrap();
                }
                return (status, text);
            }
            assert!(
                began.elapsed() < within,
                "it does not end within {within:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) == 1
            && let Ok(mut child) = self.0.lock()
        {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A command that ends by itself, while the server of the same thread answers it.
pub(crate) async fn output(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("it ends by itself");
    (code, text(output.stdout), text(output.stderr))
}
