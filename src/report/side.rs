//! One set of policies in figures, while they are being collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Timelike as _, Utc};
use hashbrown::HashMap;

use super::bans::{BanTally, Moved};
use super::distinct::Distinct;
use super::helped::HelpedTally;
use super::touched::Which;
use super::{
    Breaker, Decided, EXAMPLES_MAX, Example, LISTED_MAX, Opening, Outcomes, PairFigures,
    PolicyFigures, Replayed, Suppressed, Totals, share,
};
use crate::act::Carried;
use crate::decision::{Decision, Outcome, Suppression};
use crate::field::Scope;
use crate::journal::OutcomeKind;
use crate::policy::{Action, ActionKind, DaemonTarget, Mode, Policy, PolicySet};
use crate::time::Timestamp;
use crate::units::format_duration;
use crate::warden::Followed;

/// A set of policies as the report names it.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which it is, in the user's words: the paths.
    pub label: String,
    /// The policies, in the order of the files.
    pub policies: Vec<PolicyFacts>,
}

impl Side {
    /// A set's policies, in an agent of this mode.
    pub fn of(label: impl Into<String>, set: &PolicySet, mode: Mode) -> Self {
        let policies = set.policies.iter();
        Self {
            label: label.into(),
            policies: policies
                .map(|policy| PolicyFacts::of(policy, mode))
                .collect(),
        }
    }
}

/// What the report says of a policy beside its figures.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub about: String,
    /// What it looks at.
    pub scope: Scope,
    /// What it wants done.
    pub action: Action,
    /// What it wants done to those who do it again.
    pub further: Vec<Action>,
    /// Its mode in the replay.
    pub mode: Mode,
}

impl PolicyFacts {
    /// Of a policy in an agent of this mode; the weaker mode wins.
    pub fn of(policy: &Policy, mode: Mode) -> Self {
        Self {
            name: policy.name.clone(),
            about: policy.about.clone(),
            scope: policy.scope,
            action: policy.action.clone(),
            further: policy.further.clone(),
            mode: policy.mode.min(mode),
        }
    }
}

/// A policy's number in its set.
pub(super) type PolicyId = u32;

/// What became of a decision, as far as figures go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was or would have been carried out.
    Act,
    /// It failed.
    Failed,
    /// It was held back.
    Suppressed,
}

impl Came {
    const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Intended | Outcome::Executed { .. } | Outcome::DryRun => Self::Act,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Suppressed(_) => Self::Suppressed,
        }
    }
}

/// A set's figures so far.
#[derive(Debug)]
pub(super) struct SideTally {
    label: String,
    policies: Vec<PolicyTally>,
    by_name: HashMap<Arc<str>, PolicyId>,
    all: Tally,
    targets: Distinct,
    bans: BanTally,
    breaker: Breaker,
    open_until: Option<Timestamp>,
}

#[derive(Debug)]
struct PolicyTally {
    facts: PolicyFacts,
    tally: Tally,
    sessions: u64,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    examples: Vec<Example>,
    helped: HelpedTally,
}

#[derive(Debug, Default)]
struct Tally {
    outcomes: Outcomes,
    by: BTreeMap<&'static str, u64>,
    targets: u64,
    hours: [u64; 24],
}

impl SideTally {
    pub(super) fn new(side: Side) -> Self {
        let mut tally = Self {
            label: side.label,
            policies: Vec::new(),
            by_name: HashMap::new(),
            all: Tally::default(),
            targets: Distinct::default(),
            bans: BanTally::default(),
            breaker: Breaker::default(),
            open_until: None,
        };
        for facts in side.policies {
            tally.add(facts);
        }
        tally
    }

    fn add(&mut self, facts: PolicyFacts) -> PolicyId {
        let id = PolicyId::try_from(self.policies.len()).unwrap_or(PolicyId::MAX);
        self.by_name.insert(facts.name.clone(), id);
        self.policies.push(PolicyTally {
            facts,
            tally: Tally::default(),
            sessions: 0,
            first_at: None,
            last_at: None,
            examples: Vec::new(),
            helped: HelpedTally::default(),
        });
        id
    }

    /// A decision that nobody announced still counts, under its policy's name.
    fn policy(&mut self, decision: &Decision) -> PolicyId {
        match self.by_name.get(&decision.policy) {
            Some(&id) => id,
            None => self.add(PolicyFacts {
                name: decision.policy.clone(),
                about: String::new(),
                scope: decision.target.scope(),
                action: decision.action.clone(),
                further: Vec::new(),
                mode: decision.mode,
            }),
        }
    }

