//! `replay`: the journal that it writes, and what is left when it fails.

use electrumx_warden::decision::{Decision, Outcome, Suppression};
use electrumx_warden::journal::{Filter, Journal, Row};
use electrumx_warden::policy::Mode;
use electrumx_warden::sim::Release;

use crate::explain::story;
use crate::{Folder, told};

const REPLAY: [&str; 4] = ["replay", "rec", "--journal", "r.sqlite"];

fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("j.sqlite")).collect();
    names.sort();
    names
}

fn rows(folder: &Folder, journal: &str) -> Vec<Row> {
    let reader = Journal::open_read_only(&folder.path().join(journal)).unwrap();
    let filter = Filter {
        limit: 1_000_000,
        newest_first: false,
        ..Filter::default()
    };
    reader.query(&filter).unwrap()
}

/// The number of the first decision of a policy that came out in such a way.
fn first(rows: &[Row], policy: &str, is_it: impl Fn(&Outcome) -> bool) -> String {
    let mut rows = rows.iter();
    let row = rows.find(|row| row.decision.policy.starts_with(policy) && is_it(&row.outcome));
    row.unwrap().id.to_string()
}

#[tokio::test]
async fn its_journal_is_that_of_the_run_and_says_that_it_is_a_replay() {
    for mode in [Mode::Enforce, Mode::DryRun] {
        let folder = story(Release::V1_20_0, mode, 60).await;
        let ran = folder.run(&REPLAY);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(names(&folder), ["policies", "r.sqlite", "rec", "w.toml"]);
        let (live, again) = (rows(&folder, "j.sqlite"), rows(&folder, "r.sqlite"));
        assert!(live.len() > 30, "{}", live.len());
        assert_eq!(live, again);

        let is_done = |outcome: &Outcome| !matches!(outcome, Outcome::Suppressed(_));
        let rests = |outcome: &Outcome| {
            matches!(outcome, Outcome::Suppressed(Suppression::Cooldown { .. }))
        };
        let hog = first(&again, "subnet-bandwidth-hog", is_done);
        let flood = first(&again, "cost-flood", is_done);
        let resting = first(&again, "", rests);
        let runs: Vec<[&str; 4]> = [&hog, &flood, &resting]
            .into_iter()
            .map(|id| ["explain", id, "--journal", "r.sqlite"])
            .collect();
        let list = [
            "journal", "--path", "r.sqlite", "--limit", "3", "--order", "oldest",
        ];
        let mut runs: Vec<&[&str]> = runs.iter().map(|args| &args[..]).collect();
        runs.push(&list);
        insta::assert_snapshot!(format!("journal_of_{mode}"), told(&folder, &runs));
    }
}

/// What a replay holds back for a cooldown until then is what the live agent keeps as one.
#[tokio::test]
async fn cooldowns_at_its_end_are_those_of_the_agent() {
    let folder = story(Release::V1_20_0, Mode::Enforce, 40).await;
    assert_eq!(folder.run(&REPLAY).code, 0);
    let state = |journal| {
        let reader = Journal::open_read_only(&folder.path().join(journal)).unwrap();
        reader.load_state().unwrap().cooldowns
    };
    let at = rows(&folder, "j.sqlite").last().unwrap().decision.at;
    let mut live = state("j.sqlite");
    live.retain(|cooldown| cooldown.until > at);
    assert!(!live.is_empty());
    for cooldown in live {
        assert!(state("r.sqlite").contains(&cooldown), "{cooldown:?}");
    }
}

