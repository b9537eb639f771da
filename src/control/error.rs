//! Why there is no socket, and why nobody answers.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the agent has no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Another agent has it.
    #[error("another agent listens at `{}`: give each agent a `path` of its own in `[control]`", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("`{}` is there, and no socket: set another `path` in `[control]`", .0.display())]
    NotASocket(PathBuf),
    /// The system's limit.
    #[error("`{}` is longer than the 107 bytes that a socket's path may have: set a shorter `path` in `[control]`", .0.display())]
    TooLong(PathBuf),
    /// Anything else.
    #[error("`{}` cannot be made ({error}): the agent's user must be able to write its folder", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why an agent did not answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("nobody listens at the control socket `{}`", .0.display())]
    Nobody(PathBuf),
    /// Not for this user.
    #[error("no right to the control socket `{}`{owner}: run this as that user, as a member of that group, or as root", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
        /// ` (user warden, group admin, mode 660)`, if it can be seen.
        owner: String,
    },
    /// It ended, or it is something else.
    #[error("what listens at `{}` does not answer as an agent of this version does ({why}): restart the agent", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What it did instead.
        why: String,
    },
    /// The agent says so.
    #[error("{0}")]
    Refused(String),
}
