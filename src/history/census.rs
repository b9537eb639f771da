//! Who is there, and what they did since the last poll: a snapshot's rows matched with the sessions
//! that are known, and added up for their targets.

use std::time::Duration;

use super::continuity::Continuity;
use super::keys::{NONE, slot_id};
use super::private::{SubnetWidths, is_private};
use super::returns::{Name, Sign};
use super::seniority::{Lone, Pace, Present};
use super::sessions::{After, Did, GONE, Heritage, Seen, Slot};
use super::tally::Counter;
use super::{Expulsion, History};
use crate::decision::SessionRef;
use crate::room::stretch;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// A fresh session that may be the return of one that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heir {
    slot: u32,
    generation: u32,
    tries: u8,
}

/// At so many polls a predecessor is looked for.
const HEIR_TRIES: u8 = 3;

/// What a group's members do counts for the group.
const GROUP_COUNTERS: [Counter; 6] = [
    Counter::RecvCount,
    Counter::RecvSize,
    Counter::SentSize,
    Counter::TxsSent,
    Counter::Cost,
    Counter::New,
];

impl History {
    pub(super) fn begin_tables(&mut self, snapshot: &Snapshot, at: Timestamp) {
        let sessions = snapshot.sessions.len();
        self.sessions.begin(sessions);
        self.addresses.keys.reserve(sessions);
        self.subnets.keys.reserve(sessions);
        if self.plan.needs_groups() {
            self.groups.keys.reserve(snapshot.groups.len());
        }
        self.session_deltas.clear();
        self.server_deltas.clear();
        self.addresses.begin();
        self.subnets.begin();
        self.clients.begin();
        self.groups.begin();
        self.subnet_addresses.clear();
        stretch(&mut self.subnet_addresses, self.subnets.keys.len(), 0);
        self.eldest.clear();
        stretch(&mut self.eldest, self.addresses.keys.len(), NONE);
        self.fresh.clear();
        self.hit.clear();
        self.client_slots.clear();
        // Only names of clients get a slot; protocol versions share the snapshot's names.
        self.client_slots
            .resize(snapshot.sessions.names.len(), NONE);
        let sessions = &snapshot.sessions;
        for (name, flags) in sessions.client.iter().zip(&sessions.flags) {
            let slot = &mut self.client_slots[name.index()];
            if *slot == NONE && flags.is_client() {
                *slot = self.clients.keys.slot(sessions.names.get(*name), at);
            }
        }
    }

    pub(super) fn match_sessions(&mut self, snapshot: &Snapshot, continuity: Continuity) {
        let (at, sessions) = (snapshot.at(), &snapshot.sessions);
        let is_continued = continuity == Continuity::Continued;
        self.present = 0;
        // Whoever leaves takes errors out of the server's sum.
        let mut has_left = false;
        for row in 0..sessions.len() {
            if !sessions.flags[row].is_client() {
                continue;
            }
            self.present += 1;
            let (seen, did) = self.sessions.observe(sessions, row, at, snapshot.epoch);
            let (slot, is_new) = match seen {
                Seen::Known(slot) => (slot, false),
                Seen::New { slot, is_fresh } => (slot, is_fresh),
                Seen::Untracked => continue,
            };
            self.place(slot, at);
            let client = self.client_slots[sessions.client[row].index()];
            self.sessions.set_client(slot, client);
            self.count_presence(slot, at);
            if is_continued {
                self.credit(slot, &did);
            }
            if is_new {
                self.fresh.push(slot);
            }
        }
        for slot in self.sessions.evicted() {
            self.session_tallies.clear_slot(slot);
        }
        let Self {
            sessions,
            session_tallies,
            addresses,
            subnets,
            clients,
            groups,
            server_deltas,
            ..
        } = self;
        sessions.end(at, snapshot.epoch, |index, slot, client, visit| {
            has_left = true;
            if !visit.is_expelled {
                server_deltas.add(Counter::Gone, 0, 1);
                server_deltas.add(Counter::Brief, 0, u64::from(visit.is_brief));
            }
            addresses.leave(slot.address, visit, at);
            subnets.leave(slot.subnet, visit, at);
            clients.leave(client, visit, at);
            for group in slot.groups {
                groups.leave(group, visit, at);
            }
            // A peer that stands for many people has no heirs: another of them would be blamed.
            if slot.is_private || slot.address == NONE || client == NONE {
                session_tallies.clear_slot(index);
                return After::Freed;
            }
            let key = |slot: u32, generation| (slot, generation);
            After::Kept(Heritage {
                address: key(
                    slot.address,
                    addresses.keys.generation(slot.address as usize),
                ),
                client: key(client, clients.keys.generation(client as usize)),
            })
        });
        self.may_have_erred = has_left;
        self.welcome(at, is_continued);
    }

