//! What the server says of each session that it was asked to disconnect or to log.
//!
//! Every release answers with a list of sentences, one an item, in no certain order: they are matched by the number in
//! them, never by their place.

use std::collections::{HashMap, HashSet};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::error::{RpcError, words};

/// How a release wants session IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// From 0.10.4: `{"session_ids": ["1", "2"]}`; strings are understood by all, and wanted from 1.11 on.
    Named,
    /// To 0.10.3: `[1, 2]`.
    Bare,
}

impl Style {
    /// Whether `error` is how a release that knows only [`Bare`](Self::Bare) refuses [`Named`](Self::Named) parameters,
    /// having done nothing.
    pub(super) fn is_refused(self, error: &RpcError) -> bool {
        self == Self::Named
            && matches!(error, RpcError::Server { code: -32600, message, .. } if message == "params should be an array")
    }
}

/// Session IDs as parameters. Numbers only: `all`, `none`, `new` and the names of groups cannot be said.
pub(super) struct SessionIds<'a> {
    pub(super) ids: &'a [u64],
    pub(super) style: Style,
}

impl Serialize for SessionIds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.style {
            Style::Named => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("session_ids", &AsStrings(self.ids))?;
                map.end()
            }
            Style::Bare => self.ids.serialize(serializer),
        }
    }
}

struct AsStrings<'a>(&'a [u64]);

impl Serialize for AsStrings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for id in self.0 {
            seq.serialize_element(&format_args!("{id}"))?;
        }
        seq.end()
    }
}

/// What the server said of one session; `T` is what it may have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// It did as asked.
    Done(T),
    /// It knows no such session: it is gone.
    Unknown,
    /// Something else, in the server's words, without credentials, escaped and bounded.
    Other(String),
    /// It replied, but of this session said nothing.
    Nothing,
}

/// The server closes the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// What a session's logging is after the toggle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logging {
    /// The server logs what the session does.
    On,
    /// It does not.
    Off,
}

/// What came of a request about several sessions.
#[derive(Debug)]
pub struct Said<T> {
    /// The sessions that the server was asked about and answered for, each once, in the order given.
    pub words: Vec<(u64, Word<T>)>,
    /// Why there are no more words, if some sessions have none.
    pub failure: Option<Failure>,
}

/// An error that ended a request about several sessions.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: RpcError,
    /// The sessions that were asked about in the call that failed. Whether anything was done to them,
    /// [`RpcError::is_outcome_unknown`] says.
    pub unanswered: Vec<u64>,
    /// The sessions that were not asked about any more.
    pub unsent: Vec<u64>,
}

/// `ids` without repetitions, in the same order. Some releases would toggle a repeated session twice.
pub(super) fn distinct(ids: &[u64]) -> Vec<u64> {
    let mut seen = HashSet::with_capacity(ids.len());
    ids.iter().copied().filter(|&id| seen.insert(id)).collect()
}

/// What `sentences` say of each of `ids`, read by `done` where something was done.
pub(super) fn sort<T>(
    ids: &[u64],
    sentences: &[String],
    done: fn(&str) -> Option<(u64, T)>,
) -> Vec<(u64, Word<T>)> {
    let asked: HashSet<u64> = ids.iter().copied().collect();
    let mut heard = HashMap::with_capacity(ids.len());
    for sentence in sentences {
        let known = done(sentence).map(|(id, what)| (id, Word::Done(what)));
        let known = known.or_else(|| unknown(sentence).map(|id| (id, Word::Unknown)));
        if let Some((id, word)) = known.or_else(|| other(sentence, &asked)) {
            heard.entry(id).or_insert(word);
        }
    }
    ids.iter()
        .map(|&id| (id, heard.remove(&id).unwrap_or(Word::Nothing)))
        .collect()
}

/// `disconnected 2` to 1.10, `disconnecting session 2` from 1.11.
pub(super) fn disconnected(sentence: &str) -> Option<(u64, Disconnected)> {
    let id = sentence
        .strip_prefix("disconnected ")
        .or_else(|| sentence.strip_prefix("disconnecting session "))?;
    Some((id.parse().ok()?, Disconnected))
}

