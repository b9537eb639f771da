//! What the server said at one time, by columns: one vector per field.
//!
//! A snapshot's vectors are cleared and filled again at each poll, so that a poll in steady state
//! allocates nothing per session. It judges nothing, and remembers nothing of earlier polls.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::daemon::Round;
use crate::decision::{Epoch, Peer};
use crate::names::{NameId, Names};
use crate::policy::Capabilities;
use crate::room::make_room;
use crate::time::Timestamp;
use crate::visit::Visits;

/// One poll.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The connection that read it.
    pub epoch: Epoch,
    /// What `getinfo` said.
    pub server: Server,
    /// When `getinfo` was asked and answered.
    pub server_read: Span,
    /// What `sessions` said.
    pub sessions: Sessions,
    /// When `sessions` was asked and answered; the answer's time is the snapshot's.
    pub sessions_read: Span,
    /// What `groups` said, if it was asked.
    pub groups: Groups,
    /// What was heard of the daemons since the snapshot before, in the order of time.
    pub rounds: Vec<Round>,
    /// What the canary's visits felt since then.
    pub visits: Visits,
}

impl Snapshot {
    /// Of a poll that failed at `at`: all that is known is when that was, and of which connection.
    pub fn missed(at: Timestamp, epoch: Epoch) -> Self {
        let span = Span {
            asked: at,
            answered: at,
        };
        Self {
            epoch,
            server_read: span,
            sessions_read: span,
            ..Self::default()
        }
    }

    /// The time that the snapshot stands for.
    pub const fn at(&self) -> Timestamp {
        self.sessions_read.answered
    }
}

impl Snapshot {
    /// Marks the canary's own sessions by their sockets: whoever gives its name or shares its address
    /// stays a client.
    pub fn mark_own(&mut self) {
        if self.visits.sockets.is_empty() {
            return;
        }
        let Sessions { flags, peer, .. } = &mut self.sessions;
        for (flags, peer) in flags.iter_mut().zip(peer) {
            if !flags.is_rpc() && self.visits.is_own(*peer) {
                flags.transport = Transport::Canary;
            }
        }
    }

    /// What this server's release tells, as its own RPC connection's row and its version show.
    pub fn capabilities(&self) -> Capabilities {
        let generation = self.sessions.generation;
        let major = self.server.version.as_deref().and_then(major);
        Capabilities {
            protocol: generation.is_none_or(|generation| generation != Generation::Plain),
            cost: generation.is_none_or(|generation| generation == Generation::Cost),
            inspection: major.is_none_or(|major| major >= 2),
        }
    }
}

/// 2 of `ElectrumX 2.0.0`.
fn major(version: &str) -> Option<u32> {
    version.rsplit(' ').next()?.split('.').next()?.parse().ok()
}

/// When a request was sent and when its reply had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Before the request.
    pub asked: Timestamp,
    /// After the reply.
    pub answered: Timestamp,
}

impl Span {
    /// How long the answer took.
    pub fn took(self) -> Duration {
        self.answered.since(self.asked)
    }
}

/// The server as `getinfo` has it. What a release does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// As in `ElectrumX 1.20.0`.
    pub version: Option<String>,
    /// The server's class of the coin, as in `Bitcoin`.
    pub coin: Option<String>,
    /// Host and port of the daemon in use.
    pub daemon: Option<String>,
    /// Unknown until the server first reached its daemon.
    pub daemon_height: Option<u64>,
    /// The index's height.
    pub db_height: Option<u64>,
    /// Sessions connected, RPC connections included.
    pub sessions: u64,
    /// Errors of the sessions connected.
    pub errors: u64,
    /// Sessions that are logged.
    pub logged: u64,
    /// Requests not yet answered.
    pub pending_requests: u64,
    /// Subscriptions of all kinds.
    pub subs: u64,
    /// Transactions broadcast since the server started.
    pub txs_sent: u64,
    /// Requests since it started, of sessions that have gone and over RPC too.
    pub request_total: Option<u64>,
    /// The same by method.
    pub request_counts: Option<BTreeMap<Box<str>, u64>>,
    /// Groups that the server has.
    pub groups: u64,
    /// The server's process.
    pub pid: Option<u64>,
    /// How long it has run, rounded down.
    pub uptime: Option<Uptime>,
}

/// An uptime as printed: `21s`, `01h 39m 04s`, `5d 03h 12m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// At least so long.
    pub at_least: Duration,
    /// And less than this longer: a second, or from a day on a minute.
    pub resolution: Duration,
}

/// Which columns a release's `sessions` rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 12 columns, 0.8.8 to 1.0.
    Plain,
    /// 13 columns, 1.1 to 1.10.0: the protocol version too.
    Protocol,
    /// 15 columns, from 1.10.1 on: cost and extra cost too.
    Cost,
}

