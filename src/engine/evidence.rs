//! What the tests of a policy saw of a target.

use std::sync::Arc;

use super::compile::{How, Table};
use super::population::Population;
use super::select::Facts;
use crate::decision::{Evidence, Seen};
use crate::field::{Field, Kind, Scope};
use crate::policy::Test;

/// What each test of a table saw, in the policy's order.
pub(super) fn saw(
    tests: &[Test],
    table: &Table,
    facts: &Facts<'_>,
    slot: u32,
    population: &mut Population,
) -> Vec<Evidence> {
    let mut evidence: Vec<(usize, Evidence)> = table
        .probes
        .iter()
        .map(|probe| {
            let test = &tests[probe.test];
            let (facts, slot) = facts.subject(probe, slot);
            let number =
                |column| slot.map_or(f64::NAN, |slot| facts.history.column(column).of(slot));
            let (seen, threshold) = match probe.how {
                How::Compare {
                    column, threshold, ..
                } => (
                    Seen::Number(number(column)),
                    Some(facts.threshold(column, threshold, population)),
                ),
                How::Is { column, .. } => {
                    let value = number(column);
                    let seen = if value.is_nan() {
                        Seen::Number(value)
                    } else {
                        Seen::Flag(value > 0.0)
                    };
                    (seen, None)
                }
                How::Verdict { field, .. } | How::Direct { field, .. } => {
                    let shown = slot.map(|slot| shown(&facts, field, slot));
                    (Seen::Text(shown.unwrap_or_default()), None)
                }
            };
            let dimension = match test.field.info().kind {
                Kind::Number(dimension) => Some(dimension),
                _ => None,
            };
            let evidence = Evidence {
                field: test.field_written.clone(),
                test: test.written.clone(),
                seen,
                threshold,
                dimension,
            };
            (probe.test, evidence)
        })
        .collect();
    evidence.sort_by_key(|&(test, _)| test);
    evidence.into_iter().map(|(_, evidence)| evidence).collect()
}

fn shown(facts: &Facts<'_>, field: Field, slot: u32) -> Arc<str> {
    match (field, facts.scope) {
        (Field::Address, Scope::Session) => match facts.history.session(slot).peer.0 {
            Some(peer) => peer.ip().to_string().into(),
            None => "unknown".into(),
        },
        (Field::Address, scope) => facts.history.target(scope, slot).to_string().into(),
        _ => facts.text(field, slot).unwrap_or_default().into(),
    }
}
