//! The pure core in one piece: snapshot to history to decisions to rulings.
//!
//! The live agent, the demo and the tests run this very code; time is the snapshots'. There is no
//! clock, no I/O and no randomness in it or below it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::Round;
use crate::decision::{Decision, Epoch, Outcome, SessionRef, Suppression, Target};
use crate::engine::{Engine, Pending, Proposal, Protection, Standing};
use crate::field::Source;
use crate::history::{
    Bounds, ClientChanges, Continuity, Expulsion, History, SavedClients, SubnetWidths,
};
use crate::limits::{Clients, Cooldown, Limits, LimitsConfig, Ruling, SavedLimits};
use crate::penalty::{Ban, Face, Penalties, PenaltyNews, SavedPenalties};
use crate::policy::{Action, ActionKind, Mode, Policy, PolicySet, Test};
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::status::{PolicyStatus, Status};
use crate::time::Timestamp;
use crate::visit::Visits;
use crate::watch::{self, Change, Confirmation, Confirming, Stall, Watch};
use crate::wire::Inspection;

pub use by_hand::{BanRequest, Lift, Lifted, NothingToLift, Pardoned, PlannedBan, Refusal};
use follow::Following;
pub use follow::{FOLLOWED_MAX, Followed};
pub use ongoing::Ongoing;

pub use explain::{Account, Due, Explanation, Found, Own, Stopped, Subject};

/// What the core is configured with, beside the policies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The agent's mode.
    pub mode: Mode,
    /// How much the history may remember.
    pub bounds: Bounds,
    /// How wide a subnet is.
    pub widths: SubnetWidths,
    /// Who is never a target.
    pub protection: Protection,
    /// Budgets and breaker.
    pub limits: LimitsConfig,
    /// The server's daemons.
    pub daemons: watch::Settings,
    /// The server's slots, if they are known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slots: Option<Slots>,
}

/// What the core made of a poll.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Worst offenders first.
    pub rulings: Vec<Ruling>,
    /// The cooldowns that begin with what is permitted and enforced.
    pub cooldowns: Vec<Cooldown>,
    /// Targets that were due but beyond [`crate::engine::DECISIONS_MAX`] of their policy.
    pub crowded: u64,
    /// News of the last change of daemon.
    pub confirmation: Option<(Change, Confirmation)>,
    /// Sessions of those who are banned already. They are to be disconnected without more evidence; in
    /// dry-run they would be, each once.
    pub held_off: Vec<SessionRef>,
    /// What became of the load after earlier acts.
    pub followed: Vec<Followed>,
}

/// For so long after a policy held for anything, the server is looked at closely.
const ALERT_LASTS: Duration = Duration::from_secs(30);

/// The core.
#[derive(Debug)]
pub struct Warden {
    engine: Engine,
    history: History,
    limits: Limits,
    confirming: Option<Confirming>,
    /// What an earlier run saved, until the first poll.
    resumed: Option<Ongoing>,
    /// The last poll of that run, until the first that succeeds.
    polled_before: Option<Timestamp>,
    /// When a policy last held for anything.
    last_held: Option<Timestamp>,
    following: Following,
    settings: Settings,
    mode: Mode,
}

impl Warden {
    /// With nothing seen yet.
    pub fn new(set: PolicySet, settings: Settings) -> Self {
        let engine = Engine::new(set, settings.protection.clone());
        let history = History::new(
            engine.plan().clone(),
            settings.bounds,
            settings.widths,
            settings.daemons.clone(),
        )
        .with_slots(settings.slots);
        let limits = Limits::new(settings.limits, settings.mode);
        Self {
            engine,
            history,
            limits,
            confirming: None,
            resumed: None,
            polled_before: None,
            last_held: None,
            following: Following::default(),
            mode: settings.mode,
            settings,
        }
    }

    /// Takes up what an earlier run left.
    pub fn restore(&mut self, limits: SavedLimits, cooldowns: Vec<Cooldown>) {
        self.limits.restore(limits, cooldowns);
    }

    /// Of the limits, what the next run needs.
    pub fn saved_limits(&self) -> SavedLimits {
        self.limits.save()
    }

    /// The cooldowns that the next run needs.
    pub fn saved_cooldowns(&self) -> Vec<Cooldown> {
        self.limits.cooldowns()
    }

    /// All cooldowns that run, also those of dry-run decisions, which no run takes over.
    pub fn running_cooldowns(&self) -> Vec<Cooldown> {
        let mut cooldowns = self.limits.shadow_cooldowns();
        cooldowns.extend(self.limits.cooldowns());
        cooldowns
    }

