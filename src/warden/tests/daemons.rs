//! The policies that ship for daemons, in stories with a known end.

use std::time::Duration;

use super::world::{Fault, STEP, Trouble, World};
use crate::decision::Suppression;
use crate::watch::Confirmation;
use crate::watch::tests::node::{PRIMARY, SECONDARY};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const fn hours(hours: u64) -> Duration {
    minutes(60 * hours)
}

/// The primary fails and the server moves on by itself; then the primary is as `fault` says.
fn on_secondary(seed: u64, fault: Fault) -> World {
    let mut world = World::new(seed);
    world.run(minutes(10));
    world.break_daemon(0, Fault::Down);
    world.run(minutes(5));
    assert!(!world.is_on_primary());
    assert!(world.acts.is_empty(), "the server did that by itself");
    world.break_daemon(0, fault);
    world
}

/// The policy and the destination of each change.
fn acts(world: &World) -> Vec<(&str, &str)> {
    assert!(
        world.acts.iter().all(|act| act.objection.is_none()),
        "{:?}",
        world.acts
    );
    world
        .acts
        .iter()
        .map(|act| (&*act.policy, &*act.to))
        .collect()
}

#[test]
fn a_primary_that_is_back_is_gone_back_to_once_and_that_is_confirmed() {
    let mut world = on_secondary(1, Fault::None);
    // Twelve checks, ten seconds apart, and then five minutes.
    let back_after = world.run_until_primary(hours(1));
    assert_eq!(back_after, Some(Duration::from_secs(12 * 10 + 300)));
    world.run(hours(3));
    assert_eq!(acts(&world), [("failback", PRIMARY)]);
    let named = Confirmation::Named {
        after: Duration::from_secs(10),
    };
    assert_eq!(world.news[0], named);
    assert!(matches!(world.news[1], Confirmation::Followed { .. }));
    assert_eq!(world.news.len(), 2);
}

#[test]
fn a_primary_that_is_not_well_is_not_gone_back_to() {
    for fault in [
        Fault::Down,
        Fault::WrongCredentials,
        Fault::WarmingUp,
        Fault::Busy,
        Fault::OtherChain,
        Fault::NoIndex,
        Fault::Pruned,
        Fault::Syncing(500_000),
    ] {
        let mut world = on_secondary(2, fault);
        world.run(hours(6));
        assert_eq!(acts(&world), [], "{fault:?}");
        assert!(!world.is_on_primary(), "{fault:?}");
        let told = world
            .alerts
            .iter()
            .filter(|name| *name == "primary-unhealthy");
        assert_eq!(told.count(), 1, "{fault:?}");
    }
}

#[test]
fn a_primary_that_stands_still_is_left_again_if_it_was_gone_back_to() {
    let mut world = on_secondary(3, Fault::Stuck);
    // Until a second block is missing it cannot be told from one that is well.
    world.run(hours(6));
    assert!(
        !world.is_on_primary() || world.acts.len() > 1,
        "{:?}",
        world.acts
    );
    assert!(world.acts.iter().all(|act| act.objection.is_none()));
}

#[test]
fn a_primary_that_catches_up_is_gone_back_to_when_it_has() {
    // 10 blocks a step: 6,000 take 100 minutes.
    let mut world = on_secondary(4, Fault::Syncing(6_000));
    let back_after = world.run_until_primary(hours(4)).unwrap();
    let caught_up = minutes(100);
    assert!(back_after > caught_up + minutes(6), "{back_after:?}");
    assert!(back_after < caught_up + minutes(8), "{back_after:?}");
    assert_eq!(acts(&world), [("failback", PRIMARY)]);
}

#[test]
fn a_primary_on_a_fork_is_gone_back_to_when_it_has_left_it() {
    let mut world = on_secondary(5, Fault::Fork);
    world.run(hours(3));
    assert_eq!(acts(&world), []);
    world.break_daemon(0, Fault::None);
    assert_eq!(
        world.run_until_primary(hours(1)),
        Some(Duration::from_secs(420))
    );
}

#[test]
fn with_preempt_off_the_secondary_is_kept_until_it_fails() {
    let mut world = World::with(6, |settings| settings.daemons.preempt = false);
    world.run(minutes(10));
    world.send_to(1);
    world.run(hours(12));
    assert_eq!(acts(&world), []);
    // It loses its peers, which makes the server move nowhere by itself.
    world.break_daemon(1, Fault::Stuck);
    assert!(world.run_until_primary(hours(6)).is_some());
}

#[test]
fn without_a_healthy_secondary_nothing_is_waited_for() {
    let mut world = World::new(7);
    world.run(minutes(10));
    world.send_to(1);
    world.run(minutes(1));
    // The index is something that the server itself does not move on for.
    world.break_daemon(1, Fault::NoIndex);
    assert_eq!(
        world.run_until_primary(hours(1)),
        Some(Duration::from_secs(30))
    );
    assert_eq!(acts(&world), [("failback", PRIMARY)]);
}

#[test]
fn with_both_down_nothing_is_done_and_afterwards_all_is_well() {
    let mut world = World::new(8);
    world.run(minutes(10));
    world.break_daemon(0, Fault::Down);
    world.break_daemon(1, Fault::Down);
    world.run(hours(2));
    assert_eq!(acts(&world), []);
    world.break_daemon(1, Fault::None);
    world.run(minutes(30));
    assert_eq!(acts(&world), []);
    world.break_daemon(0, Fault::None);
    assert!(world.run_until_primary(minutes(10)).is_some());
}

