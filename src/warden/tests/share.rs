//! Who has filled the share of all policies together stops none of them.

use std::time::Duration;

use crate::decision::Outcome;
use crate::limits::Verdict;
use crate::policy::{Mode, shipped};
use crate::scene::Scene;
use crate::warden::{Settings, Warden};

const REGULARS: usize = 26;
const HOURS_MS: i64 = 2 * 3_600_000;

fn regular(index: usize) -> String {
    format!("8.8.{index}.8:{}", 1_000 + index)
}

/// What the policies decide at a poll: policy, address, and what holds it back.
fn decided(scene: &Scene, warden: &mut Warden) -> Vec<(String, String, &'static str)> {
    let snapshot = scene.poll();
    warden.observe(&snapshot);
    let rulings = warden.judge(&snapshot).rulings.into_iter();
    let mut decided: Vec<_> = rulings
        .map(|ruling| {
            let by = match &ruling.verdict {
                Verdict::Permitted { .. } => "",
                Verdict::Suppressed { by, .. } => by.word(),
            };
            let decision = ruling.decision;
            let peer = decision.sessions[0].peer.to_string();
            let address = peer.split(':').next().unwrap().to_owned();
            (decision.policy.to_string(), address, by)
        })
        .collect();
    decided.sort();
    decided
}

/// Of 26 regulars eleven have waited for this: nine give a hostile name, and one for each other policy
/// trips it once.
#[test]
fn nine_sleepers_and_one_for_each_policy_stop_none() {
    let mut scene = Scene::new();
    let settings = Settings {
        mode: Mode::Enforce,
        ..Settings::default()
    };
    let mut warden = Warden::new(shipped().set.unwrap(), settings);
    let mut ids: Vec<u64> = Vec::new();
    for index in 0..REGULARS {
        ids.push(scene.connect(&regular(index), "electrum/4.5"));
        scene.of(ids[index]).since_ms -= HOURS_MS;
    }
    for _ in 0..3 {
        assert_eq!(decided(&scene, &mut warden), []);
        scene.wait(10.0);
        scene.of(ids[10]).pending = 200;
    }
    // A regular is one by its address, whatever it calls itself when it comes back.
    for (index, &id) in ids[..10].iter().enumerate() {
        scene.leave(id);
        let name = if index < 9 { "<" } else { "all_seeing_eye" };
        scene.connect(&regular(index), name);
    }
    let at = |index: usize| format!("8.8.{index}.8");
    let of = |policy: &str, address: String, by| (policy.to_owned(), address, by);
    let mut expected: Vec<_> = (0..9)
        .map(|index| of("hostile-name", at(index), ""))
        .collect();
    expected.push(of("scraper", at(9), "share-of-all"));
    assert_eq!(decided(&scene, &mut warden), expected);
    let now = scene.at();
    assert_eq!(warden.stopped(now), []);
    let until = now + Duration::from_mins(5);
    assert_eq!(warden.share_used_up_until(now), Some(until));

    scene.rows.truncate(REGULARS - 10);
    scene.wait(10.0);
    let held = of("pending-hoarder", at(10), "share-of-all");
    assert_eq!(decided(&scene, &mut warden), [held]);

    // Strangers are disconnected all the while, by each of the policies.
    scene.wait(10.0);
    scene.connect("9.9.1.9:1", "all_seeing_eye");
    scene.connect("9.9.2.9:1", "<");
    let hoarder = scene.connect("9.9.3.9:1", "electrum/4.5");
    scene.of(hoarder).pending = 200;
    scene.of(ids[10]).pending = 0;
    let stranger = |policy, address: &str| of(policy, address.to_owned(), "");
    let both = [
        stranger("hostile-name", "9.9.2.9"),
        stranger("scraper", "9.9.1.9"),
    ];
    assert_eq!(decided(&scene, &mut warden), both);
    scene.rows.retain(|row| row.client == "electrum/4.5");
    for _ in 0..2 {
        scene.wait(10.0);
        assert_eq!(decided(&scene, &mut warden), []);
    }
    scene.wait(10.0);
    let hoarder = [stranger("pending-hoarder", "9.9.3.9")];
    assert_eq!(decided(&scene, &mut warden), hoarder);
    assert_eq!(warden.stopped(scene.at()), []);
}

/// Who was held back is as regular as before.
#[test]
fn what_was_held_back_makes_nobody_a_stranger() {
    let mut scene = Scene::new();
    let mut warden = Warden::new(shipped().set.unwrap(), Settings::default());
    for index in 0..REGULARS {
        let name = if index < 12 { "<" } else { "electrum/4.5" };
        let id = scene.connect(&regular(index), name);
        scene.of(id).since_ms -= HOURS_MS;
    }
    for _ in 0..3 {
        let snapshot = scene.poll();
        warden.observe(&snapshot);
        let judgement = warden.judge(&snapshot);
        assert_eq!(warden.history.crowd().regulars, REGULARS);
        for ruling in judgement.rulings {
            if let Verdict::Suppressed { by, .. } = ruling.verdict {
                let outcome = Outcome::Suppressed(by);
                warden.settle(&ruling.decision, &outcome, 0, scene.at());
            }
        }
        scene.wait(10.0);
    }
}
