//! The polls of a moment as a test can say them: on an even grid, session by session.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ipnet::IpNet;

use super::{CHOSEN_MAX, COUNT_MAX, CROWD_MAX, DraftError, Moment, POLLS_MAX, POLLS_MIN};
use crate::daemon::Round;
use crate::decision::{Decision, Peer, Target};
use crate::recording::Tick;
use crate::snapshot::{Generation, Server, Sessions, Transport};
use crate::time::Timestamp;
use crate::trial::script::Count;

/// The polls of a moment, on the test's own grid.
pub(super) struct Scene {
    pub(super) interval: Duration,
    pub(super) began: Timestamp,
    pub(super) polls: usize,
    pub(super) missed: BTreeSet<usize>,
    pub(super) restarts: BTreeSet<usize>,
    /// By poll; of those that are missed as before.
    pub(super) server: Vec<Server>,
    pub(super) rounds: Vec<Option<Round>>,
    pub(super) generation: Option<Generation>,
    pub(super) lives: Vec<Life>,
}

/// One connection of a client.
pub(super) struct Life {
    id: u64,
    pub(super) peer: Peer,
    pub(super) client: String,
    pub(super) protocol: String,
    pub(super) transport: Transport,
    pub(super) is_logged: bool,
    pub(super) age_s: f64,
    /// By poll.
    rows: Vec<Option<[f64; Count::ALL.len()]>>,
}

impl Life {
    pub(super) fn is_there(&self, poll: usize) -> bool {
        self.rows.get(poll).is_some_and(Option::is_some)
    }

    pub(super) fn at(&self, poll: usize, count: Count) -> Option<f64> {
        Some((*self.rows.get(poll)?.as_ref()?)[count as usize])
    }

    /// By how much a count grew, decay left aside.
    fn grew(&self, count: Count) -> f64 {
        let values: Vec<f64> = (0..self.rows.len())
            .filter_map(|poll| self.at(poll, count))
            .collect();
        values
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).max(0.0))
            .sum()
    }

    fn belongs_to(&self, target: &Target) -> bool {
        let address = self.peer.0.map(|peer| peer.ip());
        let is_in = |net: &IpNet| address.is_some_and(|address| net.contains(&address));
        match target {
            Target::Server => false,
            Target::Session(session) => session.id == self.id && session.peer == self.peer,
            Target::Address(net) | Target::Subnet(net) => is_in(net),
            Target::Client(name) => **name == *self.client,
            // By its subnet; who connected at the same time is not looked for.
            Target::Group(name) => {
                let net = name.parse().or_else(|_| format!("{name}.0/24").parse());
                net.is_ok_and(|net| is_in(&net))
            }
        }
    }
}

