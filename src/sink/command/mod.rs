//! Hands bans to a program of the user's: one call a change.
//!
//! The sink does not know what the program keeps out; it knows what it told it. So after a failure, as at the
//! start, every ban is told again, and the program must take that as a renewal.

mod line;
mod program;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use self::line::Call;
pub use self::line::{ARG_MAX_BYTES, ARGS_MAX, CommandLine, CommandLineError, placeholders};
use self::program::run;
use super::{Changes, Desired, Hold, Sink};
use crate::time::Timestamp;

/// A call takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(10);

/// At most so many calls within any such time.
const CALLS_MAX: usize = 1_000;
const CALLS_WITHIN: Duration = Duration::from_mins(1);

/// The sink is busy for so long, and a call's deadline, at most; then it listens to what else there is.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// After so many failures the program is left alone until it is tried again.
const FAILURES_MAX: usize = 5;

/// The sink `command`.
#[derive(Debug)]
pub struct Command {
    line: CommandLine,
    deadline: Duration,
    /// What the program may be keeping out.
    told: BTreeMap<IpNet, Told>,
    /// The number of the last call.
    turn: u64,
    /// Bans told before this call must be told again.
    stale_before: u64,
    /// Whether a call has failed since all was well.
    is_failing: bool,
    /// When the last calls were, at most [`CALLS_MAX`].
    calls: VecDeque<Instant>,
}

/// A network's last call.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// The end of the ban, if the program took it.
    until: Option<Timestamp>,
    turn: u64,
}

impl Command {
    /// A sink that runs `line`, and has told it nothing yet.
    pub fn new(line: CommandLine) -> Self {
        Self {
            line,
            deadline: DEADLINE,
            told: BTreeMap::new(),
            turn: 0,
            stale_before: 0,
            is_failing: false,
            calls: VecDeque::new(),
        }
    }

    /// Makes the calls, as many as may be made now.
    async fn call_all(
        &mut self,
        tasks: Vec<(IpNet, Option<&Hold>)>,
        at: Timestamp,
    ) -> Result<(), String> {
        let began = Instant::now();
        let (mut failure, mut failures, mut waiting) = (None, 0, tasks.len());
        for (net, hold) in tasks {
            if failures == FAILURES_MAX || began.elapsed() >= BUSY_MAX || !self.may_call() {
                break;
            }
            waiting -= 1;
            if let Err(why) = self.call(net, hold, at + began.elapsed()).await {
                failure.get_or_insert(why);
                failures += 1;
            }
        }
        match failure {
            Some(why) => {
                // What the program was told before may be lost with whatever made it fail.
                if !std::mem::replace(&mut self.is_failing, true) {
                    self.stale_before = self.turn;
                }
                Err(why)
            }
            None if waiting > 0 => Err(format!(
                "{waiting} calls of `{}` wait: there are more than {CALLS_MAX} a minute, or calls take too long",
                self.line.program().display()
            )),
            None => {
                self.is_failing = false;
                Ok(())
            }
        }
    }

    async fn call(&mut self, net: IpNet, hold: Option<&Hold>, at: Timestamp) -> Result<(), String> {
        self.turn += 1;
        let call = match hold {
            Some(hold) => Call::Ban(hold.until.since(at), &hold.by),
            None => Call::Unban,
        };
        // A call that fails may have been followed all the same.
        let told = Told {
            until: None,
            turn: self.turn,
        };
        self.told.insert(net, told);
        let args = self.line.fill(net, &call);
        let ran = run(self.line.program(), &args, self.deadline).await;
        ran.map_err(|error| error.to_string())?;
        match hold {
            Some(hold) => {
                let until = Some(hold.until);
                self.told.insert(net, Told { until, ..told });
            }
            None => {
                self.told.remove(&net);
            }
        }
        Ok(())
    }

    fn may_call(&mut self) -> bool {
        let now = Instant::now();
        while let Some(first) = self.calls.front()
            && now.duration_since(*first) >= CALLS_WITHIN
        {
            self.calls.pop_front();
        }
        let may = self.calls.len() < CALLS_MAX;
        if may {
            self.calls.push_back(now);
        }
        may
    }
}

impl Sink for Command {
    const NAME: &'static str = "command";

    async fn apply(&mut self, changes: &Changes, at: Timestamp) -> Result<(), String> {
        // The program may know more than this run has told it.
        let lifted = changes.lifted.iter().map(|net| (*net, None));
        let held = changes.held.iter().map(|(net, hold)| (*net, Some(hold)));
        let tasks = lifted.chain(held).collect();
        self.call_all(tasks, at).await
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> Result<Option<String>, String> {
        let over = self
            .told
            .iter()
            .filter(|(net, _)| !desired.contains_key(net));
        let mut over: Vec<_> = over.map(|(net, told)| (told.turn, *net, None)).collect();
        let mut due: Vec<_> = desired
            .iter()
            .filter_map(|(net, hold)| {
                let turn = match self.told.get(net) {
                    None => 0,
                    Some(told) if told.until != Some(hold.until) => told.turn,
                    Some(told) if told.turn < self.stale_before => told.turn,
                    Some(_) => return None,
                };
                Some((turn, *net, Some(hold)))
            })
            .collect();
        // Who is to come in again comes first. Whose last call is longest ago comes before others, so that one
        // that always fails holds up no other.
        over.sort_unstable_by_key(|(turn, net, _)| (*turn, *net));
        due.sort_unstable_by_key(|(turn, net, _)| (*turn, *net));
        let tasks = over.into_iter().chain(due);
        let tasks = tasks.map(|(_, net, hold)| (net, hold)).collect();
        self.call_all(tasks, at).await.map(|()| None)
    }
}

#[cfg(test)]
mod tests;
