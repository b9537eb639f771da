use std::time::Duration;

use super::node::{Node, Stage};
use crate::daemon::{Failure, Round};
use crate::watch::Settings;

const TIP: u64 = 800_000;

/// The states of a primary and a secondary after one round.
fn states(primary: &Node, secondary: &Node) -> [String; 2] {
    Stage::new().rounds(1, [primary, secondary]).states()
}

fn failing(failure: Failure) -> Node {
    Node {
        failure: Some(failure),
        ..Node::at(TIP)
    }
}

#[test]
fn every_state_is_told_apart() {
    let well = Node::at(TIP);
    for (node, expected) in [
        (Node::at(TIP), "healthy"),
        (Node::at(TIP - 1), "healthy"),
        (Node::at(TIP - 2), "behind by 2 blocks"),
        (Node::down(), "unreachable: connection refused"),
        (failing(Failure::WrongCredentials), "wrong credentials"),
        (
            failing(Failure::WarmingUp {
                detail: "Verifying blocks…".into(),
            }),
            "warming up: Verifying blocks…",
        ),
        (
            failing(Failure::Busy {
                detail: "no answer within 5s".into(),
            }),
            "busy: no answer within 5s",
        ),
        (
            Node {
                is_initial_download: true,
                headers_ahead: 300,
                ..Node::at(TIP - 300)
            },
            "initial download, 300 blocks left",
        ),
        (
            Node {
                is_initial_download: true,
                ..Node::at(TIP - 300)
            },
            "initial download, no recent block",
        ),
        (Node::forked(TIP - 1, TIP - 3, 1), "fork"),
        (Node::forked(TIP, TIP - 500, 1), "other chain"),
        (Node::forked(1_000, 0, 1), "other chain"),
        (Node::forked(TIP + 5_000, TIP - 500, 1), "other chain"),
        (
            Node {
                chain: "test",
                ..Node::at(TIP)
            },
            "other chain",
        ),
        (
            Node {
                is_pruned: true,
                ..Node::at(TIP)
            },
            "pruned",
        ),
        (
            Node {
                indexes: vec![],
                ..Node::at(TIP)
            },
            "missing index: txindex",
        ),
        (
            Node {
                indexes: vec![("txindex", false)],
                ..Node::at(TIP)
            },
            "missing index: txindex",
        ),
    ] {
        assert_eq!(states(&node, &well), [expected, "healthy"], "{node:?}");
    }
}

#[test]
fn the_daemon_in_use_loses_against_more_work_above_the_anchor() {
    let fork = Node::forked(TIP, TIP - 3, 1);
    assert_eq!(states(&Node::at(TIP + 1), &fork), ["healthy", "fork"]);
    // As much work on another tip: neither has lost.
    assert_eq!(states(&Node::at(TIP), &fork), ["healthy", "healthy"]);
}

#[test]
fn the_daemon_in_use_says_which_chain_it_is_and_whoever_differs_is_elsewhere() {
    let other = Node::forked(TIP + 9, TIP - 900, 1);
    assert_eq!(states(&Node::at(TIP), &other), ["other chain", "healthy"]);
    // With none in use to say so, those who disagree are all suspect.
    let mut stage = Stage::new();
    stage.server.daemon = Some("10.0.0.9:8332".into());
    stage.rounds(1, [&Node::at(TIP), &other]);
    assert_eq!(stage.states(), ["other chain", "other chain"]);
}

#[test]
fn the_anchor_moves_up_with_the_chain_and_does_not_let_go() {
    let mut stage = Stage::new();
    for height in (TIP..TIP + 1_000).step_by(50) {
        stage.rounds(1, [&Node::at(height), &Node::at(height)]);
    }
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    // The daemon in use now says something else of a block that all agreed on.
    let rewritten = Node::forked(TIP + 1_000, TIP + 600, 1);
    stage.rounds(1, [&Node::at(TIP + 1_000), &rewritten]);
    assert_eq!(stage.states(), ["healthy", "other chain"]);
}

#[test]
fn a_dead_daemon_in_use_leaves_its_anchor_behind() {
    let mut stage = Stage::new();
    stage.rounds(2, [&Node::at(TIP), &Node::at(TIP)]);
    for height in (TIP..TIP + 1_000).step_by(50) {
        stage.rounds(1, [&Node::at(height), &Node::down()]);
    }
    assert_eq!(stage.states()[0], "healthy");
    let other = Node::forked(TIP + 1_000, TIP - 900, 1);
    stage.rounds(1, [&other, &Node::down()]);
    assert_eq!(stage.states()[0], "other chain");
}

