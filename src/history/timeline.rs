//! A window of time, cut into bins at polls.
//!
//! A bin is at least a sixth of the window long and ends with a poll. The window reaches back to
//! the bin border that lies nearest to its nominal start, but covers all of its length save half a
//! bin: rather too long than too short. Rates are taken over the time that it really spans, so that
//! polls that come late or fail to come distort nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// Bins in a window whose polls come often enough.
const BINS: u32 = 6;

/// What a poll does to the bins.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The bin that takes what happened since the last poll.
    pub(super) open: usize,
    /// The bins that have left the window.
    pub(super) expired: Vec<usize>,
}

/// The bins' borders.
#[derive(Debug)]
pub(super) struct Timeline {
    window: Duration,
    /// Start and storage of each bin, oldest first; the last is open.
    bins: VecDeque<(Timestamp, usize)>,
    end: Timestamp,
    turn: Turn,
}

impl Timeline {
    /// Begins at a poll: nothing before `start` is known.
    pub(super) fn new(window: Duration, start: Timestamp) -> Self {
        Self {
            window,
            bins: VecDeque::from([(start, 0)]),
            end: start,
            turn: Turn::default(),
        }
    }

    /// Moves the window to the poll at `now`.
    pub(super) fn advance(&mut self, now: Timestamp) -> &Turn {
        let open_since = self.bins.back().map_or(self.end, |&(start, _)| start);
        if self.end.since(open_since) >= self.window / BINS && self.end > open_since {
            let storage = self.free_storage();
            self.bins.push_back((self.end, storage));
        }
        self.end = now;
        self.turn.expired.clear();
        let start = now - self.window;
        while let [Some(&(first, storage)), Some(&(second, _))] =
            [self.bins.front(), self.bins.get(1)]
        {
            let is_nearer = distance(second, start) <= distance(first, start);
            if !is_nearer || !self.covers(now.since(second)) {
                break;
            }
            self.bins.pop_front();
            self.turn.expired.push(storage);
        }
        self.turn.open = self.bins.back().map_or(0, |&(_, storage)| storage);
        &self.turn
    }

    fn free_storage(&self) -> usize {
        (0..=self.bins.len())
            .find(|s| self.bins.iter().all(|(_, used)| used != s))
            .unwrap_or_default()
    }

    /// When the bins begin.
    pub(super) fn start(&self) -> Timestamp {
        self.bins.front().map_or(self.end, |&(start, _)| start)
    }

    /// The time that the bins cover.
    pub(super) fn span(&self) -> Duration {
        self.end.since(self.start())
    }

    /// Whether the bins cover the window, but for half a bin at the most.
    pub(super) fn is_covered(&self) -> bool {
        self.covers(self.span())
    }

    fn covers(&self, span: Duration) -> bool {
        span + self.window / (2 * BINS) >= self.window
    }

    /// When a poll covers the window at the earliest.
    pub(super) fn covered_from(&self) -> Timestamp {
        self.start() + self.window.saturating_sub(self.window / (2 * BINS))
    }

    pub(super) const fn window(&self) -> Duration {
        self.window
    }

    pub(super) const fn turn(&self) -> &Turn {
        &self.turn
    }
}

fn distance(a: Timestamp, b: Timestamp) -> u64 {
    a.as_millis().abs_diff(b.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    #[test]
    fn spans_the_window_exactly_when_polls_divide_it() {
        let mut timeline = Timeline::new(Duration::from_secs(60), at(0));
        for s in 1..=5 {
            timeline.advance(at(10 * s));
            assert_eq!(timeline.span().as_secs(), 10 * u64::try_from(s).unwrap());
        }
        assert!(!timeline.is_covered());
        for s in 6..100 {
            timeline.advance(at(10 * s));
            assert_eq!(timeline.span().as_secs(), 60);
            assert!(timeline.is_covered());
        }
    }

    #[test]
    fn a_jittered_poll_does_not_lose_a_bin() {
        let mut timeline = Timeline::new(Duration::from_secs(60), at(0));
        for s in 1..100 {
            timeline.advance(Timestamp::from_millis(10_050 * s));
        }
        assert_eq!(timeline.span().as_millis(), 60_300);
    }

    #[test]
    fn what_is_covered_stays_covered_whatever_polls_are_missed() {
        let mut timeline = Timeline::new(Duration::from_secs(60), at(0));
        for s in (1..100).filter(|s| s % 7 != 0 && s % 13 > 2) {
            timeline.advance(at(10 * s));
            assert_eq!(timeline.is_covered(), 10 * s >= 60, "{s}");
            assert!(timeline.span().as_secs() <= 110, "{s}");
        }
    }

    #[test]
    fn polls_slower_than_the_window_span_one_poll() {
        let mut timeline = Timeline::new(Duration::from_secs(10), at(0));
        for s in 1..10 {
            timeline.advance(at(30 * s));
            assert_eq!(timeline.span().as_secs(), 30);
        }
    }

    proptest::proptest! {
        #[test]
        fn storage_is_bounded_and_the_span_near_the_window(
            gaps in proptest::collection::vec(100_i64..20_000, 1..300), window in 1_u64..3_600
        ) {
            let window = Duration::from_secs(window);
            let mut timeline = Timeline::new(window, at(0));
            let mut now = at(0);
            for gap in gaps {
                now = now + Duration::from_millis(gap.unsigned_abs());
                let open = timeline.advance(now).open;
                proptest::prop_assert!(open < 9, "{open}");
                // A bin is at most a sixth of the window and one poll longer than that.
                let slack = window / BINS + Duration::from_secs(20);
                proptest::prop_assert!(timeline.span() <= window + slack);
            }
        }
    }
}
