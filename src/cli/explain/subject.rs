//! How the policies stand with a session or an address, in words.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use anstyle::Style;
use comfy_table::{Cell, Color, ColumnConstraint};
use unicode_width::UnicodeWidthStr as _;

use super::Source;
use super::next::View;
use crate::cli::screen::Screen;
use crate::cli::show::{self, BAD, DIM, GOOD, HEAD, WARN, counted};
use crate::decision::Target;
use crate::engine::{Apart, Looked, Missing, Protected};
use crate::field::Dimension;
use crate::policy::{Action, Mode};
use crate::time::Timestamp;
use crate::units::{format, format_duration};
use crate::warden::{Account, Explanation, Found, Subject};

/// So many policies are told in full.
const IN_FULL_MAX: usize = 4;

/// So many more in a line each.
const LINES_MAX: usize = 40;

/// So many sessions are listed.
const SESSIONS_SHOWN: usize = 5;

/// A policy that is not so near to holding is not worth a word in the summary.
const NEAR: f64 = 0.001;

/// Nor, if it is not so near, more than a line.
const NEAR_IN_FULL: f64 = 0.25;

/// `session 42`, `203.0.113.7`
pub(super) fn who(subject: Subject) -> String {
    match subject {
        Subject::Session(id) => format!("session {id}"),
        Subject::Address(address) => address.to_string(),
    }
}

pub(super) fn show(
    explanation: &Explanation,
    source: &Source,
    now: Timestamp,
    screen: &mut Screen,
) -> io::Result<()> {
    let (style, summary) = summary(explanation);
    screen.entry(&format!("{style}{summary}{style:#}"), 4)?;
    for line in who_they_are(explanation) {
        screen.entry(&line, 4)?;
    }
    screen.entry(&where_from(explanation, source, now), 4)?;
    if let Some(until) = explanation.breaker_open_until {
        let until = View::Now(explanation.at).until(until);
        screen.entry(
            &format!("{BAD}the breaker is open {until}: nothing but alerts is carried out{BAD:#}"),
            4,
        )?;
    }
    let is_told_in_full = |account: &Account| {
        account.apart.is_none()
            && (account.standing.holds || account.standing.progress() >= NEAR_IN_FULL)
            && (account.target != Target::Server || account.due.is_some())
    };
    let accounts = explanation.accounts.iter();
    let (full, rest): (Vec<_>, Vec<_>) = accounts.partition(|account| is_told_in_full(account));
    let (full, more) = full.split_at(full.len().min(IN_FULL_MAX));
    for account in full {
        screen.line("")?;
        show_in_full(account, explanation, screen)?;
    }
    let rest: Vec<&Account> = more.iter().copied().chain(rest).collect();
    show_in_lines(&rest, explanation, screen)?;
    if !explanation.off.is_empty() {
        let off: Vec<String> = explanation
            .off
            .iter()
            .map(|name| show::text(name))
            .collect();
        screen.entry(&format!("{DIM}off: {}{DIM:#}", off.join(", ")), 4)?;
    }
    Ok(())
}

/// A policy a row.
fn show_in_lines(
    accounts: &[&Account],
    explanation: &Explanation,
    screen: &mut Screen,
) -> io::Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = show::table(&["POLICY", "FOR", "HOW IT STANDS"]);
    for account in accounts.iter().take(LINES_MAX) {
        let (style, verdict) = verdict(account, explanation);
        let verdict = Cell::new(verdict);
        table.add_row([
            Cell::new(show::text(&account.standing.policy)),
            Cell::new(short_target(&account.target)),
            if style == WARN {
                verdict.fg(Color::Yellow)
            } else {
                verdict
            },
        ]);
    }
    for index in [0, 1] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    screen.table(table)?;
    let more = accounts.len().saturating_sub(LINES_MAX);
    if more > 0 {
        screen.line(format!(
            "{DIM}and {more} more, still further away: --format json has all{DIM:#}"
        ))?;
    }
    Ok(())
}

/// A client's name can be as long as it likes to be; a session is known by its ID.
fn short_target(target: &Target) -> String {
    match target {
        Target::Server => "server".to_owned(),
        Target::Session(session) => format!("session {}", session.id),
        Target::Address(_) | Target::Subnet(_) => target.to_string(),
        Target::Group(_) | Target::Client(_) => {
            format!("its {}", target.scope())
        }
    }
}

/// Why something happens, or why nothing does, in a sentence.
fn summary(explanation: &Explanation) -> (Style, String) {
    let who = who(explanation.subject);
    let sessions = &explanation.sessions;
    if let [only] = &sessions[..]
        && only.is_rpc
    {
        return (
            HEAD,
            format!("{who} is an RPC connection: it is never a target"),
        );
    }
    let first = explanation.accounts.first();
    let Some(account) = first.filter(|account| account.standing.holds) else {
        return (HEAD, nothing_holds(explanation, &who));
    };
    let policy = format!("`{}`", show::text(&account.standing.policy));
    let of = of(account, explanation.subject, &who);
    let (style, verdict) = verdict(account, explanation);
    let separator = match (&account.due, &account.held_back) {
        (Some(_), None) if account.mode == Mode::Enforce => ", and ",
        (Some(_), _) => ": it is ",
        (None, _) => ": ",
    };
    (style.bold(), format!("{policy} {of}{separator}{verdict}"))
}

