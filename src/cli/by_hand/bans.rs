//! `bans`: who is kept out.

use std::time::Duration;

use comfy_table::Table;
use ipnet::IpNet;
use serde::Serialize;

use super::{OtherAgent, Which};
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen};
use crate::cli::value::whole;
use crate::cli::when::now;
use crate::cli::{setup, show};
use crate::control::{BANS_MAX, BanRow, BansAnswer, Request, SinkRow};
use crate::escape;
use crate::journal::{DecisionId, Filter, Outcomes, Reader};
use crate::penalty::{Ban, BannedBy};
use crate::policy::Mode;
use crate::time::Timestamp;
use crate::units::format_duration;

/// Below this a list is easier to read than a table.
const TABLE_COLUMNS: usize = 90;

/// Holes of a ban in a cell.
const HOLES_SHOWN: usize = 4;

/// A cell of text is cut to this many columns.
const WHY_COLUMNS: usize = 160;

/// List who is banned, until when, by whom and why; the newest first.
///
/// Asks the running agent, which knows where bans take hold, or else reads its journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden bans --config electrumx-warden.toml
  electrumx-warden bans --config electrumx-warden.toml --format json --limit 1000000")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,

    /// Those that would be banned, by decisions of dry-run, in place of those who are
    #[arg(long)]
    would_be: bool,

    /// So many at the most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<usize>(1..=1_000_000, "50"))]
    limit: usize,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is known of the bans.
struct Known {
    bans: Vec<Shown>,
    total: usize,
    /// Whether they are those that would be.
    is_rehearsed: bool,
    /// What the agent alone knows.
    live: Option<Live>,
}

struct Live {
    mode: Mode,
    would_be: usize,
    sinks: Vec<SinkRow>,
}

/// A ban, and what its decision saw.
struct Shown {
    ban: Ban,
    /// Known to the agent alone.
    strikes: Option<f64>,
    decision: Option<(DecisionId, String)>,
}

pub(in crate::cli) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let agent = args.which.agent()?;
    let at = now();
    let mut known = match live(&agent, args)? {
        Some(known) => known,
        None if args.would_be => {
            let message = "no agent can be asked, and the journal does not keep who would be banned: \
                           `replay` tells it of a recording";
            return Err(Failure::new(Exit::Failed, message.to_owned()));
        }
        None => kept(&agent, args.limit, at)?,
    };
    // Whoever may ask the agent may not be able to read its journal.
    if let Ok(reader) = reader(&agent) {
        for shown in &mut known.bans {
            shown.decision = decision_of(&reader, &shown.ban);
        }
    }
    match args.format {
        Format::Json => write(&known, screen)?,
        Format::Text => show_all(&known, &agent, at, screen)?,
    }
    Ok(Exit::Ok)
}

fn reader(agent: &OtherAgent) -> Result<Reader, Failure> {
    Ok(setup::reader(&agent.journal)?.of_agent()?)
}

/// Of the running agent, page by page.
fn live(agent: &OtherAgent, args: &Args) -> Result<Option<Known>, Failure> {
    let (limit, would_be) = (args.limit, args.would_be);
    let (mut bans, mut after) = (Vec::new(), None);
    loop {
        let wanted = (limit - bans.len()).min(BANS_MAX);
        let request = Request::Bans {
            limit: Some(wanted),
            after,
            would_be,
        };
        let Some(page) = agent.ask_if_there::<BansAnswer>(&request)? else {
            return Ok(None);
        };
        bans.extend(page.bans.into_iter().map(|BanRow { ban, strikes }| Shown {
            ban,
            strikes: Some(strikes),
            decision: None,
        }));
        after = page.next;
        if after.is_none() || bans.len() >= limit {
            return Ok(Some(Known {
                bans,
                total: if would_be { page.would_be } else { page.total },
                is_rehearsed: would_be,
                live: Some(Live {
                    mode: page.mode,
                    would_be: page.would_be,
                    sinks: page.sinks,
                }),
            }));
        }
    }
}

