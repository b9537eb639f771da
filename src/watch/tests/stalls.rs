use std::time::Duration;

use super::node::{Node, Stage};
use crate::daemon::Failure;
use crate::watch::Stall;

const TIP: u64 = 800_000;

fn stall(stage: &Stage, stalled_m: u64) -> Option<&'static str> {
    let stalled = Some(Duration::from_secs(60 * stalled_m));
    Stall::of(&stage.watch, &stage.server, stalled).map(Stall::name)
}

fn after(primary: &Node, secondary: &Node) -> Stage {
    let mut stage = Stage::new();
    stage.rounds(12, [primary, secondary]);
    stage
}

#[test]
fn a_stall_is_named() {
    let well = Node::at(TIP);
    let busy = Node {
        failure: Some(Failure::Busy {
            detail: "no answer within 5s".into(),
        }),
        ..well.clone()
    };
    for (primary, secondary, stalled_m, name) in [
        (&well, &well, 5, "none"),
        (&well, &well, 60, "slow block"),
        (&Node::at(TIP + 1), &well, 5, "none"),
        (&Node::at(TIP + 1), &well, 60, "stuck daemon"),
        (&Node::at(TIP + 2), &well, 5, "stuck daemon"),
        (&well, &Node::down(), 5, "stuck daemon"),
        (&well, &busy, 5, "busy rpc"),
        (
            &Node::at(TIP + 1),
            &Node::forked(TIP, TIP - 2, 1),
            5,
            "wrong chain",
        ),
        (&Node::at(TIP + 3), &Node::at(TIP + 3), 5, "busy rpc"),
    ] {
        assert_eq!(stall(&after(primary, secondary), stalled_m), Some(name));
    }
    let mut stage = after(&well, &well);
    stage.server.db_height = Some(TIP - 3);
    assert_eq!(stall(&stage, 60), Some("index behind"));
    // Its first rounds say nothing yet, and a daemon that is none of ours says nothing at all.
    assert_eq!(stall(Stage::new().rounds(11, [&well, &well]), 60), None);
    stage.server.daemon = None;
    stage.wait(Duration::ZERO);
    assert_eq!(stall(&stage, 60), None);
}

#[test]
fn the_odds_of_a_standstill_follow_the_coin() {
    let odds = |coin: &str, minutes: u64| {
        let mut stage = Stage::new();
        stage.server.coin = Some(coin.into());
        stage.wait(Duration::ZERO);
        let stalled = Duration::from_secs(60 * minutes);
        stage
            .watch
            .stall_odds(stalled)
            .map(|odds| format!("{odds:.1e}"))
    };
    assert_eq!(odds("Bitcoin", 60).unwrap(), "2.5e-3");
    assert_eq!(odds("Bitcoin", 116).unwrap(), "9.2e-6");
    assert_eq!(odds("Litecoin", 29).unwrap(), "9.2e-6");
    assert_eq!(odds("BitcoinRegtest", 60), None);
    assert_eq!(odds("Nobodyscoin", 60), None);
}
