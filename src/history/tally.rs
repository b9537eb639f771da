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
    by_counter: [Amounts; Counter::COUNT],
}

#[derive(Debug, Default)]
struct Amounts {
    by_slot: Vec<u64>,
    /// The slots whose amount is not 0, each once: at most polls most sessions do nothing.
    touched: Vec<u32>,
}

impl Deltas {
    /// Sees to it that `counter` is kept; the others are not.
    pub(super) fn want(&mut self, counter: Counter) {
        self.wanted[counter as usize] = true;
    }

    pub(super) fn clear(&mut self, slots: usize) {
        let wanted = self.by_counter.iter_mut().zip(self.wanted);
        for (amounts, _) in wanted.filter(|(_, is_wanted)| *is_wanted) {
            for slot in amounts.touched.drain(..) {
                amounts.by_slot[slot as usize] = 0;
            }
            amounts.by_slot.resize(slots, 0);
        }
    }

    #[inline]
    pub(super) fn add(&mut self, counter: Counter, slot: u32, amount: u64) {
        if amount != 0 && self.wanted[counter as usize] {
            self.put(counter, slot, amount);
        }
    }

    fn put(&mut self, counter: Counter, slot: u32, amount: u64) {
        let Amounts { by_slot, touched } = &mut self.by_counter[counter as usize];
        let index = slot as usize;
        if index >= by_slot.len() {
            by_slot.resize(index + 1, 0);
        }
        if by_slot[index] == 0 {
            touched.push(slot);
        }
        by_slot[index] = by_slot[index].saturating_add(amount);
    }

    /// By slot; slots beyond are at 0.
    pub(super) fn of(&self, counter: Counter) -> &[u64] {
        &self.by_counter[counter as usize].by_slot
    }
}

/// The sums of one table.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    tallies: Vec<Tally>,
    /// Slots whose targets are gone, but may still be listed in bins.
    cleared: Vec<u32>,
}

#[derive(Debug)]
struct Tally {
    counter: Counter,
    window: WindowId,
    sums: Vec<u64>,
    bins: Vec<Bin>,
}

/// What happened in a part of the window.
#[derive(Debug, Default)]
struct Bin {
    /// As long as only few slots have any: who comes and who goes is few at most times.
    few: Vec<(u32, u64)>,
    /// From then on; empty before.
    by_slot: Vec<u64>,
}

/// A bin goes by slot when more than one slot in so many would be listed.
const FEW: usize = 8;

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
        self.cleared.clear();
        for tally in &mut self.tallies {
            tally.sums.clear();
            tally.bins.clear();
        }
    }

    /// Adds what happened since the last poll, drops what has left the windows.
    pub(super) fn fold(&mut self, deltas: &Deltas, slots: usize, timelines: &[Timeline]) {
        self.unlist_cleared();
        for tally in &mut self.tallies {
            let amounts = &deltas.by_counter[tally.counter as usize];
            tally.fold(amounts, slots, &timelines[tally.window.0]);
        }
    }

    fn unlist_cleared(&mut self) {
        self.cleared.sort_unstable();
        for tally in &mut self.tallies {
            tally.unlist(&self.cleared);
        }
        self.cleared.clear();
    }

    /// The sum by slot, if it is kept.
    pub(super) fn sums(&self, counter: Counter, window: WindowId) -> Option<&[u64]> {
        self.tallies
            .iter()
            .find(|tally| tally.counter == counter && tally.window == window)
            .map(|tally| tally.sums.as_slice())
    }

    /// Makes a slot ready for another target.
    pub(super) fn clear_slot(&mut self, slot: u32) {
        for tally in &mut self.tallies {
            let bins = tally.bins.iter_mut().map(|bin| &mut bin.by_slot);
            for column in std::iter::once(&mut tally.sums).chain(bins) {
                if let Some(sum) = column.get_mut(slot as usize) {
                    *sum = 0;
                }
            }
        }
        self.cleared.push(slot);
    }
}

impl Tallies {
    /// Adds what the first slot of each pair has to the second, and leaves the first empty. `pairs` are in
    /// ascending order, and none of the second slots is a first.
    pub(super) fn hand_over(&mut self, pairs: &[(u32, u32)]) {
        // What a heir's slot held before must not be taken for what it is handed.
        self.unlist_cleared();
        for tally in &mut self.tallies {
            let bins = tally.bins.iter_mut();
            let listed = bins.flat_map(|bin| &mut bin.few).map(|(slot, _)| slot);
            for slot in listed {
                if let Ok(found) = pairs.binary_search_by_key(slot, |&(from, _)| from) {
                    *slot = pairs[found].1;
                }
            }
            let bins = tally.bins.iter_mut().map(|bin| &mut bin.by_slot);
            for column in std::iter::once(&mut tally.sums).chain(bins) {
                for &(from, to) in pairs {
                    hand_over(column, from as usize, to as usize);
                }
            }
        }
    }
}

/// An empty column stays so: it lists nothing by slot.
fn hand_over(column: &mut Vec<u64>, from: usize, to: usize) {
    let amount = column.get_mut(from).map_or(0, std::mem::take);
    if amount > 0 {
        column.resize(column.len().max(to + 1), 0);
        column[to] = column[to].saturating_add(amount);
    }
}

impl Tally {
    /// `slots` is sorted.
    fn unlist(&mut self, slots: &[u32]) {
        if !slots.is_empty() {
            for bin in &mut self.bins {
                bin.few
                    .retain(|(slot, _)| slots.binary_search(slot).is_err());
            }
        }
    }

    fn fold(&mut self, amounts: &Amounts, slots: usize, timeline: &Timeline) {
        let turn = timeline.turn();
        self.sums.resize(slots, 0);
        while self.bins.len() <= turn.open {
            self.bins.push(Bin::default());
        }
        for &expired in &turn.expired {
            if let Some(bin) = self.bins.get_mut(expired) {
                bin.take_from(&mut self.sums);
            }
        }
        self.bins[turn.open].add_to(&mut self.sums, amounts);
    }
}

impl Bin {
    fn add_to(&mut self, sums: &mut [u64], amounts: &Amounts) {
        let Amounts { by_slot, touched } = amounts;
        let of = |slot: u32| by_slot[slot as usize];
        for &slot in touched {
            let sum = &mut sums[slot as usize];
            *sum = sum.saturating_add(of(slot));
        }
        if self.by_slot.is_empty() && self.few.len() + touched.len() <= sums.len() / FEW {
            self.few
                .extend(touched.iter().map(|&slot| (slot, of(slot))));
            return;
        }
        self.by_slot.resize(sums.len(), 0);
        let listed = std::mem::take(&mut self.few).into_iter();
        for (slot, amount) in listed.chain(touched.iter().map(|&slot| (slot, of(slot)))) {
            let bin = &mut self.by_slot[slot as usize];
            *bin = bin.saturating_add(amount);
        }
    }

    /// Takes all that is in it out of the sums, and leaves it empty.
    fn take_from(&mut self, sums: &mut [u64]) {
        for (slot, amount) in self.few.drain(..) {
            let sum = &mut sums[slot as usize];
            *sum = sum.saturating_sub(amount);
        }
        for (sum, amount) in sums.iter_mut().zip(&mut self.by_slot) {
            *sum = sum.saturating_sub(*amount);
            *amount = 0;
        }
    }
}
