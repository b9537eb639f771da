//! The breaker: a policy that would disconnect a large share of the regulars is more likely wrong than
//! so many of them are. It is stopped before the share is passed, for a while, and no other is.
//!
//! Strangers don't count: anybody can be many of them. But a policy that disconnects most newcomers,
//! while no more of them than usual come, is stopped too: a new release of a wallet looks like that.
//!
//! A larger share is that of all policies together. It stops none of them, or whoever has filled it by
//! tripping one policy would stop each other one by a single hit: once it is used up, regulars are left
//! alone by all of them, and strangers are not.
//!
//! What is remembered is bounded by the rules themselves. A policy has no more regulars than its share,
//! all together no more than theirs, or `regulars_min` of them. Of newcomers a policy has at most
//! [`NEWCOMERS_MAX`], and as soon as it is known how many usually come, no more than half of what is
//! still usual: with more it is stopped, and while more come they are not counted.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Breaker;
use crate::decision::SessionRef;
use crate::history::{Crowd, Party, Rank};
use crate::time::Timestamp;

/// Newcomers are counted over as long as the history counts them.
const NEWCOMERS_WINDOW: Duration = Duration::from_hours(1);

/// Fewer newcomers than this stop no policy, whatever their share.
const NEWCOMERS_MIN: usize = 10;

/// A policy that disconnects more than this share of them is stopped.
const NEWCOMERS_SHARE: f64 = 0.5;

/// Of one policy as many newcomers are counted. So where twice as many come in an hour, and that is
/// usual, no policy is stopped for them.
pub(super) const NEWCOMERS_MAX: usize = 2_000;

/// A session that is to be disconnected, as the breaker looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) session: SessionRef,
    pub(super) party: Party,
    pub(super) rank: Rank,
}

impl Wanted {
    pub(super) fn new(session: SessionRef, rank: Rank) -> Self {
        Self {
            session,
            party: Party::of(&session),
            rank,
        }
    }
}

/// What the breaker remembers.
#[derive(Debug, Default)]
pub(super) struct BreakerState {
    policies: HashMap<Arc<str>, Account>,
    /// Whom all policies together disconnected, those that were stopped since included.
    regulars: HashMap<Party, Timestamp>,
    /// Until when the share of all policies together is used up.
    share_used_up_until: Option<Timestamp>,
}

/// What a policy did, and until when it is stopped.
#[derive(Debug, Default)]
struct Account {
    open_until: Option<Timestamp>,
    regulars: HashMap<Party, Timestamp>,
    newcomers: HashMap<Party, Timestamp>,
}

/// The same as kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedBreaker {
    #[serde(default)]
    policies: Vec<SavedAccount>,
    #[serde(default)]
    regulars: Vec<(Party, Timestamp)>,
    #[serde(default)]
    share_used_up_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedAccount {
    policy: Arc<str>,
    open_until: Option<Timestamp>,
    regulars: Vec<(Party, Timestamp)>,
    newcomers: Vec<(Party, Timestamp)>,
}

impl SavedBreaker {
    pub(super) fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        let accounts = self.policies.iter_mut();
        let own =
            accounts.flat_map(|account| account.regulars.iter_mut().chain(&mut account.newcomers));
        for (party, _) in own.chain(&mut self.regulars) {
            if let Party::Address(net) = party {
                *net = to(*net);
            }
        }
    }
}

impl BreakerState {
    /// Until when a policy is stopped, if it is at `at`.
    pub(super) fn open_until(&self, policy: &str, at: Timestamp) -> Option<Timestamp> {
        let until = self.policies.get(policy)?.open_until;
        until.filter(|&until| until > at)
    }

    /// The policies that are stopped at `at`, each with the end of that.
    pub(super) fn open(&self, at: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        let stopped = self.policies.keys().filter_map(|policy| {
            let until = self.open_until(policy, at)?;
            Some((policy.clone(), until))
        });
        let mut stopped: Vec<_> = stopped.collect();
        stopped.sort();
        stopped
    }

