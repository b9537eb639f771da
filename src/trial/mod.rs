//! Policies on trial: tests that users write beside their policies, played by the production core.
//!
//! A test says what the server shows poll by poll, and which decisions are expected. Nothing here
//! acts, and time is the test's: the same file gives the same result on every day. How a result is
//! shown is the command line's business.

mod braces;
mod compare;
mod draft;
mod load;
pub(crate) mod node;
mod play;
mod read;
mod release;
mod script;
mod series;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::decision::{Peer, Target};
use crate::policy::{Mode, Policy, PolicySet};
use crate::warden::Settings;

pub use compare::{Comparison, Course, Row, Short, Unjudged, Why};
pub use draft::{DraftError, Drafted, Moment, POLLS_MAX, draft};
pub use load::{Loaded, load, policies};
pub use play::{Happened, play};
pub use read::{Beside, Checked, Disk, ENDING, check};
use script::Script;

/// A test, checked.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Unique in its file.
    pub name: String,
    /// The file.
    pub file: Arc<str>,
    /// Where it begins in the file, from 1.
    pub line: usize,
    /// The policies that are played.
    pub policies: PolicySet,
    /// The policies that it is about, as it says itself: it names them, or there is one alone.
    pub about: Vec<Arc<str>>,
    /// What must be decided: all of it, and nothing else.
    pub expected: Vec<Expected>,
    script: Script,
    settings: Settings,
    inspect_max: usize,
}

/// A decision that a test expects.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The target.
    pub target: Wanted,
    /// When, from the first poll on.
    pub at: Duration,
    /// What holds it back, as [`Suppression::word`](crate::decision::Suppression::word) has it; `None` if nothing does.
    pub held_back: Option<&'static str>,
    /// How many sessions are acted on, if that is asked.
    pub sessions: Option<usize>,
    /// Whose sessions are acted on, if that is asked: peers, addresses and networks, each of which
    /// has one, and nobody else.
    pub acts_on: Option<Vec<Wanted>>,
    /// Whom it bans, if that is asked: these networks, and no other.
    pub bans: Option<Vec<IpNet>>,
    /// For how long, if that is asked.
    pub ban_for: Option<Duration>,
}

/// A target as a test names it: sessions have no IDs there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// The server.
    Server,
    /// The session, or one of the sessions, of this peer.
    Session(Peer),
    /// An address or a subnet.
    Net(IpNet),
    /// A group or a client name.
    Text(Arc<str>),
}

impl Wanted {
    /// How a test names this target.
    pub fn of(target: &Target) -> Self {
        match target {
            Target::Server => Self::Server,
            Target::Session(session) => Self::Session(session.peer),
            Target::Address(net) | Target::Subnet(net) => Self::Net(*net),
            Target::Group(name) | Target::Client(name) => Self::Text(name.clone()),
        }
    }

    /// Whether a session of this peer is meant.
    fn has(&self, peer: Peer) -> bool {
        match self {
            Self::Session(wanted) => *wanted == peer,
            Self::Net(net) => peer.0.is_some_and(|peer| net.contains(&peer.ip())),
            Self::Server | Self::Text(_) => false,
        }
    }
}

/// Unescaped.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Session(peer) => peer.fmt(f),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Trial {
    /// Plays it, and compares what is decided with what is expected.
    pub fn run(&self) -> Comparison {
        compare::compare(self)
    }

    /// Whether it shows that a policy acts.
    pub fn fires(&self, policy: &str) -> bool {
        let mut acts = self.expected.iter().filter(|it| it.held_back.is_none());
        acts.any(|expected| *expected.policy == *policy)
    }

    /// Whether it is a test of when this policy does not act.
    pub fn spares(&self, policy: &str) -> bool {
        self.about.iter().any(|about| **about == *policy) && !self.fires(policy)
    }
}

/// What tests leave undone for a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untested {
    /// The policy's name.
    pub policy: Arc<str>,
    /// No test expects it to act.
    pub never_fires: bool,
    /// No test that names it expects it not to act.
    pub never_spares: bool,
}

/// Of these policies those that lack a test of either kind, in their order. That a policy does not
/// act where it cannot be judged counts for nothing, and one whose mode is `off` needs no test.
pub fn untested<'t>(
    policies: &[Policy],
    played: &(impl Iterator<Item = (&'t Trial, &'t Comparison)> + Clone),
) -> Vec<Untested> {
    let on = policies.iter().filter(|policy| policy.mode != Mode::Off);
    let lacks = |policy: &Policy| {
        let name = &policy.name;
        let mut trials = played.clone();
        let never_fires = !trials.any(|(trial, _)| trial.fires(name));
        let is_judged = |result: &Comparison| result.unjudged.iter().all(|(it, _)| it != name);
        let mut trials = played.clone();
        let never_spares = !trials.any(|(trial, result)| trial.spares(name) && is_judged(result));
        (never_fires || never_spares).then(|| Untested {
            policy: name.clone(),
            never_fires,
            never_spares,
        })
    };
    on.filter_map(lacks).collect()
}
