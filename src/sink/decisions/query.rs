//! What a bouncer asks for.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::sink::decision::ORIGIN;

/// The query of a request for decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Whether the bouncer knows nothing yet.
    pub(super) is_startup: bool,
    /// Whether it wants the agent's decisions, and not only those of other origins.
    pub(super) is_for_us: bool,
}

/// A filter that is not served. What it would leave out must not be kept out, so it is not ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownFilter;

impl FromStr for Query {
    type Err = UnknownFilter;

    fn from_str(text: &str) -> Result<Self, UnknownFilter> {
        let mut query = Self {
            is_startup: false,
            is_for_us: true,
        };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            let has = |wanted: &str| value.split(',').any(|it| it.eq_ignore_ascii_case(wanted));
            match key {
                "startup" => query.is_startup = value == "true",
                "scopes" if has("ip") && has("range") => {}
                "origins" => query.is_for_us = has(ORIGIN),
                _ if value.is_empty() => {}
                _ => return Err(UnknownFilter),
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_bouncers_are_read() {
        let read = |text: &str| {
            let query = text.parse::<Query>().ok()?;
            Some((query.is_startup, query.is_for_us))
        };
        for (text, expected) in [
            ("", Some((false, true))),
            ("startup=true", Some((true, true))),
            ("startup=false&scopes=ip%2Crange", Some((false, true))),
            ("scopes=Ip,Range&startup=true", Some((true, true))),
            ("scopes=ip", None),
            ("origins=cscli,crowdsec", Some((false, false))),
            ("origins=cscli,electrumx-warden", Some((false, true))),
            ("scenarios_containing=&startup=true", Some((true, true))),
            ("scenarios_not_containing=hog", None),
            ("%ff=&&=", Some((false, true))),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
