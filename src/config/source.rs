//! What stands elsewhere and is read when the agent starts: the daemons' URLs, how many slots the server
//! has, and where the canary goes.
//!
//! No error or warning repeats anything of what was read but names of variables.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::canary::CanarySource;
use super::daemon::DaemonSource;
use super::environment::{Environment, value_of_file};
use super::secret::{SecretFile, may_pass, shown};
use super::slots::SessionsMax;
use crate::canary::{BadDestination, Destination};
use crate::daemon::{Address, BadDaemons, Daemons};
use crate::slots::Slots;

/// No file with URLs is larger.
const FILE_BYTES_MAX: usize = 64 * 1_024;

/// The daemons, and what the operator should know.
#[derive(Clone, Debug)]
pub struct ReadDaemons {
    /// The daemons.
    pub daemons: Daemons,
    /// To be logged.
    pub warnings: Vec<SourceWarning>,
}

impl ReadDaemons {
    /// `public` is the file that others can read too.
    fn new(daemons: Daemons, public: Option<String>) -> Self {
        let mut warnings = Vec::new();
        warnings.extend(public.map(|path| SourceWarning::Public { path }));
        if let Some(address) = daemons.unexpanded() {
            let address = address.clone();
            warnings.push(SourceWarning::Unexpanded { address });
        }
        if let [only] = &daemons.addresses()[..] {
            let only = only.clone();
            warnings.push(SourceWarning::Alone { only });
        }
        if let Some((first, second)) = daemons.alike() {
            let (first, second) = (first.clone(), second.clone());
            warnings.push(SourceWarning::Alike { first, second });
        }
        Self { daemons, warnings }
    }
}

/// What is not as it should be with daemons that can be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceWarning {
    /// The passwords may be read by who should not.
    #[error(
        "every user of this machine may read `{path}`, which holds the daemons' passwords: take \
         that away with `chmod o-r`"
    )]
    Public {
        /// The file.
        path: String,
    },
    /// What a shell would have expanded is part of a URL.
    #[error(
        "user or password of `{address}` have a `$` or a backquote as in a shell's variable, and \
         nothing is expanded here, nor by ElectrumX: write the value in its place; a `$` that belongs \
         to the password is written `%24`, a backquote `%60`"
    )]
    Unexpanded {
        /// The daemon.
        address: Address,
    },
    /// There is one daemon only.
    #[error(
        "`{only}` is the only daemon, and there is nowhere else to go: failover and failback need \
         two; name another behind it, in ElectrumX's `DAEMON_URL` too"
    )]
    Alone {
        /// The daemon.
        only: Address,
    },
    /// There is one daemon less than there seem to be.
    #[error(
        "`{first}` and `{second}` look like two names of one daemon, which is no use when it \
         fails: name another in place of one of them, in ElectrumX's `DAEMON_URL` too"
    )]
    Alike {
        /// One name.
        first: Address,
        /// The other.
        second: Address,
    },
}

/// Why something is not known that stands elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("no {wanted} from {place}: {problem}{}", self.hint())]
pub struct SourceError {
    wanted: &'static str,
    /// What of the configuration names the place.
    named_by: &'static str,
    place: String,
    problem: SourceProblem,
}

#[derive(Debug, thiserror::Error)]
enum SourceProblem {
    #[error("it is not set: set it to the URLs, separated by commas, in the agent's environment")]
    Unset,
    #[error("it is not UTF-8: write the URLs in ASCII, and percent-encode what is not")]
    NotUtf8,
    #[error(
        "`CREDENTIALS_DIRECTORY` is not set: run the agent as a service of systemd with \
         `LoadCredential={name}:` and the file's path, or name another source as `urls` of \
         `[server.daemon]`"
    )]
    NoCredentials { name: Box<str> },
    #[error("{0}")]
    Unreadable(io::Error),
    #[error("it is larger than {} KiB, which no list of daemons is", FILE_BYTES_MAX / 1_024)]
    TooLarge,
    #[error("it does not set `DAEMON_URL`{}", shell(*.is_shell))]
    NoDaemonUrl { is_shell: bool },
    #[error("{bad}{}", shell(*.is_shell))]
    Bad { bad: BadDaemons, is_shell: bool },
    #[error("its `MAX_SESSIONS` is no number of sessions: write one as `sessions_max`")]
    NoNumber,
}

/// For who wrote an environment for a shell.
const fn shell(is_shell: bool) -> &'static str {
    if is_shell {
        "; the file is read as systemd reads it, not as a shell does: `NAME=VALUE` on a line of its \
         own, all behind the `=` is the value, comments too, and nothing is expanded"
    } else {
        ""
    }
}

