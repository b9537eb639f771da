//! Changes of daemon: where to, on what ground, and what becomes of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::log::Log;
use crate::scene::{Scene, SimClock, executed, outcomes, policy};
use crate::tap::Trick;
use electrumx_warden::agent::Rounds;
use electrumx_warden::daemon::{self, BlockHash, Chain, Daemons, Failure, Report, Round, Work};
use electrumx_warden::decision::{Outcome, Suppression};
use electrumx_warden::journal::{Event, EventFilter, Journal};
use electrumx_warden::poll::Clock as _;
use electrumx_warden::sim::{Release, Server};
use electrumx_warden::status::Status;
use electrumx_warden::watch::{self, Counts};
use serde_json::json;

/// The simulated server's daemons: its own list's first, and another.
const PRIMARY: &str = "127.0.0.1:8332";
const SECONDARY: &str = "127.0.0.1:18332";

/// What the probes hear: of each daemon its height, or nothing.
#[derive(Clone)]
struct Script {
    heights: Arc<Mutex<Vec<Option<u64>>>>,
    /// Why there is no height.
    failure: Arc<Mutex<Failure>>,
    clock: Arc<Server>,
}

impl Rounds for Script {
    fn take(&mut self) -> Vec<Round> {
        let report = |height: &Option<u64>| Report {
            heard: height
                .map(chain)
                .ok_or(self.failure.lock().unwrap().clone()),
            took: Duration::ZERO,
        };
        vec![Round {
            at: SimClock(Arc::clone(&self.clock)).now(),
            reports: self.heights.lock().unwrap().iter().map(report).collect(),
        }]
    }
}

fn chain(height: u64) -> Chain {
    let hash = |height: u64| {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&height.to_be_bytes());
        bytes
    };
    let heights = (0..=height).filter(|at| at % 100 == 0 || at + 10 > height);
    Chain {
        name: "main".into(),
        height,
        headers: height,
        tip: BlockHash::from_bytes(hash(height)),
        work: Work::from_bytes(hash(height)),
        is_initial_download: false,
        is_pruned: false,
        hashes: heights
            .map(|at| (at, BlockHash::from_bytes(hash(at))))
            .collect(),
        indexes: Some(vec![daemon::Index {
            name: "txindex".into(),
            is_synced: true,
        }]),
    }
}

fn both() -> Daemons {
    let urls = "http://u:sesame@127.0.0.1:8332/,http://u:sesame@127.0.0.1:18332/";
    Daemons::parse(urls, None).unwrap()
}

/// A server with such a policy on its secondary, and probes that hear the heights that the script
/// says.
async fn on_secondary(policies: String) -> (Scene, Script) {
    let mut scene = Scene::new(Release::V1_20_0, policies).await;
    scene.settings.daemons = watch::Settings {
        addresses: [PRIMARY, SECONDARY].map(Into::into).to_vec(),
        counts: Counts { rise: 1, fall: 1 },
        ..watch::Settings::default()
    };
    let script = Script {
        heights: Arc::new(Mutex::new(vec![Some(1_000_000); 2])),
        failure: Arc::new(Mutex::new(Failure::WrongCredentials)),
        clock: Arc::clone(&scene.server),
    };
    go_to_secondary(&scene);
    let rounds = Box::new(script.clone());
    scene.agent().watch_daemons(both(), rounds);
    (scene, script)
}

fn go_to_secondary(scene: &Scene) {
    let url = json!({ "daemon_url": "http://u:sesame@127.0.0.1:18332/" });
    scene.operator("daemon_url", &url);
}

fn change(to: &str) -> String {
    policy(
        "back",
        "server",
        "{ on_primary = false }",
        &format!("{{ daemon_url = {{ to = {to} }} }}"),
        "cooldown = \"5m\"",
    )
}

fn last(scene: &Scene) -> Outcome {
    scene.rows()[0].outcome.clone()
}

