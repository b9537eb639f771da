//! A token bucket: what may be done at a rate, and how much of it may be saved up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Budget;
use crate::time::Timestamp;

/// The level of a bucket, as of some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(budget: Budget, at: Timestamp) -> Self {
        Self {
            tokens: f64::from(budget.burst),
            at,
        }
    }

    /// How many may be taken at `at`. A clock that went back fills nothing.
    pub(crate) fn available(&mut self, budget: Budget, at: Timestamp) -> usize {
        let passed_s = at.since(self.at).as_secs_f64();
        let per_s = f64::from(budget.rate.count) / budget.rate.per.as_secs_f64();
        self.tokens = (self.tokens + passed_s * per_s).min(f64::from(budget.burst));
        self.at = at;
        // A third of a token three times makes one, but for rounding.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to burst"
        )]
        let whole = (self.tokens + 1e-9).max(0.0) as usize;
        whole
    }

    /// When one may be taken, of a bucket that holds less.
    pub(crate) fn next(&self, budget: Budget) -> Timestamp {
        let missing = (1.0 - self.tokens).clamp(0.0, 1.0);
        let each_s = budget.rate.per.as_secs_f64() / f64::from(budget.rate.count);
        // To the millisecond, and rather later.
        self.at + Duration::from_secs_f64(missing * each_s + 0.000_999)
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.tokens = (self.tokens - count as f64).max(0.0);
    }

    /// What was taken and not used.
    pub(crate) fn put_back(&mut self, budget: Budget, count: usize) {
        self.tokens = (self.tokens + count as f64).min(f64::from(budget.burst));
    }
}
