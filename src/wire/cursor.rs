//! JSON as servers nearly always write it, read by hand: a replay reads millions of rows.
//!
//! What is known here is the usual way to write a number, a text, a peer, and nothing of what may be
//! wrong with one: whoever finds anything else goes the way of all JSON.

#![expect(
    clippy::inline_always,
    reason = "the compiler keeps the cursor in registers only if all is in one piece"
)]

use std::net::{IpAddr, SocketAddr};

use serde::de::{DeserializeSeed, IgnoredAny};

use crate::decision::Peer;

/// A number as written: its digits, and how many of them stand behind the point.
#[derive(Clone, Copy)]
pub(super) struct Decimal {
    digits: u64,
    places: usize,
}

impl Decimal {
    pub(super) const ZERO: Self = Self {
        digits: 0,
        places: 0,
    };

    pub(super) fn whole(self) -> Option<u64> {
        (self.places == 0).then_some(self.digits)
    }

    /// As `serde_json` has it, whose last bit may be wrong.
    pub(super) fn measure(self) -> Option<f64> {
        let power = POWERS_OF_10.get(self.places)?;
        Some(self.digits as f64 / power)
    }
}

/// A text as Unicode. Control characters are let through only where text is read as bytes.
pub(super) fn unicode(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte >= b' ').then_some(text)
}

/// The numbers that a row ends with.
pub(super) struct Decimals<'a> {
    values: [Decimal; 10],
    count: usize,
    /// From the last of them on.
    pub(super) last: Cursor<'a>,
    /// What follows the row.
    pub(super) behind: Cursor<'a>,
}

impl<'a> Decimals<'a> {
    #[inline(always)]
    pub(super) fn read(mut at: Cursor<'a>) -> Option<Self> {
        let mut values = [Decimal::ZERO; 10];
        let mut count = 0;
        loop {
            let last = at;
            *values.get_mut(count)? = at.number()?;
            count += 1;
            if at.take(b']').is_some() {
                let behind = at;
                return Some(Self {
                    values,
                    count,
                    last,
                    behind,
                });
            }
            at.comma()?;
        }
    }

    pub(super) fn as_slice(&self) -> &[Decimal] {
        &self.values[..self.count]
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

/// Hands each row of an array to `read`, which gives what follows the row. `None` if that does, or if
/// something else is wrong.
pub(super) fn rows<'a>(
    json: &'a [u8],
    mut read: impl FnMut(Cursor<'a>) -> Option<Cursor<'a>>,
) -> Option<()> {
    let mut at = Cursor(json);
    at.blank();
    at.take(b'[')?;
    at.blank();
    let mut is_first = true;
    while at.take(b']').is_none() {
        if !is_first {
            at.take(b',')?;
            at.blank();
        }
        is_first = false;
        at = read(at)?;
        at.blank();
    }
    at.blank();
    at.0.is_empty().then_some(())
}

impl<'a> Cursor<'a> {
    /// Reads a value as all JSON is read; gives what follows it.
    pub(super) fn read_as_json(self, seed: impl DeserializeSeed<'a>) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_slice(self.0);
        seed.deserialize(&mut json).ok()?;
        // The one way to ask how far it came.
        let read = json.into_iter::<IgnoredAny>().byte_offset();
        self.0.get(read..).map(Self)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    pub(super) fn blank(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Some servers put a blank behind it.
    #[inline(always)]
    pub(super) fn comma(&mut self) -> Option<()> {
        self.take(b',')?;
        if let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
        Some(())
    }

    /// A text without escapes.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
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
    pub(super) fn peer(&mut self) -> Option<Peer> {
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
    pub(super) fn number(&mut self) -> Option<Decimal> {
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
