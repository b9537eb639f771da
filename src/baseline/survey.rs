//! Every number of every target at every poll of a recording, counted by field and scope.
//!
//! The numbers are the history's own, those that policies test. A sample is a target at a poll: who
//! stays for an hour gives many. Only targets with a session are sampled, for nothing can be done to
//! the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::spread::Spread;
use crate::decision::Target;
use crate::field::{Dimension, Field, Kind, Scope};
use crate::history::{ColumnId, Continuity, History, Plan};
use crate::policy::{
    Action, AllOf, Comparison, Condition, Members, Mode, Policy, PolicySet, Predicate, Test,
    Threshold,
};
use crate::recording::{Start, Tick};
use crate::time::Timestamp;
use crate::warden::Settings;

/// What is to be surveyed.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Over which windowed fields are taken.
    pub window: Duration,
    /// Whether private peers are addresses and subnets too.
    pub include_private: bool,
    /// These scopes.
    pub scopes: Vec<Scope>,
    /// Fields of these names; all, if there is none.
    pub fields: Vec<String>,
}

impl Survey {
    fn wants(&self, scope: Scope, field: Field) -> bool {
        let is_named = |name: &String| Field::of(scope, name) == Some(field);
        self.scopes.contains(&scope)
            && (self.fields.iter().any(is_named) || self.fields.is_empty() && !is_height(field))
    }

    /// The methods of a field, those that are named, if it has any; once nothing if it has none.
    fn methods(&self, field: Field) -> Vec<Option<Arc<str>>> {
        if !field.has_method() {
            return vec![None];
        }
        let named = self.fields.iter();
        let methods = named.filter_map(|name| field.method(name));
        methods.map(|method| Some(method.into())).collect()
    }
}

/// The spread of one field of one scope.
#[derive(Clone, Debug)]
pub struct FieldSpread {
    /// What its samples are of.
    pub subject: Subject,
    /// What the numbers count.
    pub dimension: Dimension,
    /// How they spread.
    pub spread: Spread,
    /// Who had the greatest.
    pub peak: Option<Peak>,
    /// Whether it was asked for; others are there for a policy's sake.
    pub is_asked: bool,
}

/// A field of a scope, as a policy looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The scope.
    pub scope: Scope,
    /// The field.
    pub field: Field,
    /// The method, of a field that has one.
    pub method: Option<Arc<str>>,
    /// The window, of a field that has one.
    pub window: Option<Duration>,
    /// Whether private peers are addresses and subnets too.
    pub include_private: bool,
}

impl Subject {
    /// As written in a policy.
    pub fn name(&self) -> String {
        let method = self.method.as_deref().unwrap_or_default();
        format!("{}{method}", self.field.name())
    }

    /// A policy that looks at nothing else, so that the history computes it.
    fn policy(&self, dimension: Dimension) -> Policy {
        let test = Test {
            scope: self.scope,
            field: self.field,
            method: self.method.clone(),
            predicate: Predicate::Compare(Comparison::Greater, Threshold::Fixed(0.0)),
            field_written: self.name().into(),
            written: format!("> {}", crate::units::format(0.0, dimension)).into(),
        };
        Policy {
            name: "baseline".into(),
            about: String::new(),
            scope: self.scope,
            when: Condition {
                any: vec![AllOf { tests: vec![test] }],
            },
            unless: None,
            window: self.window.unwrap_or_default(),
            hold: Duration::ZERO,
            at_once: None,
            backoff: None,
            action: Action::Alert,
            further: Vec::new(),
            cooldown: Duration::ZERO,
            limit: None,
            mode: Mode::DryRun,
            include_private: self.include_private,
            members: Members::default(),
        }
    }
}

/// The greatest number of all, and whose it was. Clients choose names and addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    /// When it was first seen.
    pub at: Timestamp,
    /// Whose it was.
    pub target: Target,
    /// What a session called itself.
    pub client: Option<Box<str>>,
}

/// Where the threshold of a policy lies among the numbers that the policy sees.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The policy.
    pub policy: Arc<str>,
    /// Which of [`Baseline::fields`] it tests.
    pub of: usize,
    /// The field as written.
    pub field: Arc<str>,
    /// The test as written.
    pub test: Arc<str>,
    /// The number that is compared with; `None` if that is what is normal at the moment.
    pub threshold: Option<f64>,
    comparison: Comparison,
}

/// How much of a spread a test holds for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Samples that it holds for.
    pub held: u64,
    /// Of so many.
    pub of: u64,
    /// The part of all samples below the threshold, from 0 to 1.
    pub below: f64,
}

/// What a recording tells of normal life.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// How much was seen.
    pub seen: Seen,
    /// In the order of scopes and of the reference.
    pub fields: Vec<FieldSpread>,
    /// In the order of the policies.
    pub marks: Vec<Mark>,
}

