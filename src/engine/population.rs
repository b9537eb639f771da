//! What is normal among the targets of one snapshot.

use super::select::Facts;
use crate::history::ColumnId;
use crate::policy::POPULATION_MIN;

/// Quantiles already found in this poll.
#[derive(Debug, Default)]
pub(super) struct Population {
    found: Vec<(ColumnId, bool, f64, f64)>,
    scratch: Vec<f64>,
}

impl Population {
    /// At the beginning of a poll.
    pub(super) fn clear(&mut self) {
        self.found.clear();
    }

    /// The value below which a part `quantile` of the targets lies, by the nearest rank from below:
    /// of an even number the median is the lower of the middle two. NaN if fewer than
    /// [`POPULATION_MIN`] targets have a session and a value: those who left are not what is normal,
    /// and who comes and goes could make it what they like.
    pub(super) fn quantile(&mut self, facts: &Facts<'_>, column: ColumnId, quantile: f64) -> f64 {
        let include_private = facts.include_private;
        let known = |&&(c, p, q, _): &&(ColumnId, bool, f64, f64)| {
            c == column && p == include_private && q.to_bits() == quantile.to_bits()
        };
        if let Some(&(.., value)) = self.found.iter().find(known) {
            return value;
        }
        let (history, scope) = (facts.history, facts.scope);
        let values = history.column(column);
        let live = history.live(scope, include_private).iter();
        let present = live.filter(|&&slot| history.is_present(scope, slot));
        let known = present.map(|&slot| values.of(slot)).filter(|v| !v.is_nan());
        self.scratch.clear();
        self.scratch.extend(known);
        let value = nearest_rank(&mut self.scratch, quantile);
        self.found.push((column, include_private, quantile, value));
        value
    }
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
