//! What a connection has cost the server, by the server's own rules.
//!
//! From 1.10.1 on `ElectrumX` charges an RPC connection like any client, delays its replies above one limit and closes it
//! at another. This is the account as seen from the other end; it does not know of `ElectrumX`'s surcharge for what the
//! connection's group has cost (`extra cost` in `sessions`).

use std::time::Duration;

use tokio::time::Instant;

/// Cost of each byte, either way.
const BYTE: f64 = 1.0 / 100_000.0;

/// Cost of each request that the server answers with an error.
const ERROR: f64 = 100.0;

/// Decay a second. A server that has run for five minutes takes `hard limit / (10,000 + 5 * subscriptions)`, which is 1 by
/// default; a younger one takes 2.8, and the account then errs on the safe side.
const DECAY_PER_S: f64 = 1.0;

/// A running account of cost, in the unit of the `cost` column of `sessions`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toll {
    cost: f64,
    as_of: Instant,
}

impl Toll {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            cost: 0.0,
            as_of: now,
        }
    }

    pub(super) fn at(&self, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.as_of);
        (self.cost - passed.as_secs_f64() * DECAY_PER_S).max(0.0)
    }

    pub(super) fn charge_bytes(&mut self, now: Instant, count: usize) {
        self.charge(now, count as f64 * BYTE);
    }

    pub(super) fn charge_error(&mut self, now: Instant) {
        self.charge(now, ERROR);
    }

    fn charge(&mut self, now: Instant, cost: f64) {
        *self = Self {
            cost: self.at(now) + cost,
            as_of: now,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn charges_as_the_server_does_and_decays() {
        let start = Instant::now();
        let mut toll = Toll::new(start);
        toll.charge_bytes(start, 1_000_000);
        toll.charge_error(start);
        assert!((toll.at(start) - 110.0).abs() < 1e-9);
        assert!((toll.at(after(start, 60)) - 50.0).abs() < 1e-9);
        toll.charge_error(after(start, 60));
        assert!((toll.at(after(start, 70)) - 140.0).abs() < 1e-9);
    }

    #[test]
    fn idleness_earns_no_credit() {
        let start = Instant::now();
        let mut toll = Toll::new(start);
        toll.charge_error(after(start, 3_600));
        assert!((toll.at(after(start, 3_600)) - 100.0).abs() < 1e-9);
        assert!(toll.at(after(start, 9_000)).abs() < f64::EPSILON);
    }

    /// Measured on 1.20.0 with 9,000 sessions: 8.8 a poll of `sessions`, and replies slow down after 230 polls in 25 s.
    #[test]
    fn agrees_with_a_measured_server() {
        let start = Instant::now();
        let mut toll = Toll::new(start);
        for poll in 0..230 {
            toll.charge_bytes(start + Duration::from_millis(109) * poll, 880_000);
        }
        let cost = toll.at(after(start, 25));
        assert!((1_950.0..2_050.0).contains(&cost), "{cost}");
    }
}
