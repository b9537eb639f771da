//! How much the journal keeps, and the upkeep that holds it there: pruning, giving pages back to
//! the file system, cutting the write-ahead log back. A bounded amount of work at a time.
//!
//! Only decisions whose outcome is settled are pruned, and cooldowns that have run out.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::time::Timestamp;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Decisions older than this go, one in a hundred an hour at the most.
    pub age_max: Duration,
    /// While the rows and the state take more bytes than this, the oldest decisions go; those to disconnect
    /// of an hour that has more than one row in 24 first. What is known
    /// of clients comes on top, so that no crowd pushes decisions out, and so does the write-ahead
    /// log, with a few MiB.
    pub size_max_bytes: u64,
}

impl Default for Retention {
    /// 90 days, 256 MiB.
    fn default() -> Self {
        Self {
            age_max: Duration::from_hours(90 * 24),
            size_max_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What a round of upkeep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Decisions that went.
    pub pruned: u64,
    /// There is more to do; the next round goes on.
    pub more: bool,
}

/// How many decisions may still go for their age within this hour: one in a hundred of those there
/// were when it began, and one at least. A clock that is wrong for a while does not cost all of them.
#[derive(Debug, Default)]
pub(super) struct AgeQuota {
    began: Option<Timestamp>,
    left: u64,
}

impl AgeQuota {
    const HOUR: Duration = Duration::from_hours(1);
    const PART: u64 = 100;

    fn left(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
        let is_over = |began| now < began || now.since(began) >= Self::HOUR;
        if self.began.is_none_or(is_over) {
            let count = "SELECT COUNT(*) FROM decision";
            let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
            self.left = (rows.cast_unsigned() / Self::PART).max(1);
            self.began = Some(now);
        }
        Ok(self.left)
    }
}

/// An hour with more than one in so many of all rows is crowded: a flood of disconnects must not wash out
/// what happened in the weeks before it.
const CROWDED_PART: u64 = 24;

/// Whose turn it is to go for the journal's size, and for how many rows more.
#[derive(Debug, Default)]
pub(super) struct SizeTurn {
    /// The oldest crowded hour, if there is one.
    crowded: Option<Hour>,
    rows_left: u64,
}

/// Hours since 1970.
type Hour = i64;

impl SizeTurn {
    /// So many rows go before the hours are counted again.
    const ROWS: u64 = 1_000;
    const HOUR_MS: i64 = 3_600_000;

    /// Removes the next rows whose turn it is, `rows_max` at the most: how many went.
    fn prune(&mut self, connection: &Connection, rows_max: u64) -> rusqlite::Result<u64> {
        if self.rows_left == 0 {
            *self = Self::of(connection)?;
        }
        let rows_max = rows_max.min(self.rows_left);
        let mut gone = match self.crowded {
            Some(hour) => prune_disconnects(connection, hour, rows_max)?,
            None => 0,
        };
        if gone == 0 {
            self.crowded = None;
            gone = prune_first(connection, rows_max)?;
        }
        self.rows_left = self.rows_left.saturating_sub(gone);
        Ok(gone)
    }

    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let count = "SELECT COUNT(*) FROM decision";
        let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
        let fair = rows.cast_unsigned() / CROWDED_PART;
        let mut crowded = connection.prepare_cached(
            "SELECT hour, rows FROM
                 (SELECT at_ms / ?1 AS hour, COUNT(*) AS rows FROM decision GROUP BY hour)
             WHERE rows > ?2 AND EXISTS (SELECT 1 FROM decision
                 WHERE at_ms >= hour * ?1 AND at_ms < (hour + 1) * ?1
                 AND action IN ('disconnect', 'ban', 'evict') AND outcome <> 'intended')
             ORDER BY hour LIMIT 1",
        )?;
        let params = params![Self::HOUR_MS, fair.cast_signed()];
        let crowded: Option<(Hour, i64)> = crowded
            .query_row(params, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match crowded {
            Some((hour, rows)) => Self {
                crowded: Some(hour),
                rows_left: (rows.cast_unsigned() - fair).min(Self::ROWS),
            },
            None => Self {
                crowded: None,
                rows_left: Self::ROWS,
            },
        })
    }
}

fn prune_disconnects(connection: &Connection, hour: Hour, rows_max: u64) -> rusqlite::Result<u64> {
    let gone = connection.execute(
        "DELETE FROM decision WHERE id IN (SELECT id FROM decision
         WHERE at_ms >= ?1 AND at_ms < ?2 AND action IN ('disconnect', 'ban', 'evict') AND outcome <> 'intended'
         ORDER BY at_ms, id LIMIT ?3)",
        params![
            hour * SizeTurn::HOUR_MS,
            (hour + 1) * SizeTurn::HOUR_MS,
            rows_max.cast_signed()
        ],
    )?;
    Ok(gone as u64)
}

