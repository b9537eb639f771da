//! `journal`: what the agent decided, why, and what came of it.

mod event;
mod follow;
mod full;
mod list;
mod summary;

use std::io;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::json::{DecisionJson, row_json};
use super::screen::{Format, Screen};
use super::value::whole;
use super::when::{When, now};
use super::{setup, show};
use crate::journal::{DecisionId, Filter, OutcomeKind, Outcomes, Reader, Row};
use crate::policy::ActionKind;
use crate::time::Timestamp;

/// The journal is asked for so many rows at a time, so that the agent's upkeep is not held up.
const PAGE: u32 = 500;

/// Show what the agent did or would have done, why, and what came of it.
///
/// What was held back is shown with --held or --all. Reads the journal while the agent runs, or
/// afterwards. Times are UTC.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("where").required(true).args(["path", "config"]),
    after_help = "Examples:
  electrumx-warden journal --config electrumx-warden.toml --since 2h
  electrumx-warden journal --config electrumx-warden.toml --follow
  electrumx-warden journal --config electrumx-warden.toml --summary --since 7d
  electrumx-warden journal --path electrumx-warden.sqlite --outcome failed
  electrumx-warden journal --path electrumx-warden.sqlite --id 42
  electrumx-warden journal --path electrumx-warden.sqlite --format json --limit 9999"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Args {
    /// The journal
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,

    /// The agent's configuration, which names the journal
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Show this one in full, with its evidence
    #[arg(long, value_name = "N", value_parser = whole::<i64>(1..=i64::MAX as u64 - 1, "42"),
          conflicts_with_all = ["since", "until", "policy", "target", "outcome", "held", "all", "action",
                                "limit", "order", "follow", "summary"])]
    id: Option<i64>,

    /// Decided then or later: 2026-01-31, 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    since: Option<When>,

    /// Decided before then
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    until: Option<When>,

    /// By the policy of this name
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// For targets with this in them: part of an address, a subnet, a name
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,

    /// With this outcome
    #[arg(long, value_parser = outcome_parser())]
    outcome: Option<OutcomeKind>,

    /// Those held back, by a cooldown, a limit, the breaker or a protection, in place of those acted on
    #[arg(long, conflicts_with = "outcome")]
    held: bool,

    /// Both those acted on and those held back
    #[arg(long, conflicts_with_all = ["outcome", "held"])]
    all: bool,

    /// Wanting this
    #[arg(long, value_parser = action_parser())]
    action: Option<ActionKind>,

    /// So many at most, 50 if nothing is said; with --follow so many of those that are there, 10
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000, "50"))]
    limit: Option<u32>,

    /// Which come first
    #[arg(long, value_enum, default_value_t)]
    order: Order,

    /// Show new ones as they come, until Ctrl-C
    #[arg(long, conflicts_with_all = ["until", "order"])]
    follow: bool,

    /// Sum up by policy what was done and what was held back
    #[arg(long, conflicts_with_all = ["held", "all", "limit", "order", "follow"])]
    summary: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    #[default]
    Newest,
    Oldest,
}

fn outcome_parser() -> impl TypedValueParser<Value = OutcomeKind> {
    named(&OutcomeKind::ALL, OutcomeKind::name)
}

fn action_parser() -> impl TypedValueParser<Value = ActionKind> {
    const KINDS: [ActionKind; 6] = [
        ActionKind::Disconnect,
        ActionKind::Ban,
        ActionKind::Evict,
        ActionKind::Log,
        ActionKind::DaemonUrl,
        ActionKind::Alert,
    ];
    named(&KINDS, ActionKind::name)
}

fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |&one| name(one));
    PossibleValuesParser::new(names).try_map(move |text| {
        let one = all.iter().copied().find(|&one| name(one) == text);
        one.ok_or("unknown")
    })
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let filter = args.filter(now())?;
    let reader = match (&args.path, &args.config) {
        (Some(path), _) => setup::reader(path)?,
        (None, Some(config)) => {
            let path = setup::config(config)?.journal.path;
            setup::reader(&path)?.of_agent()?
        }
        (None, None) => return Err(Failure::new(Exit::Usage, "name the journal: `--path FILE`")),
    };
    if args.format == Format::Text
        && let Some(replayed) = reader.replayed()?
    {
        screen.prose(show::replayed(&replayed), 4)?;
        screen.line("")?;
    }
    match args.id {
        Some(id) => show_one(&reader, id, args.format, screen),
        None if args.summary => summary::show(&reader, &filter, args.format, screen),
        None if args.follow => follow::follow(&reader, filter, args, screen),
        None => list::list(&reader, filter, args, screen),
    }
}

fn show_one(
    reader: &Reader,
    id: i64,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let found = reader.query(&Filter {
        beyond: Some(DecisionId(id + 1)),
        limit: 1,
        ..Filter::default()
    })?;
    let Some(row) = found.into_iter().find(|row| row.id.0 == id) else {
        let message = format!("the journal has no decision {id}: it was never made, or is too old");
        return Err(Failure::new(Exit::Failed, message));
    };
    match format {
        Format::Text => full::show(&row, screen)?,
        Format::Json => write(&row, screen)?,
    }
    Ok(Exit::Ok)
}

impl Args {
    const fn outcomes(&self) -> Outcomes {
        match self.outcome {
            Some(kind) => Outcomes::Of(kind),
            None if self.held => Outcomes::Of(OutcomeKind::Suppressed),
            None if self.all || self.summary => Outcomes::Any,
            None => Outcomes::Acts,
        }
    }

    fn filter(&self, now: Timestamp) -> Result<Filter, Failure> {
        let filter = Filter {
            since: self.since.map(|when| when.resolve(now)),
            until: self.until.map(|when| when.resolve(now)),
            policy: self.policy.clone(),
            target_contains: self.target.clone(),
            outcomes: self.outcomes(),
            action: self.action,
            newest_first: self.order == Order::Newest,
            ..Filter::default()
        };
        match (filter.since, filter.until) {
            (Some(since), Some(until)) if since >= until => {
                let message = format!("nothing is both since {since} and before {until}");
                Err(Failure::new(Exit::Usage, message))
            }
            _ => Ok(filter),
        }
    }
}

fn write(row: &Row, screen: &mut Screen) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        decision: DecisionJson<'a>,
        #[serde(skip_serializing_if = "is_zero")]
        evidence_left_out: u32,
        #[serde(skip_serializing_if = "is_zero")]
        sessions_left_out: u32,
    }
    let line = Line {
        decision: row_json(row),
        evidence_left_out: row.evidence_left_out,
        sessions_left_out: row.sessions_left_out,
    };
    screen.json("decision", &line)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
