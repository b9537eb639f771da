//! A server, its two daemons and the core that watches them, in virtual time: blocks come at random,
//! daemons fail as a script says, and the server moves on by itself as `ElectrumX` does.

use std::time::Duration;

use crate::daemon::tests::node::{Node, PRIMARY, Probes, SECONDARY};
use crate::daemon::{Change, Confirmation, Failure, Round, Settings as DaemonSettings};
use crate::decision::{Decision, Epoch};
use crate::limits::Verdict;
use crate::policy::{Action, Mode, PolicySet, shipped};
use crate::snapshot::{Server, Snapshot, Span};
use crate::time::Timestamp;
use crate::warden::{Judgement, Settings, Warden};

/// From one poll to the next; daemons are probed as often.
pub(super) const STEP: Duration = Duration::from_secs(10);

const START: u64 = 800_000;

/// What is wrong with a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Down,
    WrongCredentials,
    WarmingUp,
    Busy,
    /// It catches up, and is so many blocks behind when that begins; ten a step.
    Syncing(u64),
    /// It has lost its peers.
    Stuck,
    /// It is on a fork that finds half as many blocks.
    Fork,
    /// It is on a chain of its own, with more work.
    OtherChain,
    NoIndex,
    Pruned,
}

#[derive(Debug)]
struct Daemon {
    fault: Fault,
    /// The tip when that began, and how many steps it has lasted.
    tip: u64,
    steps: u64,
}

impl Daemon {
    fn node(&self, tip: u64) -> Node {
        let failing = |failure| Node {
            failure: Some(failure),
            ..Node::at(tip)
        };
        let detail = || "x".to_owned();
        match self.fault {
            Fault::None => Node::at(tip),
            Fault::Down => failing(Failure::Unreachable { detail: detail() }),
            Fault::WrongCredentials => failing(Failure::WrongCredentials),
            Fault::WarmingUp => failing(Failure::WarmingUp { detail: detail() }),
            Fault::Busy => failing(Failure::Busy { detail: detail() }),
            Fault::Syncing(behind) => {
                let left = behind.saturating_sub(10 * self.steps);
                Node {
                    is_initial_download: left > 0,
                    ..Node::at(tip - left)
                }
            }
            Fault::Stuck => Node::at(self.tip),
            Fault::Fork => Node::forked(self.tip + (tip - self.tip) / 2, self.tip - 2, 1),
            Fault::OtherChain => Node::forked(tip + 50, self.tip - 500, 2),
            Fault::NoIndex => Node {
                indexes: vec![],
                ..Node::at(tip)
            },
            Fault::Pruned => Node {
                is_pruned: true,
                ..Node::at(tip)
            },
        }
    }
}

/// The server as far as its daemons go.
#[derive(Debug)]
struct ElectrumX {
    /// Daemons in the order of its list, and which it is at.
    list: Vec<usize>,
    at: usize,
    is_failing: bool,
    daemon_height: u64,
    db_height: u64,
}

impl ElectrumX {
    fn current(&self) -> usize {
        self.list[self.at]
    }

    /// It moves on when a request fails for some seconds, and never for another reason.
    fn step(&mut self, nodes: &[Node; 2]) {
        if self.is_failing && nodes[self.current()].failure.is_some() {
            self.at = (self.at + 1) % self.list.len();
        }
        let node = &nodes[self.current()];
        self.is_failing = node.failure.is_some();
        if node.failure.is_none() {
            self.daemon_height = node.height;
            let is_other = node.branches.iter().any(|&(_, branch)| branch == 2);
            if !is_other {
                self.db_height = self.db_height.max(node.height);
            }
        }
    }
}

/// A change of daemon that was carried out.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) at: Timestamp,
    pub(super) policy: String,
    pub(super) to: &'static str,
    /// What speaks against it, knowing all.
    pub(super) objection: Option<String>,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) tip: u64,
    next_block: Timestamp,
    block_time: Duration,
    rng: fastrand::Rng,
    daemons: [Daemon; 2],
    server: ElectrumX,
    probes: Probes,
    rounds: Vec<Round>,
    settings: Settings,
    pub(super) warden: Warden,
    pub(super) is_rpc_down: bool,
    pub(super) acts: Vec<Act>,
    pub(super) news: Vec<Confirmation>,
    pub(super) alerts: Vec<String>,
    /// What was held back, in words.
    pub(super) held_back: Vec<String>,
}

