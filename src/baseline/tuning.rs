//! The thresholds that keep a budget on one part of a recording, checked on the rest of it.
//!
//! What is hit is taken for a false alarm: the recording is taken for normal life, but for the
//! sessions that policies named for it catch. Each policy has its part of the budget, and its
//! thresholds go up and down together by one factor. The factor is found by halving, all policies at
//! once, each pass over the recording with the production's engine. Policies that no factor helps hit
//! people all the same, so they are counted as they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budget, chance_of, upper_bound};
use super::pass::{Hit, Hits, Pass};
use super::scale::{scaled, toml, upward, why_not};
use super::survey::Seen;
use crate::decision::SessionRef;
use crate::field::Scope;
use crate::policy::{ActionKind, Condition, Mode, Policy, PolicySet};
use crate::time::Timestamp;

/// Factors lie so close together: twenty to a power of ten, each 12 % above the one before.
const STEPS_A_DECADE: i32 = 20;
/// From a tenth to a hundred times today's thresholds.
const STEPS: std::ops::RangeInclusive<i32> = -STEPS_A_DECADE..=2 * STEPS_A_DECADE;

/// The part of the time that thresholds are found by; they are checked on the rest.
const TRAINING: f64 = 2.0 / 3.0;

/// What is unlikelier is no chance.
const CHANCE_MIN: f64 = 0.05;

fn factor(step: i32) -> f64 {
    10_f64.powf(f64::from(step) / f64::from(STEPS_A_DECADE))
}

/// A policy that is left as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// The policy.
    pub policy: Arc<str>,
    /// Why, as a clause.
    pub why: String,
    /// What it hits as it is, if the budget is of what it does; `None` if not, or if it is off.
    pub hits: Option<Hits>,
}

/// One number of a policy, as it is and as it is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field as written.
    pub field: Arc<str>,
    /// The test as written.
    pub present: Arc<str>,
    /// The test as proposed.
    pub proposed: Arc<str>,
}

/// What is proposed for a policy.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The policy.
    pub policy: Arc<str>,
    /// Its scope.
    pub scope: Scope,
    /// All its numbers times this, before they were rounded; `None` if none up to a hundred keeps the
    /// budget, so that they stay as they are.
    pub factor: Option<f64>,
    /// The numbers that are scaled.
    pub changes: Vec<Change>,
    /// Its `when` as proposed, in TOML.
    pub when: String,
    /// Hits by today's thresholds.
    pub present: Hits,
    /// Hits by those proposed.
    pub proposed: Hits,
    /// How the proposed did on the part held out.
    pub verdict: Verdict,
}

impl Proposal {
    /// Whether anything is to be changed.
    pub fn is_change(&self) -> bool {
        self.changes.iter().any(|it| it.present != it.proposed)
    }
}

/// How often was hit what should not, held against what was allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// No factor keeps the budget, so there is nothing to check. Of all together: one of them has
    /// none.
    NoFactor,
    /// Within what is allowed; and long enough for that to be no chance.
    Shown,
    /// Within what is allowed, but in too short a time to show it.
    Kept,
    /// Above what is allowed, but by so little that it happens by chance.
    Chance(f64),
    /// Above what is allowed, by more than chance.
    Broken,
}

impl Verdict {
    fn of(seen: u64, allowed: f64) -> Self {
        if upper_bound(seen) <= allowed {
            return Self::Shown;
        }
        if seen as f64 <= allowed {
            return Self::Kept;
        }
        match chance_of(seen, allowed) {
            chance if chance >= CHANCE_MIN => Self::Chance(chance),
            _ => Self::Broken,
        }
    }

    /// The word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFactor => "no-factor",
            Self::Shown => "shown",
            Self::Kept => "kept",
            Self::Chance(_) => "chance",
            Self::Broken => "broken",
        }
    }
}

/// All that came of it.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// What was allowed.
    pub budget: Budget,
    /// The time that thresholds were found by.
    pub training: Duration,
    /// The time that they were checked on.
    pub held_out: Duration,
    /// Each policy may use so much of the budget: the part of one.
    pub share: f64,
    /// In the order of the policies.
    pub proposals: Vec<Proposal>,
    /// The others.
    pub left_alone: Vec<LeftAlone>,
    /// Those of both that hit more than their part where thresholds were found, whatever the factor.
    pub stuck: Vec<Arc<str>>,
    /// Sessions that today's policies catch and that are taken for abusive.
    pub abusive: usize,
    /// What all policies together hit by today's thresholds, each session once a part.
    pub present: Hits,
    /// The same by those proposed.
    pub proposed: Hits,
    /// All policies together, on the part held out.
    pub verdict: Verdict,
}

