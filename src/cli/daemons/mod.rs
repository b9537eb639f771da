//! `daemons`: how the server's daemons are, and what the policies are about to do with that.

mod json;
mod words;

use std::path::PathBuf;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::screen::{self, Format, Screen};
use super::when::now;
use super::{runtime, setup};
use crate::config::{self, Config};
use crate::decision::Outcome;
use crate::journal::{Filter, Holder, Journal, Reader, Row};
use crate::policy::{ActionKind, PolicySet};
use crate::poll::{Clock as _, Groups, SteadyClock, poll};
use crate::rpc::{Client, RpcError};
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::warden::Warden;

/// So many changes of daemon are shown.
const CHANGES_MAX: u32 = 3;

/// Show each daemon of the server, and what the policies will do next.
///
/// Shows what the running agent sees. Where none runs, it asks server and daemons itself, once:
/// then nothing is known of how long anything has lasted. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden daemons --config electrumx-warden.toml
  electrumx-warden daemons --config electrumx-warden.toml --ask
  electrumx-warden daemons --config electrumx-warden.toml --format json | jq .daemons[].state")]
pub(super) struct Args {
    /// The agent's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Ask server and daemons now, whether an agent runs or not
    #[arg(long)]
    ask: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Who looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// The running agent.
    Agent,
    /// This command.
    Asked,
}

/// What is shown.
#[derive(Debug)]
struct View {
    source: Source,
    holder: Holder,
    /// Whether the server answered.
    has_server: bool,
    status: Status,
    changes: Vec<Row>,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let config = setup::config(&args.config)?;
    let Some(daemon) = &config.server.daemon else {
        let message = format!(
            "`{}` has no `[server.daemon]`: add `[server.daemon]` and below it `urls = {{ electrumx \
             = \"/etc/electrumx.conf\" }}`, or wherever ElectrumX has its DAEMON_URL",
            args.config.display()
        );
        return Err(Failure::new(Exit::Setup, message));
    };
    let holder = Journal::holder(&config.journal.path);
    let left = left(&config, holder).filter(|_| !args.ask);
    let (source, status, failure) = if let Some(status) = left {
        (Source::Agent, status, None)
    } else {
        let set = setup::policies(config.policies.load())?;
        let (status, failure) = runtime::block_on(ask(&config, daemon, set))?;
        (Source::Asked, status, failure)
    };
    if let Some(failure) = &failure {
        screen::error(&failure.to_string());
    }
    let view = View {
        source,
        holder,
        has_server: failure.is_none(),
        status,
        changes: changes(&config),
    };
    match args.format {
        Format::Text => words::show(&view, now(), screen)?,
        Format::Json => json::write(&view, screen)?,
    }
    Ok(if failure.is_some() {
        Exit::Failed
    } else {
        Exit::Ok
    })
}

/// What the running agent left, if one runs. The kernel knows whether one does.
fn left(config: &Config, holder: Holder) -> Option<Status> {
    let status = Status::load(&Status::path(&config.journal.path)).ok()??;
    match holder {
        Holder::Nobody => None,
        Holder::Process(_) => Some(status),
        Holder::Unknown => (!status.is_stale(now())).then_some(status),
    }
}

/// One poll and one round of probes, through the very core that the agent has. A server that does
/// not answer leaves the daemons to be shown.
async fn ask(
    config: &Config,
    daemon: &config::Daemon,
    set: PolicySet,
) -> Result<(Status, Option<RpcError>), Failure> {
    let daemons = setup::daemons(daemon)?;
    let clock = SteadyClock::start();
    let mut prober = setup::prober(daemon, &daemons, clock)?;
    let mut warden = Warden::new(set, config.settings(Some(&daemons), setup::slots(config)?));
    let mut client = Client::new(config.server.client_options());
    let mut snapshot = Snapshot::default();
    let round = prober.probe().await;
    let failure = poll(
        &mut client,
        &clock,
        Groups::if_needed(warden.needs_groups()),
        &mut snapshot,
    )
    .await
    .err();
    let interval = config.server.interval;
    let status = if failure.is_some() {
        let at = clock.now();
        warden.missed(at, snapshot.epoch, &[round], &snapshot.visits);
        let outage = warden.daemons().outage();
        let missed = Snapshot::missed(at, snapshot.epoch);
        warden.status(&missed, interval).missed(None, outage)
    } else {
        snapshot.rounds = vec![round];
        warden.observe(&snapshot);
        warden.judge(&snapshot);
        warden.status(&snapshot, interval)
    };
    Ok((status, failure))
}

/// The last changes of daemon, the newest first. Without a journal there were none.
fn changes(config: &Config) -> Vec<Row> {
    let filter = Filter {
        action: Some(ActionKind::DaemonUrl),
        newest_first: true,
        limit: 50,
        ..Filter::default()
    };
    let reader = Journal::open_read_only(&config.journal.path).and_then(Reader::of_agent);
    let rows = reader.and_then(|reader| reader.query(&filter));
    let is_change = |row: &Row| !matches!(row.outcome, Outcome::Suppressed(_));
    rows.unwrap_or_default()
        .into_iter()
        .filter(is_change)
        .take(CHANGES_MAX as usize)
        .collect()
}
