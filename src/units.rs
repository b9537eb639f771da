//! Counts, sizes, rates, durations and shares: how people write them, and how they are shown.
//!
//! What [`format()`] prints, [`parse`] reads again. Which unit belongs where is the business of
//! [`crate::field`]; nothing here knows of policies.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use crate::field::Dimension;

/// The largest number in any unit: up to here, whole numbers are exact as `f64`.
pub const MAX: f64 = 9_007_199_254_740_992.0;

/// The longest text that [`parse`] looks at, in bytes.
const TEXT_MAX: usize = 64;

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// From large to small, which is also the order in which a duration's parts are written.
const TIMES: &[(&str, f64)] = &[
    ("d", 86_400.0),
    ("h", 3_600.0),
    ("m", 60.0),
    ("min", 60.0),
    ("s", 1.0),
    ("ms", 0.001),
];

const PER: &[(&str, f64)] = &[
    ("s", 1.0),
    ("min", 60.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
];

/// Words that people write for a unit, and the unit.
const ALIASES: &[(&str, &str)] = &[
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("K", "KiB"),
    ("M", "MiB"),
    ("G", "GiB"),
    ("T", "TiB"),
    ("byte", "B"),
    ("bytes", "B"),
    ("pct", "%"),
    ("percent", "%"),
];

/// Why a text is not a quantity, and which part of it is to blame.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct UnitError {
    /// What is wrong.
    pub reason: Reason,
    /// Where, in bytes of the text given.
    pub at: Range<usize>,
}

/// What is wrong with a quantity.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The text is empty.
    #[error("{} is missing", phrase(*.0))]
    Missing(Dimension),
    /// The text is longer than any quantity.
    #[error("this is too long to be {}", phrase(*.0))]
    TooLong(Dimension),
    /// No number where one belongs.
    #[error("`{text}` is not a number")]
    NotANumber {
        /// What stands there.
        text: String,
    },
    /// A minus sign.
    #[error("`{text}` is negative")]
    Negative {
        /// The number.
        text: String,
    },
    /// A number alone.
    #[error("`{number}` has no unit")]
    NoUnit {
        /// The number.
        number: String,
        /// What is wanted.
        wanted: Dimension,
    },
    /// A unit of nothing, or of something else.
    #[error("`{unit}` is not a unit of {}", phrase(*.wanted))]
    UnknownUnit {
        /// What stands there.
        unit: String,
        /// What is wanted.
        wanted: Dimension,
    },
    /// A good quantity of another dimension.
    #[error("`{text}` is {}, not {}", phrase(*.found), phrase(*.wanted))]
    OtherDimension {
        /// The quantity.
        text: String,
        /// What it is.
        found: Dimension,
        /// What is wanted.
        wanted: Dimension,
    },
    /// `30s1m`.
    #[error("`{unit}` stands after a unit that is not larger")]
    Order {
        /// The unit that comes too late.
        unit: String,
    },
    /// Beyond [`MAX`].
    #[error("`{text}` is too large")]
    TooLarge {
        /// The quantity.
        text: String,
    },
}

