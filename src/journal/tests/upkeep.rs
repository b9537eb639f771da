use super::*;
use crate::limits::Cooldown;

const DAY: Duration = Duration::from_hours(24);

fn rows(journal: &Journal) -> usize {
    all(journal).len()
}

fn until_done(journal: &mut Journal, now: Timestamp, retention: &Retention) -> usize {
    (1..1_000)
        .find(|_| !journal.maintain(now, retention).unwrap().more)
        .expect("an end")
}

fn past(millis: i64, count: usize, outcome: &Outcome) -> Vec<Entry> {
    let entry = Entry::new(decision("p", client("a"), millis), outcome.clone());
    vec![entry; count]
}

#[test]
fn prunes_by_age_but_never_what_awaits_its_outcome() {
    let home = Home::new();
    let mut journal = home.open();
    journal.intend(&past(0, 10, &Outcome::DryRun), &[]).unwrap();
    journal
        .intend(&past(0, 1, &Outcome::Intended), &[])
        .unwrap();
    journal.intend(&past(5_000, 3, &executed()), &[]).unwrap();
    let retention = Retention {
        age_max: DAY,
        ..Retention::default()
    };
    let at_age = |millis| at(millis) + DAY;
    assert_eq!(journal.maintain(at_age(0), &retention).unwrap().pruned, 0);
    assert_eq!(
        journal.maintain(at_age(1), &retention).unwrap(),
        Upkeep {
            pruned: 1,
            more: false
        }
    );
    assert_eq!(rows(&journal), 13);
    let ids = journal.intend(&[intent("new")], &[]).unwrap();
    assert_eq!(ids, [DecisionId(15)]);
}

/// As when a clock is years ahead.
#[test]
fn one_decision_in_a_hundred_goes_for_its_age_in_an_hour() {
    let home = Home::new();
    let mut journal = home.open();
    journal.intend(&past(0, 500, &executed()), &[]).unwrap();
    let mut pruned = |minutes: u64| {
        let now = at(0) + DAY * 400 + Duration::from_secs(minutes * 60);
        journal.maintain(now, &Retention::default()).unwrap().pruned
    };
    assert_eq!([0, 1, 59].map(&mut pruned), [5, 0, 0]);
    assert_eq!([60, 61, 119].map(&mut pruned), [4, 0, 0]);
    assert_eq!(rows(&journal), 491);
}

#[test]
fn prunes_by_size_oldest_first_and_shrinks_the_file() {
    let home = Home::new();
    let mut journal = home.open();
    for millis in 0..20 {
        journal
            .intend(&past(millis, 500, &Outcome::DryRun), &[])
            .unwrap();
    }
    let retention = Retention {
        size_max_bytes: 1 << 20,
        ..Retention::default()
    };
    let first = journal.maintain(at(0), &retention).unwrap();
    assert!(first.pruned > 5_000, "{first:?}");
    for millis in 0..20 {
        journal
            .intend(&past(millis, 500, &Outcome::DryRun), &[])
            .unwrap();
        journal.maintain(at(0), &retention).unwrap();
    }
    let rounds = until_done(&mut journal, at(0), &retention);
    assert!(rounds < 20, "{rounds}");
    let kept = all(&journal);
    assert!((1_000..3_000).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().id, DecisionId(20_000));
    drop(journal);
    let bytes = home.path().metadata().unwrap().len();
    assert!(bytes <= retention.size_max_bytes, "{bytes}");
}

/// 12,000 disconnects a minute fill any journal within an hour.
#[test]
fn a_flood_of_disconnects_does_not_wash_out_what_was_before() {
    const HOUR_MS: i64 = 3_600_000;
    let home = Home::new();
    let mut journal = home.open();
    // Four days with a row an hour, and a minute in which something was done about the daemons.
    for hour in 0..96 {
        journal
            .intend(&past(hour * HOUR_MS, 1, &executed()), &[])
            .unwrap();
    }
    let flood_ms = 96 * HOUR_MS;
    let mut alert = past(flood_ms, 5, &executed());
    for entry in &mut alert {
        entry.decision.action = Action::Alert;
    }
    journal.intend(&alert, &[]).unwrap();
    let retention = Retention {
        size_max_bytes: 2 << 20,
        ..Retention::default()
    };
    for poll in 0..200 {
        let millis = flood_ms + poll * 1_000;
        journal
            .intend(&past(millis, 200, &executed()), &[])
            .unwrap();
        journal.maintain(at(millis), &retention).unwrap();
    }
    until_done(&mut journal, at(flood_ms), &retention);
    let kept = all(&journal);
    assert!((2_000..5_000).contains(&kept.len()), "{}", kept.len());
    let before = kept.iter().filter(|row| row.decision.at < at(flood_ms));
    assert_eq!(before.count(), 96);
    let alerts = kept
        .iter()
        .filter(|row| row.decision.action == Action::Alert);
    assert_eq!(alerts.count(), 5);
    assert_eq!(kept.last().unwrap().id, DecisionId(96 + 5 + 40_000));
}

/// A flood a day ago gives way to what goes on now.
#[test]
fn of_two_crowded_hours_the_older_goes_first() {
    let home = Home::new();
    let mut journal = home.open();
    let hours = [0, 24].map(|hour| hour * 3_600_000);
    for millis in hours {
        journal
            .intend(&past(millis, 2_000, &executed()), &[])
            .unwrap();
    }
    let retention = Retention {
        size_max_bytes: 1 << 20,
        ..Retention::default()
    };
    until_done(&mut journal, at(hours[1]), &retention);
    let kept = all(&journal);
    let left = |hour: usize| {
        let is_then = |row: &&Row| row.decision.at == at(hours[hour]);
        kept.iter().filter(is_then).count()
    };
    assert!(left(0) < 2_000, "something went: {}", left(0));
    assert_eq!(left(1), 2_000);
}

#[test]
fn cooldowns_go_when_they_have_run_out() {
    let home = Home::new();
    let mut journal = home.open();
    let cooldown = |until| {
        StateChange::Cooldown(Cooldown {
            policy: format!("p{until}").into(),
            target: Target::Server,
            until: at(until),
        })
    };
    journal.save(&[cooldown(1_000), cooldown(1_001)]).unwrap();
    journal.maintain(at(1_000), &Retention::default()).unwrap();
    let cooldowns = journal.load_state().unwrap().cooldowns;
    assert_eq!(cooldowns.len(), 1);
    assert_eq!(cooldowns[0].until, at(1_001));
}

#[test]
fn the_log_stays_small_beside_a_reader() {
    let home = Home::new();
    let mut journal = home.open();
    let reader = Journal::open_read_only(&home.path()).unwrap();
    for _ in 0..40 {
        journal
            .intend(&past(0, 500, &Outcome::DryRun), &[])
            .unwrap();
        reader.query(&Filter::default()).unwrap();
        journal.maintain(at(0), &Retention::default()).unwrap();
    }
    let wal = home.directory.path().join("journal.db-wal");
    let bytes = wal.metadata().unwrap().len();
    assert!(bytes < 8 << 20, "{bytes}");
    drop(reader);
    drop(journal);
    assert_eq!(wal.metadata().unwrap().len(), 0);
}
