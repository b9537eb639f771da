//! A server, its daemons and the core that watches them, in virtual time: blocks come at random and
//! reach each daemon a little later, daemons fail as a script says, and the server moves on by itself
//! as `ElectrumX` does.

use std::collections::VecDeque;
use std::time::Duration;

use crate::daemon::{Address, Failure, Round};
use crate::decision::{Decision, Epoch, Outcome};
use crate::limits::Verdict;
use crate::policy::{Action, Mode, PolicySet, shipped};
use crate::recheck::recheck;
use crate::recheck::tests::row;
use crate::snapshot::{Server, Snapshot, Span, Uptime};
use crate::status::PolicyStatus;
use crate::time::Timestamp;
use crate::visit::Visits;
use crate::warden::{Judgement, Settings, Warden};
use crate::watch::tests::node::{Node, Probes};
use crate::watch::{Confirmation, Settings as DaemonSettings};

/// From one poll to the next; daemons are probed as often.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// The same while nothing is expected to happen.
pub(super) const LONG_STEP: Duration = Duration::from_secs(60);

const START: u64 = 800_000;

/// So many branches of the main chain are told apart; comparisons reach back 200 blocks.
const BRANCHES_MAX: usize = 100;

/// The prober keeps so many rounds that nobody takes.
const ROUNDS_MAX: usize = 64;

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

/// What the agent does not get to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// Polls fail.
    RpcDown,
    /// No rounds come.
    ProberSilent,
    /// `getinfo` does not say which daemon is in use.
    DaemonUnnamed,
}

/// The main chain, as somebody has it.
#[derive(Clone, Debug)]
struct View {
    tip: u64,
    branches: Vec<(u64, u8)>,
}

impl View {
    fn node(&self, height: u64) -> Node {
        Node {
            branches: self.branches.clone(),
            ..Node::at(height)
        }
    }

    /// The daemon's own blocks from `from` on.
    fn forked(&self, height: u64, from: u64, name: u8) -> Node {
        let mut node = self.node(height);
        node.branches.retain(|&(begin, _)| begin < from);
        node.branches.push((from, name));
        node
    }

    /// A block that undoes the last `undone` of this view.
    fn replace(&mut self, undone: u64, name: u8) {
        self.tip += 1;
        let from = self.tip - undone;
        self.branches.retain(|&(begin, _)| begin < from);
        self.branches.push((from, name));
        if self.branches.len() > BRANCHES_MAX {
            // The oldest becomes everybody's.
            self.branches.remove(0);
        }
    }
}

/// A block on its way to a daemon.
#[derive(Debug)]
struct Arrival {
    at: Timestamp,
    view: View,
}

#[derive(Debug)]
struct Daemon {
    fault: Fault,
    view: View,
    arrivals: VecDeque<Arrival>,
    /// What it had when the fault began, and how many steps that has lasted.
    began: View,
    steps: u64,
    /// In each of the last steps its height, if it was on the main chain and said so.
    seen: VecDeque<Option<u64>>,
    seen_max: usize,
}

impl Daemon {
    fn new(view: &View, seen_max: usize) -> Self {
        Self {
            seen_max,
            fault: Fault::None,
            view: view.clone(),
            arrivals: VecDeque::new(),
            began: view.clone(),
            steps: 0,
            seen: VecDeque::new(),
        }
    }

    fn hear(&mut self, now: Timestamp) {
        while self.arrivals.front().is_some_and(|next| next.at <= now) {
            self.view = self.arrivals.pop_front().expect("there is one").view;
        }
        self.steps += 1;
    }