    /// What it was configured with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The mode in force.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Holds everything back to dry-run, or lifts that again. What the configuration says stays the
    /// most that is done.
    pub fn restrict(&mut self, mode: Mode) {
        self.mode = mode.min(self.settings.mode);
        self.limits.set_mode(self.mode);
    }

    /// The policies.
    pub fn policies(&self) -> &PolicySet {
        self.engine.set()
    }

    /// The policies, for reading a list again.
    pub fn policies_mut(&mut self) -> &mut PolicySet {
        self.engine.set_mut()
    }

    /// Whether any policy looks at the server's groups.
    pub fn needs_groups(&self) -> bool {
        self.engine.plan().needs_groups()
    }

    /// Takes in a snapshot. [`Warden::judge`] must follow with the same one; in between
    /// [`Warden::inspect_next`] and [`Warden::inspected`] may add to it.
    pub fn observe(&mut self, snapshot: &Snapshot) -> Continuity {
        self.following.weigh_before(&self.history);
        self.take_up(snapshot.at());
        self.bridge(snapshot.at());
        let continuity = self.history.begin(snapshot);
        if continuity == Continuity::Gap {
            self.engine.forget();
        }
        if continuity != Continuity::Continued {
            self.following.forget();
        }
        continuity
    }

    /// The IDs of at most `max` sessions worth a look by `inspect_session`.
    pub fn inspect_next(&self, max: usize) -> Vec<u64> {
        self.history.inspect_next(max)
    }

    /// Takes in what the server said of one session.
    pub fn inspected(&mut self, id: u64, inspection: &Inspection) {
        self.history.inspected(id, inspection);
    }

    /// Takes in that what the server said of one session cannot be read: others are asked for first.
    pub fn uninspectable(&mut self, id: u64) {
        self.history.uninspectable(id);
    }

    /// Judges the snapshot that was observed last.
    pub fn judge(&mut self, snapshot: &Snapshot) -> Judgement {
        self.history.penalties_mut().expire(snapshot.at());
        self.history.show(self.mode.into());
        self.history.finish(snapshot);
        let confirmation = self.confirm(snapshot);
        let mut evaluation = self.engine.evaluate(&self.history, snapshot);
        if self.engine.holds_any() {
            self.last_held = Some(snapshot.at());
        }
        self.bar_second_change(&mut evaluation.proposals);
        self.sentence(&mut evaluation.proposals, snapshot.at());
        let (history, at) = (&self.history, snapshot.at());
        let clients = Clients {
            crowd: history.crowd(),
            rank: &|session| history.rank(session, at),
        };
        let set = self.engine.set();
        let rulings = self.limits.rule(evaluation.proposals, set, at, &clients);
        self.convict(&rulings, at);
        let held_off = self.hold_off(snapshot, &rulings);
        let followed = self.following.weigh(&self.history, at);
        Judgement {
            confirmation,
            held_off,
            followed,
            ..self.judgement(rulings, evaluation.crowded)
        }
    }

    /// Takes in what came, by `at`, of a decision of the last poll. What was held back changes nothing; in
    /// dry-run whoever would be disconnected counts as if it had been.
    ///
    /// What the server was never asked for, `unsent` of its sessions, has no cooldown, costs no budget
    /// and is due again at the next poll. What it was asked for in vain is a failure of the policy: it
    /// waits for longer before the next, if it has a `backoff`. A change of daemon is watched from here
    /// on: whether the server gets on with it.
    ///
    /// Sessions that it was asked to disconnect leave by the agent's doing, which is no evidence.
    ///
    /// What was done to clients is followed from here on, as far as there is room: gives whether it is.
    pub fn settle(
        &mut self,
        decision: &Decision,
        outcome: &Outcome,
        unsent: usize,
        at: Timestamp,
    ) -> bool {
        let kind = decision.action.kind();
        let is_disconnect = kind.disconnects();
        let is_held_back = matches!(outcome, Outcome::Suppressed(_));
        if is_disconnect && !is_held_back && unsent < decision.sessions.len() {
            let (sessions, at) = (&decision.sessions, decision.at);
            let act = Expulsion {
                face: match outcome {
                    Outcome::DryRun => Face::Rehearsed,
                    _ => Face::Real,
                },
                blames: kind.blames(),
            };
            self.history.expelled(sessions, act, at);
        }
        if kind.blames() && unsent > 0 && unsent >= decision.sessions.len() {
            self.acquit(decision);
        }
        match outcome {
            _ if unsent > 0 => self.limits.take_back(decision, unsent),
            Outcome::Failed { .. } => self.failed(&decision.policy, at),
            Outcome::Executed { detail } if kind == ActionKind::DaemonUrl => {
                self.confirming = Some(Confirming::new(Change::of(decision, detail)));
            }
            _ => {}
        }
        let is_done = matches!(outcome, Outcome::Executed { .. });
        is_disconnect && is_done && self.following.follow(decision)
    }

