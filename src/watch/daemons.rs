//! The daemons over time: their states, their health, and which of them the server may go to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::compare::{Anchor, Needs, Spread, states};
use super::{Counts, Health, State, coin};
use crate::daemon::{Address, BlockHash, Chain, Round, Work};
use crate::policy::DaemonTarget;
use crate::snapshot::Server;
use crate::time::Timestamp;

/// What the daemons are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The server's daemons in their order; the first is the primary. None if none are known.
    pub addresses: Vec<Address>,
    /// How many checks make a daemon healthy, or not.
    pub counts: Counts,
    /// So many blocks a healthy daemon may be behind the best chain.
    pub behind_max: u64,
    /// Within this time a block reaches every daemon that does well; `None`: see
    /// [`Watch::propagation`].
    pub propagation: Option<Duration>,
    /// After a longer time without a round nothing is known of the daemons any more.
    pub fresh_max: Duration,
    /// Whether the primary is to be preferred while another daemon does well.
    pub preempt: bool,
    /// The mean time between blocks, where the coin does not say it.
    pub block_time: Option<Duration>,
    /// The indexes that a daemon must have, where the release does not say it.
    pub indexes: Option<Vec<Box<str>>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            counts: Counts { rise: 12, fall: 3 },
            behind_max: 1,
            propagation: None,
            fresh_max: Duration::from_secs(60),
            preempt: true,
            block_time: None,
            indexes: None,
        }
    }
}

/// What a block may need in any case, on a coin of seconds too.
const PROPAGATION_MIN: Duration = Duration::from_secs(60);

/// The daemons, as the next run needs to know them: for how long each has been what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedDaemons {
    /// When the last round was.
    heard_at: Option<Timestamp>,
    daemons: Vec<SavedDaemon>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedDaemon {
    address: Address,
    state: Option<State>,
    since: Timestamp,
    health: Health,
}

/// All daemons.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    daemons: Vec<Watched>,
    anchor: Option<Anchor>,
    spread: Spread,
    /// When the last round was.
    heard_at: Option<Timestamp>,
    /// The time of the snapshot that was taken in last, and what it said of the server.
    at: Timestamp,
    server: Known,
    /// What an earlier run knew, until the first round of this one.
    resumed: Option<SavedDaemons>,
}

/// What is looked at of the server.
#[derive(Debug, Default)]
struct Known {
    version: Option<String>,
    coin: Option<String>,
    daemon: Option<String>,
    db_height: Option<u64>,
}

impl Known {
    fn keep(&mut self, server: &Server) {
        let keep = |known: &mut Option<String>, now: &Option<String>| {
            // These hardly ever change, and a poll in steady state allocates nothing.
            if known != now {
                known.clone_from(now);
            }
        };
        keep(&mut self.version, &server.version);
        keep(&mut self.coin, &server.coin);
        keep(&mut self.daemon, &server.daemon);
        self.db_height = server.db_height;
    }
}

/// One daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Which.
    pub address: Address,
    /// Its state in the last round; `None` before the first.
    pub state: Option<State>,
    /// Since when it has been in this state, whatever the details.
    pub since: Timestamp,
    /// Its health.
    pub health: Health,
    /// The tip that was heard last, if that is not another chain's.
    pub tip: Option<Tip>,
    /// Its chain in the last round.
    chain: Option<Chain>,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// All work up to it.
    pub work: Work,
}

impl Tip {
    const fn of(chain: &Chain) -> Self {
        Self {
            height: chain.height,
            hash: chain.tip,
            work: chain.work,
        }
    }
}

impl Watched {
    fn new(address: Address) -> Self {
        Self {
            address,
            state: None,
            since: Timestamp::default(),
            health: Health::default(),
            tip: None,
            chain: None,
        }
    }

    /// Its height in the last round, if it answered.
    pub fn height(&self) -> Option<u64> {
        self.chain.as_ref().map(|chain| chain.height)
    }

    fn is_healthy(&self) -> bool {
        self.health.up() == Some(true) && self.state == Some(State::Healthy)
    }

    fn enter(&mut self, state: State, at: Timestamp, counts: Counts) {
        self.health.check(state == State::Healthy, at, counts);
        if self.state.as_ref().map(State::name) != Some(state.name()) {
            self.since = at;
        }
        self.state = Some(state);
    }
}

/// Blocks that a daemon is below a height.
fn gap(height: u64, daemon: &Watched) -> Option<i64> {
    let own = daemon.height()?.cast_signed();
    Some(height.cast_signed().saturating_sub(own))
}

