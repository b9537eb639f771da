//! The client of `ElectrumX`'s `LocalRPC`: one connection, one request in flight.
//!
//! It moves requests and replies, and knows JSON-RPC envelopes, deadlines, sizes, and what it costs the server. It knows
//! nothing of what a reply's result means; decoders are the caller's. It decides nothing either: when to connect, to poll
//! and to act, and what to do about an error, is for the caller to say.
//!
//! ```no_run
//! use electrumx_warden::rpc::{Client, ClientOptions, NO_PARAMS};
//! # async fn poll() -> Result<(), electrumx_warden::rpc::RpcError> {
//! let mut client = Client::new(ClientOptions::new("127.0.0.1:8000"));
//! let epoch = client.connect().await?;
//! let groups: Vec<serde_json::Value> = client.call("groups", &NO_PARAMS).await?.result;
//! let said = client.disconnect(epoch, &[7, 8]).await;
//! # Ok(())
//! # }
//! ```

mod connection;
pub(crate) mod dial;
pub(crate) mod envelope;
mod error;
mod retry;
mod tape;
#[cfg(test)]
mod tests;
mod toll;
mod words;

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use tokio::time::{Instant, sleep_until};

pub use self::error::RpcError;
pub use self::tape::Tape;
pub use self::words::{Disconnected, Failure, Logging, Said, Word};

use self::connection::{Connection, Outgoing};
use self::retry::Retry;
use self::words::{SessionIds, Style};
use crate::decision::Epoch;
use crate::redact::SecretUrls;
use crate::wire;

/// The parameters of a request that has none.
pub const NO_PARAMS: [(); 0] = [];

/// Where the server is, and what the client puts up with.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `HOST:PORT` of the `LocalRPC`.
    pub addr: String,
    /// Deadline for a connection to be made.
    pub connect_timeout: Duration,
    /// Deadline for a request to be sent and its reply to be there in full.
    pub reply_timeout: Duration,
    /// The longest reply, in bytes.
    pub reply_bytes_max: usize,
    /// The shortest pause after a connection was lost or could not be made.
    pub backoff_min: Duration,
    /// The longest such pause, jitter included.
    pub backoff_max: Duration,
    /// Fixes the jitter of the pauses; without a seed it is random.
    pub jitter_seed: Option<u64>,
    /// The cost to the server above which [`Client::needs_fresh_connection`]. The server delays replies at 2,000 by
    /// default, and closes the connection at 10,000.
    pub toll_max: f64,
    /// The most session IDs that one request bears; 0 is taken for 1.
    pub ids_per_call: usize,
}

impl ClientOptions {
    /// For the server at `addr`, `HOST:PORT`: 5 s to connect, 30 s and 64 MiB for a reply, pauses from 0.5 to 60 s, a toll
    /// of 1,500 and 500 IDs a call.
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(30),
            reply_bytes_max: 64 << 20,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_mins(1),
            jitter_seed: None,
            toll_max: 1_500.0,
            ids_per_call: 500,
        }
    }
}

/// A good reply.
#[derive(Debug)]
pub struct Reply<'a, T> {
    /// The connection that brought it.
    pub epoch: Epoch,
    /// From the request's first byte to the reply's last; decoding is not in it.
    pub took: Duration,
    /// The reply as it came, envelope included, without its newline; bare `NaN` and `Infinity` are
    /// replaced. It stands in a buffer that the next call reuses.
    pub line: &'a [u8],
    /// What the decoder made of `result`.
    pub result: T,
}

/// A client of one server.
///
/// A call that is given up (its future dropped) takes the connection with it, so that its late reply cannot be taken for
/// another's.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    /// Taken out for the length of a call, and put back only if it is still good.
    connection: Option<Connection>,
    retry: Retry,
    last_id: u64,
    request: Vec<u8>,
    line: Vec<u8>,
    tape: Option<Tape>,
    spent: Duration,
}

impl Client {
    /// Does not connect yet.
    pub fn new(options: ClientOptions) -> Self {
        let retry = Retry::new(
            options.backoff_min,
            options.backoff_max,
            options.jitter_seed,
        );
        Self {
            options,
            connection: None,
            retry,
            last_id: 0,
            request: Vec::new(),
            line: Vec::new(),
            tape: None,
            spent: Duration::ZERO,
        }
    }

