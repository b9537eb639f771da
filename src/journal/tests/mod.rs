mod clients;
mod full;
mod older;
mod penalties;
mod refused;
mod replay;
mod round_trip;
mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::decision::{Epoch, Evidence, Peer, Seen, Suppression, Target};
use crate::field::Dimension;
use crate::limits::Cooldown;
use crate::penalty::SavedPenalties;
use crate::policy::{Action, ActionKind, Mode};
use crate::relief::{Load, Relief, Traffic};

struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }

    /// The error's text with the directory as `DIR`.
    fn text<T>(&self, result: Result<T, JournalError>) -> String {
        let error = result.err().expect("an error");
        let directory = self.directory.path().canonicalize().unwrap();
        error
            .to_string()
            .replace(directory.to_str().unwrap(), "DIR")
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn session(id: u64) -> SessionRef {
    SessionRef {
        id,
        peer: Peer(Some("203.0.113.7:4711".parse().unwrap())),
        since: at(1_000),
    }
}

fn decision(policy: &str, target: Target, millis: i64) -> Decision {
    Decision {
        at: at(millis),
        epoch: Epoch(1),
        policy: policy.into(),
        mode: Mode::Enforce,
        action: Action::Disconnect,
        target,
        evidence: vec![Evidence {
            field: "sent_rate".into(),
            test: "> 1 MiB/s".into(),
            seen: Seen::Number(2_000_000.5),
            threshold: Some(1_048_576.0),
            dimension: Some(Dimension::ByteRate),
        }],
        held: Duration::from_mins(1),
        severity: 1.907_349,
        sessions: vec![session(1), session(2)],
        spared: 0,
        choice: None,
        at_once: false,
        bans: Vec::new(),
        refused: Vec::new(),
        daemons: Vec::new(),
    }
}

fn client(name: &str) -> Target {
    Target::Client(name.into())
}

fn intent(name: &str) -> Entry {
    Entry::new(decision("p", client(name), 5_000), Outcome::Intended)
}

fn executed() -> Outcome {
    Outcome::Executed {
        detail: "disconnected 1".to_owned(),
    }
}

fn all(journal: &Journal) -> Vec<Row> {
    let filter = Filter {
        newest_first: false,
        limit: u32::MAX,
        ..Filter::default()
    };
    journal.query(&filter).unwrap()
}

#[test]
fn what_is_intended_and_finished_is_there_after_a_restart() {
    let home = Home::new();
    let mut journal = home.open();
    let ids = journal
        .intend(
            &[
                intent("a"),
                Entry::new(decision("q", client("b"), 5_000), Outcome::DryRun),
            ],
            &[],
        )
        .unwrap();
    journal.finish(ids[0], executed()).unwrap();
    drop(journal);

    let mut journal = home.open();
    assert_eq!(journal.take_interrupted(), []);
    let rows = all(&journal);
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    assert_eq!(rows[0].decision, decision("p", client("a"), 5_000));
    assert_eq!(rows[0].outcome, executed());
    assert_eq!(rows[1].outcome, Outcome::DryRun);
}

#[test]
fn an_intent_without_an_outcome_is_told_once_and_stays_failed() {
    let home = Home::new();
    let mut journal = home.open();
    let ids = journal.intend(&[intent("a"), intent("b")], &[]).unwrap();
    journal.finish(ids[0], executed()).unwrap();
    drop(journal);

    let mut journal = home.open();
    let failed = Outcome::Failed {
        detail: "the agent stopped before it learned the outcome".to_owned(),
    };
    let interrupted = journal.take_interrupted();
    assert_eq!(interrupted.len(), 1);
    assert_eq!(interrupted[0].id, ids[1]);
    assert_eq!(interrupted[0].outcome, failed);
    assert_eq!(journal.take_interrupted(), []);
    assert_eq!(all(&journal)[1].outcome, failed);
    drop(journal);

    assert_eq!(home.open().take_interrupted(), []);
}

#[test]
fn an_outcome_is_given_once_and_only_to_an_intent() {
    let home = Home::new();
    let mut journal = home.open();
    let done = Entry::new(decision("p", client("b"), 5_000), Outcome::DryRun);
    let ids = journal.intend(&[intent("a"), done], &[]).unwrap();
    journal.finish(ids[0], executed()).unwrap();
    assert_eq!(
        journal
            .finish(ids[0], Outcome::DryRun)
            .unwrap_err()
            .to_string(),
        "decision 1 is not waiting for an outcome"
    );
    assert!(matches!(
        journal.finish_all(&[(ids[1], executed())], &[StateChange::Limits(json!(1))]),
        Err(JournalError::NotIntended(DecisionId(2)))
    ));
    assert_eq!(journal.load_state().unwrap(), SavedState::default());
    assert_eq!(all(&journal)[0].outcome, executed());
}

#[test]
fn the_state_survives_and_only_changes_are_written() {
    let home = Home::new();
    let mut journal = home.open();
    let cooldown = |name: &str, until| Cooldown {
        policy: "p".into(),
        target: client(name),
        until: at(until),
    };
    let mut log = intent("a");
    log.logs = [1, 2, u64::MAX]
        .map(|id| LogStart {
            session: session(id),
            until: at(60_000),
        })
        .to_vec();
    let ids = journal
        .intend(
            &[log],
            &[
                StateChange::Cooldown(cooldown("a", 10_000)),
                StateChange::Cooldown(cooldown("b\0%", 20_000)),
                StateChange::Limits(json!({ "breaker": null })),
            ],
        )
        .unwrap();
    journal
        .finish_all(
            &[(ids[0], executed())],
            &[
                StateChange::Cooldown(cooldown("a", 30_000)),
                StateChange::LogStage {
                    session: session(1),
                    stage: LogStage::On,
                },
                StateChange::LogUntil {
                    session: session(1),
                    until: at(90_000),
                },
                StateChange::LogStage {
                    session: session(2),
                    stage: LogStage::Ending,
                },
                StateChange::LogEnded(session(u64::MAX)),
                // Not ours, as its start differs.
                StateChange::LogEnded(SessionRef {
                    since: at(1_001),
                    ..session(1)
                }),
                StateChange::Limits(json!({ "breaker": 7 })),
                StateChange::Ongoing(json!([8])),
            ],
        )
        .unwrap();
    drop(journal);

    let run = |id, until, stage| LogRun {
        session: session(id),
        until: at(until),
        length: at(until).since(at(5_000)),
        policy: "p".into(),
        decision: ids[0],
        stage,
    };
    let saved = SavedState {
        cooldowns: vec![cooldown("a", 30_000), cooldown("b\0%", 20_000)],
        log_runs: vec![
            run(1, 90_000, LogStage::On),
            run(2, 60_000, LogStage::Ending),
        ],
        limits: json!({ "breaker": 7 }),
        ongoing: json!([8]),
        penalties: SavedPenalties::default(),
    };
    assert_eq!(home.open().load_state().unwrap(), saved);
    let reader = Journal::open_read_only(&home.path()).unwrap();
    assert_eq!(reader.load_state().unwrap(), saved);
}

#[test]
fn a_reader_sees_what_is_committed_while_the_agent_writes() {
    let home = Home::new();
    let mut journal = home.open();
    let reader = Journal::open_read_only(&home.path()).unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap(), []);
    journal.intend(&[intent("a")], &[]).unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap().len(), 1);
    let transaction = journal.connection.transaction().unwrap();
    apply_all(&transaction, &[StateChange::Limits(json!(1))]).unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap().len(), 1);
}