impl Baseline {
    /// Where a policy's threshold lies; `None` if there is no sample, or if it moves.
    pub fn place(&self, mark: &Mark) -> Option<Place> {
        let spread = &self.fields.get(mark.of)?.spread;
        let (threshold, of) = (mark.threshold?, spread.count());
        if of == 0 {
            return None;
        }
        let (below, at_most) = (spread.below(threshold), spread.at_most(threshold));
        Some(Place {
            held: match mark.comparison {
                Comparison::Greater => of - at_most,
                Comparison::GreaterOrEqual => of - below,
                Comparison::Less => below,
                Comparison::LessOrEqual => at_most,
                Comparison::Equal => at_most - below,
                Comparison::NotEqual => of - (at_most - below),
            },
            of,
            below: match mark.comparison {
                Comparison::Greater | Comparison::LessOrEqual => at_most,
                _ => below,
            } as f64
                / of as f64,
        })
    }
}

/// How much of a server's life was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The servers, by name.
    pub servers: BTreeSet<String>,
    /// The first poll.
    pub first: Option<Timestamp>,
    /// The last poll.
    pub last: Option<Timestamp>,
    /// Polls that succeeded.
    pub polls: u64,
    /// Polls that failed.
    pub missed: u64,
    /// Session rows.
    pub rows: u64,
    /// Acts of the agent that recorded.
    pub acts: u64,
    /// When the server was watched without a break.
    pub watched: Watched,
}

/// When a server was watched: gaps, restarts of the agent and of the server left out.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// From a poll to a later one without a break, in the order of time.
    stretches: Vec<(Timestamp, Timestamp)>,
    last: Option<Timestamp>,
}

impl Watched {
    /// The agent began anew.
    fn start(&mut self) {
        self.last = None;
    }

    /// After a poll that succeeded.
    fn poll(&mut self, at: Timestamp, continuity: Continuity) {
        if let (Some(last), Continuity::Continued) = (self.last, continuity) {
            match self.stretches.last_mut() {
                Some((_, to)) if *to == last => *to = at,
                _ => self.stretches.push((last, at)),
            }
        }
        self.last = Some(at);
    }

    /// For how long.
    pub fn total(&self) -> Duration {
        self.stretches
            .iter()
            .map(|(from, to)| to.since(*from))
            .sum()
    }

    /// The time at which it had been watched for so long, or else the last.
    pub(super) fn after(&self, watched: Duration) -> Timestamp {
        let mut left = watched;
        for &(from, to) in &self.stretches {
            if left <= to.since(from) {
                return from + left;
            }
            left -= to.since(from);
        }
        self.last.unwrap_or_default()
    }
}

/// A survey under way.
#[derive(Debug)]
pub struct Surveyor {
    baseline: Baseline,
    plan: Plan,
    /// By field.
    columns: Vec<ColumnId>,
    history: History,
    /// The last poll that succeeded.
    up_at: Option<Timestamp>,
    /// The targets of a scope with a session.
    present: Vec<u32>,
}

impl Surveyor {
    /// With the policies whose thresholds are to be placed.
    pub fn new(survey: &Survey, set: &PolicySet) -> Self {
        let mut baseline = Baseline::default();
        for &scope in &Scope::ALL {
            for field in Field::in_scope(scope) {
                let info = field.info();
                if !survey.wants(scope, field) {
                    continue;
                }
                for method in survey.methods(field) {
                    let subject = Subject {
                        scope,
                        field,
                        method,
                        window: info.windowed.then_some(survey.window),
                        include_private: survey.include_private && is_by_address(scope),
                    };
                    baseline.find(subject, true);
                }
            }
        }
        for policy in set.policies.iter().filter(|it| it.mode != Mode::Off) {
            for test in policy.when.any.iter().flat_map(|all| &all.tests) {
                if survey.wants(test.scope, test.field) {
                    baseline.mark(policy, test);
                }
            }
        }
        let policies: Vec<Policy> = baseline
            .fields
            .iter()
            .map(|it| it.subject.policy(it.dimension))
            .collect();
        let plan = Plan::new(&policies);
        let columns = policies
            .iter()
            .map(|policy| plan.column(policy, &policy.when.any[0].tests[0]));
        Self {
            columns: columns.collect(),
            history: history(&plan, &Settings::default()),
            plan,
            baseline,
            up_at: None,
            present: Vec::new(),
        }
    }

    /// The agent that recorded began.
    pub fn start(&mut self, start: &Start) {
        self.history = history(&self.plan, &start.settings);
        self.history.restore_clients(start.clients.clone());
        self.baseline.seen.watched.start();
        self.up_at = None;
        let servers = &mut self.baseline.seen.servers;
        if servers.len() < SERVERS_MAX {
            servers.insert(start.server.clone());
        }
    }

