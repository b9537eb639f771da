//! A budget of false alarms in a person's words, and what a recording can say of it.

use std::fmt;
use std::time::Duration;

use crate::policy::ActionKind;
use crate::policy::reading::{closest, word};
use crate::units::{self, format_duration};

/// How sure a bound is.
pub const CONFIDENCE: f64 = 0.95;

/// So many false alarms in such a time, of all policies together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How many; 0 for none at all.
    pub count: f64,
    /// In what time.
    pub per: Duration,
    /// Of what: sessions that are disconnected, or alerts.
    pub of: ActionKind,
}

/// Why a text is no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{complaint}: {help}")]
pub struct BudgetError {
    complaint: String,
    help: String,
}

const EXAMPLE: &str = "write `1 false disconnect a week`, `2 alerts a day` or `0`";

/// The largest count, and the longest time in years.
const COUNT_MAX: f64 = 1e6;
const YEARS_MAX: u64 = 100;

const DAY: u64 = 86_400;
const SPANS: [(&str, u64); 7] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", DAY),
    ("week", 7 * DAY),
    ("month", 30 * DAY),
    ("year", 365 * DAY),
];
/// Letters for the same.
const SHORT: [(&str, u64); 6] = [
    ("s", 1),
    ("min", 60),
    ("m", 60),
    ("h", 3_600),
    ("d", DAY),
    ("w", 7 * DAY),
];

/// What the words in between mean, plural or not.
const NOUNS: [(&str, Option<ActionKind>); 6] = [
    ("disconnect", Some(ActionKind::Disconnect)),
    ("disconnection", Some(ActionKind::Disconnect)),
    ("session", Some(ActionKind::Disconnect)),
    ("alert", Some(ActionKind::Alert)),
    ("false", None),
    ("wrong", None),
];

fn error(complaint: impl Into<String>, help: impl Into<String>) -> BudgetError {
    BudgetError {
        complaint: complaint.into(),
        help: help.into(),
    }
}

impl Budget {
    /// Reads `1 false disconnect a week`, `2 alerts/day`, `1 in 10 days`, `0`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, BudgetError> {
        let spaced = text.to_lowercase().replace('/', " / ");
        let mut words = spaced.split_whitespace().peekable();
        let first = words
            .next()
            .ok_or_else(|| error("the budget is empty", EXAMPLE))?;
        let count = count(first)?;
        let mut of = None;
        while let Some(noun) = words.next_if(|word| !is_preposition(word)) {
            of = self::noun(noun)?.or(of);
        }
        let of = of.unwrap_or(ActionKind::Disconnect);
        let per = if words.next().is_none() {
            if count > 0.0 {
                let text = word(text.trim());
                let complaint = format!("`{text}` does not say in what time");
                return Err(error(
                    complaint,
                    format!("write `{text} a week`, for example"),
                ));
            }
            Duration::from_secs(DAY)
        } else {
            let rest: Vec<&str> = words.collect();
            span(&rest)?
        };
        Ok(Self { count, per, of })
    }

    /// How many it allows in a time.
    pub fn within(&self, time: Duration) -> f64 {
        self.count * time.as_secs_f64() / self.per.as_secs_f64()
    }

    /// How long nothing must happen for it to be shown: with none seen in a time, fewer than three
    /// are to be expected in as long, with [`CONFIDENCE`]. `None` if no time is enough.
    pub fn needs(&self) -> Option<Duration> {
        // By the rule of three, which `upper_bound(0)` stays just below.
        Duration::try_from_secs_f64(3.0 * self.per.as_secs_f64() / self.count).ok()
    }
}

fn is_preposition(word: &str) -> bool {
    matches!(word, "a" | "an" | "per" | "every" | "each" | "in" | "/")
}

fn count(first: &str) -> Result<f64, BudgetError> {
    if matches!(first, "no" | "none" | "zero" | "never") {
        return Ok(0.0);
    }
    if matches!(first, "one" | "once") {
        return Ok(1.0);
    }
    let count = units::parse(first, crate::field::Dimension::Count).map_err(|wrong| {
        let help = match wrong.reason {
            units::Reason::Negative { .. } => wrong.help(),
            _ => EXAMPLE.to_owned(),
        };
        error(wrong.to_string(), help)
    })?;
    if count > COUNT_MAX {
        let complaint = format!("`{}` is no budget", word(first));
        return Err(error(complaint, "the largest number is 1_000_000"));
    }
    Ok(count)
}

