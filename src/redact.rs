//! Credentials in URLs, kept out of everything that people or files see.
//!
//! A daemon's URL bears the RPC user and password of a bitcoind, and a server that refuses a URL echoes it. The rule is
//! to hide too much rather than too little: between a scheme and the last `@` before the next URL, everything goes. It
//! does not escape; see [`escape`](crate::escape).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

/// What stands in place of credentials.
const HIDDEN: &str = "***";

/// Replaces `user:password@` by `***@` in every URL within `text`, with a scheme or without.
///
/// After a scheme, all up to the last `@` that precedes the next URL counts as credentials, spaces and quotes included.
/// Without a scheme they start at the last blank, quote or bracket. A port that is no number is hidden as well: it is
/// what remains of a password when a URL was cut at a comma or by a length limit.
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains('@') && !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        redact_line(&mut out, line, redact_prose);
    }
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// `before` is for what precedes the first URL with a scheme.
fn redact_line(out: &mut String, line: &str, before: fn(&mut String, &str)) {
    let starts = url_starts(line);
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    before(out, &line[..starts.first().copied().unwrap_or(line.len())]);
    for (&start, end) in starts.iter().zip(ends) {
        let url = &line[start..end];
        let scheme = url.find("://").map_or(0, |colon| colon + 3);
        out.push_str(&url[..scheme]);
        redact_authority(out, &url[scheme..]);
    }
}

/// Where the URLs with a scheme begin. A scheme inside another URL's password is none: it must follow a blank, a quote,
/// a comma or the like.
fn url_starts(line: &str) -> Vec<usize> {
    line.match_indices("://")
        .filter_map(|(colon, _)| {
            let start = line[..colon]
                .rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
                .map_or(0, |before| {
                    before + line[before..].chars().next().map_or(1, char::len_utf8)
                });
            let opens = line[..start]
                .chars()
                .next_back()
                .is_none_or(|c| c == ',' || c == '=' || is_delimiter(c));
            (start < colon && opens).then_some(start)
        })
        .collect()
}

/// `text` is a URL after its scheme, and whatever follows up to the next URL or the line's end.
fn redact_authority(out: &mut String, text: &str) {
    if let Some(at) = text.rfind('@') {
        out.push_str(HIDDEN);
        out.push_str(&text[at..]);
        return;
    }
    let authority_len = text
        .find(|c| matches!(c, '/' | ',') || is_quote(c))
        .unwrap_or(text.len());
    let (authority, path) = text.split_at(authority_len);
    let host_len = authority.find(']').map_or(0, |bracket| bracket + 1);
    match authority[host_len..]
        .find(':')
        .map(|colon| host_len + colon + 1)
    {
        Some(port) if !is_port(&authority[port..]) => {
            out.push_str(&authority[..port]);
            out.push_str(HIDDEN);
            // What follows a slash or comma may be the password's other half.
            out.push_str(&path[path.find(is_quote).unwrap_or(path.len())..]);
        }
        _ => out.push_str(text),
    }
}

/// Text before any scheme: each word loses what precedes its last `@`.
fn redact_prose(out: &mut String, text: &str) {
    for word in text.split_inclusive(is_delimiter) {
        match word.rfind('@') {
            // Nothing stands before the `@` of a policy's list, as in `in @bad`.
            None | Some(0) => out.push_str(word),
            Some(at) => {
                out.push_str(HIDDEN);
                out.push_str(&word[at..]);
            }
        }
    }
}

fn is_delimiter(c: char) -> bool {
    is_quote(c) || matches!(c, '(' | ')' | '<' | '>' | '[' | ']' | '{' | '}')
}

