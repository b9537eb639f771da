//! `explain`: decisions of a journal, and moments of a recording, of a server that is simulated.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions, Cadence};
use electrumx_warden::decision::{Decision, Outcome, Seen, Target};
use electrumx_warden::journal::{Entry, Filter, INTERRUPTED, Journal, OutcomeKind, Retention, Row};
use electrumx_warden::policy::{Action, Mode, shipped};
use electrumx_warden::poll::{Clock, Groups, SteadyClock, poll};
use electrumx_warden::pseudonym::Key;
use electrumx_warden::recheck::{Verdict, recheck};
use electrumx_warden::recording::Recorder;
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::{Pace, Release, Server, World};
use electrumx_warden::snapshot::Snapshot;
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};

use crate::{Folder, Ran, told};

/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) const CONFIG: &str = "[server]\nrpc = '127.0.0.1:1'\n[journal]\npath = 'j.sqlite'\n\
                      [record]\npath = 'rec'\n";

struct SimClock(Arc<Server>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        START + self.0.now()
    }
}

/// A folder with the journal and the recording of an agent that watched the simulation's story.
pub(crate) async fn story(release: Release, mode: Mode, polls: u64) -> Folder {
    play(release, mode, polls, |recorder, _| recorder).await
}

pub(crate) async fn play(
    release: Release,
    mode: Mode,
    polls: u64,
    recorder: impl FnOnce(Recorder, &Folder) -> Recorder,
) -> Folder {
    let folder = Folder::with(&[("w.toml", CONFIG)]);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for file in std::fs::read_dir(policies).unwrap() {
        let file = file.unwrap();
        let name = format!("policies/{}", file.file_name().display());
        folder.write(&name, &std::fs::read(file.path()).unwrap());
    }
    let world = World::story(release, 1);
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let settings = Settings {
        mode,
        ..Settings::default()
    };
    let mut agent = Agent::new(
        Warden::new(shipped().set.unwrap(), settings),
        Client::new(ClientOptions::new(server.addr().to_string())),
        Journal::open(&folder.path().join("j.sqlite")).unwrap(),
        Box::new(SimClock(Arc::clone(&server))),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(10)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    let recording = Recorder::create(&folder.path().join("rec")).unwrap();
    agent.record(recorder(recording, &folder), "sim".into());
    for _ in 0..polls {
        let tick = agent.tick().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        for _ in 0..10 {
            server.advance(Duration::from_secs(1));
        }
    }
    agent.end_recording();
    folder
}

pub(crate) fn rows(folder: &Folder) -> Vec<Row> {
    let reader = Journal::open_read_only(&folder.path().join("j.sqlite")).unwrap();
    let filter = Filter {
        limit: 1_000_000,
        newest_first: false,
        ..Filter::default()
    };
    reader.query(&filter).unwrap()
}

fn explain(folder: &Folder, args: &[&str]) -> Ran {
    folder.run(&[&["explain"], args].concat())
}

fn explain_id(folder: &Folder, row: &Row) -> Ran {
    let id = row.id.to_string();
    explain(folder, &[&id, "--journal", "j.sqlite", "--format", "json"])
}

/// An alert is no request to the server.
#[test]
fn of_an_alert_the_server_said_nothing() {
    let folder = Folder::new();
    let alert = |outcome| {
        let decision = crate::journal::decision(0, "busy", Target::Server, Action::Alert);
        Entry::new(decision, outcome)
    };
    let logged = Outcome::Executed {
        detail: "told".to_owned(),
    };
    let interrupted = Outcome::Failed {
        detail: INTERRUPTED.to_owned(),
    };
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let entries = [alert(logged), alert(interrupted)];
    journal.intend(&entries, &[]).unwrap();
    let story = |id: &str| {
        let ran = explain(&folder, &[id, "--journal", "j.sqlite", "--format", "json"]);
        ran.json()[0]["story"].to_string()
    };
    assert_eq!(
        story("1"),
        "[\"It was logged, for a person to look at; an alert asks nothing of the server.\"]"
    );
    assert_eq!(
        story("2"),
        "[\"It was about to be logged when the agent stopped, and may be in the log or not.\"]"
    );
}

#[tokio::test]
async fn every_row_of_a_journal_agrees_with_its_evidence() {
    let releases = [
        (Release::V1_13_0, Mode::Enforce),
        (Release::V1_20_0, Mode::Enforce),
        (Release::V1_20_0, Mode::DryRun),
        (Release::V2_0_0, Mode::Enforce),
    ];
    let mut kinds = BTreeSet::new();
    for (release, mode) in releases {
        let folder = story(release, mode, 60).await;
        let rows = rows(&folder);
        assert!(rows.len() > 30, "{}", rows.len());
        for row in &rows {
            let recheck = recheck(row);
            assert!(recheck.agrees(), "{recheck:?}\n{row:?}");
            // Of lists nothing is kept; all else is known.
            for (evidence, reread) in row.decision.evidence.iter().zip(&recheck.evidence) {
                let is_list = evidence.test.contains('@');
                let is_known = reread.verdict == Verdict::Agrees;
                assert_eq!(is_known, !is_list, "{evidence:?} {reread:?}");
            }
        }
        // One of each kind through the binary.
        for row in rows {
            let by = match &row.outcome {
                Outcome::Suppressed(by) => by.word(),
                _ => "",
            };
            let kind = (
                OutcomeKind::of(&row.outcome),
                by,
                row.decision.policy.clone(),
            );
            if kinds.insert(kind) {
                let ran = explain_id(&folder, &row);
                let json = &ran.json()[0];
                assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{json}");
                assert_eq!(json["agrees"], true);
                assert_eq!(json["id"], row.id.0);
            }
        }
    }
    assert!(kinds.len() > 10, "{kinds:?}");
}

/// The first decision of a policy, with this outcome.
pub(crate) fn first<'r>(rows: &'r [Row], policy: &str, outcome: OutcomeKind) -> &'r Row {
    let is_it =
        |row: &&Row| *row.decision.policy == *policy && OutcomeKind::of(&row.outcome) == outcome;
    rows.iter().find(is_it).unwrap()
}

