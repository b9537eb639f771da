//! One connection to the simulated server, and the table of all of them.
//!
//! The table gives IDs and groups and keeps the server-wide sums. Who connects and why is the
//! business of `actor`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use super::actor::ActorId;
use super::cost::{self, Cost};
use super::group::{GroupKey, Groups};
use super::listeners::Listeners;
use super::release::Release;

/// A closing session stays listed this long, flagged `C`.
const CLOSING: Duration = Duration::from_millis(500);
/// `SESSION_TIMEOUT`: a session that sends nothing for this long is cut off.
const IDLE_MAX: Duration = Duration::from_mins(10);
/// Servers cut the name that a client gives at so many characters.
const CLIENT_CHARS_MAX: usize = 17;

/// Names a session for as long as the simulation runs. Unlike the server's ID it never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(super) u64);

/// How a session reaches the server; the first letter of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Ssl,
    Websocket,
    Rpc,
}

impl Transport {
    fn letter(self) -> char {
        match self {
            Self::Tcp => 'T',
            Self::Ssl => 'S',
            Self::Websocket => 'W',
            Self::Rpc => 'R',
        }
    }
}

/// Methods that clients call. The order is that of their names in `METHODS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `server.version`, which a client calls first.
    Version,
    /// `server.ping`.
    #[default]
    Ping,
    /// `blockchain.scripthash.subscribe`.
    Subscribe,
    /// `blockchain.scripthash.get_history`.
    History,
    /// `blockchain.transaction.get`.
    Transaction,
    /// `blockchain.block.headers`.
    Block,
    /// Anything that the server does not know.
    Invalid,
}

/// The names of client methods as the server counts them.
pub(super) const METHODS: [&str; 7] = [
    "server.version",
    "server.ping",
    "blockchain.scripthash.subscribe",
    "blockchain.scripthash.get_history",
    "blockchain.transaction.get",
    "blockchain.block.headers",
    "invalid method",
];

/// What one client did within some time. Every request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that went well, other than subscriptions.
    pub requests: u64,
    /// What those asked for.
    pub method: Method,
    /// New subscriptions, each a request.
    pub subs: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Transactions sent to the network.
    pub txs: u64,
    /// Bytes of all requests.
    pub recv_bytes: u64,
    /// Bytes of all replies.
    pub sent_bytes: u64,
    /// Requests under way at this moment; not a sum.
    pub pending: u64,
}

/// Who connects, and what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) actor: Option<ActorId>,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) client: String,
    pub(super) protocol: &'static str,
}

/// One connection, with the counters that the server keeps of it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) id: u64,
    pub(super) arrival: Arrival,
    pub(super) started: Duration,
    pub(super) last_recv: Duration,
    pub(super) cost: Cost,
    pub(super) pending: u64,
    pub(super) txs: u64,
    pub(super) subs: u64,
    pub(super) recv_count: u64,
    pub(super) recv_bytes: u64,
    pub(super) sent_count: u64,
    pub(super) sent_bytes: u64,
    pub(super) errors: u64,
    pub(super) requests: [u64; METHODS.len()],
    pub(super) logged: bool,
    /// When a closing session will be gone.
    pub(super) gone_at: Option<Duration>,
    pub(super) groups: [Option<GroupKey>; 2],
}

impl Session {
    pub(super) fn is_rpc(&self) -> bool {
        self.arrival.transport == Transport::Rpc
    }

    pub(super) fn is_closing(&self) -> bool {
        self.gone_at.is_some()
    }

    pub(super) fn flags(&self, release: Release) -> String {
        let mut flags = String::from(self.arrival.transport.letter());
        if self.is_closing() {
            flags.push('C');
        }
        if self.logged {
            flags.push('L');
        }
        let number = if release.has_costs() && self.is_rpc() {
            self.cost.concurrency()
        } else {
            f64::from(release.flag_number(self.is_rpc()))
        };
        let _ = write!(flags, "{number}");
        flags
    }

    /// The client's name as `sessions` shows it.
    pub(super) fn client_short(&self) -> &str {
        let name = &self.arrival.client;
        match name.char_indices().nth(CLIENT_CHARS_MAX) {
            Some((end, _)) => &name[..end],
            None => name,
        }
    }

    pub(super) fn receive(&mut self, count: u64, bytes: u64, now: Duration) {
        if count > 0 {
            self.last_recv = now;
        }
        self.recv_count += count;
        self.recv_bytes += bytes;
        self.cost.add_bytes(bytes, now);
    }

    pub(super) fn send(&mut self, count: u64, bytes: u64, now: Duration) {
        self.sent_count += count;
        self.sent_bytes += bytes;
        self.cost.add_bytes(bytes, now);
    }

    pub(super) fn fail(&mut self, count: u64, now: Duration) {
        self.errors += count;
        self.cost.add(count as f64 * cost::ERROR, now);
    }
}

/// All sessions, in the order in which they connected.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    release: Release,
    list: Vec<Session>,
    next_key: u64,
    next_id: u64,
    next_rpc_id: u64,
    /// When the server was started, by the same clock as everything here.
    pub(super) server_started: Duration,
    pub(super) groups: Groups,
    /// Requests by client method since the server's start, sessions that left included.
    pub(super) requests: [u64; METHODS.len()],
    /// Requests by `LocalRPC` method since the server's start.
    pub(super) rpc_requests: BTreeMap<String, u64>,
    pub(super) txs_sent: u64,
    pub(super) log_new: bool,
    listeners: Listeners,
}

