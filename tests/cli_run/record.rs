//! The flight recorder of `run`, and `record`: who records where, and what a kill or a full disk leaves.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use electrumx_warden::recording::{Item, Notice, Recording};
use electrumx_warden::sim::{Pace, Release, Server, World};

use crate::process::{Folder, Running, output, until};
use crate::small_disk::{fill, on_a_small_disk};

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
        folder.configure(&format!("[record]\npath = '{}'\n", path.display()));
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

/// A server whose every poll takes some time and room to write.
async fn crowded_server() -> Arc<Server> {
    let server = server().await;
    let mut chance = fastrand::Rng::with_seed(1);
    for n in 0..10_000_u32 {
        let [_, b, c, d] = (0x2D00_0000 + n).to_be_bytes();
        let name: String = std::iter::repeat_with(|| chance.alphanumeric())
            .take(12)
            .collect();
        let peer = ([45, b, c, d], chance.u16(1_024..));
        server.world().connect(peer.into(), &name);
    }
    server
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    let mut segments: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments
}

/// How many polls a segment has by what is between its lines, and how many bytes of another follow.
fn counted(segment: &Path) -> (usize, usize) {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(segment).unwrap()).unwrap();
    let mut text = Vec::new();
    // It has no end.
    _ = decoder.read_to_end(&mut text);
    let (mut sums, mut rest) = (0_usize, 0);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        rest += line.len();
        let is_whole = line.ends_with(b"\n");
        let is_sum = is_whole && line.starts_with(b"{\"crc32\"");
        if is_sum || is_whole && line.starts_with(b"{\"recording\"") {
            sums += usize::from(is_sum);
            rest = 0;
        }
    }
    // The heading has the first.
    (sums.saturating_sub(1), rest)
}

/// Longer than a heading.
const HEADING_MAX: u64 = 4_096;

/// Kills the agent as soon as a segment grows by some of a poll.
async fn kill_in_a_write(agent: &Running, segment: PathBuf) {
    let (victim, began) = (agent.clone(), Instant::now());
    let length = move || std::fs::metadata(&segment).unwrap().len();
    let killed = tokio::task::spawn_blocking(move || {
        let before = length().max(HEADING_MAX);
        while length() <= before {
            assert!(began.elapsed() < Duration::from_secs(20), "nobody writes");
        }
        victim.kill();
    });
    killed.await.unwrap();
    agent.end(Duration::from_secs(20)).await;
}

/// In the middle of a write, as far as that can be hit.
#[tokio::test]
async fn a_kill_leaves_every_whole_poll() {
    let server = crowded_server().await;
    let folder = Folder::new(server.addr());
    let path = folder.path("rec");
    folder.configure("[record]\npath = \"rec\"\n");
    let (mut whole, mut torn) = (0, 0);
    for round in 1..=20 {
        let agent = folder.run();
        until("a segment", || segments(&path).len() == round).await;
        if round % 2 == 0 {
            until("a poll", || heard(&path).0 > whole).await;
        }
        kill_in_a_write(&agent, segments(&path).pop().unwrap()).await;
        let (polls, rest) = counted(segments(&path).last().unwrap());
        whole += polls;
        torn += usize::from(rest > 0);
        let (heard, notices) = heard(&path);
        assert_eq!(heard, whole);
        let is_end = |notice: &Notice| matches!(notice, Notice::Truncated { .. });
        assert!(notices.iter().all(is_end), "{notices:?}");
        if round >= 6 && torn > 0 {
            break;
        }
    }
    assert!(torn > 0, "no kill hit a write");

    let agent = folder.run();
    until_polls(&path, whole + 1).await;
    ended(&agent).await;
    let (code, out, told) = output(folder.command(&["replay", "rec"])).await;
    assert_eq!(code, 0, "{out}{told}");
    assert!(told.contains("breaks off"), "{told}");
}

#[test]
fn on_a_full_disk_the_watch_goes_on() {
    on_a_small_disk(|disk| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(watch_on(disk));
    });
}

async fn watch_on(disk: &Path) {
    let server = crowded_server().await;
    let folder = Folder::new(server.addr());
    let path = disk.join("rec");
    let path_of = path.display();
    folder.configure(&format!(
        "[record]\npath = '{path_of}'\nreserve = \"0 B\"\n"
    ));
    let agent = folder.run();
    until_polls(&path, 1).await;
    fill(&disk.join("ballast"));
    // Whoever writes into a full disk takes back what was written in part.
    for last in 1..=3 {
        let peer = ([198, 51, 100, last], 50_000).into();
        let abuser = server.world().connect(peer, "evil/1");
        until("the abuser is gone", || !server.world().is_open(abuser)).await;
    }
    let told = ended(&agent).await;
    let warning = " WARN nothing is recorded for a while: the recording ";
    assert_eq!(told.matches(warning).count(), 1, "{told}");
    assert!(told.contains("No space left on device"), "{told}");
    let (polls, notices) = heard(&path);
    assert!(polls >= 1);
    assert_eq!(counted(&segments(&path)[0]), (polls, 0));
    assert!(
        matches!(notices[..], [Notice::Truncated { after: Some(_), .. }]),
        "{notices:?}"
    );
}
