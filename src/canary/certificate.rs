//! When a certificate ends: the one thing of it that is read.

use chrono::NaiveDateTime;

use crate::time::Timestamp;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version's own tag, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// The end of an X.509 certificate's validity; `None` if it cannot be read. RFC 5280, 4.1.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let certificate = Der(certificate).expect(SEQUENCE)?.0;
    let mut signed = Der(certificate.expect(SEQUENCE)?.0.0);
    // Version 1 does not say its version.
    if let Some((_, rest)) = signed.expect(VERSION) {
        signed = rest;
    }
    // The serial number, the signature's algorithm, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        signed = signed.expect(tag)?.1;
    }
    let validity = signed.expect(SEQUENCE)?.0;
    let (_, _, validity) = validity.take()?;
    let (tag, end, _) = validity.take()?;
    time(tag, end.0)
}

/// What is left of a DER text.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl Der<'_> {
    /// The first element's tag, its content, and what follows.
    fn take(self) -> Option<(u8, Self, Self)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let bytes = usize::from(first & 0x7f);
            if !(1..=4).contains(&bytes) {
                return None;
            }
            let (long, behind) = rest.split_at_checked(bytes)?;
            let fold = |length, &byte| length << 8 | usize::from(byte);
            length = long.iter().fold(0, fold);
            rest = behind;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        Some((tag, Self(content), Self(rest)))
    }

    /// The content of the first element, if it has this tag, and what follows.
    fn expect(self, tag: u8) -> Option<(Self, Self)> {
        let (found, content, rest) = self.take()?;
        (found == tag).then_some((content, rest))
    }
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = str::from_utf8(text).ok()?;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&whole, "%Y%m%d%H%M%S").ok()?;
    Some(Timestamp::from_millis(time.and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canary::tests::{CERTIFICATE, VERSION_1};

    #[test]
    fn the_end_is_read_of_every_version() {
        // As `openssl x509 -enddate` prints them.
        for (certificate, expected) in [
            (&VERSION_1, "2046-11-24T16:26:08.000Z"),
            (&CERTIFICATE, "2126-11-05T16:26:08.000Z"),
        ] {
            let end = not_after(certificate).unwrap();
            assert_eq!(end.to_string(), expected);
        }
    }

    #[test]
    fn a_part_of_a_certificate_tells_nothing() {
        for length in 0..CERTIFICATE.len() {
            assert_eq!(not_after(&CERTIFICATE[..length]), None);
        }
    }

    #[test]
    fn times_are_read_as_the_standard_has_them() {
        let of = |tag, text: &str| time(tag, text.as_bytes()).map(|time| time.to_string());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(UTC_TIME, "491231235959Z"),
            some("2049-12-31T23:59:59.000Z")
        );
        assert_eq!(
            of(UTC_TIME, "500101000000Z"),
            some("1950-01-01T00:00:00.000Z")
        );
        let never = of(GENERALIZED_TIME, "99991231235959Z");
        assert_eq!(never, some("9999-12-31T23:59:59.000Z"));
        for text in [
            "",
            "Z",
            "4912312359Z",
            "491231235959+0100",
            "+91231235959Z",
            "491331235959Z",
        ] {
            assert_eq!(of(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(of(GENERALIZED_TIME, "491231235959Z"), None);
        assert_eq!(of(INTEGER, "491231235959Z"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes: Vec<u8>, at: prop::sample::Index, by: u8) {
            not_after(&bytes);
            let mut certificate = CERTIFICATE.to_vec();
            let at = at.index(certificate.len());
            certificate[at] = by;
            not_after(&certificate);
        }
    }
}
