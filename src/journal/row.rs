//! A decision as a row and back: equal to what was written, save for what is beyond a bound.
//!
//! Text goes into SQL as parameters only. Numbers in JSON are strings, because a JSON number is
//! neither infinite nor always read back to the last bit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use super::{DecisionId, OutcomeKind};
use crate::decision::{Decision, Epoch, Evidence, Outcome, Seen, SessionRef, Target};
use crate::field::Dimension;
use crate::policy::bounds::DAEMONS_MAX;
use crate::relief::Relief;
use crate::time::Timestamp;

/// Names and values seen that are longer end in `…` instead; clients choose them.
pub const NAME_CHARS_MAX: usize = 256;

/// The same for tests, which a policy writes, and for the server's words.
pub const TEXT_CHARS_MAX: usize = 1_024;

/// More tests than this are not kept; [`Row::evidence_left_out`] counts them.
pub const EVIDENCE_MAX: usize = 64;

/// More sessions than this are not kept; [`Row::sessions_left_out`] counts them.
pub const SESSIONS_MAX: usize = 1_000;

/// A decision from the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Counts up from 1 and is never used again.
    pub id: DecisionId,
    /// The decision, within the bounds of this module.
    pub decision: Decision,
    /// What came of it.
    pub outcome: Outcome,
    /// What became of the load, of an act that was followed.
    pub relief: Option<Relief>,
    /// Tests beyond [`EVIDENCE_MAX`].
    pub evidence_left_out: u32,
    /// Sessions beyond [`SESSIONS_MAX`].
    pub sessions_left_out: u32,
}

/// The columns that [`read`] wants, in its order.
pub(super) const COLUMNS: &str = "id, at_ms, epoch, policy, mode, action_json, target_json, \
     evidence_json, evidence_left_out, held_ns, severity, sessions_json, sessions_left_out, \
     spared, outcome_json, at_once, daemons_json, choice_json, bans_json, refused_json, relief_json";

pub(super) fn insert(
    connection: &Connection,
    decision: &Decision,
    outcome: &Outcome,
) -> rusqlite::Result<DecisionId> {
    let target = bounded_target(&decision.target);
    let (evidence, evidence_left_out) = first(&decision.evidence, EVIDENCE_MAX);
    let evidence: Vec<StoredEvidence<'_>> = evidence.iter().map(Into::into).collect();
    let (sessions, sessions_left_out) = first(&decision.sessions, SESSIONS_MAX);
    let (bans, _) = first(&decision.bans, SESSIONS_MAX);
    let (refused, _) = first(&decision.refused, SESSIONS_MAX);
    let (daemons, _) = first(&decision.daemons, DAEMONS_MAX);
    let daemons: Vec<Cow<'_, str>> = daemons.iter().map(|daemon| bounded_name(daemon)).collect();
    connection
        .prepare_cached(
            "INSERT INTO decision (at_ms, epoch, policy, mode, action, action_json, target,
             target_json, evidence_json, evidence_left_out, held_ns, severity, sessions_json,
             sessions_left_out, spared, outcome, outcome_json, at_once, daemons_json, choice_json,
             bans_json, refused_json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
             ?18, ?19, ?20, ?21, ?22)",
        )?
        .execute(params![
            decision.at.as_millis(),
            decision.epoch.0.cast_signed(),
            bounded_name(&decision.policy),
            Word(decision.mode),
            Word(decision.action.kind()),
            Json(&decision.action),
            target.to_string(),
            Json(&*target),
            Json(evidence),
            evidence_left_out,
            i64::try_from(decision.held.as_nanos()).unwrap_or(i64::MAX),
            decision.severity,
            Json(sessions),
            sessions_left_out,
            decision.spared,
            Word(OutcomeKind::of(outcome)),
            Json(bounded_outcome(outcome)),
            decision.at_once,
            Json(daemons),
            decision.choice.as_ref().map(Json),
            Json(bans),
            Json(refused),
        ])?;
    Ok(DecisionId(connection.last_insert_rowid()))
}

pub(super) fn finish(
    connection: &Connection,
    id: DecisionId,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE decision SET outcome = ?2, outcome_json = ?3 WHERE id = ?1")?
        .execute(params![
            id.0,
            Word(OutcomeKind::of(outcome)),
            Json(bounded_outcome(outcome)),
        ])
        .map(drop)
}

