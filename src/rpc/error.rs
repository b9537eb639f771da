//! What can go wrong between the agent and the server, each with what to do about it.

use std::io;
use std::time::Duration;

use crate::decision::Epoch;
use crate::escape;
use crate::redact::redact;

/// The longest text of a server that an error repeats, in display columns.
const WORDS_COLUMNS_MAX: usize = 512;

/// The beginning of a reply that an error shows, in display columns.
const EXCERPT_COLUMNS_MAX: usize = 80;

/// So much of a reply is looked at for an excerpt, in bytes: more than is shown, so that credentials are recognised.
const EXCERPT_BYTES_MAX: usize = 4_096;

/// Why a request has no reply that can be used.
///
/// Texts that the server sent are without credentials, escaped for a terminal and bounded.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The host refused the connection.
    #[error("nothing listens at `{addr}`; start ElectrumX, or correct the address of its LocalRPC")]
    Refused {
        /// Host and port.
        addr: String,
    },
    /// Neither accepted nor refused in time.
    #[error(
        "no connection to `{addr}` within {after:?}; check the host, the port and any firewall between"
    )]
    ConnectTimedOut {
        /// Host and port.
        addr: String,
        /// The deadline.
        after: Duration,
    },
    /// The address is malformed or unknown, or the network says no.
    #[error(
        "cannot connect to `{addr}`: {source}; the address is HOST:PORT, such as `127.0.0.1:8000`"
    )]
    Unreachable {
        /// Host and port.
        addr: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is no connection to send the request over.
    #[error("`{method}` was not sent, for there is no connection; connect first")]
    NotConnected {
        /// The request's method.
        method: &'static str,
    },
    /// The parameters cannot be written as JSON.
    #[error("`{method}` was not sent, for its parameters are not JSON: {reason}")]
    Params {
        /// The request's method.
        method: &'static str,
        /// What serde says.
        reason: String,
    },
    /// The deadline passed before the reply's end.
    #[error(
        "no complete reply to `{method}` within {after:?} ({bytes} bytes came); the server is overloaded or throttles this \
         connection, or the deadline is too short"
    )]
    ReplyTimedOut {
        /// The request's method.
        method: &'static str,
        /// The deadline.
        after: Duration,
        /// How much of the reply had come.
        bytes: usize,
    },
    /// The connection ended where a reply should begin.
    #[error(
        "the server closed the connection before it replied to `{method}`; it restarted, cut an idle connection, or one of \
         its limits was met"
    )]
    ClosedBeforeReply {
        /// The request's method.
        method: &'static str,
    },
    /// The connection ended within a reply.
    #[error(
        "the server closed the connection {bytes} bytes into its reply to `{method}`; it stopped or crashed"
    )]
    ClosedMidReply {
        /// The request's method.
        method: &'static str,
        /// How much of the reply had come.
        bytes: usize,
    },
    /// The connection broke in another way.
    #[error("the connection broke during `{method}`: {source}; see the server's log")]
    Broken {
        /// The request's method.
        method: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The reply is longer than the limit.
    #[error(
        "the reply to `{method}` is longer than the limit of {bytes_max} bytes; raise the limit if the server is to be trusted"
    )]
    TooLarge {
        /// The request's method.
        method: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// An HTTP server answered.
    #[error("that is a web server (`{excerpt}`); ElectrumX's LocalRPC is usually port 8000")]
    WebServer {
        /// The reply's beginning.
        excerpt: String,
    },
    /// The reply is no JSON, or not all of it.
    #[error(
        "the reply to `{method}` is not JSON ({reason}): `{excerpt}`; is that ElectrumX's LocalRPC?"
    )]
    NotJson {
        /// The request's method.
        method: &'static str,
        /// What the parser says.
        reason: String,
        /// The reply's beginning.
        excerpt: String,
    },
    /// The reply is JSON, but no JSON-RPC.
    #[error(
        "the reply to `{method}` is not a JSON-RPC reply ({reason}): `{excerpt}`; is that ElectrumX's LocalRPC?"
    )]
    NotRpc {
        /// The request's method.
        method: &'static str,
        /// What is missing or odd.
        reason: String,
        /// The reply's beginning.
        excerpt: String,
    },
    /// The reply belongs to no request of this client, or to none that is open.
    #[error(
        "the reply to `{method}` bears the id {received} where {sent} was sent; requests and replies are out of step"
    )]
    WrongId {
        /// The request's method.
        method: &'static str,
        /// The request's id.
        sent: u64,
        /// The reply's id.
        received: String,
    },
    /// A good reply whose result the caller cannot read.
    #[error("the result of `{method}` cannot be read: {reason}")]
    Content {
        /// The request's method.
        method: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The server refused the request.
    #[error("the server answered `{method}` with error {code}: {message}{}", remedy(method, *code))]
    Server {
        /// The request's method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The server's words.
        message: String,
    },
    /// The evidence was read over another connection.
    #[error("`{method}` was not sent, for its evidence is of connection {evidence} and {}; poll again", now(*current))]
    StaleEpoch {
        /// The request's method.
        method: &'static str,
        /// The connection that read the evidence.
        evidence: Epoch,
        /// The connection there is.
        current: Option<Epoch>,
    },
}

