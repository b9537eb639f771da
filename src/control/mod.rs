//! The control socket: how a person changes what the running agent does. One JSON line each way over a Unix
//! socket; docs/control.md has every shape.
//!
//! Connections live in a task of their own, bounded in number, size and time. Nothing is decided here: requests
//! wait until the agent takes them, between two polls.

mod answer;
mod ask;
mod error;
mod request;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod user;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use answer::{
    Answer, BanRow, BannedAnswer, BansAnswer, BreakerAnswer, ClosedAnswer, LiftedAnswer,
    PardonedAnswer, SinkRow, StoppedRow,
};
pub use ask::{ask, ask_for};
pub use error::{AskError, ControlError};
pub use request::{BANS_DEFAULT, BANS_MAX, Network, Place, REASON_CHARS_MAX, Request};
pub use server::{Asked, Control};
pub use user::User;

/// The longest request, in bytes, its newline included.
pub const REQUEST_BYTES_MAX: usize = 4_096;

/// A client that has not sent its request by then, or not read its answer, is given up.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(5);

/// So many connections at a time; more wait until one of them ends.
pub const CONNECTIONS_MAX: usize = 8;

/// The agent answers between two polls. A poll that takes longer than this is not waited for.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Whoever may write it may ask: the agent's user and group.
const SOCKET_MODE: u32 = 0o660;

/// Where the socket is if nobody says: beside the journal.
pub fn beside(journal: &Path) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push(".sock");
    path.into()
}
