//! `journal`

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::decision::{
    Decision, Epoch, Evidence, Outcome, Peer, Seen, SessionRef, Suppression, Target,
};
use electrumx_warden::field::Dimension;
use electrumx_warden::journal::{Entry, Event, Journal};
use electrumx_warden::policy::{Action, DaemonTarget, Mode};
use electrumx_warden::time::Timestamp;

use crate::{Folder, told};

/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) fn session(id: u64, peer: &str) -> SessionRef {
    SessionRef {
        id,
        peer: Peer(peer.parse().ok()),
        since: START - Duration::from_secs(300),
    }
}

fn number(field: &str, test: &str, seen: f64, threshold: f64, unit: Dimension) -> Evidence {
    Evidence {
        field: field.into(),
        test: test.into(),
        seen: Seen::Number(seen),
        threshold: Some(threshold),
        dimension: Some(unit),
    }
}

fn text(field: &str, test: &str, seen: &str) -> Evidence {
    Evidence {
        field: field.into(),
        test: test.into(),
        seen: Seen::Text(seen.into()),
        threshold: None,
        dimension: None,
    }
}

pub(crate) fn decision(minute: u64, policy: &str, target: Target, action: Action) -> Decision {
    Decision {
        at: START + Duration::from_secs(minute * 60),
        epoch: Epoch(1),
        policy: policy.into(),
        mode: Mode::Enforce,
        action,
        target,
        evidence: Vec::new(),
        held: Duration::from_secs(60),
        severity: 1.0,
        sessions: Vec::new(),
        spared: 0,
        choice: None,
        at_once: false,
        bans: Vec::new(),
        refused: Vec::new(),
        daemons: Vec::new(),
    }
}

/// One decision of every sort, those that clients have a say in with hostile text.
fn decisions() -> Vec<Entry> {
    let mut hog = decision(
        0,
        "subnet-bandwidth-hog",
        Target::Subnet("203.0.113.0/24".parse().unwrap()),
        Action::Disconnect,
    );
    hog.severity = 3.2;
    hog.spared = 1;
    hog.evidence = vec![
        number(
            "sent_rate",
            "> 1 MiB/s",
            3_355_443.2,
            1_048_576.0,
            Dimension::ByteRate,
        ),
        number("sent_share", "> 20%", 0.41, 0.2, Dimension::Share),
        number("sessions", "> 20x median", 46.0, 20.0, Dimension::Count),
    ];
    let peers = (0..25).map(|i| session(100 + i, &format!("203.0.113.{i}:50001")));
    hog.sessions = peers.collect();

    let mut named = decision(
        1,
        "bad-client-names",
        Target::Client(Arc::from("evil\u{1b}[2J\u{202e}/1.0\n<b>")),
        Action::Log {
            duration: Duration::from_secs(600),
        },
    );
    named.evidence = vec![text(
        "client",
        "=~ (?i)^evil",
        "evil\u{1b}[2J\u{202e}/1.0\n<b>",
    )];
    named.sessions = vec![session(7, "[2001:db8::7]:50001")];

    let mut flood = decision(
        2,
        "error-flood",
        Target::Session(session(8, "198.51.100.8:40404")),
        Action::Disconnect,
    );
    flood.evidence = vec![number("error_rate", "> 30/min", 2.5, 0.5, Dimension::Rate)];
    flood.sessions = vec![session(8, "198.51.100.8:40404")];

    let stalled = |minute| {
        let mut stalled = decision(
            minute,
            "daemon-stalled",
            Target::Server,
            Action::DaemonUrl {
                to: DaemonTarget::List([Arc::from("10.0.0.2:8332")].into()),
            },
        );
        stalled.evidence = vec![number(
            "daemon_stalled",
            "> 1h30m",
            5_460.0,
            5_400.0,
            Dimension::Duration,
        )];
        stalled
    };
    let group = decision(
        5,
        "group-cost",
        Target::Group(Arc::from("t42")),
        Action::Alert,
    );
    vec![
        Entry::new(
            hog.clone(),
            Outcome::Executed {
                detail: "25 disconnected".to_owned(),
            },
        ),
        Entry::new(named, Outcome::DryRun),
        Entry::new(
            flood,
            Outcome::Suppressed(Suppression::Cooldown {
                until: START + Duration::from_secs(600),
            }),
        ),
        Entry::new(
            stalled(3),
            Outcome::Failed {
                detail: "the server refused: bad URL\u{7}\nhttp://***@10.0.0.1:8332/".to_owned(),
            },
        ),
        Entry::new(
            stalled(4),
            Outcome::Suppressed(Suppression::Covered {
                policy: "other".into(),
            }),
        ),
        Entry::new(group, Outcome::Suppressed(Suppression::UncertainMembers)),
    ]
}

