//! The journal of a replay: whole or not there, and never taken for an agent's.

use std::fs;

use super::*;

fn replayed() -> Replayed {
    Replayed {
        recordings: vec!["a.rec".to_owned(), "b.rec".to_owned()],
        policies: "mine".to_owned(),
        from: at(1_000),
        to: at(90_000),
        modes: vec![(at(1_000), Mode::DryRun), (at(50_000), Mode::Enforce)],
    }
}

fn names(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.directory.path()).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

fn details(home: &Home) -> Vec<String> {
    let filter = Filter {
        newest_first: false,
        limit: 10_000,
        ..Filter::default()
    };
    let rows = Journal::open_read_only(&home.path())
        .unwrap()
        .query(&filter);
    let detail = |row: Row| match row.outcome {
        Outcome::Executed { detail } => detail,
        other => panic!("{other:?}"),
    };
    rows.unwrap().into_iter().map(detail).collect()
}

fn hog() -> Decision {
    decision("hog", Target::Server, 2_000)
}

fn done(detail: &(impl ToString + ?Sized)) -> Outcome {
    let detail = detail.to_string();
    Outcome::Executed { detail }
}

#[test]
fn it_is_one_file_that_says_whose_it_is() {
    let home = Home::new();
    let mut journal = ReplayJournal::create(&home.path()).unwrap();
    assert!(!home.path().exists());
    for number in 1..=1_234 {
        journal.add(Entry::new(hog(), done(&number))).unwrap();
    }
    // One that is on the disk already, and one that is not.
    for id in [7, 1_230] {
        let amended = done(&format!("{id}; and then some"));
        journal.amend(DecisionId(id), amended).unwrap();
    }
    let rest = Cooldown {
        policy: "hog".into(),
        target: hog().target,
        until: at(99_000),
    };
    let state = [StateChange::Cooldown(rest.clone())];
    journal.keep(&replayed(), &state).unwrap();
    assert_eq!(names(&home), ["journal.db"]);
    let details = details(&home);
    assert_eq!(details.len(), 1_234);
    assert_eq!(details[6], "7; and then some");
    assert_eq!(details[1_229], "1230; and then some");
    assert_eq!(details[1_233], "1234");

    let reader = Journal::open_read_only(&home.path()).unwrap();
    assert_eq!(reader.replayed().unwrap(), Some(replayed()));
    assert_eq!(reader.load_state().unwrap().cooldowns, [rest]);
    let mode = |time| replayed().mode(at(time));
    assert_eq!(
        [mode(0), mode(49_999), mode(50_000)],
        [None, Some(Mode::DryRun), Some(Mode::Enforce)]
    );
}

#[test]
fn no_agent_takes_it_for_its_own() {
    let home = Home::new();
    let journal = ReplayJournal::create(&home.path()).unwrap();
    journal.keep(&replayed(), &[]).unwrap();
    let before = fs::read(home.path()).unwrap();
    let why = "the journal `DIR/journal.db` is of a replay, and not what an agent did: name another \
               one, or move this one away";
    assert_eq!(home.text(Journal::open(&home.path())), why);
    let reader = Journal::open_read_only(&home.path()).unwrap();
    assert_eq!(home.text(reader.of_agent()), why);
    assert_eq!(fs::read(home.path()).unwrap(), before);

    let own = Home::new();
    drop(own.open());
    let reader = Journal::open_read_only(&own.path()).unwrap();
    assert_eq!(reader.replayed().unwrap(), None);
    reader.of_agent().unwrap();
}

#[test]
fn without_an_end_nothing_is_left() {
    let home = Home::new();
    let mut journal = ReplayJournal::create(&home.path()).unwrap();
    for _ in 0..600 {
        journal.add(Entry::new(hog(), done("1"))).unwrap();
    }
    drop(journal);
    assert_eq!(names(&home), [""; 0]);
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    let journal = ReplayJournal::create(&home.path()).unwrap();
    // Somebody else was faster.
    fs::write(home.path(), "mine").unwrap();
    let exists = format!(
        "`{}` is there already and is not overwritten: give another path for the journal",
        home.path().display()
    );
    let refused = journal.keep(&replayed(), &[]).unwrap_err();
    assert_eq!(refused.to_string(), exists);
    let refused = ReplayJournal::create(&home.path()).unwrap_err();
    assert_eq!(refused.to_string(), exists);
    assert_eq!(names(&home), ["journal.db"]);
    assert_eq!(fs::read(home.path()).unwrap(), b"mine");
    let nowhere = home.directory.path().join("none/journal.db");
    let refused = ReplayJournal::create(&nowhere).unwrap_err();
    assert!(matches!(refused, JournalError::NoDirectory(_)), "{refused}");
}
