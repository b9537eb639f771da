//! Hive's names of folders: `server=NAME`, `day=2026-01-31`.

use std::fmt::Write as _;

use chrono::DateTime;

use crate::time::Timestamp;

/// Longer names no file system takes.
const NAME_BYTES_MAX: usize = 255;

/// What Hive calls the folder of an empty value.
const EMPTY: &str = "__HIVE_DEFAULT_PARTITION__";

const DAY_MS: i64 = 86_400_000;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(i64);

impl Day {
    pub(super) const fn of(at: Timestamp) -> Self {
        Self(at.as_millis().div_euclid(DAY_MS))
    }

    /// The folder.
    pub(super) fn folder(self) -> String {
        let begins = DateTime::from_timestamp_millis(self.0.saturating_mul(DAY_MS));
        format!("day={}", begins.unwrap_or_default().format("%Y-%m-%d"))
    }
}

/// The folder of a server; `None` if its name is too long for one.
///
/// A recording may come from anywhere: whatever could lead out of a folder, hide, or read as another
/// name is percent-encoded, as Hive, Spark and `DuckDB` decode it. Letters beyond ASCII stay as they
/// are, for readers differ on how those would be encoded.
pub(super) fn server_folder(name: &str) -> Option<String> {
    let mut folder = "server=".to_owned();
    if name.is_empty() {
        folder.push_str(EMPTY);
    }
    for char in name.chars() {
        if char.is_alphanumeric() || matches!(char, '.' | '_' | '-') {
            folder.push(char);
            continue;
        }
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            _ = write!(folder, "%{byte:02X}");
        }
    }
    (folder.len() <= NAME_BYTES_MAX).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers() {
        for (name, folder) in [
            ("fra-1.example", "server=fra-1.example"),
            ("127.0.0.1:8000", "server=127.0.0.1%3A8000"),
            ("../../etc", "server=..%2F..%2Fetc"),
            ("a=b/day=c%2F+ \\", "server=a%3Db%2Fday%3Dc%252F%2B%20%5C"),
            ("\0\n\u{1b}[2J\u{7f}", "server=%00%0A%1B%5B2J%7F"),
            ("Zürich", "server=Zürich"),
            ("\u{202e}x", "server=%E2%80%AEx"),
            ("", "server=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(server_folder(name).as_deref(), Some(folder), "{name:?}");
        }
        assert!(server_folder(&"x".repeat(248)).is_some());
        assert_eq!(server_folder(&"x".repeat(249)), None);
        assert_eq!(server_folder(&":".repeat(83)), None);
    }

    #[test]
    fn days_begin_at_midnight_in_utc() {
        let folder = |millis| Day::of(Timestamp::from_millis(millis)).folder();
        assert_eq!(folder(0), "day=1970-01-01");
        assert_eq!(folder(-1), "day=1969-12-31");
        assert_eq!(folder(1_767_225_599_999), "day=2025-12-31");
        assert_eq!(folder(1_767_225_600_000), "day=2026-01-01");
        assert_eq!(folder(i64::MAX), "day=1970-01-01");
    }
}
