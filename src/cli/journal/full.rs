//! One decision in full.

use std::io;

use crate::cli::relief;
use crate::cli::screen::Screen;
use crate::cli::show::{self, DIM, HEAD, counted};
use crate::decision::Outcome;
use crate::escape;
use crate::field::Dimension;
use crate::journal::Row;
use crate::units::{format, format_duration};

/// So many sessions of one decision are listed.
const SESSIONS_SHOWN: usize = 20;

/// The server's words are cut to this many columns.
const DETAIL_COLUMNS: usize = 400;

pub(super) fn show(row: &Row, screen: &mut Screen) -> io::Result<()> {
    let decision = &row.decision;
    let style = show::outcome_style(&row.outcome);
    let mut outcome = vec![format!("{style}{}{style:#}", show::outcome(&row.outcome))];
    if let Outcome::Executed { detail } = &row.outcome
        && !detail.is_empty()
    {
        outcome.push(escape::terminal(detail, DETAIL_COLUMNS).into_owned());
    }
    let mut deed = vec![show::action(decision)];
    if !decision.sessions.is_empty() {
        deed.push(counted(decision.sessions.len(), "session", "sessions"));
    }
    if row.sessions_left_out > 0 {
        deed.push(format!("and {} more", row.sessions_left_out));
    }
    if decision.spared > 0 {
        deed.push(format!("{} spared", decision.spared));
    }
    let mut held = format_duration(decision.held);
    if decision.at_once {
        held += ", at once";
    }
    screen.line(format!("{HEAD}Decision {}{HEAD:#}\n", row.id))?;
    let chosen = decision.choice.as_ref().map(show::choice);
    let facts = [
        ("time", show::exact_time(decision.at)),
        (
            "policy",
            format!("{} ({})", show::text(&decision.policy), decision.mode),
        ),
        ("target", show::target(&decision.target)),
        ("action", deed.join(", ")),
        ("outcome", outcome.join(": ")),
        ("held for", held),
        ("severity", severity(decision.severity)),
    ];
    let reliefs = row.relief.iter().flat_map(relief::facts);
    let chosen = chosen.map(|it| ("chosen", it));
    for (name, value) in facts.into_iter().chain(chosen).chain(reliefs) {
        screen.prose(format!("  {DIM}{name:<8}{DIM:#}  {value}"), 12)?;
    }
    screen.line(format!("\n{HEAD}Evidence{HEAD:#}\n"))?;
    let mut table = show::table(&["field", "test", "seen", "threshold"]);
    for evidence in &decision.evidence {
        table.add_row([
            show::text(&evidence.field),
            show::text(&evidence.test),
            show::seen(evidence),
            show::threshold(evidence),
        ]);
    }
    screen.table(table)?;
    if row.evidence_left_out > 0 {
        screen.line(format!("{DIM}and {} more{DIM:#}", row.evidence_left_out))?;
    }
    show_sessions(row, screen)
}

/// How many times the threshold the worst value was.
fn severity(severity: f64) -> String {
    if severity.is_infinite() {
        return "∞".to_owned();
    }
    format(severity, Dimension::Count)
}

fn show_sessions(row: &Row, screen: &mut Screen) -> io::Result<()> {
    let sessions = &row.decision.sessions;
    if sessions.is_empty() {
        return Ok(());
    }
    screen.line(format!("\n{HEAD}Sessions{HEAD:#}\n"))?;
    let mut table = show::table(&["id", "peer", "connected (UTC)"]);
    for session in sessions.iter().take(SESSIONS_SHOWN) {
        table.add_row([
            session.id.to_string(),
            session.peer.to_string(),
            show::time(session.since),
        ]);
    }
    screen.table(table)?;
    let more = sessions.len().saturating_sub(SESSIONS_SHOWN) + row.sessions_left_out as usize;
    if more > 0 {
        screen.line(format!("{DIM}and {more} more{DIM:#}"))?;
    }
    Ok(())
}