#[test]
fn the_indexes_follow_the_release_unless_they_are_written() {
    let bare = Node {
        indexes: vec![],
        ..Node::at(TIP)
    };
    let mut stage = Stage::new();
    stage.server.version = Some("ElectrumX 2.0.0".into());
    stage.rounds(1, [&bare, &Node::at(TIP)]);
    let missing = ["missing index: txindex", "missing index: txospenderindex"];
    assert_eq!(stage.states(), missing);
    stage.server.version = Some("ElectrumX 1.16.0".into());
    stage.rounds(1, [&bare, &bare]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    let indexes = Some(vec!["coinstatsindex".into()]);
    let mut stage = Stage::with(Settings {
        indexes,
        ..Settings::default()
    });
    stage.rounds(1, [&bare, &bare]);
    assert_eq!(stage.states(), ["missing index: coinstatsindex"; 2]);
}

#[test]
fn health_needs_rise_and_fall_and_begins_anew_after_a_gap() {
    let (well, down) = (Node::at(TIP), Node::down());
    let mut stage = Stage::new();
    assert_eq!(
        stage.rounds(11, [&well, &down]).health(),
        [None, Some(false)]
    );
    assert_eq!(stage.rounds(1, [&well, &down]).health()[0], Some(true));
    let up_at = stage.at;
    assert_eq!(stage.rounds(2, [&down, &down]).health()[0], Some(true));
    stage.rounds(30, [&well, &down]);
    assert_eq!(stage.watch.daemons()[0].health.up_since(), Some(up_at));
    assert_eq!(stage.rounds(3, [&down, &well]).health()[0], Some(false));

    // Without a round nothing is known, and after the gap nothing is carried over.
    assert!(stage.watch.primary().is_some());
    stage.wait(Duration::from_secs(61));
    assert!(stage.watch.primary().is_none());
    assert_eq!(stage.rounds(1, [&well, &well]).health(), [None, None]);
}

#[test]
fn times_that_go_back_break_nothing() {
    let well = Node::at(TIP);
    let mut stage = Stage::new();
    stage.rounds(12, [&well, &well]);
    stage.at = stage.at - Duration::from_secs(3_600);
    stage.rounds(1, [&well, &well]);
    assert_eq!(stage.health(), [Some(true), Some(true)]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
}

#[test]
fn a_block_may_take_a_minute() {
    let mut stage = Stage::new();
    stage.rounds(12, [&Node::at(TIP), &Node::at(TIP)]);
    // Two blocks, and then one on the other of two that raced.
    let (late, ahead) = (Node::at(TIP), Node::at(TIP + 2));
    stage.rounds(6, [&late, &ahead]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    stage.rounds(1, [&late, &ahead]);
    assert_eq!(stage.states(), ["behind by 2 blocks", "healthy"]);
    let raced = Node::forked(TIP + 2, TIP + 2, 1);
    stage.rounds(6, [&raced, &ahead]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    stage.rounds(6, [&raced, &Node::at(TIP + 3)]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    stage.rounds(1, [&raced, &Node::at(TIP + 3)]);
    assert_eq!(stage.states(), ["fork", "healthy"]);
    assert_eq!(stage.health(), [Some(true), Some(true)]);
}

#[test]
fn a_block_may_take_as_long_as_the_coin_lets_a_peer_withhold_it() {
    for (coin, propagation_s) in [
        ("Bitcoin", 720),
        ("Litecoin", 180),
        ("Groestlcoin", 72),
        // A download takes its time whatever the coin, and an unknown coin's block time is unknown.
        ("DigiByte", 60),
        ("BitcoinRegtest", 60),
        ("Egulden", 60),
    ] {
        let mut stage = Stage::with(Settings::default());
        stage.server.coin = Some(coin.into());
        stage.wait(Duration::ZERO);
        let propagation = stage.watch.propagation();
        assert_eq!(propagation.as_secs(), propagation_s, "{coin}");
    }
    let mut stage = Stage::with(Settings::default());
    stage.rounds(12, [&Node::at(TIP), &Node::at(TIP)]);
    let (late, ahead) = (Node::at(TIP), Node::at(TIP + 2));
    stage.rounds(72, [&late, &ahead]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    stage.rounds(1, [&late, &ahead]);
    assert_eq!(stage.states(), ["behind by 2 blocks", "healthy"]);
}

#[test]
fn the_anchor_does_not_follow_a_daemon_in_use_that_is_losing() {
    let mut stage = Stage::new();
    stage.rounds(1, [&Node::at(TIP), &Node::at(TIP)]);
    for found in 0..600 {
        let losing = Node::forked(TIP + found / 2, TIP, 1);
        stage.rounds(1, [&Node::at(TIP + found), &losing]);
    }
    assert_eq!(stage.states(), ["healthy", "other chain"]);
}

#[test]
fn a_daemon_that_was_left_far_behind_does_not_hold_the_anchor_down() {
    let mut stage = Stage::new();
    stage.rounds(1, [&Node::at(TIP), &Node::at(TIP)]);
    for height in (TIP..TIP + 600).step_by(50) {
        stage.rounds(1, [&Node::at(TIP), &Node::at(height)]);
    }
    // The two have the blocks up to here in common, and no reorganisation goes back that far.
    let other = Node::forked(TIP + 700, TIP + 1, 1);
    stage.rounds(1, [&other, &Node::at(TIP + 600)]);
    assert_eq!(stage.states(), ["other chain", "healthy"]);
}

#[test]
fn an_anchor_that_was_left_far_behind_is_set_anew() {
    let mut stage = Stage::new();
    stage.rounds(1, [&Node::at(TIP), &Node::at(TIP)]);
    // It catches up with hundreds of blocks from one round to the next, while the other is down.
    stage.rounds(1, [&Node::down(), &Node::at(TIP + 500)]);
    stage.rounds(1, [&Node::down(), &Node::at(TIP + 1_000)]);
    assert_eq!(stage.states()[1], "healthy");
    // By nobody but the daemon in use, though.
    let other = Node::forked(TIP + 2_000, TIP - 900, 1);
    let syncing = Node {
        is_initial_download: true,
        ..Node::at(TIP - 2_000)
    };
    stage.rounds(2, [&other, &syncing]);
    assert_eq!(stage.states()[0], "other chain");
}

#[test]
fn a_gap_leaves_the_anchor_where_it_was() {
    let mut stage = Stage::new();
    stage.rounds(12, [&Node::at(TIP), &Node::at(TIP)]);
    stage.wait(Duration::from_secs(3_600));
    let other = Node::forked(TIP + 9, TIP - 900, 1);
    stage.rounds(1, [&Node::at(TIP), &other]);
    assert_eq!(stage.states(), ["healthy", "other chain"]);
}

#[test]
fn a_round_about_fewer_daemons_says_nothing_of_the_others() {
    let mut stage = Stage::new();
    stage.at = stage.at + Duration::from_secs(10);
    let round = Round {
        at: stage.at,
        reports: Vec::new(),
    };
    stage.watch.observe(stage.at, &stage.server, &[round]);
    assert_eq!(stage.states(), ["-", "-"]);
}

#[test]
fn who_catches_up_or_has_gone_is_nobodys_measure() {
    let catching_up = Node {
        is_initial_download: true,
        ..Node::at(TIP + 9)
    };
    assert_eq!(
        states(&catching_up, &Node::at(TIP)),
        ["initial download, no recent block", "healthy"]
    );
    let mut stage = Stage::new();
    stage.rounds(12, [&Node::at(TIP + 9), &Node::at(TIP)]);
    assert_eq!(stage.states(), ["healthy", "behind by 9 blocks"]);
    stage.rounds(1, [&Node::down(), &Node::at(TIP)]);
    assert_eq!(stage.states()[1], "healthy");
}

#[test]
fn a_clock_that_goes_back_makes_no_block_older() {
    let mut stage = Stage::new();
    stage.rounds(12, [&Node::at(TIP), &Node::at(TIP)]);
    stage.at = stage.at - Duration::from_secs(3_600);
    let (late, ahead) = (Node::at(TIP), Node::at(TIP + 2));
    stage.rounds(6, [&late, &ahead]);
    assert_eq!(stage.states(), ["healthy", "healthy"]);
    stage.rounds(1, [&late, &ahead]);
    assert_eq!(stage.states(), ["behind by 2 blocks", "healthy"]);
}
