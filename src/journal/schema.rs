//! The file: its tables, its format's number, how it is made, checked and opened.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use super::error::JournalError;
use super::replay;

/// Client addresses are nobody else's business; a group may be let in to read.
pub(super) const FILE_MODE: u32 = 0o640;

/// In the file's header, so that `file` and we know a journal: `EXWj`.
pub(super) const APPLICATION_ID: i64 = 0x4558_576a;

/// The step from each format to the next; how many there are is the current format's number.
const MIGRATIONS: [&str; 6] = [V1, V2, V3, V4, V5, V6];

#[expect(clippy::cast_possible_wrap, reason = "a handful")]
const FORMAT: i64 = MIGRATIONS.len() as i64;

/// Where `target`, `action` and `outcome` are for searching, `*_json` is the value itself.
pub(super) const V1: &str = "
    CREATE TABLE decision (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        policy TEXT NOT NULL,
        mode TEXT NOT NULL,
        action TEXT NOT NULL,
        action_json TEXT NOT NULL,
        target TEXT NOT NULL,
        target_json TEXT NOT NULL,
        evidence_json TEXT NOT NULL,
        evidence_left_out INTEGER NOT NULL,
        held_ns INTEGER NOT NULL,
        severity REAL,
        sessions_json TEXT NOT NULL,
        sessions_left_out INTEGER NOT NULL,
        spared INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        outcome_json TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decision_at ON decision (at_ms);
    CREATE INDEX decision_intended ON decision (id) WHERE outcome = 'intended';
    CREATE TABLE cooldown (
        policy TEXT NOT NULL,
        target_json TEXT NOT NULL,
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (policy, target_json)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log_run (
        session INTEGER NOT NULL,
        peer TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        policy TEXT NOT NULL,
        decision INTEGER NOT NULL,
        stage TEXT NOT NULL,
        PRIMARY KEY (session, peer, since_ms)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE limits (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        json TEXT NOT NULL
    ) STRICT;
    CREATE TABLE probe (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        room BLOB NOT NULL
    ) STRICT;
";

/// Whether a decision was due at once, and the daemons that it goes to. Policies named the place of
/// the daemons' URLs before: that is kept as if it were a daemon. Limits did not say until when they
/// hold: the decision's own time says that it is not known.
const V2: &str = "
    ALTER TABLE decision ADD COLUMN at_once INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE decision ADD COLUMN daemons_json TEXT NOT NULL DEFAULT '[]';
    UPDATE decision SET action_json = json_set(action_json, '$.to', json_object('list',
        json_array(coalesce('$' || (action_json ->> '$.to.env'), action_json ->> '$.to.file'))))
        WHERE action = 'daemon_url' AND json_type(action_json, '$.to') = 'object';
    UPDATE decision SET outcome_json = json_set(outcome_json, '$.until', at_ms)
        WHERE outcome = 'suppressed'
        AND outcome_json ->> '$.by' IN ('policy-limit', 'action-limit');
";

/// On whom of many a decision falls; and what is known of clients.
const V3: &str = "
    ALTER TABLE decision ADD COLUMN choice_json TEXT;
    CREATE TABLE client (
        address TEXT PRIMARY KEY,
        met_ms INTEGER NOT NULL,
        connected_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        acted_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE usual (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        json TEXT NOT NULL
    ) STRICT;
";

/// What a person asked of the agent, which nobody does by the journal any more; what was going on when the agent
/// saved it; and what happens to the server without a decision.
const V4: &str = "
    CREATE TABLE closing (
        policy TEXT PRIMARY KEY,
        asked_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ongoing (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        json TEXT NOT NULL
    ) STRICT;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        json TEXT NOT NULL
    ) STRICT;
";

/// Whom a decision bans, and whom it does not; who has strikes, and who is kept out.
const V5: &str = "
    ALTER TABLE decision ADD COLUMN bans_json TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE decision ADD COLUMN refused_json TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE strike (
        net TEXT PRIMARY KEY,
        json TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ban (
        net TEXT PRIMARY KEY,
        begin_ms INTEGER NOT NULL,
        end_ms INTEGER NOT NULL,
        json TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Whether an act helped.
const V6: &str = "
    ALTER TABLE decision ADD COLUMN relief_json TEXT;
";

/// `synchronous = FULL`: in WAL mode each commit is on the disk when it returns, so that an intent
/// outlives a power cut right after the act. A poll commits twice at most; `NORMAL` would only
/// sync at checkpoints. The log is cut back to the size limit after each checkpoint.
const WRITER_PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA journal_size_limit = 4194304;
    PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
";

/// Longer than any commit of ours; somebody at an `sqlite3` prompt holds the agent up no longer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// The path without symbolic links; makes an empty file if there is none.
pub(super) fn place(path: &Path) -> Result<PathBuf, JournalError> {
    folder(path)?;
    // `create_new` never opens a file that is there: see the lock for what closing it would do.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(JournalError::from_io(path, &error)),
    }
    real_file(path)
}

/// The folder that a journal at `path` is in.
pub(super) fn folder(path: &Path) -> Result<&Path, JournalError> {
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(JournalError::NotAFile(path.to_owned())),
    };
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(JournalError::NoDirectory(folder.to_owned()))
    }
}

/// The path without symbolic links, of a regular file.
pub(super) fn real_file(path: &Path) -> Result<PathBuf, JournalError> {
    let io_error = |error| JournalError::from_io(path, &error);
    let real = path.canonicalize().map_err(io_error)?;
    if real.metadata().map_err(io_error)?.is_file() {
        Ok(real)
    } else {
        Err(JournalError::NotAFile(real))
    }
}

/// For the one agent, which holds the lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, JournalError> {
    let sql = |error| JournalError::from_sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    let found = format(&connection, path)?;
    if replay::is_of_replay(&connection).map_err(sql)? {
        return Err(JournalError::OfReplay(path.to_owned()));
    }
    if connection.is_readonly(MAIN_DB).map_err(sql)? {
        return Err(JournalError::Denied {
            path: path.to_owned(),
            reason: "it is read-only".to_owned(),
        });
    }
    if found.is_none() {
        // Only an empty file can still choose.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(sql)?;
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sql)?;
    if mode != "wal" {
        return Err(JournalError::NoWal(path.to_owned()));
    }
    connection.execute_batch(WRITER_PRAGMAS).map_err(sql)?;
    keep_wal(&connection).map_err(sql)?;
    migrate(&mut connection, found.unwrap_or(0)).map_err(sql)?;
    check(&connection, path)?;
    Ok(connection)
}

/// For reading beside the agent, or without it.
pub(super) fn open_reader(path: &Path) -> Result<Connection, JournalError> {
    let sql = |error| JournalError::from_sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    match format(&connection, path)? {
        None => Err(JournalError::Missing(path.to_owned())),
        Some(found) if found < FORMAT => Err(JournalError::Older {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        Some(_) => Ok(connection),
    }
}

/// The format of a journal, `None` of an empty file; everything else is refused.
pub(super) fn format(connection: &Connection, path: &Path) -> Result<Option<i64>, JournalError> {
    let sql = |error| JournalError::from_sqlite(path, error);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application_id = number("application_id").map_err(sql)?;
    let format = number("user_version").map_err(sql)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    match (application_id, format) {
        (APPLICATION_ID, found) if found > FORMAT => Err(JournalError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        (APPLICATION_ID, found) if found > 0 => Ok(Some(found)),
        (0, 0) if tables == 0 => Ok(None),
        _ => Err(JournalError::NotOurs(path.to_owned())),
    }
}

/// One transaction, so that a kill leaves the old format or the new.
fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let steps = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    if steps.len() == 0 {
        return Ok(());
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Leaves the log's files when the agent ends: a reader without the right to write in the
/// directory could not make them.
fn keep_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.file_control(None::<&str>, rusqlite::FileControl::PersistWal(&mut 1))
}

/// Leaves one file, without a log beside it.
pub(super) fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// Finds damage before anything relies on the state.
fn check(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| JournalError::from_sqlite(path, error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(JournalError::Corrupt {
            path: path.to_owned(),
            reason: verdict,
        })
    }
}

/// Whether the file was renamed or deleted since it was opened.
pub(super) fn has_moved(connection: &Connection) -> rusqlite::Result<bool> {
    let mut moved = 0;
    connection.file_control(None::<&str>, rusqlite::FileControl::HasMoved(&mut moved))?;
    Ok(moved != 0)
}
