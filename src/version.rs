//! Versions of clients: found in the names that clients give, and compared.
//!
//! Clients choose their names, so nothing here takes longer than the name is long, and what is no
//! version for certain is none.

use std::ops::Range;

/// Numbers with dots between them, and perhaps a stage before the release: `4.5.8`, `4.6.0b1`,
/// `4.6.0-rc1`.
///
/// Compared number by number, those that are missing as 0: `4.5` is `4.5.0`. A stage comes before the
/// release that it leads to. A number too large for 64 bits counts as the largest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    numbers: [u64; NUMBERS_MAX],
    stage: Stage,
    stage_number: u64,
}

/// What has more numbers than this is no version.
const NUMBERS_MAX: usize = 8;

/// How far a version is on the way to its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Development,
    Alpha,
    Beta,
    Candidate,
    Release,
}

/// The words for stages, as PEP 440 and semantic versions have them.
const STAGES: [(&str, Stage); 12] = [
    ("dev", Stage::Development),
    ("nightly", Stage::Development),
    ("snapshot", Stage::Development),
    ("a", Stage::Alpha),
    ("alpha", Stage::Alpha),
    ("b", Stage::Beta),
    ("beta", Stage::Beta),
    ("c", Stage::Candidate),
    ("rc", Stage::Candidate),
    ("pre", Stage::Candidate),
    ("preview", Stage::Candidate),
    ("candidate", Stage::Candidate),
];

impl Version {
    /// A version as a policy names it: all of the text, with or without a dot.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, length) = Self::at_start_of(text, text)?;
        (length == text.len()).then_some(version)
    }

    /// The first version in a client's name, and where it stands in it.
    ///
    /// It begins with a digit, at the beginning of the name or behind a character that is neither
    /// letter nor digit nor dot; a `v` may stand between. It has a dot at the least, so that neither
    /// `bip39 tool` nor `Wallet 2` has a version. What follows and is no stage is left out: the
    /// version of `electrum/4.5.4-arm64 (linux)` is `4.5.4`.
    pub fn in_name(name: &str) -> Option<(Self, Range<usize>)> {
        let is_word = |c: char| c.is_alphanumeric() || c == '.';
        let mut from = 0;
        while let Some(found) = name[from..].find(is_word) {
            let start = from + found;
            let length = name[start..].find(|c| !is_word(c));
            let end = length.map_or(name.len(), |length| start + length);
            let word = &name[start..end];
            let number = word.strip_prefix(['v', 'V']).unwrap_or(word);
            let start = end - number.len();
            if let Some((version, length)) = Self::at_start_of(number, &name[start..])
                && number[..number.len().min(length)].contains('.')
            {
                return Some((version, start..start + length));
            }
            from = end;
        }
        None
    }

    /// The version whose numbers `word` begins with and whose stage may stand beyond it, in `text`,
    /// which begins with `word`; and its length.
    fn at_start_of(word: &str, text: &str) -> Option<(Self, usize)> {
        let (numbers, length) = numbers(word)?;
        let stage = stage(&text[length..]);
        let (stage, stage_number, stage_length) = stage.unwrap_or((Stage::Release, 0, 0));
        let version = Self {
            numbers,
            stage,
            stage_number,
        };
        Some((version, length + stage_length))
    }
}

/// The numbers that a text begins with, and their length; `None` if there is none, or too many.
fn numbers(text: &str) -> Option<([u64; NUMBERS_MAX], usize)> {
    let mut numbers = [0; NUMBERS_MAX];
    let (first, mut length) = number(text)?;
    numbers[0] = first;
    let mut count = 1;
    while let Some(rest) = text[length..].strip_prefix('.')
        && let Some((next, digits)) = number(rest)
    {
        *numbers.get_mut(count)? = next;
        count += 1;
        length += 1 + digits;
    }
    Some((numbers, length))
}

/// The number that a text begins with, and its length.
fn number(text: &str) -> Option<(u64, usize)> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let digits = text.bytes().take_while(is_digit);
    let number = digits.clone().fold(0_u64, |number, digit| {
        let digit = u64::from(digit - b'0');
        number.saturating_mul(10).saturating_add(digit)
    });
    let length = digits.count();
    (length > 0).then_some((number, length))
}