/// `holds for 203.0.113.7`, `holds for its subnet 203.0.113.0/24`
fn of(account: &Account, subject: Subject, who: &str) -> String {
    match (&account.target, subject) {
        (Target::Server, _) => "holds for the server".to_owned(),
        (Target::Session(session), Subject::Session(id)) if session.id == id => {
            format!("holds for {who}")
        }
        (Target::Address(_), Subject::Address(_)) => format!("holds for {who}"),
        (target, _) => format!("holds for {}", show::target(target)),
    }
}

fn nothing_holds(explanation: &Explanation, who: &str) -> String {
    let accounts = || {
        let accounts = explanation.accounts.iter();
        accounts.filter(|account| account.target != Target::Server && account.apart.is_none())
    };
    let spared = accounts().find(|account| !account.standing.unless.is_empty());
    let is_near = |account: &&Account| {
        account.standing.unless.is_empty() && account.standing.progress() >= NEAR
    };
    let nearest = accounts().find(is_near).and_then(|account| {
        let (table, _) = account.standing.nearest()?;
        let failing = table.iter().filter(|looked| !looked.holds);
        let farthest = failing.min_by(|a, b| a.nearness().total_cmp(&b.nearness()))?;
        Some((account, farthest))
    });
    // What will never be known is not worth waiting for.
    let passes = |missing: &Missing| !matches!(missing, Missing::Release | Missing::Probes);
    let waits = accounts().find_map(|account| {
        let (field, missing) = unknown(account).filter(|(_, missing)| passes(missing))?;
        Some((account, field, missing))
    });
    let mut text = format!("nothing holds for {who}");
    if let Some((account, looked)) = nearest {
        let part = looked.nearness();
        let policy = show::text(&account.standing.policy);
        let test = format!("{} {}", show::text(&looked.field), asked(looked));
        let aside = aside_of(&account.target, explanation.subject);
        if part >= 1.0 {
            _ = write!(
                text,
                ": the nearest is `{policy}`{aside}, at its threshold `{test}`"
            );
        } else {
            let part = format(part, Dimension::Share);
            _ = write!(
                text,
                ": the nearest is `{policy}`{aside}, at {part} of its threshold `{test}`"
            );
        }
    } else {
        text += ", and nothing is near to it";
    }
    if let Some((account, field, missing)) = waits {
        let policy = show::text(&account.standing.policy);
        let why = missing_words(missing);
        _ = write!(text, "; `{policy}` lacks `{field}`: {why}");
    }
    if let Some(account) = spared {
        let policy = show::text(&account.standing.policy);
        _ = write!(text, "; `{policy}` spares it");
    }
    text
}

/// The subject's sessions.
fn who_they_are(explanation: &Explanation) -> Vec<String> {
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
        _ = write!(text, ", connected for {}", lasted(at.since(session.since)));
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

fn where_from(explanation: &Explanation, source: &Source, now: Timestamp) -> String {
    let at = show::time(explanation.at);
    let mode = explanation.mode;
    match source {
        Source::Polls { samples, failed } => {
            let failed = match failed {
                0 => String::new(),
                failed => format!(", {failed} of which failed"),
            };
            let polls = counted(*samples as usize, "poll", "polls");
            format!("{DIM}polled just now: {polls}{failed}; nothing is done by this command{DIM:#}")
        }
        Source::Recording { asked } => {
            let ago = lasted(now.since(explanation.at));
            let asked = asked.filter(|&asked| show::time(asked) != at);
            let asked = asked.map(|asked| format!(" (the last before {})", show::time(asked)));
            let asked = asked.unwrap_or_default();
            format!("{DIM}at the poll of {at}{asked}, {ago} ago, mode {mode}{DIM:#}")
        }
    }
}

fn lasted(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs()))
}

fn aside(account: &Account) -> String {
    let target = match &account.target {
        target @ Target::Session(_) => short_target(target),
        target => show::target(target),
    };
    format!(" {DIM}({target}){DIM:#}")
}

fn aside_of(target: &Target, subject: Subject) -> String {
    match (target, subject) {
        (Target::Session(_), Subject::Session(_)) | (Target::Address(_), Subject::Address(_)) => {
            String::new()
        }
        _ => format!(" ({})", show::target(target)),
    }
}

/// What comes of it.
fn verdict(account: &Account, explanation: &Explanation) -> (Style, String) {
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
                _ = write!(text, " (in {})", lasted(until.since(explanation.at)));
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
            lasted(standing.held),
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
        Action::Disconnect | Action::Alert => format!("{kind}{}", sessions.unwrap_or_default()),
    }
}

