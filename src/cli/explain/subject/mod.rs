//! How the policies stand with a session or an address, in words.

mod full;
mod sessions;
mod standing;
mod summary;

use std::io;
use std::net::IpAddr;

use comfy_table::{Cell, Color, ColumnConstraint, Table};

use super::Source;
use super::next::{View, whole_seconds};
use crate::cli::screen::Screen;
use crate::cli::show::{self, BAD, DIM, WARN, counted};
use crate::decision::Target;
use crate::time::Timestamp;
use crate::warden::{Account, Explanation, Stopped, Subject};
use full::show_in_full;
use sessions::who_they_are;
use standing::verdict;
use summary::summary;

/// So many policies are told in full.
const IN_FULL_MAX: usize = 4;

/// So many more in a line each.
const LINES_MAX: usize = 40;

/// On a narrower screen a table would break every word.
const TABLE_WIDTH: usize = 72;

/// A policy that is not so near to holding is not worth more than a line.
const NEAR_IN_FULL: f64 = 0.25;

/// `session 42`, `203.0.113.7`; of an address that was asked for by another name than it has there
/// `203.0.113.7, here 42.225.130.22`.
pub(super) fn who(subject: Subject, asked: Option<IpAddr>) -> String {
    match (subject, asked) {
        (Subject::Session(id), _) => format!("session {id}"),
        (Subject::Address(here), Some(asked)) if asked != here => format!("{asked}, here {here}"),
        (Subject::Address(address), _) => address.to_string(),
    }
}

pub(super) fn show(
    explanation: &Explanation,
    asked: Option<IpAddr>,
    source: &Source,
    now: Timestamp,
    screen: &mut Screen,
) -> io::Result<()> {
    let who = who(explanation.subject, asked);
    let (style, summary) = summary(explanation, &who);
    screen.prose(format!("{style}{summary}{style:#}"), 4)?;
    let is_here = |asked| explanation.subject == Subject::Address(asked);
    let elsewhere = asked.filter(|&asked| !is_here(asked));
    if elsewhere.is_some_and(|asked| !summary.contains(&asked.to_string())) {
        screen.prose(format!("asked for: {who}"), 4)?;
    }
    for line in who_they_are(explanation) {
        screen.prose(&line, 4)?;
    }
    screen.prose(where_from(explanation, source, now), 4)?;
    for Stopped { policy, until } in &explanation.stopped {
        let until = View::Now(explanation.at).until(*until);
        let policy = show::text(policy);
        screen.prose(
            format!("{BAD}the breaker has stopped policy `{policy}` {until}{BAD:#}"),
            4,
        )?;
    }
    if let Some(until) = explanation.share_used_up_until {
        let until = View::Now(explanation.at).until(until);
        screen.prose(
            format!(
                "{BAD}regular clients are left alone {until}: all policies together have disconnected as \
                 many as `share_of_all` in `[breaker]` allows{BAD:#}"
            ),
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
        screen.prose(format!("{DIM}off: {}{DIM:#}", off.join(", ")), 4)?;
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
    let told = &accounts[..accounts.len().min(LINES_MAX)];
    if screen.width() < TABLE_WIDTH {
        for account in told {
            let (style, verdict) = verdict(account, explanation);
            let policy = show::text(&account.standing.policy);
            let target = short_target(&account.target);
            screen.prose(
                format!("{policy} {DIM}({target}){DIM:#}: {style}{verdict}{style:#}"),
                2,
            )?;
        }
    } else {
        screen.table(table(told, explanation))?;
    }
    let more = accounts.len() - told.len();
    if more > 0 {
        let more = format!("and {more} more, still further away: --format json has all");
        screen.paragraph(&more, DIM)?;
    }
    Ok(())
}

fn table(accounts: &[&Account], explanation: &Explanation) -> Table {
    let mut table = show::table(&["POLICY", "FOR", "HOW IT STANDS"]);
    for account in accounts {
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
    table
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
            let ago = whole_seconds(now.since(explanation.at));
            let asked = asked.filter(|&asked| show::time(asked) != at);
            let asked = asked.map(|asked| format!(" (the last before {})", show::time(asked)));
            let asked = asked.unwrap_or_default();
            format!("{DIM}at the poll of {at}{asked}, {ago} ago, mode {mode}{DIM:#}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_that_was_asked_for_too() {
        let [asked, here] = ["203.0.113.7", "42.225.130.22"].map(|text| text.parse().unwrap());
        let subject = Subject::Address(here);
        assert_eq!(who(subject, Some(asked)), "203.0.113.7, here 42.225.130.22");
        assert_eq!(who(subject, Some(here)), "42.225.130.22");
        assert_eq!(who(Subject::Session(42), None), "session 42");
    }
}
