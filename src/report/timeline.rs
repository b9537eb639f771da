//! A recording over time, in at most [`BINS_MAX`] bins, however long it is.
//!
//! A bin begins with a poll. As long as there are few polls each has a bin of its own; when there is no room for
//! another, bins become twice as wide, and neighbours that fall into one are added up.

use super::touched::Which;
use super::{BINS_MAX, Timeline};
use crate::snapshot::Server;
use crate::time::Timestamp;

/// How wide a bin is at first: no two polls are so close.
const WIDTH_MIN_MS: i64 = 1_000;

/// The bins.
#[derive(Debug)]
pub(super) struct Bins {
    start: Option<Timestamp>,
    width_ms: i64,
    all: Vec<Bin>,
}

/// What happened in a span of time.
#[derive(Debug, Default)]
struct Bin {
    /// Its number at the present width, from the start.
    slot: i64,
    from: Timestamp,
    to: Timestamp,
    polls: u64,
    missed: u64,
    sessions_sum: u64,
    sessions_max: u64,
    /// The time over which bytes were counted; it ends with each good poll.
    span_ms: u64,
    recv: u64,
    sent: u64,
    errors: u64,
    daemon_height: Option<u64>,
    db_height: Option<u64>,
    /// Of each set: acts by policy, as far as any acted, and decisions held back.
    acts: [Vec<u64>; 2],
    suppressed: [u64; 2],
}

/// What a good poll adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point<'a> {
    pub(super) at: Timestamp,
    /// Since the good poll before.
    pub(super) span_ms: u64,
    pub(super) sessions: u64,
    pub(super) recv: u64,
    pub(super) sent: u64,
    pub(super) errors: u64,
    pub(super) server: &'a Server,
}

impl Bins {
    pub(super) fn new() -> Self {
        Self {
            start: None,
            width_ms: WIDTH_MIN_MS,
            all: Vec::with_capacity(BINS_MAX + 1),
        }
    }

    /// A poll that succeeded.
    pub(super) fn add(&mut self, point: Point<'_>) {
        let bin = self.at(point.at);
        bin.polls += 1;
        bin.sessions_sum += point.sessions;
        bin.sessions_max = bin.sessions_max.max(point.sessions);
        bin.span_ms += point.span_ms;
        bin.recv = bin.recv.saturating_add(point.recv);
        bin.sent = bin.sent.saturating_add(point.sent);
        bin.errors = bin.errors.saturating_add(point.errors);
        bin.daemon_height = point.server.daemon_height.or(bin.daemon_height);
        bin.db_height = point.server.db_height.or(bin.db_height);
    }

    /// A poll that failed.
    pub(super) fn miss(&mut self, at: Timestamp) {
        self.at(at).missed += 1;
    }

    /// A policy acted at the last poll.
    pub(super) fn act(&mut self, which: Which, policy: usize) {
        let Some(bin) = self.all.last_mut() else {
            return;
        };
        let acts = &mut bin.acts[which as usize];
        if acts.len() <= policy {
            acts.resize(policy + 1, 0);
        }
        acts[policy] += 1;
    }

    /// A decision of the last poll was held back.
    pub(super) fn suppress(&mut self, which: Which) {
        if let Some(bin) = self.all.last_mut() {
            bin.suppressed[which as usize] += 1;
        }
    }

    /// The bin of a time, which is the last one's or later.
    fn at(&mut self, at: Timestamp) -> &mut Bin {
        let start = *self.start.get_or_insert(at);
        let slot = slot(start, at, self.width_ms);
        let is_new = self.all.last().is_none_or(|last| last.slot < slot);
        if is_new {
            self.all.push(Bin {
                slot,
                from: at,
                to: at,
                ..Bin::default()
            });
            while self.all.len() > BINS_MAX {
                self.widen();
            }
        }
        let last = self.all.len() - 1;
        let bin = &mut self.all[last];
        bin.to = bin.to.max(at);
        bin
    }

