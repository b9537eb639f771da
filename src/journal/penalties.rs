//! Strikes and bans that cannot be read: one broken row must neither keep an agent from its start nor let
//! everybody in who is banned.

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::row::Json;
use crate::penalty::{Ban, Offender};

/// Deletes the rows that cannot be read; how many they were.
pub(super) fn sweep(connection: &Connection) -> rusqlite::Result<u64> {
    let strikes = sweep_one::<Offender>(connection, "strike")?;
    Ok(strikes + sweep_one::<Ban>(connection, "ban")?)
}

fn sweep_one<T: DeserializeOwned>(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(&format!("SELECT net, json FROM {table}"))?;
    let mut rows = statement.query([])?;
    let mut broken: Vec<String> = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, Json<T>>(1).is_err() {
            broken.push(row.get(0)?);
        }
    }
    let delete = format!("DELETE FROM {table} WHERE net = ?1");
    for net in &broken {
        connection.execute(&delete, params![net])?;
    }
    Ok(broken.len() as u64)
}
