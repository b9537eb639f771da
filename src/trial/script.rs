//! What the server shows in a test, poll by poll, as the test says it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::release::Release;
use super::series::Series;
use crate::daemon::Address;
use crate::decision::Peer;
use crate::field::Dimension;
use crate::penalty::{Ban, BannedBy, Offender, SavedPenalties, Strike};
use crate::slots::Slots;
use crate::snapshot::Transport;
use crate::time::Timestamp;

/// Rows of all polls together; a test is no load test.
pub(super) const ROWS_MAX: usize = 5_000_000;

/// Everything that happens.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) interval: Duration,
    pub(super) polls: usize,
    pub(super) release: Release,
    /// Polls that fail, from 0.
    pub(super) missed: BTreeSet<usize>,
    /// Polls before which the server was started again.
    pub(super) restarts: BTreeSet<usize>,
    pub(super) server: Server,
    pub(super) sessions: Vec<Sessions>,
    pub(super) daemons: Vec<Daemon>,
    /// What the agent did before.
    pub(super) strikes: Vec<PriorStrikes>,
    pub(super) bans: Vec<PriorBan>,
    /// What comes of what policies do at a poll; where nothing is said, nobody hears of it.
    pub(super) acts: Option<Series<Act>>,
}

/// Strikes from before the first poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PriorStrikes {
    pub(super) net: IpNet,
    /// At the last of them.
    pub(super) level: f64,
    /// When that was, before the first poll.
    pub(super) ago: Duration,
}

/// A ban that is in force at the first poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PriorBan {
    pub(super) net: IpNet,
    pub(super) left: Duration,
}

impl Script {
    /// What was done before a test that begins at `begun`.
    pub(super) fn penalties(&self, begun: Timestamp) -> SavedPenalties {
        let offender = |prior: &PriorStrikes| {
            let strike = Strike {
                level: prior.level,
                at: begun - prior.ago,
            };
            Offender {
                net: prior.net,
                real: Some(strike),
                rehearsed: Some(strike),
                shared_at: None,
            }
        };
        let ban = |prior: &PriorBan| Ban {
            net: prior.net,
            holes: Vec::new(),
            begin: begun,
            end: begun + prior.left,
            by: BannedBy::Policy("test".into()),
            kept_out: 0,
        };
        SavedPenalties {
            offenders: self.strikes.iter().map(offender).collect(),
            bans: self.bans.iter().map(ban).collect(),
        }
    }
}

/// What `getinfo` tells.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) coin: Option<String>,
    /// How many slots it has; where nothing is said, as the configuration has it.
    pub(super) slots: Option<Slots>,
    /// At the first poll.
    pub(super) uptime: Duration,
    pub(super) daemon: Option<Series<Address>>,
    pub(super) daemon_height: Option<Series<f64>>,
    pub(super) db_height: Option<Series<f64>>,
    /// Instead of the sum over the sessions.
    pub(super) errors: Option<Series<f64>>,
    pub(super) latency_s: Option<Series<f64>>,
    pub(super) felt: Felt,
    /// All requests by method, those of sessions that no poll sees too.
    pub(super) methods: Vec<(Arc<str>, Series<f64>)>,
}

/// What the canary's visits feel, one a poll; without any of it there is no canary.
#[derive(Clone, Debug, Default)]
pub(super) struct Felt {
    /// A gap says that it is not served.
    pub(super) latency_s: Option<Series<f64>>,
    /// The index's height, if nobody says.
    pub(super) height: Option<Series<f64>>,
    pub(super) certificate_left_s: Option<Series<f64>>,
}

impl Felt {
    pub(super) fn series(&self) -> impl Iterator<Item = &Series<f64>> {
        let all = [&self.latency_s, &self.height, &self.certificate_left_s];
        all.into_iter().flatten()
    }
}

/// Sessions that all do the same.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    /// One a session.
    pub(super) peers: Vec<Peer>,
    pub(super) client: String,
    pub(super) protocol: String,
    pub(super) transport: Transport,
    pub(super) is_logged: bool,
    /// When it is seen first.
    pub(super) age: Option<Duration>,
    /// By [`Count`].
    pub(super) counts: [Option<Series<f64>>; Count::ALL.len()],
    /// Requests by method.
    pub(super) methods: Vec<(Arc<str>, Series<f64>)>,
}