#[test]
fn a_daemon_that_lost_its_peers_is_left_by_height() {
    let mut world = World::new(9);
    world.run(minutes(10));
    world.break_daemon(0, Fault::Stuck);
    let tip = world.tip;
    while world.acts.is_empty() {
        world.run(minutes(1));
        assert!(world.tip < tip + 12, "it must have acted by now");
    }
    assert!(world.tip >= tip + 3);
    assert_eq!(acts(&world), [("failover", SECONDARY)]);
    // It stays there while the primary is stuck, and returns when it is not.
    world.run(hours(3));
    assert_eq!(world.acts.len(), 1);
    world.break_daemon(0, Fault::None);
    assert!(world.run_until_primary(minutes(10)).is_some());
}

#[test]
fn what_holds_the_blocks_up_is_told_of_though_no_daemon_can_help() {
    let mut world = World::new(9);
    world.run(minutes(10));
    world.break_daemon(0, Fault::Stuck);
    world.break_daemon(1, Fault::NoIndex);
    world.run(hours(2));
    assert_eq!(acts(&world), []);
    assert!(world.alerts.contains(&"blocks-held-up".to_owned()));
}

#[test]
fn a_losing_fork_is_left() {
    let mut world = World::new(10);
    world.run(hours(1));
    world.break_daemon(0, Fault::Fork);
    world.run(hours(4));
    assert_eq!(acts(&world), [("failover", SECONDARY)]);
}

#[test]
fn a_slow_block_moves_nobody() {
    let mut world = World::new(11);
    world.run(hours(1));
    world.stop_mining();
    world.run(hours(5));
    assert_eq!(acts(&world), []);
    assert_eq!(world.alerts, ["chain-silent"]);
}

#[test]
fn a_primary_that_flaps_is_left_alone_more_and_more() {
    // Up for ten minutes, down for three, for a day: 110 times.
    let mut world = World::new(12);
    for _ in 0..110 {
        world.break_daemon(0, Fault::Down);
        world.run(minutes(3));
        world.break_daemon(0, Fault::None);
        world.run(minutes(10));
    }
    // The first failback is confirmed by the next block and so was none that failed.
    let changes = world.acts.len();
    assert!((1..=3).contains(&changes), "{:?}", world.acts);
    assert_eq!(acts(&world), vec![("failback", PRIMARY); changes]);
    world
        .run_until_primary(hours(25))
        .expect("a day later it may again");
}

#[test]
fn while_getinfo_is_missing_nothing_is_done_and_little_is_lost() {
    let mut world = on_secondary(13, Fault::None);
    world.run(minutes(5));
    world.trouble = Trouble::RpcDown;
    world.run(minutes(4));
    assert_eq!(acts(&world), []);
    world.trouble = Trouble::None;
    // Held for three of five minutes before, and the time without a poll does not count.
    let back_after = world.run_until_primary(hours(1)).unwrap();
    assert!(back_after < minutes(4), "{back_after:?}");
    assert!(back_after > minutes(1), "{back_after:?}");
}

#[test]
fn a_secondary_on_another_chain_that_the_server_moved_to_is_left() {
    let mut world = World::new(14);
    world.run(hours(1));
    world.break_daemon(1, Fault::OtherChain);
    world.break_daemon(0, Fault::Down);
    world.run(minutes(10));
    assert!(!world.is_on_primary());
    world.break_daemon(0, Fault::None);
    // Twelve checks; with the daemon in use unhealthy nothing else is waited for.
    assert_eq!(
        world.run_until_primary(hours(1)),
        Some(Duration::from_secs(120))
    );
    assert_eq!(acts(&world), [("failback", PRIMARY)]);
    assert!(world.alerts.contains(&"blocks-held-up".to_owned()));
}

#[test]
fn what_is_shown_counts_down_to_what_happens() {
    let mut world = on_secondary(15, Fault::None);
    world.run(minutes(3));
    let shown = world.status_of("failback");
    let (held, hold) = (shown.standing.held, shown.standing.hold);
    assert_eq!((hold, shown.held_back), (minutes(5), None));
    assert_eq!(shown.to.as_deref(), Some(PRIMARY));
    assert_eq!(world.run_until_primary(hours(1)), hold.checked_sub(held));

    // A failure doubles the wait, and the time before it does not count.
    let mut world = on_secondary(15, Fault::None);
    world.run(minutes(3));
    world.warden.failed("failback", world.now);
    world.run(minutes(1));
    let standing = world.status_of("failback").standing;
    assert_eq!((standing.held, standing.hold), (minutes(1), minutes(10)));
    assert_eq!(world.run_until_primary(hours(1)), Some(minutes(9)));
}

#[test]
fn what_will_hold_a_change_back_is_shown_before_it_is_due() {
    let mut world = on_secondary(16, Fault::None);
    world.run(minutes(3));
    // The primary loses its peers, which its health does not show for two blocks.
    world.break_daemon(0, Fault::Stuck);
    let tip = world.tip;
    while world.tip == tip {
        world.run(STEP);
    }
    world.run(STEP);
    let shown = world.status_of("failback");
    assert!(
        shown.standing.holds && !shown.standing.is_due(),
        "{shown:?}"
    );
    let Some(Suppression::UnfitDaemon { why }) = shown.held_back else {
        panic!("{shown:?}");
    };
    assert!(why.contains("is below the daemon in use"), "{why}");

    let mut world = World::new(17);
    for _ in 0..3 {
        world.run(minutes(10));
        world.send_to(1);
        world.run_until_primary(hours(1)).unwrap();
        // Its next block confirms it.
        world.run(hours(2));
    }
    world.send_to(1);
    world.run(minutes(2));
    let shown = world.status_of("failback");
    assert!(shown.standing.holds && !shown.standing.is_due());
    let held_back = shown.held_back;
    let is_limit = matches!(
        held_back,
        Some(Suppression::PolicyLimit { .. } | Suppression::ActionLimit { .. })
    );
    assert!(is_limit, "{held_back:?}");
}
