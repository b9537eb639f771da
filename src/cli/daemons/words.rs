//! The daemons in words, for people.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, Table};

use super::{Source, View};
use crate::cli::screen::Screen;
use crate::cli::show::{BAD, DIM, GOOD, HEAD, outcome, quoted, suppression, table, text, time};
use crate::decision::Outcome;
use crate::engine::Looked;
use crate::escape;
use crate::field::Dimension;
use crate::journal::{Holder, Row};
use crate::policy::{Action, DaemonTarget, Mode};
use crate::status::{DaemonStatus, PolicyStatus, ServerStatus};
use crate::time::Timestamp;
use crate::units::{format, format_duration};
use crate::watch::State;

/// The server's words are cut to this many columns.
const OUTCOME_COLUMNS: usize = 200;

/// A daemon's words are cut to this many columns.
const DETAIL_COLUMNS: usize = 200;

/// A test is cut to this many columns.
const TEST_COLUMNS: usize = 120;

pub(super) fn show(view: &View, now: Timestamp, screen: &mut Screen) -> io::Result<()> {
    let status = &view.status;
    if view.has_server && status.server.polled.is_some() {
        screen.entry(&server(&status.server), 4)?;
        screen.entry(&blocks(&status.server), 4)?;
    }
    screen.entry(&looked(view, now), 4)?;
    if let Some(outage) = status.outage {
        screen.entry(&format!("{BAD}{outage}{BAD:#}"), 4)?;
    }
    if let Some(daemon) = status
        .server
        .daemon
        .as_deref()
        .filter(|_| status.server.is_daemon_foreign)
    {
        let daemon = text(daemon);
        let line = format!(
            "{BAD}`{daemon}` is none of `[server.daemon]`, so nothing is known of it and nothing \
             changed: write hosts and ports as ElectrumX has them{BAD:#}"
        );
        screen.entry(&line, 4)?;
    }
    screen.line("")?;
    show_daemons(view, screen)?;
    screen.line("")?;
    let mut policies = table(&["POLICY", "NEXT", "BECAUSE"]);
    policies.add_rows(status.policies.iter().map(policy_row));
    keep_whole(&mut policies, &[0]);
    screen.table(policies)?;
    if let [_, ..] = &view.changes[..] {
        screen.line("")?;
        let mut changes = table(&["LAST CHANGES", "POLICY", "TO", "OUTCOME"]);
        changes.add_rows(view.changes.iter().map(change_row));
        keep_whole(&mut changes, &[0, 1, 2]);
        screen.table(changes)?;
    }
    Ok(())
}

/// A broken address reads like another one.
fn keep_whole(table: &mut Table, columns: &[usize]) {
    for &index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
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
        Some(stall) => _ = write!(line, "; {BAD}{}{BAD:#}", text(stall)),
    }
    line
}

/// Who looked, and when.
fn looked(view: &View, now: Timestamp) -> String {
    let status = &view.status;
    if view.source == Source::Asked {
        let agent = match view.holder {
            Holder::Process(Some(process)) => {
                format!("the agent (process {process}) was not asked, or has left nothing to read")
            }
            Holder::Process(None) => {
                "the agent was not asked, or has left nothing to read".to_owned()
            }
            Holder::Nobody | Holder::Unknown => "no agent runs".to_owned(),
        };
        return format!(
            "{DIM}asked just now, for {agent}; how long things have lasted, only a running agent \
             knows{DIM:#}"
        );
    }
    let age = now.since(status.at);
    let ago = match age.as_secs() {
        0 => "just now".to_owned(),
        _ => format!("{} ago", lasted(age)),
    };
    let mut line = format!(
        "{DIM}as the agent saw it {ago}, mode {}{DIM:#}",
        status.mode
    );
    if age > status.late_after() {
        let age = lasted(age);
        _ = write!(
            line,
            "; {BAD}it has not reported for {age}: the server is slow, or it hangs{BAD:#}"
        );
    } else if let Some(silent) = status.silent() {
        let silent = lasted(silent);
        _ = write!(
            line,
            "; {BAD}the server has not answered for {silent}, and what is said of it is from before{BAD:#}"
        );
    } else if status.server.polled.is_none() {
        _ = write!(line, "; {BAD}the server has not answered yet{BAD:#}");
    }
    line
}

