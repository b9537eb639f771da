//! One TCP connection to the server: a line out, a line in, by a deadline and within a size.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
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
        // The limit is for the text, the newline comes on top.
        let limit = bytes_max as u64 + 1;
        let read = (&mut self.stream).take(limit).read_until(b'\n', line).await;
        self.toll.charge_bytes(line.len());
        read.map_err(|source| broken(method, line, source))?;
        if line.pop_if(|last| *last == b'\n').is_some() {
            return Ok(());
        }
        if line.len() > bytes_max {
            *line = Vec::new();
            return Err(RpcError::TooLarge { method, bytes_max });
        }
        Err(closed(method, line))
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
