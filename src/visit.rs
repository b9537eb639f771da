//! What the canary's visits felt: the server as a wallet meets it, as data.
//!
//! Nothing here connects or judges: [`crate::canary`] visits, the history makes fields of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::Peer;
use crate::time::{Timestamp, seconds};

/// All that came of visits between two polls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// In the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Visit>,
    /// The canary's own ends of the connections that it had at any time since the poll before. The
    /// server names each as the peer of a session, unless a proxy stands between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<Peer>,
}

impl Visits {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.sockets.is_empty()
    }

    /// Whether a session of this peer is the canary's own. A name or an address alone is nobody's.
    pub fn is_own(&self, peer: Peer) -> bool {
        peer.0
            .is_some_and(|peer: SocketAddr| self.sockets.contains(&Peer(Some(peer))))
    }
}

/// One visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// When the answers were there, or given up.
    pub at: Timestamp,
    /// What a wallet would have felt, or why it would not have been served.
    pub felt: Result<Felt, Unserved>,
}

/// What a wallet feels that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Felt {
    /// From asking for the tip and a ping to the later of both answers.
    #[serde(rename = "latency_s", with = "seconds")]
    pub latency: Duration,
    /// The tip's height.
    pub height: u64,
    /// When the server's certificate ends; `None` over plain TCP, or if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<Timestamp>,
}

/// Why a wallet would not be served. The texts are this program's or the system's, never the
/// server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unserved", rename_all = "kebab-case")]
pub enum Unserved {
    /// There is no connection: its listeners are closed, as at `MAX_SESSIONS`, or it is down.
    Unreachable {
        /// What the system says.
        detail: String,
    },
    /// There is no secure connection, though something answers.
    Insecure {
        /// What is wrong.
        detail: String,
    },
    /// Not everything was answered within the deadline.
    Slow {
        /// The deadline.
        #[serde(rename = "deadline_s", with = "seconds")]
        deadline: Duration,
    },
    /// The server closed the connection.
    Closed,
    /// What came is no answer of an Electrum server.
    Nonsense {
        /// What is wrong with it.
        detail: String,
    },
    /// The server refused what a wallet asks.
    Refused {
        /// What was asked.
        method: String,
        /// The error's code.
        code: i64,
    },
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "no connection: {detail}"),
            Self::Insecure { detail } => write!(f, "no TLS: {detail}"),
            Self::Slow { deadline } => {
                let deadline = crate::units::format_duration(*deadline);
                write!(f, "no answer within {deadline}")
            }
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Nonsense { detail } => write!(f, "no Electrum server: {detail}"),
            Self::Refused { method, code } => write!(f, "`{method}` was refused: error {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_socket_is_own() {
        let own: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let visits = Visits {
            sockets: vec![Peer(Some(own))],
            ..Visits::default()
        };
        assert!(visits.is_own(Peer(Some(own))));
        for other in ["127.0.0.1:40001", "127.0.0.2:40000", "[::1]:40000"] {
            assert!(
                !visits.is_own(Peer(Some(other.parse().unwrap()))),
                "{other}"
            );
        }
        assert!(!visits.is_own(Peer(None)));
        // A socket that nobody could read is no licence for all unknown peers.
        let unknown = Visits {
            sockets: vec![Peer(None)],
            ..Visits::default()
        };
        assert!(!unknown.is_own(Peer(None)));
    }

    #[test]
    fn a_visit_survives_the_recording() {
        let felts = [
            Ok(Felt {
                latency: Duration::from_millis(12),
                height: 800_000,
                certificate_ends: Some(Timestamp::from_millis(1_000)),
            }),
            Err(Unserved::Slow {
                deadline: Duration::from_secs(10),
            }),
            Err(Unserved::Closed),
            Err(Unserved::Refused {
                method: "server.version".to_owned(),
                code: 1,
            }),
        ];
        for felt in felts {
            let visit = Visit {
                at: Timestamp::from_millis(5),
                felt,
            };
            let text = serde_json::to_string(&visit).unwrap();
            assert_eq!(
                serde_json::from_str::<Visit>(&text).unwrap(),
                visit,
                "{text}"
            );
        }
    }
}
