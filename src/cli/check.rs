//! `check`: what the agent would say of its configuration and policies, before it runs.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ArgGroup;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::screen::{Format, Screen};
use super::show::{self, BAD, GOOD, WARN, counted};
use super::{runtime, setup};
use crate::config::{self, Config, Policies, ReadDaemons, ReadSecret};
use crate::daemon::Daemons;
use crate::field::Source;
use crate::journal::Journal;
use crate::placement::{Crowding, OpenRpc};
use crate::policy::reading::Place;
use crate::policy::{Diagnostic, PolicySet};
use crate::poll::{self, Groups, SteadyClock};
use crate::rpc::{Client, ClientOptions};
use crate::snapshot::Snapshot;

/// Check a configuration and policies, and tell all their mistakes at once.
///
/// Reads them as the agent does, and changes nothing. Needs no server, but with one it tells which
/// policies that server's release gives too little for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden check policies
  electrumx-warden check --config electrumx-warden.toml --deny-warnings
  electrumx-warden check --rpc 127.0.0.1:8000 policies
  electrumx-warden check --format json policies | jq .message")]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["config", "paths"]))]
pub(super) struct Args {
    /// The agent's configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Policy files, and folders of them; without any, those that the configuration names
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Warn of fields that the server there cannot give, and of how it is placed: polls it once
    #[arg(long, value_name = "HOST:PORT")]
    rpc: Option<String>,

