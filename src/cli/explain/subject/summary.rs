//! Why something happens, or why nothing does, in a sentence.

use std::fmt::Write as _;

use anstyle::Style;

use super::standing::{asked, missing_words, unknown, verdict};
use crate::cli::show::{self, HEAD};
use crate::decision::Target;
use crate::engine::Missing;
use crate::field::Dimension;
use crate::policy::Mode;
use crate::units::format;
use crate::warden::{Account, Explanation, Subject};

/// A policy that is not so near to holding is not worth a word.
const NEAR: f64 = 0.001;

pub(super) fn summary(explanation: &Explanation, who: &str) -> (Style, String) {
    let sessions = &explanation.sessions;
    if let [only] = &sessions[..]
        && only.is_rpc
    {
        return (
            HEAD,
            format!("{who} is an RPC connection: it is never a target"),
        );
    }
    if let [only] = &sessions[..]
        && only.is_canary
    {
        return (
            HEAD,
            format!("{who} is the agent's own canary: it is never a target"),
        );
    }
    let first = explanation.accounts.first();
    let Some(account) = first.filter(|account| account.standing.holds) else {
        return (HEAD, nothing_holds(explanation, who));
    };
    let policy = format!("`{}`", show::text(&account.standing.policy));
    let of = of(account, explanation.subject, who);
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
    let stays = |missing: &Missing| {
        matches!(
            missing,
            Missing::Release | Missing::Probes | Missing::Slots | Missing::Canary
        )
    };
    let passes = |missing: &Missing| !stays(missing);
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

fn aside_of(target: &Target, subject: Subject) -> String {
    match (target, subject) {
        (Target::Session(_), Subject::Session(_)) | (Target::Address(_), Subject::Address(_)) => {
            String::new()
        }
        _ => format!(" ({})", show::target(target)),
    }
}