    fn node(&self) -> Node {
        let View { tip, .. } = self.view;
        let failing = |failure| Node {
            failure: Some(failure),
            ..self.view.node(tip)
        };
        let detail = || "x".to_owned();
        match self.fault {
            Fault::None => self.view.node(tip),
            Fault::Down => failing(Failure::Unreachable { detail: detail() }),
            Fault::WrongCredentials => failing(Failure::WrongCredentials),
            Fault::WarmingUp => failing(Failure::WarmingUp { detail: detail() }),
            Fault::Busy => failing(Failure::Busy { detail: detail() }),
            Fault::Syncing(behind) => {
                let left = behind.saturating_sub(10 * self.steps);
                Node {
                    is_initial_download: left > 0,
                    ..self.view.node(tip - left)
                }
            }
            Fault::Stuck => self.began.node(self.began.tip),
            Fault::Fork => {
                let mined = tip.saturating_sub(self.began.tip) / 2;
                let began = &self.began;
                began.forked(began.tip + mined, began.tip - 2, 1)
            }
            Fault::OtherChain => self.began.forked(tip + 50, self.began.tip - 500, 2),
            Fault::NoIndex => Node {
                indexes: vec![],
                ..self.view.node(tip)
            },
            Fault::Pruned => Node {
                is_pruned: true,
                ..self.view.node(tip)
            },
        }
    }

    /// What it would say.
    fn height(&self) -> u64 {
        self.node().height
    }

    fn remember(&mut self, node: &Node) {
        let is_main = !matches!(self.fault, Fault::Fork | Fault::OtherChain);
        let is_heard = node.failure.is_none() && !node.is_initial_download && is_main;
        self.seen.push_back(is_heard.then_some(node.height));
        if self.seen.len() > self.seen_max {
            self.seen.pop_front();
        }
    }

    /// Whether it has long been known that this daemon is further by more than a block.
    fn outdoes(&self, height: u64) -> bool {
        let first = self.seen.front().copied().flatten();
        self.seen.len() == self.seen_max
            && self.seen.iter().all(Option::is_some)
            && first.is_some_and(|first| first > height + 1)
    }
}

/// The server as far as its daemons go.
#[derive(Debug)]
struct ElectrumX {
    /// Daemons in the order of its list, and which it is at. One beyond the last is none of ours.
    list: Vec<usize>,
    at: usize,
    is_failing: bool,
    daemon_height: Option<u64>,
    db_height: u64,
    pid: u64,
    started: Timestamp,
    /// For so many steps it has not reached its daemon yet.
    steps_to_start: u32,
}

impl ElectrumX {
    fn current(&self) -> usize {
        self.list[self.at]
    }

    /// It moves on when a request fails for some seconds, and never for another reason.
    fn step(&mut self, nodes: &[Node]) {
        if self.is_failing && nodes[self.current()].failure.is_some() {
            self.at = (self.at + 1) % self.list.len();
        }
        let node = &nodes[self.current()];
        self.is_failing = node.failure.is_some();
        if self.steps_to_start > 0 {
            self.steps_to_start -= 1;
        } else if node.failure.is_none() {
            self.daemon_height = Some(node.height);
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
    pub(super) to: Address,
    /// What speaks against it, knowing all.
    pub(super) objection: Option<String>,
}

/// What a world is like while nothing fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    pub(super) daemons: usize,
    pub(super) coin: &'static str,
    pub(super) block_time_s: u64,
    /// A block takes so long to each daemon at the most; most take a tenth of it.
    pub(super) delay_max_s: u64,
    /// How many blocks in a hundred have a rival of equal work, and how many undo one to three.
    pub(super) races: u64,
    pub(super) reorgs: u64,
}

impl Nature {
    /// For so many steps a rival must have been seen before it speaks against a daemon: as long as a
    /// block may take, and two minutes.
    fn seen_steps(&self) -> usize {
        let propagation_s = (self.block_time_s * 6 / 5).max(60);
        usize::try_from((propagation_s + 120) / STEP.as_secs()).expect("few")
    }
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            daemons: 2,
            coin: "Bitcoin",
            block_time_s: 600,
            delay_max_s: 0,
            races: 0,
            reorgs: 0,
        }
    }
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) tip: u64,
    nature: Nature,
    next_block: Timestamp,
    main: View,
    /// Of the last race the other block.
    rival: Option<View>,
    branch: u8,
    rng: fastrand::Rng,
    daemons: Vec<Daemon>,
    server: ElectrumX,
    epoch: u64,
    probes: Probes,
    rounds: Vec<Round>,
    /// When the last round was, and what would then have been right to go to, for who knows all.
    probed: Timestamp,
    is_right: Vec<bool>,
    /// Whether an agent without a past may have taken the other chain for the right one.
    is_other_trusted: bool,
    is_agent_new: bool,
    settings: Settings,
    pub(super) warden: Warden,
    pub(super) trouble: Trouble,
    pub(super) acts: Vec<Act>,
    pub(super) news: Vec<Confirmation>,
    pub(super) alerts: Vec<String>,
    /// What was held back, in words.
    pub(super) held_back: Vec<String>,
    /// The snapshot that was judged last.
    judged: Snapshot,
    /// How many polls found a daemon of which it is not known to be healthy.
    pub(super) unhealthy: u64,
}

