//! The daemons' URLs with their credentials, which leave here for a daemon or the server and are
//! shown nowhere.
//!
//! What is read is what `ElectrumX` reads, and what it then sends: where its own reading would be an
//! error, or another one than the daemon's, the URL is refused. No file or variable is read here.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::Address;

/// `getinfo` is read to this length.
const ADDRESS_BYTES_MAX: usize = 200;

/// More is no password.
const CREDENTIALS_BYTES_MAX: usize = 1_024;

/// A daemon's URL. Neither `Debug` nor `Display` shows user or password.
#[derive(Clone, PartialEq, Eq)]
pub struct DaemonUrl {
    address: Address,
    endpoint: Url,
    /// As written, so that the server reads from it what it would read from its own.
    userinfo: Box<str>,
    user: Box<str>,
    password: Box<str>,
}

/// What is wrong with a URL; it repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum BadUrl {
    #[error("its scheme is neither `http` nor `https`")]
    Scheme,
    // Without an example: what looks like one of credentials is blotted out where it is shown.
    #[error(
        "it has no user and password before the host: write both with a colon between them and an \
         at sign behind; in a password a comma is written `%2C`, and a line break does not occur"
    )]
    NoCredentials,
    #[error(
        "user or password has a character that a URL does not take as it is: percent-encode it, \
         such as `/` as `%2F`, `#` as `%23`, `?` as `%3F`, a blank as `%20`"
    )]
    Unencoded,
    #[error(
        "user or password has characters beyond ASCII, which ElectrumX and the daemon do not \
         write alike: choose others"
    )]
    NotAscii,
    #[error("user or password is longer than {CREDENTIALS_BYTES_MAX} bytes")]
    LongCredentials,
    #[error("the user has a colon, which HTTP does not allow: choose another")]
    UserColon,
    #[error("its host is no name and no address; an IPv6 address is written `[::1]`")]
    Host,
    #[error("it has no port: write it, such as `:8332` for Bitcoin")]
    NoPort,
    #[error("its port is not from 1 to 65535")]
    Port,
    #[error("what follows its port is no path")]
    Path,
    #[error("host, port and path are longer than {ADDRESS_BYTES_MAX} bytes")]
    Long,
}

impl DaemonUrl {
    /// Reads a URL; a missing scheme means `http`. One without a port gets `default_port`, which is
    /// the coin's for the server.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, BadUrl> {
        let text = text.trim().trim_end_matches('/');
        let (scheme, rest) = scheme(text)?;
        // The last `@`, as for the server: a password may have one too.
        let (userinfo, host) = rest.rsplit_once('@').ok_or(BadUrl::NoCredentials)?;
        let (user, password) = credentials(userinfo)?;
        let address = address(host, default_port)?;
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(BadUrl::Long);
        }
        // With a slash at its end, which the server adds as well.
        let endpoint = Url::parse(&format!("{scheme}://{address}/")).map_err(|_| BadUrl::Host)?;
        Ok(Self {
            address: address.into(),
            endpoint,
            userinfo: userinfo.into(),
            user,
            password,
        })
    }

    /// The daemon as `getinfo` shows it, without the slash at the end.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether user or password look like a shell's variable or command that nobody has expanded:
    /// `$NAME`, `${NAME}`, `$(…)`, a backquote. A password may have such characters all the same.
    pub(super) fn looks_unexpanded(&self) -> bool {
        let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '(');
        let mut after = self.userinfo.split('$').skip(1);
        after.any(|rest| rest.starts_with(is_name)) || self.userinfo.contains('`')
    }

    /// Where its requests go: no credentials.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// User and password, decoded: for the daemon and nothing else.
    pub fn expose_credentials(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }

    /// The whole URL, for the server and nothing else.
    pub(super) fn expose(&self) -> String {
        let scheme = self.endpoint.scheme();
        format!("{scheme}://{}@{}/", self.userinfo, self.address)
    }
}

impl fmt::Display for DaemonUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for DaemonUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DaemonUrl({self})")
    }
}

fn scheme(text: &str) -> Result<(&'static str, &str), BadUrl> {
    for scheme in ["http", "https"] {
        let rest = text.strip_prefix(scheme);
        if let Some(rest) = rest.and_then(|rest| rest.strip_prefix("://")) {
            return Ok((scheme, rest));
        }
    }
    // A user called `ftp` with a password of `//` would have to encode it.
    match text.split_once("://") {
        Some((before, _)) if before.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err(BadUrl::Scheme)
        }
        _ => Ok(("http", text)),
    }
}

