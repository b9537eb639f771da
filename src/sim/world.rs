//! The simulated server and everyone around it, as a value: pure and deterministic.
//!
//! Time passes only in [`World::advance`]. Inside, it passes in ticks of a fixed length, so that
//! many small steps and one large step of the same sum lead to the same world, byte for byte.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use super::abuse::Abuse;
use super::actor::{Actor, ActorId, Identity, Step, hello};
use super::attack::Attack;
use super::chain::{Chain, Stall};
use super::habit::Kind;
use super::release::Release;
use super::reply::Reply;
use super::score::{Record, Score};
use super::session::{Arrival, SessionKey, Sessions, Traffic, Transport};

/// The length of a step of everybody's life.
const TICK: Duration = Duration::from_millis(250);
/// The same in an attack: coarser, since such worlds are played by the thousand.
const ATTACK_TICK: Duration = Duration::from_millis(500);
/// How long the server has been up when a world begins: 26 hours and some minutes.
const UPTIME: Duration = Duration::from_mins(26 * 60 + 5);
/// Blocks come every 20 seconds or so: a story of minutes has no room for ten-minute blocks.
const BLOCK_INTERVAL: Duration = Duration::from_secs(20);
/// Events that nobody asked for; the oldest go first.
const EVENTS_MAX: usize = 1_000;

/// Something worth telling a person, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the world's beginning.
    pub at: Duration,
    /// Who did it; nothing if it is the server or its daemon.
    pub actor: Option<ActorId>,
    /// One line. What clients said of themselves is escaped.
    pub text: String,
}

/// A server, its clients and its daemon.
#[derive(Clone, Debug)]
pub struct World {
    clock: Duration,
    tick: Duration,
    next_tick: Duration,
    sessions: Sessions,
    actors: Vec<Actor>,
    chain: Chain,
    events: VecDeque<Event>,
    /// For who comes, and when blocks do. Actors have their own.
    rng: Rng,
    /// For what the server leaves to chance when asked; apart, so that asking changes nothing else.
    chance: Rng,
    pid: u32,
    attack: Option<Attack>,
    /// When an adversary last saw that the agent had polled.
    poll_seen: Option<Duration>,
    /// The honest who were disconnected for the first time, and not told of yet.
    mistakes: Vec<ActorId>,
}

