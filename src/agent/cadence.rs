//! When the next poll comes: seldom while all is quiet, often while something is up, and never at
//! a time that a client can foresee.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A poll comes this part of the mean earlier or later at the most. A client that could foresee the
/// polls would connect after one and leave before the next.
const JITTER: f64 = 1.0 / 3.0;

/// While something is up, this part of the polls comes early: at any time after the one before.
///
/// A client with a name that a policy forbids is cut by the next poll, and so learns when that was. Others of its kind
/// would stay until the next one can come, connect again after it, and never be seen.
const EARLY: f64 = 0.2;

/// An early poll comes before this part of the mean, and the others after it.
const EARLY_BEFORE: f64 = 0.75;

/// What the next poll's time depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing is up.
    Quiet,
    /// Something is up.
    Alert,
    /// Something is up, and the connection costs the server so much that it is about to throttle it.
    Throttled,
}

impl Pace {
    pub(super) const fn of(is_up: bool, is_throttled: bool) -> Self {
        match (is_up, is_throttled) {
            (false, _) => Self::Quiet,
            (true, false) => Self::Alert,
            (true, true) => Self::Throttled,
        }
    }
}

/// How often the server is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// The mean time between the starts of two polls while all is quiet, and the longest.
    pub interval: Duration,
    /// The shortest mean time between the starts of two polls.
    pub interval_min: Duration,
    /// The share of the server's time that polls may take while something is up, above 0.
    pub cost_share: f64,
}

impl Cadence {
    /// Always the same interval.
    pub const fn steady(interval: Duration) -> Self {
        Self {
            interval,
            interval_min: interval,
            cost_share: 1.0,
        }
    }

    /// The mean time from the start of a poll to the next, after a poll that took `took` of the
    /// server's time.
    fn mean(&self, pace: Pace, took: Duration) -> Duration {
        if pace != Pace::Alert {
            return self.interval;
        }
        let affordable = Duration::try_from_secs_f64(took.as_secs_f64() / self.cost_share);
        let affordable = affordable.unwrap_or(Duration::MAX);
        affordable.max(self.interval_min).min(self.interval)
    }
}

/// The times of the polls.
#[derive(Debug)]
pub(super) struct Beat {
    cadence: Cadence,
    next: Instant,
}

impl Beat {
    /// The first poll is due at once.
    pub(super) fn new(cadence: Cadence) -> Self {
        Self {
            cadence,
            next: Instant::now(),
        }
    }

    /// Waits until a poll is due. It may be given up at any time.
    pub(super) async fn due(&self) {
        sleep_until(self.next).await;
    }

    /// After a poll that began at `began` and took `took` of the server's time.
    ///
    /// The next one is reckoned from this one, never from one that should have been: after a
    /// pause polls do not come in a burst.
    pub(super) fn polled(&mut self, began: Instant, pace: Pace, took: Duration) {
        let mean = self.cadence.mean(pace, took);
        let now = Instant::now();
        self.next = if now - began >= mean {
            // Such a server is given a whole pause to serve its clients.
            now + jittered(mean, chance())
        } else if pace != Pace::Quiet {
            began + unforeseen(mean, chance())
        } else {
            began + jittered(mean, chance())
        };
    }
}

/// `chance` is from 0 to 1.
fn jittered(mean: Duration, chance: f64) -> Duration {
    mean.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0))
}

/// The same, with some of the delays as short as may be, and the others as much longer for the mean to stay.
fn unforeseen(mean: Duration, chance: f64) -> Duration {
    const OTHERS_MEAN: f64 = (1.0 - EARLY * EARLY_BEFORE / 2.0) / (1.0 - EARLY);
    const OTHERS_SPAN: f64 = 2.0 * (OTHERS_MEAN - EARLY_BEFORE);
    mean.mul_f64(if chance < EARLY {
        EARLY_BEFORE * chance / EARLY
    } else {
        EARLY_BEFORE + OTHERS_SPAN * (chance - EARLY) / (1.0 - EARLY)
    })
}

