//! Runs the program without a shell, with a deadline and a limit to its output.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::escape;
use crate::redact::redact;

/// A program has so long to print its last words after it has ended: a process that it left behind may keep
/// the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// So many of the last bytes on stderr are kept.
const STDERR_KEPT_BYTES: usize = 2_048;

/// The longest error message of a program that is shown, in columns.
const WORDS_MAX: usize = 300;

/// Where programs are searched if the agent itself has no `PATH`.
const PATH_DEFAULT: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("cannot run `{}`: {error}; correct `command` in `[ban]`, or make the program executable", program.display())]
    Start {
        program: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("`{}` did not end within {} s and was killed", program.display(), deadline.as_secs_f64())]
    Deadline {
        program: PathBuf,
        deadline: Duration,
    },
    #[error("`{}` failed ({status}): {words}", program.display())]
    Failed {
        program: PathBuf,
        status: ExitStatus,
        words: String,
    },
}

/// Runs `program` with `args` to its end.
///
/// It is in a process group of its own, which is killed at the deadline; dropping the future kills the program.
pub(super) async fn run(
    program: &Path,
    args: &[String],
    deadline: Duration,
) -> Result<(), ProgramError> {
    let program = || program.to_owned();
    let spawned = Command::new(program())
        .args(args)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or(PATH_DEFAULT.into()))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let start = |error| ProgramError::Start {
        program: program(),
        error,
    };
    let mut child = spawned.map_err(start)?;
    let Ok(ended) = timeout(deadline, end(&mut child)).await else {
        kill(&mut child).await;
        return Err(ProgramError::Deadline {
            program: program(),
            deadline,
        });
    };
    let (status, stderr) = ended.map_err(start)?;
    if status.success() {
        return Ok(());
    }
    Err(ProgramError::Failed {
        program: program(),
        status,
        words: words(&stderr),
    })
}

/// Kills it with its children, and waits for it, so that no zombie is left.
async fn kill(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = pid.and_then(Pid::from_raw) {
        // It was not waited for yet, so the number is still its own.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill().await;
}

/// Waits for its end, and returns the last of what it printed on stderr.
async fn end(child: &mut Child) -> io::Result<(ExitStatus, Vec<u8>)> {
    let Some(mut stderr) = child.stderr.take() else {
        return Ok((child.wait().await?, Vec::new()));
    };
    let mut kept = Vec::new();
    let status = tokio::select! {
        status = child.wait() => status?,
        never = read_on(&mut stderr, &mut kept) => match never {},
    };
    if !status.success() {
        let _ = timeout(LAST_WORDS, read_to_end(&mut stderr, &mut kept)).await;
    }
    Ok((status, kept))
}

/// Reads as long as it is polled, also after the end.
async fn read_on(
    pipe: &mut (impl AsyncRead + Unpin),
    kept: &mut Vec<u8>,
) -> std::convert::Infallible {
    read_to_end(pipe, kept).await;
    std::future::pending().await
}

/// Reads to the end or an error, and keeps the last bytes.
async fn read_to_end(pipe: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(STDERR_KEPT_BYTES);
        kept.drain(..excess);
    }
}

/// What it printed, in one line, escaped and cut.
fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(redact).collect();
    match lines.join("; ") {
        silent if silent.is_empty() => "it printed no reason on stderr".to_owned(),
        words => escape::terminal(&words, WORDS_MAX).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn sh(script: &str, deadline: Duration) -> Result<(), String> {
        let args = ["-c".to_owned(), script.to_owned()];
        let ran = run(Path::new("/bin/sh"), &args, deadline).await;
        ran.map_err(|error| error.to_string())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn its_last_words_are_the_error() {
        let failed = sh(
            "echo on stdout; printf 'no set\\n\\033[1mgo\\n' >&2; exit 3",
            LONG,
        )
        .await;
        insta::assert_snapshot!(failed.unwrap_err(), @r"`/bin/sh` failed (exit status: 3): no set; \u{1b}[1mgo");
        let silent = sh("exit 1", LONG).await;
        insta::assert_snapshot!(silent.unwrap_err(), @"`/bin/sh` failed (exit status: 1): it printed no reason on stderr");
        let none = run(Path::new("/none/ban"), &[], LONG).await;
        insta::assert_snapshot!(none.unwrap_err(), @"cannot run `/none/ban`: No such file or directory (os error 2); correct `command` in `[ban]`, or make the program executable");
    }

    #[tokio::test]
    async fn its_environment_is_the_path_alone() {
        let script =
            "test -n \"$PATH\" && test -z \"$HOME$CARGO$USER\" && test $(pwd) = / && ! read x";
        assert_eq!(sh(script, LONG).await, Ok(()));
    }

    #[tokio::test]
    async fn endless_output_is_cut_and_the_deadline_kills_children_too() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 1000 & echo $! $$ > {}; yes >&2", pids.display());
        let late = sh(&script, Duration::from_millis(500)).await;
        insta::assert_snapshot!(late.unwrap_err(), @"`/bin/sh` did not end within 0.5 s and was killed");
        let pids = std::fs::read_to_string(pids).unwrap();
        let [sleep, shell] = pids.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{pids}");
        };
        let state = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(") ")
                .map(|(_, rest)| rest.chars().next().unwrap())
        };
        assert_eq!(state(shell), None, "a zombie is left");
        // Whoever adopts the child reaps it in its own time.
        let since = Instant::now();
        while !matches!(state(sleep), None | Some('Z')) {
            assert!(since.elapsed() < LONG, "the child lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_process_left_behind_delays_nothing() {
        let began = Instant::now();
        let failed = sh("sleep 20 & echo gone >&2; exit 1", LONG).await;
        assert!(failed.unwrap_err().ends_with("gone"));
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}
