//! The history as it should be, slowly: every poll and everything that happened is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::field::Scope;
use crate::history::private::SubnetWidths;
use crate::scene::Row;

/// What one session did between two polls.
#[derive(Clone, Debug)]
struct Deed {
    at_ms: i64,
    session: usize,
    peer: String,
    client: String,
    sent: u64,
    requests: u64,
    new: u64,
    gone: u64,
}

/// Polls and deeds since the watch began.
#[derive(Debug, Default)]
pub(super) struct Naive {
    pub(super) polls_ms: Vec<i64>,
    /// The rows of the last poll, each with its session's number.
    before: Vec<(usize, Row)>,
    deeds: Vec<Deed>,
    sessions: usize,
    /// Who left and was not inherited from yet, by address and name.
    left: Vec<(Heritage, usize)>,
    /// By session, whose deeds it inherited.
    ancestors: BTreeMap<usize, Vec<usize>>,
    /// Where several left at once, either may be inherited from.
    ambiguous: BTreeSet<Heritage>,
    /// Who inherited so.
    uncertain: BTreeSet<usize>,
}

type Heritage = (String, String);

/// Of a peer that stands for one customer.
fn heritage(row: &Row) -> Option<Heritage> {
    let address = row.peer.parse::<std::net::SocketAddr>().ok()?.ip();
    let is_private = crate::history::is_private(address);
    let net = SubnetWidths::ADDRESS.network(address).to_string();
    (!is_private).then(|| (net, row.client.clone()))
}

/// A field that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sum {
    Sent,
    Requests,
    New,
    Gone,
}

impl Naive {
    /// Another connection to the same server makes no difference, if ages are known.
    pub(super) fn see(&mut self, now_ms: i64, rows: &[Row], is_other_connection: bool) {
        let last_ms = self.polls_ms.last().copied();
        let before = std::mem::take(&mut self.before);
        let (mut here, mut fresh) = (Vec::new(), Vec::new());
        for row in rows {
            let known = before
                .iter()
                .find(|(_, old)| goes_on(old, row, is_other_connection));
            let session = known.map_or(self.sessions, |(session, _)| *session);
            self.sessions += usize::from(known.is_none());
            let is_fresh = !row.is_age_unknown
                && last_ms.is_some_and(|last_ms| row.since_ms >= last_ms - 30_000);
            let did = match known {
                Some((_, old)) => [row.sent - old.sent, row.requests - old.requests, 0, 0],
                None if is_fresh => [row.sent, row.requests, 1, 0],
                None => [0; 4],
            };
            if known.is_none() && is_fresh {
                fresh.push((session, row.clone()));
            }
            here.push(session);
            self.before.push((session, row.clone()));
            self.deed(now_ms, session, row, did);
        }
        for (session, old) in before.iter().filter(|(session, _)| !here.contains(session)) {
            self.deed(now_ms, *session, old, [0, 0, 0, 1]);
            if let Some(heritage) = heritage(old) {
                if self.left.iter().any(|(other, _)| *other == heritage) {
                    self.ambiguous.insert(heritage.clone());
                }
                self.left.push((heritage, *session));
            }
        }
        for (heir, row) in &fresh {
            let Some(heritage) = heritage(row) else {
                continue;
            };
            if let Some(from) = self.left.iter().rposition(|(other, _)| *other == heritage) {
                let (_, ancestor) = self.left.remove(from);
                if self.ambiguous.contains(&heritage) || self.uncertain.contains(&ancestor) {
                    self.uncertain.insert(*heir);
                }
                let mut ancestors = self.ancestors.get(&ancestor).cloned().unwrap_or_default();
                ancestors.push(ancestor);
                self.ancestors.insert(*heir, ancestors);
            }
        }
        self.polls_ms.push(now_ms);
    }

