//! The built-in policies over the recorded block times of two real nodes, as the production core
//! judges them: whenever a block was late, a fork was seen, a node was away, or no block
//! came for 90 minutes. `benches/false_alarms` plays all nine months.

#![expect(clippy::unwrap_used, reason = "a test may")]
#![expect(dead_code, reason = "the chain serves the bench too")]

#[path = "../benches/chain/mod.rs"]
mod chain;

use std::time::Duration;

use chain::recorded::{Primary, Recorded, play};
use chain::{Blocks, Log, World, policies};
use electrumx_warden::watch::Settings;

const MINUTE: Duration = Duration::from_secs(60);

fn played(primary: Primary, propagation: Option<Duration>) -> Log {
    let settings = Settings {
        propagation,
        ..Settings::default()
    };
    let recorded = Recorded::load(primary);
    let times = recorded.eventful();
    let mut world = World::new(recorded, "Bitcoin", policies(""), settings);
    for span in times {
        play(&mut world, span);
    }
    world.log
}

#[test]
fn a_daemon_that_waits_for_a_block_is_neither_left_nor_unhealthy() {
    let log = played(Primary::NodeA, None);
    assert!(log.changes.is_empty(), "{:?}", log.changes);
    assert!(log.moves.is_empty(), "{:?}", log.moves);
    assert!(log.alerts.is_empty(), "{:?}", log.alerts);
    let [node_a, node_b] = log.falls;
    assert!(node_a.is_empty(), "{node_a:?}");
    // It was away twice, and a block was late to it once more just after.
    assert_eq!(node_b.len(), 3, "{node_b:?}");
}

#[test]
fn a_primary_that_was_away_is_left_by_the_server_and_gone_back_to_once() {
    let log = played(Primary::NodeB, None);
    assert_eq!((log.moves.len(), log.changes.len()), (2, 2));
    for (change, away) in log.changes.iter().zip(&log.moves) {
        assert_eq!((&*change.policy, change.to), ("failback", 0));
        assert!(change.at > *away);
    }
    assert_eq!(log.alerts_of("chain-silent"), 0);
    let mut recorded = Recorded::load(Primary::NodeB);
    for alert in log
        .alerts
        .iter()
        .filter(|it| &*it.policy == "primary-unhealthy")
    {
        assert_eq!(recorded.tips(alert.at)[0], None, "{alert:?}");
    }
    // It was back, in use, and 17 minutes late with the next block but one.
    assert_eq!(log.alerts_of("blocks-held-up"), 1, "{:?}", log.alerts);
}

/// Why the default is what it is.
#[test]
fn a_minute_of_propagation_leaves_a_daemon_that_helps_itself() {
    let log = played(Primary::NodeA, Some(MINUTE));
    assert_eq!(log.changes_of("failover"), 5);
    let failovers = log.changes.iter().filter(|it| &*it.policy == "failover");
    for change in failovers {
        let after = change.caught_up.map(|at| at.since(change.at));
        assert!(after.is_some_and(|after| after < 10 * MINUTE), "{change:?}");
    }
}

#[test]
fn the_recordings_say_what_the_documents_say_of_them() {
    let recorded = Recorded::load(Primary::NodeA);
    let late = recorded.late();
    assert_eq!(late.len(), 81);
    let longest = late.iter().max_by_key(|late| late.by()).unwrap();
    assert_eq!((longest.height, longest.by().as_secs()), (787_971, 2_738));
    assert!(longest.is_after_outage);
    let over = |limit: Duration| move |gap: &Duration| *gap > limit;
    let gaps = |daemon| recorded.gaps(daemon).filter(over(60 * MINUTE)).count();
    assert_eq!([gaps(0), gaps(1)], [103, 94]);
}
