//! The command as the user wrote it: checked once, filled in for each call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::decision::Target;
use crate::penalty::BannedBy;
use crate::sink::name::name_of;

/// The most arguments that a command may have.
pub const ARGS_MAX: usize = 64;

/// The longest argument, in bytes.
pub const ARG_MAX_BYTES: usize = 4_096;

/// What an argument may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Verb,
    Address,
    Seconds,
    Policy,
}

/// All placeholders, as they are written in braces.
const PLACEHOLDERS: &[(&str, Placeholder)] = &[
    ("verb", Placeholder::Verb),
    ("address", Placeholder::Address),
    ("seconds", Placeholder::Seconds),
    ("policy", Placeholder::Policy),
];

/// The names of all placeholders, without braces.
pub fn placeholders() -> impl Iterator<Item = &'static str> {
    PLACEHOLDERS.iter().map(|(name, _)| *name)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A program and its arguments, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: PathBuf,
    args: Vec<Vec<Part>>,
}

/// Why words are not a [`CommandLine`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// There is no program.
    #[error("`command` names no program")]
    Empty,
    /// The program is relative, so which one runs would depend on `PATH` or the folder.
    #[error("the program of `command` is not an absolute path")]
    Relative,
    /// The program's path has a placeholder.
    #[error("the program of `command` contains the placeholder `{{{0}}}`")]
    PlaceholderInProgram(&'static str),
    /// There are so many arguments.
    #[error("`command` has {0} arguments")]
    TooManyArgs(usize),
    /// An argument is too long or contains a NUL.
    #[error("an argument of `command` is longer than {ARG_MAX_BYTES} bytes or contains a NUL")]
    BadArg {
        /// Its index in the array.
        index: usize,
    },
    /// No placeholder is called that.
    #[error("unknown placeholder `{{{name}}}` in `command`")]
    Unknown {
        /// The argument's index in the array.
        index: usize,
        /// What is in the braces.
        name: String,
    },
    /// The program would not be told what to do, or with which address.
    #[error("`command` lacks `{{{0}}}`")]
    Lacks(&'static str),
}

impl CommandLineError {
    /// The index of the word that is wrong, if it is one word.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Relative | Self::PlaceholderInProgram(_) => Some(0),
            Self::BadArg { index } | Self::Unknown { index, .. } => Some(*index),
            Self::Empty | Self::TooManyArgs(_) | Self::Lacks(_) => None,
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call<'h> {
    /// Keep it out for so long, because of a ban by.
    Ban(Duration, &'h BannedBy),
    /// Let it in again.
    Unban,
}

impl CommandLine {
    /// Checks `words`: the program, then its arguments.
    ///
    /// Only lower-case words in braces are placeholders, so that an argument may contain JSON.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(words: &[&str]) -> Result<Self, CommandLineError> {
        let (program, args) = words.split_first().ok_or(CommandLineError::Empty)?;
        if args.len() > ARGS_MAX {
            return Err(CommandLineError::TooManyArgs(args.len()));
        }
        for (index, word) in words.iter().enumerate() {
            if word.len() > ARG_MAX_BYTES || word.contains('\0') {
                return Err(CommandLineError::BadArg { index });
            }
        }
        if !Path::new(program).is_absolute() {
            return Err(CommandLineError::Relative);
        }
        let parse = |(index, word): (usize, &&str)| {
            parts(word).map_err(|name| CommandLineError::Unknown { index, name })
        };
        let all: Result<Vec<_>, _> = words.iter().enumerate().map(parse).collect();
        let mut args = all?;
        let in_program = args.remove(0);
        for &(name, placeholder) in PLACEHOLDERS {
            if in_program.contains(&Part::Placeholder(placeholder)) {
                return Err(CommandLineError::PlaceholderInProgram(name));
            }
        }
        for (name, placeholder) in [
            ("address", Placeholder::Address),
            ("verb", Placeholder::Verb),
        ] {
            let mut parts = args.iter().flatten();
            if !parts.any(|part| *part == Part::Placeholder(placeholder)) {
                return Err(CommandLineError::Lacks(name));
            }
        }
        Ok(Self {
            program: program.into(),
            args,
        })
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The arguments of a call.
    pub(super) fn fill(&self, net: IpNet, call: &Call<'_>) -> Vec<String> {
        let value = |placeholder| match (placeholder, call) {
            (Placeholder::Verb, Call::Ban(..)) => "ban".to_owned(),
            (Placeholder::Verb, Call::Unban) => "unban".to_owned(),
            (Placeholder::Address, _) => address(net),
            (Placeholder::Seconds, Call::Ban(left, _)) => whole_seconds(*left).to_string(),
            (Placeholder::Seconds, Call::Unban) => "0".to_owned(),
            (Placeholder::Policy, Call::Ban(_, by)) => name_of(by),
            (Placeholder::Policy, Call::Unban) => String::new(),
        };
        let filled = |parts: &Vec<Part>| {
            let values = parts.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Placeholder(placeholder) => value(*placeholder),
            });
            values.collect()
        };
        self.args.iter().map(filled).collect()
    }
}

