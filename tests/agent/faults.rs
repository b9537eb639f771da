//! A server that fails its agent: the poll is missed and told, nothing is done on stale evidence,
//! and the agent goes on.

use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions};
use electrumx_warden::config::Config;
use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::policy::{Mode, Source};
use electrumx_warden::poll::Clock;
use electrumx_warden::recording::Recorder;
use electrumx_warden::rpc::Client;
use electrumx_warden::sim::{Fault, Release, RowFault, World};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use tokio::time::Instant;

use crate::log::Log;
use crate::scene::{INTERVAL, Scene, evil, executed, outcomes, policy, set};
use crate::tap::Trick;

/// Disconnects who has been called evil for half a minute.
fn evil_for_long() -> String {
    policy(
        "evil",
        "session",
        "{ client = \"=~ ^evil\" }",
        "\"disconnect\"",
        "for = \"30s\"",
    )
}

const ROWS: [RowFault; 5] = [
    RowFault::Short,
    RowFault::Long,
    RowFault::Text,
    RowFault::Null,
    RowFault::Negative,
];

fn faults() -> Vec<(Fault, &'static str)> {
    let mut faults = vec![
        (Fault::Silence, "no complete reply to `getinfo`"),
        (
            Fault::Delay(Duration::from_secs(5)),
            "no complete reply to `getinfo`",
        ),
        (Fault::Stall, "no complete reply to `getinfo`"),
        (Fault::Truncated, "the reply to `getinfo` is not JSON"),
        (Fault::CloseMidReply, "bytes into its reply to `getinfo`"),
        (
            Fault::NotJson,
            "`the server is on fire`; is that ElectrumX's LocalRPC?",
        ),
        (
            Fault::TooLarge(2 << 20),
            "longer than the limit of 1048576 bytes",
        ),
        (Fault::Http, "that is a web server"),
        (Fault::WrongId, "bears the id 999999999"),
    ];
    let row = "the result of `sessions` cannot be read: ";
    faults.extend(ROWS.map(|fault| (Fault::Rows(fault), row)));
    faults
}

async fn scene(policies: String) -> Scene {
    let mut scene = Scene::new(Release::V1_20_0, policies).await;
    // The real reply takes milliseconds.
    scene.options.reply_timeout = Duration::from_millis(500);
    scene.options.reply_bytes_max = 1 << 20;
    scene
}

#[tokio::test]
async fn every_fault_is_a_missed_poll_and_no_more() {
    for (fault, words) in faults() {
        let mut scene = scene(evil_for_long()).await;
        scene.client("good", 1);
        let key = scene.client("evil/1", 2);
        scene.good_poll().await;
        scene.good_poll().await;
        // Ten seconds held. Were the missed polls counted, it would be due.
        scene.server.set_fault(Some(fault));
        let (log, guard) = Log::listen();
        for _ in 0..3 {
            let tick = scene.poll().await;
            let failure = tick.failure.expect("it fails").to_string();
            assert!(failure.contains(words), "{fault:?}: {failure}");
            assert!(tick.carried.is_empty());
            assert!(scene.agent().snapshot().is_none());
            assert!(scene.agent().pending().is_empty());
        }
        let lines = log.lines();
        assert!(
            lines.len() == 1
                && lines[0].starts_with("WARN poll failed: ")
                && lines[0].contains("; polls go on every "),
            "{lines:?}"
        );
        scene.server.set_fault(None);
        assert!(scene.good_poll().await.is_empty(), "{fault:?}");
        assert_eq!(log.lines(), ["INFO polls succeed again"]);
        drop(guard);
        assert!(scene.is_open(key));
        assert_eq!(executed(&scene.good_poll().await), 1, "{fault:?}");
        assert!(!scene.is_open(key));
        assert_eq!(scene.rows().len(), 1);
    }
}

/// Odd, and not wrong: the poll is good.
#[tokio::test]
async fn odd_rows_are_read() {
    for row in [RowFault::NaN, RowFault::HugeName] {
        let mut scene = scene(evil()).await;
        scene.options.reply_bytes_max = 8 << 20;
        let keys = [1, 2, 3].map(|last| scene.client("evil/1", last));
        scene.server.set_fault(Some(Fault::Rows(row)));
        assert!(executed(&scene.good_poll().await) >= 2, "{row:?}");
        scene.server.set_fault(None);
        scene.good_poll().await;
        assert!(!keys.iter().any(|&key| scene.is_open(key)), "{row:?}");
    }
}

