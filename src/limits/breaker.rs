//! The breaker: when a large share of all sessions was disconnected within a window, the policies
//! are more likely wrong than so many clients are. It opens before the share is passed, not after.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Breaker;
use crate::time::Timestamp;

/// What the breaker remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct BreakerState {
    open_until: Option<Timestamp>,
    disconnected: VecDeque<(Timestamp, usize)>,
}

impl BreakerState {
    /// Until when it is open, if it is at `at`.
    pub(super) fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.open_until.filter(|&until| until > at)
    }

    /// Asks to disconnect `count` sessions of a server that has `sessions` now. `Err` says until
    /// when the breaker is open.
    pub(super) fn pass(
        &mut self,
        breaker: Breaker,
        at: Timestamp,
        count: usize,
        sessions: usize,
    ) -> Result<(), Timestamp> {
        if let Some(until) = self.open_until(at) {
            return Err(until);
        }
        while self
            .disconnected
            .front()
            .is_some_and(|&(then, _)| at.since(then) > breaker.window)
        {
            self.disconnected.pop_front();
        }
        let before: usize = self.disconnected.iter().map(|&(_, count)| count).sum();
        let disconnected = before + count;
        // Those of earlier polls are gone from `sessions`; those of this poll are still in it.
        let gone: usize = self
            .disconnected
            .iter()
            .filter(|&&(then, _)| then != at)
            .map(|&(_, count)| count)
            .sum();
        let share = disconnected as f64 / (sessions + gone).max(1) as f64;
        if disconnected >= breaker.sessions_min as usize && share > breaker.share {
            let until = at + breaker.reset;
            self.open_until = Some(until);
            self.disconnected.clear();
            return Err(until);
        }
        match self.disconnected.back_mut() {
            Some((then, sum)) if *then == at => *sum += count,
            _ => self.disconnected.push_back((at, count)),
        }
        Ok(())
    }
}