impl Sessions {
    pub(super) fn new(release: Release, server_started: Duration) -> Self {
        Self {
            release,
            list: Vec::new(),
            next_key: 0,
            next_id: 0,
            next_rpc_id: 0,
            server_started,
            groups: Groups::new(release.grouping()),
            requests: [0; METHODS.len()],
            rpc_requests: BTreeMap::new(),
            txs_sent: 0,
            log_new: false,
            listeners: Listeners::default(),
        }
    }

    /// The server has so many slots.
    pub(super) fn limit(&mut self, slots: usize) {
        self.listeners = Listeners::of(slots);
    }

    pub(super) const fn are_limited(&self) -> bool {
        self.listeners.are_limited()
    }

    /// Whether a client can connect now.
    pub(super) fn takes_another(&mut self) -> bool {
        self.listeners.take(self.list.len())
    }

    /// The server starts again: nobody is connected, every counter begins anew. Keys go on.
    pub(super) fn restart(&mut self, now: Duration) {
        *self = Self {
            next_key: self.next_key,
            listeners: self.listeners.reopened(),
            ..Self::new(self.release, now)
        };
    }

    pub(super) fn release(&self) -> Release {
        self.release
    }

    pub(super) fn as_slice(&self) -> &[Session] {
        &self.list
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Session> {
        self.list.iter_mut()
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.position(key).map(|i| &self.list[i])
    }

    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.position(key).map(|i| &mut self.list[i])
    }

    /// Keys are given in rising order and the list keeps it.
    fn position(&self, key: SessionKey) -> Option<usize> {
        self.list
            .binary_search_by_key(&key, |session| session.key)
            .ok()
    }

    pub(super) fn connect(&mut self, arrival: Arrival, now: Duration) -> SessionKey {
        let is_rpc = arrival.transport == Transport::Rpc;
        let counter = if is_rpc && self.release.counts_rpc_apart() {
            &mut self.next_rpc_id
        } else {
            &mut self.next_id
        };
        let id = *counter;
        *counter += 1;
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        let cost = if is_rpc {
            Cost::of_rpc(now)
        } else {
            Cost::of_client(now)
        };
        let age = now.saturating_sub(self.server_started);
        let groups = self.groups.join(arrival.peer.ip(), age);
        self.list.push(Session {
            key,
            id,
            arrival,
            started: now,
            last_recv: now,
            cost,
            pending: 0,
            txs: 0,
            subs: 0,
            recv_count: 0,
            recv_bytes: 0,
            sent_count: 0,
            sent_bytes: 0,
            errors: 0,
            requests: [0; METHODS.len()],
            logged: self.log_new,
            gone_at: None,
            groups,
        });
        key
    }

    /// IDs skip ahead, as they have on a server where others came and went before.
    pub(super) fn skip_ids(&mut self, count: u64) {
        self.next_id += count;
    }

    /// The server begins to close a session. True if it was not closing before.
    pub(super) fn close(&mut self, key: SessionKey, now: Duration) -> bool {
        match self.get_mut(key) {
            Some(session) if !session.is_closing() => {
                session.gone_at = Some(now + CLOSING);
                true
            }
            _ => false,
        }
    }

    /// A client hangs up: gone at once.
    pub(super) fn leave(&mut self, key: SessionKey) {
        if let Some(i) = self.position(key) {
            let session = self.list.remove(i);
            self.groups.part(session.groups, session.cost.value());
        }
    }

    /// Removes what has finished closing.
    pub(super) fn sweep(&mut self, now: Duration) {
        let groups = &mut self.groups;
        self.list.retain(|session| {
            let gone = session.gone_at.is_some_and(|at| at <= now);
            if gone {
                groups.part(session.groups, session.cost.value());
            }
            !gone
        });
    }

    /// Cuts off the idle; the server looks once a minute.
    pub(super) fn cut_idle(&mut self, now: Duration) {
        for session in &mut self.list {
            if !session.is_closing() && session.last_recv + IDLE_MAX < now {
                session.gone_at = Some(now + CLOSING);
            }
        }
    }

    pub(super) fn consolidate(&mut self) {
        self.groups.consolidate(self.list.iter_mut());
    }

    pub(super) fn keys_with_id(&self, id: u64) -> Vec<SessionKey> {
        self.list
            .iter()
            .filter(|session| session.id == id)
            .map(|session| session.key)
            .collect()
    }

    /// The server's five-minute round: refunds to sessions and groups.
    pub(super) fn refund(&mut self, now: Duration) {
        for session in &mut self.list {
            session.cost.round(session.subs, now);
        }
        self.groups.refund();
    }

    /// Adds what a client did since the last look, to its session and to the server's sums.
    pub(super) fn serve(&mut self, key: SessionKey, traffic: &Traffic, now: Duration) {
        let Some(i) = self.position(key) else { return };
        let session = &mut self.list[i];
        let count = traffic.requests + traffic.subs + traffic.errors;
        for (method, count) in [
            (traffic.method, traffic.requests),
            (Method::Subscribe, traffic.subs),
            (Method::Invalid, traffic.errors),
        ] {
            session.requests[method as usize] += count;
            self.requests[method as usize] += count;
        }
        session.receive(count, traffic.recv_bytes, now);
        session.send(count, traffic.sent_bytes, now);
        if traffic.errors > 0 {
            session.fail(traffic.errors, now);
        }
        session.subs += traffic.subs;
        session.txs += traffic.txs;
        self.txs_sent += traffic.txs;
        session.pending = traffic.pending;
    }
}
