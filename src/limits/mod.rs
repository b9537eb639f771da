//! Decisions against limits: which may be carried out, and what holds the others back.
//!
//! Pure: time is the decisions'. Enforced and dry-run decisions have ledgers of their own, so that
//! a policy on trial neither uses up the budget of those at work nor opens the breaker for them.

mod breaker;
mod bucket;
mod ledger;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, SessionRef, Suppression, Target};
use crate::engine::Proposal;
use crate::history::{Crowd, Rank};
use crate::policy::{ActionKind, Mode, Policy, PolicySet, Quota};
use crate::time::Timestamp;

pub(crate) use bucket::Bucket;
use ledger::Ledger;

/// A budget: a rate, and how much of it may be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The rate.
    pub rate: Quota,
    /// As many at once, after a time of rest.
    pub burst: u32,
}

/// When a policy has done too much for it to be right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// The share of the regulars that one policy may disconnect within the window, from 0 to 1.
    pub share: f64,
    /// The share that all policies together may. Beyond it regulars are left alone, and no policy is
    /// stopped.
    pub share_of_all: f64,
    /// The window.
    pub window: Duration,
    /// Fewer disconnected regulars than this are never too many, whatever their share.
    pub regulars_min: u32,
    /// For how long a policy stays stopped.
    pub reset: Duration,
}

/// The server's clients, as the limits need to know them.
pub struct Clients<'a> {
    /// How many regulars and newcomers there are.
    pub crowd: Crowd,
    /// Which of them a session's client is.
    pub rank: &'a dyn Fn(&SessionRef) -> Rank,
}

impl Clients<'_> {
    /// Nobody: for decisions about the server.
    pub const NONE: Self = Self {
        crowd: Crowd {
            regulars: 0,
            newcomers: 0,
            newcomers_usual: None,
        },
        rank: &|_| Rank::Stranger,
    };
}

impl std::fmt::Debug for Clients<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients")
            .field("crowd", &self.crowd)
            .finish_non_exhaustive()
    }
}

/// The limits of the agent's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitsConfig {
    /// Sessions disconnected. The server bears many: it closes thousands in one go.
    pub disconnect: Budget,
    /// Sessions of regulars among them: within any such span of time never more.
    pub disconnect_regulars: Quota,
    /// Networks that are banned.
    #[serde(default = "bans")]
    pub ban: Budget,
    /// Sessions whose logging is switched on.
    pub log: Budget,
    /// Changes of the daemon: within any such span of time never more.
    pub daemon_url: Quota,
    /// Alerts: so many about clients, and as many about the server.
    pub alert: Budget,
    /// The breaker.
    pub breaker: Breaker,
}

const fn budget(count: u32, per_s: u64, burst: u32) -> Budget {
    Budget {
        rate: Quota {
            count,
            per: Duration::from_secs(per_s),
        },
        burst,
    }
}

/// The budget of bans by default.
const fn bans() -> Budget {
    budget(3_000, 60, 1_000)
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            disconnect: budget(12_000, 60, 3_000),
            disconnect_regulars: Quota {
                count: 30,
                per: Duration::from_secs(60),
            },
            ban: bans(),
            log: budget(60, 60, 100),
            daemon_url: Quota {
                count: 3,
                per: Duration::from_hours(24),
            },
            alert: budget(60, 3_600, 20),
            breaker: Breaker {
                share: 0.10,
                share_of_all: 0.33,
                window: Duration::from_secs(300),
                regulars_min: 10,
                reset: Duration::from_secs(1_800),
            },
        }
    }
}

/// A policy leaves a target alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cooldown {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The target.
    pub target: Target,
    /// It may be acted on again from here on.
    pub until: Timestamp,
}

/// What the limits make of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The decision. If permitted, with those sessions alone that the budget allows.
    pub decision: Decision,
    /// The weaker of the agent's mode and the policy's.
    pub mode: Mode,
    /// The verdict.
    pub verdict: Verdict,
}

/// Whether a decision may be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may, but for so many sessions for which the budget did not suffice.
    Permitted {
        /// Left for the next poll.
        withheld: usize,
    },
    /// It may not.
    Suppressed {
        /// Why.
        by: Suppression,
        /// Whether it was so at the last poll too: worth no second entry in the journal.
        is_repeat: bool,
    },
}

/// The limits, with what they remember.
#[derive(Debug)]
pub struct Limits {
    config: LimitsConfig,
    mode: Mode,
    enforced: Ledger,
    shadow: Ledger,
}

/// What of the limits outlives the agent, besides cooldowns. Dry-run decisions change nothing, so
/// their ledger is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedLimits {
    ledger: ledger::SavedLedger,
}

impl SavedLimits {
    /// The policies that the breaker has stopped at `at`, each with the end of that.
    pub fn stopped(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        self.ledger.stopped(at)
    }

    /// Until when all policies together have used up their share of the regulars, if they have at `at`.
    pub fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.ledger.share_used_up_until(at)
    }

    /// Replaces the addresses in it.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        self.ledger.map_addresses(to);
    }
}

impl Limits {
    /// Fresh limits under the agent's mode.
    pub fn new(config: LimitsConfig, mode: Mode) -> Self {
        Self {
            config,
            mode,
            enforced: Ledger::default(),
            shadow: Ledger::default(),
        }
    }

