//! How a command ends.

use std::io;
use std::process::ExitCode;

use crate::cli::screen;
use crate::journal::JournalError;

/// The exit codes, each with the meaning that `--help` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// What was asked for did not come about: `check` found errors, the server cannot be reached,
    /// there is no such decision.
    Failed = 1,
    /// The command line makes no sense. Clap uses this code as well.
    Usage = 2,
    /// The command did not start, and a person must change something first: configuration,
    /// policies, permissions, the journal's place. Starting it again changes nothing.
    Setup = 3,
    /// The command did not start, and the reason may pass without anybody's doing: a full disk, a
    /// journal that another process still has open. A service manager starts it again.
    Unready = 4,
}

impl Exit {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Setup,
        Self::Unready,
    ];

    /// What it means, in a line.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Ok => "all is well",
            Self::Failed => "what was asked for failed: errors found, no server, no such decision",
            Self::Usage => "the command line makes no sense",
            Self::Setup => "not started: a person must correct configuration, policies or journal",
            Self::Unready => "not started: the disk or another process is in the way, try again",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The codes for the end of `--help`.
pub(super) fn help() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {}  {}", exit as u8, exit.doc()));
    format!("Exit codes:\n{}", codes.join("\n"))
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// The output cannot be written.
    Output(io::Error),
    /// Anything else, with what to do about it.
    Told {
        /// The code to end with.
        exit: Exit,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl Failure {
    /// With what is wrong and what to do about it.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Told { exit, message }
    }

    /// Says it on standard error.
    pub(super) fn tell(self) -> Exit {
        match self {
            // Whoever reads the output has seen enough: `| head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Output(error) => {
                screen::error(&format!("the output cannot be written: {error}"));
                Exit::Failed
            }
            Self::Told { exit, message } => {
                screen::error(&message);
                exit
            }
        }
    }
}

/// Only output is written by bare `io` calls in the subcommands.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