/// Where a policy's search stands.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The place in the set.
    policy: usize,
    /// The smallest factor that keeps the budget is one of these; at the end of the range there is
    /// none.
    low: i32,
    high: i32,
}

impl Search {
    const fn is_over(&self) -> bool {
        self.low >= self.high
    }

    const fn middle(&self) -> i32 {
        self.low + (self.high - self.low).div_euclid(2)
    }

    /// The step that was found.
    fn found(&self) -> Option<i32> {
        STEPS.contains(&self.high).then_some(self.high)
    }

    fn is_in_vain(&self) -> bool {
        self.is_over() && self.found().is_none()
    }
}

/// A policy that no factor is looked for.
#[derive(Debug)]
struct Left {
    /// The place in the set.
    policy: usize,
    why: String,
    /// Whether what it hits counts against the budget.
    is_counted: bool,
}

/// The recording is not what it was in the pass before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a part of the recording went while the budget was reckoned: run it again, or copy the recording first"
)]
pub struct Shrunk;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Present,
    Searching,
    Check,
    Over,
}

/// A search under way. Play the recording to each [`Pass`] that [`Tuning::next_pass`] gives, and hand
/// it back to [`Tuning::take`].
#[derive(Debug)]
pub struct Tuning {
    set: PolicySet,
    budget: Budget,
    /// Policies whose hits are abusive; `None` for all.
    abusers: Option<Vec<String>>,
    training: Duration,
    /// It ends here.
    training_to: Timestamp,
    held_out: Duration,
    searches: Vec<Search>,
    left: Vec<Left>,
    stage: Stage,
    /// The polls of the whole, and of the training as the first pass heard it.
    polls: u64,
    training_polls: u64,
    abusive: HashSet<SessionRef>,
    present: HashMap<usize, Hits>,
    proposed: HashMap<usize, Hits>,
    all_present: Hits,
    all_proposed: Hits,
}

impl Tuning {
    /// For policies that judge a recording in which this was seen. What the policies named `abusers`
    /// hit is not counted as false, with `None` what any policy hits.
    pub fn new(set: PolicySet, budget: Budget, abusers: Option<Vec<String>>, seen: &Seen) -> Self {
        let watched = &seen.watched;
        let training = watched.total().mul_f64(TRAINING);
        let mut searches = Vec::new();
        let mut left = Vec::new();
        for (policy, it) in set.policies.iter().enumerate() {
            let not_counted = why_not_counted(it, budget);
            let is_counted = not_counted.is_none();
            match not_counted.or_else(|| why_not(it).map(str::to_owned)) {
                None => searches.push(Search {
                    policy,
                    low: *STEPS.start(),
                    high: *STEPS.end() + 1,
                }),
                Some(why) => left.push(Left {
                    policy,
                    why,
                    is_counted,
                }),
            }
        }
        let is_none = searches.is_empty() && left.iter().all(|it| !it.is_counted);
        Self {
            set,
            budget,
            abusers,
            training,
            training_to: watched.after(training),
            held_out: watched.total().saturating_sub(training),
            stage: if is_none { Stage::Over } else { Stage::Present },
            polls: seen.polls + seen.missed,
            training_polls: 0,
            searches,
            left,
            abusive: HashSet::new(),
            present: HashMap::new(),
            proposed: HashMap::new(),
            all_present: Hits::default(),
            all_proposed: Hits::default(),
        }
    }

    /// The next pass; `None` when all is found.
    pub fn next_pass(&self) -> Option<Pass> {
        let (policies, is_training) = match self.stage {
            Stage::Over => return None,
            Stage::Present => (self.set.policies.clone(), false),
            Stage::Searching => {
                let left = self.searches.iter().filter(|it| !it.is_over());
                let policies = left.map(|it| self.scaled(it.policy, it.middle()));
                (policies.collect(), true)
            }
            Stage::Check => {
                let found = self.searches.iter();
                let found = found.map(|it| self.scaled(it.policy, it.found().unwrap_or(0)));
                let left = self.left_counted();
                let left = left.map(|place| self.set.policies[place].clone());
                (found.chain(left).collect(), false)
            }
        };
        let mut set = self.set.clone();
        set.policies = policies;
        Some(Pass::new(set, self.training_to, is_training))
    }

    fn left_counted(&self) -> impl Iterator<Item = usize> {
        let counted = self.left.iter().filter(|it| it.is_counted);
        counted.map(|it| it.policy)
    }

    /// The policies that the budget is of.
    fn counted_places(&self) -> impl Iterator<Item = usize> {
        let searches = self.searches.iter().map(|it| it.policy);
        searches.chain(self.left_counted())
    }

