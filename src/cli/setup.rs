//! What a command needs before it starts, or else [`Exit::Setup`] or [`Exit::Unready`].

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use tempfile::TempDir;
use tracing::{info, warn};

use super::exit::{Exit, Failure};
use super::screen::complain;
use super::show::counted;
use crate::canary::Canary;
use crate::config::{
    self, Config, ReadDaemons, ReadSecret, Secret, SecretError, SecretSource, SessionsMax,
    SourceError,
};
use crate::daemon::Daemons;
use crate::field;
use crate::journal::{Journal, JournalError, Reader};
use crate::page::SaveError;
use crate::policy::{AddressSet, Checked, PolicySet};
use crate::poll::SteadyClock;
use crate::probe::Prober;
use crate::pseudonym::{Key, KeyError};
use crate::recording::{Recorder, RecorderOptions, Recording, RecordingError};
use crate::sink::Sinks;
use crate::sink::command::{Command, CommandLine};
use crate::sink::crowdsec::{Crowdsec, CrowdsecSettings};
use crate::sink::decisions::Decisions;
use crate::sink::nftables::{self, Nftables, NftablesSettings};
use crate::slots::Slots;

/// The configuration; what is wrong with it, warnings too, is told on standard error.
pub(super) fn config(path: &Path) -> Result<Config, Failure> {
    let checked = Config::load(path);
    complain(&checked.diagnostics);
    checked.config.ok_or_else(|| {
        let path = path.display();
        let message = format!("not started, for the configuration `{path}` must be mended first");
        Failure::new(Exit::Setup, message)
    })
}

/// The policies; what is wrong with them, warnings too, is told on standard error.
pub(super) fn policies(checked: Checked) -> Result<PolicySet, Failure> {
    complain(&checked.diagnostics);
    checked.set.ok_or_else(|| {
        let message = "not started, for the policies must be mended first";
        Failure::new(Exit::Setup, message)
    })
}

/// The daemons, from where the configuration says they are.
pub(super) fn daemons(config: &config::Daemon) -> Result<Daemons, Failure> {
    let ReadDaemons { daemons, warnings } = config.source.read().map_err(unread)?;
    for warning in warnings {
        warn!("{warning}");
    }
    Ok(daemons)
}

/// The server's slots, if the configuration knows of them.
pub(super) fn slots(config: &Config) -> Result<Option<Slots>, Failure> {
    let slots = config.server.sessions_max.as_ref().map(SessionsMax::read);
    slots.transpose().map_err(unread)
}

/// What stands elsewhere than in the configuration is not known.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unread(error: SourceError) -> Failure {
    let exit = if error.may_pass() {
        Exit::Unready
    } else {
        Exit::Setup
    };
    Failure::new(exit, error.to_string())
}

/// What is to be said of so many policies that do nothing for want of what the configuration could name.
pub(super) fn idle_without(source: field::Source, policies: usize) -> Option<String> {
    let (policies, do_nothing) = match policies {
        0 => return None,
        1 => ("1 policy".to_owned(), "does"),
        more => (counted(more, "policy", "policies"), "do"),
    };
    let (about, lacking, document) = match source {
        field::Source::Probes => ("daemons", "`[server.daemon]`", "daemons.md"),
        field::Source::Slots => ("slots", "`sessions_max` of `[server]`", "configuration.md"),
        field::Source::Canary => ("what wallets feel", "`[canary]`", "canary.md"),
        _ => return None,
    };
    Some(format!(
        "{policies} about {about} {do_nothing} nothing without {lacking}: see docs/{document}"
    ))
}

/// A prober of these daemons.
pub(super) fn prober(
    config: &config::Daemon,
    daemons: &Daemons,
    clock: SteadyClock,
) -> Result<Prober, Failure> {
    Prober::new(daemons, &config.probe_options(), Box::new(clock))
        .map_err(|error| Failure::new(Exit::Setup, error.to_string()))
}