/// What a daemon must have: as it is written, or else as the server's release asks for it.
fn indexes<'a>(settings: &'a Settings, server: &Known) -> Vec<&'a str> {
    if let Some(indexes) = &settings.indexes {
        return indexes.iter().map(|index| &**index).collect();
    }
    let version = server.version.as_deref().unwrap_or_default();
    let coin = server.coin.as_deref().unwrap_or_default();
    coin::indexes(version, coin).to_vec()
}

/// What is wrong when the server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// No daemon answers either. A server that was started then opens no RPC until one has.
    NoDaemon,
    /// A daemon answers, so it is the server.
    Server,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDaemon => {
                "no daemon answers either: start bitcoind first, for ElectrumX opens its RPC only once \
                 a daemon has answered"
            }
            Self::Server => "a daemon answers, so it is ElectrumX itself: look at its log",
        })
    }
}

/// Why the server must not go to a daemon now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unfit<T>(why: String) -> Result<T, Unfit> {
    Err(Unfit(why))
}

impl Watch {
    /// Nothing heard yet.
    pub fn new(settings: Settings) -> Self {
        let addresses = settings.addresses.iter().cloned();
        Self {
            daemons: addresses.map(Watched::new).collect(),
            settings,
            anchor: None,
            spread: Spread::default(),
            heard_at: None,
            at: Timestamp::default(),
            server: Known::default(),
            resumed: None,
        }
    }

    /// Takes up what an earlier run knew. It counts from the first round on, if that is not too late.
    pub(crate) fn resume(&mut self, saved: SavedDaemons) {
        self.resumed = Some(saved);
    }

    /// What the next run needs to know.
    pub(crate) fn save(&self) -> SavedDaemons {
        if let Some(resumed) = &self.resumed {
            return resumed.clone();
        }
        let daemons = self.daemons.iter().map(|daemon| SavedDaemon {
            address: daemon.address.clone(),
            state: daemon.state.clone(),
            since: daemon.since,
            health: daemon.health,
        });
        SavedDaemons {
            heard_at: self.heard_at,
            daemons: daemons.collect(),
        }
    }

    fn take_up(&mut self, saved: SavedDaemons) {
        self.heard_at = saved.heard_at;
        for known in saved.daemons {
            let is_it = |daemon: &&mut Watched| daemon.address == known.address;
            if let Some(daemon) = self.daemons.iter_mut().find(is_it) {
                (daemon.state, daemon.since) = (known.state, known.since);
                daemon.health = known.health;
            }
        }
    }

    /// Takes in a snapshot's time and server, and the rounds since the last one.
    pub fn observe(&mut self, at: Timestamp, server: &Server, rounds: &[Round]) {
        self.server.keep(server);
        self.hear(at, rounds);
    }

    /// Takes in the rounds since the last poll, of a poll that failed at `at`. The server's last words
    /// of itself stay.
    pub fn hear(&mut self, at: Timestamp, rounds: &[Round]) {
        self.at = at;
        for round in rounds {
            self.take_in(round);
        }
    }

    /// What the daemons tell of a server that does not answer; `None` if that is not known.
    pub fn outage(&self) -> Option<Outage> {
        let known = self.daemons.iter().filter(|_| self.is_fresh());
        let answers = known.map(|daemon| match daemon.state {
            // They may answer the server.
            None | Some(State::WrongCredentials) => None,
            Some(_) => Some(daemon.chain.is_some()),
        });
        let answers: Vec<Option<bool>> = answers.collect();
        if answers.contains(&Some(true)) {
            return Some(Outage::Server);
        }
        let is_none = !answers.is_empty() && !answers.contains(&None);
        is_none.then_some(Outage::NoDaemon)
    }

    fn take_in(&mut self, round: &Round) {
        if let Some(saved) = self.resumed.take() {
            self.take_up(saved);
        }
        let gap = self.heard_at.map(|heard| round.at.since(heard));
        if gap.is_some_and(|gap| gap > self.settings.fresh_max) {
            self.forget();
        }
        self.heard_at = Some(round.at);
        let current = self.current_index();
        let coin = self.server.coin.as_deref().unwrap_or_default();
        let chain_name = coin::chain_name(coin);
        let chains: Vec<Option<&Chain>> = round.chains().collect();
        self.anchor = Anchor::after(self.anchor.take(), &chains, current, chain_name);
        let needs = Needs {
            chain_name,
            indexes: &indexes(&self.settings, &self.server),
            behind_max: self.settings.behind_max,
            propagation: self.propagation(),
        };
        let (anchor, spread) = (self.anchor.as_ref(), &mut self.spread);
        let states = states(round, anchor, spread, current, &needs);
        for ((daemon, state), chain) in self.daemons.iter_mut().zip(states).zip(chains) {
            if let Some(chain) = chain {
                // The server's index cannot be on a chain that is known to be another.
                daemon.tip = (state != State::OtherChain).then(|| Tip::of(chain));
            }
            daemon.enter(state, round.at, self.settings.counts);
            daemon.chain = chain.cloned();
        }
    }

