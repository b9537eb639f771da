//! The agent's part in changes of daemon: news of the daemons in, news of a change out.

use std::path::PathBuf;

use tracing::{error, info, warn};

use super::{Agent, saved_limits};
use crate::act::{Carried, Confirmed};
use crate::daemon::{Daemons, Round};
use crate::decision::Suppression;
use crate::escape;
use crate::journal::{DecisionId, Event, StateChange};
use crate::limits::{Ruling, Verdict};
use crate::policy::{ActionKind, Mode};
use crate::probe::Watching;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::units::format_duration;
use crate::watch::{Change, Confirmation, State};

/// Where rounds of probes come from.
pub trait Rounds: Send {
    /// Those since the last call, in the order of time.
    fn take(&mut self) -> Vec<Round>;
}

/// What was told of a daemon last.
#[derive(Clone, Default)]
pub(super) struct Told {
    state: Option<&'static str>,
    up: Option<bool>,
}

/// Where the status is left, and what it was.
pub(super) struct KeptStatus {
    path: PathBuf,
    last: Option<Status>,
    /// So that it is told once.
    is_failing: bool,
}

impl Rounds for Watching {
    fn take(&mut self) -> Vec<Round> {
        self.take()
    }
}

impl Agent {
    /// Takes the server's daemons: where it can be sent, and where news of them comes from.
    pub fn watch_daemons(&mut self, daemons: Daemons, rounds: Box<dyn Rounds>) {
        self.actor.know_daemons(daemons);
        self.rounds = Some(rounds);
    }

    /// Tells what has changed with the daemons since the last poll.
    pub(super) fn tell_daemons(&mut self) {
        let watch = self.warden.daemons();
        let daemons = watch.daemons();
        let foreign = watch.foreign();
        if self.foreign.as_deref() != foreign {
            if let Some(in_use) = foreign {
                warn!(
                    daemon = &*escape::log(in_use),
                    "the server uses the daemon `{}`, which is none of `[server.daemon]`: nothing is \
                     known of it; write hosts and ports as ElectrumX has them",
                    escape::log(in_use)
                );
            }
            self.foreign = foreign.map(ToOwned::to_owned);
        }
        self.told.resize(daemons.len(), Told::default());
        for (told, daemon) in self.told.iter_mut().zip(daemons) {
            let Some(state) = &daemon.state else { continue };
            let address = escape::log(&daemon.address);
            let now = Told {
                state: Some(state.name()),
                up: daemon.health.up(),
            };
            if told.state != now.state {
                tell_state(&address, state);
            }
            match (told.up, now.up) {
                (Some(false) | None, Some(true)) => {
                    let state = state.name();
                    info!(
                        daemon = &*address,
                        state,
                        healthy = true,
                        "daemon `{address}` is healthy"
                    );
                }
                (Some(true) | None, Some(false)) => {
                    let (word, state) = (state.name(), state.to_string());
                    warn!(
                        daemon = &*address,
                        state = word,
                        healthy = false,
                        "daemon `{address}` is not healthy: {}",
                        escape::log(&state)
                    );
                }
                _ => {}
            }
            *told = now;
        }
    }

    /// Tells once in an outage whether it is the server or its daemons.
    pub(super) fn tell_cause_of_outage(&mut self) {
        let outage = self.warden.daemons().outage().filter(|_| self.is_down);
        if let Some(cause) = outage.filter(|_| self.outage != outage) {
            warn!("the server does not answer, and {cause}");
        }
        // Until a round tells otherwise, or the server answers.
        self.outage = outage.or(self.outage.filter(|_| self.is_down));
    }

    /// Tells that the server uses another daemon than at the poll before, if the agent did not send it
    /// there.
    pub(super) fn tell_move(&mut self) {
        let daemon = self.snapshot.server.daemon.as_deref();
        if let (Some(before), Some(now)) = (self.in_use.as_deref(), daemon)
            && before != now
            && !self.warden.is_changing_daemon()
        {
            warn!(
                daemon = &*escape::log(now),
                daemon_before = &*escape::log(before),
                "the server uses the daemon `{}` now, and no longer `{}`: it moved by itself, or \
                 somebody else moved it",
                escape::log(now),
                escape::log(before)
            );
            self.event = Some(Event::DaemonMoved {
                from: before.to_owned(),
                to: now.to_owned(),
            });
        }
        if let Some(now) = daemon
            && self.in_use.as_deref() != Some(now)
        {
            self.in_use = Some(now.to_owned());
        }
    }

    /// Journals what happened to the server since the poll before.
    pub(super) fn journal_event(&mut self) {
        if let Some(event) = self.event.take() {
            let noted = self.journal.note(self.snapshot.at(), &event);
            self.note_journal(noted);
        }
    }

