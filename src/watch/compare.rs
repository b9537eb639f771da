//! The chains of all daemons, compared: who is behind, on a fork, on another chain.
//!
//! The truth is the chain with the most work among those that share the anchor: a block well below
//! the tips that the daemon in use had when it was looked at first, and that moves up with the most
//! work. A daemon without that block is on another chain, whatever its work.
//!
//! A block takes its time from one daemon to the next, and of two at once either may win: nobody is
//! behind or has lost for what the others have had for less than that.

use std::collections::VecDeque;
use std::time::Duration;

use super::State;
use crate::daemon::{BlockHash, Chain, Report, Round, Work, anchor_height};
use crate::time::Timestamp;

/// So many tips are remembered at most; no chain has as many in the time that a block takes.
const MARKS_MAX: usize = 256;

/// A block that every daemon must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    chain: Box<str>,
    height: u64,
    hash: BlockHash,
}

impl Anchor {
    /// The anchor after this round: `before`, moved up; or the first one. Without one the daemons
    /// disagree, and none can say who is right.
    pub(super) fn after(
        before: Option<Self>,
        chains: &[Option<&Chain>],
        current: Option<usize>,
        chain_name: Option<&str>,
    ) -> Option<Self> {
        // Where all have the same chain there is no other: whoever was on one has been put right.
        if chains
            .iter()
            .all(|chain| chain.is_some_and(|c| !c.is_initial_download))
        {
            let agreed = Self::agreed(chains.iter().flatten().copied());
            if agreed.is_some() {
                return agreed;
            }
        }
        let known = |chain: &&Chain| {
            !chain.is_initial_download && chain_name.is_none_or(|name| *chain.name == *name)
        };
        let in_use = current.and_then(|index| *chains.get(index)?).filter(known);
        let in_use = in_use.and_then(Self::below);
        let Some(before) = before else {
            // The daemon in use says which chain it is; without one, all of them or nobody.
            return in_use.or_else(|| Self::agreed(chains.iter().flatten().copied().filter(known)));
        };
        if before.is_lost(chains) {
            return in_use.or(Some(before));
        }
        let best = most_work(chains, current, |chain| before.is_on(chain) == Some(true));
        let next = best.and_then(Self::below);
        next.filter(|next| next.height > before.height)
            .or(Some(before))
    }

    fn below(chain: &Chain) -> Option<Self> {
        let height = anchor_height(chain.height);
        Some(Self {
            chain: chain.name.clone(),
            height,
            hash: chain.hash(height)?,
        })
    }

    /// What the longest of them has and nobody denies: a shorter one is a part of it. One that was
    /// left far behind must not hold the anchor down, where other chains share it.
    fn agreed<'a>(chains: impl Iterator<Item = &'a Chain> + Clone) -> Option<Self> {
        let longest = chains.clone().max_by_key(|chain| chain.work)?;
        let anchor = Self::below(longest)?;
        let agrees = |chain: &Chain| match anchor.is_on(chain) {
            Some(is_on) => is_on,
            None => longest.hash(chain.height) == Some(chain.tip),
        };
        let mut chains = chains;
        chains.all(agrees).then_some(anchor)
    }

    /// Whether a chain has this block; `None` if it is too short to tell, or was not asked.
    fn is_on(&self, chain: &Chain) -> Option<bool> {
        if chain.name != self.chain {
            return Some(false);
        }
        chain.hash(self.height).map(|hash| hash == self.hash)
    }

    /// Whether all chains have moved on so far that none was asked for this block.
    fn is_lost(&self, chains: &[Option<&Chain>]) -> bool {
        let is_own = |chain: &&&Chain| chain.name == self.chain && !chain.hashes.is_empty();
        let own = || chains.iter().flatten().filter(is_own);
        own().any(|chain| chain.height >= self.height)
            && own().all(|chain| self.is_on(chain).is_none())
    }
}

