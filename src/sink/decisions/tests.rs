use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{advance, timeout};

use super::*;
use crate::penalty::BannedBy;
use crate::sink::Hold;

const KEY: &str = "k3y";

const A: &str = "198.51.100.1/32";
const B: &str = "198.51.100.2/32";
const C: &str = "203.0.113.0/24";

fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(s * 1_000)
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn held(text: &str, end_s: i64) -> (IpNet, Hold) {
    let by = BannedBy::Policy("hog".into());
    (
        net(text),
        Hold {
            until: at(end_s),
            by,
        },
    )
}

fn hold(text: &str, end_s: i64) -> Changes {
    Changes {
        held: vec![held(text, end_s)],
        lifted: vec![],
    }
}

fn lift(text: &str) -> Changes {
    Changes {
        held: vec![],
        lifted: vec![net(text)],
    }
}

/// A sink that listens at a port of its own.
async fn sink(desired: &Desired) -> Decisions {
    // Another process may take the port in between; then the next one is tried.
    for _ in 0..20 {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let listen = probe.local_addr().unwrap();
        drop(probe);
        let mut sink = Decisions::new(listen, KEY.into());
        if sink.reconcile(desired, at(0)).await.is_ok() {
            return sink;
        }
    }
    panic!("no free port");
}

/// A connection, and what comes over it.
struct Bouncer(TcpStream);

impl Bouncer {
    async fn of(sink: &Decisions) -> Self {
        Self(TcpStream::connect(sink.listen).await.unwrap())
    }

    /// The status and the body; nothing if the connection is over.
    async fn ask(&mut self, line: &str, key: Option<&str>) -> Option<(u16, String)> {
        let mut head = format!("{line} HTTP/1.1\r\nHost: x\r\n");
        if let Some(key) = key {
            write!(head, "X-Api-Key: {key}\r\n").unwrap();
        }
        self.0
            .write_all(format!("{head}\r\n").as_bytes())
            .await
            .ok()?;
        self.reply(line.starts_with("HEAD")).await
    }

    async fn reply(&mut self, is_head: bool) -> Option<(u16, String)> {
        let mut text = String::new();
        let is_whole = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n")?;
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let is_whole = match length {
                _ if is_head => true,
                Some(length) => body.len() == length.parse::<usize>().unwrap(),
                None => body.ends_with("0\r\n\r\n"),
            };
            is_whole.then_some(())
        };
        while is_whole(&text).is_none() {
            let mut buffer = [0; 4_096];
            match self.0.read(&mut buffer).await {
                Ok(read @ 1..) => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
                _ => return None,
            }
        }
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        if head.contains("chunked") {
            return Some((status, dechunked(body)));
        }
        Some((status, body.to_owned()))
    }

    /// The values of what is new and of what is deleted.
    async fn pull(&mut self, is_startup: bool) -> (Vec<String>, Vec<String>) {
        let line = format!("GET /v1/decisions/stream?startup={is_startup}");
        let (status, body) = self.ask(&line, Some(KEY)).await.unwrap();
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).unwrap();
        let values = |half: &str| {
            let all = body[half].as_array().unwrap().iter();
            all.map(|decision| decision["value"].as_str().unwrap().to_owned())
                .collect()
        };
        (values("new"), values("deleted"))
    }

    async fn is_over(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").unwrap();
        match usize::from_str_radix(length, 16).unwrap() {
            0 => return whole,
            length => {
                whole.push_str(&rest[..length]);
                body = &rest[length + 2..];
            }
        }
    }
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn assert_pulled(pulled: &(Vec<String>, Vec<String>), new: &[&str], deleted: &[&str]) {
    assert_eq!(*pulled, (strings(new), strings(deleted)));
}

#[tokio::test]
async fn a_connection_gets_everything_first_and_then_what_has_changed() {
    let mut sink = sink(&Desired::new()).await;
    sink.apply(&hold(A, 60), at(0)).await.unwrap();
    sink.apply(&hold(C, 90), at(0)).await.unwrap();
    let (mut one, mut other) = (Bouncer::of(&sink).await, Bouncer::of(&sink).await);
    assert_pulled(
        &one.pull(true).await,
        &["198.51.100.1", "203.0.113.0/24"],
        &[],
    );
    assert_pulled(&one.pull(false).await, &[], &[]);
    sink.apply(&hold(B, 60), at(1)).await.unwrap();
    sink.apply(&lift(A), at(1)).await.unwrap();
    assert_pulled(&one.pull(false).await, &["198.51.100.2"], &["198.51.100.1"]);
    assert_pulled(&one.pull(false).await, &[], &[]);
    let everything = (&["203.0.113.0/24", "198.51.100.2"], &["198.51.100.1"]);
    assert_pulled(&other.pull(false).await, everything.0, everything.1);
    assert_pulled(&one.pull(true).await, everything.0, everything.1);
    // As after a lost answer.
    let mut again = Bouncer::of(&sink).await;
    assert_pulled(&again.pull(false).await, everything.0, everything.1);
}

