//! The load that targets are at the present poll, for whoever asks whether an act helped.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use super::History;
use super::private::Party;
use super::tally::Counter;
use crate::decision::Target;
use crate::relief::{Load, Traffic};

/// Whose load is looked at: what stays of a target when its sessions are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    Address(IpAddr),
    Subnet(IpAddr),
    Client(Arc<str>),
}

impl Bearer {
    /// `None` of a target that is not one party's, or whose members are not certain.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        Some(match target {
            Target::Server | Target::Group(_) => return None,
            Target::Session(session) => match Party::of(session) {
                Party::Address(net) => Self::Address(net.addr()),
                Party::Session(_) => return None,
            },
            Target::Address(net) => Self::Address(net.addr()),
            Target::Subnet(net) => Self::Subnet(net.addr()),
            Target::Client(name) => Self::Client(Arc::clone(name)),
        })
    }
}

/// A table's slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Address(u32),
    Subnet(u32),
    Client(u32),
}

impl History {
    /// The loads at the last good poll, one each.
    pub(crate) fn loads<'a>(&self, bearers: impl Iterator<Item = Option<&'a Bearer>>) -> Vec<Load> {
        let places: Vec<_> = bearers
            .map(|bearer| bearer.map(|bearer| self.place_of(bearer)))
            .collect();
        let wanted = places.iter().flatten().flatten();
        let mut bytes: HashMap<Place, u64> = wanted.map(|&place| (place, 0)).collect();
        let mut all = 0_u64;
        for counter in [Counter::RecvSize, Counter::SentSize] {
            for (session, moved) in self.session_deltas.of(counter) {
                all = all.saturating_add(moved);
                let slot = self.sessions.get(session);
                for place in [
                    Place::Address(slot.address),
                    Place::Subnet(slot.subnet),
                    Place::Client(self.sessions.client(session)),
                ] {
                    if let Some(sum) = bytes.get_mut(&place) {
                        *sum = sum.saturating_add(moved);
                    }
                }
            }
        }
        let span_s = self.span.as_secs_f64();
        let rate = |bytes: u64| (span_s > 0.0).then(|| bytes as f64 / span_s);
        let server = self.last.as_ref().map(|last| &last.server);
        let load = Load {
            target: None,
            clients: Traffic {
                sessions: self.present as u64,
                bytes_per_s: rate(all),
            },
            pending_requests: server.map_or(0, |server| server.pending_requests),
            felt_latency: self.felt.felt().map(|felt| felt.latency),
        };
        let of = |place: Option<Option<Place>>| Load {
            target: place.map(|place| Traffic {
                sessions: place.map_or(0, |place| self.sessions_at(place)),
                bytes_per_s: rate(
                    place
                        .and_then(|place| bytes.get(&place).copied())
                        .unwrap_or(0),
                ),
            }),
            ..load
        };
        places.into_iter().map(of).collect()
    }

    /// `None` of one that no session was seen of not long ago.
    fn place_of(&self, bearer: &Bearer) -> Option<Place> {
        match bearer {
            Bearer::Address(address) => self.find_networks(*address)[0].map(Place::Address),
            Bearer::Subnet(address) => self.find_networks(*address)[1].map(Place::Subnet),
            Bearer::Client(name) => {
                let name = Box::from(&**name);
                self.clients.keys.find(&name).map(Place::Client)
            }
        }
    }

    fn sessions_at(&self, place: Place) -> u64 {
        let (present, slot) = match place {
            Place::Address(slot) => (self.addresses.keys.present(), slot),
            Place::Subnet(slot) => (self.subnets.keys.present(), slot),
            Place::Client(slot) => (self.clients.keys.present(), slot),
        };
        present.get(slot as usize).copied().unwrap_or(0).into()
    }
}
