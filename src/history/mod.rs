//! From successive snapshots to rates, churn and stalls; by scope, in columns.
//!
//! A poll goes through three steps: [`History::begin`] matches the snapshot with what is known,
//! [`History::inspected`] adds what the server said of single sessions, [`History::finish`]
//! computes the columns that the policies read. Time is the snapshots'; nothing here asks a clock.
//!
//! What a session did before it left stays in the window of its address, subnet and client: who
//! reconnects launders nothing. What cannot be told is NaN in a column, and no test holds for it.

mod columns;
mod heights;
mod keys;
mod members;
mod plan;
mod private;
mod sessions;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::decision::{Epoch, SessionRef, Target};
use crate::field::Scope;
use crate::snapshot::{Server, Snapshot};
use crate::time::Timestamp;
use crate::wire::Inspection;

use columns::slot_id;
pub(crate) use columns::transport_name;
use heights::Stall;
use keys::NONE;
use members::Members;
pub(crate) use plan::ColumnId;
pub use plan::Plan;
use private::is_private;
pub use private::{Party, SubnetWidths};
use sessions::{GONE, Seen, SessionTable, Slot};
use table::Table;
use tally::{Counter, Deltas, Tallies};
use timeline::Timeline;

/// How much the history may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sessions. Those beyond are not watched, and that is counted.
    pub sessions_max: usize,
    /// Addresses, subnets, client names and groups, each. When a table is full, the target that
    /// has been without a session for the longest time goes first.
    pub targets_max: usize,
    /// A longer time without a good poll drops everything.
    pub gap_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions_max: 200_000,
            targets_max: 200_000,
            gap_max: Duration::from_secs(300),
        }
    }
}

/// How a snapshot follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It goes on from there.
    Continued,
    /// The first one.
    First,
    /// The server was started again: IDs and counters began anew.
    Restarted,
    /// Too long ago: [`Bounds::gap_max`].
    Gap,
}

/// How far the server's clock and the agent's may drift apart between two polls.
const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// An error costs 100, from 1.10.1 on.
const ERROR_COST_THOUSANDTHS: u64 = 100_000;

/// What a group's members do counts for the group.
const GROUP_COUNTERS: [Counter; 6] = [
    Counter::RecvCount,
    Counter::RecvSize,
    Counter::SentSize,
    Counter::TxsSent,
    Counter::Cost,
    Counter::New,
];

/// What the snapshot before said.
#[derive(Debug)]
struct Last {
    at: Timestamp,
    epoch: Epoch,
    server: Server,
}

/// The history.
#[derive(Debug)]
pub struct History {
    plan: Plan,
    methods: Vec<Arc<str>>,
    bounds: Bounds,
    widths: SubnetWidths,
    timelines: Vec<Timeline>,
    sessions: SessionTable,
    session_deltas: Deltas,
    session_tallies: Tallies,
    addresses: Table<IpNet>,
    subnets: Table<IpNet>,
    clients: Table<Box<str>>,
    groups: Table<Box<str>>,
    server_deltas: Deltas,
    server_tallies: Tallies,
    members: Members,
    /// By group slot: the row in the present snapshot, and the last poll that left its members'
    /// doings uncounted.
    group_rows: Vec<u32>,
    group_unsure_at: Vec<Timestamp>,
    /// By the snapshot's name: the client's slot.
    client_slots: Vec<u32>,
    daemon_height: Stall,
    db_height: Stall,
    last: Option<Last>,
    /// Client sessions in the present snapshot, and those of them from private or unknown peers.
    present: usize,
    private: usize,
    errors_rose_by: u64,
    columns: Vec<Vec<f64>>,
    live: [Live; Scope::ALL.len()],
}

/// The targets that a policy may look at now.
#[derive(Debug, Default)]
struct Live {
    all: Vec<u32>,
    public: Vec<u32>,
}

impl History {
    /// An empty history for these policies' needs.
    pub fn new(plan: Plan, bounds: Bounds, widths: SubnetWidths) -> Self {
        let mut history = Self {
            methods: plan
                .columns
                .iter()
                .filter_map(|column| column.method.clone())
                .collect(),
            bounds,
            widths,
            timelines: Vec::new(),
            sessions: SessionTable::new(bounds.sessions_max),
            session_deltas: Deltas::default(),
            session_tallies: Tallies::default(),
            addresses: Table::new(bounds.targets_max),
            subnets: Table::new(bounds.targets_max),
            clients: Table::new(bounds.targets_max),
            groups: Table::new(bounds.targets_max),
            server_deltas: Deltas::default(),
            server_tallies: Tallies::default(),
            members: Members::default(),
            group_rows: Vec::new(),
            group_unsure_at: Vec::new(),
            client_slots: Vec::new(),
            daemon_height: Stall::default(),
            db_height: Stall::default(),
            last: None,
            present: 0,
            private: 0,
            errors_rose_by: 0,
            columns: vec![Vec::new(); plan.columns.len()],
            live: Default::default(),
            plan,
        };
        history.want_tallies();
        history
    }