    /// Until when the share of all policies together is used up, if it is at `at`: so long at least no
    /// regular is disconnected that was not before.
    pub(super) fn share_used_up_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.share_used_up_until.filter(|&until| until > at)
    }

    /// Lets a policy go on that is stopped, and counts anew whom it hits; whether it was stopped. That it
    /// was right was for a person to say, so the share of all policies forgets whom it hit as well.
    pub(super) fn close(&mut self, policy: &str) -> bool {
        let account = self.policies.get(policy);
        let is_open = account.is_some_and(|account| account.open_until.is_some());
        if is_open {
            self.policies.remove(policy);
            self.regulars = of_all(&self.policies);
            self.share_used_up_until = None;
        }
        is_open
    }

    /// Before a poll's rulings: forgets what is too long ago. What ends later than if it began now
    /// began before the clock went back.
    pub(super) fn begin(&mut self, at: Timestamp, breaker: Breaker) {
        let used_up = self.share_used_up_until(at);
        self.share_used_up_until = used_up.map(|until| until.min(at + breaker.window));
        self.regulars
            .retain(|_, then| at.since(*then) < breaker.window);
        self.policies.retain(|_, account| {
            let open_until = account.open_until.filter(|&until| until > at);
            account.open_until = open_until.map(|until| until.min(at + breaker.reset));
            account
                .regulars
                .retain(|_, then| at.since(*then) < breaker.window);
            account
                .newcomers
                .retain(|_, then| at.since(*then) <= NEWCOMERS_WINDOW);
            account.open_until.is_some()
                || !account.regulars.is_empty()
                || !account.newcomers.is_empty()
        });
    }

    /// Asks for a policy to disconnect sessions. `Err` says until when it is stopped.
    pub(super) fn pass(
        &mut self,
        policy: &Arc<str>,
        breaker: Breaker,
        at: Timestamp,
        wanted: &[Wanted],
        crowd: Crowd,
    ) -> Result<(), Timestamp> {
        if let Some(until) = self.open_until(policy, at) {
            return Err(until);
        }
        if self.is_too_much(policy, breaker, wanted, crowd) {
            let until = at + breaker.reset;
            *self.policies.entry_ref(policy).or_default() = Account {
                open_until: Some(until),
                ..Account::default()
            };
            return Err(until);
        }
        Ok(())
    }

    /// Leaves out regulars that are too many for all policies together. If there are any, until when
    /// one more must wait.
    pub(super) fn leave_regulars(
        &mut self,
        breaker: Breaker,
        at: Timestamp,
        wanted: &mut Vec<Wanted>,
        crowd: Crowd,
    ) -> Option<Timestamp> {
        let most = regulars_most(breaker, breaker.share_of_all, crowd);
        let room = most.saturating_sub(self.regulars.len());
        let mut fresh: HashSet<Party> = HashSet::new();
        let before = wanted.len();
        wanted.retain(|Wanted { party, rank, .. }| {
            *rank != Rank::Regular
                || self.regulars.contains_key(party)
                || fresh.contains(party)
                || (fresh.len() < room && fresh.insert(*party))
        });
        if wanted.len() == before {
            return None;
        }
        let fresh = fresh.iter().map(|_| at);
        let mut times: Vec<Timestamp> = self.regulars.values().copied().chain(fresh).collect();
        times.sort_unstable();
        let last_to_leave = times.len().checked_sub(most).and_then(|it| times.get(it));
        let until = last_to_leave.map_or(at, |&then| then.min(at)) + breaker.window;
        self.share_used_up_until = Some(until);
        Some(until)
    }

    /// These are disconnected by a policy.
    pub(super) fn note(&mut self, policy: &Arc<str>, at: Timestamp, done: &[Wanted], crowd: Crowd) {
        let of = |rank: Rank| {
            let of_rank = done.iter().filter(move |done| done.rank == rank);
            of_rank.map(move |done| (done.party, at))
        };
        if done.iter().all(|done| done.rank == Rank::Stranger) {
            return;
        }
        self.regulars.extend(of(Rank::Regular));
        let account = self.policies.entry_ref(policy).or_default();
        account.regulars.extend(of(Rank::Regular));
        if !is_flood(crowd) {
            let room = NEWCOMERS_MAX.saturating_sub(account.newcomers.len());
            account.newcomers.extend(of(Rank::Newcomer).take(room));
        }
    }

    fn is_too_much(&self, policy: &str, breaker: Breaker, wanted: &[Wanted], crowd: Crowd) -> bool {
        let own = self.policies.get(policy);
        let count = |rank, known: Option<&HashMap<Party, Timestamp>>| {
            let of_rank = wanted.iter().filter(|wanted| wanted.rank == rank);
            let parties: HashSet<Party> = of_rank.map(|wanted| wanted.party).collect();
            let is_fresh = |party: &&Party| known.is_none_or(|known| !known.contains_key(*party));
            let fresh = parties.iter().filter(is_fresh).count();
            (!parties.is_empty()).then_some(known.map_or(0, HashMap::len) + fresh)
        };
        let regulars = count(Rank::Regular, own.map(|own| &own.regulars));
        if regulars.is_some_and(|count| count > regulars_most(breaker, breaker.share, crowd)) {
            return true;
        }
        crowd.newcomers_usual.is_some()
            && !is_flood(crowd)
            && count(Rank::Newcomer, own.map(|own| &own.newcomers))
                .is_some_and(|newcomers| are_most_newcomers(newcomers, crowd))
    }

    /// These were not disconnected after all; how many regulars are among them.
    pub(super) fn take_back(
        &mut self,
        policy: &str,
        at: Timestamp,
        sessions: &[SessionRef],
    ) -> usize {
        let Some(account) = self.policies.get_mut(policy) else {
            return 0;
        };
        let mut regulars = 0;
        for party in sessions.iter().map(Party::of) {
            if account.regulars.get(&party) == Some(&at) {
                account.regulars.remove(&party);
                self.regulars.remove(&party);
                regulars += 1;
            }
            if account.newcomers.get(&party) == Some(&at) {
                account.newcomers.remove(&party);
            }
        }
        regulars
    }

    pub(super) fn save(&self) -> SavedBreaker {
        let sorted = |disconnected: &HashMap<Party, Timestamp>| {
            let mut sorted: Vec<_> = disconnected.iter().map(|(&p, &t)| (p, t)).collect();
            sorted.sort_unstable();
            sorted
        };
        let policies = self.policies.iter().map(|(policy, account)| SavedAccount {
            policy: policy.clone(),
            open_until: account.open_until,
            regulars: sorted(&account.regulars),
            newcomers: sorted(&account.newcomers),
        });
        let mut policies: Vec<_> = policies.collect();
        policies.sort_by(|a, b| a.policy.cmp(&b.policy));
        SavedBreaker {
            policies,
            regulars: sorted(&self.regulars),
            share_used_up_until: self.share_used_up_until,
        }
    }

    /// An earlier version did not save whom all policies together disconnected, and kept more newcomers.
    pub(super) fn restore(saved: SavedBreaker) -> Self {
        let accounts = saved.policies.into_iter().map(|saved| {
            let newcomers = saved.newcomers.into_iter().take(NEWCOMERS_MAX);
            let account = Account {
                open_until: saved.open_until,
                regulars: saved.regulars.into_iter().collect(),
                newcomers: newcomers.collect(),
            };
            (saved.policy, account)
        });
        let policies = accounts.collect();
        let mut regulars = of_all(&policies);
        regulars.extend(saved.regulars);
        Self {
            policies,
            regulars,
            share_used_up_until: saved.share_used_up_until,
        }
    }
}

