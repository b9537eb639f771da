//! The polls of a moment as a test can say them: on an even grid, session by session.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;

use super::{COUNT_MAX, CROWD_MAX, DraftError, Moment, POLLS_MAX, POLLS_MIN};
use crate::daemon::Round;
use crate::decision::{Decision, Peer, Target};
use crate::field::{Field, Scope};
use crate::history::SubnetWidths;
use crate::recording::Tick;
use crate::snapshot::{Generation, Server, Sessions, Transport};
use crate::time::Timestamp;
use crate::trial::script::Count;

/// Where the crowd is cut by rank, in hundredths: finer in the middle, where the median is, and at the
/// top, where those few are that do the most.
const CUTS: [usize; 12] = [0, 15, 30, 42, 50, 58, 70, 85, 95, 98, 99, 100];

/// The parts, by where they begin, that show what is usual there. The others show the average, so
/// that sums are kept.
const MIDDLE: Range<usize> = 25..70;

/// The polls of a moment, on the test's own grid.
pub(super) struct Scene {
    pub(super) interval: Duration,
    pub(super) began: Timestamp,
    pub(super) polls: usize,
    pub(super) missed: BTreeSet<usize>,
    pub(super) restarts: BTreeSet<usize>,
    /// By poll; of those that are missed as before.
    pub(super) server: Vec<Server>,
    /// How long the server took to answer.
    pub(super) latency: Vec<Duration>,
    pub(super) rounds: Vec<Option<Round>>,
    pub(super) generation: Option<Generation>,
    pub(super) lives: Vec<Life>,
}

/// One connection of a client, or several, one after the other.
#[derive(Clone)]
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
    /// Where it came again, and was there at the poll before.
    anew: BTreeSet<usize>,
}

/// Who is written one by one.
pub(super) struct Chosen {
    pub(super) lives: Vec<Life>,
    /// Which of the scene's lives these are.
    taken: BTreeSet<usize>,
}

/// All others.
pub(super) struct Crowd {
    /// How many there are at a poll.
    pub(super) others: usize,
    /// The median, when they were seen first: whether they are regulars goes by it. NaN where no
    /// server tells.
    pub(super) age_s: f64,
    pub(super) bands: Vec<Band>,
}

/// A part of the crowd, all of which do the same.
pub(super) struct Band {
    /// Ranks in the crowd, by whatever is counted.
    pub(super) ranks: Range<usize>,
    /// By poll.
    pub(super) rows: Vec<[f64; Count::ALL.len()]>,
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

    pub(super) fn is_anew(&self, poll: usize) -> bool {
        self.anew.contains(&poll)
    }

    /// The first poll at which it is there.
    fn began(&self) -> usize {
        let mut rows = self.rows.iter();
        rows.position(Option::is_some).unwrap_or(0)
    }

    /// By how much a count grew since the poll before.
    fn grew_at(&self, poll: usize, count: Count) -> f64 {
        let before = poll.checked_sub(1).and_then(|it| self.at(it, count));
        let now = self.at(poll, count).unwrap_or(0.0);
        (now - before.unwrap_or(0.0)).max(0.0)
    }

    /// By how much a count grew at a poll on average, the first of the scene aside.
    fn rate(&self, count: Count) -> f64 {
        let polls = (1..self.rows.len()).filter(|&poll| self.is_there(poll));
        let grew: f64 = polls.clone().map(|poll| self.grew_at(poll, count)).sum();
        grew / polls.count().max(1) as f64
    }

    /// Whether this is the same client, come again after the other left.
    fn follows(&self, other: &Self, interval: Duration) -> bool {
        let who = |it: &Self| {
            let address = it.peer.0.map(|peer| peer.ip());
            (address, it.transport, it.is_logged)
        };
        other.rows.len() <= self.began()
            && self.age_s < interval.as_secs_f64()
            && self.peer.0.is_some()
            && who(self) == who(other)
            && (&self.client, &self.protocol) == (&other.client, &other.protocol)
    }