    /// After a gap no check follows another. Which chain is the right one is not forgotten.
    fn forget(&mut self) {
        self.spread = Spread::default();
        for daemon in &mut self.daemons {
            *daemon = Watched::new(daemon.address.clone());
        }
    }

    fn current_index(&self) -> Option<usize> {
        let daemon = self.server.daemon.as_deref()?;
        self.index_of(daemon)
    }

    fn index_of(&self, address: &str) -> Option<usize> {
        self.daemons
            .iter()
            .position(|daemon| *daemon.address == *address)
    }

    /// Whether the last round is recent enough to go by.
    fn is_fresh(&self) -> bool {
        self.heard_at
            .is_some_and(|heard| self.at.since(heard) <= self.settings.fresh_max)
    }

    /// What the daemons are judged by.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All daemons, in their order.
    pub fn daemons(&self) -> &[Watched] {
        &self.daemons
    }

    /// The first, if a recent round told of it.
    pub fn primary(&self) -> Option<&Watched> {
        self.daemons.first().filter(|_| self.is_fresh())
    }

    /// The one that the server uses, if it is known and a recent round told of it.
    pub fn current(&self) -> Option<&Watched> {
        let index = self.current_index().filter(|_| self.is_fresh())?;
        Some(&self.daemons[index])
    }

    /// Whether the one that the server uses is healthy. That it refuses the agent says nothing of
    /// that: the server may have another password.
    pub fn current_health(&self) -> Option<bool> {
        let current = self.current()?;
        let is_told = current.state != Some(State::WrongCredentials);
        current.health.up().filter(|_| is_told)
    }

    /// The daemon that the server uses, if it is none of these.
    pub fn foreign(&self) -> Option<&str> {
        let in_use = self.in_use().filter(|_| !self.daemons.is_empty())?;
        self.index_of(in_use).is_none().then_some(in_use)
    }

    /// Host and port of the daemon that the server uses, one of these or not.
    pub fn in_use(&self) -> Option<&str> {
        self.server.daemon.as_deref()
    }

    /// Whether the server uses the primary, if the server tells and the primary is known.
    pub fn on_primary(&self) -> Option<bool> {
        let primary = self.daemons.first()?;
        Some(self.server.daemon.as_deref()? == &*primary.address)
    }

    /// Blocks that a daemon is behind the best healthy one; below zero if it is ahead of it.
    pub fn height_gap(&self, daemon: &Watched) -> Option<i64> {
        gap(self.best_height()?, daemon)
    }

    /// The same for whoever looks: to the best that does well now, for however long.
    pub fn shown_gap(&self, daemon: &Watched) -> Option<i64> {
        let well = self.daemons.iter();
        let well = well.filter(|daemon| daemon.state == Some(State::Healthy));
        gap(well.filter_map(Watched::height).max()?, daemon)
    }

    fn best_height(&self) -> Option<u64> {
        let healthy = self.daemons.iter().filter(|daemon| daemon.is_healthy());
        healthy.filter_map(Watched::height).max()
    }

    /// The mean time between blocks, if it is known.
    pub fn block_time(&self) -> Option<Duration> {
        let coin = self.server.coin.as_deref().unwrap_or_default();
        self.settings.block_time.or_else(|| coin::block_time(coin))
    }

    /// Within this time a block reaches every daemon that does well.
    ///
    /// A daemon whose peer does not deliver a block asks another peer after one block time (Bitcoin
    /// Core's `BLOCK_DOWNLOAD_TIMEOUT_BASE`). Until then, and a fifth for the download, it does well.
    pub fn propagation(&self) -> Duration {
        let by_coin = || self.block_time().map(|mean| mean.mul_f64(1.2));
        let propagation = self.settings.propagation;
        propagation.unwrap_or_else(|| by_coin().unwrap_or_default().max(PROPAGATION_MIN))
    }

