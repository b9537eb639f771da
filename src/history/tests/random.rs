//! Random lives of clients, against the naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Watch;
use super::naive::{Naive, Sum};
use crate::field::Scope;
use crate::history::Continuity;
use crate::scene::Scene;

/// Few, so that they meet again: two IPv4 subnets, IPv6, Tor, and no address at all.
const PEERS: [&str; 9] = [
    "8.8.8.8:1",
    "8.8.8.8:2",
    "8.8.8.9:1",
    "9.9.9.9:1",
    "[2a00:1:2:3::1]:1",
    "[2a00:1:2:3::2]:1",
    "[2a00:1:2:4::1]:1",
    "127.0.0.1:1",
    "unknown",
];
const CLIENTS: [&str; 3] = ["wallet", "", "<b>\u{1b}"];

#[derive(Clone, Debug)]
enum Event {
    Connect {
        peer: usize,
        client: usize,
    },
    Leave(usize),
    /// Leaves, and comes back under the same peer and name before the next poll.
    Return(usize),
    Work {
        who: usize,
        sent: u64,
        requests: u64,
    },
    Rename {
        who: usize,
        client: usize,
    },
    /// Counters fall, so it must be another session.
    FallBack(usize),
    LoseAge(usize),
    /// The agent connects anew.
    Reconnect,
    Restart,
    Wait(u32),
    Poll,
}

fn event() -> impl Strategy<Value = Event> {
    let who = 0..64_usize;
    prop_oneof![
        4 => (0..PEERS.len(), 0..CLIENTS.len())
            .prop_map(|(peer, client)| Event::Connect { peer, client }),
        2 => who.clone().prop_map(Event::Leave),
        1 => who.clone().prop_map(Event::Return),
        8 => (who.clone(), 0..100_000_u64, 0..50_u64)
            .prop_map(|(who, sent, requests)| Event::Work { who, sent, requests }),
        1 => (who.clone(), 0..CLIENTS.len()).prop_map(|(who, client)| Event::Rename { who, client }),
        1 => who.clone().prop_map(Event::FallBack),
        1 => who.prop_map(Event::LoseAge),
        1 => Just(Event::Reconnect),
    ]
}

/// Polls 4 to 16 s apart, now and then one missing, seldom a restart or a long gap.
fn lives() -> impl Strategy<Value = Vec<Event>> {
    let step = (
        prop::collection::vec(event(), 0..6),
        4_000..16_000_u32,
        0..100_u8,
    );
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut events = Vec::new();
        for (more, wait_ms, luck) in steps {
            events.extend(more);
            events.push(Event::Wait(wait_ms));
            match luck {
                0 => events.extend([Event::Restart, Event::Poll]),
                1 => events.extend([Event::Wait(301_000), Event::Poll]),
                2..15 => {}
                _ => events.push(Event::Poll),
            }
        }
        events
    })
}

/// Lets it happen; `true` if there is a poll now.
fn happen(scene: &mut Scene, event: &Event) -> bool {
    let now_ms = scene.now_ms;
    let ids: Vec<u64> = scene.rows.iter().map(|row| row.id).collect();
    let pick = |who: usize| ids.get(who % ids.len().max(1)).copied();
    match *event {
        Event::Connect { peer, client } => {
            // A port is one connection's at a time.
            if !scene.rows.iter().any(|row| row.peer == PEERS[peer]) {
                scene.connect(PEERS[peer], CLIENTS[client]);
            }
        }
        Event::Leave(who) => pick(who).into_iter().for_each(|id| scene.leave(id)),
        Event::Return(who) => {
            if let Some(id) = pick(who) {
                let row = scene.of(id).clone();
                scene.leave(id);
                scene.connect(&row.peer, &row.client);
            }
        }
        Event::Work {
            who,
            sent,
            requests,
        } => {
            if let Some(id) = pick(who) {
                let row = scene.of(id);
                (row.sent, row.requests) = (row.sent + sent, row.requests + requests);
            }
        }
        Event::Rename { who, client } => {
            if let Some(id) = pick(who) {
                scene.of(id).client = CLIENTS[client].into();
            }
        }
        Event::FallBack(who) => {
            if let Some(id) = pick(who).filter(|&id| scene.of(id).sent > 0) {
                let row = scene.of(id);
                (row.sent, row.since_ms) = (row.sent - 1, now_ms);
            }
        }
        Event::LoseAge(who) => {
            if let Some(id) = pick(who) {
                scene.of(id).is_age_unknown = true;
            }
        }
        Event::Reconnect => scene.epoch.0 += 1,
        Event::Restart => scene.restart(),
        Event::Wait(ms) => scene.now_ms += i64::from(ms),
        Event::Poll => return true,
    }
    false
}

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
            compare(watch, scope, field, &expected, scale)?;
        }
    }
    Ok(())
}

fn compare(
    watch: &Watch,
    scope: Scope,
    field: &str,
    expected: &BTreeMap<String, u64>,
    scale: f64,
) -> Result<(), String> {
    let seen: BTreeMap<String, f64> = watch.all(scope, field).into_iter().collect();
    for (target, &value) in &seen {
        let wanted = expected.get(target).copied().unwrap_or(0) as f64 * scale;
        if (value - wanted).abs() > 1e-9 * wanted.max(1.0) || value < 0.0 {
            return Err(format!("{scope} {target} {field}: {value} is not {wanted}"));
        }
    }
    // Nobody with anything to their name goes missing.
    for (target, &amount) in expected {
        if amount > 0 && !seen.contains_key(target) {
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
    fn everything_is_as_the_naive_model_has_it(events in lives()) {
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
            if !happen(&mut scene, event) {
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