    /// Goes on as the next.
    fn come_again(&mut self, next: &Self) {
        let began = next.began();
        if self.rows.len() == began {
            self.anew.insert(began);
        }
        self.rows.resize(began, None);
        self.rows.extend_from_slice(&next.rows[began..]);
        self.peer = next.peer;
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
            latency: Vec::new(),
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
        self.latency
            .push(self.latency.last().copied().unwrap_or_default());
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
        self.latency.push(snapshot.sessions_read.took());
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
            if !sessions.flags[row].is_client() {
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

    /// What was around those decided on, as far as their tests looked at it.
    pub(super) fn surroundings(&self, decided: &[Decision], widths: SubnetWidths) -> Vec<Target> {
        let mut found = Vec::new();
        for decision in decided {
            let target = &decision.target;
            let scope = target.scope();
            let seen = decision.evidence.iter();
            let seen = seen.filter_map(|it| Field::seen_from(scope, &it.field));
            for (around, _) in seen.filter(|&(around, _)| around != scope) {
                let known = self.surrounding(target, around, widths);
                found.extend(known.filter(|it| !found.contains(it)));
            }
        }
        found
    }

    fn surrounding(&self, target: &Target, around: Scope, widths: SubnetWidths) -> Option<Target> {
        let address = match target {
            Target::Session(session) => session.peer.0?.ip(),
            Target::Address(net) => net.addr(),
            _ => return None,
        };
        match around {
            Scope::Address => Some(Target::Address(SubnetWidths::ADDRESS.network(address))),
            Scope::Subnet => Some(Target::Subnet(widths.network(address))),
            Scope::Client => {
                let mut lives = self.lives.iter().rev();
                let life = lives.find(|life| life.belongs_to(target))?;
                Some(Target::Client(life.client.as_str().into()))
            }
            _ => None,
        }
    }

    /// Who is written one by one: those decided on and those `around` them, up to `most`, and a few
    /// that are left alone.
    pub(super) fn choose(&self, decided: &[Decision], around: &[Target], most: usize) -> Chosen {
        let moment = self.polls - 1;
        let mut chosen = Chosen {
            lives: Vec::new(),
            taken: BTreeSet::new(),
        };
        // Each target in its turn, so that none goes without for another's sake.
        let targets = decided.iter().map(|it| &it.target);
        let mut queues: Vec<_> = targets
            .chain(around)
            .map(|target| self.visitors(target).into_iter())
            .collect();
        while chosen.lives.len() < most {
            let nexts: Vec<_> = queues.iter_mut().filter_map(Iterator::next).collect();
            if nexts.is_empty() {
                break;
            }
            for (life, of) in nexts {
                let is_new = of.iter().all(|life| !chosen.taken.contains(life));
                if is_new && chosen.lives.len() < most {
                    chosen.lives.push(life);
                    chosen.taken.extend(of);
                }
            }
        }
        chosen.lives.sort_by_key(Life::began);
        let is_meant = |life: &Life| decided.iter().any(|it| life.belongs_to(&it.target));
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
                other.is_there(moment) && !is_meant(other) && !chosen.taken.contains(&life)
            });
            let measured = others.map(|life| (life, measure(&self.lives[life], moment)));
            let most = measured.reduce(|most, it| if it.1 > most.1 { it } else { most });
            if let Some((life, _)) = most.filter(|&(_, value)| value > 0.0) {
                chosen.lives.push(self.lives[life].clone());
                chosen.taken.insert(life);
            }
        }
        chosen
    }

    /// The sessions of a target, those of one client that come and go as one: first who is there at
    /// the moment, then who came most often.
    fn visitors(&self, target: &Target) -> Vec<(Life, Vec<usize>)> {
        let moment = self.polls - 1;
        let mut visitors: Vec<(Life, Vec<usize>)> = Vec::new();
        let lives = self.lives.iter().enumerate();
        for (index, life) in lives.filter(|(_, life)| life.belongs_to(target)) {
            let mut known = visitors.iter_mut();
            match known.find(|(known, _)| life.follows(known, self.interval)) {
                Some((known, of)) => {
                    known.come_again(life);
                    of.push(index);
                }
                None => visitors.push((life.clone(), vec![index])),
            }
        }
        visitors.sort_by_key(|(life, of)| (!life.is_there(moment), Reverse(of.len())));
        visitors
    }

    /// All others as a crowd of parts. Each count has about the quantiles that it had, and in all
    /// about the sum.
    pub(super) fn crowd(&self, chosen: &Chosen) -> Option<Crowd> {
        let others = (0..self.lives.len()).filter(|life| !chosen.taken.contains(life));
        let others: Vec<&Life> = others.map(|life| &self.lives[life]).collect();
        let there = |poll| others.iter().filter(|life| life.is_there(poll)).count();
        let present: usize = (0..self.polls).map(there).sum();
        let present = present.div_ceil(self.polls);
        let size = present.min(CROWD_MAX);
        let ranks = CUTS
            .windows(2)
            .map(|cut| (size * cut[0] / 100)..(size * cut[1] / 100));
        let ranks: Vec<_> = ranks.filter(|ranks| !ranks.is_empty()).collect();
        let mut columns = Vec::new();
        for count in Count::ALL {
            columns.push(self.column(&others, count, &ranks, present));
        }
        let bands = ranks.into_iter().enumerate().map(|(band, ranks)| {
            let row = |poll| Count::ALL.map(|count| columns[count as usize][band][poll]);
            let rows = (0..self.polls).map(row).collect();
            Band { ranks, rows }
        });
        let mut merged: Vec<Band> = Vec::new();
        for band in bands {
            match merged.last_mut().filter(|last| last.rows == band.rows) {
                Some(last) => last.ranks.end = band.ranks.end,
                None => merged.push(band),
            }
        }
        let mut ages_s: Vec<f64> = others.iter().map(|life| life.age_s).collect();
        ages_s.sort_by(f64::total_cmp);
        (size > 0).then_some(Crowd {
            others: present,
            age_s: ages_s.get(ages_s.len() / 2).copied().unwrap_or(f64::NAN),
            bands: merged,
        })
    }

    /// What a count is in each part of the crowd, by poll.
    fn column(
        &self,
        others: &[&Life],
        count: Count,
        bands: &[Range<usize>],
        present: usize,
    ) -> Vec<Vec<f64>> {
        let size = bands.last().map_or(1, |band| band.end);
        // Of a crowd that is cut short each does more.
        let more = if count.begins_anew() {
            present as f64 / size as f64
        } else {
            1.0
        };
        let rates: Vec<f64> = others.iter().map(|life| life.rate(count)).collect();
        let mut column: Vec<Vec<f64>> = vec![Vec::new(); bands.len()];
        for poll in 0..self.polls {
            let grows = poll > 0 && count.begins_anew();
            // By what it is ranked, and what it is or grew by.
            let there = others.iter().zip(&rates).filter_map(|(life, &rate)| {
                let value = life.at(poll, count)?;
                Some(if grows {
                    (rate, life.grew_at(poll, count))
                } else {
                    (value, value)
                })
            });
            let mut there: Vec<(f64, f64)> = there.collect();
            there.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (band, samples) in bands.iter().zip(&mut column) {
                let from = there.len() * band.start / size;
                let to = (there.len() * band.end / size)
                    .max(from + 1)
                    .min(there.len());
                let part = there.get(from..to).unwrap_or_default();
                let is_middle = MIDDLE.contains(&(band.start * 100 / size));
                let value = if is_middle && !grows {
                    part.get(part.len() / 2).map_or(0.0, |it| it.1)
                } else {
                    part.iter().map(|it| it.1).sum::<f64>() / part.len().max(1) as f64
                };
                let before = samples.last().copied().filter(|_| grows).unwrap_or(0.0);
                let more = if grows { more } else { 1.0 };
                samples.push(before + (value * more).floor());
            }
        }
        column
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
            anew: BTreeSet::new(),
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
