//! The targets as the engine asks for them: who can be judged now, and who is behind a slot.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::History;
use super::keys::{NONE, slot_id};
use super::private::{SubnetWidths, is_private};
use super::seniority::{HOUR, Rank};
use super::sessions::GONE;
use super::table::Table;
use crate::decision::{SessionRef, Target};
use crate::field::Scope;
use crate::room::make_room;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The server has one slot in every column.
pub(crate) const SERVER: u32 = 0;

/// The targets that a policy may look at now.
#[derive(Debug, Default)]
pub(super) struct Live {
    all: Vec<u32>,
    pub(super) public: Vec<u32>,
}

impl History {
    pub(super) fn fill_live(&mut self, snapshot: &Snapshot) {
        let flags = &snapshot.sessions.flags;
        let sessions = self.sessions.connected();
        fill(
            &mut self.live[Scope::Session as usize].all,
            // A closing session is as good as gone.
            sessions
                .filter(|&(_, row)| !flags[row].closing)
                .map(|(slot, _)| slot),
        );
        fill(&mut self.live[Scope::Server as usize].all, 0..1);
        fill(
            &mut self.live[Scope::Client as usize].all,
            self.clients.keys.used(),
        );
        let rows = &self.group_rows;
        let present = (0..rows.len()).filter(|&slot| rows[slot] != GONE);
        fill(&mut self.live[Scope::Group as usize].all, present);
        for (scope, table) in [
            (Scope::Address, &self.addresses),
            (Scope::Subnet, &self.subnets),
        ] {
            let keys = &table.keys;
            let is_public = |&slot: &usize| {
                let net = keys.key(slot);
                net.is_some_and(|net| !is_private(net.addr()))
            };
            let Live { all, public } = &mut self.live[scope as usize];
            fill(all, keys.used());
            fill(public, keys.used().filter(is_public));
        }
    }

    /// The targets of `scope` that have, or within the longest window had, a session. Private peers
    /// are targets of `address` and `subnet` only where the policy says so.
    pub(crate) fn live(&self, scope: Scope, include_private: bool) -> &[u32] {
        let live = &self.live[scope as usize];
        match scope {
            Scope::Address | Scope::Subnet if !include_private => &live.public,
            _ => &live.all,
        }
    }

    /// Whether a target is among [`History::live`].
    pub(crate) fn is_live(&self, scope: Scope, include_private: bool, slot: u32) -> bool {
        let live = self.live(scope, include_private);
        live.binary_search(&slot).is_ok()
    }

    /// The connected session with this ID, RPC connections left out.
    pub(crate) fn find_session(&self, id: u64) -> Option<u32> {
        let slot = self.sessions.find(id)?;
        (self.sessions.row(slot) != GONE).then_some(slot)
    }

    /// Whether `inspect_session` has told of a session.
    pub(crate) fn is_inspected(&self, session: u32) -> bool {
        self.sessions.get(session).inspected().is_some()
    }

    /// The targets of scopes `address` and `subnet` that an address belongs to, as far as they had a
    /// session not long ago.
    pub(crate) fn find_networks(&self, address: IpAddr) -> [Option<u32>; 2] {
        let subnet = self.widths.network(address);
        [
            self.addresses
                .keys
                .find(&SubnetWidths::ADDRESS.network(address)),
            self.subnets.keys.find(&subnet),
        ]
    }

    /// Whether two addresses are one target of scope `address`.
    pub(crate) fn is_same_address(a: IpAddr, b: IpAddr) -> bool {
        SubnetWidths::ADDRESS.network(a) == SubnetWidths::ADDRESS.network(b)
    }

    /// Distinguishes the targets that a slot has had.
    pub(crate) fn generation(&self, scope: Scope, slot: u32) -> u32 {
        let index = slot as usize;
        match scope {
            Scope::Server => 0,
            Scope::Session => self.sessions.generation(slot),
            Scope::Address => self.addresses.keys.generation(index),
            Scope::Subnet => self.subnets.keys.generation(index),
            Scope::Client => self.clients.keys.generation(index),
            Scope::Group => self.groups.keys.generation(index),
        }
    }

    /// Whether a target that policies look at has a session now.
    pub(crate) fn is_present(&self, scope: Scope, slot: u32) -> bool {
        let index = slot as usize;
        match scope {
            Scope::Address => self.addresses.keys.is_present(index),
            Scope::Subnet => self.subnets.keys.is_present(index),
            Scope::Client => self.clients.keys.is_present(index),
            Scope::Server | Scope::Session | Scope::Group => true,
        }
    }

