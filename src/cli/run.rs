//! `run`: the agent, until a signal ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tracing::{error, info, warn};

use super::exit::{Exit, Failure};
use super::setup::SinkSettings;
use super::show::{counted, decision_line};
use super::{logging, runtime, setup};
use crate::act::{Carried, Keys};
use crate::agent::{Agent, AgentOptions, Ended, Tick};
use crate::config::Config;
use crate::control::Control;
use crate::daemon::Daemons;
use crate::decision::Outcome;
use crate::field::Source;
use crate::journal::Journal;
use crate::limits::{Bucket, Budget};
use crate::policy::{Mode, PolicySet, Quota};
use crate::poll::SteadyClock;
use crate::recording::Recorder;
use crate::rpc::Client;
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::time::Timestamp;
use crate::warden::Warden;

/// Watch a server and act by policies, until SIGTERM or SIGINT.
///
/// In mode dry-run, which is the default, it decides and journals and changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden run --config electrumx-warden.toml
  ELECTRUMX_WARDEN_LOG=debug electrumx-warden run --config electrumx-warden.toml")]
pub(super) struct Args {
    /// The agent's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = setup::config(&args.config)?;
    let set = setup::policies(config.policies.load())?;
    logging::start(config.log)?;
    let daemons = config.server.daemon.as_ref();
    let daemons = daemons.map(setup::daemons).transpose()?;
    let slots = setup::slots(&config)?;
    let sinks = setup::sink_settings(&config.ban)?;
    let journal = setup::journal(&config.journal.path)?;
    let outfit = Outfit {
        config,
        set,
        daemons,
        slots,
        sinks,
    };
    runtime::block_on(outfit.watch(journal))
}

/// What agents are made of.
struct Outfit {
    config: Config,
    set: PolicySet,
    daemons: Option<Daemons>,
    slots: Option<Slots>,
    sinks: SinkSettings,
}

/// After the clock was set and an agent started afresh, it is not followed again for so long: each time
/// costs all that was seen.
const FOLLOW_CLOCK_AGAIN: Duration = Duration::from_hours(1);

impl Outfit {
    async fn watch(&self, mut journal: Journal) -> Result<Exit, Failure> {
        let shutdown = runtime::shutdown()?;
        tokio::pin!(shutdown);
        self.introduce();
        let mut follow_clock_after = Duration::ZERO;
        let mut lines = DecisionLines::default();
        loop {
            let mut agent = self.agent(journal)?;
            agent.follow_clock(follow_clock_after);
            let told = |agent: &Agent, tick: &Tick| {
                lines.tell_untold(agent.snapshot().map(Snapshot::at));
                lines.tell(tick);
            };
            let ended = agent.run(&mut shutdown, told).await;
            if ended == Ended::Asked {
                return Ok(Exit::Ok);
            }
            drop(agent);
            warn!("starting afresh by the time that the system's clock was set to");
            journal = setup::journal(&self.config.journal.path)?;
            follow_clock_after = FOLLOW_CLOCK_AGAIN;
        }
    }

    fn introduce(&self) {
        let (config, set) = (&self.config, &self.set);
        if let Some(daemons) = &self.daemons {
            let warnings = set.lint_daemons(&daemons.addresses());
            super::screen::complain(&warnings);
        }
        let policies = counted(set.policies.len(), "policy", "policies");
        info!(
            "watching {} every {:?}, as often as every {:?} when something is up, by {policies}, mode {}",
            config.server.rpc, config.server.interval, config.server.interval_min, config.mode
        );
        if config.mode != Mode::Enforce {
            warn!(
                "mode {}: nothing on the server will be changed",
                config.mode
            );
        }
        let lacking = [
            (self.daemons.is_none(), Source::Probes),
            (self.slots.is_none(), Source::Slots),
            (config.canary.is_none(), Source::Canary),
        ];
        for (_, source) in lacking.into_iter().filter(|(is_lacking, _)| *is_lacking) {
            if let Some(idle) = setup::idle_without(source, set.count_idle_without(source)) {
                info!("{idle}");
            }
        }
    }

    fn agent(&self, journal: Journal) -> Result<Agent, Failure> {
        let config = &self.config;
        let recorder = recorder(config);
        let watched = config.server.daemon.as_ref().zip(self.daemons.as_ref());
        let clock = SteadyClock::start();
        let mut settings = config.settings(self.daemons.as_ref(), self.slots);
        settings.protection.own = setup::own_addresses();
        let options = AgentOptions {
            cadence: config.server.cadence(),
            inspect_max: config.server.inspect_max,
            retention: config.journal.retention,
        };
        let mut agent = Agent::new(
            Warden::new(self.set.clone(), settings),
            Client::new(config.server.client_options()),
            journal,
            Box::new(clock),
            options,
        )
        .map_err(setup::unusable)?;
        if let Some((probing, daemons)) = watched {
            let prober = setup::prober(probing, daemons, clock)?;
            let addresses = daemons.addresses().join(", ");
            info!(
                "probing the daemons every {:?}: {addresses}",
                probing.interval
            );
            // Of the time between two polls, and of some that fail.
            let rounds = config.server.interval.as_secs() / probing.interval.as_secs().max(1);
            let kept = usize::try_from(rounds)
                .unwrap_or(usize::MAX)
                .saturating_mul(2);
            let watching = prober.watch(probing.interval, kept.clamp(64, 4_096));
            agent.keep_status(Status::path(&config.journal.path));
            agent.watch_daemons(daemons.clone(), Box::new(watching));
        }
        if let Some(canary) = setup::canary(config, clock)? {
            agent.visit(Box::new(canary.watch()));
        }
        agent.keep_out_by(setup::sinks(&self.sinks, clock));
        if let Some(control) = control(config) {
            agent.answer_over(control);
        }
        if let Some(recorder) = recorder {
            agent.record_aside(recorder, config.server.name.clone());
        }
        Ok(agent)
    }
}

