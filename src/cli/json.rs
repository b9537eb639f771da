//! A decision for programs.

use ipnet::IpNet;
use serde::Serialize;

use super::show::outcome_word;
use crate::daemon::Address;
use crate::decision::{
    BanOrder, BanRefusal, Choice, Decision, Evidence, Outcome, SessionRef, Suppression,
};
use crate::journal::{DecisionId, Row};
use crate::policy::{Action, DaemonTarget, Mode};
use crate::relief::Relief;

/// A decision as a JSON object.
pub(super) fn decision_json<'a>(
    id: Option<DecisionId>,
    decision: &'a Decision,
    of: &'a Outcome,
) -> DecisionJson<'a> {
    let (detail, by) = match of {
        Outcome::Executed { detail } | Outcome::Failed { detail } => (Some(&**detail), None),
        Outcome::Suppressed(by @ Suppression::UnfitDaemon { why }) => (Some(&**why), Some(by)),
        Outcome::Suppressed(by) => (None, Some(by)),
        Outcome::Intended | Outcome::DryRun => (None, None),
    };
    let until = by.and_then(Suppression::until);
    let until = until.map(|until| until.to_string());
    let covered_by = match by {
        Some(Suppression::Covered { policy }) => Some(&**policy),
        _ => None,
    };
    let (hold_s, failures) = match by {
        Some(Suppression::Backoff { hold, failures }) => {
            (Some(hold.as_secs_f64()), Some(*failures))
        }
        _ => (None, None),
    };
    let ban_for_s = match decision.action {
        Action::Ban { duration } => Some(duration.as_secs_f64()),
        _ => None,
    };
    let (log_for_s, daemon_url) = match &decision.action {
        Action::Log { duration } => (Some(duration.as_secs_f64()), None),
        Action::DaemonUrl { to } => (None, Some(to)),
        Action::Disconnect | Action::Ban { .. } | Action::Evict { .. } | Action::Alert => {
            (None, None)
        }
    };
    let keep_free = match decision.action {
        Action::Evict { keep_free } => Some(keep_free.share()),
        _ => None,
    };
    DecisionJson {
        id,
        at: decision.at.to_string(),
        policy: &decision.policy,
        mode: decision.mode,
        action: decision.action.kind().name(),
        ban_for_s,
        keep_free,
        log_for_s,
        daemon_url,
        scope: decision.target.scope().name(),
        target: decision.target.to_string(),
        outcome: outcome_word(of),
        detail,
        by: by.map(Suppression::word),
        until,
        covered_by,
        hold_s,
        failures,
        held_s: decision.held.as_secs_f64(),
        severity: decision.severity,
        evidence: &decision.evidence,
        sessions: decision.sessions.iter().map(SessionJson::of).collect(),
        spared: decision.spared,
        choice: decision.choice.as_ref(),
        at_once: decision.at_once,
        bans: decision.bans.iter().map(BanJson::of).collect(),
        refused: &decision.refused,
        daemons: &decision.daemons,
        relief: None,
    }
}

/// The same of a journal's row, with what became of the load.
pub(super) fn row_json(row: &Row) -> DecisionJson<'_> {
    DecisionJson {
        relief: row.relief.as_ref(),
        ..decision_json(Some(row.id), &row.decision, &row.outcome)
    }
}

/// See [`decision_json`]; docs/command-line.md tells what each key means.
#[derive(Debug, Serialize)]
pub(super) struct DecisionJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<DecisionId>,
    at: String,
    policy: &'a str,
    mode: Mode,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban_for_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_free: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_for_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon_url: Option<&'a DaemonTarget>,
    scope: &'static str,
    target: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covered_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    held_s: f64,
    severity: f64,
    evidence: &'a [Evidence],
    sessions: Vec<SessionJson>,
    spared: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<&'a Choice>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_once: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bans: Vec<BanJson<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refused: &'a [BanRefusal],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    daemons: &'a [Address],
    #[serde(skip_serializing_if = "Option::is_none")]
    relief: Option<&'a Relief>,
}

#[derive(Debug, Serialize)]
struct BanJson<'a> {
    net: IpNet,
    until: String,
    strikes: f64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holes: &'a [IpNet],
}

impl<'a> BanJson<'a> {
    fn of(ban: &'a BanOrder) -> Self {
        Self {
            net: ban.net,
            until: ban.until.to_string(),
            strikes: ban.strikes,
            holes: &ban.holes,
        }
    }
}

#[derive(Debug, Serialize)]
struct SessionJson {
    id: u64,
    peer: String,
    since: String,
}

impl SessionJson {
    fn of(session: &SessionRef) -> Self {
        Self {
            id: session.id,
            peer: session.peer.to_string(),
            since: session.since.to_string(),
        }
    }
}
