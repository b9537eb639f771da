//! Whom a decision bans, and whom it does not.

use crate::cli::show::{self, counted};
use crate::decision::{BanOrder, Decision};
use crate::units;

/// Networks that are named one by one.
const NAMED_MAX: usize = 3;

/// Lines of facts: what is banned and until when, and what is not and why.
pub(super) fn facts(decision: &Decision) -> Vec<(&'static str, String)> {
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    for ban in decision.bans.iter().take(NAMED_MAX) {
        facts.push(("bans", order(ban)));
    }
    if let Some(more) = more(decision.bans.len()) {
        facts.push(("bans", more));
    }
    for refusal in decision.refused.iter().take(NAMED_MAX) {
        let net = show::network(&refusal.net);
        facts.push(("no ban", format!("{net}: {}", refusal.why)));
    }
    if let Some(more) = more(decision.refused.len()) {
        facts.push(("no ban", more));
    }
    facts
}

fn more(count: usize) -> Option<String> {
    let more = count.checked_sub(NAMED_MAX).filter(|&more| more > 0)?;
    Some(format!(
        "and {}",
        counted(more, "network more", "networks more")
    ))
}

/// `203.0.113.0/24 until 14:33, after 1.9 strikes, but for 203.0.113.9`
fn order(ban: &BanOrder) -> String {
    let mut text = format!(
        "{} until {}, after {} {}",
        show::network(&ban.net),
        show::exact_time(ban.until),
        units::format(ban.strikes, crate::field::Dimension::Count),
        if (0.99..=1.0).contains(&ban.strikes) {
            "strike"
        } else {
            "strikes"
        },
    );
    let named = ban.holes.iter().take(NAMED_MAX).map(show::network);
    let holes: Vec<String> = named.chain(more(ban.holes.len())).collect();
    if !holes.is_empty() {
        text.push_str(", but for ");
        text.push_str(&holes.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_ban_says_of_whom_until_when_and_but_for_whom() {
        let net = |text: &str| text.parse().unwrap();
        let ban = |holes: &[&str]| BanOrder {
            net: net("203.0.113.0/24"),
            until: Timestamp::from_millis(1_767_225_600_000),
            strikes: 1.0,
            holes: holes.iter().map(|hole| net(hole)).collect(),
        };
        assert_eq!(
            order(&ban(&[])),
            "203.0.113.0/24 until 2026-01-01 00:00:00.000 UTC, after 1 strike"
        );
        let holes = [
            "203.0.113.1/32",
            "203.0.113.2/32",
            "203.0.113.4/31",
            "203.0.113.9/32",
        ];
        assert_eq!(
            order(&ban(&holes)),
            "203.0.113.0/24 until 2026-01-01 00:00:00.000 UTC, after 1 strike, but for \
             203.0.113.1, 203.0.113.2, 203.0.113.4/31, and 1 network more"
        );
    }
}
