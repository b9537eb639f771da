//! Points in time. The core never asks a clock: time comes in as an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
///
/// The live agent reads the wall clock once, when it starts, and counts on from there by the
/// monotonic clock, so that a clock that is set neither shortens nor stretches a hold time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// As milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds: `2026-01-31T23:59:59.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A value, or perhaps a value: the two are written alike.
pub trait Maybe<T>: Sized + Copy {
    /// The value, if there is one.
    fn maybe(self) -> Option<T>;
    /// From a value; `None` if there must be one and there is not.
    fn from_maybe(value: Option<T>) -> Option<Self>;
}

impl<T: Copy> Maybe<T> for T {
    fn maybe(self) -> Option<T> {
        Some(self)
    }

    fn from_maybe(value: Option<T>) -> Option<Self> {
        value
    }
}

impl<T: Copy> Maybe<T> for Option<T> {
    fn maybe(self) -> Self {
        self
    }

    fn from_maybe(value: Self) -> Option<Self> {
        Some(value)
    }
}

/// Times as text, for programs that read what is shown: `#[serde(with = "rfc3339")]`.
pub mod rfc3339 {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{DateTime, Maybe, Timestamp};

    /// As [`Timestamp`] prints.
    pub fn serialize<T: Maybe<Timestamp>, S: Serializer>(
        at: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let at: Option<Timestamp> = (*at).maybe();
        at.map(|at| at.to_string()).serialize(serializer)
    }

    /// Any RFC 3339.
    pub fn deserialize<'de, T: Maybe<Timestamp>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let at = Option::<String>::deserialize(deserializer)?;
        let at = at.map(|at| DateTime::parse_from_rfc3339(&at)).transpose();
        let at = at.map_err(D::Error::custom)?;
        let at = at.map(|at| Timestamp::from_millis(at.timestamp_millis()));
        T::from_maybe(at).ok_or_else(|| D::Error::custom("a time is missing"))
    }
}

/// Durations in seconds, for the same: `#[serde(with = "seconds")]`.
pub mod seconds {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Maybe;

    /// As a number of seconds.
    pub fn serialize<T: Maybe<Duration>, S: Serializer>(
        time: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let time: Option<Duration> = (*time).maybe();
        time.map(|time| time.as_secs_f64()).serialize(serializer)
    }

    /// From a number of seconds.
    pub fn deserialize<'de, T: Maybe<Duration>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        let time = seconds.map(Duration::try_from_secs_f64).transpose();
        T::from_maybe(time.map_err(D::Error::custom)?)
            .ok_or_else(|| D::Error::custom("a duration is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_back_in_time_is_zero() {
        let early = Timestamp::from_millis(1_000);
        let late = early + Duration::from_millis(250);
        assert_eq!(late.since(early), Duration::from_millis(250));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late - Duration::from_millis(250), early);
    }

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_millis(1_767_225_600_123).to_string(),
            "2026-01-01T00:00:00.123Z"
        );
        assert_eq!(
            (Timestamp::from_millis(0) + Duration::MAX).to_string(),
            "9223372036854775807 ms"
        );
    }
}
