//! A test played: snapshot after snapshot into the production core, and what it decides.
//!
//! Nothing is carried out. The server does what the script says, whatever is decided, and says of what
//! it is asked what the script says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::node::{Node, Probes};
use super::script::{Act, Count, Daemon, DaemonState, Script, Sessions};
use super::series::Series;
use super::{Trial, Wanted};
use crate::daemon::{Failure, Round};
use crate::decision::{Decision, Outcome, Peer, Suppression};
use crate::limits::{Ruling, Verdict};
use crate::policy::{ActionKind, Mode};
use crate::scene::{Info, Row, Scene};
use crate::snapshot::{Flags, Snapshot, Transport};
use crate::time::Timestamp;
use crate::visit::{Felt, Unserved, Visit, Visits};
use crate::warden::Warden;
use crate::wire::Inspection;

/// How old a session is that was there before the first poll.
const AGE_AT_FIRST: Duration = Duration::from_secs(3_600);

const HEIGHT_DEFAULT: f64 = 800_000.0;

const FELT_LATENCY_DEFAULT: Duration = Duration::from_millis(20);

/// The prober keeps so many rounds that nobody takes.
const ROUNDS_MAX: usize = 64;

/// A decision as it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// When, from the first poll on.
    pub at: Duration,
    /// The target, as a test names it.
    pub target: Wanted,
    /// The decision.
    pub decision: Decision,
    /// What held it back, if anything did.
    pub by: Option<Suppression>,
}

impl Happened {
    /// What held it back, if anything did, by its name.
    pub fn held_back(&self) -> Option<&'static str> {
        self.by.as_ref().map(Suppression::word)
    }
}

/// What looks on while a test is played.
pub(super) trait Audience {
    /// A poll was judged, `at` so long after the first.
    fn judged(&mut self, at: Duration, warden: &mut Warden, snapshot: &Snapshot);
}

/// Nobody.
pub(super) struct Nobody;

impl Audience for Nobody {
    fn judged(&mut self, _: Duration, _: &mut Warden, _: &Snapshot) {}
}

/// Plays a test. What was held back as at the poll before is left out.
pub fn play(trial: &Trial) -> Vec<Happened> {
    play_before(trial, &mut Nobody)
}

/// As [`play`], before an audience.
pub(super) fn play_before(trial: &Trial, audience: &mut dyn Audience) -> Vec<Happened> {
    let mut stage = Stage::new(&trial.script);
    let mut warden = Warden::new(trial.policies.clone(), trial.settings.clone());
    warden.restore_penalties(trial.script.penalties(stage.begun));
    let mut happened = Vec::new();
    for poll in 0..trial.script.polls {
        stage.step(poll);
        let at = stage.scene.at().since(stage.begun);
        let judgement = if trial.script.missed.contains(&poll) {
            stage.is_connected = false;
            let rounds = std::mem::take(&mut stage.rounds);
            let (at, epoch) = (stage.scene.at(), stage.scene.epoch);
            let visits = std::mem::take(&mut stage.visits);
            warden.missed(at, epoch, &rounds, &visits)
        } else {
            let snapshot = stage.poll();
            warden.observe(&snapshot);
            if trial.script.release.has_inspection() {
                for id in warden.inspect_next(trial.inspect_max) {
                    if let Some(inspection) = stage.inspect(id, poll) {
                        warden.inspected(id, &inspection);
                    }
                }
            }
            let judgement = warden.judge(&snapshot);
            audience.judged(at, &mut warden, &snapshot);
            judgement
        };
        let rulings = judgement.rulings;
        let acts = trial.script.acts.as_ref().and_then(|acts| acts.at(poll));
        if let Some(&act) = acts {
            for ruling in rulings.iter().filter(|ruling| is_done(ruling)) {
                settle(act, &ruling.decision, &mut warden);
            }
            if act == Act::Done {
                warden.held_off(&judgement.held_off, stage.scene.at());
            }
        }
        happened.extend(rulings.into_iter().filter_map(|ruling| news(at, ruling)));
    }
    happened
}