impl UnitError {
    /// What to do, as a clause: `write ...`, `did you mean ...`.
    pub fn help(&self) -> String {
        match &self.reason {
            Reason::NotANumber { .. } => "numbers are written as `5`, `1.5` or `1_000`".to_owned(),
            Reason::Negative { .. } => "no quantity goes below 0".to_owned(),
            Reason::NoUnit { number, wanted } => match (wanted, number.parse::<f64>()) {
                (Dimension::Share, Ok(part)) if part <= 1.0 => format!(
                    "shares are written in percent: `{number}%`, or `{}` if `{number}` is a part of 1",
                    format(part, Dimension::Share)
                ),
                _ => {
                    let unit = default_unit(*wanted);
                    format!("write `{number}{unit}`, for example; {}", units_of(*wanted))
                }
            },
            Reason::UnknownUnit { unit, wanted } => match closest_unit(unit, *wanted) {
                Some(close) => format!("did you mean `{close}`?"),
                None => usage(*wanted),
            },
            Reason::OtherDimension {
                text,
                found: Dimension::Size,
                wanted: Dimension::ByteRate,
            }
            | Reason::OtherDimension {
                text,
                found: Dimension::Count,
                wanted: Dimension::Rate,
            } => format!("write `{text}/s` for so much a second"),
            Reason::Missing(wanted)
            | Reason::TooLong(wanted)
            | Reason::OtherDimension { wanted, .. } => usage(*wanted),
            Reason::Order { .. } => {
                "write a duration from its largest unit to its smallest, each once: `1m30s`"
                    .to_owned()
            }
            Reason::TooLarge { .. } => "the largest number is 2^53".to_owned(),
        }
    }
}

/// A dimension with its article: `a size`.
pub const fn phrase(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Count => "a count",
        Dimension::Size => "a size",
        Dimension::Rate => "a rate",
        Dimension::ByteRate => "a byte rate",
        Dimension::Duration => "a duration",
        Dimension::Share => "a share",
    }
}

/// A quantity of this dimension as one writes it.
pub const fn example(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Count => "1_000",
        Dimension::Size => "2 MiB",
        Dimension::Rate => "30/min",
        Dimension::ByteRate => "1 MiB/s",
        Dimension::Duration => "1m30s",
        Dimension::Share => "20%",
    }
}

fn usage(wanted: Dimension) -> String {
    format!(
        "{} is written as `{}`; {}",
        phrase(wanted),
        example(wanted),
        units_of(wanted)
    )
}

const fn units_of(wanted: Dimension) -> &'static str {
    match wanted {
        Dimension::Count => "a count has no unit",
        Dimension::Size => "the units are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB",
        Dimension::Rate => "the units are /s, /min, /h and /d",
        Dimension::ByteRate => "the units are those of a size with /s, /min, /h or /d",
        Dimension::Duration => "the units are ms, s, m, h and d",
        Dimension::Share => "the unit is %",
    }
}

/// The unit that a bare number most likely has, as it stands behind the number.
pub(crate) const fn default_unit(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Count => "",
        Dimension::Size => " MiB",
        Dimension::Rate => "/s",
        Dimension::ByteRate => " MiB/s",
        Dimension::Duration => "s",
        Dimension::Share => "%",
    }
}

fn closest_unit(written: &str, wanted: Dimension) -> Option<String> {
    let close = |word: &str, units: &[(&'static str, f64)]| {
        let word = word.trim();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == word);
        let folded = |name: &str| units.iter().find(|(u, _)| u.eq_ignore_ascii_case(name));
        alias
            .and_then(|(_, unit)| folded(unit))
            .or_else(|| folded(word))
            .map(|(unit, _)| *unit)
    };
    match wanted {
        Dimension::Count => None,
        Dimension::Share => ALIASES
            .iter()
            .any(|&(alias, unit)| alias == written && unit == "%")
            .then(|| "%".to_owned()),
        Dimension::Size => close(written, SIZES).map(str::to_owned),
        Dimension::Duration => close(written, TIMES).map(str::to_owned),
        Dimension::Rate => close(written.strip_prefix('/')?, PER).map(|per| format!("/{per}")),
        Dimension::ByteRate => match written.split_once('/') {
            Some((size, per)) => Some(format!("{}/{}", close(size, SIZES)?, close(per, PER)?)),
            // `MiBps`, `mib`
            None => close(written.strip_suffix("ps").unwrap_or(written), SIZES)
                .map(|size| format!("{size}/s")),
        },
    }
}

