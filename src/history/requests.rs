//! Requests by the server's own running totals, and the part of them that no session seen accounts
//! for.
//!
//! The totals are of sessions that have gone too. What a session did that came and went between two
//! polls is in them, and nowhere else.

use std::sync::Arc;

use super::plan::WindowId;
use super::tally::{Counter, Deltas, Tallies};
use super::timeline::Timeline;
use crate::snapshot::Server;
use crate::time::Timestamp;

/// The slots of the sums: all requests, those of clients, messages of the sessions seen, and then a
/// slot a method.
const ALL: u32 = 0;
const CLIENTS: u32 = 1;
const SEEN: u32 = 2;
const METHODS: u32 = 3;

/// Every slot sums the same thing.
const COUNTER: Counter = Counter::RecvCount;

/// A quantity that is made of the totals.
#[derive(Clone, Copy, Debug)]
pub(super) enum Quantity {
    /// All requests, those over RPC too.
    All,
    /// The requests of one method, by its place among the methods.
    Method(usize),
    /// What clients asked beyond the messages of the sessions seen.
    Unseen,
}

/// The totals over windows.
#[derive(Debug, Default)]
pub(super) struct RequestTotals {
    deltas: Deltas,
    tallies: Tallies,
    /// The last poll of which the rise of a total is not known.
    unsure_at: Timestamp,
    untracked: u64,
}

impl RequestTotals {
    pub(super) fn want(&mut self, window: WindowId) {
        self.deltas.want(COUNTER);
        self.tallies.want(COUNTER, window);
    }

    pub(super) fn reset(&mut self) {
        self.tallies.reset();
    }

    /// Takes in what `getinfo` said at `at` and, of a poll that continues another, before. `seen` are
    /// the messages of the sessions seen since; `untracked` is how many sessions could not be followed,
    /// since the start.
    pub(super) fn observe(
        &mut self,
        (before, now): (Option<&Server>, &Server),
        seen: u64,
        untracked: u64,
        methods: &[Arc<str>],
        at: Timestamp,
    ) {
        self.deltas.clear();
        let is_complete = untracked == self.untracked;
        self.untracked = untracked;
        let Some(before) = before else { return };
        let rises = rises(before, now, methods).filter(|_| is_complete);
        let Some(rises) = rises else {
            self.unsure_at = at;
            return;
        };
        self.deltas.add(COUNTER, SEEN, seen);
        for (slot, rise) in rises {
            self.deltas.add(COUNTER, slot, rise);
        }
    }

    pub(super) fn fold(&mut self, methods: usize, timelines: &[Timeline]) {
        self.tallies
            .fold(&self.deltas, METHODS as usize + methods, timelines);
    }

    /// A number a second over the window; NaN if it cannot be told.
    pub(super) fn rate(&self, quantity: Quantity, window: WindowId, timeline: &Timeline) -> f64 {
        let span_s = timeline.span().as_secs_f64();
        let is_known = timeline.is_covered() && self.unsure_at <= timeline.start();
        let Some(sums) = self.tallies.sums(COUNTER, window) else {
            return f64::NAN;
        };
        if !is_known || span_s <= 0.0 {
            return f64::NAN;
        }
        let of = |slot: u32| sums.get(slot as usize).copied().unwrap_or(0);
        let sum = match quantity {
            Quantity::All => of(ALL),
            Quantity::Method(method) => sums.get(METHODS as usize + method).copied().unwrap_or(0),
            // What was received may not be counted yet, as `getinfo` is asked before `sessions`.
            Quantity::Unseen => of(CLIENTS).saturating_sub(of(SEEN)),
        };
        sum as f64 / span_s
    }
}

/// How much each total rose, by slot; `None` if one is not told or fell, for then it is another's.
fn rises(before: &Server, now: &Server, methods: &[Arc<str>]) -> Option<Vec<(u32, u64)>> {
    let rise = |of: &dyn Fn(&Server) -> Option<u64>| of(now)?.checked_sub(of(before)?);
    let mut rises = vec![
        (ALL, rise(&|server| server.request_total)?),
        (CLIENTS, rise(&clients)?),
    ];
    for (slot, method) in (METHODS..).zip(methods) {
        // What nobody asked for yet is not in the totals.
        let of = |server: &Server| {
            let counts = server.request_counts.as_ref()?;
            Some(counts.get(&**method).copied().unwrap_or(0))
        };
        rises.push((slot, rise(&of)?));
    }
    Some(rises)
}

/// Requests that clients made. What the RPC is asked has names without a dot.
fn clients(server: &Server) -> Option<u64> {
    let counts = server.request_counts.as_ref()?.iter();
    let of_clients = counts.filter(|(method, _)| method.contains('.') || ***method == *INVALID);
    Some(
        of_clients
            .map(|(_, count)| count)
            .fold(0, |sum, count| sum.saturating_add(*count)),
    )
}

/// Under this name the server counts what it does not know.
const INVALID: &str = "invalid method";
