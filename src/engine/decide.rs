//! From targets that have held for long enough to decisions with evidence and members.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::choice::{Asked, Candidate, counts_visits, fresh_for};
use super::compile::{Compiled, How};
use super::evidence::saw;
use super::hold::Held;
use super::protection::Guard;
use super::select::Facts;
use super::{DECISIONS_MAX, Engine, Evaluation, Proposal};
use crate::daemon::Address;
use crate::decision::{Choice, Decision, Evidence, SessionRef, Suppression, Target};
use crate::field::{Field, Scope};
use crate::history::History;
use crate::policy::{Action, AllOf, Policy, PolicySet, Predicate, Test};
use crate::snapshot::Snapshot;

/// A target for which a policy has held for long enough.
struct Due {
    /// Whether nothing can be done to it: of too many these are the first to be dropped, so that
    /// protected and absent targets crowd nobody out.
    is_idle: bool,
    severity: f64,
    target: Target,
    held: Held,
}

impl Due {
    const fn session_id(&self) -> Option<u64> {
        match self.target {
            Target::Session(session) => Some(session.id),
            _ => None,
        }
    }
}

/// The sessions of one target.
#[derive(Debug, Default)]
struct Members {
    /// Those to act on; of those that did it, the worst first.
    sessions: Vec<SessionRef>,
    /// Closing, protected, or exempt by the policy.
    spared: u32,
    /// With the ID of an RPC connection.
    ambiguous: u32,
    logged: u32,
    /// On whom it falls, of a target that is many.
    choice: Option<Choice>,
    /// Whether there are members that did not do it.
    has_innocent: bool,
}

impl Members {
    fn add(&mut self, session: SessionRef, fate: Fate) {
        match fate {
            Fate::Free => self.sessions.push(session),
            Fate::Spared => self.spared += 1,
            Fate::Ambiguous => self.ambiguous += 1,
            Fate::Logged => self.logged += 1,
        }
    }
}

/// What a member of a target is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// To be acted on.
    Free,
    Spared,
    Ambiguous,
    Logged,
}

impl Engine {
    pub(super) fn decide(
        &mut self,
        index: usize,
        history: &History,
        snapshot: &Snapshot,
        evaluation: &mut Evaluation,
    ) {
        let policy = &self.set.policies[self.compiled[index].policy];
        let (scope, hold) = (policy.scope, policy.hold);
        let compiled = &self.compiled[index];
        let due: Vec<Held> = compiled
            .holds
            .iter()
            .filter(|held| compiled.is_due(held, hold))
            .copied()
            .collect();
        if due.is_empty() {
            return;
        }
        if let Some(keep_free) = policy.keeps_free() {
            self.evict(index, keep_free, &due, history, snapshot, evaluation);
            return;
        }
        let mut due: Vec<Due> = due
            .into_iter()
            .map(|held| Due {
                is_idle: false,
                severity: self.severity(index, &held, history, snapshot),
                target: history.target(scope, held.slot),
                held,
            })
            .collect();
        if due.len() > DECISIONS_MAX {
            self.find_idle(index, &mut due, history, snapshot);
        }
        due.sort_by(worst_first);
        evaluation.crowded += due.len().saturating_sub(DECISIONS_MAX) as u64;
        due.truncate(DECISIONS_MAX);

        let members = self.members(index, &due, history, snapshot);
        for (due, members) in due.into_iter().zip(members) {
            let Due {
                severity,
                target,
                held,
                ..
            } = due;
            let policy = &self.set.policies[self.compiled[index].policy];
            let Some(barred) = bar(policy, &members, held.slot, history) else {
                continue;
            };
            let (daemons, barred) = match route(&policy.action, history) {
                Ok(daemons) => (daemons, barred),
                Err(unfit) => (Vec::new(), Some(unfit)),
            };
            let decision = Decision {
                at: snapshot.at(),
                epoch: snapshot.epoch,
                policy: policy.name.clone(),
                mode: policy.mode,
                action: policy.action.clone(),
                target,
                held: held.duration,
                severity,
                sessions: members.sessions,
                spared: members.spared + members.ambiguous,
                choice: members.choice,
                at_once: self.compiled[index].at_once(held.slot).is_some(),
                bans: Vec::new(),
                refused: Vec::new(),
                daemons,
                evidence: self.evidence(index, &held, history, snapshot),
            };
            evaluation.proposals.push(Proposal { decision, barred });
        }
    }

