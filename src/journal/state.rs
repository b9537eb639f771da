//! What must outlive the agent so that nothing is done twice or left undone.
//!
//! Changes come with the decisions that cause them, in the same transaction. What the limits keep
//! beside cooldowns is theirs: one value that they write and read.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::DecisionId;
use super::row::{self, Json, Word, bounded_name, bounded_target};
use crate::decision::SessionRef;
use crate::limits::Cooldown;
use crate::penalty::{self, Offender, SavedPenalties};
use crate::relief::Relief;
use crate::time::Timestamp;

/// All of it, as it was committed last. Cooldowns may have run out already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// In the order of policy and target.
    pub cooldowns: Vec<Cooldown>,
    /// Sessions that the agent has logged, in the order of their IDs.
    pub log_runs: Vec<LogRun>,
    /// The limits' own: breaker and budgets; null if never written.
    pub limits: serde_json::Value,
    /// The core's own: what was going on; null if never written.
    pub ongoing: serde_json::Value,
    /// Strikes and bans.
    #[serde(default)]
    pub penalties: SavedPenalties,
}

/// A session that the agent has logged, or is about to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRun {
    /// The session.
    pub session: SessionRef,
    /// When logging is to end.
    pub until: Timestamp,
    /// How long it was to last. From `until` this much back is when it began by the clock of then.
    pub length: Duration,
    /// The policy that wanted it.
    pub policy: Arc<str>,
    /// The decision that did; it may have been pruned.
    pub decision: DecisionId,
    /// How far it is.
    pub stage: LogStage,
}

/// How far a log run is. `log` is a toggle, so the server's `L` flag tells the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStage {
    /// About to be switched on: an `L` seen now is the agent's.
    Intended,
    /// Switched on by the agent.
    On,
    /// About to be switched off: without `L` it has been.
    Ending,
}

impl std::fmt::Display for LogStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Intended => "intended",
            Self::On => "on",
            Self::Ending => "ending",
        })
    }
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum StateChange {
    /// Replaces the one of the same policy and target.
    Cooldown(Cooldown),
    /// A log run got further. No run of this session: nothing happens.
    LogStage {
        /// As in the run, to the millisecond.
        session: SessionRef,
        /// How far it is now.
        stage: LogStage,
    },
    /// A log run lasts until another time. No run of this session: nothing happens.
    LogUntil {
        /// As in the run, to the millisecond.
        session: SessionRef,
        /// The new end.
        until: Timestamp,
    },
    /// Switched off, or the session is gone.
    LogEnded(SessionRef),
    /// The limits' own, whole.
    Limits(serde_json::Value),
    /// What is going on, whole.
    Ongoing(serde_json::Value),
    /// Replaces the strikes of the same network.
    Strike(Offender),
    /// A network has no strikes any more.
    Pardon(IpNet),
    /// Replaces the ban of the same network.
    Ban(penalty::Ban),
    /// A network is let in again.
    Unban(IpNet),
    /// All are let in again that a policy banned.
    UnbanPolicy(Arc<str>),
    /// All are let in again.
    UnbanAll,
    /// What is known of the load after an act, in place of what was known before. No such row: nothing happens.
    Relief(DecisionId, Relief),
}

impl StateChange {
    /// Whether `earlier` does not matter any more after this.
    pub(super) fn overrides(&self, earlier: &Self) -> bool {
        use StateChange::*;
        match (self, earlier) {
            (Cooldown(new), Cooldown(old)) => new.policy == old.policy && new.target == old.target,
            (Relief(new, _), Relief(old, _)) => new == old,
            (LogStage { session, .. }, LogStage { session: old, .. })
            | (LogUntil { session, .. }, LogUntil { session: old, .. })
            | (
                LogEnded(session),
                LogStage { session: old, .. } | LogUntil { session: old, .. } | LogEnded(old),
            ) => session == old,
            (
                Strike(Offender { net, .. }) | Pardon(net),
                Strike(Offender { net: old, .. }) | Pardon(old),
            )
            | (
                Ban(penalty::Ban { net, .. }) | Unban(net),
                Ban(penalty::Ban { net: old, .. }) | Unban(old),
            ) => net == old,
            (UnbanAll, Ban(_) | Unban(_) | UnbanPolicy(_) | UnbanAll)
            | (Limits(_), Limits(_))
            | (Ongoing(_), Ongoing(_)) => true,
            _ => false,
        }
    }
}

pub(super) fn start_log(connection: &Connection, run: &LogRun) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO log_run
             (session, peer, since_ms, until_ms, policy, decision, stage)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            run.session.id.cast_signed(),
            run.session.peer.to_string(),
            run.session.since.as_millis(),
            run.until.as_millis(),
            bounded_name(&run.policy),
            run.decision.0,
            Word(run.stage),
        ])
        .map(drop)
}

