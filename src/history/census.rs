//! Who is there, and what they did since the last poll: a snapshot's rows matched with the sessions
//! that are known, and added up for their targets.

use super::History;
use super::continuity::Continuity;
use super::keys::{NONE, slot_id};
use super::private::{SubnetWidths, is_private};
use super::sessions::{Did, GONE, Seen, Slot};
use super::tally::Counter;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

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
        self.session_deltas.clear(self.sessions.len());
        self.server_deltas.clear(1);
        self.addresses.begin();
        self.subnets.begin();
        self.clients.begin();
        self.groups.begin();
        self.subnet_addresses.clear();
        self.subnet_addresses.resize(self.subnets.keys.len(), 0);
        self.client_slots.clear();
        // Only names of clients get a slot; protocol versions share the snapshot's names.
        self.client_slots
            .resize(snapshot.sessions.names.len(), NONE);
        let sessions = &snapshot.sessions;
        for (name, flags) in sessions.client.iter().zip(&sessions.flags) {
            let slot = &mut self.client_slots[name.index()];
            if *slot == NONE && !flags.is_rpc() {
                *slot = self.clients.keys.slot(sessions.names.get(*name), at);
            }
        }
    }

    pub(super) fn match_sessions(&mut self, snapshot: &Snapshot, continuity: Continuity) {
        let (at, sessions) = (snapshot.at(), &snapshot.sessions);
        let is_continued = continuity == Continuity::Continued;
        (self.present, self.private) = (0, 0);
        // Whoever leaves takes errors out of the server's sum.
        let mut has_left = false;
        for row in 0..sessions.len() {
            if sessions.flags[row].is_rpc() {
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
                self.credit(slot, &did, is_new);
            }
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
            session_tallies.clear_slot(index);
            server_deltas.add(Counter::Gone, 0, 1);
            server_deltas.add(Counter::Brief, 0, u64::from(visit.is_brief));
            addresses.leave(slot.address, visit, at);
            subnets.leave(slot.subnet, visit, at);
            clients.leave(client, visit, at);
            for group in slot.groups {
                groups.leave(group, visit, at);
            }
        });
        self.may_have_erred = has_left;
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
        self.private += usize::from(session.is_private);
        let is_first = session.address != NONE && self.addresses.keys.count(session.address, at);
        if session.subnet != NONE {
            self.subnets.keys.count(session.subnet, at);
            let index = session.subnet as usize;
            if index >= self.subnet_addresses.len() {
                self.subnet_addresses.resize(index + 1, 0);
            }
            self.subnet_addresses[index] += u32::from(is_first);
        }
        let client = self.sessions.client(slot);
        if client != NONE {
            self.clients.keys.count(client, at);
        }
    }

    /// Adds what a session did to its own sums and to those of its address, subnet and client.
    fn credit(&mut self, slot: u32, did: &Did, is_new: bool) {
        let Slot {
            address, subnet, ..
        } = *self.sessions.get(slot);
        let client = self.sessions.client(slot);
        let new = is_new.then_some((Counter::New, 1));
        for (counter, amount) in did.iter().copied().chain(new) {
            if amount == 0 {
                continue;
            }
            self.session_deltas.add(counter, slot, amount);
            self.server_deltas.add(counter, 0, amount);
            self.addresses.add(address, counter, amount);
            self.subnets.add(subnet, counter, amount);
            self.clients.add(client, counter, amount);
        }
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
        if self.groups.keys.len() == 0 {
            return;
        }
        for index in 0..self.sessions.len() {
            let slot = slot_id(index);
            let row = self.sessions.row(slot);
            if row == GONE {
                continue;
            }
            let session = self.sessions.get_mut(slot);
            let mut of = self
                .members
                .of_session(row as usize)
                .map(|row| self.group_slots[row as usize]);
            session.groups = [of.next().unwrap_or(NONE), of.next().unwrap_or(NONE)];
            for group in session.groups.into_iter().filter(|&group| group != NONE) {
                for counter in GROUP_COUNTERS {
                    let amount = self
                        .session_deltas
                        .of(counter)
                        .get(index)
                        .copied()
                        .unwrap_or(0);
                    self.groups.add(group, counter, amount);
                }
            }
        }
    }
}
