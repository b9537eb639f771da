//! How one policy stands with its target, in a few words.

use std::fmt::Write as _;

use anstyle::Style;

use crate::cli::explain::next::whole_seconds;
use crate::cli::show::{self, DIM, GOOD, WARN, counted};
use crate::engine::{Apart, Looked, Missing};
use crate::policy::{Action, Mode};
use crate::units::format_duration;
use crate::warden::{Account, Explanation};

/// What comes of it.
pub(super) fn verdict(account: &Account, explanation: &Explanation) -> (Style, String) {
    let standing = &account.standing;
    let deed = deed(account);
    match account.apart {
        Some(Apart::Private) => {
            return (
                DIM,
                "its peer is private, and the policy has no `include_private`".to_owned(),
            );
        }
        Some(Apart::Closing) => return (DIM, "the session is closing".to_owned()),
        Some(Apart::Absent) => return (DIM, "the server does not name this group now".to_owned()),
        None => {}
    }
    if let Some(due) = &account.due {
        if let Some(by) = &account.held_back {
            let mut text = format!("due to {deed}, and held back: {}", show::suppression(by));
            if let Some(until) = by.until() {
                _ = write!(text, " (in {})", whole_seconds(until.since(explanation.at)));
            }
            return (WARN, text);
        }
        let withheld = match due.withheld {
            0 => String::new(),
            more => format!(
                "; {} left for the next poll, for want of budget",
                counted(more, "session is", "sessions are")
            ),
        };
        return match account.mode {
            Mode::Enforce => (GOOD, format!("acts at this poll: {deed}{withheld}")),
            Mode::DryRun | Mode::Off => (
                WARN,
                format!("due to {deed}, and nothing is done: mode dry-run{withheld}"),
            ),
        };
    }
    if standing.is_due() {
        return (
            DIM,
            "it holds, and there is no session to act on".to_owned(),
        );
    }
    if standing.holds {
        let at = explanation.at + standing.hold.saturating_sub(standing.held);
        let mut text = format!(
            "for {} of {}; due to {deed} at {} if it goes on",
            whole_seconds(standing.held),
            format_duration(standing.hold),
            show::time(at)
        );
        if let Some(by) = &account.held_back {
            _ = write!(text, ", and then held back: {}", show::suppression(by));
        }
        return (WARN, text);
    }
    if !standing.unless.is_empty() {
        let tests: Vec<String> = standing.unless.iter().map(saw).collect();
        return (DIM, format!("spared by its `unless`: {}", tests.join(", ")));
    }
    if let Some((field, missing)) = unknown(account) {
        return (
            DIM,
            format!("`{field}` is not known: {}", missing_words(missing)),
        );
    }
    let tests = standing.nearest().map(|(table, _)| {
        let failing = table.iter().filter(|looked| !looked.holds);
        failing.map(saw).collect::<Vec<_>>().join(", ")
    });
    (DIM, format!("no: {}", tests.unwrap_or_default()))
}

/// What the policy wants done: `disconnect 3 sessions`.
fn deed(account: &Account) -> String {
    let action = &account.standing.action;
    let kind = action.kind();
    let sessions = account.due.as_ref().filter(|_| kind.is_done_to_sessions());
    let sessions = sessions
        .map(|due| due.sessions)
        .filter(|&sessions| sessions > 0);
    let sessions =
        sessions.map(|sessions| format!(" {}", counted(sessions, "session", "sessions")));
    match action {
        Action::Log { duration } => format!(
            "log{} for {}",
            sessions.unwrap_or_default(),
            format_duration(*duration)
        ),
        Action::DaemonUrl { .. } => "change the daemon".to_owned(),
        Action::Ban { duration } => format!(
            "ban{} for {}",
            sessions.unwrap_or_default(),
            format_duration(*duration)
        ),
        Action::Evict { keep_free } => format!("evict until {keep_free} of the slots are free"),
        Action::Disconnect | Action::Alert => format!("{kind}{}", sessions.unwrap_or_default()),
    }
}

/// `sent_rate is 3 B/s (> 1 MiB/s)`
fn saw(looked: &Looked) -> String {
    let seen = looked.seen.as_ref();
    let asked = asked(looked);
    let seen = seen.map(|seen| show::quoted_like(seen, looked.dimension, &asked));
    let seen = seen.unwrap_or_else(|| "not known".to_owned());
    format!("{} is {seen} ({asked})", show::text(&looked.field))
}

pub(super) fn asked(looked: &Looked) -> String {
    show::asked(&looked.test, looked.threshold, looked.dimension)
}

/// The first test that keeps the policy from being judged, if nothing else speaks against it.
pub(super) fn unknown(account: &Account) -> Option<(String, Missing)> {
    let is_open = |table: &&Vec<Looked>| {
        let mut failing = table.iter().filter(|looked| !looked.holds);
        failing.all(|looked| looked.missing.is_some())
    };
    if account.standing.holds || !account.standing.unless.is_empty() {
        return None;
    }
    let table = account.standing.when.iter().find(is_open)?;
    let looked = table.iter().find(|looked| looked.missing.is_some())?;
    Some((show::text(&looked.field), looked.missing?))
}

pub(super) fn missing_words(missing: Missing) -> String {
    match missing {
        Missing::Window { since, until } => format!(
            "watched since {}, and its window is covered from {} on",
            show::time(since),
            show::time(until)
        ),
        Missing::Population => format!(
            "fewer than {} regulars have a value, too few to say what is normal",
            crate::policy::POPULATION_MIN
        ),
        Missing::Release => "this server does not give it".to_owned(),
        Missing::Inspection => {
            "the session was not inspected: it has shown no cost of errors".to_owned()
        }
        Missing::Slots => "no number of slots is configured".to_owned(),
        Missing::Probes => "the daemons are not probed".to_owned(),
        Missing::Canary => "no visit of the canary tells it".to_owned(),
        Missing::Members => "which sessions make up the group is not certain".to_owned(),
        Missing::Version => "the client's name has no version in it".to_owned(),
        Missing::Apart => {
            "its peer is private and stands for many people, so nothing is around it".to_owned()
        }
        Missing::Untold => "the server does not tell it".to_owned(),
    }
}