    /// The greatest ratio of a target's own value to its threshold; 1 if no such number is tested
    /// upwards. Who stands among worse neighbours is no worse for it.
    fn severity(
        &mut self,
        index: usize,
        held: &Held,
        history: &History,
        snapshot: &Snapshot,
    ) -> f64 {
        let Self {
            set,
            compiled,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let facts = facts(set, compiled, history, snapshot);
        let mut worst = 1.0_f64;
        for probe in compiled.when[held.table].own_probes(facts.scope) {
            if let How::Compare {
                column,
                comparison,
                threshold,
            } = probe.how
                && comparison.is_upwards()
            {
                let seen = history.column(column).of(held.slot);
                worst = worst.max(ratio(seen, facts.threshold(column, threshold, population)));
            }
        }
        worst
    }

    /// What each test of the table that holds saw, and then of the table of `at_once` that does.
    pub(super) fn evidence(
        &mut self,
        index: usize,
        held: &Held,
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<Evidence> {
        let Self {
            set,
            compiled,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let facts = facts(set, compiled, history, snapshot);
        let policy = &set.policies[compiled.policy];
        let tests = &policy.when.any[held.table].tests;
        let mut evidence = saw(
            tests,
            &compiled.when[held.table],
            &facts,
            held.slot,
            population,
        );
        if let (Some(at_once), Some(table)) = (&policy.at_once, compiled.at_once(held.slot)) {
            let (tests, table) = (&at_once.any[table].tests, &compiled.at_once[table]);
            evidence.extend(saw(tests, table, &facts, held.slot, population));
        }
        evidence
    }

    /// The members of all targets that are due, in their order.
    fn members(
        &mut self,
        index: usize,
        due: &[Due],
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<Members> {
        let mut all: Vec<Vec<(u32, Fate)>> = due.iter().map(|_| Vec::new()).collect();
        self.each_member(index, due, history, snapshot, |place, session, fate| {
            all[place].push((session, fate));
        });
        let policy = &self.set.policies[self.compiled[index].policy];
        let asks_who = policy.asks_who();
        let by_net = policy.acts_on_sessions()
            && matches!(policy.scope, Scope::Address | Scope::Subnet | Scope::Group);
        // All addresses are gone through for it, which bandwidth and costs do not ask for.
        let absent = if asks_who && policy.scope == Scope::Subnet && counts_visits(policy) {
            self.absent(due, history)
        } else {
            vec![Vec::new(); due.len()]
        };
        let pairs = due.iter().zip(all).zip(absent);
        pairs
            .map(|((due, mut members), absent)| {
                members.sort_unstable_by_key(|&(session, _)| history.session(session).id);
                if asks_who {
                    self.choose(index, due, &members, &absent, history, snapshot)
                } else {
                    let mut all = Members::default();
                    for (session, fate) in members {
                        // Many people's peer is never acted on as a whole.
                        let is_many = by_net && history.is_private_session(session);
                        let fate = if is_many { Fate::Spared } else { fate };
                        all.add(history.session(session), fate);
                    }
                    all
                }
            })
            .collect()
    }

    /// By subnet that is due, the addresses in it without a session now, but for protected ones.
    fn absent(&self, due: &[Due], history: &History) -> Vec<Vec<u32>> {
        let mut absent = vec![Vec::new(); due.len()];
        let places = due.iter().enumerate();
        let places: HashMap<u32, usize> =
            places.map(|(place, due)| (due.held.slot, place)).collect();
        for (address, net, subnet) in history.absent_addresses() {
            if let Some(&place) = places.get(&subnet)
                && !self.guard.covers_address(net.addr())
            {
                absent[place].push(address);
            }
        }
        absent
    }

    /// Of a target's members those who did it.
    fn choose(
        &mut self,
        index: usize,
        due: &Due,
        members: &[(u32, Fate)],
        absent: &[u32],
        history: &History,
        snapshot: &Snapshot,
    ) -> Members {
        let thresholds = self.thresholds(index, &due.held, history, snapshot);
        let policy = &self.set.policies[self.compiled[index].policy];
        let fresh_for = fresh_for(policy);
        let candidates: Vec<Candidate> = members
            .iter()
            .map(|&(session, fate)| {
                let is_private = history.is_private_session(session);
                let [address, _] = history.targets_of(Scope::Address, session);
                Candidate {
                    session,
                    address: address.filter(|_| !is_private),
                    is_regular: history.is_regular(session),
                    age: history.age(session),
                    is_fresh: !history.is_connected_for(session, fresh_for),
                    is_free: fate != Fate::Spared,
                }
            })
            .collect();
        let asked = Asked {
            history,
            policy,
            when: &policy.when.any[due.held.table],
            thresholds,
            absent,
        };
        let chosen = asked.choose(&candidates);
        let mut fallen = Members {
            choice: chosen.choice,
            has_innocent: chosen.places.len() < candidates.len(),
            ..Members::default()
        };
        for place in chosen.places {
            let (session, fate) = members[place];
            fallen.add(history.session(session), fate);
        }
        let spared = members.iter().filter(|(_, fate)| *fate == Fate::Spared);
        fallen.spared = u32::try_from(spared.count()).unwrap_or(u32::MAX);
        fallen
    }

    /// By test of the table that holds, what a number is compared with.
    fn thresholds(
        &mut self,
        index: usize,
        held: &Held,
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<Option<f64>> {
        let Self {
            set,
            compiled,
            population,
            ..
        } = self;
        let compiled = &compiled[index];
        let facts = facts(set, compiled, history, snapshot);
        let policy = &set.policies[compiled.policy];
        let mut thresholds = vec![None; policy.when.any[held.table].tests.len()];
        for probe in compiled.when[held.table].own_probes(facts.scope) {
            if let How::Compare {
                column, threshold, ..
            } = probe.how
            {
                thresholds[probe.test] = Some(facts.threshold(column, threshold, population));
            }
        }
        thresholds
    }

    /// Marks the targets without a session that can be acted on, if the action needs one.
    fn find_idle(&mut self, index: usize, due: &mut [Due], history: &History, snapshot: &Snapshot) {
        if !self.set.policies[self.compiled[index].policy].acts_on_sessions() {
            return;
        }
        let mut is_idle = vec![true; due.len()];
        self.each_member(index, due, history, snapshot, |place, _, fate| {
            is_idle[place] &= fate != Fate::Free;
        });
        for (due, is_idle) in due.iter_mut().zip(is_idle) {
            due.is_idle = is_idle;
        }
    }

    /// Of sessions those that may be disconnected, whatever policy it is by.
    pub(crate) fn free(
        &mut self,
        sessions: &[u32],
        history: &History,
        snapshot: &Snapshot,
    ) -> Vec<SessionRef> {
        if sessions.is_empty() {
            return Vec::new();
        }
        let rpc_ids = rpc_ids(snapshot);
        let free = sessions.iter().filter(|&&session| {
            let row = history.row(session);
            let is_closing = snapshot.sessions.flags[row].closing;
            !is_closing
                && !rpc_ids.contains(&history.session(session).id)
                && !self.guard.covers(&snapshot.sessions, row)
        });
        free.map(|&session| history.session(session)).collect()
    }

    /// Goes once through the sessions, and hands on each that belongs to a target that is due, with
    /// that target's place.
    fn each_member(
        &mut self,
        index: usize,
        due: &[Due],
        history: &History,
        snapshot: &Snapshot,
        mut each: impl FnMut(usize, u32, Fate),
    ) {
        let policy = &self.set.policies[self.compiled[index].policy];
        if policy.scope == Scope::Server {
            return;
        }
        let slots = due.iter().map(|due| due.held.slot as usize + 1);
        let mut places = vec![None; slots.max().unwrap_or(0)];
        for (place, due) in due.iter().enumerate() {
            places[due.held.slot as usize] = Some(place);
        }
        let rpc_ids = rpc_ids(snapshot);
        for session in history.connected() {
            for target in history.targets_of(policy.scope, session) {
                let place = target.and_then(|target| *places.get(target as usize)?);
                let Some(place) = place else { continue };
                let reference = history.session(session);
                let when = &policy.when.any[due[place].held.table];
                let fate = if rpc_ids.contains(&reference.id) {
                    Fate::Ambiguous
                } else {
                    let row = history.row(session);
                    fate(&self.set, policy, when, &mut self.guard, snapshot, row)
                };
                each(place, session, fate);
            }
        }
    }
}

/// The IDs of RPC connections: in some releases a client's session may bear the same.
fn rpc_ids(snapshot: &Snapshot) -> Vec<u64> {
    let sessions = &snapshot.sessions;
    let rpc = (0..sessions.len()).filter(|&row| sessions.flags[row].is_rpc());
    rpc.map(|row| sessions.id[row]).collect()
}

fn fate(
    set: &PolicySet,
    policy: &Policy,
    when: &AllOf,
    guard: &mut Guard,
    snapshot: &Snapshot,
    row: usize,
) -> Fate {
    let flags = snapshot.sessions.flags[row];
    if flags.closing
        || guard.covers(&snapshot.sessions, row)
        || is_exempt(set, policy, when, snapshot, row)
    {
        Fate::Spared
    } else if flags.logged && matches!(policy.action, Action::Log { .. }) {
        Fate::Logged
    } else {
        Fate::Free
    }
}

/// Whether the policy, asked about this one session of a target and not about the target as a whole,
/// leaves it alone: by an `unless` that asks for nothing but address or name, or by an address that
/// its `when` asks for.
fn is_exempt(
    set: &PolicySet,
    policy: &Policy,
    when: &AllOf,
    snapshot: &Snapshot,
    row: usize,
) -> bool {
    if matches!(policy.scope, Scope::Server | Scope::Session) {
        return false;
    }
    let address = snapshot.sessions.peer[row].0.map(|peer| peer.ip());
    let client = snapshot.sessions.names.get(snapshot.sessions.client[row]);
    let holds = |test: &Test| match (&test.predicate, test.field) {
        _ if test.scope != policy.scope => None,
        (Predicate::In { list, negated }, Field::Address) => {
            Some(set.list(*list).contains_addr(address?) != *negated)
        }
        (Predicate::In { list, negated }, Field::Client) => {
            Some(set.list(*list).contains_text(client) != *negated)
        }
        (Predicate::Matches { regex, negated }, Field::Client) => {
            Some(regex.is_match(client) != *negated)
        }
        (Predicate::Equals { text, negated }, Field::Client) => {
            Some((**text == *client) != *negated)
        }
        _ => None,
    };
    let unless = policy.unless.iter().flat_map(|unless| &unless.any);
    when.tests.iter().any(|test| holds(test) == Some(false))
        || unless
            .into_iter()
            .any(|all| all.tests.iter().all(|test| holds(test) == Some(true)))
}

pub(super) fn facts<'a>(
    set: &'a crate::policy::PolicySet,
    compiled: &Compiled,
    history: &'a History,
    snapshot: &'a Snapshot,
) -> Facts<'a> {
    let policy = &set.policies[compiled.policy];
    Facts {
        set,
        history,
        snapshot,
        scope: policy.scope,
        include_private: policy.include_private,
    }
}

/// `None` if there is nothing to decide: nobody is there to act on.
#[expect(
    clippy::option_option,
    reason = "no decision, a free one, or a barred one"
)]
fn bar(
    policy: &Policy,
    members: &Members,
    slot: u32,
    history: &History,
) -> Option<Option<Suppression>> {
    if !policy.acts_on_sessions() {
        return Some(None);
    }
    if policy.scope == Scope::Group && !history.has_certain_members(slot) {
        return Some(Some(Suppression::UncertainMembers));
    }
    if !members.sessions.is_empty() {
        return Some(None);
    }
    if members.logged > 0 {
        return Some(Some(Suppression::NothingToDo));
    }
    if members.ambiguous > 0 {
        return Some(Some(Suppression::AmbiguousId));
    }
    if members.has_innocent {
        return Some(Some(Suppression::NobodyStandsOut));
    }
    (members.spared > 0).then_some(Some(Suppression::Protection))
}

/// Where a `daemon_url` goes to, in order; empty for the server's own list. Or why it must not.
fn route(action: &Action, history: &History) -> Result<Vec<Address>, Suppression> {
    match action {
        Action::DaemonUrl { to } => {
            let route = history.daemons().route(to);
            route.map_err(|unfit| Suppression::UnfitDaemon {
                why: unfit.to_string(),
            })
        }
        _ => Ok(Vec::new()),
    }
}

fn ratio(seen: f64, threshold: f64) -> f64 {
    if threshold > 0.0 {
        seen / threshold
    } else {
        1.0
    }
}

/// No address and no name counts here: clients choose them, and with pseudonyms in place of
/// addresses the order must be the same.
fn worst_first(a: &Due, b: &Due) -> Ordering {
    a.is_idle
        .cmp(&b.is_idle)
        .then_with(|| b.severity.total_cmp(&a.severity))
        .then_with(|| a.session_id().cmp(&b.session_id()))
        .then_with(|| a.held.slot.cmp(&b.held.slot))
}

impl Policy {
    /// Whether its action is done to sessions, and to nobody if there is none.
    const fn acts_on_sessions(&self) -> bool {
        self.action.kind().is_done_to_sessions()
    }
}
