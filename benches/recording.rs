//! What a recording takes: space, the recorder's time, and the time to judge it again, beside a
//! Python that reads the same lines and counts the same bytes.
//!
//! `cargo bench --bench recording`; a number after `--` records so many polls in place of the usual.

#![expect(clippy::unwrap_used, reason = "a bench")]
#![expect(dead_code, reason = "the crowd serves other benches too")]

mod crowd;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crowd::rules::policies;
use crowd::{Crowd, INTERVAL};
use electrumx_warden::policy::Mode;
use electrumx_warden::pseudonym::Key;
use electrumx_warden::recording::{Item, Recorder, Recording, Start, Turn};
use electrumx_warden::replay::Replay;
use electrumx_warden::rpc::Tape;
use electrumx_warden::snapshot::Snapshot;
use electrumx_warden::time::Timestamp;

/// Sessions, and polls that are recorded of them: as many rows each.
const SIZES: [(usize, usize); 3] = [(1_000, 1_500), (10_000, 150), (100_000, 15)];
const POLICIES: usize = 20;

/// What is wanted of 1,000 sessions at 10 s.
const MIB_A_DAY_MAX: f64 = 200.0;
/// Of one processor, at 1,000 sessions.
const RECORDER_SHARE_MAX: f64 = 0.01;

const SECONDS_A_DAY: f64 = 86_400.0;

/// Reads the lines, and sums what every session was sent at every poll.
const PYTHON: &str = r#"
import json, sys
rows = total = 0
replies = []
for line in sys.stdin.buffer:
    if replies:
        method = replies.pop(0)
        if method == "sessions":
            for row in json.loads(line)["result"]:
                rows += 1
                total += row[13]
        elif method:
            json.loads(line)
    elif line.startswith(b'{"tick"'):
        replies = json.loads(line)["tick"].get("replies", [])
print(rows, total)
"#;

