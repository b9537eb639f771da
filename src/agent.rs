//! The loop: poll, judge, act, journal.
//!
//! It owns all that changes. One poll is [`Agent::tick`]; [`Agent::run`] repeats it by the clock.
//! It decides nothing itself: the core does, and [`crate::act`] carries it out.

mod by_hand;
mod cadence;
mod canary;
mod cost;
mod crowds;
mod daemons;
mod lists;
mod placed;
mod record;
mod recurrence;
mod sinks;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize as _;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::act::{Actor, Carried, Confirmed, Done, FollowedRows};
use crate::control::Control;
use crate::decision::Outcome;
use crate::escape;
use crate::history::Continuity;
use crate::journal::{
    Event, Journal, JournalError, RestoredClients, Retention, SavedState, StateChange,
};
use crate::limits::Cooldown;
use crate::penalty::Ban;
use crate::policy::{Mode, Policy};
use crate::poll::{Clock, Groups, Inspected, inspect, poll};
use crate::rpc::{Client, RpcError};
use crate::sink::Sinks;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::units::format_duration;
use crate::warden::{Explanation, Judgement, Subject, Warden};
use crate::watch::Outage;
use by_hand::ByHand;
pub use cadence::Cadence;
use cadence::{Beat, Pace};
use canary::Perch;
pub use canary::Visitor;
use cost::Cost;
use crowds::Crowds;
pub use daemons::Rounds;
use daemons::{KeptStatus, Told, tell_used_up};
use lists::WatchedLists;
use placed::Placed;
use record::{Flight, Recorded};
use recurrence::{News, Recurrence, Spell, Turn};
use trust::ClockTrust;

/// What the loop is configured with.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// How often the server is polled.
    pub cadence: Cadence,
    /// Sessions inspected a poll, at most.
    pub inspect_max: usize,
    /// What the journal keeps.
    pub retention: Retention,
}

/// What is known of clients is saved so often: after a kill as much of it is lost.
const SAVE_CLIENTS_EVERY: Duration = Duration::from_secs(600);

/// The same of what is going on: a gap between two runs is bridged only if it is short.
const SAVE_ONGOING_EVERY: Duration = Duration::from_secs(60);

/// The agent.
pub struct Agent {
    warden: Warden,
    client: Client,
    journal: Journal,
    actor: Actor,
    clock: Box<dyn Clock>,
    options: AgentOptions,
    snapshot: Snapshot,
    /// Whether the last poll failed.
    is_down: bool,
    outages: Spell,
    crowded: Recurrence,
    full_tables: Recurrence,
    full_bans: Recurrence,
    evicted_bans: u64,
    held_back: Recurrence,
    uninspectable: Recurrence,
    throttled: Recurrence,
    ambiguous: Recurrence,
    is_journal_down: bool,
    /// The policies that the breaker has stopped, as the log has them.
    stopped: Vec<(Arc<str>, Timestamp)>,
    /// Whether all policies together leave regulars alone, as the log has it.
    is_share_used_up: bool,
    crowds: Crowds,
    cost: Cost,
    placed: Placed,
    clients_saved_at: Timestamp,
    ongoing_saved_at: Timestamp,
    /// The connection over which `inspect_session` was found to be unknown.
    no_inspection: Option<crate::decision::Epoch>,
    rounds: Option<Box<dyn Rounds>>,
    perch: Option<Perch>,
    confirmed: Option<Confirmed>,
    status: Option<KeptStatus>,
    /// By daemon.
    told: Vec<Told>,
    /// The daemon in use, if it is none of the configuration's.
    foreign: Option<String>,
    /// The daemon that the server used when it last told.
    in_use: Option<String>,
    /// What is to be journalled of the last poll.
    event: Option<Event>,
    /// What was told of this outage.
    outage: Option<Outage>,
    lists: WatchedLists,
    sinks: Sinks,
    /// Bans that the sinks do not know of yet, as they are now.
    ban_news: Vec<(IpNet, Option<Ban>)>,
    /// Bans of an earlier run that keep out less now, as they were; until the sinks know.
    spared: Vec<Ban>,
    untracked: u64,
    /// The rows of acts that are followed.
    followed: FollowedRows,
    control: Option<Box<Control>>,
    by_hand: ByHand,
    flight: Option<Flight>,
    /// The server's time that the last poll took.
    took: Duration,
    /// How the last good poll followed the one before.
    continuity: Continuity,
    clock_trust: ClockTrust,
    /// From then on a clock that was set ends the agent.
    follows_clock_from: Option<Timestamp>,
}