fn folder() -> Folder {
    let folder = Folder::with(&[(
        "w.toml",
        "[server]\nrpc = '127.0.0.1:8000'\n[journal]\npath = 'j.sqlite'\n",
    )]);
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    journal.intend(&decisions(), &[]).unwrap();
    folder
}

#[test]
fn the_list() {
    let folder = folder();
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["journal", "--path", "j.sqlite"],
            &["journal", "--path", "j.sqlite", "--held"],
            &[
                "journal", "--config", "w.toml", "--order", "oldest", "--limit", "2", "--all"
            ],
            &["journal", "--path", "j.sqlite", "--policy", "error-flood"],
            &["journal", "--path", "j.sqlite", "--format", "json", "--all"],
        ],
    ));
}

#[test]
fn the_list_at_every_width() {
    let folder = folder();
    let shown = [60, 80, 100, 120, 200].map(|columns| {
        let mut command = folder.command(&["journal", "--path", "j.sqlite", "--all"]);
        let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
        format!("{columns} columns:\n{}", ran.out)
    });
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn odd_widths() {
    let folder = folder();
    let at = |columns: &str| {
        let mut command = folder.command(&["journal", "--path", "j.sqlite"]);
        folder.ran(command.env("COLUMNS", columns)).out
    };
    for unset in ["0", "", "wide", "-5"] {
        assert_eq!(at(unset), at("100"), "{unset}");
    }
    assert_eq!(at("20"), at("40"));
    assert_eq!(at("1000"), at("200"));
}

#[test]
fn the_summary() {
    let folder = folder();
    let text = [60, 80, 100, 120].map(|columns| {
        let mut command = folder.command(&["journal", "--path", "j.sqlite", "--summary"]);
        let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
        format!("{columns} columns:\n{}\n", ran.out)
    });
    let rest = told(
        &folder,
        &[
            &[
                "journal",
                "--path",
                "j.sqlite",
                "--summary",
                "--format",
                "json",
            ],
            &[
                "journal",
                "--path",
                "j.sqlite",
                "--summary",
                "--since",
                "2026-02-01",
            ],
            &[
                "journal",
                "--path",
                "j.sqlite",
                "--summary",
                "--policy",
                "daemon-stalled",
            ],
            &["journal", "--path", "j.sqlite", "--summary", "--held"],
        ],
    );
    insta::assert_snapshot!(text.join("") + &rest);
}

/// What `--follow` writes, line by line.
struct Followed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Followed {
    fn start(folder: &Folder, more: &[&str]) -> Self {
        let args = [&["journal", "--path", "j.sqlite", "--follow"], more].concat();
        let mut child = folder
            .command(&args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(mut self, signal: rustix::process::Signal) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap()
    }
}

#[test]
fn follow_shows_what_comes_and_ends_on_ctrl_c() {
    let folder = folder();
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let mut followed = Followed::start(&folder, &[]);
    let first: Vec<String> = (0..3).map(|_| followed.line()).collect();
    insta::assert_snapshot!(first.join("\n"));
    // What is held back stays out of it.
    let mut entries = decisions();
    entries.swap_remove(0);
    journal.intend(&entries, &[]).unwrap();
    let next = followed.line();
    assert!(
        next.starts_with("2026-01-01 00:01:00  8  dry-run"),
        "{next}"
    );
    let next = followed.line();
    assert!(
        next.starts_with("2026-01-01 00:03:00  10  failed"),
        "{next}"
    );
    let status = followed.signal(rustix::process::Signal::INT);
    assert_eq!(status.code(), Some(0));
}

/// An intent is a row before it is carried out, and an act within a second.
#[test]
fn follow_waits_for_the_outcome_of_an_intent() {
    let folder = Folder::new();
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let mut followed = Followed::start(&folder, &["--all", "--format", "json"]);
    let mut one = decision(0, "p", Target::Server, Action::Alert);
    one.at = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    let old = decision(0, "old", Target::Server, Action::Alert);
    let entries = [
        Entry::new(old, Outcome::Intended),
        Entry::new(one, Outcome::Intended),
    ];
    let ids = journal.intend(&entries, &[]).unwrap();
    let line: serde_json::Value = serde_json::from_str(&followed.line()).unwrap();
    assert_eq!(
        (&line["policy"], &line["outcome"]),
        (&"old".into(), &"intended".into())
    );
    let detail = "noted".to_owned();
    journal
        .finish(ids[1], Outcome::Executed { detail })
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(&followed.line()).unwrap();
    assert_eq!(
        (&line["policy"], &line["outcome"]),
        (&"p".into(), &"executed".into())
    );
    let status = followed.signal(rustix::process::Signal::TERM);
    assert_eq!(status.code(), None);
}

#[test]
fn follow_begins_with_the_newest_and_ends_with_the_file() {
    let folder = folder();
    let mut followed = Followed::start(&folder, &["--all", "--limit", "2", "--format", "json"]);
    for id in [5, 6] {
        let line: serde_json::Value = serde_json::from_str(&followed.line()).unwrap();
        assert_eq!(line["id"], id);
    }
    std::fs::remove_file(folder.path().join("j.sqlite")).unwrap();
    assert_eq!(followed.child.wait().unwrap().code(), Some(1));
}

/// What happened to the server stands among the decisions, unless these are of some kind.
#[test]
fn a_move_to_another_daemon_is_shown() {
    let folder = folder();
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let moved = Event::DaemonMoved {
        from: "10.0.0.1:8332".to_owned(),
        to: "10.0.0.2:8332\u{1b}".to_owned(),
    };
    journal
        .note(START + Duration::from_secs(90), &moved)
        .unwrap();
    let shown = [60, 80, 200].map(|columns| {
        let mut command = folder.command(&["journal", "--path", "j.sqlite"]);
        let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
        format!("{columns} columns:\n{}", ran.out)
    });
    let json = folder.run(&[
        "journal", "--path", "j.sqlite", "--format", "json", "--order", "oldest",
    ]);
    let event = json
        .out
        .lines()
        .find(|line| line.contains("event"))
        .unwrap();
    insta::assert_snapshot!(shown.join("\n") + "\n" + event);
    let place = json
        .out
        .lines()
        .position(|line| line.contains("daemon-moved"));
    assert_eq!(place, Some(2), "after the decision of 00:01:00");
    for filter in [
        &["--held"][..],
        &["--policy", "group-cost"],
        &["--until", "2026-01-01 00:01:30"],
    ] {
        let args = [
            &["journal", "--path", "j.sqlite", "--format", "json"],
            filter,
        ]
        .concat();
        assert!(
            !folder.run(&args).out.contains("daemon-moved"),
            "{filter:?}"
        );
    }
    let mut followed = Followed::start(&folder, &["--limit", "1"]);
    followed.line();
    journal.note(START, &moved).unwrap();
    assert_eq!(
        followed.line(),
        "2026-01-01 00:00:00  server: daemon changed to 10.0.0.2:8332\\u{1b} from 10.0.0.1:8332, not by the agent"
    );
    followed.signal(rustix::process::Signal::INT);
}

#[test]
fn every_filter() {
    let folder = folder();
    let ids = |args: &[&str]| {
        let args = [&["journal", "--path", "j.sqlite", "--format", "json"], args].concat();
        let ran = folder.run(&args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        let ids = ran
            .json()
            .into_iter()
            .map(|line| line["id"].as_i64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [4, 2, 1]);
    assert_eq!(ids(&["--held"]), [6, 5, 3]);
    assert_eq!(ids(&["--all"]), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&["--order", "oldest", "--limit", "2"]), [1, 2]);
    assert_eq!(ids(&["--since", "2026-01-01T00:04:00Z", "--all"]), [6, 5]);
    assert_eq!(ids(&["--since", "2026-01-01T00:04:00Z"]), [0; 0]);
    assert_eq!(ids(&["--until", "2026-01-01 00:01"]), [1]);
    assert_eq!(ids(&["--since", "1s"]), [0; 0]);
    assert_eq!(ids(&["--until", "1s ago", "--all"]).len(), 6);
    assert_eq!(ids(&["--policy", "daemon-stalled", "--all"]), [5, 4]);
    assert_eq!(ids(&["--target", "203.0.113"]), [1]);
    assert_eq!(ids(&["--outcome", "suppressed"]), [6, 5, 3]);
    assert_eq!(ids(&["--outcome", "dry-run"]), [2]);
    assert_eq!(ids(&["--action", "daemon_url", "--outcome", "failed"]), [4]);
    let ran = folder.run(&["journal", "--path", "j.sqlite", "--policy", "none"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "no decisions\n"));
}

/// A slip of the keyboard is not to pass for a quiet night.
#[test]
fn nothing_is_found_and_why() {
    let folder = folder();
    let journal = ["journal", "--path", "j.sqlite"];
    let slip = [&journal[..], &["--policy", "daemon-staled"]].concat();
    let as_json = [&slip[..], &["--format", "json"]].concat();
    let late = [&journal[..], &["--since", "2026-01-02"]].concat();
    let early = [&journal[..], &["--until", "2025-01-02"]].concat();
    insta::assert_snapshot!(told(&folder, &[&slip, &as_json, &late, &early]));
}

#[test]
fn one_in_full() {
    let folder = folder();
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["journal", "--path", "j.sqlite", "--id", "1"],
            &["journal", "--path", "j.sqlite", "--id", "2"],
            &[
                "journal", "--path", "j.sqlite", "--id", "4", "--format", "json"
            ],
            &["journal", "--path", "j.sqlite", "--id", "7"],
        ],
    ));
}

