//! Whether an act helped, in words.

use crate::field::Dimension;
use crate::relief::{Load, Relief, Traffic};
use crate::units::{format, format_duration};

use super::show::counted;

/// Names and values, the earliest first; a look that nobody could take is not there.
pub(super) fn facts(relief: &Relief) -> Vec<(&'static str, String)> {
    let looks = [
        ("before", Some(relief.before)),
        ("30s on", relief.soon),
        ("5m on", relief.later),
    ];
    let looks = looks.into_iter();
    looks
        .filter_map(|(name, load)| Some((name, words(&load?))))
        .collect()
}

fn words(load: &Load) -> String {
    let mut parts = Vec::new();
    parts.extend(
        load.target
            .map(|target| format!("target {}", traffic(target))),
    );
    parts.push(format!("all clients {}", traffic(load.clients)));
    let pending = usize::try_from(load.pending_requests).unwrap_or(usize::MAX);
    parts.push(format!(
        "{} pending",
        counted(pending, "request", "requests")
    ));
    let felt = load.felt_latency.map(format_duration);
    parts.extend(felt.map(|felt| format!("a wallet waits {felt}")));
    parts.join("; ")
}

fn traffic(traffic: Traffic) -> String {
    let sessions = usize::try_from(traffic.sessions).unwrap_or(usize::MAX);
    let sessions = counted(sessions, "session", "sessions");
    match traffic.bytes_per_s {
        Some(rate) => format!("{sessions}, {}", format(rate, Dimension::ByteRate)),
        None => sessions,
    }
}
