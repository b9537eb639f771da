//! A person bans, lifts, pardons and closes a breaker while the agent runs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use electrumx_warden::journal::{Event, EventFilter, Journal, StateChange};
use electrumx_warden::sim::{Pace, Release, Server, World};
use electrumx_warden::time::Timestamp;
use serde_json::json;

use crate::process::{Folder, output, until};

async fn server() -> Server {
    let world = World::empty(Release::V1_20_0, 1);
    Server::start(world, Pace::Times(1.0)).await.unwrap()
}

/// The agent's answer to a command.
async fn said(folder: &Folder, args: &[&str]) -> (i32, String) {
    let args = [args, &["--config", "warden.toml"]].concat();
    let (code, out, err) = output(folder.command(&args)).await;
    (code, out + &err)
}

/// Without the times, which are those of the test.
fn timeless(told: &str) -> String {
    let times = [
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?",
            "2027-01-01 00:00:00",
        ),
        (r"in (59m\d+s|59m|1h)", "in 59m"),
        (r"process \d+", "process 1"),
    ];
    let told = times.iter().fold(told.to_owned(), |told, (pattern, word)| {
        let pattern = regex::Regex::new(pattern).unwrap();
        pattern.replace_all(&told, *word).into_owned()
    });
    let user = electrumx_warden::control::User::of(rustix::process::getuid().as_raw());
    told.replace(&user.to_string(), "user (1000)")
}

#[tokio::test]
async fn a_person_bans_lifts_and_pardons() {
    let server = server().await;
    let connect = |last: u8| {
        let mut world = server.world();
        world.connect(([198, 51, 100, last], 5).into(), "wallet/1")
    };
    let (banned, neighbour) = (connect(7), connect(8));
    let folder = Folder::new(server.addr());
    folder.configure("[record]\non = false\n");
    let agent = folder.run();
    let socket = folder.path("electrumx-warden.sqlite.sock");
    until("it listens", || socket.exists()).await;
    let mode = socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut told = String::new();
    // Before its first poll it does not know who is a regular.
    let ban = ["ban", "198.51.100.7", "--for", "1h", "--reason", "scans"];
    for _ in 0..50 {
        let (code, answer) = said(&folder, &ban).await;
        told = answer;
        if code == 0 {
            break;
        }
        assert!(told.contains("has not seen the server yet"), "{told}");
    }
    until("it is cut", || !server.world().is_open(banned)).await;
    assert!(server.world().is_open(neighbour));
    for args in [
        &["bans"][..],
        &["bans", "--format", "json"],
        &["ban", "127.0.0.1", "--for", "1h"],
        &["ban", "198.51.100.0/24", "--for", "1h", "--format", "json"],
        &["unban", "198.51.100.7"],
        &["unban", "198.51.100.7"],
        &["pardon", "198.51.100.9"],
        &["pardon", "198.51.100.7"],
        &["unban", "--policy", "evil"],
        &["unban", "--all"],
        &["bans"],
        &["breaker", "--close", "evil"],
    ] {
        let (code, answer) = said(&folder, args).await;
        let line = args.join(" ");
        told = format!("{told}$ {line}\n{answer}exit {code}\n");
    }
    let back = connect(7);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(server.world().is_open(back), "it is let in again");
    agent.terminate();
    let (status, log) = agent.end(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!socket.exists());
    assert!(log.contains("is banned by hand for 1h by"), "{log}");
    insta::assert_snapshot!(timeless(&told));
    let journal = Journal::open_read_only(&folder.journal()).unwrap();
    let events = journal.events(&EventFilter::default()).unwrap();
    let user = electrumx_warden::control::User::of(rustix::process::getuid().as_raw());
    assert!(events.iter().any(|row| matches!(
        &row.event,
        Event::BannedByHand { user: by, reason, .. } if *by == user.to_string() && reason == "scans"
    )));
}

/// What was ordered before a kill holds after it, and the socket that it left is replaced.
#[tokio::test]
async fn a_ban_by_hand_outlives_a_kill() {
    let server = server().await;
    let folder = Folder::new(server.addr());
    let agent = folder.run();
    let ban = ["ban", "198.51.100.7", "--for", "1h"];
    let mut code = 1;
    for _ in 0..100 {
        code = said(&folder, &ban).await.0;
        if code == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(code, 0);
    agent.kill();
    _ = agent.end(Duration::from_secs(5)).await;
    let socket = folder.path("electrumx-warden.sqlite.sock");
    assert!(socket.exists(), "a kill leaves it");
    let (code, told) = said(&folder, &["unban", "--all"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("no agent runs with the journal"), "{told}");
    let (_, told) = said(&folder, &["bans"]).await;
    assert!(
        told.contains("198.51.100.7") && told.contains("No agent runs"),
        "{told}"
    );
    let key = server
        .world()
        .connect(([198, 51, 100, 7], 5).into(), "wallet/1");
    let _agent = folder.run();
    until("it is cut", || !server.world().is_open(key)).await;
    let (code, told) = said(&folder, &["unban", "198.51.100.7"]).await;
    assert_eq!((code, &*told), (0, "lifted 1 ban\n"));
}

#[tokio::test]
async fn a_breaker_is_closed_by_the_running_agent() {
    let server = server().await;
    let folder = Folder::new(server.addr());
    let until_then = Timestamp::from_millis(4_000_000_000_000);
    let policies =
        [json!({ "policy": "evil", "open_until": until_then, "regulars": [], "newcomers": [] })];
    let limits = json!({ "ledger": { "actions": [], "breaker": { "policies": policies } } });
    let mut journal = Journal::open(&folder.journal()).unwrap();
    journal.save(&[StateChange::Limits(limits)]).unwrap();
    drop(journal);
    let close = ["breaker", "--close", "evil"];
    let (code, told) = said(&folder, &close).await;
    assert_eq!(code, 1);
    assert!(told.contains("start it first"), "{told}");
    let _agent = folder.run();
    let socket = folder.path("electrumx-warden.sqlite.sock");
    until("it listens", || socket.exists()).await;
    let (code, told) = said(&folder, &close).await;
    assert_eq!((code, &*told), (0, "the agent lets `evil` go on\n"));
    let (_, told) = said(&folder, &["breaker"]).await;
    assert_eq!(told, "the breaker has stopped no policy\n");
}

#[tokio::test]
async fn an_agent_without_a_socket_says_so() {
    let server = server().await;
    let folder = Folder::new(server.addr());
    std::fs::write(folder.path("electrumx-warden.sqlite.sock"), "mine").unwrap();
    let agent = folder.run();
    let recording = folder.path("electrumx-warden.sqlite-recording");
    until("it runs", || recording.exists()).await;
    let (code, told) = said(&folder, &["unban", "--all"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("does not listen at"), "{told}");
    agent.terminate();
    let (status, log) = agent.end(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("nothing can be changed by hand"), "{log}");
}
