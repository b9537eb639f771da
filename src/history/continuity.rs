//! How a snapshot follows the one before: restarts and gaps.

use std::time::Duration;

use super::CLOCK_SLACK;
use crate::decision::Epoch;
use crate::snapshot::{Server, Snapshot};
use crate::time::Timestamp;

/// How a snapshot follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It goes on from there.
    Continued,
    /// The first one.
    First,
    /// The server was started again: IDs and counters began anew.
    Restarted,
    /// Too long ago: [`Bounds::gap_max`](super::Bounds::gap_max).
    Gap,
}

/// What the snapshot before said.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) at: Timestamp,
    epoch: Epoch,
    pub(super) server: Server,
}

impl Last {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.at(),
            epoch: snapshot.epoch,
            server: snapshot.server.clone(),
        }
    }

    /// How `snapshot` follows it.
    pub(super) fn followed_by(&self, snapshot: &Snapshot, gap_max: Duration) -> Continuity {
        let elapsed = snapshot.at().since(self.at);
        if elapsed > gap_max {
            Continuity::Gap
        // A restart breaks the connection, so over one there is none, whatever its clock says.
        } else if snapshot.epoch != self.epoch
            && has_restarted(&self.server, &snapshot.server, elapsed)
        {
            Continuity::Restarted
        } else {
            Continuity::Continued
        }
    }
}

/// Whether the server `elapsed` after `before` is another process.
fn has_restarted(before: &Server, now: &Server, elapsed: Duration) -> bool {
    let is_too_young = before.uptime.zip(now.uptime).is_some_and(|(then, now)| {
        let at_most = now.at_least + now.resolution;
        at_most < then.at_least || at_most + CLOCK_SLACK < then.at_least + elapsed
    });
    // In a container a pid can come again.
    is_too_young || (now.pid.is_some() && now.pid != before.pid)
}