    fn confirm(&mut self, snapshot: &Snapshot) -> Option<(Change, Confirmation)> {
        let confirming = self.confirming.as_mut()?;
        let (at, server) = (snapshot.at(), &snapshot.server);
        let news = confirming.observe(at, server, self.history.daemons())?;
        let change = confirming.change().clone();
        if news.is_last() {
            self.confirming = None;
        }
        if matches!(news, Confirmation::Failed { .. }) {
            self.failed(&change.policy, at);
        }
        Some((change, news))
    }

    /// Until `getinfo` names the daemon that was changed to, nobody changes it again.
    fn bar_second_change(&self, proposals: &mut [Proposal]) {
        if !self.is_changing_daemon() {
            return;
        }
        for proposal in proposals {
            if proposal.decision.action.kind() == ActionKind::DaemonUrl {
                proposal.barred = Some(Suppression::UnfitDaemon {
                    why: "the last change of daemon is not confirmed yet".into(),
                });
            }
        }
    }

    /// Whether a change of daemon waits for `getinfo` to name where the server was sent.
    pub fn is_changing_daemon(&self) -> bool {
        self.confirming.as_ref().is_some_and(Confirming::is_open)
    }

    /// Whether a closer look at the server is worth its while: a policy holds for something, due or not, or
    /// did so a moment ago, for whoever was cut is back within seconds; a change of daemon is not confirmed; the daemon in use is not healthy; or blocks are held up by
    /// more than chance. `snapshot` is the one that was judged last.
    pub fn is_alert(&self, snapshot: &Snapshot) -> bool {
        let daemons = self.history.daemons();
        let is_held_up = |stall| !matches!(stall, Stall::None | Stall::SlowBlock);
        let at = snapshot.at();
        let held = self.last_held.filter(|&then| then <= at);
        held.is_some_and(|then| at.since(then) < ALERT_LASTS)
            || self.confirming.is_some()
            || daemons.current_health() == Some(false)
            || self.history.stall(snapshot).is_some_and(is_held_up)
    }

    /// What is known of the server's daemons.
    pub fn daemons(&self) -> &Watch {
        self.history.daemons()
    }

    /// Takes in that a poll failed: what is not known is missing, not zero.
    ///
    /// `rounds` are the probes' and `visits` the canary's since the last poll: what becomes of the daemons, and
    /// whether wallets are served, is judged all the same.
    pub fn missed(
        &mut self,
        at: Timestamp,
        epoch: Epoch,
        rounds: &[Round],
        visits: &Visits,
    ) -> Judgement {
        self.take_up(at);
        self.history.penalties_mut().expire(at);
        self.history.missed(at, rounds, visits);
        let evaluation = self.engine.missed(&self.history, at, epoch);
        let rulings = self
            .limits
            .rule_missed(evaluation.proposals, self.engine.set(), at);
        self.judgement(rulings, 0)
    }

    fn failed(&mut self, policy: &str, at: Timestamp) {
        self.limits.failed(policy, at, self.engine.set());
    }

    /// How things stand with the daemons, after a snapshot was judged.
    pub fn status(&mut self, snapshot: &Snapshot, interval: Duration) -> Status {
        let is_about_daemons = |policy: &Policy| {
            let probes = |test: &Test| test.field.info().source == Source::Probes;
            policy.action.kind() == ActionKind::DaemonUrl
                || policy
                    .when
                    .any
                    .iter()
                    .flat_map(|all| &all.tests)
                    .any(probes)
        };
        let standings = self
            .engine
            .standings(&self.history, snapshot, is_about_daemons);
        let policies = standings.into_iter();
        let policies: Vec<_> = policies
            .map(|standing| self.policy_status(standing, snapshot.at()))
            .collect();
        Status::new(&self.history, snapshot, self.mode, interval, policies)
    }

