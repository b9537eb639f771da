use std::time::Duration;

use super::node::{Node, PRIMARY, SECONDARY, Stage};
use crate::daemon::{Address, Failure};
use crate::policy::DaemonTarget;
use crate::watch::{Settings, Stall, Watch};

const TIP: u64 = 800_000;

/// Where a change would go after so many rounds.
fn route(stage: &Stage, to: &DaemonTarget) -> Result<Vec<String>, String> {
    match stage.watch.route(to) {
        Ok(route) => Ok(route.iter().map(ToString::to_string).collect()),
        Err(unfit) => Err(unfit.to_string()),
    }
}

fn after(rounds: u32, primary: &Node, secondary: &Node) -> Stage {
    let mut stage = Stage::new();
    stage.rounds(rounds, [primary, secondary]);
    stage
}

#[test]
fn a_healthy_primary_with_the_same_tip_may_be_gone_back_to() {
    let stage = after(12, &Node::at(TIP), &Node::at(TIP));
    let both = Ok(vec![PRIMARY.to_owned(), SECONDARY.to_owned()]);
    assert_eq!(route(&stage, &DaemonTarget::Primary), both);
    assert_eq!(route(&stage, &DaemonTarget::Best), both);
    assert_eq!(route(&stage, &DaemonTarget::Default), Ok(vec![]));
    let list = DaemonTarget::List(vec![Address::from(PRIMARY)].into());
    assert_eq!(route(&stage, &list), both);
}

#[test]
fn whatever_is_not_fit_is_not_gone_to_and_the_reason_is_said() {
    let well = Node::at(TIP);
    for (rounds, primary, secondary, why) in [
        (
            11,
            Node::at(TIP),
            well.clone(),
            "`10.0.0.1:8332` has not been watched for long enough: healthy",
        ),
        (
            12,
            Node::down(),
            well.clone(),
            "`10.0.0.1:8332` is not healthy: unreachable",
        ),
        (
            12,
            Node::at(TIP - 2),
            well.clone(),
            "`10.0.0.1:8332` is not healthy: behind",
        ),
        (
            12,
            Node::forked(TIP + 9, TIP - 900, 1),
            well.clone(),
            "`10.0.0.1:8332` is not healthy: other chain",
        ),
        (
            12,
            Node::at(TIP - 1),
            well.clone(),
            "`10.0.0.1:8332` is below the daemon in use: 799999 of 800000",
        ),
        (
            12,
            Node::forked(TIP, TIP, 1),
            well,
            "`10.0.0.1:8332` has another tip than the daemon in use, and no more work",
        ),
    ] {
        let stage = after(rounds, &primary, &secondary);
        for to in [DaemonTarget::Primary, DaemonTarget::Default] {
            assert_eq!(route(&stage, &to), Err(why.to_owned()));
        }
    }
}

#[test]
fn a_last_bad_check_is_enough_to_stay_away() {
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    stage.rounds(1, [&Node::at(TIP - 2), &Node::at(TIP)]);
    let why = "`10.0.0.1:8332` is behind now".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));
}

#[test]
fn a_dead_daemon_in_use_still_says_what_its_tip_was() {
    let mut stage = after(12, &Node::at(TIP - 1), &Node::at(TIP));
    stage.rounds(3, [&Node::at(TIP - 1), &Node::down()]);
    let why =
        "`10.0.0.1:8332` is below the last tip of the daemon in use: 799999 of 800000".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));
    stage.rounds(1, [&Node::at(TIP), &Node::down()]);
    assert!(route(&stage, &DaemonTarget::Primary).is_ok());
}

#[test]
fn nothing_below_the_servers_index_is_gone_to() {
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    stage.server.db_height = Some(TIP + 1);
    stage.wait(Duration::from_secs(1));
    let why = "`10.0.0.1:8332` is below the server's index: 800000 of 800001".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));
}

#[test]
fn the_best_is_the_first_in_order_at_the_best_height() {
    let stage = after(12, &Node::at(TIP - 1), &Node::at(TIP));
    let why = "the server uses `10.0.0.2:8332` already".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Best), Err(why));
    let stage = after(12, &Node::down(), &Node::down());
    let why = "no daemon is healthy".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Best), Err(why));
}

#[test]
fn old_news_and_unknown_daemons_are_no_ground_to_act() {
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    stage.wait(Duration::from_secs(61));
    let why = "`10.0.0.1:8332` was not probed of late".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));
    let list = DaemonTarget::List(vec![Address::from("10.0.0.9:8332")].into());
    let why = "not all are daemons of `[server.daemon]`".to_owned();
    assert_eq!(route(&stage, &list), Err(why));

    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    stage.server.daemon = Some("10.0.0.9:8332".into());
    stage.wait(Duration::ZERO);
    let why =
        "the server uses `10.0.0.9:8332`, which is none of the daemons in `[server.daemon]`".into();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));

    stage.watch = Watch::new(Settings::default());
    let why = "there is no `[server.daemon]`".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Primary), Err(why));
    assert_eq!(route(&stage, &DaemonTarget::Default), Ok(vec![]));
}

#[test]
fn the_server_is_given_no_daemon_that_it_must_not_move_to() {
    let refused = Node {
        failure: Some(Failure::WrongCredentials),
        ..Node::at(TIP)
    };
    for unusable in [refused, Node::forked(TIP + 9, TIP - 900, 1)] {
        let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
        stage.rounds(3, [&Node::at(TIP), &unusable]);
        let alone = Ok(vec![PRIMARY.to_owned()]);
        assert_eq!(route(&stage, &DaemonTarget::Primary), alone);
        let list = [PRIMARY, SECONDARY].map(Address::from);
        assert_eq!(route(&stage, &DaemonTarget::List(list.into())), alone);
    }
    // One that is down may be up again when the server wants it.
    let stage = after(12, &Node::at(TIP), &Node::down());
    let both = Ok(vec![PRIMARY.to_owned(), SECONDARY.to_owned()]);
    assert_eq!(route(&stage, &DaemonTarget::Primary), both);
}

#[test]
fn a_daemon_that_refuses_the_agent_is_not_known_to_be_ill() {
    let refused = Node {
        failure: Some(Failure::WrongCredentials),
        ..Node::at(TIP)
    };
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    assert_eq!(stage.watch.current_health(), Some(true));
    stage.rounds(12, [&Node::at(TIP), &refused]);
    assert_eq!(stage.watch.current_health(), None);
    assert_eq!(Stall::of(&stage.watch, &stage.server, None), None);
}

#[test]
fn a_daemon_of_another_chain_that_falls_silent_bars_nothing() {
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP));
    let other = Node::forked(TIP + 50, TIP - 500, 2);
    stage.rounds(10, [&Node::at(TIP), &other]);
    assert!(route(&stage, &DaemonTarget::Primary).is_ok());
    stage.rounds(10, [&Node::at(TIP), &Node::down()]);
    assert!(route(&stage, &DaemonTarget::Primary).is_ok());
}

#[test]
fn a_server_that_does_not_name_its_daemon_is_sent_nowhere() {
    let mut stage = after(12, &Node::at(TIP), &Node::at(TIP + 1));
    stage.server.daemon = None;
    stage.wait(Duration::ZERO);
    let why = "the server does not tell which daemon it uses".to_owned();
    assert_eq!(route(&stage, &DaemonTarget::Best), Err(why));
}
