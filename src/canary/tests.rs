use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::decision::Peer;
use crate::poll::SteadyClock;
use crate::visit::Visits;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/tls/", $name))
    };
}

fn certificate(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

pub(super) static CERTIFICATE: LazyLock<Vec<u8>> =
    LazyLock::new(|| certificate(fixture!("server.crt")));
pub(super) static VERSION_1: LazyLock<Vec<u8>> =
    LazyLock::new(|| certificate(fixture!("version-1.crt")));

const DEADLINE: Duration = Duration::from_millis(500);

const VERSION: &str = r#"{"jsonrpc":"2.0","result":["ElectrumX 1.20.0","1.4"],"id":1}"#;

/// Serves whoever comes, one line for each request, until it is dropped.
struct Served {
    port: u16,
    task: AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a server says to a request; nothing more is read once it says nothing.
type Says = fn(u64, &str) -> Option<String>;

impl Served {
    async fn tcp(says: Says) -> Self {
        Self::start(says, None).await
    }

    async fn ssl(says: Says) -> Self {
        let key = PrivateKeyDer::from_pem_slice(fixture!("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CERTIFICATE.clone().into()], key)
            .unwrap();
        Self::start(says, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(says: Says, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, says).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, says).await;
                            }
                        }
                    }
                });
            }
        };
        Self {
            port,
            task: tokio::spawn(serving).abort_handle(),
        }
    }

    fn canary(&self, scheme: &str) -> Canary {
        let destination = format!("{scheme}://127.0.0.1:{}", self.port);
        let destination = Destination::parse(&destination).unwrap();
        Canary::new(destination, DEADLINE, Box::new(SteadyClock::start()))
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, says: Says) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
            return;
        }
        let request: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (id, method) = (request["id"].as_u64().unwrap(), &request["method"]);
        let Some(text) = says(id, method.as_str().unwrap()) else {
            // Open, and silent.
            std::future::pending::<()>().await;
            return;
        };
        if text.is_empty() || stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        _ = stream.flush().await;
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a server says, or nothing")]
fn usual(id: u64, method: &str) -> Option<String> {
    let result = match method {
        "server.version" => r#"["ElectrumX 1.20.0","1.4"]"#,
        "blockchain.headers.subscribe" => r#"{"hex":"00","height":800000}"#,
        "server.ping" => "null",
        _ => panic!("{method}"),
    };
    Some(format!(
        "{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":{id}}}\n"
    ))
}

async fn visit(canary: &mut Canary) -> Result<Felt, Unserved> {
    let (news, _kept) = mpsc::channel(64);
    canary.visit(&news).await.felt
}

async fn unserved(says: Says) -> String {
    let server = Served::tcp(says).await;
    let mut canary = server.canary("tcp");
    let felt = visit(&mut canary).await;
    // What failed is not used again.
    assert_eq!(canary.socket(), None);
    felt.unwrap_err().to_string()
}

#[tokio::test]
async fn the_tip_is_heard_over_tcp() {
    let server = Served::tcp(usual).await;
    let mut canary = server.canary("tcp");
    let felt = visit(&mut canary).await.unwrap();
    assert_eq!((felt.height, felt.certificate_ends), (800_000, None));
    assert!(felt.latency < DEADLINE);
    let kept = canary.socket();
    visit(&mut canary).await.unwrap();
    assert!(kept.is_some());
    assert_eq!(canary.socket(), kept);
}

#[tokio::test]
async fn a_self_signed_certificate_will_do_and_its_end_is_read() {
    let server = Served::ssl(usual).await;
    let felt = visit(&mut server.canary("ssl")).await.unwrap();
    let ends = felt.certificate_ends.map(|ends| ends.to_string());
    assert_eq!(ends.as_deref(), Some("2126-11-05T16:26:08.000Z"));
}

#[tokio::test]
async fn a_tls_server_is_no_tcp_server_nor_the_other_way_round() {
    let server = Served::ssl(usual).await;
    let felt = visit(&mut server.canary("tcp")).await;
    assert!(felt.is_err(), "{felt:?}");
    let server = Served::tcp(|_, _| Some("no TLS\n".to_owned())).await;
    let felt = visit(&mut server.canary("ssl")).await;
    assert!(felt.is_err(), "{felt:?}");
}

