//! What a poll costs the server, as far as it can be told from how long it takes.
//!
//! A server that is busy with others answers late. If that counted as the polls' own cost, whoever keeps the
//! server busy would have it polled less often: so it is the quickest of the last polls of its kind that counts.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// For so long a poll is compared with.
const FOR: Duration = Duration::from_hours(1);

/// So many polls are remembered; beyond that the oldest go.
const POLLS_MAX: usize = 1_024;

/// A poll that was answered.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    sessions: usize,
    took: Duration,
}

/// The last polls.
#[derive(Debug, Default)]
pub(super) struct Cost(VecDeque<Seen>);

impl Cost {
    /// What a poll of so many sessions that took `took` cost the server: as much as the quickest with half as many
    /// or more, and in proportion if those were fewer.
    pub(super) fn of(&mut self, at: Instant, sessions: usize, took: Duration) -> Duration {
        while self.0.front().is_some_and(|first| at - first.at > FOR) || self.0.len() >= POLLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Seen { at, sessions, took });
        let alike = self.0.iter().filter(|seen| seen.sessions * 2 >= sessions);
        let costs = alike.map(|seen| {
            let times = sessions as f64 / seen.sessions.max(1) as f64;
            seen.took.mul_f64(times.max(1.0))
        });
        costs.min().unwrap_or(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_kept_busy_is_polled_as_often_as_before() {
        let mut cost = Cost::default();
        assert_eq!(cost.of(Instant::now(), 100, 5 * MS), 5 * MS);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(cost.of(Instant::now(), 100, 400 * MS), 5 * MS);
        assert_eq!(
            cost.of(Instant::now(), 160, 400 * MS),
            8 * MS,
            "of more sessions more"
        );
        assert_eq!(
            cost.of(Instant::now(), 50, 400 * MS),
            5 * MS,
            "of fewer no less"
        );
        assert_eq!(
            cost.of(Instant::now(), 201, 400 * MS),
            400 * MS,
            "of twice as many nobody knows"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_hour_nobody_knows_any_more() {
        let mut cost = Cost::default();
        cost.of(Instant::now(), 100, 5 * MS);
        tokio::time::advance(FOR + MS).await;
        assert_eq!(cost.of(Instant::now(), 100, 400 * MS), 400 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut cost = Cost::default();
        for _ in 0..3 * POLLS_MAX {
            cost.of(Instant::now(), 100, 5 * MS);
        }
        assert_eq!(cost.0.len(), POLLS_MAX);
    }
}