/// Reads a quantity in the unit of its dimension: bytes, seconds, a second, 0 to 1.
///
/// Never negative, never more than [`MAX`]. Zero needs no unit.
pub fn parse(text: &str, wanted: Dimension) -> Result<f64, UnitError> {
    read(text, wanted).map_err(|error| {
        let other_unit = matches!(
            error.reason,
            Reason::UnknownUnit { .. } | Reason::NotANumber { .. }
        );
        let found = OTHERS
            .iter()
            .copied()
            .find(|&other| other_unit && read(text, other).is_ok());
        match found {
            Some(found) => UnitError {
                reason: Reason::OtherDimension {
                    text: text.trim().to_owned(),
                    found,
                    wanted,
                },
                at: trimmed(text),
            },
            None => error,
        }
    })
}

const OTHERS: [Dimension; 6] = [
    Dimension::Count,
    Dimension::Size,
    Dimension::Rate,
    Dimension::ByteRate,
    Dimension::Duration,
    Dimension::Share,
];

/// Reads a duration: `1m30s`, `500ms`, `1.5h`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let seconds = parse(text, Dimension::Duration)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| UnitError {
        reason: Reason::TooLarge {
            text: text.trim().to_owned(),
        },
        at: trimmed(text),
    })
}

/// Reads the span of time in a rate: the `min` of `30/min`. A duration serves as well: `10m`.
pub fn parse_per(text: &str) -> Result<Duration, UnitError> {
    match lookup(PER, text.trim()) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => parse_duration(text),
    }
}

fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

fn read(text: &str, wanted: Dimension) -> Result<f64, UnitError> {
    let range = trimmed(text);
    let at = |part: &str| offset(text, part)..offset(text, part) + part.len();
    let text_trimmed = &text[range.clone()];
    if text_trimmed.is_empty() {
        return Err(UnitError {
            reason: Reason::Missing(wanted),
            at: 0..text.len(),
        });
    }
    if text_trimmed.len() > TEXT_MAX {
        return Err(UnitError {
            reason: Reason::TooLong(wanted),
            at: range,
        });
    }
    let value = if wanted == Dimension::Duration {
        duration(text_trimmed)
    } else {
        number(text_trimmed).and_then(|(value, digits, unit)| {
            Ok(value * factor(value, digits, unit, text_trimmed, wanted)?)
        })
    };
    match value {
        Ok(value) if value <= MAX => Ok(value),
        Ok(_) => Err(UnitError {
            reason: Reason::TooLarge {
                text: text_trimmed.to_owned(),
            },
            at: range,
        }),
        Err((reason, part)) => Err(UnitError {
            reason,
            at: at(part),
        }),
    }
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(whole.as_ptr() as usize)
        .min(whole.len())
}

type Blame<'t> = (Reason, &'t str);

/// The number that `text` begins with, its digits, and what follows.
fn number(text: &str) -> Result<(f64, &str, &str), Blame<'_>> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        if let Some(positive) = text.strip_prefix(['-', '\u{2212}'])
            && positive.starts_with(|c: char| c.is_ascii_digit())
        {
            let whole = text;
            let text = text.to_owned();
            return Err((Reason::Negative { text }, whole));
        }
        return Err((
            Reason::NotANumber {
                text: text.to_owned(),
            },
            text,
        ));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let grouped = |part: &str| {
        !part.is_empty()
            && part
                .split('_')
                .all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()))
    };
    let plain = digits.replace('_', "");
    match plain.parse() {
        Ok(value) if grouped(whole) && grouped(fraction) => Ok((value, digits, rest.trim_start())),
        _ => Err((
            Reason::NotANumber {
                text: digits.to_owned(),
            },
            digits,
        )),
    }
}

