//! What `run` does not start with: a clear message, and exit code 3 where a person must change
//! something, or else 4. What it starts with all the same, and tells.

use std::path::Path;
use std::time::Duration;

use electrumx_warden::journal::Journal;
use tokio::net::TcpListener;

use crate::process::{Folder, Running, output};
use crate::small_disk::{fill, on_a_small_disk};

const NOBODY: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

async fn refused(prepare: impl FnOnce(&Folder)) -> String {
    let folder = Folder::new(NOBODY.into());
    prepare(&folder);
    let command = folder.command(&["run", "--config", "warden.toml"]);
    let (code, out, told) = output(command).await;
    assert_eq!((code, &*out), (3, ""), "{told}");
    let path = folder.path("").canonicalize().unwrap();
    told.replace(path.to_str().unwrap(), "FOLDER")
}

fn append(path: &Path, text: &str) {
    let old = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, old + text).unwrap();
}

#[tokio::test]
async fn a_journal_that_cannot_be_used() {
    let told =
        refused(|folder| append(&folder.path("warden.toml"), "[journal]\npath = \"no/j\"\n"));
    insta::assert_snapshot!(told.await, @"error: the journal's directory `no` does not exist: create it, or choose another path");

    let told = refused(|folder| std::fs::create_dir(folder.journal()).unwrap());
    insta::assert_snapshot!(told.await, @"error: `FOLDER/electrumx-warden.sqlite` is not a regular file: choose another path for the journal");

    let told = refused(|folder| std::fs::write(folder.journal(), "dear diary").unwrap());
    insta::assert_snapshot!(told.await, @"error: `FOLDER/electrumx-warden.sqlite` is no journal, not even an SQLite file; it was left as it is: choose another path, or move it away");
}

#[tokio::test]
async fn a_damaged_journal_is_left_as_it_is() {
    let told = refused(|folder| {
        drop(Journal::open(&folder.journal()).unwrap());
        let mut bytes = std::fs::read(folder.journal()).unwrap();
        let end = bytes.len();
        bytes[4_096..end].fill(0xA5);
        std::fs::write(folder.journal(), bytes).unwrap();
    });
    let told = told.await;
    assert!(
        told.starts_with("error: the journal `FOLDER/electrumx-warden.sqlite` is damaged ("),
        "{told}"
    );
    assert!(
        told.contains("move it and its `-wal` file away to start a new one"),
        "{told}"
    );
}

#[tokio::test]
async fn a_journal_that_another_agent_uses() {
    let folder = Folder::new(NOBODY.into());
    let _journal = Journal::open(&folder.journal()).unwrap();
    let (code, _, told) = output(folder.command(&["run", "--config", "warden.toml"])).await;
    assert_eq!(code, 4, "the other may end");
    assert!(
        told.contains("is in use by another agent (process "),
        "{told}"
    );
}

#[tokio::test]
async fn a_journal_in_another_programs_transaction() {
    let folder = Folder::new(NOBODY.into());
    drop(Journal::open(&folder.journal()).unwrap());
    let other = rusqlite::Connection::open(folder.journal()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (code, _, told) = output(folder.command(&["run", "--config", "warden.toml"])).await;
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("is locked by another program"), "{told}");
}

#[test]
fn a_full_disk_may_have_room_later() {
    on_a_small_disk(|disk| {
        let folder = Folder::new(NOBODY.into());
        let journal = disk.join("journal.sqlite");
        folder.configure(&format!("[journal]\npath = \"{}\"\n", journal.display()));
        fill(&disk.join("ballast"));
        let run = || {
            let mut command = folder.command(&["run", "--config", "warden.toml"]);
            command.output().unwrap()
        };
        let full = run();
        let told = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(4), "{told}");
        assert!(told.contains("no room left for the journal"), "{told}");
        // The same disk, and what only a person can change.
        std::fs::remove_file(disk.join("ballast")).unwrap();
        _ = std::fs::remove_file(&journal);
        std::fs::create_dir(&journal).unwrap();
        assert_eq!(run().status.code(), Some(3));
    });
}

