//! The subject's sessions, a line each.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::explain::next::whole_seconds;
use crate::cli::show::{self, BAD, DIM, WARN, counted};
use crate::engine::Protected;
use crate::time::Timestamp;
use crate::warden::{Explanation, Found};

/// So many sessions are listed.
const SESSIONS_SHOWN: usize = 5;

pub(super) fn who_they_are(explanation: &Explanation) -> Vec<String> {
    let sessions = &explanation.sessions;
    let mut lines: Vec<String> = sessions
        .iter()
        .take(SESSIONS_SHOWN)
        .map(|found| session(found, explanation.at))
        .collect();
    let more = sessions.len().saturating_sub(SESSIONS_SHOWN) + explanation.sessions_left_out;
    if more > 0 {
        lines.push(format!(
            "{DIM}and {}{DIM:#}",
            counted(more, "more session", "more sessions")
        ));
    }
    if sessions.is_empty() {
        lines.push(format!(
            "{DIM}it has no session now, and had some within the windows{DIM:#}"
        ));
    }
    lines
}

/// `a regular, known for 3d`: whether its client is one, and for how long it has been connected in all.
pub(super) fn rank(found: &Found) -> String {
    let rank = if found.is_regular {
        "a regular"
    } else {
        "a stranger"
    };
    match found.seniority_s {
        Some(seniority_s) => {
            let known = whole_seconds(Duration::from_secs_f64(seniority_s));
            format!("{rank}, known for {known}")
        }
        None => rank.to_owned(),
    }
}

fn session(found: &Found, at: Timestamp) -> String {
    let session = found.session;
    let mut text = format!(
        "session {} ({}), client \"{}\"",
        session.id,
        session.peer,
        show::text(&found.client)
    );
    if found.is_watched {
        _ = write!(
            text,
            ", connected for {}",
            whole_seconds(at.since(session.since))
        );
        _ = write!(text, ", {}", rank(found));
    } else if !found.is_rpc && !found.is_canary {
        _ = write!(text, ", {BAD}not watched, for a table is full{BAD:#}");
    }
    for (is_so, words) in [
        (found.is_closing, "closing"),
        (found.is_logged, "logged"),
        (
            found.is_ambiguous,
            "an RPC connection bears the same ID: nothing is done to it",
        ),
        (
            found.protected == Some(Protected::Address),
            "protected by its address",
        ),
        (
            found.protected == Some(Protected::Client),
            "protected by its client name",
        ),
    ] {
        if is_so {
            _ = write!(text, ", {WARN}{words}{WARN:#}");
        }
    }
    text
}