    fn scaled(&self, place: usize, step: i32) -> Policy {
        let policy = self.set.policies[place].clone();
        Policy {
            when: scaled(&policy, factor(step)),
            ..policy
        }
    }

    /// Takes back a pass that the recording was played to.
    ///
    /// # Errors
    /// It was not all there any more, so that less was counted than before.
    pub fn take(&mut self, pass: &Pass) -> Result<(), Shrunk> {
        self.check_whole(pass)?;
        match self.stage {
            Stage::Over => {}
            Stage::Present => {
                self.find_abusive(pass);
                self.training_polls = pass.training_polls();
                (self.present, self.all_present) = self.counted(pass);
                for place in 0..self.searches.len() {
                    let at = self.searches[place].policy;
                    let hits = self.present.get(&at).copied().unwrap_or_default();
                    self.narrow(place, 0, hits.training);
                    self.bound(place);
                }
                self.stage = Stage::Searching;
            }
            Stage::Searching => {
                for place in 0..self.searches.len() {
                    let search = self.searches[place];
                    if !search.is_over() {
                        let hits = self.hits(pass, search.policy);
                        self.narrow(place, search.middle(), hits.training);
                    }
                }
            }
            Stage::Check => {
                (self.proposed, self.all_proposed) = self.counted(pass);
                self.stage = Stage::Over;
            }
        }
        if self.stage == Stage::Searching && self.searches.iter().all(Search::is_over) {
            self.stage = Stage::Check;
            self.lower_none_if_stuck();
        }
        Ok(())
    }

    fn check_whole(&self, pass: &Pass) -> Result<(), Shrunk> {
        let is_whole = match self.stage {
            Stage::Over => true,
            Stage::Searching => pass.training_polls() >= self.training_polls,
            Stage::Present | Stage::Check => {
                pass.polls() >= self.polls && pass.training_polls() >= self.training_polls
            }
        };
        if is_whole { Ok(()) } else { Err(Shrunk) }
    }

    /// Who uses up more than his part leaves the others none to spend.
    fn lower_none_if_stuck(&mut self) {
        if self.stuck().is_empty() {
            return;
        }
        for search in self.searches.iter_mut().filter(|it| it.high < 0) {
            (search.low, search.high) = (0, 0);
        }
    }

    /// Policies that hit more than their part, whatever the factor.
    fn stuck(&self) -> Vec<usize> {
        let in_vain = self.searches.iter().filter(|it| it.is_in_vain());
        let in_vain = in_vain.map(|it| it.policy);
        let hits = |place: &usize| self.present.get(place).copied().unwrap_or_default();
        let left = self.left_counted();
        let left = left.filter(|place| !self.keeps(0, hits(place).training));
        let mut stuck: Vec<usize> = in_vain.chain(left).collect();
        stuck.sort_unstable();
        stuck
    }

    /// Sessions that are taken for abusive.
    fn find_abusive(&mut self, pass: &Pass) {
        let policies = self.set.policies.iter();
        let named = policies.filter(|policy| match &self.abusers {
            None => true,
            Some(names) => names.iter().any(|name| **name == *policy.name),
        });
        let hits = named.filter_map(|policy| pass.hit(&policy.name));
        let hits = hits.flat_map(|hits| [&hits.training, &hits.held_out]);
        let sessions = hits.flat_map(|hit| &hit.sessions);
        self.abusive = sessions.copied().collect();
    }

    fn hits(&self, pass: &Pass, place: usize) -> Hits {
        let hit = pass.hit(&self.set.policies[place].name);
        let hits = hit.map(|hit| hit.count(self.budget.of, &self.abusive));
        hits.unwrap_or_default()
    }

    /// What each policy hit, and what they all did, each session once a part.
    fn counted(&self, pass: &Pass) -> (HashMap<usize, Hits>, Hits) {
        let each = self.counted_places();
        let each = each.map(|place| (place, self.hits(pass, place)));
        let policies: Vec<&str> = self
            .counted_places()
            .map(|place| &*self.set.policies[place].name)
            .collect();
        let policies = policies.iter();
        let hits = policies.filter_map(|policy| pass.hit(policy));
        let all = Hits {
            training: self.all(hits.clone().map(|hits| &hits.training)),
            held_out: self.all(hits.map(|hits| &hits.held_out)),
        };
        (each.collect(), all)
    }

