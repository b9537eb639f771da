//! How an adversary plays against the agent, beyond what it does to the server.
//!
//! It knows the policies and how the agent polls, and sees what happens to its own connections.

use std::time::Duration;

use fastrand::Rng;

/// What an actor does about the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tactic {
    /// Nothing.
    #[default]
    Plain,
    /// Gives another name at each connection.
    Renames,
    /// Behaves for as long as its lead lasts, and never again.
    WakesOnce,
    /// Connects to be disconnected: that shows when the agent has polled.
    Scouts,
    /// Connects shortly after a poll, and leaves before the next can come.
    Dodges,
}

impl Tactic {
    /// Whether its owner learns from a disconnect when the agent polls.
    pub(super) const fn learns(self) -> bool {
        matches!(self, Self::Scouts | Self::Dodges)
    }
}

/// So long after a poll a dodger connects.
const LAG: Duration = Duration::from_millis(400);
/// So long after a poll it leaves: the next comes 6.7 s after it at the earliest, and a step of the
/// world takes half a second.
const STAY: Duration = Duration::from_secs(6);
/// If it sees no poll for so long nobody seems to look, and it stays.
const PATIENCE: Duration = Duration::from_secs(20);
const FOR_GOOD: Duration = Duration::from_hours(1);

/// When a dodger connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dodge {
    /// The poll after which it connected last.
    last: Duration,
}

impl Dodge {
    pub(super) const fn since(now: Duration) -> Self {
        Self { last: now }
    }

    /// Whether a poll has come that it did not know of, so that it had better leave.
    pub(super) fn is_surprised(&self, poll_seen: Option<Duration>) -> bool {
        poll_seen.is_some_and(|seen| seen > self.last)
    }

    /// Until when it stays if it connects now; nothing if it had better not.
    pub(super) fn leaves_at(
        &mut self,
        now: Duration,
        poll_seen: Option<Duration>,
    ) -> Option<Duration> {
        let is_news = |seen: &Duration| *seen > self.last;
        let Some(polled) = poll_seen.filter(is_news) else {
            return (now >= self.last + PATIENCE).then(|| now + FOR_GOOD);
        };
        if now < polled + LAG {
            return None;
        }
        self.last = polled;
        Some(polled + STAY).filter(|&leaves_at| leaves_at > now)
    }
}

/// A name that nobody gave before.
pub(super) fn other_name(rng: &mut Rng) -> String {
    format!("wallet/{}.{}", rng.u8(..100), rng.u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dodger_stays_between_two_polls() {
        let at = Duration::from_millis;
        let mut dodge = Dodge::since(at(1_000));
        assert_eq!(dodge.leaves_at(at(2_000), None), None);
        assert_eq!(
            dodge.leaves_at(at(3_250), Some(at(3_000))),
            None,
            "too soon"
        );
        assert_eq!(dodge.leaves_at(at(3_500), Some(at(3_000))), Some(at(9_000)));
        assert_eq!(dodge.leaves_at(at(9_500), Some(at(3_000))), None, "known");
        assert_eq!(
            dodge.leaves_at(at(19_500), Some(at(12_000))),
            None,
            "too late"
        );
        let leaves_at = dodge.leaves_at(at(40_000), None);
        assert_eq!(leaves_at, Some(at(40_000) + FOR_GOOD));
        assert!(!dodge.is_surprised(Some(at(3_000))));
        assert!(dodge.is_surprised(Some(at(41_000))));
    }
}
