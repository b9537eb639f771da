//! When a policy may act again on the target of a decision, as far as anybody knows.

use std::time::Duration;

use crate::cli::show;
use crate::decision::{Outcome, Suppression};
use crate::journal::{DecisionId, Filter, JournalError, Reader, Replayed, Row};
use crate::time::Timestamp;
use crate::units::format_duration;

/// So many later decisions of the same target are looked through.
const LATER_MAX: u32 = 200;

/// From where a journal is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum View {
    /// An agent's journal, at a time.
    Now(Timestamp),
    /// A replay's: nothing is known beyond the recording's end.
    EndOf(Timestamp),
}

/// What followed a decision that was made in dry-run: its cooldown is nowhere but in what it held back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Later {
    LeftAlone { until: Timestamp, by: DecisionId },
    Again { at: Timestamp, by: DecisionId },
}

/// What is known of the time after a decision.
#[derive(Debug)]
pub(super) struct After {
    view: View,
    /// Until when the policy leaves the target alone, by the state that the journal keeps.
    pub(super) cooldown_until: Option<Timestamp>,
    later: Option<Later>,
    /// The policy's own `cooldown`, if its policies are known.
    cooldown: Option<Duration>,
}

impl View {
    pub(super) fn of(replayed: Option<&Replayed>, now: Timestamp) -> Self {
        replayed.map_or(Self::Now(now), |replayed| Self::EndOf(replayed.to))
    }

    const fn at(self) -> Timestamp {
        match self {
            Self::Now(at) | Self::EndOf(at) => at,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Now(_) => "now",
            Self::EndOf(_) => "when the recording ended",
        }
    }

    /// `until 2026-01-01 00:10:00 (in 3m)`
    pub(super) fn until(self, until: Timestamp) -> String {
        let left = until.since(self.at());
        let left_text = whole_seconds(left.max(Duration::from_secs(1)));
        let time = show::time(until);
        match self {
            Self::Now(_) if left.is_zero() => format!("until {time}, which has passed"),
            Self::Now(_) => format!("until {time} (in {left_text})"),
            Self::EndOf(_) if left.is_zero() => format!("until {time}"),
            Self::EndOf(_) => {
                format!("until {time}, {left_text} after the recording's end")
            }
        }
    }
}

/// To the second, as nobody needs it more exactly.
pub(super) fn whole_seconds(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs()))
}

impl After {
    /// With the policy's `cooldown`, if it is known.
    pub(super) fn of(
        row: &Row,
        reader: &Reader,
        view: View,
        cooldown: Option<Duration>,
    ) -> Result<Self, JournalError> {
        Ok(Self {
            view,
            cooldown_until: cooldown_until(row, reader)?,
            later: match row.outcome {
                Outcome::DryRun => later(row, reader)?,
                _ => None,
            },
            cooldown,
        })
    }

    /// When the policy may act on this target again.
    pub(super) fn next(&self, row: &Row) -> String {
        let view = self.view;
        let is_to_come = |until: &Timestamp| *until > view.at();
        if let Some(until) = self.cooldown_until.filter(is_to_come) {
            return format!("the policy leaves this target alone {}", view.until(until));
        }
        match &row.outcome {
            Outcome::Suppressed(by) => self.after_suppression(row, by),
            Outcome::Executed { .. } | Outcome::Failed { .. } => {
                format!(
                    "{}: no cooldown of the policy runs for this target",
                    view.word()
                )
            }
            Outcome::Intended => "now, as far as the journal says".to_owned(),
            Outcome::DryRun => self.after_dry_run(row),
        }
    }

    fn after_suppression(&self, row: &Row, by: &Suppression) -> String {
        let view = self.view;
        match (by, by.until()) {
            (_, Some(until)) if until > view.at() => {
                format!("not {}, if its tests hold then", view.until(until))
            }
            (_, Some(_)) => format!("{}: what held it back has ended", view.word()),
            (Suppression::Backoff { hold, .. }, None) => {
                let left = hold.saturating_sub(row.decision.held);
                let at = row.decision.at + left;
                format!("not before {}", show::time(at))
            }
            (Suppression::Covered { .. }, None) => "at any poll at which its tests hold".to_owned(),
            (_, None) => "at any poll at which its tests hold, and that no longer does".to_owned(),
        }
    }

    /// Decisions in dry-run have cooldowns too. The agent keeps those in mind alone.
    fn after_dry_run(&self, row: &Row) -> String {
        let view = self.view;
        let at = row.decision.at;
        let by_policy = self.cooldown.map(|cooldown| (at + cooldown, cooldown));
        match (self.later, by_policy) {
            (Some(Later::Again { at, by }), _) => {
                format!("it was decided again at {}: decision {by}", show::time(at))
            }
            (Some(Later::LeftAlone { until, by }), _) if until > view.at() => format!(
                "not {}: the cooldown of this decision, which held back decision {by}",
                view.until(until)
            ),
            (Some(Later::LeftAlone { until, .. }), _) => format!(
                "{}, if its tests hold: the cooldown of this decision was over at {}",
                view.word(),
                show::time(until)
            ),
            (None, Some((until, cooldown))) if until > view.at() => format!(
                "not {}, by the policy's `cooldown` of {}; an agent that starts anew has forgotten it, as \
                 this is dry-run",
                view.until(until),
                format_duration(cooldown)
            ),
            (None, Some((_, cooldown))) => format!(
                "{}, if its tests hold: the policy's `cooldown` of {} is over",
                view.word(),
                format_duration(cooldown)
            ),
            (None, None) if matches!(view, View::EndOf(_)) => {
                format!(
                    "{}: no cooldown of the policy runs for this target",
                    view.word()
                )
            }
            (None, None) => format!(
                "when the policy's `cooldown` after {} is over: the journal keeps none in dry-run, \
                 `--config FILE` tells it",
                show::time(at)
            ),
        }
    }
}

fn cooldown_until(row: &Row, reader: &Reader) -> Result<Option<Timestamp>, JournalError> {
    let state = reader.load_state()?;
    let decision = &row.decision;
    let same = state
        .cooldowns
        .into_iter()
        .find(|cooldown| cooldown.policy == decision.policy && cooldown.target == decision.target);
    Ok(same.map(|cooldown| cooldown.until))
}

/// The next decision of the same policy about the same target that says how long this one held it back.
fn later(row: &Row, reader: &Reader) -> Result<Option<Later>, JournalError> {
    let decision = &row.decision;
    let rows = reader.query(&Filter {
        since: Some(decision.at),
        policy: Some(decision.policy.to_string()),
        target_contains: Some(decision.target.to_string()),
        beyond: Some(row.id),
        newest_first: false,
        limit: LATER_MAX,
        ..Filter::default()
    })?;
    let mut same = rows
        .iter()
        .filter(|later| later.decision.target == decision.target);
    Ok(same.find_map(|later| {
        let by = later.id;
        match &later.outcome {
            Outcome::Suppressed(Suppression::Cooldown { until }) => {
                Some(Later::LeftAlone { until: *until, by })
            }
            Outcome::Suppressed(_) => None,
            _ => {
                let at = later.decision.at;
                Some(Later::Again { at, by })
            }
        }
    }))
}
