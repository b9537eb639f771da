//! `getinfo`: flat with underscores up to 1.10, with spaces and nesting from 1.11 on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};

use crate::snapshot::{Server, Uptime};

/// Texts of the server's own are cut here; they come from its configuration.
const TEXT_BYTES_MAX: usize = 256;

/// Decodes the `result` of `getinfo`. Keys it does not know are passed over: they come and go
/// between releases and forks.
pub struct GetinfoSeed<'a>(pub &'a mut Server);

impl<'de> DeserializeSeed<'de> for GetinfoSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        *self.0 = Getinfo::deserialize(deserializer)?.checked()?;
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(expecting = "an object")]
struct Getinfo {
    version: Option<String>,
    coin: Option<String>,
    daemon: Option<String>,
    #[serde(alias = "daemon height")]
    daemon_height: Option<i64>,
    #[serde(alias = "db height")]
    db_height: Option<i64>,
    sessions: Option<SessionCounts>,
    errors: Option<u64>,
    logged: Option<u64>,
    requests: Option<u64>,
    subs: Option<u64>,
    #[serde(alias = "txs sent")]
    txs_sent: Option<u64>,
    groups: Option<u64>,
    #[serde(rename = "request total")]
    request_total: Option<u64>,
    #[serde(rename = "request counts", default)]
    request_counts: MethodCounts,
    pid: Option<u64>,
    uptime: Option<String>,
}

impl Getinfo {
    fn checked<E: de::Error>(self) -> Result<Server, E> {
        let missing = |key| {
            E::custom(format_args!(
                "`{key}` is missing: is this an ElectrumX of 0.8.11 or later?"
            ))
        };
        let sessions = self.sessions.ok_or_else(|| missing("sessions"))?;
        let uptime = match self.uptime.as_deref() {
            None => None,
            Some(text) => Some(parse_uptime(text).ok_or_else(|| {
                E::custom(format_args!(
                    "`uptime`: `{}` is not a time such as `01h 39m 04s`",
                    cut(text)
                ))
            })?),
        };
        Ok(Server {
            version: self.version.map(bounded),
            coin: self.coin.map(bounded),
            daemon: self
                .daemon
                .map(|daemon| bounded(daemon.trim_end_matches('/').to_owned())),
            daemon_height: height(self.daemon_height),
            db_height: height(self.db_height),
            errors: self
                .errors
                .or(sessions.errors)
                .ok_or_else(|| missing("errors"))?,
            sessions: sessions.count,
            logged: self.logged.or(sessions.logged).unwrap_or(0),
            pending_requests: self.requests.or(sessions.pending_requests).unwrap_or(0),
            subs: self.subs.or(sessions.subs).unwrap_or(0),
            txs_sent: self.txs_sent.unwrap_or(0),
            groups: self.groups.unwrap_or(0),
            request_total: self.request_total,
            request_counts: self.request_counts.0,
            pid: self.pid,
            uptime,
        })
    }
}

/// The server has a handler a method, and counts what it does not know as `invalid method`: so many
/// methods it has not. Of more nothing is known, rather than of some.
const METHODS_MAX: usize = 256;

/// `request counts`, from 1.11 on.
#[derive(Default)]
struct MethodCounts(Option<BTreeMap<Box<str>, u64>>);

impl<'de> Deserialize<'de> for MethodCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MethodCountsVisitor)
    }
}

struct MethodCountsVisitor;

impl<'de> Visitor<'de> for MethodCountsVisitor {
    type Value = MethodCounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`request counts` to be an object of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MethodCounts, A::Error> {
        let mut counts = BTreeMap::new();
        let mut is_whole = true;
        while let Some((method, count)) = map.next_entry::<String, u64>()? {
            if counts.len() < METHODS_MAX && method.len() <= TEXT_BYTES_MAX {
                counts.insert(method.into(), count);
            } else {
                is_whole = false;
            }
        }
        Ok(MethodCounts(is_whole.then_some(counts)))
    }
}

/// -1 stands for none: nothing is indexed before the server has caught up.
fn height(height: Option<i64>) -> Option<u64> {
    height.and_then(|height| u64::try_from(height).ok())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

fn bounded(mut text: String) -> String {
    text.truncate(cut(&text).len());
    text
}

/// Parts with falling units; from a day on the seconds are left out.
fn parse_uptime(text: &str) -> Option<Uptime> {
    let mut seconds: u64 = 0;
    let mut last = None;
    for part in text.split(' ') {
        let unit = part.chars().next_back()?;
        let number: u64 = part.strip_suffix(unit)?.parse().ok()?;
        let size = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if last.is_some_and(|last| last <= size) {
            return None;
        }
        last = Some(size);
        seconds = seconds.checked_add(number.checked_mul(size)?)?;
    }
    Some(Uptime {
        at_least: Duration::from_secs(seconds),
        resolution: Duration::from_secs(last?),
    })
}

/// `sessions`: a number up to 1.10, an object from 1.11 on.
#[derive(Default)]
struct SessionCounts {
    count: u64,
    errors: Option<u64>,
    logged: Option<u64>,
    pending_requests: Option<u64>,
    subs: Option<u64>,
}

impl<'de> Deserialize<'de> for SessionCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SessionCountsVisitor)
    }
}

struct SessionCountsVisitor;

impl<'de> Visitor<'de> for SessionCountsVisitor {
    type Value = SessionCounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`sessions` to be a number or an object")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<SessionCounts, E> {
        Ok(SessionCounts {
            count,
            ..SessionCounts::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SessionCounts, A::Error> {
        let mut counts = SessionCounts::default();
        let mut count = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "count" => count = Some(map.next_value()?),
                "errors" => counts.errors = Some(map.next_value()?),
                "logged" => counts.logged = Some(map.next_value()?),
                "pending requests" => counts.pending_requests = Some(map.next_value()?),
                // 2.0 counts the subscriptions of two kinds apart.
                "subs" | "subs_sh" | "subs_txo" => {
                    let subs: u64 = map.next_value()?;
                    counts.subs = Some(counts.subs.unwrap_or(0).saturating_add(subs));
                }
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        counts.count = count.ok_or_else(|| de::Error::missing_field("count"))?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(methods: usize, name: &str) -> Option<usize> {
        let counts = (0..methods).map(|number| format!("\"{name}{number}\": {number}"));
        let counts = counts.collect::<Vec<_>>().join(",");
        let counts: MethodCounts = serde_json::from_str(&format!("{{{counts}}}")).unwrap();
        counts.0.map(|counts| counts.len())
    }

    #[test]
    fn more_methods_than_any_server_has_are_not_kept() {
        assert_eq!(counts(0, "m"), Some(0));
        assert_eq!(counts(METHODS_MAX, "m"), Some(METHODS_MAX));
        assert_eq!(counts(METHODS_MAX + 1, "m"), None);
        assert_eq!(counts(1, &"m".repeat(TEXT_BYTES_MAX)), None);
        assert!(serde_json::from_str::<MethodCounts>("{\"a\": -1}").is_err());
    }

    #[test]
    fn uptimes() {
        let at = |text| parse_uptime(text).map(|u| (u.at_least.as_secs(), u.resolution.as_secs()));
        assert_eq!(at("21s"), Some((21, 1)));
        assert_eq!(at("01m 53s"), Some((113, 1)));
        assert_eq!(at("01h 39m 04s"), Some((5_944, 1)));
        assert_eq!(at("5d 03h 12m"), Some((443_520, 60)));
        for bad in [
            "",
            "5",
            "5x",
            "1s 1s",
            "1s 1m",
            "-1s",
            "1m  2s",
            "18446744073709551615d",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
