//! What a change of daemon is said to have come to, as news of it comes in.

use super::Carried;
use crate::decision::Outcome;
use crate::journal::DecisionId;
use crate::policy::ActionKind;
use crate::units::format_duration;
use crate::watch::Confirmation;

/// A change of daemon that the server said yes to. Its outcome is amended, not told anew.
#[derive(Clone, Debug)]
pub struct Confirmed {
    id: DecisionId,
    /// What the server said of it, and what is known since.
    words: String,
}

impl Confirmed {
    /// If it is such a change; `id` is its number in the journal.
    pub fn of(carried: &Carried, id: DecisionId) -> Option<Self> {
        let Outcome::Executed { detail } = &carried.outcome else {
            return None;
        };
        let is_change = carried.decision.action.kind() == ActionKind::DaemonUrl;
        is_change.then(|| Self {
            id,
            words: detail.clone(),
        })
    }

    /// Its number in the journal.
    pub const fn id(&self) -> DecisionId {
        self.id
    }

    /// The outcome with this news of it.
    pub fn amended(&mut self, news: &Confirmation) -> Outcome {
        let words = &mut self.words;
        match news {
            Confirmation::Named { after } => {
                let after = format_duration(*after);
                *words = format!("{words}; named by getinfo after {after}");
                Outcome::Executed {
                    detail: format!("{words}; its next block is to come"),
                }
            }
            Confirmation::Followed { height } => Outcome::Executed {
                detail: format!("{words}; followed to block {height}"),
            },
            Confirmation::Failed { detail } => Outcome::Failed {
                detail: format!("{words}, but {detail}"),
            },
        }
    }

    /// The outcome if another change comes while this one still waits for a block: it gets no more
    /// news.
    pub fn overtaken(self, by: DecisionId) -> Outcome {
        let detail = format!("{}, overtaken by decision {by}", self.words);
        Outcome::Executed { detail }
    }
}