#[tokio::test]
async fn no_live_command_takes_its_journal_for_an_agents() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    assert_eq!(folder.run(&REPLAY).code, 0);
    let config =
        "[server]\nrpc = '127.0.0.1:1'\n[journal]\npath = 'r.sqlite'\n[record]\non = false\n";
    folder.write("r.toml", config.as_bytes());
    let before = std::fs::read(folder.path().join("r.sqlite")).unwrap();
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["journal", "--config", "r.toml"],
            &["explain", "1", "--config", "r.toml"],
            &["once", "--rpc", "127.0.0.1:1", "--journal", "r.sqlite"],
            &["replay", "rec", "--journal", "r.sqlite"],
        ],
    ));
    let run = folder.run(&["run", "--config", "r.toml"]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.contains("is of a replay"), "{}", run.err);
    assert_eq!(
        std::fs::read(folder.path().join("r.sqlite")).unwrap(),
        before
    );
}

#[tokio::test]
async fn one_kind_of_file_is_told_from_the_other() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    assert_eq!(folder.run(&REPLAY).code, 0);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["replay", "r.sqlite"],
            &["journal", "--path", "rec"],
            &["explain", "6", "--journal", "rec"],
        ],
    ));
    std::fs::rename(
        folder.path().join("rec"),
        folder.path().join("r.sqlite-recording"),
    )
    .unwrap();
    let ran = folder.run(&["replay", "r.sqlite"]);
    assert!(
        ran.err.ends_with("its recording is `r.sqlite-recording`\n"),
        "{}",
        ran.err
    );
}

/// As `explain` does.
#[tokio::test]
async fn a_configuration_names_its_recording() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    let [own, named] = [
        &["replay", "--config", "w.toml"][..],
        &["replay", "rec", "--config", "w.toml"],
    ]
    .map(|args| folder.run(args));
    assert_eq!((own.code, &own.err), (0, &named.err));
    assert_eq!(own.out, named.out);
    folder.write(
        "off.toml",
        b"[server]\nrpc = '127.0.0.1:1'\n[record]\non = false\n",
    );
    let off = folder.run(&["replay", "--config", "off.toml"]);
    let why =
        "error: the agent of this configuration records nothing (`[record]`): name a recording\n";
    assert_eq!((off.code, off.err.as_str()), (3, why));
}

/// That a policy touches nobody says nothing if it cannot be judged.
#[tokio::test]
async fn policies_that_the_recording_cannot_judge_are_told() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    let own = "[[policy]]\nname = 'own'\nscope = 'session'\nwhen = { errors = '> 0' }\naction = 'alert'\n";
    folder.write("own.toml", own.as_bytes());
    let ran = folder.run(&["replay", "rec", "--policies", "own.toml"]);
    let told = "! Policy `own` could not be judged at any poll: this recording does not tell `errors`, or \
                not for long enough, so nothing is known of what it would do.";
    let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ran.code == 0 && out.contains(told), "{}", ran.out);
    let json = folder.run(&[
        "replay",
        "rec",
        "--policies",
        "own.toml",
        "--format",
        "json",
    ]);
    let unjudged = &json.json()[0]["decided"]["policies"][0]["unjudged"];
    assert_eq!(unjudged, "errors", "{}", json.out);
    let shipped = folder.run(&["replay", "rec", "--policies", "policies"]);
    assert_eq!((shipped.code, shipped.err.as_str()), (0, ""));
}

