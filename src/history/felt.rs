//! What the canary's visits have come to, as far as fields tell it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::visit::{Felt, Visit};

/// The canary's news, as the next run needs to know them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedFelt {
    /// The last visit.
    last: Option<Timestamp>,
    /// What it felt, if it was served.
    felt: Option<Felt>,
    /// Since when nobody has been served, if it was not.
    down_since: Option<Timestamp>,
}

impl SavedFelt {
    /// Takes in the visits since the last poll, in the order of time.
    pub(super) fn hear(&mut self, visits: &[Visit]) {
        for visit in visits {
            if let Ok(felt) = &visit.felt {
                self.felt = Some(*felt);
                self.down_since = None;
            } else {
                // From the last visit that went well on it may have been so; nobody knows. It certainly
                // is so from this one on.
                self.felt = None;
                self.down_since.get_or_insert(visit.at);
            }
            self.last = Some(visit.at);
        }
    }

    /// Forgets what is older than that: a canary that is silent tells nothing.
    pub(super) fn expire(&mut self, at: Timestamp, age_max: Duration) {
        if self.last.is_some_and(|last| at.since(last) > age_max) {
            *self = Self::default();
        }
    }

    /// What a wallet felt last, if it was served.
    pub(super) const fn felt(&self) -> Option<&Felt> {
        self.felt.as_ref()
    }

    /// How long nobody has been served; `None` while no visit tells.
    pub(super) fn down(&self, at: Timestamp) -> Option<Duration> {
        self.last?;
        Some(
            self.down_since
                .map_or(Duration::ZERO, |since| at.since(since)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visit::Unserved;

    const AGE_MAX: Duration = Duration::from_secs(300);

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    fn served(s: i64) -> Visit {
        let felt = Felt {
            latency: Duration::from_millis(20),
            height: 7,
            certificate_ends: None,
        };
        Visit {
            at: at(s),
            felt: Ok(felt),
        }
    }

    fn unserved(s: i64) -> Visit {
        Visit {
            at: at(s),
            felt: Err(Unserved::Closed),
        }
    }

    #[test]
    fn nobody_served_counts_from_the_first_visit_in_vain() {
        let mut felt = SavedFelt::default();
        assert_eq!(felt.down(at(5)), None);
        felt.hear(&[served(10)]);
        assert_eq!(felt.down(at(15)), Some(Duration::ZERO));
        felt.hear(&[unserved(20), unserved(30)]);
        assert_eq!(felt.down(at(45)), Some(Duration::from_secs(25)));
        assert!(felt.felt().is_none());
        // While the canary waits before it tries again, it goes on.
        felt.hear(&[]);
        assert_eq!(felt.down(at(60)), Some(Duration::from_secs(40)));
        felt.hear(&[served(61)]);
        assert_eq!(felt.down(at(62)), Some(Duration::ZERO));
        assert!(felt.felt().is_some());
    }

    #[test]
    fn a_silent_canary_tells_nothing() {
        let mut felt = SavedFelt::default();
        felt.hear(&[unserved(0)]);
        felt.expire(at(300), AGE_MAX);
        assert_eq!(felt.down(at(300)), Some(Duration::from_secs(300)));
        felt.expire(at(301), AGE_MAX);
        assert_eq!(felt.down(at(301)), None);
        felt.hear(&[served(400)]);
        felt.expire(at(701), AGE_MAX);
        assert!(felt.felt().is_none());
    }
}
