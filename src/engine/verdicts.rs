//! Verdicts on texts and addresses, each found once: a name is matched against a pattern when it
//! is first seen, not at every poll and not for every session that bears it.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use crate::policy::{Comparison, List, ListId, PolicySet};
use crate::version::Version;

/// A question about a text or an address; the same question of several policies is asked once.
#[derive(Debug)]
pub(super) enum Question {
    Matches(Regex),
    InList(ListId),
    Equals(Box<str>),
    /// Of the version in a name.
    Version(Comparison, Version),
}

/// The thing in question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Text(&'a str),
    Address(IpAddr),
    Net(&'a IpNet),
}

impl Question {
    /// The answer, without `!` or `not`; `None` if there is nothing in the subject to ask about.
    pub(super) fn ask(&self, set: &PolicySet, subject: Subject<'_>) -> Option<bool> {
        Some(match (self, subject) {
            (Self::Matches(regex), Subject::Text(text)) => regex.is_match(text),
            (Self::Equals(wanted), Subject::Text(text)) => **wanted == *text,
            (Self::Version(comparison, version), Subject::Text(name)) => {
                let (found, _) = Version::in_name(name)?;
                comparison.holds(found.cmp(version))
            }
            (Self::InList(id), subject) => in_list(set.list(*id), subject),
            (_, Subject::Address(_) | Subject::Net(_)) => false,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            (Self::InList(a), Self::InList(b)) => a == b,
            (Self::Equals(a), Self::Equals(b)) => a == b,
            (Self::Version(c, a), Self::Version(d, b)) => c == d && a == b,
            _ => false,
        }
    }
}

fn in_list(list: &List, subject: Subject<'_>) -> bool {
    match subject {
        Subject::Text(text) => list.contains_text(text),
        Subject::Address(address) => list.contains_addr(address),
        Subject::Net(net) => list.contains_net(net),
    }
}

/// Whose slots the verdicts go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Universe {
    /// Sessions, by their exact address.
    Session,
    /// Addresses.
    Address,
    /// Subnets.
    Subnet,
    /// Client names.
    Client,
    /// Groups.
    Group,
}

/// A question's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VerdictId(usize);

/// The number of a question whose verdicts are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectId(usize);

/// All questions with their verdicts.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by: Vec<Verdict>,
    direct: Vec<Question>,
    /// How often a question was really asked, and how often by matching a pattern.
    pub(super) asked: u64,
    pub(super) matched: u64,
}

#[derive(Debug)]
struct Verdict {
    universe: Universe,
    question: Question,
    list_version: u64,
    /// By slot: the generation asked about, and in the lowest two bits the answer as
    /// [`Answer`]. 0: not asked yet.
    known: Vec<u32>,
}

/// What a verdict's lowest bits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Answer {
    Yes,
    No,
    /// There is nothing to ask about: the server does not tell, or a name has no version.
    Unknown,
}

impl Answer {
    const BITS: u32 = 2;
    const MASK: u32 = (1 << Self::BITS) - 1;

    const fn of(bits: u32) -> Option<bool> {
        const YES: u32 = Answer::Yes as u32;
        const NO: u32 = Answer::No as u32;
        match bits & Self::MASK {
            YES => Some(true),
            NO => Some(false),
            _ => None,
        }
    }
}

impl Verdicts {
    /// Registers a question, or finds it.
    pub(super) fn register(&mut self, universe: Universe, question: Question) -> VerdictId {
        let known = self.by.iter().position(|verdict| {
            verdict.universe == universe && verdict.question.is_same(&question)
        });
        VerdictId(known.unwrap_or_else(|| {
            self.by.push(Verdict {
                universe,
                question,
                list_version: 0,
                known: Vec::new(),
            });
            self.by.len() - 1
        }))
    }

    /// Registers a question whose verdicts are not kept.
    pub(super) fn register_direct(&mut self, question: Question) -> DirectId {
        self.direct.push(question);
        DirectId(self.direct.len() - 1)
    }

    /// The verdict on a text, found anew.
    pub(super) fn ask(&self, id: DirectId, set: &PolicySet, text: &str) -> Option<bool> {
        self.direct[id.0].ask(set, Subject::Text(text))
    }

    /// Drops what was found by lists that have been read again since.
    pub(super) fn begin(&mut self, set: &PolicySet) {
        for verdict in &mut self.by {
            if let Question::InList(id) = verdict.question {
                let version = set.list(id).version();
                if verdict.list_version != version {
                    verdict.list_version = version;
                    verdict.known.clear();
                }
            }
        }
    }

    /// The verdict on what is in `slot`; `None` if there is no `subject` in it.
    pub(super) fn get<'a>(
        &mut self,
        id: VerdictId,
        set: &PolicySet,
        slot: u32,
        generation: u32,
        subject: impl FnOnce() -> Option<Subject<'a>>,
    ) -> Option<bool> {
        // Generations begin at 1, and 30 bits of them last for as long as any server runs.
        let stamp = generation << Answer::BITS;
        match self.by[id.0].known.get(slot as usize) {
            Some(&known) if known != 0 && known & !Answer::MASK == stamp => Answer::of(known),
            _ => self.find(id, set, slot, stamp, subject()),
        }
    }

    #[cold]
    fn find(
        &mut self,
        id: VerdictId,
        set: &PolicySet,
        slot: u32,
        stamp: u32,
        subject: Option<Subject<'_>>,
    ) -> Option<bool> {
        let verdict = &mut self.by[id.0];
        let slot = slot as usize;
        if slot >= verdict.known.len() {
            verdict.known.resize(slot + 1, 0);
        }
        let answer = match subject.and_then(|subject| verdict.question.ask(set, subject)) {
            Some(true) => Answer::Yes,
            Some(false) => Answer::No,
            None => Answer::Unknown,
        };
        verdict.known[slot] = stamp | answer as u32;
        if answer != Answer::Unknown {
            self.asked += 1;
            self.matched += u64::from(matches!(verdict.question, Question::Matches(_)));
        }
        Answer::of(answer as u32)
    }
}
