//! What goes on over a restart of the agent: for how long tests have held, heights have stood still
//! and daemons have been what they are.

use serde::{Deserialize, Serialize};

use super::Warden;
use crate::decision::Target;
use crate::engine::SavedHolds;
use crate::history::{SavedFelt, SavedHeights};
use crate::time::Timestamp;
use crate::watch::SavedDaemons;

/// What was going on when it was saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ongoing {
    at: Timestamp,
    /// The last poll that succeeded.
    polled_at: Option<Timestamp>,
    /// Since when none had, if the last one failed.
    down_since: Option<Timestamp>,
    heights: SavedHeights,
    holds: Vec<SavedHolds>,
    daemons: SavedDaemons,
    #[serde(default)]
    felt: SavedFelt,
}

impl Ongoing {
    /// Replaces the targets in it.
    pub(crate) fn map_targets(&mut self, to: impl Fn(&Target) -> Target) {
        for holds in &mut self.holds {
            holds.map_targets(&to);
        }
    }
}

impl Warden {
    /// Takes up what an earlier run saved, at the first poll, if that is no longer ago than a gap
    /// between two polls may be.
    pub fn resume(&mut self, ongoing: Ongoing) {
        self.resumed = Some(ongoing);
    }

    /// What the next run needs to go on from here.
    pub fn ongoing(&self, at: Timestamp) -> Ongoing {
        if let Some(resumed) = &self.resumed {
            return resumed.clone();
        }
        let (polled_at, down_since) = self.history.polled();
        Ongoing {
            at,
            polled_at: polled_at.or(self.polled_before),
            down_since,
            heights: self.history.heights(),
            holds: self.engine.saved_holds(&self.history),
            daemons: self.history.daemons().save(),
            felt: self.history.felt(),
        }
    }

    /// Before the first poll, successful or not.
    pub(super) fn take_up(&mut self, at: Timestamp) {
        let Some(ongoing) = self.resumed.take() else {
            return;
        };
        if !self.follows(ongoing.at, at) {
            return;
        }
        self.polled_before = ongoing.polled_at;
        let down_since = ongoing.down_since.or(ongoing.polled_at);
        self.history
            .resume(ongoing.heights, ongoing.daemons, down_since);
        self.history.resume_felt(ongoing.felt);
        self.engine.resume(ongoing.holds, at);
    }

    /// Before the first poll that succeeds: a gap that is too long ends what went on.
    pub(super) fn bridge(&mut self, at: Timestamp) {
        if let Some(before) = self.polled_before.take()
            && !self.follows(before, at)
        {
            self.history.forget_heights();
            self.engine.forget();
        }
    }

    /// A clock that went back in between tells nothing.
    fn follows(&self, before: Timestamp, at: Timestamp) -> bool {
        before <= at && at.since(before) <= self.settings.bounds.gap_max
    }
}
