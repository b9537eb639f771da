//! Numbers and lengths of time as people type them; points in time are [`when`](super::when)'s.
//!
//! Whatever cannot be read is told with what is expected, and an example of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::field::Dimension;
use crate::units::{format, format_duration, parse_duration};

/// Reads a whole number within these bounds: `1000` or `1_000`.
pub(super) fn whole<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
    example: &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.replace('_', "").parse().ok();
        let number = number.filter(|number| bounds.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("expected {} such as `{example}`", a_number(&bounds)))
    }
}

fn a_number(bounds: &RangeInclusive<u64>) -> String {
    let shown = |number: u64| format(number as f64, Dimension::Count);
    match (*bounds.start(), *bounds.end()) {
        (0, most) if most >= i64::MAX as u64 => "a whole number".to_owned(),
        (least, most) if most >= i64::MAX as u64 => {
            format!("a whole number from {} on", shown(least))
        }
        (least, most) => format!("a whole number from {} to {}", shown(least), shown(most)),
    }
}

/// Reads a duration within these bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
    example: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let duration = parse_duration(text).ok();
        let duration = duration.filter(|duration| bounds.contains(duration));
        duration.ok_or_else(|| {
            let [least, most] = [bounds.start(), bounds.end()].map(|&bound| format_duration(bound));
            let within = match *bounds.end() {
                Duration::MAX => String::new(),
                _ => format!(" from {least} to {most}"),
            };
            format!("expected a duration{within} such as `{example}`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_with_an_example() {
        let id = whole::<u64>(0..=u64::MAX, "42");
        assert_eq!(id("18446744073709551615"), Ok(u64::MAX));
        let samples = whole::<u32>(1..=100_000, "6");
        assert_eq!(samples("1_000"), Ok(1_000));
        let length = duration(Duration::from_secs(5)..=Duration::from_mins(10), "30s");
        assert_eq!(length("1m"), Ok(Duration::from_mins(1)));
        let any = duration(Duration::ZERO..=Duration::MAX, "2h");
        let told = [
            id("x").unwrap_err(),
            id("-1").unwrap_err(),
            samples("0").unwrap_err(),
            whole::<i64>(1..=i64::MAX as u64, "42")("0").unwrap_err(),
            length("3s").unwrap_err(),
            any("5").unwrap_err(),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        expected a whole number such as `42`
        expected a whole number such as `42`
        expected a whole number from 1 to 100_000 such as `6`
        expected a whole number from 1 on such as `42`
        expected a duration from 5s to 10m such as `30s`
        expected a duration such as `2h`
        ");
    }
}