pub(super) fn relieve(
    connection: &Connection,
    id: DecisionId,
    relief: &Relief,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE decision SET relief_json = ?2 WHERE id = ?1")?
        .execute(params![id.0, Json(relief)])
        .map(drop)
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let evidence: Json<Vec<StoredEvidence<'static>>> = row.get(7)?;
    Ok(Row {
        id: DecisionId(row.get(0)?),
        decision: Decision {
            at: Timestamp::from_millis(row.get(1)?),
            epoch: Epoch(row.get::<_, i64>(2)?.cast_unsigned()),
            policy: row.get(3)?,
            mode: row.get::<_, Word<_>>(4)?.0,
            action: row.get::<_, Json<_>>(5)?.0,
            target: row.get::<_, Json<_>>(6)?.0,
            evidence: evidence.0.into_iter().map(Into::into).collect(),
            held: Duration::from_nanos(row.get::<_, i64>(9)?.max(0).cast_unsigned()),
            // `SQLite` knows infinities, but keeps what is not a number as null.
            severity: row.get::<_, Option<f64>>(10)?.unwrap_or(f64::NAN),
            sessions: row.get::<_, Json<Vec<SessionRef>>>(11)?.0,
            spared: row.get(13)?,
            choice: row.get::<_, Option<Json<_>>>(17)?.map(|choice| choice.0),
            at_once: row.get(15)?,
            bans: row.get::<_, Json<_>>(18)?.0,
            refused: row.get::<_, Json<_>>(19)?.0,
            daemons: row.get::<_, Json<_>>(16)?.0,
        },
        outcome: row.get::<_, Json<_>>(14)?.0,
        relief: row.get::<_, Option<Json<_>>>(20)?.map(|relief| relief.0),
        evidence_left_out: row.get(8)?,
        sessions_left_out: row.get(12)?,
    })
}

/// At most `max` items, and how many that leaves out.
fn first<T>(items: &[T], max: usize) -> (&[T], u32) {
    let kept = &items[..items.len().min(max)];
    let left_out = items.len() - kept.len();
    (kept, u32::try_from(left_out).unwrap_or(u32::MAX))
}

/// At most `max` characters, the last of them `…` if any were cut off.
fn bounded(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max || text.chars().nth(max).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(max - 1).chain(['…']).collect())
}

pub(super) fn bounded_name(name: &str) -> Cow<'_, str> {
    bounded(name, NAME_CHARS_MAX)
}

pub(super) fn bounded_text(text: &str) -> Cow<'_, str> {
    bounded(text, TEXT_CHARS_MAX)
}

pub(super) fn bounded_target(target: &Target) -> Cow<'_, Target> {
    let bounded = |name: &Arc<str>| match bounded_name(name) {
        Cow::Borrowed(_) => None,
        Cow::Owned(short) => Some(Arc::from(short)),
    };
    let short = match target {
        Target::Group(name) => bounded(name).map(Target::Group),
        Target::Client(name) => bounded(name).map(Target::Client),
        Target::Server | Target::Session(_) | Target::Address(_) | Target::Subnet(_) => None,
    };
    short.map_or(Cow::Borrowed(target), Cow::Owned)
}

fn bounded_outcome(outcome: &Outcome) -> Cow<'_, Outcome> {
    let short = |detail: &str| match bounded_text(detail) {
        Cow::Borrowed(_) => None,
        Cow::Owned(detail) => Some(detail),
    };
    match outcome {
        Outcome::Executed { detail } => short(detail).map(|detail| Outcome::Executed { detail }),
        Outcome::Failed { detail } => short(detail).map(|detail| Outcome::Failed { detail }),
        Outcome::Intended | Outcome::DryRun | Outcome::Suppressed(_) => None,
    }
    .map_or(Cow::Borrowed(outcome), Cow::Owned)
}

/// [`Evidence`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredEvidence<'a> {
    field: Cow<'a, str>,
    test: Cow<'a, str>,
    seen: StoredSeen<'a>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    threshold: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    dimension: Option<Dimension>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredSeen<'a> {
    Flag(bool),
    Number(Number),
    Text(Cow<'a, str>),
}

impl<'a> From<&'a Evidence> for StoredEvidence<'a> {
    fn from(evidence: &'a Evidence) -> Self {
        Self {
            field: bounded_name(&evidence.field),
            test: bounded_text(&evidence.test),
            seen: match &evidence.seen {
                Seen::Flag(flag) => StoredSeen::Flag(*flag),
                Seen::Number(number) => StoredSeen::Number(Number(*number)),
                Seen::Text(text) => StoredSeen::Text(bounded_name(text)),
            },
            threshold: evidence.threshold.map(Number),
            dimension: evidence.dimension,
        }
    }
}

impl From<StoredEvidence<'_>> for Evidence {
    fn from(stored: StoredEvidence<'_>) -> Self {
        Self {
            field: stored.field.into(),
            test: stored.test.into(),
            seen: match stored.seen {
                StoredSeen::Flag(flag) => Seen::Flag(flag),
                StoredSeen::Number(number) => Seen::Number(number.0),
                StoredSeen::Text(text) => Seen::Text(text.into()),
            },
            threshold: stored.threshold.map(|number| number.0),
            dimension: stored.dimension,
        }
    }
}

/// A number as the shortest text that reads back as the same number.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        f64::from_str(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A value stored as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A value stored as the one word that both serde and `Display` call it.
pub(super) struct Word<T>(pub(super) T);

impl<T: fmt::Display> ToSql for Word<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl<T: DeserializeOwned> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word: StrDeserializer<'_, ValueError> = value.as_str()?.into_deserializer();
        T::deserialize(word).map(Self).map_err(FromSqlError::other)
    }
}
