//! Whether the agent's time is the wall clock's, and may be trusted to delete what is old.
//!
//! A clock that is wrong when the agent starts, by a flat battery or before the network's time has
//! come, would make a whole journal look old. So nothing is deleted by age until the wall clock has
//! agreed with the agent's own time for an hour of this run.

use std::time::Duration;

use crate::time::Timestamp;

/// They agree if they are no further apart than this.
const APART_MAX: Duration = Duration::from_secs(60);

/// For so long they must agree.
const PROVEN_AFTER: Duration = Duration::from_hours(1);

/// Since when the wall clock agrees with the agent's time.
#[derive(Debug, Default)]
pub(super) struct ClockTrust {
    agrees_since: Option<Timestamp>,
    /// For so many polls in a row they have been apart.
    apart: u32,
}

/// A clock that is apart at so many polls in a row was set, and will not be set back at once.
const SET_AFTER: u32 = 2;

impl ClockTrust {
    /// Takes in how far apart the two are at `now`; whether they have just parted.
    pub(super) fn observe(&mut self, now: Timestamp, apart: Duration) -> bool {
        if apart > APART_MAX {
            self.agrees_since = None;
            self.apart = self.apart.saturating_add(1);
        } else {
            self.agrees_since.get_or_insert(now);
            self.apart = 0;
        }
        self.apart == 1
    }

    /// Whether somebody has set the wall clock.
    pub(super) const fn is_set(&self) -> bool {
        self.apart >= SET_AFTER
    }

    /// Whether something may be deleted at `now` because it is old.
    pub(super) fn is_proven(&self, now: Timestamp) -> bool {
        let agreed = self.agrees_since.map(|since| now.since(since));
        agreed.is_some_and(|agreed| agreed >= PROVEN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_agreement_proves_a_clock_and_a_step_begins_the_hour_again() {
        let at = |minutes: u64| Timestamp::default() + Duration::from_secs(minutes * 60);
        let mut trust = ClockTrust::default();
        assert!(!trust.is_proven(at(0)));
        for minute in 0..60 {
            assert!(!trust.observe(at(minute), Duration::from_secs(minute)));
            assert!(!trust.is_proven(at(minute)));
        }
        assert!(!trust.observe(at(60), APART_MAX));
        assert!(trust.is_proven(at(60)));

        let step = Duration::from_hours(400 * 24);
        assert!(trust.observe(at(61), step));
        assert!(!trust.is_set(), "it may have been set back");
        assert!(!trust.observe(at(62), step), "told once");
        assert!(trust.is_set());
        assert!(!trust.is_proven(at(200)));
        assert!(!trust.observe(at(200), Duration::ZERO));
        assert!(!trust.is_set());
        assert!(!trust.is_proven(at(259)));
        assert!(trust.is_proven(at(260)));
    }
}
