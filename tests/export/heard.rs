//! What the recordings hold, read without Parquet and reckoned without SQL.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use electrumx_warden::act::Carried;
use electrumx_warden::daemon::Round;
use electrumx_warden::export::{Export, Written};
use electrumx_warden::policy::shipped;
use electrumx_warden::recording::{Act, Item, Recording};
use electrumx_warden::replay::Replay;
use electrumx_warden::snapshot::{Server, Transport};
use electrumx_warden::wire::Inspection;

use crate::recorded::{SERVERS, recordings};

/// A poll of a server.
pub(crate) struct Poll {
    pub(crate) server: &'static str,
    pub(crate) at: i64,
    pub(crate) failure: Option<String>,
    pub(crate) told: Server,
    pub(crate) took_ms: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) groups: usize,
    pub(crate) rounds: Vec<Round>,
    pub(crate) inspections: Vec<(u64, Inspection)>,
    pub(crate) acts: Vec<Act>,
    pub(crate) decisions: Vec<Carried>,
}

/// A session at a poll.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) transport: Transport,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) client: String,
    pub(crate) protocol: Option<String>,
    pub(crate) cost: f64,
    pub(crate) subs: u64,
    pub(crate) received: u64,
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) age_ms: i64,
}

/// Tells the sessions of all servers apart.
pub(crate) type Session = (&'static str, u64, Option<SocketAddr>);

/// A client's session over all polls: (time, row).
pub(crate) type Life<'a> = Vec<(i64, &'a Row)>;

/// Writes a recording as tables.
pub(crate) fn export(recording: Recording, replay: Option<Replay>, out: &Path) -> Vec<Written> {
    let mut export = Export::begin(out, replay).unwrap();
    for of_server in recording.by_server() {
        for item in of_server.play() {
            match item.unwrap() {
                Item::Start(start) => export.start(&start).unwrap(),
                Item::Notice(notice) => panic!("{notice}"),
                Item::Tick(tick) => export.take(&tick).unwrap(),
            }
        }
    }
    export.finish().unwrap()
}

/// All polls of both servers, in their order.
pub(crate) fn polls() -> Vec<Poll> {
    let mut polls = Vec::new();
    for (server, path) in SERVERS.into_iter().zip(recordings()) {
        let mut replay = Replay::new(shipped().set.unwrap(), None);
        for item in Recording::open(&[path]).unwrap().play() {
            match item.unwrap() {
                Item::Start(start) => replay.start(&start),
                Item::Notice(notice) => panic!("{notice}"),
                Item::Tick(tick) => {
                    let decisions = replay.turn(&tick).carried;
                    polls.push(Poll::new(server, *tick, decisions));
                }
            }
        }
    }
    polls
}

impl Poll {
    fn new(
        server: &'static str,
        tick: electrumx_warden::recording::Tick,
        decisions: Vec<Carried>,
    ) -> Self {
        let heard = tick.failure.is_none();
        let sessions = &tick.snapshot.sessions;
        let count = if heard { sessions.len() } else { 0 };
        let row = |row: usize| Row {
            id: sessions.id[row],
            transport: sessions.flags[row].transport,
            peer: sessions.peer[row].0,
            client: sessions.names.get(sessions.client[row]).to_owned(),
            protocol: Some(sessions.names.get(sessions.protocol[row]).to_owned())
                .filter(|text| !text.is_empty()),
            cost: sessions.cost[row],
            subs: sessions.subs[row],
            received: sessions.recv_size[row],
            requests: sessions.recv_count[row],
            sent: sessions.sent_size[row],
            #[expect(clippy::cast_possible_truncation, reason = "hours")]
            age_ms: (sessions.age_s[row] * 1_000.0).round() as i64,
        };
        Self {
            server,
            at: tick.at.as_millis(),
            failure: tick.failure,
            took_ms: i64::try_from(tick.snapshot.sessions_read.took().as_millis()).unwrap(),
            rows: (0..count).map(row).collect(),
            groups: if heard { tick.snapshot.groups.len() } else { 0 },
            rounds: tick.snapshot.rounds,
            told: tick.snapshot.server,
            inspections: tick.inspections,
            acts: tick.acts,
            decisions,
        }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &Row> {
        let rows = self.rows.iter();
        rows.filter(|row| row.transport != Transport::Rpc)
    }

    pub(crate) fn client(&self, id: u64) -> &Row {
        self.clients().find(|row| row.id == id).unwrap()
    }
}

impl Row {
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    pub(crate) const fn transport(&self) -> &'static str {
        match self.transport {
            Transport::Tcp => "tcp",
            Transport::Ssl => "ssl",
            Transport::Websocket => "websocket",
            Transport::Rpc => "rpc",
            Transport::Canary => "canary",
            Transport::Other => "other",
        }
    }
}

/// All sessions of clients.
pub(crate) fn lives(polls: &[Poll]) -> BTreeMap<Session, Life<'_>> {
    let mut lives: BTreeMap<Session, Life<'_>> = BTreeMap::new();
    for poll in polls {
        for row in poll.clients() {
            let session = (poll.server, row.id, row.peer);
            lives.entry(session).or_default().push((poll.at, row));
        }
    }
    lives
}

/// What grew by how much between the first poll and the last that saw a session.
pub(crate) fn grown(life: &Life<'_>, counter: impl Fn(&Row) -> u64) -> u64 {
    let values = || life.iter().map(|(_, row)| counter(row));
    values().max().unwrap() - values().min().unwrap()
}
