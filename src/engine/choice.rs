//! Of a target that is many sessions: who did it.
//!
//! A policy on an address, a subnet, a group or a client name finds that something is wrong with the
//! whole. Whoever caused it is chosen by its own part, until the rest no longer meets the test, and
//! no further:
//!
//! - Numbers that sessions add up to: whoever's part is out of the ordinary, the worst first; then
//!   strangers. Nobody is chosen whose part is below its even share of the threshold: if all were
//!   like that one, the whole would not meet the test.
//! - Coming and going: the addresses that came and went, and of those the sessions that are new. What
//!   addresses did that are not there now counts against those who come and go again and again.
//! - A number of sessions or addresses: the newest beyond it.
//!
//! Regulars are chosen only if their own part is out of the ordinary.
//!
//! What is around a target, tested as `server.pending_requests`, makes nobody guilty: it restricts when a
//! policy acts, and has no part in the choice.

use std::cmp::Ordering;
use std::time::Duration;

use hashbrown::HashMap;

use super::population::usual_of_sessions;
use crate::decision::{Choice, ChosenBy};
use crate::field::{Field, Kind, Scope};
use crate::history::{BRIEF, ColumnId, History, Numbers};
use crate::policy::{AllOf, Comparison, Policy, Predicate, Test};

/// A part is out of the ordinary if it is more than so many times what is normal: the median of the
/// target's other members, and the median of the regulars' sessions.
const ORDINARY_TIMES: f64 = 10.0;

/// Of a regular, a part below this part of the threshold is never out of the ordinary.
const REGULAR_PART_MIN: f64 = 0.25;

/// A regular's part weighs so many times less when the worst are looked for.
const REGULAR_WEIGHT: f64 = 0.1;

/// Coming and going less often than this is nothing out of the ordinary.
const VISITS_MIN: f64 = 1.0;

/// Nor is coming and going as often for each session of an address: many people may be behind it, and
/// their network may fail twice.
const VISITS_EACH: f64 = 2.0;

/// Who comes and goes by itself less often than this is not blamed for what others did who are not
/// there now.
const OFTEN_MIN: f64 = 2.0;

/// A session of a target that is due.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The session's slot.
    pub(super) session: u32,
    /// The slot of its address, or nothing where that stands for many people.
    pub(super) address: Option<u32>,
    pub(super) is_regular: bool,
    pub(super) age: Duration,
    /// Whether it has been connected for less than [`fresh_for`].
    pub(super) is_fresh: bool,
    /// Whether it may be acted on. Who may not be is left out of the evidence, too.
    pub(super) is_free: bool,
}

/// Whether a policy tests how often somebody comes and goes.
pub(super) fn counts_visits(policy: &Policy) -> bool {
    let tables = policy.when.any.iter();
    let mut tests = tables.flat_map(|all| policy.own_tests(all));
    tests.any(|test| {
        matches!(
            test.field,
            Field::NewSessions
                | Field::GoneSessions
                | Field::BriefSessions
                | Field::NewAddresses
                | Field::BriefAddresses
        )
    })
}

/// Whoever connected longer ago than this does not come and go, and has nothing to do with what
/// others did within the policy's window.
pub(super) fn fresh_for(policy: &Policy) -> Duration {
    let tables = policy.when.any.iter();
    let mut tests = tables.flat_map(|all| policy.own_tests(all));
    let is_brief = |test: &Test| matches!(test.field, Field::BriefSessions | Field::BriefAddresses);
    if tests.any(is_brief) {
        policy.window.min(BRIEF)
    } else {
        policy.window
    }
}

/// What is chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// The places of candidates, the worst first.
    pub(super) places: Vec<usize>,
    /// Why, if the tests ask for it.
    pub(super) choice: Option<Choice>,
}

/// How a number of a whole is made up of its members' parts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Makeup {
    /// The sum of its sessions' parts.
    Sum {
        part: ColumnId,
        /// The address's own number, for what sessions did that have left.
        of_address: Option<ColumnId>,
    },
    /// Its addresses' visits.
    Visits {
        of_address: ColumnId,
        /// Whether addresses are counted, and not visits.
        by_address: bool,
    },
    /// So much for each session.
    Sessions { each: f64 },
    /// One for each address.
    Addresses,
}

/// A test that the whole meets, and by which it is told who did it.
#[derive(Debug)]
struct Measure {
    test: usize,
    makeup: Makeup,
    comparison: Comparison,
    threshold: f64,
}

