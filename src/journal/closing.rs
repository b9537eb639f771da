//! What a person asks of a running agent: to let policies go on that the breaker has stopped.
//!
//! Whoever may write the journal may ask. The agent takes it up at its next poll, or when it starts.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::error::JournalError;
use super::row::bounded_name;
use super::schema;
use crate::time::Timestamp;

/// So many are taken up at once; the rest at the next poll.
const TAKEN_MAX: i64 = 100;

/// Writes it beside the agent that has the journal open.
pub(super) fn ask(path: &Path, policy: &str, at: Timestamp) -> Result<(), JournalError> {
    let path = schema::real_file(path)?;
    let connection = schema::open_beside(&path)?;
    let asked = connection.execute(
        "INSERT OR REPLACE INTO closing (policy, asked_ms) VALUES (?1, ?2)",
        params![bounded_name(policy), at.as_millis()],
    );
    asked
        .map(drop)
        .map_err(|error| JournalError::from_sqlite(&path, error))
}

/// Whether anything was asked: costs no write where nothing was.
pub(super) fn is_asked(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM closing)")?
        .query_row([], |row| row.get(0))
}

/// The policies, which are not asked for any more then.
pub(super) fn take(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    transaction
        .prepare_cached(
            "DELETE FROM closing WHERE policy IN
             (SELECT policy FROM closing ORDER BY asked_ms, policy LIMIT ?1) RETURNING policy",
        )?
        .query_map([TAKEN_MAX], |row| row.get(0))?
        .collect()
}