#[tokio::test]
async fn a_new_end_is_told_as_an_end_and_a_beginning() {
    let mut sink = sink(&Desired::new()).await;
    sink.apply(&hold(A, 60), at(0)).await.unwrap();
    let mut bouncer = Bouncer::of(&sink).await;
    assert_pulled(&bouncer.pull(true).await, &["198.51.100.1"], &[]);
    sink.apply(&hold(A, 60), at(1)).await.unwrap();
    assert_pulled(&bouncer.pull(false).await, &[], &[]);
    sink.apply(&hold(A, 90), at(1)).await.unwrap();
    let renewed = (&["198.51.100.1"], &["198.51.100.1"]);
    assert_pulled(&bouncer.pull(false).await, renewed.0, renewed.1);
    sink.apply(&lift(A), at(2)).await.unwrap();
    sink.apply(&hold(A, 200), at(3)).await.unwrap();
    assert_pulled(&bouncer.pull(false).await, renewed.0, renewed.1);
}

/// A bouncer may have got it with another end from a run before this one.
#[tokio::test]
async fn what_the_agent_begins_with_is_told_as_renewed() {
    let sink = sink(&Desired::from([held(A, 60)])).await;
    let mut bouncer = Bouncer::of(&sink).await;
    assert_pulled(
        &bouncer.pull(false).await,
        &["198.51.100.1"],
        &["198.51.100.1"],
    );
}

#[tokio::test]
async fn decisions_are_as_the_local_api_writes_them() {
    let mut sink = sink(&Desired::new()).await;
    sink.apply(&hold(C, 90), at(0)).await.unwrap();
    sink.apply(&lift(A), at(0)).await.unwrap();
    let mut bouncer = Bouncer::of(&sink).await;
    let line = "GET /v1/decisions/stream?startup=true";
    let (_, body) = bouncer.ask(line, Some(KEY)).await.unwrap();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let duration = body["new"][0]["duration"].take();
    let left: f64 = duration
        .as_str()
        .unwrap()
        .strip_suffix('s')
        .unwrap()
        .parse()
        .unwrap();
    assert!((80.0..=90.0).contains(&left), "{left}");
    insta::assert_snapshot!(body);
}

#[tokio::test]
async fn what_is_over_is_forgotten() {
    let mut sink = sink(&Desired::new()).await;
    sink.apply(&hold(A, 60), at(0)).await.unwrap();
    sink.apply(&lift(A), at(1)).await.unwrap();
    sink.apply(&lift(B), at(1)).await.unwrap();
    let pull = async |sink: &Decisions| Bouncer::of(sink).await.pull(false).await;
    assert_pulled(&pull(&sink).await, &[], &["198.51.100.1", "198.51.100.2"]);
    sink.reconcile(&Desired::new(), at(60 + 599)).await.unwrap();
    assert_pulled(&pull(&sink).await, &[], &["198.51.100.1", "198.51.100.2"]);
    sink.reconcile(&Desired::new(), at(60 + 601)).await.unwrap();
    assert_pulled(&pull(&sink).await, &[], &["198.51.100.2"]);
    sink.reconcile(&Desired::new(), at(2 * 86_400))
        .await
        .unwrap();
    assert_pulled(&pull(&sink).await, &[], &[]);
}

#[tokio::test]
async fn a_reconciliation_lifts_what_is_not_wanted() {
    let mut sink = sink(&Desired::from([held(A, 60)])).await;
    sink.reconcile(&Desired::from([held(B, 60)]), at(1))
        .await
        .unwrap();
    let mut bouncer = Bouncer::of(&sink).await;
    assert_pulled(
        &bouncer.pull(true).await,
        &["198.51.100.2"],
        &["198.51.100.1"],
    );
}

#[tokio::test]
async fn many_are_told_in_pieces() {
    let nets = |last: u8| {
        let all = (0..100).flat_map(|a| (0..=255_u8).map(move |b| (a, b)));
        all.map(move |(a, b)| held(&format!("45.{a}.{b}.{last}/32"), 60))
    };
    let mut sink = sink(&Desired::new()).await;
    let changes = Changes {
        held: nets(1).collect(),
        lifted: vec![],
    };
    sink.apply(&changes, at(0)).await.unwrap();
    let mut bouncer = Bouncer::of(&sink).await;
    let (new, deleted) = bouncer.pull(true).await;
    assert_eq!((new.len(), deleted.len()), (25_600, 0));
    sink.reconcile(&nets(2).collect(), at(1)).await.unwrap();
    let (new, deleted) = bouncer.pull(false).await;
    assert_eq!((new.len(), deleted.len()), (25_600, 25_600));
}