/// Everything that a choice looks at.
pub(super) struct Asked<'a> {
    pub(super) history: &'a History,
    pub(super) policy: &'a Policy,
    /// The table of tests that holds.
    pub(super) when: &'a AllOf,
    /// By test, what its number is compared with.
    pub(super) thresholds: Vec<Option<f64>>,
    /// Of a subnet, its addresses without a session now: they came and went, too.
    pub(super) absent: &'a [u32],
}

impl Asked<'_> {
    /// Chooses among the sessions of one target.
    pub(super) fn choose(&self, candidates: &[Candidate]) -> Chosen {
        if !self.policy.own_tests(self.when).any(Test::is_upward) {
            // By what it is, not by what it does: that is true of each of them. But many people's peer
            // is nobody's in particular, whatever its network is called.
            let is_named =
                |one: &Candidate| self.policy.scope == Scope::Client || one.address.is_some();
            let free = (0..candidates.len())
                .filter(|&place| candidates[place].is_free && is_named(&candidates[place]));
            return Chosen {
                places: free.collect(),
                choice: None,
            };
        }
        let tests = self.when.tests.iter().enumerate();
        let measures: Vec<Measure> = tests
            .filter(|(_, test)| test.scope == self.policy.scope)
            .filter_map(|(place, test)| self.measure(place, test))
            .collect();
        let Some(first) = measures.iter().min_by_key(|measure| measure.rank()) else {
            return Chosen::default();
        };
        let mut count = Count::new(self, &measures, candidates);
        let mut chosen = match first.makeup {
            Makeup::Sum { .. } => count.choose_parts(first),
            Makeup::Visits { .. } => count.choose_visitors(first),
            Makeup::Sessions { .. } | Makeup::Addresses => count.choose_newest(),
        };
        chosen.choice = Some(count.choice(first, &chosen));
        chosen
    }

    /// What those did who are not there now.
    fn part_of_absent(&self, measure: &Measure) -> f64 {
        let Makeup::Visits {
            of_address,
            by_address,
        } = measure.makeup
        else {
            return 0.0;
        };
        let visits = self.history.column(of_address);
        let visits = self.absent.iter().map(|&address| known(visits.of(address)));
        if by_address {
            visits.filter(|&visits| visits > 0.0).count() as f64
        } else {
            visits.sum()
        }
    }

    fn measure(&self, place: usize, test: &Test) -> Option<Measure> {
        let Predicate::Compare(comparison, _) = test.predicate else {
            return None;
        };
        let threshold = self.thresholds[place].filter(|_| comparison.is_upwards())?;
        let plan = self.history.plan();
        let part = |scope| plan.part(self.policy, scope, test.field);
        // A client name's sessions come from many addresses, which have others, too.
        let is_net = matches!(self.policy.scope, Scope::Address | Scope::Subnet);
        let makeup = match test.field {
            Field::Sessions => Makeup::Sessions { each: 1.0 },
            Field::SessionsShare => Makeup::Sessions {
                each: 1.0 / (self.history.present().max(1) as f64),
            },
            Field::Addresses => Makeup::Addresses,
            Field::NewSessions | Field::GoneSessions | Field::BriefSessions => Makeup::Visits {
                of_address: part(Scope::Address)?,
                by_address: false,
            },
            Field::NewAddresses | Field::BriefAddresses => Makeup::Visits {
                of_address: plan.part(self.policy, Scope::Address, test.field.of_address()?)?,
                by_address: true,
            },
            field => Makeup::Sum {
                part: part(Scope::Session)?,
                of_address: part(Scope::Address).filter(|_| is_net && field.info().windowed),
            },
        };
        Some(Measure {
            test: place,
            makeup,
            comparison,
            threshold,
        })
    }
}

impl Measure {
    /// Whose doing it is is asked of what was done before how many there are.
    const fn rank(&self) -> u8 {
        match self.makeup {
            Makeup::Sum { .. } => 0,
            Makeup::Visits { .. } => 1,
            Makeup::Sessions { .. } => 2,
            Makeup::Addresses => 3,
        }
    }

    fn is_met_by(&self, number: f64) -> bool {
        self.comparison.function()(number, self.threshold)
    }
}

/// The choice under way: what the rest comes to.
struct Count<'a> {
    asked: &'a Asked<'a>,
    measures: &'a [Measure],
    candidates: &'a [Candidate],
    /// The places of each address's sessions.
    addresses: Vec<Vec<usize>>,
    /// By candidate: its place in `addresses`.
    address_of: Vec<Option<usize>>,
    /// By measure, then by candidate: its part.
    parts: Vec<Vec<f64>>,
    /// By measure: what those who are left come to, and those who are not there now.
    rests: Vec<f64>,
    absent: Vec<f64>,
    /// By candidate: whether it is left; and by address how many of its are.
    is_left: Vec<bool>,
    left_of_address: Vec<usize>,
    left: usize,
    outliers: u32,
    strangers: u32,
}