#[test]
fn filters_find_what_they_say_and_nothing_else() {
    let home = Home::new();
    let mut journal = home.open();
    let hostile = "x' OR 1=1; DROP TABLE decision; --";
    let mut alert = decision("%", client("100%_Sure\0Tail"), 3_000);
    alert.action = Action::Alert;
    journal
        .intend(
            &[
                Entry::new(decision("one", client(hostile), 1_000), Outcome::DryRun),
                Entry::new(decision("two", client("Electrum"), 2_000), Outcome::DryRun),
                Entry::new(alert, executed()),
                Entry::new(
                    decision("one", Target::Subnet("10.0.0.0/24".parse().unwrap()), 4_000),
                    Outcome::Suppressed(Suppression::PolicyLimit { until: at(9_000) }),
                ),
            ],
            &[],
        )
        .unwrap();
    let found = |filter: Filter| -> Vec<i64> {
        let rows = journal.query(&filter).unwrap();
        rows.iter().map(|row| row.id.0).collect()
    };
    let any = Filter::default;
    let target = |text: &str| {
        found(Filter {
            target_contains: Some(text.to_owned()),
            ..any()
        })
    };
    let policy = |name: &str| {
        found(Filter {
            policy: Some(name.to_owned()),
            ..any()
        })
    };
    assert_eq!(found(any()), [4, 3, 2, 1]);
    assert_eq!(policy("one"), [4, 1]);
    assert_eq!(policy("%"), [3]);
    assert_eq!(policy("one' OR '1'='1"), [0; 0]);
    assert_eq!(target(hostile), [1]);
    assert_eq!(target("%"), [3]);
    assert_eq!(target("_"), [3]);
    assert_eq!(target("\0tail"), [3]);
    assert_eq!(target("ELECTRUM"), [2]);
    assert_eq!(target("10.0.0.0/24"), [4]);
    assert_eq!(
        found(Filter {
            since: Some(at(2_000)),
            until: Some(at(4_000)),
            newest_first: false,
            ..any()
        }),
        [2, 3]
    );
    assert_eq!(
        found(Filter {
            outcomes: Outcomes::Of(OutcomeKind::Suppressed),
            ..any()
        }),
        [4]
    );
    assert_eq!(
        found(Filter {
            action: Some(ActionKind::Alert),
            ..any()
        }),
        [3]
    );
    let page = |beyond, newest_first| {
        found(Filter {
            beyond,
            newest_first,
            limit: 2,
            ..any()
        })
    };
    assert_eq!(page(None, true), [4, 3]);
    assert_eq!(page(Some(DecisionId(3)), true), [2, 1]);
    assert_eq!(page(Some(DecisionId(3)), false), [4]);
}