impl Scene {
    pub(super) fn of(moment: &Moment<'_>) -> Result<Self, DraftError> {
        let interval = interval(moment);
        let needed = polls_needed(moment, interval);
        let mut grid: Vec<(usize, &Tick)> = Vec::new();
        // From the moment back, as far as is needed and nothing is torn.
        let mut back = 0_usize;
        let mut later: Option<&Tick> = None;
        for tick in moment.ticks.iter().rev() {
            if let Some(later) = later {
                let steps = later.at.since(tick.at).as_secs_f64() / interval.as_secs_f64();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at least 1, and what is large ends the search"
                )]
                let steps = steps.round().clamp(1.0, 1e6) as usize;
                back += steps;
            }
            if back >= needed {
                break;
            }
            later = Some(tick);
            grid.push((back, tick));
        }
        while grid.last().is_some_and(|(_, tick)| tick.failure.is_some()) {
            grid.pop();
        }
        let Some(&(first, tick)) = grid.last() else {
            return Err(DraftError::Unseen);
        };
        let mut scene = Self {
            interval,
            began: tick.at,
            polls: first + 1,
            missed: BTreeSet::new(),
            restarts: BTreeSet::new(),
            server: Vec::new(),
            rounds: Vec::new(),
            generation: None,
            lives: Vec::new(),
        };
        let mut connected = HashMap::new();
        for (back, tick) in grid.into_iter().rev() {
            scene.skip_to(first - back);
            scene.take(tick, first - back, &mut connected);
        }
        Ok(scene)
    }

    /// Polls that are not there are missed.
    fn skip_to(&mut self, poll: usize) {
        while self.server.len() < poll {
            self.miss();
        }
    }

    fn miss(&mut self) {
        self.missed.insert(self.server.len());
        let before = self.server.last().cloned().unwrap_or_default();
        self.server.push(before);
        self.rounds.push(None);
    }

    fn take(&mut self, tick: &Tick, poll: usize, connected: &mut HashMap<u64, usize>) {
        if tick.failure.is_some() {
            return self.miss();
        }
        let Tick { snapshot, .. } = tick;
        let before = self.server.last().and_then(|server| server.pid);
        if poll > 0 && snapshot.server.pid.is_some() && snapshot.server.pid != before {
            self.restarts.insert(poll);
            connected.clear();
        }
        self.server.push(snapshot.server.clone());
        self.rounds.push(snapshot.rounds.last().cloned());
        self.generation = snapshot.sessions.generation.or(self.generation);
        let errors: HashMap<u64, f64> = tick
            .inspections
            .iter()
            .map(|(id, inspection)| (*id, inspection.errors as f64))
            .collect();
        let mut still = HashMap::new();
        for row in 0..snapshot.sessions.len() {
            let sessions = &snapshot.sessions;
            if sessions.flags[row].is_rpc() {
                continue;
            }
            let id = sessions.id[row];
            let mut counts = counts(sessions, row);
            let known = connected.get(&id).copied();
            let known = known.filter(|&life| self.lives[life].goes_on(sessions, row, &counts));
            let life = known.unwrap_or_else(|| {
                self.lives.push(Life::new(sessions, row, poll));
                self.lives.len() - 1
            });
            still.insert(id, life);
            let life = &mut self.lives[life];
            let last = life.rows.last().copied().flatten();
            counts[Count::Errors as usize] = errors
                .get(&id)
                .copied()
                .or_else(|| last.map(|last| last[Count::Errors as usize]))
                .unwrap_or(0.0);
            // Who is there before and after a poll that failed was there.
            life.rows.resize(poll, last);
            life.rows.push(Some(counts));
        }
        *connected = still;
    }

    /// The lives that are written one by one: those decided on, and a few that are left alone.
    pub(super) fn choose(&self, decided: &[Decision]) -> Vec<usize> {
        let moment = self.polls - 1;
        let is_meant = |life: &Life| decided.iter().any(|it| life.belongs_to(&it.target));
        let meant = (0..self.lives.len()).filter(|&life| is_meant(&self.lives[life]));
        let (there, gone): (Vec<usize>, Vec<usize>) =
            meant.partition(|&life| self.lives[life].is_there(moment));
        let mut chosen: Vec<usize> = there.into_iter().chain(gone).take(CHOSEN_MAX).collect();
        let measures: [fn(&Life, usize) -> f64; 5] = [
            |life, _| life.grew(Count::SentSize),
            |life, _| life.grew(Count::Cost),
            |life, _| life.grew(Count::Requests),
            |life, moment| life.at(moment, Count::Subs).unwrap_or(0.0),
            |life, moment| life.at(moment, Count::PendingRequests).unwrap_or(0.0),
        ];
        for measure in measures {
            let others = (0..self.lives.len()).filter(|&life| {
                let other = &self.lives[life];
                other.is_there(moment) && !is_meant(other) && !chosen.contains(&life)
            });
            let measured = others.map(|life| (life, measure(&self.lives[life], moment)));
            let most = measured.reduce(|most, it| if it.1 > most.1 { it } else { most });
            chosen.extend(most.filter(|&(_, value)| value > 0.0).map(|(life, _)| life));
        }
        chosen.sort_unstable();
        chosen
    }

    /// All others as so many who do the same: what they do together is what the others did.
    pub(super) fn crowd(
        &self,
        chosen: &[usize],
    ) -> Option<(usize, usize, Vec<[f64; Count::ALL.len()]>)> {
        let is_other = |life: &usize| chosen.binary_search(life).is_err();
        let others: Vec<&Life> = (0..self.lives.len())
            .filter(is_other)
            .map(|life| &self.lives[life])
            .collect();
        let there = |poll| others.iter().filter(|life| life.is_there(poll)).count();
        let present: usize = (0..self.polls).map(there).sum();
        let size = present.div_ceil(self.polls).min(CROWD_MAX);
        if size == 0 {
            return None;
        }
        let mut rows: Vec<[f64; Count::ALL.len()]> = Vec::new();
        for poll in 0..self.polls {
            let row = Count::ALL.map(|count| {
                let sum = |poll| others.iter().filter_map(move |life| life.at(poll, count));
                let Some(before) = rows.last().filter(|_| count.begins_anew()) else {
                    return (sum(poll).sum::<f64>() / there(poll).max(1) as f64).floor();
                };
                let grew = others.iter().filter_map(|life| {
                    let now = life.at(poll, count)?;
                    Some((now - life.at(poll - 1, count).unwrap_or(0.0)).max(0.0))
                });
                before[count as usize] + (grew.sum::<f64>() / size as f64).floor()
            });
            rows.push(row);
        }
        Some((size, present.div_ceil(self.polls), rows))
    }
}

