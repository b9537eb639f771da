//! The agent's configuration: from TOML as written to what each part of the agent takes.
//!
//! As strict as the policies are: an unknown key, a missing unit or a value out of bounds is an
//! error that shows its place, and all errors are told at once. Nothing secret belongs in it, and
//! nothing in it is carried out here.

mod ban;
mod canary;
mod control;
mod daemon;
mod environment;
mod lapi;
mod read;
mod secret;
mod slots;
mod source;
#[cfg(test)]
mod tests;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use crate::agent::Cadence;
use crate::daemon::Daemons;
use crate::engine::Protection;
use crate::history::{Bounds, SubnetWidths};
use crate::journal::Retention;
use crate::limits::LimitsConfig;
use crate::policy::bounds::{LIST_ENTRIES_DEFAULT, POLICY_FILE_SIZE_MAX};
use crate::policy::reading::{Place, read_bounded, unreadable, word};
use crate::policy::{Checked as CheckedPolicies, Diagnostic, Mode, PolicySet, Problem, Source};
use crate::recording::RecorderOptions;
use crate::rpc::ClientOptions;
use crate::sink::command::CommandLine;
use crate::sink::nftables::Ports;
use crate::slots::Slots;
use crate::warden::Settings;

/// What policy tests are read with too.
pub(crate) mod reading {
    pub(crate) use super::read::{Section, seconds};
    pub(crate) use super::value::{Read, addresses, choice, count, each, flag, patterns, time};
}

pub use canary::{Canary, CanarySource};
pub use daemon::{Daemon, DaemonSource};
pub use lapi::{Crowdsec, Decisions};
pub use secret::{ReadSecret, Secret, SecretError, SecretSource, SecretWarning};
pub use slots::SessionsMax;
pub use source::{CanarySourceError, ReadDaemons, SourceError, SourceWarning};

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent's own mode; of it and a policy's mode the weaker wins.
    pub mode: Mode,
    /// The server.
    pub server: Server,
    /// The policies.
    pub policies: Policies,
    /// How wide a subnet is.
    pub subnet: SubnetWidths,
    /// How much is remembered.
    pub history: Bounds,
    /// Who is never a target.
    pub protection: Protection,
    /// How much may be done.
    pub limits: LimitsConfig,
    /// The journal.
    pub journal: Journal,
    /// Where bans take hold.
    pub ban: Ban,
    /// How the server is visited as a wallet does, if it is.
    pub canary: Option<Canary>,
    /// How the running agent is asked.
    pub control: Control,
    /// The flight recorder.
    pub record: Record,
    /// What the agent says while it runs.
    pub log: Log,
}

/// The server, and how it is polled.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// What it is called in recordings; where its `LocalRPC` listens if nobody says.
    pub name: String,
    /// `HOST:PORT` of its `LocalRPC`.
    pub rpc: String,
    /// The mean time from the start of one poll to the start of the next while all is quiet.
    pub interval: Duration,
    /// The shortest mean time, however cheap polls are.
    pub interval_min: Duration,
    /// The share of the server's time that polls may take while something is up.
    pub cost_share: f64,
    /// Deadline for a connection to be made.
    pub connect_timeout: Duration,
    /// Deadline for a reply to be there in full.
    pub reply_timeout: Duration,
    /// The longest reply.
    pub reply_bytes_max: usize,
    /// Sessions that are inspected at a poll, at the most.
    pub inspect_max: usize,
    /// How many slots it has, if that is known.
    pub sessions_max: Option<SessionsMax>,
    /// Its daemons, if the agent is to watch them.
    pub daemon: Option<Daemon>,
}

impl Server {
    /// How often it is polled.
    pub const fn cadence(&self) -> Cadence {
        Cadence {
            interval: self.interval,
            interval_min: self.interval_min,
            cost_share: self.cost_share,
        }
    }

    /// The client for this server. It never waits longer than the interval before it tries to connect
    /// again, so that an outage is judged at every poll.
    pub fn client_options(&self) -> ClientOptions {
        let default = ClientOptions::new(&self.rpc);
        ClientOptions {
            backoff_max: default.backoff_max.min(self.interval),
            connect_timeout: self.connect_timeout,
            reply_timeout: self.reply_timeout,
            reply_bytes_max: self.reply_bytes_max,
            ..default
        }
    }
}