/// What depends on when the test runs.
pub(crate) fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" ago") {
        Some((before, after)) => {
            let start = before.rfind(", ").map_or(0, |at| at + 2);
            format!("{}SOME TIME ago{after}\n", &before[..start])
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[tokio::test]
async fn decisions_and_moments() {
    let folder = story(Release::V1_20_0, Mode::Enforce, 40).await;
    let rows = rows(&folder);
    let hog = first(&rows, "subnet-bandwidth-hog", OutcomeKind::Executed);
    let covered = first(&rows, "group-bandwidth-hog", OutcomeKind::Suppressed);
    let scraper = first(&rows, "scraper", OutcomeKind::Executed);
    let ids = [hog, covered, scraper].map(|row| row.id.to_string());
    let runs = ids
        .iter()
        .map(|id| vec!["explain", &**id, "--config", "w.toml"]);
    let runs: Vec<Vec<&str>> = runs.collect();
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    insta::assert_snapshot!("decisions", timeless(&told(&folder, &runs)));

    let session = hog.decision.sessions[0];
    let (id, address) = (
        session.id.to_string(),
        session.peer.0.unwrap().ip().to_string(),
    );
    let at = hog.decision.at.to_string();
    let before = (hog.decision.at - Duration::from_secs(10)).to_string();
    let long_before = (hog.decision.at - Duration::from_secs(40)).to_string();
    let moments: [&[&str]; 6] = [
        &[
            "explain",
            "--session",
            &id,
            "--recording",
            "rec",
            "--at",
            &at,
        ],
        &[
            "explain",
            "--session",
            &id,
            "--recording",
            "rec",
            "--at",
            &before,
        ],
        &[
            "explain",
            "--address",
            &address,
            "--recording",
            "rec",
            "--at",
            &long_before,
        ],
        &["explain", "--session", &id, "--config", "w.toml"],
        &["explain", "--session", "1", "--recording", "rec"],
        &[
            "explain",
            "--address",
            "192.0.2.1",
            "--config",
            "w.toml",
            "--at",
            "2025-01-01",
        ],
    ];
    insta::assert_snapshot!("moments", timeless(&told(&folder, &moments)));
}

/// A moment that the recording knows nothing of is not passed off as its last poll.
#[tokio::test]
async fn moments_beyond_the_recording() {
    let folder = story(Release::V1_20_0, Mode::DryRun, 20).await;
    let hog = first(&rows(&folder), "subnet-bandwidth-hog", OutcomeKind::DryRun).clone();
    let id = hog.decision.sessions[0].id.to_string();
    // The last poll is at 00:03:10.
    let ask = |at| {
        [
            "explain",
            "--session",
            &id,
            "--recording",
            "rec",
            "--at",
            at,
        ]
    };
    let moments = [
        ask("2026-01-01 00:03:25"),
        ask("2026-01-01 00:03:41"),
        ask("2027-01-01"),
        ask("2025-12-31 23:59:59"),
    ];
    let moments: Vec<&[&str]> = moments.iter().map(|args| &args[..]).collect();
    insta::assert_snapshot!("beyond", timeless(&told(&folder, &moments)));
}

/// Whoever asks of the agent's own recording, and gets the server polled, is told so and why.
#[test]
fn a_server_is_not_polled_in_silence() {
    let off = "[server]\nrpc = '127.0.0.1:1'\n[record]\non = false\n";
    let policy =
        "[[policy]]\nname = 'old'\nscope = 'session'\nwhen = { age = '> 9d' }\naction = 'alert'\n";
    let files = [
        ("w.toml", CONFIG),
        ("off.toml", off),
        ("policies/old.toml", policy),
    ];
    let folder = Folder::with(&files);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["explain", "--session", "1", "--config", "w.toml"],
            &["explain", "--session", "1", "--config", "off.toml"],
            &[
                "explain",
                "--session",
                "1",
                "--config",
                "w.toml",
                "--at",
                "2h"
            ],
            &[
                "explain",
                "--session",
                "1",
                "--config",
                "w.toml",
                "--rpc",
                "127.0.0.1:1"
            ],
        ],
    ));
}