impl World {
    /// Enforcing, on the primary, with the policies that ship.
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    pub(super) fn with(seed: u64, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            mode: Mode::Enforce,
            daemons: DaemonSettings {
                addresses: [PRIMARY, SECONDARY].map(Into::into).to_vec(),
                ..DaemonSettings::default()
            },
            ..Settings::default()
        };
        change(&mut settings);
        let now = Timestamp::from_millis(1_800_000_000_000);
        let daemon = || Daemon {
            fault: Fault::None,
            tip: START,
            steps: 0,
        };
        let mut world = Self {
            now,
            tip: START,
            next_block: now,
            block_time: Duration::from_secs(600),
            rng: fastrand::Rng::with_seed(seed),
            daemons: [daemon(), daemon()],
            server: ElectrumX {
                list: vec![0, 1],
                at: 0,
                is_failing: false,
                daemon_height: START,
                db_height: START,
            },
            probes: Probes::default(),
            rounds: Vec::new(),
            warden: Warden::new(policies(), settings.clone()),
            settings,
            is_rpc_down: false,
            acts: Vec::new(),
            news: Vec::new(),
            alerts: Vec::new(),
            held_back: Vec::new(),
        };
        world.next_block = now + world.gap();
        world
    }

    /// The time to the next block.
    fn gap(&mut self) -> Duration {
        self.block_time.mul_f64(-(1.0 - self.rng.f64()).ln())
    }

    pub(super) fn break_daemon(&mut self, index: usize, fault: Fault) {
        if self.daemons[index].fault != fault {
            self.daemons[index] = Daemon {
                fault,
                tip: self.tip,
                steps: 0,
            };
        }
    }

    /// The agent is started again, with what its journal keeps of the limits.
    pub(super) fn restart_agent(&mut self) {
        let limits = self.warden.saved_limits();
        self.warden = Warden::new(policies(), self.settings.clone());
        self.warden.restore(limits, Vec::new());
    }

    pub(super) fn is_on_primary(&self) -> bool {
        self.server.current() == 0
    }

    /// An operator, or the server's restart.
    pub(super) fn send_to(&mut self, index: usize) {
        self.server.list = vec![index, 1 - index];
        self.server.at = 0;
    }

    /// No block is found any more.
    pub(super) fn stop_mining(&mut self) {
        self.next_block = Timestamp::from_millis(i64::MAX);
    }

    pub(super) fn run(&mut self, time: Duration) -> &mut Self {
        for _ in 0..time.as_secs() / STEP.as_secs() {
            self.step();
        }
        self
    }

    /// So long until the server is on the primary, if it comes to that.
    pub(super) fn run_until_primary(&mut self, at_most: Duration) -> Option<Duration> {
        let from = self.now;
        while !self.is_on_primary() {
            if self.now.since(from) >= at_most {
                return None;
            }
            self.step();
        }
        Some(self.now.since(from))
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        while self.next_block <= self.now {
            self.tip += 1;
            self.next_block = self.next_block + self.gap();
        }
        for daemon in &mut self.daemons {
            daemon.steps += 1;
        }
        let nodes = self.nodes();
        self.server.step(&nodes);
        self.rounds.push(self.probes.round(self.now, &nodes));
        if self.is_rpc_down {
            self.warden.missed(self.now, Epoch(1));
            return;
        }
        let snapshot = self.snapshot();
        self.warden.observe(&snapshot);
        let judgement = self.warden.judge(&snapshot);
        self.carry_out(judgement);
    }

    fn nodes(&self) -> [Node; 2] {
        [0, 1].map(|index| self.daemons[index].node(self.tip))
    }

    fn snapshot(&mut self) -> Snapshot {
        let read = Span {
            asked: self.now,
            answered: self.now,
        };
        Snapshot {
            epoch: Epoch(1),
            server: Server {
                version: Some("ElectrumX 1.20.0".into()),
                coin: Some("Bitcoin".into()),
                daemon: Some([PRIMARY, SECONDARY][self.server.current()].into()),
                daemon_height: Some(self.server.daemon_height),
                db_height: Some(self.server.db_height),
                pid: Some(1),
                ..Server::default()
            },
            server_read: read,
            sessions_read: read,
            rounds: std::mem::take(&mut self.rounds),
            ..Snapshot::default()
        }
    }

    fn carry_out(&mut self, judgement: Judgement) {
        self.news
            .extend(judgement.confirmation.map(|(_, news)| news));
        for ruling in judgement.rulings {
            match ruling.verdict {
                Verdict::Suppressed {
                    is_repeat: true, ..
                } => {}
                Verdict::Suppressed { by, .. } => {
                    let policy = &ruling.decision.policy;
                    self.held_back.push(format!("{policy}: {by:?}"));
                }
                Verdict::Permitted { .. } => match &ruling.decision.action {
                    Action::DaemonUrl { .. } => self.change_daemon(&ruling.decision),
                    _ => self.alerts.push(ruling.decision.policy.to_string()),
                },
            }
        }
    }

    fn change_daemon(&mut self, decision: &Decision) {
        let to = decision.daemons[0].clone();
        let index = usize::from(*to != *PRIMARY);
        self.acts.push(Act {
            at: self.now,
            policy: decision.policy.to_string(),
            to: [PRIMARY, SECONDARY][index],
            objection: self.objection(index),
        });
        self.send_to(index);
        self.warden.changed_daemon(Change {
            policy: decision.policy.clone(),
            at: decision.at,
            to,
        });
    }

    /// Why the server should not go there, as somebody would say who knows all but the future.
    fn objection(&self, index: usize) -> Option<String> {
        let fault = self.daemons[index].fault;
        let other = self.daemons[1 - index].fault;
        let [node, rival] = [index, 1 - index].map(|index| self.daemons[index].node(self.tip));
        let is_outdone = rival.failure.is_none() && rival.height > node.height + 1;
        match fault {
            Fault::None => None,
            Fault::Syncing(_) if node.height == self.tip => None,
            // Who is alone can't be told to be on a fork or stuck.
            Fault::Fork | Fault::Stuck if !is_outdone || other == Fault::OtherChain => None,
            _ => Some(format!("{fault:?}, and the other is {other:?}")),
        }
    }
}

fn policies() -> PolicySet {
    let mut set = shipped().set.expect("they are free of mistakes");
    set.policies.retain(|policy| {
        [
            "failback",
            "failover",
            "blocks-held-up",
            "primary-unhealthy",
        ]
        .contains(&&*policy.name)
    });
    set
}
