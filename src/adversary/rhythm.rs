//! When the agent polls.

use std::time::Duration;

use fastrand::Rng;

/// From one poll to the next while nothing is wrong.
const IDLE: Duration = Duration::from_secs(10);
/// The same while something is.
const ALERT: Duration = Duration::from_secs(1);

/// Intervals between polls as the agent makes them: jittered by a third, and while something is wrong one in five at
/// any time before the others can come, so that nobody can tell when the next one does.
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
        match (is_alert, self.rng.f64()) {
            (false, chance) => IDLE.mul_f64(2.0 / 3.0 + 2.0 / 3.0 * chance),
            (true, chance) if chance < 0.2 => ALERT.mul_f64(0.75 * chance / 0.2),
            (true, chance) => ALERT.mul_f64(0.75 + 0.8125 * (chance - 0.2) / 0.8),
        }
    }
}