    /// The chance that a healthy chain of this coin stands still for so long: blocks come at random.
    pub fn stall_odds(&self, stalled: Duration) -> Option<f64> {
        let mean = self.block_time()?;
        Some((-stalled.as_secs_f64() / mean.as_secs_f64()).exp())
    }

    /// The list that the server is to be given, in order: the first is where it is to be, the others
    /// are for its own failover. The default is the server's own list, and is held to be ours; without
    /// ours it is not checked.
    ///
    /// # Errors
    /// Says why the first must not be used now. Nothing else can let it pass.
    pub fn route(&self, to: &DaemonTarget) -> Result<Vec<Address>, Unfit> {
        match to {
            DaemonTarget::Default if self.daemons.is_empty() => Ok(Vec::new()),
            DaemonTarget::Default => self.fit(0).map(|()| Vec::new()),
            DaemonTarget::Primary => self.list_from(&[0]),
            DaemonTarget::Best => self.list_from(&[self.best()?]),
            DaemonTarget::List(addresses) => {
                let wanted = addresses.iter().map(|address| self.index_of(address));
                match wanted.collect::<Option<Vec<usize>>>() {
                    Some(wanted) => self.list_from(&wanted),
                    None => unfit("not all are daemons of `[server.daemon]`".into()),
                }
            }
        }
    }

    /// These daemons and then the others, in their order, but none that the server must not move to
    /// by itself.
    fn list_from(&self, wanted: &[usize]) -> Result<Vec<Address>, Unfit> {
        let first = wanted.first().copied().unwrap_or_default();
        self.fit(first)?;
        let others = (0..self.daemons.len()).filter(|index| !wanted.contains(index));
        let all = wanted.iter().copied().chain(others);
        let usable = all.filter(|&index| {
            let state = &self.daemons[index].state;
            !matches!(state, Some(State::WrongCredentials | State::OtherChain))
        });
        Ok(usable
            .map(|index| self.daemons[index].address.clone())
            .collect())
    }

    /// The first healthy one in order at the best height.
    fn best(&self) -> Result<usize, Unfit> {
        let best = self.best_height();
        self.daemons
            .iter()
            .position(|daemon| daemon.is_healthy() && daemon.height() == best)
            .ok_or_else(|| Unfit("no daemon is healthy".into()))
    }

    /// Whether the server may go to this daemon now: it is healthy, not below what the server has,
    /// and has the tip of the daemon in use or more work. Its being healthy includes the anchor.
    fn fit(&self, index: usize) -> Result<(), Unfit> {
        let Some(daemon) = self.daemons.get(index) else {
            return unfit("there is no `[server.daemon]`".into());
        };
        let address = &daemon.address;
        if !self.is_fresh() {
            return unfit(format!("`{address}` was not probed of late"));
        }
        // By itself the server goes to none but its own: elsewhere somebody sent it, and the chains
        // cannot be compared.
        let Some(current) = self.current_index() else {
            return unfit(match self.in_use() {
                Some(daemon) => format!(
                    "the server uses `{daemon}`, which is none of the daemons in `[server.daemon]`"
                ),
                None => "the server does not tell which daemon it uses".to_owned(),
            });
        };
        if current == index {
            return unfit(format!("the server uses `{address}` already"));
        }
        let Some(chain) = daemon.chain.as_ref().filter(|_| daemon.is_healthy()) else {
            let state = daemon.state.as_ref().map_or("unknown", State::name);
            let state = match daemon.health.up() {
                Some(true) => format!("is {state} now"),
                Some(false) => format!("is not healthy: {state}"),
                None => format!("has not been watched for long enough: {state}"),
            };
            return unfit(format!("`{address}` {state}"));
        };
        let current = &self.daemons[current];
        if let Some(tip) = current.tip
            && chain.hash(tip.height) != Some(tip.hash)
            && chain.work <= tip.work
        {
            let answers = current.chain.is_some();
            return unfit(if chain.height < tip.height {
                let whose = if answers {
                    "the daemon in use"
                } else {
                    "the last tip of the daemon in use"
                };
                format!(
                    "`{address}` is below {whose}: {} of {}",
                    chain.height, tip.height
                )
            } else {
                format!("`{address}` has another tip than the daemon in use, and no more work")
            });
        }
        match self.server.db_height {
            Some(height) if chain.height < height => unfit(format!(
                "`{address}` is below the server's index: {} of {height}",
                chain.height
            )),
            _ => Ok(()),
        }
    }
}
