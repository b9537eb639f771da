//! What a reader asks of the journal.
//!
//! An answer is a bounded page, so that no reader stays in one view of the file for long: that
//! would keep the write-ahead log from being cut back.

use std::fmt;

use rusqlite::{Connection, ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::DecisionId;
use super::row::{self, Row, Word};
use crate::decision::Outcome;
use crate::policy::ActionKind;
use crate::time::Timestamp;

/// Which rows, in which order. The default is the 100 newest.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Decided then or later.
    pub since: Option<Timestamp>,
    /// Decided before then.
    pub until: Option<Timestamp>,
    /// By the policy of exactly this name.
    pub policy: Option<String>,
    /// The target, as it prints, has this in it; ASCII letters match in either case.
    pub target_contains: Option<String>,
    /// By what came of them.
    pub outcomes: Outcomes,
    /// Wanting this.
    pub action: Option<ActionKind>,
    /// The next page: only what comes after this row in the order asked for.
    pub beyond: Option<DecisionId>,
    /// From the newest to the oldest, not the other way.
    pub newest_first: bool,
    /// So many rows at most.
    pub limit: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            policy: None,
            target_contains: None,
            outcomes: Outcomes::Any,
            action: None,
            beyond: None,
            newest_first: true,
            limit: 100,
        }
    }
}

/// Decisions by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcomes {
    /// All decisions.
    #[default]
    Any,
    /// Those that were carried out, failed, or would have been carried out but for dry-run.
    Acts,
    /// Those with this outcome.
    Of(OutcomeKind),
}

impl Outcomes {
    /// The condition on a row, and the value of its parameter.
    const fn clause(self) -> Option<(&'static str, OutcomeKind)> {
        match self {
            Self::Any => None,
            Self::Acts => Some(("outcome <> ?", OutcomeKind::Suppressed)),
            Self::Of(kind) => Some(("outcome = ?", kind)),
        }
    }
}

/// The kinds of [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// See [`Outcome::Intended`].
    Intended,
    /// See [`Outcome::Executed`].
    Executed,
    /// See [`Outcome::DryRun`].
    DryRun,
    /// See [`Outcome::Suppressed`].
    Suppressed,
    /// See [`Outcome::Failed`].
    Failed,
}

impl OutcomeKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Intended,
        Self::Executed,
        Self::DryRun,
        Self::Suppressed,
        Self::Failed,
    ];

    /// The kind of an outcome.
    pub const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Intended => Self::Intended,
            Outcome::Executed { .. } => Self::Executed,
            Outcome::DryRun => Self::DryRun,
            Outcome::Suppressed(_) => Self::Suppressed,
            Outcome::Failed { .. } => Self::Failed,
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Executed => "executed",
            Self::DryRun => "dry-run",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(super) fn query(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let (order, beyond) = if filter.newest_first {
        ("DESC", "id < ?")
    } else {
        ("ASC", "id > ?")
    };
    let mut clauses = filter.clauses();
    clauses.add(beyond, filter.beyond.map(|id| id.0));
    let sql = format!(
        "SELECT {} FROM decision WHERE {} ORDER BY id {order} LIMIT {}",
        row::COLUMNS,
        clauses.sql(),
        filter.limit,
    );
    connection
        .prepare(&sql)?
        .query_map(params_from_iter(clauses.params), row::read)?
        .collect()
}

/// How many rows pass, whatever `beyond` and `limit` say.
pub(super) fn count(connection: &Connection, filter: &Filter) -> rusqlite::Result<u64> {
    let clauses = filter.clauses();
    let sql = format!("SELECT count(*) FROM decision WHERE {}", clauses.sql());
    let count: i64 =
        connection.query_row(&sql, params_from_iter(clauses.params), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

impl Filter {
    /// The conditions, save for the page.
    pub(super) fn clauses(&self) -> Clauses {
        let mut clauses = Clauses::default();
        clauses.add("at_ms >= ?", self.since.map(Timestamp::as_millis));
        clauses.add("at_ms < ?", self.until.map(Timestamp::as_millis));
        clauses.add("policy = ?", self.policy.clone());
        // Unlike LIKE this has no wildcards, and does not stop at a NUL.
        clauses.add(
            "instr(lower(target), lower(?)) > 0",
            self.target_contains.clone(),
        );
        if let Some((sql, kind)) = self.outcomes.clause() {
            clauses.add(sql, Some(Word(kind)));
        }
        clauses.add("action = ?", self.action.map(Word));
        clauses
    }
}

/// Whose decisions there are.
pub(super) fn policies(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT DISTINCT policy FROM decision ORDER BY policy LIMIT 1000")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Those whose outcome was never learned.
pub(super) fn intended(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare(&format!(
            "SELECT {} FROM decision WHERE outcome = 'intended' ORDER BY id",
            row::COLUMNS
        ))?
        .query_map([], row::read)?
        .collect()
}

/// Conditions with one parameter each, all of which must hold.
#[derive(Default)]
pub(super) struct Clauses {
    sql: Vec<&'static str>,
    pub(super) params: Vec<Box<dyn ToSql>>,
}

impl Clauses {
    pub(super) fn add(&mut self, sql: &'static str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.sql.push(sql);
            self.params.push(Box::new(value));
        }
    }

    pub(super) fn sql(&self) -> String {
        if self.sql.is_empty() {
            "TRUE".to_owned()
        } else {
            self.sql.join(" AND ")
        }
    }
}