fn noun(written: &str) -> Result<Option<ActionKind>, BudgetError> {
    let stem = written.trim_end_matches([',', 's']);
    if let Some((_, kind)) = NOUNS.iter().find(|(noun, _)| *noun == stem) {
        return Ok(*kind);
    }
    let complaint = format!("`{}` is nothing that a budget is of", word(written));
    if span(&[written]).is_ok() {
        let written = word(written);
        return Err(error(
            complaint,
            format!("write `a {written}` for the time"),
        ));
    }
    let help = match closest(stem, NOUNS.map(|(noun, _)| noun)) {
        Some(close) => format!("did you mean `{close}`?"),
        None => "write `disconnects` or `alerts`".to_owned(),
    };
    Err(error(complaint, help))
}

/// `week`, `2 weeks`, `10m`.
fn span(words: &[&str]) -> Result<Duration, BudgetError> {
    const HELP: &str = "write `a day`, `a week`, `in 10 days` or `in 12h`";
    let (times, unit) = match words {
        [] => return Err(error("the budget's time is missing", HELP)),
        [unit] => (1.0, *unit),
        [times, unit] => (count(times)?, *unit),
        [_, _, rest, ..] => {
            let complaint = format!("`{}` stands after the end of the budget", word(rest));
            return Err(error(complaint, EXAMPLE));
        }
    };
    let long = unit.strip_suffix('s').unwrap_or(unit);
    let named = SPANS.iter().find(|(name, _)| *name == long);
    let short = SHORT.iter().find(|(name, _)| *name == unit);
    let seconds = match named.or(short) {
        Some(&(_, seconds)) => seconds as f64 * times,
        None => match units::parse_duration(unit) {
            Ok(span) if words.len() == 1 => span.as_secs_f64(),
            _ => {
                let complaint = format!("`{}` is no span of time", word(unit));
                let close = closest(long, SPANS.map(|(name, _)| name));
                let help = close.map_or(HELP.to_owned(), |it| format!("did you mean `{it}`?"));
                return Err(error(complaint, help));
            }
        },
    };
    let is_fit = seconds >= 1.0 && seconds <= (YEARS_MAX * 365 * DAY) as f64;
    is_fit
        .then(|| Duration::from_secs_f64(seconds))
        .ok_or_else(|| {
            let complaint = format!("`{}` is no time for a budget", word(&words.join(" ")));
            error(complaint, "from a second to 100 years")
        })
}

/// `1 false disconnect a week`, `no false alert`.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = match self.of {
            ActionKind::Alert => "alert",
            _ => "disconnect",
        };
        if self.count == 0.0 {
            return write!(f, "no false {noun}");
        }
        let count = units::format(self.count, crate::field::Dimension::Count);
        let plural = if count == "1" { "" } else { "s" };
        write!(f, "{count} false {noun}{plural} {}", Per(self.per))
    }
}

/// `a week`, `in 3d`.
#[derive(Clone, Copy, Debug)]
pub struct Per(pub Duration);

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = (self.0.subsec_nanos() == 0).then_some(self.0.as_secs());
        match SPANS.iter().find(|(_, span)| Some(*span) == whole) {
            Some((name @ "hour", _)) => write!(f, "an {name}"),
            Some((name, _)) => write!(f, "a {name}"),
            None => write!(f, "in {}", format_duration(self.0)),
        }
    }
}

