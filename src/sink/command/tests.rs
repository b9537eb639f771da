use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::penalty::BannedBy;

/// A program that writes down what it is told, and fails as long as there is a file of the address's name.
struct Script {
    folder: TempDir,
    sink: Command,
}

impl Script {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "cd {}; echo \"$@\" >> log; ! test -e \"$2\" || {{ echo \"no $2\" >&2; exit 1; }}",
            folder.path().display()
        );
        let words = [
            "/bin/sh",
            "-c",
            &script,
            "-",
            "{verb}",
            "{address}",
            "{seconds}",
            "{policy}",
        ];
        let sink = Command::new(CommandLine::parse(&words).unwrap());
        Self { folder, sink }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it was told since this was asked last.
    fn told(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    async fn reconcile(&mut self, desired: &Desired) -> Result<Option<String>, String> {
        self.sink.reconcile(desired, at(0)).await
    }
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(s * 1_000)
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn held(text: &str, end_s: i64) -> (IpNet, Hold) {
    let by = BannedBy::Policy("hog".into());
    let until = at(end_s);
    (net(text), Hold { until, by })
}

const A: &str = "198.51.100.1/32";
const B: &str = "198.51.100.2/32";
const C: &str = "203.0.113.0/24";

#[tokio::test]
async fn bans_and_their_ends_are_told_once() {
    let mut script = Script::new();
    let desired = Desired::from([held(A, 60), held(C, 90)]);
    assert_eq!(script.reconcile(&desired).await, Ok(None));
    let told = ["ban 198.51.100.1 60 hog", "ban 203.0.113.0/24 90 hog"];
    assert_eq!(script.told(), told);
    assert_eq!(script.reconcile(&desired).await, Ok(None));
    assert!(script.told().is_empty());
    let changes = Changes {
        held: vec![held(A, 120)],
        lifted: vec![net(B), net(C)],
    };
    assert_eq!(script.sink.apply(&changes, at(20)).await, Ok(()));
    // B was banned by an earlier run, perhaps.
    assert_eq!(
        script.told(),
        [
            "unban 198.51.100.2 0 ",
            "unban 203.0.113.0/24 0 ",
            "ban 198.51.100.1 100 hog"
        ]
    );
    assert_eq!(script.reconcile(&Desired::new()).await, Ok(None));
    assert_eq!(script.told(), ["unban 198.51.100.1 0 "]);
    assert!(script.sink.told.is_empty());
}

#[tokio::test]
async fn after_a_failure_everything_is_told_again_and_nothing_is_held_up() {
    let mut script = Script::new();
    let mut desired = Desired::from([held(A, 60)]);
    script.reconcile(&desired).await.unwrap();
    desired.extend([held(B, 60), held(C, 60)]);
    fs::write(script.path("198.51.100.2"), "").unwrap();
    script.told();
    let failed = script.reconcile(&desired).await.unwrap_err();
    assert!(failed.ends_with("no 198.51.100.2"), "{failed}");
    assert_eq!(
        script.told(),
        ["ban 198.51.100.2 60 hog", "ban 203.0.113.0/24 60 hog"]
    );
    // A was told before, and may be lost.
    script.reconcile(&desired).await.unwrap_err();
    assert_eq!(script.told()[0], "ban 198.51.100.1 60 hog");
    fs::remove_file(script.path("198.51.100.2")).unwrap();
    assert_eq!(script.reconcile(&desired).await, Ok(None));
    assert!(
        script
            .told()
            .contains(&"ban 198.51.100.2 60 hog".to_owned())
    );
    assert_eq!(script.reconcile(&desired).await, Ok(None));
    assert!(script.told().is_empty());
}

#[tokio::test]
async fn a_ban_whose_call_failed_is_lifted_all_the_same() {
    let mut script = Script::new();
    fs::write(script.path("198.51.100.1"), "").unwrap();
    script
        .reconcile(&Desired::from([held(A, 60)]))
        .await
        .unwrap_err();
    fs::remove_file(script.path("198.51.100.1")).unwrap();
    script.told();
    assert_eq!(script.reconcile(&Desired::new()).await, Ok(None));
    assert_eq!(script.told(), ["unban 198.51.100.1 0 "]);
}

#[tokio::test]
async fn a_program_that_always_fails_is_left_alone_after_a_few_calls() {
    let mut script = Script::new();
    let nets = (0..20).map(|n| held(&format!("192.0.2.{n}/32"), 60));
    let desired: Desired = nets.collect();
    for n in 0..20 {
        fs::write(script.path(&format!("192.0.2.{n}")), "").unwrap();
    }
    script.reconcile(&desired).await.unwrap_err();
    assert_eq!(script.told().len(), FAILURES_MAX);
    script.reconcile(&desired).await.unwrap_err();
    let told = script.told();
    assert_eq!(told[0], "ban 192.0.2.5 60 hog", "the others get their turn");
}

#[tokio::test]
async fn what_exceeds_the_rate_waits() {
    let mut script = Script::new();
    let now = Instant::now();
    script.sink.calls = std::iter::repeat_n(now, CALLS_MAX - 1).collect();
    let desired = Desired::from([held(A, 60), held(B, 60), held(C, 60)]);
    let waits = script.reconcile(&desired).await.unwrap_err();
    insta::assert_snapshot!(waits, @"2 calls of `/bin/sh` wait: there are more than 1000 a minute, or calls take too long");
    assert_eq!(script.told(), ["ban 198.51.100.1 60 hog"]);
    script.reconcile(&desired).await.unwrap_err();
    assert!(script.told().is_empty());
    script.sink.calls =
        std::iter::repeat_n(now.checked_sub(CALLS_WITHIN).unwrap(), CALLS_MAX).collect();
    assert_eq!(script.reconcile(&desired).await, Ok(None));
    assert_eq!(
        script.told(),
        ["ban 198.51.100.2 60 hog", "ban 203.0.113.0/24 60 hog"]
    );
}