#[test]
fn more_than_a_page() {
    let folder = Folder::new();
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let one = |minute| {
        Entry::new(
            decision(minute, "p", Target::Server, Action::Alert),
            Outcome::DryRun,
        )
    };
    let entries: Vec<_> = (0..1_203).map(one).collect();
    journal.intend(&entries, &[]).unwrap();
    let count = |limit: &str| {
        let args = [
            "journal", "--path", "j.sqlite", "--format", "json", "--limit", limit,
        ];
        let ids: Vec<_> = folder
            .run(&args)
            .json()
            .into_iter()
            .map(|line| line["id"].as_i64())
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]));
        ids.len()
    };
    assert_eq!(count("5000"), 1_203);
    assert_eq!(count("1000"), 1_000);
    assert_eq!(count("1001"), 1_001);
    let list = |limit: &str| {
        folder
            .run(&["journal", "--path", "j.sqlite", "--limit", limit])
            .out
    };
    let end = |text: String| text.lines().last().unwrap().to_owned();
    assert_eq!(
        end(list("1202")),
        "1_202 decisions; there are older ones: raise --limit"
    );
    assert_eq!(end(list("1203")), "1_203 decisions");
}

#[test]
fn what_is_no_journal() {
    let folder = Folder::with(&[
        (
            "text.sqlite",
            "this is a text, and long enough to be mistaken for a database header",
        ),
        ("bad.toml", "[journal]\npaht = 'j.sqlite'\n"),
        ("w.toml", "[server]\nrpc = '127.0.0.1:8000'\n"),
    ]);
    let path = |name: &str| folder.path().join(name);
    rusqlite::Connection::open(path("other.sqlite"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        .unwrap();
    let mut journal = Journal::open(&path("torn.sqlite")).unwrap();
    journal.intend(&decisions(), &[]).unwrap();
    drop(journal);
    let mut bytes = std::fs::read(path("torn.sqlite")).unwrap();
    let half = bytes.len() / 2;
    bytes[4_096..half].fill(0xa5);
    folder.write("torn.sqlite", &bytes);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["journal", "--path", "missing.sqlite"],
            &["journal", "--path", "no/such/folder.sqlite"],
            &["journal", "--path", "escape\u{1b}[31m.sqlite"],
            &["journal", "--path", "."],
            &["journal", "--path", "text.sqlite"],
            &["explain", "6", "--journal", "text.sqlite"],
            &["journal", "--path", "other.sqlite"],
            &["journal", "--path", "torn.sqlite"],
            &["journal", "--config", "w.toml"],
            &["journal", "--config", "bad.toml"],
            &["journal", "--config", "missing.toml"],
            &["journal"],
            &[
                "journal",
                "--path",
                "x",
                "--since",
                "2026-01-02",
                "--until",
                "2026-01-01 12:00",
            ],
        ],
    ));
}