/// What sinks are made of, with their secrets.
pub(super) struct SinkSettings {
    nftables: Option<config::Nftables>,
    command: Option<CommandLine>,
    decisions: Option<(SocketAddr, Secret)>,
    crowdsec: Option<CrowdsecSettings>,
}

/// What the sinks of the configuration are made of.
pub(super) fn sink_settings(config: &config::Ban) -> Result<SinkSettings, Failure> {
    let decisions = config.decisions.as_ref();
    let decisions = decisions.map(|it| Ok::<_, Failure>((it.listen, secret(&it.key)?)));
    let crowdsec = config.crowdsec.as_ref().map(|it| {
        Ok::<_, Failure>(CrowdsecSettings {
            url: it.url.clone(),
            machine: it.machine.clone(),
            password: secret(&it.password)?,
        })
    });
    Ok(SinkSettings {
        nftables: config.nftables.clone(),
        command: config.command.clone(),
        decisions: decisions.transpose()?,
        crowdsec: crowdsec.transpose()?,
    })
}

/// A canary, if the configuration wants one.
pub(super) fn canary(config: &Config, clock: SteadyClock) -> Result<Option<Canary>, Failure> {
    let Some(canary) = &config.canary else {
        return Ok(None);
    };
    let destination = canary.connect.read();
    let destination = destination.map_err(|error| Failure::new(Exit::Setup, error.to_string()))?;
    info!("visiting {destination} as a wallet does, after each poll");
    Ok(Some(Canary::new(
        destination,
        canary.timeout,
        Box::new(clock),
    )))
}

/// What keeps people out, beside the `LocalRPC`.
pub(super) fn sinks(settings: &SinkSettings, clock: SteadyClock) -> Sinks {
    let mut sinks = Sinks::default();
    if let Some(nftables) = &settings.nftables {
        let settings = NftablesSettings {
            ports: nftables.ports.clone(),
            program: None,
            deadline: nftables::DEADLINE,
        };
        sinks.add(Nftables::new(settings), clock);
    }
    if let Some(line) = &settings.command {
        sinks.add(Command::new(line.clone()), clock);
    }
    if let Some((listen, key)) = &settings.decisions {
        sinks.add(Decisions::new(*listen, key.clone()), clock);
    }
    if let Some(crowdsec) = &settings.crowdsec {
        sinks.add(Crowdsec::new(crowdsec.clone()), clock);
    }
    sinks
}

/// A key or password, from where the configuration says it is.
fn secret(source: &SecretSource) -> Result<Secret, Failure> {
    let unusable = |error: SecretError| {
        let exit = if error.may_pass() {
            Exit::Unready
        } else {
            Exit::Setup
        };
        Failure::new(exit, error.to_string())
    };
    let ReadSecret { secret, warning } = source.read().map_err(unusable)?;
    if let Some(warning) = warning {
        warn!("{warning}");
    }
    Ok(secret)
}

/// The addresses of this machine, which are the agent's own, and mostly the server's.
pub(super) fn own_addresses() -> AddressSet {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        warn!("the machine's own addresses are not known, and may be banned like others: {error}");
        Vec::new()
    });
    let own = interfaces.iter().map(if_addrs::Interface::ip);
    own.map(IpNet::from).collect()
}

/// The journal at `path`, to be written.
pub(super) fn journal(path: &Path) -> Result<Journal, Failure> {
    Journal::open(path).map_err(unusable)
}

