//! The daemons in words, for people.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color};

use super::{Source, View};
use crate::cli::screen::Screen;
use crate::cli::show::{BAD, DIM, GOOD, HEAD, outcome, suppression, table, text, time};
use crate::decision::{Outcome, Seen};
use crate::engine::Looked;
use crate::escape;
use crate::field::Dimension;
use crate::journal::Row;
use crate::policy::{Action, DaemonTarget, Mode};
use crate::status::{DaemonStatus, PolicyStatus, ServerStatus, Status};
use crate::time::Timestamp;
use crate::units::{format, format_duration};
use crate::watch::State;

/// The server's words are cut to this many columns.
const OUTCOME_COLUMNS: usize = 200;

/// A test is cut to this many columns.
const TEST_COLUMNS: usize = 120;

pub(super) fn show(view: &View, now: Timestamp, screen: &mut Screen) -> io::Result<()> {
    let status = &view.status;
    if view.has_server {
        screen.entry(&server(&status.server), 4)?;
        screen.entry(&blocks(&status.server), 4)?;
    }
    screen.entry(&looked(view, now), 4)?;
    screen.line("")?;
    show_daemons(status, screen)?;
    screen.line("")?;
    let mut policies = table(&["POLICY", "NEXT", "BECAUSE"]);
    policies.add_rows(status.policies.iter().map(policy_row));
    screen.table(policies)?;
    if let [_, ..] = &view.changes[..] {
        screen.line("")?;
        let mut changes = table(&["LAST CHANGES", "POLICY", "TO", "OUTCOME"]);
        changes.add_rows(view.changes.iter().map(change_row));
        screen.table(changes)?;
    }
    Ok(())
}

/// `ElectrumX 1.20.0, BitcoinMainnet, uses the daemon 10.0.0.2:8332`
fn server(server: &ServerStatus) -> String {
    let known = [&server.version, &server.coin].into_iter().flatten();
    let mut words: Vec<String> = known.map(|word| text(word)).collect();
    words.push(match &server.daemon {
        Some(daemon) => format!("uses the daemon {HEAD}{}{HEAD:#}", text(daemon)),
        None => format!("{BAD}its daemon is not known{BAD:#}"),
    });
    words.join(", ")
}

/// `daemon's height 800123, index 800123, no block for 12m; nothing holds blocks up`
fn blocks(server: &ServerStatus) -> String {
    let height = |height: Option<u64>| height.map_or("not known".to_owned(), |h| h.to_string());
    let daemon = height(server.daemon_height);
    let mut line = format!(
        "daemon's height {daemon}, index {}",
        height(server.db_height)
    );
    if let Some(stalled) = server
        .daemon_stalled
        .filter(|stalled| stalled.as_secs() > 0)
    {
        _ = write!(line, ", no block for {}", lasted(stalled));
    }
    if let Some(odds) = server.daemon_stall_odds.filter(|odds| *odds < 0.1) {
        let odds = format(odds, Dimension::Share);
        _ = write!(line, " ({odds} of blocks take longer)");
    }
    match server.stall.as_deref() {
        None => {}
        Some("none") => _ = write!(line, "; {GOOD}nothing holds blocks up{GOOD:#}"),
        Some(stall) => _ = write!(line, "; {BAD}{stall}{BAD:#}"),
    }
    line
}

/// Who looked, and when.
fn looked(view: &View, now: Timestamp) -> String {
    let status = &view.status;
    if view.source == Source::Asked {
        return format!(
            "{DIM}asked just now; how long things have lasted, only a running agent knows{DIM:#}"
        );
    }
    let ago = lasted(now.since(status.at));
    let silent = status.at.since(status.server.polled);
    let silent = if silent > status.interval {
        let silent = lasted(silent);
        format!("; {BAD}the server has not answered for {silent}, and this is from before{BAD:#}")
    } else {
        String::new()
    };
    format!(
        "{DIM}as the agent saw it {ago} ago, mode {}{DIM:#}{silent}",
        status.mode
    )
}

