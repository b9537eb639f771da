//! What `run` does not start with: a clear message, and exit code 3.

use std::path::Path;
use std::time::Duration;

use electrumx_warden::journal::Journal;

use crate::process::{Folder, output};

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
    assert_eq!(code, 3);
    assert!(
        told.contains("is in use by another agent (process "),
        "{told}"
    );
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