impl<'a> Count<'a> {
    fn new(asked: &'a Asked<'a>, measures: &'a [Measure], candidates: &'a [Candidate]) -> Self {
        let (addresses, address_of) = by_address(candidates);
        let mut count = Self {
            asked,
            measures,
            candidates,
            left_of_address: vec![0; addresses.len()],
            addresses,
            address_of,
            parts: Vec::new(),
            rests: vec![0.0; measures.len()],
            absent: Vec::new(),
            is_left: vec![false; candidates.len()],
            left: 0,
            outliers: 0,
            strangers: 0,
        };
        count.parts = measures.iter().map(|it| count.parts_of(it)).collect();
        count.absent = measures.iter().map(|it| asked.part_of_absent(it)).collect();
        for (place, one) in candidates.iter().enumerate() {
            if one.is_free {
                count.put_in(place);
            }
        }
        count
    }

    /// The candidates' parts by one measure.
    fn parts_of(&self, measure: &Measure) -> Vec<f64> {
        let history = self.asked.history;
        let candidates = self.candidates.iter();
        match measure.makeup {
            Makeup::Sum { part, of_address } => {
                let numbers = history.column(part);
                let mut parts: Vec<f64> = candidates
                    .map(|one| known(numbers.of(one.session)))
                    .collect();
                if let Some(of_address) = of_address {
                    self.add_left(&mut parts, part, history.column(of_address));
                }
                parts
            }
            Makeup::Visits { of_address, .. } => {
                let visits = history.column(of_address);
                let of = |one: &Candidate| one.address.map_or(0.0, |it| known(visits.of(it)));
                candidates.map(of).collect()
            }
            Makeup::Sessions { each } => vec![each; candidates.len()],
            Makeup::Addresses => vec![1.0; candidates.len()],
        }
    }

    /// What an address's sessions did that have left is its new sessions' part, as far as their own
    /// pace bears that out: whoever reconnects under another name is one of them, and its neighbours
    /// that come meanwhile do nothing of the kind.
    fn add_left(&self, parts: &mut [f64], part: ColumnId, addresses: Numbers<'_>) {
        let history = self.asked.history;
        for places in &self.addresses {
            let Some(address) = self.candidates[places[0]].address else {
                continue;
            };
            let present: f64 = places.iter().map(|&place| parts[place]).sum();
            let left = known(addresses.of(address)) - present;
            if left <= 0.0 {
                continue;
            }
            let room = |place: usize| {
                let most = history.at_own_pace(part, self.candidates[place].session);
                (most - parts[place]).clamp(0.0, left)
            };
            let fresh = places
                .iter()
                .filter(|&&place| self.candidates[place].is_fresh);
            let rooms: Vec<(usize, f64)> = fresh.map(|&place| (place, room(place))).collect();
            let all: f64 = rooms.iter().map(|(_, room)| room).sum();
            for (place, room) in rooms {
                parts[place] += room * (left / all.max(left));
            }
        }
    }

    fn put_in(&mut self, place: usize) {
        self.is_left[place] = true;
        self.left += 1;
        self.change(place, 1.0);
        if let Some(address) = self.address_of[place] {
            self.left_of_address[address] += 1;
        }
    }

    fn take_out(&mut self, place: usize) {
        self.is_left[place] = false;
        self.left -= 1;
        if let Some(address) = self.address_of[place] {
            self.left_of_address[address] -= 1;
        }
        self.change(place, -1.0);
    }

    /// What coming or going makes of the rests. An address counts as long as one of its is left.
    fn change(&mut self, place: usize, sign: f64) {
        let others = self.address_of[place].map(|address| self.left_of_address[address]);
        for (index, measure) in self.measures.iter().enumerate() {
            let part = self.parts[index][place];
            let change = match measure.makeup {
                Makeup::Sum { .. } | Makeup::Sessions { .. } => part,
                _ if others != Some(0) => 0.0,
                Makeup::Visits {
                    by_address: false, ..
                } => part,
                Makeup::Visits {
                    by_address: true, ..
                } => f64::from(u8::from(part > 0.0)),
                Makeup::Addresses => 1.0,
            };
            self.rests[index] += sign * change;
        }
    }

    /// Whether those who are left, and those who are not there now, still meet every test.
    fn is_met(&self) -> bool {
        self.meets(|index| self.rests[index] + self.absent[index])
    }

