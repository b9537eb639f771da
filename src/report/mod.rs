//! What a replay decided, in figures: fed poll by poll, kept small, told as data.
//!
//! A [`Collector`] takes in each snapshot with what policies made of it, of one set of policies or of two; what it
//! gives in the end is a [`Report`]. The same report is text, JSON and a page, so that all three say the same. Nothing
//! here reads a recording or decides anything, and every time is the recording's.
//!
//! Clients choose names and addresses: they stand here as they are, and are escaped where they are shown.

mod bans;
mod collector;
mod crowd;
mod distinct;
mod helped;
pub mod html;
mod net;
#[cfg(test)]
pub(crate) mod sample;
mod side;
#[cfg(test)]
mod tests;
mod timeline;
mod touched;
pub mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

pub use collector::Collector;
pub use side::{PolicyFacts, Side};

use crate::decision::{Choice, Evidence, Target};
use crate::field::Scope;
use crate::policy::{ActionKind, Mode};
use crate::time::{Timestamp, rfc3339};

/// Addresses and subnets seen are told apart up to this number, and so are all targets of a side.
pub const DISTINCT_MAX: usize = 1 << 20;
/// Addresses touched are followed up to this number, and subnets touched.
pub const TOUCHED_MAX: usize = 200_000;
/// The timeline has no more bins than this: when it is full, neighbours become one.
pub const BINS_MAX: usize = 600;
/// So many examples of a policy.
pub const EXAMPLES_MAX: usize = 5;
/// Of each part of the comparison so many are listed.
pub const MEMBERS_MAX: usize = 1_000;
/// Of gaps, restarts and openings of the breaker so many are listed; all are counted.
pub const LISTED_MAX: usize = 100;

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was replayed.
    pub replayed: Replayed,
    /// What the policies decided.
    pub decided: Decided,
    /// What those they are compared with decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Decided>,
    /// What the two have in common, and what they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// All of it over time.
    pub timeline: Timeline,
    /// Bounds that were reached, in words: beyond them counts are lower than the truth.
    pub bounds_reached: Vec<String>,
}

/// What was replayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// The first poll, be it a good one or not.
    #[serde(with = "rfc3339")]
    pub from: Option<Timestamp>,
    /// The last one.
    #[serde(with = "rfc3339")]
    pub to: Option<Timestamp>,
    /// Polls that succeeded.
    pub polls: u64,
    /// Polls that failed.
    pub missed: u64,
    /// Why they did, most frequent first; what comes after the first few is counted as `other`.
    pub missed_because: Vec<Missed>,
    /// Times without any poll, longer than the history bears.
    pub gaps: u64,
    /// All of them together.
    pub gaps_s: f64,
    /// The first of them.
    pub gaps_listed: Vec<Gap>,
    /// How often the server was found to have been started again.
    pub restarts: u64,
    /// The first of the times when it was found.
    pub restarts_listed: Vec<Moment>,
    /// The servers' own words, in order; another one after an upgrade.
    pub servers: Vec<ServerFacts>,
    /// Distinct client sessions.
    pub sessions: u64,
    /// Those of them from private or unknown peers, which have no address of their own.
    pub private_sessions: u64,
    /// Distinct public addresses, /32 or /64.
    pub addresses: u64,
    /// Distinct public subnets, as wide as `[subnet]` says.
    pub subnets: u64,
    /// The most sessions at one poll.
    pub sessions_peak: u64,
    /// When that was.
    #[serde(with = "rfc3339")]
    pub sessions_peak_at: Option<Timestamp>,
    /// What the server received from clients from the first poll to the last.
    pub recv_bytes: u64,
    /// What it sent to them.
    pub sent_bytes: u64,
    /// Messages that it received from them.
    pub requests: u64,
}

impl Replayed {
    /// What went both ways.
    pub const fn bytes(&self) -> u64 {
        self.recv_bytes.saturating_add(self.sent_bytes)
    }
}

/// How often polls failed in one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missed {
    /// In the agent's words.
    pub why: String,
    /// How often.
    pub count: u64,
}

/// A time without polls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// The last poll before.
    #[serde(with = "rfc3339")]
    pub from: Timestamp,
    /// The first one after.
    #[serde(with = "rfc3339")]
    pub to: Timestamp,
}

/// A point in time, as text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Moment(#[serde(with = "rfc3339")] pub Timestamp);

/// What a server said it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerFacts {
    /// As in `ElectrumX 1.20.0`.
    pub version: Option<String>,
    /// As in `Bitcoin`.
    pub coin: Option<String>,
}

/// What one set of policies decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// Which policies, in the user's words.
    pub label: String,
    /// All policies together.
    pub totals: Totals,
    /// Each, in the order of the files.
    pub policies: Vec<PolicyFigures>,
    /// The breaker.
    pub breaker: Breaker,
}

