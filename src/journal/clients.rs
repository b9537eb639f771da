//! What is known of clients, so that a restart makes strangers of nobody.

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::{Json, Word};
use crate::history::{ClientChanges, KnownClient, SavedClients, Usual};
use crate::time::Timestamp;

/// What an earlier run knew of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredClients {
    /// Most senior first.
    pub clients: SavedClients,
    /// Rows that could not be read, and are deleted.
    pub unreadable: u64,
}

/// Reads at most `clients_max`, the most senior, and deletes all others: the table is no larger than
/// the history's.
pub(super) fn take(
    connection: &Connection,
    clients_max: usize,
) -> rusqlite::Result<RestoredClients> {
    let mut restored = RestoredClients::default();
    let mut beyond = 0_u64;
    let mut statement = connection.prepare(
        "SELECT address, met_ms, connected_ms, last_seen_ms, acted_ms FROM client
         ORDER BY connected_ms DESC, last_seen_ms DESC, address",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match read(row) {
            Some(client) if restored.clients.clients.len() < clients_max => {
                restored.clients.clients.push(client);
            }
            Some(_) => beyond += 1,
            None => restored.unreadable += 1,
        }
    }
    if beyond + restored.unreadable > 0 {
        connection.execute("DELETE FROM client", [])?;
        write(connection, &restored.clients.clients)?;
    }
    let usual = connection.query_row("SELECT json FROM usual", [], |row| {
        Ok(row.get::<_, Json<Usual>>(0).ok())
    });
    match usual.optional()?.map(|json| json.map(|Json(usual)| usual)) {
        None => {}
        Some(Some(usual)) if usual.is_sound() => restored.clients.usual = usual,
        Some(_) => restored.unreadable += 1,
    }
    Ok(restored)
}

fn read(row: &rusqlite::Row<'_>) -> Option<KnownClient> {
    let client = KnownClient {
        address: row.get::<_, Word<IpNet>>(0).ok()?.0,
        met: Timestamp::from_millis(row.get(1).ok()?),
        connected_ms: u64::try_from(row.get::<_, i64>(2).ok()?).ok()?,
        last_seen: Timestamp::from_millis(row.get(3).ok()?),
        acted_at: row
            .get::<_, Option<i64>>(4)
            .ok()?
            .map(Timestamp::from_millis),
    };
    client.is_sound().then_some(client)
}

/// Writes what has changed.
pub(super) fn save(connection: &Connection, changes: &ClientChanges) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM client WHERE address = ?1")?;
    for address in &changes.forgotten {
        delete.execute([address.to_string()])?;
    }
    // Who was forgotten and has come back is written after that.
    write(connection, &changes.known)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO usual (one, json) VALUES (1, ?1)")?
        .execute([Json(&changes.usual)])
        .map(drop)
}

fn write(connection: &Connection, clients: &[KnownClient]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO client (address, met_ms, connected_ms, last_seen_ms, acted_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for client in clients {
        insert.execute(params![
            client.address.to_string(),
            client.met.as_millis(),
            i64::try_from(client.connected_ms).unwrap_or(i64::MAX),
            client.last_seen.as_millis(),
            client.acted_at.map(Timestamp::as_millis),
        ])?;
    }
    Ok(())
}

/// How much of the file they take, beyond the page that the table takes when it is empty.
pub(super) fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let bytes = connection.query_row(
        "SELECT coalesce(sum(pgsize - pgsize / pageno), 0) FROM dbstat
         WHERE name = 'client' AND aggregate = TRUE",
        [],
        |row| row.get::<_, i64>(0),
    );
    bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0))
}