    /// Fail on warnings too
    #[arg(long)]
    deny_warnings: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    screen.outlive_readers();
    let mut report = Report {
        has_config: args.config.is_some(),
        ..Report::default()
    };
    let (mut policies, mut server) = (None, None);
    let mut lacks_canary = false;
    if let Some(path) = &args.config {
        let checked = Config::load(path);
        policies = checked.policies;
        report.diagnostics = checked.diagnostics;
        if let Some((path, place)) = checked.journal {
            report.check_journal(&path, place);
        }
        if let Some(config) = &checked.config {
            report.check_secrets(&config.ban);
            lacks_canary = config.canary.is_none();
            if let Some(canary) = &config.canary {
                report.check_canary(canary);
            }
        }
        server = checked.config.map(|config| config.server);
    }
    if !args.paths.is_empty() {
        let entries_max = policies.map(|policies| policies.list_entries_max);
        let mut own = Policies::of(args.paths.clone());
        own.list_entries_max = entries_max.unwrap_or(own.list_entries_max);
        policies = Some(own);
    }
    let lacks = |is_lacking: fn(&config::Server) -> bool| server.as_ref().is_some_and(is_lacking);
    let lacks_daemons = lacks(|it| it.daemon.is_none());
    let lacks_slots = lacks(|it| it.sessions_max.is_none());
    if let Some(slots) = server.as_ref().and_then(|it| it.sessions_max.as_ref()) {
        report.check_slots(slots);
    }
    let daemon = server.and_then(|server| server.daemon);
    let daemons = daemon.and_then(|daemon| report.read_daemons(&daemon));
    let mut unpolled = None;
    if let Some(policies) = policies {
        let checked = policies.load();
        report.files = checked.files;
        report.diagnostics.extend(checked.diagnostics);
        report.policies = checked.set.as_ref().map(|set| set.policies.len());
        let idle = |is_so: bool, source| {
            let set = checked.set.as_ref().filter(|_| is_so);
            set.map(|set| set.count_idle_without(source))
        };
        report.inspecting = idle(args.rpc.is_none(), Source::Inspection).unwrap_or_default();
        report.idle_without_daemons = idle(lacks_daemons, Source::Probes);
        report.idle_without_slots = idle(lacks_slots, Source::Slots);
        report.idle_without_canary = idle(lacks_canary, Source::Canary);
        if let (Some(daemons), Some(set)) = (&daemons, &checked.set) {
            report
                .diagnostics
                .extend(set.lint_daemons(&daemons.addresses()));
        }
        if let (Some(rpc), Some(set)) = (&args.rpc, checked.set) {
            match runtime::block_on(poll(rpc)) {
                Ok((snapshot, server)) => {
                    report.compare(&set, &snapshot);
                    report.look_around(&snapshot, server);
                }
                Err(failure) => unpolled = Some(failure),
            }
        }
    }
    match args.format {
        Format::Text => report.show(args.deny_warnings, screen)?,
        Format::Json => report.write(args.deny_warnings, screen)?,
    }
    if let Some(failure) = unpolled {
        return Err(failure);
    }
    Ok(if report.is_ok(args.deny_warnings) {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// A poll, and the address that it went to.
async fn poll(rpc: &str) -> Result<(Snapshot, Option<SocketAddr>), Failure> {
    let mut client = Client::new(ClientOptions::new(rpc));
    let mut snapshot = Snapshot::default();
    poll::poll(
        &mut client,
        &SteadyClock::start(),
        Groups::Unasked,
        &mut snapshot,
    )
    .await
    .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok((snapshot, client.server_addr()))
}

/// What is to be said of so many policies that need a release of the server which nobody asked for.
fn inspecting(policies: usize) -> Option<String> {
    let (policies, need) = match policies {
        0 => return None,
        1 => ("1 policy".to_owned(), "needs"),
        more => (counted(more, "policy", "policies"), "need"),
    };
    Some(format!(
        "{policies} {need} ElectrumX 2.0 or newer, which alone counts errors and requests of single \
         sessions: `--rpc HOST:PORT` checks the server there"
    ))
}

/// What was found.
#[derive(Default)]
struct Report {
    has_config: bool,
    /// As it calls itself, if it was asked for.
    server: Option<String>,
    /// Policy files that could be read.
    files: usize,
    /// Policies, if their files have no error.
    policies: Option<usize>,
    /// Of them those that do nothing, if the configuration has no daemons.
    idle_without_daemons: Option<usize>,
    /// The same, if it has no number of slots.
    idle_without_slots: Option<usize>,
    /// The same, if it has no canary.
    idle_without_canary: Option<usize>,
    /// Of them those that need `ElectrumX` 2.0, if no server was asked for its release.
    inspecting: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// The daemons, if they can be read here. If not, that is a warning, for the agent may run
    /// elsewhere; what is read and wrong is so there as well.
    fn read_daemons(&mut self, config: &config::Daemon) -> Option<Daemons> {
        match config.source.read() {
            Ok(ReadDaemons { daemons, warnings }) => {
                let warnings = warnings.into_iter().map(Diagnostic::of_daemons);
                self.diagnostics.extend(warnings);
                Some(daemons)
            }
            Err(error) => {
                let of = if error.is_wrong() {
                    Diagnostic::of_bad_daemons
                } else {
                    Diagnostic::of_daemons
                };
                self.diagnostics.push(of(error));
                None
            }
        }
    }

    /// The same of where the canary goes.
    fn check_canary(&mut self, canary: &config::Canary) {
        if let Err(error) = canary.connect.read() {
            let is_warning = !error.is_wrong();
            self.diagnostics
                .push(Diagnostic::of_canary(error, is_warning));
        }
    }

    /// That the slots cannot be read here is a warning, for the agent may run elsewhere.
    fn check_slots(&mut self, slots: &config::SessionsMax) {
        if let Err(error) = slots.read() {
            let is_warning = !error.is_wrong();
            self.diagnostics
                .push(Diagnostic::of_slots(error, is_warning));
        }
    }

    /// What `run` would say of keys and passwords. That one cannot be read here is a warning, as for daemons.
    fn check_secrets(&mut self, config: &config::Ban) {
        for source in config.secrets() {
            let finding = match source.read() {
                Ok(ReadSecret { warning, .. }) => {
                    warning.map(|warning| Diagnostic::of_secret(warning, true))
                }
                Err(error) => {
                    let is_warning = !error.is_wrong();
                    Some(Diagnostic::of_secret(error, is_warning))
                }
            };
            self.diagnostics.extend(finding);
        }
    }

    /// What `run` would say of the journal. That it cannot be kept here is a warning, for the agent may
    /// run elsewhere, as another user, or in a folder that systemd makes for it.
    fn check_journal(&mut self, path: &Path, place: Option<Place>) {
        if let Err(error) = Journal::check(path) {
            let is_warning = error.is_of_this_place();
            let finding = Diagnostic::of_journal(error, is_warning);
            self.diagnostics.push(match place {
                Some(place) => finding.at(place),
                None => finding,
            });
        }
    }

    fn compare(&mut self, set: &PolicySet, snapshot: &Snapshot) {
        let version = snapshot.server.version.as_deref();
        self.server = Some(
            version
                .unwrap_or("an ElectrumX of unknown release")
                .to_owned(),
        );
        self.diagnostics
            .extend(set.lint_for(snapshot.capabilities()));
    }

    fn look_around(&mut self, snapshot: &Snapshot, server: Option<SocketAddr>) {
        let open = server.and_then(OpenRpc::of).map(Diagnostic::of_server);
        let crowding = Crowding::of(snapshot).map(Diagnostic::of_server);
        self.diagnostics.extend(open.into_iter().chain(crowding));
    }

    fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.is_error()).count()
    }

    fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    fn is_ok(&self, deny_warnings: bool) -> bool {
        self.errors() == 0 && (self.warnings() == 0 || !deny_warnings)
    }

    fn show(&self, deny_warnings: bool, screen: &mut Screen) -> io::Result<()> {
        screen.diagnostics(&self.diagnostics)?;
        let server = self
            .server
            .as_deref()
            .map_or_else(String::new, |server| format!(" for {}", show::text(server)));
        let (what, verdict) = (self.what(), self.verdict(deny_warnings));
        screen.prose(format!("{what}{server}: {verdict}"), 4)?;
        let idle = [
            (Source::Probes, self.idle_without_daemons),
            (Source::Slots, self.idle_without_slots),
            (Source::Canary, self.idle_without_canary),
        ];
        let notes = idle
            .into_iter()
            .filter_map(|(source, policies)| setup::idle_without(source, policies?));
        notes
            .chain(inspecting(self.inspecting))
            .try_for_each(|note| screen.prose(note, 4))
    }

    /// `the configuration and 12 policies in 5 files`
    fn what(&self) -> String {
        let files = counted(self.files, "file", "files");
        let policies = match self.policies {
            Some(policies) => format!("{} in {files}", counted(policies, "policy", "policies")),
            None => counted(self.files, "policy file", "policy files"),
        };
        match (self.has_config, self.files) {
            (false, 0) => "no policies".to_owned(),
            (false, _) => policies,
            (true, 0) => "the configuration".to_owned(),
            (true, _) => format!("the configuration and {policies}"),
        }
    }

    /// `ok, 2 warnings`
    fn verdict(&self, deny_warnings: bool) -> String {
        let warnings = counted(self.warnings(), "warning", "warnings");
        let errors = counted(self.errors(), "error", "errors");
        match (self.errors(), self.warnings()) {
            (0, 0) => format!("{GOOD}ok{GOOD:#}"),
            (0, _) if deny_warnings => format!("{BAD}{warnings}{BAD:#}, which is not allowed"),
            (0, _) => format!("{GOOD}ok{GOOD:#}, {WARN}{warnings}{WARN:#}"),
            (_, 0) => format!("{BAD}{errors}{BAD:#}"),
            _ => format!("{BAD}{errors}{BAD:#}, {WARN}{warnings}{WARN:#}"),
        }
    }

    fn write(&self, deny_warnings: bool, screen: &mut Screen) -> io::Result<()> {
        for diagnostic in &self.diagnostics {
            screen.json("diagnostic", &Finding::of(diagnostic))?;
        }
        let summary = Summary {
            ok: self.is_ok(deny_warnings),
            files: self.files,
            policies: self.policies,
            idle_without_daemons: self.idle_without_daemons,
            idle_without_slots: self.idle_without_slots,
            idle_without_canary: self.idle_without_canary,
            inspecting: (self.inspecting > 0).then_some(self.inspecting),
            server: self.server.as_deref(),
            errors: self.errors(),
            warnings: self.warnings(),
        };
        screen.json("summary", &summary)
    }
}

/// A diagnostic as JSON.
#[derive(Serialize)]
pub(super) struct Finding<'a> {
    severity: &'static str,
    code: String,
    message: String,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    underlined: Option<&'a str>,
    help: Option<&'a str>,
}

impl<'a> Finding<'a> {
    pub(super) fn of(diagnostic: &'a Diagnostic) -> Self {
        let (line, column) = diagnostic.line_column().unzip();
        Self {
            severity: if diagnostic.is_error() {
                "error"
            } else {
                "warning"
            },
            code: diagnostic.code(),
            message: diagnostic.to_string(),
            file: diagnostic.file(),
            line,
            column,
            underlined: diagnostic.underlined(),
            help: diagnostic.advice(),
        }
    }
}

/// The end of it.
#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    files: usize,
    policies: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_without_daemons: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_without_slots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_without_canary: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspecting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    errors: usize,
    warnings: usize,
}