pub(super) fn apply(connection: &Connection, change: &StateChange) -> rusqlite::Result<()> {
    match change {
        StateChange::Cooldown(cooldown) => set_cooldown(connection, cooldown),
        StateChange::Relief(decision, relief) => row::relieve(connection, *decision, relief),
        StateChange::LogStage { session, stage } => of_session(
            connection,
            "UPDATE log_run SET stage = ?4 WHERE (session, peer, since_ms) = (?1, ?2, ?3)",
            session,
            &[&Word(*stage)],
        ),
        StateChange::LogUntil { session, until } => of_session(
            connection,
            "UPDATE log_run SET until_ms = ?4 WHERE (session, peer, since_ms) = (?1, ?2, ?3)",
            session,
            &[&until.as_millis()],
        ),
        StateChange::LogEnded(session) => of_session(
            connection,
            "DELETE FROM log_run WHERE (session, peer, since_ms) = (?1, ?2, ?3)",
            session,
            &[],
        ),
        StateChange::Limits(value) => set_one(
            connection,
            "INSERT OR REPLACE INTO limits (one, json) VALUES (1, ?1)",
            value,
        ),
        StateChange::Ongoing(value) => set_one(
            connection,
            "INSERT OR REPLACE INTO ongoing (one, json) VALUES (1, ?1)",
            value,
        ),
        StateChange::Strike(offender) => connection
            .prepare_cached("INSERT OR REPLACE INTO strike (net, json) VALUES (?1, ?2)")?
            .execute(params![offender.net.to_string(), Json(offender)])
            .map(drop),
        StateChange::Pardon(net) => connection
            .prepare_cached("DELETE FROM strike WHERE net = ?1")?
            .execute([net.to_string()])
            .map(drop),
        StateChange::UnbanPolicy(policy) => connection
            .execute(
                "DELETE FROM ban WHERE json ->> '$.by.policy' = ?1",
                [policy],
            )
            .map(drop),
        StateChange::UnbanAll => connection.execute("DELETE FROM ban", []).map(drop),
        StateChange::Ban(ban) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO ban (net, begin_ms, end_ms, json) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                ban.net.to_string(),
                ban.begin.as_millis(),
                ban.end.as_millis(),
                Json(ban)
            ])
            .map(drop),
        StateChange::Unban(net) => connection
            .prepare_cached("DELETE FROM ban WHERE net = ?1")?
            .execute([net.to_string()])
            .map(drop),
    }
}

fn set_one(connection: &Connection, sql: &str, value: &serde_json::Value) -> rusqlite::Result<()> {
    connection
        .prepare_cached(sql)?
        .execute([Json(value)])
        .map(drop)
}

fn set_cooldown(connection: &Connection, cooldown: &Cooldown) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO cooldown (policy, target_json, until_ms) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            bounded_name(&cooldown.policy),
            Json(bounded_target(&cooldown.target)),
            cooldown.until.as_millis(),
        ])
        .map(drop)
}

/// Runs `sql` with the session as `?1` to `?3` and `more` after that.
fn of_session(
    connection: &Connection,
    sql: &str,
    session: &SessionRef,
    more: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<()> {
    let id = session.id.cast_signed();
    let peer = session.peer.to_string();
    let since = session.since.as_millis();
    let mut params: Vec<&dyn rusqlite::ToSql> = vec![&id, &peer, &since];
    params.extend(more);
    connection
        .prepare_cached(sql)?
        .execute(params.as_slice())
        .map(drop)
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<SavedState> {
    Ok(SavedState {
        cooldowns: load_cooldowns(connection)?,
        log_runs: load_log_runs(connection)?,
        limits: load_one(connection, "SELECT json FROM limits")?,
        ongoing: load_one(connection, "SELECT json FROM ongoing")?,
        penalties: SavedPenalties {
            offenders: load_readable(connection, "SELECT json FROM strike ORDER BY net")?,
            bans: load_readable(connection, "SELECT json FROM ban ORDER BY net")?,
        },
    })
}

fn load_cooldowns(connection: &Connection) -> rusqlite::Result<Vec<Cooldown>> {
    connection
        .prepare("SELECT policy, target_json, until_ms FROM cooldown ORDER BY policy, target_json")?
        .query_map([], |row| {
            Ok(Cooldown {
                policy: row.get(0)?,
                target: row.get::<_, Json<_>>(1)?.0,
                until: Timestamp::from_millis(row.get(2)?),
            })
        })?
        .collect()
}

fn load_log_runs(connection: &Connection) -> rusqlite::Result<Vec<LogRun>> {
    connection
        .prepare(
            // A session that was to be logged was there already, so without its decision the length is
            // at the most from when it came.
            "SELECT session, peer, since_ms, until_ms, policy, decision, stage,
                until_ms - COALESCE((SELECT at_ms FROM decision WHERE id = log_run.decision), since_ms)
             FROM log_run ORDER BY session, since_ms, peer",
        )?
        .query_map([], |row| {
            Ok(LogRun {
                session: SessionRef {
                    id: row.get::<_, i64>(0)?.cast_unsigned(),
                    peer: row.get::<_, Word<_>>(1)?.0,
                    since: Timestamp::from_millis(row.get(2)?),
                },
                until: Timestamp::from_millis(row.get(3)?),
                policy: row.get(4)?,
                decision: DecisionId(row.get(5)?),
                stage: row.get::<_, Word<_>>(6)?.0,
                // One that ends before it began was shortened by a later run, whose clock was right.
                length: u64::try_from(row.get::<_, i64>(7)?)
                    .map_or(Duration::MAX, Duration::from_millis),
            })
        })?
        .collect()
}

fn load_readable<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok(row.get::<_, Json<T>>(0).ok()))?;
    let readable = rows.filter_map(Result::transpose);
    readable.map(|row| row.map(|Json(value)| value)).collect()
}

fn load_one(connection: &Connection, sql: &str) -> rusqlite::Result<serde_json::Value> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query_map([], |row| Ok(row.get::<_, Json<_>>(0)?.0))?;
    rows.next().unwrap_or(Ok(serde_json::Value::Null))
}