    fn policy_status(&self, mut standing: Standing, at: Timestamp) -> PolicyStatus {
        let policy = self.engine.set().named(&standing.policy);
        if let Some(policy) = policy {
            let held = standing.held;
            (standing.held, standing.hold) = self.limits.waited(policy, held, at);
        }
        let route = match &standing.action {
            Action::DaemonUrl { to } if standing.holds => Some(self.history.daemons().route(to)),
            _ => None,
        };
        let held_back = policy.and_then(|policy| self.limits.held_back(policy, &Target::Server));
        // That it waits after failures shows in its times.
        let held_back = held_back.filter(|by| !matches!(by, Suppression::Backoff { .. }));
        let held_back = match (held_back, policy) {
            (Some(by), _) => Some(by.clone()),
            // Not yet, but it is as good as said.
            (None, Some(policy)) if standing.holds && !standing.is_due() => {
                let unfit = route.as_ref().and_then(|route| route.as_ref().err());
                let unfit = unfit.map(|unfit| Suppression::UnfitDaemon {
                    why: unfit.to_string(),
                });
                let due = at + standing.hold.saturating_sub(standing.held);
                unfit.or_else(|| self.limits.foresee(policy, &Target::Server, due))
            }
            _ => None,
        };
        PolicyStatus {
            mode: policy.map_or(self.mode, |policy| policy.mode.min(self.mode)),
            held_back,
            to: route.and_then(|route| route.ok()?.first().cloned()),
            standing,
        }
    }

    fn judgement(&self, rulings: Vec<Ruling>, crowded: u64) -> Judgement {
        let cooldowns = self.limits.started_cooldowns().to_vec();
        Judgement {
            rulings,
            cooldowns,
            crowded,
            confirmation: None,
            held_off: Vec::new(),
            followed: Vec::new(),
        }
    }

    /// The targets for which a policy holds, but not yet for long enough.
    pub fn pending(&mut self, snapshot: &Snapshot) -> Vec<Pending> {
        self.engine.pending(&self.history, snapshot)
    }

    /// The policies that cannot be judged yet or on this release, each with the test that cannot
    /// be told.
    pub fn unjudged(&self) -> Vec<(&Policy, &Test)> {
        self.engine.unjudged(&self.history)
    }

    /// How often something was not watched because a table was full.
    pub fn untracked(&self) -> u64 {
        self.history.untracked()
    }

    /// The policies that the breaker has stopped, each with the end of that.
    pub fn stopped(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        self.limits.stopped(at)
    }

    /// Until when all policies together have used up their share of the regulars, if they have.
    pub fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.limits.share_used_up_until(at)
    }

    /// Lets a policy go on that the breaker has stopped; whether it was.
    pub fn close_breaker(&mut self, policy: &str) -> bool {
        self.limits.close_breaker(policy)
    }

    /// Takes up what an earlier run knew of clients.
    pub fn restore_clients(&mut self, saved: SavedClients) {
        self.history.restore_clients(saved);
    }

    /// Takes up strikes and bans of an earlier run. What has ended meanwhile is over at the first poll. Who is protected
    /// now is let in: returns the bans that this changed, as they were.
    pub fn restore_penalties(&mut self, saved: SavedPenalties) -> Vec<Ban> {
        let Protection { addresses, own, .. } = &self.settings.protection;
        let penalties = self.history.penalties_mut();
        penalties.restore(saved);
        let mut changed = penalties.bans.spare(addresses);
        changed.extend(penalties.bans.spare(own));
        changed
    }

    /// The strikes and bans that the next run needs.
    pub fn saved_penalties(&self) -> SavedPenalties {
        self.history.penalties().save()
    }

    /// Strikes and bans.
    pub fn penalties(&self) -> &Penalties {
        self.history.penalties()
    }

    /// What of them has changed since this was asked last.
    pub fn penalty_news(&mut self) -> PenaltyNews {
        self.history.penalties_mut().news()
    }

    /// The bans that kept out more sessions since this was asked last.
    pub fn counted_bans(&mut self) -> Vec<Ban> {
        self.history.penalties_mut().bans.take_counted()
    }

    /// What the next run needs to know of clients.
    pub fn saved_clients(&self) -> SavedClients {
        self.history.saved_clients()
    }

    /// What has changed of it since it was saved.
    pub fn client_changes(&self) -> ClientChanges {
        self.history.client_changes()
    }

    /// All that has changed of it is saved.
    pub fn clients_saved(&mut self) {
        self.history.clients_saved();
    }
}

mod by_hand;
mod explain;
mod follow;
mod ongoing;
mod sentence;
#[cfg(test)]
mod tests;
