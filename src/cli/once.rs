//! `once`: a few polls, what the policies make of them, and an end.

use std::path::PathBuf;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::json::decision_json;
use super::sample::Sampling;
use super::screen::{Format, Screen, complain};
use super::show::{self, DIM, HEAD, WARN, counted, decision_line};
use super::{runtime, setup};
use crate::agent::{Agent, Tick};
use crate::decision::{Evidence, Outcome};
use crate::engine::Pending;
use crate::escape;
use crate::field::{Dimension, Source};
use crate::journal::Journal;
use crate::policy::{Action, Mode, PolicySet};
use crate::rpc::ClientOptions;
use crate::snapshot::Snapshot;
use crate::units::{format, format_duration};
use crate::warden::Settings;

/// Poll a server, print what the policies decide, and end.
///
/// Changes nothing without --enforce. Rates need as many samples as their window is long; what
/// cannot be judged from these samples is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden once --rpc 127.0.0.1:8000
  electrumx-warden once --rpc 127.0.0.1:8000 --policies policies --samples 8 --interval 10s
  electrumx-warden once --rpc 127.0.0.1:8000 --format json | jq 'select(.type == \"decision\")'")]
pub(super) struct Args {
    /// Where the server's RPC listens, HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    rpc: String,

    #[command(flatten)]
    sampling: Sampling,

    /// Carry out what is decided; cooldowns, budgets and the breaker begin anew with each call,
    /// unless --journal keeps them
    #[arg(long)]
    enforce: bool,

    /// Journal decisions in this file; without it they are printed and forgotten
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let set = args.sampling.set()?;
    let logs = |policy: &&crate::policy::Policy| matches!(policy.action, Action::Log { .. });
    if let Some(policy) = set
        .policies
        .iter()
        .find(logs)
        .filter(|_| args.enforce && args.journal.is_none())
    {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "policy `{}` has sessions logged for a while: give --journal FILE, so that a later \
                 run knows what to switch off again",
                policy.name
            ),
        ));
    }
    let (journal, _folder) = if let Some(path) = &args.journal {
        (setup::journal(path)?, None)
    } else {
        let (journal, folder) = setup::passing_journal()?;
        (journal, Some(folder))
    };
    runtime::block_on(sample(args, set, journal, screen))
}

/// What has come of all samples.
#[derive(Debug, Default, Serialize)]
struct Summary {
    samples: u32,
    failed_polls: u32,
    decisions: usize,
    executed: usize,
    dry_run: usize,
    suppressed: usize,
    /// Suppressed too, and not told one by one.
    untold: usize,
    failed: usize,
    pending: usize,
    unjudged: usize,
}

impl Summary {
    fn count(&mut self, outcome: &Outcome) {
        self.decisions += 1;
        *match outcome {
            Outcome::Executed { .. } => &mut self.executed,
            Outcome::DryRun => &mut self.dry_run,
            Outcome::Suppressed(_) => &mut self.suppressed,
            Outcome::Failed { .. } | Outcome::Intended => &mut self.failed,
        } += 1;
    }
}

async fn sample(
    args: &Args,
    set: PolicySet,
    journal: Journal,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mode = if args.enforce {
        Mode::Enforce
    } else {
        Mode::DryRun
    };
    let settings = Settings {
        mode,
        ..Settings::default()
    };
    let client = ClientOptions::new(&args.rpc);
    let mut agent = args.sampling.agent(client, set, settings, journal)?;
    let mut summary = Summary::default();
    let mut is_told = false;
    let told = |agent: &Agent, tick: &Tick| {
        if tick.failure.is_none() && !std::mem::replace(&mut is_told, true) {
            complain(&unavailable(agent));
        }
        tell_decisions(tick, &mut summary, args, screen)
    };
    summary.failed_polls = args.sampling.poll(&mut agent, told).await?;
    summary.samples = args.sampling.samples;
    let pending = agent.pending();
    let unjudged = unjudged(&agent, args);
    (summary.pending, summary.unjudged) = (pending.len(), unjudged.len());
    let snapshot = agent.snapshot();
    match args.format {
        Format::Text => tell_end(args, snapshot, &pending, &unjudged, &summary, screen)?,
        Format::Json => write_end(snapshot, &pending, &unjudged, &summary, screen)?,
    }
    Ok(if summary.failed > 0 {
        Exit::Failed
    } else {
        Exit::Ok
    })
}