/// Where the policies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Files and folders; relative ones are resolved against the configuration's folder.
    pub paths: Vec<PathBuf>,
    /// Entries of all lists together, at the most.
    pub list_entries_max: usize,
    /// The configuration that names them, for messages.
    named_by: Option<String>,
}

impl Policies {
    /// The policies of these files and folders.
    pub fn of(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            list_entries_max: LIST_ENTRIES_DEFAULT,
            named_by: None,
        }
    }

    /// Reads and checks them.
    pub fn load(&self) -> CheckedPolicies {
        let mut checked = PolicySet::load_within(&self.paths, self.list_entries_max);
        if let Some(name) = &self.named_by {
            let found = checked.diagnostics.into_iter();
            checked.diagnostics = found.map(|found| self.explained(found, name)).collect();
        }
        checked
    }

    /// Says why a path that cannot be read is looked at.
    fn explained(&self, found: Diagnostic, name: &str) -> Diagnostic {
        match found.problem() {
            Problem::Unreadable { path, .. }
                if self.paths.iter().any(|own| word_of(own) == *path) =>
            {
                let help = format!(
                    "`paths` of `[policies]` in `{}` names it; by default it is the folder `policies`",
                    word(name)
                );
                found.help(help)
            }
            _ => found,
        }
    }
}

/// A path as messages show it.
fn word_of(path: &Path) -> String {
    word(&path.to_string_lossy())
}

/// Where bans take hold, beside the `LocalRPC`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ban {
    /// By the kernel's nftables, if it is to be.
    pub nftables: Option<Nftables>,
    /// By a program of the user's, if it is to be.
    pub command: Option<CommandLine>,
    /// By bouncers that fetch them from the agent, if it is to be.
    pub decisions: Option<Decisions>,
    /// By `CrowdSec`'s local API, if it is to be.
    pub crowdsec: Option<Crowdsec>,
}

impl Ban {
    /// Where keys and passwords are read from.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let key = self.decisions.as_ref().map(|it| &it.key);
        let password = self.crowdsec.as_ref().map(|it| &it.password);
        key.into_iter().chain(password)
    }
}

/// The sink `nftables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nftables {
    /// The server's ports, as clients use them.
    pub ports: Ports,
}

/// How the running agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whether it is.
    pub is_on: bool,
    /// Its socket.
    pub path: PathBuf,
}

/// The journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Its file.
    pub path: PathBuf,
    /// What is kept.
    pub retention: Retention,
}

/// The flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether it is on.
    pub is_on: bool,
    /// Where it writes, and how much it keeps.
    pub recorder: RecorderOptions,
    /// Whether addresses are replaced by pseudonyms.
    pub pseudonymise: bool,
}

/// What the agent says while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// What is too unimportant to be said.
    pub level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: Level::INFO,
        }
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What came of checking a configuration.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, if there is no error.
    pub config: Option<Config>,
    /// Where the policies are, as far as that can be told in spite of errors.
    pub policies: Option<Policies>,
    /// Where the journal is, as far as that can be told in spite of errors, and where that is written.
    pub(crate) journal: Option<(PathBuf, Option<Place>)>,
    /// Errors and warnings, from top to bottom.
    pub diagnostics: Vec<Diagnostic>,
}

impl Config {
    /// Reads a configuration file and checks it. The policies are not looked at.
    pub fn load(path: &Path) -> Checked {
        match read_bounded(path, POLICY_FILE_SIZE_MAX) {
            Ok(text) => Self::check(Source {
                name: path.to_string_lossy().into_owned(),
                text,
            }),
            Err(error) => Checked {
                config: None,
                policies: None,
                journal: None,
                diagnostics: vec![unreadable(path, &error).of_config()],
            },
        }
    }

    /// What the core takes of it; `daemons` are those of `[server.daemon]`, `slots` those of
    /// `sessions_max`.
    pub fn settings(&self, daemons: Option<&Daemons>, slots: Option<Slots>) -> Settings {
        let watched = self.server.daemon.as_ref().zip(daemons);
        Settings {
            mode: self.mode,
            bounds: self.history,
            widths: self.subnet,
            protection: self.protection.clone(),
            limits: self.limits,
            daemons: watched
                .map(|(config, daemons)| config.settings(daemons.addresses()))
                .unwrap_or_default(),
            slots,
        }
    }

    /// Checks a configuration; reads no file.
    pub fn check(source: Source) -> Checked {
        read::check(source)
    }
}
