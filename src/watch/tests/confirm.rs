use std::time::Duration;

use super::node::{Node, PRIMARY, SECONDARY, Stage};
use crate::watch::{Change, Confirmation, Confirming};

const TIP: u64 = 800_000;

/// A stage where the server has just been told to go to the primary.
fn changed() -> (Stage, Confirming) {
    let mut stage = Stage::new();
    stage.rounds(12, [&Node::at(TIP), &Node::at(TIP)]);
    let change = Change {
        policy: "failback".into(),
        at: stage.at,
        to: PRIMARY.into(),
    };
    (stage, Confirming::new(change))
}

fn next(stage: &mut Stage, confirming: &mut Confirming, height: u64) -> Option<Confirmation> {
    stage.rounds(1, [&Node::at(height), &Node::at(height)]);
    confirming.observe(stage.at, &stage.server, &stage.watch)
}

fn failed(detail: &str) -> Confirmation {
    let detail = detail.to_owned();
    Confirmation::Failed { detail }
}

#[test]
fn a_change_is_named_and_then_followed() {
    let (mut stage, mut confirming) = changed();
    assert_eq!(next(&mut stage, &mut confirming, TIP), None);
    assert!(confirming.is_open());
    stage.server.daemon = Some(PRIMARY.into());
    let after = Duration::from_secs(20);
    let named = Some(Confirmation::Named { after });
    assert_eq!(next(&mut stage, &mut confirming, TIP), named);
    assert!(!confirming.is_open());
    for _ in 0..100 {
        assert_eq!(next(&mut stage, &mut confirming, TIP), None);
    }
    assert_eq!(next(&mut stage, &mut confirming, TIP + 1), None);
    stage.server.daemon_height = Some(TIP + 1);
    let height = TIP + 1;
    let followed = Some(Confirmation::Followed { height });
    assert_eq!(next(&mut stage, &mut confirming, TIP + 1), followed);
}

#[test]
fn a_block_that_comes_right_after_the_naming_is_the_next_one() {
    let (mut stage, mut confirming) = changed();
    stage.server.daemon = Some(PRIMARY.into());
    next(&mut stage, &mut confirming, TIP);
    let height = TIP + 1;
    stage.server.daemon_height = Some(height);
    let followed = Some(Confirmation::Followed { height });
    assert_eq!(next(&mut stage, &mut confirming, height), followed);
}

#[test]
fn a_change_that_getinfo_does_not_show_within_a_minute_has_failed() {
    let (mut stage, mut confirming) = changed();
    for _ in 0..5 {
        assert_eq!(next(&mut stage, &mut confirming, TIP), None);
    }
    let still = failed("after 1m the server still uses `10.0.0.2:8332`");
    assert_eq!(next(&mut stage, &mut confirming, TIP), Some(still));
}

#[test]
fn a_server_that_leaves_again_has_failed() {
    let (mut stage, mut confirming) = changed();
    stage.server.daemon = Some(PRIMARY.into());
    next(&mut stage, &mut confirming, TIP);
    stage.server.daemon = Some(SECONDARY.into());
    let left = failed("the server left `10.0.0.1:8332` for `10.0.0.2:8332` after 20s");
    assert_eq!(next(&mut stage, &mut confirming, TIP), Some(left));
}

#[test]
fn a_server_that_does_not_hear_of_the_next_block_has_failed() {
    let (mut stage, mut confirming) = changed();
    stage.server.daemon = Some(PRIMARY.into());
    next(&mut stage, &mut confirming, TIP);
    next(&mut stage, &mut confirming, TIP);
    for _ in 0..6 {
        assert_eq!(next(&mut stage, &mut confirming, TIP + 1), None);
    }
    let deaf =
        failed("`10.0.0.1:8332` has had block 800001 for 1m, and the server does not know of it");
    assert_eq!(next(&mut stage, &mut confirming, TIP + 1), Some(deaf));
}

#[test]
fn a_release_that_names_no_daemon_cannot_confirm() {
    let (mut stage, mut confirming) = changed();
    stage.server.daemon = None;
    for _ in 0..5 {
        assert_eq!(next(&mut stage, &mut confirming, TIP), None);
    }
    let unnamed = failed("getinfo does not name the daemon");
    assert_eq!(next(&mut stage, &mut confirming, TIP), Some(unnamed));
}

#[test]
fn a_server_that_says_less_for_a_while_has_not_failed() {
    let (mut stage, mut confirming) = changed();
    stage.server.daemon = Some(PRIMARY.into());
    next(&mut stage, &mut confirming, TIP);
    next(&mut stage, &mut confirming, TIP);
    stage.server.daemon = None;
    for _ in 0..9 {
        assert_eq!(next(&mut stage, &mut confirming, TIP), None);
    }
    stage.server.daemon = Some(PRIMARY.into());
    // It was started again, and knows no height yet.
    stage.server.daemon_height = None;
    for _ in 0..9 {
        assert_eq!(next(&mut stage, &mut confirming, TIP + 1), None);
    }
    stage.server.daemon_height = Some(TIP + 1);
    let followed = Confirmation::Followed { height: TIP + 1 };
    assert_eq!(next(&mut stage, &mut confirming, TIP + 1), Some(followed));
}