/// `sent_rate is 3 B/s (> 1 MiB/s)`
fn saw(looked: &Looked) -> String {
    let seen = looked.seen.as_ref();
    let seen = seen.map(|seen| show::quoted(seen, looked.dimension));
    let seen = seen.unwrap_or_else(|| "not known".to_owned());
    format!(
        "{} is {seen} ({})",
        show::text(&looked.field),
        asked(looked)
    )
}

fn asked(looked: &Looked) -> String {
    show::asked(&looked.test, looked.threshold, looked.dimension)
}

/// The first test that keeps the policy from being judged, if nothing else speaks against it.
fn unknown(account: &Account) -> Option<(String, Missing)> {
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

fn missing_words(missing: Missing) -> String {
    match missing {
        Missing::Window { since, until } => format!(
            "watched since {}, and its window is covered from {} on",
            show::time(since),
            show::time(until)
        ),
        Missing::Population => format!(
            "fewer than {} targets have a value, too few to say what is normal",
            crate::policy::POPULATION_MIN
        ),
        Missing::Release => "this server does not give it".to_owned(),
        Missing::Inspection => {
            "the session was not inspected: it has shown no cost of errors".to_owned()
        }
        Missing::Probes => "the daemons are not probed".to_owned(),
        Missing::Members => "which sessions make up the group is not certain".to_owned(),
        Missing::Untold => "the server does not tell it".to_owned(),
    }
}

/// A policy with all its tests.
fn show_in_full(
    account: &Account,
    explanation: &Explanation,
    screen: &mut Screen,
) -> io::Result<()> {
    let standing = &account.standing;
    let (style, verdict) = verdict(account, explanation);
    screen.entry(
        &format!(
            "{HEAD}{}{HEAD:#}{}: {style}{verdict}{style:#}",
            show::text(&standing.policy),
            aside(account)
        ),
        4,
    )?;
    for (number, table) in standing.when.iter().enumerate() {
        if number > 0 {
            screen.line(format!("  {DIM}or{DIM:#}"))?;
        }
        show_tests(table, screen)?;
    }
    if !standing.unless.is_empty() {
        screen.line(format!("  {DIM}unless{DIM:#}"))?;
        show_tests(&standing.unless, screen)?;
    }
    for table in &standing.sooner {
        let wait = format_duration(standing.hold);
        screen.line(format!(
            "  {DIM}and at once, without waiting for {wait}, if{DIM:#}"
        ))?;
        show_tests(table, screen)?;
    }
    let due = account.due.as_ref();
    if let Some(due) = due.filter(|due| due.spared > 0) {
        let spared = counted(due.spared as usize, "session is", "sessions are");
        screen.line(format!(
            "  {DIM}{spared} spared: protected, closing, or of an RPC connection{DIM:#}"
        ))?;
    }
    let is_known = matches!(
        account.held_back,
        Some(crate::decision::Suppression::Cooldown { .. })
    );
    if let Some(until) = account.cooldown_until.filter(|_| !is_known) {
        let until = View::Now(explanation.at).until(until);
        screen.entry(
            &format!("  {DIM}leaves this target alone {until}, for it acted on it{DIM:#}"),
            4,
        )?;
    }
    if account.others > 0 {
        let others = counted(account.others, "other target", "other targets");
        screen.line(format!(
            "  {DIM}and {others} of this subject, less near to it{DIM:#}"
        ))?;
    }
    Ok(())
}

fn show_tests(tests: &[Looked], screen: &mut Screen) -> io::Result<()> {
    let rows = tests.iter().map(|looked| {
        let seen = looked.seen.as_ref();
        let seen = seen.map(|seen| show::quoted(seen, looked.dimension));
        let margin = looked
            .margin()
            .map(|margin| show::margin(margin, looked.dimension));
        let missing = looked.missing.map(missing_words);
        (
            looked.holds,
            [
                show::text(&looked.field),
                seen.unwrap_or_else(|| "not known".to_owned()),
                asked(looked),
            ],
            missing.or(margin).unwrap_or_default(),
        )
    });
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|(_, cells, _)| cells[column].width());
        widths.max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    for (holds, cells, note) in &rows {
        let (style, mark) = if *holds { (GOOD, '✓') } else { (BAD, '✗') };
        let [field, seen, test] = std::array::from_fn(|column| {
            let blank = widths[column] - cells[column].width();
            format!("{}{}", cells[column], " ".repeat(blank))
        });
        let line = match &**note {
            "" => format!("{field}  {seen}  {test}").trim_end().to_owned(),
            note => format!("{field}  {seen}  {test}  {DIM}{note}{DIM:#}"),
        };
        screen.entry(&format!("  {style}{mark}{style:#} {line}"), 4)?;
    }
    Ok(())
}