/// Whether it would be carried out.
fn is_done(ruling: &Ruling) -> bool {
    let is_permitted = matches!(ruling.verdict, Verdict::Permitted { .. });
    is_permitted
        && ruling.mode == Mode::Enforce
        && ruling.decision.action.kind() != ActionKind::Alert
}

/// The core hears what came of it.
fn settle(act: Act, decision: &Decision, warden: &mut Warden) {
    let detail = "as the test says".to_owned();
    let (outcome, unsent) = match act {
        Act::Done => (
            Outcome::Executed {
                detail: String::new(),
            },
            0,
        ),
        Act::Fail => (Outcome::Failed { detail }, 0),
        Act::Unsent => (Outcome::Failed { detail }, decision.sessions.len().max(1)),
    };
    warden.settle(decision, &outcome, unsent, decision.at);
}

fn news(at: Duration, ruling: Ruling) -> Option<Happened> {
    let by = match ruling.verdict {
        Verdict::Permitted { .. } => None,
        Verdict::Suppressed {
            is_repeat: true, ..
        } => return None,
        Verdict::Suppressed { by, .. } => Some(by),
    };
    Some(Happened {
        at,
        target: Wanted::of(&ruling.decision.target),
        decision: ruling.decision,
        by,
    })
}

/// One session of the script while it is connected.
#[derive(Clone, Copy, Debug)]
struct Player {
    id: u64,
    since: Timestamp,
}

/// The server on its way through the script.
struct Stage<'s> {
    script: &'s Script,
    scene: Scene,
    begun: Timestamp,
    /// Whether the agent has a connection; its number, and what the server calls it.
    is_connected: bool,
    rpc_id: u64,
    /// By sessions of the script, and of these by peer.
    players: Vec<Vec<Option<Player>>>,
    has_been: Vec<bool>,
    /// By sessions of the script: what their counts were when the server was started again.
    offsets: Vec<[f64; Count::ALL.len()]>,
    probes: Probes,
    /// By daemon: the height at which it went its own way.
    left_at: Vec<Option<u64>>,
    rounds: Vec<Round>,
    visits: Visits,
    daemon_height: f64,
}

impl<'s> Stage<'s> {
    fn new(script: &'s Script) -> Self {
        let mut scene = Scene::new();
        scene.generation = script.release.generation();
        scene.started_ms = (scene.at() - script.server.uptime).as_millis();
        scene.info = Info {
            version: script.release.version(),
            coin: script
                .server
                .coin
                .clone()
                .filter(|_| script.release.has_coin()),
            has_uptime: script.release.has_daemon(),
            ..Info::default()
        };
        let players = script.sessions.iter().map(|it| vec![None; it.peers.len()]);
        Self {
            script,
            begun: scene.at(),
            scene,
            is_connected: false,
            rpc_id: 0,
            players: players.collect(),
            has_been: vec![false; script.sessions.len()],
            offsets: vec![[0.0; Count::ALL.len()]; script.sessions.len()],
            probes: Probes::default(),
            left_at: vec![None; script.daemons.len()],
            rounds: Vec::new(),
            visits: Visits::default(),
            daemon_height: HEIGHT_DEFAULT,
        }
    }

