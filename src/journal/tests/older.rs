//! Journals of earlier formats, as the releases of their time wrote them.

use super::*;
use crate::journal::schema::{APPLICATION_ID, V1};
use crate::policy::DaemonTarget;

/// Rows of format 1: the action and the outcome as they stand in the file.
const ROWS: [(&str, &str, &str, &str); 6] = [
    (
        "disconnect",
        r#"{"kind":"disconnect"}"#,
        "executed",
        r#"{"outcome":"executed","detail":"1 disconnected"}"#,
    ),
    (
        "daemon_url",
        r#"{"kind":"daemon_url","to":"default"}"#,
        "intended",
        r#"{"outcome":"intended"}"#,
    ),
    (
        "daemon_url",
        r#"{"kind":"daemon_url","to":{"env":"SPARE"}}"#,
        "failed",
        r#"{"outcome":"failed","detail":"refused"}"#,
    ),
    (
        "daemon_url",
        r#"{"kind":"daemon_url","to":{"file":"/etc/it's \"here\""}}"#,
        "dry-run",
        r#"{"outcome":"dry-run"}"#,
    ),
    (
        "log",
        r#"{"kind":"log","duration":{"secs":600,"nanos":0}}"#,
        "suppressed",
        r#"{"outcome":"suppressed","by":"policy-limit"}"#,
    ),
    (
        "alert",
        r#"{"kind":"alert"}"#,
        "suppressed",
        r#"{"outcome":"suppressed","by":"cooldown","until":7000}"#,
    ),
];

fn write_v1(home: &Home) {
    let connection = Connection::open(home.path()).unwrap();
    connection.execute_batch(V1).unwrap();
    let set = |name, value: i64| connection.pragma_update(None, name, value).unwrap();
    set("application_id", APPLICATION_ID);
    set("user_version", 1);
    for (action, action_json, outcome, outcome_json) in ROWS {
        connection
            .execute(
                r#"INSERT INTO decision (at_ms, epoch, policy, mode, action, action_json, target,
                target_json, evidence_json, evidence_left_out, held_ns, severity, sessions_json,
                sessions_left_out, spared, outcome, outcome_json) VALUES (5000, 1, 'p', 'enforce',
                ?1, ?2, 'server', '{"scope":"server"}', '[]', 0, 60000000000, 1.5, '[]', 0, 2, ?3, ?4)"#,
                [action, action_json, outcome, outcome_json],
            )
            .unwrap();
    }
    connection
        .execute_batch(
            r#"INSERT INTO cooldown VALUES ('p', '{"scope":"server"}', 9000);
            INSERT INTO limits VALUES (1, '{"ledger":{"actions":[["disconnect",{"tokens":3.0,"at":5000}]],
                "policies":[["p",{"tokens":1.0,"at":5000}]],
                "breaker":{"open_until":8000,"disconnected":[]}}}');"#,
        )
        .unwrap();
}

#[test]
fn what_the_first_format_holds_is_read_and_written_on() {
    let home = Home::new();
    write_v1(&home);
    assert!(matches!(
        Journal::open_read_only(&home.path()),
        Err(JournalError::Older { found: 1, .. })
    ));
    let mut journal = home.open();
    assert_eq!(journal.take_interrupted().len(), 1);
    let rows = all(&journal);
    let told: Vec<_> = rows.iter().map(|row| &row.decision.action).collect();
    let to = |name: &str| Action::DaemonUrl {
        to: DaemonTarget::List([Arc::from(name)].into()),
    };
    assert_eq!(
        told,
        [
            &Action::Disconnect,
            &Action::DaemonUrl {
                to: DaemonTarget::Default
            },
            &to("$SPARE"),
            &to("/etc/it's \"here\""),
            &Action::Log {
                duration: Duration::from_mins(10)
            },
            &Action::Alert,
        ]
    );
    for row in &rows {
        assert_eq!(row.decision.spared, 2);
        assert!(!row.decision.at_once && row.decision.daemons.is_empty());
    }
    let cooldown = Suppression::Cooldown { until: at(7_000) };
    assert_eq!(
        rows[4].outcome,
        Outcome::Suppressed(Suppression::PolicyLimit { until: at(5_000) })
    );
    assert_eq!(rows[5].outcome, Outcome::Suppressed(cooldown));
    let state = journal.load_state().unwrap();
    assert_eq!(state.cooldowns[0].until, at(9_000));
    let limits: crate::limits::SavedLimits = serde_json::from_value(state.limits).unwrap();
    assert_ne!(limits, crate::limits::SavedLimits::default());

    let mut new = decision("q", Target::Server, 6_000);
    new.at_once = true;
    new.daemons = vec!["10.0.0.2:8332".into()];
    journal
        .intend(&[Entry::new(new.clone(), Outcome::DryRun)], &[])
        .unwrap();
    drop(journal);
    let again = home.open();
    let rows = all(&again);
    assert_eq!((rows.len(), &rows[6].decision), (7, &new));
}