/// `log 6: True` to 1.10, `logging session 6` from 1.11.
pub(super) fn logging(sentence: &str) -> Option<(u64, Logging)> {
    let (id, logging) = if let Some(id) = sentence.strip_prefix("logging session ") {
        (id, Logging::On)
    } else if let Some(id) = sentence.strip_prefix("not logging session ") {
        (id, Logging::Off)
    } else {
        match sentence.strip_prefix("log ")?.split_once(": ")? {
            (id, "True") => (id, Logging::On),
            (id, "False") => (id, Logging::Off),
            _ => return None,
        }
    };
    Some((id.parse().ok()?, logging))
}

/// `unknown session: 9` to 1.10, `unknown: 9` from 1.11.
fn unknown(sentence: &str) -> Option<u64> {
    sentence
        .strip_prefix("unknown session: ")
        .or_else(|| sentence.strip_prefix("unknown: "))?
        .parse()
        .ok()
}

/// A sentence of a release that is not known here, about the first session in it that was asked about.
fn other<T>(sentence: &str, asked: &HashSet<u64>) -> Option<(u64, Word<T>)> {
    let mut numbers = sentence
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok());
    let id = numbers.find(|id| asked.contains(id))?;
    Some((id, Word::Other(words(sentence))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences<const N: usize>(texts: [&str; N]) -> Vec<String> {
        texts.map(str::to_owned).to_vec()
    }

    #[test]
    fn ids_are_written_as_each_release_wants_them() {
        let json = |style| {
            serde_json::to_string(&SessionIds {
                ids: &[1, 20],
                style,
            })
            .unwrap()
        };
        assert_eq!(json(Style::Named), r#"{"session_ids":["1","20"]}"#);
        assert_eq!(json(Style::Bare), "[1,20]");
    }

    #[test]
    fn every_release_says_it_in_its_own_words() {
        let said = sentences([
            "disconnecting session 2",
            "disconnected 3",
            "unknown session: 9",
            "unknown: 8",
        ]);
        assert_eq!(
            sort(&[2, 3, 8, 9], &said, disconnected),
            [
                (2, Word::Done(Disconnected)),
                (3, Word::Done(Disconnected)),
                (8, Word::Unknown),
                (9, Word::Unknown)
            ]
        );
        let said = sentences([
            "log 6: True",
            "log 7: False",
            "not logging session 5",
            "logging session 4",
            "unknown: 3",
        ]);
        assert_eq!(
            sort(&[3, 4, 5, 6, 7], &said, logging),
            [
                (3, Word::Unknown),
                (4, Word::Done(Logging::On)),
                (5, Word::Done(Logging::Off)),
                (6, Word::Done(Logging::On)),
                (7, Word::Done(Logging::Off)),
            ]
        );
    }

    #[test]
    fn sentences_are_matched_by_number_and_nothing_is_made_up() {
        let said = sentences([
            "unknown: 12",
            "session 3 cannot be closed \u{1b}[2J by http://u:p@h",
            "disconnecting session 1",
            "disconnecting session 99",
            "disconnecting group 4",
            "disconnected 5 not",
            "log 6: Maybe",
            "hm",
        ]);
        assert_eq!(
            sort(&[1, 2, 3, 4, 5, 6, 12], &said, disconnected),
            [
                (1, Word::Done(Disconnected)),
                (2, Word::Nothing),
                (
                    3,
                    Word::Other(r"session 3 cannot be closed \u{1b}[2J by http://***@h".to_owned())
                ),
                (4, Word::Other("disconnecting group 4".to_owned())),
                (5, Word::Other("disconnected 5 not".to_owned())),
                (6, Word::Other("log 6: Maybe".to_owned())),
                (12, Word::Unknown),
            ]
        );
    }

    #[test]
    fn other_words_are_bounded() {
        let said = vec![format!("7 {}", "x".repeat(1_000_000))];
        let [(7, Word::Other(text))] = &sort(&[7], &said, logging)[..] else {
            panic!("other words")
        };
        assert!(text.ends_with("x…") && text.chars().count() == 512);
    }

    #[test]
    fn a_repeated_id_is_asked_about_once() {
        assert_eq!(distinct(&[3, 1, 3, 2, 1]), [3, 1, 2]);
    }
}
