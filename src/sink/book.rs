//! From bans to what sinks are told: networks without their holes, and of those that several bans come to the
//! latest end.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Changes, Hold};
use crate::penalty::Ban;

/// Which networks are kept out because of which bans.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By the network that is kept out, and the ban's own.
    holds: BTreeMap<(IpNet, IpNet), Hold>,
    /// By ban that has holes: what it comes to.
    pieces: BTreeMap<IpNet, Vec<IpNet>>,
}

impl Book {
    /// Takes in bans that began or changed, and the networks of those that are over.
    pub(super) fn take(&mut self, news: impl IntoIterator<Item = (IpNet, Option<Ban>)>) -> Changes {
        let mut touched = BTreeMap::new();
        for (net, ban) in news {
            for piece in self.pieces.remove(&net).unwrap_or_else(|| vec![net]) {
                let before = self.effective(&piece).cloned();
                self.holds.remove(&(piece, net));
                touched.entry(piece).or_insert(before);
            }
            let Some(ban) = ban else { continue };
            let pieces = ban.pieces();
            let hold = Hold {
                until: ban.end,
                by: ban.by.clone(),
            };
            for &piece in &pieces {
                let before = self.effective(&piece).cloned();
                touched.entry(piece).or_insert(before);
                self.holds.insert((piece, net), hold.clone());
            }
            if pieces != [net] {
                self.pieces.insert(net, pieces);
            }
        }
        let mut changes = Changes::default();
        for (net, before) in touched {
            match self.effective(&net) {
                Some(hold) if before.as_ref() != Some(hold) => {
                    changes.held.push((net, hold.clone()));
                }
                None if before.is_some() => changes.lifted.push(net),
                _ => {}
            }
        }
        changes
    }

    /// Whether a network is kept out.
    pub(super) fn holds(&self, net: &IpNet) -> bool {
        self.effective(net).is_some()
    }

    /// Of all bans that come to this network the one with the latest end.
    fn effective(&self, net: &IpNet) -> Option<&Hold> {
        let all = self.holds.range((*net, LOWEST)..);
        let of_net = all.take_while(|((piece, _), _)| piece == net);
        of_net.map(|(_, hold)| hold).max_by_key(|hold| hold.until)
    }
}

/// No network sorts before this one: 0.0.0.0/0.
const LOWEST: IpNet = IpNet::V4(ipnet::Ipv4Net::new_assert(
    std::net::Ipv4Addr::UNSPECIFIED,
    0,
));