/// User and password, decoded as aiohttp and yarl decode them for the server: only before the first
/// colon is the user, a `%` that encodes nothing stands for itself, and so does `+`.
fn credentials(userinfo: &str) -> Result<(Box<str>, Box<str>), BadUrl> {
    if userinfo.is_empty() {
        return Err(BadUrl::NoCredentials);
    }
    if userinfo.len() > CREDENTIALS_BYTES_MAX {
        return Err(BadUrl::LongCredentials);
    }
    let is_unencoded = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '/' | '?' | '#' | '[' | ']' | '\\')
    };
    if userinfo.contains(is_unencoded) {
        return Err(BadUrl::Unencoded);
    }
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let [user, password] = [user, password].map(|text| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        let decoded = String::from_utf8(decoded).map_err(|_| BadUrl::NotAscii)?;
        // A control character in them ends a header, or a line of the daemon's configuration.
        if decoded.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            Ok(decoded.into_boxed_str())
        } else {
            Err(BadUrl::NotAscii)
        }
    });
    let (user, password) = (user?, password?);
    if user.contains(':') {
        return Err(BadUrl::UserColon);
    }
    Ok((user, password))
}

/// `HOST:PORT`, with a path if there is one, as written: the server shows it so.
fn address(text: &str, default_port: Option<u16>) -> Result<String, BadUrl> {
    let host_len = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find([':', '/']).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_len);
    if !is_host(host) {
        return Err(BadUrl::Host);
    }
    let Some(rest) = rest.strip_prefix(':') else {
        // Behind a path the server would put the port at the path's end.
        return match default_port {
            Some(port) if rest.is_empty() => Ok(format!("{host}:{port}")),
            _ => Err(BadUrl::NoPort),
        };
    };
    let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    if !is_number || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()
    {
        return Err(BadUrl::Port);
    }
    let is_path_char =
        |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '"' | '<' | '>');
    if !path.chars().all(is_path_char) {
        return Err(BadUrl::Path);
    }
    Ok(text.to_owned())
}