fn factor<'t>(
    value: f64,
    digits: &'t str,
    unit: &'t str,
    text: &'t str,
    wanted: Dimension,
) -> Result<f64, Blame<'t>> {
    if unit.is_empty() && (value == 0.0 || wanted == Dimension::Count) {
        return Ok(1.0);
    }
    if unit.is_empty() {
        let number = digits.to_owned();
        return Err((Reason::NoUnit { number, wanted }, text));
    }
    let found = match wanted {
        Dimension::Count | Dimension::Duration => None,
        Dimension::Size => lookup(SIZES, unit),
        Dimension::Share => (unit == "%").then_some(0.01),
        Dimension::Rate => unit
            .strip_prefix('/')
            .and_then(|span| lookup(PER, span.trim_start()))
            .map(f64::recip),
        Dimension::ByteRate => unit
            .split_once('/')
            .and_then(|(size, span)| {
                Some((
                    lookup(SIZES, size.trim_end())?,
                    lookup(PER, span.trim_start())?,
                ))
            })
            .map(|(bytes, seconds)| bytes / seconds),
    };
    found.ok_or_else(|| {
        let unit_owned = unit.to_owned();
        (
            Reason::UnknownUnit {
                unit: unit_owned,
                wanted,
            },
            unit,
        )
    })
}

fn duration(text: &str) -> Result<f64, Blame<'_>> {
    let mut total = 0.0;
    let mut smallest = f64::INFINITY;
    let mut rest = text;
    while !rest.is_empty() {
        let (value, digits, after) = number(rest)?;
        let end = after
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        if unit.is_empty() && next.is_empty() {
            if value == 0.0 && digits.len() == text.len() {
                return Ok(0.0);
            }
            let number = digits.to_owned();
            let wanted = Dimension::Duration;
            return Err((Reason::NoUnit { number, wanted }, digits));
        }
        let Some(seconds) = lookup(TIMES, unit) else {
            let shown = if unit.is_empty() { next } else { unit };
            let reason = Reason::UnknownUnit {
                unit: shown.to_owned(),
                wanted: Dimension::Duration,
            };
            return Err((reason, shown));
        };
        if seconds >= smallest {
            let reason = Reason::Order {
                unit: unit.to_owned(),
            };
            return Err((reason, unit));
        }
        total += value * seconds;
        smallest = seconds;
        rest = next.trim_start();
    }
    Ok(total)
}

fn lookup(units: &[(&str, f64)], unit: &str) -> Option<f64> {
    units.iter().find(|(name, _)| *name == unit).map(|u| u.1)
}

/// Shows a value in the unit of its dimension, to about three digits: `1.5 MiB/s`, `1m30s`,
/// `1_234`, `20%`. Whole counts are exact. What is not a number is `unknown`.
pub fn format(value: f64, dimension: Dimension) -> String {
    if value.is_nan() {
        return "unknown".to_owned();
    }
    if value < 0.0 {
        return format!("-{}", format(-value, dimension));
    }
    let value = value.min(MAX);
    match dimension {
        Dimension::Count => short(value),
        Dimension::Size => size(value),
        Dimension::ByteRate => size(value) + "/s",
        Dimension::Share => short(value * 100.0) + "%",
        Dimension::Duration => format_seconds(value),
        Dimension::Rate => {
            let scaled = PER.iter().find(|(_, span)| value * span >= 0.995);
            let (unit, span) = match scaled {
                Some(&scaled) => scaled,
                None if value * 86_400.0 >= 0.005 => ("d", 86_400.0),
                None => ("s", 1.0),
            };
            format!("{}/{unit}", short(value * span))
        }
    }
}

/// The same in the unit of time that `like` ends in, if it is a rate: 0.034 a second is `2.04/min`, but
/// beside `> 500/s` it is `0.03/s`.
pub fn format_like(value: f64, dimension: Dimension, like: &str) -> String {
    let per = like.rsplit_once('/').map(|(_, per)| per.trim());
    let per = per.and_then(|per| Some((per, lookup(PER, per)?)));
    let Some((per, span)) = per.filter(|_| value >= 0.0) else {
        return format(value, dimension);
    };
    let value = value.min(MAX) * span;
    match dimension {
        Dimension::Rate if value > 0.0 && value < 0.005 => format!("<0.01/{per}"),
        Dimension::Rate => format!("{}/{per}", short(value)),
        Dimension::ByteRate => format!("{}/{per}", size(value)),
        _ => format(value, dimension),
    }
}

