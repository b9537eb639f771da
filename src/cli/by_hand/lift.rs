//! `unban`: let somebody in again.

use clap::ArgGroup;
use serde::Serialize;

use super::{Which, counted_bans};
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen};
use crate::cli::show;
use crate::control::{LiftedAnswer, Network, Request};

/// Let an address, a network or everybody in again, by the running agent.
///
/// Afterwards nothing of what is named is banned: bans of it and within it end, and a ban of a wider network gets a
/// hole. Strikes stay, so who does it again is banned again: see `pardon`.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("whom").required(true).args(["net", "all", "policy"]),
    after_help = "Examples:
  electrumx-warden unban 203.0.113.7 --config electrumx-warden.toml
  electrumx-warden unban --policy NAME --config electrumx-warden.toml
  electrumx-warden unban --all --config electrumx-warden.toml"
)]
pub(in crate::cli) struct Args {
    /// An address or a network
    #[arg(value_name = "NETWORK", value_parser = str::parse::<Network>)]
    net: Option<Network>,

    /// Everybody
    #[arg(long)]
    all: bool,

    /// All whom this policy banned
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    #[command(flatten)]
    which: Which,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct LiftedJson {
    bans: usize,
    holed: Vec<String>,
}

pub(in crate::cli) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let LiftedAnswer { bans, holed } = args.which.agent()?.ask(&Request::Unban {
        net: args.net,
        policy: args.policy.clone(),
        all: args.all,
    })?;
    let holed: Vec<String> = holed.iter().map(show::network).collect();
    if args.format == Format::Json {
        screen.json("unbanned", &LiftedJson { bans, holed })?;
        return Ok(Exit::Ok);
    }
    if bans > 0 {
        screen.line(format!("lifted {}", counted_bans(bans)))?;
    }
    if let (Some(net), false) = (&args.net, holed.is_empty()) {
        let words = format!(
            "{net} is a hole now in the ban of {}; everybody else there stays banned",
            holed.join(", ")
        );
        screen.prose(words, 2)?;
    }
    Ok(Exit::Ok)
}