/// The stage that a text begins with: `b1`, `-rc.2`, `.dev3`; with its number and its length.
fn stage(text: &str) -> Option<(Stage, u64, usize)> {
    let separated = |text: &str| usize::from(text.starts_with(['.', '-', '_', '~']));
    let start = separated(text);
    let end = text[start..].find(|c: char| !c.is_alphabetic());
    let end = end.map_or(text.len(), |end| start + end);
    let word = &text[start..end];
    let mut stages = STAGES.iter();
    let &(_, stage) = stages.find(|(name, _)| name.eq_ignore_ascii_case(word))?;
    let gap = separated(&text[end..]);
    Some(match number(&text[end + gap..]) {
        Some((number, digits)) => (stage, number, end + gap + digits),
        None => (stage, 0, end),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(name: &str) -> Option<&str> {
        Version::in_name(name).map(|(_, place)| &name[place])
    }

    #[test]
    fn wallets_give_their_versions_in_many_ways() {
        for (name, version) in [
            ("4.5.8", "4.5.8"),
            ("electrum/4.5.4", "4.5.4"),
            ("electrum/4.6.0b1", "4.6.0b1"),
            ("electrum/4.5.4 (linux)", "4.5.4"),
            ("ElectrumX 1.20.0", "1.20.0"),
            ("Sparrow 2.1.3", "2.1.3"),
            ("Sparrow/1.8.0", "1.8.0"),
            ("bdk/0.31", "0.31"),
            ("BitBoxApp 4.47", "4.47"),
            ("4.2.2.1", "4.2.2.1"),
            ("wallet-v1.2", "1.2"),
            ("V2.0", "2.0"),
            ("my_wallet_3.1-beta.2+git", "3.1-beta.2"),
            ("electrum/4.5.4-arm64", "4.5.4"),
            ("Wallet 2 1.4.3", "1.4.3"),
            ("a/1.2 b/3.4", "1.2"),
            ("Sparrow 1.8 (Übung) – 財布", "1.8"),
            ("財布 1.8.dev3", "1.8.dev3"),
            ("1.2ß", "1.2"),
            ("1.2.", "1.2"),
        ] {
            assert_eq!(found(name), Some(version), "{name}");
        }
    }

    #[test]
    fn what_is_no_version_for_certain_is_none() {
        for name in [
            "",
            "BlueWallet",
            "4",
            "Wallet 2",
            "electrum/4",
            "bip39 tool",
            "bip39.2",
            "Electrum4.5",
            "electrum.4.5",
            "v.1.2",
            "vv1.2",
            "1..2",
            ".1.2",
            "x.1.2",
            "٣.٤",
            "財1.2",
            "1.2.3.4.5.6.7.8.9",
            "<script>",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn versions_have_an_order() {
        let order = [
            "0",
            "0.0.1",
            "3.3.4.dev1",
            "3.3.4a0",
            "3.3.4-alpha.2",
            "3.3.4b1",
            "3.3.4b2",
            "3.3.4b10",
            "3.3.4~rc1",
            "3.3.4_pre2",
            "3.3.4",
            "3.3.4.1",
            "3.10",
            "4",
            "18446744073709551614.0",
            "99999999999999999999999999.0",
        ];
        let versions = order.map(|text| Version::parse(text).unwrap());
        assert!(versions.is_sorted_by(|a, b| a < b));
        for (text, same) in [
            ("4.5", "4.5.0"),
            ("4", "4.0.0.0"),
            ("4.5RC1", "4.5-c.1"),
            ("4.5b", "4.5beta0"),
            ("04.05", "4.5"),
            ("18446744073709551615", "99999999999999999999"),
        ] {
            assert_eq!(Version::parse(text), Version::parse(same), "{text}");
        }
    }

    #[test]
    fn a_policy_names_nothing_but_a_version() {
        for text in [
            "",
            "v4.5",
            "4.5 ",
            "4.5x",
            "4.5-linux",
            ".5",
            "5.",
            "4,5",
            "b1",
            "-1",
            "1.2.3.4.5.6.7.8.9",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn long_names_take_no_longer_than_they_are_long() {
        for piece in ["1", "1.", "1.1.1.1.1.1.1.1.1-", "v1-", "1.2a.", ".", "1 "] {
            let name = piece.repeat(1_000_000 / piece.len());
            let begun = std::time::Instant::now();
            _ = Version::in_name(&name);
            // A square of it would take minutes.
            assert!(begun.elapsed().as_secs() < 5, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "(\\PC|[0-9v. -]|rc|b){0,40}") {
            if let Some((version, place)) = Version::in_name(&name) {
                // What was found says the same by itself.
                prop_assert_eq!(Version::parse(&name[place.clone()]), Some(version));
                prop_assert_eq!(Version::in_name(&name[place]).map(|it| it.0), Some(version));
            }
            _ = Version::parse(&name);
        }
    }
}
