//! What `sessions`, `groups`, `getinfo` and `inspect_session` answer, in the shape of the release.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::group::GroupKey;
use super::json::{Node, Object, Sum, render};
use super::release::Release;
use super::session::{METHODS, Session, SessionKey};
use super::world::World;

/// What the members of a group, or all sessions, add up to.
#[derive(Clone, Copy, Default)]
struct Sums {
    cost: f64,
    pending: u64,
    txs: u64,
    subs: u64,
    recv: (u64, u64),
    sent: (u64, u64),
}

impl Sums {
    fn add(&mut self, session: &Session, pending: u64) {
        self.cost += session.cost.value();
        self.pending += pending;
        self.txs += session.txs;
        self.subs += session.subs;
        self.recv = (
            self.recv.0 + session.recv_count,
            self.recv.1 + session.recv_bytes,
        );
        self.sent = (
            self.sent.0 + session.sent_count,
            self.sent.1 + session.sent_bytes,
        );
    }
}

/// A view of the world for whoever asks; the asker's own request counts as pending.
pub(super) struct Reply<'a> {
    world: &'a World,
    asker: Option<SessionKey>,
    release: Release,
}

impl<'a> Reply<'a> {
    pub(super) fn new(world: &'a World, asker: Option<SessionKey>) -> Self {
        Self {
            world,
            asker,
            release: world.release(),
        }
    }

    fn pending(&self, session: &Session) -> u64 {
        let own = Some(session.key) == self.asker && self.release.counts_own_request();
        session.pending + u64::from(own)
    }

    fn age(&self, session: &Session) -> Duration {
        self.world.clock().saturating_sub(session.started)
    }

    fn group_sums(&self) -> HashMap<GroupKey, Sums> {
        let mut sums: HashMap<GroupKey, Sums> = HashMap::new();
        for session in self.world.sessions().as_slice() {
            for key in session.groups.into_iter().flatten() {
                sums.entry(key)
                    .or_default()
                    .add(session, self.pending(session));
            }
        }
        sums
    }

    pub(super) fn sessions(&self) -> Vec<u8> {
        let sums = if self.release.has_costs() {
            self.group_sums()
        } else {
            HashMap::new()
        };
        let sessions = self.world.sessions().as_slice();
        let rows: Vec<Row<'_>> = sessions.iter().map(|s| self.row(s, &sums)).collect();
        render(&rows)
    }

