//! Probing on and on, in a task of its own: a daemon that is slow must not hold up the agent.

use std::fmt;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::Prober;
use crate::daemon::Round;

/// Rounds are so far from their time at the most, so that the agents of several servers do not all
/// ask a daemon at once.
const JITTER: f64 = 0.1;

/// A prober at work. Dropped, it ends.
pub struct Watching {
    rounds: broadcast::Receiver<Round>,
    task: AbortHandle,
}

impl Prober {
    /// Probes at once, and then every `interval`. A round that takes longer delays the next, and
    /// none is made up for. Of those that nobody takes, the last `kept` are.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch(mut self, interval: Duration, kept: usize) -> Watching {
        let (sender, rounds) = broadcast::channel(kept);
        let probing = async move {
            loop {
                let next = Instant::now() + jittered(interval);
                let round = self.probe().await;
                if sender.send(round).is_err() {
                    return;
                }
                sleep_until(next).await;
            }
        };
        Watching {
            rounds,
            task: tokio::spawn(probing).abort_handle(),
        }
    }
}

impl Watching {
    /// The rounds since the last call, the oldest first. It does not wait.
    pub fn take(&mut self) -> Vec<Round> {
        let mut taken = Vec::new();
        loop {
            match self.rounds.try_recv() {
                Ok(round) => taken.push(round),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return taken,
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_a_tenth_from_their_time_at_the_most() {
        let times: Vec<_> = (0..1_000)
            .map(|_| jittered(Duration::from_secs(10)))
            .collect();
        let (least, most) = (times.iter().min(), times.iter().max());
        assert!(least.is_some_and(|least| (9.0..9.2).contains(&least.as_secs_f64())));
        assert!(most.is_some_and(|most| (10.8..=11.0).contains(&most.as_secs_f64())));
    }
}
