//! `ban`: keep a network out.

use std::time::Duration;

use serde::Serialize;

use super::Which;
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen};
use crate::cli::show;
use crate::cli::value::duration;
use crate::control::{BannedAnswer, Network, REASON_CHARS_MAX, Request};
use crate::units::format_duration;

/// Keep an address or a network out, by the running agent.
///
/// It takes hold at once, wherever the agent's bans do. Regulars and protected addresses in a network stay in;
/// an address that regulars use is refused. No limit and no breaker holds it back. The journal has who did it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden ban 203.0.113.7 --for 1h --reason \"scans\" --config electrumx-warden.toml
  electrumx-warden ban 203.0.113.0/24 --for 7d --config electrumx-warden.toml")]
pub(in crate::cli) struct Args {
    /// An address or a network, /16 (IPv4) or /32 (IPv6) at the most; an IPv6 address is its /64
    #[arg(value_name = "NETWORK", value_parser = str::parse::<Network>)]
    net: Network,

    /// For how long: 1m to 365d
    #[arg(long = "for", value_name = "TIME",
          value_parser = duration(Duration::from_secs(60)..=Duration::from_hours(365 * 24), "1h"))]
    duration: Duration,

    /// Why, for whoever looks later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,

    /// Regulars too; protected addresses never
    #[arg(long)]
    regulars_too: bool,

    #[command(flatten)]
    which: Which,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() <= REASON_CHARS_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected {REASON_CHARS_MAX} characters at the most"
        ))
    }
}

#[derive(Serialize)]
struct BannedJson {
    network: String,
    holes: Vec<String>,
    until: String,
    replaces: Option<String>,
}

pub(in crate::cli) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let BannedAnswer { ban, replaces } = args.which.agent()?.ask(&Request::Ban {
        net: args.net,
        for_s: args.duration.as_secs(),
        reason: args.reason.clone(),
        regulars_too: args.regulars_too,
    })?;
    let holes: Vec<String> = ban.holes.iter().map(show::network).collect();
    if args.format == Format::Json {
        let line = BannedJson {
            network: show::network(&ban.net),
            holes,
            until: ban.end.to_string(),
            replaces: replaces.map(|end| end.to_string()),
        };
        screen.json("banned", &line)?;
        return Ok(Exit::Ok);
    }
    screen.line(format!(
        "banned {} for {}, until {} UTC",
        show::network(&ban.net),
        format_duration(args.duration),
        show::time(ban.end)
    ))?;
    if let Some(end) = replaces {
        screen.line(format!(
            "in the place of its ban until {} UTC",
            show::time(end)
        ))?;
    }
    if !holes.is_empty() {
        let spared = if args.regulars_too {
            "protected"
        } else {
            "regulars or protected"
        };
        let words = format!("not in it, for they are {spared}: {}", holes.join(", "));
        screen.prose(words, 2)?;
    }
    Ok(Exit::Ok)
}
