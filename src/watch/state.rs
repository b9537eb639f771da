//! What a daemon is like, by its last probe and in comparison with the others.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::daemon::Failure;

/// The states that are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It gives no answer.
    Unreachable {
        /// What happened.
        detail: String,
    },
    /// It is there, but has no time.
    Busy {
        /// What happened.
        detail: String,
    },
    /// It refuses user, password or address.
    #[serde(rename = "wrong credentials")]
    WrongCredentials,
    /// It is starting.
    #[serde(rename = "warming up")]
    WarmingUp {
        /// What it says.
        detail: String,
    },
    /// It catches up for the first time.
    #[serde(rename = "initial download")]
    InitialDownload {
        /// Blocks that it has the headers of, and not yet the rest.
        blocks_left: u64,
    },
    /// No reorganisation leads from its chain to the others'.
    #[serde(rename = "other chain")]
    OtherChain,
    /// It is on a fork that has less work than another daemon's chain.
    Fork,
    /// It is on the best chain, but further back than it may be.
    Behind {
        /// How far.
        blocks: u64,
    },
    /// It has not the blocks that the server may want.
    Pruned,
    /// An index that the server needs is not there, or not complete.
    #[serde(rename = "missing index")]
    MissingIndex {
        /// Which.
        index: Box<str>,
    },
    /// None of these.
    Healthy,
}

impl State {
    /// In a word or two, as policies test it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Busy { .. } => "busy",
            Self::WrongCredentials => "wrong credentials",
            Self::WarmingUp { .. } => "warming up",
            Self::InitialDownload { .. } => "initial download",
            Self::OtherChain => "other chain",
            Self::Fork => "fork",
            Self::Behind { .. } => "behind",
            Self::Pruned => "pruned",
            Self::MissingIndex { .. } => "missing index",
            Self::Healthy => "healthy",
        }
    }
}

impl State {
    /// What the daemon, or the line to it, said; unescaped.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Unreachable { detail } | Self::Busy { detail } | Self::WarmingUp { detail } => {
                Some(detail)
            }
            _ => None,
        }
    }

    /// As it prints, without the detail.
    pub fn short(&self) -> String {
        match self.detail() {
            Some(_) => self.name().to_owned(),
            None => self.to_string(),
        }
    }
}

impl From<&Failure> for State {
    fn from(failure: &Failure) -> Self {
        match failure.clone() {
            Failure::Unreachable { detail } => Self::Unreachable { detail },
            Failure::Busy { detail } => Self::Busy { detail },
            Failure::WrongCredentials => Self::WrongCredentials,
            Failure::WarmingUp { detail } => Self::WarmingUp { detail },
        }
    }
}

/// With what is known of it; the daemon's own words are unescaped.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        if let Some(detail) = self.detail() {
            return write!(f, "{name}: {detail}");
        }
        match self {
            // Its tip is more than a day old, and it has no newer header.
            Self::InitialDownload { blocks_left: 0 } => write!(f, "{name}, no recent block"),
            Self::InitialDownload { blocks_left } => {
                write!(f, "{name}, {} left", blocks(*blocks_left))
            }
            Self::Behind { blocks: by } => write!(f, "{name} by {}", blocks(*by)),
            Self::MissingIndex { index } => write!(f, "{name}: {index}"),
            _ => f.write_str(name),
        }
    }
}

fn blocks(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} block{plural}")
}
