//! Asks each of the server's daemons itself how it is: its chain, hashes of blocks, its indexes.
//!
//! It only reads, and judges nothing: what a round makes of a daemon is [`watch`](crate::watch)'s.
//! Credentials go to the daemon that they are for and nowhere else: no proxy, no redirect.

mod ask;
mod reply;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::daemon::{Chain, Daemons, Failure, Report, Round};
use crate::http::{self, SideBySide};
use crate::poll::Clock;
use ask::Line;
use reply::{Info, Refusal};
pub use watch::Watching;

/// How daemons are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// For each of a daemon's two answers to be there in full.
    pub timeout: Duration,
    /// Whether `getindexinfo` is asked too.
    pub with_indexes: bool,
}

/// Why daemons cannot be probed.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot check the certificates of daemons at `https`: {reason}; install the system's \
     certificates (the package ca-certificates), or use `http`"
)]
pub struct ProberError {
    reason: String,
}

/// Probes all daemons, over connections that it keeps.
pub struct Prober {
    probed: Vec<Probed>,
    with_indexes: bool,
    last_id: u64,
    clock: Box<dyn Clock>,
}

/// A daemon, and how high its chain was when it last said so.
struct Probed {
    line: Line,
    tip: Option<u64>,
}

impl Prober {
    /// Does not connect yet. `clock` gives the rounds their time.
    pub fn new(
        daemons: &Daemons,
        options: &ProbeOptions,
        clock: Box<dyn Clock>,
    ) -> Result<Self, ProberError> {
        let probed = daemons.iter().map(|url| {
            let is_secure = url.endpoint().scheme() == "https";
            let port = url.endpoint().port_or_known_default().unwrap_or_default();
            let client = http::client(options.timeout, is_secure, SideBySide { port });
            let client = client.map_err(|error| ProberError {
                reason: http::cause(error),
            })?;
            Ok(Probed {
                line: Line::new(client, url.clone(), options.timeout),
                tip: None,
            })
        });
        Ok(Self {
            probed: probed.collect::<Result<_, _>>()?,
            with_indexes: options.with_indexes,
            last_id: 0,
            clock,
        })
    }

    /// Asks all daemons at the same time: first for their chains, then for hashes where the chains
    /// of all can be compared.
    pub async fn probe(&mut self) -> Round {
        let tip_id = self.next_ids(1);
        let infos = all(self.probed.iter().map(|probed| probed.info(tip_id))).await;
        for (probed, (info, _)) in self.probed.iter_mut().zip(&infos) {
            if let Ok(info) = info {
                probed.tip = Some(info.height);
            }
        }
        let tips: Vec<u64> = self.probed.iter().filter_map(|probed| probed.tip).collect();
        // Three heights a tip at the most, the own tip, and the indexes.
        let ids = self.next_ids(3 * tips.len() as u64 + 2);
        let with_indexes = self.with_indexes;
        let reports = self
            .probed
            .iter()
            .zip(infos)
            .map(async |(probed, (info, took))| {
                let (heard, took_more) = match info {
                    Ok(info) => probed.chain(info, &tips, with_indexes, ids).await,
                    Err(failure) => (Err(failure), Duration::ZERO),
                };
                Report {
                    heard,
                    took: took + took_more,
                }
            });
        let reports = all(reports).await;
        let at = self.clock.now();
        Round { at, reports }
    }

    /// The first of so many new numbers: an answer to an earlier question is none to this one.
    fn next_ids(&mut self, count: u64) -> u64 {
        let first = self.last_id + 1;
        self.last_id += count;
        first
    }
}

impl Probed {
    async fn info(&self, id: u64) -> (Result<Info, Failure>, Duration) {
        let asked = Instant::now();
        let request = json!({ "method": "getblockchaininfo", "params": [], "id": id });
        let heard = async {
            let answer = self.line.ask(&request).await?;
            let answer = reply::one(&answer, id)?.map_err(|refusal| self.failure(&refusal))?;
            Info::read(answer)
        };
        (heard.await, asked.elapsed())
    }

    async fn chain(
        &self,
        info: Info,
        tips: &[u64],
        with_indexes: bool,
        first_id: u64,
    ) -> (Result<Chain, Failure>, Duration) {
        let asked = Instant::now();
        let heard = self.details(info, tips, with_indexes, first_id).await;
        (heard, asked.elapsed())
    }

    async fn details(
        &self,
        info: Info,
        tips: &[u64],
        with_indexes: bool,
        first_id: u64,
    ) -> Result<Chain, Failure> {
        let mut heights = Round::heights(tips.iter().copied(), info.height);
        heights.push(info.height);
        let ask_for = |method: &str, params: Value| json!({ "method": method, "params": params });
        let mut requests: Vec<Value> = heights
            .iter()
            .map(|height| ask_for("getblockhash", json!([height])))
            .collect();
        if with_indexes {
            requests.push(ask_for("getindexinfo", json!([])));
        }
        let ids: Vec<u64> = (first_id..).take(requests.len()).collect();
        for (request, id) in requests.iter_mut().zip(&ids) {
            request["id"] = json!(id);
        }
        let answer = self.line.ask(&Value::Array(requests)).await?;
        let mut answers = reply::several(&answer, &ids)?
            .map_err(|refusal| self.failure(&refusal))?
            .into_iter();
        let mut hashes = Vec::with_capacity(heights.len());
        for (height, answer) in heights.into_iter().zip(&mut answers) {
            match answer {
                Ok(hash) => hashes.push((height, reply::hash(&hash)?)),
                Err(Refusal {
                    code: NO_SUCH_BLOCK,
                    ..
                }) => {}
                Err(refusal) => return Err(self.failure(&refusal)),
            }
        }
        // If it is on another chain since it told its tip, the hashes are not that tip's.
        let is_same = hashes.pop_if(|(height, _)| *height == info.height);
        if is_same.is_none_or(|(_, tip)| tip != info.tip) {
            hashes.clear();
        }
        let indexes = match answers.next() {
            None => None,
            Some(Ok(indexes)) => Some(reply::indexes(indexes)?),
            // A daemon that does not know the question has no index that it could tell of.
            Some(Err(Refusal {
                code: NO_SUCH_METHOD,
                ..
            })) => Some(Vec::new()),
            Some(Err(refusal)) => return Err(self.failure(&refusal)),
        };
        Ok(info.into_chain(hashes, indexes))
    }

    fn failure(&self, refusal: &Refusal) -> Failure {
        refusal.to_failure(|text| self.line.words(text))
    }
}

const NO_SUCH_BLOCK: i64 = -8;
const NO_SUCH_METHOD: i64 = -32_601;

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let daemons: Vec<_> = self
            .probed
            .iter()
            .map(|probed| probed.line.address())
            .collect();
        f.debug_struct("Prober")
            .field("daemons", &daemons)
            .finish_non_exhaustive()
    }
}

/// Waits for all of a few futures; they run at the same time.
async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    poll_fn(|context| {
        let mut all_done = Poll::Ready(());
        for (future, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *done = Some(value),
                Poll::Pending => all_done = Poll::Pending,
            }
        }
        all_done
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}
