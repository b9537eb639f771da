//! Who did it how often: each act is a strike, which fades.

use std::collections::BTreeSet;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Face;
use crate::time::Timestamp;

/// As many offenders are remembered; beyond that those go first of whose strikes the least is left.
pub const STRIKES_MAX: usize = 200_000;

/// Of more than that one in so many goes at once.
const EVICTED_PART: usize = 64;

/// Strikes that have faded to less count no more: one of them is not a half.
const FADED: f64 = 0.5;

/// For so long it is remembered that others with a good name were seen at an address.
const SHARED_FOR: Duration = Duration::from_hours(24);

/// Strikes at the time of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strike {
    /// How many, what has faded of the earlier ones left out.
    pub level: f64,
    /// When the last one was.
    pub at: Timestamp,
}

/// An address (/32 or /64) or subnet with strikes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offender {
    /// Which.
    pub net: IpNet,
    /// What was done to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub real: Option<Strike>,
    /// What would have been, and was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rehearsed: Option<Strike>,
    /// When somebody else with a good name was last seen there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shared_at: Option<Timestamp>,
}

impl Offender {
    const fn new(net: IpNet) -> Self {
        Self {
            net,
            real: None,
            rehearsed: None,
            shared_at: None,
        }
    }

    /// Its strikes.
    pub const fn of(&self, face: Face) -> Option<Strike> {
        match face {
            Face::Real => self.real,
            Face::Rehearsed => self.rehearsed,
        }
    }

    /// Whether it is what an agent may have saved; it may come from anywhere.
    pub(crate) fn is_sound(&self) -> bool {
        let strikes = self.real.iter().chain(&self.rehearsed);
        self.net == self.net.trunc()
            && strikes
                .clone()
                .all(|it| it.level.is_finite() && it.level >= 0.0)
    }
}

/// All strikes.
#[derive(Debug)]
pub struct Strikes {
    half_life: Duration,
    offenders: HashMap<IpNet, Offender>,
    max: usize,
    /// As they were before this poll's strikes.
    before: HashMap<IpNet, Option<Offender>>,
    changed: BTreeSet<IpNet>,
}

