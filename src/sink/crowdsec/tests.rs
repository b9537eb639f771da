use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::advance;

use super::*;
use crate::penalty::BannedBy;

const PASSWORD: &str = "pa55word";
const A: &str = "198.51.100.1/32";

fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(s * 1_000)
}

fn desired(nets: &[&str], end_s: i64) -> Desired {
    let by = BannedBy::Policy("hog".into());
    let hold = Hold {
        until: at(end_s),
        by,
    };
    nets.iter()
        .map(|net| (net.parse().unwrap(), hold.clone()))
        .collect()
}

/// What a fake API answers to a request, given by its line and body; nothing if it hangs.
type Answers = dyn FnMut(&str, &str) -> Option<(u16, String)> + Send;

/// A fake API, and the requests that it had.
struct Fake {
    sink: Crowdsec,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Fake {
    async fn new(
        answers: impl FnMut(&str, &str) -> Option<(u16, String)> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Mutex<Answers>> = Arc::new(Mutex::new(answers));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, &answers, &log).await });
            }
        });
        let sink = Crowdsec::new(CrowdsecSettings {
            url: CrowdsecSettings::url(&url).unwrap(),
            machine: "warden".to_owned(),
            password: PASSWORD.into(),
        });
        Self { sink, asked }
    }

    async fn reconcile(&mut self, desired: &Desired, s: i64) -> Result<Option<String>, String> {
        let url = self.sink.api.url();
        let told = self.sink.reconcile(desired, at(s)).await;
        told.map_err(|why| why.replace(&url, "URL"))
    }

    /// The requests' lines since this was asked last.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().map(|(line, _)| line).collect()
    }
}

async fn serve(stream: TcpStream, answers: &Mutex<Answers>, log: &Mutex<Vec<(String, String)>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                return;
            }
            let line = line.trim_end().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        let line = head[0].trim_end_matches(" http/1.1").to_owned();
        log.lock().unwrap().push((line.clone(), body.clone()));
        let answer = answers.lock().unwrap()(&line, &body);
        let Some((status, body)) = answer else {
            std::future::pending::<()>().await;
            return;
        };
        let date = "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n";
        let length = body.len();
        let reply = format!("HTTP/1.1 {status} X\r\n{date}Content-Length: {length}\r\n\r\n{body}");
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

const LOGIN: &str = "post /v1/watchers/login";
const READ: &str = "get /v1/alerts?origin=electrumx-warden&has_active_decision=true&limit=0";

fn token() -> (u16, String) {
    (200, json!({ "token": "t0ken" }).to_string())
}

/// An API that keeps what it is given, without a flaw.
fn working() -> impl FnMut(&str, &str) -> Option<(u16, String)> + Send + 'static {
    let mut alerts: Vec<Value> = Vec::new();
    let mut decisions = 0;
    move |line, body| {
        let (status, answer) = match line {
            LOGIN => return Some(token()),
            READ => (200, Value::from(alerts.clone())),
            "post /v1/alerts" => {
                let mut alert: Value = serde_json::from_str::<Value>(body).unwrap()[0].take();
                alert["machine_id"] = json!("warden");
                for decision in alert["decisions"].as_array_mut().unwrap() {
                    decisions += 1;
                    decision["id"] = json!(decisions);
                }
                alerts.push(alert);
                (201, json!([alerts.len().to_string()]))
            }
            _ => match line.strip_prefix("get /v1/alerts/") {
                Some(id) => (200, alerts[id.parse::<usize>().unwrap() - 1].clone()),
                None => (200, json!({ "nbDeleted": "1" })),
            },
        };
        Some((status, answer.to_string()))
    }
}