/// What events are to be expected in as long again, at the most, with [`CONFIDENCE`], where `seen`
/// were seen: of none it is 3.0.
pub fn upper_bound(seen: u64) -> f64 {
    let (mut low, mut high) = (seen as f64, 3.0 * seen as f64 + 4.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(seen, middle) > 1.0 - CONFIDENCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The chance of `seen` or more events where `expected` are expected.
pub(super) fn chance_of(seen: u64, expected: f64) -> f64 {
    match seen.checked_sub(1) {
        None => 1.0,
        Some(fewer) => (1.0 - at_most(fewer, expected)).max(0.0),
    }
}

/// The chance of at most so many events, by Poisson's law.
fn at_most(count: u64, expected: f64) -> f64 {
    if expected <= 0.0 {
        return 1.0;
    }
    let mut logarithm = -expected;
    let mut sum = logarithm.exp();
    for event in 1..=count {
        logarithm += expected.ln() - (event as f64).ln();
        sum += logarithm.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Budget::parse(text) {
            Ok(budget) => budget.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn budgets_as_people_write_them() {
        for (text, read_as) in [
            ("1 false disconnect a week", "1 false disconnect a week"),
            ("2 a day", "2 false disconnects a day"),
            ("0", "no false disconnect"),
            ("none", "no false disconnect"),
            ("0 alerts", "no false alert"),
            ("1/week", "1 false disconnect a week"),
            ("One Session per Hour", "1 false disconnect an hour"),
            ("3 false alerts every 2 weeks", "3 false alerts in 14d"),
            ("1 disconnect in 12h", "1 false disconnect in 12h"),
            ("0.5 / d", "0.5 false disconnects a day"),
            ("1_000 per month", "1_000 false disconnects a month"),
        ] {
            assert_eq!(read(text), read_as, "{text}");
        }
    }

    #[test]
    fn what_is_no_budget_is_told() {
        let texts = [
            "",
            "few",
            "-1 a day",
            "2",
            "2 day",
            "2 disconects a day",
            "2 kicks a day",
            "1 a fortnight",
            "1 a wek",
            "1 a",
            "1 a day or two",
            "9_999_999 a day",
            "1 every 0 days",
            "1 every 999 years",
        ];
        let told: Vec<_> = texts.map(|text| format!("{text:?}: {}", read(text))).into();
        insta::assert_snapshot!(told.join("\n"), @r#"
        "": error: the budget is empty: write `1 false disconnect a week`, `2 alerts a day` or `0`
        "few": error: `few` is not a number: write `1 false disconnect a week`, `2 alerts a day` or `0`
        "-1 a day": error: `-1` is negative: no quantity goes below 0
        "2": error: `2` does not say in what time: write `2 a week`, for example
        "2 day": error: `day` is nothing that a budget is of: write `a day` for the time
        "2 disconects a day": error: `disconects` is nothing that a budget is of: did you mean `disconnect`?
        "2 kicks a day": error: `kicks` is nothing that a budget is of: write `disconnects` or `alerts`
        "1 a fortnight": error: `fortnight` is no span of time: write `a day`, `a week`, `in 10 days` or `in 12h`
        "1 a wek": error: `wek` is no span of time: did you mean `week`?
        "1 a": error: the budget's time is missing: write `a day`, `a week`, `in 10 days` or `in 12h`
        "1 a day or two": error: `two` stands after the end of the budget: write `1 false disconnect a week`, `2 alerts a day` or `0`
        "9_999_999 a day": error: `9_999_999` is no budget: the largest number is 1_000_000
        "1 every 0 days": error: `0 days` is no time for a budget: from a second to 100 years
        "1 every 999 years": error: `999 years` is no time for a budget: from a second to 100 years
        "#);
    }

    #[test]
    fn the_rule_of_three() {
        let bounds = [0, 1, 2, 10, 100, 5_000].map(|seen| (upper_bound(seen) * 100.0).round());
        let known = [300.0, 474.0, 630.0, 1_696.0, 11_807.0, 511_789.0];
        for (bound, known) in bounds.into_iter().zip(known) {
            assert!((bound - known).abs() <= 1.0, "{bound} {known}");
        }
        assert!((chance_of(1, 3.0) - 0.950_213).abs() < 1e-6);
        assert!((chance_of(0, 0.0) - 1.0).abs() < 1e-9 && chance_of(1, 0.0) <= 0.0);
        let week = Budget::parse("1 a week").unwrap();
        let weeks = week.needs().unwrap().as_secs_f64() / week.per.as_secs_f64();
        assert!((weeks - 3.0).abs() < 1e-9 && weeks >= upper_bound(0));
        assert_eq!(Budget::parse("0").unwrap().needs(), None);
    }
}
