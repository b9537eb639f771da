//! The account of what was permitted and what failed: cooldowns, budgets, limits, the breaker.

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::breaker::{BreakerState, SavedBreaker, Wanted};
use super::bucket::Bucket;
use super::window::Window;
use super::{Budget, Clients, Cooldown, LimitsConfig, Ruling, Verdict};
use crate::decision::{BanRefusal, Decision, NoBan, SessionRef, Suppression, Target};
use crate::engine::Proposal;
use crate::history::{Party, Rank};
use crate::policy::bounds::BACKOFF_RESET;
use crate::policy::{ActionKind, Mode, Policy, PolicySet, Quota};
use crate::time::Timestamp;

/// Beyond so many targets the cooldowns that end first are forgotten first.
const COOLDOWNS_MAX: usize = 100_000;

/// Between two runs of the agent the same session seems to have begun at times that differ so much
/// at the most: by how long an answer took, and by what the server rounds off.
const SINCE_SLACK: Duration = Duration::from_secs(60);

type Key = (Arc<str>, Target);

/// In place of a session's ID, for what is done to the server: once a poll is enough.
const SERVER: u64 = 0;

/// Of a session, when it began; [`Key`]s have that left out.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    since: Option<Timestamp>,
}

/// The acts of a policy that failed, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// One ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    cooldowns: HashMap<Key, Rest>,
    /// Of policies on sessions, by address: who connects from it after the act is the one acted on.
    returns: HashMap<(Arc<str>, IpNet), Rest>,
    actions: HashMap<ActionKind, Bucket>,
    /// Alerts about the server, apart: clients can bring about as many alerts about themselves as they like.
    server_alerts: Option<Bucket>,
    daemon_changes: Window,
    /// Sessions of regulars that were disconnected.
    regulars: Window,
    /// How many of them each client had in this poll, and how many it may have.
    of_client: HashMap<Party, usize>,
    of_client_max: usize,
    policies: HashMap<Arc<str>, Window>,
    breaker: BreakerState,
    failures: HashMap<Arc<str>, Failures>,
    /// The cooldowns that began with this poll.
    started: Vec<Cooldown>,
    /// Which policy has a session already, in this poll.
    taken: HashMap<(ActionKind, u64), Arc<str>>,
    /// The networks that are banned by this poll's decisions, each by which policy's.
    banned: HashMap<IpNet, Arc<str>>,
    suppressed: HashMap<Key, Suppression>,
    suppressed_before: HashMap<Key, Suppression>,
}

/// A ledger as kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedLedger {
    actions: Vec<(ActionKind, Bucket)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_alerts: Option<Bucket>,
    #[serde(default)]
    daemon_changes: Window,
    #[serde(default)]
    regulars: Window,
    #[serde(default)]
    windows: Vec<(Arc<str>, Window)>,
    breaker: SavedBreaker,
    #[serde(default)]
    failures: Vec<(Arc<str>, Failures)>,
}

impl SavedLedger {
    pub(super) fn stopped(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        BreakerState::restore(self.breaker.clone()).open(at)
    }

    pub(super) fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        BreakerState::restore(self.breaker.clone()).share_used_up_until(at)
    }

    pub(super) fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        self.breaker.map_addresses(to);
    }
}

impl Ledger {
    pub(super) fn restore(
        &mut self,
        saved: SavedLedger,
        cooldowns: impl IntoIterator<Item = Cooldown>,
    ) {
        self.actions = saved.actions.into_iter().collect();
        self.server_alerts = saved.server_alerts;
        self.daemon_changes = saved.daemon_changes;
        self.regulars = saved.regulars;
        self.policies = saved.windows.into_iter().collect();
        self.breaker = BreakerState::restore(saved.breaker);
        self.failures = saved.failures.into_iter().collect();
        self.cooldowns.clear();
        self.returns.clear();
        for cooldown in cooldowns {
            let (key, since) = key(&cooldown.policy, &cooldown.target);
            let until = cooldown.until;
            // When that was is not kept: whoever connected after it may be the one acted on.
            if let Some(address) = address(&cooldown.target) {
                let returns = (cooldown.policy.clone(), address);
                self.returns.insert(returns, Rest { until, since });
            }
            let rest = self.cooldowns.entry(key).or_insert(Rest { until, since });
            if until > rest.until {
                *rest = Rest { until, since };
            }
        }
    }

