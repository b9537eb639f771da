//! What holds for every command: help, version, usage, exit codes, pipes.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::{Folder, told};

#[test]
fn help() {
    let folder = Folder::new();
    let helps = [
        "demo",
        "once",
        "run",
        "check",
        "journal",
        "explain",
        "fields",
        "completions",
    ]
    .map(|command| [command, "--help"]);
    let mut runs: Vec<&[&str]> = vec![&["--help"], &["--version"], &[]];
    runs.extend(helps.iter().map(|args| &args[..]));
    let told = told(&folder, &runs);
    let version = concat!("electrumx-warden ", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!(told.replace(version, "electrumx-warden VERSION"));
}

#[test]
fn what_makes_no_sense() {
    insta::assert_snapshot!(told(
        &Folder::new(),
        &[
            &["chek"],
            &["check", "--jsn"],
            &["fields", "peers"],
            &["completions", "tcsh"],
            &["journal", "--path", "j", "--config", "c"],
            &["journal", "--path", "j", "--since", "yesterday"],
            &["journal", "--path", "j", "--limit", "0"],
            &["journal", "--path", "j", "--id", "first"],
            &["journal", "--path", "j", "--outcome", "done"],
            &["journal", "--path", "j", "--id", "1", "--limit", "5"],
            &["demo", "--for", "3"],
            &["demo", "--seed", "x"],
            &["explain", "--session", "x", "--rpc", "127.0.0.1:1"],
            &["once", "--rpc", "127.0.0.1:1", "--samples", "0"],
            &["once", "--rpc", "127.0.0.1:1", "--interval", "5"],
            &["record", "--rpc", "127.0.0.1:1", "--out", "o", "--for", "5"],
            &["replay", "r", "--against", "p", "--fail-if-more", "some"],
        ],
    ));
}

/// Clap's own messages are lines of any length.
#[test]
fn what_clap_says_is_wrapped() {
    let folder = Folder::new();
    let ran = folder.ran(folder.command(&["explain"]).env("COLUMNS", "80"));
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    let widest = ran.err.lines().map(str::len).max();
    assert!(widest <= Some(80), "{}", ran.err);
    assert!(
        ran.err.contains("Usage: electrumx-warden explain <"),
        "{}",
        ran.err
    );
}

#[test]
fn the_exit_codes_are_documented() {
    let document = include_str!("../../docs/command-line.md");
    for exit in electrumx_warden::cli::Exit::ALL {
        let row = format!("| {} | {} |", exit as u8, exit.doc());
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn every_command_and_option_is_documented() {
    let document = include_str!("../../docs/command-line.md");
    let folder = Folder::new();
    let help = folder.run(&["--help"]).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names = commands.lines().filter(|line| !line.starts_with("   "));
    let names: Vec<_> = names
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let heading = format!("## `{name}`\n");
        let (_, section) = document.split_once(&heading).expect(name);
        let section = section.split("\n## ").next().unwrap();
        let help = folder.run(&[name, "-h"]).out;
        let (_, options) = help.split_once("Options:\n").unwrap();
        let options = options.split("Examples:").next().unwrap();
        for option in options
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
            .map(|word| word.trim_end_matches([',', ']']))
        {
            assert!(
                option == "--help" || section.contains(option),
                "{name} {option}"
            );
        }
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let folder = Folder::new();
    let commands: [&[&str]; 3] = [
        &["fields", "--format", "json"],
        &["fields"],
        &["completions", "zsh"],
    ];
    for args in commands {
        let mut command = folder.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_full_disk_is_told() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return;
    };
    let folder = Folder::new();
    let mut command = folder.command(&["fields"]);
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.starts_with("error: the output cannot be written: "),
        "{err}"
    );
}

#[test]
fn completions_know_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = folder.run(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        for word in ["check", "journal", "fields", "completions", "deny-warnings"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}
