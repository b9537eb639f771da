//! Counts distinct things exactly, up to a bound.
//!
//! Clients choose how many addresses they come from, so the bound is there; beyond it what is new is not counted.

use std::hash::Hash;

use hashbrown::{DefaultHashBuilder, HashSet};
use std::hash::BuildHasher as _;

use super::DISTINCT_MAX;

/// The things, by a hash of 64 bits: a million of them are told apart but for one chance in ten million.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    seen: HashSet<u64>,
    hasher: DefaultHashBuilder,
    is_full: bool,
}

impl Distinct {
    /// Takes in one; whether it is new.
    pub(super) fn insert(&mut self, thing: impl Hash) -> bool {
        let hash = self.hasher.hash_one(thing);
        if self.seen.len() < DISTINCT_MAX {
            return self.seen.insert(hash);
        }
        self.is_full |= !self.seen.contains(&hash);
        false
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Whether something was not counted.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }
}
