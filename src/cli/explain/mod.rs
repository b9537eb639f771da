//! `explain`: why something was decided, or why nothing is.

mod bans;
mod decision;
mod next;
mod recorded;
mod subject;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ArgGroup;
use ipnet::IpNet;

use super::exit::{Exit, Failure};
use super::sample::Sampling;
use super::screen::{Format, Screen};
use super::value::whole;
use super::when::{When, now};
use super::{runtime, screen, setup};
use crate::config::Config;
use crate::policy::{Mode, PolicySet};
use crate::rpc::ClientOptions;
use crate::time::Timestamp;
use crate::units::format_duration;
use crate::warden::{Explanation, Settings, Subject};

/// Explain a decision, or how the policies stand with a session or an address.
///
/// A decision is reckoned again from its own evidence. A session or an address is looked at through
/// the policies: at the last poll of a running agent's recording, at a moment of any recording, or by
/// polling the server. Changes nothing. Times are UTC.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["decision", "session", "address"]),
    group = ArgGroup::new("where").required(true).multiple(true).args(["journal", "config", "rpc", "recording"]),
    after_help = "Examples:
  electrumx-warden explain 42 --config electrumx-warden.toml
  electrumx-warden explain --session 42 --config electrumx-warden.toml
  electrumx-warden explain --address 203.0.113.7 --recording demo.rec --at '2026-01-01 00:05'
  electrumx-warden explain --address 203.0.113.7 --rpc 127.0.0.1:8000 --samples 7"
)]
pub(super) struct Args {
    /// A decision, by its number in the journal
    #[arg(value_name = "DECISION", value_parser = whole::<i64>(1..=i64::MAX as u64 - 1, "42"))]
    decision: Option<i64>,

    /// A session, by the server's ID
    #[arg(long, value_name = "ID", value_parser = whole::<u64>(0..=u64::MAX, "42"))]
    session: Option<u64>,

    /// All sessions of an address
    #[arg(long, value_name = "IP", value_parser = address)]
    address: Option<IpAddr>,

    /// The journal that has the decision
    #[arg(long, value_name = "FILE", requires = "decision", conflicts_with_all = ["rpc", "recording"])]
    journal: Option<PathBuf>,

    /// The agent's configuration: it names the journal, the policies, and the recording or else the
    /// server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["journal", "policies"])]
    config: Option<PathBuf>,

    /// A recording: a folder that `run` or `record` wrote, or segments of one
    #[arg(long, value_name = "RECORDING", conflicts_with_all = ["rpc", "samples", "interval"])]
    recording: Vec<PathBuf>,

    /// The moment of the recording: 2026-01-31T12:00:00Z, 2026-01-31, or 2h for two hours ago; its
    /// last poll if not given
    #[arg(long, value_name = "TIME", value_parser = When::parse, conflicts_with_all = ["rpc", "samples", "interval"])]
    at: Option<When>,

    /// The key of the recording's pseudonyms: addresses are asked for by their real names then
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc", "samples", "interval"])]
    key: Option<PathBuf>,

    /// Poll the server, whose RPC listens at HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    rpc: Option<String>,

    #[command(flatten)]
    sampling: Sampling,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Subnets are asked about by one of their addresses.
fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Err("write it without the port".to_owned());
    }
    Err(match text.parse::<IpNet>() {
        Ok(net) => format!("name one address of it, such as `{}`", net.addr()),
        Err(_) => "write an address, such as `203.0.113.7` or `2001:db8::7`".to_owned(),
    })
}

/// Where an explanation comes from.
#[derive(Debug)]
enum Source {
    /// So many polls of a server, some of which failed.
    Polls { samples: u32, failed: u32 },
    /// A recording's moment.
    Recording { asked: Option<Timestamp> },
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    screen.outlive_readers();
    let config = args.config.as_deref().map(setup::config).transpose()?;
    match (args.decision, args.subject()) {
        (Some(id), _) => {
            args.check_decision(id)?;
            let (path, reader) = match (&args.journal, &config) {
                (Some(path), _) => (path, setup::reader(path)?),
                (None, Some(config)) => {
                    let path = &config.journal.path;
                    (path, setup::reader(path)?.of_agent()?)
                }
                (None, None) => return Err(usage("name the journal: `--journal FILE`")),
            };
            // A decision can be explained without them.
            let policies = config.as_ref().and_then(|it| it.policies.load().set);
            decision::explain(
                &reader,
                path,
                id,
                policies.as_ref(),
                now(),
                args.format,
                screen,
            )
        }
        (None, Some(subject)) => explain(args, subject, config.as_ref(), screen),
        (None, None) => Err(usage("name a decision, a session or an address")),
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}

impl Args {
    const fn subject(&self) -> Option<Subject> {
        match (self.session, self.address) {
            (Some(id), _) => Some(Subject::Session(id)),
            (None, Some(address)) => Some(Subject::Address(address)),
            (None, None) => None,
        }
    }

