//! One person or machine at the other end: it connects, does what its kind does, leaves, comes
//! back. It may own several sessions at once, one for each of its addresses.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use super::habit::{Flow, Habits, Kind};
use super::score::{Record, Role};
use super::session::{Arrival, Method, SessionKey, Sessions, Traffic, Transport};
use super::tactic::{self, Dodge, Tactic};

/// Who finds the listeners closed tries again after so many seconds, as least and most.
const TRY_AGAIN_S: (f64, f64) = (1.0, 2.0);

/// Names an actor for as long as the simulation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub(super) u32);

/// An actor's call on the world to tell what just happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Arrived,
    AbuseBegan,
    CameBack,
    GaveUp,
}

/// What is fixed about an actor.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: ActorId,
    pub(super) kind: Kind,
    pub(super) transport: Transport,
    pub(super) client: String,
    pub(super) protocol: &'static str,
    /// One a session. Ports are drawn anew for each connection.
    pub(super) peers: Vec<std::net::IpAddr>,
    pub(super) role: Role,
    pub(super) habits: Habits,
    /// How often each session comes back after being disconnected.
    pub(super) returns: u32,
    pub(super) tactic: Tactic,
}

/// A step of everybody's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Its end.
    pub(super) now: Duration,
    pub(super) dt: Duration,
    /// Times of records count from here.
    pub(super) beginning: Duration,
    /// When an adversary last saw that the agent had polled.
    pub(super) poll_seen: Option<Duration>,
}

#[derive(Clone, Debug)]
enum State {
    Away {
        until: Duration,
    },
    Here {
        key: SessionKey,
        since: Duration,
        leaves_at: Option<Duration>,
    },
    Retired,
}

/// One of the connections that an actor keeps up.
#[derive(Clone, Debug)]
struct Slot {
    state: State,
    returns_left: u32,
    visits_left: u32,
    was_disconnected: bool,
}

/// A client of the simulated server.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) identity: Identity,
    pub(super) record: Record,
    pub(super) habits: Habits,
    rng: Rng,
    /// This one does everything so many times as much as its kind.
    scale: f64,
    slots: Vec<Slot>,
    turns: Vec<Turn>,
    dodge: Dodge,
}

impl Actor {
    pub(super) fn new(identity: Identity, arrives: Duration, mut rng: Rng) -> Self {
        let several = identity.peers.len() > 1;
        let slots = identity
            .peers
            .iter()
            .map(|_| Slot {
                // Many machines of one owner don't start in the same instant.
                state: State::Away {
                    until: arrives + seconds(if several { rng.f64() * 3.0 } else { 0.0 }),
                },
                returns_left: identity.returns,
                visits_left: identity.habits.visits,
                was_disconnected: false,
            })
            .collect();
        let scale = 0.85 + 0.3 * rng.f64();
        let record = Record::new(identity.kind, identity.role);
        Self {
            habits: identity.habits,
            dodge: Dodge::since(arrives),
            identity,
            record,
            rng,
            scale,
            slots,
            turns: Vec::new(),
        }
    }

    pub(super) fn sessions_here(&self) -> impl Iterator<Item = SessionKey> {
        self.slots.iter().filter_map(|slot| match slot.state {
            State::Here { key, .. } => Some(key),
            _ => None,
        })
    }