    /// Those that run, in the order of policy and target.
    pub(super) fn cooldowns(&self) -> Vec<Cooldown> {
        let cooldowns = self.cooldowns.iter().map(|((policy, target), rest)| {
            let mut target = target.clone();
            if let (Target::Session(session), Some(since)) = (&mut target, rest.since) {
                session.since = since;
            }
            Cooldown {
                policy: policy.clone(),
                target,
                until: rest.until,
            }
        });
        let mut cooldowns: Vec<_> = cooldowns.collect();
        cooldowns.sort_by(|a, b| (&a.policy, &a.target).cmp(&(&b.policy, &b.target)));
        cooldowns
    }

    pub(super) fn save(&self) -> SavedLedger {
        let mut actions: Vec<_> = self.actions.iter().map(|(&kind, &b)| (kind, b)).collect();
        actions.sort_by_key(|&(kind, _)| kind);
        let windows = self.policies.iter();
        let mut windows: Vec<_> = windows.map(|(p, w)| (p.clone(), w.clone())).collect();
        windows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut failures: Vec<_> = self.failures.iter().map(|(p, &f)| (p.clone(), f)).collect();
        failures.sort_by(|(a, _), (b, _)| a.cmp(b));
        SavedLedger {
            actions,
            server_alerts: self.server_alerts,
            daemon_changes: self.daemon_changes.clone(),
            regulars: self.regulars.clone(),
            windows,
            breaker: self.breaker.save(),
            failures,
        }
    }

    /// Before the rulings of a poll. A missed one tells nothing of what was suppressed at the last.
    pub(super) fn begin(&mut self, at: Timestamp, config: &LimitsConfig, is_missed: bool) {
        // If the clock went back, it was before now all the same.
        for failures in self.failures.values_mut() {
            failures.last = failures.last.min(at);
        }
        self.breaker.begin(at, config.breaker);
        let regulars = config.disconnect_regulars;
        self.regulars.until(regulars, at);
        let left = self.regulars.left(regulars);
        // Half of one is none, or the worst would get each one that becomes free by itself.
        self.of_client_max = if regulars.count == 1 { left } else { left / 2 };
        self.of_client.clear();
        // A poll that fails judges no session: who was taken at the last good one stays to be told.
        self.taken
            .retain(|&(_, target), _| is_missed && target != SERVER);
        self.started.clear();
        self.banned.clear();
        self.cooldowns.retain(|_, rest| rest.until > at);
        self.returns.retain(|_, rest| rest.until > at);
        self.policies.retain(|_, window| !window.is_over(at));
        // No policy remembers them for longer.
        self.failures
            .retain(|_, failures| at.since(failures.last) < *BACKOFF_RESET.end());
        bound(&mut self.cooldowns);
        bound(&mut self.returns);
        if !is_missed {
            std::mem::swap(&mut self.suppressed, &mut self.suppressed_before);
            self.suppressed.clear();
        }
    }

    pub(super) fn end(&mut self) {
        self.suppressed_before.clear();
    }

    pub(super) fn started(&self) -> &[Cooldown] {
        &self.started
    }

    pub(super) fn stopped(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        self.breaker.open(at)
    }