/// What both the server's pattern and a resolver take.
fn is_host(text: &str) -> bool {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        // The server's pattern has no dots there.
        return !inner.contains('.') && inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_host_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_host_char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::daemon::Daemons;
    use crate::policy::Diagnostic;
    use crate::redact::redact;

    fn parsed(text: &str) -> DaemonUrl {
        DaemonUrl::parse(text, None).unwrap_or_else(|bad| panic!("{text}: {bad}"))
    }

    fn refused(text: &str) -> BadUrl {
        DaemonUrl::parse(text, None).expect_err(text)
    }

    #[test]
    fn the_address_is_what_the_server_shows() {
        for (text, address, endpoint) in [
            (
                "http://u:p@127.0.0.1:8332/",
                "127.0.0.1:8332",
                "http://127.0.0.1:8332/",
            ),
            ("u:p@node:8332", "node:8332", "http://node:8332/"),
            (" u:p@Node.lan:80//\n", "Node.lan:80", "http://node.lan/"),
            (
                "https://u:p@[::1]:8332",
                "[::1]:8332",
                "https://[::1]:8332/",
            ),
            (
                "http://u:p@h_1:8332/wallet/a%20b/",
                "h_1:8332/wallet/a%20b",
                "http://h_1:8332/wallet/a%20b/",
            ),
        ] {
            let url = parsed(text);
            assert_eq!(&**url.address(), address);
            assert_eq!(url.endpoint().as_str(), endpoint);
            assert_eq!(url.to_string(), address);
            assert_eq!(format!("{url:?}"), format!("DaemonUrl({address})"));
        }
    }

    /// As yarl 1.25 and aiohttp 3.14 read them.
    #[test]
    fn credentials_are_read_as_the_server_reads_them() {
        for (userinfo, user, password) in [
            ("u:p", "u", "p"),
            ("u", "u", ""),
            (":p", "", "p"),
            ("u:p%40q", "u", "p@q"),
            ("u:p@q", "u", "p@q"),
            ("u:a:b", "u", "a:b"),
            ("u:p%2F%23%3f", "u", "p/#?"),
            ("u:a+b%20c", "u", "a+b c"),
            ("u:a%zz%", "u", "a%zz%"),
            ("u:a%2Cb%25", "u", "a,b%"),
            ("u%40x:a\"{}|^`<>&;=!$'()*~", "u@x", "a\"{}|^`<>&;=!$'()*~"),
        ] {
            let url = parsed(&format!("http://{userinfo}@h:1"));
            assert_eq!(url.expose_credentials(), (user, password), "{userinfo}");
            assert_eq!(url.expose(), format!("http://{userinfo}@h:1/"));
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        for unencoded in [
            "a/b", "a#b", "a?b", "a[b", "a]b", "a\\b", "a b", "a\tb", "@/",
        ] {
            assert_eq!(refused(&format!("u:{unencoded}@h:1")), BadUrl::Unencoded);
        }
        for foreign in ["é", "%C3%A9", "%FF", "%00", "a%0Ab"] {
            assert_eq!(refused(&format!("u:{foreign}@h:1")), BadUrl::NotAscii);
        }
        for (text, bad) in [
            ("", BadUrl::NoCredentials),
            ("http://h:1", BadUrl::NoCredentials),
            ("u:p", BadUrl::NoCredentials),
            ("http://@h:1", BadUrl::NoCredentials),
            ("ftp://u:p@h:1", BadUrl::Scheme),
            ("HTTP://u:p@h:1", BadUrl::Scheme),
            ("u%3Av:p@h:1", BadUrl::UserColon),
            ("u:p@", BadUrl::Host),
            ("u:p@:1", BadUrl::Host),
            ("u:p@bücher.example:1", BadUrl::Host),
            ("u:p@two words:1", BadUrl::Host),
            ("u:p@::1:1", BadUrl::Host),
            ("u:p@[::ffff:1.2.3.4]:1", BadUrl::Host),
            ("u:p@[fe80::1%25eth0]:1", BadUrl::Host),
            ("u:p@[::1]x:1", BadUrl::NoPort),
            ("u:p@h", BadUrl::NoPort),
            ("u:p@h/path", BadUrl::NoPort),
            ("u:p@h:", BadUrl::Port),
            ("u:p@h:0", BadUrl::Port),
            ("u:p@h:65536", BadUrl::Port),
            ("u:p@h:+1", BadUrl::Port),
            ("u:p@h:1?x", BadUrl::Port),
            ("u:p@h:1/?x", BadUrl::Path),
            ("u:p@h:1/a b", BadUrl::Path),
        ] {
            assert_eq!(refused(text), bad, "{text}");
        }
        assert_eq!(refused(&format!("u:p@{}:1", "h".repeat(200))), BadUrl::Long);
        assert_eq!(
            refused(&format!("u:{}@h:1", "p".repeat(2_000))),
            BadUrl::LongCredentials
        );
    }

    #[test]
    fn a_coin_has_a_port() {
        let parsed = |text| DaemonUrl::parse(text, Some(8_332));
        assert_eq!(&**parsed("u:p@h/").unwrap().address(), "h:8332");
        assert_eq!(&**parsed("u:p@[::1]").unwrap().address(), "[::1]:8332");
        assert_eq!(&**parsed("u:p@h:1").unwrap().address(), "h:1");
        assert_eq!(parsed("u:p@h/path"), Err(BadUrl::NoPort));
    }

    #[test]
    fn what_is_wrong_is_shown_as_it_is_told() {
        for bad in [
            BadUrl::Scheme,
            BadUrl::NoCredentials,
            BadUrl::Unencoded,
            BadUrl::NotAscii,
            BadUrl::LongCredentials,
            BadUrl::UserColon,
            BadUrl::Host,
            BadUrl::NoPort,
            BadUrl::Port,
            BadUrl::Path,
            BadUrl::Long,
        ] {
            let told = bad.to_string();
            assert_eq!(Diagnostic::of_daemons(&told).to_string(), told);
            assert_eq!(redact(&told), told);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_echoed(
            text in "(https?://)?[A-Z]{1,4}:[A-Z@:/#%?, é\\\\\\[\\]\"+&=0-9]{0,20}[A-Z]?@[a-z0-9.\\[\\]:/-]{0,20}",
            port in prop::option::of(1_u16..),
        ) {
            // The errors' own words have capitals too.
            let is_own = |text: &str| text.replace("%2C", "").replace("%2F", "").replace("%3F", "")
                .replace("URL", "").replace("HTTP", "")
                .replace("ElectrumX", "").replace("ASCII", "").replace("IPv6", "")
                .replace("Bitcoin", "").contains(|c: char| c.is_ascii_uppercase());
            match Daemons::parse(&text, port) {
                Ok(daemons) => {
                    let urls = daemons.urls(&daemons.addresses()).unwrap().to_string();
                    let shown = format!("{daemons:?} {urls}");
                    let shown = shown.replace("DaemonUrl", "");
                    prop_assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{shown}");
                    for url in &daemons {
                        let again = DaemonUrl::parse(&url.expose(), None);
                        prop_assert_eq!(again.as_ref(), Ok(url));
                    }
                }
                Err(bad) => prop_assert!(!is_own(&bad.to_string()), "{bad}"),
            }
        }
    }
}
