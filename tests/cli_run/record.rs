//! The flight recorder of `run`, and `record`: who records where.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::recording::{Item, Notice, Recording};
use electrumx_warden::sim::{Pace, Release, Server, World};

use crate::process::{Folder, Running, output, until};

async fn server() -> Arc<Server> {
    let world = World::empty(Release::V1_20_0, 1);
    Arc::new(Server::start(world, Pace::Times(1.0)).await.unwrap())
}

/// How many polls a recording has, and what else is to be known of it.
fn heard(path: &Path) -> (usize, Vec<Notice>) {
    let (mut polls, mut notices) = (0, Vec::new());
    let Ok(recording) = Recording::open(&[path.to_owned()]) else {
        return (0, notices);
    };
    for item in recording.play() {
        match item.unwrap() {
            Item::Start(_) => {}
            Item::Tick(_) => polls += 1,
            Item::Notice(notice) => notices.push(notice),
        }
    }
    (polls, notices)
}

async fn until_polls(path: &Path, polls: usize) {
    until("polls in the recording", || heard(path).0 >= polls).await;
}

async fn ended(agent: &Running) -> String {
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(0), "{told}");
    told
}

/// The one that comes second watches on without a recording, and records when the first has ended.
#[tokio::test]
async fn two_agents_do_not_record_into_one_folder() {
    let server = server().await;
    let (one, other) = (Folder::new(server.addr()), Folder::new(server.addr()));
    let path = one.path("shared");
    for folder in [&one, &other] {
        folder.configure(&format!("[record]\npath = {path:?}\n"));
    }
    let first = one.run();
    until_polls(&path, 1).await;
    let second = other.run();
    let client = server
        .world()
        .connect(([198, 51, 100, 1], 50_000).into(), "evil/1");
    until("the clients of both are gone", || {
        !server.world().is_open(client) && other.journal().exists()
    })
    .await;

    let mut command = one.command(&["record", "--out", "shared", "--rpc"]);
    command.arg(server.addr().to_string());
    let (code, out, told) = output(command).await;
    assert_eq!((code, &*out), (3, ""), "{told}");
    let refused = format!(
        "`shared` is being recorded into by another recorder (process {}): give each a folder of its \
         own, or stop that one",
        first.id()
    );
    assert_eq!(told, format!("error: {refused}\n"));

    let before = heard(&path).0;
    until_polls(&path, before + 2).await;
    let told = ended(&second).await;
    let warned = format!(
        " WARN nothing is recorded for a while: {}",
        refused.replace("`shared`", &format!("`{}`", path.display()))
    );
    assert_eq!(told.matches(&warned).count(), 1, "{told}");
    let told = ended(&first).await;
    assert!(!told.contains("WARN nothing is recorded"), "{told}");
    assert_eq!(heard(&path).1, [], "it is whole, and of one run");
}