pub(super) fn address(index: usize) -> Address {
    format!("10.0.0.{}:8332", index + 1).into()
}

impl World {
    /// Enforcing, on the primary of two, with the policies that ship.
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    pub(super) fn with(seed: u64, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(seed, Nature::default(), change)
    }

    pub(super) fn of(seed: u64, nature: Nature, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            mode: Mode::Enforce,
            daemons: DaemonSettings {
                addresses: (0..nature.daemons).map(address).collect(),
                ..DaemonSettings::default()
            },
            ..Settings::default()
        };
        change(&mut settings);
        let now = Timestamp::from_millis(1_800_000_000_000);
        let main = View {
            tip: START,
            branches: Vec::new(),
        };
        let mut world = Self {
            now,
            tip: START,
            nature,
            next_block: now,
            rng: fastrand::Rng::with_seed(seed),
            daemons: (0..nature.daemons)
                .map(|_| Daemon::new(&main, nature.seen_steps()))
                .collect(),
            main,
            rival: None,
            branch: 10,
            server: ElectrumX {
                list: (0..nature.daemons).collect(),
                at: 0,
                is_failing: false,
                daemon_height: Some(START),
                db_height: START,
                pid: 1,
                started: now,
                steps_to_start: 0,
            },
            epoch: 1,
            probes: Probes::default(),
            rounds: Vec::new(),
            probed: now,
            is_right: Vec::new(),
            is_other_trusted: false,
            is_agent_new: true,
            warden: Warden::new(policies(), settings.clone()),
            settings,
            trouble: Trouble::None,
            acts: Vec::new(),
            news: Vec::new(),
            alerts: Vec::new(),
            held_back: Vec::new(),
            judged: Snapshot::default(),
            unhealthy: 0,
        };
        world.next_block = now + world.gap();
        world
    }

    /// The time to the next block.
    fn gap(&mut self) -> Duration {
        let mean = Duration::from_secs(self.nature.block_time_s);
        mean.mul_f64(-(1.0 - self.rng.f64()).ln())
    }

    pub(super) fn break_daemon(&mut self, index: usize, fault: Fault) {
        let daemon = &mut self.daemons[index];
        if daemon.fault != fault {
            daemon.fault = fault;
            daemon.began = daemon.view.clone();
            daemon.steps = 0;
        }
    }

    /// The agent is started again, with what its journal keeps of the limits.
    pub(super) fn restart_agent(&mut self) {
        let limits = self.warden.saved_limits();
        let ongoing = self.warden.ongoing(self.now);
        self.warden = Warden::new(policies(), self.settings.clone());
        self.warden.restore(limits, Vec::new());
        self.warden.resume(ongoing);
        self.is_agent_new = true;
    }

    /// The server is started again, and takes a while to reach its daemon.
    pub(super) fn restart_server(&mut self, steps_to_start: u32) {
        self.epoch += 1;
        self.server.list = (0..self.daemons.len()).collect();
        self.server.at = 0;
        self.server.is_failing = false;
        self.server.daemon_height = None;
        self.server.pid += 1;
        self.server.started = self.now;
        self.server.steps_to_start = steps_to_start;
    }

    pub(super) fn is_on_primary(&self) -> bool {
        self.server.current() == 0
    }

    /// An operator sends it to one of ours, with the others behind.
    pub(super) fn send_to(&mut self, index: usize) {
        let others = (0..self.daemons.len()).filter(|&other| other != index);
        self.server.list = std::iter::once(index).chain(others).collect();
        self.server.at = 0;
    }

    /// An operator sends it to a daemon that is none of ours.
    pub(super) fn send_away(&mut self) {
        self.server.list = vec![self.daemons.len()];
        self.server.at = 0;
    }

    /// No block is found any more.
    pub(super) fn stop_mining(&mut self) {
        self.next_block = Timestamp::from_millis(i64::MAX);
    }

    pub(super) fn run(&mut self, time: Duration) -> &mut Self {
        for _ in 0..time.as_secs() / STEP.as_secs() {
            self.step(STEP);
        }
        self
    }

    /// A poll and a round a minute.
    pub(super) fn run_long(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / LONG_STEP.as_secs() {
            self.step(LONG_STEP);
        }
    }

    /// Watches by these policies too, from now on.
    pub(super) fn add(&mut self, others: PolicySet) {
        let mut set = policies();
        set.policies.extend(others.policies);
        self.warden = Warden::new(set, self.settings.clone());
    }

    /// So long until the server is on the primary, if it comes to that.
    pub(super) fn run_until_primary(&mut self, at_most: Duration) -> Option<Duration> {
        let from = self.now;
        while !self.is_on_primary() {
            let waited = self.now.since(from);
            if waited >= at_most {
                return None;
            }
            // What has taken so long takes until tomorrow.
            let is_long = waited >= Duration::from_secs(7_200);
            self.step(if is_long { LONG_STEP } else { STEP });
        }
        Some(self.now.since(from))
    }

    fn step(&mut self, time: Duration) {
        self.now = self.now + time;
        while self.next_block <= self.now {
            let at = self.next_block;
            self.find_block(at);
            self.next_block = at + self.gap();
        }
        for daemon in &mut self.daemons {
            daemon.hear(self.now);
        }
        let mut nodes: Vec<Node> = self.daemons.iter().map(Daemon::node).collect();
        for (daemon, node) in self.daemons.iter_mut().zip(&nodes) {
            daemon.remember(node);
        }
        if self.trouble != Trouble::ProberSilent {
            self.rounds.push(self.probes.round(self.now, &nodes));
            if self.rounds.len() > ROUNDS_MAX {
                self.rounds.remove(0);
            }
            self.probed = self.now;
            self.trust(&nodes);
            self.is_right = (0..nodes.len()).map(|index| self.is_right(index)).collect();
        }
        nodes.push(self.main.node(self.tip));
        self.server.step(&nodes);
        if self.trouble == Trouble::RpcDown {
            self.warden
                .missed(self.now, Epoch(self.epoch), &[], &Visits::default());
            return;
        }
        let snapshot = self.snapshot();
        self.warden.observe(&snapshot);
        let judgement = self.warden.judge(&snapshot);
        let daemons = self.warden.daemons().daemons().iter();
        let unhealthy = daemons.filter(|daemon| daemon.health.up() != Some(true));
        self.unhealthy += unhealthy.count() as u64;
        self.carry_out(judgement);
        self.judged = snapshot;
    }

    /// How a policy stood at the last poll, as it is shown.
    pub(super) fn status_of(&mut self, policy: &str) -> PolicyStatus {
        let status = self.warden.status(&self.judged, STEP);
        let mut policies = status.policies.into_iter();
        policies
            .find(|status| &*status.standing.policy == policy)
            .expect("it ships")
    }

    /// It reaches each daemon after a time of its own, though no earlier than the one before.
    fn find_block(&mut self, at: Timestamp) {
        let chance = self.rng.u64(0..100);
        let Nature { races, reorgs, .. } = self.nature;
        // Of two that raced either may go on.
        if let Some(rival) = self.rival.take()
            && self.rng.bool()
        {
            self.main = rival;
        }
        self.branch = if self.branch == u8::MAX {
            10
        } else {
            self.branch + 1
        };
        let branch = self.branch;
        if chance < races {
            let mut rival = self.main.clone();
            rival.replace(0, branch);
            self.rival = Some(rival);
            self.main.tip += 1;
        } else if chance < races + reorgs {
            let undone = self.rng.u64(1..=3);
            self.main.replace(undone, branch);
        } else {
            self.main.tip += 1;
        }
        self.tip = self.main.tip;
        for index in 0..self.daemons.len() {
            let after = self.delay();
            let rival = self.rival.as_ref().filter(|_| self.rng.bool());
            let view = rival.unwrap_or(&self.main).clone();
            let arrivals = &mut self.daemons[index].arrivals;
            let before = arrivals.back().map(|arrival| arrival.at);
            let at = before.unwrap_or_default().max(at + after);
            arrivals.push_back(Arrival { at, view });
        }
    }

    fn delay(&mut self) -> Duration {
        let max_ms = self.nature.delay_max_s * 1_000;
        let max_ms = if self.rng.u8(0..10) == 0 {
            max_ms
        } else {
            max_ms / 10
        };
        Duration::from_millis(self.rng.u64(0..=max_ms))
    }

    fn snapshot(&mut self) -> Snapshot {
        let read = Span {
            asked: self.now,
            answered: self.now,
        };
        let daemon = match self.server.current() {
            ours if ours < self.daemons.len() => address(ours).to_string(),
            _ => "192.0.2.9:8332".to_owned(),
        };
        Snapshot {
            epoch: Epoch(self.epoch),
            server: Server {
                version: Some("ElectrumX 1.20.0".into()),
                coin: Some(self.nature.coin.into()),
                daemon: (self.trouble != Trouble::DaemonUnnamed).then_some(daemon),
                daemon_height: self.server.daemon_height,
                db_height: Some(self.server.db_height),
                pid: Some(self.server.pid),
                uptime: Some(Uptime {
                    at_least: self.now.since(self.server.started),
                    resolution: Duration::from_secs(1),
                }),
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
            let recheck = recheck(&row(&ruling));
            assert!(recheck.agrees(), "{recheck:?} {ruling:?}");
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
        let index = (0..self.daemons.len()).find(|&index| address(index) == to);
        let index = index.expect("it is one of ours");
        self.acts.push(Act {
            at: self.now,
            policy: decision.policy.to_string(),
            to: to.clone(),
            objection: self.objection(index),
        });
        self.send_to(index);
        let detail = format!("daemon set to {to}");
        self.warden
            .settle(decision, &Outcome::Executed { detail }, 0, self.now);
    }

    /// The first round decides whom an agent believes, until all agree.
    fn trust(&mut self, nodes: &[Node]) {
        let is_other = self.daemons.iter().any(|it| it.fault == Fault::OtherChain);
        if self.daemons.iter().all(|it| it.fault == Fault::OtherChain) {
            // Nobody is left who could say otherwise.
            self.is_other_trusted = true;
        }
        let is_heard = |node: &Node| node.failure.is_none() && !node.is_initial_download;
        if self.is_agent_new {
            self.is_other_trusted |= is_other;
            self.is_agent_new = self.trouble == Trouble::RpcDown || !nodes.iter().any(is_heard);
        } else if !is_other && nodes.iter().all(is_heard) {
            self.is_other_trusted = false;
        }
    }

    /// Why the server should not go there.
    fn objection(&self, index: usize) -> Option<String> {
        let current = self.server.current();
        if current >= self.daemons.len() {
            return Some("nothing is known of the daemon in use".to_owned());
        }
        let faults: Vec<Fault> = self.daemons.iter().map(|daemon| daemon.fault).collect();
        let news = self.now.since(self.probed);
        let is_right = self.is_right[index] && news <= self.settings.daemons.fresh_max;
        (!is_right).then(|| format!("{current} to {index} of {faults:?}, known {news:?} ago"))
    }

    /// Whether the server may go there, as somebody would say who knows all but the future.
    fn is_right(&self, index: usize) -> bool {
        let daemon = &self.daemons[index];
        let height = daemon.height();
        let others = || (self.daemons.iter().enumerate()).filter(|&(other, _)| other != index);
        let is_outdone = || others().any(|(_, rival)| rival.outdoes(height));
        // Among those who differ it cannot be told who is right.
        let is_doubtful = || others().any(|(_, rival)| rival.fault == Fault::OtherChain);
        match daemon.fault {
            Fault::None => true,
            Fault::Syncing(_) => height == daemon.view.tip,
            Fault::OtherChain => self.is_other_trusted,
            Fault::NoIndex => self.nature.coin != "Bitcoin",
            // Who is alone can't be told to be on a fork or stuck.
            Fault::Fork | Fault::Stuck => !is_outdone() || is_doubtful(),
            _ => false,
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
            "chain-silent",
        ]
        .contains(&&*policy.name)
    });
    set
}
