//! The subject's sessions, a line each.

use std::fmt::Write as _;

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
    } else if !found.is_rpc {
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
