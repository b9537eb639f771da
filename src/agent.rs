//! The loop: poll, judge, act, journal.
//!
//! It owns all that changes. One poll is [`Agent::tick`]; [`Agent::run`] repeats it by the clock.
//! It decides nothing itself: the core does, and [`crate::act`] carries it out.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::act::{Actor, Carried};
use crate::decision::{Outcome, Suppression};
use crate::escape;
use crate::history::Continuity;
use crate::journal::{Journal, JournalError, Retention, SavedState};
use crate::policy::{ListId, Mode};
use crate::poll::{Clock, Inspected, inspect, poll};
use crate::rpc::{Client, RpcError};
use crate::snapshot::Snapshot;
use crate::warden::{Judgement, Warden};

/// What the loop is configured with.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Between the starts of two polls.
    pub interval: Duration,
    /// Sessions inspected a poll, at most.
    pub inspect_max: usize,
    /// What the journal keeps.
    pub retention: Retention,
}

/// The agent.
pub struct Agent {
    warden: Warden,
    client: Client,
    journal: Journal,
    actor: Actor,
    clock: Box<dyn Clock>,
    options: AgentOptions,
    snapshot: Snapshot,
    /// Whether the last poll failed, so that an outage is told once and its end once.
    is_down: bool,
    is_journal_down: bool,
    is_breaker_open: bool,
    /// The connection over which `inspect_session` was found to be unknown.
    no_inspection: Option<crate::decision::Epoch>,
    lists: Vec<WatchedList>,
    untracked: u64,
}

/// A list file and when it was last changed.
struct WatchedList {
    id: ListId,
    path: PathBuf,
    modified: Option<SystemTime>,
}

/// What came of a poll.
#[derive(Debug)]
pub struct Tick {
    /// Why there is no snapshot of it, if there is none.
    pub failure: Option<RpcError>,
    /// What was decided, and what came of it. What was held back as at the poll before is left out.
    pub carried: Vec<Carried>,
}

impl Agent {
    /// Takes up what the journal holds of an earlier run.
    pub fn new(
        mut warden: Warden,
        client: Client,
        mut journal: Journal,
        clock: Box<dyn Clock>,
        options: AgentOptions,
    ) -> Result<Self, JournalError> {
        for row in journal.take_interrupted() {
            warn!(
                decision = %row.id,
                policy = &*row.decision.policy,
                target = &*escape::log(&row.decision.target.to_string()),
                "the last run stopped before it learned what came of this decision"
            );
        }
        let SavedState {
            cooldowns,
            log_runs,
            limits,
        } = journal.load_state()?;
        warden.restore(
            serde_json::from_value(limits).unwrap_or_default(),
            cooldowns,
        );
        let mut actor = Actor::default();
        actor.restore(log_runs);
        let lists = watch_lists(&warden);
        Ok(Self {
            warden,
            client,
            journal,
            actor,
            clock,
            options,
            snapshot: Snapshot::default(),
            is_down: false,
            is_journal_down: false,
            is_breaker_open: false,
            no_inspection: None,
            lists,
            untracked: 0,
        })
    }