/// What is explained of a moment is what was journalled at that moment.
#[tokio::test]
async fn a_moment_agrees_with_the_journal() {
    for mode in [Mode::Enforce, Mode::DryRun] {
        let folder = story(Release::V1_20_0, mode, 40).await;
        let mut told = 0;
        for row in rows(&folder) {
            let decision = &row.decision;
            let Some(session) = decision.sessions.first() else {
                continue;
            };
            if decision.at.since(START).as_secs() % 50 != 0 || told == 12 {
                continue;
            }
            let (id, at) = (session.id.to_string(), decision.at.to_string());
            let args = [
                "--session",
                &id,
                "--recording",
                "rec",
                "--at",
                &at,
                "--format",
                "json",
            ];
            let ran = explain(&folder, &args);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""));
            let json = &ran.json()[0];
            let accounts = json["accounts"].as_array().unwrap();
            let is_it = |account: &&serde_json::Value| {
                account["policy"] == *decision.policy
                    && account["scope"] == decision.target.scope().name()
                    && account["target"] == decision.target.to_string()
            };
            let account = accounts.iter().find(is_it).unwrap();
            let due = &account["due"];
            // Read like the other side: not to the last bit.
            let evidence = serde_json::to_string(&decision.evidence).unwrap();
            let evidence: serde_json::Value = serde_json::from_str(&evidence).unwrap();
            assert_eq!(due["evidence"], evidence, "{account}");
            assert_eq!(account["held_s"], decision.held.as_secs_f64());
            let is_held_back = matches!(row.outcome, Outcome::Suppressed(_));
            assert_eq!(account["held_back"].is_object(), is_held_back, "{account}");
            told += 1;
        }
        assert!(told > 5, "{told}");
    }
}

