//! `breaker`: the policies that the breaker has stopped, how a person lets one go on, and whether all
//! policies together leave regulars alone.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::by_hand::{OtherAgent, Which};
use super::exit::{Exit, Failure};
use super::screen::{Format, Screen};
use super::setup;
use super::show;
use super::when::now;
use crate::control::{ClosedAnswer, Request};
use crate::limits::SavedLimits;
use crate::policy::reading::by_nearness;
use crate::time::Timestamp;
use crate::units::format_duration;

/// List the policies that the breaker has stopped, or let one go on.
///
/// A policy is stopped when it was to disconnect so many regular clients, or so many of all newcomers,
/// that it is more likely wrong than they are. Look at what it did, mend it, and then let it go on;
/// or wait. It says, too, whether all policies together have disconnected so many regular clients that
/// the others of them are left alone. Lists from the journal, whether the agent runs or not; `--close` asks the
/// running agent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden breaker --config electrumx-warden.toml
  electrumx-warden journal --config electrumx-warden.toml --all --policy NAME
  electrumx-warden breaker --config electrumx-warden.toml --close NAME")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,

    /// Let this policy go on
    #[arg(long, value_name = "POLICY")]
    close: Option<String>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct StoppedJson<'a> {
    policy: &'a str,
    until: Timestamp,
}

/// All policies together have used up their share.
#[derive(Serialize)]
struct UsedUpJson {
    until: Timestamp,
}

type Stopped = Vec<(Arc<str>, Timestamp)>;

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let agent = args.which.agent()?;
    let at = now();
    let limits = limits(&agent.journal)?;
    let stopped = limits.stopped(at);
    match &args.close {
        Some(policy) => close(&agent, policy, &stopped, screen),
        None => list(
            &stopped,
            limits.share_used_up_until(at),
            at,
            args.format,
            screen,
        ),
    }
}

/// As the agent wrote it last: of policies that enforce, for in dry-run nothing is stopped in earnest.
fn limits(path: &Path) -> Result<SavedLimits, Failure> {
    let state = setup::reader(path)?.of_agent()?.load_state()?;
    let limits = Option::<SavedLimits>::deserialize(state.limits).map_err(|error| {
        let message = format!("the journal's limits cannot be read ({error})");
        Failure::new(Exit::Failed, message)
    })?;
    Ok(limits.unwrap_or_default())
}

fn list(
    stopped: &Stopped,
    used_up_until: Option<Timestamp>,
    at: Timestamp,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    for (policy, until) in stopped {
        match format {
            Format::Json => screen.json(
                "stopped",
                &StoppedJson {
                    policy,
                    until: *until,
                },
            )?,
            Format::Text => screen.line(format!(
                "{} until {} (for {} more)",
                show::text(policy),
                show::time(*until),
                format_duration(until.since(at)),
            ))?,
        }
    }
    if let (Format::Json, Some(until)) = (format, used_up_until) {
        screen.json("share-of-all", &UsedUpJson { until })?;
    }
    if format == Format::Text {
        if stopped.is_empty() {
            screen.line("the breaker has stopped no policy")?;
        } else {
            screen.line("")?;
            screen.prose("All other policies go on. Look at whom it hit (`journal --all --policy NAME`), mend it, and let it go on with `--close NAME`.", 0)?;
        }
        if let Some(until) = used_up_until {
            screen.line("")?;
            let until = show::time(until);
            screen.prose(format!("All policies together have disconnected as many regular clients as `share_of_all` in `[breaker]` allows. No other regular client is disconnected until {until}; strangers are. Look at the acts (`journal`), and correct the policy that is wrong, or raise the share."), 0)?;
        }
    }
    Ok(Exit::Ok)
}

fn close(
    agent: &OtherAgent,
    policy: &str,
    stopped: &Stopped,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    if !stopped.iter().any(|(other, _)| **other == *policy) {
        let names: Vec<&str> = stopped.iter().map(|(name, _)| &**name).collect();
        let others = match by_nearness(policy, names).first() {
            Some(nearest) => format!("`{}`", show::text(nearest)),
            None => "no policy".to_owned(),
        };
        let name = show::text(policy);
        let message = format!("the breaker has not stopped `{name}`; it has stopped {others}");
        return Err(Failure::new(Exit::Failed, message));
    }
    let request = Request::BreakerClose {
        policy: policy.to_owned(),
    };
    let ClosedAnswer { policy } = agent.ask(&request)?;
    screen.line(format!("the agent lets `{}` go on", show::text(&policy)))?;
    Ok(Exit::Ok)
}
