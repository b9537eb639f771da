//! A policy's thresholds raised or lowered together, to values that a person would write.
//!
//! Only numbers of the policy's own targets that are tested upwards are scaled, all of a policy by one
//! factor. What is around them restricts when a policy acts, and stays as it is written. Of a share the odds
//! are, so that it never passes the whole. What is tested is what is written: a scaled threshold is
//! printed, and read again, before it is judged by.

use crate::field::{Dimension, Kind, Scope};
use crate::policy::{AllOf, Comparison, Condition, Policy, Predicate, Test, Threshold};
use crate::units;

/// The largest multiple of what is normal that a policy can ask for.
const TIMES_MAX: f64 = 1e6;
/// A share is not raised beyond this: nothing can have more than all.
const SHARE_MAX: f64 = 0.99;

/// The number of a test that scaling changes in a policy of `scope`, with its dimension.
pub(super) fn upward(test: &Test, scope: Scope) -> Option<(Threshold, Dimension)> {
    if test.scope != scope {
        return None;
    }
    let Kind::Number(dimension) = test.field.info().kind else {
        return None;
    };
    match test.predicate {
        Predicate::Compare(Comparison::Greater | Comparison::GreaterOrEqual, threshold) if !matches!(threshold, Threshold::Fixed(fixed) if fixed <= 0.0) => {
            Some((threshold, dimension))
        }
        _ => None,
    }
}

/// Why scaling cannot change when a policy holds, if so.
pub(super) fn why_not(policy: &Policy) -> Option<&'static str> {
    let scope = policy.scope;
    let is_scaled = |all: &AllOf| all.tests.iter().any(|test| upward(test, scope).is_some());
    let is_number = |test: &Test| matches!(test.predicate, Predicate::Compare(..));
    let own_numbers = |all: &AllOf| policy.own_tests(all).any(is_number);
    let numbers = |all: &AllOf| all.tests.iter().any(is_number);
    let tables = &policy.when.any;
    if tables.iter().all(is_scaled) {
        None
    } else if tables.iter().any(is_scaled) {
        Some("one of its tables has no number to raise")
    } else if tables.iter().any(own_numbers) {
        Some("its numbers are tested downwards")
    } else if tables.iter().any(numbers) {
        Some("its numbers are of what is around its targets")
    } else {
        Some("it tests names, flags or states, not numbers")
    }
}

/// A policy's `when` with its upward numbers times `factor`. At 1 it is as written.
pub(super) fn scaled(policy: &Policy, factor: f64) -> Condition {
    let mut when = policy.when.clone();
    for test in when.any.iter_mut().flat_map(|all| &mut all.tests) {
        scale(test, policy.scope, factor);
    }
    when
}

fn scale(test: &mut Test, scope: Scope, factor: f64) {
    let Some((threshold, dimension)) = upward(test, scope) else {
        return;
    };
    let Predicate::Compare(comparison, _) = test.predicate else {
        return;
    };
    let (scaled, text) = match threshold {
        Threshold::Fixed(fixed) => {
            let (number, text) = scaled_number(fixed, factor, dimension);
            (Threshold::Fixed(number), text)
        }
        Threshold::Population { times, quantile } => {
            let (times, text) = scaled_times(times, factor);
            // `20x median`, or `p99` alone.
            let of = test.written.rsplit([' ', 'x', '>', '=']).next();
            let text = format!("{text}x {}", of.unwrap_or("median"));
            (Threshold::Population { times, quantile }, text)
        }
    };
    // To the bit: at a factor of 1, or where rounding undoes it, a test stays as it is written.
    if same(scaled, threshold) {
        return;
    }
    let sign = if comparison == Comparison::Greater {
        ">"
    } else {
        ">="
    };
    test.predicate = Predicate::Compare(comparison, scaled);
    test.written = format!("{sign} {text}").into();
}

fn same(a: Threshold, b: Threshold) -> bool {
    let bits = |threshold| match threshold {
        Threshold::Fixed(number) => number.to_bits(),
        Threshold::Population { times, .. } => times.to_bits(),
    };
    bits(a) == bits(b)
}

fn is_one(factor: f64) -> bool {
    (factor - 1.0).abs() < 1e-9
}

fn scaled_number(fixed: f64, factor: f64, dimension: Dimension) -> (f64, String) {
    let written = |number: f64| (number, units::format(number, dimension));
    if is_one(factor) {
        return written(fixed);
    }
    let target = if dimension == Dimension::Share {
        if fixed >= SHARE_MAX {
            return written(fixed);
        }
        factor * fixed / (1.0 - fixed + factor * fixed)
    } else {
        (fixed * factor).min(units::MAX)
    };
    let rounded = readable(target, dimension);
    let text = units::format(rounded, dimension);
    let read = units::parse(&text, dimension).unwrap_or(rounded);
    // Rounded up it may have come out above what it was to be lowered from.
    if (factor < 1.0) == (read < fixed) {
        (read, text)
    } else {
        written(fixed)
    }
}

