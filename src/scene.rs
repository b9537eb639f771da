//! A server as tests play it, the users' and our own: clients come and go, every poll is a snapshot.
//!
//! Only what a snapshot shows is here; the simulated server with its protocol is in `sim`.

#[cfg(test)]
pub(crate) mod life;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decision::{Epoch, Peer};
#[cfg(test)]
use crate::policy::{self, PolicySet, Source};
#[cfg(test)]
use crate::snapshot::Transport;
use crate::snapshot::{Flags, Generation, Snapshot, Span, Uptime};
use crate::time::Timestamp;

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) flags: Flags,
    pub(crate) peer: String,
    pub(crate) client: String,
    pub(crate) protocol: String,
    /// When it connected.
    pub(crate) since_ms: i64,
    /// Shown as the age of NaN.
    pub(crate) is_age_unknown: bool,
    pub(crate) requests: u64,
    pub(crate) recv: u64,
    pub(crate) sent: u64,
    pub(crate) txs: u64,
    pub(crate) subs: u64,
    pub(crate) pending: u64,
    pub(crate) cost: f64,
    pub(crate) extra_cost: f64,
}

/// What the server says of itself and its daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Info {
    pub(crate) version: Option<String>,
    pub(crate) coin: Option<String>,
    pub(crate) daemon: Option<String>,
    pub(crate) daemon_height: Option<u64>,
    pub(crate) db_height: Option<u64>,
    pub(crate) has_uptime: bool,
    /// Requests since it started, by method.
    pub(crate) requests: Option<BTreeMap<Box<str>, u64>>,
}

/// The server.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) now_ms: i64,
    pub(crate) epoch: Epoch,
    pub(crate) pid: Option<u64>,
    pub(crate) started_ms: i64,
    pub(crate) generation: Generation,
    pub(crate) errors: u64,
    /// What `getinfo` says beside what follows from the sessions.
    pub(crate) info: Info,
    /// How long the server takes to answer.
    pub(crate) latency: Duration,
    pub(crate) rows: Vec<Row>,
    /// Names with the sessions that the server counts.
    pub(crate) groups: Vec<(String, u64)>,
    next_id: u64,
}

impl Scene {
    /// A server that has run for a day, without a session, at the time of 1,000,000 s.
    pub(crate) fn new() -> Self {
        let now_ms = 1_000_000_000;
        Self {
            now_ms,
            epoch: Epoch(1),
            pid: Some(7),
            started_ms: now_ms - 86_400_000,
            generation: Generation::Cost,
            errors: 0,
            info: Info {
                daemon_height: Some(800_000),
                db_height: Some(800_000),
                has_uptime: true,
                ..Info::default()
            },
            latency: Duration::ZERO,
            rows: Vec::new(),
            groups: Vec::new(),
            next_id: 0,
        }
    }

