//! From successive snapshots to rates, churn and stalls; by scope, in columns.
//!
//! A poll goes through three steps: [`History::begin`] matches the snapshot with what is known,
//! [`History::inspected`] adds what the server said of single sessions, [`History::finish`]
//! computes the columns that the policies read. Time is the snapshots'; nothing here asks a clock.
//!
//! What a session did before it left stays in the window of its address, subnet and client: who
//! reconnects launders nothing. What cannot be told is NaN in a column, and no test holds for it.

mod census;
mod columns;
mod continuity;
mod felt;
mod heights;
mod keys;
mod load;
mod members;
mod numbers;
mod penalties;
mod plan;
mod private;
mod requests;
mod returns;
mod seniority;
mod sessions;
mod table;
mod tally;
mod targets;
#[cfg(test)]
mod tests;
mod timeline;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::daemon::Round;
use crate::field::Scope;
use crate::penalty::{Face, Penalties, PenaltySettings};
use crate::slots::Slots;
use crate::snapshot::{Server, Snapshot};
use crate::time::Timestamp;
use crate::visit::Visits;
use crate::watch::{SavedDaemons, Settings as DaemonSettings, Stall as BlockStall, Watch, Watched};
use crate::wire::Inspection;

use census::Heir;
pub(crate) use columns::transport_name;
pub use continuity::Continuity;
use continuity::Last;
pub use felt::SavedFelt;
pub use heights::SavedHeights;
pub(crate) use load::Bearer;
use members::Members;
pub(crate) use numbers::Numbers;
pub(crate) use plan::ColumnId;
pub use plan::Plan;
pub(crate) use private::{PRIVATE_V4, PRIVATE_V6, is_private};
pub use private::{Party, SubnetWidths};
use requests::RequestTotals;
use returns::Returns;
use seniority::Seniority;
pub use seniority::{
    CLIENTS_MAX, ClientBounds, ClientChanges, Crowd, Hour, KnownClient, Rank, SavedClients, Usual,
};
pub(crate) use sessions::BRIEF;
use sessions::SessionTable;
use table::Table;
use tally::{Counter, Deltas, Tallies};
use targets::Live;
pub(crate) use targets::SERVER;
use timeline::Timeline;

/// How much the history may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Sessions. Those beyond are not watched, and that is counted.
    pub sessions_max: usize,
    /// Addresses, subnets, client names and groups, each. When a table is full, the target that
    /// has been without a session for the longest time goes first.
    pub targets_max: usize,
    /// A longer time without a good poll drops everything.
    pub gap_max: Duration,
    /// Clients, and for how long they are known.
    pub clients: ClientBounds,
    /// Strikes and bans.
    #[serde(default)]
    pub penalties: PenaltySettings,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions_max: 200_000,
            targets_max: 200_000,
            gap_max: Duration::from_secs(300),
            clients: ClientBounds::default(),
            penalties: PenaltySettings::default(),
        }
    }
}

/// How sessions were asked to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expulsion {
    /// Whether they were, or would have been.
    pub(crate) face: Face,
    /// Whether it says that they did wrong.
    pub(crate) blames: bool,
}

/// How far the server's clock and the agent's may drift apart between two polls.
const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// An error costs 100, from 1.10.1 on.
const ERROR_COST_THOUSANDTHS: u64 = 100_000;

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
    requests: RequestTotals,
    members: Members,
    /// By group slot: the row in the present snapshot, and the last poll that left its members'
    /// doings uncounted.
    group_rows: Vec<u32>,
    group_unsure_at: Vec<Timestamp>,
    /// By the snapshot's group row: the group's slot.
    group_slots: Vec<u32>,
    /// By the snapshot's name: the client's slot.
    client_slots: Vec<u32>,
    daemons: Watch,
    slots: Option<Slots>,
    heights: SavedHeights,
    felt: SavedFelt,
    last: Option<Last>,
    /// From the good poll before to the last one; zero if that follows none.
    span: Duration,
    /// Since when no poll has succeeded, if the last one failed.
    down_since: Option<Timestamp>,
    /// Client sessions in the present snapshot.
    present: usize,
    seniority: Seniority,
    penalties: Box<Penalties>,
    /// Whose strikes and bans the columns tell.
    face: Face,
    returns: Returns,
    /// Fresh sessions whose predecessor is looked for.
    heirs: Vec<Heir>,
    /// By address slot: sessions of the present snapshot that the agent asked to disconnect.
    hit: HashMap<u32, u32>,
    /// The sessions that connected since the last poll.
    fresh: Vec<u32>,
    /// By address slot: its oldest session in the present snapshot, or [`NONE`](keys::NONE).
    eldest: Vec<u32>,
    /// Whether the server's sum of errors rose, or may have fallen by as much as it rose.
    may_have_erred: bool,
    columns: Vec<numbers::Column>,
    /// By subnet slot: addresses with a session in the present snapshot.
    subnet_addresses: Vec<u32>,
    live: [Live; Scope::ALL.len()],
}