/// An ID that two clients bear says nothing of either.
#[tokio::test]
async fn a_repeated_id_is_acted_on_for_nobody_else() {
    let mut scene = scene(evil()).await;
    let good = scene.client("good", 1);
    let evil = scene.client("evil/1", 2);
    // The second row bears the first's ID: the evil one's row would disconnect the good one.
    scene
        .server
        .set_fault(Some(Fault::Rows(RowFault::DuplicateId)));
    let tick = scene.poll().await;
    assert!(scene.is_open(good), "{tick:?}");
    scene.server.set_fault(None);
    scene.poll().await;
    assert!(scene.is_open(good));
    assert!(!scene.is_open(evil));
}

/// A reply that fails while the agent acts.
#[tokio::test]
async fn a_fault_in_the_middle_of_an_act_is_an_outcome() {
    use crate::tap::Trick;
    for fault in [
        Fault::Silence,
        Fault::NotJson,
        Fault::CloseMidReply,
        Fault::WrongId,
    ] {
        let mut scene = scene(evil()).await;
        scene.client("evil/1", 2);
        let server = Arc::clone(&scene.server);
        let spoil = Trick::First(Box::new(move || server.set_fault(Some(fault))));
        scene.tap.play("disconnect", spoil);
        let outcomes = scene.good_poll().await;
        let Outcome::Failed { detail } = &outcomes[0].1 else {
            panic!("{fault:?} {outcomes:?}");
        };
        assert!(detail.contains("asked for, outcome unknown"), "{detail}");
        scene.server.set_fault(None);
        assert!(scene.good_poll().await.is_empty());
        assert_eq!(scene.tap.asked("disconnect").len(), 1, "{fault:?}");
        assert_eq!(scene.rows().len(), 1);
    }
}

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.0.elapsed()
    }
}

fn config(rpc: &str, interval: &str) -> Config {
    let text =
        format!("mode = \"enforce\"\n[server]\nrpc = \"{rpc}\"\ninterval = \"{interval}\"\n");
    let source = Source {
        name: "c.toml".into(),
        text,
    };
    Config::check(source).config.unwrap()
}

