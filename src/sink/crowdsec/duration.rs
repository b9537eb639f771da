//! Durations as Go writes them: `-34m48.362723318s`, `1h0m5s`, `12.5ms`.

use std::time::Duration;

/// What is left; nothing if it is over. `None` if it is no duration.
pub(super) fn left(text: &str) -> Option<Duration> {
    let (is_over, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "μs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    let left = Duration::try_from_secs_f64(seconds).ok()?;
    Some(if is_over { Duration::ZERO } else { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let ms = |text: &str| left(text).map(|left| left.as_millis());
        for (text, expected) in [
            ("15m8.637275109s", Some(908_637)),
            ("1h0m5s", Some(3_605_000)),
            ("-34m48.362723318s", Some(0)),
            ("-12.338843ms", Some(0)),
            ("12.5ms", Some(12)),
            ("999.1µs", Some(0)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("", None),
            ("-", None),
            ("5", None),
            ("h", None),
            ("1.2.3s", None),
            ("4d", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
    }
}
