//! The agent's part in the canary's visits: what they felt in, news of it out.

use tracing::{info, warn};

use super::Agent;
use crate::canary::Watching;
use crate::snapshot::Transport;
use crate::visit::{Unserved, Visits};

/// Where visits come from.
pub trait Visitor: Send {
    /// Those since the last call, and the sockets that they had. After the server's sessions were read.
    fn take(&mut self) -> Visits;
}

impl Visitor for Watching {
    fn take(&mut self) -> Visits {
        self.take()
    }
}

/// The canary, and what was told of it.
pub(super) struct Perch {
    visitor: Box<dyn Visitor>,
    /// Whether it was told that nobody is served.
    is_unserved: bool,
    /// Polls in a row that did not show its session though it was served.
    unfound: u32,
}

/// After so many polls it is told that the canary's session is not found.
const UNFOUND_POLLS: u32 = 3;

impl Agent {
    /// Takes what a canary feels. Its own session is no client.
    pub fn visit(&mut self, visitor: Box<dyn Visitor>) {
        self.perch = Some(Perch {
            visitor,
            is_unserved: false,
            unfound: 0,
        });
    }

    /// After a poll, good or not, before anybody looks at its sessions.
    pub(super) fn take_visits(&mut self, is_polled: bool) {
        let Some(perch) = &mut self.perch else { return };
        self.snapshot.visits = perch.visitor.take();
        if is_polled {
            self.snapshot.mark_own();
        }
        let Some(visit) = self.snapshot.visits.made.last() else {
            return;
        };
        perch.tell(visit.felt.as_ref().err());
        if is_polled && visit.felt.is_ok() {
            let mut flags = self.snapshot.sessions.flags.iter();
            perch.tell_unfound(flags.any(|flags| flags.transport == Transport::Canary));
        }
    }
}

impl Perch {
    fn tell(&mut self, unserved: Option<&Unserved>) {
        match unserved {
            Some(why) if !self.is_unserved => {
                warn!("the canary is not served, and no wallet may be: {why}");
            }
            None if self.is_unserved => info!("the canary is served again"),
            _ => {}
        }
        self.is_unserved = unserved.is_some();
    }

    fn tell_unfound(&mut self, is_found: bool) {
        self.unfound = if is_found {
            0
        } else {
            self.unfound.saturating_add(1)
        };
        if self.unfound == UNFOUND_POLLS {
            warn!(
                "the canary's own session is not among the server's, which sees it by another address, as \
                 behind a proxy: it counts as a client's, and policies may act on it; let `connect` of \
                 `[canary]` name where ElectrumX itself listens"
            );
        }
    }
}