    /// An ID for who connects now.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The server is started again: everybody is gone, IDs begin anew.
    pub(crate) fn restart(&mut self) {
        self.rows.clear();
        self.next_id = 0;
        self.started_ms = self.now_ms;
        self.pid = self.pid.map(|pid| pid + 1);
        self.epoch.0 += 1;
        self.errors = 0;
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    pub(crate) fn poll(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            epoch: self.epoch,
            ..Snapshot::default()
        };
        let span = Span {
            asked: self.at() - self.latency,
            answered: self.at(),
        };
        (snapshot.server_read, snapshot.sessions_read) = (span, span);
        let server = &mut snapshot.server;
        server.pid = self.pid;
        server.sessions = self.rows.len() as u64;
        server.errors = self.errors;
        let sum = |of: fn(&Row) -> u64| self.rows.iter().map(of).fold(0, u64::saturating_add);
        server.pending_requests = sum(|row| row.pending);
        server.subs = sum(|row| row.subs);
        server.txs_sent = sum(|row| row.txs);
        server.logged = sum(|row| u64::from(row.flags.logged));
        server.groups = self.groups.len() as u64;
        server.version.clone_from(&self.info.version);
        server.coin.clone_from(&self.info.coin);
        server.daemon.clone_from(&self.info.daemon);
        server.daemon_height = self.info.daemon_height;
        server.db_height = self.info.db_height;
        server.request_counts.clone_from(&self.info.requests);
        let requests = self.info.requests.as_ref();
        server.request_total = requests.map(|requests| requests.values().sum());
        server.uptime = self.info.has_uptime.then(|| Uptime {
            at_least: Duration::from_secs(
                ((self.now_ms - self.started_ms) / 1_000).cast_unsigned(),
            ),
            resolution: Duration::from_secs(1),
        });
        let sessions = &mut snapshot.sessions;
        sessions.generation = Some(self.generation);
        for row in &self.rows {
            sessions.id.push(row.id);
            sessions.flags.push(row.flags);
            sessions.peer.push(Peer(row.peer.parse().ok()));
            sessions.client.push(sessions.names.intern(&row.client));
            sessions.protocol.push(sessions.names.intern(&row.protocol));
            sessions.cost.push(row.cost);
            sessions.extra_cost.push(row.extra_cost);
            sessions.pending_requests.push(row.pending);
            sessions.txs_sent.push(row.txs);
            sessions.subs.push(row.subs);
            sessions.recv_count.push(row.requests);
            sessions.recv_size.push(row.recv);
            sessions.sent_count.push(row.requests);
            sessions.sent_size.push(row.sent);
            let age_s = (self.now_ms - row.since_ms) as f64 / 1_000.0;
            let is_known = !row.is_age_unknown;
            sessions.age_s.push(if is_known { age_s } else { f64::NAN });
        }
        for (name, count) in &self.groups {
            let groups = &mut snapshot.groups;
            groups.name.push(groups.names.intern(name));
            groups.sessions.push(*count);
            groups.cost.push(0.0);
            groups.retained_cost.push(0.0);
        }
        snapshot
    }
}

#[cfg(test)]
impl Scene {
    /// A client connects; gives its ID.
    pub(crate) fn connect(&mut self, peer: &str, client: &str) -> u64 {
        let id = self.next_id();
        self.rows.push(Row {
            id,
            flags: Flags {
                transport: Transport::Tcp,
                closing: false,
                logged: false,
            },
            peer: peer.into(),
            client: client.into(),
            protocol: "1.4".into(),
            since_ms: self.now_ms,
            is_age_unknown: false,
            requests: 0,
            recv: 0,
            sent: 0,
            txs: 0,
            subs: 0,
            pending: 0,
            cost: 0.0,
            extra_cost: 0.0,
        });
        id
    }

    /// The session with this ID that connected last.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn of(&mut self, id: u64) -> &mut Row {
        let mut rows = self.rows.iter_mut();
        rows.rfind(|row| row.id == id).expect("it is connected")
    }

    /// Of the daemon and of the index.
    pub(crate) fn set_height(&mut self, height: Option<u64>) {
        (self.info.daemon_height, self.info.db_height) = (height, height);
    }

    pub(crate) fn leave(&mut self, id: u64) {
        self.rows.retain(|row| row.id != id);
    }

    pub(crate) fn wait(&mut self, s: f64) {
        self.now_ms += millis(s);
    }
}

#[cfg(test)]
pub(crate) fn millis(s: f64) -> i64 {
    i64::try_from(Duration::from_secs_f64(s).as_millis()).unwrap()
}

/// Policies from TOML, with list files that are empty.
#[cfg(test)]
pub(crate) fn policies(text: &str) -> PolicySet {
    let source = Source {
        name: "scene.toml".into(),
        text: text.into(),
    };
    let checked = policy::check(vec![source], &mut |_| Ok(String::new()));
    match checked.set {
        Some(set) => set,
        None => panic!("{:#?}\n{text}", checked.diagnostics),
    }
}