#[tokio::test]
async fn a_closed_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let destination = Destination::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    let mut canary = Canary::new(destination, DEADLINE, Box::new(SteadyClock::start()));
    let felt = visit(&mut canary).await.unwrap_err();
    assert_eq!(felt.to_string(), "no connection: connection refused");
}

#[tokio::test]
async fn what_no_electrum_server_says_is_told() {
    let says = [
        unserved(|_, _| None).await,
        unserved(|_, _| Some(String::new())).await,
        unserved(|_, _| Some("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned())).await,
        unserved(|_, _| Some("[]\n".to_owned())).await,
        unserved(|_, _| Some("{}\n".repeat(200))).await,
        unserved(|_, _| Some("x".repeat(1 << 20))).await,
        unserved(|id, _| {
            Some(format!(
                "{{\"id\":{id},\"error\":{{\"code\":1,\"message\":\"\\u001b[2J\"}}}}\n"
            ))
        })
        .await,
        unserved(|id, method| match method {
            "server.version" => Some(format!("{VERSION}\n")),
            _ => Some(format!("{{\"id\":{id},\"result\":{{\"height\":-1}}}}\n")),
        })
        .await,
        unserved(|id, method| match method {
            "server.ping" => Some(format!("{{\"id\":{id},\"error\":{{\"code\":-101}}}}\n")),
            method => usual(id, method),
        })
        .await,
    ];
    insta::assert_snapshot!(says.join("\n"), @r"
    no answer within 500ms
    the server closed the connection
    no Electrum server: a line is no JSON object
    no Electrum server: a line is no JSON object
    no Electrum server: it sends and sends, but no answer
    no Electrum server: a line is longer than 64 KiB
    `server.version` was refused: error 1
    no Electrum server: the tip has no height
    `server.ping` was refused: error -101
    ");
}

/// A byte now and then is no answer in time.
#[tokio::test]
async fn a_slow_drip_is_too_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let drip = tokio::spawn(async move {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(DEADLINE / 20).await;
        }
    });
    let destination = Destination::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    let mut canary = Canary::new(destination, DEADLINE, Box::new(SteadyClock::start()));
    let felt = visit(&mut canary).await;
    drip.abort();
    assert_eq!(felt, Err(Unserved::Slow { deadline: DEADLINE }));
}

#[tokio::test]
async fn news_between_answers_and_older_words_are_understood() {
    let server = Served::tcp(|id, method| match method {
        "server.version" => usual(id, method),
        "server.ping" => Some(format!("{{\"id\":{id},\"error\":{{\"code\":-32601}}}}\n")),
        _ => Some(format!(
            "{{\"method\":\"blockchain.headers.subscribe\",\"params\":[{{}}]}}\n\
             {{\"id\":{id},\"result\":{{\"block_height\":5}}}}\n"
        )),
    })
    .await;
    assert_eq!(visit(&mut server.canary("tcp")).await.unwrap().height, 5);
}

/// Its end of a connection is known before the server can name it, and for a poll after it is gone.
#[tokio::test]
async fn its_sockets_are_known_while_they_are_and_a_poll_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let destination = Destination::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    let canary = Canary::new(destination, DEADLINE, Box::new(SteadyClock::start()));
    let mut watching = canary.watch();
    let (stream, peer) = listener.accept().await.unwrap();
    let is_own = |visits: &Visits| visits.is_own(Peer(Some(peer)));
    let visits = watching.take();
    assert!(is_own(&visits) && visits.made.is_empty());
    drop(stream);
    let visits = loop {
        let visits = watching.take();
        assert!(is_own(&visits));
        if !visits.made.is_empty() {
            break visits;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(visits.made[0].felt, Err(Unserved::Closed));
    assert!(is_own(&watching.take()));
    assert!(!is_own(&watching.take()));
}
