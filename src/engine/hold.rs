//! For how long a policy's tests have held for each target, without a break.
//!
//! Only the time between polls that follow each other counts: a poll that failed freezes the hold
//! time, and clears nothing.

use std::time::Duration;

/// A target for which the tests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) slot: u32,
    generation: u32,
    pub(super) duration: Duration,
    /// Which of the policy's tables holds.
    pub(super) table: usize,
}

/// Targets in order of their slots.
#[derive(Debug, Default)]
pub(super) struct Holds {
    now: Vec<Held>,
    before: Vec<Held>,
}

impl Holds {
    /// Takes in the slots that hold now, in ascending order, each with its table. Whoever held at
    /// the last poll too has held for `elapsed` longer.
    pub(super) fn update(
        &mut self,
        holding: &[(u32, usize)],
        elapsed: Duration,
        generation: impl Fn(u32) -> u32,
    ) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        let mut before = self.before.iter().peekable();
        for &(slot, table) in holding {
            while before.next_if(|held| held.slot < slot).is_some() {}
            let generation = generation(slot);
            let duration = before
                .next_if(|held| held.slot == slot)
                .filter(|held| held.generation == generation)
                .map_or(Duration::ZERO, |held| held.duration + elapsed);
            self.now.push(Held {
                slot,
                generation,
                duration,
                table,
            });
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.now.iter()
    }

    pub(super) fn clear(&mut self) {
        self.now.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn held_s(holds: &Holds) -> Vec<(u32, u64)> {
        holds
            .iter()
            .map(|held| (held.slot, held.duration.as_secs()))
            .collect()
    }

    #[test]
    fn a_break_or_another_target_starts_anew() {
        let mut holds = Holds::default();
        holds.update(&[(1, 0), (2, 0), (5, 0)], TEN, |_| 1);
        assert_eq!(held_s(&holds), [(1, 0), (2, 0), (5, 0)]);
        holds.update(&[(2, 0), (3, 0), (5, 0)], TEN, |slot| {
            if slot == 5 { 2 } else { 1 }
        });
        assert_eq!(held_s(&holds), [(2, 10), (3, 0), (5, 0)]);
        holds.update(&[(1, 0), (2, 1)], TEN, |_| 1);
        assert_eq!(held_s(&holds), [(1, 0), (2, 20)]);
        holds.clear();
        holds.update(&[(2, 0)], TEN, |_| 1);
        assert_eq!(held_s(&holds), [(2, 0)]);
    }
}