fn agent(config: &Config, policies: &str, folder: &std::path::Path) -> Agent {
    Agent::new(
        Warden::new(
            set(policies),
            Settings {
                mode: Mode::Enforce,
                ..Settings::default()
            },
        ),
        Client::new(config.server.client_options()),
        Journal::open(&folder.join("journal.sqlite")).unwrap(),
        Box::new(TokioClock(Instant::now())),
        AgentOptions {
            cadence: config.server.cadence(),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap()
}

/// Nobody listens: an outage is judged at every poll, whatever the client's backoff, and a shutdown
/// does not wait for anything.
#[tokio::test(start_paused = true)]
async fn an_outage_is_judged_at_every_poll() {
    let down = policy(
        "down",
        "server",
        "{ rpc_down = \"> 30s\" }",
        "\"alert\"",
        "",
    );
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let rpc = free.local_addr().unwrap().to_string();
    drop(free);
    let mut agent = agent(&config(&rpc, "2s"), &down, folder.path());
    let began = Instant::now();
    let (mut polls, mut alerts) = (0, Vec::new());
    let shutdown = tokio::time::sleep(Duration::from_secs(601));
    agent
        .run(shutdown, |_, tick| {
            assert!(tick.failure.is_some());
            polls += 1;
            if executed(&outcomes(tick)) > 0 {
                alerts.push(began.elapsed());
            }
        })
        .await;
    assert_eq!(began.elapsed().as_secs(), 601);
    assert!(polls >= 280, "{polls}");
    let [alert] = alerts[..] else {
        panic!("{alerts:?}");
    };
    assert!((30..=36).contains(&alert.as_secs()), "{alert:?}");
}

/// A server that takes longer than the interval is not polled without a pause.
#[tokio::test]
async fn a_slow_server_is_given_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::empty(Release::V1_20_0, 1);
    let server = electrumx_warden::sim::Server::start(world, electrumx_warden::sim::Pace::Manual)
        .await
        .unwrap();
    server.set_fault(Some(Fault::Delay(Duration::from_millis(600))));
    let mut agent = agent(
        &config(&server.addr().to_string(), "1s"),
        &evil(),
        folder.path(),
    );
    let mut ends = Vec::new();
    let mut latest = Instant::now();
    let shutdown = tokio::time::sleep(Duration::from_secs(5));
    agent
        .run(shutdown, |_, tick| {
            assert!(tick.failure.is_none());
            ends.push(latest.elapsed());
            latest = Instant::now();
        })
        .await;
    // Two replies and a pause, a third shorter at the most; a poll that the shutdown cut short is not
    // told.
    assert!(ends.len() >= 2, "{ends:?}");
    assert!(
        ends[1..]
            .iter()
            .all(|end| *end > Duration::from_millis(1_850)),
        "{ends:?}"
    );
}

/// Polls come fast while a policy holds for somebody, due or not, and slowly before and after.
#[tokio::test(start_paused = true)]
async fn polls_come_faster_while_something_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::empty(Release::V1_20_0, 1);
    let server = electrumx_warden::sim::Server::start(world, electrumx_warden::sim::Pace::Manual)
        .await
        .unwrap();
    let config = config(&server.addr().to_string(), "30s");
    let evil = policy(
        "evil",
        "session",
        "{ client = \"=~ ^evil\" }",
        "\"alert\"",
        "",
    );
    let mut agent = agent(&config, &evil, folder.path());
    let began = Instant::now();
    let mut starts = Vec::new();
    let mut key = None;
    agent
        .run(tokio::time::sleep(Duration::from_mins(10)), |_, tick| {
            assert!(tick.failure.is_none());
            let now = began.elapsed().as_secs();
            starts.push(now);
            if now > 200 && key.is_none() {
                key = Some(
                    server
                        .world()
                        .connect(([198, 51, 100, 1], 5).into(), "evil/1"),
                );
            }
            if now > 400
                && let Some(key) = key
            {
                server.world().hang_up(key);
            }
        })
        .await;
    let between = |from, to| starts.iter().filter(|at| (from..to).contains(*at)).count();
    // The first poll knows of nothing before it.
    assert!((5..=12).contains(&between(2, 200)), "{starts:?}");
    assert!((130..=240).contains(&between(240, 400)), "{starts:?}");
    assert!((3..=11).contains(&between(440, 600)), "{starts:?}");
}

#[tokio::test]
async fn a_restart_of_the_server_is_lived_through() {
    let mut scene = scene(evil_for_long()).await;
    scene.client("evil/1", 2);
    scene.good_poll().await;
    scene.server.restart();
    let good = scene.client("good", 1);
    let evil = scene.client("evil/1", 2);
    let failure = scene
        .poll()
        .await
        .failure
        .expect("the line broke")
        .to_string();
    assert!(
        failure.contains("closed the connection before it replied"),
        "{failure}"
    );
    // Held anew, from the restart on.
    for _ in 0..3 {
        assert!(scene.good_poll().await.is_empty());
    }
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(scene.is_open(good) && !scene.is_open(evil));
    assert!(scene.server.now() >= INTERVAL * 5);
}

/// Only the recording asks for groups here: whatever becomes of that, the watch goes on.
#[tokio::test]
async fn a_server_that_cannot_tell_its_groups_is_watched_all_the_same() {
    let tricks = [Trick::Refuse, Trick::CutBefore, Trick::CutAfter];
    for (trick, is_lost) in tricks.into_iter().zip([false, true, true]) {
        let mut scene = Scene::new(Release::V1_20_0, evil()).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rec");
        scene
            .agent()
            .record(Recorder::create(&path).unwrap(), "sim".into());
        scene.good_poll().await;
        assert_eq!(scene.tap.asked("groups").len(), 1);
        let (log, _guard) = Log::listen();
        scene.tap.play("groups", trick);
        scene.client("evil/1", 1);
        let first = executed(&scene.good_poll().await);
        // What the lost connection was to bear is done by the next.
        assert_eq!(first, usize::from(!is_lost));
        assert_eq!(executed(&scene.good_poll().await), 1 - first);
        for _ in 0..3 {
            scene.good_poll().await;
        }
        assert_eq!(scene.tap.asked("groups").len(), 2, "not again so soon");
        let told = log.lines();
        let told: Vec<_> = told.iter().filter(|line| line.contains("groups")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("WARN groups are not recorded for an hour: "),
            "{told:?}"
        );
    }
}