    /// Changes the agent's mode.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Takes up what an earlier run left.
    pub fn restore(&mut self, saved: SavedLimits, cooldowns: impl IntoIterator<Item = Cooldown>) {
        self.enforced.restore(saved.ledger, cooldowns);
    }

    /// What the next run needs.
    pub fn save(&self) -> SavedLimits {
        SavedLimits {
            ledger: self.enforced.save(),
        }
    }

    /// Rules on the proposals of one poll, in their order.
    pub fn rule(
        &mut self,
        proposals: Vec<Proposal>,
        set: &PolicySet,
        at: Timestamp,
        clients: &Clients<'_>,
    ) -> Vec<Ruling> {
        self.rule_all(proposals, set, at, clients, false)
    }

    /// Rules on the proposals of a poll that failed: what was suppressed at the last one that did
    /// not is still no news at the next.
    pub fn rule_missed(
        &mut self,
        proposals: Vec<Proposal>,
        set: &PolicySet,
        at: Timestamp,
    ) -> Vec<Ruling> {
        self.rule_all(proposals, set, at, &Clients::NONE, true)
    }

    fn rule_all(
        &mut self,
        proposals: Vec<Proposal>,
        set: &PolicySet,
        at: Timestamp,
        clients: &Clients<'_>,
        is_missed: bool,
    ) -> Vec<Ruling> {
        self.enforced.begin(at, &self.config, is_missed);
        self.shadow.begin(at, &self.config, is_missed);
        let rulings = proposals
            .into_iter()
            .map(|proposal| {
                let mode = proposal.decision.mode.min(self.mode);
                let ledger = if mode == Mode::Enforce {
                    &mut self.enforced
                } else {
                    &mut self.shadow
                };
                ledger.rule(proposal, mode, &self.config, set, at, clients)
            })
            .collect();
        self.enforced.end();
        self.shadow.end();
        rulings
    }

    /// What held a policy back from a target at the last poll that succeeded.
    pub fn held_back(&self, policy: &Policy, target: &Target) -> Option<&Suppression> {
        self.ledger(policy.mode).held_back(&policy.name, target)
    }

    /// The policy of this mode that acted, or would have acted, on a session at the last poll.
    pub fn taken_by(&self, kind: ActionKind, session: u64, mode: Mode) -> Option<&Arc<str>> {
        self.ledger(mode).taken_by(kind, session)
    }

    /// What would hold a policy back from a target at a time to come, as far as it is known now.
    pub fn foresee(&self, policy: &Policy, target: &Target, due: Timestamp) -> Option<Suppression> {
        let ledger = self.ledger(policy.mode);
        ledger.foresee(policy, target, &self.config, due)
    }

    /// For how long a policy has held that counts, and for how long it must: failures lengthen that.
    pub fn waited(&self, policy: &Policy, held: Duration, at: Timestamp) -> (Duration, Duration) {
        self.ledger(policy.mode).waited(policy, held, at)
    }

    fn ledger(&self, mode: Mode) -> &Ledger {
        if mode.min(self.mode) == Mode::Enforce {
            &self.enforced
        } else {
            &self.shadow
        }
    }

    /// The cooldowns of enforced decisions that run, for the next run.
    pub fn cooldowns(&self) -> Vec<Cooldown> {
        self.enforced.cooldowns()
    }

    /// Those of dry-run decisions, which no run takes over.
    pub fn shadow_cooldowns(&self) -> Vec<Cooldown> {
        self.shadow.cooldowns()
    }

    /// How many of `wanted` sessions of those who are banned may be disconnected, and takes them from the
    /// budget of disconnects. Half of what can be saved up is left for decisions.
    pub fn hold_off(&mut self, wanted: usize, at: Timestamp) -> usize {
        self.enforced.hold_off(wanted, &self.config, at)
    }

    /// Takes back the budget and the cooldown of an enforced decision of the last poll, for `unsent`
    /// of whose sessions the server was never asked.
    pub fn take_back(&mut self, decision: &Decision, unsent: usize) {
        self.enforced.take_back(decision, unsent, &self.config);
    }

    /// Takes in that an enforced act of a policy failed: its `backoff` counts that.
    pub fn failed(&mut self, policy: &str, at: Timestamp, set: &PolicySet) {
        if let Some(policy) = set.named(policy) {
            self.enforced.failed(policy, at);
        }
    }

    /// The cooldowns of enforced decisions that began with the last poll.
    pub fn started_cooldowns(&self) -> &[Cooldown] {
        self.enforced.started()
    }

    /// The policies that the breaker has stopped, each with the end of that: of those that enforce, or
    /// while nothing is enforced, of those that would.
    pub fn stopped(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        self.ledger(Mode::Enforce).stopped(at)
    }

    /// Until when all policies together have used up their share of the regulars, if they have: none that
    /// was not disconnected before goes. Of policies as in [`Self::stopped`].
    pub fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.ledger(Mode::Enforce).share_used_up_until(at)
    }

    /// Lets a policy go on that the breaker has stopped; whether it was.
    pub fn close_breaker(&mut self, policy: &str) -> bool {
        let (enforced, shadow) = (&mut self.enforced, &mut self.shadow);
        enforced.close_breaker(policy) | shadow.close_breaker(policy)
    }

    /// Until when a policy leaves a target alone, if it does.
    pub fn cooldown(&self, policy: &str, target: &Target, mode: Mode) -> Option<Timestamp> {
        self.ledger(mode).cooldown(&Arc::from(policy), target)
    }
}