#[tokio::test]
async fn only_who_knows_the_key_is_answered() {
    let sink = sink(&Desired::new()).await;
    let line = "GET /v1/decisions/stream?startup=true";
    for key in [None, Some(""), Some("k3"), Some("k3yy"), Some("K3Y")] {
        let mut bouncer = Bouncer::of(&sink).await;
        let (status, body) = bouncer.ask(line, key).await.unwrap();
        assert_eq!(
            (status, body.as_str()),
            (403, "{\"message\":\"access forbidden\"}")
        );
        assert!(bouncer.is_over().await);
    }
    let mut bouncer = Bouncer::of(&sink).await;
    for (line, expected) in [
        ("HEAD /v1/decisions/stream", 200),
        ("GET /v1/decisions", 404),
        ("GET /v1/usage-metrics", 404),
        ("GET /v1/decisions/stream?scopes=ip", 400),
        ("DELETE /v1/decisions/stream", 405),
        (line, 200),
    ] {
        let (status, _) = bouncer.ask(line, Some(KEY)).await.unwrap();
        assert_eq!(status, expected, "{line}");
    }
}

#[tokio::test]
async fn garbage_and_large_requests_are_refused() {
    let sink = sink(&Desired::new()).await;
    for request in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)),
        format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
    ] {
        let mut bouncer = Bouncer::of(&sink).await;
        let _ = bouncer.0.write_all(request.as_bytes()).await;
        if let Some((status, _)) = bouncer.reply(false).await {
            assert!((400..500).contains(&status), "{status}");
        }
        assert!(bouncer.is_over().await);
    }
    assert_pulled(&Bouncer::of(&sink).await.pull(true).await, &[], &[]);
}

#[tokio::test]
async fn strangers_leave_room_for_bouncers() {
    let sink = sink(&Desired::new()).await;
    let mut bouncer = Bouncer::of(&sink).await;
    bouncer.pull(true).await;
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(Bouncer::of(&sink).await);
    }
    assert_pulled(&bouncer.pull(false).await, &[], &[]);
    assert_pulled(&Bouncer::of(&sink).await.pull(true).await, &[], &[]);
    assert!(strangers[0].is_over().await);
    // The youngest may stay for a while.
    let last = strangers.last_mut().unwrap();
    let waited = timeout(Duration::from_millis(100), last.is_over()).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn bouncers_without_end_are_refused() {
    let sink = sink(&Desired::new()).await;
    let mut bouncers = Vec::new();
    for _ in 0..32 {
        let mut bouncer = Bouncer::of(&sink).await;
        bouncer.pull(true).await;
        bouncers.push(bouncer);
    }
    let line = "GET /v1/decisions/stream?startup=true";
    let mut refused = Bouncer::of(&sink).await;
    assert_eq!(refused.ask(line, Some(KEY)).await.unwrap().0, 503);
    drop(bouncers);
    tokio::time::timeout(Duration::from_secs(20), async {
        while Bouncer::of(&sink)
            .await
            .ask(line, Some(KEY))
            .await
            .unwrap()
            .0
            != 200
        {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_sent_away() {
    let sink = sink(&Desired::new()).await;
    let mut stranger = Bouncer::of(&sink).await;
    stranger
        .0
        .write_all(b"GET /v1/decisions/stream")
        .await
        .unwrap();
    let began = Instant::now();
    assert!(stranger.is_over().await);
    assert_eq!(began.elapsed().as_secs(), 10);
    let mut bouncer = Bouncer::of(&sink).await;
    bouncer.pull(true).await;
    let began = Instant::now();
    assert!(bouncer.is_over().await);
    assert_eq!(began.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn silence_of_bouncers_is_told() {
    let mut sink = sink(&Desired::new()).await;
    let listen = sink.listen.to_string();
    let told = async |sink: &mut Decisions| {
        let told = sink.reconcile(&Desired::new(), at(0)).await;
        told.map_err(|why| why.replace(&listen, "LISTEN"))
    };
    advance(Duration::from_secs(119)).await;
    assert_eq!(told(&mut sink).await, Ok(None));
    advance(Duration::from_secs(1)).await;
    insta::assert_snapshot!(told(&mut sink).await.unwrap_err());
    let line = "GET /v1/decisions/stream";
    Bouncer::of(&sink).await.ask(line, Some("x")).await.unwrap();
    insta::assert_snapshot!(told(&mut sink).await.unwrap_err());
    Bouncer::of(&sink).await.pull(true).await;
    assert_eq!(told(&mut sink).await, Ok(None));
}

#[tokio::test]
async fn a_port_in_use_is_told_and_tried_again() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let listen = other.local_addr().unwrap();
    let mut sink = Decisions::new(listen, KEY.into());
    let told = sink.reconcile(&Desired::new(), at(0)).await.unwrap_err();
    insta::assert_snapshot!(told.replace(&listen.to_string(), "LISTEN"));
    drop(other);
    assert_eq!(sink.reconcile(&Desired::new(), at(0)).await, Ok(None));
    assert_pulled(&Bouncer::of(&sink).await.pull(true).await, &[], &[]);
    drop(sink);
    tokio::task::yield_now().await;
    assert!(TcpListener::bind(listen).await.is_ok());
}