impl RpcError {
    /// Whether there is no connection any more, so that its epoch is over. A caller must connect before it goes on.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Params { .. } | Self::Content { .. } | Self::Server { .. } => false,
            Self::StaleEpoch { current, .. } => current.is_none(),
            _ => true,
        }
    }

    /// Whether the request may have been carried out, though no reply says so. False if it was certainly not sent, or
    /// if the server refused it.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::ReplyTimedOut { .. }
            | Self::ClosedBeforeReply { .. }
            | Self::ClosedMidReply { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::WebServer { .. }
            | Self::NotJson { .. }
            | Self::NotRpc { .. }
            | Self::WrongId { .. }
            | Self::Content { .. } => true,
            Self::Refused { .. }
            | Self::ConnectTimedOut { .. }
            | Self::Unreachable { .. }
            | Self::NotConnected { .. }
            | Self::Params { .. }
            | Self::Server { .. }
            | Self::StaleEpoch { .. } => false,
        }
    }

    /// For a reply that is no JSON from beginning to end.
    pub(super) fn not_json(method: &'static str, reason: &str, reply: &[u8]) -> Self {
        if reply.starts_with(b"HTTP/1.") {
            let status = reply.split(|&byte| byte == b'\n').next().unwrap_or(reply);
            return Self::WebServer {
                excerpt: excerpt(status),
            };
        }
        Self::NotJson {
            method,
            reason: words(reason),
            excerpt: excerpt(reply),
        }
    }

    /// For a reply that is JSON and nothing more.
    pub(super) fn not_rpc(method: &'static str, reason: &str, reply: &[u8]) -> Self {
        Self::NotRpc {
            method,
            reason: words(reason),
            excerpt: excerpt(reply),
        }
    }
}

fn now(current: Option<Epoch>) -> String {
    current.map_or_else(
        || "there is none now".to_owned(),
        |epoch| format!("this is {epoch}"),
    )
}

/// What to do about an error of the server, if that is plain.
fn remedy(method: &str, code: i64) -> &'static str {
    const METHOD_NOT_FOUND: i64 = -32_601;
    // Every release's LocalRPC knows it, and no Electrum client asks it.
    if (method, code) == ("getinfo", METHOD_NOT_FOUND) {
        "; that is perhaps the port for clients; the LocalRPC's is usually 8000"
    } else {
        ""
    }
}

/// A text that came from the server, fit to be shown.
pub(super) fn words(text: &str) -> String {
    // Credentials first: a cut might leave a password without the `@` that gives it away.
    escape::terminal(&redact(text), WORDS_COLUMNS_MAX).into_owned()
}

/// The beginning of a reply, fit to be shown.
fn excerpt(line: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(&line[..line.len().min(EXCERPT_BYTES_MAX)]);
    escape::terminal(&redact(beginning.trim()), EXCERPT_COLUMNS_MAX).into_owned()
}