impl From<BadDaemons> for SourceProblem {
    fn from(bad: BadDaemons) -> Self {
        Self::Bad {
            bad,
            is_shell: false,
        }
    }
}

impl SourceError {
    fn hint(&self) -> String {
        match self.problem {
            SourceProblem::Unreadable(_) => format!(
                "; {} names it, and the agent's user must be able to read it",
                self.named_by
            ),
            _ => String::new(),
        }
    }

    /// Whether the system failed to read what is there, as a disk or a network file system may for
    /// a while. Otherwise a person must change something.
    pub fn may_pass(&self) -> bool {
        matches!(&self.problem, SourceProblem::Unreadable(error) if may_pass(error))
    }

    /// Whether something was read, and is wrong wherever it is read. Otherwise there was nothing to
    /// read here, or no permission; elsewhere, or for another user, there may be.
    pub const fn is_wrong(&self) -> bool {
        match self.problem {
            SourceProblem::Unset
            | SourceProblem::NoCredentials { .. }
            | SourceProblem::Unreadable(_) => false,
            SourceProblem::NotUtf8
            | SourceProblem::TooLarge
            | SourceProblem::NoDaemonUrl { .. }
            | SourceProblem::Bad { .. }
            | SourceProblem::NoNumber => true,
        }
    }
}

impl DaemonSource {
    /// Reads and checks the URLs.
    pub fn read(&self) -> Result<ReadDaemons, SourceError> {
        self.read_in(|name| std::env::var_os(name))
    }

    /// As [`read`](Self::read), with the environment variables to look at.
    fn read_in(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<ReadDaemons, SourceError> {
        self.try_read(variable).map_err(|problem| SourceError {
            wanted: "daemons' URLs",
            named_by: "`urls` of `[server.daemon]`",
            place: self.place(),
            problem,
        })
    }

    fn try_read(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<ReadDaemons, SourceProblem> {
        let mut public = None;
        let daemons = match self {
            Self::Electrumx(path) => daemons(&environment(path, &mut public)?)?,
            Self::Env(name) => {
                let urls = variable(name).ok_or(SourceProblem::Unset)?;
                let urls = urls.into_string().map_err(|_| SourceProblem::NotUtf8)?;
                Daemons::parse(&urls, None)?
            }
            Self::File(path) => list(path, &mut public)?,
            Self::Credential(name) => {
                let folder = variable("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    let name = name.clone();
                    SourceProblem::NoCredentials { name }
                })?;
                list(&PathBuf::from(folder).join(&**name), &mut public)?
            }
        };
        Ok(ReadDaemons::new(daemons, public))
    }

    /// For messages.
    fn place(&self) -> String {
        match self {
            Self::Electrumx(path) => environment_at(path),
            Self::Env(name) => format!("the environment variable `{name}`"),
            Self::File(path) => format!("the file `{}`", shown(path)),
            Self::Credential(name) => format!("the systemd credential `{name}`"),
        }
    }
}

impl SessionsMax {
    /// How many slots the server has.
    pub fn read(&self) -> Result<Slots, SourceError> {
        match self {
            Self::Number(number) => Ok(Slots::new(*number)),
            Self::Electrumx(path) => slots(path).map_err(|problem| SourceError {
                wanted: "`MAX_SESSIONS`",
                named_by: "`sessions_max` of `[server]`",
                place: environment_at(path),
                problem,
            }),
        }
    }
}

fn slots(path: &Path) -> Result<Slots, SourceProblem> {
    /// What every release takes where nothing is set.
    const DEFAULT: u32 = 1_000;
    let written = variable(path, "MAX_SESSIONS", |environment| environment.max_sessions)?;
    let Some(written) = written else {
        return Ok(Slots::new(DEFAULT));
    };
    // As Python reads it.
    let number = written.trim().replace('_', "").parse().ok();
    let number = number.filter(|&number| number > 0);
    number.map(Slots::new).ok_or(SourceProblem::NoNumber)
}

fn environment_at(path: &Path) -> String {
    format!("ElectrumX's environment `{}`", shown(path))
}

/// Why it is not known where the canary goes.
#[derive(Debug, thiserror::Error)]
#[error("no service for the canary from ElectrumX's environment `{place}`: {problem}")]
pub struct CanarySourceError {
    place: String,
    problem: ServiceProblem,
}

#[derive(Debug, thiserror::Error)]
enum ServiceProblem {
    #[error(
        "{0}; `connect` of `[canary]` names it, and the agent's user must be able to read it, or write the \
         service itself: `connect = \"tcp://127.0.0.1:50001\"`"
    )]
    Unreadable(String),
    #[error(
        "it does not set `SERVICES`: write the service itself, as in `connect = \"tcp://127.0.0.1:50001\"`"
    )]
    Unset,
    #[error(
        "`SERVICES`: {0}; write the service itself, as in `connect = \"tcp://127.0.0.1:50001\"`"
    )]
    Bad(BadDestination),
}

