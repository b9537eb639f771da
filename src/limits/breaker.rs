//! The breaker: a policy that would disconnect a large share of the regulars is more likely wrong than
//! so many of them are. It is stopped before the share is passed, for a while, and no other is.
//!
//! Strangers don't count: anybody can be many of them. But a policy that disconnects most newcomers,
//! while no more of them than usual come, is stopped too: a new release of a wallet looks like that.

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

/// Of one policy as many newcomers are counted; where there are more, more than usual come.
const NEWCOMERS_MAX: usize = 100_000;

/// A session that is to be disconnected, as the breaker looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) party: Party,
    pub(super) rank: Rank,
}

impl Wanted {
    pub(super) fn new(session: &SessionRef, rank: Rank) -> Self {
        Self {
            party: Party::of(session),
            rank,
        }
    }
}

/// What the breaker remembers.
#[derive(Debug, Default)]
pub(super) struct BreakerState {
    policies: HashMap<Arc<str>, Account>,
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
        for account in &mut self.policies {
            for (party, _) in account.regulars.iter_mut().chain(&mut account.newcomers) {
                if let Party::Address(net) = party {
                    *net = to(*net);
                }
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

    /// Lets a policy go on that is stopped, and counts anew whom it hits; whether it was stopped.
    pub(super) fn close(&mut self, policy: &str) -> bool {
        let account = self.policies.get(policy);
        let is_open = account.is_some_and(|account| account.open_until.is_some());
        if is_open {
            self.policies.remove(policy);
        }
        is_open
    }

    /// Before a poll's rulings: forgets what is too long ago. What ends later than if it began now
    /// began before the clock went back.
    pub(super) fn begin(&mut self, at: Timestamp, breaker: Breaker) {
        self.policies.retain(|_, account| {
            let open_until = account.open_until.filter(|&until| until > at);
            account.open_until = open_until.map(|until| until.min(at + breaker.reset));
            account
                .regulars
                .retain(|_, then| at.since(*then) <= breaker.window);
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
        let of = |rank: Rank| {
            let of_rank = wanted.iter().filter(move |wanted| wanted.rank == rank);
            of_rank.map(move |wanted| (wanted.party, at))
        };
        if wanted.iter().all(|wanted| wanted.rank == Rank::Stranger) {
            return Ok(());
        }
        let account = self.policies.entry_ref(policy).or_default();
        account.regulars.extend(of(Rank::Regular));
        let room = NEWCOMERS_MAX.saturating_sub(account.newcomers.len());
        account.newcomers.extend(of(Rank::Newcomer).take(room));
        Ok(())
    }

    fn is_too_much(&self, policy: &str, breaker: Breaker, wanted: &[Wanted], crowd: Crowd) -> bool {
        let own = self.policies.get(policy);
        let count = |rank, accounts: &mut dyn Iterator<Item = &HashMap<Party, Timestamp>>| {
            let of_rank = wanted.iter().filter(|wanted| wanted.rank == rank);
            let fresh: HashSet<Party> = of_rank.map(|wanted| wanted.party).collect();
            if fresh.is_empty() {
                return None;
            }
            let known = accounts.flat_map(HashMap::keys).copied();
            Some(known.chain(fresh).collect::<HashSet<Party>>().len())
        };
        let is_beyond = |disconnected: Option<usize>, share: f64| {
            let allowed = crowd.regulars as f64 * share;
            disconnected.is_some_and(|disconnected| {
                disconnected >= breaker.regulars_min as usize && disconnected as f64 > allowed
            })
        };
        let regulars = count(Rank::Regular, &mut own.iter().map(|own| &own.regulars));
        let all = self.policies.values().map(|account| &account.regulars);
        let regulars_of_all = count(Rank::Regular, &mut { all });
        let newcomers = count(Rank::Newcomer, &mut own.iter().map(|own| &own.newcomers));
        is_beyond(regulars, breaker.share)
            || is_beyond(regulars_of_all, breaker.share_of_all)
            || newcomers.is_some_and(|newcomers| are_most_newcomers(newcomers, crowd))
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
        SavedBreaker { policies }
    }

    pub(super) fn restore(saved: SavedBreaker) -> Self {
        let accounts = saved.policies.into_iter().map(|saved| {
            let account = Account {
                open_until: saved.open_until,
                regulars: saved.regulars.into_iter().collect(),
                newcomers: saved.newcomers.into_iter().collect(),
            };
            (saved.policy, account)
        });
        Self {
            policies: accounts.collect(),
        }
    }
}

/// Whether so many are most of the last hour's newcomers, of whom no more than usual came. How many
/// come is chance, so three standard deviations above the usual number are still usual.
fn are_most_newcomers(disconnected: usize, crowd: Crowd) -> bool {
    let Some(usual) = crowd.newcomers_usual.map(|usual| usual as f64) else {
        return false;
    };
    let came = crowd.newcomers as f64;
    disconnected >= NEWCOMERS_MIN
        && disconnected as f64 > came * NEWCOMERS_SHARE
        && came <= usual + 3.0 * usual.sqrt()
}
