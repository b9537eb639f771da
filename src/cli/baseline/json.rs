//! A baseline for programs: a line a spread, a threshold and a proposal. docs/baseline.md has the keys.

use std::io;

use serde::Serialize;

use crate::baseline::{
    Baseline, Change, FieldSpread, Hits, LeftAlone, Mark, Place, Proposal, Tuned, upper_bound,
};
use crate::cli::screen::Screen;
use crate::field::Dimension;

pub(super) fn write(
    baseline: &Baseline,
    tuned: Option<&Tuned>,
    screen: &mut Screen,
) -> io::Result<()> {
    screen.json("recording", &Recorded::of(baseline))?;
    for field in baseline.fields.iter().filter(|field| field.is_asked) {
        screen.json("spread", &SpreadLine::of(field))?;
    }
    for mark in &baseline.marks {
        screen.json("threshold", &MarkLine::of(baseline, mark))?;
    }
    let Some(tuned) = tuned else { return Ok(()) };
    for proposal in &tuned.proposals {
        screen.json("proposal", &Proposed::of(tuned, proposal))?;
    }
    for left in &tuned.left_alone {
        screen.json("left-alone", &Left::of(left))?;
    }
    screen.json("budget", &Budgeted::of(tuned))
}

#[derive(Serialize)]
struct Recorded<'a> {
    servers: Vec<&'a str>,
    first: Option<String>,
    last: Option<String>,
    watched_s: f64,
    polls: u64,
    missed: u64,
    session_rows: u64,
    acts: u64,
}

impl<'a> Recorded<'a> {
    fn of(baseline: &'a Baseline) -> Self {
        let seen = &baseline.seen;
        Self {
            servers: seen.servers.iter().map(String::as_str).collect(),
            first: seen.first.map(|at| at.to_string()),
            last: seen.last.map(|at| at.to_string()),
            watched_s: seen.watched.total().as_secs_f64(),
            polls: seen.polls,
            missed: seen.missed,
            session_rows: seen.rows,
            acts: seen.acts,
        }
    }
}

#[derive(Serialize)]
struct SpreadLine<'a> {
    scope: &'static str,
    field: String,
    dimension: Dimension,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_s: Option<f64>,
    samples: u64,
    zeros: u64,
    unknown: u64,
    infinite: u64,
    min: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    #[serde(rename = "p99.9")]
    p999: Option<f64>,
    max: Option<f64>,
    max_at: Option<String>,
    max_target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_client: Option<&'a str>,
}

impl<'a> SpreadLine<'a> {
    fn of(field: &'a FieldSpread) -> Self {
        let FieldSpread {
            subject,
            spread,
            peak,
            ..
        } = field;
        let peak = peak.as_ref();
        Self {
            scope: subject.scope.name(),
            field: subject.name(),
            dimension: field.dimension,
            window_s: subject.window.map(|window| window.as_secs_f64()),
            samples: spread.count(),
            zeros: spread.zeros(),
            unknown: spread.unknown(),
            infinite: spread.infinite(),
            min: spread.least(),
            p50: spread.quantile(0.5),
            p90: spread.quantile(0.9),
            p99: spread.quantile(0.99),
            p999: spread.quantile(0.999),
            max: spread.greatest(),
            max_at: peak.map(|peak| peak.at.to_string()),
            max_target: peak.map(|peak| peak.target.to_string()),
            max_client: peak.and_then(|peak| peak.client.as_deref()),
        }
    }
}

#[derive(Serialize)]
struct MarkLine<'a> {
    policy: &'a str,
    scope: &'static str,
    field: &'a str,
    test: &'a str,
    /// `None` where it is a multiple of what is normal at the moment.
    threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_s: Option<f64>,
    samples: u64,
    held: Option<u64>,
    percentile: Option<f64>,
}

