//! Secrets: the configuration names the place where one is read from when the agent starts, never the secret.
//!
//! No error repeats anything of a secret.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::value::{Read, path};
use crate::escape;
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node, Table};
use crate::regular;

/// A secret is no longer than this.
const SECRET_BYTES_MAX: usize = 1_024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the agent.
    Env(Box<str>),
    /// A file.
    File(PathBuf),
    /// A credential that systemd hands over.
    Credential(Box<str>),
}

/// A key or a password: 1 to 1,024 printable ASCII characters. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Blanks and line ends around it are not part of it.
    fn new(text: &str) -> Result<Self, SecretProblem> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(SecretProblem::Empty);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(SecretProblem::TooLong);
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(SecretProblem::NotPrintable);
        }
        Ok(Self(text.into()))
    }

    /// The secret itself, for whom it is meant and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// A secret, and what the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSecret {
    /// The secret.
    pub secret: Secret,
    /// To be logged.
    pub warning: Option<SecretWarning>,
}

/// The secret may be read by who should not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every user of this machine may read the secret in `{path}`: `chmod o-r` takes that away")]
pub struct SecretWarning {
    path: String,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[error("no secret from {place}: {problem}")]
pub struct SecretError {
    place: String,
    problem: SecretProblem,
}

#[derive(Debug, thiserror::Error)]
enum SecretProblem {
    #[error("it is not set: set it in the agent's environment")]
    Unset,
    #[error(
        "`CREDENTIALS_DIRECTORY` is not set: run the agent as a service of systemd with \
         `LoadCredential={name}:` and the file's path"
    )]
    NoCredentials { name: Box<str> },
    #[error("{0}; the agent's user must be able to read it")]
    Unreadable(io::Error),
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    #[error("it has characters other than printable ASCII")]
    NotPrintable,
}

impl SecretError {
    /// Whether the system failed to read what is there. Otherwise a person must change something.
    pub fn may_pass(&self) -> bool {
        matches!(&self.problem, SecretProblem::Unreadable(error) if may_pass(error))
    }

    /// Whether something was read, and is wrong wherever it is read.
    pub const fn is_wrong(&self) -> bool {
        matches!(
            self.problem,
            SecretProblem::Empty | SecretProblem::TooLong | SecretProblem::NotPrintable
        )
    }
}

impl SecretSource {
    /// Reads the secret.
    pub fn read(&self) -> Result<ReadSecret, SecretError> {
        self.read_in(|name| std::env::var_os(name))
    }

    /// As [`read`](Self::read), with the environment variables to look at.
    fn read_in(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<ReadSecret, SecretError> {
        self.try_read(variable).map_err(|problem| SecretError {
            place: self.place(),
            problem,
        })
    }

    fn try_read(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<ReadSecret, SecretProblem> {
        match self {
            Self::Env(name) => {
                let text = variable(name).ok_or(SecretProblem::Unset)?;
                let text = text.to_str().ok_or(SecretProblem::NotPrintable)?;
                Ok(ReadSecret {
                    secret: Secret::new(text)?,
                    warning: None,
                })
            }
            Self::File(path) => in_file(path),
            Self::Credential(name) => {
                let folder = variable("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    let name = name.clone();
                    SecretProblem::NoCredentials { name }
                })?;
                in_file(&PathBuf::from(folder).join(&**name))
            }
        }
    }

    /// For messages.
    fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable `{name}`"),
            Self::File(path) => format!("the file `{}`", shown(path)),
            Self::Credential(name) => format!("the systemd credential `{name}`"),
        }
    }
}

fn in_file(path: &Path) -> Result<ReadSecret, SecretProblem> {
    // A line end or two behind it.
    let file = SecretFile::read(path, SECRET_BYTES_MAX + 4).map_err(SecretProblem::Unreadable)?;
    let file = file.ok_or(SecretProblem::TooLong)?;
    let text = std::str::from_utf8(&file.bytes).map_err(|_| SecretProblem::NotPrintable)?;
    let warning = file.is_public.then(|| SecretWarning { path: shown(path) });
    Ok(ReadSecret {
        secret: Secret::new(text)?,
        warning,
    })
}

pub(super) fn shown(path: &Path) -> String {
    escape::log(&path.to_string_lossy()).into_owned()
}

/// A file that holds a secret.
pub(super) struct SecretFile {
    pub(super) bytes: Vec<u8>,
    /// Whether every user of the machine may read it.
    pub(super) is_public: bool,
}

impl SecretFile {
    /// Nothing if it is larger.
    pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Self>> {
        let file = regular::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        let is_public = mode & 0o004 != 0 && is_open(path);
        Ok((bytes.len() <= bytes_max).then_some(Self { bytes, is_public }))
    }
}

/// Whether others may enter the folder at all.
fn is_open(path: &Path) -> bool {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::metadata(folder.unwrap_or(Path::new(".")));
    folder.is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0)
}