    /// The last good snapshot, if the last poll succeeded.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        (!self.is_down).then_some(&self.snapshot)
    }

    /// The core.
    pub fn warden(&self) -> &Warden {
        &self.warden
    }

    /// What holds but is not due yet; see [`Warden::pending`].
    pub fn pending(&mut self) -> Vec<crate::engine::Pending> {
        self.warden.pending(&self.snapshot)
    }

    /// Polls by the clock until `shutdown` is ready, and hands each poll's outcome to `told`. A poll
    /// is given up for the shutdown; an act under way is finished first, within its deadlines.
    pub async fn run(
        &mut self,
        shutdown: impl Future<Output = ()>,
        mut told: impl FnMut(&Self, &Tick),
    ) {
        let mut ticks = tokio::time::interval(self.options.interval);
        // After a slow poll the next one comes a whole interval later: the server sets the pace.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = ticks.tick() => {}
            }
            let failure = tokio::select! {
                biased;
                () = &mut shutdown => break,
                polled = self.poll() => polled.err(),
            };
            let tick = self.judge_and_act(failure).await;
            told(self, &tick);
        }
        info!("stopped");
    }

    /// One poll with all that follows from it.
    pub async fn tick(&mut self) -> Tick {
        let failure = self.poll().await.err();
        self.judge_and_act(failure).await
    }

    async fn poll(&mut self) -> Result<(), RpcError> {
        if self.client.needs_fresh_connection() {
            info!("opening a fresh connection before the server throttles this one");
            self.client.reconnect().await?;
        }
        let groups = self.warden.needs_groups();
        poll(&mut self.client, &*self.clock, groups, &mut self.snapshot).await
    }

    async fn judge_and_act(&mut self, failure: Option<RpcError>) -> Tick {
        self.tell_outage(failure.as_ref());
        self.check_journal();
        let judgement = match &failure {
            None => self.judge().await,
            Some(_) => self.warden.missed(self.clock.now(), self.snapshot.epoch),
        };
        let carried = self.act(judgement, failure.is_none()).await;
        self.tell_breaker(&carried);
        self.leave_ambiguous_connection(&carried).await;
        self.maintain();
        Tick { failure, carried }
    }

    async fn judge(&mut self) -> Judgement {
        match self.warden.observe(&self.snapshot) {
            Continuity::Continued | Continuity::First => {}
            Continuity::Restarted => info!("the server was started again: rates begin anew"),
            Continuity::Gap => warn!("too long without a poll: rates and hold times begin anew"),
        }
        if self.no_inspection != Some(self.snapshot.epoch) {
            self.inspect().await;
        }
        let judgement = self.warden.judge(&self.snapshot);
        if judgement.crowded > 0 {
            warn!(
                targets = judgement.crowded,
                "more targets are due than one poll decides on"
            );
        }
        let untracked = self.warden.untracked();
        if untracked > self.untracked {
            warn!(
                count = untracked - self.untracked,
                "a table is full and some targets are not watched: raise the bounds in `[history]`"
            );
            self.untracked = untracked;
        }
        judgement
    }

    async fn inspect(&mut self) {
        for id in self.warden.inspect_next(self.options.inspect_max) {
            match inspect(&mut self.client, id).await {
                Ok(Inspected::Session(inspection)) => self.warden.inspected(id, &inspection),
                Ok(Inspected::Unknown) => {}
                Ok(Inspected::Unsupported) => {
                    self.no_inspection = Some(self.snapshot.epoch);
                    return;
                }
                // The evidence's connection is gone, so nothing will be done by it.
                Err(error) if error.is_connection_lost() => return,
                Err(error) => warn!(session = id, "cannot inspect: {error}"),
            }
        }
    }

    async fn act(&mut self, judgement: Judgement, is_fresh: bool) -> Vec<Carried> {
        // First, for what is switched on now has no `L` in the snapshot yet, and would pass for undone.
        if is_fresh && !self.is_journal_down {
            let ended = self
                .actor
                .end_log_runs(&self.snapshot, &mut self.client, &mut self.journal)
                .await;
            self.note_journal(ended);
        }
        let limits = serde_json::to_value(self.warden.saved_limits()).unwrap_or_default();
        let Judgement {
            rulings, cooldowns, ..
        } = judgement;
        let (client, journal) = (&mut self.client, &mut self.journal);
        let (carried, result) = self
            .actor
            .carry_out(rulings, limits, cooldowns, client, journal)
            .await;
        self.note_journal(result);
        carried
    }

    /// While the journal cannot be written, nothing is enforced: the watch goes on.
    fn note_journal(&mut self, result: Result<(), JournalError>) {
        let Err(error) = result else { return };
        if !self.is_journal_down {
            error!("nothing is enforced any more, for the journal cannot be written: {error}");
        }
        self.is_journal_down = true;
        self.warden.restrict(Mode::DryRun);
    }

    fn check_journal(&mut self) {
        if self.is_journal_down && self.journal.probe().is_ok() {
            self.warden.restrict(Mode::Enforce);
            info!(
                "the journal can be written again: back to mode {}",
                self.warden.mode()
            );
            self.is_journal_down = false;
        }
    }

    fn tell_outage(&mut self, failure: Option<&RpcError>) {
        match (failure, self.is_down) {
            (Some(failure), false) => warn!("poll failed: {failure}"),
            (None, true) => info!("polls succeed again"),
            _ => {}
        }
        self.is_down = failure.is_some();
    }

    fn tell_breaker(&mut self, carried: &[Carried]) {
        let open_until = self.warden.breaker_open_until(self.clock.now());
        match (open_until, self.is_breaker_open) {
            (Some(until), false) => error!(
                decisions = carried.len(),
                "the breaker is open until {until}: so large a share of the sessions was to be \
                 disconnected that the policies must be looked at by a person; nothing is enforced"
            ),
            (None, true) => warn!("the breaker is closed again"),
            _ => {}
        }
        self.is_breaker_open = open_until.is_some();
    }

    /// Releases to 1.3 count RPC connections apart, so one can bear a client's ID. Another
    /// connection gets another number.
    async fn leave_ambiguous_connection(&mut self, carried: &[Carried]) {
        let is_ambiguous =
            |carried: &Carried| carried.outcome == Outcome::Suppressed(Suppression::AmbiguousId);
        if carried.iter().any(is_ambiguous)
            && let Err(error) = self.client.reconnect().await
        {
            warn!("cannot open another connection: {error}");
        }
    }

    fn maintain(&mut self) {
        if !self.is_journal_down {
            let result = self
                .journal
                .maintain(self.clock.now(), &self.options.retention);
            self.note_journal(result.map(drop));
        }
        self.reload_lists();
    }

    /// Reads list files again that have changed. A list that cannot be read stays as it was.
    fn reload_lists(&mut self) {
        for list in &mut self.lists {
            let modified = modified(&list.path);
            if modified.is_none() || modified == list.modified {
                continue;
            }
            list.modified = modified;
            let path = list.path.display();
            match std::fs::read_to_string(&list.path) {
                Err(error) => warn!("the list `{path}` stays as it was: {error}"),
                Ok(text) => match self.warden.policies_mut().reload_list(list.id, text) {
                    Ok(()) => info!("read the list `{path}` again"),
                    Err(diagnostics) => {
                        for diagnostic in diagnostics {
                            warn!("the list `{path}` stays as it was: {diagnostic}");
                        }
                    }
                },
            }
        }
    }
}

fn watch_lists(warden: &Warden) -> Vec<WatchedList> {
    let files = warden.policies().list_files().iter();
    files
        .map(|file| WatchedList {
            id: file.id,
            path: file.path.clone(),
            modified: modified(&file.path),
        })
        .collect()
}

fn modified(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