/// The journal at `path`, to be read.
pub(super) fn reader(path: &Path) -> Result<Reader, Failure> {
    let name = path.display();
    let message = match Journal::open_read_only(path) {
        Ok(reader) => return Ok(reader),
        Err(JournalError::NotAFile(_) | JournalError::NotSqlite(_))
            if Recording::open(&[path.to_owned()]).is_ok() =>
        {
            format!(
                "`{name}` is a recording, and no journal: `electrumx-warden replay {name} --journal \
                 FILE` makes a journal of it"
            )
        }
        Err(JournalError::NotAFile(_)) => format!("`{name}` is no journal, for it is no file"),
        Err(JournalError::NotSqlite(_)) => {
            format!("`{name}` is no journal, not even an SQLite file: check the path")
        }
        Err(JournalError::NotOurs(_)) => {
            format!(
                "`{name}` is an SQLite database of another program, and no journal: check the path"
            )
        }
        Err(error) => return Err(error.into()),
    };
    Err(Failure::new(Exit::Failed, message))
}

/// A recorder; with the key at `key`, made if need be, if addresses are to be hidden.
pub(super) fn recorder(options: RecorderOptions, key: Option<&Path>) -> Result<Recorder, Failure> {
    let recorder = Recorder::open(options).map_err(unreadable)?;
    let Some(key) = key else { return Ok(recorder) };
    let unusable = |error: KeyError| {
        let mut message = error.to_string();
        if matches!(error, KeyError::NoKey { .. }) {
            message += "; name a file that is not there yet, and a key is made in it";
        }
        Failure::new(Exit::Setup, message)
    };
    Ok(recorder.hiding(&Key::load_or_create(key).map_err(unusable)?))
}

/// Recordings of one server, to be judged as one.
pub(super) fn recording(paths: &[PathBuf]) -> Result<Recording, Failure> {
    let recording = recordings(paths)?;
    match recording.servers().as_slice() {
        [_] => Ok(recording),
        servers => {
            let servers: Vec<String> = servers.iter().map(|name| format!("`{name}`")).collect();
            let message = format!(
                "these are recordings of several servers ({}): give those of one at a time",
                servers.join(", ")
            );
            Err(Failure::new(Exit::Setup, message))
        }
    }
}

/// Recordings of any servers, in which an address means the same throughout.
pub(super) fn recordings(paths: &[PathBuf]) -> Result<Recording, Failure> {
    let recording = Recording::open(paths).map_err(mistaken)?;
    if let Some((one, other)) = recording.mixed() {
        let message = format!(
            "`{}` and `{}` differ in whether addresses are pseudonyms, or by which key: give \
             segments of one kind by name",
            one.display(),
            other.display()
        );
        return Err(Failure::new(Exit::Setup, message));
    }
    Ok(recording)
}

/// What is no recording; a journal is told from other files, for its recording lies beside it.
fn mistaken(error: RecordingError) -> Failure {
    match &error {
        RecordingError::Foreign { path, .. } if Journal::open_read_only(path).is_ok() => {
            let mut own = path.clone().into_os_string();
            own.push("-recording");
            let own = Path::new(&own);
            let where_it_is = if own.is_dir() {
                "its recording is"
            } else {
                "its agent's recording, a folder, is by default"
            };
            let message = format!(
                "`{}` is a journal, and no recording: {where_it_is} `{}`",
                path.display(),
                own.display()
            );
            Failure::new(Exit::Setup, message)
        }
        _ => unreadable(error),
    }
}

/// A recording that cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn unreadable(error: RecordingError) -> Failure {
    Failure::new(Exit::Setup, error.to_string())
}

/// A page that cannot be written.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn unwritable(error: SaveError) -> Failure {
    Failure::new(Exit::Setup, error.to_string())
}

/// A journal in a folder that goes when the second value is dropped.
pub(super) fn passing_journal() -> Result<(Journal, TempDir), Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Unready,
            _ => Exit::Setup,
        };
        let message = format!("no folder for temporary files can be made ({error}): set TMPDIR");
        Failure::new(exit, message)
    })?;
    Ok((journal(&folder.path().join("journal.sqlite"))?, folder))
}

/// A journal that a command cannot start with.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn unusable(error: JournalError) -> Failure {
    let exit = if error.needs_a_person() {
        Exit::Setup
    } else {
        Exit::Unready
    };
    Failure::new(exit, error.to_string())
}
