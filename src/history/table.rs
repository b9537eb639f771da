//! The targets of one scope that sums up sessions: their keys, and what their sessions did.

use std::hash::Hash;

use super::keys::{Keys, NONE};
use super::plan::WindowId;
use super::sessions::Visit;
use super::tally::{Counter, Deltas, Tallies};
use super::timeline::Timeline;
use crate::time::Timestamp;

/// A scope's table. What a session did stays with its address, subnet and client after it left.
#[derive(Debug)]
pub(super) struct Table<K> {
    pub(super) keys: Keys<K>,
    pub(super) tallies: Tallies,
    deltas: Deltas,
}

impl<K: Hash + Eq> Table<K> {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            keys: Keys::new(cap),
            tallies: Tallies::default(),
            deltas: Deltas::default(),
        }
    }

    /// Sees to it that `counter` is summed over `window`.
    pub(super) fn want(&mut self, counter: Counter, window: WindowId) {
        self.deltas.want(counter);
        self.tallies.want(counter, window);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.tallies.reset();
    }

    /// Before the sessions of a poll are added.
    pub(super) fn begin(&mut self) {
        self.keys.clear_presence();
        self.deltas.clear();
    }

    pub(super) fn add(&mut self, slot: u32, counter: Counter, amount: u64) {
        if slot != NONE && amount != 0 {
            self.deltas.add(counter, slot, amount);
        }
    }

    /// One of the target's sessions was found gone by the poll at `now`.
    pub(super) fn leave(&mut self, slot: u32, visit: Visit, now: Timestamp) {
        if slot == NONE {
            return;
        }
        self.keys.touch(slot, now);
        if !visit.is_expelled {
            self.deltas.add(Counter::Gone, slot, 1);
            self.deltas
                .add(Counter::Brief, slot, u64::from(visit.is_brief));
        }
    }

    /// Frees the slots of targets that have left the longest window, which began at `start`.
    pub(super) fn sweep(&mut self, start: Timestamp) {
        let tallies = &mut self.tallies;
        self.keys.sweep(start, |slot| tallies.clear_slot(slot));
    }

    pub(super) fn fold(&mut self, timelines: &[Timeline]) {
        self.tallies.fold(&self.deltas, self.keys.len(), timelines);
    }
}
