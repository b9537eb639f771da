//! A child process that cannot outlive its test, however the test ends.
//!
//! A shell waits beside the program on a pipe that only the test holds: it passes on the signals that the test names
//! there, and when the test drops the value, panics, or is killed, the pipe closes and the shell kills the program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wait;

const KEEPER: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
( while read -r signal; do kill -s "$signal" $program; done <&3; kill -9 $program ) >/dev/null 2>&1 &
watcher=$!
wait $program
code=$?
kill $watcher 2>/dev/null
exit $code"#;

/// A running program whose output goes to a log file.
#[derive(Debug)]
pub(crate) struct Tied {
    keeper: Child,
    log: PathBuf,
}

impl Tied {
    /// Starts `program` with `args`; its output is appended to `log`. `set_up` may change environment and directory.
    pub(crate) fn start<I, S>(
        program: &Path,
        args: I,
        log: &Path,
        set_up: impl FnOnce(&mut Command),
    ) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("open the log");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(program)
            .args(args);
        command
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("clone the log"))
            .stderr(out);
        set_up(&mut command);
        let keeper = command.spawn().expect("start /bin/sh");
        Self {
            keeper,
            log: log.to_path_buf(),
        }
    }

    /// Whether the program has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.keeper
            .try_wait()
            .expect("ask after the child")
            .is_some()
    }

    /// Sends the program a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) {
        let pipe = self.keeper.stdin.as_mut().expect("not killed yet");
        writeln!(pipe, "{name}").expect("the program's keeper listens");
    }

    /// The code with which the program ends within `limit`; 128 and more if a signal ends it.
    pub(crate) fn code_within(&mut self, limit: Duration) -> i32 {
        wait::until("the program's end", limit, || {
            let status = self.keeper.try_wait().expect("ask after the child")?;
            Some(status.code().expect("the keeper exits"))
        })
    }

    /// Everything the program has printed, undecodable bytes replaced.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Kills the program, unless it has ended, and waits for its end.
    pub(crate) fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