#[test]
fn an_agent_at_work_does_not_mind() {
    let folder = folder();
    let path = folder.path().join("j.sqlite");
    let mut journal = Journal::open(&path).unwrap();
    let before = folder.run(&["journal", "--path", "j.sqlite"]);
    journal.intend(&decisions(), &[]).unwrap();
    let after = folder.run(&["journal", "--path", "j.sqlite"]);
    assert_eq!((before.code, after.code), (0, 0));
    assert!(before.out.contains("3 decisions; 3 were held back"));
    assert!(after.out.contains("6 decisions; 6 were held back"));
}

#[test]
fn it_fits() {
    let folder = folder();
    for columns in [45, 60, 80, 100, 120, 200] {
        let commands: [&[&str]; 3] = [
            &["journal", "--path", "j.sqlite", "--all"],
            &["journal", "--path", "j.sqlite", "--summary"],
            &["journal", "--path", "j.sqlite", "--id", "1"],
        ];
        for args in commands {
            let mut command = folder.command(args);
            let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
            let widest = ran
                .out
                .lines()
                .map(|line| line.chars().count())
                .max()
                .unwrap();
            assert!(widest <= columns, "{widest} > {columns}:\n{}", ran.out);
        }
    }
}

#[test]
fn what_people_did_stands_among_the_decisions() {
    let folder = Folder::with(&[]);
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let user = || "user\u{1b} (1000)".to_owned();
    let events = [
        Event::BannedByHand {
            net: "203.0.113.0/24".parse().unwrap(),
            until: START + Duration::from_secs(3_600),
            holes: 2,
            user: user(),
            reason: "scans\u{202e}".to_owned(),
        },
        Event::LiftedByHand {
            what: "203.0.113.7".to_owned(),
            bans: 1,
            holed: 1,
            user: user(),
        },
        Event::Pardoned {
            net: "203.0.113.7/32".parse().unwrap(),
            user: user(),
        },
        Event::BreakerClosed {
            policy: "hog".to_owned(),
            user: user(),
        },
    ];
    for (minute, event) in (0..).zip(&events) {
        let at = START + Duration::from_mins(minute);
        journal.note(at, event).unwrap();
    }
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["journal", "--path", "j.sqlite"],
            &["journal", "--path", "j.sqlite", "--format", "json"],
        ],
    ));
}