fn main() -> ExitCode {
    let polls: Option<usize> = std::env::args().find_map(|argument| argument.parse().ok());
    println!("{POLICIES} policies, a poll every {} s", INTERVAL.as_secs());
    let mut is_good = true;
    for (sessions, usual) in SIZES {
        let folder = tempfile::tempdir().unwrap();
        let recorded = record(folder.path(), sessions, polls.unwrap_or(usual));
        is_good &= recorded.tell();
        let judged = judge(folder.path());
        judged.tell();
        match python(folder.path()) {
            Some(python) => {
                assert_eq!((python.rows, python.sent), (judged.rows, judged.sent));
                let ratio = python.took.as_secs_f64() / judged.took.as_secs_f64();
                println!(
                    "  zstd -dc | python3: {:.2} s, {ratio:.1} times as long",
                    python.took.as_secs_f64()
                );
            }
            None => println!("  zstd -dc | python3: not there, not compared"),
        }
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Recorded {
    sessions: usize,
    polls: usize,
    bytes: u64,
    raw_bytes: u64,
    took: Duration,
    hiding: Duration,
}

impl Recorded {
    fn tell(&self) -> bool {
        let days = self.polls as f64 * INTERVAL.as_secs_f64() / SECONDS_A_DAY;
        let mib = self.bytes as f64 / days / f64::from(1 << 20);
        let a_poll = |took: Duration| took / u32::try_from(self.polls).unwrap();
        let share = a_poll(self.took).as_secs_f64() / INTERVAL.as_secs_f64();
        println!(
            "{} sessions, {} polls: {mib:.0} MiB a day, {:.1} times smaller than sent; the recorder takes \
             {:.2?} a poll, {:.3} % of a processor ({:.2?} with pseudonyms)",
            self.sessions,
            self.polls,
            self.raw_bytes as f64 / self.bytes as f64,
            a_poll(self.took),
            share * 100.0,
            a_poll(self.hiding),
        );
        self.sessions > 1_000 || mib < MIB_A_DAY_MAX && share < RECORDER_SHARE_MAX
    }
}

fn record(folder: &Path, sessions: usize, polls: usize) -> Recorded {
    let other = tempfile::tempdir().unwrap();
    let key = Key::generate().unwrap();
    let mut recorder = Recorder::create(&folder.join("raw")).unwrap();
    let mut hiding = Recorder::create(other.path()).unwrap().hiding(&key);
    let mut crowd = Crowd::new(sessions, 1);
    let (mut took, mut took_hiding, mut raw_bytes) = (Duration::ZERO, Duration::ZERO, 0);
    let (mut tape, mut line, mut result) = (Tape::default(), Vec::new(), Vec::new());
    let mut snapshot = Snapshot::default();
    for _ in 0..polls {
        tape.clear();
        for method in ["getinfo", "groups", "sessions"] {
            match method {
                "getinfo" => crowd.write_getinfo(&mut result),
                "groups" => crowd.write_groups(&mut result),
                _ => crowd.write_sessions(&mut result),
            }
            line.clear();
            line.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"result\":");
            line.extend_from_slice(&result);
            line.extend_from_slice(b",\"id\":7}");
            raw_bytes += line.len() as u64;
            tape.hear(method, &line);
        }
        crowd.date(&mut snapshot);
        took += write(&mut recorder, &snapshot, &tape);
        took_hiding += write(&mut hiding, &snapshot, &tape);
        crowd.advance();
    }
    recorder.finish().unwrap();
    let entries = std::fs::read_dir(folder.join("raw")).unwrap();
    Recorded {
        sessions,
        polls,
        bytes: entries
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum(),
        raw_bytes,
        took,
        hiding: took_hiding,
    }
}

fn write(recorder: &mut Recorder, snapshot: &Snapshot, tape: &Tape) -> Duration {
    let at = snapshot.at();
    let began = Instant::now();
    if recorder.is_between_segments(at) {
        let start = Start {
            server: "bench".to_owned(),
            interval: INTERVAL,
            ..Start::default()
        };
        recorder.begin(at, start).unwrap();
    }
    let turn = Turn {
        at,
        epoch: snapshot.epoch,
        mode: Mode::DryRun,
        polled: Ok(snapshot),
        rounds: &snapshot.rounds,
        visits: &snapshot.visits,
        inspected: &[],
        acts: &[],
        closed: &[],
        by_hand: &[],
        not_held_off: 0,
        settled: at,
    };
    recorder.record(&turn, Some(tape)).unwrap();
    began.elapsed()
}

#[derive(Default)]
struct Judged {
    rows: u64,
    sent: u64,
    decisions: usize,
    took: Duration,
    /// Of all threads.
    busy: Duration,
}

impl Judged {
    fn tell(&self) {
        let millions = |time: Duration| self.rows as f64 / time.as_secs_f64() / 1e6;
        println!(
            "  replay: {:.2} s for {} rows and {} decisions: {:.2} M rows/s, {:.2} M rows/s and core",
            self.took.as_secs_f64(),
            self.rows,
            self.decisions,
            millions(self.took),
            millions(self.busy),
        );
    }
}

fn judge(folder: &Path) -> Judged {
    let mut replay = Replay::new(policies(POLICIES), None);
    let mut judged = Judged::default();
    let (began, busy) = (Instant::now(), busy());
    let recording = Recording::open(&[folder.join("raw")]).unwrap();
    let needs_groups = replay.warden().needs_groups();
    let mut player = recording.with_groups(needs_groups).play();
    let mut last = Timestamp::default();
    while let Some(item) = player.next() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Notice(notice) => println!("{notice}"),
            Item::Tick(tick) => {
                let sessions = &tick.snapshot.sessions;
                judged.rows += sessions.len() as u64;
                judged.sent += sessions.sent_size.iter().sum::<u64>();
                judged.decisions += replay.turn(&tick).carried.len();
                last = last.max(tick.at);
                player.give_back(tick);
            }
        }
    }
    judged.took = began.elapsed();
    judged.busy = self::busy().saturating_sub(busy);
    judged
}

/// The processor time of this process so far, to a hundredth of a second.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

struct Python {
    rows: u64,
    sent: u64,
    took: Duration,
}

fn python(folder: &Path) -> Option<Python> {
    let began = Instant::now();
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("raw"))
        .ok()?
        .collect::<Result<_, _>>()
        .ok()?;
    paths.sort_by_key(std::fs::DirEntry::path);
    let mut zstd = Command::new("zstd")
        .arg("-dcq")
        .args(paths.iter().map(std::fs::DirEntry::path))
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(zstd.stdout.take()?)
        .output()
        .ok()?;
    zstd.wait().ok()?;
    let text = String::from_utf8(python.stdout).ok()?;
    let mut numbers = text
        .split_ascii_whitespace()
        .filter_map(|number| number.parse().ok());
    Some(Python {
        rows: numbers.next()?,
        sent: numbers.next()?,
        took: began.elapsed(),
    })
}
