//! The program under test, started as its users start it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Tied;
use super::wait;

/// Where cargo put the program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_electrumx-warden");

/// A file of `tests/fixtures/policies`.
pub(crate) fn policies(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies");
    folder.join(name).with_extension("toml")
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The objects of this `type` among the lines of JSON.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .filter(|object: &Value| object["type"] == kind)
            .collect()
    }

    /// The only object of this `type`.
    pub(crate) fn one(&self, kind: &str) -> Value {
        let mut all = self.all(kind);
        assert_eq!(all.len(), 1, "one {kind} in {self:#?}");
        all.remove(0)
    }
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    let output = Command::new(PROGRAM)
        .args(args)
        .output()
        .expect("start the program");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Takes `samples` samples, a second apart, of the server whose RPC listens at `port`.
pub(crate) fn once(port: u16, policies: &Path, samples: u32, more: &[&str]) -> Ended {
    let (rpc, samples) = (format!("127.0.0.1:{port}"), samples.to_string());
    let policies = policies.to_str().expect("a path in UTF-8");
    let mut args = vec!["once", "--rpc", &rpc, "--policies", policies];
    args.extend([
        "--samples",
        &samples,
        "--interval",
        "1s",
        "--format",
        "json",
    ]);
    args.extend(more);
    run(&args)
}

/// `run` at work, with configuration and journal in a folder of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Tied,
    dir: TempDir,
    env: Vec<(String, String)>,
}

impl Agent {
    /// Polls the server whose RPC listens at `port` every second and enforces `policies`.
    pub(crate) fn start(port: u16, policies: &Path) -> Self {
        Self::start_with(port, policies, "", &[])
    }

    /// The same, with more tables in its configuration, and with environment variables.
    pub(crate) fn start_with(
        port: u16,
        policies: &Path,
        more: &str,
        env: &[(&str, String)],
    ) -> Self {
        Self::start_as(port, policies, "", more, env)
    }

    /// The same, with more keys of `[server]`.
    pub(crate) fn start_as(
        port: u16,
        policies: &Path,
        server: &str,
        more: &str,
        env: &[(&str, String)],
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "mode = \"enforce\"\n[server]\nrpc = \"127.0.0.1:{port}\"\ninterval = \"1s\"\n{server}\n\
             [policies]\npaths = ['{}']\n[journal]\npath = \"journal.sqlite\"\n{more}",
            policies.display()
        );
        fs::write(dir.path().join("warden.toml"), config).expect("write the configuration");
        let env: Vec<(String, String)> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let process = spawn(dir.path(), &env);
        Self { process, dir, env }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the killed agent again, with the same journal.
    pub(crate) fn start_again(&mut self) {
        self.process.kill();
        self.process = spawn(self.dir.path(), &self.env);
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Asks it to end by SIGTERM, and gives the code with which it does so within `limit`.
    pub(crate) fn terminate(&mut self, limit: Duration) -> i32 {
        self.process.signal("TERM");
        self.code_within(limit)
    }

    /// The code with which it ends by itself within `limit`.
    pub(crate) fn code_within(&mut self, limit: Duration) -> i32 {
        self.process.code_within(limit)
    }

    /// Waits until its log, over all starts, has `text`, `times` times.
    pub(crate) fn wait_to_say(&mut self, text: &str, times: usize) {
        wait::until(text, Duration::from_secs(20), || {
            let said = self.log().matches(text).count();
            assert!(
                said >= times || !self.process.ended(),
                "it ended, and never said `{text}`"
            );
            (said >= times).then_some(())
        });
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.ended()
    }

    /// Everything it has said, on standard output and standard error, over all starts.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The decisions in its journal, the oldest first; none before there is a journal.
    pub(crate) fn journal(&self) -> Vec<Value> {
        self.journal_as("json").all("decision")
    }

    /// What the `journal` command shows, in the wanted format.
    pub(crate) fn journal_as(&self, format: &str) -> Ended {
        let path = self.dir.path().join("journal.sqlite");
        let path = path.to_str().expect("a path in UTF-8");
        let shown = run(&[
            "journal", "--all", "--path", path, "--order", "oldest", "--limit", "10000",
            "--format", format,
        ]);
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
        shown
    }

    /// A file or folder of its own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All that it has written, by name: its files, and what the `journal` command makes of the journal.
    pub(crate) fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut written = self.files();
        for name in ["log", "journal.sqlite"] {
            assert!(written.iter().any(|(file, _)| file == name), "{name}");
        }
        for format in ["text", "json"] {
            let shown = self.journal_as(format).stdout;
            written.push((format!("journal as {format}"), shown.into_bytes()));
        }
        written
    }

    /// Every file that it has written or was given, by name; of a recording what is in it.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.dir.path()).expect("its folder").flatten();
        let mut paths = Vec::new();
        for entry in entries {
            match fs::read_dir(entry.path()) {
                Ok(segments) => paths.extend(segments.flatten().map(|segment| segment.path())),
                // Its control socket holds nothing.
                Err(_) if entry.path().is_file() => paths.push(entry.path()),
                Err(_) => {}
            }
        }
        paths
            .iter()
            .map(|path| (name_of(path), read(path)))
            .collect()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("read its file");
    if !name_of(path).ends_with(".rec.zst") {
        return bytes;
    }
    let mut text = Vec::new();
    let mut segment = zstd::Decoder::new(&bytes[..]).expect("a segment");
    // One that is being written has no end.
    _ = segment.read_to_end(&mut text);
    assert!(!text.is_empty(), "an empty segment");
    text
}

fn spawn(dir: &Path, env: &[(String, String)]) -> Tied {
    let args = ["run".into(), "--config".into(), dir.join("warden.toml")];
    Tied::start(Path::new(PROGRAM), args, &dir.join("log"), |command| {
        command.envs(env.iter().map(|(name, value)| (name, value)));
    })
}
