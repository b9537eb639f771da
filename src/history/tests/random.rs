//! Random lives of clients, against the naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Watch;
use super::naive::{Naive, Sum};
use crate::field::Scope;
use crate::history::Continuity;
use crate::scene::Scene;
use crate::scene::life::{Happened, happen, lives};

const WINDOW_MS: i64 = 60_000;

const SCOPES: [Scope; 5] = [
    Scope::Server,
    Scope::Session,
    Scope::Address,
    Scope::Subnet,
    Scope::Client,
];

/// Whether every number is what the naive model says for a window that began at `start_ms`.
fn agrees(watch: &Watch, naive: &Naive, now_ms: i64, start_ms: i64) -> Result<(), String> {
    let span_s = (now_ms - start_ms) as f64 / 1_000.0;
    for scope in SCOPES {
        for (field, sum, scale) in [
            ("sent_rate", Sum::Sent, 1.0 / span_s),
            ("request_rate", Sum::Requests, 1.0 / span_s),
            ("new_sessions", Sum::New, 1.0),
            ("gone_sessions", Sum::Gone, 1.0),
        ] {
            if scope == Scope::Session && matches!(sum, Sum::New | Sum::Gone) {
                continue;
            }
            let expected = naive.sums(scope, sum, start_ms);
            let is_certain = |target: &str| scope != Scope::Session || naive.is_certain(target);
            compare(watch, scope, field, &expected, scale, is_certain)?;
        }
    }
    Ok(())
}

fn compare(
    watch: &Watch,
    scope: Scope,
    field: &str,
    expected: &BTreeMap<String, f64>,
    scale: f64,
    is_certain: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let seen: BTreeMap<String, f64> = watch.all(scope, field).into_iter().collect();
    for (target, &value) in seen.iter().filter(|(target, _)| is_certain(target)) {
        let wanted = expected.get(target).copied().unwrap_or(0.0) * scale;
        if (value - wanted).abs() > 1e-9 * wanted.max(1.0) || value < 0.0 {
            return Err(format!("{scope} {target} {field}: {value} is not {wanted}"));
        }
    }
    // Nobody with anything to their name goes missing.
    for (target, &amount) in expected {
        if amount > 0.0 && !seen.contains_key(target) {
            return Err(format!("{scope} {target} {field}: missing, {amount}"));
        }
    }
    Ok(())
}

fn shares_are_parts(watch: &Watch) -> Result<(), String> {
    for scope in [Scope::Session, Scope::Address, Scope::Subnet, Scope::Client] {
        let shares = watch.all(scope, "sent_share");
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        if shares.iter().any(|(_, share)| *share < 0.0) || sum > 1.0 + 1e-9 {
            return Err(format!("{scope}: {shares:?}"));
        }
    }
    Ok(())
}

fn presence_agrees(watch: &Watch, naive: &Naive) -> Result<(), String> {
    for scope in [Scope::Address, Scope::Subnet, Scope::Client] {
        let seen = watch.all(scope, "sessions");
        let here: f64 = seen.iter().map(|(_, count)| count).sum();
        let rows = naive.present();
        let with = rows.filter(|row| scope == Scope::Client || row.peer != "unknown");
        if (here - with.count() as f64).abs() > 1e-9 {
            return Err(format!("{scope}: {seen:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn everything_is_as_the_naive_model_has_it(events in lives(false)) {
        let mut watch = Watch::new("1m", &[
            "server sent_rate", "server request_rate", "server new_sessions", "server gone_sessions",
            "session sent_rate", "session request_rate", "session sent_share",
            "address sent_rate", "address request_rate", "address new_sessions",
            "address gone_sessions", "address sent_share", "address sessions",
            "subnet sent_rate", "subnet request_rate", "subnet new_sessions",
            "subnet gone_sessions", "subnet sent_share", "subnet sessions",
            "client sent_rate", "client request_rate", "client new_sessions",
            "client gone_sessions", "client sent_share", "client sessions",
        ]);
        let (mut scene, mut naive) = (Scene::new(), Naive::default());
        let mut epoch = scene.epoch;
        let mut longest_ms = 0;
        for event in &events {
            if happen(&mut scene, event) != Happened::Poll {
                continue;
            }
            let now_ms = scene.now_ms;
            if watch.see(&scene.poll()) != Continuity::Continued {
                naive.forget();
                longest_ms = 0;
            }
            if let Some(&last_ms) = naive.polls_ms.last() {
                longest_ms = longest_ms.max(now_ms - last_ms);
            }
            naive.see(now_ms, &scene.rows, scene.epoch != epoch);
            epoch = scene.epoch;
            presence_agrees(&watch, &naive).map_err(TestCaseError::fail)?;

            let begun_ms = naive.polls_ms[0];
            let covered = watch.get(Scope::Server, "sent_rate", "server").is_some();
            // Known as soon as all but half a bin has been watched.
            prop_assert_eq!(covered, now_ms - begun_ms >= WINDOW_MS * 11 / 12);
            if !covered {
                continue;
            }
            shares_are_parts(&watch).map_err(TestCaseError::fail)?;
            let (polls, nominal_ms) = (&naive.polls_ms, now_ms - WINDOW_MS);
            let near = |&&poll: &&i64| poll <= nominal_ms + WINDOW_MS / 12
                && nominal_ms - poll < WINDOW_MS / 6 + longest_ms;
            let misfits: Vec<String> = polls.iter().filter(near)
                .map_while(|&start_ms| agrees(&watch, &naive, now_ms, start_ms).err())
                .collect();
            let candidates = polls.iter().filter(near).count();
            prop_assert!(candidates > misfits.len(), "{misfits:#?}");
        }
    }
}
