use super::*;

/// As a full disk, for this connection.
fn fill(journal: &Journal) {
    let pages: i64 = journal
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    limit(journal, pages);
}

fn limit(journal: &Journal, pages: i64) {
    journal
        .connection
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
}

#[test]
fn nothing_is_half_written_and_what_is_owed_follows() {
    let home = Home::new();
    let mut journal = home.open();
    let ids = journal.intend(&[intent("a"), intent("b")], &[]).unwrap();
    journal.probe().unwrap();
    fill(&journal);
    let many: Vec<Entry> = (0..1_000).map(|n| intent(&n.to_string())).collect();
    let limits = StateChange::Limits(json!("never"));
    let error = journal.intend(&many, &[limits]).unwrap_err();
    assert!(error.may_pass());
    insta::assert_snapshot!(home.text::<()>(Err(error)), @"no room left for the journal `DIR/journal.db`: free some space on its disk");
    assert_eq!(all(&journal).len(), 2);
    assert_eq!(journal.load_state().unwrap(), SavedState::default());

    let long = "x".repeat(100_000);
    let limits = |text: &str| [StateChange::Limits(json!(text))];
    let error = journal.finish_all(&[(ids[0], executed())], &limits(&long));
    assert!(error.unwrap_err().may_pass());
    assert!(journal.save(&limits(&long)).unwrap_err().may_pass());
    assert!(journal.probe().unwrap_err().may_pass());
    assert_eq!(all(&journal)[0].outcome, Outcome::Intended);
    assert_eq!(journal.owed.changes.len(), 1);

    limit(&journal, 1 << 30);
    journal.probe().unwrap();
    assert_eq!(all(&journal)[0].outcome, executed());
    assert_eq!(journal.load_state().unwrap().limits, json!(long));
    journal.finish(ids[1], executed()).unwrap();
    assert_eq!(all(&journal)[1].outcome, executed());
}
