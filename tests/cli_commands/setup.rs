//! What keeps the agent from starting.

use electrumx_warden::journal::Journal;

use crate::{Folder, told};

#[test]
fn not_started() {
    let with = |rest: &str| format!("[server]\nrpc = '127.0.0.1:1'\n{rest}");
    let policy = "[[policy]]\nname = 'p'\nscope = 'session'\nwhen = { subs = '> 5' }\naction = ";
    let folder = Folder::with(&[
        (
            "wrong.toml",
            "mode = 'dryrun'\n[server]\nrpc = '127.0.0.1'\n",
        ),
        ("no-policies.toml", &with("")),
        (
            "bad-policies.toml",
            &with("[policies]\npaths = ['bad.toml']\n"),
        ),
        ("bad.toml", &format!("{policy}'kick'\n")),
        ("good.toml", &format!("{policy}'disconnect'\n")),
        (
            "bad-journal.toml",
            &with("[policies]\npaths = ['good.toml']\n[journal]\npath = 'good.toml'\n"),
        ),
        (
            "no-folder.toml",
            &with("[policies]\npaths = ['good.toml']\n[journal]\npath = 'no/j.sqlite'\n"),
        ),
    ]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["run", "--config", "missing.toml"],
            &["run", "--config", "wrong.toml"],
            &["run", "--config", "no-policies.toml"],
            &["run", "--config", "bad-policies.toml"],
            &["run", "--config", "bad-journal.toml"],
            &["run", "--config", "no-folder.toml"],
            &["once", "--rpc", "127.0.0.1:1", "--policies", "bad.toml"],
            &["once", "--rpc", "127.0.0.1:1", "--policies", "good.toml"],
        ],
    ));
}

/// Whoever mistypes the port has nothing to clean up.
#[test]
fn a_server_that_is_not_there_leaves_no_recording() {
    let folder = Folder::new();
    let args = ["record", "--rpc", "127.0.0.1:1", "--out", "rec"];
    for more in [&[][..], &["--pseudonymise"]] {
        let ran = folder.run(&[&args, more].concat());
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (
                1,
                "",
                "error: nothing listens at `127.0.0.1:1`; start ElectrumX, or correct the address of its LocalRPC\n"
            )
        );
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn an_empty_journal_has_nothing_to_explain() {
    let folder = Folder::new();
    let path = folder.path().join("j.sqlite");
    drop(Journal::open(&path).unwrap());
    let ran = folder.run(&["explain", "1", "--journal", "j.sqlite"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            1,
            "error: the journal `j.sqlite` has no decisions: the agent has made none, or they were too old to keep\n"
        )
    );
}
