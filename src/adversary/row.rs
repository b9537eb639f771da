//! What came of an attack over several seeds, beside what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Comparison, Tally};
use crate::sim::{Attack, Release, Role};

/// Of the honest who come anew, fewer than one in so many may be disconnected.
const NEWCOMERS_PER_HIT: u64 = 10_000;

/// Of the honest who come anew, no more than one in so many may find the listeners closed for long.
const NEWCOMERS_PER_SHUT_OUT: u64 = 100;

/// A row of the matrix.
#[derive(Clone, Debug)]
pub struct Row {
    /// The attack.
    pub attack: Attack,
    /// The release that the server passed for.
    pub release: Release,
    honest: BTreeMap<Role, Tally>,
    blamed: BTreeMap<Arc<str>, u64>,
    stopped: BTreeSet<Arc<str>>,
    /// Of each run.
    stopped_for: Vec<Duration>,
    through: Vec<f64>,
    left: Vec<f64>,
    to_act: Vec<Option<Duration>>,
    failovers: Vec<Option<Duration>>,
}

impl From<&Comparison> for Row {
    /// Of one run.
    fn from(comparison: &Comparison) -> Self {
        let mut row = Self::new(comparison.attack, comparison.release);
        row.add(comparison);
        row
    }
}

impl Row {
    /// Without a run yet.
    pub fn new(attack: Attack, release: Release) -> Self {
        Self {
            attack,
            release,
            honest: BTreeMap::new(),
            blamed: BTreeMap::new(),
            stopped: BTreeSet::new(),
            stopped_for: Vec::new(),
            through: Vec::new(),
            left: Vec::new(),
            to_act: Vec::new(),
            failovers: Vec::new(),
        }
    }

    /// Takes in a run.
    pub fn add(&mut self, comparison: &Comparison) {
        let run = &comparison.guarded;
        for (role, honest) in &run.roles {
            let sum = self.honest.entry(*role).or_default();
            sum.met += honest.met;
            sum.hit += honest.hit;
            sum.disconnects += honest.disconnects;
            sum.shut_out += honest.shut_out;
        }
        for (policy, count) in &run.blamed {
            *self.blamed.entry(policy.clone()).or_default() += count;
        }
        self.stopped.extend(run.stopped.keys().cloned());
        let longest = run.stopped.values().max().copied();
        self.stopped_for.push(longest.unwrap_or_default());
        self.through.extend(comparison.through());
        self.left.extend(comparison.left());
        self.to_act.push(comparison.time_to_act());
        let begins = self.attack.begins();
        let failover = run.failover.map(|at| at.saturating_sub(begins));
        self.failovers.push(failover);
    }

    fn of(&self, role: Role) -> Tally {
        self.honest.get(&role).copied().unwrap_or_default()
    }

    /// Where it falls short of its aim, in words; nothing if it does not.
    pub fn shortfalls(&self) -> Vec<String> {
        let mut found = Vec::new();
        for role in [Role::Regular, Role::Victim] {
            let Tally {
                met,
                hit,
                disconnects,
                ..
            } = self.of(role);
            if hit > 0 {
                let role = role.label();
                found.push(format!(
                    "{disconnects} disconnects of {hit} of {met} {role}s"
                ));
            }
        }
        let newcomers = self.of(Role::Newcomer);
        let Tally {
            met, hit, shut_out, ..
        } = newcomers;
        if hit * NEWCOMERS_PER_HIT > met {
            found.push(format!("{hit} of {met} newcomers disconnected"));
        }
        if shut_out * NEWCOMERS_PER_SHUT_OUT > met {
            found.push(format!("{shut_out} of {met} newcomers shut out"));
        }
        if !found.is_empty() {
            let blamed: Vec<&str> = self.blamed.keys().map(|policy| &**policy).collect();
            found.push(format!("by {}", blamed.join(", ")));
        }
        let aim = self.attack.aim();
        let stopped = self.stopped.iter().map(|policy| &**policy);
        let stopped: Vec<&str> = stopped
            .filter(|name| !aim.may_stop.contains(name))
            .collect();
        if !stopped.is_empty() {
            found.push(format!("the breaker stopped {}", stopped.join(", ")));
        }
        if let Some(left) = mean(&self.left).filter(|&left| left > aim.left_max) {
            let most = aim.left_max * 100.0;
            found.push(format!(
                "{:.0}% of the harm is left, above {most:.0}%",
                left * 100.0
            ));
        }
        let is_missing = |failover: &Option<Duration>| failover.is_none();
        if self.attack.sticks_daemon() && self.failovers.iter().any(is_missing) {
            found.push("a stuck daemon was not left".to_owned());
        }
        found
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)
}

/// The matrix as people read it: a line a row, and below it where each falls short.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<18} | {:>7} | {:>13} | {:>13} | {:>9} | {:>7} | {:>7} | {:>6} | {:>5} | {:>8} | {:>8}\n",
        "attack",
        "release",
        "regulars cut",
        "victims cut",
        "newcomers",
        "stopped",
        "through",
        "left",
        "aim",
        "act",
        "failover"
    );
    for row in rows {
        _ = writeln!(text, "{}", line(row));
    }
    let short = rows.iter().map(|row| (row, row.shortfalls()));
    for (row, found) in short.filter(|(_, found)| !found.is_empty()) {
        let found = found.join("; ");
        _ = writeln!(text, "{} on {}: {found}", row.attack, row.release.number());
    }
    text
}

fn line(row: &Row) -> String {
    let cut = |role| {
        let Tally {
            met,
            hit,
            disconnects,
            ..
        } = row.of(role);
        match (met, hit) {
            (0, _) => "-".to_owned(),
            (_, 0) => format!("0/{met}"),
            _ => format!("{hit}/{met} {disconnects}x"),
        }
    };
    let percent = |share: Option<f64>| {
        share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
    };
    let seconds = |time: Option<Duration>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{} s", time.as_secs()))
    };
    let worst = |times: &[Option<Duration>]| {
        // One that never came is worse than any.
        let all: Option<Vec<Duration>> = times.iter().copied().collect();
        all.and_then(|times| times.into_iter().max())
    };
    let aim = row.attack.aim();
    format!(
        "{:<18} | {:>7} | {:>13} | {:>13} | {:>9} | {:>7} | {:>7} | {:>6} | {:>5} | {:>8} | {:>8}",
        row.attack.name(),
        row.release.number(),
        cut(Role::Regular),
        cut(Role::Victim),
        cut(Role::Newcomer),
        seconds(
            row.stopped_for
                .iter()
                .max()
                .copied()
                .filter(|time| !time.is_zero())
        ),
        percent(mean(&row.through)),
        percent(mean(&row.left)),
        percent((!row.attack.harms().is_empty()).then_some(aim.left_max)),
        seconds(worst(&row.to_act)),
        seconds(worst(&row.failovers)),
    )
}
