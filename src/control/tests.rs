use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("j.sock")
    }
}

/// An agent that answers each request with what it understood.
fn agent(home: &Home) -> tokio::task::JoinHandle<()> {
    let mut control = Control::listen(&home.socket()).unwrap();
    tokio::spawn(async move {
        loop {
            let asked = control.next().await;
            let understood = serde_json::to_value(&asked.request).unwrap();
            asked.answer(Answer::Ok(understood));
        }
    })
}

async fn connect(home: &Home) -> UnixStream {
    UnixStream::connect(home.socket()).await.unwrap()
}

/// The line that comes back.
async fn heard(stream: UnixStream) -> String {
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text).await.unwrap();
    text
}

async fn said(home: &Home, bytes: &[u8]) -> String {
    let mut stream = connect(home).await;
    // Whoever says too much may be cut off before the end.
    _ = stream.write_all(bytes).await;
    heard(stream).await
}

#[tokio::test]
async fn every_request_is_understood() {
    let home = Home::new();
    let _agent = agent(&home);
    for request in [
        json!({"ask": "bans"}),
        json!({"ask": "bans", "limit": 7, "after": {"begin": 5, "net": "203.0.113.7/32"}}),
        json!({"ask": "ban", "net": "203.0.113.7", "for_s": 3600}),
        json!({"ask": "ban", "net": "2001:db8::/48", "for_s": 60, "reason": "x", "regulars_too": true}),
        json!({"ask": "unban", "net": "203.0.113.0/24"}),
        json!({"ask": "unban", "policy": "hog"}),
        json!({"ask": "unban", "all": true}),
        json!({"ask": "pardon", "net": "203.0.113.7"}),
        json!({"ask": "breaker"}),
        json!({"ask": "breaker-close", "policy": "hog"}),
    ] {
        let answer = said(&home, format!("{request}\n").as_bytes()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer, json!({ "ok": request }));
    }
    // Whoever sends no more has sent it all.
    let mut stream = connect(&home).await;
    stream.write_all(br#"{"ask":"breaker"}"#).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(heard(stream).await, "{\"ok\":{\"ask\":\"breaker\"}}\n");
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let home = Home::new();
    let _agent = agent(&home);
    let mut told = Vec::new();
    for line in [
        "",
        "hello",
        "{}",
        "[]",
        r#"{"ask":"stop"}"#,
        r#"{"ask":"breaker","now":true}"#,
        r#"{"ask":"ban","net":"203.0.113.7"}"#,
        r#"{"ask":"ban","net":"203.0.113.7","for_s":-1}"#,
        r#"{"ask":"ban","net":"everybody","for_s":60}"#,
        r#"{"ask":"pardon","net":"203.0.113.7/24"}"#,
        r#"{"ask":"pardon","net":"2001:db8::7/128"}"#,
        r#"{"ask":"pardon","net":"::ffff:203.0.113.0/120"}"#,
    ] {
        let answer = said(&home, format!("{line}\n").as_bytes()).await;
        told.push(format!("{line}\n    {answer}"));
    }
    insta::assert_snapshot!(told.concat());
    let garbage = said(&home, b"\xff\xfe\x00\n").await;
    assert!(garbage.starts_with("{\"error\":"), "{garbage}");
}

#[tokio::test(start_paused = true)]
async fn half_a_line_and_silence_is_given_up() {
    let home = Home::new();
    let _agent = agent(&home);
    let began = Instant::now();
    let mut stream = connect(&home).await;
    stream.write_all(b"{\"ask\":").await.unwrap();
    let answer = heard(stream).await;
    assert!(answer.contains("no whole line came within 5 s"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_request_without_end_is_cut_off() {
    let home = Home::new();
    let _agent = agent(&home);
    let answer = said(&home, &vec![b'a'; 1 << 20]).await;
    assert_eq!(answer, "{\"error\":\"a request has at most 4096 bytes\"}\n");
    let fits = format!("{{\"ask\":\"breaker\"{}}}\n", " ".repeat(4_096 - 18));
    assert_eq!(fits.len(), 4_096);
    assert!(said(&home, fits.as_bytes()).await.starts_with("{\"ok\""));
    assert!(
        said(&home, format!(" {fits}").as_bytes())
            .await
            .starts_with("{\"error\"")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_silent_clients_delay_others_and_stop_nobody() {
    let home = Home::new();
    let _agent = agent(&home);
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(connect(&home).await);
    }
    // More than wait to be accepted are turned away by the kernel.
    let more: Vec<_> = (0..70)
        .map(|_| UnixStream::connect(home.socket()))
        .collect();
    let asks = said(&home, b"{\"ask\":\"breaker\"}\n");
    assert!(asks.await.starts_with("{\"ok\""));
    drop(more);
    // All are gone: each has an answer, and an end.
    for stream in silent {
        assert!(heard(stream).await.contains("no whole line"));
    }
}

#[tokio::test]
async fn whoever_leaves_early_stops_nobody() {
    let home = Home::new();
    let _agent = agent(&home);
    for bytes in [&b""[..], b"{\"ask\"", b"{\"ask\":\"breaker\"}\n"] {
        for _ in 0..20 {
            let mut stream = connect(&home).await;
            stream.write_all(bytes).await.unwrap();
        }
    }
    assert!(
        said(&home, b"{\"ask\":\"breaker\"}\n")
            .await
            .starts_with("{\"ok\"")
    );
}

/// An answer that nobody reads does not stay in memory.
#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_given_up() {
    let home = Home::new();
    let mut control = Control::listen(&home.socket()).unwrap();
    let mut stream = connect(&home).await;
    stream.write_all(b"{\"ask\":\"breaker\"}\n").await.unwrap();
    let asked = control.next().await;
    asked.answer(Answer::Ok("x".repeat(8 << 20).into()));
    tokio::time::sleep(CLIENT_DEADLINE * 2).await;
    let mut bytes = Vec::new();
    _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.len() < 8 << 20, "{}", bytes.len());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_too_long_is_told_and_nothing_is_done_for_them() {
    let home = Home::new();
    let mut control = Control::listen(&home.socket()).unwrap();
    let answer = said(&home, b"{\"ask\":\"breaker\"}\n").await;
    assert!(answer.contains("nothing was done: try again"), "{answer}");
    assert!(!control.next().await.is_waited_for());
}

#[tokio::test]
async fn who_asks_is_known_by_the_kernel() {
    let home = Home::new();
    let mut control = Control::listen(&home.socket()).unwrap();
    let mut stream = connect(&home).await;
    stream.write_all(b"{\"ask\":\"breaker\"}\n").await.unwrap();
    let asked = control.next().await;
    assert!(asked.is_waited_for());
    assert_eq!(asked.user.uid, rustix::process::getuid().as_raw());
    let root = User::of(0);
    assert_eq!(root.to_string(), "root (0)");
    assert_eq!(User::of(u32::MAX - 7).to_string(), "user 4294967288");
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_goes_with_the_agent() {
    let home = Home::new();
    let control = Control::listen(&home.socket()).unwrap();
    let mode = home.socket().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    drop(control);
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn what_an_agent_left_is_replaced_and_a_living_one_is_not() {
    let home = Home::new();
    // A listener of the standard library leaves its file, as a kill does.
    drop(std::os::unix::net::UnixListener::bind(home.socket()).unwrap());
    assert!(home.socket().exists());
    let first = Control::listen(&home.socket()).unwrap();
    let second = Control::listen(&home.socket());
    assert!(matches!(second, Err(ControlError::InUse(_))), "{second:?}");
    // Another's socket at the same place is not removed.
    std::fs::remove_file(home.socket()).unwrap();
    let third = Control::listen(&home.socket()).unwrap();
    drop(first);
    assert!(home.socket().exists());
    drop(third);
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn a_place_where_no_socket_can_be_is_told() {
    let home = Home::new();
    std::fs::write(home.socket(), "mine").unwrap();
    let told = |path: PathBuf| Control::listen(&path).unwrap_err().to_string();
    assert!(told(home.socket()).contains("is there, and no socket"));
    assert_eq!(std::fs::read(home.socket()).unwrap(), b"mine");
    let long = home.0.path().join("x".repeat(100));
    assert!(told(long).contains("107 bytes"));
    let nowhere = home.0.path().join("no/j.sock");
    assert!(told(nowhere).contains("cannot be made"));
}

#[test]
fn what_a_network_is() {
    for (text, net) in [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.7/32 ", "203.0.113.7/32"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8:1:2:3::7", "2001:db8:1:2::/64"),
        ("2001:db8::/32", "2001:db8::/32"),
    ] {
        let network: Network = text.parse().unwrap();
        assert_eq!(network.0.to_string(), net, "{text}");
    }
    for text in [
        "",
        "203.0.113",
        "203.0.113.0/33",
        "203.0.113.7/24",
        "example.org",
        "all",
    ] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}
