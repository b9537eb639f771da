//! A named pipe, a folder or a device where a file is expected: a clear error, and nobody waits.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Folder;

const LISTS: &str = r#"
[lists]
bad = { file = "pipe" }

[[policy]]
name = "bad"
scope = "session"
when = { client = "in @bad" }
action = "alert"
"#;

fn folder() -> Folder {
    let folder = Folder::with(&[
        ("good.toml", "[server]\nrpc = '127.0.0.1:1'\n"),
        (
            "policies.toml",
            "[server]\nrpc = '127.0.0.1:1'\n[policies]\npaths = ['pipe']\n",
        ),
        (
            "urls.toml",
            "[server]\nrpc = '127.0.0.1:1'\n[policies]\npaths = ['p']\n[server.daemon]\nurls = { file = 'pipe' }\n",
        ),
        ("lists.toml", LISTS),
        (
            "p/good.toml",
            "[[policy]]\nname = 'x'\nscope = 'server'\nwhen = { sessions = '> 9' }\naction = 'alert'\n",
        ),
    ]);
    for name in ["pipe", "pipe.toml", "pipe.test.toml"] {
        let made = Command::new("mkfifo")
            .arg(folder.path().join(name))
            .status();
        assert!(made.unwrap().success());
    }
    folder
}

/// What it says, if it ends within ten seconds.
fn ends(folder: &Folder, args: &[&str]) -> (i32, String) {
    let mut child = folder
        .command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[test]
fn no_command_waits_for_a_pipe() {
    let folder = folder();
    let commands: &[&[&str]] = &[
        &["replay", "pipe"],
        &["replay", "pipe", "--policies", "pipe.toml"],
        &["replay", "--config", "pipe.toml"],
        &["baseline", "pipe"],
        &["export", "pipe", "--out", "out"],
        &["check", "pipe"],
        &["check", "pipe.toml"],
        &["check", "lists.toml"],
        &["check", "--config", "pipe.toml"],
        &["check", "--config", "policies.toml"],
        &["run", "--config", "urls.toml"],
        &["run", "--config", "pipe.toml"],
        &["once", "--rpc", "127.0.0.1:1", "--policies", "pipe"],
        &["test", "pipe.test.toml"],
        &["test", "pipe.toml"],
        &["test", "--recording", "pipe", "--at", "2026-01-01", "p"],
        &["journal", "--path", "pipe"],
        &["journal", "--config", "pipe.toml"],
        &["daemons", "--config", "pipe.toml"],
        &["explain", "1", "--journal", "pipe"],
        &[
            "explain",
            "--address",
            "198.51.100.1",
            "--recording",
            "pipe",
        ],
        &[
            "record",
            "--rpc",
            "127.0.0.1:1",
            "--out",
            "rec",
            "--pseudonymise",
            "--key",
            "pipe",
        ],
    ];
    for args in commands {
        // Without the feature there is no `export`.
        if args[0] == "export" && cfg!(not(feature = "parquet")) {
            continue;
        }
        let (code, told) = ends(&folder, args);
        let is_told = told.contains("it is a named pipe") || told.contains("it is no file");
        assert!(code > 0 && is_told, "{args:?} {code} {told}");
    }
}

#[test]
fn what_else_is_no_file_is_said() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("folder.toml")).unwrap();
    let (_, told) = ends(&folder, &["check", "--config", "folder.toml"]);
    assert!(told.contains("it is a folder, not a file"), "{told}");
    let (_, told) = ends(&folder, &["replay", "/dev/zero"]);
    assert!(told.contains("it is a device, not a file"), "{told}");
}