/// A policy that these samples do not suffice for.
#[derive(Debug, Serialize)]
struct Unjudged {
    policy: String,
    field: String,
    why: String,
}

fn unjudged(agent: &Agent, args: &Args) -> Vec<Unjudged> {
    let capabilities = agent.snapshot().map(Snapshot::capabilities);
    let watched = args.sampling.interval * (args.sampling.samples - 1);
    let unjudged = agent.warden().unjudged().into_iter();
    unjudged
        .map(|(policy, test)| Unjudged {
            policy: policy.name.to_string(),
            field: test.field_written.to_string(),
            why: if capabilities.is_some_and(|server| !server.gives(test.field)) {
                "this server does not give it".to_owned()
            } else if test.field.info().source == Source::Probes {
                "only `run` and `daemons` probe the daemons, with `[server.daemon]`".to_owned()
            } else if test.field.info().source == Source::Slots {
                "only a configuration tells how many slots there are, as `sessions_max`".to_owned()
            } else if test.field.info().source == Source::Canary {
                "only `run` visits the server as a wallet, with `[canary]`".to_owned()
            } else if test.field.info().windowed {
                format!(
                    "its window is {}, these samples span {}; take more, or let them be further apart",
                    format_duration(policy.window),
                    format_duration(watched),
                )
            } else {
                "the server does not tell it now".to_owned()
            },
        })
        .collect()
}

/// What policies ask for and this release does not tell.
fn unavailable(agent: &Agent) -> Vec<crate::policy::Diagnostic> {
    let lint = |snapshot: &Snapshot| agent.warden().policies().lint_for(snapshot.capabilities());
    agent.snapshot().map(lint).unwrap_or_default()
}

fn tell_decisions(
    tick: &Tick,
    summary: &mut Summary,
    args: &Args,
    screen: &mut Screen,
) -> std::io::Result<()> {
    summary.untold += tick.untold;
    for carried in &tick.carried {
        summary.count(&carried.outcome);
        match args.format {
            Format::Text => {
                screen.entry(&decision_line(&carried.decision, &carried.outcome), 12)?;
            }
            Format::Json => {
                let id = carried.id.filter(|_| args.journal.is_some());
                screen.json(
                    "decision",
                    &decision_json(id, &carried.decision, &carried.outcome),
                )?;
            }
        }
    }
    Ok(())
}

fn tell_end(
    args: &Args,
    snapshot: Option<&Snapshot>,
    pending: &[Pending],
    unjudged: &[Unjudged],
    summary: &Summary,
    screen: &mut Screen,
) -> std::io::Result<()> {
    for pending in pending {
        screen.entry(
            &format!(
                "{DIM}pending   {DIM:#}  {}  {HEAD}{}{HEAD:#}: {}, for {} of {}",
                show::target(&pending.target),
                pending.policy,
                show::reasons(&pending.evidence),
                format_duration(pending.held),
                format_duration(pending.hold),
            ),
            12,
        )?;
    }
    for Unjudged { policy, field, why } in unjudged {
        let line = format!(
            "{WARN}not judged{WARN:#}  {HEAD}{policy}{HEAD:#}: `{field}` is not known: {why}"
        );
        screen.entry(&line, 12)?;
    }
    if summary.decisions + pending.len() + unjudged.len() > 0 {
        screen.line("")?;
    }
    match snapshot {
        Some(snapshot) => {
            for line in portrait(&args.rpc, snapshot) {
                screen.entry(&line, 4)?;
            }
        }
        None => screen.line("the last poll failed: how the server is now is not known")?,
    }
    let what = if args.enforce { "executed" } else { "dry-run" };
    let done = if args.enforce {
        summary.executed
    } else {
        summary.dry_run
    };
    let untold = match summary.untold {
        0 => String::new(),
        more => format!(" (and {more} more, too many to be told one by one)"),
    };
    let sum = format!(
        "{}: {done} {what}, {} suppressed{untold}, {} failed; {} pending; {} not judged",
        counted(summary.decisions, "decision", "decisions"),
        show::number(summary.suppressed),
        show::number(summary.failed),
        show::number(summary.pending),
        counted(summary.unjudged, "policy", "policies"),
    );
    screen.prose(sum, 0)
}

