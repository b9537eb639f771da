//! What of a decision stands in keys of its own in the log, for programs. A line's words say all of it
//! again, for people.

use std::fmt::{self, Write as _};
use std::time::Duration;

use tracing::warn;

use crate::decision::{Decision, Evidence, Outcome, Seen, SessionRef, Target};
use crate::escape;
use crate::journal::OutcomeKind;
use crate::redact::redact;

/// A decision by keys; text that others chose is escaped.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) policy: String,
    pub(crate) mode: String,
    pub(crate) action: String,
    pub(crate) scope: &'static str,
    pub(crate) target: String,
    /// Of a session or an address: the client's IP address, or its /64.
    pub(crate) address: Option<String>,
    pub(crate) sessions: usize,
    pub(crate) outcome: &'static str,
    /// What held it back.
    pub(crate) by: Option<&'static str>,
    /// The server's words.
    pub(crate) detail: Option<String>,
    pub(crate) held_s: f64,
    pub(crate) evidence: &'a [Evidence],
}

impl<'a> Keys<'a> {
    pub(crate) fn of(decision: &'a Decision, outcome: &Outcome) -> Self {
        let (detail, by) = match outcome {
            Outcome::Executed { detail } | Outcome::Failed { detail } => (Some(&**detail), None),
            Outcome::Suppressed(by) => (None, Some(by.word())),
            Outcome::Intended | Outcome::DryRun => (None, None),
        };
        let Decision { target, held, .. } = decision;
        Self {
            policy: shown(&decision.policy),
            mode: decision.mode.to_string(),
            action: decision.action.kind().to_string(),
            scope: target.scope().name(),
            target: shown(&target.to_string()),
            address: address(target),
            sessions: decision.sessions.len(),
            outcome: OutcomeKind::of(outcome).name(),
            by,
            detail: detail.map(|detail| shown(&redact(detail))),
            held_s: Duration::as_secs_f64(held),
            evidence: &decision.evidence,
        }
    }

    /// Logs an alert.
    pub(crate) fn alert(&self, words: fmt::Arguments<'_>) {
        warn!(
            policy = self.policy,
            mode = self.mode,
            action = self.action,
            scope = self.scope,
            target = self.target,
            address = self.address,
            outcome = self.outcome,
            by = self.by,
            evidence = self.evidence(),
            "alert: {words}"
        );
    }

    /// Each test with what it saw, on one line.
    pub(crate) fn evidence(&self) -> String {
        evidence(self.evidence)
    }
}

/// Escaped; JSON escapes its quotes.
fn shown(text: &str) -> String {
    escape::terminal(text, escape::COLUMNS_MAX).into_owned()
}

fn address(target: &Target) -> Option<String> {
    match target {
        Target::Session(SessionRef { peer, .. }) => peer.0.map(|peer| peer.ip().to_string()),
        Target::Address(_) => Some(target.to_string()),
        Target::Server | Target::Subnet(_) | Target::Group(_) | Target::Client(_) => None,
    }
}

/// `sessions 46 (> 20), client "evil" (in @bad)`, escaped. What was seen and what a policy asks lose
/// credentials each for itself, so that neither counts as the other's.
pub(super) fn evidence(evidence: &[Evidence]) -> String {
    let mut text = String::new();
    for Evidence {
        field,
        test,
        seen,
        dimension,
        ..
    } in evidence
    {
        let separator = if text.is_empty() { "" } else { ", " };
        let words = seen.words(*dimension);
        let quote = match seen {
            Seen::Text(_) => "\"",
            Seen::Flag(_) | Seen::Number(_) => "",
        };
        _ = write!(
            text,
            "{separator}{field} {quote}{}{quote} ({})",
            redact(&words),
            redact(test)
        );
    }
    shown(&text)
}