/// Options take one value each, so none of them swallows the recording.
#[tokio::test]
async fn options_may_come_first() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    let after = [
        "replay",
        "rec",
        "--policies",
        "policies",
        "--against",
        "policies",
    ];
    let before = [
        "replay",
        "--policies",
        "policies",
        "--against",
        "policies",
        "rec",
    ];
    let [after, before] = [after, before].map(|args| folder.run(&args));
    assert_eq!((before.code, &before.err), (0, &after.err));
    assert_eq!(before.out, after.out);
    let abusive = [
        "baseline",
        "--budget",
        "0",
        "--assume-abusive",
        "all",
        "--policies",
        "policies",
        "rec",
    ];
    assert_eq!(folder.run(&abusive).code, 0);
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 15).await;
    let fails = |args: &[&str], code: i32, why: &str| {
        let before = names(&folder);
        let ran = folder.run(&[&REPLAY, args].concat());
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert_eq!(names(&folder), before);
    };
    fails(
        &["--from", "2030-01-01"],
        1,
        "which is after the recording: it goes from 2026-01-01",
    );
    fails(
        &["--to", "2020-01-01"],
        1,
        "`--to` means 2020-01-01 00:00:00 UTC, which is before the recording",
    );
    let turned = ["--from", "2026-01-02", "--to", "2026-01-01"];
    fails(
        &turned,
        2,
        "nothing is between them: give `--from` a time before `--to`",
    );
    fails(&["--policies", "missing"], 3, "missing");
    fails(&["--html", "none/page.html"], 3, "no folder");
    // Damage in the middle is met when much is written already.
    let segments = std::fs::read_dir(folder.path().join("rec")).unwrap();
    let segment = segments.map(|entry| entry.unwrap().path()).next().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segment, &bytes).unwrap();
    fails(&[], 3, "damaged");
    std::fs::write(&segment, &whole).unwrap();
    folder.write("r.sqlite", b"mine");
    fails(&[], 3, "is there already and is not overwritten");
    assert_eq!(
        std::fs::read(folder.path().join("r.sqlite")).unwrap(),
        b"mine"
    );
}

/// Nobody reads: it goes on to its end, for its code and its journal say something.
#[tokio::test]
async fn it_outlives_its_readers() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 40).await;
    let compared = ["--policies", "stricter.toml", "--against", "none.toml"];
    let everybody = "[[policy]]\nname = 'all'\nscope = 'session'\nwhen = { age = '>= 0s' }\naction = 'disconnect'\n";
    let nobody = everybody.replace(">= 0s", "> 99d");
    folder.write("stricter.toml", everybody.as_bytes());
    folder.write("none.toml", nobody.as_bytes());
    let more = [&["replay", "rec", "--fail-if-more"][..], &compared].concat();
    let commands: [(&[&str], i32); 4] = [
        (&["replay", "rec", "--decisions"], 0),
        (&["replay", "rec", "--decisions", "--format", "json"], 0),
        (&more, 1),
        (&["explain", "1", "--journal", "j.sqlite"], 0),
    ];
    for (args, code) in commands {
        let mut command = folder.command(args);
        command.stdout(std::process::Stdio::piped());
        let mut child = command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        assert_eq!(err.is_empty(), code == 0, "{args:?}: {err}");
    }
    // As it is typed.
    let typed = "\"$0\" replay rec --decisions | head -1; echo \"${PIPESTATUS[*]}\"; \
                 \"$0\" explain 1 --journal j.sqlite | head -1; echo \"${PIPESTATUS[*]}\"";
    let ran = std::process::Command::new("bash")
        .args(["-c", typed, env!("CARGO_BIN_EXE_electrumx-warden")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        (lines.len(), lines[1], lines[3]),
        (4, "0 0", "0 0"),
        "{out}"
    );
    assert_eq!(ran.stderr, b"");
}

/// Numbers in `--decisions` are those of the journal.
#[tokio::test]
async fn decisions_bear_their_numbers_in_the_journal() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 20).await;
    let args = ["--decisions", "--format", "json"];
    let ran = folder.run(&[&REPLAY[..], &args].concat());
    let shown = ran.json();
    let shown: Vec<_> = shown
        .iter()
        .filter(|line| line["type"] == "decision")
        .map(|line| {
            let id = line["id"].as_i64().unwrap();
            let policy = line["policy"].as_str().unwrap().to_owned();
            (id, policy, line["target"].as_str().unwrap().to_owned())
        })
        .collect();
    let rows = rows(&folder, "r.sqlite");
    let written: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let Decision { policy, target, .. } = row.decision;
            (row.id.0, policy.to_string(), target.to_string())
        })
        .collect();
    assert!(written.len() > 5, "{}", written.len());
    assert_eq!(shown, written);
}
