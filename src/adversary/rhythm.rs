//! When the agent polls.

use std::time::Duration;

use fastrand::Rng;

/// From one poll to the next while nothing is wrong.
const IDLE: Duration = Duration::from_secs(10);
/// The same while something is.
const ALERT: Duration = Duration::from_secs(1);

/// Intervals between polls, jittered by a third, so that nobody can tell when the next one comes.
#[derive(Clone, Debug)]
pub struct Rhythm {
    rng: Rng,
}

impl Rhythm {
    /// With chance from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed ^ 0x5eed),
        }
    }

    /// How long until the next poll, while a policy holds for anything or nothing is wrong.
    pub fn interval(&mut self, is_alert: bool) -> Duration {
        let interval = if is_alert { ALERT } else { IDLE };
        interval.mul_f64(2.0 / 3.0 + 2.0 / 3.0 * self.rng.f64())
    }
}
