//! What a session has cost its server, by the rules of 1.10.1 and later.
//!
//! Not simulated: a server that throttles or closes *clients* by their cost. This one behaves as
//! with a `COST_HARD_LIMIT` far above what its clients do; it is for the operator to judge them.

use std::time::Duration;

/// Above this an RPC connection's requests are delayed.
const SOFT_LIMIT: f64 = 2_000.0;
/// At this an RPC connection is closed.
const HARD_LIMIT: f64 = 10_000.0;
/// A failing request costs this much.
pub(super) const ERROR: f64 = 100.0;
/// Bytes, sent or received, that cost 1 on an RPC connection.
const RPC_BYTES_PER_UNIT: f64 = 100_000.0;
/// Bytes that cost 1 on a client's connection (`BANDWIDTH_UNIT_COST`).
const CLIENT_BYTES_PER_UNIT: f64 = 5_000.0;
/// The longest delay, next to the hard limit.
const SLEEP_MAX: Duration = Duration::from_secs(2);
/// Requests that an RPC connection may have under way; fewer as its cost rises.
const CONCURRENCY: f64 = 20.0;

/// The running cost of one session.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    value: f64,
    /// The value and time of the last refund. The server refunds only when the cost has moved by
    /// more than 100 since, and every five minutes.
    refunded: (f64, Duration),
    refund_per_second: f64,
    bytes_per_unit: f64,
    /// How far between the soft and the hard limit, 0 to 1; clients stay at 0.
    strain: f64,
    limited: bool,
}

impl Cost {
    pub(super) fn of_rpc(now: Duration) -> Self {
        Self {
            value: 0.0,
            refunded: (0.0, now),
            refund_per_second: HARD_LIMIT / 3_600.0,
            bytes_per_unit: RPC_BYTES_PER_UNIT,
            strain: 0.0,
            limited: true,
        }
    }

    /// A client pays 5 for connecting.
    pub(super) fn of_client(now: Duration) -> Self {
        Self {
            value: 5.0,
            refunded: (0.0, now),
            refund_per_second: HARD_LIMIT / 10_000.0,
            bytes_per_unit: CLIENT_BYTES_PER_UNIT,
            strain: 0.0,
            limited: false,
        }
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    pub(super) fn add(&mut self, amount: f64, now: Duration) {
        self.value += amount;
        if (self.value - self.refunded.0).abs() > 100.0 {
            self.refund(now);
        }
    }

    pub(super) fn add_bytes(&mut self, bytes: u64, now: Duration) {
        self.add(bytes as f64 / self.bytes_per_unit, now);
    }

    /// The server's five-minute round. It sets the refund of *every* session by the client's rule,
    /// so that an RPC connection older than that gets 1 a second back instead of 2.8.
    pub(super) fn round(&mut self, subs: u64, now: Duration) {
        self.refund_per_second = HARD_LIMIT / (10_000.0 + 5.0 * subs as f64);
        self.refund(now);
    }

    /// Forgets what was paid back long ago.
    pub(super) fn settle(&mut self, now: Duration) {
        self.value = 0.0;
        self.refunded = (0.0, now);
    }

    fn refund(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.refunded.1).as_secs_f64();
        self.value = (self.value - elapsed * self.refund_per_second).max(0.0);
        self.refunded = (self.value, now);
        if self.limited {
            self.strain = ((self.value - SOFT_LIMIT) / (HARD_LIMIT - SOFT_LIMIT)).clamp(0.0, 1.0);
        }
    }

    /// How long the server sits on a request before it looks at it.
    pub(super) fn delay(&self) -> Duration {
        SLEEP_MAX.mul_f64(self.strain)
    }

    /// The server has had enough and closes the connection.
    pub(super) fn is_excessive(&self) -> bool {
        self.strain >= 1.0
    }

    /// Requests at once, as the flags of a costed RPC session show it.
    pub(super) fn concurrency(&self) -> f64 {
        ((1.0 - self.strain) * CONCURRENCY).ceil()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_poller_is_throttled_then_closed() {
        let mut cost = Cost::of_rpc(START);
        cost.add_bytes(880_000, START);
        assert!((cost.value() - 8.8).abs() < 1e-9);
        for _ in 0..19 {
            cost.add(ERROR, START);
        }
        assert_eq!(cost.delay(), Duration::ZERO);
        for _ in 0..41 {
            cost.add(ERROR, START);
        }
        assert!(
            cost.delay() > Duration::from_millis(950),
            "{:?}",
            cost.delay()
        );
        assert!((cost.concurrency() - 10.0).abs() < 1.5);
        for _ in 0..42 {
            cost.add(ERROR, START);
        }
        assert!(cost.is_excessive());
    }

    #[test]
    fn refunds_come_only_when_the_cost_moves() {
        let later = START + Duration::from_secs(10);
        let mut cost = Cost::of_rpc(START);
        cost.add(150.0, START);
        cost.add(1.0, later);
        assert!((cost.value() - 151.0).abs() < 1e-9, "no refund yet");
        cost.add(100.0, later);
        let expected = 251.0 - 10.0 * HARD_LIMIT / 3_600.0;
        assert!((cost.value() - expected).abs() < 1e-9);
    }

    #[test]
    fn the_round_slows_an_rpc_connections_refund() {
        let mut cost = Cost::of_rpc(START);
        cost.add(1_000.0, START);
        cost.round(0, START);
        let later = START + Duration::from_secs(200);
        cost.add(200.0, later);
        assert!((cost.value() - 1_000.0).abs() < 1e-9, "{}", cost.value());
    }

    #[test]
    fn clients_are_never_closed_by_cost() {
        let mut cost = Cost::of_client(START);
        cost.add(1e9, START);
        assert!(!cost.is_excessive());
        assert_eq!(cost.delay(), Duration::ZERO);
    }
}