/// Why an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// The wall clock was set, and the agent's time is another: the next agent has the right one.
    ClockSet,
}

/// What came of a poll.
#[derive(Debug)]
pub struct Tick {
    /// Why there is no snapshot of it, if there is none.
    pub failure: Option<RpcError>,
    /// What was decided, and what came of it. What was held back as at the poll before is left out.
    pub carried: Vec<Carried>,
    /// Held back too, but not journalled one by one: too many were.
    pub untold: usize,
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
                decision = row.id.0,
                policy = &*row.decision.policy,
                target = &*escape::log(&row.decision.target.to_string()),
                "the last run stopped before it learned what came of a decision by `{}` on {} `{}`",
                escape::log(&row.decision.policy),
                row.decision.target.scope(),
                escape::log(&row.decision.target.to_string())
            );
        }
        let SavedState {
            cooldowns,
            log_runs,
            limits,
            ongoing,
            penalties,
        } = journal.load_state()?;
        sweep_penalties(&mut journal)?;
        let limits = Option::deserialize(limits).unwrap_or_else(|error| {
            warn!("the journal's budgets and breaker cannot be read and begin anew: {error}");
            None
        });
        warden.restore(limits.unwrap_or_default(), cooldowns);
        match Option::deserialize(ongoing) {
            Ok(ongoing) => ongoing.into_iter().for_each(|it| warden.resume(it)),
            Err(error) => warn!("hold times begin anew, for the journal's cannot be read: {error}"),
        }
        let spared = warden.restore_penalties(penalties);
        restore_clients(&mut warden, &mut journal)?;
        let now = clock.now();
        let mut actor = Actor::default();
        actor.restore(log_runs);
        let lists = WatchedLists::of(warden.policies());
        Ok(Self {
            warden,
            client,
            journal,
            actor,
            clock,
            options,
            snapshot: Snapshot::default(),
            is_down: false,
            outages: Spell::default(),
            crowded: Recurrence::default(),
            full_tables: Recurrence::default(),
            full_bans: Recurrence::default(),
            evicted_bans: 0,
            held_back: Recurrence::default(),
            uninspectable: Recurrence::default(),
            throttled: Recurrence::default(),
            ambiguous: Recurrence::default(),
            is_journal_down: false,
            stopped: Vec::new(),
            is_share_used_up: false,
            crowds: Crowds::default(),
            cost: Cost::default(),
            clients_saved_at: now,
            ongoing_saved_at: now,
            placed: Placed::default(),
            no_inspection: None,
            rounds: None,
            perch: None,
            confirmed: None,
            status: None,
            told: Vec::new(),
            foreign: None,
            in_use: None,
            event: None,
            outage: None,
            lists,
            sinks: Sinks::default(),
            ban_news: Vec::new(),
            spared,
            untracked: 0,
            followed: FollowedRows::default(),
            control: None,
            by_hand: ByHand::default(),
            flight: None,
            took: Duration::ZERO,
            continuity: Continuity::First,
            clock_trust: ClockTrust::default(),
            follows_clock_from: None,
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
        if self.is_down {
            return Vec::new();
        }
        self.warden.pending(&self.snapshot)
    }

    /// How the policies stand with a session or an address; see [`Warden::explain`].
    pub fn explain(&mut self, subject: Subject) -> Option<Explanation> {
        if self.is_down {
            return None;
        }
        self.warden.explain(&self.snapshot, subject)
    }

    /// Ends if the wall clock is set, but not before it has run for so long.
    ///
    /// All that is remembered has times of the old clock. A fresh start is what is certain to be right;
    /// a clock that is set over and over must not keep the agent at that.
    pub fn follow_clock(&mut self, after: Duration) {
        self.follows_clock_from = Some(self.clock.now() + after);
    }

    /// Polls by the clock until `shutdown` is ready, and hands each poll's outcome to `told`. A poll
    /// is given up for the shutdown; an act under way is finished first, within its deadlines.
    pub async fn run(
        &mut self,
        shutdown: impl Future<Output = ()>,
        mut told: impl FnMut(&Self, &Tick),
    ) -> Ended {
        let mut beat = Beat::new(self.options.cadence);
        tokio::pin!(shutdown);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break Ended::Asked,
                () = beat.due() => {}
                () = self.answer_next() => continue,
            }
            let began = Instant::now();
            let failure = tokio::select! {
                biased;
                () = &mut shutdown => break Ended::Asked,
                failure = self.watch() => failure,
            };
            let tick = self.judge_and_act(failure).await;
            told(self, &tick);
            if self.is_clock_set() {
                break Ended::ClockSet;
            }
            beat.polled(began, self.pace(), self.took);
        };
        self.save_clients();
        self.save_ongoing(self.clock.now());
        self.end_recording();
        self.remove_status();
        if ended == Ended::Asked {
            info!("stopped");
        }
        ended
    }

    fn is_clock_set(&self) -> bool {
        let follows = self.follows_clock_from;
        follows.is_some_and(|from| self.clock.now() >= from) && self.clock_trust.is_set()
    }

    /// One poll with all that follows from it.
    pub async fn tick(&mut self) -> Tick {
        let failure = self.watch().await;
        self.judge_and_act(failure).await
    }

    /// How the next poll is to come. Over a connection that costs too much not sooner on average: others
    /// can bring that about, and the next poll opens a fresh one.
    fn pace(&self) -> Pace {
        let is_up = self.is_down
            || self.continuity != Continuity::Continued
            || self.warden.is_alert(&self.snapshot);
        Pace::of(is_up, self.client.needs_fresh_connection())
    }

    /// Everything that only reads, so that it can be given up at any moment.
    async fn watch(&mut self) -> Option<RpcError> {
        self.begin_recording();
        let spent = self.client.spent();
        let failure = self.poll().await.err();
        self.tell_outage(failure.as_ref());
        let rounds = self.rounds.as_mut();
        self.snapshot.rounds = rounds.map(|rounds| rounds.take()).unwrap_or_default();
        self.take_visits(failure.is_none());
        if failure.is_none() {
            self.tell_move();
            self.placed.tell(&self.snapshot, self.client.server_addr());
            self.observe();
            if self.no_inspection != Some(self.snapshot.epoch) {
                self.inspect().await;
            }
        }
        let took = self.client.spent().saturating_sub(spent);
        let sessions = self.snapshot.sessions.len();
        self.took = match failure {
            None => self.cost.of(Instant::now(), sessions, took),
            Some(_) => took,
        };
        failure
    }

    async fn poll(&mut self) -> Result<(), RpcError> {
        let is_throttled = self.client.needs_fresh_connection();
        let is_ambiguous = !is_throttled && self.actor.wants_another_connection();
        self.tell_fresh_connection(is_throttled, is_ambiguous);
        if is_throttled || is_ambiguous {
            self.client.reconnect().await?;
        }
        let needs_groups = self.warden.needs_groups();
        poll(
            &mut self.client,
            &*self.clock,
            Groups::if_needed(needs_groups),
            &mut self.snapshot,
        )
        .await?;
        if !needs_groups {
            self.record_groups().await;
        }
        Ok(())
    }

    async fn judge_and_act(&mut self, failure: Option<RpcError>) -> Tick {
        self.check_journal();
        let by_hand = std::mem::take(&mut self.by_hand);
        self.journal_event();
        let mode = self.warden.mode();
        let missed_at = failure.as_ref().map(|_| self.clock.now());
        let mut judgement = match missed_at {
            None => self.judge(),
            Some(at) => {
                let Snapshot {
                    epoch,
                    rounds,
                    visits,
                    ..
                } = &self.snapshot;
                self.warden.missed(at, *epoch, rounds, visits)
            }
        };
        if failure.is_none() {
            self.end_log_runs().await;
        }
        if let Some((change, news)) = &judgement.confirmation {
            self.amend(change, news);
        }
        let held_off = std::mem::take(&mut judgement.held_off);
        let (carried, untold, settled) = self.act(judgement).await;
        let not_held_off = self.hold_off(&held_off, mode).await;
        self.tell_sinks();
        self.hear_sinks();
        self.confirm(&carried);
        self.record_turn(Recorded {
            at: missed_at.unwrap_or_else(|| self.snapshot.at()),
            mode,
            failure: failure.as_ref(),
            closed: &by_hand.closed,
            by_hand: &by_hand.acts,
            carried: &carried,
            not_held_off,
            settled,
        });
        self.tell_breaker();
        self.maintain();
        self.tell_daemons();
        self.tell_cause_of_outage();
        self.leave_status();
        Tick {
            failure,
            carried,
            untold,
        }
    }

    fn observe(&mut self) {
        self.continuity = self.warden.observe(&self.snapshot);
        match self.continuity {
            Continuity::Continued => {}
            Continuity::First => self.warn_of_unknown_fields(),
            Continuity::Restarted => {
                info!("the server was started again: rates begin anew");
                self.warn_of_unknown_fields();
            }
            Continuity::Gap => warn!("too long without a poll: rates and hold times begin anew"),
        }
    }

    fn judge(&mut self) -> Judgement {
        let judgement = self.warden.judge(&self.snapshot);
        let at = self.clock.now();
        let crowded = self.crowded.note(judgement.crowded, at);
        if let Some(News::Begun(targets) | News::GoesOn(targets)) = crowded {
            warn!(targets, "more targets are due than one poll decides on");
        }
        let untracked = self.warden.untracked();
        let news = untracked.saturating_sub(self.untracked);
        self.untracked = untracked;
        if let Some(News::Begun(count) | News::GoesOn(count)) = self.full_tables.note(news, at) {
            warn!(
                count,
                "a table is full and some targets are not watched: raise the bounds in `[history]`"
            );
        }
        judgement
    }

    /// Clients can make the connection dear by their own cost, where they share a group with it.
    fn tell_fresh_connection(&mut self, is_throttled: bool, is_ambiguous: bool) {
        let at = self.clock.now();
        let throttled = self.throttled.note(u64::from(is_throttled), at);
        if let Some(News::Begun(times) | News::GoesOn(times)) = throttled {
            info!(
                times,
                "opening a fresh connection before the server throttles this one"
            );
        }
        let ambiguous = self.ambiguous.note(u64::from(is_ambiguous), at);
        if let Some(News::Begun(times) | News::GoesOn(times)) = ambiguous {
            info!(
                times,
                "opening another connection, for an RPC connection bears the ID of a client"
            );
        }
    }

    /// What policies ask for and this server's release cannot give.
    fn warn_of_unknown_fields(&self) {
        let capabilities = self.snapshot.capabilities();
        for warning in self.warden.policies().lint_for(capabilities) {
            let advice = warning.advice().unwrap_or_default();
            warn!(
                "{warning} in {}: {advice}",
                warning.file().unwrap_or_default()
            );
        }
    }

    async fn inspect(&mut self) {
        let mut unreadable = Vec::new();
        self.inspect_each(&mut unreadable).await;
        self.tell_uninspectable(&unreadable);
    }

    /// Adds to `unreadable` the sessions whose inspections cannot be read, and why.
    async fn inspect_each(&mut self, unreadable: &mut Vec<(u64, RpcError)>) {
        for id in self.warden.inspect_next(self.options.inspect_max) {
            match inspect(&mut self.client, id).await {
                Ok(Inspected::Session(inspection)) => {
                    self.warden.inspected(id, &inspection);
                    self.record_inspected(id);
                }
                Ok(Inspected::Unknown) => {}
                Ok(Inspected::Unsupported) => {
                    self.no_inspection = Some(self.snapshot.epoch);
                    return;
                }
                // The evidence's connection is gone, so nothing will be done by it.
                Err(error) if error.is_connection_lost() => return,
                // Of this session alone: what a client chose may be in its reply, and must not hide others.
                Err(error) => {
                    self.warden.uninspectable(id);
                    unreadable.push((id, error));
                }
            }
        }
    }

    fn tell_uninspectable(&mut self, unreadable: &[(u64, RpcError)]) {
        let at = self.clock.now();
        let news = self.uninspectable.note(unreadable.len() as u64, at);
        let example = unreadable.first();
        match (news, example) {
            (Some(News::Begun(count) | News::GoesOn(count)), Some((session, error))) => warn!(
                session,
                count, "inspections cannot be read, that of session {session} among them: {error}"
            ),
            (Some(News::Begun(count) | News::GoesOn(count)), None) => {
                warn!(count, "inspections could not be read in the last minute");
            }
            (Some(News::Over), _) => info!("inspections can be read again"),
            (None, _) => {}
        }
    }

    async fn end_log_runs(&mut self) {
        let (client, journal) = (&mut self.client, &mut self.journal);
        let ended = self
            .actor
            .end_log_runs(&self.snapshot, client, journal)
            .await;
        self.note_journal(ended);
    }

    async fn act(&mut self, judgement: Judgement) -> (Vec<Carried>, usize, Timestamp) {
        let Judgement {
            rulings,
            cooldowns,
            followed,
            ..
        } = judgement;
        rulings.iter().for_each(tell_used_up);
        self.crowds.tell(&rulings, self.clock.now());
        let mut changes: Vec<StateChange> =
            cooldowns.into_iter().map(StateChange::Cooldown).collect();
        changes.extend(self.penalty_changes());
        let reliefs = self.followed.reliefs(&followed).into_iter();
        changes.extend(reliefs.map(|(id, relief)| StateChange::Relief(id, relief)));
        let (warden, client, journal) = (&self.warden, &mut self.client, &mut self.journal);
        let limits = || saved_limits(warden);
        let Done {
            carried,
            untold,
            journalled,
        } = self
            .actor
            .carry_out(rulings, limits, changes, client, journal)
            .await;
        self.note_journal(journalled);
        let settled = self.settle(&carried);
        let news = self.held_back.note(untold as u64, self.clock.now());
        if let Some(News::Begun(decisions) | News::GoesOn(decisions)) = news {
            warn!(
                decisions,
                "so many more decisions are held back that they are not journalled one by one"
            );
        }
        (carried, untold, settled)
    }

    /// Hands what came of the acts to the core, and journals what of its state that changes.
    fn settle(&mut self, carried: &[Carried]) -> Timestamp {
        let at = self.clock.now();
        let mut changes = Vec::new();
        let mut has_failed = false;
        for Carried {
            id,
            decision,
            outcome,
            unsent,
            ..
        } in carried
        {
            let is_followed = self.warden.settle(decision, outcome, *unsent, at);
            if let Some(id) = id.filter(|_| is_followed) {
                self.followed.add(decision, id);
            }
            has_failed |= *unsent == 0 && matches!(outcome, Outcome::Failed { .. });
            if *unsent > 0 && id.is_some() {
                changes.push(StateChange::Cooldown(Cooldown {
                    policy: decision.policy.clone(),
                    target: decision.target.clone(),
                    until: decision.at,
                }));
            }
        }
        changes.extend(self.penalty_changes());
        if has_failed || !changes.is_empty() {
            changes.push(StateChange::Limits(saved_limits(&self.warden)));
            let saved = self.journal.save(&changes);
            self.note_journal(saved);
        }
        at
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

    /// What cannot be written now is written with what changes later.
    fn save_clients(&mut self) {
        let saved = self.journal.save_clients(&self.warden.client_changes());
        if saved.is_ok() {
            self.warden.clients_saved();
        }
        self.note_journal(saved);
    }

    fn save_ongoing(&mut self, now: Timestamp) {
        self.ongoing_saved_at = now;
        let ongoing = serde_json::to_value(self.warden.ongoing(now)).unwrap_or_default();
        let counted = self.warden.counted_bans().into_iter().map(StateChange::Ban);
        let changes: Vec<StateChange> = counted.chain([StateChange::Ongoing(ongoing)]).collect();
        let saved = self.journal.save(&changes);
        self.note_journal(saved);
    }

    fn tell_outage(&mut self, failure: Option<&RpcError>) {
        self.is_down = failure.is_some();
        let turn = self.outages.note(self.is_down, self.clock.now());
        match (turn, failure) {
            (Some(Turn::Begins), Some(failure)) => warn!(
                "poll failed: {failure}; polls go on every {} or so, and it is logged when one succeeds",
                format_duration(self.options.cadence.interval)
            ),
            (Some(Turn::Ends), _) => info!("polls succeed again"),
            _ => {}
        }
    }

    fn tell_breaker(&mut self) {
        let stopped = self.warden.stopped(self.clock.now());
        let is_in = |policies: &[(Arc<str>, Timestamp)], policy: &str| {
            policies.iter().any(|(other, _)| **other == *policy)
        };
        for (policy, until) in &stopped {
            if !is_in(&self.stopped, policy) {
                let mode = self.warden.mode();
                let bans = self.warden.policies().named(policy);
                let bans = if bans.is_some_and(Policy::bans) {
                    "; its bans stay until a person lifts them, by `electrumx-warden unban --policy`"
                } else {
                    ""
                };
                error!(
                    policy = &**policy,
                    "the breaker has stopped policy `{}` until {until} (mode {mode}): it was to \
                     disconnect so many regular clients, or so many of all newcomers, that a \
                     person must look at it; the other policies go on{bans}",
                    escape::log(policy)
                );
            }
        }
        for (policy, _) in &self.stopped {
            if !is_in(&stopped, policy) {
                let name = escape::log(policy);
                warn!(policy = &**policy, "the breaker lets policy `{name}` go on");
            }
        }
        self.stopped = stopped;
        let used_up_until = self.warden.share_used_up_until(self.clock.now());
        match used_up_until {
            Some(until) if !self.is_share_used_up => error!(
                "all policies together have disconnected as many regular clients as `share_of_all` in \
                 `[breaker]` allows (mode {}): no other regular client is disconnected until {until}, \
                 strangers are; a person must look at the acts, and correct the policy that is wrong, or \
                 raise the share",
                self.warden.mode()
            ),
            None if self.is_share_used_up => {
                warn!(
                    "regular clients can be disconnected again: `share_of_all` is no longer used up"
                );
            }
            _ => {}
        }
        self.is_share_used_up = used_up_until.is_some();
    }

    /// What the journal keeps now.
    fn retention(&mut self, now: Timestamp) -> Retention {
        if self.clock_trust.observe(now, self.clock.apart()) {
            warn!(
                "the system's clock was set while the agent runs, which goes on by the time that it \
                 started with until it starts afresh; nothing is deleted for its age"
            );
        }
        let retention = self.options.retention;
        if self.clock_trust.is_proven(now) {
            retention
        } else {
            Retention {
                age_max: Duration::MAX,
                ..retention
            }
        }
    }

    fn maintain(&mut self) {
        let now = self.clock.now();
        let retention = self.retention(now);
        if !self.is_journal_down {
            let result = self.journal.maintain(now, &retention);
            self.note_journal(result.map(drop));
            if now.since(self.clients_saved_at) >= SAVE_CLIENTS_EVERY {
                self.clients_saved_at = now;
                self.save_clients();
            }
            if now.since(self.ongoing_saved_at) >= SAVE_ONGOING_EVERY {
                self.save_ongoing(now);
            }
        }
        self.lists.reload(self.warden.policies_mut());
    }
}

/// Deletes the journal's strikes and bans that cannot be read, and says so.
fn sweep_penalties(journal: &mut Journal) -> Result<(), JournalError> {
    let unreadable = journal.sweep_penalties()?;
    if unreadable > 0 {
        warn!(
            rows = unreadable,
            "the journal has strikes or bans that cannot be read: they are gone, and whoever they kept out is let in"
        );
    }
    Ok(())
}

/// Takes up what an earlier run knew of clients.
fn restore_clients(warden: &mut Warden, journal: &mut Journal) -> Result<(), JournalError> {
    let clients_max = warden.settings().bounds.clients.clients_max;
    let RestoredClients {
        clients,
        unreadable,
    } = journal.take_clients(clients_max)?;
    if unreadable > 0 {
        warn!(
            rows = unreadable,
            "the journal has rows about clients that cannot be read: these clients count as new"
        );
    }
    warden.restore_clients(clients);
    Ok(())
}

fn saved_limits(warden: &Warden) -> serde_json::Value {
    serde_json::to_value(warden.saved_limits()).unwrap_or_default()
}