#[tokio::test]
async fn bans_are_pushed_once_by_the_clock_of_the_api() {
    let mut fake = Fake::new(working()).await;
    let bans = desired(&[A, "203.0.113.0/24"], 60);
    assert_eq!(fake.reconcile(&bans, 0).await, Ok(None));
    let asked = std::mem::take(&mut *fake.asked.lock().unwrap());
    let lines: Vec<&str> = asked.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(lines, [LOGIN, READ, "post /v1/alerts", "get /v1/alerts/1"]);
    let mut alerts: Value = serde_json::from_str(&asked[2].1).unwrap();
    let start = alerts[0]["start_at"].take();
    assert!(
        start.as_str().unwrap() > "2020",
        "decades ahead of 1970: {start}"
    );
    assert_eq!(start, alerts[0]["stop_at"].take());
    for decision in alerts[0]["decisions"].as_array_mut().unwrap() {
        let left = decision["duration"].take();
        let left = duration::left(left.as_str().unwrap()).unwrap().as_secs();
        assert!((50..=60).contains(&left), "{left}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&alerts).unwrap());
    assert_eq!(fake.reconcile(&bans, 10).await, Ok(None));
    assert_eq!(fake.asked(), [READ]);
}

#[tokio::test(start_paused = true)]
async fn many_are_read_now_and_then_only() {
    let mut fake = Fake::new(working()).await;
    let nets: Vec<String> = (0..6_000)
        .map(|n| format!("45.{}.{}.1/32", n / 250, n % 250))
        .collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    let bans = desired(&nets, 7_200);
    fake.reconcile(&bans, 0).await.unwrap();
    assert_eq!(fake.asked().len(), 2 + 2 * 12);
    assert_eq!(fake.reconcile(&bans, 60).await, Ok(None));
    assert!(fake.asked().is_empty());
    advance(Duration::from_mins(11)).await;
    assert_eq!(fake.reconcile(&bans, 60).await, Ok(None));
    assert_eq!(fake.asked(), [READ]);
}

#[tokio::test]
async fn what_ends_by_itself_is_not_deleted() {
    let mut fake = Fake::new(working()).await;
    fake.reconcile(&desired(&[A], 60), 0).await.unwrap();
    fake.asked();
    let lifted = Changes {
        held: vec![],
        lifted: vec![A.parse().unwrap()],
    };
    fake.sink.apply(&lifted, at(59)).await.unwrap();
    assert!(fake.asked().is_empty());
    fake.sink.apply(&lifted, at(59)).await.unwrap();
    assert!(fake.sink.known.is_empty());
}

#[tokio::test]
async fn an_expired_login_is_renewed_once() {
    let mut working = working();
    let mut refusals = 1;
    let mut fake = Fake::new(move |line: &str, body: &str| {
        if line == READ && refusals > 0 {
            refusals -= 1;
            return Some((
                401,
                json!({ "message": "cookie token is empty" }).to_string(),
            ));
        }
        working(line, body)
    })
    .await;
    assert_eq!(fake.reconcile(&Desired::new(), 0).await, Ok(None));
    assert_eq!(fake.asked(), [LOGIN, READ, LOGIN, READ]);
}

/// What the sink says of an API that answers a login so, or everything else.
async fn told(login: Option<(u16, String)>, other: Option<(u16, String)>) -> String {
    let mut fake = Fake::new(move |line: &str, _: &str| {
        let answer = if line == LOGIN { &login } else { &other };
        answer.clone()
    })
    .await;
    let told = fake.reconcile(&desired(&[A], 60), 0).await.unwrap_err();
    assert!(
        !told.contains(PASSWORD) && !told.contains("t0ken"),
        "{told}"
    );
    told
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_api_is_told() {
    let message = |text: &str| json!({ "message": text }).to_string();
    let text = |status: u16, text: &str| Some((status, text.to_owned()));
    let echo = message("no machine warden with pa55word\u{1b}[2J");
    let all = [
        told(text(401, &echo), None).await,
        told(text(502, "<html>"), None).await,
        told(text(200, "{}"), None).await,
        told(None, None).await,
        told(Some(token()), text(401, &message("t0ken is over"))).await,
        told(Some(token()), text(500, "")).await,
        told(Some(token()), text(200, "[{\"decisions\":5}]")).await,
        told(Some(token()), None).await,
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let told = told(Some(token()), Some((200, "[".repeat(65 << 20)))).await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn what_is_taken_and_not_listed_is_told() {
    let mut fake = Fake::new(|line: &str, _: &str| {
        let answer = match line {
            LOGIN => return Some(token()),
            "post /v1/alerts" => "[\"1\"]",
            READ => "null",
            _ => "{\"decisions\":null}",
        };
        Some((200, answer.to_owned()))
    })
    .await;
    let told = fake.reconcile(&desired(&[A], 60), 0).await.unwrap_err();
    insta::assert_snapshot!(told);
}

/// Numbers of alerts become part of a path.
#[tokio::test]
async fn a_number_that_is_none_is_refused() {
    for ids in ["[\"../../x\"]", "[\"\"]", "[]", "[\"1\",\"2\"]", "[1]"] {
        let mut fake = Fake::new(move |line: &str, _: &str| match line {
            LOGIN => Some(token()),
            "post /v1/alerts" => Some((201, ids.to_owned())),
            READ => Some((200, "null".to_owned())),
            _ => panic!("{line}"),
        })
        .await;
        let told = fake.reconcile(&desired(&[A], 60), 0).await.unwrap_err();
        assert!(
            told.contains("does not answer as CrowdSec's local API does"),
            "{told}"
        );
    }
}

#[test]
fn only_urls_without_secrets_are_taken() {
    for (text, expected) in [
        ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
        ("https://h/lapi", Some("https://h/lapi/")),
        ("http://h/lapi/", Some("http://h/lapi/")),
        ("http://u:p@h", None),
        ("http://h?x", None),
        ("http://h#x", None),
        ("ftp://h", None),
        ("127.0.0.1:8080", None),
        ("unix:/run/x", None),
        ("", None),
    ] {
        let url = CrowdsecSettings::url(text);
        assert_eq!(url.as_ref().map(Url::as_str), expected, "{text}");
    }
}