    /// What is so at a poll, whether anybody sees it or not.
    fn step(&mut self, poll: usize) {
        let steps = u32::try_from(poll).unwrap_or(u32::MAX);
        self.scene.now_ms = (self.begun + self.script.interval * steps).as_millis();
        if self.script.restarts.contains(&poll) {
            self.restart(poll);
        }
        self.scene.rows.clear();
        let mut groups: BTreeMap<String, u64> = BTreeMap::new();
        let script = self.script;
        let mut errors = 0;
        for (index, sessions) in script.sessions.iter().enumerate() {
            self.enter(index, sessions, poll);
            let Some(row) = self.row(index, sessions, poll) else {
                continue;
            };
            for (&peer, player) in sessions.peers.iter().zip(&self.players[index]) {
                let Some(player) = player else { continue };
                self.scene.rows.push(Row {
                    id: player.id,
                    peer: peer.to_string(),
                    since_ms: player.since.as_millis(),
                    ..row.clone()
                });
                errors += self.count(index, sessions, Count::Errors, poll);
                let started = Timestamp::from_millis(self.scene.started_ms);
                for group in script.release.groups(peer, player.since.since(started)) {
                    *groups.entry(group).or_default() += 1;
                }
            }
        }
        self.scene.groups = groups.into_iter().collect();
        self.scene.errors = at(script.server.errors.as_ref(), poll).map_or(errors, whole);
        let methods = script.server.methods.iter();
        let requests = methods
            .map(|(method, series)| ((**method).into(), at(Some(series), poll).map_or(0, whole)));
        let requests: BTreeMap<Box<str>, u64> = requests.collect();
        self.scene.info.requests =
            Some(requests).filter(|requests| !requests.is_empty() && script.release.has_totals());
        let latency_s = at(script.server.latency_s.as_ref(), poll).unwrap_or(0.0);
        self.scene.latency = Duration::from_secs_f64(latency_s);
        self.probe(poll);
        self.read_heights(poll);
        self.visit(poll);
    }

    /// The server is another process: who comes again counts from 0.
    fn restart(&mut self, poll: usize) {
        let script = self.script;
        self.scene.restart();
        self.scene.started_ms = (self.scene.at() - script.interval).as_millis();
        self.is_connected = false;
        for (index, sessions) in script.sessions.iter().enumerate() {
            self.players[index].fill(None);
            for count in Count::ALL.into_iter().filter(|count| count.begins_anew()) {
                let Some(series) = &sessions.counts[count as usize] else {
                    continue;
                };
                let before = poll.checked_sub(1).and_then(|before| series.at(before));
                // What falls is written as it is meant.
                let goes_on = before.filter(|before| series.at(poll) >= Some(before));
                self.offsets[index][count as usize] = goes_on.copied().unwrap_or(0.0);
            }
        }
    }

    /// Who connects, and who leaves.
    fn enter(&mut self, index: usize, sessions: &Sessions, poll: usize) {
        if !sessions.is_connected(poll) {
            self.players[index].fill(None);
            return;
        }
        let comes = sessions.comes(poll);
        if comes && poll > 0 {
            // What it counts from here on is written as it is.
            self.offsets[index] = [0.0; Count::ALL.len()];
        }
        let age = match sessions.age.filter(|_| !self.has_been[index]) {
            Some(age) => age,
            None if poll == 0 => AGE_AT_FIRST,
            None => self.script.interval / 2,
        };
        self.has_been[index] = true;
        for player in 0..sessions.peers.len() {
            if comes || self.players[index][player].is_none() {
                self.players[index][player] = Some(Player {
                    id: self.scene.next_id(),
                    since: self.scene.at() - age,
                });
            }
        }
    }

    /// The row of such a session, but for what is its own.
    fn row(&self, index: usize, sessions: &Sessions, poll: usize) -> Option<Row> {
        self.players[index].iter().flatten().next()?;
        let count = |count| self.count(index, sessions, count, poll);
        let cost = |count| self.value(index, sessions, count, poll).unwrap_or(0.0);
        // An error costs 100, from 1.10.1 on.
        let errors_cost = self
            .value(index, sessions, Count::Errors, poll)
            .unwrap_or(0.0)
            * 100.0;
        let has_cost = sessions.counts[Count::Cost as usize].is_some();
        Some(Row {
            id: 0,
            flags: Flags {
                transport: sessions.transport,
                closing: false,
                logged: sessions.is_logged,
            },
            peer: String::new(),
            client: sessions.client.clone(),
            protocol: sessions.protocol.clone(),
            since_ms: 0,
            is_age_unknown: false,
            requests: count(Count::Requests),
            recv: count(Count::RecvSize),
            sent: count(Count::SentSize),
            txs: count(Count::TxsSent),
            subs: count(Count::Subs),
            pending: count(Count::PendingRequests),
            cost: if has_cost {
                cost(Count::Cost)
            } else {
                errors_cost
            },
            extra_cost: cost(Count::ExtraCost),
        })
    }