    pub(super) fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.breaker.share_used_up_until(at)
    }

    pub(super) fn close_breaker(&mut self, policy: &str) -> bool {
        self.breaker.close(policy)
    }

    pub(super) fn cooldown(&self, policy: &Arc<str>, target: &Target) -> Option<Timestamp> {
        let (key, since) = key(policy, target);
        let is_same = |rest: &&Rest| match (since, rest.since) {
            (Some(a), Some(b)) => a.since(b).max(b.since(a)) <= SINCE_SLACK,
            _ => true,
        };
        let own = self.cooldowns.get(&key).filter(is_same);
        let is_later = |rest: &&Rest| since.zip(rest.since).is_some_and(|(a, b)| a > b);
        let returned = address(target).and_then(|it| self.returns.get(&(policy.clone(), it)));
        let until = |rest: &Rest| rest.until;
        own.map(until).max(returned.filter(is_later).map(until))
    }

    pub(super) fn rule(
        &mut self,
        proposal: Proposal,
        mode: Mode,
        config: &LimitsConfig,
        set: &PolicySet,
        at: Timestamp,
        clients: &Clients<'_>,
    ) -> Ruling {
        let Proposal {
            mut decision,
            barred,
        } = proposal;
        let verdict = match barred {
            Some(by) => Err(by),
            None => self.permit(&mut decision, config, set, at, clients),
        };
        let verdict = match verdict {
            Ok(withheld) => Verdict::Permitted { withheld },
            Err(by) => {
                let (key, _) = key(&decision.policy, &decision.target);
                let is_same = |last: &Suppression| discriminant(last) == discriminant(&by);
                let was_so = self.suppressed_before.get(&key).is_some_and(is_same);
                let now = self.suppressed.insert(key, by.clone());
                let is_repeat = now.as_ref().map_or(was_so, is_same);
                Verdict::Suppressed { by, is_repeat }
            }
        };
        Ruling {
            decision,
            mode,
            verdict,
        }
    }

    /// How many of its sessions the decision loses to the budget, or what holds it back as a whole.
    fn permit(
        &mut self,
        decision: &mut Decision,
        config: &LimitsConfig,
        set: &PolicySet,
        at: Timestamp,
        clients: &Clients<'_>,
    ) -> Result<usize, Suppression> {
        let policy = set.named(&decision.policy);
        self.rest(decision, policy, at)?;
        if let Some(policy) = policy.filter(|_| !decision.at_once) {
            self.wait_after_failures(policy, decision.held, at)?;
        }
        let kind = decision.action.kind();
        if kind.is_done_to_sessions() {
            self.leave_taken(decision, kind.budget())?;
        } else if kind == ActionKind::DaemonUrl
            && let Some(policy) = self.taken.get(&(kind, SERVER)).cloned()
        {
            return Err(Suppression::Covered { policy });
        }
        if let Some(until) = self.breaker.open_until(&decision.policy, at) {
            return Err(Suppression::Breaker { until });
        }
        let own = policy.and_then(|policy| policy.limit);
        let wanted = wanted(decision);
        let mut granted = self
            .available(&decision.policy, own, (kind, &decision.target), config, at)?
            .min(wanted);
        if kind.disconnects() {
            granted = self.grant(decision, granted, config, at, clients)?;
        } else if kind.is_done_to_sessions() {
            decision.sessions.truncate(granted);
        }
        match allowance(config, kind) {
            Allowance::Strict(_) => {
                self.daemon_changes.note(at);
                self.taken.insert((kind, SERVER), decision.policy.clone());
            }
            Allowance::Budget(budget) => {
                self.bucket(kind, &decision.target, budget, at)
                    .take(granted);
            }
        }
        self.permit_bans(decision, config, at);
        if own.is_some() {
            let window = self.policies.entry_ref(&decision.policy);
            window.or_default().note(at);
        }
        let withheld = wanted - granted;
        if kind.is_done_to_sessions() {
            let ids = decision.sessions.iter().map(|session| session.id);
            self.taken
                .extend(ids.map(|id| ((kind.budget(), id), decision.policy.clone())));
        }
        // Who got away for want of budget is due again at the next poll.
        if let Some(policy) = policy.filter(|_| withheld == 0) {
            let until = at + policy.cooldown;
            self.started.push(Cooldown {
                policy: decision.policy.clone(),
                target: decision.target.clone(),
                until,
            });
            let (key, since) = key(&decision.policy, &decision.target);
            self.cooldowns.insert(key, Rest { until, since });
            if let Some(address) = address(&decision.target) {
                let since = Some(at);
                let returns = (decision.policy.clone(), address);
                self.returns.insert(returns, Rest { until, since });
            }
        }
        Ok(withheld)
    }

    /// Leaves in a decision the bans of those who are disconnected by it, as many as the budget allows.
    fn permit_bans(&mut self, decision: &mut Decision, config: &LimitsConfig, at: Timestamp) {
        if decision.bans.is_empty() && decision.refused.is_empty() {
            return;
        }
        let sessions = &decision.sessions;
        let address = |session: &SessionRef| session.peer.0.map(|peer| peer.ip());
        let is_about = |net: &IpNet| {
            let mut addresses = sessions.iter().filter_map(address);
            addresses.any(|address| net.contains(&address))
        };
        decision.bans.retain(|ban| is_about(&ban.net));
        decision.refused.retain(|refusal| is_about(&refusal.net));
        for ban in std::mem::take(&mut decision.bans) {
            // Another decision of this poll about the same network has paid for it.
            let is_paid = self.banned.contains_key(&ban.net);
            let bucket = self.bans(config.ban, at);
            if !is_paid && bucket.available(config.ban, at) == 0 {
                let until = bucket.next(config.ban);
                let (net, why) = (ban.net, NoBan::Limit { until });
                decision.refused.push(BanRefusal { net, why });
                continue;
            }
            if !is_paid {
                bucket.take(1);
                self.banned.insert(ban.net, decision.policy.clone());
            }
            decision.bans.push(ban);
        }
        decision.settle_action();
    }

    /// Leaves in a decision to disconnect as many sessions as may be: in all, and of regulars. How many
    /// that are.
    ///
    /// Of what is left for regulars at a poll a client gets half at the most, or one of many sessions, which
    /// stays a regular as long as most of them behave, would keep all other regulars from their turn.
    fn grant(
        &mut self,
        decision: &mut Decision,
        most: usize,
        config: &LimitsConfig,
        at: Timestamp,
        clients: &Clients<'_>,
    ) -> Result<usize, Suppression> {
        let limit = config.disconnect_regulars;
        let used_up = self.regulars.until(limit, at);
        let mut regulars_left = self.regulars.left(limit);
        let mut granted: Vec<Wanted> = Vec::new();
        let mut of_client: HashMap<Party, usize> = HashMap::new();
        let mut is_client_served = false;
        for &session in &decision.sessions {
            if granted.len() >= most {
                break;
            }
            let wanted = Wanted::new(session, (clients.rank)(&session));
            let is_regular = wanted.rank == Rank::Regular;
            if is_regular {
                let before = self.of_client.get(&wanted.party);
                let own = of_client.entry(wanted.party);
                let own = own.or_insert(before.copied().unwrap_or_default());
                is_client_served |= *own >= self.of_client_max;
                if regulars_left == 0 || *own >= self.of_client_max {
                    continue;
                }
                *own += 1;
                regulars_left -= 1;
            }
            granted.push(wanted);
        }
        let next_poll = is_client_served.then_some(at);
        if let Some(until) = used_up
            .or(next_poll)
            .filter(|_| granted.is_empty() && most > 0)
        {
            return Err(Suppression::ActionLimit { until });
        }
        let (policy, breaker, crowd) = (&decision.policy, config.breaker, clients.crowd);
        self.breaker
            .pass(policy, breaker, at, &granted, crowd)
            .map_err(|until| Suppression::Breaker { until })?;
        let left_until = self
            .breaker
            .leave_regulars(breaker, at, &mut granted, crowd);
        if let Some(until) = left_until.filter(|_| granted.is_empty()) {
            return Err(Suppression::ShareOfAll { until });
        }
        self.breaker.note(policy, at, &granted, crowd);
        for regular in granted.iter().filter(|it| it.rank == Rank::Regular) {
            self.regulars.note(at);
            *self.of_client.entry(regular.party).or_default() += 1;
        }
        decision.sessions = granted.iter().map(|granted| granted.session).collect();
        Ok(granted.len())
    }

    /// Whether the policy has left the target alone for long enough.
    fn rest(
        &mut self,
        decision: &Decision,
        policy: Option<&Policy>,
        at: Timestamp,
    ) -> Result<(), Suppression> {
        let Some(until) = self.cooldown(&decision.policy, &decision.target) else {
            return Ok(());
        };
        // One that ends later than if it began now began before the clock went back.
        let until = policy.map_or(until, |policy| until.min(at + policy.cooldown));
        let (key, _) = key(&decision.policy, &decision.target);
        if let Some(rest) = self.cooldowns.get_mut(&key) {
            rest.until = rest.until.min(until);
        }
        let returned = address(&decision.target);
        let returned = returned.map(|address| (decision.policy.clone(), address));
        if let Some(rest) = returned.and_then(|key| self.returns.get_mut(&key)) {
            rest.until = rest.until.min(until);
        }
        let slack = policy.map_or(Duration::ZERO, |policy| cooldown_slack(policy.cooldown));
        if until > at + slack {
            return Err(Suppression::Cooldown { until });
        }
        Ok(())
    }

    /// What held a policy back from a target at the last poll that succeeded.
    pub(super) fn held_back(&self, policy: &Arc<str>, target: &Target) -> Option<&Suppression> {
        self.suppressed.get(&key(policy, target).0)
    }

    /// The policy that acted on a session at the last poll.
    pub(super) fn taken_by(&self, kind: ActionKind, session: u64) -> Option<&Arc<str>> {
        self.taken.get(&(kind.budget(), session))
    }

    /// What would hold a policy back from a target at a time to come, as far as it is known now.
    pub(super) fn foresee(
        &self,
        policy: &Policy,
        target: &Target,
        config: &LimitsConfig,
        due: Timestamp,
    ) -> Option<Suppression> {
        let cooldown = self.cooldown(&policy.name, target);
        if let Some(until) = cooldown.filter(|&until| until > due) {
            return Some(Suppression::Cooldown { until });
        }
        if let Some(until) = self.breaker.open_until(&policy.name, due) {
            return Some(Suppression::Breaker { until });
        }
        let mut then = Self {
            actions: self.actions.clone(),
            server_alerts: self.server_alerts,
            policies: self.policies.clone(),
            daemon_changes: self.daemon_changes.clone(),
            ..Self::default()
        };
        let kind = policy.action.kind();
        let available = then.available(&policy.name, policy.limit, (kind, target), config, due);
        available.err()
    }

    /// For how long a policy has held that counts, and for how long it must.
    pub(super) fn waited(
        &self,
        policy: &Policy,
        held: Duration,
        at: Timestamp,
    ) -> (Duration, Duration) {
        match (policy.backoff, self.failures(policy, at)) {
            (Some(backoff), Some(failed)) => (
                held.min(at.since(failed.last)),
                backoff.hold(policy.hold, failed.count),
            ),
            _ => (held, policy.hold),
        }
    }

    /// How much the policy's own limit and the action's allowance leave, or which of them is used up.
    pub(super) fn available(
        &mut self,
        policy: &Arc<str>,
        own: Option<Quota>,
        (kind, target): (ActionKind, &Target),
        config: &LimitsConfig,
        at: Timestamp,
    ) -> Result<usize, Suppression> {
        if let Some(own) = own
            && let Some(window) = self.policies.get_mut(policy)
            && let Some(until) = window.until(own, at)
        {
            return Err(Suppression::PolicyLimit { until });
        }
        let used_up = |until| Suppression::ActionLimit { until };
        match allowance(config, kind) {
            Allowance::Strict(limit) => match self.daemon_changes.until(limit, at) {
                Some(until) => Err(used_up(until)),
                None => Ok(1),
            },
            Allowance::Budget(budget) => {
                let bucket = self.bucket(kind, target, budget, at);
                match bucket.available(budget, at) {
                    0 => Err(used_up(bucket.next(budget))),
                    available => Ok(available),
                }
            }
        }
    }

    /// Undoes [`Self::permit`] as far as the server was never asked. Whoever got away for that is
    /// due again at the next poll.
    pub(super) fn take_back(&mut self, decision: &Decision, unsent: usize, config: &LimitsConfig) {
        let policy = &decision.policy;
        self.cooldowns.remove(&key(policy, &decision.target).0);
        if let Some(address) = address(&decision.target) {
            self.returns.remove(&(policy.clone(), address));
        }
        let (kind, at) = (decision.action.kind(), decision.at);
        let taken = wanted(decision);
        match allowance(config, kind) {
            Allowance::Strict(_) => self.daemon_changes.take_back(at),
            Allowance::Budget(budget) => {
                let bucket = self.bucket(kind, &decision.target, budget, at);
                bucket.put_back(budget, unsent.min(taken));
            }
        }
        if unsent < taken {
            return;
        }
        if kind.disconnects() {
            let bans = decision.bans.iter();
            let own = bans
                .filter(|ban| self.banned.get(&ban.net) == Some(policy))
                .count();
            self.bans(config.ban, at).put_back(config.ban, own);
            let regulars = self.breaker.take_back(policy, at, &decision.sessions);
            (0..regulars).for_each(|_| self.regulars.take_back(at));
        }
        if let Some(window) = self.policies.get_mut(policy) {
            window.take_back(at);
        }
    }

    /// What is left of an action's budget.
    fn bucket(
        &mut self,
        kind: ActionKind,
        target: &Target,
        budget: Budget,
        at: Timestamp,
    ) -> &mut Bucket {
        let full = || Bucket::full(budget, at);
        match (kind, target) {
            (ActionKind::Alert, Target::Server) => self.server_alerts.get_or_insert_with(full),
            // Apart, so that whoever is cut again and again does not keep slots from being freed.
            (ActionKind::Evict, _) => self.actions.entry(kind).or_insert_with(full),
            _ => self.actions.entry(kind.budget()).or_insert_with(full),
        }
    }

    pub(super) fn hold_off(
        &mut self,
        wanted: usize,
        config: &LimitsConfig,
        at: Timestamp,
    ) -> usize {
        let budget = config.disconnect;
        let bucket = self.bucket(ActionKind::Disconnect, &Target::Server, budget, at);
        // Or those who are banned would come back so often that nobody else can be disconnected.
        let reserve = budget.burst as usize / 2;
        let granted = bucket
            .available(budget, at)
            .saturating_sub(reserve)
            .min(wanted);
        bucket.take(granted);
        granted
    }

    /// What is left of the budget of bans.
    fn bans(&mut self, budget: Budget, at: Timestamp) -> &mut Bucket {
        let bucket = self.actions.entry(ActionKind::Ban);
        bucket.or_insert_with(|| Bucket::full(budget, at))
    }

    /// Takes in that an act of a policy failed.
    pub(super) fn failed(&mut self, policy: &Policy, at: Timestamp) {
        if policy.backoff.is_some() {
            let before = self.failures(policy, at);
            let count = before.map_or(0, |before| before.count).saturating_add(1);
            let failures = Failures { count, last: at };
            self.failures.insert(policy.name.clone(), failures);
        }
    }

    /// The failures of a policy, as far as they still matter.
    fn failures(&self, policy: &Policy, at: Timestamp) -> Option<Failures> {
        let reset = policy.backoff?.reset;
        let failures = self.failures.get(&policy.name).copied();
        failures.filter(|failures| at.since(failures.last) < reset)
    }

    /// The time that counts begins with the last failure: a test that held all along has not been
    /// waited for since.
    fn wait_after_failures(
        &self,
        policy: &Policy,
        held: Duration,
        at: Timestamp,
    ) -> Result<(), Suppression> {
        let (held, hold) = self.waited(policy, held, at);
        match self.failures(policy, at) {
            Some(Failures { count, .. }) if held < hold => Err(Suppression::Backoff {
                hold,
                failures: count,
            }),
            _ => Ok(()),
        }
    }

    /// Leaves out sessions that an earlier decision of this poll has already.
    fn leave_taken(&self, decision: &mut Decision, kind: ActionKind) -> Result<(), Suppression> {
        let Some(first) = decision.sessions.first().map(|session| session.id) else {
            return Ok(());
        };
        decision
            .sessions
            .retain(|session| !self.taken.contains_key(&(kind, session.id)));
        match self.taken.get(&(kind, first)) {
            Some(policy) if decision.sessions.is_empty() => Err(Suppression::Covered {
                policy: policy.clone(),
            }),
            _ => Ok(()),
        }
    }
}

