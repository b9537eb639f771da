//! How long a poll takes, against a plain typed `serde_json` parse of the same bytes.
//!
//! Each cell of the table times both in turn, on the same replies, and compares their medians:
//! a busy machine slows both. What is timed is all that happens between the reply's bytes and the
//! rulings; what the plain parse makes is dropped outside the clock.

#![expect(clippy::unwrap_used, reason = "a bench")]
#![expect(dead_code, reason = "the crowd serves other benches too")]

mod crowd;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crowd::rules::{PATTERNS, policies};
use crowd::{Crowd, NAMES};
use electrumx_warden::engine::{Engine, Protection};
use electrumx_warden::history::{Bounds, History, SubnetWidths};
use electrumx_warden::limits::{Clients, Limits, LimitsConfig};
use electrumx_warden::policy::{Mode, PolicySet};
use electrumx_warden::snapshot::{Sessions, Snapshot};
use electrumx_warden::watch;
use electrumx_warden::wire::{SessionsDecoder, SessionsSeed, tame};
use serde::de::DeserializeSeed;

const SESSIONS: [usize; 3] = [1_000, 10_000, 100_000];
const POLICIES: [usize; 3] = [1, 20, 100];
/// Enough for the longest window of the policies to be covered.
const WARM_UP: usize = 32;
/// More than this is not worth its wait: medians stand still by then.
const TIMED: [usize; 3] = [100, 40, 15];
/// What the largest cell is to take, in plain parses.
const RATIO_WANTED: f64 = 2.0;
/// More than this is no noise of a busy machine.
const RATIO_MAX: f64 = 2.5;

/// A row as one would write it who wants nothing but the values.
#[rustfmt::skip]
type PlainRow = (
    u64, String, String, String, String, f64, f64,
    u64, u64, u64, u64, u64, u64, u64, f64,
);

fn main() -> ExitCode {
    let mut cells = Vec::new();
    println!(
        "sessions policies | plain ms replayed ms | decode + history + evaluate = ours ms | ours / plain | \
         ns a session: decode history evaluate"
    );
    // `cargo bench --bench speed -- 1000` times one size alone.
    let wanted: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    for (&sessions, &timed) in SESSIONS.iter().zip(&TIMED) {
        if !wanted.is_empty() && !wanted.contains(&sessions) {
            continue;
        }
        for cell in measure(sessions, timed) {
            cell.print();
            cells.push(cell);
        }
    }
    summary(&cells)
}

/// Times of one poll, or their medians.
#[derive(Clone, Copy)]
struct Times {
    plain: Duration,
    /// Decoding as a replay does it, which has the reply before.
    replayed: Duration,
    decode: Duration,
    history: Duration,
    evaluate: Duration,
}

impl Times {
    fn ours(self) -> Duration {
        self.decode + self.history + self.evaluate
    }
}

struct Cell {
    sessions: usize,
    policies: usize,
    bytes: usize,
    times: Times,
    ratio: f64,
    matched: u64,
}

impl Cell {
    fn ns_a_session(&self) -> f64 {
        self.times.ours().as_nanos() as f64 / self.sessions as f64
    }

    fn print(&self) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ns = |time: Duration| time.as_nanos() as f64 / self.sessions as f64;
        let Times {
            plain,
            replayed,
            decode,
            history,
            evaluate,
        } = self.times;
        println!(
            "{:>8} {:>8} | {:>8.2} {:>11.2} | {:>6.2} + {:>7.2} + {:>8.2} = {:>7.2} | {:>12.2} | \
             {:>6.0} {:>8.0} {:>8.0}",
            self.sessions,
            self.policies,
            ms(plain),
            ms(replayed),
            ms(decode),
            ms(history),
            ms(evaluate),
            ms(self.times.ours()),
            self.ratio,
            ns(decode),
            ns(history),
            ns(evaluate),
        );
    }
}

/// Decoder and core, the core in its three parts: what `Warden` does in two.
struct Core {
    history: History,
    engine: Engine,
    limits: Limits,
}

impl Core {
    fn new(policies: PolicySet) -> Self {
        let engine = Engine::new(policies, Protection::default());
        let history = History::new(
            engine.plan().clone(),
            Bounds::default(),
            SubnetWidths::default(),
            watch::Settings::default(),
        );
        Self {
            history,
            engine,
            limits: Limits::new(LimitsConfig::default(), Mode::DryRun),
        }
    }

