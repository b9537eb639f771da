//! Tells how the server is placed, if policies cannot work well with it.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::warn;

use crate::placement::{Crowding, OpenRpc};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// A crowd that comes and goes is told of once in so long.
const TOLD_EVERY: Duration = Duration::from_hours(1);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Placed {
    is_crowded: bool,
    /// When a crowd was told of last.
    told: Option<Timestamp>,
    is_open_told: bool,
}

impl Placed {
    /// After a good poll over a connection to `server`.
    pub(super) fn tell(&mut self, snapshot: &Snapshot, server: Option<SocketAddr>) {
        if !self.is_open_told
            && let Some(open) = server.and_then(OpenRpc::of)
        {
            warn!("{open}");
            self.is_open_told = true;
        }
        let crowding = Crowding::of(snapshot);
        if let Some(crowding) = crowding
            && self.is_news(snapshot.at())
        {
            warn!("{crowding}");
            self.told = Some(snapshot.at());
        }
        self.is_crowded = crowding.is_some();
    }

    fn is_news(&self, at: Timestamp) -> bool {
        let is_long_ago = |told: Timestamp| at.since(told.min(at)) >= TOLD_EVERY;
        !self.is_crowded && self.told.is_none_or(is_long_ago)
    }
}