#[test]
fn hostile_lengths_are_cut_with_a_mark() {
    let home = Home::new();
    let mut journal = home.open();
    let long = "€".repeat(1 << 20);
    let mut long_one = decision("p", client(&long), 0);
    long_one.evidence[0].seen = Seen::Text(long.as_str().into());
    long_one.evidence = vec![long_one.evidence[0].clone(); 100];
    long_one.sessions = vec![session(1); 100_000];
    let outcome = Outcome::Failed {
        detail: long.clone(),
    };
    let cooldown = Cooldown {
        policy: "p".into(),
        target: client(&long),
        until: at(1),
    };
    journal
        .intend(
            &[Entry::new(long_one, outcome)],
            &[StateChange::Cooldown(cooldown)],
        )
        .unwrap();
    let row = all(&journal).remove(0);
    let name: Arc<str> = format!("{}…", "€".repeat(255)).into();
    assert_eq!(row.decision.target, Target::Client(name.clone()));
    assert_eq!(row.decision.evidence.len(), EVIDENCE_MAX);
    assert_eq!(row.decision.evidence[0].seen, Seen::Text(name.clone()));
    assert_eq!(row.evidence_left_out, 36);
    assert_eq!(row.decision.sessions.len(), SESSIONS_MAX);
    assert_eq!(row.sessions_left_out, 99_000);
    assert_eq!(
        row.outcome,
        Outcome::Failed {
            detail: format!("{}…", "€".repeat(1_023))
        }
    );
    let state = journal.load_state().unwrap();
    assert_eq!(state.cooldowns[0].target, Target::Client(name));
}

#[test]
fn events_are_kept_up_to_a_bound() {
    let home = Home::new();
    let mut journal = home.open();
    let moved = |n: i64| Event::DaemonMoved {
        from: format!("10.0.0.{n}:8332"),
        to: "x".repeat(1_000),
    };
    for n in 1..=EVENTS_MAX + 5 {
        journal.note(at(n), &moved(n)).unwrap();
    }
    let reader = Journal::open_read_only(&home.path()).unwrap();
    let found = |filter: EventFilter| reader.events(&filter).unwrap();
    let newest = found(EventFilter {
        limit: u32::MAX,
        ..EventFilter::default()
    });
    let ids: Vec<i64> = newest.iter().map(|row| row.id).collect();
    assert_eq!(ids, (6..=EVENTS_MAX + 5).rev().collect::<Vec<_>>());
    let Event::DaemonMoved { from, to } = &newest[0].event else {
        panic!("another event");
    };
    assert_eq!(*from, format!("10.0.0.{}:8332", EVENTS_MAX + 5));
    assert_eq!(to.chars().count(), NAME_CHARS_MAX);
    let of_some = found(EventFilter {
        since: Some(at(100)),
        until: Some(at(200)),
        beyond: Some(150),
        newest_first: false,
        limit: 2,
    });
    assert_eq!(
        of_some.iter().map(|row| row.id).collect::<Vec<_>>(),
        [151, 152]
    );
}

#[test]
fn whether_an_act_helped_is_kept_with_it() {
    let home = Home::new();
    let mut journal = home.open();
    let load = |sessions: u64, rate: f64, felt_ms: Option<u64>| Load {
        target: Some(Traffic {
            sessions,
            bytes_per_s: Some(rate),
        }),
        clients: Traffic {
            sessions: sessions + 5,
            bytes_per_s: None,
        },
        pending_requests: 7,
        felt_latency: felt_ms.map(Duration::from_millis),
    };
    let ids = journal.intend(&[intent("a"), intent("b")], &[]).unwrap();
    let mut relief = Relief {
        before: load(3, 0.1 + 0.2, Some(900)),
        soon: Some(load(0, 0.0, None)),
        later: None,
    };
    journal
        .save(&[StateChange::Relief(ids[0], relief)])
        .unwrap();
    relief.later = Some(load(1, 5e9, Some(20)));
    journal
        .save(&[StateChange::Relief(ids[0], relief)])
        .unwrap();
    // A row that is gone is no matter.
    journal
        .save(&[StateChange::Relief(DecisionId(99), relief)])
        .unwrap();
    drop(journal);
    let reliefs: Vec<_> = all(&home.open()).iter().map(|row| row.relief).collect();
    assert_eq!(reliefs, [Some(relief), None]);
}
