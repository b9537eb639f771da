//! Acts that are followed, and their rows in the journal.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decision::{Decision, Target};
use crate::journal::DecisionId;
use crate::relief::{LATE_MAX, LATER, Relief};
use crate::time::Timestamp;
use crate::warden::{FOLLOWED_MAX, Followed};

/// The rows of acts that are followed: as many as the core follows at a time, and those of the last minutes that it
/// gave up.
#[derive(Debug, Default)]
pub struct FollowedRows {
    ids: HashMap<(Timestamp, Arc<str>, Target), DecisionId>,
}

impl FollowedRows {
    /// Takes an act that is followed, and its row.
    pub fn add(&mut self, decision: &Decision, id: DecisionId) {
        // What the core has given up, at a restart of the server, is not told any more.
        if self.ids.len() >= 2 * FOLLOWED_MAX {
            let over = LATER + LATE_MAX * 2;
            self.ids
                .retain(|(at, ..), _| decision.at.since(*at) <= over);
        }
        let key = (
            decision.at,
            Arc::clone(&decision.policy),
            decision.target.clone(),
        );
        self.ids.insert(key, id);
    }

    /// What is told of each, by its row.
    pub fn reliefs(&mut self, followed: &[Followed]) -> Vec<(DecisionId, Relief)> {
        let of_row = |news: &Followed| {
            let key = (news.at, Arc::clone(&news.policy), news.target.clone());
            let id = if news.is_last {
                self.ids.remove(&key)
            } else {
                self.ids.get(&key).copied()
            };
            Some((id?, news.relief))
        };
        followed.iter().filter_map(of_row).collect()
    }
}
