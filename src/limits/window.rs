//! A strict limit: within any span of a length so many at the most. For what is done seldom; it
//! remembers each time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::policy::Quota;
use crate::policy::bounds::QUOTA_PER;
use crate::time::Timestamp;

/// When something was done, in order; no more times than the limit allows within its length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Window(VecDeque<Timestamp>);

impl Window {
    /// From when on one more may be done, if that is not now.
    pub(super) fn until(&mut self, limit: Quota, at: Timestamp) -> Option<Timestamp> {
        for time in &mut self.0 {
            // The clock went back: it was before now all the same.
            *time = at.min(*time);
        }
        while self
            .0
            .front()
            .is_some_and(|&first| at.since(first) >= limit.per)
        {
            self.0.pop_front();
        }
        let beyond = self.0.len().checked_sub(limit.count as usize)?;
        Some(self.0[beyond] + limit.per)
    }

    /// How many more may be done, as of the last time that was asked.
    pub(super) fn left(&self, limit: Quota) -> usize {
        (limit.count as usize).saturating_sub(self.0.len())
    }

    /// One more is done.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.0.push_back(at);
    }

    /// What was noted at `at` was not done after all.
    pub(super) fn take_back(&mut self, at: Timestamp) {
        if let Some(noted) = self.0.iter().rposition(|&time| time == at) {
            self.0.remove(noted);
        }
    }

    /// Whether it is too long ago to matter to any limit.
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        let last = self.0.back();
        last.is_none_or(|&last| at.since(last) >= *QUOTA_PER.end())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const LIMIT: Quota = Quota {
        count: 3,
        per: Duration::from_secs(60),
    };

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    #[test]
    fn it_says_until_when() {
        let mut window = Window::default();
        for s in [0, 10, 20] {
            assert_eq!(window.until(LIMIT, at(s)), None);
            window.note(at(s));
        }
        assert_eq!(window.until(LIMIT, at(59)), Some(at(60)));
        assert_eq!(window.until(LIMIT, at(60)), None);
        window.note(at(60));
        assert_eq!(window.until(LIMIT, at(60)), Some(at(70)));
        window.take_back(at(60));
        assert_eq!(window.until(LIMIT, at(60)), None);
        let narrower = Quota { count: 1, ..LIMIT };
        assert_eq!(window.until(narrower, at(60)), Some(at(80)));
    }

    #[test]
    fn a_clock_that_went_back_keeps_it_shut_for_one_length_at_the_most() {
        let mut window = Window::default();
        for s in [1_000, 1_000, 1_050] {
            window.note(at(s));
        }
        assert_eq!(window.until(LIMIT, at(500)), Some(at(560)));
        assert_eq!(window.until(LIMIT, at(560)), None);
    }

    proptest! {
        #[test]
        fn no_span_holds_more_than_the_count(
            asks in prop::collection::vec((0_i64..90, 0_u8..8), 0..200),
            count in 1_u32..6,
        ) {
            let limit = Quota { count, ..LIMIT };
            let (mut window, mut done, mut s) = (Window::default(), Vec::new(), 0);
            for (wait, event) in asks {
                s += wait;
                if window.until(limit, at(s)).is_none() {
                    window.note(at(s));
                    if event == 0 {
                        window.take_back(at(s));
                    } else {
                        done.push(s);
                    }
                } else {
                    // Not shut without a reason.
                    let recent = done.iter().filter(|&&then| s - then < 60);
                    prop_assert_eq!(recent.count(), count as usize);
                }
                if event == 1 {
                    let saved = serde_json::to_string(&window).unwrap();
                    window = serde_json::from_str(&saved).unwrap();
                }
                prop_assert!(window.0.len() <= count as usize);
            }
            for (i, start) in done.iter().enumerate() {
                let within = done[i..].iter().filter(|&then| then - start < 60);
                prop_assert!(within.count() <= count as usize);
            }
        }
    }
}
