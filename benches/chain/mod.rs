//! A server, its two daemons and the core that watches them, poll by poll in virtual time: the
//! daemons have the blocks that somebody gives them, and answer unless they are not there.

pub(crate) mod recorded;

use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::daemon::{BlockHash, Chain, Failure, Index, Report, Round, Work};
use electrumx_warden::decision::{Decision, Epoch, Outcome};
use electrumx_warden::limits::Verdict;
use electrumx_warden::policy::{Action, Mode, PolicySet, Source, check};
use electrumx_warden::snapshot::{Server, Snapshot, Span};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use electrumx_warden::watch;

const ADDRESSES: [&str; 2] = ["10.0.0.1:8332", "10.0.0.2:8332"];

/// The end of a daemon's chain. Everything below it is the main chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) height: u64,
    /// It is the block of a fork, and another of this height wins.
    pub(crate) is_stale: bool,
}

impl Tip {
    pub(crate) const fn main(height: u64) -> Self {
        Self {
            height,
            is_stale: false,
        }
    }
}

/// Where the blocks come from.
pub(crate) trait Blocks {
    /// The tip of each daemon; `None` while it does not answer. Time does not go back.
    fn tips(&mut self, at: Timestamp) -> [Option<Tip>; 2];
}

/// A change of daemon that the agent made.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) policy: Arc<str>,
    pub(crate) to: usize,
    /// Blocks that the daemon left was behind.
    pub(crate) blocks: u64,
    /// When it had as many by itself, if that was seen.
    pub(crate) caught_up: Option<Timestamp>,
    height: u64,
}

/// An alert, or a decision of another action than a change of daemon.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) at: Timestamp,
    pub(crate) policy: Arc<str>,
    height: Option<u64>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Of a policy one at each height: a standstill that lasts is one.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) changes: Vec<Change>,
    /// Changes that the server made, whose connection failed.
    pub(crate) moves: Vec<Timestamp>,
    /// When each daemon was healthy and ceased to be.
    pub(crate) falls: [Vec<Timestamp>; 2],
}

impl Log {
    pub(crate) fn alerts_of(&self, policy: &str) -> usize {
        let alerts = self.alerts.iter();
        alerts.filter(|alert| *alert.policy == *policy).count()
    }

    pub(crate) fn changes_of(&self, policy: &str) -> usize {
        let changes = self.changes.iter();
        changes.filter(|change| *change.policy == *policy).count()
    }
}

pub(crate) struct World<B> {
    pub(crate) log: Log,
    blocks: B,
    warden: Warden,
    snapshot: Snapshot,
    in_use: usize,
    is_failing: bool,
    was_up: [Option<bool>; 2],
    /// What the prober heard last of each daemon.
    heights: [u64; 2],
}

impl<B: Blocks> World<B> {
    /// Enforcing, on the first daemon.
    pub(crate) fn new(
        blocks: B,
        coin: &str,
        policies: PolicySet,
        daemons: watch::Settings,
    ) -> Self {
        let settings = Settings {
            mode: Mode::Enforce,
            daemons: watch::Settings {
                addresses: ADDRESSES.map(Into::into).to_vec(),
                ..daemons
            },
            ..Settings::default()
        };
        Self {
            log: Log::default(),
            blocks,
            warden: Warden::new(policies, settings),
            snapshot: Snapshot {
                epoch: Epoch(1),
                server: Server {
                    version: Some("ElectrumX 1.20.0".into()),
                    coin: Some(coin.into()),
                    pid: Some(1),
                    ..Server::default()
                },
                ..Snapshot::default()
            },
            in_use: 0,
            is_failing: false,
            was_up: [None; 2],
            heights: [0; 2],
        }
    }

    /// A poll and a round of probes.
    pub(crate) fn poll(&mut self, at: Timestamp) {
        let tips = self.blocks.tips(at);
        for (height, tip) in self.heights.iter_mut().zip(tips) {
            *height = tip.map_or(*height, |tip| tip.height);
        }
        self.serve(at, tips);
        let read = Span {
            asked: at,
            answered: at,
        };
        (self.snapshot.server_read, self.snapshot.sessions_read) = (read, read);
        self.snapshot.rounds = vec![round(at, tips, self.heights)];
        self.warden.observe(&self.snapshot);
        let judgement = self.warden.judge(&self.snapshot);
        for ruling in judgement.rulings {
            if let Verdict::Permitted { .. } = ruling.verdict {
                self.carry_out(&ruling.decision, at);
            }
        }
        self.look_back(at);
    }

