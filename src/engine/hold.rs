//! For how long a policy's tests have held for each target, without a break.
//!
//! Only the time between polls that follow each other counts: a poll that failed freezes the hold
//! time, and clears nothing. A target that is gone keeps it for a while, so that leaving and coming
//! back begins nothing anew.

use std::time::Duration;

use hashbrown::HashMap;

use crate::time::Timestamp;

/// A target for which the tests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) slot: u32,
    /// Tells the targets that the slot has had.
    lineage: u64,
    pub(super) duration: Duration,
    /// Which of the policy's tables holds.
    pub(super) table: usize,
}

/// A target that was gone when the tests were asked.
#[derive(Clone, Copy, Debug)]
struct Away {
    since: Timestamp,
    duration: Duration,
}

/// Targets in order of their slots.
#[derive(Debug, Default)]
pub(super) struct Holds {
    now: Vec<Held>,
    before: Vec<Held>,
    /// By lineage.
    away: HashMap<u64, Away>,
}

/// As many targets that are gone keep their hold times; who goes beyond that begins anew.
const AWAY_MAX: usize = 100_000;

/// What a poll means for hold times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub(super) at: Timestamp,
    /// Since the poll before.
    pub(super) elapsed: Duration,
    /// For so long a target may be gone.
    pub(super) away_max: Duration,
}

/// The targets, as hold times need to know them.
pub(super) trait Lineages {
    /// Tells the targets that a slot has had.
    fn lineage(&self, slot: u32) -> u64;
    /// Whether the target of this lineage has left the slot.
    fn is_gone(&self, slot: u32, lineage: u64) -> bool;
}

impl Holds {
    /// Takes in the slots that hold now, in ascending order, each with its table. Whoever held at
    /// the last poll too has held for `elapsed` longer.
    pub(super) fn update(&mut self, holding: &[(u32, usize)], beat: Beat, targets: &impl Lineages) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        let mut before = self.before.iter().peekable();
        let (mut broken, mut begun) = (Vec::new(), Vec::new());
        for &(slot, table) in holding {
            while let Some(held) = before.next_if(|held| held.slot < slot) {
                broken.push(*held);
            }
            let lineage = targets.lineage(slot);
            let held = before.next_if(|held| held.slot == slot);
            let same = held.filter(|held| held.lineage == lineage);
            if same.is_none() {
                broken.extend(held);
                begun.push(self.now.len());
            }
            self.now.push(Held {
                slot,
                lineage,
                duration: same.map_or(Duration::ZERO, |held| held.duration + beat.elapsed),
                table,
            });
        }
        broken.extend(before);
        self.let_go(&broken, beat, targets);
        self.take_back(&begun, beat);
    }

    /// Some of those who hold for the first time were there before.
    fn take_back(&mut self, begun: &[usize], beat: Beat) {
        if self.away.is_empty() {
            return;
        }
        for &index in begun {
            let held = &mut self.now[index];
            if let Some(away) = self.away.remove(&held.lineage) {
                // Whoever left and came back between two polls held at both.
                let is_seamless = away.since == beat.at;
                let since = if is_seamless {
                    beat.elapsed
                } else {
                    Duration::ZERO
                };
                held.duration = away.duration + since;
            }
        }
    }

    /// Of those whose hold time is broken, those who are gone keep it for a while.
    fn let_go(&mut self, broken: &[Held], beat: Beat, targets: &impl Lineages) {
        self.away.retain(|_, away| {
            // A clock that went back makes nobody stay away for longer.
            away.since = away.since.min(beat.at);
            beat.at.since(away.since) <= beat.away_max
        });
        let gone = broken
            .iter()
            .filter(|held| targets.is_gone(held.slot, held.lineage));
        for held in gone {
            if self.away.len() < AWAY_MAX {
                self.away.insert(
                    held.lineage,
                    Away {
                        since: beat.at,
                        duration: held.duration,
                    },
                );
            }
        }
    }

    /// Those who are found to have held before, and for how long.
    pub(super) fn lengthen(&mut self, mut before: impl FnMut(u32) -> Option<Duration>) {
        for held in &mut self.now {
            held.duration += before(held.slot).unwrap_or_default();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.now.iter()
    }

    pub(super) fn clear(&mut self) {
        self.now.clear();
        self.away.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    /// The lineages of slots.
    struct Slots(Vec<(u32, u64)>);

    impl Lineages for Slots {
        fn lineage(&self, slot: u32) -> u64 {
            let found = self.0.iter().find(|(other, _)| *other == slot);
            found.map_or(u64::from(slot), |&(_, lineage)| lineage)
        }

        fn is_gone(&self, slot: u32, lineage: u64) -> bool {
            self.0.contains(&(slot, u64::MAX)) || self.lineage(slot) != lineage
        }
    }

    fn beat(s: i64) -> Beat {
        Beat {
            at: Timestamp::from_millis(s * 1_000),
            elapsed: TEN,
            away_max: Duration::from_secs(30),
        }
    }

    fn held_s(holds: &Holds) -> Vec<(u32, u64)> {
        holds
            .iter()
            .map(|held| (held.slot, held.duration.as_secs()))
            .collect()
    }

    #[test]
    fn a_break_or_another_target_starts_anew() {
        let same = Slots(Vec::new());
        let mut holds = Holds::default();
        holds.update(&[(1, 0), (2, 0), (5, 0)], beat(0), &same);
        assert_eq!(held_s(&holds), [(1, 0), (2, 0), (5, 0)]);
        let other = Slots(vec![(5, 77)]);
        holds.update(&[(2, 0), (3, 0), (5, 0)], beat(10), &other);
        assert_eq!(held_s(&holds), [(2, 10), (3, 0), (5, 0)]);
        holds.update(&[(1, 0), (2, 1)], beat(20), &other);
        assert_eq!(held_s(&holds), [(1, 0), (2, 20)]);
        holds.clear();
        holds.update(&[(2, 0)], beat(30), &other);
        assert_eq!(held_s(&holds), [(2, 0)]);
    }

    #[test]
    fn who_leaves_and_comes_back_goes_on_for_a_while() {
        let mut holds = Holds::default();
        let here = Slots(Vec::new());
        holds.update(&[(1, 0)], beat(0), &here);
        holds.update(&[(1, 0)], beat(10), &here);
        let gone = Slots(vec![(1, u64::MAX)]);
        holds.update(&[], beat(20), &gone);
        assert!(held_s(&holds).is_empty());
        // In another slot, with the lineage of the first.
        let back = Slots(vec![(4, 1), (1, u64::MAX)]);
        holds.update(&[(4, 0)], beat(40), &back);
        assert_eq!(held_s(&holds), [(4, 10)]);
        // Away between two polls alone.
        let again = Slots(vec![(2, 1), (4, u64::MAX)]);
        holds.update(&[(2, 0)], beat(45), &again);
        assert_eq!(held_s(&holds), [(2, 20)]);
        holds.update(&[(4, 0)], beat(50), &back);
        assert_eq!(held_s(&holds), [(4, 30)]);
        // It is there, and the test does not hold: a break.
        holds.update(&[], beat(60), &back);
        holds.update(&[(4, 0)], beat(70), &back);
        assert_eq!(held_s(&holds), [(4, 0)]);
        // Gone for too long.
        let gone = Slots(vec![(4, u64::MAX)]);
        holds.update(&[], beat(80), &gone);
        holds.update(&[], beat(111), &gone);
        holds.update(&[(4, 0)], beat(120), &here);
        assert_eq!(held_s(&holds), [(4, 0)]);
        assert!(holds.away.is_empty());
    }
}
