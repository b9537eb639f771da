use super::*;
use rusqlite::params;

#[test]
fn a_second_agent() {
    let home = Home::new();
    let mut first = home.open();
    let pid = std::process::id().to_string();
    insta::assert_snapshot!(
        home.text(Journal::open(&home.path())).replace(&pid, "PID"),
        @"the journal `DIR/journal.db` is in use by another agent (process PID): stop that one, or give this one a journal of its own"
    );
    let link = home.directory.path().join("link.db");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    assert!(matches!(
        Journal::open(&link),
        Err(JournalError::InUse { .. })
    ));
    first.intend(&[intent("a")], &[]).unwrap();
    drop(first);
    Journal::open(&link).unwrap();
}

#[test]
fn a_missing_directory() {
    let home = Home::new();
    let directory = home.directory.path().canonicalize().unwrap();
    let path = directory.join("nowhere/journal.db");
    insta::assert_snapshot!(home.text(Journal::open(&path)), @"the journal's directory `DIR/nowhere` does not exist: create it, or choose another path");
    insta::assert_snapshot!(
        home.text(Journal::open_read_only(&directory.join("journal.db"))),
        @"there is no journal at `DIR/journal.db`: check the path, or run the agent first"
    );
    assert_eq!(directory.read_dir().unwrap().count(), 0);
}

#[test]
fn a_directory() {
    let home = Home::new();
    insta::assert_snapshot!(home.text(Journal::open(home.directory.path())), @"`DIR` is not a regular file: choose another path for the journal");
}

/// Each ends in an error, and the file is as it was.
#[track_caller]
fn unchanged(home: &Home) -> String {
    let before = std::fs::read(home.path()).unwrap();
    let text = home.text(Journal::open(&home.path()));
    assert_eq!(home.text(Journal::open_read_only(&home.path())), text);
    assert_eq!(std::fs::read(home.path()).unwrap(), before);
    text
}

#[test]
fn what_is_not_sqlite() {
    let home = Home::new();
    std::fs::write(home.path(), "my only copy of a poem\n".repeat(100)).unwrap();
    insta::assert_snapshot!(unchanged(&home), @"`DIR/journal.db` is no journal, not even an SQLite file; it was left as it is: choose another path, or move it away");
    std::fs::write(home.path(), "short").unwrap();
    assert!(unchanged(&home).contains("not even an SQLite file"));
}

#[test]
fn the_database_of_another_program() {
    let home = Home::new();
    let other = Connection::open(home.path()).unwrap();
    other
        .execute_batch("CREATE TABLE decision (id INTEGER)")
        .unwrap();
    drop(other);
    insta::assert_snapshot!(unchanged(&home), @"`DIR/journal.db` is an SQLite database of another program; it was left as it is: choose another path, or move it away");
}

#[test]
fn a_newer_format() {
    let home = Home::new();
    let mut journal = home.open();
    journal.intend(&[intent("a")], &[]).unwrap();
    journal
        .connection
        .pragma_update(None, "user_version", 7)
        .unwrap();
    drop(journal);
    insta::assert_snapshot!(unchanged(&home), @"the journal `DIR/journal.db` has format 7, and this release knows formats up to 6; it was left as it is: run the release that wrote it, or move it away to start a new one");
}

#[test]
fn a_damaged_file() {
    let home = Home::new();
    let mut journal = home.open();
    let entries: Vec<Entry> = (0..200).map(|n| intent(&n.to_string())).collect();
    journal.intend(&entries, &[]).unwrap();
    drop(journal);
    let mut bytes = std::fs::read(home.path()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(home.path(), bytes).unwrap();
    let text = home.text(Journal::open(&home.path()));
    let end = text.find(" (").unwrap();
    assert_eq!(&text[..end], "the journal `DIR/journal.db` is damaged");
    assert!(text.contains("move it and its `-wal` file away"), "{text}");
}

#[test]
fn a_truncated_file() {
    let home = Home::new();
    let mut journal = home.open();
    let entries: Vec<Entry> = (0..200).map(|n| intent(&n.to_string())).collect();
    journal.intend(&entries, &[]).unwrap();
    drop(journal);
    let bytes = std::fs::read(home.path()).unwrap();
    std::fs::write(home.path(), &bytes[..bytes.len() - 5_000]).unwrap();
    assert!(matches!(
        Journal::open(&home.path()),
        Err(JournalError::Corrupt { .. })
    ));
}

#[test]
fn a_row_that_somebody_edited() {
    let home = Home::new();
    let mut journal = home.open();
    journal.intend(&[intent("a")], &[]).unwrap();
    journal
        .connection
        .execute("UPDATE decision SET mode = ?1", params!["eager"])
        .unwrap();
    insta::assert_snapshot!(home.text(journal.query(&Filter::default())), @"a row of the journal `DIR/journal.db` cannot be read (unknown variant `eager`, expected one of `off`, `dry-run`, `enforce`): undo the change that somebody made to it, or move the journal away to start a new one");
}

#[test]
fn a_file_that_went_away_while_in_use() {
    let home = Home::new();
    let mut journal = home.open();
    let aside = home.directory.path().join("aside.db");
    std::fs::rename(home.path(), &aside).unwrap();
    let error = journal.intend(&[intent("a")], &[]).unwrap_err();
    assert!(error.may_pass());
    insta::assert_snapshot!(home.text::<()>(Err(error)), @"the journal `DIR/journal.db` was moved or deleted while in use: put it back, or restart the agent");
    std::fs::rename(&aside, home.path()).unwrap();
    journal.probe().unwrap();
    journal.intend(&[intent("a")], &[]).unwrap();
}

#[test]
fn a_transaction_of_somebody_else_for_long() {
    let home = Home::new();
    let mut journal = home.open();
    journal.connection.busy_timeout(Duration::ZERO).unwrap();
    let mut other = Connection::open(home.path()).unwrap();
    let held = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let error = journal.intend(&[intent("a")], &[]).unwrap_err();
    assert!(error.may_pass());
    insta::assert_snapshot!(home.text::<()>(Err(error)), @"the journal `DIR/journal.db` is locked by another program: end that one's transaction");
    drop(held);
    journal.intend(&[intent("a")], &[]).unwrap();
}