fn show_daemons(status: &Status, screen: &mut Screen) -> io::Result<()> {
    let mut daemons = table(&["", "DAEMON", "HEIGHT", "GAP", "STATE", "FOR", "HEALTH"]);
    let rows = (1..).zip(&status.daemons);
    daemons.add_rows(rows.map(|(place, daemon)| daemon_row(place, daemon, status.at)));
    for index in [2, 3] {
        if let Some(column) = daemons.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    screen.table(daemons)
}

fn daemon_row(place: u32, daemon: &DaemonStatus, at: Timestamp) -> Vec<Cell> {
    let role = if place == 1 { "primary" } else { "backup" };
    let in_use = if daemon.in_use == Some(true) {
        ", in use"
    } else {
        ""
    };
    let state = daemon.state.as_ref();
    let shown = state.map_or("not probed yet".to_owned(), |state| {
        text(&state.to_string())
    });
    let color = if state == Some(&State::Healthy) {
        Color::Green
    } else {
        Color::Red
    };
    let number = |number: Option<String>| Cell::new(number.unwrap_or_else(|| "-".into()));
    vec![
        Cell::new(format!("{role}{in_use}")),
        Cell::new(text(&daemon.address)),
        number(daemon.height.map(|height| height.to_string())),
        number(daemon.height_gap.map(|gap| gap.to_string())),
        Cell::new(shown).fg(color),
        Cell::new(lasted(at.since(daemon.since))),
        health(daemon, at),
    ]
}

/// `up for 2h`, `down for 5m, 3 of 12 checks to rise`
fn health(daemon: &DaemonStatus, at: Timestamp) -> Cell {
    let (mut words, color, turn) = match daemon.is_healthy {
        Some(true) => ("up".to_owned(), Color::Green, "checks to fall"),
        Some(false) => ("down".to_owned(), Color::Red, "checks to rise"),
        None => ("not known yet".to_owned(), Color::Yellow, "checks alike"),
    };
    if let Some(since) = daemon.is_healthy_since {
        _ = write!(words, " for {}", lasted(at.since(since)));
    }
    if let Some((checks, needed)) = daemon.turning {
        _ = write!(words, ", {checks} of {needed} {turn}");
    }
    Cell::new(words).fg(color)
}

/// The policy, what it is about to do, and why, or why not yet.
fn policy_row(status: &PolicyStatus) -> Vec<Cell> {
    let standing = &status.standing;
    let because = if standing.is_due() {
        all(&standing.when, |_| true, seen)
    } else if standing.holds {
        let [held, hold] = [standing.held, standing.hold].map(lasted);
        let when = all(&standing.when, |_| true, seen);
        format!("for {held} of {hold}: {when}")
    } else if standing.unless.is_empty() {
        all(&standing.when, |test| !test.holds, lacking)
    } else {
        format!("spared: {}", all(&standing.unless, |_| true, seen))
    };
    let (next, color) = next(status);
    let next = Cell::new(next);
    vec![
        Cell::new(text(&standing.policy)),
        match color {
            Some(color) => next.fg(color),
            None => next,
        },
        Cell::new(because),
    ]
}

/// What happens next: `nothing`, `to the primary in 3m40s`, `held back: ...`.
fn next(status: &PolicyStatus) -> (String, Option<Color>) {
    let standing = &status.standing;
    if !standing.holds {
        return ("nothing".to_owned(), None);
    }
    if let Some(by) = &status.held_back {
        return (
            format!("held back: {}", suppression(by)),
            Some(Color::Yellow),
        );
    }
    let deed = deed(&standing.action);
    let mode = match status.mode {
        Mode::Enforce => "",
        Mode::DryRun => " (dry-run)",
        Mode::Off => " (off)",
    };
    if standing.is_due() {
        return (format!("{deed} now{mode}"), Some(Color::Green));
    }
    let left = lasted(standing.hold.saturating_sub(standing.held));
    (format!("{deed} in {left}{mode}"), Some(Color::Yellow))
}

fn deed(action: &Action) -> String {
    match action {
        Action::DaemonUrl { to } => match to {
            DaemonTarget::Primary => "to the primary".to_owned(),
            DaemonTarget::Best => "to the best daemon".to_owned(),
            DaemonTarget::Default => "to the server's own list".to_owned(),
            DaemonTarget::List(daemons) => format!("to {}", text(&daemons.join(", "))),
        },
        _ => action.kind().to_string(),
    }
}

/// The tests of a table that `is_wanted` lets through, in words.
fn all(tests: &[Looked], is_wanted: fn(&Looked) -> bool, words: fn(&Looked) -> String) -> String {
    let tests = tests.iter().filter(|test| is_wanted(test)).map(words);
    tests.collect::<Vec<_>>().join(", ")
}

/// `height_lag is 0`
fn seen(looked: &Looked) -> String {
    let value = match &looked.seen {
        None => "not known".to_owned(),
        Some(Seen::Flag(flag)) => flag.to_string(),
        Some(Seen::Number(number)) => format(*number, looked.dimension.unwrap_or(Dimension::Count)),
        Some(Seen::Text(seen)) => format!("\"{}\"", text(seen)),
    };
    format!("{} is {value}", text(&looked.field))
}

/// `daemon_height_gap is 0 (wanted: >= 3)`
fn lacking(looked: &Looked) -> String {
    let test = escape::terminal(&looked.test, TEST_COLUMNS);
    format!("{} (wanted: {test})", seen(looked))
}

fn change_row(row: &Row) -> Vec<Cell> {
    let to = row.decision.daemons.first();
    let outcome = match &row.outcome {
        Outcome::Executed { detail } => escape::terminal(detail, OUTCOME_COLUMNS).into_owned(),
        other => outcome(other),
    };
    vec![
        Cell::new(time(row.decision.at)),
        Cell::new(text(&row.decision.policy)),
        Cell::new(to.map_or("the server's own list".to_owned(), |to| text(to))),
        Cell::new(outcome),
    ]
}

/// To the second.
fn lasted(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs()))
}
