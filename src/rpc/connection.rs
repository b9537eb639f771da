//! One TCP connection to the server: a line out, a line in, by a deadline and within a size.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::ClientOptions;
use super::dial;
use super::envelope;
use super::error::RpcError;
use super::toll::Toll;
use super::words::Style;
use crate::decision::Epoch;

/// Replies are megabytes, so they are read in chunks of this many bytes.
const CHUNK: usize = 64 * 1_024;

/// Grows strictly within the process, over all clients; none comes twice.
fn next_epoch() -> Epoch {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Epoch(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// What is known of an open connection. Dropping it closes it and ends its epoch.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) epoch: Epoch,
    pub(super) toll: Toll,
    /// As learned from the server's refusals.
    pub(super) style: Style,
    stream: BufReader<TcpStream>,
}

/// A request that is ready to go.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) id: u64,
    pub(super) method: &'static str,
    /// With its newline.
    pub(super) line: &'a [u8],
}

impl Connection {
    pub(super) async fn open(options: &ClientOptions) -> Result<Self, RpcError> {
        let addr = options.addr.clone();
        let stream = match timeout(options.connect_timeout, dial::connect(&addr)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                return Err(RpcError::Refused { addr });
            }
            Ok(Err(source)) => return Err(RpcError::Unreachable { addr, source }),
            Err(_) => {
                return Err(RpcError::ConnectTimedOut {
                    addr,
                    after: options.connect_timeout,
                });
            }
        };
        // Requests are small and wait for their replies. Without the option all works, only later.
        _ = stream.set_nodelay(true);
        Ok(Self {
            epoch: next_epoch(),
            toll: Toll::default(),
            style: Style::Named,
            stream: BufReader::with_capacity(CHUNK, stream),
        })
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.get_ref().local_addr().ok()
    }

    pub(super) fn server_addr(&self) -> Option<SocketAddr> {
        self.stream.get_ref().peer_addr().ok()
    }

    /// Sends a request and reads the line that answers it into `reply`, without its newline. After an error the
    /// connection is of no more use.
    pub(super) async fn exchange(
        &mut self,
        request: Outgoing<'_>,
        reply: &mut Vec<u8>,
        options: &ClientOptions,
    ) -> Result<(), RpcError> {
        let method = request.method;
        let after = options.reply_timeout;
        reply.clear();
        // One deadline for all of it: a server that trickles a byte a second does not escape it.
        timeout_at(Instant::now() + after, async {
            self.send(request).await?;
            self.receive(method, reply, options.reply_bytes_max).await?;
            // A reply to a request that was given up is not for us.
            while envelope::peek_id(reply).is_some_and(|id| id < request.id) {
                self.receive(method, reply, options.reply_bytes_max).await?;
            }
            Ok(())
        })
        .await
        .unwrap_or({
            Err(RpcError::ReplyTimedOut {
                method,
                after,
                bytes: reply.len(),
            })
        })
    }

    async fn send(&mut self, request: Outgoing<'_>) -> Result<(), RpcError> {
        let method = request.method;
        self.toll.charge_bytes(request.line.len());
        self.stream
            .get_mut()
            .write_all(request.line)
            .await
            .map_err(|source| broken(method, &[], source))
    }

    async fn receive(
        &mut self,
        method: &'static str,
        line: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), RpcError> {
        line.clear();
        let mut kept = Kept { line, blanks: 0 };
        // The limit is for the text as it was sent, the newline comes on top.
        let mut received = 0;
        loop {
            let chunk = match self.stream.fill_buf().await {
                Ok([]) => return Err(closed(method, kept.line)),
                Ok(chunk) => chunk,
                Err(source) => return Err(broken(method, kept.line, source)),
            };
            let newline = memchr::memchr(b'\n', chunk);
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            received += part.len();
            if received > bytes_max {
                *kept.line = Vec::new();
                return Err(RpcError::TooLarge { method, bytes_max });
            }
            kept.add(part);
            let consumed = part.len() + usize::from(newline.is_some());
            self.stream.consume(consumed);
            self.toll.charge_bytes(consumed);
            if newline.is_some() {
                return Ok(());
            }
        }
    }
}

/// A line as it comes in, without what it would have of blanks alone. In JSON such a run means nothing, and
/// a reply of a gigabyte of them costs no memory.
struct Kept<'a> {
    line: &'a mut Vec<u8>,
    /// How many it ends in.
    blanks: usize,
}

impl Kept<'_> {
    /// Of a longer run no more is kept. No text that a server sends has one.
    const BLANKS_MAX: usize = CHUNK;

    fn add(&mut self, part: &[u8]) {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
        let blanks = part.iter().rev().take_while(is_blank).count();
        if blanks < part.len() {
            self.line.extend_from_slice(part);
            self.blanks = blanks;
            return;
        }
        let room = Self::BLANKS_MAX.saturating_sub(self.blanks);
        let kept = &part[..blanks.min(room)];
        self.line.extend_from_slice(kept);
        self.blanks += kept.len();
    }
}

/// The stream ended after `line`, which is no whole line.
fn closed(method: &'static str, line: &[u8]) -> RpcError {
    match line.trim_ascii_start().first() {
        None => RpcError::ClosedBeforeReply { method },
        Some(b'{') => RpcError::ClosedMidReply {
            method,
            bytes: line.len(),
        },
        // Another protocol, and more telling than that it ended.
        Some(_) => RpcError::not_json(method, "the connection closed after it", line),
    }
}

/// The stream failed after `line`.
fn broken(method: &'static str, line: &[u8], source: io::Error) -> RpcError {
    match source.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            closed(method, line)
        }
        _ => RpcError::Broken { method, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut line = Vec::new();
        let mut kept = Kept {
            line: &mut line,
            blanks: 0,
        };
        parts.into_iter().for_each(|part| kept.add(&part));
        line
    }

    #[test]
    fn blanks_cost_next_to_nothing() {
        let blanks = std::iter::repeat_with(|| b" \t\r ".repeat(CHUNK / 4)).take(256);
        let parts = [b"{\"id\": 1,".to_vec()].into_iter().chain(blanks);
        let line = kept(parts.chain([b"\"result\": 2}".to_vec()]));
        assert!(line.capacity() < 4 * CHUNK, "{}", line.capacity());
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value, serde_json::json!({"id": 1, "result": 2}));
    }

    #[test]
    fn a_run_is_one_however_it_comes_in() {
        let run = |parts: usize| kept((0..parts).map(|_| vec![b' '; CHUNK / 2 + 1])).len();
        assert_eq!((run(1), run(2), run(9)), (CHUNK / 2 + 1, CHUNK, CHUNK));
        let text = || b"x  ".to_vec();
        assert_eq!(
            kept([text(), text(), b"  ".to_vec(), text()]),
            b"x  x    x  "
        );
    }
}
