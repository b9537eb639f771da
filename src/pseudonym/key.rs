//! The key of the pseudonyms: made once, kept in a file of its own and never in a recording.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher24;
use siphasher::sip128;

use crate::escape;
use crate::regular;

/// No file with a key is larger.
const FILE_BYTES_MAX: u64 = 4_096;

const COMMENT: &str = "\
# The key of the pseudonyms in recordings. Whoever has it can tell the addresses behind them.
";

/// 128 bits that the pseudonyms depend on.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// A new one, from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; 16];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| KeyError::Random)?;
        Ok(Self(bytes))
    }

    /// The key in the file at `path`: 32 hexadecimal digits; lines that begin with `#` are comments.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |error| KeyError::Unreadable {
            path: shown(path),
            error,
        };
        let file = regular::open(path).map_err(unreadable)?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        parse(&text).ok_or_else(|| KeyError::NoKey { path: shown(path) })
    }

    /// The key in the file at `path`. If there is no such file, it is made, with a new key, for its
    /// owner alone to read. The folder must be there.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if path.try_exists().is_ok_and(|exists| !exists) {
            Self::generate()?.keep(path)?;
        }
        // What another process may have kept in the meantime counts.
        Self::load(path)
    }

    /// Writes the file, whole or not at all, unless there is one.
    fn keep(&self, path: &Path) -> Result<(), KeyError> {
        let written = || {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            // Such files are for their owner alone.
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(format!("{COMMENT}{}\n", self.hex()).as_bytes())?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                    Err(error.error)
                }
                Ok(_) | Err(_) => Ok(()),
            }
        };
        written().map_err(|error| KeyError::Unwritable {
            path: shown(path),
            error,
        })
    }

    fn hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// Eight hexadecimal digits by which keys can be told apart. They say nothing of the key, nor of
    /// any address.
    pub fn fingerprint(&self) -> String {
        let hash = self.function("fingerprint").hash(b"");
        format!("{:08x}", hash >> 32)
    }

    /// A function for one purpose, of which those for other purposes tell nothing.
    pub(super) fn function(&self, purpose: &str) -> SipHasher24 {
        let own = sip128::SipHasher24::new_with_key(&self.0).hash(purpose.as_bytes());
        SipHasher24::new_with_key(&own.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn parse(text: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(text).ok()?;
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hex = lines.next().filter(|_| lines.next().is_none())?;
    let is_hex = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    let key = u128::from_str_radix(hex, 16).ok().filter(|_| is_hex)?;
    Some(Key(key.to_be_bytes()))
}

fn shown(path: &Path) -> String {
    escape::terminal(&PathBuf::from(path).to_string_lossy(), escape::COLUMNS_MAX).into_owned()
}

/// Why there is no key. Nothing of what a file holds is repeated.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key of the pseudonyms from `{path}`: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "`{path}` holds no key of pseudonyms: such a file has one line of 32 hexadecimal digits, beside \
         lines that begin with `#`"
    )]
    NoKey {
        /// The file.
        path: String,
    },
    /// The file cannot be made.
    #[error("cannot keep a new key of the pseudonyms in `{path}`: {error}")]
    Unwritable {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// There is no randomness.
    #[error("the system gives no random numbers to make a key of")]
    Random,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pseudonyms.key");
        let key = Key::load_or_create(&path).unwrap();
        assert_eq!(Key::load_or_create(&path).unwrap(), key);
        assert_eq!(Key::load(&path).unwrap(), key);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{text}");
        assert!(!format!("{key:?}{}", key.fingerprint()).contains(&key.hex()[..8]));
        assert_ne!(key.fingerprint(), Key::generate().unwrap().fingerprint());
        assert_eq!(key.fingerprint(), Key::load(&path).unwrap().fingerprint());
    }

    #[test]
    fn a_key_once_given_gives_the_same_for_ever() {
        let key = parse(b"# mine\n\n 000102030405060708090A0B0C0D0E0F \r\n").unwrap();
        assert_eq!(key.0, std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(key.fingerprint(), "3d486eb8");
    }

    #[test]
    fn what_is_no_key_is_told_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in [
            "",
            "# only a comment",
            "0123",
            "+123456789012345678901234567890a",
            "0123456789012345678901234567890g",
            "01234567890123456789012345678901\n01234567890123456789012345678901",
            "\u{e4}",
        ] {
            fs::write(&path, text).unwrap();
            let error = Key::load_or_create(&path).unwrap_err().to_string();
            assert_eq!(
                error.replace(path.to_str().unwrap(), "KEY"),
                "`KEY` holds no key of pseudonyms: such a file has one line of 32 hexadecimal digits, \
                 beside lines that begin with `#`"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let error = |path: &Path, result: Result<Key, KeyError>| {
            let error = result.unwrap_err().to_string();
            error.replace(path.to_str().unwrap(), "KEY")
        };
        let none = dir.path().join("none");
        assert_eq!(
            error(&none, Key::load(&none)),
            "cannot read the key of the pseudonyms from `KEY`: No such file or directory (os error 2)"
        );
        let nowhere = dir.path().join("no/where");
        let told = error(&nowhere, Key::load_or_create(&nowhere));
        assert!(
            told.starts_with("cannot keep a new key of the pseudonyms in `KEY`: No such file"),
            "{told}"
        );
        let folder = dir.path();
        assert_eq!(
            error(folder, Key::load_or_create(folder)),
            "cannot read the key of the pseudonyms from `KEY`: it is a folder, not a file"
        );
    }
}
