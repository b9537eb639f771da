//! What is decided is done, on every release, within the limits, and on fresh evidence alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::control::{ClosedAnswer, Request};
use electrumx_warden::decision::{Outcome, Suppression};
use electrumx_warden::limits::Budget;
use electrumx_warden::policy::Quota;
use electrumx_warden::sim::Release;

use crate::by_hand::{listen, said};
use crate::log::Log;
use crate::scene::{Scene, evil, executed, policy};
use crate::tap::Trick;

fn done(detail: &str) -> Outcome {
    Outcome::Executed {
        detail: detail.to_owned(),
    }
}

#[tokio::test]
async fn the_abusive_go_and_the_others_stay_on_every_release() {
    for release in Release::ALL {
        let mut scene = Scene::new(release, evil()).await;
        // Their IDs are those that the RPC connections get where these are counted apart.
        let evil: Vec<_> = (0..3).map(|last| scene.client("evil/1", last)).collect();
        let good: Vec<_> = (3..6).map(|last| scene.client("good/1", last)).collect();
        let mut executed_in_all = 0;
        for _ in 0..5 {
            executed_in_all += executed(&scene.good_poll().await);
        }
        assert_eq!(executed_in_all, 3, "{release}");
        assert!(!evil.iter().any(|&key| scene.is_open(key)), "{release}");
        assert!(good.iter().all(|&key| scene.is_open(key)), "{release}");
        let ambiguous = Outcome::Suppressed(Suppression::AmbiguousId);
        let is_ambiguous = scene.rows().iter().any(|row| row.outcome == ambiguous);
        assert_eq!(is_ambiguous, release == Release::V1_0_17, "{release}");
    }
}

#[tokio::test]
async fn who_is_gone_already_counts_as_done() {
    for release in [Release::V0_10_2, Release::V1_6, Release::V1_20_0] {
        let mut scene = Scene::new(release, evil()).await;
        let key = scene.client("evil/1", 1);
        let server = Arc::clone(&scene.server);
        if release == Release::V0_10_2 {
            scene.tap.play("disconnect", Trick::Delay(Duration::ZERO));
        }
        let leaves = Trick::First(Box::new(move || server.world().hang_up(key)));
        scene.tap.play("disconnect", leaves);
        let outcomes = scene.good_poll().await;
        let gone = done("disconnected 0, 1 already gone");
        assert_eq!(outcomes, [("evil".into(), gone.clone())], "{release}");
        assert_eq!(scene.rows()[0].outcome, gone);
    }
}

/// The server is started again between the poll and the act: the ID is another's now.
#[tokio::test]
async fn evidence_of_another_epoch_is_never_acted_on() {
    for release in [Release::V1_0_17, Release::V1_20_0, Release::V2_0_0] {
        let mut scene = Scene::new(release, evil() + &late()).await;
        for last in 0..5 {
            scene.client("good", last);
        }
        scene.client("evil/1", 9);
        // The line breaks at the first act; what comes after it in the poll must not reconnect.
        scene.tap.play("disconnect", Trick::CutBefore);
        let outcomes = scene.good_poll().await;
        assert!(
            matches!(&outcomes[0].1, Outcome::Failed { detail } if detail.contains("outcome unknown")),
            "{outcomes:?}"
        );
        let Outcome::Failed { detail } = &outcomes[1].1 else {
            panic!("{outcomes:?}");
        };
        assert!(detail.starts_with("logging 0, not done 1: "), "{detail}");
        assert!(detail.contains("poll again"), "{detail}");
        assert!(scene.tap.asked("log").is_empty());

        // Now the server is another, and the old ID is an honest client's.
        scene.server.restart();
        let good: Vec<_> = (0..8).map(|last| scene.client("good", last)).collect();
        scene.poll().await;
        assert!(scene.good_poll().await.is_empty());
        assert!(good.iter().all(|&key| scene.is_open(key)));
        assert_eq!(scene.tap.asked("disconnect").len(), 1);
    }
}

/// Logs the same clients as `evil` disconnects.
fn late() -> String {
    policy(
        "late",
        "session",
        "{ client = \"=~ ^evil\" }",
        "{ log = { for = \"1m\" } }",
        "",
    )
}