#[tokio::test]
async fn the_server_is_sent_to_the_daemons_wanted_and_keeps_the_others() {
    let (first, other) = (
        "http://u:sesame@127.0.0.1:8332/",
        "http://u:sesame@127.0.0.1:18332/",
    );
    for (to, daemons, sent) in [
        (
            "\"primary\"",
            &[PRIMARY, SECONDARY][..],
            format!("{first},{other}"),
        ),
        (
            "\"best\"",
            &[PRIMARY, SECONDARY],
            format!("{first},{other}"),
        ),
        (
            "[\"127.0.0.1:8332\"]",
            &[PRIMARY, SECONDARY],
            format!("{first},{other}"),
        ),
        ("\"default\"", &[], String::new()),
    ] {
        let (mut scene, _) = on_secondary(change(to)).await;
        let outcomes = scene.good_poll().await;
        assert_eq!(executed(&outcomes), 1, "{to}: {outcomes:?}");
        assert_eq!(scene.tap.asked("daemon_url")[0]["daemon_url"], sent);
        let row = &scene.rows()[0];
        let written: Vec<&str> = row
            .decision
            .daemons
            .iter()
            .map(|daemon| &**daemon)
            .collect();
        assert_eq!(written, daemons);
        scene.good_poll().await;
        let Outcome::Executed { detail } = last(&scene) else {
            panic!("{:?}", last(&scene));
        };
        assert_eq!(
            detail,
            "now using daemon at 127.0.0.1:8332/; named by getinfo after 10s; its next block is to come"
        );
        assert!(!format!("{:?}", scene.rows()).contains("sesame"));
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_fit_is_not_gone_to() {
    let (mut scene, script) = on_secondary(change("\"primary\"")).await;
    *script.heights.lock().unwrap() = vec![None, Some(1_000_000)];
    let why = "`127.0.0.1:8332` is not healthy: wrong credentials".to_owned();
    let unfit = Outcome::Suppressed(Suppression::UnfitDaemon { why });
    assert_eq!(scene.good_poll().await, [("back".into(), unfit)]);
    // It is told once, and done as soon as it can be.
    assert_eq!(scene.good_poll().await, []);
    *script.heights.lock().unwrap() = vec![Some(1_000_000); 2];
    assert_eq!(executed(&scene.good_poll().await), 1);
}

#[tokio::test]
async fn a_change_that_the_server_does_not_make_has_failed() {
    let (mut scene, _) = on_secondary(change("\"primary\"")).await;
    scene.good_poll().await;
    // Somebody sends it back at once.
    go_to_secondary(&scene);
    for _ in 0..6 {
        scene.good_poll().await;
    }
    let Outcome::Failed { detail } = last(&scene) else {
        panic!("{:?}", last(&scene));
    };
    assert_eq!(
        detail,
        "now using daemon at 127.0.0.1:8332/, but after 1m the server still uses `127.0.0.1:18332`"
    );
}

#[tokio::test]
async fn what_the_server_refuses_is_tried_again_later_and_later() {
    let text = policy(
        "back",
        "server",
        "{ on_primary = false }",
        "{ daemon_url = { to = \"primary\" } }",
        "for = \"20s\"\nbackoff = { max = \"1m\", reset = \"24h\" }\ncooldown = \"1s\"",
    );
    let (mut scene, script) = on_secondary(text).await;
    scene.settings.limits.daemon_url.count = 100;
    scene.kill_agent();
    let mut asked = Vec::new();
    for poll in 0..25 {
        if poll == 5 {
            scene.kill_agent();
        }
        scene
            .agent()
            .watch_daemons(both(), Box::new(script.clone()));
        scene.tap.play_no_more();
        scene.tap.play("daemon_url", Trick::Refuse);
        scene.good_poll().await;
        asked.push(scene.tap.asked("daemon_url").len());
    }
    let is_more = |&i: &usize| asked[i] > asked[i - 1];
    let tried: Vec<usize> = (1..asked.len()).filter(is_more).collect();
    assert_eq!(tried, [2, 9, 15, 21]);
    let rows = scene.rows();
    let told = rows.iter().filter_map(|row| match &row.outcome {
        Outcome::Suppressed(Suppression::Backoff { hold, failures }) => {
            Some((hold.as_secs(), *failures))
        }
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(40, 1), (40, 1), (60, 2), (60, 3), (60, 4)]);
}

#[tokio::test]
async fn a_daemon_changed_as_often_as_it_may_be_wants_a_person() {
    for (limit, by) in [("", "action-limit"), ("limit = \"3/d\"", "policy-limit")] {
        let text = policy(
            "daemon",
            "server",
            "{ sessions = \">= 0\" }",
            "{ daemon_url = { to = \"default\" } }",
            &format!("cooldown = \"1s\"\n{limit}"),
        );
        let mut scene = Scene::new(Release::V1_20_0, text).await;
        if !limit.is_empty() {
            scene.settings.limits.daemon_url.count = 100;
        }
        let (log, _guard) = Log::listen();
        for poll in 0..6 {
            if poll == 2 {
                scene.kill_agent();
            }
            scene.good_poll().await;
        }
        assert_eq!(scene.tap.asked("daemon_url").len(), 3);
        let errors: Vec<_> = log.lines();
        let errors = errors.iter().filter(|line| line.starts_with("ERROR"));
        let errors: Vec<_> = errors.collect();
        assert!(
            errors.len() == 1
                && errors[0].contains("` before 2026-01-02T00:00:")
                && errors[0].contains("a person must look"),
            "{errors:?}"
        );
        let rows = scene.rows();
        let held_back = rows.iter().filter(|row| match &row.outcome {
            Outcome::Suppressed(Suppression::ActionLimit { .. }) => by == "action-limit",
            Outcome::Suppressed(Suppression::PolicyLimit { .. }) => by == "policy-limit",
            _ => false,
        });
        assert_eq!(held_back.count(), 1, "{rows:?}");
    }
}

#[tokio::test]
async fn news_of_the_daemons_is_told_once_and_the_status_left() {
    let (log, _guard) = Log::listen();
    let (mut scene, script) = on_secondary(change("\"primary\"")).await;
    let path = Status::path(&scene.journal());
    scene.agent().keep_status(path.clone());
    *script.heights.lock().unwrap() = vec![None, Some(1_000_000)];
    scene.good_poll().await;
    scene.good_poll().await;
    let lines = log.lines();
    let told = |lines: &[String], words: &str| lines.iter().filter(|l| l.contains(words)).count();
    assert_eq!(
        told(
            &lines,
            "daemon `127.0.0.1:8332` refuses user, password or address"
        ),
        1
    );
    assert_eq!(
        told(
            &lines,
            "daemon `127.0.0.1:8332` is not healthy: wrong credentials"
        ),
        1
    );
    assert_eq!(told(&lines, "daemon `127.0.0.1:18332` is healthy"), 1);

    let status = Status::load(&path).unwrap().unwrap();
    assert_eq!(status.daemons[0].is_healthy, Some(false));
    assert_eq!(status.daemons[1].in_use, Some(true));
    let back = &status.policies[0];
    assert!(back.standing.is_due());
    let held_back = back.held_back.clone();
    assert!(
        matches!(held_back, Some(Suppression::UnfitDaemon { .. })),
        "{held_back:?}"
    );

    // The server does not answer: what is known stays, with its time.
    scene.tap.play("getinfo", Trick::CutBefore);
    scene.poll().await;
    let silent = Status::load(&path).unwrap().unwrap();
    assert_eq!(silent.server.polled, status.server.polled);
    assert!(silent.at > status.at);

    let elsewhere = json!({ "daemon_url": "http://u:sesame@192.0.2.1:8332/" });
    scene.operator("daemon_url", &elsewhere);
    scene.good_poll().await;
    scene.good_poll().await;
    let foreign = "`192.0.2.1:8332`, which is none of `[server.daemon]`";
    assert_eq!(told(&log.lines(), foreign), 1);
    // An agent that ends in good order takes it away.
    scene.agent().run(std::future::ready(()), |_, _| {}).await;
    assert_eq!(Status::load(&path).unwrap(), None);
}

/// What the probes hear is judged and shown while the server does not answer, and nothing is done.
#[tokio::test]
async fn an_outage_hides_no_daemon() {
    let (log, _guard) = Log::listen();
    let unwell = policy(
        "unwell",
        "server",
        "{ primary_healthy = false, primary_state = \"unreachable\" }",
        "\"alert\"",
        "for = \"20s\"",
    );
    let back = policy(
        "back",
        "server",
        "{ primary_healthy = false }",
        "{ daemon_url = { to = \"best\" } }",
        "",
    );
    let (mut scene, script) = on_secondary(unwell + &back).await;
    let path = Status::path(&scene.journal());
    scene.agent().keep_status(path.clone());
    scene.tap.play("getinfo", Trick::CutBefore);
    let told = |words: &[&str]| {
        let lines = log.lines();
        words
            .iter()
            .map(|words| lines.iter().filter(|line| line.contains(words)).count())
            .collect::<Vec<_>>()
    };
    // Never answered, and the daemons do: the server is at fault.
    scene.poll().await;
    let status = Status::load(&path).unwrap().unwrap();
    assert_eq!(status.server.polled, None);
    assert_eq!(status.outage, Some(watch::Outage::Server));
    assert_eq!(told(&["it is ElectrumX itself"]), [1]);

    *script.failure.lock().unwrap() = Failure::Unreachable {
        detail: "connection refused".into(),
    };
    *script.heights.lock().unwrap() = vec![None, None];
    let mut outcomes_of_all = Vec::new();
    for _ in 0..5 {
        scene.tap.play("getinfo", Trick::CutBefore);
        let tick = scene.poll().await;
        assert!(tick.failure.is_some());
        outcomes_of_all.extend(outcomes(&tick));
    }
    assert_eq!(executed(&outcomes_of_all), 1, "{outcomes_of_all:?}");
    assert_eq!(scene.tap.asked("daemon_url").len(), 0);
    let status = Status::load(&path).unwrap().unwrap();
    assert_eq!(status.daemons[1].is_healthy, Some(false));
    assert_eq!(status.outage, Some(watch::Outage::NoDaemon));
    let words = [
        "ElectrumX opens its RPC only once a daemon has answered",
        "daemon `127.0.0.1:18332` is not healthy",
    ];
    assert_eq!(told(&words), [1, 1]);
    let row = scene
        .rows()
        .into_iter()
        .find(|row| &*row.decision.policy == "unwell");
    let evidence = row.unwrap().decision.evidence;
    let seen: Vec<String> = evidence.iter().map(|e| format!("{:?}", e.seen)).collect();
    assert_eq!(seen, ["Flag(false)", "Text(\"unreachable\")"]);

    scene.tap.play_no_more();
    scene.good_poll().await;
    let status = Status::load(&path).unwrap().unwrap();
    assert_eq!(status.outage, None);
    assert!(status.server.polled.is_some());
}

/// `ElectrumX` goes on to another daemon when a connection fails, and says so to nobody.
#[tokio::test]
async fn a_move_that_is_not_the_agents_is_told_and_the_agents_own_is_not() {
    let (log, _guard) = Log::listen();
    let (mut scene, _) = on_secondary(change("\"primary\"")).await;
    let told = |words: &str| log.lines().iter().filter(|l| l.contains(words)).count();
    for _ in 0..3 {
        scene.good_poll().await;
    }
    assert_eq!(scene.tap.asked("daemon_url").len(), 1);
    assert_eq!(told("it moved by itself"), 0);
    go_to_secondary(&scene);
    scene.good_poll().await;
    scene.good_poll().await;
    let words = "uses the daemon `127.0.0.1:18332` now, and no longer `127.0.0.1:8332`";
    assert_eq!(told(words), 1, "{:?}", log.lines());
    let journal = Journal::open_read_only(&scene.journal()).unwrap();
    let events = journal.events(&EventFilter::default()).unwrap();
    let moved = Event::DaemonMoved {
        from: "127.0.0.1:8332".to_owned(),
        to: "127.0.0.1:18332".to_owned(),
    };
    assert_eq!(
        events.into_iter().map(|row| row.event).collect::<Vec<_>>(),
        [moved]
    );
}

#[tokio::test]
async fn two_policies_do_not_both_change_the_daemon_at_once() {
    let two = change("\"primary\"") + &change("\"best\"").replace("\"back\"", "\"own\"");
    let (mut scene, _) = on_secondary(two).await;
    let outcomes = scene.good_poll().await;
    assert_eq!(executed(&outcomes), 1, "{outcomes:?}");
    let policy = "back".into();
    let covered = Outcome::Suppressed(Suppression::Covered { policy });
    assert_eq!(outcomes[1], ("own".into(), covered));
    assert_eq!(scene.tap.asked("daemon_url").len(), 1);
}

#[tokio::test]
async fn until_getinfo_names_the_daemon_nobody_changes_it_again() {
    let hasty = change("\"primary\"").replace("\"5m\"", "\"1s\"");
    let (mut scene, _) = on_secondary(hasty).await;
    scene.good_poll().await;
    go_to_secondary(&scene);
    let why = "the last change of daemon is not confirmed yet".to_owned();
    let unfit = Outcome::Suppressed(Suppression::UnfitDaemon { why });
    assert_eq!(scene.good_poll().await, [("back".into(), unfit)]);
    for _ in 0..4 {
        assert_eq!(scene.good_poll().await, []);
    }
    // A minute later it has failed, and may be tried again.
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert_eq!(scene.tap.asked("daemon_url").len(), 2);
}