    /// The target in a slot.
    pub(crate) fn target(&self, scope: Scope, slot: u32) -> Target {
        let index = slot as usize;
        let net = |table: &Table<IpNet>| table.keys.key(index).copied().unwrap_or_default();
        let text = |table: &Table<Box<str>>| Arc::from(table.keys.key(index).map_or("", |k| &**k));
        match scope {
            Scope::Server => Target::Server,
            Scope::Session => Target::Session(self.sessions.get(slot).session),
            Scope::Address => Target::Address(net(&self.addresses)),
            Scope::Subnet => Target::Subnet(net(&self.subnets)),
            Scope::Client => Target::Client(text(&self.clients)),
            Scope::Group => Target::Group(text(&self.groups)),
        }
    }

    /// The public addresses that have no session now and are not forgotten yet, each with its subnet.
    pub(crate) fn absent_addresses(&self) -> impl Iterator<Item = (u32, &IpNet, u32)> {
        let keys = &self.addresses.keys;
        let absent = keys.used().filter(|&index| !keys.is_present(index));
        absent.filter_map(|index| {
            let net = keys.key(index).filter(|net| !is_private(net.addr()))?;
            Some((slot_id(index), net, self.subnet_of(net)?))
        })
    }

    /// The slot of the subnet that an address is in.
    pub(super) fn subnet_of(&self, address: &IpNet) -> Option<u32> {
        self.subnets.keys.find(&self.widths.network(address.addr()))
    }

    /// The network of an address or a subnet.
    pub(crate) fn network(&self, scope: Scope, slot: u32) -> Option<&IpNet> {
        match scope {
            Scope::Address => self.addresses.keys.key(slot as usize),
            Scope::Subnet => self.subnets.keys.key(slot as usize),
            _ => None,
        }
    }

    /// The client name of a session; of the target itself in scope `client`.
    pub(crate) fn client(&self, scope: Scope, slot: u32) -> Option<ClientSlot> {
        let slot = match scope {
            Scope::Session => self.sessions.client(slot),
            _ => slot,
        };
        (slot != NONE).then_some(ClientSlot(slot))
    }

    /// The text of a client name.
    pub(crate) fn client_name(&self, client: ClientSlot) -> &str {
        self.clients
            .keys
            .key(client.0 as usize)
            .map_or("", |name| name)
    }

    /// The name of a group.
    pub(crate) fn group_name(&self, slot: u32) -> &str {
        self.groups.keys.key(slot as usize).map_or("", |name| name)
    }

    /// The row of a connected session in the present snapshot.
    pub(crate) fn row(&self, session: u32) -> usize {
        self.sessions.row(session) as usize
    }

    /// The session in a slot.
    pub(crate) fn session(&self, slot: u32) -> SessionRef {
        self.sessions.get(slot).session
    }

    /// The slots of connected sessions, closing ones included.
    pub(crate) fn connected(&self) -> impl Iterator<Item = u32> {
        self.sessions.connected().map(|(slot, _)| slot_id(slot))
    }

    /// The targets of `scope` that a session belongs to: only a group's can be two.
    pub(crate) fn targets_of(&self, scope: Scope, session: u32) -> [Option<u32>; 2] {
        let slot = self.sessions.get(session);
        let some = |target: u32| (target != NONE).then_some(target);
        match scope {
            Scope::Server => [None; 2],
            Scope::Session => [Some(session), None],
            Scope::Address => [some(slot.address), None],
            Scope::Subnet => [some(slot.subnet), None],
            Scope::Client => [some(self.sessions.client(session)), None],
            Scope::Group => slot.groups.map(some),
        }
    }

    /// The target of scope `around` that one of `scope` belongs to, if it is certain. Where the peer is
    /// private, address and subnet stand for many people and are nobody's surroundings.
    pub(crate) fn surrounding(&self, scope: Scope, slot: u32, around: Scope) -> Option<u32> {
        match (scope, around) {
            (_, Scope::Server) => Some(SERVER),
            (Scope::Session, Scope::Client) => self.targets_of(around, slot)[0],
            (Scope::Session, Scope::Address | Scope::Subnet) => {
                let is_public = !self.is_private_session(slot);
                self.targets_of(around, slot)[0].filter(|_| is_public)
            }
            (Scope::Address, Scope::Subnet) => {
                let net = self.addresses.keys.key(slot as usize)?;
                self.subnet_of(net).filter(|_| !is_private(net.addr()))
            }
            _ => None,
        }
    }

