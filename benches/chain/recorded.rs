//! The recorded block times of two real nodes, as the blocks of two daemons.
//!
//! A node that skips heights was not there in between: it answers nothing from the line before to
//! the line after. A node that is late and skips none was there, and waited for a block.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use electrumx_warden::time::Timestamp;

use super::{Blocks, Tip, World};

/// The order of the two nodes: the first is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primary {
    NodeA,
    NodeB,
}

impl Primary {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NodeA => "node A",
            Self::NodeB => "node B",
        }
    }

    /// Which daemon node A is, and which node B.
    pub(crate) const fn order(self) -> [usize; 2] {
        match self {
            Self::NodeA => [0, 1],
            Self::NodeB => [1, 0],
        }
    }
}

/// As the agent polls and probes by default.
pub(crate) const POLL: Duration = Duration::from_secs(10);

/// Polls a world for so long.
pub(crate) fn play<B: Blocks>(world: &mut World<B>, span: Range<Timestamp>) {
    let Range {
        start: mut now,
        end,
    } = span;
    while now < end {
        world.poll(now);
        now = now + POLL;
    }
}

/// What a node wrote: since when it had which tip.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Timestamp,
    height: u64,
    hash: u64,
}

/// A tip from some time on; `None` while the node was not there.
type Change = (Timestamp, Option<Tip>);

/// A block that one daemon had more than a minute after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) height: u64,
    /// Which daemon was late.
    pub(crate) daemon: usize,
    pub(crate) first_at: Timestamp,
    pub(crate) at: Timestamp,
    /// Whether it had just come back, with blocks missing before this one or the one before.
    pub(crate) is_after_outage: bool,
}

impl Late {
    pub(crate) fn by(&self) -> Duration {
        self.at.since(self.first_at)
    }
}

/// Later than this is late.
const LATE: Duration = Duration::from_secs(60);

/// A block that takes longer is worth a look.
const LONG: Duration = Duration::from_secs(90 * 60);

/// The daemons are known to be healthy by then, and the policies have judged what came.
const BEFORE: Duration = Duration::from_secs(15 * 60);
const AFTER: Duration = Duration::from_secs(45 * 60);

/// A node that was away catches up for so long.
const OUTAGE_TAIL: Duration = Duration::from_secs(2 * 3_600);

/// Both recordings.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    changes: [Vec<Change>; 2],
    lines: [Vec<Line>; 2],
    next: [usize; 2],
}

impl Recorded {
    pub(crate) fn load(primary: Primary) -> Self {
        let mut lines = ["node-a", "node-b"].map(read);
        if primary == Primary::NodeB {
            lines.swap(0, 1);
        }
        let winners = winners(&lines);
        let changes = [0, 1].map(|daemon| changes(&lines[daemon], &winners));
        Self {
            changes,
            lines,
            next: [0; 2],
        }
    }

    /// While both recorded.
    pub(crate) fn span(&self) -> Range<Timestamp> {
        let from = self.lines.iter().map(|lines| lines[0].at).max();
        let to = self.lines.iter().map(|lines| lines[lines.len() - 1].at);
        from.unwrap()..to.min().unwrap()
    }

    /// The times between two blocks of a daemon, without those when it was away.
    pub(crate) fn gaps(&self, daemon: usize) -> impl Iterator<Item = Duration> {
        let pairs = self.lines[daemon].windows(2);
        pairs
            .filter(|pair| pair[1].height <= pair[0].height + 1)
            .map(|pair| pair[1].at.since(pair[0].at))
    }

