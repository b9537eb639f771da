//! The numbers of one column at one poll, as the engine reads them.

use super::plan::WindowId;
use super::tally::Counter;
use crate::field::Scope;

/// A number by slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers<'a> {
    /// Of nobody it can be told.
    Untold,
    /// As they are; NaN where it cannot be told.
    Each(&'a [f64]),
    /// Sums over a window, each to be multiplied by the factor.
    Scaled(&'a [u64], f64),
    /// Sessions, each number of them to be multiplied by the factor.
    Counted(&'a [u32], f64),
}

impl Numbers<'_> {
    /// The number of a slot.
    pub(crate) fn of(self, slot: u32) -> f64 {
        match self {
            Self::Untold => f64::NAN,
            Self::Each(values) => values[slot as usize],
            Self::Scaled(sums, factor) => sums[slot as usize] as f64 * factor,
            Self::Counted(counts, factor) => f64::from(counts[slot as usize]) * factor,
        }
    }
}

/// Where the numbers of a column stand.
#[derive(Debug)]
pub(super) enum Column {
    /// Nobody has one.
    Untold,
    Here(Vec<f64>),
    /// In the tallies: copying them would take longer than what is done with them.
    Tallied {
        scope: Scope,
        counter: Counter,
        window: WindowId,
        factor: f64,
    },
    /// In the table of the scope, by the same reason.
    Present {
        scope: Scope,
        factor: f64,
    },
}

impl Default for Column {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

impl Column {
    /// The numbers, to be written: of the last poll's some may be left.
    pub(super) fn here(&mut self) -> &mut Vec<f64> {
        if !matches!(self, Self::Here(_)) {
            *self = Self::default();
        }
        match self {
            Self::Here(values) => values,
            Self::Untold | Self::Tallied { .. } | Self::Present { .. } => {
                unreachable!("it has just been replaced")
            }
        }
    }
}
