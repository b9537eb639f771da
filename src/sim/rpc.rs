//! `LocalRPC` as a function: one request line in, what the server does with it out. No sockets.
//!
//! Not simulated: `add_peer`, `query`, `reorg`, `stop` and batches.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::cost;
use super::json::render;
use super::release::Release;
use super::reply::Reply;
use super::session::SessionKey;
use super::world::World;

/// 0.10.2 closes an RPC connection that has failed this often.
const ERRORS_MAX_0_10: u64 = 12;

pub(super) const BAD_REQUEST: i64 = 1;
const PARSE_ERROR: i64 = -32_700;
const INVALID_REQUEST: i64 = -32_600;
const UNKNOWN_METHOD: i64 = -32_601;
const INVALID_ARGS: i64 = -32_602;
const INTERNAL_ERROR: i64 = -32_603;
const EXCESSIVE_USAGE: i64 = -101;

/// What the server does with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// One line with its newline, or nothing.
    pub bytes: Vec<u8>,
    /// How long the server sits on it, in simulated time, because the connection is too costly.
    pub hold: Duration,
    /// The connection is closed after that.
    pub close: bool,
}

/// Why a request failed, as the reply says it.
#[derive(Debug)]
pub(super) struct Failure {
    code: i64,
    message: String,
}

impl Failure {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The `result` as JSON, or the `error`.
pub(super) type Outcome = Result<Vec<u8>, Failure>;

impl World {
    /// What the RPC connection `key` is answered when it sends `line`, without its newline.
    /// Nothing, and the connection closed, if the server no longer knows it.
    pub fn request(&mut self, key: SessionKey, line: &[u8]) -> Answer {
        let now = self.clock();
        let gone = Answer {
            close: true,
            ..Answer::default()
        };
        let Some(session) = self.sessions_mut().get_mut(key) else {
            return gone;
        };
        if session.is_closing() {
            return gone;
        }
        session.receive(1, line.len() as u64 + 1, now);
        let hold = if self.release().has_costs() {
            self.hold(key)
        } else {
            Duration::ZERO
        };
        let excessive = self.release().has_costs() && self.is_excessive(key);
        let (id, outcome) = match parse(line) {
            Ok((id, ..)) if excessive => (
                id,
                Err(Failure::new(EXCESSIVE_USAGE, "excessive resource usage")),
            ),
            Ok((id, method, params)) => (id, self.call(key, &method, params)),
            Err(failure) => (Value::Null, Err(failure)),
        };
        let failed = outcome.as_ref().err().map(|failure| failure.code);
        let mut bytes = envelope(self.release(), &id, outcome);
        let closing = self.charge(key, bytes.len() as u64, failed);
        bytes.push(b'\n');
        // Old releases close the socket first and have nothing left to answer on.
        if closing && !self.release().is_nested() {
            bytes.clear();
        }
        Answer {
            bytes,
            hold,
            close: closing || excessive,
        }
    }

    fn hold(&self, key: SessionKey) -> Duration {
        self.sessions()
            .get(key)
            .map_or(Duration::ZERO, |session| session.cost.delay())
    }

    fn is_excessive(&self, key: SessionKey) -> bool {
        self.sessions()
            .get(key)
            .is_some_and(|session| session.cost.is_excessive())
    }

    /// Counts the reply and its failure. True if the connection is closing by now.
    fn charge(&mut self, key: SessionKey, bytes: u64, failed: Option<i64>) -> bool {
        let now = self.clock();
        let release = self.release();
        let Some(session) = self.sessions_mut().get_mut(key) else {
            return true;
        };
        session.send(1, bytes, now);
        if let Some(code) = failed {
            session.fail(1, now);
            if code == PARSE_ERROR {
                session.cost.add(10.0 * cost::ERROR, now);
            }
        }
        let worn_out = release == Release::V0_10_2 && session.errors >= ERRORS_MAX_0_10;
        if worn_out || failed == Some(EXCESSIVE_USAGE) {
            self.close(key);
            return true;
        }
        session.is_closing()
    }