/// Whether the system failed to read what is there, as a disk or a network file system may for a while.
pub(super) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{
        InvalidInput, IsADirectory, NotADirectory, NotFound, Other, PermissionDenied,
    };
    // `Other` is the agent's own: what is there is not a file.
    !matches!(
        error.kind(),
        InvalidInput | IsADirectory | NotADirectory | NotFound | Other | PermissionDenied
    )
}

/// Whether an environment variable may be called so.
pub(super) fn is_variable(name: &str) -> bool {
    let is_char = |c: char| c.is_ascii_alphanumeric() || c == '_';
    is_short(name) && name.chars().all(is_char) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a systemd credential may be called so.
pub(super) fn is_credential(name: &str) -> bool {
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    is_short(name) && name.chars().all(is_char) && !name.starts_with('.')
}

fn is_short(name: &str) -> bool {
    (1..=128).contains(&name.len())
}

const FORM: &str = "write where it is read from: `{ file = \"FILE\" }`, `{ env = \"NAME\" }` or \
                    `{ credential = \"NAME\" }`";

type SourceReader = fn(Node<'_>, &'static str) -> Read<SecretSource>;

const SOURCES: [(&str, SourceReader); 3] = [
    ("file", |node, key| path(node, key).map(SecretSource::File)),
    ("env", |node, key| {
        let help = "such names have letters, digits and `_`, without a `$`";
        name(node, key, help, is_variable).map(SecretSource::Env)
    }),
    ("credential", |node, key| {
        let help = "write the name that `LoadCredential=` of the service gives it, not its path";
        name(node, key, help, is_credential).map(SecretSource::Credential)
    }),
];

/// It may be the secret itself, so it is not repeated.
fn name(
    node: Node<'_>,
    key: &'static str,
    help: &'static str,
    is_name: impl Fn(&str) -> bool,
) -> Read<Box<str>> {
    let written = node.string(key, "write a name in quotes")?;
    if is_name(written.text) {
        return Ok(written.text.into());
    }
    let finding = Diagnostic::complaint(format!("`{key}` is not a name"));
    Err(finding.at(node.place().hidden()).help(help))
}

/// The place that `{ file = … }`, `{ env = … }` or `{ credential = … }` names.
pub(super) fn source(
    node: Node<'_>,
    key: &'static str,
    what: &'static str,
    findings: &mut Findings,
) -> Option<SecretSource> {
    if node.as_written().is_some() {
        let complaint = format!("{what} does not belong in the configuration");
        let finding = Diagnostic::complaint(complaint);
        findings.push(finding.at(node.place().hidden()).help(FORM));
        return None;
    }
    let table = Table::of(node, key, what).map_err(|finding| finding.help(FORM));
    let mut table = findings.accept(table)?;
    let mut sources = Vec::new();
    for (key, read) in SOURCES {
        if let Some(entry) = table.take(key) {
            sources.push((entry.node, key, read));
        }
    }
    let before = findings.len();
    let synonyms = [
        ("path", "file"),
        ("environment", "env"),
        ("var", "env"),
        ("systemd", "credential"),
    ];
    table.finish(&synonyms, findings);
    match sources[..] {
        [(node, key, read)] => {
            let read = read(node, key);
            findings.accept(read)
        }
        // There is a finding about another key already.
        [] if findings.len() > before => None,
        _ => {
            let complaint = format!("{what} is read from one place");
            let finding = Diagnostic::complaint(complaint);
            findings.push(finding.at(node.place()).help(FORM));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(source: &SecretSource) -> Result<ReadSecret, SecretError> {
        source.read_in(|name| match name {
            "KEY" => Some("s3cret".into()),
            "EMPTY" => Some(" \n".into()),
            "FOREIGN" => Some("s3cr\u{e9}t".into()),
            "LONG" => Some("s3cret".repeat(200).into()),
            _ => None,
        })
    }

    #[test]
    fn a_secret_comes_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "s3cret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for source in [
            SecretSource::File(file.clone()),
            SecretSource::Env("KEY".into()),
        ] {
            let read = read(&source).unwrap();
            assert_eq!(read.secret.expose(), "s3cret");
            assert_eq!(read.warning, None);
            assert!(!format!("{read:?}").contains("s3cret"));
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        let warning = read(&SecretSource::File(file)).unwrap().warning.unwrap();
        assert!(
            warning
                .to_string()
                .starts_with("every user of this machine may read")
        );
    }

    #[test]
    fn an_error_names_the_place_and_nothing_of_the_secret() {
        let told = |source: &SecretSource| {
            let error = read(source).unwrap_err();
            assert!(!error.may_pass());
            let told = error.to_string();
            assert!(!told.contains("s3c"), "{told}");
            told
        };
        let env = |name: &str| told(&SecretSource::Env(name.into()));
        let all = [
            env("NONE"),
            env("EMPTY"),
            env("FOREIGN"),
            env("LONG"),
            told(&SecretSource::File("/none/key".into())),
            told(&SecretSource::File("/dev/zero".into())),
            told(&SecretSource::Credential("key".into())),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
