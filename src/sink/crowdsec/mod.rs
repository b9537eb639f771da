//! Shares bans by `CrowdSec`'s local API: each is a decision, which its bouncers enforce wherever they are.
//!
//! Decisions of others stay as they are, whatever networks they are about: the agent deletes by number, and only what
//! it added as this machine.

mod api;
mod duration;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use tokio::time::Instant;

use self::api::{Alert, Api, ApiError, parse_url};
use super::decision::{ORIGIN, SentDecision, scenario};
use super::{Changes, Desired, Hold, Sink};
use crate::config::Secret;
use crate::time::Timestamp;

/// An alert has no more decisions than this.
const DECISIONS_MAX: usize = 500;

/// The sink is busy for so long, and a request's deadline, at most; then it listens to what else there is.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// Up to so many decisions are read at each reconciliation; more are read now and then.
const READ_ALWAYS_MAX: usize = 5_000;
const READ_EVERY: Duration = Duration::from_mins(10);

/// A decision that ends so soon is not deleted.
const ENDS_BY_ITSELF: Duration = Duration::from_secs(2);

/// An end that differs by less is the same.
const TOLERANCE: Duration = Duration::from_secs(10);

/// Where the local API is, and who the agent is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrowdsecSettings {
    /// Made by [`CrowdsecSettings::url`].
    pub url: Url,
    /// The name that the machine was added by.
    pub machine: String,
    /// Its password.
    pub password: Secret,
}

impl CrowdsecSettings {
    /// The local API's address: `http` or `https`, without user, password, query and fragment.
    pub fn url(text: &str) -> Option<Url> {
        parse_url(text)
    }
}

/// The sink `crowdsec`.
#[derive(Debug)]
pub struct Crowdsec {
    api: Api,
    /// What there is of this machine's, as far as it was read.
    known: BTreeMap<IpNet, Known>,
    /// When it was last read, and after which login.
    read: Option<(Instant, u64)>,
    /// Whether everything that was asked for has been done.
    is_settled: bool,
}

/// A decision in force.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: u64,
    until: Timestamp,
    /// The end that was asked for, if it was in this run. By another clock the end may be another.
    asked: Option<Timestamp>,
}

impl Known {
    fn is_until(&self, until: Timestamp) -> bool {
        match self.asked {
            Some(asked) => asked == until,
            None => self.until.since(until).max(until.since(self.until)) < TOLERANCE,
        }
    }
}

/// What was wrong with the decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Repair {
    missing: usize,
    excess: usize,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, excess } = self;
        write!(
            f,
            "{missing} bans had no decision, and {excess} decisions no ban"
        )
    }
}

impl Crowdsec {
    /// A sink that has not asked yet.
    pub fn new(settings: CrowdsecSettings) -> Self {
        Self {
            api: Api::new(settings),
            known: BTreeMap::new(),
            read: None,
            is_settled: false,
        }
    }

    /// Whether what there is must be read before it is compared.
    fn must_read(&self) -> bool {
        self.read.is_none_or(|(at, logins)| {
            logins != self.api.logins()
                || self.known.len() <= READ_ALWAYS_MAX
                || at.elapsed() >= READ_EVERY
        })
    }

    /// Reads what there is of this machine's. Returns the numbers of what is there twice, or is about no network.
    async fn read(&mut self, at: Timestamp) -> Result<Vec<u64>, ApiError> {
        let alerts = self.api.alerts().await?;
        let machine = self.api.machine();
        let own = alerts
            .into_iter()
            .filter(|alert| alert.machine_id == machine);
        let before = std::mem::take(&mut self.known);
        let mut spare = Vec::new();
        for (net, mut known) in own.flat_map(|alert| in_force(alert, at)) {
            let Some(net) = net else {
                spare.push(known.id);
                continue;
            };
            let same = before.get(&net).filter(|before| before.id == known.id);
            known.asked = same.and_then(|before| before.asked);
            if let Some(other) = self.known.get(&net) {
                // The one that ends later stays.
                let goes = if other.until < known.until {
                    other.id
                } else {
                    known.id
                };
                spare.push(goes);
                if goes == known.id {
                    continue;
                }
            }
            self.known.insert(net, known);
        }
        self.read = Some((Instant::now(), self.api.logins()));
        Ok(spare)
    }

    /// Adds decisions, and then deletes those whose place they take.
    async fn hold(
        &mut self,
        due: Vec<(IpNet, Hold)>,
        at: Timestamp,
        began: Instant,
    ) -> Result<(), String> {
        let mut by_scenario: BTreeMap<String, Vec<(IpNet, Timestamp)>> = BTreeMap::new();
        for (net, hold) in due {
            let due = by_scenario.entry(scenario(&hold.by)).or_default();
            due.push((net, hold.until));
        }
        for (scenario, due) in by_scenario {
            for due in due.chunks(DECISIONS_MAX) {
                heed(began)?;
                self.add(&scenario, due, at + began.elapsed()).await?;
            }
        }
        Ok(())
    }