    /// The plan that it was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes in a snapshot. [`History::finish`] must follow, with the same one.
    pub fn begin(&mut self, snapshot: &Snapshot) -> Continuity {
        let at = snapshot.at();
        let continuity = self.continuity(snapshot);
        if continuity == Continuity::Continued {
            for timeline in &mut self.timelines {
                timeline.advance(at);
            }
            self.sweep(at);
        } else {
            self.reset(at);
        }
        if continuity == Continuity::Gap {
            self.daemon_height.clear();
            self.db_height.clear();
        }
        self.begin_tables(snapshot, at);
        self.match_sessions(snapshot, continuity);
        self.match_groups(snapshot);
        self.observe_server(&snapshot.server, at, continuity);
        self.last = Some(Last {
            at,
            epoch: snapshot.epoch,
            server: snapshot.server.clone(),
        });
        continuity
    }

    /// The IDs of at most `max` sessions to inspect: those whose cost rose most, if the server
    /// counted new errors and any policy looks at a session's errors or requests.
    pub fn inspect_next(&self, max: usize) -> Vec<u64> {
        if self.errors_rose_by == 0 || !self.plan.needs_inspection() {
            return Vec::new();
        }
        let costs = self.session_deltas.of(Counter::Cost);
        let likeliest = self
            .sessions
            .connected()
            .map(|(slot, _)| (costs.get(slot).copied().unwrap_or(0), slot_id(slot)))
            // An error costs 100, and decay takes little of it between two polls.
            .filter(|&(cost, _)| cost >= ERROR_COST_THOUSANDTHS / 2)
            .map(|(cost, slot)| (cost, self.session(slot).id));
        let mut likeliest: Vec<(u64, u64)> = likeliest.collect();
        likeliest.sort_unstable_by_key(|&(cost, id)| (std::cmp::Reverse(cost), id));
        likeliest.into_iter().take(max).map(|(_, id)| id).collect()
    }

    /// Takes in what the server said of one session of the present snapshot.
    pub fn inspected(&mut self, id: u64, inspection: &Inspection) {
        if let Some(slot) = self.sessions.find(id) {
            let errors = self.sessions.inspected(slot, inspection, &self.methods);
            self.session_deltas
                .add(Counter::Errors, slot as usize, errors);
        }
    }

    /// Computes the columns.
    pub fn finish(&mut self, snapshot: &Snapshot) {
        self.session_tallies
            .fold(&self.session_deltas, self.sessions.len(), &self.timelines);
        self.server_tallies
            .fold(&self.server_deltas, 1, &self.timelines);
        self.addresses.fold(&self.timelines);
        self.subnets.fold(&self.timelines);
        self.clients.fold(&self.timelines);
        self.groups.fold(&self.timelines);
        self.fill_live(snapshot);
        self.fill_columns(snapshot);
    }

    /// How many clients are connected, by [`Party`].
    pub fn parties(&self) -> usize {
        let public = &self.live[Scope::Address as usize].public;
        let is_here = |&&slot: &&u32| self.addresses.keys.present(slot as usize) > 0;
        public.iter().filter(is_here).count() + self.private
    }

    /// How often something was not tracked because a table was full.
    pub fn untracked(&self) -> u64 {
        self.sessions.untracked
            + self.addresses.keys.overflow()
            + self.subnets.keys.overflow()
            + self.clients.keys.overflow()
            + self.groups.keys.overflow()
    }

    fn continuity(&self, snapshot: &Snapshot) -> Continuity {
        let Some(last) = &self.last else {
            return Continuity::First;
        };
        let elapsed = snapshot.at().since(last.at);
        if elapsed > self.bounds.gap_max {
            Continuity::Gap
        // A restart breaks the connection, so over one there is none, whatever its clock says.
        } else if snapshot.epoch != last.epoch
            && has_restarted(&last.server, &snapshot.server, elapsed)
        {
            Continuity::Restarted
        } else {
            Continuity::Continued
        }
    }

    fn reset(&mut self, at: Timestamp) {
        self.timelines = self
            .plan
            .windows
            .iter()
            .map(|&window| Timeline::new(window, at))
            .collect();
        self.sessions.clear();
        self.session_tallies.reset();
        self.server_tallies.reset();
        self.addresses.clear();
        self.subnets.clear();
        self.clients.clear();
        self.groups.clear();
        self.group_unsure_at.clear();
    }

