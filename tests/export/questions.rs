use std::collections::BTreeSet;

use electrumx_warden::policy::shipped;
use electrumx_warden::recording::Recording;
use electrumx_warden::replay::Replay;
use serde_json::{Value, json};

use crate::duckdb::{ask, questions};
use crate::figures::answer;
use crate::heard::{export, polls};
use crate::recorded::{HOSTILE, SERVERS, recordings};
use crate::support::skipped;

fn exported() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::open(&recordings()).unwrap();
    let replay = Replay::new(shipped().set.unwrap(), None);
    export(recording, Some(replay), folder.path());
    folder
}

/// Equal, but for the last digits of fractions, and any of several where the figures allow several.
fn agrees(told: &Value, figure: &Value) -> bool {
    match (told, figure) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * b.abs().max(1.0)
        }
        (Value::Object(a), Value::Object(b)) => {
            a.keys().collect::<BTreeSet<_>>() == b.keys().collect()
                && a.iter().all(|(key, value)| agrees(value, &b[key]))
        }
        (told, Value::Array(any)) => any.contains(told),
        (told, figure) => told == figure,
    }
}

#[test]
fn every_question_of_the_document_has_the_right_answer() {
    if skipped() {
        return;
    }
    let questions = questions();
    assert!(questions.len() >= 12, "{}", questions.len());
    let sql: Vec<&str> = questions.iter().map(|(_, sql)| *sql).collect();
    let folder = exported();
    let polls = polls();
    for ((title, _), told) in questions.iter().zip(ask(folder.path(), &sql)) {
        let figures = answer(title, &polls);
        assert!(!figures.is_empty(), "{title}: the recordings are too dull");
        assert_eq!(
            told.len(),
            figures.len(),
            "{title}\n{told:#?}\n{figures:#?}"
        );
        for (told, figure) in told.iter().zip(&figures) {
            assert!(agrees(told, figure), "{title}\n{told:#}\n{figure:#}");
        }
    }
}

#[test]
fn bans_are_exported_with_their_decisions() {
    if skipped() {
        return;
    }
    let folder = exported();
    let asked =
        "SELECT sum(json_array_length(bans)) AS bans, sum(json_array_length(refused)) AS refused
                 FROM decisions";
    let polls = polls();
    let decisions = || polls.iter().flat_map(|poll| &poll.decisions);
    let bans: usize = decisions().map(|it| it.decision.bans.len()).sum();
    let refused: usize = decisions().map(|it| it.decision.refused.len()).sum();
    assert!(bans > 10, "{bans}");
    assert_eq!(
        ask(folder.path(), &[asked])[0],
        [json!({"bans": bans, "refused": refused})]
    );
}

