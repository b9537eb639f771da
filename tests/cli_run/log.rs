//! A log that cannot be written ends nothing: the agent polls, acts and journals on.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use electrumx_warden::decision::Outcome;
use electrumx_warden::sim::{Pace, Release, Server, World};

use crate::process::{Folder, Running, until};
use crate::tap::Tap;

/// Starts the agent by `start`, calls `spoil` after the first act, and wants another act after that
/// and an orderly end.
async fn outlives(start: impl FnOnce(&Folder) -> Running, spoil: impl FnOnce(&Running)) {
    let world = World::empty(Release::V1_20_0, 1);
    let server = Server::start(world, Pace::Times(1.0)).await.unwrap();
    let tap = Tap::on(server.addr()).await;
    let folder = Folder::new(tap.addr);
    let connect = |last, port| {
        let peer = ([198, 51, 100, last], port).into();
        server.world().connect(peer, "evil/1")
    };
    let first = connect(1, 5);
    let agent = start(&folder);
    until("it acts", || !server.world().is_open(first)).await;
    spoil(&agent);
    let second = connect(2, 5);
    until("it acts again", || !server.world().is_open(second)).await;
    // Longer than one line of the log.
    let polls = tap.asked("sessions").len();
    until("it polls on", || tap.asked("sessions").len() > polls + 1).await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{status}: {told}");
    let done =
        |row: &electrumx_warden::journal::Row| matches!(row.outcome, Outcome::Executed { .. });
    assert_eq!(folder.rows().iter().filter(|row| done(row)).count(), 2);
}

const RUN: [&str; 3] = ["run", "--config", "warden.toml"];

#[tokio::test]
async fn a_full_disk_under_the_log_ends_nothing() {
    for format in ["text", "json"] {
        let start = |folder: &Folder| {
            folder.configure(&format!(
                "[log]\nlevel = \"debug\"\nformat = \"{format}\"\n"
            ));
            let full = File::options().write(true).open("/dev/full").unwrap();
            Running::logging_to(&mut folder.command(&RUN), Stdio::from(full))
        };
        outlives(start, |_| ()).await;
    }
}

#[tokio::test]
async fn a_reader_of_the_log_that_leaves_ends_nothing() {
    outlives(Folder::run, Running::close_stderr).await;
}
