//! Points in time as people type them.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::time::Timestamp;
use crate::units::parse_duration;

/// A point in time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    /// Reads `2026-01-31T12:00:00Z`, `2026-01-31 12:00`, `2026-01-31` (UTC where no zone is given)
    /// or `2h` for two hours ago.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(at) = absolute(text) {
            return Ok(Self::At(at));
        }
        let ago = text.strip_suffix("ago").unwrap_or(text);
        parse_duration(ago).map(Self::Ago).map_err(|_| {
            "write a time as `2026-01-31T12:00:00Z`, `2026-01-31 12:00` or `2026-01-31`, \
             in UTC, or `2h` for two hours ago"
                .to_owned()
        })
    }

    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now - ago,
        }
    }
}

fn absolute(text: &str) -> Option<Timestamp> {
    let millis = if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        time.timestamp_millis()
    } else if let Ok(date) = text.parse::<NaiveDate>() {
        date.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
    } else {
        let local = [
            "%Y-%m-%d %H:%M",
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%dT%H:%M:%S",
        ];
        let read = |format| NaiveDateTime::parse_from_str(text, format).ok();
        local
            .into_iter()
            .find_map(read)?
            .and_utc()
            .timestamp_millis()
    };
    Some(Timestamp::from_millis(millis))
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_millis(0) + since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let noon = Timestamp::from_millis(1_769_860_800_000);
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31 12:00",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00",
        ] {
            assert_eq!(When::parse(text), Ok(When::At(noon)), "{text}");
        }
        let midnight = noon - Duration::from_secs(12 * 3_600);
        assert_eq!(When::parse("2026-01-31"), Ok(When::At(midnight)));
        for text in ["2h", "2h ago", " 120m "] {
            let ago = When::parse(text).unwrap();
            assert_eq!(ago.resolve(noon), noon - Duration::from_secs(7_200));
        }
        for text in ["", "ago", "yesterday", "2026-13-01", "12:00", "-2h", "2"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }
}
