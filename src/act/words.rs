//! What the server says of each session that it was asked about, and the outcome that makes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::decision::{Outcome, SessionRef};
use crate::rpc::{Failure, RpcError, Said, Word};

/// How many sessions an outcome names one by one.
const NAMED_MAX: usize = 5;

/// What the server said of each session.
pub(super) struct Words<T> {
    by_id: HashMap<u64, Word<T>>,
    error: Option<String>,
    /// Asked about in the call that failed, and refused.
    refused: HashSet<u64>,
    /// Asked about in the call that failed, with an outcome that nobody knows.
    lost: HashSet<u64>,
}

/// What became of asking for one session.
pub(super) enum Heard<'a, T> {
    Word(&'a Word<T>),
    /// The server refused the whole request.
    Refused,
    /// Asked for, outcome unknown.
    Lost,
    /// Never asked for.
    Unsent,
}

/// Whether a request that failed so was certainly never sent.
pub(super) fn is_unsent(error: &RpcError) -> bool {
    !error.is_outcome_unknown() && !matches!(error, RpcError::Server { .. })
}

impl<T: Copy + PartialEq> Words<T> {
    pub(super) fn new(said: Said<T>) -> Self {
        let mut words = Self {
            by_id: said.words.into_iter().collect(),
            error: None,
            refused: HashSet::new(),
            lost: HashSet::new(),
        };
        if let Some(Failure {
            error, unanswered, ..
        }) = said.failure
        {
            if error.is_outcome_unknown() {
                words.lost.extend(unanswered);
            } else if !is_unsent(&error) {
                words.refused.extend(unanswered);
            }
            words.error = Some(error.to_string());
        }
        words
    }

    pub(super) fn of(&self, id: u64) -> Heard<'_, T> {
        match self.by_id.get(&id) {
            Some(word) => Heard::Word(word),
            None if self.lost.contains(&id) => Heard::Lost,
            None if self.refused.contains(&id) => Heard::Refused,
            None => Heard::Unsent,
        }
    }

    pub(super) fn done(&self, what: T) -> Vec<u64> {
        let done = self
            .by_id
            .iter()
            .filter(|(_, word)| matches!(word, Word::Done(w) if *w == what));
        let mut ids: Vec<u64> = done.map(|(&id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn unsent(&self, sessions: &[SessionRef]) -> usize {
        let is_unsent = |session: &&SessionRef| matches!(self.of(session.id), Heard::Unsent);
        sessions.iter().filter(is_unsent).count()
    }

    /// Done if anything was; what was not is told.
    pub(super) fn outcome(
        &self,
        sessions: &[SessionRef],
        verb: &str,
        objection: impl Fn(T) -> Option<&'static str>,
    ) -> Outcome {
        let (mut done, mut gone) = (0_usize, 0_usize);
        let mut not_done = Vec::new();
        for session in sessions {
            let id = session.id;
            match self.of(id) {
                Heard::Word(Word::Done(what)) => match objection(*what) {
                    None => done += 1,
                    Some(objection) => not_done.push(format!("{id}: {objection}")),
                },
                Heard::Word(Word::Unknown) => gone += 1,
                Heard::Word(Word::Other(words)) => not_done.push(format!("{id}: {words}")),
                Heard::Word(Word::Nothing) => {
                    not_done.push(format!("{id}: the server said nothing of it"));
                }
                Heard::Lost => not_done.push(format!("{id}: asked for, outcome unknown")),
                Heard::Refused => not_done.push(format!("{id}: refused")),
                Heard::Unsent => not_done.push(format!("{id}: not asked for")),
            }
        }
        let mut detail = format!("{verb} {done}");
        if gone > 0 {
            _ = write!(detail, ", {gone} already gone");
        }
        if !not_done.is_empty() {
            _ = write!(
                detail,
                ", not done {}: {}",
                not_done.len(),
                some_of(&not_done)
            );
        }
        if let Some(error) = &self.error {
            _ = write!(detail, "; {error}");
        }
        if done > 0 || (gone > 0 && not_done.is_empty()) {
            Outcome::Executed { detail }
        } else {
            Outcome::Failed { detail }
        }
    }
}

fn some_of(texts: &[String]) -> String {
    let mut shown = texts
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if texts.len() > NAMED_MAX {
        _ = write!(shown, "; and {} more", texts.len() - NAMED_MAX);
    }
    shown
}