/// Splits a word at its placeholders, or returns the name of an unknown one.
fn parts(word: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let (mut text, mut rest) = (String::new(), word);
    while let Some(open) = rest.find('{') {
        let (before, braces) = rest.split_at(open);
        text.push_str(before);
        let name = braces[1..].split_once('}').map(|(name, _)| name);
        let name = name.filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        let Some(name) = name else {
            text.push('{');
            rest = &braces[1..];
            continue;
        };
        let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
        let &(_, placeholder) = known.ok_or(name)?;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Placeholder(placeholder));
        rest = &braces[name.len() + 2..];
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// `198.51.100.7` or `203.0.113.0/24`.
fn address(net: IpNet) -> String {
    Target::Address(net.trunc()).to_string()
}

/// Rounded up, so that the ban does not end early, and never 0: to many programs that is a ban without an end.
fn whole_seconds(left: Duration) -> u64 {
    (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::name::NAME_BYTES_MAX;

    fn filled(words: &[&str], net: &str, call: &Call<'_>) -> Vec<String> {
        CommandLine::parse(words)
            .unwrap()
            .fill(net.parse().unwrap(), call)
    }

    #[test]
    fn placeholders_are_replaced_inside_arguments() {
        let words = [
            "/bin/ban",
            "{verb}={address}",
            "{\"s\":{seconds},\"p\":\"{policy}\",{}{A}{",
        ];
        let by = BannedBy::Policy("hog".into());
        let ban = Call::Ban(Duration::from_millis(1_001), &by);
        let told = filled(&words, "198.51.100.7/32", &ban);
        assert_eq!(told, ["ban=198.51.100.7", "{\"s\":2,\"p\":\"hog\",{}{A}{"]);
        let told = filled(&words, "203.0.113.9/24", &Call::Unban);
        assert_eq!(told, ["unban=203.0.113.0/24", "{\"s\":0,\"p\":\"\",{}{A}{"]);
        let told = filled(&words, "2001:db8::/64", &Call::Unban);
        assert_eq!(told[0], "unban=2001:db8::/64");
        assert_eq!(filled(&words, "::1/128", &Call::Unban)[0], "unban=::1");
    }

    #[test]
    fn no_ban_is_without_an_end() {
        for (left_ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(left_ms)), seconds);
        }
    }

    #[test]
    fn names_cannot_mean_anything_to_a_shell() {
        let long = "x".repeat(1_000);
        let names = [
            ("a.b_c:d-e", "a.b_c:d-e"),
            ("$(rm -rf /);\n'é", "__rm_-rf_______"),
            ("--help", "_-help"),
            ("{verb}", "_verb_"),
            (&long, &long[..NAME_BYTES_MAX]),
        ];
        for (name, plain) in names {
            assert_eq!(name_of(&BannedBy::Policy(name.into())), plain);
        }
        let by_hand = BannedBy::Hand {
            user: "dana (1000)".into(),
            reason: "`reboot`".into(),
        };
        assert_eq!(name_of(&by_hand), "dana");
    }

    #[test]
    fn a_command_that_cannot_work_is_refused() {
        let many: Vec<&str> = std::iter::once("/b")
            .chain(["{verb}"; ARGS_MAX + 1])
            .collect();
        let long = "x".repeat(ARG_MAX_BYTES + 1);
        let cases: [(&[&str], _); 9] = [
            (&[], CommandLineError::Empty),
            (&["ban", "{verb}", "{address}"], CommandLineError::Relative),
            (
                &["/bin/{verb}", "{verb}", "{address}"],
                CommandLineError::PlaceholderInProgram("verb"),
            ),
            (&many, CommandLineError::TooManyArgs(ARGS_MAX + 1)),
            (&["/b", "a\0"], CommandLineError::BadArg { index: 1 }),
            (&["/b", &long], CommandLineError::BadArg { index: 1 }),
            (
                &["/b", "{verb}", "{adress}"],
                CommandLineError::Unknown {
                    index: 2,
                    name: "adress".to_owned(),
                },
            ),
            (&["/b", "{verb}"], CommandLineError::Lacks("address")),
            (&["/b", "{address}"], CommandLineError::Lacks("verb")),
        ];
        for (words, error) in cases {
            assert_eq!(CommandLine::parse(words), Err(error));
        }
    }
}