    async fn add(
        &mut self,
        scenario: &str,
        due: &[(IpNet, Timestamp)],
        at: Timestamp,
    ) -> Result<(), String> {
        let due: BTreeMap<IpNet, Timestamp> = due
            .iter()
            .filter(|(_, until)| *until > at)
            .copied()
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let decisions = due
            .iter()
            .map(|(net, until)| SentDecision::ban(*net, until.since(at), scenario));
        let decisions: Vec<_> = decisions.collect();
        let added = self.api.add(scenario, &decisions, at).await.map_err(told)?;
        let mut replaced = Vec::new();
        for (net, mut known) in in_force(added, at) {
            let Some(net) = net else { continue };
            known.asked = due.get(&net).copied();
            replaced.extend(self.known.insert(net, known).map(|before| before.id));
        }
        for id in replaced {
            self.api.delete(id).await.map_err(told)?;
        }
        match due.keys().find(|net| !self.known.contains_key(net)) {
            None => Ok(()),
            Some(net) => Err(format!(
                "CrowdSec took a ban of `{net}` and does not list it"
            )),
        }
    }

    async fn lift(
        &mut self,
        nets: Vec<IpNet>,
        at: Timestamp,
        began: Instant,
    ) -> Result<(), String> {
        for net in nets {
            let Some(known) = self.known.get(&net) else {
                continue;
            };
            if known.until > at + ENDS_BY_ITSELF {
                heed(began)?;
                self.api.delete(known.id).await.map_err(told)?;
            }
            self.known.remove(&net);
        }
        Ok(())
    }

    async fn follow(&mut self, changes: &Changes, at: Timestamp) -> Result<(), String> {
        let began = Instant::now();
        self.lift(changes.lifted.clone(), at, began).await?;
        self.hold(changes.held.clone(), at, began).await
    }

    /// What had to be repaired.
    async fn compare(&mut self, desired: &Desired, at: Timestamp) -> Result<Repair, String> {
        let began = Instant::now();
        self.api.log_in().await.map_err(told)?;
        let spare = if self.must_read() {
            self.read(at).await.map_err(told)?
        } else {
            self.known.retain(|_, known| known.until > at);
            Vec::new()
        };
        let (due, over) = self.difference(desired);
        let repair = Repair {
            missing: due.len(),
            excess: over.len() + spare.len(),
        };
        for id in spare {
            heed(began)?;
            self.api.delete(id).await.map_err(told)?;
        }
        self.lift(over, at, began).await?;
        self.hold(due, at, began).await?;
        Ok(repair)
    }

    /// What is desired and not there, and what is there and not desired.
    fn difference(&self, desired: &Desired) -> (Vec<(IpNet, Hold)>, Vec<IpNet>) {
        let is_there = |net: &IpNet, hold: &Hold| {
            let known = self.known.get(net);
            known.is_some_and(|known| known.is_until(hold.until))
        };
        let due = desired.iter().filter(|(net, hold)| !is_there(net, hold));
        let due = due.map(|(net, hold)| (*net, hold.clone())).collect();
        let over = self.known.keys().filter(|net| !desired.contains_key(net));
        (due, over.copied().collect())
    }
}

/// An alert's decisions of the agent's that are in force, with their networks, if they are about one.
fn in_force(alert: Alert, at: Timestamp) -> impl Iterator<Item = (Option<IpNet>, Known)> {
    let decisions = alert.decisions.unwrap_or_default().into_iter();
    decisions.filter_map(move |decision| {
        let left = duration::left(&decision.duration).unwrap_or_default();
        if left.is_zero() || decision.origin != ORIGIN || decision.kind != "ban" {
            return None;
        }
        let known = Known {
            id: decision.id,
            until: at + left,
            asked: None,
        };
        Some((network(&decision.value), known))
    })
}

fn network(value: &str) -> Option<IpNet> {
    let address = || {
        value
            .parse()
            .ok()
            .map(|address: std::net::IpAddr| address.into())
    };
    value.parse().ok().or_else(address)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn told(error: ApiError) -> String {
    error.to_string()
}

/// Whether there is time for one more request.
fn heed(began: Instant) -> Result<(), String> {
    if began.elapsed() < BUSY_MAX {
        return Ok(());
    }
    Err("there are more changes than CrowdSec takes within a minute; the others wait".to_owned())
}

impl Sink for Crowdsec {
    const NAME: &'static str = "crowdsec";

    async fn apply(&mut self, changes: &Changes, at: Timestamp) -> Result<(), String> {
        let followed = self.follow(changes, at).await;
        self.is_settled &= followed.is_ok();
        followed
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> Result<Option<String>, String> {
        // What an error left undone is no news.
        let was_settled = std::mem::take(&mut self.is_settled);
        let repair = self.compare(desired, at).await?;
        self.is_settled = true;
        let is_news = was_settled && repair != Repair::default();
        Ok(is_news.then(|| repair.to_string()))
    }
}
