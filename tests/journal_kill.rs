//! The journal across kill -9 at any moment: the test runs itself as a writer, and kills it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use electrumx_warden::decision::{Decision, Epoch, Outcome, Peer, SessionRef, Target};
use electrumx_warden::journal::{
    DecisionId, Entry, Filter, INTERRUPTED, Journal, LogStart, Retention, Row, StateChange,
};
use electrumx_warden::limits::Cooldown;
use electrumx_warden::policy::{Action, Mode};
use electrumx_warden::time::Timestamp;

/// Where the writer finds the journal; set for the writer alone.
const JOURNAL: &str = "JOURNAL_KILL_TEST_PATH";

/// Which round it is; makes the batches of all rounds distinct.
const ROUND: &str = "JOURNAL_KILL_TEST_ROUND";

const ROUNDS: u32 = 25;

/// Decisions in a batch; each comes with a cooldown and a log run.
const BATCH: usize = 7;

#[test]
fn a_kill_loses_nothing_and_repeats_nothing() {
    if let Some(path) = std::env::var_os(JOURNAL) {
        return write_until_killed(path.as_ref());
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal.db");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged = Acknowledged::default();
    let mut interrupted_ever = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut writer = Writer::start(&path, round);
        // Some die while they open the journal, most while they write.
        if round % 5 != 0 {
            writer.wait_for("open");
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..30_000)));
        acknowledged.read(writer.kill());

        let mut journal = Journal::open(&path).unwrap();
        for row in journal.take_interrupted() {
            assert!(interrupted_ever.insert(row.id), "{} told twice", row.id);
        }
        let rows = all(&journal);
        acknowledged.check(&rows, &interrupted_ever);
        check_batches(&journal, &rows);
        drop(journal);
        let verdict: String = rusqlite::Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(verdict, "ok");
    }
    println!(
        "{} intents and {} outcomes acknowledged, {} interrupted",
        acknowledged.intended.len(),
        acknowledged.finished.len(),
        interrupted_ever.len()
    );
    assert!(acknowledged.finished.len() > BATCH, "the writers did write");
}

/// What the writers said they had committed.
#[derive(Default)]
struct Acknowledged {
    intended: BTreeSet<i64>,
    finished: BTreeSet<i64>,
}

impl Acknowledged {
    fn read(&mut self, lines: Vec<String>) {
        for line in lines {
            if let Some(id) = line.strip_prefix("intended ") {
                assert!(self.intended.insert(id.parse().unwrap()), "{line} twice");
            } else if let Some(id) = line.strip_prefix("finished ") {
                assert!(self.finished.insert(id.parse().unwrap()), "{line} twice");
            }
        }
    }

    fn check(&self, rows: &[Row], interrupted: &BTreeSet<DecisionId>) {
        let by_id: BTreeMap<i64, &Row> = rows.iter().map(|row| (row.id.0, row)).collect();
        assert_eq!(by_id.len(), rows.len(), "an id is there twice");
        for id in &self.intended {
            let row = by_id.get(id).unwrap_or_else(|| panic!("{id} is lost"));
            assert_ne!(row.outcome, Outcome::Intended);
            let told = interrupted.contains(&row.id);
            assert_eq!(row.outcome == failed(), told, "{row:?}");
        }
        for id in &self.finished {
            assert_eq!(by_id[id].outcome, executed(), "{id}");
        }
    }
}

/// All of a batch is there or none of it, with its cooldowns and log runs.
fn check_batches(journal: &Journal, rows: &[Row]) {
    let state = journal.load_state().unwrap();
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    let mut targets = BTreeSet::new();
    for row in rows {
        *batches.entry(&row.decision.policy).or_default() += 1;
        let target = (row.decision.policy.clone(), row.decision.target.clone());
        assert!(targets.insert(target), "{row:?} is there twice");
    }
    assert!(batches.values().all(|&count| count == BATCH), "{batches:?}");
    let cooldowns: BTreeSet<_> = state
        .cooldowns
        .iter()
        .map(|cooldown| (cooldown.policy.clone(), cooldown.target.clone()))
        .collect();
    assert_eq!(cooldowns, targets);
    let runs: BTreeSet<DecisionId> = state.log_runs.iter().map(|run| run.decision).collect();
    let ids: BTreeSet<DecisionId> = rows.iter().map(|row| row.id).collect();
    assert_eq!(runs, ids);
    let batches = u64::try_from(batches.len()).unwrap();
    assert_eq!(state.limits.as_u64().unwrap_or(0), batches);
}

