//! What `getinfo` and `inspect_session` answer, in the shape of the release.

use std::time::Duration;

use serde_json::Value;

use super::json::{Node, Object, render};
use super::release::Release;
use super::reply::{Reply, Sums};
use super::session::{METHODS, Session};

impl Reply<'_> {
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