/// Shows a duration, to about three digits: `1m30s`, `250ms`, `2h5m`.
pub fn format_duration(duration: Duration) -> String {
    format(duration.as_secs_f64(), Dimension::Duration)
}

fn size(bytes: f64) -> String {
    let binary = SIZES.iter().filter(|(unit, _)| unit.ends_with("iB")).rev();
    let (unit, scale) = binary
        .copied()
        .find(|(_, scale)| bytes >= *scale)
        .unwrap_or(("B", 1.0));
    format!("{} {unit}", short(bytes / scale))
}

fn format_seconds(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0s".to_owned();
    }
    if seconds < 0.9995 {
        return short(seconds * 1_000.0) + "ms";
    }
    if seconds < 59.95 {
        return short(seconds) + "s";
    }
    // Two units tell enough: the smaller one is rounded, so that it may carry.
    let small = match seconds {
        s if s < 3_600.0 => 1.0,
        s if s < 86_400.0 => 60.0,
        _ => 3_600.0,
    };
    let mut left = (seconds / small).round() * small;
    let mut text = String::new();
    for &(unit, scale) in TIMES {
        let count = (left / scale).floor();
        if count > 0.0 {
            let _ = write!(text, "{count:.0}{unit}");
            left -= count * scale;
        }
    }
    text
}