    /// Whether it is certain what a session of the last poll inherited.
    pub(super) fn is_certain(&self, target: &str) -> bool {
        let mut rows = self.before.iter();
        let found = rows.find(|(_, row)| name(row) == target);
        found.is_none_or(|(session, _)| !self.uncertain.contains(session))
    }

    fn deed(&mut self, at_ms: i64, session: usize, row: &Row, did: [u64; 4]) {
        let [sent, requests, new, gone] = did;
        self.deeds.push(Deed {
            at_ms,
            session,
            peer: row.peer.clone(),
            client: row.client.clone(),
            sent,
            requests,
            new,
            gone,
        });
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// By target, the sum over what happened after `start_ms`. Sessions: only those here now, with
    /// what those did that they inherited from, as far as their own pace bears it out.
    pub(super) fn sums(&self, scope: Scope, sum: Sum, start_ms: i64) -> BTreeMap<String, f64> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for deed in self.deeds.iter().filter(|deed| deed.at_ms > start_ms) {
            let amount = match sum {
                Sum::Sent => deed.sent,
                Sum::Requests => deed.requests,
                Sum::New => deed.new,
                Sum::Gone => deed.gone,
            };
            let target = match scope {
                Scope::Server => Some("server".into()),
                Scope::Client => Some(deed.client.clone()),
                Scope::Session => {
                    let mut here = self.before.iter();
                    here.find(|(session, _)| {
                        let ancestors = self.ancestors.get(session);
                        *session == deed.session
                            || ancestors.is_some_and(|them| them.contains(&deed.session))
                    })
                    .map(|(_, row)| name(row))
                }
                scope => network(scope, &deed.peer),
            };
            if let Some(target) = target {
                *sums.entry(target).or_default() += amount as f64;
            }
        }
        let heirs = self.before.iter().filter(|(session, row)| {
            self.ancestors.contains_key(session) && row.since_ms > start_ms
        });
        for (_, row) in heirs.filter(|_| scope == Scope::Session) {
            let most = self.at_its_pace(row, sum, start_ms);
            sums.entry(name(row))
                .and_modify(|known| *known = known.min(most));
        }
        sums
    }

    /// What a session would have done since `start_ms` if it had always done as it does.
    fn at_its_pace(&self, row: &Row, sum: Sum, start_ms: i64) -> f64 {
        let now_ms = self.polls_ms.last().copied().unwrap_or_default();
        let did = match sum {
            Sum::Sent => row.sent,
            Sum::Requests => row.requests,
            Sum::New | Sum::Gone => return f64::INFINITY,
        };
        let age_ms = if row.is_age_unknown {
            1_000
        } else {
            (now_ms - row.since_ms).max(1_000)
        };
        did as f64 * (now_ms - start_ms) as f64 / age_ms as f64
    }

    /// The rows of the last poll.
    pub(super) fn present(&self) -> impl Iterator<Item = &Row> {
        self.before.iter().map(|(_, row)| row)
    }
}

fn name(row: &Row) -> String {
    format!("{} ({})", row.id, row.peer)
}

fn network(scope: Scope, peer: &str) -> Option<String> {
    let address = peer.parse::<std::net::SocketAddr>().ok()?.ip();
    let widths = match scope {
        Scope::Address => SubnetWidths::ADDRESS,
        _ => SubnetWidths::default(),
    };
    let net = widths.network(address);
    let is_whole = scope == Scope::Address && net.prefix_len() == net.max_prefix_len();
    Some(if is_whole {
        net.addr().to_string()
    } else {
        net.to_string()
    })
}

/// Over another connection the age must agree too, so it must be known.
fn goes_on(old: &Row, row: &Row, is_other_connection: bool) -> bool {
    let is_of_age =
        !old.is_age_unknown && !row.is_age_unknown && (old.since_ms - row.since_ms).abs() <= 30_000;
    old.id == row.id
        && old.peer == row.peer
        && old.sent <= row.sent
        && old.requests <= row.requests
        && (is_of_age || !is_other_connection)
}