    /// Whether those who are left meet every test by themselves.
    fn is_met_by_present(&self) -> bool {
        self.meets(|index| self.rests[index])
    }

    fn meets(&self, number: impl Fn(usize) -> f64) -> bool {
        let mut measures = self.measures.iter().enumerate();
        measures.all(|(index, it)| it.is_met_by(number(index)))
    }

    fn place_of(&self, measure: &Measure) -> usize {
        let mut measures = self.measures.iter();
        let place = measures.position(|other| other.test == measure.test);
        place.unwrap_or_default()
    }

    /// Outliers first, the worst of them; then strangers.
    fn choose_parts(&mut self, measure: &Measure) -> Chosen {
        let index = self.place_of(measure);
        let normal = self.normal(measure);
        let mut chosen = Chosen::default();
        let outliers = self.outliers_of(index, measure, normal);
        for place in outliers {
            if !self.is_met() || !self.has_its_share(index, measure, place) {
                break;
            }
            self.take_out(place);
            self.outliers += 1;
            chosen.places.push(place);
        }
        for place in self.strangers_by_part(index) {
            if !self.is_met() || !self.has_its_share(index, measure, place) {
                break;
            }
            self.take_out(place);
            self.strangers += 1;
            chosen.places.push(place);
        }
        chosen
    }

    /// What a regular's session has; 0 where there are too few regulars to tell.
    fn normal(&self, measure: &Measure) -> f64 {
        let Makeup::Sum { part, .. } = measure.makeup else {
            return 0.0;
        };
        usual_of_sessions(self.asked.history, part).unwrap_or(0.0)
    }

    /// Those whose part is out of the ordinary, in the order in which they go.
    fn outliers_of(&self, index: usize, measure: &Measure, normal: f64) -> Vec<usize> {
        let parts = &self.parts[index];
        let mut free: Vec<f64> = self.places_left().map(|place| parts[place]).collect();
        // The median with and without one of them differs by a rank; with it is the stricter for
        // whoever is above it.
        let others = median_of_others(&mut free);
        let ordinary = ORDINARY_TIMES * normal.max(others);
        let is_outlier = |&place: &usize| {
            let part = parts[place];
            let is_alone_enough = measure.is_met_by(part);
            let is_enough =
                !self.candidates[place].is_regular || part >= measure.threshold * REGULAR_PART_MIN;
            (is_alone_enough || part > ordinary) && is_enough
        };
        let weight = |place: usize| {
            let weight = if self.candidates[place].is_regular {
                REGULAR_WEIGHT
            } else {
                1.0
            };
            parts[place] * weight
        };
        let mut outliers: Vec<usize> = self.places_left().filter(is_outlier).collect();
        outliers.sort_by(|&a, &b| {
            weight(b)
                .total_cmp(&weight(a))
                .then_with(|| self.newer_first(a, b))
        });
        outliers
    }

    /// Strangers, larger parts first, and of parts of one size the newest.
    fn strangers_by_part(&self, index: usize) -> Vec<usize> {
        let parts = &self.parts[index];
        let size = |place: usize| parts[place].max(f64::MIN_POSITIVE).log2().floor();
        let stranger = |&place: &usize| !self.candidates[place].is_regular;
        let mut strangers: Vec<usize> = self.places_left().filter(stranger).collect();
        strangers.sort_by(|&a, &b| {
            size(b)
                .total_cmp(&size(a))
                .then_with(|| self.newer_first(a, b))
        });
        strangers
    }

    /// Whether a part is at least an even share of the threshold among those who are left.
    fn has_its_share(&self, index: usize, measure: &Measure, place: usize) -> bool {
        self.parts[index][place] >= measure.threshold / self.left.max(1) as f64
    }

    fn places_left(&self) -> impl Iterator<Item = usize> {
        (0..self.candidates.len()).filter(|&place| self.is_left[place])
    }

    fn newer_first(&self, a: usize, b: usize) -> Ordering {
        let age = |place: usize| (self.candidates[place].age, self.candidates[place].session);
        age(a).cmp(&age(b))
    }