    /// Leaves a status in this file after each poll, and takes it away in the end.
    pub fn keep_status(&mut self, path: PathBuf) {
        self.status = Some(KeptStatus {
            path,
            last: None,
            is_failing: false,
        });
    }

    /// The status after a poll; one that failed tells nothing new of the server.
    pub(super) fn leave_status(&mut self) {
        let Some(kept) = &mut self.status else { return };
        let interval = self.options.cadence.interval;
        let at = self.clock.now();
        let status = if self.is_down {
            let missed = Snapshot::missed(at, self.snapshot.epoch);
            let last = kept.last.take().map(|status| status.server);
            let outage = self.warden.daemons().outage();
            self.warden.status(&missed, interval).missed(last, outage)
        } else {
            self.warden.status(&self.snapshot, interval)
        };
        let status = kept.last.insert(Status { at, ..status });
        let saved = status.save(&kept.path);
        if let Err(error) = &saved
            && !kept.is_failing
        {
            let path = kept.path.display();
            warn!(
                "the status cannot be written to `{path}`, and `daemons` will not see it: {error}"
            );
        }
        kept.is_failing = saved.is_err();
    }

    /// Nobody is to take an agent that ended for one that runs.
    pub(super) fn remove_status(&self) {
        if let Some(kept) = &self.status {
            _ = std::fs::remove_file(&kept.path);
        }
    }

    /// Remembers which row of the journal news of a change of daemon belongs to.
    pub(super) fn confirm(&mut self, carried: &[Carried]) {
        for carried in carried {
            let Some(id) = carried.id else { continue };
            if let Some(confirmed) = Confirmed::of(carried, id) {
                self.give_up(id);
                self.confirmed = Some(confirmed);
            }
        }
    }

    /// A change before this one that still waits for a block gets no more news.
    fn give_up(&mut self, next: DecisionId) {
        let Some(confirmed) = self.confirmed.take() else {
            return;
        };
        let id = confirmed.id();
        let amended = self.journal.amend(id, confirmed.overtaken(next), &[]);
        self.note_journal(amended);
    }

    /// Tells and journals what became of a change of daemon.
    pub(super) fn amend(&mut self, change: &Change, news: &Confirmation) {
        let Some(confirmed) = &mut self.confirmed else {
            return;
        };
        let (policy, to) = (&*escape::log(&change.policy), &*escape::log(&change.to));
        let decision = confirmed.id().0;
        match news {
            Confirmation::Named { after } => {
                let after = format_duration(*after);
                info!(
                    decision,
                    policy,
                    daemon = to,
                    change = "named",
                    "getinfo names the daemon `{to}` after {after}, by `{policy}`"
                );
            }
            Confirmation::Followed { height } => {
                info!(
                    decision,
                    policy,
                    daemon = to,
                    change = "followed",
                    height,
                    "the server has block {height} of the daemon `{to}`, by `{policy}`"
                );
            }
            Confirmation::Failed { detail } => {
                let shown = escape::log(detail);
                error!(
                    decision,
                    policy,
                    daemon = to,
                    change = "failed",
                    detail = &*shown,
                    "the change of daemon by `{policy}` has failed: {shown}"
                );
            }
        }
        let (id, outcome) = (confirmed.id(), confirmed.amended(news));
        if news.is_last() {
            self.confirmed = None;
        }
        let changes = [StateChange::Limits(saved_limits(&self.warden))];
        let amended = self.journal.amend(id, outcome, &changes);
        self.note_journal(amended);
    }
}

fn tell_state(address: &str, state: &State) {
    if *state == State::WrongCredentials {
        warn!(
            daemon = address,
            state = state.name(),
            "daemon `{address}` refuses user, password or address: correct its URL, and start the \
             agent again"
        );
    } else {
        info!(
            daemon = address,
            state = state.name(),
            "daemon `{address}`: {}",
            escape::log(&state.to_string())
        );
    }
}

/// A daemon that is changed as often as it may be is no matter for policies any more.
pub(super) fn tell_used_up(ruling: &Ruling) {
    let decision = &ruling.decision;
    let is_change = decision.action.kind() == ActionKind::DaemonUrl;
    let Verdict::Suppressed {
        by,
        is_repeat: false,
    } = &ruling.verdict
    else {
        return;
    };
    let (until, limit) = match by {
        Suppression::PolicyLimit { until } => (until, "the policy's `limit`"),
        Suppression::ActionLimit { until } => (until, "`daemon_url` of `[limits]`"),
        _ => return,
    };
    if is_change && ruling.mode == Mode::Enforce {
        error!(
            policy = &*decision.policy,
            by = by.word(),
            "no change of daemon by `{}` before {until}: {limit} lets no more through, failbacks among \
             them; a person must look at the daemons, and may change by hand or raise the limit",
            escape::log(&decision.policy)
        );
    }
}
