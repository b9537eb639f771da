//! `breaker`

use std::time::{Duration, UNIX_EPOCH};

use electrumx_warden::decision::{Outcome, Suppression, Target};
use electrumx_warden::journal::{Entry, Journal, StateChange};
use electrumx_warden::policy::Action;
use electrumx_warden::time::Timestamp;
use serde_json::json;

use crate::journal::{decision, session};
use crate::{Folder, told};

fn now() -> Timestamp {
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
    Timestamp::from_millis(i64::try_from(now_ms).unwrap())
}

/// An agent's journal in which the breaker has stopped a policy for a year.
fn stopped(folder: &Folder, name: &str) {
    let now = now();
    let until = now + Duration::from_hours(366 * 24);
    let account = |policy: &str, until: Option<Timestamp>| json!({ "policy": policy, "open_until": until, "regulars": [], "newcomers": [] });
    let accounts = [
        account("by-name", Some(until)),
        account("over", Some(now - Duration::from_secs(1))),
        account("quiet", None),
    ];
    let limits = json!({ "ledger": { "actions": [], "breaker": { "policies": accounts } } });
    let mut journal = Journal::open(&folder.path().join(name)).unwrap();
    journal.save(&[StateChange::Limits(limits)]).unwrap();
}

/// Without the times, which are those of the test.
fn timeless(mut told: String) -> String {
    for (pattern, word) in [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "[time]"),
        (r"for \w+ more", "for [time] more"),
        (r"\w+ ago", "[time] ago"),
        (r#""until":\d+"#, r#""until":[time]"#),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        told = pattern.replace_all(&told, word).into_owned();
    }
    told
}

#[test]
fn that_all_policies_together_leave_regulars_alone() {
    let folder = Folder::with(&[]);
    let until = now() + Duration::from_hours(366 * 24);
    let limits =
        json!({ "ledger": { "actions": [], "breaker": { "share_used_up_until": until } } });
    let hog = session(8, "198.51.100.8:40404");
    let mut held = decision(2, "bandwidth-hog", Target::Session(hog), Action::Disconnect);
    held.sessions = vec![hog];
    let until = held.at + Duration::from_mins(5);
    let held = Entry::new(held, Outcome::Suppressed(Suppression::ShareOfAll { until }));
    let mut journal = Journal::open(&folder.path().join("j.sqlite")).unwrap();
    let changes = [StateChange::Limits(limits)];
    journal.intend(&[held], &changes).unwrap();
    let told = told(
        &folder,
        &[
            &["breaker", "--path", "j.sqlite"],
            &["breaker", "--path", "j.sqlite", "--format", "json"],
            &["journal", "--path", "j.sqlite", "--held"],
            &[
                "journal", "--path", "j.sqlite", "--held", "--format", "json",
            ],
            &["journal", "--path", "j.sqlite", "--summary"],
            &["explain", "1", "--journal", "j.sqlite"],
        ],
    );
    insta::assert_snapshot!(timeless(told));
}

#[test]
fn who_is_stopped_and_how_one_goes_on() {
    let folder = Folder::with(&[]);
    stopped(&folder, "stopped.sqlite");
    Journal::open(&folder.path().join("new.sqlite")).unwrap();
    let of = |name| ["breaker", "--path", name];
    let close = |policy| ["breaker", "--path", "stopped.sqlite", "--close", policy];
    let told = told(
        &folder,
        &[
            &of("new.sqlite"),
            &of("stopped.sqlite"),
            &["breaker", "--path", "stopped.sqlite", "--format", "json"],
            &close("by-nmae"),
            &close("quiet"),
            &["breaker", "--path", "new.sqlite", "--close", "by-name"],
            &close("by-name"),
            &["breaker", "--path", "missing.sqlite"],
            &["breaker"],
        ],
    );
    insta::assert_snapshot!(timeless(told));
}
