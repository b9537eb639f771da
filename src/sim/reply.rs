//! What `sessions` and `groups` answer, in the shape of the release.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::group::GroupKey;
use super::json::{Sum, render};
use super::release::Release;
use super::session::{Session, SessionKey};
use super::world::World;

/// What the members of a group, or all sessions, add up to.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    cost: f64,
    pub(super) pending: u64,
    txs: u64,
    pub(super) subs: u64,
    recv: (u64, u64),
    sent: (u64, u64),
}

impl Sums {
    pub(super) fn add(&mut self, session: &Session, pending: u64) {
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
    pub(super) world: &'a World,
    asker: Option<SessionKey>,
    pub(super) release: Release,
}

impl<'a> Reply<'a> {
    pub(super) fn new(world: &'a World, asker: Option<SessionKey>) -> Self {
        Self {
            world,
            asker,
            release: world.release(),
        }
    }

    pub(super) fn pending(&self, session: &Session) -> u64 {
        let own = Some(session.key) == self.asker && self.release.counts_own_request();
        session.pending + u64::from(own)
    }

    pub(super) fn age(&self, session: &Session) -> Duration {
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
}

fn value(sum: impl Serialize) -> Value {
    serde_json::to_value(sum).unwrap_or_default()
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
