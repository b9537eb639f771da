//! Runs `nft` without a shell or an environment, with a deadline and a limit to its output.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::NftablesError;

/// The most that `nft` may print on stderr.
const STDERR_MAX_BYTES: u64 = 1 << 20;

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// `None` to search for it.
    pub(super) path: Option<PathBuf>,
    pub(super) deadline: Duration,
}

impl Program {
    /// Runs it with `args` and `input`, and returns its stdout, at most `output_max` bytes.
    ///
    /// Dropping the future kills the program. By then the kernel has committed the whole transaction or nothing.
    pub(super) async fn run(
        &self,
        args: &[&str],
        input: &[u8],
        output_max: u64,
    ) -> Result<Vec<u8>, NftablesError> {
        let program = match &self.path {
            Some(path) => path.clone(),
            None => installed().ok_or(NftablesError::NotInstalled)?,
        };
        let spawned = Command::new(&program)
            .args(args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| NftablesError::Start { program, error })?;
        let talk = talk(&mut child, input, output_max);
        let ended = timeout(self.deadline, talk).await;
        let ended = ended.unwrap_or(Err(NftablesError::Deadline(self.deadline)));
        if ended.is_err() {
            // This also waits for it, so that no zombie is left.
            child.kill().await?;
        }
        ended
    }
}

async fn talk(child: &mut Child, input: &[u8], output_max: u64) -> Result<Vec<u8>, NftablesError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that fails early stops reading, and prints why.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let read_all = (read(stdout, output_max), read(stderr, STDERR_MAX_BYTES));
    let ((), stdout, stderr) = tokio::try_join!(write, read_all.0, read_all.1)?;
    if child.wait().await?.success() {
        Ok(stdout)
    } else {
        Err(NftablesError::from_words(&stderr))
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, max: u64) -> Result<Vec<u8>, NftablesError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(max + 1).read_to_end(&mut bytes).await?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= max) {
        Ok(bytes)
    } else {
        Err(NftablesError::Flood(max))
    }
}

/// The program in `PATH` or where packages install it, which a service's `PATH` often lacks.
fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    first_in(folders)
}

/// Relative folders are skipped: they depend on where the agent was started.
fn first_in(folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut programs = folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("nft"));
    programs.find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_in_an_absolute_folder_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name| {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let (empty, first, second) = (folder("empty"), folder("first"), folder("second"));
        // A folder of that name is no program.
        std::fs::create_dir(empty.join("nft")).unwrap();
        for folder in [&first, &second] {
            std::fs::write(folder.join("nft"), "").unwrap();
        }
        let folders = || ["src".into(), empty.clone(), first.clone(), second.clone()].into_iter();
        assert_eq!(first_in(folders()), Some(first.join("nft")));
        assert_eq!(first_in(folders().take(2)), None);
    }
}