/// A blank or a quotation mark: what ends a URL in prose.
fn is_quote(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`')
}

/// A server may put a full stop or the like after a URL.
fn is_port(text: &str) -> bool {
    let digits = text.trim_end_matches(['.', ';', ':', '!', '?']);
    digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A list of daemon URLs, separated by commas, with their credentials. Empty, it means the server's own default.
///
/// Neither `Debug` nor `Display` shows the credentials.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrls(String);

impl SecretUrls {
    /// Takes the URLs as an operator wrote them, unchecked: what is a good URL is the server's to say.
    pub fn new(urls: impl Into<String>) -> Self {
        Self(urls.into())
    }

    /// The URLs with their credentials, for the request to the server and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::new();
        // All of it is URLs: before the first scheme stands no prose, but a URL without one.
        redact_line(&mut shown, &self.0, redact_authority);
        f.write_str(&shown)
    }
}

impl fmt::Debug for SecretUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrls({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_go_and_the_rest_stays() {
        for (text, expected) in [
            ("http://u:p@127.0.0.1:8332/", "http://***@127.0.0.1:8332/"),
            ("u:p@host:8332", "***@host:8332"),
            (
                "now using daemon at 127.0.0.1:18441/",
                "now using daemon at 127.0.0.1:18441/",
            ),
            (
                r#"an error occurred: CoinError('invalid daemon URL: "http://u:p@host"')"#,
                r#"an error occurred: CoinError('invalid daemon URL: "http://***@host"')"#,
            ),
            (
                "http://u:p@127.0.0.1:18442/,https://u:q@127.0.0.1:18441/",
                "http://***@127.0.0.1:18442/,https://***@127.0.0.1:18441/",
            ),
            ("u:p@h1,u:q@h2", "***@h2"),
            ("http://u:a@b/c:d%40@host/x", "http://***@host/x"),
            ("http://u:two words\"@host/", "http://***@host/"),
            ("http://u:a://b@host", "http://***@host"),
            (
                "tried http://u:p@h1, then http://u:q@h2: refused",
                "tried http://***@h1, then http://***@h2: refused",
            ),
            ("daemon=http://u:p@h1", "daemon=http://***@h1"),
            ("http://u@host", "http://***@host"),
            (
                "first u:p@h\nsecond http://u:p@h",
                "first ***@h\nsecond http://***@h",
            ),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn the_name_of_a_list_is_no_credential() {
        for text in ["client \"evil\" (in @bad)", "not in @bad", "@bad"] {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact("in u:p@@bad"), "in ***@bad");
        assert_eq!(redact("in @u:p@bad"), "in ***@bad");
        assert_eq!(redact("http://u:p in @bad"), "http://***@bad");
    }

    #[test]
    fn what_is_left_of_a_cut_url_goes_too() {
        assert_eq!(
            redact(r#"invalid daemon URL: "http://u:secret""#),
            r#"invalid daemon URL: "http://u:***""#
        );
        assert_eq!(redact("http://u:sec/ret and more"), "http://u:*** and more");
        assert_eq!(redact("http://host:8332/"), "http://host:8332/");
        assert_eq!(redact("see https://host:8332."), "see https://host:8332.");
        assert_eq!(
            redact("http://[::1]:8332/ http://[::1]/"),
            "http://[::1]:8332/ http://[::1]/"
        );
    }

    #[test]
    fn text_without_urls_costs_nothing() {
        for text in [
            "",
            "unknown session: 9",
            "::bad url::",
            "http://host:8332/x",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn secret_urls_show_hosts_only() {
        let urls = SecretUrls::new("http://u:p@h1:1/,http://u:q@h2:2/");
        assert_eq!(urls.to_string(), "http://***@h1:1/,http://***@h2:2/");
        assert_eq!(
            format!("{urls:?}"),
            "SecretUrls(http://***@h1:1/,http://***@h2:2/)"
        );
        assert_eq!(SecretUrls::new("u:two words@h").to_string(), "***@h");
        assert_eq!(SecretUrls::new("u:secret").to_string(), "u:***");
        assert_eq!(SecretUrls::new("").to_string(), "");
        assert_eq!(urls.expose(), "http://u:p@h1:1/,http://u:q@h2:2/");
    }

    /// User and password: secret letters are capitals, and nothing around them has any.
    fn credentials(between: &'static str) -> impl Strategy<Value = String> {
        let secret = format!("[A-Z]{{2}}([{between}]{{1,3}}[A-Z]{{2}}){{0,4}}[{between}]{{0,2}}");
        let password = proptest::string::string_regex(&secret).unwrap();
        ("[A-Z]{1,6}", password).prop_map(|(user, password)| format!("{user}:{password}"))
    }

    fn surroundings() -> impl Strategy<Value = (&'static str, &'static str)> {
        proptest::sample::select(vec![
            ("", ""),
            ("invalid daemon url: \"", "\""),
            (
                "an error occurred: coinerror('invalid daemon url: \"",
                "\"')",
            ),
            ("tried ", " twice"),
            ("daemon at `", "`, port 8332"),
            ("é→(", ")"),
            ("see http://host:1/ or ", ", http://host:2/"),
        ])
    }

    proptest! {
        #[test]
        fn no_password_after_a_scheme_is_ever_shown(
            all in prop::collection::vec(credentials("@/:%#?&=+;.!_ \"'`()<>{}é€-"), 1..4),
            scheme in "https?",
            (before, after) in surroundings(),
        ) {
            let urls: Vec<_> = all.iter().map(|c| format!("{scheme}://{c}@host.example:8332/")).collect();
            let urls = urls.join(",");
            let shown = redact(&format!("{before}{urls}{after}")).into_owned();
            prop_assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{shown}");
            prop_assert!(shown.contains("host.example:8332/"), "{shown}");
            prop_assert!(!SecretUrls::new(urls).to_string().contains(|c: char| c.is_ascii_uppercase()));
        }

        #[test]
        fn no_password_without_a_scheme_is_ever_shown(
            all in prop::collection::vec(credentials("@/:%#?&=+;,.!_é€-"), 1..4),
            (before, after) in surroundings(),
        ) {
            let urls: Vec<_> = all.iter().map(|c| format!("{c}@host.example:8332/")).collect();
            let urls = urls.join(",");
            let shown = redact(&format!("{before}{urls}{after}")).into_owned();
            prop_assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{shown}");
            prop_assert!(!SecretUrls::new(urls).to_string().contains(|c: char| c.is_ascii_uppercase()));
        }

        #[test]
        fn any_text_at_all_is_taken(text in any::<String>()) {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once), once.as_str());
        }
    }
}
