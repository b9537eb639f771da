//! One attack, played from beginning to end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeSeed;
use serde_json::{Deserializer, Value, json};

use super::{EPOCH, Prober, Rhythm, settings};
use crate::decision::{Decision, Epoch, Outcome, SessionRef, Suppression};
use crate::limits::{Ruling, Verdict};
use crate::policy::{Action, Mode, PolicySet};
use crate::sim::{Abuse, Attack, Release, Role, SessionKey, World};
use crate::snapshot::{Snapshot, Span};
use crate::warden::Warden;
use crate::wire::{GetinfoSeed, GroupsSeed, Inspection, SessionsDecoder};

const SECOND: Duration = Duration::from_secs(1);
/// Sessions inspected a poll, at most.
const INSPECT_MAX: usize = 20;
/// What became of everyone of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those who connected.
    pub met: u64,
    /// Those of them whom the agent disconnected.
    pub hit: u64,
    /// How often it did.
    pub disconnects: u64,
    /// Those who tried to connect for half a minute in vain, whether they got in later or not.
    pub shut_out: u64,
}

/// Whoever has not got in for so long goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of an attack, by the world's own record. Times since its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Everyone by role.
    pub roles: BTreeMap<Role, Tally>,
    /// The harm done until the end of each second.
    pub abuse: Vec<Abuse>,
    /// When the first abuse began.
    pub abuse_from: Option<Duration>,
    /// The first poll after that.
    pub evident_from: Option<Duration>,
    /// When an abuser was first disconnected.
    pub first_act: Option<Duration>,
    /// By policy, how long the breaker held it back.
    pub stopped: BTreeMap<Arc<str>, Duration>,
    /// By policy, how many sessions of the honest it disconnected.
    pub blamed: BTreeMap<Arc<str>, u64>,
    /// When the server was sent to another daemon.
    pub failover: Option<Duration>,
    /// How often the server was polled.
    pub polls: u32,
}

/// Plays an attack to its end: with an agent that enforces these policies, or without any.
pub fn play(attack: Attack, release: Release, seed: u64, policies: Option<&PolicySet>) -> Run {
    let world = World::under(attack, release, seed);
    match policies {
        None => unguarded(world, attack),
        Some(set) => Game::new(world, attack, seed, set).play(),
    }
}

fn unguarded(mut world: World, attack: Attack) -> Run {
    let mut run = Run::default();
    while world.now() < attack.length() {
        world.advance(SECOND);
        run.note_abuse(&world);
    }
    run.end(&world);
    run
}

impl Run {
    /// The harm done until then.
    pub fn abuse_until(&self, at: Duration) -> Abuse {
        let seconds = whole_seconds(at).min(self.abuse.len());
        let done = seconds.checked_sub(1).map(|last| self.abuse[last]);
        done.unwrap_or_default()
    }

    /// Takes in that the server is polled now.
    pub(crate) fn note_poll(&mut self, world: &World) {
        self.polls += 1;
        if self.evident_from.is_none() && world.abuse_from().is_some() {
            self.evident_from = Some(world.now());
        }
    }

    /// Takes in the harm done until now, if a second has passed.
    pub(crate) fn note_abuse(&mut self, world: &World) {
        if self.abuse.len() < whole_seconds(world.now()) {
            self.abuse.resize(whole_seconds(world.now()), world.abuse());
        }
    }

    /// Takes in the honest whom a decision that is carried out falls on.
    pub(crate) fn note_blame(&mut self, decision: &Decision, world: &World) {
        let sessions = decision.sessions.iter();
        let owners = sessions.filter_map(|session| world.record(world.owner(session.id)?));
        let honest = owners.filter(|record| record.role.is_honest()).count() as u64;
        if honest > 0 {
            *self.blamed.entry(decision.policy.clone()).or_default() += honest;
        }
    }

    /// Takes in what became of everyone.
    pub(crate) fn end(&mut self, world: &World) {
        self.abuse_from = world.abuse_from();
        for (_, record) in world.records() {
            let Some(waited) = record.waited(world.now()) else {
                continue;
            };
            let tally = self.roles.entry(record.role).or_default();
            tally.shut_out += u64::from(waited > PATIENCE);
            if record.met_at.is_none() {
                continue;
            }
            tally.met += 1;
            tally.hit += u64::from(record.disconnects > 0);
            tally.disconnects += record.disconnects;
            if record.role == Role::Abuser
                && let Some(at) = record.first_disconnect_at
            {
                self.first_act = Some(self.first_act.map_or(at, |first| first.min(at)));
            }
        }
    }
}

/// The core at a simulated server.
struct Game {
    world: World,
    attack: Attack,
    rpc: SessionKey,
    warden: Warden,
    rhythm: Rhythm,
    decoder: SessionsDecoder,
    snapshot: Snapshot,
    prober: Prober,
    run: Run,
}

impl Game {
    fn new(mut world: World, attack: Attack, seed: u64, set: &PolicySet) -> Self {
        let rpc = world.open_rpc(RPC_PEER.into());
        Self {
            rpc,
            warden: Warden::new(set.clone(), settings(attack, Mode::Enforce)),
            world,
            attack,
            rhythm: Rhythm::new(seed),
            decoder: SessionsDecoder::default(),
            snapshot: Snapshot::default(),
            prober: Prober::default(),
            run: Run::default(),
        }
    }

    fn play(mut self) -> Run {
        let mut since = Duration::ZERO;
        while self.world.now() < self.attack.length() {
            let is_alert = self.poll(since);
            since = self.rhythm.interval(is_alert);
            self.pass(since);
        }
        self.run.end(&self.world);
        self.run
    }