/// The first letter of a session's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `T`
    Tcp,
    /// `S`
    Ssl,
    /// `W`
    Websocket,
    /// `R`: an RPC connection, never a client.
    Rpc,
    /// The agent's own [visit](crate::visit), whatever its letter was: never a client.
    Canary,
    /// A letter that no known release has.
    Other,
}

/// A session's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// How it is connected.
    pub transport: Transport,
    /// `C`: it is being closed.
    pub closing: bool,
    /// `L`: the server logs it.
    pub logged: bool,
}

impl Flags {
    /// Whether it is an RPC connection.
    pub const fn is_rpc(self) -> bool {
        matches!(self.transport, Transport::Rpc)
    }

    /// Whether it is a client's: neither an RPC connection nor the agent's own visit.
    pub const fn is_client(self) -> bool {
        !matches!(self.transport, Transport::Rpc | Transport::Canary)
    }
}

/// The rows of `sessions`, RPC connections included, in the server's order.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Of the last row; `None` if there was none.
    pub generation: Option<Generation>,
    /// The server's IDs; unique among clients, not between clients and RPC connections.
    pub id: Vec<u64>,
    /// Flags.
    pub flags: Vec<Flags>,
    /// Peers.
    pub peer: Vec<Peer>,
    /// Client names, in `names`.
    pub client: Vec<NameId>,
    /// Protocol versions, in `names`; the empty text where the release does not tell.
    pub protocol: Vec<NameId>,
    /// Cost; 0 where the release does not tell. A client can make its own absurdly large, and that
    /// of others NaN.
    pub cost: Vec<f64>,
    /// Extra cost; 0 where the release does not tell. Others can make it absurdly large or NaN.
    pub extra_cost: Vec<f64>,
    /// Requests not yet answered.
    pub pending_requests: Vec<u64>,
    /// Transactions broadcast.
    pub txs_sent: Vec<u64>,
    /// Subscriptions.
    pub subs: Vec<u64>,
    /// Messages received.
    pub recv_count: Vec<u64>,
    /// Bytes received.
    pub recv_size: Vec<u64>,
    /// Messages sent.
    pub sent_count: Vec<u64>,
    /// Bytes sent.
    pub sent_size: Vec<u64>,
    /// Seconds since it connected; NaN where the server's clock was set back behind the start.
    pub age_s: Vec<f64>,
    /// The texts of `client` and `protocol`.
    pub names: Names,
}

impl Sessions {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// Makes room for so many rows in one go, and a few more: growing to them step by step leaves the
    /// smaller columns behind as holes in the heap.
    pub(crate) fn make_room(&mut self, rows: usize) {
        make_room(&mut self.id, rows);
        make_room(&mut self.flags, rows);
        make_room(&mut self.peer, rows);
        make_room(&mut self.client, rows);
        make_room(&mut self.protocol, rows);
        for column in [&mut self.cost, &mut self.extra_cost, &mut self.age_s] {
            make_room(column, rows);
        }
        for column in self.counters_mut() {
            make_room(column, rows);
        }
    }

    fn counters_mut(&mut self) -> [&mut Vec<u64>; 7] {
        [
            &mut self.pending_requests,
            &mut self.txs_sent,
            &mut self.subs,
            &mut self.recv_count,
            &mut self.recv_size,
            &mut self.sent_count,
            &mut self.sent_size,
        ]
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        self.generation = None;
        self.id.clear();
        self.flags.clear();
        self.peer.clear();
        self.client.clear();
        self.protocol.clear();
        for column in [&mut self.cost, &mut self.extra_cost, &mut self.age_s] {
            column.clear();
        }
        for column in self.counters_mut() {
            column.clear();
        }
        self.names.clear();
    }
}

/// The rows of `groups`, in the server's order.
#[derive(Debug, Default)]
pub struct Groups {
    /// The server's names, in `names`: a number, `t3`, `127.0.0`, `2001:0db8:0000`,
    /// `198.51.100.0/24` or `unknown_addr`.
    pub name: Vec<NameId>,
    /// Present members, RPC connections included.
    pub sessions: Vec<u64>,
    /// The members' cost; 0 where the release does not tell.
    pub cost: Vec<f64>,
    /// The cost that members left behind; 0 where the release does not tell.
    pub retained_cost: Vec<f64>,
    /// The texts of `name`.
    pub names: Names,
}

impl Groups {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        self.name.clear();
        self.sessions.clear();
        self.cost.clear();
        self.retained_cost.clear();
        self.names.clear();
    }
}