#[test]
fn nothing_is_lost() {
    if skipped() {
        return;
    }
    let folder = exported();
    let answers = ask(
        folder.path(),
        &[
            "SELECT (SELECT count(*) FROM sessions) AS sessions, (SELECT count(*) FROM polls) AS polls,
                    (SELECT count(*) FROM groups) AS groups, (SELECT count(*) FROM acts) AS acts,
                    (SELECT count(*) FROM inspections) AS inspections,
                    (SELECT count(*) FROM decisions) AS decisions,
                    (SELECT count(*) FROM daemons) AS daemons,
                    (SELECT sum(acts) FROM polls) AS acts_told,
                    (SELECT sum(decisions) FROM polls) AS decisions_told",
            "SELECT DISTINCT server FROM polls ORDER BY server",
            "SELECT server, day, count(*) AS polls FROM polls GROUP BY server, day ORDER BY server, day",
            "SELECT count(*) AS polls FROM polls
             WHERE (failure IS NULL) <> (version IS NOT NULL AND sessions IS NOT NULL)",
            "SELECT DISTINCT client FROM sessions WHERE ip = '198.51.100.7'",
            "SELECT count(*) AS sessions FROM sessions
             WHERE (server = 'fra-1') <> (cost IS NOT NULL AND extra_cost IS NOT NULL)",
            "SELECT server, sum(CAST(cost AS DOUBLE)) AS cost, sum(age_ms) AS age_ms, sum(recv_size) AS received,
                    sum(subs) AS subs, count(ip) AS ips, count(protocol) AS protocols
             FROM sessions GROUP BY server ORDER BY server",
            "SELECT id, errors, requests, methods FROM inspections ORDER BY polled_at, id LIMIT 1",
            "SELECT outcome, count(*) AS acts FROM acts GROUP BY outcome ORDER BY outcome",
        ],
    );
    let polls = polls();
    let sum =
        |figure: &dyn Fn(&crate::heard::Poll) -> usize| polls.iter().map(figure).sum::<usize>();
    let acts = sum(&|it| it.acts.len());
    let decisions = sum(&|it| it.decisions.len());
    assert_eq!(
        answers[0],
        [
            json!({"sessions": sum(&|it| it.rows.len()), "polls": polls.len(),
                "groups": sum(&|it| it.groups), "acts": acts,
                "inspections": sum(&|it| it.inspections.len()), "decisions": decisions,
                "daemons": 2 * sum(&|it| it.rounds.len()),
                "acts_told": acts, "decisions_told": decisions})
        ]
    );
    assert!(acts > 50 && decisions > 50, "{acts} {decisions}");
    let servers = SERVERS.map(|server| json!({"server": server}));
    assert_eq!(answers[1], servers);
    // Midnight falls between the polls: 61 of the ten minutes and 5 more before it.
    let days = |server: &str| {
        [("2026-07-01", 65), ("2026-07-02", 45)]
            .map(|(day, polls)| json!({"server": server, "day": day, "polls": polls}))
    };
    assert_eq!(answers[2], SERVERS.map(days).concat());
    assert_eq!(answers[3], [json!({"polls": 0})]);
    assert_eq!(answers[4], [json!({"client": HOSTILE})]);
    assert_eq!(answers[5], [json!({"sessions": 0})]);
    for (server, told) in SERVERS.into_iter().zip(&answers[6]) {
        let rows = || {
            let polls = polls.iter().filter(|poll| poll.server == server);
            polls.flat_map(|poll| &poll.rows)
        };
        let cost: f64 = rows().map(|row| row.cost).sum();
        let told_cost = told["cost"].as_f64().unwrap_or(0.0);
        assert!(
            (told_cost - cost).abs() < 0.001 * rows().count() as f64,
            "{told} {cost}"
        );
        let count = |is: &dyn Fn(&crate::heard::Row) -> bool| rows().filter(|row| is(row)).count();
        assert_eq!(told["age_ms"], rows().map(|row| row.age_ms).sum::<i64>());
        assert_eq!(
            told["received"],
            rows().map(|row| row.received).sum::<u64>()
        );
        assert_eq!(told["subs"], rows().map(|row| row.subs).sum::<u64>());
        assert_eq!(told["ips"], count(&|row| row.ip().is_some()));
        assert_eq!(told["protocols"], count(&|row| row.protocol.is_some()));
    }
    let first = polls.iter().find_map(|poll| {
        let first = poll.inspections.iter().min_by_key(|(id, _)| *id);
        first.map(|(id, it)| (*id, it.clone()))
    });
    let (id, inspection) = first.unwrap();
    let told = &answers[7][0];
    assert_eq!(
        (&told["id"], &told["errors"]),
        (&json!(id), &json!(inspection.errors))
    );
    let methods: Value = serde_json::from_str(told["methods"].as_str().unwrap()).unwrap();
    assert_eq!(methods, json!(inspection.methods));
    assert_eq!(
        answers[8]
            .iter()
            .map(|it| it["acts"].as_u64().unwrap())
            .sum::<u64>(),
        acts as u64
    );
}
