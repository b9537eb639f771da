//! Rows of `sessions` as servers nearly always write them, read by hand: a replay reads millions.
//!
//! What is known here is the usual way to write a row, and nothing of what may be wrong with one: any
//! other row goes the way of all JSON, alone. Both ways give the same, to the last bit.

#![expect(
    clippy::inline_always,
    reason = "the compiler keeps the cursor in registers only if all is in one piece"
)]

use std::net::{IpAddr, SocketAddr};

use serde::de::DeserializeSeed;
use serde_json::Error;

use super::ROWS_MAX;
use super::number::at_most;
use super::sessions::{Row, RowSeed, flags, protocol, unique_ids};
use crate::decision::Peer;
use crate::names::NameId;
use crate::snapshot::{Generation, Sessions};

/// Reads all of `json`, an array of rows, into the columns, which are cleared first. `None` if
/// something is wrong; what that is does not matter here.
pub(crate) fn read_all(json: &[u8], columns: &mut Sessions) -> Option<()> {
    columns.clear();
    let mut at = Cursor(json);
    at.blank();
    at.take(b'[')?;
    at.blank();
    let mut is_first = true;
    let mut versions = Versions::default();
    while at.take(b']').is_none() {
        if !is_first {
            at.take(b',')?;
            at.blank();
        }
        is_first = false;
        match read(at, columns, &mut versions) {
            Some(behind) => at = behind,
            None => at = at.read_unusual(columns)?,
        }
        at.blank();
        if columns.len() > ROWS_MAX {
            return None;
        }
    }
    at.blank();
    unique_ids::<Error>(columns).ok()?;
    at.0.is_empty().then_some(())
}

/// Reads a row; gives what follows it. `None`, and nothing added, if the row is not a usual one.
fn read<'a>(
    mut at: Cursor<'a>,
    columns: &mut Sessions,
    versions: &mut Versions<'a>,
) -> Option<Cursor<'a>> {
    at.take(b'[')?;
    let id = at.number()?.whole()?;
    at.comma()?;
    let flags = flags(at.text()?)?;
    at.comma()?;
    let peer = at.peer()?;
    at.comma()?;
    let client = at.text()?;
    at.comma()?;
    let version = match at.0.first()? {
        b'"' => Some(at.text()?),
        _ => None,
    };
    if version.is_some() {
        at.comma()?;
    }
    let mut numbers = [Decimal::ZERO; 10];
    let mut count = 0;
    loop {
        *numbers.get_mut(count)? = at.number()?;
        count += 1;
        if at.take(b']').is_some() {
            break;
        }
        at.comma()?;
    }
    let (generation, [cost, extra_cost], rest) = match (version, &numbers[..count]) {
        (Some(_), [cost, extra_cost, rest @ ..]) if rest.len() == 8 => {
            (Generation::Cost, [*cost, *extra_cost], rest)
        }
        (Some(_), rest) if rest.len() == 8 => (Generation::Protocol, [Decimal::ZERO; 2], rest),
        (None, rest) if rest.len() == 8 => (Generation::Plain, [Decimal::ZERO; 2], rest),
        _ => return None,
    };
    let mut counters = [0; 7];
    for (counter, number) in counters.iter_mut().zip(rest) {
        *counter = number.whole()?;
    }
    let age_s = rest[7].measure()?;
    // No number here is below 0.
    let (cost, extra_cost) = (at_most(cost.measure()?), at_most(extra_cost.measure()?));
    let client = match columns.names.find(client) {
        Some(known) => known,
        None => columns.names.intern(std::str::from_utf8(client).ok()?),
    };
    let row = Row {
        id,
        flags,
        peer,
        client,
        protocol: versions.id(version.unwrap_or_default(), columns)?,
        generation,
        cost,
        extra_cost,
        counters,
        age_s,
    };
    row.push(columns);
    Some(at)
}

/// The version of the last row: mostly the next has the same.
#[derive(Default)]
struct Versions<'a>(Option<(&'a [u8], NameId)>);

