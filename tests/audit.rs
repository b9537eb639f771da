//! The way from a recording to a report, as docs/audits.md goes it: every command in it is run, in
//! its order, where somebody would run it who has the program and a copy of the policies.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Each block of commands, and whether it is to fail.
fn blocks(document: &str) -> Vec<(&str, bool)> {
    let blocks = document.split("```sh").skip(1);
    blocks
        .map(|block| {
            let (kind, commands) = block.split_once('\n').unwrap();
            (commands.split("```").next().unwrap(), kind == " fails")
        })
        .collect()
}

#[test]
fn a_newcomer_gets_from_the_demo_to_the_report() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root.join("policies"))
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let bin = Path::new(env!("CARGO_BIN_EXE_electrumx-warden"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = vec![bin.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).unwrap();

    let document = fs::read_to_string(root.join("docs/audits.md")).unwrap();
    let blocks = blocks(&document);
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    let mut said = String::new();
    for (commands, is_to_fail) in blocks {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(
            output.status.success(),
            !is_to_fail,
            "{commands}\n{out}\n{err}"
        );
        if is_to_fail {
            assert_eq!(output.status.code(), Some(1), "{commands}\n{err}");
        } else {
            assert_eq!(err, "", "{commands}");
        }
        said.push_str(&out);
        said.push_str(&err);
    }
    // What the document says of it.
    assert!(said.contains("sessions   30 (0.35%)"), "{said}");
    assert!(
        said.contains("A (mine) touches 30 sessions that B (policies) leaves alone, and --fail-if-more allows 0"),
        "{said}"
    );
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"), "{}", &page[..100]);
}