    fn row<'s>(&self, session: &'s Session, sums: &HashMap<GroupKey, Sums>) -> Row<'s> {
        let extra = if self.release.has_costs() {
            self.extra_cost(session, sums)
        } else {
            None
        };
        Row {
            columns: self.release.columns(),
            session,
            flags: session.flags(self.release),
            extra,
            pending: self.pending(session),
            seconds: self.age(session).as_secs_f64(),
        }
    }

    /// A client bears part of what the others of its groups cost; nothing without a group.
    fn extra_cost(&self, session: &Session, sums: &HashMap<GroupKey, Sums>) -> Option<f64> {
        if session.is_rpc() {
            return Some(0.0);
        }
        let own = session.cost.value();
        let parts = session.groups.into_iter().flatten().filter_map(|key| {
            let group = self.world.sessions().groups.get(key)?;
            let cost = sums.get(&key)?.cost + group.retained;
            Some((cost - own) * group.weight)
        });
        parts.reduce(|a, b| a + b)
    }

    pub(super) fn groups(&self) -> Vec<u8> {
        let sums = self.group_sums();
        let table = &self.world.sessions().groups;
        let rows: Vec<Value> = table
            .iter()
            .map(|(key, group)| {
                let sum = sums.get(&key).copied().unwrap_or_default();
                let mut row = if self.release.has_costs() {
                    vec![
                        group.name.as_str().into(),
                        group.members.into(),
                        value(Sum(sum.cost)),
                        value(Sum(group.retained)),
                    ]
                } else {
                    let id: u64 = group.name.parse().unwrap_or_default();
                    vec![
                        id.into(),
                        group.members.into(),
                        (sum.recv.1 + sum.sent.1).into(),
                    ]
                };
                let (recv, sent) = (sum.recv, sum.sent);
                let rest = [
                    sum.pending,
                    sum.txs,
                    sum.subs,
                    recv.0,
                    recv.1,
                    sent.0,
                    sent.1,
                ];
                row.extend(rest.map(Value::from));
                Value::from(row)
            })
            .collect();
        render(&rows)
    }

    pub(super) fn getinfo(&self) -> Vec<u8> {
        render(&if self.release.is_nested() {
            self.info_nested()
        } else {
            self.info_flat()
        })
    }

    fn info_flat(&self) -> Object {
        let sums = self.all();
        let world = self.world;
        let sessions = world.sessions().as_slice();
        let from_1_0 = self.release >= Release::V1_0_17;
        let mut info: Vec<(&str, Node)> = Vec::new();
        if from_1_0 {
            info.push(("daemon", world.chain().daemon().into()));
        }
        info.push(("daemon_height", world.chain().daemon_height().into()));
        info.push(("db_height", world.chain().index_height().into()));
        if self.release >= Release::V1_6 {
            info.push(("version", self.release.to_string().into()));
        }
        let closing = sessions.iter().filter(|s| s.is_closing()).count();
        info.extend([
            ("closing", closing.into()),
            ("errors", self.errors().into()),
            ("groups", world.sessions().groups.len().into()),
            ("logged", self.logged().into()),
            ("paused", 0.into()),
            ("pid", world.pid().into()),
            (
                "peers",
                if from_1_0 {
                    no_peers().into()
                } else {
                    0.into()
                },
            ),
            ("requests", sums.pending.into()),
            ("sessions", sessions.len().into()),
            ("subs", sums.subs.into()),
            ("txs_sent", world.sessions().txs_sent.into()),
        ]);
        if from_1_0 {
            info.push(("uptime", self.uptime().into()));
        }
        Object(info)
    }

    fn info_nested(&self) -> Object {
        let release = self.release;
        let world = self.world;
        let (counts, total) = self.request_counts();
        let mut info: Vec<(&str, Node)> = Vec::new();
        if release >= Release::V2_0_0 {
            let names = [
                "estimatefee",
                "history",
                "merkle txid",
                "txids",
                "txo status",
            ];
            let empty = "0 lookups, 0 hits, 0 entries, hitrate 0.0000";
            info.push((
                "caches",
                Object(names.map(|n| (n, empty.into())).into()).into(),
            ));
        }
        let coin = if release >= Release::V1_20_0 {
            "Bitcoin"
        } else {
            "BitcoinSegwit"
        };
        info.extend([
            ("coin", coin.into()),
            ("daemon", world.chain().daemon().into()),
            ("daemon height", world.chain().daemon_height().into()),
            ("db height", world.chain().index_height().into()),
        ]);
        if matches!(release, Release::V1_16_0 | Release::V1_20_0) {
            info.push(("db_flush_count", 1.into()));
        }
        info.push(("groups", world.sessions().groups.len().into()));
        let [history, merkle, txids] = cache_names(release);
        let old_cache = match release {
            Release::V2_0_0 => None,
            Release::V1_20_0 => Some("0 lookups, 0 hits, 0 entries"),
            _ => Some("0 lookups 0 hits 0 entries"),
        };
        if let Some(empty) = old_cache {
            info.extend([(history, empty.into()), (merkle, empty.into())]);
        }
        info.extend([
            ("pid", world.pid().into()),
            ("peers", no_peers().into()),
            ("request counts", counts.into()),
            ("request total", total.into()),
            ("sessions", self.info_sessions().into()),
        ]);
        if let Some(empty) = old_cache {
            info.push((txids, empty.into()));
        }
        info.extend([
            ("txs sent", world.sessions().txs_sent.into()),
            ("uptime", self.uptime().into()),
            ("version", release.to_string().into()),
        ]);
        Object(info)
    }

    fn info_sessions(&self) -> Object {
        let sums = self.all();
        let sessions = self.world.sessions().as_slice();
        let with_subs = sessions.iter().filter(|session| session.subs > 0).count();
        let mut info: Vec<(&str, Node)> = vec![("count", sessions.len().into())];
        if self.release >= Release::V2_0_0 {
            info.push(("count with subs_sh", with_subs.into()));
            info.push(("count with subs_txo", 0.into()));
            info.push(("count with subs_any", with_subs.into()));
        } else {
            info.push(("count with subs", with_subs.into()));
        }
        info.extend([
            ("errors", self.errors().into()),
            ("logged", self.logged().into()),
            ("pending requests", sums.pending.into()),
        ]);
        if self.release >= Release::V2_0_0 {
            info.push(("subs_sh", sums.subs.into()));
            info.push(("subs_txo", 0.into()));
        } else {
            info.push(("subs", sums.subs.into()));
        }
        Object(info)
    }

    /// The one place where errors of a single session can be seen.
    pub(super) fn inspect(&self, session: &Session) -> Vec<u8> {
        let (counts, total) = counts_of(METHODS.into_iter().zip(session.requests));
        render(&Object(vec![
            ("client_name", long_name(&session.arrival.client).into()),
            ("request counts", counts.into()),
            ("request total", total.into()),
            ("subs_sh", session.subs.into()),
            ("subs_txo", 0.into()),
            ("errors", session.errors.into()),
            ("is_logged", session.logged.into()),
            ("pending requests", self.pending(session).into()),
            ("txs sent", session.txs.into()),
            ("conn_time", uptime(self.age(session)).into()),
        ]))
    }

    fn all(&self) -> Sums {
        let mut sums = Sums::default();
        for session in self.world.sessions().as_slice() {
            sums.add(session, self.pending(session));
        }
        sums
    }

    fn errors(&self) -> u64 {
        self.world
            .sessions()
            .as_slice()
            .iter()
            .map(|session| session.errors)
            .sum()
    }

    fn logged(&self) -> usize {
        self.world
            .sessions()
            .as_slice()
            .iter()
            .filter(|session| session.logged)
            .count()
    }

    fn uptime(&self) -> String {
        let started = self.world.sessions().server_started;
        uptime(self.world.clock().saturating_sub(started))
    }

    fn request_counts(&self) -> (Value, u64) {
        let sessions = self.world.sessions();
        let by_clients = METHODS.into_iter().zip(sessions.requests);
        let by_rpc = sessions
            .rpc_requests
            .iter()
            .map(|(method, count)| (method.as_str(), *count));
        counts_of(by_clients.chain(by_rpc))
    }
}