impl<'a> MarkLine<'a> {
    fn of(baseline: &'a Baseline, mark: &'a Mark) -> Self {
        let FieldSpread {
            subject, spread, ..
        } = &baseline.fields[mark.of];
        let place: Option<Place> = baseline.place(mark);
        Self {
            policy: &mark.policy,
            scope: subject.scope.name(),
            field: &mark.field,
            test: &mark.test,
            threshold: mark.threshold,
            window_s: subject.window.map(|window| window.as_secs_f64()),
            samples: spread.count(),
            held: place.map(|place| place.held),
            percentile: place.map(|place| place.below * 100.0),
        }
    }
}

#[derive(Serialize)]
struct Proposed<'a> {
    policy: &'a str,
    scope: &'static str,
    factor: Option<f64>,
    changed: bool,
    tests: Vec<Tested<'a>>,
    when: &'a str,
    training: Counts,
    held_out: Counts,
    held_out_allowed: f64,
    verdict: &'static str,
}

#[derive(Serialize)]
struct Tested<'a> {
    field: &'a str,
    present: &'a str,
    proposed: &'a str,
}

/// Hits by today's thresholds, and by those proposed.
#[derive(Serialize)]
struct Counts {
    present: u64,
    proposed: u64,
}

fn counts(present: Hits, proposed: Hits) -> [Counts; 2] {
    [
        Counts {
            present: present.training,
            proposed: proposed.training,
        },
        Counts {
            present: present.held_out,
            proposed: proposed.held_out,
        },
    ]
}

impl<'a> Proposed<'a> {
    fn of(tuned: &Tuned, proposal: &'a Proposal) -> Self {
        let [training, held_out] = counts(proposal.present, proposal.proposed);
        let tests = proposal.changes.iter();
        let tests = tests.map(|change: &Change| Tested {
            field: &change.field,
            present: &change.present,
            proposed: &change.proposed,
        });
        Self {
            policy: &proposal.policy,
            scope: proposal.scope.name(),
            factor: proposal.factor,
            changed: proposal.is_change(),
            tests: tests.collect(),
            when: &proposal.when,
            training,
            held_out,
            held_out_allowed: tuned.allowed(tuned.held_out),
            verdict: proposal.verdict.name(),
        }
    }
}

#[derive(Serialize)]
struct Left<'a> {
    policy: &'a str,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out: Option<u64>,
}

impl<'a> Left<'a> {
    fn of(left: &'a LeftAlone) -> Self {
        Self {
            policy: &left.policy,
            why: &left.why,
            training: left.hits.map(|hits| hits.training),
            held_out: left.hits.map(|hits| hits.held_out),
        }
    }
}

#[derive(Serialize)]
struct Budgeted {
    budget: String,
    of: &'static str,
    count: f64,
    per_s: f64,
    training_s: f64,
    held_out_s: f64,
    abusive_sessions: usize,
    training: Counts,
    held_out: Counts,
    held_out_allowed: f64,
    /// With 95 % confidence not more are to be expected in as long.
    held_out_upper_bound: f64,
    /// So long a part held out could show that the budget is kept.
    needs_s: Option<f64>,
    verdict: &'static str,
}

impl Budgeted {
    fn of(tuned: &Tuned) -> Self {
        let [training, held_out] = counts(tuned.present, tuned.proposed);
        let needs = tuned.budget.needs();
        Self {
            budget: tuned.budget.to_string(),
            of: tuned.budget.of.name(),
            count: tuned.budget.count,
            per_s: tuned.budget.per.as_secs_f64(),
            training_s: tuned.training.as_secs_f64(),
            held_out_s: tuned.held_out.as_secs_f64(),
            abusive_sessions: tuned.abusive,
            training,
            held_out_upper_bound: upper_bound(held_out.proposed),
            held_out,
            held_out_allowed: tuned.budget.within(tuned.held_out),
            needs_s: needs.map(|needs| needs.as_secs_f64()),
            verdict: tuned.verdict.name(),
        }
    }
}