    /// Lets time pass, and notes the harm done at the end of each second.
    fn pass(&mut self, time: Duration) {
        let until = (self.world.now() + time).min(self.attack.length());
        while self.world.now() < until {
            let second = Duration::from_secs(self.run.abuse.len() as u64 + 1);
            let next = second.min(until);
            self.world.advance(next.saturating_sub(self.world.now()));
            self.run.note_abuse(&self.world);
        }
    }

    /// A poll, with all that follows from it, `since` so long after the one before. True if anything is
    /// up.
    fn poll(&mut self, since: Duration) -> bool {
        self.run.note_poll(&self.world);
        self.read();
        if self.attack.sticks_daemon() {
            self.snapshot.rounds.extend(self.prober.round(&self.world));
        }
        self.warden.observe(&self.snapshot);
        self.inspect();
        let judgement = self.warden.judge(&self.snapshot);
        let (rulings, held_off) = (judgement.rulings, judgement.held_off);
        self.snapshot.rounds.clear();
        self.note_stopped(&rulings, since);
        let is_alert = self.warden.is_alert(&self.snapshot);
        for ruling in rulings {
            if ruling.mode == Mode::Enforce && matches!(ruling.verdict, Verdict::Permitted { .. }) {
                self.carry_out(&ruling.decision);
            }
        }
        self.hold_off(&held_off);
        is_alert
    }

    fn read(&mut self) {
        let at = EPOCH + self.world.now();
        let span = Span {
            asked: at,
            answered: at,
        };
        let snapshot = &mut self.snapshot;
        snapshot.epoch = Epoch(1);
        (snapshot.server_read, snapshot.sessions_read) = (span, span);
        decode(&self.world, "getinfo", GetinfoSeed(&mut snapshot.server));
        if self.warden.needs_groups() {
            decode(&self.world, "groups", GroupsSeed(&mut snapshot.groups));
        }
        let sessions = self.world.reply("sessions").unwrap_or_default();
        self.decoder
            .decode(&sessions, &mut snapshot.sessions)
            .expect("the simulated server answers as real ones do");
    }

    fn inspect(&mut self) {
        if self.world.release() < Release::V2_0_0 {
            return;
        }
        for id in self.warden.inspect_next(INSPECT_MAX) {
            let params = json!({ "session_id": id });
            if let Some(result) = self.request("inspect_session", &params)
                && let Ok(inspection) = serde_json::from_value::<Inspection>(result)
            {
                self.warden.inspected(id, &inspection);
            }
        }
    }

    /// Asks the server over the agent's connection; what it refuses is nothing.
    fn request(&mut self, method: &str, params: &Value) -> Option<Value> {
        // Idle connections are cut.
        if !self.world.is_open(self.rpc) {
            self.rpc = self.world.open_rpc(RPC_PEER.into());
        }
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.world.request(self.rpc, request.to_string().as_bytes());
        let mut reply: Value = serde_json::from_slice(&answer.bytes).ok()?;
        reply.get_mut("result").map(Value::take)
    }

    fn note_stopped(&mut self, rulings: &[Ruling], since: Duration) {
        let mut stopped: Vec<&Arc<str>> = rulings
            .iter()
            .filter(|ruling| is_stopped(&ruling.verdict))
            .map(|ruling| &ruling.decision.policy)
            .collect();
        stopped.sort_unstable();
        stopped.dedup();
        for policy in stopped {
            *self.run.stopped.entry(policy.clone()).or_default() += since;
        }
    }

    /// Whoever is banned and there goes; there is no firewall.
    fn hold_off(&mut self, sessions: &[SessionRef]) {
        if !sessions.is_empty() && self.disconnect(sessions).is_some() {
            self.warden.held_off(sessions, self.snapshot.at());
        }
    }

    fn disconnect(&mut self, sessions: &[SessionRef]) -> Option<Value> {
        let ids: Vec<String> = sessions
            .iter()
            .map(|session| session.id.to_string())
            .collect();
        self.request("disconnect", &json!({ "session_ids": ids }))
    }

    fn carry_out(&mut self, decision: &Decision) {
        let reply = match &decision.action {
            Action::Disconnect | Action::Ban { .. } | Action::Evict { .. } => {
                self.run.note_blame(decision, &self.world);
                self.disconnect(&decision.sessions)
            }
            Action::DaemonUrl { .. } => {
                let now = self.world.now();
                self.run.failover.get_or_insert(now);
                let urls: Vec<String> = decision.daemons.iter().map(ToString::to_string).collect();
                self.request("daemon_url", &json!({ "daemon_url": urls.join(",") }))
            }
            Action::Alert => Some(Value::Null),
            // No policy that ships logs.
            Action::Log { .. } => None,
        };
        let detail = String::new();
        let outcome = match reply {
            Some(_) => Outcome::Executed { detail },
            None => Outcome::Failed { detail },
        };
        let at = self.snapshot.at();
        self.warden.settle(decision, &outcome, 0, at);
    }
}

fn whole_seconds(time: Duration) -> usize {
    usize::try_from(time.as_secs()).unwrap_or(usize::MAX)
}

const RPC_PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

fn is_stopped(verdict: &Verdict) -> bool {
    let Verdict::Suppressed { by, .. } = verdict else {
        return false;
    };
    matches!(by, Suppression::Breaker { .. })
}

fn decode<S>(world: &World, method: &str, seed: S)
where
    S: for<'de> DeserializeSeed<'de, Value = ()>,
{
    let reply = world.reply(method).unwrap_or_default();
    let decoded = seed.deserialize(&mut Deserializer::from_slice(&reply));
    decoded.expect("the simulated server answers as real ones do");
}