/// Of the journal.
fn kept(agent: &OtherAgent, limit: usize, at: Timestamp) -> Result<Known, Failure> {
    let mut bans = reader(agent)?.load_state()?.penalties.bans;
    bans.retain(|ban| ban.end > at);
    let total = bans.len();
    bans.sort_unstable_by_key(|ban| (std::cmp::Reverse(ban.begin), ban.net));
    bans.truncate(limit);
    let shown = |ban| Shown {
        ban,
        strikes: None,
        decision: None,
    };
    Ok(Known {
        bans: bans.into_iter().map(shown).collect(),
        total,
        is_rehearsed: false,
        live: None,
    })
}

/// The decision of a ban, and its evidence.
fn decision_of(reader: &Reader, ban: &Ban) -> Option<(DecisionId, String)> {
    let BannedBy::Policy(policy) = &ban.by else {
        return None;
    };
    let of_then = Filter {
        policy: Some(policy.to_string()),
        since: Some(ban.begin),
        until: Some(ban.begin + Duration::from_millis(1)),
        outcomes: Outcomes::Any,
        ..Filter::default()
    };
    let rows = reader.query(&of_then).ok()?;
    let is_it = |net: &IpNet| *net == ban.net;
    let row = rows
        .into_iter()
        .find(|row| row.decision.bans.iter().any(|order| is_it(&order.net)));
    row.map(|row| (row.id, show::reasons(&row.decision.evidence)))
}

fn show_all(
    known: &Known,
    agent: &OtherAgent,
    at: Timestamp,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if known.bans.is_empty() {
        let is = if known.is_rehearsed { "would be" } else { "is" };
        screen.line(format!("nobody {is} banned"))?;
    } else {
        let is_narrow = screen.width() < TABLE_COLUMNS;
        if is_narrow {
            for shown in &known.bans {
                screen.prose(line(shown, at), 4)?;
            }
        } else {
            screen.table(table(known, at))?;
        }
        let more = known.total.saturating_sub(known.bans.len());
        if more > 0 {
            let words = format!(
                "and {} older ones: `--limit` shows more",
                show::number(more)
            );
            screen.line(format!("{}{words}{:#}", show::DIM, show::DIM))?;
        }
    }
    screen.line("")?;
    let Some(live) = &known.live else {
        let why = if agent.runs() {
            "The agent cannot be asked over its control socket"
        } else {
            "No agent runs"
        };
        let words =
            format!("{why}: this is from its journal, and where the bans take hold is not known.");
        return Ok(screen.prose(words, 0)?);
    };
    if known.is_rehearsed {
        let words = "They would be banned by decisions of dry-run; nobody is kept out for it.";
        return Ok(screen.prose(words, 0)?);
    }
    if live.mode != Mode::Enforce {
        let words = format!("Mode {}: there are no new bans.", live.mode);
        screen.prose(words, 0)?;
    }
    if live.would_be > 0 {
        let networks = show::counted(live.would_be, "network", "networks");
        let words =
            format!("{networks} would be banned by decisions of dry-run: `--would-be` lists them.");
        screen.prose(words, 0)?;
    }
    screen.prose(
        "localrpc: whoever is banned is disconnected at each poll.",
        2,
    )?;
    for sink in &live.sinks {
        screen.prose(sink_words(sink), 2)?;
    }
    Ok(())
}

fn sink_words(sink: &SinkRow) -> String {
    let (name, bad) = (show::text(&sink.name), show::BAD);
    match &sink.failing {
        None => {
            let networks = show::counted(sink.held, "network", "networks");
            format!("{name}: {networks} kept out.")
        }
        Some(why) => {
            let why = escape::terminal(why, WHY_COLUMNS);
            format!("{bad}{name} fails{bad:#}: {why}")
        }
    }
}

/// On a narrow screen: `203.0.113.7 until 2026-01-31 12:00:00 (in 1h), by hog: ...`.
fn line(shown: &Shown, at: Timestamp) -> String {
    let ban = &shown.ban;
    let (head, until) = (show::HEAD, show::time(ban.end));
    let why = why(shown);
    let mut parts = vec![format!(
        "{head}{}{head:#} until {until} ({}), by {}{}{why}",
        show::network(&ban.net),
        left(ban, at),
        by(ban),
        if why.is_empty() { "" } else { ": " },
    )];
    if !ban.holes.is_empty() {
        parts.push(format!("without {}", holes(ban).join(", ")));
    }
    if ban.kept_out > 0 {
        parts.push(format!("kept out {}", kept_out(ban)));
    }
    parts.join("; ")
}

