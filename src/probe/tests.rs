//! Probes of scripted daemons on loopback.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::*;
use crate::daemon::{BlockHash, Index};
use crate::poll::SteadyClock;

/// What a scripted daemon does on a request.
enum Reply {
    /// Status and JSON.
    Json(u16, Value),
    /// Status and text, with further lines of the header.
    Text(u16, &'static str, String),
    /// Bytes as they are, and then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, and the connection stays.
    Silence,
    /// The header, and then nothing.
    Half,
}

/// A request as it came.
#[derive(Clone)]
struct Request {
    head: String,
    body: Value,
    /// Of the daemon's connections the how manieth, from 0.
    connection: usize,
}

type Script = dyn FnMut(&Value) -> Reply + Send;

/// A daemon that does what its script says.
struct Scripted {
    address: String,
    heard: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Scripted {
    async fn start(script: impl FnMut(&Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(script));
        let task = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                let mut serving = tokio::task::JoinSet::new();
                for connection in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (script, heard) = (Arc::clone(&script), Arc::clone(&heard));
                    serving.spawn(serve(stream, connection, script, heard));
                }
            }
        });
        Self {
            address,
            heard,
            task: task.abort_handle(),
        }
    }

    fn url(&self) -> String {
        format!("http://user:pa%24%24word@{}", self.address)
    }

    fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Request>>>,
) {
    let mut bytes = Vec::new();
    loop {
        let (head, body) = loop {
            if let Some((head, body)) = whole(&bytes) {
                break (head, body);
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        bytes.clear();
        let reply = (script.lock().unwrap())(&body);
        heard.lock().unwrap().push(Request {
            head,
            body,
            connection,
        });
        let text = match reply {
            Reply::Json(status, body) => response(status, "", &body.to_string()),
            Reply::Text(status, head, body) => response(status, head, &body),
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Half => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
                stream.write_all(head.as_bytes()).await.unwrap();
                std::future::pending().await
            }
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn response(status: u16, head: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status} Text\r\nContent-Length: {len}\r\n{head}\r\n{body}")
}

fn whole(bytes: &[u8]) -> Option<(String, Value)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    (body.len() == len.parse::<usize>().unwrap())
        .then(|| (head.to_owned(), serde_json::from_str(body).unwrap()))
}

/// A chain of a daemon; those with another `salt` share no block above `fork`.
#[derive(Clone, Copy)]
struct Blocks {
    height: u64,
    fork: u64,
    salt: u64,
}

const BLOCKS: Blocks = Blocks {
    height: 1_250,
    fork: 1_200,
    salt: 0,
};

impl Blocks {
    fn hash(self, height: u64) -> String {
        let salt = if height > self.fork { self.salt } else { 0 };
        format!("{:064x}", (salt << 32) | height)
    }

    /// What bitcoind answers.
    fn answer(self, request: &Value) -> Value {
        if let Value::Array(requests) = request {
            return requests
                .iter()
                .map(|request| self.answer(request))
                .collect();
        }
        let (result, error) = match request["method"].as_str().unwrap() {
            "getblockchaininfo" => (self.info(), Value::Null),
            "getblockhash" => match request["params"][0].as_u64().unwrap() {
                height if height > self.height => (
                    Value::Null,
                    json!({ "code": -8, "message": "Block height out of range" }),
                ),
                height => (json!(self.hash(height)), Value::Null),
            },
            "getindexinfo" => (
                json!({ "txindex": { "synced": true, "best_block_height": self.height } }),
                Value::Null,
            ),
            other => panic!("{other}"),
        };
        json!({ "result": result, "error": error, "id": request["id"] })
    }

    fn info(self) -> Value {
        json!({
            "chain": "main",
            "blocks": self.height,
            "headers": self.height + 1,
            "bestblockhash": self.hash(self.height),
            "chainwork": format!("{:064x}", self.height),
            "initialblockdownload": false,
            "pruned": false,
            "warnings": [],
        })
    }

    async fn serve(self) -> Scripted {
        Scripted::start(move |request| Reply::Json(200, self.answer(request))).await
    }

    fn has(self, heights: impl IntoIterator<Item = u64>) -> Vec<(u64, BlockHash)> {
        let hash = |height| (height, self.hash(height).parse().unwrap());
        heights.into_iter().map(hash).collect()
    }
}

const OPTIONS: ProbeOptions = ProbeOptions {
    timeout: Duration::from_secs(5),
    with_indexes: true,
};

fn prober(urls: &[String], options: &ProbeOptions) -> Prober {
    let daemons = Daemons::parse(&urls.join(","), None).unwrap();
    Prober::new(&daemons, options, Box::new(SteadyClock::start())).unwrap()
}

async fn heard(urls: &[String]) -> Vec<Result<Chain, Failure>> {
    let round = prober(urls, &OPTIONS).probe().await;
    round
        .reports
        .into_iter()
        .map(|report| report.heard)
        .collect()
}

/// What a daemon with this script comes to.
async fn failure(script: impl FnMut(&Value) -> Reply + Send + 'static) -> Failure {
    failure_within(OPTIONS.timeout, script).await
}

async fn failure_within(
    timeout: Duration,
    script: impl FnMut(&Value) -> Reply + Send + 'static,
) -> Failure {
    let options = ProbeOptions { timeout, ..OPTIONS };
    let scripted = Scripted::start(script).await;
    let round = prober(&[scripted.url()], &options).probe().await;
    round.reports.into_iter().next().unwrap().heard.unwrap_err()
}

fn unreachable(detail: &str) -> Failure {
    Failure::Unreachable {
        detail: detail.to_owned(),
    }
}

fn busy(detail: &str) -> Failure {
    Failure::Busy {
        detail: detail.to_owned(),
    }
}

#[tokio::test]
async fn all_daemons_are_asked_for_their_chains() {
    let ahead = Blocks {
        height: 1_260,
        fork: 1_230,
        salt: 7,
    };
    let (one, two) = (BLOCKS.serve().await, ahead.serve().await);
    let clock = SteadyClock::start();
    let started = clock.now();
    let daemons = Daemons::parse(&[one.url(), two.url()].join(","), None).unwrap();
    let mut prober = Prober::new(&daemons, &OPTIONS, Box::new(clock)).unwrap();
    let round = prober.probe().await;
    assert!((started..=clock.now()).contains(&round.at));
    let chain = |blocks: Blocks, heights: &[u64]| Chain {
        name: "main".into(),
        height: blocks.height,
        headers: blocks.height + 1,
        tip: blocks.hash(blocks.height).parse().unwrap(),
        work: format!("{:064x}", blocks.height).parse().unwrap(),
        is_initial_download: false,
        is_pruned: false,
        hashes: blocks.has(heights.iter().copied()),
        indexes: Some(vec![Index {
            name: "txindex".into(),
            is_synced: true,
        }]),
    };
    let expected = [
        chain(BLOCKS, &[1_000, 1_100]),
        chain(ahead, &[1_000, 1_100, 1_250]),
    ];
    assert_eq!(round.reports.len(), 2);
    for (report, expected) in round.reports.iter().zip(expected) {
        assert_eq!(report.heard, Ok(expected));
        assert!(report.took > Duration::ZERO);
    }
}

#[tokio::test]
async fn credentials_arrive_decoded_and_connections_are_kept() {
    let scripted = BLOCKS.serve().await;
    let mut prober = prober(&[scripted.url()], &OPTIONS);
    for _ in 0..3 {
        prober.probe().await.reports[0].heard.as_ref().unwrap();
    }
    let heard = scripted.heard();
    assert_eq!(heard.len(), 6);
    let mut ids = std::collections::HashSet::new();
    for request in &heard {
        assert_eq!(request.connection, 0);
        // `user:pa$$word`
        let authorization = "authorization: Basic dXNlcjpwYSQkd29yZA==";
        assert!(
            request.head.lines().any(|line| line == authorization),
            "{}",
            request.head
        );
        assert!(request.head.starts_with("POST / HTTP/1.1\r\n"));
        assert!(!request.head.contains("encoding"));
        let requests = match &request.body {
            Value::Array(requests) => requests.clone(),
            single => vec![single.clone()],
        };
        for request in requests {
            assert!(ids.insert(request["id"].as_u64().unwrap()), "an id twice");
        }
    }
    assert!(!format!("{prober:?}").contains("word"), "{prober:?}");
}

#[tokio::test]
async fn what_a_daemon_refuses_with() {
    use Reply::{Json, Text};
    for status in [401, 403] {
        let failed = failure(move |_| Text(status, "", String::new())).await;
        assert_eq!(failed, Failure::WrongCredentials);
    }
    let error = |code: i64, message: &str| {
        json!({ "result": null, "id": 1,
        "error": { "code": code, "message": message } })
    };
    let warming = error(-28, "Verifying blocks…");
    assert_eq!(
        failure(move |_| Json(500, warming.clone())).await,
        Failure::WarmingUp {
            detail: "Verifying blocks…".to_owned()
        }
    );
    assert_eq!(
        failure(|_| Text(503, "", "Work queue depth exceeded".to_owned())).await,
        busy("HTTP 503")
    );
    assert_eq!(
        failure(|_| Text(500, "", "Work queue depth exceeded".to_owned())).await,
        busy("HTTP 500")
    );
    let full = error(-1, "Work queue depth exceeded");
    assert_eq!(
        failure(move |_| Json(200, full.clone())).await,
        busy("Work queue depth exceeded")
    );
    let unknown = error(-32_601, "Method not found");
    assert_eq!(
        failure(move |_| Json(404, unknown.clone())).await,
        unreachable("error -32601: Method not found")
    );
    let echo = error(
        -1,
        &format!("http://user:pa$$word@h/ pa$$word {}", "x".repeat(500)),
    );
    let expected = format!("error -1: http://***@h/ *** {}…", "x".repeat(182));
    let Failure::Unreachable { detail } = failure(move |_| Json(500, echo.clone())).await else {
        panic!("an error");
    };
    assert_eq!(detail.len(), expected.len());
    assert_eq!(detail, expected);
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_busy() {
    let timeout = Duration::from_millis(500);
    let (silent, half, second) = tokio::join!(
        failure_within(timeout, |_| Reply::Silence),
        failure_within(timeout, |_| Reply::Half),
        failure_within(timeout, |request| match request {
            Value::Array(_) => Reply::Silence,
            single => Reply::Json(200, BLOCKS.answer(single)),
        }),
    );
    for failed in [silent, half, second] {
        assert_eq!(failed, busy("no answer within 500ms"));
    }
}

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let heard = heard(&[
        format!("u:p@{gone}"),
        // A secure connection to who has none.
        format!("https://u:p@{}", BLOCKS.serve().await.address),
    ])
    .await;
    assert_eq!(
        heard[0],
        Err(unreachable("Connection refused (os error 111)"))
    );
    let Err(Failure::Unreachable { detail }) = &heard[1] else {
        panic!("{heard:?}");
    };
    assert!(!detail.contains("u:p"), "{detail}");
}

#[tokio::test]
async fn what_no_daemon_answers_is_unreachable() {
    use Reply::{Json, Raw, Text};
    let not_json = unreachable("its answer is not JSON");
    let foreign = unreachable("its answer is not a daemon's");
    let other = unreachable("its answer is to another question");
    let cut = unreachable("connection closed before message completed");
    assert_eq!(
        failure(|_| Text(200, "", "<html>".to_owned())).await,
        not_json
    );
    assert_eq!(failure(|_| Text(200, "", String::new())).await, not_json);
    assert_eq!(
        failure(|_| Text(500, "", "oops".to_owned())).await,
        unreachable("HTTP 500")
    );
    assert_eq!(
        failure(|_| Text(502, "", String::new())).await,
        unreachable("HTTP 502")
    );
    assert_eq!(failure(|_| Raw(Vec::new())).await, cut);
    let no_http =
        unreachable("what answers there does not speak HTTP: is it the daemon's RPC port?");
    for garbage in [
        &b"SSH-2.0-x\r\n"[..],
        b"{\"jsonrpc\": \"2.0\", \"id\": null}\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 many\r\n\r\n",
    ] {
        assert_eq!(failure(|_| Raw(garbage.to_vec())).await, no_http);
    }
    for garbage in [
        json!(5),
        json!([]),
        json!({}),
        json!({ "id": 1 }),
        json!({ "id": 1, "result": {} }),
    ] {
        assert_eq!(failure(move |_| Json(200, garbage.clone())).await, foreign);
    }
    for id in [json!(2), json!("1"), Value::Null] {
        let answer = json!({ "id": id, "result": BLOCKS.info(), "error": null });
        assert_eq!(failure(move |_| Json(200, answer.clone())).await, other);
    }
    for (key, value) in [
        ("blocks", json!(-1)),
        ("blocks", json!("5")),
        ("bestblockhash", json!("00")),
        ("chainwork", Value::Null),
        ("chain", json!("x".repeat(100))),
        ("initialblockdownload", json!("no")),
    ] {
        let mut info = BLOCKS.info();
        info[key] = value;
        let answer = json!({ "id": 1, "result": info });
        assert_eq!(
            failure(move |_| Json(200, answer.clone())).await,
            foreign,
            "{key}"
        );
    }
}

/// The answer to a batch, changed.
async fn batch(change: impl Fn(&mut Vec<Value>) + Send + 'static) -> Result<Chain, Failure> {
    let scripted = Scripted::start(move |request| {
        let mut answer = BLOCKS.answer(request);
        if let Value::Array(answers) = &mut answer {
            change(answers);
        }
        Reply::Json(200, answer)
    });
    let url = scripted.await;
    heard(&[url.url()]).await.remove(0)
}

#[tokio::test]
async fn answers_of_a_batch_come_in_any_order_and_each_once() {
    let whole = batch(|_| {}).await.unwrap();
    assert_eq!(whole.hashes, BLOCKS.has([1_000, 1_100]));
    assert_eq!(batch(|answers| answers.reverse()).await, Ok(whole.clone()));

    let incomplete = Err(unreachable("its answer to a batch is not complete"));
    assert_eq!(batch(|answers| drop(answers.pop())).await, incomplete);
    assert_eq!(batch(Vec::clear).await, incomplete);
    let other = Err(unreachable("its answer is to another question"));
    let twice = |answers: &mut Vec<Value>| answers.push(answers[0].clone());
    assert_eq!(batch(twice).await, other);
    assert_eq!(batch(|answers| answers[0]["id"] = json!(1)).await, other);
    assert_eq!(
        batch(|answers| answers[0]["id"] = json!(1_000)).await,
        other
    );
    let foreign = Err(unreachable("its answer is not a daemon's"));
    assert_eq!(batch(|answers| answers[0] = json!(5)).await, foreign);
    assert_eq!(
        batch(|answers| answers[0]["result"] = json!("zz")).await,
        foreign
    );
    assert_eq!(
        batch(|answers| answers[3]["result"] = json!([])).await,
        foreign
    );
    let index = |answers: &mut Vec<Value>| answers[3]["result"]["txindex"] = json!(true);
    assert_eq!(batch(index).await, foreign);
}

#[tokio::test]
async fn errors_in_a_batch() {
    let error = |code: i64| json!({ "code": code, "message": "words" });
    // It has no such block; it has no such question.
    let lacking = batch(move |answers| {
        answers[0]["error"] = error(-8);
        answers[3]["error"] = error(-32_601);
    });
    let lacking = lacking.await.unwrap();
    assert_eq!(lacking.hashes, BLOCKS.has([1_100]));
    assert_eq!(lacking.indexes, Some(vec![]));
    assert_eq!(
        batch(move |answers| answers[1]["error"] = error(-1)).await,
        Err(unreachable("error -1: words"))
    );
    assert_eq!(
        batch(move |answers| answers[3]["error"] = error(-28)).await,
        Err(Failure::WarmingUp {
            detail: "words".to_owned()
        })
    );
    let whole = failure(|request| match request {
        Value::Array(_) => Reply::Json(500, json!({ "error": { "code": -28, "message": "w" } })),
        single => Reply::Json(200, BLOCKS.answer(single)),
    });
    assert_eq!(
        whole.await,
        Failure::WarmingUp {
            detail: "w".to_owned()
        }
    );
}

#[tokio::test]
async fn a_chain_that_moves_between_the_questions_has_no_hashes() {
    let moved = batch(|answers| answers[2]["result"] = json!("11".repeat(32))).await;
    assert!(moved.unwrap().hashes.is_empty());
    let shorter = batch(|answers| answers[2]["error"] = json!({ "code": -8, "message": "" })).await;
    assert!(shorter.unwrap().hashes.is_empty());
}

#[tokio::test]
async fn indexes_are_asked_for_if_need_be() {
    let scripted = BLOCKS.serve().await;
    let options = ProbeOptions {
        with_indexes: false,
        ..OPTIONS
    };
    let round = prober(&[scripted.url()], &options).probe().await;
    assert_eq!(round.reports[0].heard.as_ref().unwrap().indexes, None);
    assert!(
        !scripted.heard()[1]
            .body
            .to_string()
            .contains("getindexinfo")
    );
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let elsewhere = BLOCKS.serve().await;
    for status in [301, 302, 303, 307, 308] {
        let location: &'static str =
            Box::leak(format!("Location: http://{}/\r\n", elsewhere.address).into_boxed_str());
        let failed = failure(move |_| Reply::Text(status, location, String::new())).await;
        assert_eq!(failed, unreachable(&format!("HTTP {status}")));
    }
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn no_answer_is_longer_than_64_kibibytes() {
    let too_long = unreachable("its answer is longer than 64 KiB");
    let text = |len: usize| "x".repeat(len);
    let at_most = text(64 << 10);
    assert_eq!(
        failure(move |_| Reply::Text(200, "", at_most.clone())).await,
        unreachable("its answer is not JSON")
    );
    let longer = text((64 << 10) + 1);
    assert_eq!(
        failure(move |_| Reply::Text(200, "", longer.clone())).await,
        too_long
    );
    // Without a length, and in chunks.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", text(2 << 20));
    assert_eq!(
        failure(move |_| Reply::Raw(endless.clone().into())).await,
        too_long
    );
    let chunk = format!("80000\r\n{}\r\n", text(0x80000));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(3)
    );
    assert_eq!(
        failure(move |_| Reply::Raw(chunked.clone().into())).await,
        too_long
    );
}

#[tokio::test]
async fn a_tip_last_heard_is_compared_on() {
    let ahead = Blocks {
        height: 1_450,
        ..BLOCKS
    };
    let mut is_down = false;
    let flapping = Scripted::start(move |request| {
        let answer = BLOCKS.answer(request);
        match (request.is_array(), is_down) {
            (_, true) => Reply::Text(503, "", String::new()),
            (is_last, false) => {
                is_down = is_last;
                Reply::Json(200, answer)
            }
        }
    })
    .await;
    let other = ahead.serve().await;
    let mut prober = prober(&[flapping.url(), other.url()], &OPTIONS);
    for is_up in [true, false] {
        let round = prober.probe().await;
        assert_eq!(round.reports[0].heard.is_ok(), is_up);
        let chain = round.reports[1].heard.as_ref().unwrap();
        assert_eq!(chain.hashes, ahead.has([1_000, 1_100, 1_200, 1_250, 1_300]));
    }
}

#[tokio::test]
async fn a_slow_daemon_does_not_hold_up_another() {
    let slow = Scripted::start(|_| Reply::Silence).await;
    let fast = BLOCKS.serve().await;
    let options = ProbeOptions {
        timeout: Duration::from_secs(1),
        ..OPTIONS
    };
    let mut prober = prober(&[slow.url(), fast.url()], &options);
    let round = prober.probe().await;
    assert_eq!(round.reports[0].heard, Err(busy("no answer within 1s")));
    assert!(round.reports[0].took >= options.timeout);
    assert!(round.reports[1].heard.is_ok());
    assert!(round.reports[1].took < options.timeout);
}

#[tokio::test]
async fn a_watch_probes_at_once_and_on_and_ends_when_it_is_dropped() {
    let scripted = BLOCKS.serve().await;
    let mut watching = prober(&[scripted.url()], &OPTIONS).watch(Duration::from_millis(20), 64);
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.len() < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        rounds.extend(watching.take());
    }
    assert!(rounds.iter().all(|round| round.reports[0].heard.is_ok()));
    assert!(rounds.is_sorted_by_key(|round| round.at));
    let heard = scripted.heard();
    assert!(heard.iter().all(|request| request.connection == 0));
    drop(watching);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let count = scripted.heard().len();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scripted.heard().len(), count);
}