    /// Takes in a poll.
    pub fn turn(&mut self, tick: &Tick) {
        let seen = &mut self.baseline.seen;
        seen.first.get_or_insert(tick.at);
        seen.last = Some(tick.at);
        seen.acts += tick.acts.len() as u64;
        if tick.failure.is_some() {
            seen.missed += 1;
            self.sample_down(tick.at);
            return;
        }
        let snapshot = &tick.snapshot;
        seen.polls += 1;
        seen.rows += snapshot.sessions.len() as u64;
        let continuity = self.history.begin(snapshot);
        for (id, inspection) in &tick.inspections {
            self.history.inspected(*id, inspection);
        }
        self.history.finish(snapshot);
        self.baseline.seen.watched.poll(snapshot.at(), continuity);
        self.up_at = Some(tick.at);
        self.sample(snapshot.at());
    }

    /// What came of it.
    pub fn finish(self) -> Baseline {
        self.baseline
    }

    /// While no poll succeeds, that is all that is known.
    fn sample_down(&mut self, at: Timestamp) {
        let Some(up_at) = self.up_at else { return };
        let of_down = |it: &&mut FieldSpread| it.subject.field == Field::RpcDown;
        if let Some(field) = self.baseline.fields.iter_mut().find(of_down)
            && field.spread.add(at.since(up_at).as_secs_f64())
        {
            field.peak = Some(Peak {
                at,
                target: Target::Server,
                client: None,
            });
        }
    }

    fn sample(&mut self, at: Timestamp) {
        let mut of = None;
        for (field, &column) in self.baseline.fields.iter_mut().zip(&self.columns) {
            let Subject {
                scope,
                include_private,
                ..
            } = field.subject;
            if of.replace((scope, include_private)) != Some((scope, include_private)) {
                let live = self.history.live(scope, include_private).iter().copied();
                self.present.clear();
                self.present
                    .extend(live.filter(|&slot| self.history.is_present(scope, slot)));
            }
            let numbers = self.history.column(column);
            let mut peak = None;
            for &slot in &self.present {
                if field.spread.add(numbers.of(slot)) {
                    peak = Some(slot);
                }
            }
            if let Some(slot) = peak {
                field.peak = Some(peak_of(&self.history, scope, slot, at));
            }
        }
    }
}

/// More servers are not named.
const SERVERS_MAX: usize = 100;

/// Heights only ever rise: where the chain stands says nothing of what is normal.
const fn is_height(field: Field) -> bool {
    matches!(field, Field::DaemonHeight | Field::DbHeight)
}

const fn is_by_address(scope: Scope) -> bool {
    matches!(scope, Scope::Address | Scope::Subnet)
}

fn peak_of(history: &History, scope: Scope, slot: u32, at: Timestamp) -> Peak {
    let client = match scope {
        Scope::Session => history.client(scope, slot),
        _ => None,
    };
    Peak {
        at,
        target: history.target(scope, slot),
        client: client.map(|client| history.client_name(client).into()),
    }
}

/// A history for a plan, as the agent's would be.
pub(super) fn history(plan: &Plan, settings: &Settings) -> History {
    History::new(
        plan.clone(),
        settings.bounds,
        settings.widths,
        settings.daemons.clone(),
    )
    .with_slots(settings.slots)
}

impl Baseline {
    /// The spread of a subject, made if it is not there; `None` if it holds no numbers.
    fn find(&mut self, subject: Subject, is_asked: bool) -> Option<usize> {
        let Kind::Number(dimension) = subject.field.info().kind else {
            return None;
        };
        let known = self.fields.iter().position(|it| it.subject == subject);
        Some(known.unwrap_or_else(|| {
            self.fields.push(FieldSpread {
                subject,
                dimension,
                spread: Spread::default(),
                peak: None,
                is_asked,
            });
            self.fields.len() - 1
        }))
    }

    fn mark(&mut self, policy: &Policy, test: &Test) {
        let Predicate::Compare(comparison, threshold) = test.predicate else {
            return;
        };
        let subject = Subject {
            scope: test.scope,
            field: test.field,
            method: test.method.clone(),
            window: test.field.info().windowed.then_some(policy.window),
            // A private peer has no surroundings.
            include_private: policy.include_private && test.scope == policy.scope,
        };
        let Some(of) = self.find(subject, false) else {
            return;
        };
        self.marks.push(Mark {
            policy: policy.name.clone(),
            of,
            field: test.field_written.clone(),
            test: test.written.clone(),
            threshold: match threshold {
                Threshold::Fixed(fixed) => Some(fixed),
                Threshold::Population { .. } => None,
            },
            comparison,
        });
    }
}