/// What the server was never asked has no cooldown and costs nothing: it is due at the next poll.
#[tokio::test]
async fn what_was_never_sent_is_done_at_the_next_poll() {
    let mut scene = Scene::new(Release::V1_20_0, evil() + &late()).await;
    scene.settings.limits.log.burst = 1;
    scene.settings.limits.log.rate.count = 1;
    scene.settings.limits.log.rate.per = Duration::from_secs(86_400);
    let key = scene.client("evil/1", 9);
    scene.tap.play("disconnect", Trick::CutBefore);
    scene.good_poll().await;
    let outcomes = scene.good_poll().await;
    // The disconnect may have been heard, so it is in its cooldown; the log was not sent.
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(
        outcomes.contains(&("late".into(), done("logging 1"))),
        "{outcomes:?}"
    );
    assert!(scene.is_logged(key));
    assert!(scene.is_open(key));
}

#[tokio::test]
async fn what_was_never_sent_is_done_by_the_next_agent() {
    let mut scene = Scene::new(Release::V1_20_0, evil() + &late()).await;
    let key = scene.client("evil/1", 9);
    scene.tap.play("disconnect", Trick::CutBefore);
    scene.good_poll().await;
    scene.kill_agent();
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(scene.is_logged(key));
    scene.kill_agent();
    assert_eq!(executed(&scene.good_poll().await), 0);
}

#[tokio::test]
async fn a_budget_leaves_the_rest_for_the_next_poll() {
    let mut scene = Scene::new(
        Release::V1_20_0,
        policy(
            "net",
            "subnet",
            "{ sessions = \"> 5\" }",
            "\"disconnect\"",
            "",
        ),
    )
    .await;
    scene.settings.limits.disconnect = Budget {
        rate: Quota {
            count: 12,
            per: Duration::from_secs(60),
        },
        burst: 3,
    };
    let keys: Vec<_> = (0..10).map(|last| scene.client("x", last)).collect();
    let mut open = Vec::new();
    for _ in 0..4 {
        scene.good_poll().await;
        open.push(keys.iter().filter(|&&key| scene.is_open(key)).count());
    }
    // Three at once, two more in ten seconds; below six members the policy holds no longer.
    assert_eq!(open, [7, 5, 5, 5]);
    assert_eq!(scene.rows().len(), 2);
}

#[tokio::test]
async fn the_breaker_stops_a_policy_alone_and_over_a_restart() {
    let odd = policy(
        "odd",
        "session",
        "{ client = \"=~ ^odd\" }",
        "\"disconnect\"",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, evil() + &odd).await;
    scene.settings.limits.breaker.regulars_min = 5;
    let keys: Vec<_> = (0..8).map(|last| scene.client("evil/1", last)).collect();
    let good = (100..108).map(|last| scene.client("good", last));
    let all: Vec<_> = keys.iter().copied().chain(good).collect();
    // So that all of them are regulars.
    scene.wait_alive(&all, Duration::from_hours(1));
    let breaker = |outcomes: &[(String, Outcome)]| {
        let is = |(policy, outcome): &&(String, Outcome)| {
            policy == "evil" && matches!(outcome, Outcome::Suppressed(Suppression::Breaker { .. }))
        };
        outcomes.iter().filter(is).count()
    };
    // Fewer than five never stop it; five are more than a tenth of 16.
    let (log, _guard) = Log::listen();
    let outcomes = scene.good_poll().await;
    assert_eq!((executed(&outcomes), breaker(&outcomes)), (4, 4));
    let lines = log.lines();
    assert!(
        lines.len() == 1
            && lines[0].starts_with(
                "ERROR the breaker has stopped policy `evil` until 2026-01-01T01:30:00"
            )
            && lines[0].ends_with("policy=\"evil\""),
        "{lines:?}"
    );
    // Strangers, and another policy's.
    scene.client("odd/1", 200);
    let outcomes = scene.good_poll().await;
    assert_eq!(
        (executed(&outcomes), outcomes.len()),
        (1, 1),
        "{outcomes:?}"
    );
    assert!(log.lines().is_empty(), "told once");
    scene.kill_agent();
    assert_eq!(breaker(&scene.good_poll().await), 4);
    assert_eq!(keys.iter().filter(|&&key| scene.is_open(key)).count(), 4);
    // A person looks at it, and lets the policy go on; over a restart too.
    log.lines();
    scene.kill_agent();
    let socket = listen(&mut scene);
    for (name, is_closed) in [("evil", true), ("evil", false), ("good\u{1b}", false)] {
        let policy = name.to_owned();
        let close = Request::BreakerClose { policy };
        let answer = said::<ClosedAnswer>(&mut scene, &socket, close).await;
        assert_eq!(answer.is_ok(), is_closed, "{answer:?}");
    }
    let lines = log.lines();
    assert!(
        lines.len() == 1
            && lines[0].starts_with("WARN the breaker of policy `evil` was closed by "),
        "{lines:?}"
    );
    scene.kill_agent();
    let outcomes = scene.good_poll().await;
    assert_eq!((executed(&outcomes), breaker(&outcomes)), (4, 0));
    scene.good_poll().await;
    assert!(log.lines().is_empty(), "asked once, done once");
}