fn key(policy: &Arc<str>, target: &Target) -> (Key, Option<Timestamp>) {
    let (target, since) = match target {
        Target::Session(session) => {
            let since = Timestamp::default();
            (
                Target::Session(SessionRef { since, ..*session }),
                Some(session.since),
            )
        }
        other => (other.clone(), None),
    };
    ((policy.clone(), target), since)
}

/// The address by which a session is known when it comes back; none where it stands for many people.
fn address(target: &Target) -> Option<IpNet> {
    match target {
        Target::Session(session) => match Party::of(session) {
            Party::Address(address) => Some(address),
            Party::Session(_) => None,
        },
        _ => None,
    }
}

/// Polls are not to the millisecond: a cooldown that all but ends with a poll has ended.
fn cooldown_slack(cooldown: Duration) -> Duration {
    const AT_MOST: Duration = Duration::from_millis(500);
    (cooldown / 20).min(AT_MOST)
}

/// Beyond [`COOLDOWNS_MAX`] those that end first are forgotten first.
fn bound<K>(cooldowns: &mut HashMap<K, Rest>) {
    if cooldowns.len() > COOLDOWNS_MAX {
        let mut ends: Vec<Timestamp> = cooldowns.values().map(|rest| rest.until).collect();
        let excess = ends.len() - COOLDOWNS_MAX;
        let last = *ends.select_nth_unstable(excess).1;
        cooldowns.retain(|_, rest| rest.until >= last);
    }
}

/// What a decision takes of its action's budget, if it gets all: a session is one, and so is what is
/// not done to sessions, however many it is about.
fn wanted(decision: &Decision) -> usize {
    if decision.action.kind().is_done_to_sessions() {
        decision.sessions.len().max(1)
    } else {
        1
    }
}

/// What all policies together may do.
enum Allowance {
    /// At a rate, with some saved up.
    Budget(Budget),
    /// Within any span of time so many.
    Strict(Quota),
}

fn allowance(config: &LimitsConfig, kind: ActionKind) -> Allowance {
    match kind {
        ActionKind::Disconnect | ActionKind::Ban | ActionKind::Evict => {
            Allowance::Budget(config.disconnect)
        }
        ActionKind::Log => Allowance::Budget(config.log),
        ActionKind::DaemonUrl => Allowance::Strict(config.daemon_url),
        ActionKind::Alert => Allowance::Budget(config.alert),
    }
}
