//! `pardon`: forget strikes.

use serde::Serialize;

use super::Which;
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen};
use crate::cli::show;
use crate::control::{Network, PardonedAnswer, Request};

/// Forget the strikes of an address or a network, by the running agent.
///
/// Ladders start from the first rung again, and a regular who was disconnected is one again. A ban that is in
/// force stays: see `unban`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden pardon 203.0.113.7 --config electrumx-warden.toml")]
pub(in crate::cli) struct Args {
    /// An address or a network
    #[arg(value_name = "NETWORK", value_parser = str::parse::<Network>)]
    net: Network,

    #[command(flatten)]
    which: Which,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct PardonedJson {
    network: String,
    strikes: f64,
    offenders: usize,
    clients: usize,
    banned_until: Option<String>,
}

pub(in crate::cli) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let answer: PardonedAnswer = args
        .which
        .agent()?
        .ask(&Request::Pardon { net: args.net })?;
    let PardonedAnswer {
        net,
        strikes,
        offenders,
        clients,
        banned_until,
    } = answer;
    let network = show::network(&net);
    if args.format == Format::Json {
        let line = PardonedJson {
            network,
            strikes,
            offenders,
            clients,
            banned_until: banned_until.map(|end| end.to_string()),
        };
        screen.json("pardoned", &line)?;
        return Ok(Exit::Ok);
    }
    let mut forgotten = Vec::new();
    if offenders > 0 {
        let whose = show::counted(offenders, "address or subnet", "addresses and subnets");
        let strikes = show::quantity(strikes, None);
        forgotten.push(format!("forgot {strikes} strikes of {whose}"));
    }
    if clients > 0 {
        let clients = show::counted(clients, "client", "clients");
        forgotten.push(format!("forgot that {clients} had been disconnected"));
    }
    if forgotten.is_empty() {
        forgotten.push("it had no strikes".to_owned());
    }
    screen.line(format!("{network}: {}", forgotten.join(", ")))?;
    if let Some(end) = banned_until {
        screen.prose(
            format!(
                "{network} is still banned until {} UTC: `unban {network}` lets it in",
                show::time(end)
            ),
            2,
        )?;
    }
    Ok(Exit::Ok)
}