/// Counts by method, without zeros, and their sum.
fn counts_of<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> (Value, u64) {
    let mut total = 0;
    let mut map = serde_json::Map::new();
    for (method, count) in counts.filter(|(_, count)| *count > 0) {
        total += count;
        let sum = map.get(method).and_then(Value::as_u64).unwrap_or(0) + count;
        map.insert(method.to_owned(), sum.into());
    }
    (map.into(), total)
}

fn value(sum: impl Serialize) -> Value {
    serde_json::to_value(sum).unwrap_or_default()
}

fn no_peers() -> Object {
    Object(
        ["bad", "good", "never", "stale", "total"]
            .map(|key| (key, 0.into()))
            .into(),
    )
}

fn cache_names(release: Release) -> [&'static str; 3] {
    if release >= Release::V1_20_0 {
        ["history cache", "merkle txid cache", "txids cache"]
    } else {
        ["history cache", "merkle cache", "tx hashes cache"]
    }
}

/// 2.0 keeps a hundred characters of the name beside the short one.
fn long_name(name: &str) -> String {
    name.chars().take(100).collect()
}

/// `5d 03h 12m`, `01h 39m 04s`, `04s`: seconds only while there are no days.
fn uptime(age: Duration) -> String {
    let s = age.as_secs();
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    if days > 0 {
        format!("{days}d {hours:02}h {minutes:02}m")
    } else if hours > 0 {
        format!("{hours:02}h {minutes:02}m {seconds:02}s")
    } else if minutes > 0 {
        format!("{minutes:02}m {seconds:02}s")
    } else {
        format!("{seconds:02}s")
    }
}

/// One row of `sessions`.
struct Row<'a> {
    columns: usize,
    session: &'a Session,
    flags: String,
    /// Nothing is the integer zero, as Python adds up no groups.
    extra: Option<f64>,
    pending: u64,
    seconds: f64,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let s = self.session;
        let mut row = serializer.serialize_seq(Some(self.columns))?;
        row.serialize_element(&s.id)?;
        row.serialize_element(&self.flags)?;
        row.serialize_element(&s.arrival.peer.to_string())?;
        row.serialize_element(s.client_short())?;
        if self.columns >= 13 {
            row.serialize_element(s.arrival.protocol)?;
        }
        if self.columns >= 15 {
            row.serialize_element(&Sum(s.cost.value()))?;
            match self.extra {
                Some(extra) => row.serialize_element(&extra)?,
                None => row.serialize_element(&0)?,
            }
        }
        for count in [
            self.pending,
            s.txs,
            s.subs,
            s.recv_count,
            s.recv_bytes,
            s.sent_count,
            s.sent_bytes,
        ] {
            row.serialize_element(&count)?;
        }
        row.serialize_element(&self.seconds)?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_reads_as_the_server_writes_it() {
        let at = |s| uptime(Duration::from_secs(s));
        assert_eq!(at(4), "04s");
        assert_eq!(at(113), "01m 53s");
        assert_eq!(at(5_944), "01h 39m 04s");
        assert_eq!(at(3_600), "01h 00m 00s");
        assert_eq!(at(5 * 86_400 + 3 * 3_600 + 12 * 60 + 59), "5d 03h 12m");
    }
}
