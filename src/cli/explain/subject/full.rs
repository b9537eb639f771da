//! A policy with all its tests.

use std::fmt::Write as _;
use std::io;

use unicode_width::UnicodeWidthStr as _;

use super::sessions::rank;
use super::short_target;
use super::standing::{asked, missing_words, verdict};
use crate::cli::explain::next::View;
use crate::cli::screen::Screen;
use crate::cli::show::{self, BAD, DIM, GOOD, HEAD, WARN, counted};
use crate::decision::Target;
use crate::engine::Looked;
use crate::units::format_duration;
use crate::warden::{Account, Due, Explanation};

pub(super) fn show_in_full(
    account: &Account,
    explanation: &Explanation,
    screen: &mut Screen,
) -> io::Result<()> {
    let standing = &account.standing;
    let (style, verdict) = verdict(account, explanation);
    screen.prose(
        format!(
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
        screen.prose(
            format!("  {DIM}and at once, without waiting for {wait}, if{DIM:#}"),
            2,
        )?;
        show_tests(table, screen)?;
    }
    let due = account.due.as_ref();
    if let Some(due) = due.filter(|due| due.spared > 0) {
        let spared = counted(due.spared as usize, "session is", "sessions are");
        screen.prose(
            format!("  {DIM}{spared} spared: protected, closing, or of an RPC connection{DIM:#}"),
            4,
        )?;
    }
    if let Some(due) = due {
        show_choice(due, explanation, screen)?;
    }
    let is_known = matches!(
        account.held_back,
        Some(crate::decision::Suppression::Cooldown { .. })
    );
    if let Some(until) = account.cooldown_until.filter(|_| !is_known) {
        let until = View::Now(explanation.at).until(until);
        screen.prose(
            format!("  {DIM}leaves this target alone {until}, having decided on it{DIM:#}"),
            4,
        )?;
    }
    if account.others > 0 {
        let others = counted(account.others, "other target", "other targets");
        screen.prose(
            format!("  {DIM}and {others} of this subject, less near to it{DIM:#}"),
            4,
        )?;
    }
    Ok(())
}

/// On whom it falls of a target that is many, and what the subject has to do with that.
fn show_choice(due: &Due, explanation: &Explanation, screen: &mut Screen) -> io::Result<()> {
    let Some(choice) = &due.choice else {
        return Ok(());
    };
    let chosen = show::choice(choice);
    screen.prose(format!("  {DIM}acts on {chosen}{DIM:#}"), 4)?;
    let Some(own) = due.own.filter(|own| own.sessions > 0) else {
        return Ok(());
    };
    let (style, mut text) = match (own.chosen, own.sessions) {
        (0, 1) => (GOOD, "this session is left alone".to_owned()),
        (0, _) => (GOOD, "its sessions are left alone".to_owned()),
        (_, 1) => (WARN, "this session is one of them".to_owned()),
        (chosen, sessions) => (
            WARN,
            format!("{chosen} of its {sessions} sessions are among them"),
        ),
    };
    if let Some(found) = explanation.sessions.first() {
        let rank = rank(found);
        _ = write!(text, ": {rank}");
    }
    if let Some(part) = own.part {
        let part = show::quantity(part, choice.dimension);
        let field = show::text(&choice.field);
        _ = write!(text, ", whose own {field} is {part}");
    }
    screen.prose(format!("  {style}{text}{style:#}"), 4)
}

fn show_tests(tests: &[Looked], screen: &mut Screen) -> io::Result<()> {
    let rows = tests.iter().map(|looked| {
        let seen = looked.seen.as_ref();
        let asked = asked(looked);
        let seen = seen.map(|seen| show::quoted_like(seen, looked.dimension, &asked));
        let margin = looked
            .margin()
            .map(|margin| show::margin(margin, looked.dimension));
        let missing = looked.missing.map(missing_words);
        (
            looked.holds,
            [
                show::text(&looked.field),
                seen.unwrap_or_else(|| "not known".to_owned()),
                asked,
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
        screen.prose(format!("  {style}{mark}{style:#} {line}"), 4)?;
    }
    Ok(())
}

fn aside(account: &Account) -> String {
    let target = match &account.target {
        target @ Target::Session(_) => short_target(target),
        target => show::target(target),
    };
    format!(" {DIM}({target}){DIM:#}")
}
