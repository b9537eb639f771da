//! The lines of a segment that the recorder writes itself, as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Act, Start, Turn, is_zero};
use crate::daemon::Round;
use crate::decision::Epoch;
use crate::penalty::ManualAct;
use crate::policy::Mode;
use crate::snapshot;
use crate::time::Timestamp;
use crate::visit::Visits;

/// The first line of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadingLine<'a> {
    #[serde(borrow)]
    pub(super) recording: Heading<'a>,
}

/// What a segment is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Heading<'a> {
    pub(super) format: u32,
    /// The program and its version.
    pub(super) by: Cow<'a, str>,
    /// Tells the runs of agents apart.
    pub(super) run: Cow<'a, str>,
    /// Counts the segments of a run from 0 on.
    pub(super) part: u32,
    pub(super) began: Timestamp,
    /// The fingerprint of the key, if addresses are pseudonyms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pseudonyms: Option<Cow<'a, str>>,
    pub(super) start: Start,
}

/// All that is asked of a heading before it is known to be of this format.
#[derive(Debug, Deserialize)]
pub(super) struct AnyHeading {
    pub(super) recording: AnyFormat,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnyFormat {
    pub(super) format: u32,
    #[serde(default)]
    pub(super) by: String,
}

/// The first line of a tick; as many lines of replies follow as it says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TickLine<'a> {
    #[serde(borrow)]
    pub(super) tick: TickHead<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TickHead<'a> {
    pub(super) at: Timestamp,
    pub(super) epoch: Epoch,
    pub(super) mode: Mode,
    /// Why the poll failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Cow<'a, str>>,
    /// When `getinfo` was asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) getinfo: Option<Span>,
    /// When `sessions` was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sessions: Option<Span>,
    /// The sessions of the `inspect_session` replies that were taken in, in their order.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) inspected: Cow<'a, [u64]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) rounds: Cow<'a, [Round]>,
    /// What the canary's visits felt.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) visits: Cow<'a, Visits>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) closed: Cow<'a, [Arc<str>]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) by_hand: Cow<'a, [ManualAct]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) acts: Cow<'a, [Act]>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) not_held_off: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settled: Option<Timestamp>,
    /// The methods of the replies that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    pub(super) replies: Vec<Cow<'a, str>>,
}

impl<'a> TickHead<'a> {
    /// Without replies.
    pub(super) fn of(turn: &Turn<'a>) -> Self {
        let snapshot = turn.polled.ok();
        Self {
            at: turn.at,
            epoch: turn.epoch,
            mode: turn.mode,
            failure: turn.polled.err().map(Cow::Borrowed),
            getinfo: snapshot.map(|snapshot| snapshot.server_read.into()),
            sessions: snapshot.map(|snapshot| snapshot.sessions_read.into()),
            inspected: Cow::Borrowed(turn.inspected),
            rounds: Cow::Borrowed(turn.rounds),
            visits: Cow::Borrowed(turn.visits),
            closed: Cow::Borrowed(turn.closed),
            by_hand: Cow::Borrowed(turn.by_hand),
            acts: Cow::Borrowed(turn.acts),
            not_held_off: turn.not_held_off,
            settled: (!turn.acts.is_empty()).then_some(turn.settled),
            replies: Vec::new(),
        }
    }

    /// As if the poll had failed; what the daemons said was not the server's.
    pub(super) fn failed(self, why: String) -> Self {
        Self {
            failure: self.failure.or(Some(why.into())),
            getinfo: None,
            sessions: None,
            ..self
        }
    }

    pub(super) fn into_owned(self) -> TickHead<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        TickHead {
            failure: self.failure.map(owned),
            inspected: self.inspected.into_owned().into(),
            rounds: self.rounds.into_owned().into(),
            visits: Cow::Owned(self.visits.into_owned()),
            closed: self.closed.into_owned().into(),
            by_hand: self.by_hand.into_owned().into(),
            acts: self.acts.into_owned().into(),
            replies: self.replies.into_iter().map(owned).collect(),
            ..self
        }
    }
}

fn is_none(visits: &Visits) -> bool {
    visits.is_empty()
}

/// When a request was sent and when its reply had come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Span(pub(super) Timestamp, pub(super) Timestamp);

impl From<snapshot::Span> for Span {
    fn from(span: snapshot::Span) -> Self {
        Self(span.asked, span.answered)
    }
}

impl From<Span> for snapshot::Span {
    fn from(Span(asked, answered): Span) -> Self {
        Self { asked, answered }
    }
}

/// The line behind a heading, and the last of a tick: the checksum of all its lines before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SumLine {
    pub(super) crc32: u32,
}