    fn value(&self, index: usize, sessions: &Sessions, count: Count, poll: usize) -> Option<f64> {
        let value = at(sessions.counts[count as usize].as_ref(), poll)?;
        Some((value - self.offsets[index][count as usize]).max(0.0))
    }

    fn count(&self, index: usize, sessions: &Sessions, count: Count, poll: usize) -> u64 {
        self.value(index, sessions, count, poll).map_or(0, whole)
    }

    fn probe(&mut self, poll: usize) {
        if self.script.daemons.is_empty() {
            return;
        }
        let daemons = self.script.daemons.iter().zip(&mut self.left_at);
        let nodes: Vec<Node> = daemons
            .map(|(daemon, left_at)| node(daemon, left_at, poll))
            .collect();
        let round = self.probes.round(self.scene.at(), &nodes);
        if self.rounds.len() == ROUNDS_MAX {
            self.rounds.remove(0);
        }
        self.rounds.push(round);
    }

    /// What is not said follows from the daemon in use, and the index from its daemon.
    fn read_heights(&mut self, poll: usize) {
        let server = &self.script.server;
        let first = self.script.daemons.first().map(|daemon| &daemon.address);
        let in_use = match &server.daemon {
            Some(series) => series.at(poll),
            None => first,
        };
        let own = self
            .script
            .daemons
            .iter()
            .find(|daemon| Some(&daemon.address) == in_use);
        let heard = own.and_then(|daemon| {
            let is_there = !is_failing(*daemon.state.at(poll)?);
            daemon.height.at(poll).filter(|_| is_there)
        });
        if let Some(&height) = heard {
            self.daemon_height = height;
        }
        let daemon_height = match &server.daemon_height {
            Some(series) => series.at(poll).copied(),
            None => Some(self.daemon_height),
        };
        let db_height = match &server.db_height {
            Some(series) => series.at(poll).copied(),
            None => daemon_height,
        };
        let info = &mut self.scene.info;
        info.daemon = in_use
            .filter(|_| self.script.release.has_daemon())
            .map(ToString::to_string);
        info.daemon_height = daemon_height.map(whole);
        info.db_height = db_height.map(whole);
    }

    /// The canary looks in at each poll, whether the RPC answers or not.
    fn visit(&mut self, poll: usize) {
        let felt = &self.script.server.felt;
        if felt.series().next().is_none() {
            return;
        }
        let is_served = felt.series().all(|series| series.at(poll).is_some());
        let seconds =
            |series: &Option<Series<f64>>| at(series.as_ref(), poll).map(Duration::from_secs_f64);
        let height = at(felt.height.as_ref(), poll).map(whole);
        let now = self.scene.at();
        let felt = Felt {
            latency: seconds(&felt.latency_s).unwrap_or(FELT_LATENCY_DEFAULT),
            height: height.or(self.scene.info.db_height).unwrap_or_default(),
            certificate_ends: seconds(&felt.certificate_left_s).map(|left| now + left),
        };
        self.visits.made = vec![Visit {
            at: now,
            felt: is_served.then_some(felt).ok_or(Unserved::Closed),
        }];
    }

    /// What a poll sees, over a new connection if the last was lost.
    fn poll(&mut self) -> Snapshot {
        if !self.is_connected {
            self.is_connected = true;
            self.scene.epoch.0 += 1;
            self.rpc_id = self.scene.next_id();
        }
        let row = rpc_row(self.rpc_id, self.scene.now_ms);
        self.count_in_groups(Peer(row.peer.parse().ok()));
        self.scene.rows.push(row);
        let mut snapshot = self.scene.poll();
        snapshot.rounds = std::mem::take(&mut self.rounds);
        snapshot.visits = std::mem::take(&mut self.visits);
        snapshot
    }

