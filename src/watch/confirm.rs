//! What came of a change of daemon: `daemon_url` is answered at once, and says nothing of whether the
//! server gets on with the daemon.

use std::sync::Arc;
use std::time::Duration;

use super::{Watch, Watched};
use crate::daemon::Address;
use crate::decision::Decision;
use crate::snapshot::Server;
use crate::time::Timestamp;
use crate::units::format_duration;

/// By then `getinfo` names the daemon, and by then after the daemon's next block the server has it.
const WITHIN: Duration = Duration::from_secs(60);

/// A change of daemon that the server said yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The policy that wanted it.
    pub policy: Arc<str>,
    /// The decision's time.
    pub at: Timestamp,
    /// The daemon that the server should use now.
    pub to: Address,
}

impl Change {
    /// The change that a decision asked for, with the server's words. Which daemon is to be expected
    /// after a change to the server's own list, the server says itself.
    pub fn of(decision: &Decision, said: &str) -> Self {
        let named = said.rsplit(' ').next().unwrap_or_default();
        let to = decision.daemons.first().cloned();
        Self {
            policy: decision.policy.clone(),
            at: decision.at,
            to: to.unwrap_or_else(|| named.trim_end_matches('/').into()),
        }
    }
}

/// News of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// `getinfo` names the daemon.
    Named {
        /// So long after.
        after: Duration,
    },
    /// The server has the daemon's next block.
    Followed {
        /// The block's height.
        height: u64,
    },
    /// It did not come out as it should.
    Failed {
        /// What is wrong.
        detail: String,
    },
}

impl Confirmation {
    /// Whether nothing more is to come.
    pub const fn is_last(&self) -> bool {
        !matches!(self, Self::Named { .. })
    }
}

/// A change that is being watched.
#[derive(Debug)]
pub struct Confirming {
    change: Change,
    is_named: bool,
    /// The daemon's height when `getinfo` named it, and its next block.
    height: Option<u64>,
    next: Option<(u64, Timestamp)>,
}

impl Confirming {
    /// From here on.
    pub const fn new(change: Change) -> Self {
        Self {
            change,
            is_named: false,
            height: None,
            next: None,
        }
    }

    /// The change.
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Whether `getinfo` does not name the daemon yet.
    pub const fn is_open(&self) -> bool {
        !self.is_named
    }

    /// Takes in a snapshot after the change.
    pub fn observe(
        &mut self,
        at: Timestamp,
        server: &Server,
        watch: &Watch,
    ) -> Option<Confirmation> {
        let to = &self.change.to;
        let after = at.since(self.change.at);
        let Some(daemon) = server.daemon.as_deref() else {
            let is_over = !self.is_named && after >= WITHIN;
            return is_over.then(|| Confirmation::Failed {
                detail: "getinfo does not name the daemon".to_owned(),
            });
        };
        if daemon == &**to {
            if !self.is_named {
                self.is_named = true;
                self.height = watch.current().and_then(Watched::height);
                return Some(Confirmation::Named { after });
            }
            return self.follow(at, server, watch);
        }
        let detail = if self.is_named {
            let after = format_duration(after);
            format!("the server left `{to}` for `{daemon}` after {after}")
        } else if after >= WITHIN {
            let after = format_duration(after);
            format!("after {after} the server still uses `{daemon}`")
        } else {
            return None;
        };
        Some(Confirmation::Failed { detail })
    }

    fn follow(&mut self, at: Timestamp, server: &Server, watch: &Watch) -> Option<Confirmation> {
        let heard = watch.current()?.height()?;
        let before = *self.height.get_or_insert(heard);
        if self.next.is_none() && heard > before {
            self.next = Some((heard, at));
        }
        let (height, since) = self.next?;
        // A server that starts knows of none yet.
        let Some(known) = server.daemon_height else {
            self.next = Some((height, at));
            return None;
        };
        if known >= height {
            return Some(Confirmation::Followed { height });
        }
        let (to, deaf) = (&self.change.to, at.since(since));
        (deaf >= WITHIN).then(|| Confirmation::Failed {
            detail: format!(
                "`{to}` has had block {height} for {}, and the server does not know of it",
                format_duration(deaf)
            ),
        })
    }
}