impl Strikes {
    /// Nobody has any.
    pub fn new(half_life: Duration) -> Self {
        Self {
            half_life,
            offenders: HashMap::new(),
            max: STRIKES_MAX,
            before: HashMap::new(),
            changed: BTreeSet::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Takes up what an earlier run left.
    pub fn restore(&mut self, offenders: Vec<Offender>) {
        let sound = offenders.into_iter().filter(Offender::is_sound);
        let kept = sound.take(self.max);
        self.offenders = kept.map(|offender| (offender.net, offender)).collect();
        self.before.clear();
        self.changed.clear();
    }

    /// All offenders, in the order of their networks.
    pub fn all(&self) -> Vec<Offender> {
        let mut all: Vec<Offender> = self.offenders.values().copied().collect();
        all.sort_unstable_by_key(|offender| offender.net);
        all
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.offenders.is_empty()
    }

    /// The strikes of a network at `at`, as far as they have not faded.
    pub fn level(&self, net: &IpNet, face: Face, at: Timestamp) -> f64 {
        let strike = self.last(net, face);
        strike.map_or(0.0, |strike| self.left(strike, at))
    }

    /// The last strike of a network.
    pub fn last(&self, net: &IpNet, face: Face) -> Option<Strike> {
        self.offenders.get(net)?.of(face)
    }

    /// What is left of strikes. If the clock went back, all is.
    fn left(&self, strike: Strike, at: Timestamp) -> f64 {
        let halves = at.since(strike.at).as_secs_f64() / self.half_life.as_secs_f64();
        let left = strike.level * (-halves).exp2();
        if left < FADED { 0.0 } else { left }
    }

    /// Before the strikes of a poll.
    pub fn begin(&mut self) {
        self.before.clear();
    }

    /// A strike against a network: a real one is rehearsed as well.
    pub fn strike(&mut self, net: IpNet, face: Face, at: Timestamp) {
        let struck = |strike: Option<Strike>, strikes: &Self| {
            let left = strike.map_or(0.0, |strike| strikes.left(strike, at));
            Some(Strike {
                level: left + 1.0,
                at,
            })
        };
        let known = self.offenders.get(&net).copied();
        let mut offender = known.unwrap_or(Offender::new(net));
        if face == Face::Real {
            offender.real = struck(offender.real, self);
        }
        offender.rehearsed = struck(offender.rehearsed, self);
        self.before.entry(net).or_insert(known);
        self.put(offender, at);
    }

    /// The strikes of this poll did not come to anything.
    pub fn take_back(&mut self, net: &IpNet) {
        match self.before.remove(net) {
            Some(Some(before)) => {
                self.offenders.insert(*net, before);
            }
            Some(None) => {
                self.offenders.remove(net);
            }
            None => return,
        }
        self.changed.insert(*net);
    }

    /// Somebody else with a good name is at an address that has strikes.
    pub fn share(&mut self, net: &IpNet, at: Timestamp) {
        let known = self.offenders.get(net).copied();
        let mut offender = known.unwrap_or(Offender::new(*net));
        offender.shared_at = Some(at);
        self.put(offender, at);
    }

    /// Whether somebody else with a good name was there not long ago.
    pub fn is_shared(&self, net: &IpNet, at: Timestamp) -> bool {
        let offender = self.offenders.get(net);
        let shared_at = offender.and_then(|offender| offender.shared_at);
        shared_at.is_some_and(|shared_at| at.since(shared_at) < SHARED_FOR)
    }

    /// Forgets all strikes of a network; whether it had any.
    pub fn pardon(&mut self, net: &IpNet) -> bool {
        let had = self.offenders.remove(net).is_some();
        if had {
            self.changed.insert(*net);
        }
        had
    }

    /// The same of a network and of all within it. Who shares an address is not forgotten with it.
    pub fn pardon_within(&mut self, net: &IpNet) {
        let within = self.offenders.keys().filter(|it| net.contains(*it));
        for net in within.copied().collect::<Vec<_>>() {
            let shared_at = self.offenders[&net].shared_at;
            self.pardon(&net);
            if shared_at.is_some() {
                let offender = Offender {
                    shared_at,
                    ..Offender::new(net)
                };
                self.offenders.insert(net, offender);
            }
        }
    }

    /// How many strikes a network and those within it have at `at`, and how many of these there are.
    pub fn within(&self, net: &IpNet, face: Face, at: Timestamp) -> (usize, f64) {
        let levels = self.offenders.keys().filter(|it| net.contains(*it));
        let levels = levels.map(|it| self.level(it, face, at));
        levels
            .filter(|level| *level > 0.0)
            .fold((0, 0.0), |(count, sum), level| (count + 1, sum + level))
    }

    /// Those that changed since this was asked last; `None` of one that is forgotten.
    pub fn take_changed(&mut self) -> Vec<(IpNet, Option<Offender>)> {
        let changed = std::mem::take(&mut self.changed);
        let now = changed.into_iter();
        now.map(|net| (net, self.offenders.get(&net).copied()))
            .collect()
    }

    fn put(&mut self, offender: Offender, at: Timestamp) {
        if self.offenders.len() >= self.max && !self.offenders.contains_key(&offender.net) {
            self.make_room(at);
        }
        self.changed.insert(offender.net);
        self.offenders.insert(offender.net, offender);
    }

    /// Nobody washes out those who did it often by having many do it once.
    fn make_room(&mut self, at: Timestamp) {
        let rank = |offender: &Offender| {
            let of = |strike: Option<Strike>| strike.map_or(0.0, |strike| self.left(strike, at));
            let last = offender.rehearsed.or(offender.real).map(|strike| strike.at);
            (of(offender.real).max(of(offender.rehearsed)), last)
        };
        let mut all: Vec<_> = self
            .offenders
            .values()
            .map(|it| (rank(it), it.net))
            .collect();
        all.sort_unstable_by(|(a, net), (b, other)| {
            a.0.total_cmp(&b.0)
                .then_with(|| a.1.cmp(&b.1))
                .then_with(|| net.cmp(other))
        });
        let part = (self.max / EVICTED_PART).max(1);
        let faded = all.iter().take_while(|((left, _), _)| *left <= 0.0).count();
        for (_, net) in all.into_iter().take(part.max(faded)) {
            self.offenders.remove(&net);
            self.changed.insert(net);
        }
    }
}
