//! The other end: asks a running agent, and waits for the answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::user::name_of;
use super::{ANSWER_DEADLINE, Answer, AskError, CLIENT_DEADLINE, Request, User};

/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Longer than the agent takes at the most.
const PATIENCE: Duration = ANSWER_DEADLINE.saturating_add(CLIENT_DEADLINE);

/// Asks the agent that listens at `path`. Blocks.
pub fn ask(path: &Path, request: &Request) -> Result<serde_json::Value, AskError> {
    let no_answer = |why: String| AskError::NoAnswer {
        path: path.to_owned(),
        why,
    };
    let mut stream = UnixStream::connect(path).map_err(|error| unreachable(path, &error))?;
    let mut line = serde_json::to_vec(request).map_err(|error| no_answer(error.to_string()))?;
    line.push(b'\n');
    let mut answer = Vec::new();
    let talked = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(CLIENT_DEADLINE)))
        .and_then(|()| stream.write_all(&line))
        .and_then(|()| {
            // A line and no further: an agent that reads no more of us resets what comes behind it.
            BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut answer)
        });
    talked.map_err(|error| no_answer(error.to_string()))?;
    if answer.is_empty() {
        return Err(no_answer("it closed the connection".to_owned()));
    }
    match serde_json::from_slice(&answer) {
        Ok(Answer::Ok(value)) => Ok(value),
        Ok(Answer::Error(why)) => Err(AskError::Refused(why)),
        Err(error) => Err(no_answer(error.to_string())),
    }
}

/// The same, of an answer of a known shape.
pub fn ask_for<T: DeserializeOwned>(path: &Path, request: &Request) -> Result<T, AskError> {
    let value = ask(path, request)?;
    serde_json::from_value(value).map_err(|error| AskError::NoAnswer {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

fn unreachable(path: &Path, error: &io::Error) -> AskError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::Nobody(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::Denied {
            path: path.to_owned(),
            owner: owner(path).unwrap_or_default(),
        },
        _ => AskError::NoAnswer {
            path: path.to_owned(),
            why: error.to_string(),
        },
    }
}

/// Whose the socket is, as far as this user can see it.
fn owner(path: &Path) -> Option<String> {
    let found = path.symlink_metadata().ok()?;
    let group = name_of("/etc/group", found.gid());
    let group = group.unwrap_or_else(|| found.gid().to_string());
    let mode = found.mode() & 0o777;
    Some(format!(
        " ({}, group {group}, mode {mode:03o})",
        User::of(found.uid())
    ))
}