impl CanarySourceError {
    /// Whether something was read, and is wrong wherever it is read.
    pub const fn is_wrong(&self) -> bool {
        !matches!(self.problem, ServiceProblem::Unreadable(_))
    }
}

impl CanarySource {
    /// Where the canary goes.
    pub fn read(&self) -> Result<Destination, CanarySourceError> {
        let path = match self {
            Self::At(destination) => return Ok(destination.clone()),
            Self::Electrumx(path) => path,
        };
        service(path).map_err(|problem| CanarySourceError {
            place: shown(path),
            problem,
        })
    }
}

fn service(path: &Path) -> Result<Destination, ServiceProblem> {
    let services = variable(path, "SERVICES", |environment| environment.services);
    let services = services.map_err(|problem| match problem {
        SourceProblem::Unreadable(error) => ServiceProblem::Unreadable(error.to_string()),
        _ => ServiceProblem::Unreadable("it is too large".to_owned()),
    })?;
    let services = services.ok_or(ServiceProblem::Unset)?;
    Destination::of_services(&services).map_err(ServiceProblem::Bad)
}

/// Those of a list of URLs, or of the server's environment: that is what there is to hand over as a
/// credential.
fn list(path: &Path, public: &mut Option<String>) -> Result<Daemons, SourceProblem> {
    let text = text(path, public)?;
    match Environment::if_file(&text) {
        Some(environment) => daemons(&environment),
        None => Ok(Daemons::parse(&text, None)?),
    }
}

fn daemons(environment: &Environment) -> Result<Daemons, SourceProblem> {
    let is_shell = environment.is_shell;
    let urls = environment.daemon_url.as_deref();
    let urls = urls.ok_or(SourceProblem::NoDaemonUrl { is_shell })?;
    Daemons::parse(urls, environment.rpc_port()).map_err(|bad| SourceProblem::Bad { bad, is_shell })
}

fn environment(path: &Path, public: &mut Option<String>) -> Result<Environment, SourceProblem> {
    if !path.is_dir() {
        return Ok(Environment::of_file(&text(path, public)?));
    }
    let daemon_url = in_folder(path, "DAEMON_URL", public)?;
    // Who may read those learns nothing.
    let other = |name| text(&path.join(name), &mut None).ok();
    Ok(Environment::of_folder(
        daemon_url,
        other("COIN"),
        other("NET"),
    ))
}

/// One variable of the server's environment, whether the others can be read or not.
fn variable(
    path: &Path,
    name: &str,
    of_file: impl FnOnce(Environment) -> Option<String>,
) -> Result<Option<String>, SourceProblem> {
    if !path.is_dir() {
        return Ok(of_file(Environment::of_file(&text(path, &mut None)?)));
    }
    Ok(value_of_file(in_folder(path, name, &mut None)?))
}