#[tokio::test]
async fn rounds_that_nobody_takes_are_dropped_from_the_oldest_on() {
    let scripted = BLOCKS.serve().await;
    let mut watching = prober(&[scripted.url()], &OPTIONS).watch(Duration::from_millis(1), 64);
    // Two requests a round.
    while scripted.heard().len() < 2 * 80 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rounds = watching.take();
    assert_eq!(rounds.len(), 64);
    assert!(rounds.is_sorted_by_key(|round| round.at));
}

/// A name with a dead address: that one costs a quarter of a second, not half of the deadline.
#[tokio::test]
async fn the_addresses_of_a_name_are_tried_side_by_side() {
    use reqwest::dns::{Addrs, Name, Resolve, Resolving};

    use crate::daemon::DaemonUrl;
    use crate::rpc::dial;

    struct Fixed(Vec<std::net::SocketAddr>);

    impl Resolve for Fixed {
        fn resolve(&self, _: Name) -> Resolving {
            let addresses = self.0.clone();
            Box::pin(async move {
                let addresses = dial::answering_first(addresses).await;
                Ok(Box::new(addresses.into_iter()) as Addrs)
            })
        }
    }

    let daemon = BLOCKS.serve().await;
    let good: std::net::SocketAddr = daemon.address.parse().unwrap();
    let (_hole, _queued, dead) = dial::tests::black_hole(good.port()).await;
    let limit = Duration::from_secs(20);
    let client = crate::http::client(limit, false, Fixed(vec![dead, good])).unwrap();
    let url = format!("http://user:pa%24%24word@daemon.test:{}", good.port());
    let line = super::ask::Line::new(client, DaemonUrl::parse(&url, None).unwrap(), limit);
    let began = std::time::Instant::now();
    let request = json!({ "jsonrpc": "1.0", "id": 1, "method": "getblockchaininfo", "params": [] });
    assert!(line.ask(&request).await.is_ok());
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}