    /// A decision is in a journal: with anything else its number is another's.
    fn check_decision(&self, id: i64) -> Result<(), Failure> {
        let misplaced = [
            ("--recording", !self.recording.is_empty()),
            ("--rpc", self.rpc.is_some()),
            ("--at", self.at.is_some()),
            ("--key", self.key.is_some()),
        ];
        let Some((option, _)) = misplaced.into_iter().find(|(_, is_given)| *is_given) else {
            return Ok(());
        };
        Err(usage(&format!(
            "`{id}` is taken for the number of a decision in a journal, which `{option}` says nothing \
             of: for a session write `--session {id}`"
        )))
    }

    fn set(&self, config: Option<&Config>) -> Result<PolicySet, Failure> {
        match config {
            Some(config) => setup::policies(config.policies.load()),
            None => self.sampling.set(),
        }
    }

    /// The key of the recording's pseudonyms. That of the agent's own is where the agent put it.
    fn key(&self, config: Option<&Config>) -> Option<PathBuf> {
        let own = config.filter(|it| it.record.pseudonymise && self.recording.is_empty());
        let own = own.map(|config| config.record.recorder.key_path());
        self.key.clone().or(own.filter(|path| path.exists()))
    }

    /// The recording that is asked about, if one is.
    fn recordings(&self, config: Option<&Config>) -> Vec<PathBuf> {
        let own = config.filter(|config| config.record.is_on && self.rpc.is_none());
        match own {
            Some(config) if self.recording.is_empty() => {
                let path = &config.record.recorder.path;
                let is_there = path.exists() || self.at.is_some();
                is_there.then(|| path.clone()).into_iter().collect()
            }
            _ => self.recording.clone(),
        }
    }
}

fn explain(
    args: &Args,
    subject: Subject,
    config: Option<&Config>,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let set = args.set(config)?;
    let recordings = args.recordings(config);
    let (explanation, source) = if !recordings.is_empty() {
        let at = args.at.map(|when| when.resolve(now()));
        (
            recorded::explain(&recordings, at, args.key(config).as_deref(), set, subject)?,
            Source::Recording { asked: at },
        )
    } else if args.at.is_some() || args.key.is_some() {
        return Err(usage(
            "`--at` and `--key` are for a recording: name it by `--recording RECORDING`",
        ));
    } else {
        if args.rpc.is_none()
            && let Some(config) = config
        {
            screen::warn(&without_recording(config));
        }
        let settings = match config {
            Some(config) => Some(config.settings(None, setup::slots(config)?)),
            None => None,
        };
        let (client, settings) = match (&args.rpc, config) {
            (Some(rpc), _) => (ClientOptions::new(rpc), settings),
            (None, Some(config)) => (config.server.client_options(), settings),
            (None, None) => {
                return Err(usage(
                    "a journal knows of decisions alone: for a session or an address give `--config \
                     FILE`, `--recording RECORDING` or `--rpc HOST:PORT`",
                ));
            }
        };
        let settings = Settings {
            mode: Mode::DryRun,
            ..settings.unwrap_or_default()
        };
        runtime::block_on(poll(args, subject, client, set, settings))?
    };
    match args.format {
        Format::Text => subject::show(&explanation, args.address, &source, now(), screen)?,
        Format::Json => screen.json("explanation", &Line::of(&explanation, args.address))?,
    }
    Ok(Exit::Ok)
}

/// An explanation for programs.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    /// The address as it was asked for, where the recording has a pseudonym in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_for: Option<IpAddr>,
}

impl<'a> Line<'a> {
    fn of(explanation: &'a Explanation, asked: Option<IpAddr>) -> Self {
        let here = |asked: &IpAddr| explanation.subject == Subject::Address(*asked);
        Self {
            explanation,
            asked_for: asked.filter(|asked| !here(asked)),
        }
    }
}

/// Why the server is polled, when the agent's own recording would be asked.
fn without_recording(config: &Config) -> String {
    const THEN: &str = "the server is polled instead, and what was before is not known";
    if !config.record.is_on {
        return format!("the agent of this configuration records nothing (`[record]`): {THEN}");
    }
    let path = config.record.recorder.path.display();
    format!(
        "there is no recording at `{path}`, where the agent of this configuration keeps its own (has it \
         run yet?): {THEN}"
    )
}

async fn poll(
    args: &Args,
    subject: Subject,
    client: ClientOptions,
    set: PolicySet,
    settings: Settings,
) -> Result<(Explanation, Source), Failure> {
    let (journal, _folder) = setup::passing_journal()?;
    let sampling = &args.sampling;
    let mut agent = sampling.agent(client, set, settings, journal)?;
    let failed = sampling.poll(&mut agent, |_, _| Ok(())).await?;
    if agent.snapshot().is_none() {
        let message = "the last poll failed: how things stand now is not known";
        return Err(Failure::new(Exit::Failed, message));
    }
    let source = Source::Polls {
        samples: sampling.samples,
        failed,
    };
    let explanation = agent.explain(subject);
    let explanation = explanation.ok_or_else(|| {
        let watched = match sampling.samples {
            1 => "now".to_owned(),
            samples => format!(
                "now, nor was in the last {}",
                format_duration(sampling.interval * (samples - 1))
            ),
        };
        let who = subject::who(subject, None);
        let message = format!("{who} is not connected {watched}: `electrumx-warden once` or the server's own `sessions` says who is");
        Failure::new(Exit::Failed, message)
    })?;
    Ok((explanation, source))
}