    fn all<'h>(&self, hits: impl Iterator<Item = &'h Hit>) -> u64 {
        if self.budget.of == ActionKind::Alert {
            return hits
                .map(|hit| hit.count(self.budget.of, &self.abusive))
                .sum();
        }
        let sessions: HashSet<&SessionRef> = hits.flat_map(|hit| &hit.sessions).collect();
        let is_false = |session: &&&SessionRef| !self.abusive.contains(**session);
        sessions.iter().filter(is_false).count() as u64
    }

    /// What one policy may hit in a time.
    fn allowed(&self, time: Duration) -> f64 {
        self.budget.within(time) * self.share()
    }

    fn share(&self) -> f64 {
        1.0 / self.counted_places().count().max(1) as f64
    }

    /// Whether so many hits are within the budget. A threshold below today's must be shown to be, by
    /// a recording that is long enough; one that is raised need not.
    fn keeps(&self, step: i32, hits: u64) -> bool {
        let allowed = self.allowed(self.training);
        if step < 0 {
            upper_bound(hits) <= allowed
        } else {
            hits as f64 <= allowed
        }
    }

    fn narrow(&mut self, place: usize, step: i32, hits: u64) {
        let keeps = self.keeps(step, hits);
        let search = &mut self.searches[place];
        if keeps {
            search.high = step;
        } else {
            search.low = step + 1;
        }
    }

    /// Where the recording can bear no lower threshold, none is looked for.
    fn bound(&mut self, place: usize) {
        let can_be_lower = self.keeps(-1, 0);
        let search = &mut self.searches[place];
        if !can_be_lower {
            search.low = search.low.max(0);
        }
    }

    /// All that came of it, when there are no more passes.
    pub fn finish(self) -> Tuned {
        let held_out = self.held_out;
        let allowed = self.allowed(held_out);
        let proposals = self.searches.iter().map(|search| {
            let policy = &self.set.policies[search.policy];
            let step = search.found();
            let when = scaled(policy, factor(step.unwrap_or(0)));
            let hits = |of: &HashMap<usize, Hits>| of.get(&search.policy).copied();
            let proposed = hits(&self.proposed).unwrap_or_default();
            Proposal {
                policy: policy.name.clone(),
                scope: policy.scope,
                factor: step.map(factor),
                changes: changes(policy, &when),
                when: toml(&when),
                present: hits(&self.present).unwrap_or_default(),
                proposed,
                verdict: match step {
                    None => Verdict::NoFactor,
                    Some(_) => Verdict::of(proposed.held_out, allowed),
                },
            }
        });
        let left_alone = self.left.iter().map(|left| LeftAlone {
            policy: self.set.policies[left.policy].name.clone(),
            why: left.why.clone(),
            hits: left
                .is_counted
                .then(|| self.present.get(&left.policy).copied().unwrap_or_default()),
        });
        let stuck = self.stuck();
        let stuck = stuck.iter().map(|&at| self.set.policies[at].name.clone());
        Tuned {
            budget: self.budget,
            training: self.training,
            held_out,
            share: self.share(),
            proposals: proposals.collect(),
            abusive: self.abusive.len(),
            present: self.all_present,
            proposed: self.all_proposed,
            verdict: self.verdict(),
            left_alone: left_alone.collect(),
            stuck: stuck.collect(),
        }
    }

    /// Of all policies together. Where one never keeps its part, the others' luck is no verdict.
    fn verdict(&self) -> Verdict {
        let allowed = self.budget.within(self.held_out);
        match Verdict::of(self.all_proposed.held_out, allowed) {
            Verdict::Broken => Verdict::Broken,
            _ if !self.stuck().is_empty() => Verdict::NoFactor,
            verdict => verdict,
        }
    }
}

/// Why what a policy hits is nothing to the budget.
fn why_not_counted(policy: &Policy, budget: Budget) -> Option<String> {
    let kind = policy.action.kind();
    if policy.mode == Mode::Off {
        return Some("it is off".to_owned());
    }
    // Nobody did wrong whom an eviction hits.
    let is_other = kind.budget() != budget.of.budget() || kind == ActionKind::Evict;
    if is_other {
        let of = budget.of.name();
        return Some(format!("it is there to {}, not to {of}", verb(kind)));
    }
    None
}

const fn verb(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Disconnect => "disconnect",
        ActionKind::Ban => "ban",
        ActionKind::Evict => "evict",
        ActionKind::Log => "log",
        ActionKind::DaemonUrl => "change the daemon",
        ActionKind::Alert => "alert",
    }
}

fn changes(policy: &Policy, proposed: &Condition) -> Vec<Change> {
    let tests = |of: &Condition| -> Vec<_> {
        let tests = of.any.iter().flat_map(|all| &all.tests);
        tests.cloned().collect()
    };
    let pairs = tests(&policy.when).into_iter().zip(tests(proposed));
    pairs
        .filter(|(present, _)| upward(present, policy.scope).is_some())
        .map(|(present, proposed)| Change {
            field: present.field_written,
            present: present.written,
            proposed: proposed.written,
        })
        .collect()
}
