//! `once`: a few polls, and an end.

use std::time::Duration;

use electrumx_warden::sim::{Pace, Release, Server, SessionKey, World};
use serde_json::Value;

use crate::process::{Folder, output};
use crate::tap::{Tap, Trick};

async fn server(release: Release) -> (Server, SessionKey) {
    let mut world = World::empty(release, 1);
    world.connect(([198, 51, 100, 1], 5).into(), "good");
    let evil = world.connect(([198, 51, 100, 2], 5).into(), "evil\u{1b}[2J");
    (Server::start(world, Pace::Manual).await.unwrap(), evil)
}

/// Runs it with these arguments after the server's address.
async fn once(server: &Server, folder: &Folder, args: &[&str]) -> (i32, String, String) {
    let rpc = server.addr().to_string();
    let args = [&["once", "--rpc", &rpc], args].concat();
    let (code, out, told) = output(folder.command(&args)).await;
    (code, out.replace(&rpc, "RPC"), told.replace(&rpc, "RPC"))
}

fn lines(out: &str) -> Vec<Value> {
    assert!(out.is_ascii(), "{out}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn policies(folder: &Folder, text: &str) {
    std::fs::write(folder.path("policies/p.toml"), text).unwrap();
}

const EVIL: &str = "[[policy]]\nname = \"evil\"\nabout = \"x\"\nscope = \"session\"\n\
                    when = { client = \"=~ ^evil\" }\naction = \"disconnect\"\n";

#[tokio::test]
async fn it_decides_and_changes_nothing() {
    for release in Release::ALL {
        let (server, evil) = server(release).await;
        let folder = Folder::new(server.addr());
        policies(&folder, EVIL);
        let args = ["--policies", "policies", "--format", "json"];
        let (code, out, told) = once(&server, &folder, &args).await;
        assert_eq!((code, &*told), (0, ""), "{release}");
        let lines = lines(&out);
        let types: Vec<&str> = lines
            .iter()
            .map(|line| line["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["decision", "snapshot", "summary"], "{release}");
        let expected = if release == Release::V1_0_17 {
            "suppressed"
        } else {
            "dry-run"
        };
        // There the RPC connection's ID is 0 and so is that of the good one.
        let expected = if lines[0]["outcome"] == "dry-run" {
            "dry-run"
        } else {
            expected
        };
        assert_eq!(lines[0]["outcome"], expected, "{release}");
        assert!(lines[0].get("id").is_none());
        assert_eq!(lines[1]["clients"], 2);
        assert_eq!(lines[2]["decisions"], 1);
        assert!(server.world().is_open(evil));
    }
}

#[tokio::test]
async fn it_is_read_by_people() {
    let (server, evil) = server(Release::V1_20_0).await;
    let folder = Folder::new(server.addr());
    policies(&folder, EVIL);
    let (code, out, _) = once(&server, &folder, &["--policies", "policies", "--enforce"]).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r#"
    executed    disconnect session 1 (198.51.100.2:5)  evil: client "evil\u{1b}[2J" (=~ ^evil)

    ElectrumX 1.20.0 at RPC: Bitcoin, up 1d2h; daemon 127.0.0.1:8332, heights 905_000 (daemon) 905_000 (index)
    2 client sessions and 1 RPC connection, 0 groups, 0 errors
    1 decision: 1 executed, 0 suppressed, 0 failed; 0 pending; 0 policies not judged
    "#);
    assert!(!server.world().is_open(evil));
}

#[tokio::test]
async fn with_a_journal_it_knows_what_it_did() {
    let (server, _) = server(Release::V1_20_0).await;
    let folder = Folder::new(server.addr());
    policies(&folder, &format!("{EVIL}cooldown = \"1h\"\n"));
    let args = [
        "--policies",
        "policies",
        "--enforce",
        "--journal",
        "j",
        "--format",
        "json",
    ];
    let (code, out, _) = once(&server, &folder, &args).await;
    assert_eq!(code, 0);
    assert_eq!(
        (&lines(&out)[0]["id"], &lines(&out)[0]["outcome"]),
        (&1.into(), &"executed".into())
    );
    // It is closing now, and another run leaves it alone.
    let (code, out, _) = once(&server, &folder, &args).await;
    assert_eq!(code, 0);
    assert_eq!(lines(&out).last().unwrap()["executed"], 0);
}

#[tokio::test]
async fn whoever_is_to_be_logged_needs_a_journal() {
    let (server, _) = server(Release::V1_20_0).await;
    let folder = Folder::new(server.addr());
    let args = ["--policies", "policies", "--enforce"];
    let (code, out, told) = once(&server, &folder, &args).await;
    assert_eq!((code, &*out), (2, ""));
    insta::assert_snapshot!(told, @"error: policy `odd` has sessions logged for a while: give --journal FILE, so that a later run knows what to switch off again");
    let (code, ..) = once(&server, &folder, &["--policies", "policies"]).await;
    assert_eq!(code, 0);
}

#[tokio::test]
async fn what_cannot_be_done_is_a_failure() {
    let (server, _) = server(Release::V1_20_0).await;
    let folder = Folder::new(server.addr());
    policies(&folder, EVIL);
    for (args, code, words) in [
        (&["--policies", "none"][..], 3, "cannot read `none`"),
        (&["--journal", "no/j"], 3, "does not exist: create it"),
        (&["--samples", "0"], 2, "--samples"),
        (&["--interval", "1ms"], 2, "100ms to 1h"),
        (&["--interval", "2"], 2, "--interval"),
    ] {
        let (ended, out, told) = once(&server, &folder, args).await;
        assert_eq!((ended, &*out), (code, ""), "{args:?} {told}");
        assert!(told.contains(words), "{args:?} {told}");
    }
    server.set_fault(Some(electrumx_warden::sim::Fault::Http));
    let (code, out, told) = once(&server, &folder, &["--format", "json"]).await;
    assert_eq!((code, &*out), (1, ""));
    insta::assert_snapshot!(told, @"error: that is a web server (`HTTP/1.1 400 Bad Request`); ElectrumX's LocalRPC is usually port 8000");
}

/// One poll of three fails; if it is the last, nothing is said of the server.
#[tokio::test]
async fn a_poll_that_fails_among_others_is_missing() {
    for (fails, types) in [
        (2, &["decision", "snapshot", "summary"][..]),
        (3, &["decision", "summary"]),
    ] {
        let (server, _) = server(Release::V1_20_0).await;
        let tap = Tap::on(server.addr()).await;
        let folder = Folder::new(tap.addr);
        policies(&folder, EVIL);
        for _ in 1..fails {
            tap.play("getinfo", Trick::Delay(Duration::ZERO));
        }
        tap.play("getinfo", Trick::CutBefore);
        let rpc = tap.addr.to_string();
        let args = [
            "once",
            "--rpc",
            &rpc,
            "--policies",
            "policies",
            "--format",
            "json",
        ];
        let more = ["--samples", "3", "--interval", "100ms"];
        let (code, out, told) = output(folder.command(&[&args[..], &more].concat())).await;
        assert_eq!(code, 0, "{told}");
        let expected = format!("error: poll {fails} of 3: the server closed the connection");
        assert!(told.starts_with(&expected), "{told}");
        let lines = lines(&out);
        let mut told: Vec<&str> = lines
            .iter()
            .filter_map(|line| line["type"].as_str())
            .collect();
        // The cooldown is another decision.
        told.dedup();
        assert_eq!(told, types);
        assert_eq!(lines.last().unwrap()["failed_polls"], 1);
    }
}