impl Decided {
    /// Takes in which policies could not be judged at any poll, each with the field that was not known.
    pub fn note_unjudged(&mut self, unjudged: &BTreeMap<Arc<str>, String>) {
        for policy in &mut self.policies {
            policy.unjudged = unjudged.get(&policy.name).cloned();
        }
    }
}

/// How decisions came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcomes {
    /// All of them: the sum of the four that follow.
    pub decisions: u64,
    /// Nothing stood in their way; they would have been carried out.
    pub would_act: u64,
    /// Nothing stood in their way, and the live agent carried out just these.
    pub executed: u64,
    /// The live agent carried them out, and the server refused or could not be reached.
    pub failed: u64,
    /// Held back.
    pub suppressed: u64,
    /// By what, most frequent first.
    pub suppressed_by: Vec<Suppressed>,
    /// Sessions of what was or would have been carried out for which the budget did not suffice.
    pub withheld_sessions: u64,
}

impl Outcomes {
    /// What was or would have been done.
    pub const fn acts(&self) -> u64 {
        self.would_act + self.executed
    }
}

/// How many decisions one thing held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// As in a decision's JSON: `cooldown`, `breaker`.
    pub by: &'static str,
    /// How many.
    pub decisions: u64,
}

/// A set of policies in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// How its decisions came out.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Distinct targets decided about, whatever came of it.
    pub targets: u64,
    /// Distinct sessions disconnected or logged, or that would have been.
    pub sessions: u64,
    /// Of all sessions seen, from 0 to 1.
    pub sessions_share: f64,
    /// Those of them disconnected.
    pub disconnected_sessions: u64,
    /// Those of them logged.
    pub logged_sessions: u64,
    /// The public addresses that they came from.
    pub addresses: u64,
    /// The public subnets that they came from.
    pub subnets: u64,
    /// What they moved after the first such decision about them, both ways.
    pub traffic_bytes: u64,
    /// Of all that was seen to be moved, from 0 to 1.
    pub traffic_share: f64,
    /// Of what was or would have been done, by the hour of the day, UTC.
    pub hours: [u64; 24],
    /// What was or would have been banned, if there was anything to ban.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bans: Option<BanFigures>,
}

/// Bans, and what they keep out, or would.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BanFigures {
    /// How many.
    pub bans: u64,
    /// Distinct addresses and subnets.
    pub networks: u64,
    /// How long the shortest lasts; 0 if there is none.
    pub shortest_s: f64,
    /// How long the longest lasts.
    pub longest_s: f64,
    /// Bans that strikes led to and that there were none of, by why, most frequent first.
    pub refused: Vec<Refused>,
    /// What sessions did that were there although a ban was on them.
    pub kept_out: KeptOut,
}

/// How many bans were refused for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// As in a decision's JSON: `regulars`.
    pub why: &'static str,
    /// How many.
    pub bans: u64,
}

/// What bans keep out, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct KeptOut {
    /// Distinct sessions.
    pub sessions: u64,
    /// Messages that they sent while the ban was on them.
    pub requests: u64,
    /// Of all messages seen, from 0 to 1.
    pub requests_share: f64,
    /// What they moved meanwhile, both ways.
    pub traffic_bytes: u64,
    /// Of all that was seen to be moved, from 0 to 1.
    pub traffic_share: f64,
}

/// A policy in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyFigures {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for, in its author's words.
    pub about: String,
    /// What it looks at.
    pub scope: Scope,
    /// The kind of its action.
    pub action: ActionKind,
    /// The action in words: `log for 10m`.
    pub wants: String,
    /// Its mode in this replay.
    pub mode: Mode,
    /// The field for want of which it could not be judged at any poll: that it did nothing says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<String>,
    /// How its decisions came out.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Distinct targets decided about, whatever came of it.
    pub targets: u64,
    /// Distinct sessions of what was or would have been done, alerts included.
    pub sessions: u64,
    /// Of all sessions seen, from 0 to 1.
    pub sessions_share: f64,
    /// The first decision.
    #[serde(with = "rfc3339")]
    pub first_at: Option<Timestamp>,
    /// The last decision.
    #[serde(with = "rfc3339")]
    pub last_at: Option<Timestamp>,
    /// Of what was or would have been done, by the hour of the day, UTC.
    pub hours: [u64; 24],
    /// Whether what was really done helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helped: Option<Helped>,
    /// The worst, each of another target; what would have been done comes first.
    pub examples: Vec<Example>,
}

/// What became of loads after a policy's enforced acts, as far as they were followed. For people: nothing is decided by
/// it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Helped {
    /// Acts that were followed to their last look.
    pub acts: u64,
    /// Bytes a second of the targets, both ways.
    pub target_bytes_per_s: Around,
    /// Requests that the server had not answered.
    pub pending_requests: Around,
    /// What the canary felt, in seconds.
    pub felt_latency_s: Around,
}

/// Means around acts, each of those for which it is known; `None` of none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Around {
    /// At the poll that decided.
    pub before: Option<f64>,
    /// 30 seconds after.
    pub soon: Option<f64>,
    /// Five minutes after.
    pub later: Option<f64>,
}