/// From 0 to 1, uniform. From the system's randomness each time: whoever times the polls learns
/// nothing of the next. Without it the process's own generator is better than a fixed beat.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    let random = rustls::crypto::ring::default_provider().secure_random;
    match random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => fastrand::f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CADENCE: Cadence = Cadence {
        interval: Duration::from_secs(10),
        interval_min: SECOND,
        cost_share: 0.01,
    };

    /// The times between the starts of polls that take `took`, in seconds.
    async fn gaps(cadence: Cadence, pace: Pace, took: Duration, polls: usize) -> Vec<f64> {
        let mut beat = Beat::new(cadence);
        let mut starts = Vec::new();
        for _ in 0..polls {
            beat.due().await;
            let began = Instant::now();
            starts.push(began);
            tokio::time::advance(took).await;
            beat.polled(began, pace, took);
        }
        let pairs = starts.windows(2);
        pairs
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect()
    }

    fn mean(gaps: &[f64]) -> f64 {
        gaps.iter().sum::<f64>() / gaps.len() as f64
    }

    #[tokio::test(start_paused = true)]
    async fn polls_are_a_third_from_their_time_at_the_most_and_keep_the_interval_on_average() {
        let gaps = gaps(CADENCE, Pace::Quiet, Duration::from_millis(10), 4_000).await;
        let bounds = 6.66..13.34;
        assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
        assert!((mean(&gaps) - 10.0).abs() < 0.2, "{}", mean(&gaps));
        // Uniform: each tenth of the range has its share.
        for tenth in 0..10 {
            let from = 6.666 + 0.6667 * f64::from(tenth);
            let within = from..from + 0.6667;
            let part = gaps.iter().filter(|gap| within.contains(gap)).count();
            assert!((280..520).contains(&part), "{tenth}: {part}");
        }
        // None follows from the one before.
        let pairs: f64 = gaps
            .windows(2)
            .map(|pair| (pair[0] - 10.0) * (pair[1] - 10.0))
            .sum();
        assert!((pairs / gaps.len() as f64).abs() < 0.4, "{pairs}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_something_is_up_polls_take_their_share_of_the_servers_time() {
        for (took_ms, expected_s) in [(1, 1.0), (10, 1.0), (30, 3.0), (110, 10.0)] {
            let took = Duration::from_millis(took_ms);
            let mean = mean(&gaps(CADENCE, Pace::Alert, took, 10_000).await);
            assert!((mean / expected_s - 1.0).abs() < 0.03, "{took_ms}: {mean}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_something_is_up_no_time_is_safe_from_the_next_poll() {
        let gaps = gaps(CADENCE, Pace::Alert, Duration::ZERO, 4_000).await;
        assert!((mean(&gaps) - 1.0).abs() < 0.03, "{}", mean(&gaps));
        assert!(
            gaps.iter().all(|gap| (0.0..1.57_f64).contains(gap)),
            "{gaps:?}"
        );
        for (from, expected) in [
            (0.0, 267),
            (0.25, 267),
            (0.5, 267),
            (0.75, 985),
            (1.25, 985),
        ] {
            let within = from..from + 0.25;
            let count = gaps.iter().filter(|&gap| within.contains(gap)).count();
            assert!(count.abs_diff(expected) < 160, "{from}: {count}");
        }
    }

    /// A connection is throttled for what others of its group cost: whoever brings that about must not learn when
    /// the next poll comes.
    #[tokio::test(start_paused = true)]
    async fn over_a_throttled_connection_polls_keep_the_interval_and_cannot_be_foreseen_either() {
        let gaps = gaps(CADENCE, Pace::of(true, true), Duration::ZERO, 4_000).await;
        assert!((mean(&gaps) / 10.0 - 1.0).abs() < 0.03, "{}", mean(&gaps));
        let early = gaps.iter().filter(|&&gap| gap < 6.66).count();
        // 0.2 * 6.66 / 7.5 of them.
        assert!(early.abs_diff(710) < 160, "{early}");
    }

    #[test]
    fn the_pace_stays_within_its_bounds() {
        let mean = |cadence: Cadence, took| cadence.mean(Pace::Alert, took);
        assert_eq!(mean(CADENCE, Duration::ZERO), SECOND);
        assert_eq!(mean(CADENCE, Duration::MAX), CADENCE.interval);
        for pace in [Pace::Quiet, Pace::Throttled] {
            assert_eq!(CADENCE.mean(pace, Duration::ZERO), CADENCE.interval);
        }
        let steady = Cadence::steady(SECOND * 7);
        for took in [Duration::ZERO, SECOND, SECOND * 100] {
            assert_eq!(mean(steady, took), SECOND * 7);
        }
        // The interval wins.
        let absurd = Cadence {
            interval: SECOND,
            interval_min: SECOND * 5,
            ..CADENCE
        };
        assert_eq!(mean(absurd, Duration::ZERO), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_there_is_one_poll_and_then_the_pace_goes_on() {
        let mut beat = Beat::new(CADENCE);
        beat.due().await;
        beat.polled(Instant::now(), Pace::Quiet, Duration::ZERO);
        tokio::time::advance(Duration::from_hours(1)).await;
        let resumed = Instant::now();
        beat.due().await;
        assert_eq!(Instant::now(), resumed);
        beat.polled(resumed, Pace::Quiet, Duration::ZERO);
        beat.due().await;
        let gap = resumed.elapsed().as_secs_f64();
        assert!((6.66..13.34).contains(&gap), "{gap}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_that_is_slow_or_stopped_midway_is_followed_by_a_whole_pause() {
        for pace in [Pace::Quiet, Pace::Alert, Pace::Throttled].repeat(100) {
            let mut beat = Beat::new(CADENCE);
            let began = Instant::now();
            tokio::time::advance(Duration::from_mins(30)).await;
            let ended = Instant::now();
            beat.polled(began, pace, Duration::from_mins(30));
            beat.due().await;
            let gap = ended.elapsed().as_secs_f64();
            assert!((6.66..13.34).contains(&gap), "{gap}");
        }
    }
}