fn scaled_times(times: f64, factor: f64) -> (f64, String) {
    let scaled = if is_one(factor) {
        times
    } else {
        two_digits(times * factor).min(TIMES_MAX)
    };
    let text = units::format(scaled, Dimension::Count);
    let read = units::parse(&text, Dimension::Count).unwrap_or(scaled);
    let fits = is_one(factor) || (factor < 1.0) == (read < times);
    (if fits { read } else { times }, text)
}

/// Rounded up to two digits in the unit that it is shown in; a count to a whole number.
fn readable(number: f64, dimension: Dimension) -> f64 {
    const SECONDS: [f64; 5] = [86_400.0, 3_600.0, 60.0, 1.0, 0.001];
    let unit = match dimension {
        Dimension::Count if number < 100.0 => return (number - 1e-9).ceil().max(1.0),
        Dimension::Count => 1.0,
        Dimension::Share => return (two_digits(number * 100.0) / 100.0).min(SHARE_MAX),
        Dimension::Size | Dimension::ByteRate => {
            let powers = (0..4).map(|power| 1_024_f64.powi(power));
            powers.rev().find(|&unit| unit <= number).unwrap_or(1.0)
        }
        Dimension::Duration => {
            let unit = SECONDS.into_iter().find(|&unit| unit <= number);
            unit.unwrap_or(0.001)
        }
        // A second, a minute, an hour, a day.
        Dimension::Rate => {
            let spans = SECONDS.iter().rev().skip(1);
            let span = spans.copied().find(|span| number * span >= 0.995);
            1.0 / span.unwrap_or(86_400.0)
        }
    };
    two_digits(number / unit) * unit
}

fn two_digits(number: f64) -> f64 {
    if number <= 0.0 || !number.is_finite() {
        return number;
    }
    let step = 10_f64.powf(number.log10().floor() - 1.0);
    // A little less, so that 1.2 is not 1.3 for a last bit.
    (number / step - 1e-6).ceil() * step
}

/// A `when` as one writes it in TOML.
pub(super) fn toml(when: &Condition) -> String {
    match when.any.as_slice() {
        [one] => table(one),
        tables => {
            let tables: Vec<String> = tables.iter().map(table).collect();
            format!("[{}]", tables.join(", "))
        }
    }
}

