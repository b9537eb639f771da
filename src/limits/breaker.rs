//! The breaker: when a large share of all clients is to be disconnected within a window, the
//! policies are more likely wrong than so many clients are. It opens before the share is passed,
//! not after.
//!
//! Clients are counted by address, so that a few who come back over and over cannot open it.

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Breaker;
use crate::decision::SessionRef;
use crate::history::Party;
use crate::time::Timestamp;

/// What the breaker remembers.
#[derive(Debug, Default)]
pub(super) struct BreakerState {
    open_until: Option<Timestamp>,
    disconnected: HashMap<Party, Timestamp>,
}

/// The same as kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedBreaker {
    open_until: Option<Timestamp>,
    disconnected: Vec<(Party, Timestamp)>,
}

impl SavedBreaker {
    pub(super) fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        for (party, _) in &mut self.disconnected {
            if let Party::Address(net) = party {
                *net = to(*net);
            }
        }
    }
}

impl BreakerState {
    /// Until when it is open, if it is at `at`.
    pub(super) fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.open_until.filter(|&until| until > at)
    }

    /// What ends later than if it began now began before the clock went back.
    pub(super) fn clock_went_back(&mut self, at: Timestamp, breaker: Breaker) {
        self.open_until = self.open_until.map(|until| until.min(at + breaker.reset));
    }

    /// Asks to disconnect `sessions` of a server that has `parties` connected. `Err` says until
    /// when the breaker is open.
    pub(super) fn pass(
        &mut self,
        breaker: Breaker,
        at: Timestamp,
        sessions: &[SessionRef],
        parties: usize,
    ) -> Result<(), Timestamp> {
        if let Some(until) = self.open_until(at) {
            return Err(until);
        }
        self.disconnected
            .retain(|_, then| at.since(*then) <= breaker.window);
        let wanted: HashSet<Party> = sessions.iter().map(Party::of).collect();
        let fresh = wanted
            .iter()
            .filter(|party| !self.disconnected.contains_key(*party))
            .count();
        let disconnected = self.disconnected.len() + fresh;
        // Those of earlier polls are gone from `parties`; those of this poll are still among them.
        let gone = self
            .disconnected
            .values()
            .filter(|&&then| then != at)
            .count();
        let share = disconnected as f64 / (parties + gone).max(1) as f64;
        if disconnected >= breaker.clients_min as usize && share > breaker.share {
            let until = at + breaker.reset;
            self.open_until = Some(until);
            self.disconnected.clear();
            return Err(until);
        }
        self.disconnected
            .extend(wanted.into_iter().map(|party| (party, at)));
        Ok(())
    }

    /// These were not disconnected after all.
    pub(super) fn take_back(&mut self, at: Timestamp, sessions: &[SessionRef]) {
        for party in sessions.iter().map(Party::of) {
            if self.disconnected.get(&party) == Some(&at) {
                self.disconnected.remove(&party);
            }
        }
    }

    pub(super) fn save(&self) -> SavedBreaker {
        let mut disconnected: Vec<_> = self.disconnected.iter().map(|(p, t)| (*p, *t)).collect();
        disconnected.sort_unstable();
        SavedBreaker {
            open_until: self.open_until,
            disconnected,
        }
    }

    pub(super) fn restore(saved: SavedBreaker) -> Self {
        Self {
            open_until: saved.open_until,
            disconnected: saved.disconnected.into_iter().collect(),
        }
    }
}
