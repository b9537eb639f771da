//! The chains of all daemons, compared: who is behind, on a fork, on another chain.
//!
//! The truth is the chain with the most work among those that share the anchor: a block well below
//! the tips that the daemon in use had when it was looked at first, and that moves up with it. A
//! daemon without that block is on another chain, whatever its work.

use serde::{Deserialize, Serialize};

use super::report::anchor_height;
use super::{BlockHash, Chain, Report, State};

/// A block that every daemon must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
            let agreed = Self::agreed(chains.iter().flatten());
            if agreed.is_some() {
                return agreed;
            }
        }
        let is_own = |chain: &Chain| match &before {
            Some(anchor) => anchor.is_on(chain) == Some(true),
            None => chain_name.is_none_or(|name| *chain.name == *name),
        };
        let known = |chain: &&&Chain| !chain.is_initial_download && is_own(chain);
        let current = current.and_then(|index| chains[index]);
        let next = match current.as_ref().filter(known) {
            Some(chain) => Self::below(chain, chain.height),
            None => Self::agreed(chains.iter().flatten().filter(known)),
        };
        let is_higher = |next: &Self| before.as_ref().is_none_or(|a| next.height > a.height);
        next.filter(is_higher).or(before)
    }

    fn below(chain: &Chain, tip: u64) -> Option<Self> {
        let height = anchor_height(tip);
        Some(Self {
            chain: chain.name.clone(),
            height,
            hash: chain.hash(height)?,
        })
    }

    /// What all of them have, if they do.
    fn agreed<'a>(chains: impl Iterator<Item = &'a &'a Chain> + Clone) -> Option<Self> {
        let lowest = chains.clone().map(|chain| chain.height).min()?;
        let mut anchors = chains.map(|chain| Self::below(chain, lowest));
        let first = anchors.next()??;
        anchors
            .all(|other| other.as_ref() == Some(&first))
            .then_some(first)
    }

    /// Whether a chain has this block; `None` if it is too short to tell.
    fn is_on(&self, chain: &Chain) -> Option<bool> {
        if chain.name != self.chain {
            return Some(false);
        }
        (chain.height >= self.height).then(|| chain.hash(self.height) == Some(self.hash))
    }
}

/// What a healthy daemon must have.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    pub(super) chain_name: Option<&'a str>,
    pub(super) indexes: &'a [&'a str],
    pub(super) behind_max: u64,
}

/// The state of each daemon.
pub(super) fn states(
    reports: &[Report],
    anchor: Option<&Anchor>,
    current: Option<usize>,
    needs: &Needs<'_>,
) -> Vec<State> {
    let chains: Vec<_> = reports
        .iter()
        .map(|report| report.heard.as_ref().ok())
        .collect();
    let best = best(&chains, anchor, current, needs);
    let state = |report: &Report| match &report.heard {
        Err(failure) => failure.into(),
        Ok(chain) => state(chain, anchor, best, needs),
    };
    reports.iter().map(state).collect()
}

/// Of those on the right chain the one with the most work; of equals the one in use, then the first.
fn best<'a>(
    chains: &[Option<&'a Chain>],
    anchor: Option<&Anchor>,
    current: Option<usize>,
    needs: &Needs<'_>,
) -> Option<&'a Chain> {
    let candidates = chains.iter().enumerate().filter_map(|(index, chain)| {
        let chain = (*chain)?;
        let is_on = anchor?.is_on(chain) == Some(true) && is_named(chain, needs);
        (is_on && !chain.is_initial_download).then_some((index, chain))
    });
    candidates
        .max_by_key(|&(index, chain)| {
            let rank = (Some(index) == current, std::cmp::Reverse(index));
            (chain.work, rank)
        })
        .map(|(_, chain)| chain)
}

fn is_named(chain: &Chain, needs: &Needs<'_>) -> bool {
    needs.chain_name.is_none_or(|name| *chain.name == *name)
}

fn state(chain: &Chain, anchor: Option<&Anchor>, best: Option<&Chain>, needs: &Needs<'_>) -> State {
    if !is_named(chain, needs) {
        return State::OtherChain;
    }
    if chain.is_initial_download {
        let blocks_left = chain.headers.saturating_sub(chain.height);
        return State::InitialDownload { blocks_left };
    }
    let Some((anchor, best)) = anchor.zip(best) else {
        return State::OtherChain;
    };
    let is_ancestor = best.hash(chain.height) == Some(chain.tip);
    match anchor.is_on(chain) {
        Some(false) => return State::OtherChain,
        // Too short for the anchor, and yet not a part of the best chain.
        None if !is_ancestor => return State::OtherChain,
        _ => {}
    }
    // With as much work on another tip neither has lost.
    if !is_ancestor && chain.work < best.work {
        return State::Fork;
    }
    let blocks = best.height.saturating_sub(chain.height);
    if blocks > needs.behind_max {
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