fn all(journal: &Journal) -> Vec<Row> {
    let filter = Filter {
        limit: u32::MAX,
        ..Filter::default()
    };
    journal.query(&filter).unwrap()
}

/// This very test, run again as [`write_until_killed`].
struct Writer {
    child: Child,
    output: BufReader<ChildStdout>,
    lines: Vec<String>,
}

impl Writer {
    fn start(path: &Path, round: u32) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_kill_loses_nothing_and_repeats_nothing",
                "--nocapture",
            ])
            .env(JOURNAL, path)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            lines: Vec::new(),
        }
    }

    fn wait_for(&mut self, awaited: &str) {
        let mut lines = self.output.by_ref().lines();
        let found = lines.any(|line| line.unwrap() == awaited);
        assert!(found, "the writer ended before it said `{awaited}`");
    }

    /// All that it said before it was killed.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.extend(self.output.lines().map(Result::unwrap));
        self.lines
    }
}

/// The program that is killed.
fn write_until_killed(path: &Path) {
    let round = std::env::var(ROUND).unwrap();
    let mut journal = Journal::open(path).unwrap();
    let mut say = std::io::stdout();
    writeln!(say, "\nopen").unwrap();
    let before = journal.load_state().unwrap().limits.as_u64().unwrap_or(0);
    // A kill ends it; without one, it ends at some time all the same.
    for batch in 1..2_000 {
        let entries: Vec<Entry> = (0..BATCH).map(|n| entry(&round, batch, n)).collect();
        let mut changes: Vec<StateChange> = entries.iter().map(cooldown).collect();
        changes.push(StateChange::Limits((before + batch).into()));
        let ids = journal.intend(&entries, &changes).unwrap();
        for id in &ids {
            writeln!(say, "intended {id}").unwrap();
        }
        let outcomes: Vec<_> = ids.iter().map(|id| (*id, executed())).collect();
        journal.finish_all(&outcomes, &[]).unwrap();
        for id in &ids {
            writeln!(say, "finished {id}").unwrap();
        }
        journal
            .maintain(Timestamp::from_millis(0), &Retention::default())
            .unwrap();
    }
}

fn entry(round: &str, batch: u64, n: usize) -> Entry {
    let session = SessionRef {
        id: batch * 100 + n as u64,
        peer: Peer(None),
        since: Timestamp::from_millis(round.parse().unwrap()),
    };
    let decision = Decision {
        at: Timestamp::from_millis(1),
        epoch: Epoch(1),
        policy: format!("{round}-{batch}").into(),
        mode: Mode::Enforce,
        action: Action::Log {
            duration: Duration::from_mins(1),
        },
        target: Target::Session(session),
        evidence: Vec::new(),
        held: Duration::ZERO,
        severity: 1.0,
        sessions: vec![session],
        spared: 0,
        choice: None,
        at_once: false,
        bans: Vec::new(),
        refused: Vec::new(),
        daemons: Vec::new(),
    };
    let until = Timestamp::from_millis(60_000);
    let mut entry = Entry::new(decision, Outcome::Intended);
    entry.logs.push(LogStart { session, until });
    entry
}

fn cooldown(entry: &Entry) -> StateChange {
    StateChange::Cooldown(Cooldown {
        policy: entry.decision.policy.clone(),
        target: entry.decision.target.clone(),
        until: Timestamp::from_millis(60_000),
    })
}

fn executed() -> Outcome {
    Outcome::Executed {
        detail: "done".to_owned(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        detail: INTERRUPTED.to_owned(),
    }
}
