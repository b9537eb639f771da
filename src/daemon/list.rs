//! The daemons in their order.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use super::Address;
use super::url::{BadUrl, DaemonUrl};
use crate::redact::SecretUrls;

/// As many daemons at the most.
pub const DAEMONS_MAX: usize = 8;

/// The daemons in the order in which they are preferred: one at least, each address once.
#[derive(Clone, PartialEq, Eq)]
pub struct Daemons(Vec<DaemonUrl>);

/// What is wrong with a list of URLs; it repeats no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDaemons {
    /// Nothing is in it.
    #[error("there is no URL in it")]
    Empty,
    /// More than [`DAEMONS_MAX`].
    #[error("there are {0} URLs in it; at most {DAEMONS_MAX} are allowed")]
    TooMany(usize),
    /// One URL is wrong.
    #[error("URL {number} of {of} is wrong: {bad}")]
    Url {
        /// Which, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What is wrong.
        bad: BadUrl,
    },
    /// Two have the same address: what the server shows would not tell them apart.
    #[error("URLs {first} and {second} are both at the same host and port: remove one")]
    Twice {
        /// Which, from 1.
        first: usize,
        /// Which, from 1.
        second: usize,
    },
}

impl Daemons {
    /// Reads URLs separated by commas or line ends; lines that begin with `#` are comments. For
    /// `default_port` see [`DaemonUrl::parse`].
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, BadDaemons> {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let urls = lines.flat_map(|line| line.split(',')).map(str::trim);
        let urls: Vec<&str> = urls.filter(|url| !url.is_empty()).collect();
        let of = urls.len();
        if of > DAEMONS_MAX {
            return Err(BadDaemons::TooMany(of));
        }
        let mut daemons: Vec<DaemonUrl> = Vec::with_capacity(of);
        for (i, url) in urls.into_iter().enumerate() {
            let number = i + 1;
            let url = DaemonUrl::parse(url, default_port).map_err(|bad| BadDaemons::Url {
                number,
                of,
                bad,
            })?;
            let same = |other: &DaemonUrl| other.address().eq_ignore_ascii_case(url.address());
            if let Some(first) = daemons.iter().position(same) {
                return Err(BadDaemons::Twice {
                    first: first + 1,
                    second: number,
                });
            }
            daemons.push(url);
        }
        if daemons.is_empty() {
            return Err(BadDaemons::Empty);
        }
        Ok(Self(daemons))
    }

    /// Each URL, the preferred first.
    pub fn iter(&self) -> std::slice::Iter<'_, DaemonUrl> {
        self.0.iter()
    }

    /// As `getinfo` shows them, the preferred first.
    pub fn addresses(&self) -> Vec<Address> {
        self.iter().map(|url| url.address().clone()).collect()
    }

    /// The first two addresses that are two names of one daemon, as far as that can be told without
    /// asking anybody: both on loopback with the same port, or apart in their paths alone.
    pub fn alike(&self) -> Option<(&Address, &Address)> {
        self.iter().enumerate().find_map(|(i, second)| {
            let mut before = self.0[..i].iter();
            let first = before.find(|first| are_alike(first.endpoint(), second.endpoint()))?;
            Some((first.address(), second.address()))
        })
    }

    /// The first of them whose credentials look like a shell's variable that nobody has expanded.
    pub fn unexpanded(&self) -> Option<&Address> {
        let found = self.iter().find(|url| url.looks_unexpanded());
        found.map(DaemonUrl::address)
    }

    /// The list for the server: these daemons in this order. `Err` names one that is none of ours.
    pub fn urls<'a>(&self, wanted: &'a [Address]) -> Result<SecretUrls, &'a Address> {
        let url = |wanted: &'a Address| {
            let found = self.iter().find(|url| *url.address() == *wanted);
            found.map(DaemonUrl::expose).ok_or(wanted)
        };
        let urls: Result<Vec<_>, _> = wanted.iter().map(url).collect();
        Ok(SecretUrls::new(urls?.join(",")))
    }
}