/// The control socket, if it is on. The watch goes on without it.
fn control(config: &Config) -> Option<Control> {
    if !config.control.is_on {
        return None;
    }
    match Control::listen(&config.control.path) {
        Ok(control) => Some(control),
        Err(error) => {
            warn!("there is no control socket, so nothing can be changed by hand: {error}");
            None
        }
    }
}

/// The flight recorder, if it is on. The watch goes on without it.
fn recorder(config: &Config) -> Option<Recorder> {
    if !config.record.is_on {
        return None;
    }
    let options = config.record.recorder.clone();
    let (path, key) = (options.path.clone(), options.key_path());
    let key = config.record.pseudonymise.then_some(&*key);
    match setup::recorder(options, key) {
        Ok(recorder) => {
            info!("recording into {}", path.display());
            Some(recorder)
        }
        Err(Failure::Told { message, .. }) => {
            warn!("nothing is recorded: {message}");
            None
        }
        Err(Failure::Output(_)) => None,
    }
}

/// The log's lines about decisions. Thousands a minute may be carried out, as many as clients bring about.
#[derive(Debug, Default)]
struct DecisionLines {
    /// By policy, so that a flood hides no other's.
    policies: HashMap<Arc<str>, PolicyLines>,
}

#[derive(Debug)]
struct PolicyLines {
    bucket: Bucket,
    untold: u64,
}

/// Of a policy.
const LINES: Budget = Budget {
    rate: Quota {
        count: 20,
        per: Duration::from_mins(1),
    },
    burst: 300,
};

impl DecisionLines {
    /// After a poll at `at`, if it was a good one: how many had no line.
    fn tell_untold(&mut self, at: Option<Timestamp>) {
        let Some(at) = at else { return };
        for (policy, lines) in &mut self.policies {
            if lines.untold > 0 && lines.bucket.available(LINES, at) > 0 {
                lines.bucket.take(1);
                lines.tell_untold(policy);
            }
        }
    }

    /// Each decision as a line of the log, beyond [`LINES`] as a number.
    fn tell(&mut self, tick: &Tick) {
        for carried in &tick.carried {
            let decision = &carried.decision;
            let lines = self.policies.entry_ref(&decision.policy);
            let lines = lines.or_insert_with(|| PolicyLines {
                bucket: Bucket::full(LINES, decision.at),
                untold: 0,
            });
            if lines.admit(decision.at) {
                lines.tell_untold(&decision.policy);
                tell(carried);
            }
        }
    }
}

impl PolicyLines {
    /// Whether there may be a line now; if not, it is counted.
    fn admit(&mut self, at: Timestamp) -> bool {
        let admits = self.bucket.available(LINES, at) > 0;
        self.bucket.take(usize::from(admits));
        self.untold += u64::from(!admits);
        admits
    }

    fn tell_untold(&mut self, policy: &str) {
        let decisions = std::mem::take(&mut self.untold);
        if decisions > 0 {
            warn!(
                decisions,
                policy, "so many more decisions have no line of their own: `journal` shows them"
            );
        }
    }
}

fn tell(carried: &Carried) {
    let Carried {
        id,
        decision,
        outcome,
        ..
    } = carried;
    let line = decision_line(decision, outcome);
    let line = anstream::adapter::strip_str(&line);
    let keys = Keys::of(decision, outcome);
    macro_rules! say {
        ($level:ident) => {
            $level!(
                decision = id.map(|id| id.0),
                policy = keys.policy,
                mode = keys.mode,
                action = keys.action,
                scope = keys.scope,
                target = keys.target,
                address = keys.address,
                session_count = keys.sessions,
                outcome = keys.outcome,
                by = keys.by,
                detail = keys.detail,
                held_s = keys.held_s,
                evidence = keys.evidence(),
                "{line}"
            )
        };
    }
    if matches!(outcome, Outcome::Failed { .. }) {
        say!(error);
    } else {
        say!(info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_decisions_has_few_lines_and_the_rest_are_counted() {
        let start = Timestamp::default();
        let mut lines = PolicyLines {
            bucket: Bucket::full(LINES, start),
            untold: 0,
        };
        // 12,000 a minute, for two minutes.
        let polls = (0..120).map(Duration::from_secs);
        let admitted: u64 = polls
            .flat_map(|passed| [start + passed; 200])
            .map(|at| u64::from(lines.admit(at)))
            .sum();
        assert!((338..=340).contains(&admitted), "{admitted}");
        assert_eq!(lines.untold, 24_000 - admitted);
    }
}