fn table(known: &Known, at: Timestamp) -> Table {
    let mut header = vec!["network", "until (UTC)", "by", "why", "kept out"];
    let is_live = known.live.is_some();
    if is_live {
        header.push("strikes");
    }
    let mut table = show::table(&header);
    for shown in &known.bans {
        let ban = &shown.ban;
        let mut network = show::network(&ban.net);
        if !ban.holes.is_empty() {
            network.push_str("\nwithout ");
            network.push_str(&holes(ban).join(",\n"));
        }
        let until = format!("{}\n{}", show::time(ban.end), left(ban, at));
        let mut cells = vec![network, until, by(ban), why(shown), kept_out(ban)];
        if let Some(strikes) = shown.strikes {
            cells.push(show::quantity(strikes, None));
        }
        table.add_row(cells);
    }
    table
}

/// `in 1h59m`
fn left(ban: &Ban, at: Timestamp) -> String {
    let left = Duration::from_secs(ban.end.since(at).as_secs());
    format!("in {}", format_duration(left))
}

fn by(ban: &Ban) -> String {
    match &ban.by {
        BannedBy::Policy(policy) => show::text(policy),
        BannedBy::Hand { user, .. } => show::text(user),
    }
}

fn why(shown: &Shown) -> String {
    match (&shown.ban.by, &shown.decision) {
        (BannedBy::Hand { reason, .. }, _) if reason.is_empty() => "by hand".to_owned(),
        (BannedBy::Hand { reason, .. }, _) => {
            format!("by hand: {}", escape::terminal(reason, WHY_COLUMNS))
        }
        (BannedBy::Policy(_), Some((id, why))) => format!("{why} (decision {id})"),
        (BannedBy::Policy(_), None) => String::new(),
    }
}

fn holes(ban: &Ban) -> Vec<String> {
    let shown = ban.holes.iter().take(HOLES_SHOWN);
    let mut holes: Vec<String> = shown.map(show::network).collect();
    let more = ban.holes.len().saturating_sub(HOLES_SHOWN);
    if more > 0 {
        holes.push(format!("{more} more"));
    }
    holes
}

fn kept_out(ban: &Ban) -> String {
    show::number(usize::try_from(ban.kept_out).unwrap_or(usize::MAX))
}

#[derive(Serialize)]
struct BanJson<'a> {
    network: String,
    holes: Vec<String>,
    begin: String,
    until: String,
    policy: Option<&'a str>,
    user: Option<&'a str>,
    reason: Option<&'a str>,
    decision: Option<DecisionId>,
    strikes: Option<f64>,
    kept_out: u64,
}

#[derive(Serialize)]
struct EndJson {
    shown: usize,
    total: usize,
    /// Left out if no agent could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<usize>,
}

fn write(known: &Known, screen: &mut Screen) -> Result<(), Failure> {
    for Shown {
        ban,
        strikes,
        decision,
    } in &known.bans
    {
        let (policy, user, reason) = match &ban.by {
            BannedBy::Policy(policy) => (Some(&**policy), None, None),
            BannedBy::Hand { user, reason } => (None, Some(&**user), Some(&**reason)),
        };
        let line = BanJson {
            network: show::network(&ban.net),
            holes: ban.holes.iter().map(show::network).collect(),
            begin: ban.begin.to_string(),
            until: ban.end.to_string(),
            policy,
            user,
            reason,
            decision: decision.as_ref().map(|(id, _)| *id),
            strikes: *strikes,
            kept_out: ban.kept_out,
        };
        screen.json("ban", &line)?;
    }
    for sink in known.live.iter().flat_map(|live| &live.sinks) {
        screen.json("sink", sink)?;
    }
    let end = EndJson {
        shown: known.bans.len(),
        total: known.total,
        mode: known.live.as_ref().map(|live| live.mode),
        would_be: known.live.as_ref().map(|live| live.would_be),
    };
    Ok(screen.json("bans", &end)?)
}