impl<'a> Versions<'a> {
    #[inline(always)]
    fn id(&mut self, version: &'a [u8], columns: &mut Sessions) -> Option<NameId> {
        match self.0 {
            Some((last, id)) if last == version => Some(id),
            _ => self.find(version, columns),
        }
    }

    fn find(&mut self, version: &'a [u8], columns: &mut Sessions) -> Option<NameId> {
        let text = std::str::from_utf8(version).ok()?;
        // Control characters are let through only where text is read as bytes.
        if version.iter().any(|&byte| byte < b' ') {
            return None;
        }
        let id = protocol(text, &mut columns.names);
        self.0 = Some((version, id));
        Some(id)
    }
}

/// A number as written: its digits, and how many of them stand behind the point.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    places: usize,
}

impl Decimal {
    const ZERO: Self = Self {
        digits: 0,
        places: 0,
    };

    fn whole(self) -> Option<u64> {
        (self.places == 0).then_some(self.digits)
    }

    /// As `serde_json` has it, whose last bit may be wrong.
    fn measure(self) -> Option<f64> {
        let power = POWERS_OF_10.get(self.places)?;
        Some(self.digits as f64 / power)
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Reads a row as JSON.
    fn read_unusual(self, columns: &mut Sessions) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_slice(self.0);
        RowSeed(columns).deserialize(&mut json).ok()?;
        // The one way to ask how far it came.
        let read = json.into_iter::<serde::de::IgnoredAny>().byte_offset();
        self.0.get(read..).map(Self)
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    fn blank(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Some servers put a blank behind it.
    #[inline(always)]
    fn comma(&mut self) -> Option<()> {
        self.take(b',')?;
        if let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
        Some(())
    }

    /// A text without escapes.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let mut length = 0;
        while let Some(eight) = self.0.get(length..).and_then(<[u8]>::first_chunk) {
            let plain = plain_bytes(*eight);
            length += plain;
            if plain < 8 {
                break;
            }
        }
        let rest = self.0.get(length..)?;
        length += rest
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\')?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        self.take(b'"')?;
        Some(text)
    }

    #[inline(always)]
    fn peer(&mut self) -> Option<Peer> {
        let mut at = Self(self.0.strip_prefix(b"\"")?);
        let peer = match at.take(b'[') {
            None => at.peer_v4(),
            Some(()) => at.peer_v6(),
        };
        if peer.is_some() && at.take(b'"').is_some() {
            *self = at;
            return Some(Peer(peer));
        }
        Some(Peer(super::peer(self.text()?)))
    }

    /// A peer such as `1.2.3.4:5678`.
    #[inline(always)]
    fn peer_v4(&mut self) -> Option<SocketAddr> {
        let mut octets = [0; 4];
        for (octet, end) in octets.iter_mut().zip(*b"...:") {
            *octet = u8::try_from(self.few_digits()?).ok()?;
            self.take(end)?;
        }
        let port = u16::try_from(self.few_digits()?).ok()?;
        Some(SocketAddr::from((octets, port)))
    }

    /// A peer such as `2001:db8::1]:5678`, behind its bracket. An IPv4 address within goes the way of
    /// the standard library.
    fn peer_v6(&mut self) -> Option<SocketAddr> {
        let mut groups = [0; 8];
        let (mut count, mut gap) = (0, None);
        if let [b':', b':', rest @ ..] = self.0 {
            (self.0, gap) = (rest, Some(0));
        }
        while self.take(b']').is_none() {
            *groups.get_mut(count)? = self.group()?;
            count += 1;
            match self.0 {
                [b':', b':', rest @ ..] if gap.is_none() => {
                    (self.0, gap) = (rest, Some(count));
                }
                [b':', rest @ ..] if rest.first() != Some(&b']') => self.0 = rest,
                [b']', ..] => {}
                _ => return None,
            }
        }
        match gap {
            // The gap is one zero at least.
            Some(gap) if count < 8 => groups[gap..].rotate_right(8 - count),
            None if count == 8 => {}
            _ => return None,
        }
        self.take(b':')?;
        let port = u16::try_from(self.few_digits()?).ok()?;
        Some(SocketAddr::new(IpAddr::from(groups).to_canonical(), port))
    }

    /// One to four hexadecimal digits.
    fn group(&mut self) -> Option<u16> {
        let mut group = 0;
        let mut count = 0;
        while let Some(digit) = self
            .0
            .get(count)
            .and_then(|&byte| char::from(byte).to_digit(16))
        {
            group = group << 4 | u16::try_from(digit).ok()?;
            count += 1;
            if count > 4 {
                return None;
            }
        }
        self.0 = &self.0[count..];
        (count > 0).then_some(group)
    }

    /// A number of one to seven digits, with something behind it.
    #[inline(always)]
    fn few_digits(&mut self) -> Option<u64> {
        let eight = *self.0.first_chunk()?;
        let (number, count) = leading_digits(eight);
        if count == 0 || count > 1 && eight[0] == b'0' {
            return None;
        }
        self.0 = &self.0[count..];
        Some(number)
    }

    /// A number without sign and exponent, and not too long.
    #[inline(always)]
    fn number(&mut self) -> Option<Decimal> {
        if let [digit @ b'0'..=b'9', b',' | b']', ..] = self.0 {
            self.0 = &self.0[1..];
            return Some(Decimal {
                digits: u64::from(digit - b'0'),
                places: 0,
            });
        }
        let is_zero = self.0.first() == Some(&b'0');
        let (digits, count) = self.digits(0)?;
        if count == 0 || count > 1 && is_zero {
            return None;
        }
        let mut number = Decimal { digits, places: 0 };
        if self.take(b'.').is_some() {
            (number.digits, number.places) = self.digits(digits)?;
            if number.places == 0 {
                return None;
            }
        }
        self.is_over().then_some(number)
    }

    /// Goes on with `number` by the digits that stand here; gives also how many they are. `None` if
    /// they are too many.
    #[inline(always)]
    fn digits(&mut self, mut number: u64) -> Option<(u64, usize)> {
        let mut count = 0;
        while let Some(eight) = self.0.first_chunk() {
            let (value, digits) = leading_digits(*eight);
            number = number
                .checked_mul(WHOLE_POWERS_OF_10[digits])?
                .checked_add(value)?;
            self.0 = &self.0[digits..];
            count += digits;
            if digits < 8 {
                return Some((number, count));
            }
        }
        while let Some(digit @ b'0'..=b'9') = self.0.first() {
            number = number
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
            self.0 = &self.0[1..];
            count += 1;
        }
        Some((number, count))
    }

    #[inline(always)]
    fn is_over(&self) -> bool {
        matches!(self.0.first(), Some(b',' | b']'))
    }
}

/// How many bytes come before a quote or a backslash: all eight at once.
#[inline(always)]
fn plain_bytes(text: [u8; 8]) -> usize {
    let bytes = u64::from_le_bytes(text);
    // The upper bit of each byte that is 0, and perhaps of some behind the first of them.
    let zeros =
        |bytes: u64| bytes.wrapping_sub(0x0101_0101_0101_0101) & !bytes & 0x8080_8080_8080_8080;
    let ends = zeros(bytes ^ 0x2222_2222_2222_2222) | zeros(bytes ^ 0x5c5c_5c5c_5c5c_5c5c);
    (ends.trailing_zeros() / 8) as usize
}

/// The number that `text` begins with, and of how many digits it is: all eight bytes at once.
#[inline(always)]
fn leading_digits(text: [u8; 8]) -> (u64, usize) {
    let bytes = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // The upper bit of each byte that is no digit: 0 to 9 stay below 128 with 118 added.
    let others = (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / 8;
    // Moved up, with zeros before them; then pairs, fours and eights are made of neighbours.
    let digits = bytes.checked_shl(64 - 8 * count).unwrap_or(0);
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    let eights = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
    (eights, count as usize)
}

const WHOLE_POWERS_OF_10: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

const POWERS_OF_10: [f64; 24] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23,
];

/// All that the columns say; floats to the last bit.
#[cfg(test)]
pub(crate) fn shown(columns: &Sessions) -> String {
    let Sessions {
        generation,
        id,
        flags,
        peer,
        client,
        protocol,
        cost,
        extra_cost,
        pending_requests,
        txs_sent,
        subs,
        recv_count,
        recv_size,
        sent_count,
        sent_size,
        age_s,
        names,
    } = columns;
    let names: Vec<&str> = names.iter().collect();
    format!(
        "{generation:?} {id:?} {flags:?} {peer:?} {client:?} {protocol:?} {cost:?} {extra_cost:?} \
         {pending_requests:?} {txs_sent:?} {subs:?} {recv_count:?} {recv_size:?} {sent_count:?} \
         {sent_size:?} {age_s:?} {names:?}"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{SessionsSeed, decode_sessions, tame};

    /// The columns or the error, by hand and by `serde_json`; and whether by hand was enough.
    fn both_ways(json: &[u8]) -> ([Result<String, String>; 2], bool) {
        let mut json = json.to_vec();
        tame(&mut json);
        // What an earlier reply left behind does not matter.
        let mut fast = Sessions::default();
        fast.names.intern("left behind");
        let decoded = decode_sessions(&json, &mut fast);
        let by_hand = decoded.map(|()| shown(&fast)).map_err(|e| e.to_string());
        let mut slow = Sessions::default();
        let mut de = serde_json::Deserializer::from_slice(&json);
        let read = SessionsSeed(&mut slow).deserialize(&mut de);
        let read = read.and_then(|()| de.end());
        let by_serde = read.map(|()| shown(&slow)).map_err(|e| e.to_string());
        let was_enough = read_all(&json, &mut fast).is_some();
        ([by_hand, by_serde], was_enough)
    }

    #[test]
    fn captures_are_read_by_hand() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut seen = 0;
        for (folder, name) in [
            ("wire", "sessions.json"),
            ("quirks", "sessions_names.json"),
            ("quirks", "sessions_infinite.json"),
            ("quirks", "sessions_broken.json"),
        ] {
            for server in fs::read_dir(root.join(folder)).unwrap() {
                let path = server.unwrap().path().join(name);
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                // A whole exchange or a raw line: the rows are the same.
                let start = text.find("\"result\":").map(|at| at + "\"result\":".len());
                let end = text.rfind(']').map(|at| at + 1);
                let (Some(start), Some(end)) = (start, end) else {
                    continue;
                };
                let ([fast, slow], was_enough) = both_ways(&text.as_bytes()[start..end]);
                assert_eq!(fast, slow, "{}", path.display());
                assert_eq!(was_enough, slow.is_ok(), "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 12, "{seen}");
    }

    /// A usual row must not go the slow way.
    #[test]
    fn usual_rows_are_read_by_hand() {
        for row in [
            r#"[7,"SCL10","1.2.3.4:5","électrum","1.4.2",5.5308,0,0,0,0,1,2,3,4,5.022455453872680664]"#,
            r#"[7, "T1", "[2001:db8::1]:5", "", "", 0.0, 1234567.25, 0, 0, 0, 1, 2, 3, 4, 10]"#,
            r#"[7,"T1","[::ffff:1.2.3.4]:5","x","1.4",0,0,0,1,2,3,4,5.5]"#,
            r#"[7,"T1","unknown","x","1.4",0,0,0,1,2,3,4,5.5]"#,
            r#"[7,"T1","1.2.3.4:5","x",0,0,0,1,2,3,4,5.5]"#,
        ] {
            let mut columns = Sessions::default();
            let rest = read(
                Cursor(row.as_bytes()),
                &mut columns,
                &mut Versions::default(),
            )
            .unwrap_or_else(|| {
                panic!("{row}");
            });
            assert!(rest.0.is_empty());
            let ([fast, slow], _) = both_ways(format!("[{row}]").as_bytes());
            assert_eq!(fast.unwrap(), slow.unwrap());
        }
    }

    #[test]
    fn peers_are_read_as_the_standard_library_does() {
        for text in [
            "[2001:db8::1]:5678",
            "[2001:0DB8:0:0:0:0:0:1]:5678",
            "[::]:0",
            "[::1]:65535",
            "[1::]:1",
            "[1:2:3:4:5:6:7::]:1",
            "[::2:3:4:5:6:7:8]:1",
            "[1::3:4:5:6:7:8]:1",
            "[1:2:3:4:5:6:7:8]:1",
            "[::ffff:102:304]:1",
            // None of these is a peer, but for those with zeros before the port and with dots.
            "[1:2:3:4:5:6:7:8::]:1",
            "[::1:2:3:4:5:6:7:8]:1",
            "[1:2:3:4::5:6:7:8]:1",
            "[1:2:3:4:5:6:7]:1",
            "[1:2:3:4:5:6:7:]:1",
            "[:1:2:3:4:5:6:7:8]:1",
            "[1::2::3]:1",
            "[:::]:1",
            "[1:::]:1",
            "[::12345]:1",
            "[::1%1]:1",
            "[::1.2.3.4]:1",
            "[::ffff:1.2.3.4]:1",
            "[::1]:65536",
            "[::1]:01",
            "[::1]:",
            "[::1]",
            "[::1",
            "[]:1",
            "[",
            "::1:1",
        ] {
            let quoted = format!("\"{text}\",        ");
            let read = Cursor(quoted.as_bytes()).peer().unwrap();
            let expected: Option<SocketAddr> = text.parse().ok();
            let expected =
                expected.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            assert_eq!(read.0, expected, "{text}");
        }
    }

    #[test]
    fn unusual_rows_are_read_all_the_same() {
        const ROW: &str = r#"[7,"T1","1.2.3.4:5","x","1.4",5.5,0,0,0,0,1,2,3,4,5.25]"#;
        for (from, to) in [
            ("7", "07"),
            ("7", "-7"),
            ("7", "7.0"),
            ("7", "18446744073709551615"),
            ("7", "18446744073709551616"),
            ("T1", ""),
            ("T1", "\\u0054"),
            ("1.2.3.4:5", "1.2.3.4:5\\n"),
            ("1.2.3.4:5", "1.2.3.4:5\u{1}"),
            ("x", "\\ud800"),
            ("x", "\u{1}"),
            ("x", "\\u00e9"),
            ("x", "\\x"),
            ("x", "é"),
            ("1.4", "\u{1}"),
            ("1.4", "a protocol version of many words"),
            ("\"1.4\"", "null"),
            ("\"1.4\"", "5"),
            ("\"1.4\"", "{}"),
            ("5.5", "NaN"),
            ("5.5", "Infinity"),
            ("5.5", "-Infinity"),
            ("5.5", "-0.5"),
            ("5.5", "1e3"),
            ("5.5", "1E400"),
            ("5.5", "5."),
            ("5.5", ".5"),
            ("5.5", "5.5.5"),
            ("5.5", "1e12"),
            ("5.5", "1000000000000.5"),
            ("5.5", "0.000000000000000000000000000000000000000001"),
            ("5.5", "123456789012345678901234567890.5"),
            ("5.5", "9007199254740993.7"),
            ("0,0,0,0", "0,0.5,0,0"),
            ("0,0,0,0", "0,0,0.5,0"),
            ("0,0,0,0", "0 , 0,\t0,  0"),
            ("0,0,0,0", "0,0,0"),
            ("0,0,0,0", "0,0,0,0,0"),
            ("0,0,0,0", "0,,0,0"),
            ("5.25", "-5.25"),
            ("5.25", "5.25,"),
            ("5.25]", "5.25"),
            ("5.25]", "5.25] ,"),
            ("5.25]", "5.25]x"),
            ("[7", "[[7"),
            ("[7", "{7"),
            ("[7", ""),
        ] {
            let odd = ROW.replacen(from, to, 1);
            assert_ne!(odd, ROW);
            let other = ROW.replace("[7", "[8");
            for json in [
                format!("[{odd}]"),
                format!("[{other},{odd}]"),
                format!(" [ {odd} , {other} ] "),
                format!("[{other}{odd}]"),
                format!("[{odd},{odd}]"),
                format!("[{other},{odd}"),
                format!("[{other},{odd}] 1"),
            ] {
                let ([fast, slow], _) = both_ways(json.as_bytes());
                assert_eq!(fast, slow, "{json}");
            }
        }
        for json in [
            "", " ", "[", "]", "[]", " [ ] ", "[,]", "[[]]", "{}", "null", "[] []",
        ] {
            let ([fast, slow], _) = both_ways(json.as_bytes());
            assert_eq!(fast, slow, "{json}");
        }
    }

    fn peer() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<std::net::SocketAddrV4>().prop_map(|peer| peer.to_string()),
            any::<std::net::SocketAddrV6>().prop_map(|peer| peer.to_string()),
            any::<std::net::SocketAddr>().prop_map(|peer| peer.to_string()),
            "[0-9a-f:.%\\[\\]]{0,30}",
            Just("unknown".to_owned()),
        ]
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => any::<u32>().prop_map(|number| number.to_string()),
            1 => any::<u64>().prop_map(|number| number.to_string()),
            4 => any::<f32>().prop_map(|number| format!("{:?}", f64::from(number.abs()))),
            4 => (0.0..1e6_f64).prop_map(|number| format!("{number:?}")),
            1 => any::<f64>().prop_map(|number| format!("{number:?}")),
            1 => "[0-9]{1,25}\\.[0-9]{1,30}",
            1 => "-?[0-9]{0,3}\\.?[0-9]{0,3}(e[-+]?[0-9]{1,3})?",
            1 => prop::sample::select(vec!["NaN".to_owned(), "Infinity".into(), "-Infinity".into()]),
        ]
    }

    fn row() -> impl Strategy<Value = String> {
        let client = prop_oneof![
            "[a-zA-Z/ .0-9]{0,20}".prop_map(|name| format!("\"{name}\"")),
            any::<String>().prop_map(|name| serde_json::Value::String(name).to_string()),
        ];
        let protocol = prop::sample::select(vec!["\"1.4\"", "\"1.4.2\"", "null", "\"\"", ""]);
        let counter = prop_oneof![9 => any::<u32>().prop_map(|n| n.to_string()), 1 => number()];
        let costs = prop::option::weighted(0.7, [number(), number()]);
        let counters = prop::collection::vec(counter, 7);
        let comma = prop::sample::select(vec![",", ",", ", ", " , "]);
        (
            0..50_u32,
            peer(),
            client,
            protocol,
            costs,
            counters,
            number(),
            comma,
        )
            .prop_map(
                |(id, peer, client, protocol, costs, counters, age, comma)| {
                    let peer = serde_json::Value::String(peer).to_string();
                    let mut cells = vec![id.to_string(), "\"T1\"".to_owned(), peer, client];
                    cells.extend(Some(protocol.to_owned()).filter(|text| !text.is_empty()));
                    cells.extend(costs.into_iter().flatten());
                    cells.extend(counters);
                    cells.push(age);
                    format!("[{}]", cells.join(comma))
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn random_rows_are_read_alike_both_ways(
            rows in prop::collection::vec(row(), 0..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let mut json = format!("[{}]", rows.join(",")).into_bytes();
            for (place, byte) in damage {
                let place = place.index(json.len());
                json[place] = byte;
            }
            if let Some(cut) = cut {
                json.truncate(cut.index(json.len()));
            }
            let ([fast, slow], was_enough) = both_ways(&json);
            prop_assert_eq!(&fast, &slow, "{}", String::from_utf8_lossy(&json));
            prop_assert_eq!(was_enough, slow.is_ok());
        }
    }
}