    /// A poll, from the bytes of its reply on.
    fn poll(&mut self, crowd: &Crowd, bytes: &mut [u8], snapshot: &mut Snapshot) -> Times {
        let start = Instant::now();
        tame(bytes);
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let seed = SessionsSeed(&mut snapshot.sessions);
        seed.deserialize(&mut json).unwrap();
        let decoded = Instant::now();
        crowd.date(snapshot);
        self.history.begin(snapshot);
        self.history.finish(snapshot);
        let remembered = Instant::now();
        let evaluation = self.engine.evaluate(&self.history, snapshot);
        let clients = Clients {
            crowd: self.history.crowd(),
            rank: &|session| self.history.rank(session, snapshot.at()),
        };
        let (set, at) = (self.engine.set(), snapshot.at());
        let rulings = self.limits.rule(evaluation.proposals, set, at, &clients);
        black_box(rulings);
        Times {
            plain: Duration::ZERO,
            replayed: Duration::ZERO,
            decode: decoded - start,
            history: remembered - decoded,
            evaluate: remembered.elapsed(),
        }
    }
}

fn plain(bytes: &[u8]) -> Duration {
    let start = Instant::now();
    let rows: Vec<PlainRow> = serde_json::from_slice(bytes).unwrap();
    let took = start.elapsed();
    black_box(rows);
    took
}

fn replayed(bytes: &[u8], decoder: &mut SessionsDecoder, sessions: &mut Sessions) -> Duration {
    let start = Instant::now();
    decoder.decode(bytes, sessions).unwrap();
    start.elapsed()
}

/// A row of the table: one size, every number of policies.
fn measure(sessions: usize, timed: usize) -> Vec<Cell> {
    let mut crowd = Crowd::new(sessions, 1);
    let mut cores = POLICIES.map(|count| Core::new(policies(count)));
    let mut snapshot = Snapshot::default();
    let mut bytes = Vec::new();
    let mut samples = POLICIES.map(|_| Vec::new());
    let mut decoders = POLICIES.map(|_| SessionsDecoder::default());
    for poll in 0..WARM_UP + timed {
        crowd.write_sessions(&mut bytes);
        let turns = cores.iter_mut().zip(&mut decoders).zip(&mut samples);
        for ((core, decoder), samples) in turns {
            let plain = plain(&bytes);
            let replayed = replayed(&bytes, decoder, &mut snapshot.sessions);
            let ours = core.poll(&crowd, &mut bytes, &mut snapshot);
            if poll >= WARM_UP {
                samples.push(Times {
                    plain,
                    replayed,
                    ..ours
                });
            }
        }
        crowd.advance();
    }
    let cells = POLICIES.iter().zip(&cores).zip(&samples);
    cells
        .map(|((&policies, core), samples)| Cell {
            sessions,
            policies,
            bytes: bytes.len(),
            times: medians(samples),
            ratio: median(samples, |t| t.ours().div_duration_f64(t.plain)),
            matched: core.engine.patterns_matched(),
        })
        .collect()
}

fn medians(times: &[Times]) -> Times {
    Times {
        plain: median(times, |t| t.plain),
        replayed: median(times, |t| t.replayed),
        decode: median(times, |t| t.decode),
        history: median(times, |t| t.history),
        evaluate: median(times, |t| t.evaluate),
    }
}

fn median<T: PartialOrd>(times: &[Times], of: impl Fn(&Times) -> T) -> T {
    let mut values: Vec<T> = times.iter().map(of).collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("times are comparable"));
    values.swap_remove(values.len() / 2)
}

fn summary(cells: &[Cell]) -> ExitCode {
    println!();
    let [.., largest] = cells else {
        return ExitCode::FAILURE;
    };
    for &policies in &POLICIES {
        let of = |sessions| {
            cells
                .iter()
                .find(|cell| (cell.sessions, cell.policies) == (sessions, policies))
                .map_or(f64::NAN, Cell::ns_a_session)
        };
        let growth = of(100_000) / of(10_000);
        if growth.is_finite() {
            println!(
                "{policies} policies: a session among 100,000 takes {growth:.2} times as long as one \
                 among 10,000"
            );
        }
    }
    println!(
        "{} bytes a session; {} patterns, {NAMES} client names: matched {} times in {} polls",
        largest.bytes / largest.sessions,
        PATTERNS.len(),
        largest.matched,
        WARM_UP + TIMED[2],
    );
    let (sessions, policies, ratio) = (largest.sessions, largest.policies, largest.ratio);
    println!(
        "{sessions} sessions, {policies} policies: {ratio:.2} plain parses; {RATIO_WANTED} are \
         wanted, more than {RATIO_MAX} is a failure"
    );
    if ratio > RATIO_MAX {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