    fn call(&mut self, key: SessionKey, method: &str, params: Option<Value>) -> Outcome {
        if self.release() == Release::V0_10_2 && matches!(params, Some(Value::Object(_))) {
            return Err(Failure::new(INVALID_REQUEST, "params should be an array"));
        }
        let known = self.knows(method);
        let counted = if known { method } else { "invalid method" };
        *self
            .sessions_mut()
            .rpc_requests
            .entry(counted.to_owned())
            .or_default() += 1;
        if !known {
            let (open, close) = if self.release() < Release::V1_6 {
                ("'", "'")
            } else {
                ("\"", "\"")
            };
            let colon = if self.release() < Release::V1_6 {
                ":"
            } else {
                ""
            };
            let message = format!("unknown method{colon} {open}{method}{close}");
            return Err(Failure::new(UNKNOWN_METHOD, message));
        }
        match method {
            "disconnect" | "log" if self.release() == Release::V0_10_2 => {
                let items = params.unwrap_or_else(|| Value::Array(Vec::new()));
                self.act(method, &items)
            }
            "disconnect" | "log" => {
                let items = self.one_param(method, "session_ids", params, true)?;
                self.act(method, &items)
            }
            "daemon_url" => {
                let required = self.release() > Release::V1_6;
                let url = self.one_param(method, "daemon_url", params, required)?;
                self.daemon_url(&url)
            }
            "inspect_session" => {
                let id = self.one_param(method, "session_id", params, true)?;
                self.inspect(key, &id)
            }
            _ => {
                self.no_params(method, params.as_ref())?;
                let reply = Reply::new(self, Some(key));
                Ok(match method {
                    "getinfo" => reply.getinfo(),
                    "sessions" => reply.sessions(),
                    "groups" => reply.groups(),
                    _ if self.release() == Release::V0_10_2 => b"{}".to_vec(),
                    _ => b"[]".to_vec(),
                })
            }
        }
    }

    fn knows(&self, method: &str) -> bool {
        match method {
            "getinfo" | "sessions" | "groups" | "peers" | "disconnect" | "log" => true,
            "daemon_url" => self.release() >= Release::V1_0_17,
            "inspect_session" => self.release().has_inspect(),
            _ => false,
        }
    }

    /// The single parameter of a method, by name or by place.
    fn one_param(
        &self,
        method: &str,
        name: &str,
        params: Option<Value>,
        required: bool,
    ) -> Result<Value, Failure> {
        let invalid = |message: String| Err(Failure::new(INVALID_ARGS, message));
        match params.unwrap_or_else(|| Value::Array(Vec::new())) {
            Value::Array(mut list) if list.len() == 1 => Ok(list.remove(0)),
            Value::Array(list) if list.is_empty() && !required => Ok(Value::from("")),
            Value::Array(list) if list.is_empty() => invalid(format!(
                "0 arguments passed to method \"{method}\" but it requires 1"
            )),
            Value::Array(list) => invalid(format!(
                "{} arguments passed to method {method} taking at most 1",
                list.len()
            )),
            Value::Object(mut map) => match map.remove(name) {
                None if required => {
                    invalid(format!("method \"{method}\" requires parameter \"{name}\""))
                }
                value => {
                    self.no_params(method, Some(&Value::Object(map)))?;
                    Ok(value.unwrap_or_else(|| Value::from("")))
                }
            },
            other => {
                let message = format!("invalid request arguments: {other}");
                invalid(message)
            }
        }
    }