    pub(super) fn is_retired(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| matches!(slot.state, State::Retired))
    }

    /// Bytes a second that all its sessions pull together once it does its worst.
    pub(super) fn bytes_per_second(&self) -> f64 {
        let flow = self.habits.then;
        flow.requests * flow.reply_bytes * self.scale * self.slots.len() as f64
    }

    /// Failing requests a second once it does its worst.
    pub(super) fn errors_per_second(&self) -> f64 {
        self.habits.then.errors * self.scale * self.slots.len() as f64
    }

    pub(super) fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// Lives through a step.
    pub(super) fn step(&mut self, step: Step, sessions: &mut Sessions) {
        let now = step.now;
        for i in 0..self.slots.len() {
            match self.slots[i].state {
                State::Retired => {}
                State::Away { until } if until > now => {}
                State::Away { .. } if self.slots[i].visits_left == 0 => {
                    self.slots[i].state = State::Retired;
                }
                State::Away { .. } if self.identity.tactic == Tactic::Dodges => {
                    if let Some(leaves_at) = self.dodge.leaves_at(now, step.poll_seen) {
                        self.connect(i, now, step.beginning, sessions);
                        self.stay_until(i, leaves_at);
                    }
                }
                State::Away { .. } if !sessions.takes_another() => self.turned_away(i, step),
                State::Away { .. } => self.connect(i, now, step.beginning, sessions),
                State::Here { key, leaves_at, .. } if leaves_at.is_some_and(|at| at <= now) => {
                    sessions.leave(key);
                    let until = now + self.draw(self.habits.away_s);
                    self.slots[i].state = State::Away { until };
                }
                State::Here { key, .. }
                    if self.identity.tactic == Tactic::Dodges
                        && self.dodge.is_surprised(step.poll_seen) =>
                {
                    sessions.leave(key);
                    self.slots[i].state = State::Away { until: now };
                }
                State::Here { key, since, .. } => self.act(key, since, step, sessions),
            }
        }
    }

    /// The server's listeners are closed: it tries again a moment later.
    fn turned_away(&mut self, i: usize, step: Step) {
        let until = step.now + self.draw(TRY_AGAIN_S);
        self.slots[i].state = State::Away { until };
        let tried_at = step.now.saturating_sub(step.beginning);
        self.record.turned_away_at.get_or_insert(tried_at);
        if self.identity.role.is_honest() {
            self.record.abuse.shut_out_seconds += until.saturating_sub(step.now).as_secs_f64();
        }
    }

    /// What one of its sessions does within a step.
    fn act(&mut self, key: SessionKey, since: Duration, step: Step, sessions: &mut Sessions) {
        let has_woken =
            self.identity.tactic == Tactic::WakesOnce && self.record.abuse_from.is_some();
        let is_leading = !has_woken && step.now.saturating_sub(since) < seconds(self.habits.lead_s);
        if !is_leading && self.is_abusive() {
            self.begin_abuse(step.now.saturating_sub(step.beginning));
        }
        let flow = if is_leading {
            self.habits.lead
        } else {
            self.habits.then
        };
        let traffic = self.traffic(&flow, step.dt, key, sessions);
        sessions.serve(key, &traffic, step.now);
        if self.record.abuse_from.is_some() {
            let subs = sessions.get(key).map_or(0, |session| session.subs);
            self.record.abuse.add(&traffic, subs, step.dt);
        }
    }

    fn is_abusive(&self) -> bool {
        self.identity.role.is_abusive()
    }

    fn stay_until(&mut self, i: usize, until: Duration) {
        if let State::Here { leaves_at, .. } = &mut self.slots[i].state {
            *leaves_at = Some(until);
        }
    }

    /// Has been connected since some time in the past: its greeting, then its steady flow.
    pub(super) fn backdate(&mut self, since: Duration, now: Duration, sessions: &mut Sessions) {
        if self.record.role == Role::Newcomer {
            self.record.role = Role::Regular;
        }
        self.connect(0, since, now, sessions);
        self.turns.clear();
        if let State::Here { key, .. } = self.slots[0].state {
            let past = now.saturating_sub(since);
            let lead = seconds(self.habits.lead_s).min(past);
            let rest = past.saturating_sub(lead);
            for (flow, dt) in [(self.habits.lead, lead), (self.habits.then, rest)] {
                let traffic = self.traffic(&flow, dt, key, sessions);
                sessions.serve(key, &traffic, now);
            }
            if let Some(session) = sessions.get_mut(key) {
                session.cost.settle(now);
            }
            let leaves_at = self.habits.stay_s.map(|stay| now + self.draw(stay));
            self.slots[0].state = State::Here {
                key,
                since,
                leaves_at,
            };
        }
    }

    fn begin_abuse(&mut self, at: Duration) {
        if self.record.abuse_from.is_none() {
            self.record.abuse_from = Some(at);
            self.turns.push(Turn::AbuseBegan);
        }
    }

    fn connect(&mut self, i: usize, now: Duration, beginning: Duration, sessions: &mut Sessions) {
        let slot = &mut self.slots[i];
        slot.visits_left = slot.visits_left.saturating_sub(1);
        let who = &self.identity;
        let client = match who.tactic {
            Tactic::Renames => tactic::other_name(&mut self.rng),
            _ => who.client.clone(),
        };
        let arrival = Arrival {
            actor: Some(who.id),
            transport: who.transport,
            peer: SocketAddr::new(who.peers[i], self.rng.u16(20_000..65_000)),
            client,
            protocol: who.protocol,
        };
        let key = sessions.connect(arrival, now);
        sessions.serve(key, &hello(), now);
        let leaves_at = self.habits.stay_s.map(|stay| now + self.draw(stay));
        self.slots[i].state = State::Here {
            key,
            since: now,
            leaves_at,
        };
        if self.record.met_at.is_none() {
            self.record.met_at = Some(now.saturating_sub(beginning));
            self.turns.push(Turn::Arrived);
        }
        if std::mem::take(&mut self.slots[i].was_disconnected) && self.sessions_here().count() == 1
        {
            self.turns.push(Turn::CameBack);
        }
        if self.habits.lead_s == 0.0 && self.is_abusive() {
            self.begin_abuse(now.saturating_sub(beginning));
        }
        if self.record.abuse_from.is_some() {
            self.record.abuse.connections += 1;
        }
    }

    fn traffic(
        &mut self,
        flow: &Flow,
        dt: Duration,
        key: SessionKey,
        sessions: &Sessions,
    ) -> Traffic {
        let dt = dt.as_secs_f64() * self.scale;
        let has = sessions.get(key).map_or(0, |session| session.subs);
        let room = self.habits.subs_max.saturating_sub(has);
        let requests = self.whole(flow.requests * dt);
        let errors = self.whole(flow.errors * dt);
        let subs = self.whole(flow.subs * dt).min(room);
        let txs = self.whole(flow.txs * dt);
        let recv =
            requests as f64 * flow.request_bytes + subs as f64 * 140.0 + errors as f64 * 90.0;
        let reply = flow.reply_bytes * (0.7 + 0.6 * self.rng.f64());
        let sent = requests as f64 * reply + subs as f64 * 110.0 + errors as f64 * 100.0;
        Traffic {
            requests,
            method: flow.method,
            subs,
            errors,
            txs,
            recv_bytes: self.whole(recv),
            sent_bytes: self.whole(sent),
            pending: self.rng.u64(flow.pending.0..=flow.pending.1),
        }
    }

    /// A whole number near `mean`, right on average.
    fn whole(&mut self, mean: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rates are positive and far below 2^53"
        )]
        let whole = (mean + self.rng.f64()) as u64;
        whole
    }

    fn draw(&mut self, (least, most): (f64, f64)) -> Duration {
        seconds(least + (most - least) * self.rng.f64())
    }

    /// RPC disconnected one of its sessions, `at` after the beginning.
    pub(super) fn disconnected(&mut self, key: SessionKey, now: Duration, at: Duration) {
        let Some(i) = self.slot_of(key) else { return };
        self.record.disconnects += 1;
        self.record.first_disconnect_at.get_or_insert(at);
        let until = now + self.draw(self.habits.sulk_s);
        let slot = &mut self.slots[i];
        slot.was_disconnected = true;
        slot.state = match slot.returns_left.checked_sub(1) {
            Some(left) => {
                slot.returns_left = left;
                State::Away { until }
            }
            None => State::Retired,
        };
        let leaves_by_itself = self.identity.kind == Kind::QuickReconnector;
        // Of a crowd the agent leaves as many as may be: what they still do is no abuse.
        let are_few_left = self.sessions_here().count() * 2 <= self.slots.len();
        if leaves_by_itself || are_few_left {
            self.record.caught_at.get_or_insert(at);
        }
        if self.is_retired() {
            self.turns.push(Turn::GaveUp);
        }
    }

    /// The connection broke through no doing of the actor's: it tries again within seconds.
    pub(super) fn lost(&mut self, key: SessionKey, now: Duration) {
        if let Some(i) = self.slot_of(key) {
            let until = now + self.draw((0.5, 15.0));
            self.slots[i].state = State::Away { until };
        }
    }

    fn slot_of(&self, wanted: SessionKey) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| matches!(slot.state, State::Here { key, .. } if key == wanted))
    }
}

/// What every client says first: who it is.
pub(super) fn hello() -> Traffic {
    Traffic {
        requests: 1,
        method: Method::Version,
        recv_bytes: 84,
        sent_bytes: 64,
        ..Traffic::default()
    }
}

pub(super) fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}