    /// The server moves on when its daemon fails it for some seconds, and never for another reason.
    fn serve(&mut self, at: Timestamp, tips: [Option<Tip>; 2]) {
        if self.is_failing && tips[self.in_use].is_none() && tips[1 - self.in_use].is_some() {
            self.in_use = 1 - self.in_use;
            self.log.moves.push(at);
        }
        self.is_failing = tips[self.in_use].is_none();
        let server = &mut self.snapshot.server;
        let daemon = ADDRESSES[self.in_use];
        if server.daemon.as_deref() != Some(daemon) {
            server.daemon = Some(daemon.into());
        }
        if let Some(tip) = tips[self.in_use] {
            server.daemon_height = Some(tip.height);
            server.db_height = server.db_height.max(Some(tip.height));
        }
    }

    fn carry_out(&mut self, decision: &Decision, at: Timestamp) {
        let policy = decision.policy.clone();
        if let Action::DaemonUrl { .. } = decision.action {
            let to = &decision.daemons[0];
            let to = usize::from(**to == *ADDRESSES[1]);
            let [height, left] = [to, 1 - to].map(|daemon| self.heights[daemon]);
            self.log.changes.push(Change {
                at,
                policy,
                to,
                blocks: height.saturating_sub(left),
                caught_up: None,
                height,
            });
            self.in_use = to;
            let detail = format!("daemon set to {}", ADDRESSES[to]);
            let outcome = Outcome::Executed { detail };
            self.warden.settle(decision, &outcome, 0, at);
        } else {
            let height = self.snapshot.server.daemon_height;
            let alerts = &mut self.log.alerts;
            let last = alerts.iter().rev().find(|alert| alert.policy == policy);
            if last.is_none_or(|last| last.height != height) {
                alerts.push(Alert { at, policy, height });
            }
        }
    }

    fn look_back(&mut self, at: Timestamp) {
        for change in &mut self.log.changes {
            if change.caught_up.is_none() && self.heights[1 - change.to] >= change.height {
                change.caught_up = Some(at);
            }
        }
        let daemons = self.warden.daemons().daemons().iter().enumerate();
        for (index, daemon) in daemons {
            let up = daemon.health.up();
            if self.was_up[index] == Some(true) && up == Some(false) {
                self.log.falls[index].push(at);
            }
            self.was_up[index] = up;
        }
    }
}

fn round(at: Timestamp, tips: [Option<Tip>; 2], heights: [u64; 2]) -> Round {
    let chain = |tip: Tip| Chain {
        name: "main".into(),
        height: tip.height,
        headers: tip.height,
        tip: hash(tip),
        work: Work::from_bytes(bytes(tip.height)),
        is_initial_download: false,
        is_pruned: false,
        hashes: (Round::heights(heights, tip.height).into_iter())
            .map(|height| (height, hash(Tip::main(height))))
            .collect(),
        indexes: Some(vec![Index {
            name: "txindex".into(),
            is_synced: true,
        }]),
    };
    let reports = tips.map(|tip| Report {
        heard: tip.map(chain).ok_or_else(|| Failure::Unreachable {
            detail: "connection refused".into(),
        }),
        took: Duration::from_millis(1),
    });
    Round {
        at,
        reports: reports.into(),
    }
}

fn hash(tip: Tip) -> BlockHash {
    let mut bytes = bytes(tip.height);
    bytes[0] = u8::from(tip.is_stale);
    BlockHash::from_bytes(bytes)
}

fn bytes(height: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&height.to_be_bytes());
    bytes
}

/// The built-in policies on heights and daemons, and others.
pub(crate) fn policies(others: &str) -> PolicySet {
    let texts = [
        include_str!("../../policies/heights.toml"),
        include_str!("../../policies/daemons.toml"),
        others,
    ];
    let sources = texts.iter().zip(["heights", "daemons", "others"]);
    let sources = sources.map(|(text, name)| Source {
        name: format!("{name}.toml"),
        text: (*text).to_owned(),
    });
    check(sources.collect(), &mut |_| unreachable!("none has a list"))
        .set
        .unwrap()
}