#[tokio::test]
async fn urls_that_nobody_may_read_want_a_person() {
    let told = refused(|folder| {
        std::fs::create_dir(folder.path("urls")).unwrap();
        let source = "[server.daemon]\nurls = { file = \"urls\" }\n";
        append(&folder.path("warden.toml"), source);
    });
    assert!(told.await.contains("it is a folder, not a file"));
    let told = refused(|folder| {
        let source = "[server.daemon]\nurls = { file = \"none\" }\n";
        append(&folder.path("warden.toml"), source);
    });
    assert!(told.await.contains("`urls` of `[server.daemon]` names it"));
}

#[tokio::test]
async fn mistakes_in_configuration_and_policies() {
    let told = refused(|folder| append(&folder.path("warden.toml"), "[jornal]\n")).await;
    assert!(told.contains("unknown key `jornal`"), "{told}");
    assert!(
        told.ends_with(
            "error: not started, for the configuration `warden.toml` must be mended first\n"
        ),
        "{told}"
    );
    let told = refused(|folder| append(&folder.path("policies/p.toml"), "[[policy]]\n"));
    let told = told.await;
    assert!(
        told.ends_with("error: not started, for the policies must be mended first\n"),
        "{told}"
    );
    assert!(!told.contains('\u{1b}'), "{told}");
}

/// Neither what `run` needs nor a moment too long.
#[tokio::test]
async fn without_a_configuration() {
    let folder = Folder::new(NOBODY.into());
    let command = folder.command(&["run", "--config", "none.toml"]);
    let ended = tokio::time::timeout(Duration::from_secs(10), output(command)).await;
    let (code, _, told) = ended.unwrap();
    assert_eq!(code, 3);
    assert!(
        told.contains("cannot read `none.toml`: there is no such file"),
        "{told}"
    );
}

/// What it says when it starts with this at the end of its configuration.
async fn said(more: &str, urls: &str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = Folder::new(server.local_addr().unwrap());
    append(&folder.path("warden.toml"), more);
    let daemons = include_str!("../../policies/daemons.toml");
    append(&folder.path("policies/p.toml"), daemons);
    let mut command = folder.command(&["run", "--config", "warden.toml"]);
    let agent = Running::start(command.env("DAEMONS", urls));
    // By its first poll all is said.
    let polls = tokio::time::timeout(Duration::from_secs(20), server.accept());
    let _connection = polls.await.expect("it polls").unwrap();
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{told}");
    told
}

const DAEMONS: &str = "[server.daemon]\nurls = { env = \"DAEMONS\" }\n";

#[tokio::test]
async fn policies_that_want_daemons_are_told() {
    let idle = "INFO 4 policies about daemons do nothing without `[server.daemon]`: see \
                docs/daemons.md\n";
    let told = said("", "").await;
    assert_eq!(told.matches(idle).count(), 1, "{told}");
    let told = said(DAEMONS, "u:p@127.0.0.1:1,u:p@127.0.0.1:2").await;
    assert!(!told.contains("without"), "{told}");
}

#[tokio::test]
async fn daemons_that_are_no_two_are_told() {
    let told = said(DAEMONS, "u:p@127.0.0.1:1").await;
    assert!(
        told.contains(" WARN `127.0.0.1:1` is the only daemon, "),
        "{told}"
    );
    let told = said(DAEMONS, "u:p@localhost:1,u:p@127.0.0.1:1").await;
    let alike = " WARN `localhost:1` and `127.0.0.1:1` look like two names of one daemon, ";
    assert!(told.contains(alike), "{told}");
    let told = said(DAEMONS, "u:p@127.0.0.1:1,u:p@127.0.0.1:2").await;
    assert!(!told.contains(" of one daemon"), "{told}");
}
