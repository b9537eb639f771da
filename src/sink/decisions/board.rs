//! What bouncers are told: each network's last change, numbered.
//!
//! Whoever knows the changes up to a number needs those behind it. A network that was let in stays on the board until no
//! bouncer can be keeping it out any more.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use crate::sink::decision::{ORIGIN, SentDecision, scenario};
use crate::sink::{Changes, Desired, Hold};
use crate::time::Timestamp;

/// A network that was let in is told for so long after its ban would have ended.
const GRACE: Duration = Duration::from_mins(10);

/// The same if it is not known when its ban would have ended.
const UNKNOWN_END: Duration = Duration::from_hours(24);

/// So many networks that were let in are kept; beyond that those let in first are forgotten, at the latest when there
/// are twice as many.
const LIFTED_MAX: usize = 100_000;

/// So many changes are looked at in one go.
const CHANGES_MAX: usize = 10_000;

/// A piece of an answer has little more than this.
const PIECE_BYTES: usize = 32 << 10;

#[derive(Debug)]
pub(super) struct Board {
    entries: HashMap<IpNet, Entry>,
    /// By the number of its last change.
    order: BTreeMap<u64, IpNet>,
    last: u64,
    lifted: usize,
    /// The time when that was last told, and when that was.
    clock: (Timestamp, Instant),
    has_begun: bool,
}

#[derive(Debug)]
struct Entry {
    change: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Held {
        until: Timestamp,
        scenario: Arc<str>,
        /// Whether a bouncer may be keeping it out with another end. Bouncers ignore the new end of what they have,
        /// so they are told to let it in first.
        is_renewed: bool,
    },
    Lifted {
        forget_at: Timestamp,
    },
}

/// Which half of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    New,
    Deleted,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            last: 0,
            lifted: 0,
            clock: (Timestamp::from_millis(0), Instant::now()),
            has_begun: false,
        }
    }

    /// The number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn follow(&mut self, changes: &Changes, at: Timestamp) {
        self.clock = (at, Instant::now());
        for net in &changes.lifted {
            self.lift(*net, at);
        }
        for (net, hold) in &changes.held {
            self.hold(*net, hold);
        }
        if self.lifted >= 2 * LIFTED_MAX {
            self.forget(at);
        }
    }

    /// Makes what is held equal to `desired`.
    pub(super) fn reconcile(&mut self, desired: &Desired, at: Timestamp) {
        self.clock = (at, Instant::now());
        let held = self.entries.iter().filter(|(_, entry)| entry.is_held());
        let over = held.filter(|(net, _)| !desired.contains_key(net));
        let over: Vec<IpNet> = over.map(|(net, _)| *net).collect();
        for net in over {
            self.lift(net, at);
        }
        for (net, hold) in desired {
            self.hold(*net, hold);
        }
        self.has_begun = true;
        self.forget(at);
    }

    fn hold(&mut self, net: IpNet, hold: &Hold) {
        // What a bouncer got from a run of the agent before this one is not known.
        let is_renewed = match self.entries.get(&net) {
            Some(Entry {
                state: State::Held { until, .. },
                ..
            }) if *until == hold.until => return,
            Some(_) => true,
            None => !self.has_begun,
        };
        let state = State::Held {
            until: hold.until,
            scenario: scenario(&hold.by).into(),
            is_renewed,
        };
        self.put(net, state);
    }

    fn lift(&mut self, net: IpNet, at: Timestamp) {
        let forget_at = match self.entries.get(&net).map(|entry| &entry.state) {
            Some(State::Held { until, .. }) => (*until).max(at) + GRACE,
            Some(State::Lifted { .. }) => return,
            None => at + UNKNOWN_END,
        };
        self.put(net, State::Lifted { forget_at });
    }

    fn put(&mut self, net: IpNet, state: State) {
        self.last += 1;
        let change = self.last;
        let entry = Entry { change, state };
        self.lifted += usize::from(!entry.is_held());
        self.order.insert(change, net);
        if let Some(before) = self.entries.insert(net, entry) {
            self.order.remove(&before.change);
            self.lifted -= usize::from(!before.is_held());
        }
    }

    /// Forgets what no bouncer needs any more.
    fn forget(&mut self, at: Timestamp) {
        let mut excess = self.lifted.saturating_sub(LIFTED_MAX);
        if self.lifted == 0 {
            return;
        }
        let entries = &mut self.entries;
        let lifted = &mut self.lifted;
        self.order.retain(|_, net| {
            let Some(State::Lifted { forget_at }) = entries.get(net).map(|entry| &entry.state)
            else {
                return true;
            };
            let goes = *forget_at <= at || excess > 0;
            if goes {
                excess = excess.saturating_sub(1);
                *lifted -= 1;
                entries.remove(net);
            }
            !goes
        });
    }

    /// Writes into `out` what one half of an answer says about these changes. Returns the number of the change to go on
    /// with, if there are more than are looked at in one go.
    pub(super) fn write(
        &self,
        half: Half,
        changes: RangeInclusive<u64>,
        out: &mut List<'_>,
    ) -> Option<u64> {
        let now = self.clock.0 + self.clock.1.elapsed();
        let mut range = self.order.range(changes);
        for (&change, net) in range.by_ref().take(CHANGES_MAX) {
            let entry = self.entries.get(net);
            if let Some(decision) = entry.and_then(|entry| entry.decision(*net, half, now)) {
                out.push(&decision);
            }
            if out.is_full() {
                return Some(change + 1);
            }
        }
        range.next().map(|(change, _)| *change)
    }
}

/// The items of a JSON array, piece by piece.
pub(super) struct List<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// Whether there is an item already, perhaps in an earlier piece.
    pub(super) has_items: &'o mut bool,
}

impl List<'_> {
    fn push(&mut self, decision: &SentDecision<'_>) {
        if std::mem::replace(self.has_items, true) {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, decision).expect("into memory");
    }

    fn is_full(&self) -> bool {
        self.out.len() >= PIECE_BYTES
    }
}

impl Entry {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// What one half of an answer says about it.
    fn decision(&self, net: IpNet, half: Half, now: Timestamp) -> Option<SentDecision<'_>> {
        match (&self.state, half) {
            (
                State::Held {
                    until, scenario, ..
                },
                Half::New,
            ) => {
                let left = until.since(now);
                (!left.is_zero()).then(|| SentDecision::ban(net, left, scenario))
            }
            (
                State::Held {
                    scenario,
                    is_renewed: true,
                    ..
                },
                Half::Deleted,
            ) => Some(SentDecision::end(net, scenario)),
            (State::Lifted { .. }, Half::Deleted) => Some(SentDecision::end(net, ORIGIN)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn lift(range: std::ops::Range<u32>) -> Changes {
        let lifted = range.map(|n| IpNet::from(std::net::IpAddr::V4(Ipv4Addr::from(n))));
        Changes {
            held: Vec::new(),
            lifted: lifted.collect(),
        }
    }

    #[tokio::test]
    async fn who_was_let_in_first_is_forgotten_first() {
        let at = Timestamp::from_millis(0);
        let mut board = Board::new();
        board.follow(&lift(0..150_000), at);
        assert_eq!(board.lifted, 150_000);
        board.reconcile(&Desired::new(), at);
        assert_eq!(
            (board.lifted, board.entries.len()),
            (LIFTED_MAX, LIFTED_MAX)
        );
        let (first, _) = board.order.first_key_value().unwrap();
        assert_eq!(*first, 50_001);
        board.follow(&lift(200_000..300_000), at);
        assert_eq!((board.lifted, board.order.len()), (LIFTED_MAX, LIFTED_MAX));
    }
}
