//! When the next attempt to connect may be made.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

/// Delays that double with each loss in a row, with jitter so that several agents do not come back as one.
#[derive(Debug)]
pub(super) struct Retry {
    delays: ExponentialBuilder,
    /// The rest of the current series; none while all is well.
    series: Option<<ExponentialBuilder as BackoffBuilder>::Backoff>,
    not_before: Option<Instant>,
}

impl Retry {
    /// Delays lie between `min` and `max`. The same `seed` gives the same delays.
    pub(super) fn new(min: Duration, max: Duration, seed: Option<u64>) -> Self {
        // backon adds up to the delay itself as jitter, so half of `max` keeps the sum within it.
        let max = max / 2;
        let delays = ExponentialBuilder::new()
            .with_min_delay(min.min(max))
            .with_max_delay(max)
            .without_max_times()
            .with_jitter();
        let delays = seed
            .into_iter()
            .fold(delays, ExponentialBuilder::with_jitter_seed);
        Self {
            delays,
            series: None,
            not_before: None,
        }
    }

    /// A connection was lost, or could not be made.
    pub(super) fn lost(&mut self, now: Instant) {
        let series = self.series.get_or_insert_with(|| self.delays.build());
        self.not_before = series.next().map(|delay| now + delay);
    }

    /// A reply came.
    pub(super) fn well(&mut self) {
        self.series = None;
        self.not_before = None;
    }

    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_mins(1);

    fn delays(retry: &mut Retry, count: usize) -> Vec<Duration> {
        let now = Instant::now();
        (0..count)
            .map(|_| {
                retry.lost(now);
                retry.not_before().unwrap() - now
            })
            .collect()
    }

    #[test]
    fn delays_double_within_their_bounds() {
        for seed in 0..200 {
            let delays = delays(&mut Retry::new(MIN, MAX, Some(seed)), 40);
            for (n, &delay) in delays.iter().enumerate() {
                let base = MIN.saturating_mul(1 << n.min(20)).min(MAX / 2);
                assert!(
                    (base..=base * 2).contains(&delay),
                    "{delay:?} for the {n}th"
                );
            }
        }
    }

    #[test]
    fn the_seed_alone_decides_and_a_reply_starts_over() {
        let mut retry = Retry::new(MIN, MAX, Some(7));
        let first = delays(&mut retry, 10);
        assert_ne!(first, delays(&mut Retry::new(MIN, MAX, Some(8)), 10));
        retry.well();
        assert_eq!(retry.not_before(), None);
        assert_eq!(delays(&mut retry, 10), first);
    }

    #[test]
    fn absurd_bounds_do_no_harm() {
        assert_eq!(
            delays(&mut Retry::new(MIN, Duration::ZERO, Some(1)), 3),
            [Duration::ZERO; 3]
        );
        let delays = delays(&mut Retry::new(MAX, MIN, Some(1)), 3);
        assert!(delays.iter().all(|&delay| delay <= MIN), "{delays:?}");
    }
}