    /// Takes in a decision, but for its sessions.
    pub(super) fn count(&mut self, carried: &Carried) -> (PolicyId, Came) {
        let (decision, outcome) = (&carried.decision, &carried.outcome);
        let id = self.policy(decision);
        if let Outcome::Suppressed(Suppression::Breaker { until }) = outcome {
            self.breaker_open(decision.at, *until);
            self.breaker.suppressed += 1;
        }
        let came = Came::of(outcome);
        if self.targets.insert(&decision.target) {
            self.all.targets += 1;
        }
        self.all.count(carried, came);
        if came == Came::Act {
            self.bans.count(decision);
        }
        let policy = &mut self.policies[id as usize];
        policy.tally.count(carried, came);
        if self.targets.insert((id, &decision.target)) {
            policy.tally.targets += 1;
        }
        let at = decision.at;
        policy.first_at = Some(policy.first_at.map_or(at, |first| first.min(at)));
        policy.last_at = Some(policy.last_at.map_or(at, |last| last.max(at)));
        policy.keep_if_worse(carried, came);
        (id, came)
    }

    /// A session is the policy's for the first time.
    pub(super) fn count_session(&mut self, policy: PolicyId) {
        self.policies[policy as usize].sessions += 1;
    }

    /// Takes in what became of the load after an act of a policy that is known.
    pub(super) fn followed(&mut self, news: &Followed) {
        if let Some(&id) = self.by_name.get(&news.policy).filter(|_| news.is_last) {
            self.policies[id as usize].helped.add(&news.relief);
        }
    }

    /// The breaker is open at `at`.
    pub(super) fn breaker_open(&mut self, at: Timestamp, until: Timestamp) {
        if self.open_until.is_some_and(|known| known >= until) {
            return;
        }
        // While it is open, its end stays the same.
        self.open_until = Some(until);
        self.breaker.openings += 1;
        if self.breaker.openings_listed.len() < LISTED_MAX {
            self.breaker.openings_listed.push(Opening { at, until });
        }
    }

    pub(super) fn name(&self, policy: PolicyId) -> Arc<str> {
        self.policies[policy as usize].facts.name.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.policies.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.targets.is_full()
    }

    pub(super) const fn bans(&self) -> &BanTally {
        &self.bans
    }

    /// The figures; those on sessions are `touched`'s, and what bans keep out is a part of what was replayed.
    pub(super) fn finish(self, touched: &Totals, kept_out: Moved, replayed: &Replayed) -> Decided {
        let policies = self.policies.into_iter();
        Decided {
            label: self.label,
            totals: Totals {
                outcomes: self.all.outcomes(),
                targets: self.all.targets,
                hours: self.all.hours,
                bans: self.bans.finish(kept_out, replayed),
                ..touched.clone()
            },
            policies: policies
                .map(|policy| policy.finish(replayed.sessions))
                .collect(),
            breaker: self.breaker,
        }
    }
}

impl Tally {
    fn count(&mut self, carried: &Carried, came: Came) {
        let outcomes = &mut self.outcomes;
        outcomes.decisions += 1;
        match &carried.outcome {
            Outcome::Executed { .. } => outcomes.executed += 1,
            Outcome::Intended | Outcome::DryRun => outcomes.would_act += 1,
            Outcome::Failed { .. } => outcomes.failed += 1,
            Outcome::Suppressed(by) => {
                outcomes.suppressed += 1;
                *self.by.entry(by.word()).or_default() += 1;
            }
        }
        if came == Came::Act {
            outcomes.withheld_sessions += carried.withheld as u64;
            self.hours[hour(carried.decision.at)] += 1;
        }
    }

    fn outcomes(&self) -> Outcomes {
        let by = self.by.iter();
        let mut suppressed_by: Vec<_> = by
            .map(|(&by, &decisions)| Suppressed { by, decisions })
            .collect();
        suppressed_by.sort_by_key(|suppressed| std::cmp::Reverse(suppressed.decisions));
        Outcomes {
            suppressed_by,
            ..self.outcomes.clone()
        }
    }
}