    /// Who connected since the last poll: some are back. Those whom the agent disconnected are not
    /// new; and whoever comes from the address and under the name of one that left takes up what that
    /// one did.
    fn welcome(&mut self, at: Timestamp, is_continued: bool) {
        self.returns.sweep(at);
        let fresh = std::mem::take(&mut self.fresh);
        let mut inherited = Vec::new();
        for &slot in &fresh {
            let client = self.sessions.client(slot);
            let session = self.sessions.get(slot);
            let (is_private, address) = (session.is_private, session.address);
            let since = session.session.since;
            let (sign, name) = (self.sign(slot), self.name(slot));
            let returned = sign.and_then(|sign| self.returns.accept(sign, name, since));
            if let Some(earlier_s) = returned {
                self.sessions.returned(slot, earlier_s);
            } else if is_continued {
                self.count_new(slot);
            }
            let may_inherit = returned.is_some() || self.sessions.has_left();
            if may_inherit && !is_private && address != NONE && client != NONE {
                self.heirs.push(Heir {
                    slot,
                    generation: self.sessions.generation(slot),
                    // The server takes a moment to close a connection: whoever was cut may be back
                    // before its predecessor is gone.
                    tries: if returned.is_some() { HEIR_TRIES } else { 1 },
                });
            }
        }
        let mut heirs = std::mem::take(&mut self.heirs);
        heirs.retain_mut(|heir| {
            let Some(heritage) = self.heritage_of(heir) else {
                return false;
            };
            heir.tries -= 1;
            let from = self.sessions.inherit(heir.slot, heritage);
            inherited.extend(from.map(|from| (from, heir.slot)));
            from.is_none() && heir.tries > 0
        });
        self.heirs = heirs;
        inherited.sort_unstable();
        self.session_tallies.hand_over(&inherited);
        self.fresh = fresh;
    }

    /// By what somebody that may be an heir is the heir, as long as it is there.
    fn heritage_of(&self, heir: &Heir) -> Option<Heritage> {
        let is_it = self.sessions.generation(heir.slot) == heir.generation;
        if !is_it || !self.is_connected(heir.slot) {
            return None;
        }
        let (address, client) = (
            self.sessions.get(heir.slot).address,
            self.sessions.client(heir.slot),
        );
        (address != NONE && client != NONE).then(|| Heritage {
            address: (address, self.addresses.keys.generation(address as usize)),
            client: (client, self.clients.keys.generation(client as usize)),
        })
    }

    /// By what a session is recognised when it comes back.
    fn sign(&self, slot: u32) -> Option<Sign> {
        let session = self.sessions.get(slot);
        let address = session.session.peer.0.map(|peer| peer.ip());
        if let Some(address) = address.filter(|_| !session.is_private) {
            return Some(Sign::Address(SubnetWidths::ADDRESS.network(address)));
        }
        self.name(slot).map(Sign::Name)
    }

    /// A session's client name.
    fn name(&self, slot: u32) -> Option<Name> {
        let client = self.sessions.client(slot);
        (client != NONE).then(|| (client, self.clients.keys.generation(client as usize)))
    }

    /// The agent asked the server to disconnect sessions, or would have, that were connected at the last poll.
    ///
    /// That is an action against an address only if it hit half of its sessions or more: one of hundreds
    /// behind a carrier's address is not all of them. And it is one only if it `blames` them.
    pub(crate) fn expelled(&mut self, sessions: &[SessionRef], act: Expulsion, at: Timestamp) {
        for session in sessions {
            let Some((slot, age_s)) = self.sessions.expel(session.id, session.since, act.face, at)
            else {
                continue;
            };
            let Some(sign) = self.sign(slot) else {
                continue;
            };
            self.returns.expect(sign, self.name(slot), age_s, at);
            let address = self.sessions.get(slot).address;
            if let Sign::Address(net) = sign
                && act.blames
                && address != NONE
            {
                let hit = self.hit.entry(address).or_default();
                *hit += 1;
                if *hit * 2 >= self.addresses.keys.present()[address as usize] {
                    self.seniority.acted(&net, at);
                }
            }
        }
    }

    /// Takes in for how long the clients of this poll have been known.
    pub(super) fn recognise(&mut self, snapshot: &Snapshot, continuity: Continuity) {
        let at = snapshot.at();
        let before = self.last.as_ref().map_or(at, |last| last.at);
        let is_watched = continuity == Continuity::Continued;
        let pace = Pace {
            at,
            elapsed: if is_watched {
                at.since(before)
            } else {
                Duration::ZERO
            },
            uptime: snapshot.server.uptime.map(|uptime| uptime.at_least),
        };
        let Self {
            addresses,
            eldest,
            sessions,
            seniority,
            ..
        } = self;
        let keys = &addresses.keys;
        let present = eldest.iter().enumerate().filter_map(|(index, &eldest)| {
            let net = keys.key(index).filter(|_| eldest != NONE)?;
            (!is_private(net.addr())).then(|| Present {
                address: slot_id(index),
                generation: keys.generation(index),
                net,
                age_ms: sessions.get(eldest).age_ms(),
            })
        });
        let lone = sessions.connected().filter_map(|(index, _)| {
            let slot = sessions.get(slot_id(index));
            slot.is_private.then(|| Lone {
                age_ms: slot.age_ms(),
                is_fresh: slot.is_fresh(),
                is_expelled: slot.is_expelled(),
            })
        });
        seniority.observe(pace, present, lone);
    }

