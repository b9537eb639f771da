//! How long each height has stood still, as far as the agent has watched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The server's heights, as the next run needs to know them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedHeights {
    pub(super) daemon: Stall,
    pub(super) db: Stall,
}

/// One height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stall {
    last: Option<(u64, Timestamp)>,
}

impl Stall {
    /// Takes in a poll's height. One that the server does not know leaves all as it was.
    pub(super) fn observe(&mut self, height: Option<u64>, at: Timestamp) {
        match (height, self.last) {
            (Some(height), Some((last, _))) if height == last => {}
            (Some(height), _) => self.last = Some((height, at)),
            (None, _) => {}
        }
    }

    /// Since the last change; `None` while no height is known.
    pub(super) fn duration(&self, now: Timestamp) -> Option<Duration> {
        self.last.map(|(_, since)| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_starts_anew_and_an_unknown_height_changes_nothing() {
        let at = |s: i64| Timestamp::from_millis(s * 1_000);
        let mut stall = Stall::default();
        assert_eq!(stall.duration(at(5)), None);
        stall.observe(Some(7), at(10));
        stall.observe(Some(7), at(20));
        stall.observe(None, at(30));
        assert_eq!(stall.duration(at(40)), Some(Duration::from_secs(30)));
        // A reorganisation: back is a change too.
        stall.observe(Some(6), at(50));
        assert_eq!(stall.duration(at(50)), Some(Duration::ZERO));
    }
}
