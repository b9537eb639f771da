//! `bans`, `ban`, `unban` and `pardon` where no agent runs.

use std::time::{Duration, UNIX_EPOCH};

use electrumx_warden::decision::{BanOrder, Evidence, Outcome, Seen, Target};
use electrumx_warden::field::Dimension;
use electrumx_warden::journal::{Entry, Journal, StateChange};
use electrumx_warden::penalty::{Ban, BannedBy};
use electrumx_warden::policy::Action;
use electrumx_warden::time::Timestamp;

use crate::journal::decision;
use crate::{Folder, told};

fn now() -> Timestamp {
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
    Timestamp::from_millis(i64::try_from(now_ms).unwrap())
}

/// A journal with bans: by a policy, with its decision; by hand; one that is over.
fn banned(folder: &Folder) {
    let begin = now() - Duration::from_mins(10);
    let ban = |net: &str, age: u64, by, holes: &[&str]| Ban {
        net: net.parse().unwrap(),
        holes: holes.iter().map(|hole| hole.parse().unwrap()).collect(),
        begin: begin - Duration::from_mins(age),
        end: begin + Duration::from_hours(366 * 24),
        by,
        kept_out: 1_234,
    };
    let policy = || BannedBy::Policy("hog".into());
    let hand = BannedBy::Hand {
        user: "user (1000)".into(),
        reason: "scans\u{1b}[2J".into(),
    };
    let holes = [
        "203.0.113.1/32",
        "203.0.113.2/32",
        "203.0.113.4/32",
        "203.0.113.8/32",
        "203.0.113.16/32",
    ];
    let mut over = ban("198.51.100.9/32", 0, policy(), &[]);
    over.end = begin;
    let bans = [
        ban("198.51.100.7/32", 1, policy(), &[]),
        ban("203.0.113.0/24", 0, hand, &holes),
        ban(
            "2001:db8:1:2::/64",
            9,
            BannedBy::Policy("gone\u{202e}".into()),
            &[],
        ),
        over,
    ];
    let target = Target::Address("198.51.100.7/32".parse().unwrap());
    let mut decided = decision(0, "hog", target, Action::Disconnect);
    decided.at = bans[0].begin;
    decided.evidence = vec![Evidence {
        field: "sent_rate".into(),
        test: "> 1 MiB/s".into(),
        seen: Seen::Number(3_355_443.2),
        threshold: Some(1_048_576.0),
        dimension: Some(Dimension::ByteRate),
    }];
    decided.bans = vec![BanOrder {
        net: bans[0].net,
        until: bans[0].end,
        strikes: 1.0,
        holes: Vec::new(),
    }];
    let done = Outcome::Executed {
        detail: "disconnected 1".into(),
    };
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let changes = bans.map(StateChange::Ban);
    journal
        .intend(&[Entry::new(decided, done)], &changes)
        .unwrap();
}

/// Without the times, which are those of the test.
fn timeless(mut told: String) -> String {
    for (pattern, word) in [
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?",
            "2027-01-01 00:00:00",
        ),
        (r"in 36\dd[0-9hms]+", "in 365d23h"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        told = pattern.replace_all(&told, word).into_owned();
    }
    told
}

#[test]
fn who_is_banned_by_the_journal_alone() {
    let folder = Folder::with(&[]);
    banned(&folder);
    Journal::open(&folder.path().join("new.sqlite")).unwrap();
    insta::assert_snapshot!(timeless(told(
        &folder,
        &[
            &["bans", "--path", "new.sqlite"],
            &["bans", "--path", "j.sqlite"],
            &["bans", "--path", "j.sqlite", "--limit", "1"],
            &["bans", "--path", "j.sqlite", "--format", "json"],
            &["bans", "--path", "missing.sqlite"],
        ],
    )));
    let mut narrow = folder.command(&["bans", "--path", "j.sqlite"]);
    let ran = folder.ran(narrow.env("COLUMNS", "60"));
    insta::assert_snapshot!(timeless(ran.out));
}

#[test]
fn without_an_agent_nothing_is_changed() {
    let off =
        "[server]\nrpc = '127.0.0.1:1'\n[journal]\npath = 'j.sqlite'\n[control]\non = false\n";
    let folder = Folder::with(&[("off.toml", off), ("new.sqlite.sock", "no socket")]);
    Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let path = ["--path", "j.sqlite"];
    let ban = |more: &[&'static str]| [&["ban"], more, &path[..]].concat();
    let runs = [
        ban(&["203.0.113.7", "--for", "1h"]),
        ban(&["203.0.113.7"]),
        ban(&["203.0.113.7", "--for", "59s"]),
        ban(&["203.0.113.7/24", "--for", "1h"]),
        ban(&["somebody", "--for", "1h"]),
        vec!["unban", "203.0.113.7", "--config", "off.toml"],
        vec!["unban", "--all", "203.0.113.7", "--path", "j.sqlite"],
        vec!["unban", "--path", "j.sqlite"],
        vec!["pardon", "203.0.113.7", "--path", "j.sqlite"],
        vec!["pardon", "203.0.113.7"],
        vec!["pardon", "203.0.113.7", "--path", "new.sqlite"],
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    insta::assert_snapshot!(told(&folder, &runs));
}
