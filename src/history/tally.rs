//! Sums of counters over windows, for the slots of one table.

use super::plan::WindowId;
use super::timeline::Timeline;
use crate::room::stretch;

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

/// What happened since the last poll; of the counters that are wanted.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    wanted: [bool; Counter::COUNT],
    by_counter: [Amounts; Counter::COUNT],
}

/// Slots, and beside each what it did: at most polls most sessions do nothing. A slot may come more
/// than once, and no amount is 0.
#[derive(Debug, Default)]
struct Amounts {
    slots: Vec<u32>,
    amounts: Vec<u64>,
}

impl Amounts {
    fn add(&mut self, slot: u32, amount: u64) {
        match self.amounts.last_mut() {
            // As all sessions' do in the server's.
            Some(last) if self.slots.last() == Some(&slot) => *last = last.saturating_add(amount),
            _ => {
                self.slots.push(slot);
                self.amounts.push(amount);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        let slots = self.slots.iter().copied();
        slots.zip(self.amounts.iter().copied())
    }
}

impl Deltas {
    /// Sees to it that `counter` is kept; the others are not.
    pub(super) fn want(&mut self, counter: Counter) {
        self.wanted[counter as usize] = true;
    }

    pub(super) fn clear(&mut self) {
        for Amounts { slots, amounts } in &mut self.by_counter {
            slots.clear();
            amounts.clear();
        }
    }

    #[inline]
    pub(super) fn add(&mut self, counter: Counter, slot: u32, amount: u64) {
        if amount != 0 && self.wanted[counter as usize] {
            self.by_counter[counter as usize].add(slot, amount);
        }
    }

    /// Slots and amounts. A slot may come more than once; of sessions each comes once at the most.
    pub(super) fn of(&self, counter: Counter) -> impl Iterator<Item = (u32, u64)> {
        self.by_counter[counter as usize].iter()
    }

    /// Of all slots together.
    pub(super) fn total(&self, counter: Counter) -> u64 {
        let amounts = self.of(counter).map(|(_, amount)| amount);
        amounts.fold(0, u64::saturating_add)
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
    /// Slots and amounts, as long as there are few: who comes and who goes is few at most times. From
    /// then on what is too large for `by_slot`.
    listed: Vec<(u32, u64)>,
    /// From then on; empty before. Half as wide as the sums, for there are many bins.
    by_slot: Vec<u32>,
}

/// A bin goes by slot when more would be listed than one in so many slots.
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
        let index = slot as usize;
        for tally in &mut self.tallies {
            tally.sums.get_mut(index).map(std::mem::take);
            for bin in &mut tally.bins {
                bin.by_slot.get_mut(index).map(std::mem::take);
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
            for &(from, to) in pairs {
                let amount = tally.sums.get_mut(from as usize).map_or(0, std::mem::take);
                if amount > 0 {
                    let slots = tally.sums.len().max(to as usize + 1);
                    stretch(&mut tally.sums, slots, 0);
                    let sum = &mut tally.sums[to as usize];
                    *sum = sum.saturating_add(amount);
                }
            }
            for bin in &mut tally.bins {
                bin.hand_over(pairs);
            }
        }
    }
}

impl Tally {
    /// `slots` is sorted.
    fn unlist(&mut self, slots: &[u32]) {
        if !slots.is_empty() {
            for bin in &mut self.bins {
                bin.listed
                    .retain(|(slot, _)| slots.binary_search(slot).is_err());
            }
        }
    }

    fn fold(&mut self, amounts: &Amounts, slots: usize, timeline: &Timeline) {
        let turn = timeline.turn();
        stretch(&mut self.sums, slots, 0);
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
        for (slot, amount) in amounts.iter() {
            let sum = &mut sums[slot as usize];
            *sum = sum.saturating_add(amount);
        }
        let is_few = self.listed.len() + amounts.slots.len() <= sums.len() / FEW;
        if self.by_slot.is_empty() && is_few {
            self.listed.extend(amounts.iter());
            return;
        }
        let listed = if self.by_slot.is_empty() {
            std::mem::take(&mut self.listed)
        } else {
            Vec::new()
        };
        stretch(&mut self.by_slot, sums.len(), 0);
        for (slot, amount) in listed.into_iter().chain(amounts.iter()) {
            self.put(slot, amount);
        }
    }

    fn put(&mut self, slot: u32, amount: u64) {
        let known = &mut self.by_slot[slot as usize];
        match u32::try_from(u64::from(*known).saturating_add(amount)) {
            Ok(sum) => *known = sum,
            Err(_) => self.listed.push((slot, amount)),
        }
    }

    /// Takes all that is in it out of the sums, and leaves it empty.
    fn take_from(&mut self, sums: &mut [u64]) {
        for (slot, amount) in self.listed.drain(..) {
            let sum = &mut sums[slot as usize];
            *sum = sum.saturating_sub(amount);
        }
        for (sum, amount) in sums.iter_mut().zip(&mut self.by_slot) {
            *sum = sum.saturating_sub(u64::from(*amount));
            *amount = 0;
        }
    }

    /// As [`Tallies::hand_over`].
    fn hand_over(&mut self, pairs: &[(u32, u32)]) {
        for (slot, _) in &mut self.listed {
            if let Ok(found) = pairs.binary_search_by_key(slot, |&(from, _)| from) {
                *slot = pairs[found].1;
            }
        }
        for &(from, to) in pairs {
            let amount = self
                .by_slot
                .get_mut(from as usize)
                .map_or(0, std::mem::take);
            if amount > 0 {
                let slots = self.by_slot.len().max(to as usize + 1);
                stretch(&mut self.by_slot, slots, 0);
                self.put(to, amount.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = u32::MAX as u64;

    fn amounts(entries: &[(u32, u64)]) -> Amounts {
        let mut amounts = Amounts::default();
        for &(slot, amount) in entries {
            amounts.add(slot, amount);
        }
        amounts
    }

    #[test]
    fn a_bin_gives_back_what_it_took_however_much_that_is() {
        for slots in [4, 800] {
            let (mut bin, mut sums) = (Bin::default(), vec![7; slots]);
            let before = sums.clone();
            for entries in [
                [(0, LARGE), (1, 1), (0, 1)],
                [(2, LARGE + 5), (0, LARGE), (3, 2)],
            ] {
                bin.add_to(&mut sums, &amounts(&entries));
            }
            assert_eq!(sums[..4], [2 * LARGE + 8, 8, LARGE + 12, 9], "{slots}");
            assert_eq!(bin.by_slot.is_empty(), slots > 4);
            bin.take_from(&mut sums);
            assert_eq!(sums, before, "{slots}");
        }
    }

    #[test]
    fn what_is_handed_over_is_given_back_by_the_heir() {
        for slots in [4, 800] {
            let (mut bin, mut sums) = (Bin::default(), vec![0; slots]);
            let entries = [(0, LARGE), (1, LARGE), (0, 9)];
            bin.add_to(&mut sums, &amounts(&entries));
            bin.hand_over(&[(0, 1)]);
            let mut given_back = vec![3 * LARGE; slots];
            bin.take_from(&mut given_back);
            assert_eq!(given_back[..2], [3 * LARGE, LARGE - 9], "{slots}");
        }
    }

    #[test]
    fn what_comes_one_after_the_other_for_a_slot_is_one_amount() {
        let mut deltas = Deltas::default();
        deltas.want(Counter::Cost);
        for (counter, slot, amount) in [
            (Counter::Cost, 0, 1),
            (Counter::Cost, 0, 2),
            (Counter::Cost, 1, 4),
            (Counter::Cost, 1, 0),
            (Counter::New, 1, 9),
        ] {
            deltas.add(counter, slot, amount);
        }
        assert_eq!(
            deltas.of(Counter::Cost).collect::<Vec<_>>(),
            [(0, 3), (1, 4)]
        );
        assert_eq!(
            (deltas.total(Counter::Cost), deltas.total(Counter::New)),
            (7, 0)
        );
    }
}