    /// The client of a session: its address, or where that stands for many people, the session.
    pub(super) fn client_of(&self, session: u32) -> Client {
        let slot = self.sessions.get(session);
        if slot.is_private || slot.address == NONE {
            Client::Session(session)
        } else {
            Client::Address(slot.address)
        }
    }

    /// How old a session is; 0 where the server does not know.
    pub(crate) fn age(&self, session: u32) -> Duration {
        Duration::from_millis(self.sessions.get(session).age_ms())
    }

    /// Whether a session is in the present snapshot.
    pub(crate) fn is_connected(&self, session: u32) -> bool {
        self.sessions.row(session) != GONE
    }

    /// For how long the client of a session has been known.
    pub(crate) fn seniority(&self, session: u32) -> Duration {
        let age = self.age(session);
        match self.client_of(session) {
            Client::Session(_) => age,
            // Where the table is full, the session is all that is known.
            Client::Address(address) => self.seniority.of(address).unwrap_or(age),
        }
    }

    /// Whether the client of a session is one of the regulars.
    pub(crate) fn is_regular(&self, session: u32) -> bool {
        let slot = self.sessions.get(session);
        match self.client_of(session) {
            Client::Session(_) => {
                !slot.is_expelled()
                    && slot.is_private
                    && self.seniority.is_regular_at(slot.age_ms())
            }
            Client::Address(address) => self.seniority.is_regular(address),
        }
    }

    /// Which of the clients a session of the present snapshot belongs to.
    pub fn rank(&self, session: &SessionRef, at: Timestamp) -> Rank {
        match self.find_session(session.id) {
            Some(slot) if self.is_regular(slot) => Rank::Regular,
            Some(slot) if at.since(self.met(slot)) < HOUR => Rank::Newcomer,
            _ => Rank::Stranger,
        }
    }

    /// When the client of a session was first seen.
    pub(crate) fn met(&self, session: u32) -> Timestamp {
        let met = match self.client_of(session) {
            Client::Session(_) => None,
            Client::Address(address) => self.seniority.met(address),
        };
        met.unwrap_or(self.sessions.get(session).session.since)
    }

    /// Of each regular that is connected one session: the oldest.
    pub(crate) fn regulars(&self) -> impl Iterator<Item = u32> {
        self.connected().filter(|&session| {
            let is_eldest = match self.client_of(session) {
                Client::Session(_) => true,
                Client::Address(address) => self.eldest[address as usize] == session,
            };
            is_eldest && self.is_regular(session)
        })
    }

    /// Whether a session is a client of its own.
    pub(crate) fn is_private_session(&self, session: u32) -> bool {
        self.sessions.get(session).is_private
    }

    /// Whether the peer of a session, or of an address or subnet, stands for many people.
    pub(crate) fn is_private(&self, scope: Scope, slot: u32) -> bool {
        match scope {
            Scope::Session => self.is_private_session(slot),
            _ => self
                .network(scope, slot)
                .is_some_and(|net| is_private(net.addr())),
        }
    }

    /// When the session connected, or the one that it is the return of.
    pub(crate) fn is_connected_for(&self, session: u32, time: Duration) -> bool {
        self.sessions.get(session).age_with_earlier_s() >= time.as_secs_f64()
    }

    /// Tells the targets that a slot has had; a session that came back is the one that it was.
    pub(crate) fn lineage(&self, scope: Scope, slot: u32) -> u64 {
        match scope {
            Scope::Session => self.sessions.lineage(slot),
            _ => self.generation(scope, slot).into(),
        }
    }

    /// Whether it is certain which sessions make up a group.
    pub(crate) fn has_certain_members(&self, group: u32) -> bool {
        let row = self.group_rows[group as usize];
        row != GONE && self.members.is_certain(row as usize)
    }
}

/// The slot of an address, or of a session that is a client of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Address(u32),
    Session(u32),
}

/// A client name's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientSlot(pub(crate) u32);

fn fill(slots: &mut Vec<u32>, with: impl Iterator<Item = usize>) {
    slots.clear();
    make_room(slots, with.size_hint().1.unwrap_or(0));
    slots.extend(with.map(slot_id));
}