/// Of those that qualify the one with the most work; of equals the one in use, then the first.
fn most_work<'a>(
    chains: &[Option<&'a Chain>],
    current: Option<usize>,
    qualifies: impl Fn(&Chain) -> bool,
) -> Option<&'a Chain> {
    let heard = chains.iter().enumerate();
    let heard = heard.filter_map(|(index, chain)| Some((index, (*chain)?)));
    heard
        .filter(|(_, chain)| !chain.is_initial_download && qualifies(chain))
        .max_by_key(|&(index, chain)| {
            let rank = (Some(index) == current, std::cmp::Reverse(index));
            (chain.work, rank)
        })
        .map(|(_, chain)| chain)
}

/// What the best chain had some time ago, as far as it was looked at for so long.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// When each became the best. The first was it long enough ago; those after it came since.
    bests: VecDeque<(Timestamp, Mark)>,
}

/// How far a chain is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    height: u64,
    work: Work,
}

impl Spread {
    /// What every daemon that does well must have by now, if a block takes `propagation` at most.
    fn settled(&mut self, best: &Chain, at: Timestamp, propagation: Duration) -> Mark {
        let Chain { height, work, .. } = *best;
        for (then, _) in &mut self.bests {
            // If the clock went back, it was before now all the same.
            *then = at.min(*then);
        }
        let mark = Mark { height, work };
        if self.bests.back().is_none_or(|&(_, last)| last != mark) {
            self.bests.push_back((at, mark));
        }
        let is_old = |&(then, _): &(Timestamp, Mark)| at.since(then) >= propagation;
        while self.bests.len() > MARKS_MAX || self.bests.get(1).is_some_and(is_old) {
            self.bests.pop_front();
        }
        // Who had more may have gone.
        let (_, then) = self.bests[0];
        Mark {
            height: then.height.min(height),
            work: then.work.min(work),
        }
    }
}

/// What a healthy daemon must have.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    pub(super) chain_name: Option<&'a str>,
    pub(super) indexes: &'a [&'a str],
    pub(super) behind_max: u64,
    pub(super) propagation: Duration,
}

/// The state of each daemon.
pub(super) fn states(
    round: &Round,
    anchor: Option<&Anchor>,
    spread: &mut Spread,
    current: Option<usize>,
    needs: &Needs<'_>,
) -> Vec<State> {
    let chains: Vec<_> = round.chains().collect();
    let qualifies =
        |chain: &Chain| anchor.is_some_and(|a| a.is_on(chain) == Some(true)) && needs.names(chain);
    let best = most_work(&chains, current, qualifies);
    let best = best.map(|chain| (chain, spread.settled(chain, round.at, needs.propagation)));
    let state = |report: &Report| match &report.heard {
        Err(failure) => failure.into(),
        Ok(chain) => state(chain, anchor, best, needs),
    };
    round.reports.iter().map(state).collect()
}

impl Needs<'_> {
    fn names(&self, chain: &Chain) -> bool {
        self.chain_name.is_none_or(|name| *chain.name == *name)
    }
}

fn state(
    chain: &Chain,
    anchor: Option<&Anchor>,
    best: Option<(&Chain, Mark)>,
    needs: &Needs<'_>,
) -> State {
    if !needs.names(chain) {
        return State::OtherChain;
    }
    if chain.is_initial_download {
        let blocks_left = chain.headers.saturating_sub(chain.height);
        return State::InitialDownload { blocks_left };
    }
    let Some((anchor, (best, settled))) = anchor.zip(best) else {
        return State::OtherChain;
    };
    let is_ancestor = best.hash(chain.height) == Some(chain.tip);
    match anchor.is_on(chain) {
        Some(false) => return State::OtherChain,
        // It cannot be told by the anchor, and it is not a part of the best chain.
        None if !is_ancestor => return State::OtherChain,
        _ => {}
    }
    if !is_ancestor && chain.work < settled.work {
        return State::Fork;
    }
    if settled.height.saturating_sub(chain.height) > needs.behind_max {
        let blocks = best.height.saturating_sub(chain.height);
        return State::Behind { blocks };
    }
    if chain.is_pruned {
        return State::Pruned;
    }
    let indexes = chain.indexes.as_deref().unwrap_or_default();
    let is_ready = |name: &str| indexes.iter().any(|i| *i.name == *name && i.is_synced);
    match needs.indexes.iter().find(|name| !is_ready(name)) {
        Some(index) => State::MissingIndex {
            index: (*index).into(),
        },
        None => State::Healthy,
    }
}