    fn widen(&mut self) {
        self.width_ms = self.width_ms.saturating_mul(2);
        for bin in &mut self.all {
            bin.slot /= 2;
        }
        self.all.dedup_by(|later, bin| {
            let is_one = later.slot == bin.slot;
            if is_one {
                bin.take_in(std::mem::take(later));
            }
            is_one
        });
    }

    /// The columns; of so many policies on either side.
    pub(super) fn finish(self, policies: usize, policies_against: Option<usize>) -> Timeline {
        let bins = &self.all;
        let of_polls = |value: fn(&Bin) -> f64| {
            let told = |bin: &Bin| (bin.polls > 0).then(|| value(bin));
            bins.iter().map(told).collect::<Vec<_>>()
        };
        let rate = |bytes: fn(&Bin) -> u64| {
            let told = |bin: &Bin| {
                let span_s = bin.span_ms as f64 / 1_000.0;
                (bin.span_ms > 0).then(|| bytes(bin) as f64 / span_s)
            };
            bins.iter().map(told).collect::<Vec<_>>()
        };
        let against = policies_against.is_some();
        Timeline {
            width_s: self.width_ms as f64 / 1_000.0,
            from_ms: column(bins, |bin| bin.from.as_millis()),
            to_ms: column(bins, |bin| bin.to.as_millis()),
            polls: column(bins, |bin| bin.polls),
            missed: column(bins, |bin| bin.missed),
            sessions_mean: of_polls(|bin| bin.sessions_sum as f64 / bin.polls as f64),
            sessions_max: column(bins, |bin| (bin.polls > 0).then_some(bin.sessions_max)),
            recv_rate: rate(|bin| bin.recv),
            sent_rate: rate(|bin| bin.sent),
            errors: column(bins, |bin| bin.errors),
            daemon_height: column(bins, |bin| bin.daemon_height),
            db_height: column(bins, |bin| bin.db_height),
            acts: acts(bins, Which::Decided, policies),
            suppressed: column(bins, |bin| bin.suppressed[Which::Decided as usize]),
            against_acts: acts(bins, Which::Against, policies_against.unwrap_or(0)),
            against_suppressed: if against {
                column(bins, |bin| bin.suppressed[Which::Against as usize])
            } else {
                Vec::new()
            },
        }
    }
}

impl Bin {
    /// Becomes one with the bin that follows.
    fn take_in(&mut self, later: Self) {
        self.to = later.to;
        self.polls += later.polls;
        self.missed += later.missed;
        self.sessions_sum += later.sessions_sum;
        self.sessions_max = self.sessions_max.max(later.sessions_max);
        self.span_ms += later.span_ms;
        self.recv = self.recv.saturating_add(later.recv);
        self.sent = self.sent.saturating_add(later.sent);
        self.errors = self.errors.saturating_add(later.errors);
        self.daemon_height = later.daemon_height.or(self.daemon_height);
        self.db_height = later.db_height.or(self.db_height);
        for (acts, mut more) in self.acts.iter_mut().zip(later.acts) {
            if more.len() > acts.len() {
                std::mem::swap(acts, &mut more);
            }
            for (sum, more) in acts.iter_mut().zip(more) {
                *sum += more;
            }
        }
        for (sum, more) in self.suppressed.iter_mut().zip(later.suppressed) {
            *sum += more;
        }
    }
}

fn slot(start: Timestamp, at: Timestamp, width_ms: i64) -> i64 {
    at.as_millis().saturating_sub(start.as_millis()).max(0) / width_ms
}

fn column<T>(bins: &[Bin], value: impl Fn(&Bin) -> T) -> Vec<T> {
    bins.iter().map(value).collect()
}

fn acts(bins: &[Bin], which: Which, policies: usize) -> Vec<Vec<u64>> {
    let of = |policy| {
        let acts = move |bin: &Bin| {
            let acts = &bin.acts[which as usize];
            acts.get(policy).copied().unwrap_or(0)
        };
        let counts = column(bins, acts);
        if counts.iter().all(|&count| count == 0) {
            return Vec::new();
        }
        counts
    };
    (0..policies).map(of).collect()
}
