//! `baseline`: what it surveys, what it proposes, and what it says of bad input.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use electrumx_warden::decision::Epoch;
use electrumx_warden::policy::Mode;
use electrumx_warden::recording::{Recorder, Start, Turn};
use electrumx_warden::time::Timestamp;
use tempfile::TempDir;

use crate::{Folder, Ran, told};

/// The demo, recorded once for all tests.
fn demo() -> &'static Path {
    static DEMO: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.rec");
        let ran = Folder::new().run(&["demo", "--for", "5s", "--record", path.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        (folder, path)
    });
    path
}

/// A folder with the demo's recording in it.
fn with_demo() -> Folder {
    let folder = Folder::new();
    std::os::unix::fs::symlink(demo(), folder.path().join("demo.rec")).unwrap();
    folder
}

fn at_width(folder: &Folder, columns: usize, args: &[&str]) -> Ran {
    folder.ran(folder.command(args).env("COLUMNS", columns.to_string()))
}

/// The first bytes of the demo's only segment.
fn cut(folder: &Folder, percent: usize) {
    let entry = std::fs::read_dir(demo()).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(entry.path()).unwrap();
    let kept = bytes.len() * percent / 100;
    let name = Path::new("cut.rec").join(entry.file_name());
    folder.write(name.to_str().unwrap(), &bytes[..kept]);
}

#[test]
fn what_is_normal() {
    let folder = with_demo();
    let ran = at_width(&folder, 80, &["baseline", "demo.rec", "--scope", "session"]);
    insta::assert_snapshot!(ran.told());
}

#[test]
fn a_budget() {
    let folder = with_demo();
    let args = [
        "baseline",
        "demo.rec",
        "--field",
        "subs",
        "--scope",
        "session",
        "--budget",
        "1 false disconnect a week",
    ];
    let ran = at_width(&folder, 100, &args);
    insta::assert_snapshot!(ran.told());
    // Abuse is no false alarm, so nothing is.
    let abusive = [&args[..], &["--assume-abusive", "all", "--format", "json"]].concat();
    let lines = at_width(&folder, 100, &abusive).json();
    let proposals = lines.iter().filter(|line| line["type"] == "proposal");
    for proposal in proposals {
        assert_eq!(proposal["changed"], false, "{proposal}");
        assert_eq!(proposal["training"]["present"], 0, "{proposal}");
    }
    let budget = lines.last().unwrap();
    assert_eq!(
        (&budget["type"], &budget["verdict"]),
        (&"budget".into(), &"kept".into())
    );
    assert!(budget["abusive_sessions"].as_u64().unwrap() > 100);
}

/// What is proposed is taken over: then it is what is there, and hits what was foretold.
#[test]
fn what_is_proposed_can_be_pasted() {
    let folder = with_demo();
    let args = ["baseline", "demo.rec", "--budget", "0", "--format", "json"];
    let lines = folder.run(&args).json();
    let proposals: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "proposal")
        .collect();
    let changed: Vec<_> = proposals
        .iter()
        .filter(|it| it["changed"] == true)
        .collect();
    assert!(changed.len() >= 5, "{proposals:?}");
    let policies = changed.iter().map(|it| {
        let (name, scope, when) = (&it["policy"], &it["scope"], it["when"].as_str().unwrap());
        let shipped = shipped_times(name.as_str().unwrap());
        format!(
            "[[policy]]\nname = {name}\nscope = {scope}\nwhen = {when}\n{shipped}\naction = \"disconnect\"\n"
        )
    });
    folder.write("mine.toml", policies.collect::<String>().as_bytes());
    let args = [&args[..], &["--policies", "mine.toml"]].concat();
    let again = folder.run(&args);
    assert_eq!(again.code, 0, "{}", again.err);
    for again in again
        .json()
        .iter()
        .filter(|line| line["type"] == "proposal")
    {
        let first = changed
            .iter()
            .find(|it| it["policy"] == again["policy"])
            .unwrap();
        for part in ["training", "held_out"] {
            assert_eq!(again[part]["present"], first[part]["proposed"], "{again}");
        }
        assert_eq!(again["changed"], false, "{again}");
    }
}

