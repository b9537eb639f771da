//! A few polls of a server with nothing but policies: what `once` and `explain` share.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::value::{duration, whole};
use super::{screen, setup};
use crate::agent::{Agent, AgentOptions, Cadence, Tick};
use crate::journal::{Journal, Retention};
use crate::policy::{PolicySet, shipped};
use crate::poll::SteadyClock;
use crate::rpc::{Client, ClientOptions};
use crate::warden::{Settings, Warden};

/// Which policies, and how many polls.
#[derive(Debug, clap::Args)]
pub(super) struct Sampling {
    /// Policy files, and folders of them; without any, those that ship with the program
    #[arg(long, value_name = "PATH")]
    pub(super) policies: Vec<PathBuf>,

    /// How many polls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>(1..=100_000, "6"))]
    pub(super) samples: u32,

    /// From one poll to the next
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration(INTERVAL, "10s"))]
    pub(super) interval: Duration,
}

/// Between two polls.
pub(super) const INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3_600);

impl Sampling {
    /// The policies.
    pub(super) fn set(&self) -> Result<PolicySet, Failure> {
        setup::policies(match self.policies.as_slice() {
            [] => shipped(),
            paths => PolicySet::load(paths),
        })
    }

    /// An agent that is polled by hand.
    pub(super) fn agent(
        &self,
        client: ClientOptions,
        set: PolicySet,
        settings: Settings,
        journal: Journal,
    ) -> Result<Agent, Failure> {
        let options = AgentOptions {
            cadence: Cadence::steady(self.interval),
            inspect_max: 20,
            retention: Retention::default(),
        };
        let warden = Warden::new(set, settings);
        let clock = Box::new(SteadyClock::start());
        Agent::new(warden, Client::new(client), journal, clock, options).map_err(setup::unusable)
    }

    /// Polls as often as is asked for, and hands on what came of each poll. Gives how many failed;
    /// if all did, there is nothing to say.
    pub(super) async fn poll(
        &self,
        agent: &mut Agent,
        mut each: impl FnMut(&Agent, &Tick) -> io::Result<()>,
    ) -> Result<u32, Failure> {
        let mut ticks = tokio::time::interval(self.interval);
        let (mut has_polled, mut failed) = (false, 0);
        for sample in 1..=self.samples {
            ticks.tick().await;
            let tick = agent.tick().await;
            match &tick.failure {
                None => has_polled = true,
                // One poll that failed is missing; without any there is nothing to say.
                Some(failure) if sample == self.samples && !has_polled => {
                    return Err(Failure::new(Exit::Failed, failure.to_string()));
                }
                Some(failure) => {
                    screen::error(&format!("poll {sample} of {}: {failure}", self.samples));
                    failed += 1;
                }
            }
            each(agent, &tick)?;
        }
        Ok(failed)
    }
}