fn show_daemons(view: &View, screen: &mut Screen) -> io::Result<()> {
    let mut daemons = table(&["", "DAEMON", "HEIGHT", "GAP", "LAST CHECK", "FOR", "HEALTH"]);
    let rows = (1..).zip(&view.status.daemons);
    daemons.add_rows(rows.map(|(place, daemon)| daemon_row(place, daemon, view)));
    for index in [2, 3] {
        if let Some(column) = daemons.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    keep_whole(&mut daemons, &[0, 1, 2, 3, 5]);
    screen.table(daemons)?;
    for daemon in &view.status.daemons {
        if let Some(detail) = daemon.state.as_ref().and_then(State::detail) {
            let detail = escape::terminal(detail, DETAIL_COLUMNS);
            screen.entry(
                &format!("{DIM}{}: {detail}{DIM:#}", text(&daemon.address)),
                4,
            )?;
        }
    }
    Ok(())
}

fn daemon_row(place: u32, daemon: &DaemonStatus, view: &View) -> Vec<Cell> {
    let at = view.status.at;
    let role = if place == 1 { "primary" } else { "backup" };
    let in_use = if daemon.in_use == Some(true) {
        ", in use"
    } else {
        ""
    };
    let state = daemon.state.as_ref();
    let shown = state.map_or("not probed yet".to_owned(), State::short);
    let color = if state == Some(&State::Healthy) {
        Color::Green
    } else {
        Color::Red
    };
    let known = |number: Option<String>| Cell::new(number.unwrap_or_else(|| "-".into()));
    let has_lasted = view.source == Source::Agent;
    vec![
        Cell::new(format!("{role}{in_use}")),
        Cell::new(text(&daemon.address)),
        known(daemon.height.map(|height| height.to_string())),
        known(daemon.height_gap.map(|gap| gap.to_string())),
        Cell::new(shown).fg(color),
        known(has_lasted.then(|| lasted(at.since(daemon.since)))),
        health(daemon, at),
    ]
}

/// `healthy for 2h`, `unhealthy for 5m, 3 of 12 checks to rise`
fn health(daemon: &DaemonStatus, at: Timestamp) -> Cell {
    if daemon.state == Some(State::WrongCredentials) {
        return Cell::new("not known, for it refuses the agent").fg(Color::Yellow);
    }
    let (mut words, color, turn) = match daemon.is_healthy {
        Some(true) => ("healthy".to_owned(), Color::Green, "checks to fall"),
        Some(false) => ("unhealthy".to_owned(), Color::Red, "checks to rise"),
        None => ("not known yet".to_owned(), Color::Yellow, "checks alike"),
    };
    if let Some(since) = daemon.health_since {
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
    let because = if let Some(holding) = standing.holding().filter(|_| standing.holds) {
        let holding = all(holding, |_| true, seen);
        if standing.is_due() {
            holding
        } else {
            let [held, hold] = [standing.held, standing.hold].map(lasted);
            format!("for {held} of {hold}: {holding}")
        }
    } else if standing.unless.is_empty() {
        nearest(&standing.when)
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

/// What each table lacks, but not of one that lacks all that another does, and more.
fn nearest(when: &[Vec<Looked>]) -> String {
    let failing = |table: &[Looked]| -> Vec<String> {
        let failing = table.iter().filter(|test| !test.holds);
        failing.map(lacking).collect()
    };
    let mut nearest: Vec<Vec<String>> = Vec::new();
    for table in when.iter().map(|table| failing(table)) {
        let covers = |less: &[String], more: &[String]| less.iter().all(|test| more.contains(test));
        if !nearest.iter().any(|other| covers(other, &table)) {
            nearest.retain(|other| !covers(&table, other));
            nearest.push(table);
        }
    }
    let tables = nearest.iter().map(|table| table.join(" and "));
    format!("needs {}", tables.collect::<Vec<_>>().join("; or else "))
}

/// What happens next: `nothing`, `to 10.0.0.1:8332 in 3m40s`, `held back: ...`.
fn next(status: &PolicyStatus) -> (String, Option<Color>) {
    let standing = &status.standing;
    if !standing.holds {
        let failing = |test: &&Looked| !test.holds;
        let is_open =
            |table: &Vec<Looked>| table.iter().filter(failing).all(|test| test.seen.is_none());
        let is_known = !standing.unless.is_empty() || !standing.when.iter().any(is_open);
        return (
            if is_known { "nothing" } else { "not known yet" }.to_owned(),
            None,
        );
    }
    let mode = match status.mode {
        Mode::Enforce => "",
        Mode::DryRun => " (dry-run)",
        Mode::Off => " (off)",
    };
    let deed = deed(status);
    let held_back = status.held_back.as_ref().map(suppression);
    let left = lasted(standing.hold.saturating_sub(standing.held));
    match (held_back, standing.is_due()) {
        (None, true) => (format!("{deed} now{mode}"), Some(Color::Green)),
        (None, false) => (format!("{deed} in {left}{mode}"), Some(Color::Yellow)),
        (Some(why), true) => (format!("held back{mode}: {why}"), Some(Color::Yellow)),
        (Some(why), false) => (
            format!("{deed} in {left}{mode}, but held back: {why}"),
            Some(Color::Yellow),
        ),
    }
}

fn deed(status: &PolicyStatus) -> String {
    match (&status.standing.action, &status.to) {
        (Action::DaemonUrl { .. }, Some(to)) => format!("to {}", text(to)),
        (Action::DaemonUrl { to }, None) => match to {
            DaemonTarget::Primary => "to the primary".to_owned(),
            DaemonTarget::Best => "to the best daemon".to_owned(),
            DaemonTarget::Default => "to the server's own list".to_owned(),
            DaemonTarget::List(daemons) => format!("to {}", text(&daemons.join(", "))),
        },
        (action, _) => action.kind().to_string(),
    }
}

/// The tests of a table that `is_wanted` lets through, in words.
fn all(tests: &[Looked], is_wanted: fn(&Looked) -> bool, words: fn(&Looked) -> String) -> String {
    let tests = tests.iter().filter(|test| is_wanted(test)).map(words);
    tests.collect::<Vec<_>>().join(", ")
}

/// `height_lag is 0`
fn seen(looked: &Looked) -> String {
    format!("{} is {}", text(&looked.field), value(looked))
}

fn value(looked: &Looked) -> String {
    let seen = looked.seen.as_ref();
    let value = seen.map(|seen| quoted(seen, looked.dimension));
    value.unwrap_or_else(|| "not known".to_owned())
}

/// `daemon_height_gap >= 3 (now 0)`
fn lacking(looked: &Looked) -> String {
    let test = escape::terminal(&looked.test, TEST_COLUMNS);
    let now = if looked.seen.is_some() { "now " } else { "" };
    format!("{} {test} ({now}{})", text(&looked.field), value(looked))
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
