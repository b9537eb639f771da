//! Whether the agent's time may be trusted to delete what is old.
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
    is_apart: bool,
}

impl ClockTrust {
    /// Takes in how far apart the two are at `now`; whether they have just parted.
    pub(super) fn observe(&mut self, now: Timestamp, apart: Duration) -> bool {
        let was_apart = std::mem::replace(&mut self.is_apart, apart > APART_MAX);
        if self.is_apart {
            self.agrees_since = None;
        } else {
            self.agrees_since.get_or_insert(now);
        }
        self.is_apart && !was_apart
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
        assert!(!trust.observe(at(62), step), "told once");
        assert!(!trust.is_proven(at(200)));
        assert!(!trust.observe(at(200), Duration::ZERO));
        assert!(!trust.is_proven(at(259)));
        assert!(trust.is_proven(at(260)));
    }
}
