//! Health by counts of checks, as `HAProxy` has it: so many good ones in a row to rise, so many bad
//! ones to fall. Before either it is not known.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How many checks in a row change a daemon's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Good ones, until it is healthy.
    pub rise: u32,
    /// Bad ones, until it is not.
    pub fall: u32,
}

/// One daemon's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Unknown until enough checks agree.
    up: Option<bool>,
    /// When `up` became what it is.
    since: Timestamp,
    /// Checks in a row that came out as the last did.
    streak: u32,
    was_good: bool,
}

impl Health {
    /// Takes in a check.
    pub(super) fn check(&mut self, is_good: bool, at: Timestamp, counts: Counts) {
        if is_good == self.was_good {
            self.streak = self.streak.saturating_add(1);
        } else {
            (self.was_good, self.streak) = (is_good, 1);
        }
        let needed = if is_good { counts.rise } else { counts.fall };
        if self.streak >= needed && self.up != Some(is_good) {
            (self.up, self.since) = (Some(is_good), at);
        }
    }

    /// Whether it is healthy, if that is known.
    pub const fn up(&self) -> Option<bool> {
        self.up
    }

    /// Since when it is healthy.
    pub fn up_since(&self) -> Option<Timestamp> {
        (self.up == Some(true)).then_some(self.since)
    }

    /// Since when it is known to be what it is.
    pub fn since(&self) -> Option<Timestamp> {
        self.up.map(|_| self.since)
    }

    /// The checks in a row that speak against what it is now, and how many it would take.
    pub fn turning(&self, counts: Counts) -> Option<(u32, u32)> {
        let needed = if self.was_good {
            counts.rise
        } else {
            counts.fall
        };
        (self.streak > 0 && self.up != Some(self.was_good)).then_some((self.streak, needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts { rise: 3, fall: 2 };

    fn after(checks: &[bool]) -> Health {
        let mut health = Health::default();
        for (second, &good) in (1..).zip(checks) {
            health.check(good, Timestamp::from_millis(second * 1_000), COUNTS);
        }
        health
    }

    #[test]
    fn it_takes_rise_checks_to_rise_and_fall_checks_to_fall() {
        const UP: bool = true;
        const DOWN: bool = false;
        let since_s = |health: Health| health.since().map(|at| at.as_millis() / 1_000);
        for (checks, up, since) in [
            (&[][..], None, None),
            (&[UP, UP], None, None),
            (&[UP, UP, UP], Some(true), Some(3)),
            (&[UP, UP, UP, UP], Some(true), Some(3)),
            (&[UP, DOWN, UP, UP], None, None),
            (&[DOWN], None, None),
            (&[DOWN, DOWN], Some(false), Some(2)),
            (&[UP, UP, UP, DOWN, UP, DOWN], Some(true), Some(3)),
            (&[UP, UP, UP, DOWN, DOWN], Some(false), Some(5)),
            (&[UP, UP, UP, DOWN, DOWN, UP, UP], Some(false), Some(5)),
        ] {
            assert_eq!(
                (after(checks).up(), since_s(after(checks))),
                (up, since),
                "{checks:?}"
            );
        }
        assert_eq!(after(&[DOWN, DOWN, UP, UP]).turning(COUNTS), Some((2, 3)));
        assert_eq!(after(&[DOWN, DOWN, UP, UP, UP]).turning(COUNTS), None);
    }
}
