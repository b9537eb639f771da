//! A daemon's answers in JSON, read and checked.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::ask::{Answer, told, unreachable};
use crate::daemon::{BlockHash, Chain, Failure, Index, Work};

/// Names of chains and indexes are shorter.
const NAME_BYTES_MAX: usize = 64;

/// A daemon has fewer.
const INDEXES_MAX: usize = 32;

const WARMING_UP: i64 = -28;

/// How bitcoind says that it has no time; some releases with status 500, and not as JSON.
const QUEUE_FULL: &str = "Work queue depth exceeded";

/// An error that the daemon answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    message: String,
}

impl Refusal {
    pub(super) fn to_failure(&self, words: impl Fn(&str) -> String) -> Failure {
        let detail = words(&self.message);
        match self.code {
            WARMING_UP => Failure::WarmingUp { detail },
            _ if self.message.contains(QUEUE_FULL) => Failure::Busy { detail },
            code => unreachable(format!("error {code}: {detail}")),
        }
    }

    /// Of anything but null; a daemon's errors are objects.
    fn of(error: &Value) -> Self {
        Self {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

type Outcome<T> = Result<T, Refusal>;

/// The outcome of the request `id`.
pub(super) fn one(answer: &Answer, id: u64) -> Result<Outcome<Value>, Failure> {
    let (answered, outcome) = outcome(json(answer)?).ok_or_else(not_understood)?;
    match answered {
        Some(answered) if answered == id => Ok(outcome),
        // An error is not always able to say of which request.
        None if outcome.is_err() => Ok(outcome),
        _ => Err(wrong_id()),
    }
}

/// The outcomes of the requests `ids`, in their order, or of the batch as a whole.
pub(super) fn several(
    answer: &Answer,
    ids: &[u64],
) -> Result<Outcome<Vec<Outcome<Value>>>, Failure> {
    let answers = match json(answer)? {
        Value::Array(answers) => answers,
        single => {
            return match outcome(single) {
                Some((_, Err(refusal))) => Ok(Err(refusal)),
                _ => Err(not_understood()),
            };
        }
    };
    let mut outcomes: Vec<Option<Outcome<Value>>> = ids.iter().map(|_| None).collect();
    for answer in answers {
        let (id, outcome) = outcome(answer).ok_or_else(not_understood)?;
        let place = id.and_then(|id| ids.iter().position(|&asked| asked == id));
        let slot = place.map(|place| &mut outcomes[place]);
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(outcome),
            _ => return Err(wrong_id()),
        }
    }
    let outcomes: Option<Vec<_>> = outcomes.into_iter().collect();
    let missing = || unreachable("its answer to a batch is not complete".to_owned());
    outcomes.ok_or_else(missing).map(Ok)
}

fn json(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        let detail = match answer.status {
            StatusCode::OK => "its answer is not JSON".to_owned(),
            status => told(status),
        };
        // Those who ask know what they look for; the words are not shown.
        if String::from_utf8_lossy(&answer.body).contains(QUEUE_FULL) {
            Failure::Busy { detail }
        } else {
            unreachable(detail)
        }
    })
}

/// Its number, if that is one of ours, and what it says.
fn outcome(answer: Value) -> Option<(Option<u64>, Outcome<Value>)> {
    let Value::Object(mut answer) = answer else {
        return None;
    };
    let id = answer.get("id").and_then(Value::as_u64);
    let outcome = match answer.get("error") {
        None | Some(Value::Null) => Ok(answer.remove("result")?),
        Some(error) => Err(Refusal::of(error)),
    };
    Some((id, outcome))
}

fn not_understood() -> Failure {
    unreachable("its answer is not a daemon's".to_owned())
}

fn wrong_id() -> Failure {
    unreachable("its answer is to another question".to_owned())
}

/// What is needed of `getblockchaininfo`.
#[derive(Deserialize)]
pub(super) struct Info {
    chain: Box<str>,
    #[serde(rename = "blocks")]
    pub(super) height: u64,
    headers: u64,
    #[serde(rename = "bestblockhash")]
    pub(super) tip: BlockHash,
    #[serde(rename = "chainwork")]
    work: Work,
    /// Unknown to old releases.
    #[serde(rename = "initialblockdownload", default)]
    is_initial_download: bool,
    #[serde(rename = "pruned", default)]
    is_pruned: bool,
}

impl Info {
    pub(super) fn read(answer: Value) -> Result<Self, Failure> {
        let info: Option<Self> = serde_json::from_value(answer).ok();
        info.filter(|info| info.chain.len() <= NAME_BYTES_MAX)
            .ok_or_else(not_understood)
    }

    pub(super) fn into_chain(
        self,
        hashes: Vec<(u64, BlockHash)>,
        indexes: Option<Vec<Index>>,
    ) -> Chain {
        Chain {
            name: self.chain,
            height: self.height,
            headers: self.headers,
            tip: self.tip,
            work: self.work,
            is_initial_download: self.is_initial_download,
            is_pruned: self.is_pruned,
            hashes,
            indexes,
        }
    }
}

pub(super) fn hash(answer: &Value) -> Result<BlockHash, Failure> {
    let hash = answer.as_str().and_then(|text| text.parse().ok());
    hash.ok_or_else(not_understood)
}

/// The indexes by name, as `getindexinfo` has them.
pub(super) fn indexes(answer: Value) -> Result<Vec<Index>, Failure> {
    let Value::Object(answer) = answer else {
        return Err(not_understood());
    };
    if answer.len() > INDEXES_MAX {
        return Err(not_understood());
    }
    let indexes = answer.into_iter().map(|(name, index)| {
        let is_synced = index["synced"].as_bool();
        let is_synced = is_synced.filter(|_| name.len() <= NAME_BYTES_MAX);
        Ok(Index {
            name: name.into(),
            is_synced: is_synced.ok_or_else(not_understood)?,
        })
    });
    indexes.collect()
}
