//! Addresses that stand in a text: in a name that a client chose, in the server's name of a group.
//!
//! Only what is plainly written is found. A client that hides its address in its name by other means
//! wants it to be there.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::IpNet;

use super::Pseudonyms;

/// An address as it is written in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// The beginning of an IPv6 address: the server cuts long names.
    Cut(Vec<u16>),
}

impl Written {
    /// The address, if it reads as well as a version, such as `4.2.2.1`: four numbers of at most two
    /// digits.
    pub(super) fn as_version(&self) -> Option<Ipv4Addr> {
        match self {
            Self::V4(v4) => Some(*v4).filter(|v4| reads_like_a_version(*v4)),
            Self::V6(_) | Self::Cut(_) => None,
        }
    }
}

pub(super) fn reads_like_a_version(address: Ipv4Addr) -> bool {
    address.octets().into_iter().all(|octet| octet < 100)
}

/// The addresses in `text`, from left to right, each with its place.
pub(super) fn written(text: &[u8]) -> impl Iterator<Item = (Range<usize>, Written)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let rest = &text[at..];
            let before = at.checked_sub(1).map(|before| text[before]);
            // Only where a run begins, so that a long name is gone through once.
            let found = match before {
                Some(byte) if is_of_v6(byte) => None,
                _ => v6(rest),
            };
            let found = found.or_else(|| match before {
                Some(byte) if byte.is_ascii_digit() => None,
                _ => v4(rest),
            });
            if let Some((written, length)) = found {
                at += length;
                return Some((at - length..at, written));
            }
            at += 1;
        }
        None
    })
}

const fn is_of_v6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':'
}

/// Four numbers at the beginning of `text`. What stands behind them, but for a digit, does not matter.
fn v4(text: &[u8]) -> Option<(Written, usize)> {
    let mut octets = [0; 4];
    let mut at = 0;
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            at += usize::from(text.get(at) == Some(&b'.'));
        }
        let rest = &text[at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if place > 0 && text[at - 1] != b'.' || !(1..=3).contains(&digits) {
            return None;
        }
        *octet = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        at += digits;
    }
    Some((Written::V4(octets.into()), at))
}

/// An IPv6 address, or the beginning of one with three groups at least, at the beginning of `text`.
fn v6(text: &[u8]) -> Option<(Written, usize)> {
    let length = text.iter().take_while(|&&byte| is_of_v6(byte)).count();
    let last = text[..length].iter().rposition(|&byte| byte == b':')? + 1;
    let dotted = v4(&text[last..]).map(|(_, dotted)| last + dotted);
    let ends = match dotted {
        Some(end) => [end, end],
        None => [length, length - usize::from(last == length)],
    };
    let parsed = ends.into_iter().find_map(|end| {
        let text = std::str::from_utf8(&text[..end]).ok()?;
        // `::` and `d::` are of a program's text, and nobody's address.
        let is_address = text.split(':').filter(|group| !group.is_empty()).count() > 1;
        let address = text.parse().ok().filter(|_| is_address)?;
        Some((Written::V6(address), end))
    });
    if dotted.is_some() {
        return parsed;
    }
    parsed.or_else(|| {
        let run = std::str::from_utf8(&text[..length]).ok()?;
        let run = run.strip_suffix(':').unwrap_or(run);
        let groups = run.split(':').map(group);
        let groups: Vec<u16> = groups.collect::<Option<_>>()?;
        let is_cut = (3..8).contains(&groups.len());
        is_cut.then_some((Written::Cut(groups), run.len()))
    })
}

