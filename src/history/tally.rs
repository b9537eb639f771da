//! Sums of counters over windows, for the slots of one table.

use super::plan::WindowId;
use super::timeline::Timeline;

/// What is summed. Cost is kept in thousandths, so that sums are exact and come back to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Counter {
    RecvCount,
    RecvSize,
    SentSize,
    TxsSent,
    Cost,
    Errors,
    New,
    Gone,
    Brief,
}

/// Thousandths of a cost unit.
pub(super) const COST_SCALE: f64 = 1_000.0;

impl Counter {
    pub(super) const COUNT: usize = 9;

    /// What a sum is in the field's unit.
    pub(super) const fn unit(self) -> f64 {
        match self {
            Self::Cost => 1.0 / COST_SCALE,
            _ => 1.0,
        }
    }
}

/// What happened since the last poll, by counter and slot; of the counters that are wanted.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    wanted: [bool; Counter::COUNT],
    by_counter: [Vec<u64>; Counter::COUNT],
}

impl Deltas {
    /// Sees to it that `counter` is kept; the others are not.
    pub(super) fn want(&mut self, counter: Counter) {
        self.wanted[counter as usize] = true;
    }

    pub(super) fn clear(&mut self, slots: usize) {
        let wanted = self.by_counter.iter_mut().zip(self.wanted);
        for (deltas, _) in wanted.filter(|(_, is_wanted)| *is_wanted) {
            deltas.clear();
            deltas.resize(slots, 0);
        }
    }

    pub(super) fn add(&mut self, counter: Counter, slot: usize, amount: u64) {
        if !self.wanted[counter as usize] {
            return;
        }
        let deltas = &mut self.by_counter[counter as usize];
        if slot >= deltas.len() {
            deltas.resize(slot + 1, 0);
        }
        deltas[slot] = deltas[slot].saturating_add(amount);
    }

    pub(super) fn of(&self, counter: Counter) -> &[u64] {
        &self.by_counter[counter as usize]
    }
}

/// The sums of one table.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    tallies: Vec<Tally>,
}

#[derive(Debug)]
struct Tally {
    counter: Counter,
    window: WindowId,
    sums: Vec<u64>,
    bins: Vec<Vec<u64>>,
}

impl Tallies {
    /// Sees to it that `counter` is summed over `window`.
    pub(super) fn want(&mut self, counter: Counter, window: WindowId) {
        if self.sums(counter, window).is_none() {
            self.tallies.push(Tally {
                counter,
                window,
                sums: Vec::new(),
                bins: Vec::new(),
            });
        }
    }

    /// Forgets all sums.
    pub(super) fn reset(&mut self) {
        for tally in &mut self.tallies {
            tally.sums.clear();
            tally.bins.clear();
        }
    }

    /// Adds what happened since the last poll, drops what has left the windows.
    pub(super) fn fold(&mut self, deltas: &Deltas, slots: usize, timelines: &[Timeline]) {
        for tally in &mut self.tallies {
            tally.fold(deltas.of(tally.counter), slots, &timelines[tally.window.0]);
        }
    }

    /// The sum by slot, if it is kept.
    pub(super) fn sums(&self, counter: Counter, window: WindowId) -> Option<&[u64]> {
        self.tallies
            .iter()
            .find(|tally| tally.counter == counter && tally.window == window)
            .map(|tally| tally.sums.as_slice())
    }

    /// Makes a slot ready for another target.
    pub(super) fn clear_slot(&mut self, slot: usize) {
        for tally in &mut self.tallies {
            for column in std::iter::once(&mut tally.sums).chain(&mut tally.bins) {
                if let Some(sum) = column.get_mut(slot) {
                    *sum = 0;
                }
            }
        }
    }
}

impl Tally {
    fn fold(&mut self, deltas: &[u64], slots: usize, timeline: &Timeline) {
        let turn = timeline.turn();
        self.sums.resize(slots, 0);
        while self.bins.len() <= turn.open {
            self.bins.push(Vec::new());
        }
        for &expired in &turn.expired {
            if let Some(bin) = self.bins.get_mut(expired) {
                for (sum, gone) in self.sums.iter_mut().zip(bin.iter_mut()) {
                    *sum = sum.saturating_sub(*gone);
                    *gone = 0;
                }
            }
        }
        let bin = &mut self.bins[turn.open];
        bin.resize(slots, 0);
        for ((sum, bin), &delta) in self.sums.iter_mut().zip(bin.iter_mut()).zip(deltas) {
            *sum = sum.saturating_add(delta);
            *bin = bin.saturating_add(delta);
        }
    }
}