/// Three digits, or all those of a whole number, in groups of three.
fn short(value: f64) -> String {
    let decimals = match value {
        v if v.fract() == 0.0 || v >= 99.95 => 0,
        v if v < 9.995 => 2,
        _ => 1,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let mut grouped = String::with_capacity(text.len() + text.len() / 3);
    for (i, digit) in text.char_indices() {
        if i > 0 && (text.len() - i).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dimension::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, dimension, value) in [
            ("12", Count, 12.0),
            ("1_000", Count, 1_000.0),
            ("1.5", Count, 1.5),
            ("2 MiB", Size, 2_097_152.0),
            ("2MiB", Size, 2_097_152.0),
            ("1 kB", Size, 1_000.0),
            ("10 B", Size, 10.0),
            ("1 MiB/s", ByteRate, 1_048_576.0),
            ("60 KiB / min", ByteRate, 1_024.0),
            ("30/min", Rate, 0.5),
            ("5 / s", Rate, 5.0),
            ("3_600/h", Rate, 1.0),
            ("1m30s", Duration, 90.0),
            (" 1m 30s ", Duration, 90.0),
            ("10min", Duration, 600.0),
            ("500ms", Duration, 0.5),
            ("1d", Duration, 86_400.0),
            ("1.5h", Duration, 5_400.0),
            ("20%", Share, 0.2),
            ("20 %", Share, 0.2),
            ("0", ByteRate, 0.0),
            ("0", Duration, 0.0),
        ] {
            assert_eq!(parse(text, dimension), Ok(value), "{text}");
        }
        assert_eq!(parse_per("min").unwrap().as_secs(), 60);
        assert_eq!(parse_per("10m").unwrap().as_secs(), 600);
    }

    #[test]
    fn rates_are_shown_in_the_unit_of_their_threshold() {
        for (value, dimension, like, shown) in [
            (0.034, Rate, "> 500/s", "0.03/s"),
            (0.000_1, Rate, "> 500/s", "<0.01/s"),
            (0.0, Rate, "> 500/s", "0/s"),
            (0.034, Rate, "> 20x median = 3/h", "122/h"),
            (0.034, Rate, "> 20x median", "2.04/min"),
            (2_048.0, ByteRate, "> 1 MiB / min", "120 KiB/min"),
            (2_048.0, ByteRate, "> 1 MiB/s", "2 KiB/s"),
            (f64::NAN, Rate, "> 500/s", "unknown"),
            (5.0, Count, "=~ a/s", "5"),
        ] {
            assert_eq!(format_like(value, dimension, like), shown, "{like}");
        }
    }

    #[test]
    fn says_what_is_wrong_where_and_what_to_do() {
        let mut told = String::new();
        for (text, dimension) in [
            ("", Count),
            ("many", Count),
            ("1__0", Count),
            ("-5", Count),
            ("5 MiB", Count),
            ("9007199254740993000", Count),
            ("5", Size),
            ("5 mib", Size),
            ("5 parsecs", Size),
            ("2 MiB", ByteRate),
            ("2 mb/s", ByteRate),
            ("2 MiBps", ByteRate),
            ("30", Rate),
            ("30/minute", Rate),
            ("30/fortnight", Rate),
            ("60", Duration),
            ("5 minutes", Duration),
            ("5 /", Duration),
            ("30s1m", Duration),
            ("1m30", Duration),
            ("-1s", Duration),
            ("0.2", Share),
            ("20", Share),
            ("20 percent", Share),
            (&"9".repeat(65), Share),
        ] {
            let error = parse(text, dimension).unwrap_err();
            let _ = writeln!(
                told,
                "{text:?} as {}: {error} [{}]; {}",
                phrase(dimension),
                &text[error.at.clone()],
                error.help()
            );
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn shows_what_people_read() {
        for (value, dimension, text) in [
            (0.0, Count, "0"),
            (999.0, Count, "999"),
            (840_000.0, Count, "840_000"),
            (8.765, Count, "8.77"),
            (30.26, Count, "30.3"),
            (0.0, Size, "0 B"),
            (1_023.0, Size, "1_023 B"),
            (1_572_864.0, Size, "1.5 MiB"),
            (1_572_864.0, ByteRate, "1.5 MiB/s"),
            (0.5, Rate, "30/min"),
            (0.0, Rate, "0/s"),
            (12.34, Rate, "12.3/s"),
            (0.2, Share, "20%"),
            (0.333_333, Share, "33.3%"),
            (0.0, Duration, "0s"),
            (0.000_42, Duration, "0.42ms"),
            (0.25, Duration, "250ms"),
            (2.5, Duration, "2.5s"),
            (59.99, Duration, "1m"),
            (90.0, Duration, "1m30s"),
            (7_500.0, Duration, "2h5m"),
            (86_399.0, Duration, "1d"),
            (300_000.0, Duration, "3d11h"),
            (f64::NAN, Count, "unknown"),
            (-2.0, Count, "-2"),
        ] {
            assert_eq!(format(value, dimension), text);
        }
    }

    fn any_dimension() -> impl Strategy<Value = Dimension> {
        prop::sample::select(&OTHERS[..])
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_again(exponent in -3.0..15.0_f64, dimension in any_dimension()) {
            let value = 10_f64.powf(exponent);
            let text = format(value, dimension);
            let again = parse(&text, dimension);
            prop_assert!(again.is_ok(), "{text}");
            let again = again.unwrap();
            // Small rates are shown a day, and the smaller unit of a duration is rounded.
            let slack = match dimension {
                Rate => 0.005 / 86_400.0,
                Duration => 0.000_005,
                _ => 0.005,
            };
            prop_assert!((again - value).abs() <= value * 0.0205 + slack, "{value} {text} {again}");
        }

        #[test]
        fn whole_counts_are_exact(count in 0_u64..(1 << 53)) {
            prop_assert_eq!(parse(&format(count as f64, Count), Count), Ok(count as f64));
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,20}|[0-9._dhmskMGiB/% -]{0,20}", dimension in any_dimension()) {
            match parse(&text, dimension) {
                Ok(value) => prop_assert!((0.0..=MAX).contains(&value)),
                Err(error) => {
                    prop_assert!(text.get(error.at.clone()).is_some(), "{error:?}");
                    prop_assert!(!error.help().is_empty());
                }
            }
        }
    }
}