fn group(digits: &str) -> Option<u16> {
    let is_group = (1..=4).contains(&digits.len()) && !digits.starts_with('+');
    is_group.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The address that begins with these groups, and has zeros from there on.
fn beginning_with(groups: &[u16]) -> Ipv6Addr {
    let mut segments = [0; 8];
    segments[..groups.len()].copy_from_slice(groups);
    segments.into()
}

impl Pseudonyms {
    /// Writes what stands for an address in a text. The pseudonyms of peers are not used: by its name
    /// a client could ask for the pseudonym of any address.
    pub(super) fn write_for(&self, written: &Written, out: &mut String) {
        // Writing to a text cannot fail.
        _ = match written {
            Written::V4(v4) => write!(out, "{}", self.in_texts.hide_v4(*v4)),
            Written::V6(v6) => write!(out, "{}", self.in_texts.hide_v6(*v6)),
            Written::Cut(groups) => {
                let hidden = self.in_texts.hide_v6(beginning_with(groups));
                let hidden = &hidden.segments()[..groups.len()];
                let hidden: Vec<String> = hidden.iter().map(|g| format!("{g:x}")).collect();
                write!(out, "{}", hidden.join(":"))
            }
        };
    }

    /// Words that nobody asks anything about, with other addresses in them, be they versions or not.
    pub fn words<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut done = 0;
        for (place, written) in written(text.as_bytes()) {
            out.push_str(&text[done..place.start]);
            self.write_for(&written, &mut out);
            done = place.end;
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[done..]);
        Cow::Owned(out)
    }

    /// A text that a client may have chosen, such as its name, with other addresses in it. Four
    /// numbers of at most two digits are a version, unless a peer of the last reply to `sessions` has
    /// that address.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut done = 0;
        for (place, written) in written(text.as_bytes()) {
            let version = written.as_version();
            if version.is_none_or(|version| self.short_peers.contains(&version)) {
                out.push_str(&text[done..place.start]);
                self.write_for(&written, &mut out);
                done = place.end;
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[done..]);
        Cow::Owned(out)
    }

    /// The server's name of a group, in the same form: `198.51.100.0/24`, the first three parts of an
    /// address in the releases from 1.10.1 to 1.15. Numbers and `t3` stay.
    pub fn group<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let hidden = if let Ok(net) = name.parse::<IpNet>() {
            Some(self.net(net).to_string())
        } else if let Ok(address) = name.parse() {
            Some(self.address(address).to_string())
        } else {
            self.three_octets(name).or_else(|| self.groups(name))
        };
        match hidden {
            Some(hidden) if hidden == name => Cow::Borrowed(name),
            Some(hidden) => Cow::Owned(hidden),
            None => self.text(name),
        }
    }

    /// `198.51.100`.
    fn three_octets(&self, name: &str) -> Option<String> {
        let address: Ipv4Addr = format!("{name}.0").parse().ok()?;
        let [a, b, c, _] = self.peers.hide_v4(address).octets();
        Some(format!("{a}.{b}.{c}"))
    }

    /// `2001:0db8:0000`, each group as long as it was.
    fn groups(&self, name: &str) -> Option<String> {
        let parts: Vec<&str> = name.split(':').collect();
        let groups: Option<Vec<u16>> = parts.iter().map(|part| group(part)).collect();
        let groups = groups.filter(|groups| (2..8).contains(&groups.len()))?;
        let hidden = self.peers.hide_v6(beginning_with(&groups)).segments();
        let hidden = parts.iter().zip(hidden);
        let hidden = hidden.map(|(part, group)| format!("{group:0width$x}", width = part.len()));
        Some(hidden.collect::<Vec<_>>().join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::Key;

    fn found(text: &str) -> Vec<String> {
        let shown = |(place, written): (Range<usize>, Written)| {
            let written = match written {
                Written::V4(v4) => v4.to_string(),
                Written::V6(v6) => v6.to_string(),
                Written::Cut(groups) => format!("{groups:x?}.."),
            };
            format!("{}={written}", &text[place])
        };
        written(text.as_bytes()).map(shown).collect()
    }

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("203.0.113.7", &["203.0.113.7=203.0.113.7"][..]),
            ("me@203.0.113.7:50001", &["203.0.113.7=203.0.113.7"]),
            ("x203.0.113.7y", &["203.0.113.7=203.0.113.7"]),
            ("a203.0.113.007", &["203.0.113.007=203.0.113.7"]),
            ("1.2.3.4.5", &["1.2.3.4=1.2.3.4"]),
            ("300.1.2.3.4", &["1.2.3.4=1.2.3.4"]),
            ("1.2.3.4, 5.6.7.8", &["1.2.3.4=1.2.3.4", "5.6.7.8=5.6.7.8"]),
            ("1.2.3", &[]),
            ("1.2.3.", &[]),
            ("1.2.3.444", &[]),
            ("1.2.3.4444", &[]),
            ("1..2.3.4", &[]),
            ("electrum/4.5.8", &[]),
            ("[2001:DB8::1]:5", &["2001:DB8::1=2001:db8::1"]),
            (
                "2001:db8:0:0:0:0:0:1",
                &["2001:db8:0:0:0:0:0:1=2001:db8::1"],
            ),
            ("::ffff:1.2.3.4.", &["::ffff:1.2.3.4=::ffff:1.2.3.4"]),
            ("1:2:3:1.2.3.4.5", &["1.2.3.4=1.2.3.4"]),
            ("x::ffff:1.2.3.4", &["::ffff:1.2.3.4=::ffff:1.2.3.4"]),
            ("2001:db8::1: hello", &["2001:db8::1=2001:db8::1"]),
            (
                "2a02:8109:9cc0:1f",
                &["2a02:8109:9cc0:1f=[2a02, 8109, 9cc0, 1f].."],
            ),
            (
                "ip=2a02:8109:9cc0:",
                &["2a02:8109:9cc0=[2a02, 8109, 9cc0].."],
            ),
            ("2001:db8::%eth0", &["2001:db8::=2001:db8::"]),
            ("12345::", &[]),
            ("std::vec", &[]),
            ("a:b", &[]),
            ("::", &[]),
            ("::1", &[]),
            ("", &[]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_name_takes_no_longer_than_it_is() {
        for part in ["a", "1:", ":", "1.", "::1 "] {
            let name = part.repeat(1 << 20);
            assert!(written(name.as_bytes()).count() <= name.len());
        }
    }

    #[test]
    fn group_names_keep_their_form() {
        let pseudonyms = Pseudonyms::new(&Key::generate().unwrap());
        for name in [
            "0",
            "17",
            "t3",
            "unknown_addr",
            "127.0.0",
            "127.0.0.0/24",
            "0000:0000:0000",
            "all",
            "",
        ] {
            assert_eq!(pseudonyms.group(name), name);
        }
        let net = |text: &str| pseudonyms.net(text.parse().unwrap());
        assert_eq!(
            pseudonyms.group("203.0.113.0/24"),
            net("203.0.113.0/24").to_string()
        );
        assert_eq!(
            pseudonyms.group("2001:db8::/56"),
            net("2001:db8::/56").to_string()
        );
        let three = pseudonyms.group("203.0.113");
        assert_eq!(format!("{three}.0/24"), net("203.0.113.0/24").to_string());
        let groups = pseudonyms.group("2001:0db8:0000");
        assert_eq!(groups.len(), 14);
        assert_eq!(
            format!("{groups}::/48").parse::<IpNet>().unwrap(),
            net("2001:db8::/48")
        );
    }

    #[test]
    fn names_lose_addresses_and_keep_versions() {
        let pseudonyms = Pseudonyms::new(&Key::generate().unwrap());
        for name in ["electrum/4.5.8", "4.2.2.1", "ElectrumX 1.20.0", "é", ""] {
            assert_eq!(pseudonyms.text(name), name);
        }
        let hidden = pseudonyms.text("é203.0.113.7é 2001:db8::1");
        let parts = hidden.strip_prefix('é').and_then(|h| h.split_once("é "));
        let (v4, v6) = parts.unwrap();
        let (v4, v6): (Ipv4Addr, Ipv6Addr) = (v4.parse().unwrap(), v6.parse().unwrap());
        assert_ne!(v4.to_string(), "203.0.113.7");
        // No peer's pseudonym can be asked for.
        assert_ne!(v4, pseudonyms.address([203, 0, 113, 7].into()));
        assert_ne!(v6, pseudonyms.address("2001:db8::1".parse().unwrap()));
    }
}