#[tokio::test]
async fn the_share_of_all_policies_keeps_regulars_and_stops_none() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    let breaker = &mut scene.settings.limits.breaker;
    (breaker.share, breaker.share_of_all, breaker.regulars_min) = (1.0, 0.25, 1);
    let keys: Vec<_> = (0..8).map(|last| scene.client("evil/1", last)).collect();
    let good = (100..108).map(|last| scene.client("good", last));
    let all: Vec<_> = keys.iter().copied().chain(good).collect();
    scene.wait_alive(&all, Duration::from_hours(1));
    let left = |outcomes: &[(String, Outcome)]| {
        let is_left = |(_, outcome): &&(String, Outcome)| {
            matches!(outcome, Outcome::Suppressed(Suppression::ShareOfAll { .. }))
        };
        outcomes.iter().filter(is_left).count()
    };
    let (log, _guard) = Log::listen();
    let outcomes = scene.good_poll().await;
    assert_eq!((executed(&outcomes), left(&outcomes)), (4, 4));
    assert_eq!(
        log.lines(),
        [
            "ERROR all policies together have disconnected as many regular clients as `share_of_all` in \
             `[breaker]` allows (mode enforce): no other regular client is disconnected \
             until 2026-01-01T01:05:00.000Z, strangers are; a person must look at the acts, and correct the \
             policy that is wrong, or raise the share"
        ]
    );
    // A stranger; and over a restart it is the same. An agent that has just started says so once.
    scene.client("evil/1", 200);
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(log.lines().is_empty(), "told once");
    scene.kill_agent();
    let outcomes = scene.good_poll().await;
    assert_eq!((executed(&outcomes), left(&outcomes)), (0, 4));
    log.lines();
    scene.wait_alive(&all, Duration::from_mins(5));
    assert_eq!(executed(&scene.good_poll().await), 3, "a quarter of 12");
    assert_eq!(keys.iter().filter(|&&key| scene.is_open(key)).count(), 1);
}

#[tokio::test]
async fn hold_times_outlive_an_agent_that_is_killed_again_and_again() {
    let slow = policy(
        "slow",
        "session",
        "{ client = \"=~ ^evil\" }",
        "\"disconnect\"",
        "for = \"10m\"",
    );
    let mut scene = Scene::new(Release::V1_20_0, slow).await;
    let key = scene.client("evil/1", 1);
    let mut polls = 0;
    while scene.is_open(key) && polls < 200 {
        scene.wait_alive(&[key], Duration::ZERO);
        scene.poll().await;
        polls += 1;
        if polls % 25 == 0 {
            scene.kill_agent();
        }
    }
    // Each kill loses a minute at the most.
    assert!((60..80).contains(&polls), "{polls}");
}