fn prune_first(connection: &Connection, rows_max: u64) -> rusqlite::Result<u64> {
    let gone = connection.execute(
        "DELETE FROM decision WHERE id IN (SELECT id FROM decision
         WHERE outcome <> 'intended' ORDER BY id LIMIT ?1)",
        [rows_max.cast_signed()],
    )?;
    Ok(gone as u64)
}

/// Decisions a round removes, at least.
const BATCH_ROWS: u64 = 1_000;

/// Decisions that go before the size is looked at again.
const STEP_ROWS: u64 = 100;

/// Pages a round gives back: 4 MiB.
const BATCH_PAGES: i64 = 1_024;

/// One round. `written` is how many decisions came in since the last: twice as many may go, so
/// that no rate of decisions outruns the pruning.
pub(super) fn maintain(
    connection: &mut Connection,
    now: Timestamp,
    retention: &Retention,
    written: u64,
    quota: &mut AgeQuota,
    turn: &mut SizeTurn,
) -> rusqlite::Result<Upkeep> {
    let rows_max = BATCH_ROWS.max(written.saturating_mul(2));
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    transaction.execute(
        "DELETE FROM cooldown WHERE until_ms <= ?1",
        [now.as_millis()],
    )?;
    let aged_max = rows_max.min(quota.left(&transaction, now)?);
    let aged = prune_aged(&transaction, now - retention.age_max, aged_max)?;
    quota.left = quota.left.saturating_sub(aged);
    let pruned = aged
        + prune_to_size(
            &transaction,
            retention.size_max_bytes,
            rows_max - aged,
            turn,
        )?;
    transaction.commit()?;
    if pruned > 0 || Pages::of(connection)?.free > 0 {
        give_back(connection)?;
        checkpoint(connection)?;
    }
    Ok(Upkeep {
        pruned,
        more: pruned >= rows_max || Pages::of(connection)?.free > 0,
    })
}

fn prune_aged(connection: &Connection, oldest: Timestamp, rows_max: u64) -> rusqlite::Result<u64> {
    let gone = connection.execute(
        "DELETE FROM decision WHERE id IN (SELECT id FROM decision
         WHERE at_ms < ?1 AND outcome <> 'intended' ORDER BY at_ms LIMIT ?2)",
        params![oldest.as_millis(), rows_max.cast_signed()],
    )?;
    Ok(gone as u64)
}

/// In small steps, so that no more goes than has to.
fn prune_to_size(
    connection: &Connection,
    size_max_bytes: u64,
    rows_max: u64,
    turn: &mut SizeTurn,
) -> rusqlite::Result<u64> {
    let mut pruned = 0;
    while pruned < rows_max && Pages::of(connection)?.used_bytes() > size_max_bytes {
        let gone = turn.prune(connection, STEP_ROWS.min(rows_max - pruned))?;
        if gone == 0 {
            break;
        }
        pruned += gone;
    }
    Ok(pruned)
}

fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    // The pragma frees one page a step.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({BATCH_PAGES})"))?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// Copies the log into the file as far as readers let it, which is when the file shrinks. Commits
/// do so by themselves whenever the log is 4 MiB long; it then starts over.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// How the file is used.
struct Pages {
    bytes: i64,
    all: i64,
    free: i64,
}

impl Pages {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        Ok(Self {
            bytes: number("page_size")?,
            all: number("page_count")?,
            free: number("freelist_count")?,
        })
    }

    const fn used_bytes(&self) -> u64 {
        ((self.all - self.free) * self.bytes).cast_unsigned()
    }
}