impl<'a> IntoIterator for &'a Daemons {
    type Item = &'a DaemonUrl;
    type IntoIter = std::slice::Iter<'a, DaemonUrl>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Daemons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Whether two URLs are of one daemon for all that can be told without asking anybody. Two
/// addresses of IPv4 are taken for two daemons, on loopback too: somebody made them so.
fn are_alike(one: &Url, other: &Url) -> bool {
    let [host, other_host] = [one, other].map(|url| url.host_str().unwrap_or_default());
    let is_v4 = |host: &str| host.parse::<Ipv4Addr>().is_ok();
    let is_one_host = host == other_host
        || is_loopback(host) && is_loopback(other_host) && !(is_v4(host) && is_v4(other_host));
    is_one_host && one.port_or_known_default() == other.port_or_known_default()
}

/// Of a host as `Url` writes it.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_listed_in_their_order() {
        let daemons = Daemons::parse(
            "http://u:p@a:1/, u:q@b:2\n# u:old@c:3,\n\nhttps://u:r%2C@c:3",
            None,
        )
        .unwrap();
        let addresses = daemons.addresses();
        assert_eq!(addresses, ["a:1", "b:2", "c:3"].map(Address::from));
        assert_eq!(
            format!("{daemons:?}"),
            "[DaemonUrl(a:1), DaemonUrl(b:2), DaemonUrl(c:3)]"
        );
        let urls = |wanted: &[&str]| {
            let wanted: Vec<Address> = wanted.iter().map(|&address| address.into()).collect();
            let urls = daemons.urls(&wanted);
            urls.map(|urls| urls.expose().to_owned())
                .map_err(ToString::to_string)
        };
        let all = urls(&["c:3", "a:1"]);
        assert_eq!(all.unwrap(), "https://u:r%2C@c:3/,http://u:p@a:1/");
        assert_eq!(urls(&["c:3", "other:9"]), Err("other:9".to_owned()));
        assert_eq!(
            daemons.urls(&addresses).unwrap().to_string(),
            "http://***@a:1/,http://***@b:2/,https://***@c:3/"
        );
    }

    #[test]
    fn two_names_of_one_daemon_are_told() {
        let alike = |urls: &str| {
            let daemons = Daemons::parse(urls, None).unwrap();
            daemons.alike().map(|(one, other)| format!("{one} {other}"))
        };
        for (urls, expected) in [
            ("u:p@localhost:1,u:p@127.0.0.1:1", "localhost:1 127.0.0.1:1"),
            ("u:p@a:1,u:p@[::1]:1,u:p@LocalHost:1", "[::1]:1 LocalHost:1"),
            ("u:p@127.0.0.1:1,u:p@[::1]:01", "127.0.0.1:1 [::1]:01"),
            ("u:p@[::2]:1,u:p@[0::2]:1", "[::2]:1 [0::2]:1"),
            ("u:p@h:1,u:p@h:1/wallet/w", "h:1 h:1/wallet/w"),
            ("http://u:p@h:1,https://u:p@h:1/w", "h:1 h:1/w"),
        ] {
            assert_eq!(alike(urls).as_deref(), Some(expected), "{urls}");
        }
        for urls in [
            "u:p@localhost:1",
            "u:p@localhost:1,u:p@127.0.0.1:2",
            "u:p@127.0.0.1:1,u:p@127.0.0.2:1",
            "u:p@h:1,u:p@127.0.0.1:1",
            "u:p@h:1,u:p@h.lan:1",
        ] {
            assert_eq!(alike(urls), None, "{urls}");
        }
    }

    #[test]
    fn a_list_that_is_wrong_says_where() {
        let told = |text: &str| Daemons::parse(text, None).unwrap_err().to_string();
        assert_eq!(told(" ,\n"), "there is no URL in it");
        assert_eq!(
            told(&"u:p@h:1,".repeat(9)),
            "there are 9 URLs in it; at most 8 are allowed"
        );
        assert_eq!(
            told("u:p@h:1,u:secret@i"),
            "URL 2 of 2 is wrong: it has no port: write it, such as `:8332` for Bitcoin"
        );
        assert_eq!(
            told("u:sec,ret@h:1"),
            "URL 1 of 2 is wrong: it has no user and password before the host: write both with a \
             colon between them and an at sign behind; in a password a comma is written `%2C`, and \
             a line break does not occur"
        );
        assert_eq!(
            told("u:p@h:1,u:q@g:1,https://v:r@H:1"),
            "URLs 1 and 3 are both at the same host and port: remove one"
        );
    }
}
