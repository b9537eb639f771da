//! Enforced acts followed: what the load was before, soon after and later.

use std::sync::Arc;

use crate::decision::{Decision, Target};
use crate::history::{Bearer, History};
use crate::relief::{LATE_MAX, LATER, Load, Relief, SOON};
use crate::time::Timestamp;

/// More acts are not followed at a time: the newest are left out, so that nobody who brings about many has others'
/// forgotten.
pub const FOLLOWED_MAX: usize = 1_000;

/// News of an act that is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The decision's policy.
    pub policy: Arc<str>,
    /// Its target.
    pub target: Target,
    /// Its time.
    pub at: Timestamp,
    /// What is known by now.
    pub relief: Relief,
    /// Whether there is nothing more to come.
    pub is_last: bool,
}

/// The acts that are followed.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// In the order of time.
    acts: Vec<Act>,
}

#[derive(Debug)]
struct Act {
    policy: Arc<str>,
    target: Target,
    at: Timestamp,
    bearer: Option<Bearer>,
    /// `None` until the next poll begins: then all of a poll's acts are weighed at once.
    before: Option<Load>,
    soon: Option<Load>,
    is_soon_over: bool,
}

/// What an act waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Nothing yet.
    Nothing,
    Soon,
    Later,
    /// The last look was missed.
    Over,
}

impl Act {
    fn due(&self, at: Timestamp) -> Due {
        let passed = at.since(self.at);
        if passed > LATER + LATE_MAX {
            Due::Over
        } else if passed >= LATER {
            Due::Later
        } else if passed >= SOON && !self.is_soon_over {
            Due::Soon
        } else {
            Due::Nothing
        }
    }
}

impl Following {
    /// Follows an act that was done from here on; whether there is room.
    pub(super) fn follow(&mut self, decision: &Decision) -> bool {
        let has_room = self.acts.len() < FOLLOWED_MAX;
        if has_room {
            self.acts.push(Act {
                policy: Arc::clone(&decision.policy),
                target: decision.target.clone(),
                at: decision.at,
                bearer: Bearer::of(&decision.target),
                before: None,
                soon: None,
                is_soon_over: false,
            });
        }
        has_room
    }

    /// What comes after a restart of the server, or after a gap, is not the acts' doing.
    pub(super) fn forget(&mut self) {
        self.acts.clear();
    }

    /// Before the history goes on: what the load was at the poll that decided.
    pub(super) fn weigh_before(&mut self, history: &History) {
        if self.acts.last().is_none_or(|act| act.before.is_some()) {
            return;
        }
        let fresh = || self.acts.iter().filter(|act| act.before.is_none());
        let loads = history.loads(fresh().map(|act| act.bearer.as_ref()));
        let fresh = self.acts.iter_mut().filter(|act| act.before.is_none());
        for (act, load) in fresh.zip(loads) {
            act.before = Some(load);
        }
    }

    /// After a good poll at `at`: what has become of the load.
    pub(super) fn weigh(&mut self, history: &History, at: Timestamp) -> Vec<Followed> {
        let is_due = |act: &Act| act.due(at) != Due::Nothing;
        if !self.acts.iter().any(is_due) {
            return Vec::new();
        }
        let due = self.acts.iter().filter(|act| is_due(act));
        let mut loads = history
            .loads(due.map(|act| act.bearer.as_ref()))
            .into_iter();
        let mut news = Vec::new();
        self.acts.retain_mut(|act| {
            let due = act.due(at);
            let load = match due {
                Due::Nothing => None,
                Due::Soon | Due::Later | Due::Over => loads.next(),
            };
            let (Some(load), Some(before)) = (load, act.before) else {
                return true;
            };
            let is_last = due != Due::Soon;
            if due == Due::Soon {
                act.is_soon_over = true;
                act.soon = (at.since(act.at) <= SOON + LATE_MAX).then_some(load);
            }
            news.push(Followed {
                policy: Arc::clone(&act.policy),
                target: act.target.clone(),
                at: act.at,
                relief: Relief {
                    before,
                    soon: act.soon,
                    later: (due == Due::Later).then_some(load),
                },
                is_last,
            });
            !is_last
        });
        news
    }
}
