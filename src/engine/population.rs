//! What is normal, as the regulars have it.
//!
//! Anybody can be many, and so make of the crowd what he likes: with decoys that take a little, what
//! he takes elsewhere would look like nothing. Regulars he cannot be in a hurry.

use super::select::Facts;
use crate::field::Scope;
use crate::history::{ColumnId, History};
use crate::policy::POPULATION_MIN;

/// Quantiles already found in this poll.
#[derive(Debug, Default)]
pub(super) struct Population {
    found: Vec<(ColumnId, bool, f64, f64)>,
    targets: Vec<u32>,
    values: Vec<f64>,
}

impl Population {
    /// At the beginning of a poll.
    pub(super) fn clear(&mut self) {
        self.found.clear();
    }

    /// The value below which a part `quantile` of the regulars' targets lies, by the nearest rank from
    /// below: of an even number the median is the lower of the middle two. NaN if fewer than
    /// [`POPULATION_MIN`] of them have a value.
    pub(super) fn quantile(&mut self, facts: &Facts<'_>, column: ColumnId, quantile: f64) -> f64 {
        let include_private = facts.include_private;
        let known = |&&(c, p, q, _): &&(ColumnId, bool, f64, f64)| {
            c == column && p == include_private && q.to_bits() == quantile.to_bits()
        };
        if let Some(&(.., value)) = self.found.iter().find(known) {
            return value;
        }
        self.gather(facts);
        let numbers = facts.history.column(column);
        let known = self.targets.iter().map(|&target| numbers.of(target));
        self.values.clear();
        self.values.extend(known.filter(|value| !value.is_nan()));
        let value = nearest_rank(&mut self.values, quantile);
        self.found.push((column, include_private, quantile, value));
        value
    }

    /// The targets that a regular belongs to, each once.
    fn gather(&mut self, facts: &Facts<'_>) {
        let (history, scope) = (facts.history, facts.scope);
        let is_for_all = facts.include_private || !matches!(scope, Scope::Address | Scope::Subnet);
        let regulars = history
            .regulars()
            .filter(|&session| is_for_all || !history.is_private_session(session));
        let targets = regulars.flat_map(|session| history.targets_of(scope, session));
        self.targets.clear();
        self.targets.extend(targets.flatten());
        if scope != Scope::Session {
            self.targets.sort_unstable();
            self.targets.dedup();
        }
    }
}

/// The median of the regulars' sessions, one of each; `None` if fewer than [`POPULATION_MIN`] of them
/// have a value.
pub(super) fn usual_of_sessions(history: &History, column: ColumnId) -> Option<f64> {
    let numbers = history.column(column);
    let known = history.regulars().map(|session| numbers.of(session));
    let mut values = Vec::with_capacity(history.present());
    values.extend(known.filter(|value| !value.is_nan()));
    let median = nearest_rank(&mut values, 0.5);
    (!median.is_nan()).then_some(median)
}

fn nearest_rank(values: &mut [f64], quantile: f64) -> f64 {
    if values.len() < POPULATION_MIN {
        return f64::NAN;
    }
    let rank = (values.len() as f64 * quantile).ceil() - 1.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let rank = rank.clamp(0.0, (values.len() - 1) as f64) as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (quantile, expected) in [
            (0.5, 50.0),
            (0.99, 99.0),
            (1.0, 100.0),
            (0.0, 1.0),
            (0.001, 1.0),
        ] {
            assert_eq!(
                nearest_rank(&mut values, quantile).to_bits(),
                f64::to_bits(expected)
            );
        }
        assert!(nearest_rank(&mut values[..POPULATION_MIN - 1], 0.5).is_nan());
    }
}