/// What the file of this name holds; nothing if there is none.
fn in_folder(
    folder: &Path,
    name: &str,
    public: &mut Option<String>,
) -> Result<Option<String>, SourceProblem> {
    match text(&folder.join(name), public) {
        Ok(text) => Ok(Some(text)),
        Err(SourceProblem::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// What is not UTF-8 in it is refused where it matters: in a URL. `public` becomes the path if every
/// user may read it.
fn text(path: &Path, public: &mut Option<String>) -> Result<String, SourceProblem> {
    let file = SecretFile::read(path, FILE_BYTES_MAX).map_err(SourceProblem::Unreadable)?;
    let file = file.ok_or(SourceProblem::TooLarge)?;
    if file.is_public {
        *public = Some(shown(path));
    }
    Ok(String::from_utf8_lossy(&file.bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(source: &DaemonSource) -> Result<ReadDaemons, SourceError> {
        source.read_in(|name| match name {
            "URLS" => Some("u:p@a:1,u:q@b:2".into()),
            "EMPTY" => Some(" ".into()),
            _ => None,
        })
    }

    fn addresses(source: &DaemonSource) -> String {
        let read = read(source).unwrap();
        read.daemons.addresses().join(" ")
    }

    const TWO: &str = "u:secret@a:1,u:secret@b:1";

    fn warnings(source: &DaemonSource) -> Vec<String> {
        let warnings = read(source).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect()
    }

    /// The folder's path, which differs from run to run, as `DIR`.
    fn told(source: &DaemonSource, dir: &Path) -> String {
        let error = read(source).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        error.replace(&shown(dir), "DIR")
    }

    fn write(path: PathBuf, text: &str, mode: u32) -> PathBuf {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn open_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        dir
    }

    #[test]
    fn every_source_is_read() {
        let dir = open_dir();
        let at = |name: &str| dir.path().join(name);
        let conf = write(
            at("electrumx.conf"),
            "COIN = Bitcoin\nDAEMON_URL = http://u:p@a:1,u:q@b/\n",
            0o640,
        );
        assert_eq!(
            addresses(&DaemonSource::Electrumx(conf.clone())),
            "a:1 b:8332"
        );

        fs::create_dir(at("env")).unwrap();
        write(at("env/DAEMON_URL"), "u:p@a \nsecond line\n", 0o600);
        write(at("env/COIN"), "BitcoinSegwit\n", 0o644);
        write(at("env/NET"), "testnet4\n", 0o644);
        assert_eq!(addresses(&DaemonSource::Electrumx(at("env"))), "a:48332");

        assert_eq!(addresses(&DaemonSource::Env("URLS".into())), "a:1 b:2");

        let list = write(at("daemons.txt"), "# two\nu:p@a:1\nu:q@b:2\n", 0o600);
        assert_eq!(addresses(&DaemonSource::File(list)), "a:1 b:2");

        // The server's own environment is taken as a list too: it can be handed over as it is.
        assert_eq!(addresses(&DaemonSource::File(conf)), "a:1 b:8332");
        let credential = |name: &str| {
            let read = DaemonSource::Credential(name.into()).read_in(|name| {
                assert_eq!(name, "CREDENTIALS_DIRECTORY");
                Some(dir.path().into())
            });
            read.unwrap().daemons.addresses().join(" ")
        };
        assert_eq!(credential("daemons.txt"), "a:1 b:2");
        assert_eq!(credential("electrumx.conf"), "a:1 b:8332");
    }

    #[test]
    fn slots_are_as_the_server_takes_them() {
        let dir = open_dir();
        let path = dir.path().join("conf");
        let read = |text: &str| {
            let path = write(path.clone(), text, 0o600);
            let slots = SessionsMax::Electrumx(path).read();
            slots.map_err(|error| error.to_string().replace(&shown(dir.path()), "DIR"))
        };
        assert_eq!(SessionsMax::Number(7).read().unwrap(), Slots::new(7));
        assert_eq!(read("MAX_SESSIONS = 2000\n"), Ok(Slots::new(2_000)));
        assert_eq!(read("MAX_SESSIONS=' 2_000 '"), Ok(Slots::new(2_000)));
        // What every release takes.
        assert_eq!(read("COIN=Bitcoin\n"), Ok(Slots::new(1_000)));
        insta::assert_snapshot!(read("MAX_SESSIONS=many").unwrap_err(), @"no `MAX_SESSIONS` from ElectrumX's environment `DIR/conf`: its `MAX_SESSIONS` is no number of sessions: write one as `sessions_max`");
        assert!(read("MAX_SESSIONS=0").is_err());
        assert!(read("MAX_SESSIONS=-1").is_err());
        let folder = dir.path().join("env");
        fs::create_dir(&folder).unwrap();
        write(folder.join("MAX_SESSIONS"), "2000\n", 0o600);
        // What else stands there may be for others to read.
        fs::create_dir(folder.join("DAEMON_URL")).unwrap();
        let slots = SessionsMax::Electrumx(folder).read();
        assert_eq!(slots.unwrap(), Slots::new(2_000));
        let gone = SessionsMax::Electrumx(dir.path().join("gone")).read();
        let gone = gone.unwrap_err();
        assert!(!gone.is_wrong());
        insta::assert_snapshot!(gone.to_string().replace(&shown(dir.path()), "DIR"), @"no `MAX_SESSIONS` from ElectrumX's environment `DIR/gone`: No such file or directory (os error 2); `sessions_max` of `[server]` names it, and the agent's user must be able to read it");
    }

    #[test]
    fn who_may_read_it_is_told() {
        let dir = open_dir();
        let path = dir.path().join("list");
        let list = DaemonSource::File(write(path.clone(), TWO, 0o640));
        assert_eq!(warnings(&list), Vec::<String>::new());
        write(path.clone(), TWO, 0o644);
        let [warning] = &warnings(&list)[..] else {
            panic!("one warning");
        };
        let warning = warning.replace(&shown(dir.path()), "DIR");
        insta::assert_snapshot!(warning, @"every user of this machine may read `DIR/list`, which holds the daemons' passwords: take that away with `chmod o-r`");
        // Nobody else gets to it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(warnings(&list), Vec::<String>::new());
    }

    #[test]
    fn what_nobody_expanded_is_told() {
        let dir = open_dir();
        let list = |text: &str| DaemonSource::File(write(dir.path().join("list"), text, 0o600));
        let is_told = |text: &str| {
            let warnings = warnings(&list(text));
            assert!(
                warnings.iter().all(|it| !it.contains("SECRET")),
                "{warnings:?}"
            );
            warnings
                .iter()
                .any(|it| it.starts_with("user or password of `b:1`"))
        };
        for user in [
            "u:$SECRET",
            "u:${SECRET}",
            "$SECRET:p",
            "u:a$SECRET",
            "u:$(SECRET)",
            "u:`SECRET`",
            "u:$_",
        ] {
            assert!(is_told(&format!("u:p@a:1,{user}@b:1")), "{user}");
            assert!(
                is_told(&format!(
                    "DAEMON_URL=\"http://u:p@a:1,http://{user}@b:1\"\n"
                )),
                "{user}"
            );
        }
        for user in ["u:p", "u:$5", "u:5$", "u:$$", "u:%24SECRET"] {
            assert!(!is_told(&format!("u:p@a:1,{user}@b:1")), "{user}");
        }
    }

    #[test]
    fn one_daemon_is_too_few() {
        let dir = open_dir();
        let list = |text| DaemonSource::File(write(dir.path().join("list"), text, 0o600));
        insta::assert_snapshot!(warnings(&list("u:secret@a:1")).join("\n"), @"`a:1` is the only daemon, and there is nowhere else to go: failover and failback need two; name another behind it, in ElectrumX's `DAEMON_URL` too");
        let twice = warnings(&list("u:secret@localhost:1,u:secret@127.0.0.1:1"));
        insta::assert_snapshot!(twice.join("\n"), @"`localhost:1` and `127.0.0.1:1` look like two names of one daemon, which is no use when it fails: name another in place of one of them, in ElectrumX's `DAEMON_URL` too");
    }

    #[test]
    fn what_is_wrong_here_may_be_right_elsewhere() {
        let dir = open_dir();
        let at = |name: &str| dir.path().join(name);
        let is_wrong = |source: &DaemonSource| read(source).unwrap_err().is_wrong();
        let file = |text: &str| is_wrong(&DaemonSource::File(write(at("list"), text, 0o600)));
        fs::create_dir(at("env")).unwrap();
        for elsewhere in [
            DaemonSource::Env("NONE".into()),
            DaemonSource::Credential("daemons".into()),
            DaemonSource::File(at("gone")),
            DaemonSource::File(at("env")),
            DaemonSource::Electrumx(at("gone")),
        ] {
            assert!(!is_wrong(&elsewhere), "{elsewhere:?}");
        }
        assert!(is_wrong(&DaemonSource::Env("EMPTY".into())));
        assert!(is_wrong(&DaemonSource::Electrumx(at("env"))));
        for wrong in [
            "",
            "u:secret@h",
            "u:secret@h:1,u:secret@h:1",
            "secret",
            "COIN=Bitcoin",
            &"secret".repeat(20_000),
        ] {
            assert!(file(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_what_was_read() {
        let dir = open_dir();
        let at = |name: &str| dir.path().join(name);
        let file = |text: &str| {
            let path = write(at("list"), text, 0o600);
            told(&DaemonSource::File(path), dir.path())
        };
        let conf = |text: &str| {
            let path = write(at("conf"), text, 0o600);
            told(&DaemonSource::Electrumx(path), dir.path())
        };
        fs::create_dir(at("env")).unwrap();
        let all = [
            told(&DaemonSource::Env("NONE".into()), dir.path()),
            told(&DaemonSource::Env("EMPTY".into()), dir.path()),
            told(&DaemonSource::Credential("daemons".into()), dir.path()),
            told(&DaemonSource::File(at("gone")), dir.path()),
            told(&DaemonSource::File(at("env")), dir.path()),
            told(&DaemonSource::Electrumx(at("env")), dir.path()),
            file("u:secret@h"),
            file("u:se#cret@h:1"),
            file(&"secret".repeat(20_000)),
            conf("COIN=Bitcoin\n"),
            conf("COIN=Litecoin\nDAEMON_URL=u:secret@h\n"),
            conf("export DAEMON_URL=\"u:secret@h:1\" # mine\n"),
            conf("declare -x DAEMON_URL=u:secret@h:1\n"),
            file("COIN=Bitcoin\n"),
            file("COIN=Litecoin\nDAEMON_URL=u:secret@h\n"),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