/// `window` and `for` of a policy that ships.
fn shipped_times(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut texts = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        std::fs::read_to_string(path).unwrap_or_default()
    });
    let start = format!("name     = \"{name}\"");
    let policy = texts
        .find_map(|text| Some(text.split_once(&start)?.1.to_owned()))
        .unwrap();
    let policy = policy.split("[[policy]]").next().unwrap();
    let is_time = |line: &&str| line.starts_with("window ") || line.starts_with("for ");
    policy
        .lines()
        .filter(is_time)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn programs_read_it() {
    let folder = with_demo();
    let ran = folder.run(&["baseline", "demo.rec", "--format", "json", "--window", "2m"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines = ran.json();
    assert_eq!(lines[0]["type"], "recording");
    assert_eq!(lines[0]["polls"], 60);
    let spreads = || lines.iter().filter(|line| line["type"] == "spread");
    let is = |line: &serde_json::Value, scope: &str, field: &str| {
        line["scope"] == scope && line["field"] == field
    };
    let rate = spreads()
        .find(|line| is(line, "subnet", "sent_rate"))
        .unwrap();
    assert_eq!(rate["window_s"], 120.0);
    let quantiles =
        ["min", "p50", "p90", "p99", "p99.9", "max"].map(|it| rate[it].as_f64().unwrap());
    assert!(quantiles.is_sorted(), "{quantiles:?}");
    assert!(rate["max_target"].as_str().unwrap().ends_with("/24"));
    // A name that a client chose is there to the letter, and ASCII on the line.
    assert!(ran.out.is_ascii());
    for scope in ["server", "session", "address", "subnet", "group", "client"] {
        assert!(spreads().any(|line| line["scope"] == scope), "{scope}");
    }
    let thresholds = lines.iter().filter(|line| line["type"] == "threshold");
    assert!(thresholds.count() >= 15);
}

#[test]
fn it_fits() {
    let folder = with_demo();
    for columns in [40, 80, 100, 120] {
        let ran = at_width(
            &folder,
            columns,
            &["baseline", "demo.rec", "--budget", "2 a day"],
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        // What is to be pasted is not broken.
        let lines = ran.out.lines().filter(|line| !line.starts_with("when = "));
        let widest = lines.max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= columns, "{widest}");
        assert!(
            ran.out.lines().all(|line| !line.ends_with(' ')),
            "{}",
            ran.out
        );
        assert!(!ran.out.contains(['\u{1b}', '\u{202e}']));
        let (server, _) = ran.out.split_once("\nsession\n").unwrap();
        let (_, budget) = ran.out.split_once("Budget: ").unwrap();
        let (budget, _) = budget.split_once("\nLeft alone:").unwrap();
        insta::assert_snapshot!(
            format!("at_{columns}_columns"),
            format!("{server}\n…\n{budget}")
        );
    }
}

/// Backticks are markup for the terminal.
#[test]
fn the_page_has_code_where_a_terminal_has_backticks() {
    let folder = with_demo();
    let ran = folder.run(&[
        "baseline",
        "demo.rec",
        "--budget",
        "1 false disconnect a week",
        "--html",
        "page.html",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("<code>--assume-abusive</code>"));
    assert!(!page.contains('`'));
}

#[test]
fn a_page_is_written_once() {
    let folder = with_demo();
    let page = |more: &[&str]| {
        let args = [
            "baseline",
            "demo.rec",
            "--scope",
            "client",
            "--html",
            "page.html",
        ];
        folder.run(&[&args[..], more].concat())
    };
    assert_eq!(page(&[]).code, 0);
    let text = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
    assert!(!text.contains("<script"));
    folder.write("page.html", b"mine");
    let refused = page(&[]);
    let message = "error: `page.html` exists already and was not overwritten: name another file, or add `--force`\n";
    assert_eq!(
        (refused.code, refused.err.as_str(), refused.out.as_str()),
        (3, message, "")
    );
    assert_eq!(
        std::fs::read(folder.path().join("page.html")).unwrap(),
        b"mine"
    );
    assert_eq!(page(&["--force"]).code, 0);
    // Nothing is left lying about.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn bad_input() {
    let folder = with_demo();
    folder.write("empty.rec/readme.txt", b"nothing");
    folder.write("foreign.rec.zst", b"a text");
    folder.write("bad.toml", b"[[policy]]\nname = 1\n");
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["baseline"],
            &["baseline", "none.rec"],
            &["baseline", "empty.rec"],
            &["baseline", "foreign.rec.zst"],
            &["baseline", "demo.rec", "--scope", "subnets"],
            &["baseline", "demo.rec", "--field", "sent_rat"],
            &["baseline", "demo.rec", "--field", "\u{1b}[2Jzzz"],
            &["baseline", "demo.rec", "--field", "client"],
            &[
                "baseline",
                "demo.rec",
                "--field",
                "addresses",
                "--scope",
                "session"
            ],
            &["baseline", "demo.rec", "--field", "requests."],
            &["baseline", "demo.rec", "--window", "0s"],
            &["baseline", "demo.rec", "--budget", "1 a fortnight"],
            &["baseline", "demo.rec", "--assume-abusive", "scraper"],
            &[
                "baseline",
                "demo.rec",
                "--budget",
                "0",
                "--assume-abusive",
                "scrapper"
            ],
            &["baseline", "demo.rec", "--policies", "bad.toml"],
            &["baseline", "demo.rec", "--html", "none/page.html"],
            &["baseline", "demo.rec", "--html", "empty.rec"],
        ],
    ));
}