    /// Finds the address and the subnet of a session that has none yet: it is new, or the tables
    /// were full until now.
    fn place(&mut self, slot: u32, at: Timestamp) {
        let session = self.sessions.get_mut(slot);
        if session.address != NONE && session.subnet != NONE {
            return;
        }
        let Some(peer) = session.session.peer.0 else {
            return;
        };
        let (address, subnet) = (
            SubnetWidths::ADDRESS.network(peer.ip()),
            self.widths.network(peer.ip()),
        );
        if session.address == NONE {
            session.address = self.addresses.keys.slot(&address, at);
        }
        // A subnet so wide that it is public but for this part of it is not this part's.
        if session.subnet == NONE && session.is_private == is_private(subnet.addr()) {
            session.subnet = self.subnets.keys.slot(&subnet, at);
        }
    }

    fn count_presence(&mut self, slot: u32, at: Timestamp) {
        let session = self.sessions.get(slot);
        let is_first = session.address != NONE && self.addresses.keys.count(session.address, at);
        if session.address != NONE {
            let index = session.address as usize;
            if index >= self.eldest.len() {
                stretch(&mut self.eldest, index + 1, NONE);
            }
            let eldest = &mut self.eldest[index];
            let age_ms = |slot| self.sessions.get(slot).age_ms();
            if *eldest == NONE || age_ms(*eldest) < session.age_ms() {
                *eldest = slot;
            }
        }
        if session.subnet != NONE {
            self.subnets.keys.count(session.subnet, at);
            let index = session.subnet as usize;
            if index >= self.subnet_addresses.len() {
                stretch(&mut self.subnet_addresses, index + 1, 0);
            }
            self.subnet_addresses[index] += u32::from(is_first);
        }
        let client = self.sessions.client(slot);
        if client != NONE {
            self.clients.keys.count(client, at);
        }
    }

    /// Adds what a session did to its own sums and to those of its address, subnet and client.
    fn credit(&mut self, slot: u32, did: &Did) {
        for &(counter, amount) in did {
            if amount > 0 {
                self.add(slot, counter, amount);
            }
        }
    }

    fn count_new(&mut self, slot: u32) {
        self.add(slot, Counter::New, 1);
    }

    fn add(&mut self, slot: u32, counter: Counter, amount: u64) {
        let Slot {
            address, subnet, ..
        } = *self.sessions.get(slot);
        let client = self.sessions.client(slot);
        self.session_deltas.add(counter, slot, amount);
        self.server_deltas.add(counter, 0, amount);
        self.addresses.add(address, counter, amount);
        self.subnets.add(subnet, counter, amount);
        self.clients.add(client, counter, amount);
    }

    /// Finds the groups' members and adds what they did to their groups' sums.
    pub(super) fn match_groups(&mut self, snapshot: &Snapshot) {
        let (at, groups) = (snapshot.at(), &snapshot.groups);
        self.members.assign(snapshot);
        self.group_rows.clear();
        self.group_rows.resize(self.groups.keys.len(), GONE);
        self.group_slots.clear();
        for (row, name) in groups.name.iter().enumerate() {
            let slot = self.groups.keys.slot(groups.names.get(*name), at);
            self.group_slots.push(slot);
            if slot == NONE {
                continue;
            }
            self.groups.keys.count(slot, at);
            let index = slot as usize;
            if index >= self.group_rows.len() {
                self.group_rows.resize(index + 1, GONE);
            }
            self.group_rows[index] = u32::try_from(row).unwrap_or(GONE);
            self.group_unsure_at
                .resize(self.groups.keys.len().max(index + 1), Timestamp::default());
            if !self.members.is_certain(row) {
                self.group_unsure_at[index] = at;
            }
        }
        for index in 0..self.sessions.len() {
            let slot = slot_id(index);
            let row = self.sessions.row(slot);
            if row == GONE {
                continue;
            }
            let mut of = self
                .members
                .of_session(row as usize)
                .map(|row| self.group_slots[row as usize]);
            self.sessions.get_mut(slot).groups =
                [of.next().unwrap_or(NONE), of.next().unwrap_or(NONE)];
        }
        for counter in GROUP_COUNTERS {
            for (slot, amount) in self.session_deltas.of(counter) {
                for group in self.sessions.get(slot).groups {
                    self.groups.add(group, counter, amount);
                }
            }
        }
    }
}