fn table(all: &AllOf) -> String {
    // Tests of one field stand in one array.
    let mut fields: Vec<(&str, Vec<String>)> = Vec::new();
    for test in &all.tests {
        let value = match test.predicate {
            Predicate::Is(flag) => flag.to_string(),
            _ => toml::Value::from(&*test.written).to_string(),
        };
        match fields.iter_mut().find(|it| it.0 == &*test.field_written) {
            Some((_, tests)) => tests.push(value),
            None => fields.push((&test.field_written, vec![value])),
        }
    }
    let fields = fields.into_iter().map(|(field, tests)| {
        let tests = match tests.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        format!("{} = {tests}", key(field))
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

fn key(field: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if field.chars().all(is_bare) {
        return field.to_owned();
    }
    toml::Value::from(field).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{PolicySet, shipped};
    use crate::scene::policies;

    fn of(scope: &str, when: &str) -> PolicySet {
        policies(&format!(
            "[[policy]]\nname = \"it\"\nscope = \"{scope}\"\nwhen = {when}\naction = \"alert\"\n"
        ))
    }

    fn at(scope: &str, when: &str, factor: f64) -> String {
        toml(&scaled(&of(scope, when).policies[0], factor))
    }

    #[test]
    fn thresholds_stay_readable() {
        let when = "{ sent_rate = '> 1 MiB/s', sent_share = '> 20%' }";
        let told = [0.1, 0.89, 1.0, 1.12, 1.58, 5.0, 100.0]
            .map(|factor| format!("{factor}: {}", at("subnet", when, factor)));
        insta::assert_snapshot!(told.join("\n"), @r#"
        0.1: { sent_rate = "> 110 KiB/s", sent_share = "> 2.5%" }
        0.89: { sent_rate = "> 920 KiB/s", sent_share = "> 19%" }
        1: { sent_rate = "> 1 MiB/s", sent_share = "> 20%" }
        1.12: { sent_rate = "> 1.2 MiB/s", sent_share = "> 22%" }
        1.58: { sent_rate = "> 1.6 MiB/s", sent_share = "> 29%" }
        5: { sent_rate = "> 5 MiB/s", sent_share = "> 56%" }
        100: { sent_rate = "> 100 MiB/s", sent_share = "> 97%" }
        "#);
        let others = [
            at(
                "session",
                "{ subs = ['> 15_000', '> 50x median', '>p99'] }",
                1.6,
            ),
            at(
                "session",
                "{ pending_requests = '>= 155', age = '> 1m' }",
                1.3,
            ),
            at(
                "address",
                "{ brief_sessions = '> 3', sessions = '< 10' }",
                1.12,
            ),
            at(
                "session",
                "{ tx_rate = '> 30/min', client = '=~ \"\\w' }",
                3.0,
            ),
            at(
                "session",
                "{ subs = '> 10', address.subs = '> 100', server.subs = '> 1_000' }",
                2.0,
            ),
            at(
                "session",
                "[{ requests.server.ping = '> 10', private = true }, { errors = '> 0' }]",
                2.0,
            ),
        ];
        insta::assert_snapshot!(others.join("\n"), @r#"
        { subs = ["> 24_000", "> 80x median", "> 1.6x p99"] }
        { pending_requests = ">= 210", age = "> 1m18s" }
        { brief_sessions = "> 4", sessions = "< 10" }
        { tx_rate = "> 1.5/s", client = '=~ "\w' }
        { subs = "> 20", "address.subs" = "> 100", "server.subs" = "> 1_000" }
        [{ "requests.server.ping" = "> 20", private = true }, { errors = "> 0" }]
        "#);
    }

    #[test]
    fn what_has_no_number_to_raise_is_left_alone() {
        let set = shipped().set.unwrap();
        let left = set.policies.iter().filter_map(|policy| {
            let why = why_not(policy)?;
            Some(format!("{}: {why}", policy.name))
        });
        insta::assert_snapshot!(left.collect::<Vec<_>>().join("\n"), @r"
        certificate-ends: its numbers are tested downwards
        hostile-name: it tests names, flags or states, not numbers
        scraper: it tests names, flags or states, not numbers
        failback: its numbers are tested downwards
        blocks-held-up: it tests names, flags or states, not numbers
        primary-unhealthy: it tests names, flags or states, not numbers
        chain-silent: its numbers are tested downwards
        slots-held: its numbers are of what is around its targets
        slots-short: its numbers are tested downwards
        ");
        let mixed = of("session", "[{ subs = '> 10' }, { client = 'x' }]");
        assert!(
            why_not(&mixed.policies[0])
                .unwrap()
                .contains("one of its tables")
        );
        let around = of(
            "session",
            "{ client = 'x', 'server.pending_requests' = '> 9' }",
        );
        assert_eq!(
            why_not(&around.policies[0]),
            Some("its numbers are of what is around its targets")
        );
    }

    /// What is proposed can be pasted, and then is what was judged by.
    #[test]
    fn what_is_written_is_what_is_meant() {
        for policy in &shipped().set.unwrap().policies {
            if why_not(policy).is_some() {
                continue;
            }
            for step in -20..=40 {
                let meant = scaled(policy, 10_f64.powf(f64::from(step) / 20.0));
                let read = of(policy.scope.name(), &toml(&meant));
                let read = &read.policies[0].when;
                let thresholds = |when: &Condition| {
                    let tests = when.any.iter().flat_map(|all| &all.tests);
                    tests
                        .map(|test| format!("{:?}", test.predicate))
                        .collect::<Vec<_>>()
                };
                assert_eq!(thresholds(read), thresholds(&meant), "{}", toml(&meant));
            }
        }
    }

    fn dimension() -> impl Strategy<Value = Dimension> {
        use Dimension::{ByteRate, Count, Duration, Rate, Share, Size};
        prop::sample::select(vec![Count, Size, Rate, ByteRate, Duration, Share])
    }

    proptest! {
        #[test]
        fn a_greater_factor_is_no_lower_threshold(
            exponent in -2.0..9.0_f64, step in -20..40_i32, dimension in dimension(),
        ) {
            let fixed = match dimension {
                Dimension::Share => 10_f64.powf(-exponent.abs()),
                Dimension::Count => 10_f64.powf(exponent.abs()).round(),
                _ => 10_f64.powf(exponent),
            };
            let factor = |step: i32| 10_f64.powf(f64::from(step) / 20.0);
            let (low, _) = scaled_number(fixed, factor(step), dimension);
            let (high, _) = scaled_number(fixed, factor(step + 1), dimension);
            prop_assert!(low <= high, "{fixed} {dimension:?}: {low} > {high}");
            prop_assert!(dimension != Dimension::Share || high < 1.0);
        }
    }
}