/// A method may be misspelt, and a release may not tell.
#[test]
fn what_is_unknown_says_why() {
    let folder = with_demo();
    let ran = at_width(
        &folder,
        100,
        &["baseline", "demo.rec", "--field", "requests.nonsense"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("`requests.nonsense` is told from 2.0 on"),
        "{}",
        ran.out
    );
}

#[test]
fn a_recording_that_breaks_off_serves_as_far_as_it_goes() {
    let folder = with_demo();
    cut(&folder, 50);
    let ran = folder.run(&["baseline", "cut.rec", "--budget", "0", "--field", "subs"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err.matches("breaks off").count(), 1, "{}", ran.err);
    assert!(ran.out.contains("polls in "));
}

#[test]
fn too_short_is_said_to_be_so() {
    let folder = with_demo();
    cut(&folder, 5);
    let ran = folder.run(&["baseline", "cut.rec", "--budget", "0"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.err.contains("is too short to find thresholds by"),
        "{}",
        ran.err
    );
    assert_eq!(folder.run(&["baseline", "cut.rec"]).code, 0);

    let path = folder.path().join("down.rec");
    let mut recorder = Recorder::create(&path).unwrap();
    let at = Timestamp::from_millis(1_767_225_600_000);
    let start = Start {
        server: "down".into(),
        ..Start::default()
    };
    recorder.begin(at, start).unwrap();
    for poll in 0..10 {
        let at = at + Duration::from_secs(poll * 10);
        let turn = Turn {
            at,
            epoch: Epoch(1),
            mode: Mode::DryRun,
            polled: Err("nobody listens"),
            rounds: &[],
            visits: &electrumx_warden::visit::Visits::default(),
            inspected: &[],
            acts: &[],
            closed: &[],
            by_hand: &[],
            not_held_off: 0,
            settled: at,
        };
        recorder.record(&turn, None).unwrap();
    }
    recorder.finish().unwrap();
    let ran = folder.run(&["baseline", "down.rec"]);
    let message = "error: not one poll of the recording succeeded: there is nothing to survey\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, message));
}
