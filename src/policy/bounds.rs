//! How large and how many: the bounds on everything in a policy file.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Quota;
use super::diagnostic::{Diagnostic, Problem};
use super::source::{Place, word};
use super::table::Node;
use crate::field::Dimension;
use crate::units::{self, UnitError};

/// Policies in a set.
pub const POLICIES_MAX: usize = 1_000;
/// Bytes of a policy file.
pub const POLICY_FILE_SIZE_MAX: usize = 1 << 20;
/// Policy files in a set.
pub const POLICY_FILES_MAX: usize = 1_000;
/// Entries of all lists of a set, unless set otherwise.
pub const LIST_ENTRIES_DEFAULT: usize = 1_000_000;
/// Entries of all lists of a set, at the most.
pub const LIST_ENTRIES_MAX: usize = 10_000_000;
/// Bytes of a list file.
pub const LIST_FILE_SIZE_MAX: usize = 256 << 20;
/// Daemons of a `daemon_url` that lists them.
pub const DAEMONS_MAX: usize = 8;
/// Rungs of a policy's ladder.
pub const RUNGS_MAX: usize = 10;
/// Bytes of a compiled pattern.
pub const REGEX_SIZE_MAX: usize = 1 << 20;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

pub(crate) const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=minutes(DAY);
pub(super) const HOLD: RangeInclusive<Duration> = Duration::ZERO..=minutes(DAY);
pub(super) const COOLDOWN: RangeInclusive<Duration> = Duration::ZERO..=minutes(30 * DAY);
pub(crate) const BAN_FOR: RangeInclusive<Duration> = minutes(1)..=minutes(365 * DAY);
pub(super) const LOG_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=minutes(30 * DAY);
pub(super) const BACKOFF_MAX: RangeInclusive<Duration> = Duration::from_secs(1)..=minutes(30 * DAY);
pub(crate) const BACKOFF_RESET: RangeInclusive<Duration> = minutes(1)..=minutes(30 * DAY);
pub(crate) const QUOTA_PER: RangeInclusive<Duration> = Duration::from_secs(1)..=minutes(30 * DAY);
const QUOTA_COUNT: RangeInclusive<u32> = 1..=1_000_000;
/// A strict limit remembers each time.
const STRICT_COUNT: RangeInclusive<u32> = 1..=10_000;

pub(super) const WINDOW_DEFAULT: Duration = minutes(1);
pub(super) const COOLDOWN_DEFAULT: Duration = minutes(5);

/// Reads a duration and holds it to its bounds.
pub(crate) fn duration(
    node: Node<'_>,
    what: &'static str,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, Diagnostic> {
    let help = match node.get() {
        toml::de::DeValue::Integer(seconds) => {
            format!("write `\"{}s\"`, with its unit", word(seconds.as_str()))
        }
        toml::de::DeValue::Float(seconds) => {
            format!("write `\"{}s\"`, with its unit", word(seconds.as_str()))
        }
        _ => "write it as `\"1m30s\"`".to_owned(),
    };
    let written = node.string(what, &help)?;
    let duration = units::parse_duration(written.text)
        .map_err(|error| bad_quantity(&error, written.part(error.at.clone())))?;
    within(duration, bounds)
        .map_err(|help| out_of_bounds(what, written.text, written.whole(), help))
}

/// Reads `30/min` or `5/10m`, of a rate.
pub(crate) fn quota(node: Node<'_>, what: &'static str) -> Result<Quota, Diagnostic> {
    quota_within(node, what, &QUOTA_COUNT)
}

/// Reads the same of a limit that is strict over any such span of time.
pub(crate) fn strict_quota(node: Node<'_>, what: &'static str) -> Result<Quota, Diagnostic> {
    quota_within(node, what, &STRICT_COUNT)
}

fn quota_within(
    node: Node<'_>,
    what: &'static str,
    counts: &RangeInclusive<u32>,
) -> Result<Quota, Diagnostic> {
    let written = node.string(what, "write it as `\"30/min\"`")?;
    let Some((count, per)) = written.text.split_once('/') else {
        let help = "write how many in what time, as in `30/min`";
        return Err(match units::parse(written.text, Dimension::Rate) {
            Err(error) => bad_quantity(&error, written.part(error.at.clone())).help(help),
            Ok(_) => out_of_bounds(what, written.text, written.whole(), help.to_owned()),
        });
    };
    let number = units::parse(count, Dimension::Count).map_err(|error| {
        let help = "write how many in what time, as in `30/min`";
        bad_quantity(&error, written.part(error.at.clone())).help(help)
    })?;
    if !per.trim_start().starts_with(|c: char| c.is_ascii_digit())
        && let Err(error) = units::parse(written.text, Dimension::Rate)
    {
        return Err(bad_quantity(&error, written.part(error.at.clone())));
    }
    let per = units::parse_per(per).map_err(|error| {
        let start = count.len() + 1;
        let at = start + error.at.start..start + error.at.end;
        bad_quantity(&error, written.part(at)).help("write it as `30/min` or `5/10m`")
    })?;
    let count = whole(number)
        .filter(|count| counts.contains(count))
        .ok_or_else(|| {
            let help = format!(
                "a {what} is a whole number from 1 to {} in a span of time{}",
                units::format(f64::from(*counts.end()), Dimension::Count),
                if number == 0.0 && what == "limit" {
                    "; `mode = \"dry-run\"` keeps a policy from acting"
                } else {
                    ""
                }
            );
            out_of_bounds(what, written.text, written.whole(), help)
        })?;
    let per = within(per, &QUOTA_PER)
        .map_err(|help| out_of_bounds(what, written.text, written.whole(), help))?;
    Ok(Quota { count, per })
}

fn whole(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held to whole numbers of 32 bits just before"
    )]
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u32)
}

fn within(value: Duration, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "it is from {} to {}",
        units::format_duration(*bounds.start()),
        units::format_duration(*bounds.end())
    ))
}

pub(crate) fn out_of_bounds(
    what: &'static str,
    value: &str,
    place: Place,
    help: String,
) -> Diagnostic {
    let value = word(value);
    let what = match what {
        "window" | "for" | "cooldown" | "limit" => format!("a `{what}`"),
        _ => format!("`{what}`"),
    };
    Diagnostic::new(Problem::OutOfBounds { what, value })
        .at(place)
        .help(help)
}

pub(crate) fn bad_quantity(error: &UnitError, place: Place) -> Diagnostic {
    Diagnostic::new(Problem::BadQuantity(error.reason.clone()))
        .at(place)
        .help(error.help())
}
