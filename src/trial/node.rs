//! Scripted daemons: chains whose blocks are told apart by a branch and a height.

use std::time::Duration;

use crate::daemon::{BlockHash, Chain, Failure, Index, Report, Round, Work};
use crate::time::Timestamp;

/// A daemon as a script has it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) chain: &'static str,
    pub(crate) height: u64,
    pub(crate) headers_ahead: u64,
    /// Where branches begin, each with its name; blocks before the first are everybody's.
    pub(crate) branches: Vec<(u64, u8)>,
    pub(crate) extra_work: u8,
    pub(crate) is_initial_download: bool,
    pub(crate) is_pruned: bool,
    pub(crate) indexes: Vec<(&'static str, bool)>,
    pub(crate) failure: Option<Failure>,
}

impl Node {
    /// On the main chain, with all that a server may want.
    pub(crate) fn at(height: u64) -> Self {
        Self {
            chain: "main",
            height,
            headers_ahead: 0,
            branches: Vec::new(),
            extra_work: 0,
            is_initial_download: false,
            is_pruned: false,
            indexes: vec![("txindex", true)],
            failure: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn forked(height: u64, from: u64, branch: u8) -> Self {
        let branches = vec![(from, branch)];
        Self {
            branches,
            ..Self::at(height)
        }
    }

    #[cfg(test)]
    pub(crate) fn down() -> Self {
        let detail = "connection refused".to_owned();
        let failure = Some(Failure::Unreachable { detail });
        Self {
            failure,
            ..Self::at(0)
        }
    }

    fn hash(&self, height: u64) -> BlockHash {
        let branch = self.branches.iter().rev().find(|(from, _)| *from <= height);
        let mut bytes = [0; 32];
        bytes[0] = branch.map_or(0, |(_, name)| *name);
        bytes[24..].copy_from_slice(&height.to_be_bytes());
        BlockHash::from_bytes(bytes)
    }

    fn work(&self) -> Work {
        let mut bytes = [0; 32];
        bytes[16..24].copy_from_slice(&self.height.to_be_bytes());
        bytes[31] = self.extra_work;
        Work::from_bytes(bytes)
    }

    fn chain(&self, tips: &[u64]) -> Chain {
        let heights = Round::heights(tips.iter().copied(), self.height);
        let indexes = self.indexes.iter().map(|&(name, is_synced)| Index {
            name: name.into(),
            is_synced,
        });
        Chain {
            name: self.chain.into(),
            height: self.height,
            headers: self.height + self.headers_ahead,
            tip: self.hash(self.height),
            work: self.work(),
            is_initial_download: self.is_initial_download,
            is_pruned: self.is_pruned,
            hashes: heights.into_iter().map(|at| (at, self.hash(at))).collect(),
            indexes: Some(indexes.collect()),
        }
    }
}

/// The prober's part: asks all nodes at one time, and remembers tips.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    tips: Vec<Option<u64>>,
}

impl Probes {
    pub(crate) fn round(&mut self, at: Timestamp, nodes: &[Node]) -> Round {
        self.tips.resize(nodes.len(), None);
        for (tip, node) in self.tips.iter_mut().zip(nodes) {
            if node.failure.is_none() {
                *tip = Some(node.height);
            }
        }
        let tips: Vec<u64> = self.tips.iter().flatten().copied().collect();
        let report = |node: &Node| Report {
            heard: node
                .failure
                .clone()
                .map_or_else(|| Ok(node.chain(&tips)), Err),
            took: Duration::from_millis(1),
        };
        Round {
            at,
            reports: nodes.iter().map(report).collect(),
        }
    }
}