#[tokio::test]
async fn a_crowd_in_which_nobody_stands_out_is_an_alert_once_an_hour() {
    let busy = policy(
        "busy",
        "subnet",
        "{ requests = \"> 60\" }",
        "\"disconnect\"",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, busy).await;
    let keys: Vec<_> = (0..5).map(|last| scene.client("x", last)).collect();
    scene.wait_alive(&keys, Duration::from_hours(1));
    let (log, _guard) = Log::listen();
    let alerts = |log: &Log| {
        let lines = log.lines();
        lines
            .into_iter()
            .filter(|line| line.contains("alert:"))
            .collect::<Vec<_>>()
    };
    let outcomes = scene.good_poll().await;
    assert!(
        matches!(
            &outcomes[..],
            [(_, Outcome::Suppressed(Suppression::NobodyStandsOut))]
        ),
        "{outcomes:?}"
    );
    let told = alerts(&log);
    assert!(
        told.len() == 1 && told[0].contains("none of 5 sessions (5 of regulars)"),
        "{told:?}"
    );
    for _ in 0..3 {
        scene.good_poll().await;
    }
    assert!(alerts(&log).is_empty(), "told once");
    scene.wait_alive(&keys, Duration::from_hours(1));
    // The server has closed the agent's own connection, which was idle.
    scene.poll().await;
    scene.good_poll().await;
    assert_eq!(alerts(&log).len(), 1, "told again");
    assert!(keys.iter().all(|&key| scene.is_open(key)));
}

#[tokio::test]
async fn the_protected_are_never_targets() {
    let net = policy(
        "net",
        "subnet",
        "{ sessions = \"> 1\" }",
        "\"disconnect\"",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, evil() + &net).await;
    let list = electrumx_warden::config::Config::check(electrumx_warden::policy::Source {
        name: "c.toml".into(),
        text: "[server]\nrpc = \"127.0.0.1:1\"\n[protect]\naddresses = [\"198.51.100.7\"]\n\
               clients = [\"monitor\"]\n"
            .into(),
    });
    scene.settings.protection = list.config.unwrap().protection;
    let safe = [scene.client("evil/1", 7), scene.client("evil-monitor", 8)];
    let gone = scene.client("evil/1", 9);
    let outcomes = scene.good_poll().await;
    assert!(safe.iter().all(|&key| scene.is_open(key)));
    assert!(!scene.is_open(gone));
    let protected = (
        "evil".to_owned(),
        Outcome::Suppressed(Suppression::Protection),
    );
    assert_eq!(
        outcomes.iter().filter(|o| **o == protected).count(),
        2,
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn an_alert_is_told_and_changes_nothing() {
    let alert = policy("many", "server", "{ sessions = \"> 1\" }", "\"alert\"", "");
    let mut scene = Scene::new(Release::V1_20_0, alert).await;
    let key = scene.client("x", 1);
    let (log, _guard) = Log::listen();
    assert_eq!(scene.good_poll().await, [("many".into(), done("told"))]);
    let words = "alert: sessions 2 (> 1)";
    assert!(log.lines().iter().any(|line| line.contains(words)));
    assert!(scene.is_open(key));
    let asked = ["disconnect", "log", "daemon_url"].map(|method| scene.tap.asked(method).len());
    assert_eq!(asked, [0; 3]);
}

/// A policy that fits everybody: neither the agent's connection nor an operator's is touched.
#[tokio::test]
async fn rpc_connections_are_never_targets() {
    for release in Release::ALL {
        let all = policy(
            "all",
            "session",
            "{ age = \">= 0s\" }",
            "\"disconnect\"",
            "",
        );
        let mut scene = Scene::new(release, all).await;
        let operator = scene
            .server
            .world()
            .open_rpc(SocketAddr::from(([127, 0, 0, 1], 1)));
        for last in 0..4 {
            scene.client("x", last);
        }
        for _ in 0..5 {
            scene.good_poll().await;
        }
        assert!(scene.is_open(operator), "{release}");
        for params in scene.tap.asked("disconnect") {
            let text = params.to_string();
            for word in ["all", "none", "new", "t0"] {
                assert!(!text.contains(word), "{text}");
            }
        }
    }
}