/// Whom all policies together disconnected, but for those that were stopped since.
fn of_all(policies: &HashMap<Arc<str>, Account>) -> HashMap<Party, Timestamp> {
    let regulars = policies.values().flat_map(|account| &account.regulars);
    regulars.map(|(&party, &then)| (party, then)).collect()
}

/// So many regulars may be disconnected within the window: a share, or just fewer than are too many
/// whatever their share.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
fn regulars_most(breaker: Breaker, share: f64, crowd: Crowd) -> usize {
    let of_share = (crowd.regulars as f64 * share) as usize;
    of_share.max((breaker.regulars_min as usize).saturating_sub(1))
}

/// Whether more newcomers came in the last hour than are usual. How many come is chance, so three standard
/// deviations above the usual number are still usual. Not before it is known what is.
fn is_flood(crowd: Crowd) -> bool {
    let usual = crowd.newcomers_usual.map(|usual| usual as f64);
    usual.is_some_and(|usual| crowd.newcomers as f64 > usual + 3.0 * usual.sqrt())
}

/// Whether so many are most of the last hour's newcomers.
fn are_most_newcomers(disconnected: usize, crowd: Crowd) -> bool {
    disconnected >= NEWCOMERS_MIN && disconnected as f64 > crowd.newcomers as f64 * NEWCOMERS_SHARE
}
