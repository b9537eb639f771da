//! `breaker`

use std::time::{Duration, UNIX_EPOCH};

use electrumx_warden::journal::{Journal, StateChange};
use electrumx_warden::time::Timestamp;
use serde_json::json;

use crate::{Folder, told};

/// An agent's journal in which the breaker has stopped a policy for a year.
fn stopped(folder: &Folder, name: &str) {
    let now =
        Timestamp::from_millis(i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
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
    let mut told = told;
    for (pattern, word) in [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "[time]"),
        (r"for \w+ more", "for [time] more"),
        (r#""until":\d+"#, r#""until":[time]"#),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        told = pattern.replace_all(&told, word).into_owned();
    }
    insta::assert_snapshot!(told);
    let mut journal = Journal::open(&folder.path().join("stopped.sqlite")).unwrap();
    assert_eq!(journal.take_closings().unwrap(), ["by-name"]);
    assert_eq!(journal.take_closings().unwrap(), [""; 0]);
}
