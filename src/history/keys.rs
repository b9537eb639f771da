//! Targets that stay the same from poll to poll, each in a slot of its own.
//!
//! Clients choose addresses and names, so a table has a cap. What goes first when it is full: the
//! target that has been without a session for the longest time. While all have sessions, a new
//! target is not tracked, and that is counted.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::room::make_room;
use crate::time::Timestamp;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Tables are capped far below 2^32 slots.
pub(super) fn slot_id(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(NONE)
}

/// The slots.
#[derive(Debug)]
pub(super) struct Keys<K> {
    slots: Vec<Slot<K>>,
    /// By slot its sessions at the last poll; apart, for every session of every poll touches it.
    present: Vec<u32>,
    /// By slot when a session was last there, or was first found gone.
    last_seen: Vec<Timestamp>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    cap: usize,
    overflow: u64,
}

#[derive(Debug)]
struct Slot<K> {
    key: Option<K>,
    /// Counts the keys that this slot has had.
    generation: u32,
}

impl<K: Hash> Slot<K> {
    /// As the table has it.
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        self.key.as_ref().map_or(0, |key| hasher.hash_one(key))
    }
}

impl<K: Hash + Eq> Keys<K> {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            slots: Vec::new(),
            present: Vec::new(),
            last_seen: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            cap,
            overflow: 0,
        }
    }

    /// Forgets all keys; generations go on.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.free.clear();
        for (index, slot) in (0..).zip(&mut self.slots) {
            slot.key = None;
            self.free.push(index);
        }
        self.clear_presence();
        self.free.reverse();
    }

    /// The slot of `key`, a new one if need be, or [`NONE`] if the table is full.
    pub(super) fn slot<Q>(&mut self, key: &Q, now: Timestamp) -> u32
    where
        Q: Hash + Eq + ToOwned + ?Sized,
        K: Borrow<Q> + From<Q::Owned>,
    {
        let hash = self.hasher.hash_one(key);
        let slots = &self.slots;
        let is_key = |&slot: &u32| {
            slots[slot as usize]
                .key
                .as_ref()
                .is_some_and(|k| k.borrow() == key)
        };
        if let Some(&slot) = self.table.find(hash, is_key) {
            return slot;
        }
        let Some(index) = self.vacant() else {
            self.overflow += 1;
            return NONE;
        };
        let slot = &mut self.slots[index as usize];
        slot.key = Some(K::from(key.to_owned()));
        slot.generation = slot.generation.wrapping_add(1);
        self.last_seen[index as usize] = now;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table
            .insert_unique(hash, index, |&slot| slots[slot as usize].hash(hasher));
        index
    }

    /// The slot of `key`, if it has one.
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        let slots = &self.slots;
        let is_key = |&slot: &u32| slots[slot as usize].key.as_ref() == Some(key);
        let found = self.table.find(self.hasher.hash_one(key), is_key);
        found.copied()
    }

    /// Makes room for `slots` in one go. Growing to it step by step leaves the smaller tables behind
    /// as holes in the heap.
    pub(super) fn reserve(&mut self, slots: usize) {
        let slots = slots.min(self.cap);
        self.make_room(slots);
        let (keys, hasher) = (&self.slots, &self.hasher);
        self.table
            .reserve(slots.saturating_sub(self.table.len()), |&slot| {
                keys[slot as usize].hash(hasher)
            });
    }

    fn vacant(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let index = u32::try_from(self.slots.len())
            .ok()
            .filter(|&i| (i as usize) < self.cap)?;
        self.make_room(index as usize + 1);
        self.slots.push(Slot {
            key: None,
            generation: 0,
        });
        self.present.push(0);
        self.last_seen.push(Timestamp::default());
        Some(index)
    }

    fn make_room(&mut self, slots: usize) {
        make_room(&mut self.slots, slots);
        make_room(&mut self.present, slots);
        make_room(&mut self.last_seen, slots);
    }

    /// Before the sessions of a poll are counted.
    pub(super) fn clear_presence(&mut self) {
        self.present.fill(0);
    }

    /// Counts a session of the poll at `now`; whether it is the first of the target.
    pub(super) fn count(&mut self, slot: u32, now: Timestamp) -> bool {
        self.last_seen[slot as usize] = now;
        let sessions = &mut self.present[slot as usize];
        *sessions += 1;
        *sessions == 1
    }

    /// A session was found gone by the poll at `now`.
    pub(super) fn touch(&mut self, slot: u32, now: Timestamp) {
        self.last_seen[slot as usize] = now;
    }

    /// Frees what has had no session since `start`, when the longest window began, and if the table
    /// is full nonetheless the longest absent eighth; hands each slot to `freed`.
    pub(super) fn sweep(&mut self, start: Timestamp, mut freed: impl FnMut(u32)) {
        let is_full = self.table.len() >= self.cap;
        let seen = self.last_seen.iter().copied().zip(0_u32..);
        let mut absent: Vec<(Timestamp, u32)> = seen
            .zip(&self.present)
            .filter(|&((last, _), &sessions)| sessions == 0 && (is_full || last <= start))
            .map(|(seen, _)| seen)
            .filter(|&(_, index)| self.key(index as usize).is_some())
            .collect();
        if is_full {
            absent.sort_unstable();
            let expired = absent.partition_point(|&(last, _)| last <= start);
            absent.truncate(expired.max(self.cap.div_ceil(8)));
        }
        for (_, index) in absent {
            let slot = &mut self.slots[index as usize];
            let hash = slot.hash(&self.hasher);
            slot.key = None;
            if let Ok(entry) = self.table.find_entry(hash, |&s| s == index) {
                entry.remove();
            }
            self.free.push(index);
            freed(index);
        }
    }

    /// How many slots there are, free ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn key(&self, slot: usize) -> Option<&K> {
        self.slots.get(slot).and_then(|slot| slot.key.as_ref())
    }

    pub(super) fn generation(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(0, |slot| slot.generation)
    }

    /// By slot: its sessions at the last poll.
    pub(super) fn present(&self) -> &[u32] {
        &self.present
    }

    /// Whether it had a session at the last poll.
    pub(super) fn is_present(&self, slot: usize) -> bool {
        self.present.get(slot).is_some_and(|&sessions| sessions > 0)
    }

    /// The slots in use.
    pub(super) fn used(&self) -> impl Iterator<Item = usize> {
        (0..self.slots.len()).filter(|&slot| self.slots[slot].key.is_some())
    }

    /// How often a new key found the table full.
    pub(super) const fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_frees_the_longest_absent() {
        let mut keys = Keys::<Box<str>>::new(16);
        for i in 0..16_i64 {
            let slot = keys.slot(i.to_string().as_str(), at(i));
            keys.count(slot, at(i));
        }
        assert_eq!(keys.slot("new", at(20)), NONE);
        assert_eq!(keys.overflow(), 1);
        keys.sweep(at(-40), |_| panic!("all are present"));
        keys.clear_presence();
        let mut freed = Vec::new();
        keys.sweep(at(-40), |slot| freed.push(slot));
        assert_eq!(freed, [0, 1]);
        let slot = keys.slot("new", at(20));
        assert_eq!((slot, keys.generation(slot as usize)), (1, 2));
    }

    #[test]
    fn absent_keys_stay_for_the_window() {
        let mut keys = Keys::<Box<str>>::new(16);
        let slot = keys.slot("a", at(0));
        keys.count(slot, at(0));
        keys.clear_presence();
        keys.touch(slot, at(10));
        keys.sweep(at(9), |_| panic!("within the window"));
        assert_eq!(keys.slot("a", at(60)), slot);
        keys.sweep(at(10), |_| {});
        assert_eq!(keys.key(slot as usize), None);
        keys.clear();
        assert_eq!(keys.slot("b", at(62)), slot);
    }
}