impl History {
    /// An empty history for these policies' needs.
    pub fn new(plan: Plan, bounds: Bounds, widths: SubnetWidths, daemons: DaemonSettings) -> Self {
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
            requests: RequestTotals::default(),
            members: Members::default(),
            group_rows: Vec::new(),
            group_slots: Vec::new(),
            group_unsure_at: Vec::new(),
            client_slots: Vec::new(),
            daemons: Watch::new(daemons),
            slots: None,
            heights: SavedHeights::default(),
            felt: SavedFelt::default(),
            last: None,
            span: Duration::ZERO,
            down_since: None,
            present: 0,
            seniority: Seniority::new(bounds.clients),
            penalties: Box::new(Penalties::new(bounds.penalties)),
            face: Face::Rehearsed,
            returns: Returns::default(),
            heirs: Vec::new(),
            hit: HashMap::new(),
            fresh: Vec::new(),
            eldest: Vec::new(),
            may_have_erred: false,
            columns: plan
                .columns
                .iter()
                .map(|_| numbers::Column::default())
                .collect(),
            subnet_addresses: Vec::new(),
            live: Default::default(),
            plan,
        };
        history.want_tallies();
        history
    }

    /// The server's slots, if they are known.
    pub(crate) const fn server_slots(&self) -> Option<Slots> {
        self.slots
    }

    /// Of a server whose slots are known.
    #[must_use]
    pub fn with_slots(mut self, slots: Option<Slots>) -> Self {
        self.slots = slots;
        self
    }

    /// The plan that it was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes in a snapshot. [`History::finish`] must follow, with the same one.
    pub fn begin(&mut self, snapshot: &Snapshot) -> Continuity {
        let at = snapshot.at();
        self.down_since = None;
        let continuity = self.last.as_ref().map_or(Continuity::First, |last| {
            last.followed_by(snapshot, self.bounds.gap_max)
        });
        let before = self.last.as_ref().map_or(at, |last| last.at);
        self.span = if continuity == Continuity::Continued {
            at.since(before)
        } else {
            Duration::ZERO
        };
        if continuity == Continuity::Continued {
            for timeline in &mut self.timelines {
                timeline.advance(at);
            }
            self.sweep(at);
        } else {
            self.reset(at);
        }
        if continuity == Continuity::Gap {
            self.forget_heights();
        }
        self.begin_tables(snapshot, at);
        self.match_sessions(snapshot, continuity);
        self.recognise(snapshot, continuity);
        if self.plan.needs_groups() {
            self.match_groups(snapshot);
        }
        self.observe_server(&snapshot.server, at, continuity);
        self.daemons.observe(at, &snapshot.server, &snapshot.rounds);
        self.visit(at, &snapshot.visits);
        self.last = Some(Last::of(snapshot));
        continuity
    }

    /// Takes in that a poll failed at `at`, and what was heard of the daemons and felt by the canary since
    /// the last one. Of the server only the columns are known that do not depend on its answer.
    pub fn missed(&mut self, at: Timestamp, rounds: &[Round], visits: &Visits) {
        let succeeded = self.last.as_ref().map_or(at, |last| last.at);
        let down_since = *self.down_since.get_or_insert(succeeded);
        self.daemons.hear(at, rounds);
        self.visit(at, visits);
        self.fill_missed(at, at.since(down_since));
    }

    fn visit(&mut self, at: Timestamp, visits: &Visits) {
        self.felt.hear(&visits.made);
        self.felt.expire(at, self.bounds.gap_max);
    }

    /// The IDs of at most `max` sessions to inspect, if there may be new errors and any policy looks
    /// at a session's errors or requests. A third of the places is kept for those who made the most
    /// errors before, a third goes to those whose cost rose most, and a third to those who were not
    /// asked about for longest: so nobody hides behind others, be they many or loud.
    pub fn inspect_next(&self, max: usize) -> Vec<u64> {
        if !self.may_have_erred || !self.plan.needs_inspection() {
            return Vec::new();
        }
        let costs = self.session_deltas.of(Counter::Cost);
        // An error costs 100, and decay takes little of it between two polls.
        let likely = costs.filter(|&(_, cost)| cost >= ERROR_COST_THOUSANDTHS / 2);
        let likely: Vec<(u32, u64)> = likely.collect();
        let id = |slot: u32| self.session(slot).id;
        let mut offenders: Vec<_> = likely
            .iter()
            .filter_map(|&(slot, _)| {
                let known = self.sessions.get(slot).known_errors();
                (known > 0).then(|| (Reverse(known), id(slot)))
            })
            .collect();
        offenders.sort_unstable();
        let mut dearest: Vec<_> = likely
            .iter()
            .map(|&(slot, cost)| (Reverse(cost), id(slot)))
            .collect();
        dearest.sort_unstable();
        let mut longest: Vec<_> = likely
            .iter()
            .map(|&(slot, cost)| (self.sessions.get(slot).asked_at(), Reverse(cost), id(slot)))
            .collect();
        longest.sort_unstable();
        let mut chosen = Vec::new();
        let offenders = offenders.into_iter().map(|(_, id)| id);
        let dearest = dearest.into_iter().map(|(_, id)| id);
        let longest = longest.into_iter().map(|(.., id)| id);
        take_new(&mut chosen, offenders, max / 3);
        take_new(&mut chosen, dearest, max / 3);
        let left = max - chosen.len();
        take_new(&mut chosen, longest, left);
        chosen
    }

    /// Takes in what the server said of one session of the present snapshot.
    pub fn inspected(&mut self, id: u64, inspection: &Inspection) {
        if let Some(slot) = self.sessions.find(id) {
            let at = self.last.as_ref().map(|last| last.at).unwrap_or_default();
            let errors = self.sessions.inspected(slot, inspection, &self.methods, at);
            self.session_deltas.add(Counter::Errors, slot, errors);
        }
    }

    /// Takes in that the inspection of one session cannot be read. It goes to the back like one that
    /// was inspected; nothing else is known of it.
    pub fn uninspectable(&mut self, id: u64) {
        if let Some(slot) = self.sessions.find(id) {
            let at = self.last.as_ref().map(|last| last.at).unwrap_or_default();
            self.sessions.get_mut(slot).uninspectable(at);
        }
    }

    /// Computes the columns.
    pub fn finish(&mut self, snapshot: &Snapshot) {
        self.session_tallies
            .fold(&self.session_deltas, self.sessions.len(), &self.timelines);
        self.server_tallies
            .fold(&self.server_deltas, 1, &self.timelines);
        self.requests.fold(self.methods.len(), &self.timelines);
        self.addresses.fold(&self.timelines);
        self.subnets.fold(&self.timelines);
        self.clients.fold(&self.timelines);
        self.groups.fold(&self.timelines);
        self.fill_live(snapshot);
        self.fill_columns(snapshot);
    }

    /// How many client sessions are connected.
    pub(crate) const fn present(&self) -> usize {
        self.present
    }

    /// What is known of the server's daemons.
    pub fn daemons(&self) -> &Watch {
        &self.daemons
    }

    /// The daemon that the server uses, if it answers and a recent round told of that daemon.
    pub fn daemon_in_use(&self) -> Option<&Watched> {
        self.daemons.current().filter(|_| self.down_since.is_none())
    }

    /// For how long the daemon's height, as the server has it, has stood still.
    pub fn daemon_stalled(&self, snapshot: &Snapshot) -> Option<Duration> {
        self.heights.daemon.duration(snapshot.at())
    }

    /// What holds the blocks up, as far as it can be told.
    pub fn stall(&self, snapshot: &Snapshot) -> Option<BlockStall> {
        if self.down_since.is_some() {
            return None;
        }
        let stalled = self.daemon_stalled(snapshot);
        BlockStall::of(&self.daemons, &snapshot.server, stalled)
    }

    /// Takes up what an earlier run saw of heights and daemons, and since when it had no answer.
    pub(crate) fn resume(
        &mut self,
        heights: SavedHeights,
        daemons: SavedDaemons,
        down_since: Option<Timestamp>,
    ) {
        self.heights = heights;
        self.daemons.resume(daemons);
        self.down_since = down_since;
    }

    /// Nobody knows any more for how long heights have stood still.
    pub(crate) fn forget_heights(&mut self) {
        self.heights = SavedHeights::default();
    }

    /// Takes up what an earlier run's canary felt.
    pub(crate) const fn resume_felt(&mut self, felt: SavedFelt) {
        self.felt = felt;
    }

    /// What the canary felt last.
    pub(crate) const fn felt(&self) -> SavedFelt {
        self.felt
    }

    /// The heights, and for how long they have stood still.
    pub(crate) const fn heights(&self) -> SavedHeights {
        self.heights
    }

    /// When the last poll that succeeded was; and since when none has, if the last one failed.
    pub(crate) fn polled(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.last.as_ref().map(|last| last.at), self.down_since)
    }

    /// Takes up what an earlier run knew of clients.
    pub fn restore_clients(&mut self, saved: SavedClients) {
        self.seniority.restore(saved);
    }

    /// What the next run needs to know of clients.
    pub fn saved_clients(&self) -> SavedClients {
        self.seniority.save()
    }

    /// What has changed of it since it was saved.
    pub fn client_changes(&self) -> ClientChanges {
        self.seniority.changes()
    }

    /// All that has changed of it is saved.
    pub fn clients_saved(&mut self) {
        self.seniority.saved();
    }

    /// Strikes and bans.
    pub fn penalties(&self) -> &Penalties {
        &self.penalties
    }

    /// Strikes and bans, for what is decided.
    pub fn penalties_mut(&mut self) -> &mut Penalties {
        &mut self.penalties
    }

    /// Whether policies see what was done, or what would have been.
    pub fn show(&mut self, face: Face) {
        self.face = face;
    }

    /// The crowd.
    pub fn crowd(&self) -> Crowd {
        self.seniority.crowd()
    }

    /// How often something was not tracked because a table was full.
    pub fn untracked(&self) -> u64 {
        self.sessions.untracked
            + self.addresses.keys.overflow()
            + self.subnets.keys.overflow()
            + self.clients.keys.overflow()
            + self.groups.keys.overflow()
            + self.seniority.overflow()
    }

    fn reset(&mut self, at: Timestamp) {
        self.timelines = self
            .plan
            .windows
            .iter()
            .map(|&window| Timeline::new(window, at))
            .collect();
        self.sessions.clear();
        self.heirs.clear();
        self.session_tallies.reset();
        self.server_tallies.reset();
        self.requests.reset();
        self.addresses.clear();
        self.subnets.clear();
        self.clients.clear();
        self.groups.clear();
        self.group_unsure_at.clear();
    }

    fn observe_server(&mut self, server: &Server, at: Timestamp, continuity: Continuity) {
        self.heights.daemon.observe(server.daemon_height, at);
        self.heights.db.observe(server.db_height, at);
        let last = self
            .last
            .as_ref()
            .filter(|_| continuity == Continuity::Continued);
        let before = last.map_or(server.errors, |last| last.server.errors);
        // The server sums over those connected now: a fall hides errors, and is no errors.
        let rose_by = server.errors.saturating_sub(before);
        self.may_have_erred |= rose_by > 0;
        self.server_deltas.add(Counter::Errors, 0, rose_by);
        let seen = self.server_deltas.total(Counter::RecvCount);
        let servers = (last.map(|last| &last.server), server);
        self.requests
            .observe(servers, seen, self.sessions.untracked, &self.methods, at);
    }

    /// Frees the slots of targets that have left every window.
    fn sweep(&mut self, at: Timestamp) {
        let starts = self.timelines.iter().map(Timeline::start);
        let start = starts.min().unwrap_or(at);
        let tallies = &mut self.session_tallies;
        self.sessions.sweep(start, |slot| tallies.clear_slot(slot));
        self.addresses.sweep(start);
        self.subnets.sweep(start);
        self.clients.sweep(start);
        self.groups.sweep(start);
    }
}

/// Adds to `chosen` so many that are not among them yet.
fn take_new(chosen: &mut Vec<u64>, ids: impl Iterator<Item = u64>, count: usize) {
    let most = chosen.len() + count;
    for id in ids {
        if chosen.len() >= most {
            return;
        }
        if !chosen.contains(&id) {
            chosen.push(id);
        }
    }
}
