//! The server's slots: as many sessions as it takes at a time.
//!
//! When they are all taken, `ElectrumX` closes its listeners, and opens them again when a twentieth of
//! them is free. `LocalRPC` does not tell how many there are, so the configuration has to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A server's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slots {
    /// `MAX_SESSIONS`.
    max: u32,
}

/// A part of the slots, in thousandths of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Part(u16);

impl Part {
    /// From a share of 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1,000"
    )]
    pub fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1_000.0).round() as u16)
    }

    /// As a share of 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

/// As in policies: `5%`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10.0)
    }
}

impl Slots {
    /// So many, as in `MAX_SESSIONS`.
    pub const fn new(max: u32) -> Self {
        Self { max }
    }

    /// The share that is free beside so many sessions, RPC connections included, as the server counts
    /// them. Unknown if there are so many more than there can be that the number of slots is wrong: a
    /// server that closes its listeners still takes who was waiting at them.
    pub fn left(self, sessions: u64) -> Option<f64> {
        const WAITING: u64 = 300;
        let max = u64::from(self.max);
        if max == 0 || sessions > max + max / 10 + WAITING.min(max) {
            return None;
        }
        Some(max.saturating_sub(sessions) as f64 / max as f64)
    }

    /// How many of so many sessions must go until a part of the slots is free; none if that is not known.
    pub fn to_free(self, part: Part, sessions: u64) -> u64 {
        if self.left(sessions).is_none() {
            return 0;
        }
        let most = u64::from(self.max) * (1_000 - u64::from(part.0)) / 1_000;
        sessions.saturating_sub(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_a_share() {
        let slots = Slots::new(1_000);
        assert_eq!(slots.left(0), Some(1.0));
        assert_eq!(slots.left(950), Some(0.05));
        assert_eq!(slots.left(1_000), Some(0.0));
        // Who waited when the listeners closed.
        assert_eq!(slots.left(1_100), Some(0.0));
    }

    #[test]
    fn a_number_that_is_wrong_tells_nothing() {
        assert_eq!(Slots::new(1_000).left(1_401), None);
        assert_eq!(Slots::new(1_000).to_free(Part::of(0.05), 1_401), 0);
        assert_eq!(Slots::new(0).left(1), None);
    }

    /// The listeners open at 95% of the slots, rounded down.
    #[test]
    fn a_twentieth_opens_the_listeners() {
        for max in [1, 19, 20, 999, 1_000, 65_535] {
            let slots = Slots::new(max);
            let full = u64::from(max);
            let goes = slots.to_free(Part::of(0.05), full);
            assert_eq!(full - goes, full * 19 / 20, "{max}");
        }
    }

    #[test]
    fn parts_are_written_as_in_policies() {
        assert_eq!(Part::of(0.05).to_string(), "5%");
        assert_eq!(Part::of(0.125).to_string(), "12.5%");
        assert_eq!(Part::of(2.0), Part(1_000));
    }
}
