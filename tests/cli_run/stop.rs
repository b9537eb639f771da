//! SIGTERM: an act under way is finished and journalled, and nothing else is waited for.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use electrumx_warden::decision::Outcome;
use electrumx_warden::sim::{Fault, Pace, Release, Server, World};
use rustix::process::Signal;

use crate::process::{Folder, until};
use crate::tap::{Tap, Trick};

async fn server() -> Server {
    let world = World::empty(Release::V1_20_0, 1);
    Server::start(world, Pace::Times(1.0)).await.unwrap()
}

#[tokio::test]
async fn an_act_under_way_is_finished() {
    let server = server().await;
    let key = server
        .world()
        .connect(([198, 51, 100, 1], 5).into(), "evil/1");
    let tap = Tap::on(server.addr()).await;
    let folder = Folder::new(tap.addr);
    let held_up = Duration::from_secs(1);
    tap.play("disconnect", Trick::Delay(held_up));
    let agent = folder.run();
    until("it acts", || !tap.asked("disconnect").is_empty()).await;
    let began = Instant::now();
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(began.elapsed() >= held_up / 2);
    assert!(told.contains("stopped"), "{told}");
    assert!(!server.world().is_open(key));
    let rows = folder.rows();
    assert_eq!(rows.len(), 1);
    let done = Outcome::Executed {
        detail: "disconnected 1".into(),
    };
    assert_eq!(rows[0].outcome, done);
}

#[tokio::test]
async fn a_poll_without_an_answer_is_given_up() {
    let server = server().await;
    server.set_fault(Some(Fault::Silence));
    let tap = Tap::on(server.addr()).await;
    let folder = Folder::new(tap.addr);
    let agent = folder.run();
    until("it polls", || !tap.asked("getinfo").is_empty()).await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(2)).await;
    assert_eq!(status.code(), Some(0), "{told}");
}

#[tokio::test]
async fn an_outage_is_told_once_and_not_waited_out() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new(free.local_addr().unwrap());
    drop(free);
    let agent = folder.run();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(2)).await;
    assert_eq!(status.code(), Some(0), "{told}");
    assert_eq!(told.matches("nothing listens at").count(), 1, "{told}");
}

/// As under a debugger, or on a machine that was suspended.
#[tokio::test]
async fn a_pause_is_not_made_up_for_by_a_burst_of_polls() {
    let server = server().await;
    let tap = Tap::on(server.addr()).await;
    let folder = Folder::new(tap.addr);
    let agent = folder.run();
    let polls = || tap.asked("sessions").len();
    until("it polls", || polls() >= 2).await;
    agent.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = polls();
    agent.signal(Signal::CONT);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let after = polls();
    assert!(after - before <= 1, "{before}, {after}");
    until("it goes on", || polls() > after).await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(2)).await;
    assert_eq!(status.code(), Some(0), "{told}");
}