    fn no_params(&self, method: &str, params: Option<&Value>) -> Result<(), Failure> {
        let count = match params {
            None => 0,
            Some(Value::Array(list)) => list.len(),
            Some(Value::Object(map)) => map.len(),
            Some(_) => 1,
        };
        if count == 0 {
            return Ok(());
        }
        let message = match params {
            _ if self.release() < Release::V1_6 => {
                format!("too many arguments to {method}: expected 0 got {count}")
            }
            Some(Value::Object(map)) => {
                let s = if count == 1 { "" } else { "s" };
                let names: Vec<String> = map.keys().map(|name| format!("\"{name}\"")).collect();
                format!(
                    "method \"{method}\" does not take parameter{s} {}",
                    names.join(", ")
                )
            }
            _ => {
                let s = if count == 1 { "" } else { "s" };
                format!("{count} argument{s} passed to method {method} taking at most 0")
            }
        };
        Err(Failure::new(INVALID_ARGS, message))
    }

    fn daemon_url(&mut self, url: &Value) -> Outcome {
        let list = url.as_str().unwrap_or_default();
        let release = self.release();
        match self.chain_mut().set_urls(list) {
            Ok(()) => Ok(render(&format!(
                "now using daemon at {}",
                self.chain().daemon()
            ))),
            Err(message) => {
                let occurred = if release >= Release::V1_20_0 {
                    "occurred"
                } else {
                    "occured"
                };
                let error: Cow<'_, str> = if release >= Release::V1_13_0 {
                    format!("CoinError('{}')", message.replace('\'', "\\'")).into()
                } else {
                    message.into()
                };
                let code = if release < Release::V1_6 {
                    -1
                } else {
                    BAD_REQUEST
                };
                Err(Failure::new(code, format!("an error {occurred}: {error}")))
            }
        }
    }

    fn inspect(&self, asker: SessionKey, id: &Value) -> Outcome {
        let Some(id) = id.as_u64() else {
            return Err(Failure::new(INTERNAL_ERROR, "internal server error"));
        };
        let found = self
            .sessions()
            .as_slice()
            .iter()
            .find(|session| session.id == id);
        match found {
            None => Err(Failure::new(
                BAD_REQUEST,
                format!("no session with id={id}"),
            )),
            Some(session) if session.is_rpc() => Err(Failure::new(
                BAD_REQUEST,
                format!(
                    "session with id={id} is not a client session, \
                     but <class 'electrumx.server.session.LocalRPC'>"
                ),
            )),
            Some(session) => Ok(Reply::new(self, Some(asker)).inspect(session)),
        }
    }
}

fn parse(line: &[u8]) -> Result<(Value, String, Option<Value>), Failure> {
    let message: Value =
        serde_json::from_slice(line).map_err(|_| Failure::new(PARSE_ERROR, "invalid JSON"))?;
    let Value::Object(mut request) = message else {
        return Err(Failure::new(
            INVALID_REQUEST,
            "request object must be a dictionary",
        ));
    };
    let Some(Value::String(method)) = request.remove("method") else {
        return Err(Failure::new(INVALID_REQUEST, "method must be a string"));
    };
    let id = request.remove("id").unwrap_or_default();
    Ok((id, method, request.remove("params")))
}

/// The response object, its keys in the order of the release.
fn envelope(release: Release, id: &Value, outcome: Outcome) -> Vec<u8> {
    let id = render(id);
    let (word, body) = match outcome {
        Ok(result) => ("result", result),
        Err(failure) => {
            let message = render(&failure.message);
            let (message, code) = (String::from_utf8_lossy(&message), failure.code);
            let error = if release < Release::V1_6 {
                format!("{{\"message\":{message},\"code\":{code}}}")
            } else {
                format!("{{\"code\":{code},\"message\":{message}}}")
            };
            ("error", error.into_bytes())
        }
    };
    let mut bytes = b"{\"jsonrpc\":\"2.0\",".to_vec();
    if release == Release::V1_0_17 {
        bytes.extend_from_slice(b"\"id\":");
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(format!(",\"{word}\":").as_bytes());
        bytes.extend_from_slice(&body);
    } else {
        bytes.extend_from_slice(format!("\"{word}\":").as_bytes());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b",\"id\":");
        bytes.extend_from_slice(&id);
    }
    bytes.push(b'}');
    bytes
}
