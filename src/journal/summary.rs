//! What each policy's decisions came to, for an overview.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params_from_iter};

use super::query::{Filter, OutcomeKind};
use super::row::Word;
use crate::policy::ActionKind;
use crate::time::Timestamp;

/// More pairs of a policy and an action are not summed up.
pub const POLICIES_MAX: usize = 1_000;

/// The decisions of one policy for one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySummary {
    /// The policy.
    pub policy: String,
    /// What it wanted. A policy whose action was changed has a summary for each.
    pub action: ActionKind,
    /// Carried out.
    pub executed: u64,
    /// Would have been carried out.
    pub dry_run: u64,
    /// Failed.
    pub failed: u64,
    /// Begun, and not known to have ended.
    pub intended: u64,
    /// Held back, by the word for why.
    pub held_back: BTreeMap<String, u64>,
    /// Different targets among all of these.
    pub targets: u64,
    /// When the last of them was decided.
    pub last: Timestamp,
}

impl PolicySummary {
    const fn none_of(policy: String, action: ActionKind) -> Self {
        Self {
            policy,
            action,
            executed: 0,
            dry_run: 0,
            failed: 0,
            intended: 0,
            held_back: BTreeMap::new(),
            targets: 0,
            last: Timestamp::from_millis(i64::MIN),
        }
    }

    /// Those that were not held back.
    pub const fn acts(&self) -> u64 {
        self.executed + self.dry_run + self.failed + self.intended
    }

    /// Those that were.
    pub fn held_back_total(&self) -> u64 {
        self.held_back.values().sum()
    }
}

pub(super) fn of(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<PolicySummary>> {
    // Both questions in one view of the file.
    let view = connection.unchecked_transaction()?;
    let targets = targets(&view, filter)?;
    let mut summaries: HashMap<(String, ActionKind), PolicySummary> = HashMap::new();
    let clauses = filter.clauses();
    let mut statement = view.prepare(&format!(
        "SELECT policy, action, outcome, coalesce(outcome_json ->> '$.by', ''), count(*), max(at_ms)
         FROM decision WHERE {} GROUP BY 1, 2, 3, 4",
        clauses.sql()
    ))?;
    let mut rows = statement.query(params_from_iter(clauses.params))?;
    while let Some(row) = rows.next()? {
        let (policy, Word(action)): (String, Word<ActionKind>) = (row.get(0)?, row.get(1)?);
        let key = (policy, action);
        let Some(&of_targets) = targets.get(&key) else {
            continue;
        };
        let Word(outcome): Word<OutcomeKind> = row.get(2)?;
        let count = row.get::<_, i64>(4)?.unsigned_abs();
        let (policy, action) = key.clone();
        let summary = summaries
            .entry(key)
            .or_insert_with(|| PolicySummary::none_of(policy, action));
        match outcome {
            OutcomeKind::Executed => summary.executed += count,
            OutcomeKind::DryRun => summary.dry_run += count,
            OutcomeKind::Failed => summary.failed += count,
            OutcomeKind::Intended => summary.intended += count,
            OutcomeKind::Suppressed => {
                *summary.held_back.entry(row.get(3)?).or_default() += count;
            }
        }
        summary.targets = of_targets;
        summary.last = summary.last.max(Timestamp::from_millis(row.get(5)?));
    }
    let mut summaries: Vec<PolicySummary> = summaries.into_values().collect();
    summaries.sort_by(|a, b| {
        let order = |it: &PolicySummary| (it.acts(), it.held_back_total());
        let name = |it: &PolicySummary| (it.policy.clone(), it.action.name());
        order(b).cmp(&order(a)).then_with(|| name(a).cmp(&name(b)))
    });
    Ok(summaries)
}

/// How many targets each policy decided on.
fn targets(
    connection: &Connection,
    filter: &Filter,
) -> rusqlite::Result<HashMap<(String, ActionKind), u64>> {
    let clauses = filter.clauses();
    connection
        .prepare(&format!(
            "SELECT policy, action, count(DISTINCT target_json) FROM decision WHERE {}
             GROUP BY 1, 2 LIMIT {POLICIES_MAX}",
            clauses.sql()
        ))?
        .query_map(params_from_iter(clauses.params), |row| {
            let Word(action) = row.get(1)?;
            Ok(((row.get(0)?, action), row.get::<_, i64>(2)?.unsigned_abs()))
        })?
        .collect()
}
