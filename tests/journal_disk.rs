//! The journal on a disk that is really full, or really read-only: the tests run themselves in a
//! mount namespace with a small file system of its own. Where a machine cannot provide that, they
//! fail and say how to leave them out.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use electrumx_warden::decision::{Decision, Epoch, Evidence, Outcome, Seen, SessionRef, Target};
use electrumx_warden::journal::{Entry, Filter, Journal, JournalError, StateChange};
use electrumx_warden::policy::{Action, Mode};
use electrumx_warden::time::Timestamp;

#[path = "support/small_disk.rs"]
mod small_disk;

use small_disk::{fill, on_a_small_disk};

fn entry(n: u32) -> Entry {
    let decision = Decision {
        at: Timestamp::from_millis(1),
        epoch: Epoch(1),
        policy: format!("policy-{n}").into(),
        mode: Mode::Enforce,
        action: Action::Disconnect,
        target: Target::Server,
        evidence: vec![Evidence {
            field: "client".into(),
            test: "x".repeat(1_000).into(),
            seen: Seen::Flag(true),
            threshold: None,
            dimension: None,
        }],
        held: Duration::ZERO,
        severity: 1.0,
        sessions: Vec::<SessionRef>::new(),
        spared: 0,
        choice: None,
        at_once: false,
        bans: Vec::new(),
        refused: Vec::new(),
        daemons: Vec::new(),
    };
    Entry::new(decision, Outcome::Intended)
}

fn batch(batch: u32) -> Vec<Entry> {
    (0..20).map(|n| entry(batch * 100 + n)).collect()
}

fn executed() -> Outcome {
    Outcome::Executed {
        detail: "done".to_owned(),
    }
}

#[test]
fn a_full_disk_stops_intents_until_there_is_room() {
    on_a_small_disk(full);
}

fn full(disk: &Path) {
    let path = disk.join("journal.db");
    let ballast = disk.join("ballast");
    let mut journal = Journal::open(&path).unwrap();
    let ids = journal.intend(&batch(0), &[]).unwrap();
    fill(&ballast);

    let mut written = 1_u32;
    let error = loop {
        match journal.intend(&batch(written), &[StateChange::Limits(written.into())]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "the disk never was full");
    };
    assert!(matches!(error, JournalError::Full(_)), "{error:?}");
    assert!(error.may_pass());
    let last = written;
    for _ in 0..10 {
        let again = journal.intend(&batch(last), &[]).unwrap_err();
        assert!(matches!(again, JournalError::Full(_)), "{again:?}");
    }
    assert!(matches!(journal.probe(), Err(JournalError::Full(_))));
    // Whether this still fits or is owed: it must be there in the end.
    let outcomes: Vec<_> = ids.iter().map(|id| (*id, executed())).collect();
    let _ = journal.finish_all(&outcomes, &[]);
    // What was committed can be read on a full disk, beside the agent too.
    let every = Filter {
        limit: u32::MAX,
        newest_first: false,
        ..Filter::default()
    };
    let rows = written as usize * 20;
    assert_eq!(journal.query(&every).unwrap().len(), rows);
    let reader = Journal::open_read_only(&path).unwrap();
    assert_eq!(reader.query(&every).unwrap().len(), rows);

    std::fs::remove_file(&ballast).unwrap();
    journal.probe().unwrap();
    journal.intend(&batch(last), &[]).unwrap();
    drop(journal);
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.take_interrupted().len(), rows);
    let found = journal.query(&every).unwrap();
    assert_eq!(found.len(), rows + 20);
    assert!(found[..20].iter().all(|row| row.outcome == executed()));
    let limits = journal.load_state().unwrap().limits;
    assert_eq!(limits.as_u64().unwrap_or(0), u64::from(last) - 1);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named() {
    on_a_small_disk(full_from_the_start);
}

fn full_from_the_start(disk: &Path) {
    let path = disk.join("journal.db");
    fill(&disk.join("ballast"));
    let error = Journal::open(&path).unwrap_err();
    assert!(error.may_pass());
    assert_eq!(
        error.to_string(),
        format!(
            "no room left for the journal `{}`: free some space on its disk",
            path.display()
        )
    );
    std::fs::remove_file(disk.join("ballast")).unwrap();
    Journal::open(&path).unwrap();
}

#[test]
fn a_read_only_disk_is_refused_but_can_be_read() {
    on_a_small_disk(read_only);
}

fn read_only(disk: &Path) {
    let path = disk.join("journal.db");
    let mut journal = Journal::open(&path).unwrap();
    journal.intend(&batch(0), &[]).unwrap();
    drop(journal);
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk)
        .status();
    assert!(remount.unwrap().success());

    assert_eq!(
        Journal::open(&path).unwrap_err().to_string(),
        format!(
            "the journal `{}` cannot be opened (read-only file system): give this user access to \
             the file and its directory",
            path.display()
        )
    );
    let fresh = disk.join("fresh.db");
    assert!(matches!(
        Journal::open(&fresh),
        Err(JournalError::Denied { .. })
    ));
    let reader = Journal::open_read_only(&path).unwrap();
    assert_eq!(reader.query(&Filter::default()).unwrap().len(), 20);
}