    fn begin_tables(&mut self, snapshot: &Snapshot, at: Timestamp) {
        self.sessions.begin();
        self.session_deltas.clear(self.sessions.len());
        self.server_deltas.clear(1);
        self.addresses.begin();
        self.subnets.begin();
        self.clients.begin();
        self.groups.begin();
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

    fn match_sessions(&mut self, snapshot: &Snapshot, continuity: Continuity) {
        let (at, sessions) = (snapshot.at(), &snapshot.sessions);
        let is_continued = continuity == Continuity::Continued;
        (self.present, self.private) = (0, 0);
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
        sessions.end(at, snapshot.epoch, |index, slot, client| {
            session_tallies.clear_slot(index as usize);
            server_deltas.add(Counter::Gone, 0, 1);
            addresses.leave(slot.address, at);
            subnets.leave(slot.subnet, at);
            clients.leave(client, at);
            for group in slot.groups {
                groups.leave(group, at);
            }
        });
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
        if session.address != NONE {
            self.addresses.keys.count(session.address, at);
        }
        if session.subnet != NONE {
            self.subnets.keys.count(session.subnet, at);
        }
        let client = self.sessions.client(slot);
        if client != NONE {
            self.clients.keys.count(client, at);
        }
    }

    /// Adds what a session did to its own sums and to those of its address, subnet and client.
    fn credit(&mut self, slot: u32, did: &sessions::Did, is_new: bool) {
        let Slot {
            address, subnet, ..
        } = *self.sessions.get(slot);
        let client = self.sessions.client(slot);
        let new = is_new.then_some((Counter::New, 1));
        for (counter, amount) in did.iter().copied().chain(new) {
            if amount == 0 {
                continue;
            }
            self.session_deltas.add(counter, slot as usize, amount);
            self.server_deltas.add(counter, 0, amount);
            self.addresses.add(address, counter, amount);
            self.subnets.add(subnet, counter, amount);
            self.clients.add(client, counter, amount);
        }
    }

    /// Finds the groups' members and adds what they did to their groups' sums.
    fn match_groups(&mut self, snapshot: &Snapshot) {
        let (at, groups) = (snapshot.at(), &snapshot.groups);
        self.members.assign(snapshot);
        self.group_rows.clear();
        self.group_rows.resize(self.groups.keys.len(), GONE);
        let mut slot_of_row = Vec::with_capacity(groups.len());
        for (row, name) in groups.name.iter().enumerate() {
            let slot = self.groups.keys.slot(groups.names.get(*name), at);
            slot_of_row.push(slot);
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
            let slot = u32::try_from(index).unwrap_or(NONE);
            let row = self.sessions.row(slot);
            if row == GONE {
                continue;
            }
            let session = self.sessions.get_mut(slot);
            let mut of = self
                .members
                .of_session(row as usize)
                .map(|row| slot_of_row[row as usize]);
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

    fn observe_server(&mut self, server: &Server, at: Timestamp, continuity: Continuity) {
        self.daemon_height.observe(server.daemon_height, at);
        self.db_height.observe(server.db_height, at);
        let last = self
            .last
            .as_ref()
            .filter(|_| continuity == Continuity::Continued);
        let before = last.map_or(server.errors, |last| last.server.errors);
        // The server sums over those connected now: a fall hides errors, and is no errors.
        self.errors_rose_by = server.errors.saturating_sub(before);
        self.server_deltas
            .add(Counter::Errors, 0, self.errors_rose_by);
    }

    /// Frees the slots of targets that have left every window.
    fn sweep(&mut self, at: Timestamp) {
        let starts = self.timelines.iter().map(Timeline::start);
        let start = starts.min().unwrap_or(at);
        self.addresses.sweep(start);
        self.subnets.sweep(start);
        self.clients.sweep(start);
        self.groups.sweep(start);
    }
}

/// Whether the server `elapsed` after `before` is another process.
fn has_restarted(before: &Server, now: &Server, elapsed: Duration) -> bool {
    let is_too_young = before.uptime.zip(now.uptime).is_some_and(|(then, now)| {
        let at_most = now.at_least + now.resolution;
        at_most < then.at_least || at_most + CLOCK_SLACK < then.at_least + elapsed
    });
    // In a container a pid can come again.
    is_too_young || (now.pid.is_some() && now.pid != before.pid)
}

/// What the engine reads.
impl History {
    /// The targets of `scope` that have, or within the longest window had, a session. Private peers
    /// are targets of `address` and `subnet` only where the policy says so.
    pub(crate) fn live(&self, scope: Scope, include_private: bool) -> &[u32] {
        let live = &self.live[scope as usize];
        match scope {
            Scope::Address | Scope::Subnet if !include_private => &live.public,
            _ => &live.all,
        }
    }

    /// A number or flag by target; NaN where it cannot be told.
    pub(crate) fn column(&self, column: ColumnId) -> &[f64] {
        &self.columns[column.0]
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
            Scope::Address => self.addresses.keys.present(index) > 0,
            Scope::Subnet => self.subnets.keys.present(index) > 0,
            Scope::Client => self.clients.keys.present(index) > 0,
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

    /// Whether it is certain which sessions make up a group.
    pub(crate) fn has_certain_members(&self, group: u32) -> bool {
        let row = self.group_rows[group as usize];
        row != GONE && self.members.is_certain(row as usize)
    }
}

/// A client name's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientSlot(pub(crate) u32);