impl PolicyTally {
    /// Of each target its worst decision alone, what was done before what was not, the earlier before the later.
    fn keep_if_worse(&mut self, carried: &Carried, came: Came) {
        let rank = |is_done: bool, severity: f64| {
            let severity = if severity.is_nan() { 0.0 } else { severity };
            (is_done, severity)
        };
        let mine = rank(came != Came::Suppressed, carried.decision.severity);
        let of = |example: &Example| rank(example.by.is_none(), example.severity);
        let examples = &mut self.examples;
        if examples.len() == EXAMPLES_MAX && examples.last().is_some_and(|last| of(last) >= mine) {
            return;
        }
        let same = |example: &Example| example.target == carried.decision.target;
        match examples.iter().position(same) {
            Some(known) if of(&examples[known]) >= mine => return,
            Some(known) => drop(examples.remove(known)),
            None => examples.truncate(EXAMPLES_MAX - 1),
        }
        let place = examples.partition_point(|example| of(example) >= mine);
        examples.insert(place, example(carried));
    }

    fn finish(self, sessions_seen: u64) -> PolicyFigures {
        let facts = self.facts;
        PolicyFigures {
            wants: ladder(&facts),
            name: facts.name,
            about: facts.about,
            scope: facts.scope,
            action: facts.action.kind(),
            mode: facts.mode,
            unjudged: None,
            outcomes: self.tally.outcomes(),
            targets: self.tally.targets,
            sessions: self.sessions,
            sessions_share: share(self.sessions, sessions_seen),
            first_at: self.first_at,
            last_at: self.last_at,
            hours: self.tally.hours,
            helped: self.helped.finish(),
            examples: self.examples,
        }
    }
}

impl PolicyFigures {
    /// What of it is compared.
    pub(super) const fn pair(&self) -> PairFigures {
        PairFigures {
            acts: self.outcomes.acts(),
            suppressed: self.outcomes.suppressed,
            sessions: self.sessions,
        }
    }
}

fn example(carried: &Carried) -> Example {
    let decision = &carried.decision;
    let by = match &carried.outcome {
        Outcome::Suppressed(by) => Some(by.word()),
        _ => None,
    };
    Example {
        at: decision.at,
        target: decision.target.clone(),
        outcome: OutcomeKind::of(&carried.outcome).name(),
        by,
        severity: decision.severity,
        held_s: decision.held.as_secs_f64(),
        sessions: decision.sessions.len() as u64,
        spared: u64::from(decision.spared),
        choice: decision.choice.clone(),
        evidence: decision.evidence.clone(),
    }
}

fn hour(at: Timestamp) -> usize {
    DateTime::<Utc>::from_timestamp_millis(at.as_millis()).map_or(0, |time| time.hour() as usize)
}

/// `disconnect, then ban for 10m, 2h`
fn ladder(facts: &PolicyFacts) -> String {
    let mut words = wants(&facts.action);
    let mut is_ban = facts.action.kind() == ActionKind::Ban;
    for (place, rung) in facts.further.iter().enumerate() {
        words.push_str(if place == 0 { ", then " } else { ", " });
        match rung {
            Action::Ban { duration } if is_ban => words.push_str(&format_duration(*duration)),
            rung => words.push_str(&wants(rung)),
        }
        is_ban = rung.kind() == ActionKind::Ban;
    }
    words
}

fn wants(action: &Action) -> String {
    match action {
        Action::Disconnect | Action::Alert => action.kind().to_string(),
        Action::Ban { duration } => format!("ban for {}", format_duration(*duration)),
        Action::Evict { keep_free } => format!("evict until {keep_free} of the slots are free"),
        Action::Log { duration } => format!("log for {}", format_duration(*duration)),
        Action::DaemonUrl { to } => match to {
            DaemonTarget::Primary => "daemon_url to primary".to_owned(),
            DaemonTarget::Best => "daemon_url to best".to_owned(),
            DaemonTarget::Default => "daemon_url to default".to_owned(),
            DaemonTarget::List(daemons) => format!("daemon_url to {}", daemons.join(", ")),
        },
    }
}

/// Both sides, by which they are.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) decided: SideTally,
    pub(super) against: Option<SideTally>,
}

impl Sides {
    pub(super) fn get(&mut self, which: Which) -> Option<&mut SideTally> {
        match which {
            Which::Decided => Some(&mut self.decided),
            Which::Against => self.against.as_mut(),
        }
    }
}