    /// The addresses that came and went, most often first, and of each the sessions that are new.
    fn choose_visitors(&mut self, measure: &Measure) -> Chosen {
        let index = self.place_of(measure);
        let visits: Vec<f64> = self
            .addresses
            .iter()
            .map(|places| self.parts[index][places[0]])
            .collect();
        let mut others: Vec<f64> = visits.iter().copied().filter(|&it| it > 0.0).collect();
        let ordinary = ORDINARY_TIMES * median_of_others(&mut others).max(VISITS_MIN);
        let sessions: Vec<f64> = self.addresses.iter().map(|it| it.len() as f64).collect();
        let is_outlier =
            |address: usize| visits[address] > ordinary.max(VISITS_EACH * sessions[address]);
        let may_go = |&address: &usize| {
            let is_regular = self.candidates[self.addresses[address][0]].is_regular;
            visits[address] > 0.0 && (!is_regular || is_outlier(address))
        };
        let mut visitors: Vec<usize> = (0..self.addresses.len()).filter(may_go).collect();
        visitors.sort_by(|&a, &b| {
            let first = |address: usize| self.addresses[address][0];
            visits[b]
                .total_cmp(&visits[a])
                .then_with(|| self.newer_first(first(a), first(b)))
        });
        let mut chosen = Chosen::default();
        for address in visitors {
            let is_seldom = visits[address] < OFTEN_MIN;
            if !self.is_met() || is_seldom && !self.is_met_by_present() {
                break;
            }
            for place in self.addresses[address].clone() {
                if !self.is_left[place] {
                    continue;
                }
                self.take_out(place);
                if !self.candidates[place].is_fresh {
                    continue;
                }
                if is_outlier(address) {
                    self.outliers += 1;
                } else {
                    self.strangers += 1;
                }
                chosen.places.push(place);
            }
        }
        chosen
    }

    /// The newest sessions. Of an address anybody's; of a wider target those of strangers, and of
    /// regulars that have far more sessions than others.
    fn choose_newest(&mut self) -> Chosen {
        let mut counts: Vec<f64> = self.left_of_address.iter().map(|&it| it as f64).collect();
        let ordinary = ORDINARY_TIMES * median_of_others(&mut counts).max(1.0);
        let is_crowding = |place: usize| {
            let address = self.address_of[place];
            address.is_some_and(|address| self.left_of_address[address] as f64 > ordinary)
        };
        let may_go = |&place: &usize| {
            self.asked.policy.scope == Scope::Address
                || !self.candidates[place].is_regular
                || is_crowding(place)
        };
        let mut newest: Vec<usize> = self.places_left().filter(may_go).collect();
        newest.sort_by(|&a, &b| self.newer_first(a, b));
        let mut chosen = Chosen::default();
        for place in newest {
            if !self.is_met() {
                break;
            }
            self.take_out(place);
            chosen.places.push(place);
        }
        chosen
    }

    fn choice(&self, measure: &Measure, chosen: &Chosen) -> Choice {
        let index = self.place_of(measure);
        let test = &self.asked.when.tests[measure.test];
        let dimension = match test.field.info().kind {
            Kind::Number(dimension) => Some(dimension),
            _ => None,
        };
        let free = self.candidates.iter().filter(|one| one.is_free);
        let is_regular = |&place: &usize| self.candidates[place].is_regular;
        let regulars = self.places_left().filter(is_regular);
        Choice {
            by: match measure.makeup {
                Makeup::Sum { .. } => ChosenBy::Part,
                Makeup::Visits { .. } => ChosenBy::Visits,
                Makeup::Sessions { .. } | Makeup::Addresses => ChosenBy::Newest,
            },
            field: test.field_written.clone(),
            members: u32::try_from(free.count()).unwrap_or(u32::MAX),
            chosen: u32::try_from(chosen.places.len()).unwrap_or(u32::MAX),
            outliers: self.outliers,
            strangers: self.strangers,
            regulars: u32::try_from(regulars.count()).unwrap_or(u32::MAX),
            rest: self.rests[index].max(0.0) + self.absent[index],
            is_still_met: self.is_met(),
            threshold: measure.threshold,
            dimension,
        }
    }
}

/// The places of each address's sessions, and each candidate's address among them.
fn by_address(candidates: &[Candidate]) -> (Vec<Vec<usize>>, Vec<Option<usize>>) {
    let mut addresses: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<u32, usize> = HashMap::new();
    let address_of = candidates.iter().enumerate().map(|(place, one)| {
        let address = *known.entry(one.address?).or_insert_with(|| {
            addresses.push(Vec::new());
            addresses.len() - 1
        });
        addresses[address].push(place);
        Some(address)
    });
    let address_of = address_of.collect();
    (addresses, address_of)
}

fn known(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

/// The lower of the two in the middle; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    *values.select_nth_unstable_by(last / 2, f64::total_cmp).1
}

/// The median without the largest: what the largest is compared with.
fn median_of_others(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let others = values.len().saturating_sub(1);
    median(&mut values[..others])
}