impl World {
    /// A server without clients.
    pub fn empty(release: Release, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            clock: UPTIME,
            tick: TICK,
            next_tick: UPTIME + TICK,
            sessions: Sessions::new(release, Duration::ZERO),
            actors: Vec::new(),
            chain: Chain::new(BLOCK_INTERVAL, UPTIME),
            events: VecDeque::new(),
            pid: rng.u32(1_000..60_000),
            chance: rng.fork(),
            rng,
            attack: None,
            poll_seen: None,
            mistakes: Vec::new(),
        }
    }

    /// The release that the server passes for.
    pub fn release(&self) -> Release {
        self.sessions.release()
    }

    /// Time since the world's beginning.
    pub fn now(&self) -> Duration {
        self.clock.saturating_sub(UPTIME)
    }

    /// Lets time pass.
    pub fn advance(&mut self, dt: Duration) {
        let until = self.clock + dt;
        while self.next_tick <= until {
            self.clock = self.next_tick;
            self.next_tick += self.tick;
            self.tick();
        }
        self.clock = until;
    }

    fn tick(&mut self) {
        let now = self.clock;
        for (stall, begins) in self
            .chain
            .turns(now.checked_sub(self.tick).unwrap_or_default(), now)
        {
            self.tell(None, stall_text(stall, begins).to_owned());
        }
        self.tell_mistakes();
        self.tell_attack(now);
        self.chain.step(now, &mut self.rng);
        self.sessions.sweep(now);
        let step = Step {
            now,
            dt: self.tick,
            beginning: UPTIME,
            poll_seen: self.poll_seen,
        };
        for i in self.order() {
            self.actors[i].step(step, &mut self.sessions);
            self.tell_turns(i);
        }
        let second = now.as_secs();
        if now.subsec_nanos() == 0 && second.is_multiple_of(60) {
            self.sessions.cut_idle(now);
            self.sessions.consolidate();
        }
        if now.subsec_nanos() == 0 && second.is_multiple_of(300) {
            self.sessions.refund(now);
        }
    }

    /// Whose turn it is after whom. Where slots are short nobody is always first.
    fn order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.actors.len()).collect();
        if self.sessions.are_limited() {
            self.rng.shuffle(&mut order);
        }
        order
    }

    /// The server is started again: every connection breaks, IDs count from 0, counters begin
    /// anew. The clients come back within seconds.
    pub fn restart(&mut self) {
        let now = self.clock;
        for actor in &mut self.actors {
            let here: Vec<SessionKey> = actor.sessions_here().collect();
            for key in here {
                actor.lost(key, now);
            }
        }
        self.sessions.restart(now);
        self.chain.restart();
        self.pid = self.rng.u32(1_000..60_000);
        self.tell(None, "the server is started again".to_owned());
    }

    /// Adds a client, who first connects at `at` after the world's beginning (at once if that is
    /// past). Its addresses, names and all it does follow from the world's seed.
    pub fn invite(&mut self, kind: Kind, at: Duration) -> ActorId {
        let id = self.next_actor();
        let identity = Identity::draw(id, kind, &mut self.rng);
        self.admit(identity, at)
    }

    pub(super) fn next_actor(&self) -> ActorId {
        ActorId(u32::try_from(self.actors.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn admit(&mut self, identity: Identity, at: Duration) -> ActorId {
        let id = identity.id;
        let rng = self.rng.fork();
        self.actors.push(Actor::new(identity, UPTIME + at, rng));
        id
    }

    /// Connects everyone whose time has come as if they had been here since some time in the
    /// past, with the counters that such a past leaves.
    pub(super) fn backdate(&mut self, ids: &[ActorId], back_max: Duration) {
        let mut pasts: Vec<(Duration, ActorId)> = ids
            .iter()
            .map(|id| {
                (
                    UPTIME.saturating_sub(back_max.mul_f64(0.01 + 0.98 * self.rng.f64())),
                    *id,
                )
            })
            .collect();
        pasts.sort_unstable();
        for (since, ActorId(i)) in pasts {
            self.sessions.skip_ids(self.rng.u64(0..60));
            self.actors[i as usize].backdate(since, UPTIME, &mut self.sessions);
        }
    }

    /// Adds what stands still, from one time after the world's beginning until another.
    pub fn stall(&mut self, what: Stall, from: Duration, until: Duration) {
        self.chain.stall(what, UPTIME + from, UPTIME + until);
    }

    /// A connection that does only what it is told, for tests of one thing.
    pub fn connect(&mut self, peer: SocketAddr, client: &str) -> SessionKey {
        let arrival = Arrival {
            actor: None,
            transport: Transport::Tcp,
            peer,
            client: client.to_owned(),
            protocol: "1.4",
        };
        let key = self.sessions.connect(arrival, self.clock);
        self.sessions.serve(key, &hello(), self.clock);
        key
    }

    /// The client of a session does something, now. Nothing happens if the session is gone.
    pub fn serve(&mut self, key: SessionKey, traffic: &Traffic) {
        self.sessions.serve(key, traffic, self.clock);
    }

    /// A new RPC connection from `peer`.
    pub fn open_rpc(&mut self, peer: SocketAddr) -> SessionKey {
        let arrival = Arrival {
            actor: None,
            transport: Transport::Rpc,
            peer,
            client: "RPC".to_owned(),
            protocol: "RPC",
        };
        self.sessions.connect(arrival, self.clock)
    }

    /// The other end has hung up.
    pub fn hang_up(&mut self, key: SessionKey) {
        self.sessions.leave(key);
    }

    /// True until the server has begun to close the session, or it is gone.
    pub fn is_open(&self, key: SessionKey) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|session| !session.is_closing())
    }

    /// The server's ID of a session, while it is listed.
    pub fn id_of(&self, key: SessionKey) -> Option<u64> {
        self.sessions.get(key).map(|session| session.id)
    }

    /// The reply to `sessions`, `groups` or `getinfo` as the server would write it: the `result`
    /// alone, without a connection that asks. Nothing for any other method.
    pub fn reply(&self, method: &str) -> Option<Vec<u8>> {
        let reply = Reply::new(self, None);
        match method {
            "sessions" => Some(reply.sessions()),
            "groups" => Some(reply.groups()),
            "getinfo" => Some(reply.getinfo()),
            _ => None,
        }
    }

    /// What happened since the last call, oldest first.
    pub fn events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// What became of everyone so far.
    pub fn score(&self) -> Score {
        Score::of(self.actors.iter().map(|actor| &actor.record))
    }

    /// What the world remembers of each actor.
    pub fn records(&self) -> impl Iterator<Item = (ActorId, &Record)> {
        self.actors
            .iter()
            .map(|actor| (actor.identity.id, &actor.record))
    }

    /// The harm that all abusers did so far.
    pub fn abuse(&self) -> Abuse {
        let mut sum = Abuse::default();
        for actor in &self.actors {
            sum += actor.record.abuse;
        }
        sum
    }

    /// When the first abuse began.
    pub fn abuse_from(&self) -> Option<Duration> {
        let began = self.actors.iter().map(|actor| actor.record.abuse_from);
        began.flatten().min()
    }

    /// Whose session bears an ID, if one of the actors'.
    pub fn owner(&self, id: u64) -> Option<ActorId> {
        let mut sessions = self.sessions.as_slice().iter();
        sessions
            .find(|session| session.id == id && !session.is_rpc())
            .and_then(|session| session.arrival.actor)
    }

    /// What the world remembers of an actor.
    pub fn record(&self, ActorId(id): ActorId) -> Option<&Record> {
        self.actors.get(id as usize).map(|actor| &actor.record)
    }

    /// The heights of the two daemons in the server's own list.
    pub fn daemon_heights(&self) -> [u64; 2] {
        self.chain.daemon_heights()
    }

    /// RPC disconnects a session.
    pub(super) fn disconnect(&mut self, key: SessionKey) {
        let (now, at) = (self.clock, self.now());
        if !self.sessions.close(key, now) {
            return;
        }
        let actor = self
            .sessions
            .get(key)
            .and_then(|session| session.arrival.actor);
        if let Some(ActorId(i)) = actor {
            let actor = &mut self.actors[i as usize];
            actor.disconnected(key, now, at);
            if actor.identity.tactic.learns() {
                self.poll_seen = Some(now);
            }
            let record = &self.actors[i as usize].record;
            let is_first = record.role.is_honest() && record.disconnects == 1;
            if is_first && self.attack.is_some() {
                self.mistakes.push(ActorId(i));
            }
            self.tell_turns(i as usize);
        }
    }

    /// The server closes a session for a reason of its own.
    pub(super) fn close(&mut self, key: SessionKey) {
        self.sessions.close(key, self.clock);
    }

    /// Toggles logging of a session; true if it is logged now.
    pub(super) fn toggle_log(&mut self, key: SessionKey) -> bool {
        let Some(session) = self.sessions.get_mut(key) else {
            return false;
        };
        session.logged = !session.logged;
        session.logged
    }

    /// Those that bear an ID: one, or in some releases a client and an RPC connection.
    pub(super) fn keys_with_id(&self, id: u64) -> Vec<SessionKey> {
        self.sessions.keys_with_id(id)
    }

    pub(super) fn ids<'a>(&'a self, keys: &'a [SessionKey]) -> impl Iterator<Item = u64> + 'a {
        keys.iter().filter_map(|key| self.id_of(*key))
    }

    pub(super) fn members(&self, group: &str) -> Vec<SessionKey> {
        let Some(group) = self.sessions.groups.find(group) else {
            return Vec::new();
        };
        let members = self
            .sessions
            .as_slice()
            .iter()
            .filter(|s| s.groups.contains(&Some(group)));
        members.map(|session| session.key).collect()
    }

    /// In an attack, who of the honest was disconnected for the first time.
    fn tell_mistakes(&mut self) {
        let mistakes = std::mem::take(&mut self.mistakes);
        let Some(&first) = mistakes.first() else {
            return;
        };
        let who = self.actors[first.0 as usize].describe();
        let text = match mistakes.len() {
            1 => format!("by mistake: {who} is disconnected"),
            count => format!(
                "by mistake: {who} is disconnected, and {} more of the honest",
                count - 1
            ),
        };
        self.tell(Some(first), text);
    }

    /// In an attack there are too many to tell of each.
    fn tell_turns(&mut self, i: usize) {
        let turns = self.actors[i].take_turns();
        if self.attack.is_some() {
            return;
        }
        for turn in turns {
            let actor = &self.actors[i];
            if let Some(text) = actor.tell(turn) {
                let id = actor.identity.id;
                self.tell(Some(id), text);
            }
        }
    }

    fn tell_attack(&mut self, now: Duration) {
        if let Some(attack) = self.attack
            && now == UPTIME + attack.begins()
        {
            self.tell(None, attack.about().to_owned());
        }
    }

    fn tell(&mut self, actor: Option<ActorId>, text: String) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            at: self.now(),
            actor,
            text,
        });
    }

    pub(super) fn clock(&self) -> Duration {
        self.clock
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(super) fn chain_mut(&mut self) -> &mut Chain {
        &mut self.chain
    }

    pub(super) fn begin(&mut self, attack: Attack) {
        self.attack = Some(attack);
        if let Some(slots) = attack.slots() {
            self.sessions.limit(slots);
        }
        self.tick = ATTACK_TICK;
        self.next_tick = UPTIME + ATTACK_TICK;
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn chance(&mut self) -> &mut Rng {
        &mut self.chance
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }
}

fn stall_text(stall: Stall, begins: bool) -> &'static str {
    match (stall, begins) {
        (Stall::Index, true) => "the server's index stops; the daemon's height goes on",
        (Stall::Index, false) => "the server's index goes on and catches up",
        (Stall::Daemon, true) => "the first daemon's height stops",
        (Stall::Daemon, false) => "the first daemon's height goes on",
    }
}