#[tokio::test]
async fn with_the_key_real_addresses_are_found_among_pseudonyms() {
    let folder = play(Release::V1_20_0, Mode::DryRun, 13, |recorder, folder| {
        recorder.hiding(&Key::load_or_create(&folder.path().join("k.key")).unwrap())
    });
    let folder = folder.await;
    let hog = first(&rows(&folder), "subnet-bandwidth-hog", OutcomeKind::DryRun).clone();
    let address = hog.decision.sessions[0].peer.0.unwrap().ip().to_string();
    let ask = |more: &[&str]| {
        let args = ["--address", &address, "--recording", "rec"];
        explain(&folder, &[&args, more].concat())
    };
    let ran = ask(&["--key", "k.key"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out
            .starts_with("`subnet-bandwidth-hog` holds for subnet "),
        "{}",
        ran.out
    );
    let asked_for = format!("asked for: {address}, here ");
    assert_eq!(ran.out.matches(&asked_for).count(), 1, "{}", ran.out);
    assert_eq!(ran.out.matches(&address).count(), 1, "{}", ran.out);
    let ran = ask(&["--key", "k.key", "--format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(line["asked_for"], address);
    assert_ne!(line["subject"]["address"], address);
    let ran = ask(&["--key", "k.key", "--at", "2020-01-01"]);
    let nowhere = format!("{address}, here ");
    assert!(ran.err.contains(&nowhere), "{}", ran.err);
    folder.write("no.key", b"no key at all");
    let ran = ask(&["--key", "no.key"]);
    let why = "error: `no.key` holds no key of pseudonyms: such a file has one line of 32 hexadecimal \
               digits, beside lines that begin with `#`; give the key with which the recording was made\n";
    assert_eq!((ran.code, ran.err.as_str()), (3, why));
    let ran = ask(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("are pseudonyms") && ran.err.contains("is nowhere in this recording"));
}

#[tokio::test]
async fn a_row_that_contradicts_itself_is_told() {
    let folder = story(Release::V1_20_0, Mode::Enforce, 20).await;
    let good = first(&rows(&folder), "cost-flood", OutcomeKind::Executed).clone();
    let mut decision: Decision = good.decision;
    decision.evidence[0].seen = Seen::Number(1.0);
    decision.target = Target::Client("evil\u{1b}[2J\u{202e}".into());
    let mut journal = Journal::open(&folder.path().join("bad.sqlite")).unwrap();
    let entry = Entry::new(decision, Outcome::DryRun);
    journal.intend(&[entry], &[]).unwrap();
    let runs: [&[&str]; 2] = [
        &["explain", "1", "--journal", "bad.sqlite"],
        &["explain", "2", "--journal", "bad.sqlite"],
    ];
    let told = told(&folder, &runs);
    insta::assert_snapshot!("contradiction", timeless(&told));
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'));
}

#[tokio::test]
async fn it_fits() {
    let folder = story(Release::V1_20_0, Mode::Enforce, 20).await;
    let rows = rows(&folder);
    let hostile = first(&rows, "hostile-name", OutcomeKind::Executed);
    let session = hostile.decision.sessions[0].id.to_string();
    let (id, at) = (hostile.id.to_string(), hostile.decision.at.to_string());
    let commands: [&[&str]; 2] = [
        &["explain", &id, "--config", "w.toml"],
        &[
            "explain",
            "--session",
            &session,
            "--recording",
            "rec",
            "--at",
            &at,
        ],
    ];
    for columns in [40, 80, 120] {
        for args in commands {
            let mut command = folder.command(args);
            let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
            assert_eq!((ran.code, ran.err.as_str()), (0, ""));
            for line in ran.out.lines() {
                // A word that is too long for a line is not broken.
                let is_word = !line.trim_start().contains(' ');
                assert!(is_word || line.chars().count() <= columns, "{line}");
                assert_eq!(line.trim_end(), line);
                assert!(
                    !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
                    "{line:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_server_is_polled() {
    let world = World::story(Release::V1_20_0, 1);
    let server = Server::start(world, Pace::Manual).await.unwrap();
    server.advance(Duration::from_secs(60));
    let rpc = server.addr().to_string();
    let mut client = Client::new(ClientOptions::new(rpc.clone()));
    let mut snapshot = Snapshot::default();
    let clock = SteadyClock::start();
    poll(&mut client, &clock, Groups::Unasked, &mut snapshot)
        .await
        .unwrap();
    let sessions = &snapshot.sessions;
    let row = |is_rpc| {
        let mut rows = 0..sessions.len();
        rows.find(|&row| sessions.flags[row].is_rpc() == is_rpc)
    };
    let (client_row, rpc_row) = (row(false).unwrap(), row(true).unwrap());
    let address = sessions.peer[client_row].0.unwrap().ip().to_string();
    let ids = [client_row, rpc_row].map(|row| sessions.id[row].to_string());
    let ask = async |args: &[&str]| {
        let args = [&["--rpc", &rpc], args].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        // The server has this thread.
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            explain(&Folder::new(), &args)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let ran = ask(&[
        "--session",
        &ids[0],
        "--samples",
        "2",
        "--interval",
        "100ms",
    ])
    .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "nothing holds for session {}: the nearest is `",
            ids[0]
        )),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains(&format!("\nsession {} ({address}:", ids[0])),
        "{}",
        ran.out
    );
    assert!(
        lines.contains(&"polled just now: 2 polls; nothing is done by this command"),
        "{}",
        ran.out
    );
    let ran = ask(&["--address", &address, "--format", "json"]).await;
    let json = &ran.json()[0];
    assert_eq!(json["type"], "explanation");
    assert_eq!(json["subject"]["address"], address);
    assert_eq!(json["mode"], "dry-run");
    let waits = json["accounts"].to_string();
    assert!(waits.contains("\"why\":\"window\""), "{waits}");
    let ran = ask(&["--session", &ids[1]]).await;
    let rpc_words = format!(
        "session {} is an RPC connection: it is never a target",
        ids[1]
    );
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some(&*rpc_words)));
    let ran = ask(&["--session", "999999"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .starts_with("error: session 999999 is not connected now: "),
        "{}",
        ran.err
    );
}

/// The commands of the document, each with what follows it.
fn examples(document: &str) -> Vec<(Vec<String>, String)> {
    let blocks = document.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks
        .map(|block| {
            let (command, output) = block.split_once('\n').unwrap();
            let command = command.strip_prefix("$ electrumx-warden ").unwrap();
            // The one argument with a blank is quoted.
            let parts = command.split('\'').enumerate();
            let args = parts.flat_map(|(place, part)| match place % 2 {
                1 => vec![part.to_owned()],
                _ => part.split_whitespace().map(str::to_owned).collect(),
            });
            (args.collect(), output.to_owned())
        })
        .collect()
}

#[test]
fn the_document_shows_what_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/explain.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let folder = Folder::new();
    // As it says itself.
    for command in [
        "demo --for 5s --dry-run --record demo.rec",
        "replay demo.rec --journal demo.sqlite",
    ] {
        assert!(
            document.contains(&format!("`electrumx-warden {command}`")),
            "{command}"
        );
        let args: Vec<&str> = command.split(' ').collect();
        assert_eq!(folder.run(&args).code, 0, "{command}");
    }
    let mut count = 0;
    for (args, shown) in examples(&document) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = folder.ran(folder.command(&args).env("COLUMNS", "95"));
        let told = ran.out + &ran.err;
        assert_eq!(timeless(&shown), timeless(&told), "{args:?}\n{told}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn what_cannot_be_explained() {
    let folder = Folder::with(&[("w.toml", CONFIG), ("text.rec.zst", "no recording at all")]);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["explain"],
            &["explain", "1"],
            &["explain", "1", "--session", "2", "--journal", "j"],
            &["explain", "1", "--rpc", "127.0.0.1:1"],
            &["explain", "8770", "--recording", "demo.rec"],
            &["explain", "8770", "--recording", "demo.rec", "--at", "2h"],
            &["explain", "--session", "1"],
            &["explain", "--session", "1", "--journal", "j"],
            &[
                "explain",
                "--address",
                "203.0.113.0/24",
                "--rpc",
                "127.0.0.1:1"
            ],
            &[
                "explain",
                "--address",
                "203.0.113.7:50001",
                "--rpc",
                "127.0.0.1:1"
            ],
            &[
                "explain",
                "--address",
                "electrum.example",
                "--rpc",
                "127.0.0.1:1"
            ],
            &[
                "explain",
                "--session",
                "1",
                "--rpc",
                "127.0.0.1:1",
                "--at",
                "2026-01-01"
            ],
            &["explain", "1", "--journal", "missing.sqlite"],
            &["explain", "--session", "1", "--recording", "missing"],
            &["explain", "--session", "1", "--recording", "empty"],
            &["explain", "--session", "1", "--recording", "text.rec.zst"],
            &["explain", "--session", "1", "--rpc", "127.0.0.1:1"],
            &["explain", "--session", "1", "--config", "w.toml"],
        ],
    ));
}
