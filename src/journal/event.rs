//! What happened without a decision.

use ipnet::IpNet;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::query::Clauses;
use super::row::{Json, bounded_name, bounded_text};
use crate::time::Timestamp;

/// More are not kept: the oldest go.
pub const EVENTS_MAX: i64 = 1_000;

/// Something that happened to the server or to what keeps people out, or that a person did, and was no decision
/// of the agent's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// `getinfo` names another daemon than at the poll before.
    DaemonMoved {
        /// The daemon before, as `getinfo` had it: unescaped.
        from: String,
        /// The daemon now.
        to: String,
    },
    /// Bans do not take hold by a sink.
    SinkFailed {
        /// Which.
        sink: String,
        /// Why, and what to do: unescaped.
        why: String,
    },
    /// They do again.
    SinkRecovered {
        /// Which.
        sink: String,
        /// So many networks are kept out.
        held: u64,
    },
    /// What a sink keeps out was not what it should be, and is again.
    SinkRepaired {
        /// Which.
        sink: String,
        /// What was wrong.
        what: String,
    },
    /// A person banned a network.
    BannedByHand {
        /// Which.
        net: IpNet,
        /// Until when.
        until: Timestamp,
        /// So many parts of it are left out.
        holes: usize,
        /// The user's name and number, as the system has them.
        user: String,
        /// Why: unescaped.
        reason: String,
    },
    /// A person let somebody in again.
    LiftedByHand {
        /// A network, `policy NAME`, or `all`.
        what: String,
        /// So many bans ended.
        bans: usize,
        /// So many more have a hole.
        holed: usize,
        /// Who.
        user: String,
    },
    /// A person had strikes forgotten.
    Pardoned {
        /// Whose.
        net: IpNet,
        /// Who.
        user: String,
    },
    /// A person let a policy go on that the breaker had stopped.
    BreakerClosed {
        /// Which: unescaped.
        policy: String,
        /// Who.
        user: String,
    },
}

impl Event {
    /// With its texts cut to what is kept.
    fn bounded(&self) -> Self {
        let name = |text: &str| bounded_name(text).into_owned();
        match self.clone() {
            Self::DaemonMoved { from, to } => Self::DaemonMoved {
                from: name(&from),
                to: name(&to),
            },
            Self::SinkFailed { sink, why } => Self::SinkFailed {
                sink,
                why: bounded_text(&why).into_owned(),
            },
            Self::SinkRepaired { sink, what } => Self::SinkRepaired {
                sink,
                what: bounded_text(&what).into_owned(),
            },
            Self::BannedByHand {
                net,
                until,
                holes,
                user,
                reason,
            } => Self::BannedByHand {
                net,
                until,
                holes,
                user: name(&user),
                reason: bounded_text(&reason).into_owned(),
            },
            Self::LiftedByHand {
                what,
                bans,
                holed,
                user,
            } => Self::LiftedByHand {
                what: name(&what),
                bans,
                holed,
                user: name(&user),
            },
            Self::Pardoned { net, user } => Self::Pardoned {
                net,
                user: name(&user),
            },
            Self::BreakerClosed { policy, user } => Self::BreakerClosed {
                policy: name(&policy),
                user: name(&user),
            },
            recovered @ Self::SinkRecovered { .. } => recovered,
        }
    }
}

/// An event from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Counts up from 1, apart from decisions, and is never used again.
    pub id: i64,
    /// When it was seen.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Which events; the newest 100 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// Seen then or later.
    pub since: Option<Timestamp>,
    /// Seen before then.
    pub until: Option<Timestamp>,
    /// With a higher `id` than this.
    pub beyond: Option<i64>,
    /// From the newest to the oldest, not the other way.
    pub newest_first: bool,
    /// So many at most.
    pub limit: u32,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            beyond: None,
            newest_first: true,
            limit: 100,
        }
    }
}

pub(super) fn insert(
    connection: &Connection,
    at: Timestamp,
    event: &Event,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO event (at_ms, json) VALUES (?1, ?2)",
        params![at.as_millis(), Json(event.bounded())],
    )?;
    connection
        .execute(
            "DELETE FROM event WHERE id <= ?1",
            [connection.last_insert_rowid() - EVENTS_MAX],
        )
        .map(drop)
}

pub(super) fn query(
    connection: &Connection,
    filter: &EventFilter,
) -> rusqlite::Result<Vec<EventRow>> {
    let order = if filter.newest_first { "DESC" } else { "ASC" };
    let mut clauses = Clauses::default();
    clauses.add("at_ms >= ?", filter.since.map(Timestamp::as_millis));
    clauses.add("at_ms < ?", filter.until.map(Timestamp::as_millis));
    clauses.add("id > ?", filter.beyond);
    connection
        .prepare(&format!(
            "SELECT id, at_ms, json FROM event WHERE {} ORDER BY id {order} LIMIT {}",
            clauses.sql(),
            filter.limit
        ))?
        .query_map(rusqlite::params_from_iter(clauses.params), |row| {
            Ok(EventRow {
                id: row.get(0)?,
                at: Timestamp::from_millis(row.get(1)?),
                event: row.get::<_, Json<_>>(2)?.0,
            })
        })?
        .collect()
}