/// A decision with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// About what.
    #[serde(serialize_with = "target_as_text", flatten)]
    pub target: Target,
    /// What came of it, as in a decision's JSON: `dry-run`.
    pub outcome: &'static str,
    /// What held it back, as in a decision's JSON: `cooldown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    /// The greatest ratio of a value seen to its threshold.
    pub severity: f64,
    /// For how long the tests had held.
    pub held_s: f64,
    /// The sessions to act on.
    pub sessions: u64,
    /// Members left alone.
    pub spared: u64,
    /// Of a target that is many sessions, on whom it falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// The tests that held.
    pub evidence: Vec<Evidence>,
}

/// The breaker's part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Breaker {
    /// How often it opened.
    pub openings: u64,
    /// Decisions that it held back.
    pub suppressed: u64,
    /// The first of the openings.
    pub openings_listed: Vec<Opening>,
}

/// The breaker was open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Opening {
    /// When it was first found open.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// When it was to close by itself.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

/// Whom the two sets of policies touch: whose sessions they disconnect or log, or would have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Sessions.
    pub sessions: Parts,
    /// Public addresses, /32 or /64.
    pub addresses: Parts,
    /// Public subnets, as wide as `[subnet]` says.
    pub subnets: Parts,
    /// The policies of both by name, in the order of the first set.
    pub policies: Vec<PolicyPair>,
}

/// Who is touched by which.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Parts {
    /// By the first set alone.
    pub only_decided: Part,
    /// By those it is compared with alone.
    pub only_against: Part,
    /// By both.
    pub both: Part,
}

/// One part of those touched.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// How many.
    pub count: u64,
    /// What they moved after the first decision about them, both ways.
    pub traffic_bytes: u64,
    /// Of all that was seen to be moved, from 0 to 1.
    pub traffic_share: f64,
    /// Who they are, those who moved most first.
    pub members: Vec<Member>,
    /// How many more there are.
    pub members_left_out: u64,
}

/// One that was touched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Who: `42 (203.0.113.9:50001)`, `203.0.113.0/24`.
    pub target: String,
    /// Of a session, the name that the client gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<str>>,
    /// The first decision about it.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// By which policy.
    pub policy: Arc<str>,
    /// What it moved after that, both ways.
    pub traffic_bytes: u64,
}

/// A policy in both sets, or in one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyPair {
    /// Its name.
    pub name: Arc<str>,
    /// In the first set, if it is there.
    pub decided: Option<PairFigures>,
    /// In the other, if it is there.
    pub against: Option<PairFigures>,
}

impl PolicyPair {
    /// Whether the policy is in both sets and does as much in each, whatever was held back.
    pub fn acts_alike(&self) -> bool {
        let done = |figures: PairFigures| (figures.acts, figures.sessions);
        self.decided.is_some() && self.decided.map(done) == self.against.map(done)
    }
}

/// What of a policy is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PairFigures {
    /// Decisions that were or would have been carried out.
    pub acts: u64,
    /// Decisions held back.
    pub suppressed: u64,
    /// Distinct sessions of what was or would have been done.
    pub sessions: u64,
}

/// All of it over time: columns of one length, a number a bin. A bin spans whole polls; a span without polls has no
/// bin. What a poll does not tell is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// A bin's span, at the least.
    pub width_s: f64,
    /// Its first poll, in milliseconds since the Unix epoch.
    pub from_ms: Vec<i64>,
    /// Its last poll.
    pub to_ms: Vec<i64>,
    /// Good polls in it.
    pub polls: Vec<u64>,
    /// Failed polls in it.
    pub missed: Vec<u64>,
    /// Client sessions, over its good polls.
    pub sessions_mean: Vec<Option<f64>>,
    /// The most of them.
    pub sessions_max: Vec<Option<u64>>,
    /// Received from clients, bytes a second.
    pub recv_rate: Vec<Option<f64>>,
    /// Sent to them, bytes a second.
    pub sent_rate: Vec<Option<f64>>,
    /// Errors by which the server's count rose.
    pub errors: Vec<u64>,
    /// The daemon's height at its last poll.
    pub daemon_height: Vec<Option<u64>>,
    /// The index's height at its last poll.
    pub db_height: Vec<Option<u64>>,
    /// What was or would have been done, by policy in the order of [`Decided::policies`]; empty for a policy that
    /// never did anything.
    pub acts: Vec<Vec<u64>>,
    /// Decisions held back.
    pub suppressed: Vec<u64>,
    /// As `acts`, of the set compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against_acts: Vec<Vec<u64>>,
    /// As `suppressed`, of the set compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against_suppressed: Vec<u64>,
}

/// `scope` and `target`, as in a decision's JSON.
fn target_as_text<S: serde::Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Text {
        scope: &'static str,
        target: String,
    }
    let text = Text {
        scope: target.scope().name(),
        target: target.to_string(),
    };
    text.serialize(serializer)
}

/// A part of a whole, from 0 to 1; of nothing there is no part.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}