    /// The epoch of the connection there is, or of a new one. If connections failed before, this waits first; how long,
    /// [`retry_after`](Self::retry_after) says. It may be given up at any time.
    pub async fn connect(&mut self) -> Result<Epoch, RpcError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.epoch);
        }
        if let Some(instant) = self.retry.not_before() {
            sleep_until(instant).await;
        }
        match Connection::open(&self.options).await {
            Ok(connection) => Ok(self.connection.insert(connection).epoch),
            Err(error) => {
                self.retry.lost(Instant::now());
                Err(error)
            }
        }
    }

    /// Closes the connection, if there is one, and makes another. The old epoch is over.
    pub async fn reconnect(&mut self) -> Result<Epoch, RpcError> {
        self.connection = None;
        self.connect().await
    }

    /// How long [`connect`](Self::connect) would wait before it tries.
    pub fn retry_after(&self) -> Duration {
        self.retry.not_before().map_or(Duration::ZERO, |instant| {
            instant.saturating_duration_since(Instant::now())
        })
    }

    /// The epoch of the connection, if there is one. A server that closed it unnoticed is only found out by a call.
    pub fn epoch(&self) -> Option<Epoch> {
        self.connection.as_ref().map(|connection| connection.epoch)
    }

    /// The connection's own address: the `peer` of its row in `sessions`.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.connection.as_ref()?.local_addr()
    }

    /// The server's address, while connected.
    pub fn server_addr(&self) -> Option<SocketAddr> {
        self.connection.as_ref()?.server_addr()
    }

    /// What this connection has cost the server, in the unit of the `cost` column of `sessions`.
    ///
    /// An upper bound that leaves decay out, until [`observe_cost`](Self::observe_cost) corrects it.
    pub fn toll(&self) -> f64 {
        self.connection
            .as_ref()
            .map_or(0.0, |connection| connection.toll.total())
    }

    /// Takes over the server's figure for this connection: `cost` and `extra cost` of the row in
    /// `sessions`, read in `epoch`, whose peer is [`local_addr`](Self::local_addr). To 1.15 the extra
    /// cost is a share of what others in the connection's groups have cost, so abusers can bring
    /// about that the server throttles this connection.
    pub fn observe_cost(&mut self, epoch: Epoch, cost: f64) {
        if let Some(connection) = self.connection.as_mut().filter(|it| it.epoch == epoch) {
            connection.toll.observe(cost);
        }
    }

    /// Whether the server will soon throttle this connection. The caller then calls [`reconnect`](Self::reconnect) between
    /// two polls; between evidence and action it would void the evidence.
    pub fn needs_fresh_connection(&self) -> bool {
        self.toll() > self.options.toll_max
    }

    /// For how long the server was waited for, from each request's first byte to its reply's last, over all
    /// connections. Of the server's time the requests took so much at the most.
    pub const fn spent(&self) -> Duration {
        self.spent
    }

    /// Keeps the replies that only tell, as the server sends them, from here on.
    pub fn keep_tape(&mut self) {
        self.tape.get_or_insert_default();
    }

    /// The replies that were kept; whoever takes them in clears it.
    pub fn tape(&mut self) -> Option<&mut Tape> {
        self.tape.as_mut()
    }

    /// Sends a request and reads the result by `seed`, in one pass over the reply, while its envelope is checked.
    ///
    /// `seed` is fed before all of the reply was seen. Unless this returns `Ok`, what `seed` has written anywhere is to be
    /// thrown away.
    pub async fn call_with<'a, P, S>(
        &'a mut self,
        method: &'static str,
        params: &P,
        seed: S,
    ) -> Result<Reply<'a, S::Value>, RpcError>
    where
        P: Serialize + ?Sized,
        S: DeserializeSeed<'a>,
    {
        let id = self.last_id + 1;
        envelope::write(&mut self.request, id, method, params)?;
        let mut connection = self
            .connection
            .take()
            .ok_or(RpcError::NotConnected { method })?;
        self.last_id = id;
        let sent = Instant::now();
        let request = Outgoing {
            id,
            method,
            line: &self.request,
        };
        let exchanged = connection
            .exchange(request, &mut self.line, &self.options)
            .await;
        let now = Instant::now();
        self.spent += now - sent;
        if let (Some(tape), Ok(())) = (&mut self.tape, &exchanged) {
            tape.hear(method, &self.line);
        }
        wire::tame(&mut self.line);
        let result = exchanged.and_then(|()| envelope::read(&self.line, id, method, seed));
        let epoch = connection.epoch;
        match &result {
            Err(error) if error.is_connection_lost() => self.retry.lost(now),
            outcome => {
                if matches!(outcome, Err(RpcError::Server { .. })) {
                    connection.toll.charge_error();
                }
                self.retry.well();
                self.connection = Some(connection);
            }
        }
        Ok(Reply {
            epoch,
            took: now - sent,
            line: &self.line,
            result: result?,
        })
    }

    /// As [`call_with`](Self::call_with), for a result that owns its data.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<Reply<'_, T>, RpcError> {
        self.call_with(method, params, PhantomData).await
    }

    /// Asks the server to disconnect sessions that were seen in `epoch`.
    pub async fn disconnect(&mut self, epoch: Epoch, ids: &[u64]) -> Said<Disconnected> {
        self.ask("disconnect", epoch, ids, words::disconnected)
            .await
    }

    /// Asks the server to toggle the logging of sessions that were seen in `epoch`: asking twice undoes it.
    pub async fn log(&mut self, epoch: Epoch, ids: &[u64]) -> Said<Logging> {
        self.ask("log", epoch, ids, words::logging).await
    }

    /// Gives the server another list of daemons, and returns its words, without credentials, escaped and bounded.
    pub async fn daemon_url(
        &mut self,
        epoch: Epoch,
        urls: &SecretUrls,
    ) -> Result<String, RpcError> {
        #[derive(Serialize)]
        struct DaemonUrl<'a> {
            daemon_url: &'a str,
        }
        self.check_epoch("daemon_url", epoch)?;
        let said = self
            .call::<String>(
                "daemon_url",
                &DaemonUrl {
                    daemon_url: urls.expose(),
                },
            )
            .await?;
        Ok(error::words(&said.result))
    }

    async fn ask<T>(
        &mut self,
        method: &'static str,
        epoch: Epoch,
        ids: &[u64],
        done: fn(&str) -> Option<(u64, T)>,
    ) -> Said<T> {
        let ids = words::distinct(ids);
        let mut words = Vec::with_capacity(ids.len());
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let (asked, unsent) = rest.split_at(self.options.ids_per_call.clamp(1, rest.len()));
            match self.ask_once(method, epoch, asked).await {
                Ok(sentences) => words.extend(words::sort(asked, &sentences, done)),
                Err(error) => {
                    let failure = Failure {
                        error,
                        unanswered: asked.to_vec(),
                        unsent: unsent.to_vec(),
                    };
                    return Said {
                        words,
                        failure: Some(failure),
                    };
                }
            }
            rest = unsent;
        }
        Said {
            words,
            failure: None,
        }
    }

    async fn ask_once(
        &mut self,
        method: &'static str,
        epoch: Epoch,
        ids: &[u64],
    ) -> Result<Vec<String>, RpcError> {
        loop {
            let style = self.check_epoch(method, epoch)?.style;
            match self.call(method, &SessionIds { ids, style }).await {
                Ok(reply) => return Ok(reply.result),
                Err(error) if style.is_refused(&error) => {
                    self.check_epoch(method, epoch)?.style = Style::Bare;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The connection, if it is the one that read the evidence.
    fn check_epoch(
        &mut self,
        method: &'static str,
        evidence: Epoch,
    ) -> Result<&mut Connection, RpcError> {
        let current = self.epoch();
        match &mut self.connection {
            Some(connection) if connection.epoch == evidence => Ok(connection),
            _ => Err(RpcError::StaleEpoch {
                method,
                evidence,
                current,
            }),
        }
    }
}