/// The server in two lines.
fn portrait(rpc: &str, snapshot: &Snapshot) -> [String; 2] {
    let server = &snapshot.server;
    let text = |text: &Option<String>, otherwise: &str| {
        escape::terminal(text.as_deref().unwrap_or(otherwise), 80).into_owned()
    };
    let height = |height: Option<u64>| {
        height.map_or("none".to_owned(), |height| {
            format(height as f64, Dimension::Count)
        })
    };
    let uptime = server.uptime.map_or(String::new(), |uptime| {
        format!(", up {}", format_duration(uptime.at_least))
    });
    let sessions = &snapshot.sessions;
    let rpcs = sessions.flags.iter().filter(|flags| flags.is_rpc()).count();
    [
        format!(
            "{HEAD}{}{HEAD:#} at {rpc}: {}{uptime}; daemon {}, heights {} (daemon) {} (index)",
            text(&server.version, "ElectrumX"),
            text(&server.coin, "coin unknown"),
            text(&server.daemon, "unknown"),
            height(server.daemon_height),
            height(server.db_height),
        ),
        format!(
            "{} and {}, {}, {}",
            counted(sessions.len() - rpcs, "client session", "client sessions"),
            counted(rpcs, "RPC connection", "RPC connections"),
            counted(
                usize::try_from(server.groups).unwrap_or(0),
                "group",
                "groups"
            ),
            counted(
                usize::try_from(server.errors).unwrap_or(0),
                "error",
                "errors"
            ),
        ),
    ]
}

#[derive(Serialize)]
struct SnapshotJson<'a> {
    at: String,
    version: Option<&'a str>,
    coin: Option<&'a str>,
    daemon: Option<&'a str>,
    daemon_height: Option<u64>,
    db_height: Option<u64>,
    uptime_s: Option<u64>,
    sessions: u64,
    clients: usize,
    rpc_connections: usize,
    groups: u64,
    errors: u64,
}

impl<'a> SnapshotJson<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let (server, sessions) = (&snapshot.server, &snapshot.sessions);
        let rpcs = sessions.flags.iter().filter(|flags| flags.is_rpc()).count();
        Self {
            at: snapshot.at().to_string(),
            version: server.version.as_deref(),
            coin: server.coin.as_deref(),
            daemon: server.daemon.as_deref(),
            daemon_height: server.daemon_height,
            db_height: server.db_height,
            uptime_s: server.uptime.map(|uptime| uptime.at_least.as_secs()),
            sessions: server.sessions,
            clients: sessions.len() - rpcs,
            rpc_connections: rpcs,
            groups: server.groups,
            errors: server.errors,
        }
    }
}

#[derive(Serialize)]
struct PendingJson<'a> {
    policy: &'a str,
    scope: &'static str,
    target: String,
    held_s: f64,
    for_s: f64,
    evidence: &'a [Evidence],
}

fn write_end(
    snapshot: Option<&Snapshot>,
    pending: &[Pending],
    unjudged: &[Unjudged],
    summary: &Summary,
    screen: &mut Screen,
) -> std::io::Result<()> {
    if let Some(snapshot) = snapshot {
        screen.json("snapshot", &SnapshotJson::of(snapshot))?;
    }
    for pending in pending {
        screen.json(
            "pending",
            &PendingJson {
                policy: &pending.policy,
                scope: pending.target.scope().name(),
                target: pending.target.to_string(),
                held_s: pending.held.as_secs_f64(),
                for_s: pending.hold.as_secs_f64(),
                evidence: &pending.evidence,
            },
        )?;
    }
    for unjudged in unjudged {
        screen.json("unjudged", unjudged)?;
    }
    screen.json("summary", summary)
}