impl Sessions {
    /// All series of it.
    pub(super) fn series(&self) -> impl Iterator<Item = &Series<f64>> {
        let methods = self.methods.iter().map(|(_, series)| series);
        self.counts.iter().flatten().chain(methods)
    }

    /// A gap in any of its series says that it is not.
    pub(super) fn is_connected(&self, poll: usize) -> bool {
        self.series().all(|series| series.at(poll).is_some())
    }

    /// Whether it came between the poll before and this one.
    pub(super) fn comes(&self, poll: usize) -> bool {
        let is_anew = || self.series().any(|series| series.is_anew(poll));
        self.is_connected(poll) && (poll == 0 || !self.is_connected(poll - 1) || is_anew())
    }
}

/// What is counted of a session, by the field that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Count {
    Requests,
    RecvSize,
    SentSize,
    TxsSent,
    Cost,
    ExtraCost,
    PendingRequests,
    Subs,
    Errors,
}

impl Count {
    pub(super) const ALL: [Self; 9] = [
        Self::Requests,
        Self::RecvSize,
        Self::SentSize,
        Self::TxsSent,
        Self::Cost,
        Self::ExtraCost,
        Self::PendingRequests,
        Self::Subs,
        Self::Errors,
    ];

    /// As a test writes it, which is as a policy does.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RecvSize => "recv_size",
            Self::SentSize => "sent_size",
            Self::TxsSent => "txs_sent",
            Self::Cost => "cost",
            Self::ExtraCost => "extra_cost",
            Self::PendingRequests => "pending_requests",
            Self::Subs => "subs",
            Self::Errors => "errors",
        }
    }

    pub(super) const fn dimension(self) -> Dimension {
        match self {
            Self::RecvSize | Self::SentSize => Dimension::Size,
            _ => Dimension::Count,
        }
    }

    /// Costs decay by fractions.
    pub(super) const fn has_fractions(self) -> bool {
        matches!(self, Self::Cost | Self::ExtraCost)
    }

    /// Whether it never falls while a session is connected.
    pub(super) const fn only_grows(self) -> bool {
        matches!(
            self,
            Self::Requests | Self::RecvSize | Self::SentSize | Self::TxsSent | Self::Errors
        )
    }

    /// Whether it begins at 0 with each session.
    pub(super) const fn begins_anew(self) -> bool {
        self.only_grows() || matches!(self, Self::Cost)
    }
}

/// What comes of what policies do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The server says that it is done.
    Done,
    /// The server refuses.
    Fail,
    /// The server is never asked: the connection is gone.
    Unsent,
}

impl Act {
    pub(super) const WORDS: [(&str, Self); 3] = [
        ("done", Self::Done),
        ("fail", Self::Fail),
        ("unsent", Self::Unsent),
    ];
}

/// One of the server's daemons.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    pub(super) address: Address,
    pub(super) height: Series<f64>,
    pub(super) state: Series<DaemonState>,
}

/// What a daemon is like, beside its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DaemonState {
    Healthy,
    Unreachable,
    Busy,
    WrongCredentials,
    WarmingUp,
    InitialDownload,
    OtherChain,
    Fork,
    Pruned,
    MissingIndex,
}

impl DaemonState {
    /// The words of `daemon_state`, with `-` for blanks. Whether it is behind, its height says.
    pub(super) const WORDS: [(&str, Self); 10] = [
        ("healthy", Self::Healthy),
        ("unreachable", Self::Unreachable),
        ("busy", Self::Busy),
        ("wrong-credentials", Self::WrongCredentials),
        ("warming-up", Self::WarmingUp),
        ("initial-download", Self::InitialDownload),
        ("other-chain", Self::OtherChain),
        ("fork", Self::Fork),
        ("pruned", Self::Pruned),
        ("missing-index", Self::MissingIndex),
    ];
}