    /// The agent's own connection is in the server's groups as any other. One that it has to itself
    /// says nothing, and is left out.
    fn count_in_groups(&mut self, peer: Peer) {
        let started = Timestamp::from_millis(self.scene.started_ms);
        let uptime = self.scene.at().since(started);
        let names = self.script.release.groups(peer, uptime);
        let groups = self.scene.groups.iter_mut();
        for (_, count) in groups.filter(|(name, _)| names.contains(name)) {
            *count += 1;
        }
    }

    fn inspect(&self, id: u64, poll: usize) -> Option<Inspection> {
        let is_it = |player: &Option<Player>| player.is_some_and(|player| player.id == id);
        let index = self
            .players
            .iter()
            .position(|players| players.iter().any(is_it))?;
        let sessions = &self.script.sessions[index];
        let methods = sessions.methods.iter().map(|(method, series)| {
            let count = series.at(poll).copied().map_or(0, whole);
            (method.to_string(), count)
        });
        Some(Inspection {
            errors: self.count(index, sessions, Count::Errors, poll),
            requests: self.count(index, sessions, Count::Requests, poll),
            methods: methods.collect(),
        })
    }
}

/// The agent's own connection.
fn rpc_row(id: u64, since_ms: i64) -> Row {
    Row {
        id,
        flags: Flags {
            transport: Transport::Rpc,
            closing: false,
            logged: false,
        },
        peer: "127.0.0.1:40000".to_owned(),
        client: "RPC".to_owned(),
        protocol: String::new(),
        since_ms,
        is_age_unknown: false,
        requests: 0,
        recv: 0,
        sent: 0,
        txs: 0,
        subs: 0,
        pending: 0,
        cost: 0.0,
        extra_cost: 0.0,
    }
}

fn at(series: Option<&super::series::Series<f64>>, poll: usize) -> Option<f64> {
    series.and_then(|series| series.at(poll)).copied()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are read as whole numbers from 0 to 2^53"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

fn is_failing(state: DaemonState) -> bool {
    use DaemonState::*;
    matches!(state, Unreachable | Busy | WrongCredentials | WarmingUp)
}

/// A daemon as the prober finds it. `left_at` is where it went its own way, while it goes it.
fn node(daemon: &Daemon, left_at: &mut Option<u64>, poll: usize) -> Node {
    use DaemonState::*;
    let state = daemon.state.at(poll).copied().unwrap_or(Unreachable);
    let height = daemon.height.at(poll).copied();
    let state = if height.is_none() { Unreachable } else { state };
    let height = height.map_or(0, whole);
    *left_at = match state {
        Fork | OtherChain => Some(left_at.unwrap_or(height)),
        _ => None,
    };
    let failing = |failure| Node {
        failure: Some(failure),
        ..Node::at(height)
    };
    let detail = || "as the test says".to_owned();
    // All that any release asks for.
    let indexes = vec![("txindex", true), ("txospenderindex", true)];
    let healthy = Node {
        indexes,
        ..Node::at(height)
    };
    let from = left_at.unwrap_or(height);
    match state {
        Healthy => healthy,
        Unreachable => failing(Failure::Unreachable { detail: detail() }),
        Busy => failing(Failure::Busy { detail: detail() }),
        WrongCredentials => failing(Failure::WrongCredentials),
        WarmingUp => failing(Failure::WarmingUp { detail: detail() }),
        InitialDownload => Node {
            is_initial_download: true,
            ..healthy
        },
        Fork => Node {
            branches: vec![(from, 1)],
            ..healthy
        },
        // Further back than any reorganisation leads.
        OtherChain => Node {
            branches: vec![(from.saturating_sub(1_000), 2)],
            ..healthy
        },
        Pruned => Node {
            is_pruned: true,
            ..healthy
        },
        MissingIndex => Node {
            indexes: Vec::new(),
            ..healthy
        },
    }
}
