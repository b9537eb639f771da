//! Evictions: as many as are needed, of those who are missed least, and nothing held against them.
#![expect(clippy::float_cmp, reason = "no strike is none")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::bans::World;
use crate::decision::{Decision, Suppression, Target};
use crate::limits::{Ruling, Verdict};
use crate::policy::Mode;
use crate::slots::Slots;
use crate::warden::{Judgement, Settings};

const EVICT: &str = r#"
[[policy]]
name = "make-room"
scope = "session"
when = { server.slots_left = "< 5%" }
action = { evict = { keep_free = "10%" } }

[[policy]]
name = "hoarder"
scope = "session"
when = { pending_requests = "> 100" }
action = "disconnect"
cooldown = "0s"
"#;

/// A server of so many slots, 30 of which regulars have.
fn world(slots: u32, mode: Mode) -> World {
    let settings = Settings {
        mode,
        slots: Some(Slots::new(slots)),
        ..Settings::default()
    };
    World::new(EVICT, settings)
}

/// Those who do nothing.
fn idle(world: &mut World, count: u32) -> BTreeSet<u64> {
    let come = |index| world.come(&format!("198.51.100.{index}"), "idle");
    (1..=count).map(come).collect()
}

fn evictions(judgement: &Judgement) -> Vec<&Decision> {
    let permitted = |ruling: &&Ruling| matches!(ruling.verdict, Verdict::Permitted { .. });
    let rulings = judgement.rulings.iter().filter(permitted);
    let decisions = rulings.map(|ruling| &ruling.decision);
    decisions
        .filter(|decision| &*decision.policy == "make-room")
        .collect()
}

#[test]
fn as_many_go_as_are_needed_and_nothing_is_held_against_them() {
    let mut world = world(80, Mode::Enforce);
    let idle = idle(&mut world, 48);
    let judgement = world.poll();
    let [decision] = evictions(&judgement)[..] else {
        panic!("{judgement:?}");
    };
    assert_eq!(decision.target, Target::Server);
    // 78 clients are there, and 72 may be.
    assert_eq!(decision.sessions.len(), 6);
    assert!(decision.sessions.iter().all(|it| idle.contains(&it.id)));
    for session in &decision.sessions {
        let address = session.peer.0.unwrap().ip().to_string();
        assert_eq!(world.strikes(&format!("{address}/32")), 0.0);
        let clients = world.warden.saved_clients().clients;
        let known = clients
            .iter()
            .find(|it| it.address.addr().to_string() == address);
        assert_eq!(known.unwrap().acted_at, None);
    }
    assert!(evictions(&world.poll()).is_empty());
}

#[test]
fn in_dry_run_each_is_told_once_a_minute() {
    let mut world = world(80, Mode::DryRun);
    idle(&mut world, 48);
    let told: Vec<usize> = (0..9)
        .map(|_| {
            evictions(&world.poll())
                .iter()
                .map(|it| it.sessions.len())
                .sum()
        })
        .collect();
    assert_eq!(told, [6, 0, 0, 0, 0, 0, 6, 0, 0]);
}

/// What another policy disconnects makes room as well.
#[test]
fn whoever_is_cut_at_the_same_poll_is_not_cut_twice() {
    let mut world = world(80, Mode::Enforce);
    let idle = idle(&mut world, 48);
    for &id in idle.iter().rev().take(6) {
        world.scene.of(id).pending = 200;
    }
    let judgement = world.poll();
    let all: Vec<u64> = judgement
        .rulings
        .iter()
        .filter(|ruling| matches!(ruling.verdict, Verdict::Permitted { .. }))
        .flat_map(|ruling| &ruling.decision.sessions)
        .map(|session| session.id)
        .collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len());
}

#[test]
fn where_only_regulars_are_nobody_goes_and_it_is_told() {
    let mut world = world(30, Mode::Enforce);
    let judgement = world.poll();
    let ruling = &judgement.rulings[0];
    assert!(matches!(
        ruling.verdict,
        Verdict::Suppressed {
            by: Suppression::NobodyStandsOut,
            ..
        }
    ));
    let choice = ruling.decision.choice.as_ref().unwrap();
    insta::assert_snapshot!(choice, @"none of 30 sessions (30 of regulars): nobody may go, with slots_left at 0%");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes: no regular goes, nobody goes while enough is free, and never more than are needed.
    #[test]
    fn nobody_goes_without_need(
        slots in 30_u32..120,
        crowds in prop::collection::vec((1_u32..20, 0_u64..40), 0..6),
    ) {
        let mut world = world(slots, Mode::Enforce);
        let mut strangers = BTreeSet::new();
        for (subnet, (count, requests)) in crowds.into_iter().enumerate() {
            for index in 0..count {
                let id = world.come(&format!("198.18.{subnet}.{index}"), "x");
                world.scene.of(id).requests = requests;
                strangers.insert(id);
            }
        }
        for _ in 0..4 {
            let before = 30 + strangers.len();
            let judgement = world.poll();
            let most = (slots as usize) * 9 / 10;
            for decision in evictions(&judgement) {
                prop_assert!((slots as usize).saturating_sub(before) * 20 < slots as usize);
                prop_assert!(decision.sessions.len() <= before.saturating_sub(most));
                for session in &decision.sessions {
                    prop_assert!(strangers.remove(&session.id));
                }
            }
        }
    }
}

/// Whoever comes back at once is new again each time, and must not have others evicted by that.
#[test]
fn whoever_comes_back_at_once_does_not_outlast_those_who_stay() {
    let mut world = world(80, Mode::Enforce);
    let mut wallets = BTreeSet::new();
    for index in 0..10 {
        let id = world.come(&format!("198.18.{index}.7"), "wallet");
        world.scene.of(id).requests = 40;
        wallets.insert(id);
    }
    let come = |world: &mut World| -> Vec<u64> {
        let all = (1..=38).map(|host| {
            let id = world.come(&format!("198.51.100.{host}"), "cycler");
            world.scene.of(id).requests = 9;
            id
        });
        all.collect()
    };
    let mut cyclers = come(&mut world);
    for _ in 0..12 {
        for decision in evictions(&world.poll()) {
            for session in &decision.sessions {
                assert!(!wallets.contains(&session.id), "{decision:?}");
            }
        }
        // All of them are seconds old at each poll.
        for id in std::mem::take(&mut cyclers) {
            world.scene.leave(id);
        }
        cyclers = come(&mut world);
    }
}

/// What a policy on trial would disconnect frees no slot.
#[test]
fn policies_on_trial_do_not_hide_that_slots_are_short() {
    let text = format!(
        "{EVICT}\n[[policy]]\nname = \"trial\"\nscope = \"session\"\nwhen = {{ client = \"idle\" }}\n\
         action = \"disconnect\"\nmode = \"dry-run\"\n"
    );
    let settings = Settings {
        mode: Mode::Enforce,
        slots: Some(Slots::new(80)),
        ..Settings::default()
    };
    let mut world = World::new(&text, settings);
    idle(&mut world, 48);
    assert_eq!(evictions(&world.poll()).len(), 1);
}