impl Life {
    fn new(sessions: &Sessions, row: usize, poll: usize) -> Self {
        let text = |name| sessions.names.get(name).to_owned();
        Self {
            id: sessions.id[row],
            peer: sessions.peer[row],
            client: text(sessions.client[row]),
            protocol: text(sessions.protocol[row]),
            transport: sessions.flags[row].transport,
            is_logged: sessions.flags[row].logged,
            age_s: sessions.age_s[row],
            rows: vec![None; poll],
        }
    }

    /// Whether a row is this session still.
    fn goes_on(&self, sessions: &Sessions, row: usize, now: &[f64; Count::ALL.len()]) -> bool {
        let last = self.rows.last().copied().flatten().unwrap_or_default();
        let grows = |count: Count| {
            let is_told = count != Count::Errors && count.only_grows();
            !is_told || now[count as usize] >= last[count as usize]
        };
        self.peer == sessions.peer[row] && Count::ALL.into_iter().all(grows)
    }
}

fn counts(sessions: &Sessions, row: usize) -> [f64; Count::ALL.len()] {
    let whole = |count: u64| (count as f64).min(COUNT_MAX);
    let cost = |cost: f64| {
        // A client can make its own absurdly large, and that of others NaN.
        let cost = if cost.is_finite() { cost } else { 0.0 };
        (cost.clamp(0.0, COUNT_MAX) * 10.0).round() / 10.0
    };
    Count::ALL.map(|count| match count {
        Count::Requests => whole(sessions.recv_count[row]),
        Count::RecvSize => whole(sessions.recv_size[row]),
        Count::SentSize => whole(sessions.sent_size[row]),
        Count::TxsSent => whole(sessions.txs_sent[row]),
        Count::Cost => cost(sessions.cost[row]),
        Count::ExtraCost => cost(sessions.extra_cost[row]),
        Count::PendingRequests => whole(sessions.pending_requests[row]),
        Count::Subs => whole(sessions.subs[row]),
        Count::Errors => 0.0,
    })
}

/// As the agent was set, to a whole second.
fn interval(moment: &Moment<'_>) -> Duration {
    let ticks = moment.ticks;
    let told = moment.start.interval;
    let apart = ticks
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at))
        .min();
    let interval = if told.is_zero() {
        apart.unwrap_or_default()
    } else {
        told
    };
    Duration::from_secs_f64(interval.as_secs_f64().round().clamp(1.0, 600.0))
}

/// As far as the policies look back that decide something: a test begins with nothing known.
fn polls_needed(moment: &Moment<'_>, interval: Duration) -> usize {
    let decided = |name: &str| moment.decided.iter().any(|it| *it.policy == *name);
    let policies = moment
        .set
        .policies
        .iter()
        .filter(|policy| decided(&policy.name));
    let back = policies.map(|policy| policy.window + policy.hold).max();
    let polls = back
        .unwrap_or_default()
        .as_secs()
        .div_ceil(interval.as_secs());
    let polls = usize::try_from(polls).unwrap_or(POLLS_MAX) + 3;
    polls.clamp(POLLS_MIN as usize, POLLS_MAX)
}
