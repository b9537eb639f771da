//! Decisions against limits: which may be carried out, and what holds the others back.
//!
//! Pure: time is the decisions'. Enforced and dry-run decisions have ledgers of their own, so that
//! a policy on trial neither uses up the budget of those at work nor opens the breaker for them.

use std::time::Duration;

use crate::policy::Quota;

/// A budget: a rate, and how much of it may be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The rate.
    pub rate: Quota,
    /// As many at once, after a time of rest.
    pub burst: u32,
}

/// When too much has been done for it to be right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// The share of all sessions that may be disconnected within the window, from 0 to 1.
    pub share: f64,
    /// The window.
    pub window: Duration,
    /// Fewer disconnected sessions than this never open it, whatever their share.
    pub sessions_min: u32,
    /// For how long it stays open.
    pub reset: Duration,
}

/// The limits of the agent's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitsConfig {
    /// Sessions disconnected.
    pub disconnect: Budget,
    /// Sessions whose logging is switched on.
    pub log: Budget,
    /// Changes of the daemon.
    pub daemon_url: Budget,
    /// Alerts.
    pub alert: Budget,
    /// The breaker.
    pub breaker: Breaker,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let budget = |count, per_s, burst| Budget {
            rate: Quota {
                count,
                per: Duration::from_secs(per_s),
            },
            burst,
        };
        Self {
            disconnect: budget(300, 60, 500),
            log: budget(60, 60, 100),
            daemon_url: budget(3, 86_400, 1),
            alert: budget(60, 3_600, 20),
            breaker: Breaker {
                share: 0.25,
                window: Duration::from_secs(600),
                sessions_min: 50,
                reset: Duration::from_secs(1_800),
            },
        }
    }
}