    /// The blocks that came late to one of them, by height.
    pub(crate) fn late(&self) -> Vec<Late> {
        let first = |lines: &[Line]| {
            let mut first = HashMap::new();
            for line in lines {
                first.entry(line.height).or_insert(line.at);
            }
            first
        };
        let [one, other] = [0, 1].map(|daemon| first(&self.lines[daemon]));
        let late = one.iter().filter_map(|(&height, &at)| {
            let times = [at, *other.get(&height)?];
            let daemon = usize::from(times[1] > times[0]);
            let (first_at, at) = (times[1 - daemon], times[daemon]);
            (at.since(first_at) > LATE).then(|| Late {
                height,
                daemon,
                first_at,
                at,
                is_after_outage: self.was_away(daemon, at),
            })
        });
        let mut late: Vec<_> = late.collect();
        late.sort_by_key(|late| late.height);
        late
    }

    /// The times in which something happened that a policy could take for a fault, and some more:
    /// late blocks, forks, outages, long waits for a block.
    pub(crate) fn eventful(&self) -> Vec<Range<Timestamp>> {
        let late = self.late().into_iter();
        let mut moments: Vec<_> = late.flat_map(|late| [late.first_at, late.at]).collect();
        for (changes, lines) in self.changes.iter().zip(&self.lines) {
            let is_odd = |tip: Option<Tip>| tip.is_none_or(|tip| tip.is_stale);
            let pairs = changes.windows(2).filter(|pair| is_odd(pair[0].1));
            moments.extend(pairs.flat_map(|pair| [pair[0].0, pair[1].0]));
            let pairs = lines.windows(2);
            let pairs = pairs.filter(|pair| pair[1].height <= pair[0].height + 1);
            let waits = pairs.filter(|pair| pair[1].at.since(pair[0].at) > LONG);
            moments.extend(waits.flat_map(|pair| [pair[0].at, pair[1].at]));
        }
        let span = self.span();
        moments.retain(|at| span.contains(at));
        moments.sort_unstable();
        let mut times: Vec<Range<Timestamp>> = Vec::new();
        for at in moments {
            let (from, to) = (at - BEFORE, at + AFTER);
            match times.last_mut() {
                Some(last) if from <= last.end => last.end = to,
                _ => times.push(from..to),
            }
        }
        times
    }

    fn was_away(&self, daemon: usize, at: Timestamp) -> bool {
        self.lines[daemon].windows(2).any(|pair| {
            let is_skip = pair[1].height > pair[0].height + 1;
            is_skip && pair[1].at <= at && at.since(pair[1].at) < OUTAGE_TAIL
        })
    }
}

impl Blocks for Recorded {
    fn tips(&mut self, at: Timestamp) -> [Option<Tip>; 2] {
        [0, 1].map(|daemon| {
            let (changes, next) = (&self.changes[daemon], &mut self.next[daemon]);
            while changes.get(*next).is_some_and(|&(then, _)| then <= at) {
                *next += 1;
            }
            next.checked_sub(1).and_then(|last| changes[last].1)
        })
    }
}

fn read(node: &str) -> Vec<Line> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/blocks");
    let packed = std::fs::read(folder.join(format!("{node}.csv.zst"))).unwrap();
    let text = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
    let line = |line: &str| {
        let mut values = line.split(',');
        let mut value = || values.next().unwrap();
        Line {
            at: Timestamp::from_millis(value().parse().unwrap()),
            height: value().parse().unwrap(),
            hash: u64::from_str_radix(value(), 16).unwrap(),
        }
    };
    text.lines().map(line).collect()
}

/// Of each height the block that stayed: what both nodes had last.
fn winners(lines: &[Vec<Line>; 2]) -> HashMap<u64, u64> {
    let all = lines.iter().flatten();
    all.map(|line| (line.height, line.hash)).collect()
}

fn changes(lines: &[Line], winners: &HashMap<u64, u64>) -> Vec<Change> {
    let mut changes = Vec::with_capacity(lines.len());
    let mut before: Option<&Line> = None;
    for line in lines {
        if let Some(before) = before
            && line.height > before.height + 1
        {
            changes.push((before.at, None));
        }
        let tip = Tip {
            height: line.height,
            is_stale: winners[&line.height] != line.hash,
        };
        changes.push((line.at, Some(tip)));
        before = Some(line);
    }
    changes
}
