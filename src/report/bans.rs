//! What bans come to, while it is being collected: whom they are on, for how long, and what they keep out.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashSet;
use ipnet::IpNet;

use super::{BanFigures, KeptOut, Refused, Replayed, TOUCHED_MAX, share};
use crate::decision::Decision;

/// The bans of one set of policies so far.
#[derive(Debug, Default)]
pub(super) struct BanTally {
    bans: u64,
    /// Up to [`TOUCHED_MAX`].
    networks: HashSet<IpNet>,
    is_full: bool,
    /// The shortest and the longest.
    spans: Option<(Duration, Duration)>,
    refused: BTreeMap<&'static str, u64>,
}

impl BanTally {
    /// Takes in a decision that was or would have been carried out.
    pub(super) fn count(&mut self, decision: &Decision) {
        for ban in &decision.bans {
            self.bans += 1;
            let span = ban.until.since(decision.at);
            let (shortest, longest) = self.spans.unwrap_or((span, span));
            self.spans = Some((shortest.min(span), longest.max(span)));
            if self.networks.len() < TOUCHED_MAX {
                self.networks.insert(ban.net);
            } else {
                self.is_full |= !self.networks.contains(&ban.net);
            }
        }
        for refusal in &decision.refused {
            *self.refused.entry(refusal.why.word()).or_default() += 1;
        }
    }

    /// Whether networks were banned beyond the bound.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// The figures, if there are any; what was kept out is a part of what was replayed.
    pub(super) fn finish(self, kept_out: Moved, replayed: &Replayed) -> Option<BanFigures> {
        if self.bans == 0 && self.refused.is_empty() && kept_out.sessions == 0 {
            return None;
        }
        let (shortest, longest) = self.spans.unwrap_or_default();
        let mut refused: Vec<Refused> = self
            .refused
            .into_iter()
            .map(|(why, bans)| Refused { why, bans })
            .collect();
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.bans));
        Some(BanFigures {
            bans: self.bans,
            networks: self.networks.len() as u64,
            shortest_s: shortest.as_secs_f64(),
            longest_s: longest.as_secs_f64(),
            refused,
            kept_out: KeptOut {
                sessions: kept_out.sessions,
                requests: kept_out.requests,
                requests_share: share(kept_out.requests, replayed.requests),
                traffic_bytes: kept_out.bytes,
                traffic_share: share(kept_out.bytes, replayed.bytes()),
            },
        })
    }
}

/// Of sessions that a ban keeps out, or would, what they did all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) sessions: u64,
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

impl Moved {
    pub(super) const fn add(&mut self, requests: u64, bytes: u64) {
        self.requests = self.requests.saturating_add(requests);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
