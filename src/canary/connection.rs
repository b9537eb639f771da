//! One connection of a wallet's: lines of JSON over TCP or TLS, asked and answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::sync::mpsc::Sender;
use tokio::time::{Duration, Instant, timeout};
use tokio_rustls::TlsConnector;

use super::certificate::not_after;
use super::{Destination, News};
use crate::time::Timestamp;
use crate::visit::Unserved;

/// By this name the server's operator knows it, of which new releases show 17 characters. Anyone can take
/// it, so nothing goes by it.
const NAME: &str = concat!("warden-canary/", env!("CARGO_PKG_VERSION"));

/// The oldest protocol and the newest: what is asked is the same in all of them.
const PROTOCOLS: [&str; 2] = ["1.0", "1.6"];

/// No answer to what is asked is as long.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Between two answers the server may tell of new blocks; so many it does not.
const LINES_MAX: usize = 100;

/// More addresses of a name are not tried.
const ADDRESSES_MAX: usize = 4;

/// What one address may take, so that a dead one leaves time for the next.
const CONNECT_MAX: Duration = Duration::from_secs(4);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    local: SocketAddr,
    opened: Instant,
    certificate_ends: Option<Timestamp>,
    /// What was read beyond the last line.
    read: Vec<u8>,
    last_id: u64,
}

impl Connection {
    /// Connects and introduces itself. Tells where it connects from before it does.
    pub(super) async fn open(
        destination: &Destination,
        tls: &TlsConnector,
        news: &Sender<News>,
    ) -> Result<Self, Unserved> {
        let stream = connect(destination, news).await;
        let stream = stream.map_err(|error| Unserved::Unreachable {
            detail: words(&error),
        })?;
        let local = stream.local_addr().map_err(|_| Unserved::Closed)?;
        let (stream, certificate_ends): (Box<dyn Stream>, _) = match destination.tls_name() {
            None => (Box::new(stream), None),
            Some(name) => {
                let stream = tls.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| Unserved::Insecure {
                    detail: words(&error),
                })?;
                let certificates = stream.get_ref().1.peer_certificates();
                let end = certificates.and_then(|all| not_after(all.first()?));
                (Box::new(stream), end)
            }
        };
        let mut connection = Self {
            stream,
            local,
            opened: Instant::now(),
            certificate_ends,
            read: Vec::new(),
            last_id: 0,
        };
        connection.introduce().await?;
        Ok(connection)
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) const fn certificate_ends(&self) -> Option<Timestamp> {
        self.certificate_ends
    }

    async fn introduce(&mut self) -> Result<(), Unserved> {
        let params = serde_json::json!([NAME, PROTOCOLS]);
        let [answer] = self.ask([("server.version", params)]).await?;
        answer.map(drop)
    }

    /// Asks for the tip and a ping at once; gives the tip's height when both are answered.
    pub(super) async fn tip_and_ping(&mut self) -> Result<u64, Unserved> {
        let none = || Value::Array(Vec::new());
        let [tip, ping] = self
            .ask([(SUBSCRIBE, none()), ("server.ping", none())])
            .await?;
        // Releases before 1.2 do not know it, and have answered all the same; but one that throws the
        // canary out answers so as well.
        if let Err(Unserved::Refused { code, .. }) = &ping
            && *code != METHOD_NOT_FOUND
        {
            ping?;
        }
        // By its height in each release's words.
        let tip = tip?;
        let height = tip.get("height").or_else(|| tip.get("block_height"));
        height
            .and_then(Value::as_u64)
            .ok_or_else(|| nonsense("the tip has no height"))
    }

    /// Sends requests in one go and waits for all answers, whatever their order.
    async fn ask<const N: usize>(
        &mut self,
        requests: [(&'static str, Value); N],
    ) -> Result<[Result<Value, Unserved>; N], Unserved> {
        let first = self.last_id + 1;
        self.last_id += N as u64;
        let methods = requests.each_ref().map(|(method, _)| *method);
        let mut text = String::new();
        for (id, (method, params)) in (first..).zip(requests) {
            let request =
                serde_json::json!({"jsonrpc": "2.0", "method": method, "params": params, "id": id});
            text.push_str(&request.to_string());
            text.push('\n');
        }
        let sent = self.stream.write_all(text.as_bytes()).await;
        sent.map_err(|_| Unserved::Closed)?;
        self.stream.flush().await.map_err(|_| Unserved::Closed)?;
        let mut answers = [const { None }; N];
        for _ in 0..LINES_MAX {
            let line = self.line().await?;
            let answer = Answer::read(&line).ok_or_else(|| nonsense("a line is no JSON object"))?;
            let Some(place) = answer.place(first, N) else {
                continue;
            };
            let method = methods[place];
            answers[place] = Some(answer.heard(method));
            if answers.iter().all(Option::is_some) {
                return Ok(answers.map(|answer| answer.unwrap_or(Err(Unserved::Closed))));
            }
        }
        Err(nonsense("it sends and sends, but no answer"))
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Unserved> {
        let mut searched = 0;
        loop {
            let end = memchr::memchr(b'\n', &self.read[searched..]);
            if let Some(end) = end {
                let rest = self.read.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.read.len();
            if searched > LINE_BYTES_MAX {
                return Err(nonsense("a line is longer than 64 KiB"));
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return Err(Unserved::Closed),
                Ok(_) => {}
            }
        }
    }
}

const SUBSCRIBE: &str = "blockchain.headers.subscribe";
const METHOD_NOT_FOUND: i64 = -32_601;

/// A line of the server's, as far as it matters.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
}

impl Answer {
    fn read(line: &[u8]) -> Option<Self> {
        // An array would be read as the same, field by field.
        let is_object = line.trim_ascii_start().starts_with(b"{");
        serde_json::from_slice(line).ok().filter(|_| is_object)
    }

    /// Which of the requests it answers; `None` of a notification, or what answers nothing.
    fn place(&self, first: u64, requests: usize) -> Option<usize> {
        let place = self.id.as_u64()?.checked_sub(first)?;
        usize::try_from(place)
            .ok()
            .filter(|&place| place < requests)
    }

    fn heard(self, method: &str) -> Result<Value, Unserved> {
        if self.error.is_null() {
            return Ok(self.result);
        }
        let code = self.error.get("code").and_then(Value::as_i64);
        Err(Unserved::Refused {
            method: method.to_owned(),
            code: code.unwrap_or_default(),
        })
    }
}

/// Tries the addresses one after the other.
async fn connect(destination: &Destination, news: &Sender<News>) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host(destination.endpoint())
        .await?
        .take(ADDRESSES_MAX)
        .collect();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match timeout(CONNECT_MAX, connect_to(address, news)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

/// Its own end is chosen and told before the server can see it: no poll takes it for a client.
async fn connect_to(address: SocketAddr, news: &Sender<News>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.bind((source(address).await?, 0).into())?;
    // An agent that takes no news is gone, and this task with it.
    _ = news.send(News::Opens(socket.local_addr()?)).await;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// From which of this machine's addresses the system would connect. A datagram socket that is
/// connected sends nothing.
async fn source(address: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket.local_addr()?.ip())
}

fn nonsense(detail: &str) -> Unserved {
    Unserved::Nonsense {
        detail: detail.to_owned(),
    }
}

/// Of an error the kind alone: what a server sent may be in its text.
fn words(error: &io::Error) -> String {
    error.kind().to_string()
}
