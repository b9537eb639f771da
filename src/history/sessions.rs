//! The client sessions, each in a slot of its own for as long as it is connected.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::CLOCK_SLACK;
use super::keys::{NONE, slot_id};
use super::private::is_private;
use super::tally::{COST_SCALE, Counter};
use crate::decision::{Epoch, Peer, SessionRef};
use crate::penalty::Face;
use crate::room::make_room;
use crate::snapshot::Sessions;
use crate::time::Timestamp;
use crate::wire::Inspection;

/// No row of the present snapshot.
pub(super) const GONE: u32 = u32::MAX;

/// How far the rows go over which a session is looked for before the table is asked: rows keep
/// their order, and few leave between two polls.
const SCAN: usize = 8;

/// A session's pace is taken over this time at the least, in seconds.
const PACE_S: f64 = 1.0;

/// So long the list of those who left may always be, in sessions.
const LEFT_MIN: usize = 64;

/// As many absences of a session are remembered; the oldest go first.
const ABSENCES_MAX: usize = 64;

/// So much of an absence after a disconnect is the agent's doing: whoever wants to be back is back by
/// then. The rest is the client's own choice, and makes it quieter.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// A session that the history knows.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) session: SessionRef,
    pub(super) is_private: bool,
    /// Slots in the tables of address and subnet, or [`NONE`].
    pub(super) address: u32,
    pub(super) subnet: u32,
    /// Slots in the table of groups.
    pub(super) groups: [u32; 2],
    state: State,
    /// Whether it connected since the last poll.
    is_fresh: bool,
    /// What the agent did to it, and to those that it is the return of, if it did.
    marks: Option<Box<Marks>>,
    age_s: f64,
    counters: Counters,
    /// By how much its cost rose since it connected, or was first seen; in thousandths.
    cost_risen: u64,
    asked: Option<Box<Asked>>,
}

/// What the agent did to a session, and to those that it is the return of.
#[derive(Debug, Default)]
struct Marks {
    /// When the agent first asked the server to disconnect it, or would have.
    expelled_at: Option<Timestamp>,
    /// When it did so, or would have, for the last time, and when it really did.
    asked_at: [Option<Timestamp>; 2],
    /// When it was away for that; oldest first.
    away: Vec<(Timestamp, Timestamp)>,
    /// How old the session would be that the agent disconnected, when this one connected, which is
    /// its return.
    earlier_s: f64,
}

impl Slot {
    /// Whether it connected since the last poll.
    pub(super) const fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Whether the agent asked the server to disconnect it.
    pub(super) fn is_expelled(&self) -> bool {
        self.expelled_at().is_some()
    }

    fn expelled_at(&self) -> Option<Timestamp> {
        self.marks.as_ref()?.expelled_at
    }

    /// When the agent last asked the server to disconnect it; or by the other face would have.
    pub(super) fn asked_to_go_at(&self, face: Face) -> Option<Timestamp> {
        self.marks.as_ref()?.asked_at[usize::from(face == Face::Real)]
    }

    fn marks_mut(&mut self) -> &mut Marks {
        self.marks.get_or_insert_default()
    }

    /// For how long since `start` it was away because the agent disconnected it.
    pub(super) fn away_since(&self, start: Timestamp) -> Duration {
        let away = self.marks.iter().flat_map(|marks| &marks.away);
        away.map(|&(from, until)| until.since(from.max(start)))
            .sum()
    }

    /// How old it is, in milliseconds; 0 where the server does not know.
    pub(super) fn age_ms(&self) -> u64 {
        millis(self.age_s)
    }

    /// How old it is, and the session that it is the return of, in seconds; NaN where the server
    /// does not know.
    pub(super) fn age_with_earlier_s(&self) -> f64 {
        self.age_s + self.marks.as_ref().map_or(0.0, |marks| marks.earlier_s)
    }

    /// What `inspect_session` last said of it.
    pub(super) fn inspected(&self) -> Option<&Inspected> {
        self.asked.as_ref()?.told.as_ref()
    }

    /// When it was inspected last, readably or not.
    pub(super) fn asked_at(&self) -> Option<Timestamp> {
        self.asked.as_ref()?.at
    }

    /// The errors that it is known to have made; until it was inspected, those of the one that it is the
    /// return of.
    pub(super) fn known_errors(&self) -> u64 {
        let told = self.inspected().map(|told| told.errors);
        told.unwrap_or_else(|| self.asked.as_ref().map_or(0, |asked| asked.errors_before))
    }

    /// It was inspected, and nothing could be read of it.
    pub(super) fn uninspectable(&mut self, at: Timestamp) {
        self.asked_mut().at = Some(at);
    }

    fn asked_mut(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    /// What it would have done in `span_s` seconds if it had always done as since it connected, in
    /// the unit of sums; infinite where that is not known.
    pub(super) fn at_its_pace(&self, counter: Counter, span_s: f64) -> f64 {
        let did = match counter {
            Counter::RecvCount => self.counters.recv_count as f64,
            Counter::RecvSize => self.counters.recv_size as f64,
            Counter::SentSize => self.counters.sent_size as f64,
            Counter::TxsSent => self.counters.txs_sent as f64,
            Counter::Cost => self.cost_risen as f64,
            Counter::Errors => match self.inspected() {
                Some(inspected) => inspected.errors as f64,
                None => return f64::INFINITY,
            },
            Counter::New | Counter::Gone | Counter::Brief => return f64::INFINITY,
        };
        // Who has just connected has no pace yet. An unknown age is the shortest.
        did / self.age_s.max(PACE_S) * span_s
    }
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// A session that is connected.
    Used,
    /// One that left not long ago: whoever comes from its address under its name takes up what it did.
    Left,
}

/// A session that left, in its slot.
#[derive(Clone, Copy, Debug)]
struct Leaver {
    at: Timestamp,
    slot: u32,
    generation: u32,
    heritage: Heritage,
}

/// By what a session is taken for the return of one that left: the slots of address and client name,
/// and their generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Heritage {
    pub(super) address: (u32, u32),
    pub(super) client: (u32, u32),
}

/// The inspections of a session.
#[derive(Debug, Default)]
struct Asked {
    /// When the last one was.
    at: Option<Timestamp>,
    /// What it said, if it could be read.
    told: Option<Inspected>,
    /// The errors of the one that the session is the return of, until it was inspected itself.
    errors_before: u64,
}

/// What `inspect_session` last said of a session.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) errors: u64,
    pub(super) requests: u64,
    /// Of the methods that policies name, in the plan's order.
    pub(super) methods: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    recv_count: u64,
    recv_size: u64,
    sent_size: u64,
    txs_sent: u64,
    cost: f64,
}

impl Counters {
    fn of(sessions: &Sessions, row: usize) -> Self {
        Self {
            recv_count: sessions.recv_count[row],
            recv_size: sessions.recv_size[row],
            sent_size: sessions.sent_size[row],
            txs_sent: sessions.txs_sent[row],
            cost: sessions.cost[row],
        }
    }

    /// Whether a session can have come from `earlier` to here. Cost decays, so it says nothing.
    const fn can_follow(&self, earlier: &Self) -> bool {
        self.recv_count >= earlier.recv_count
            && self.recv_size >= earlier.recv_size
            && self.sent_size >= earlier.sent_size
            && self.txs_sent >= earlier.txs_sent
    }

    /// What was counted since `earlier`. Of the cost only a rise is seen, so this is its least.
    fn since(&self, earlier: &Self) -> Did {
        [
            (Counter::RecvCount, self.recv_count - earlier.recv_count),
            (Counter::RecvSize, self.recv_size - earlier.recv_size),
            (Counter::SentSize, self.sent_size - earlier.sent_size),
            (Counter::TxsSent, self.txs_sent - earlier.txs_sent),
            (Counter::Cost, thousandths(self.cost - earlier.cost)),
        ]
    }
}

/// More than any session can have cost in earnest; what a client inflates stops here, so that sums
/// stay exact.
const COST_MAX: f64 = 1e12;

/// A session that was certainly shorter than this is brief. Wallets stay for minutes at the least.
pub(crate) const BRIEF: Duration = Duration::from_secs(30);

/// What is known of a session that has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) is_brief: bool,
    /// The agent ended it, so it is nobody's doing.
    pub(super) is_expelled: bool,
}

/// What becomes of the slot of a session that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It is free.
    Freed,
    /// It stays for whoever comes back.
    Kept(Heritage),
}

/// What a session did between two polls.
pub(super) type Did = [(Counter, u64); 5];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 and up"
)]
pub(super) fn thousandths(cost: f64) -> u64 {
    // Rounded by hand: the function for it is a call, and this is asked of every session.
    (cost.clamp(0.0, COST_MAX) * COST_SCALE + 0.5) as u64
}

/// What a row turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A session known from the last poll.
    Known(u32),
    /// One that was not known.
    New {
        /// Its slot.
        slot: u32,
        /// Whether it connected since the last poll. One that was there before and not tracked
        /// did an unknown part of what it did since then.
        is_fresh: bool,
    },
    /// The table is full.
    Untracked,
}

/// The sessions.
#[derive(Debug)]
pub(super) struct SessionTable {
    slots: Vec<Slot>,
    /// What every poll reads of every slot, apart, so that it lies close together: the row in the
    /// present snapshot or [`GONE`], the count of sessions that the slot has had, and the slot in
    /// the table of clients or [`NONE`].
    rows: Vec<u32>,
    generations: Vec<u32>,
    clients: Vec<u32>,
    /// By slot: tells those who come back from those who come for the first time.
    lineages: Vec<u64>,
    next_lineage: u64,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Of those who left, the slots by heritage, and in the order in which they left.
    left: HashMap<Heritage, VecDeque<u32>>,
    left_in_order: VecDeque<Leaver>,
    evicted: Vec<u32>,
    has_inspected: bool,
    /// The slots and generations of those who took up what another did, within the longest window.
    heirs: Vec<(u32, u32)>,
    /// The slots of the last poll in its order, and of this one.
    order: Vec<u32>,
    next_order: Vec<u32>,
    cursor: usize,
    epoch: Epoch,
    polled: Timestamp,
    cap: usize,
    pub(super) untracked: u64,
}

impl SessionTable {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            slots: Vec::new(),
            rows: Vec::new(),
            generations: Vec::new(),
            clients: Vec::new(),
            lineages: Vec::new(),
            next_lineage: 0,
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            left: HashMap::new(),
            left_in_order: VecDeque::new(),
            evicted: Vec::new(),
            has_inspected: false,
            heirs: Vec::new(),
            order: Vec::new(),
            next_order: Vec::new(),
            cursor: 0,
            epoch: Epoch::default(),
            polled: Timestamp::default(),
            cap,
            untracked: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// The slot of the connected session with this ID.
    pub(super) fn find(&self, id: u64) -> Option<u32> {
        let slots = &self.slots;
        self.by_id
            .find(self.hasher.hash_one(id), |&slot| {
                slots[slot as usize].session.id == id
            })
            .copied()
    }

    /// The slots of connected sessions, each with its row in the present snapshot.
    pub(super) fn connected(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.rows().enumerate();
        rows.filter_map(|(slot, row)| row.map(|row| (slot, row)))
    }

    /// By slot the row in the present snapshot, of connected sessions.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<usize>> {
        self.rows
            .iter()
            .map(|&row| (row != GONE).then_some(row as usize))
    }

    /// The row in the present snapshot, or [`GONE`].
    pub(super) fn row(&self, slot: u32) -> u32 {
        self.rows[slot as usize]
    }

    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.generations[slot as usize]
    }

    /// The slot of its name in the table of clients, or [`NONE`].
    pub(super) fn client(&self, slot: u32) -> u32 {
        self.clients[slot as usize]
    }

    pub(super) fn set_client(&mut self, slot: u32, client: u32) {
        self.clients[slot as usize] = client;
    }

    /// Forgets all sessions; generations go on.
    pub(super) fn clear(&mut self) {
        self.by_id.clear();
        self.order.clear();
        self.free.clear();
        self.left.clear();
        self.left_in_order.clear();
        self.heirs.clear();
        for (index, slot) in (0..).zip(&mut self.slots) {
            slot.state = State::Free;
            self.free.push(index);
        }
        self.rows.fill(GONE);
        self.free.reverse();
    }

    /// Before the rows of a poll are matched, of which there are at most `rows`.
    pub(super) fn begin(&mut self, rows: usize) {
        // In one go, as in the tables of targets.
        let rows = rows.min(self.cap);
        self.make_room(rows);
        self.next_order.clear();
        make_room(&mut self.next_order, rows);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.by_id
            .reserve(rows.saturating_sub(self.by_id.len()), |&slot| {
                hasher.hash_one(slots[slot as usize].session.id)
            });
        self.cursor = 0;
        self.rows.fill(GONE);
    }

    /// Finds the session of `row`, or makes a slot for it. `at` and `epoch` are the poll's.
    /// Gives also what it did since the last poll, as far as that is known: a fresh session all
    /// that it ever did.
    // Handing over what it did by memory takes as long as finding it out.
    #[inline]
    pub(super) fn observe(
        &mut self,
        sessions: &Sessions,
        row: usize,
        at: Timestamp,
        epoch: Epoch,
    ) -> (Seen, Did) {
        let now = Counters::of(sessions, row);
        if let Some(index) = self.locate(sessions.id[row]) {
            let is_same = self.is_same(index, sessions, row, at, epoch, &now);
            let slot = &mut self.slots[index as usize];
            if is_same {
                let did = now.since(&slot.counters);
                slot.counters = now;
                slot.cost_risen = slot.cost_risen.saturating_add(cost_of(&did));
                slot.is_fresh = false;
                slot.age_s = sessions.age_s[row];
                self.rows[index as usize] = u32::try_from(row).unwrap_or(GONE);
                self.next_order.push(index);
                return (Seen::Known(index), did);
            }
            // Another session under the same ID: the old one will be found gone. It gives up its
            // place in the index for the new one.
            self.unindex(index);
        }
        let Some(index) = self.vacant() else {
            self.untracked += 1;
            return (Seen::Untracked, now.since(&now));
        };
        let (age_s, peer) = (sessions.age_s[row], sessions.peer[row]);
        // An unknown age is not below anything.
        let is_fresh = age_s <= (at.since(self.polled) + CLOCK_SLACK).as_secs_f64();
        let slot = &mut self.slots[index as usize];
        slot.session = SessionRef {
            id: sessions.id[row],
            peer,
            since: start(at, age_s),
        };
        slot.is_private = peer.0.is_none_or(|peer| is_private(peer.ip()));
        (slot.address, slot.subnet) = (NONE, NONE);
        slot.state = State::Used;
        slot.is_fresh = is_fresh;
        slot.marks = None;
        slot.age_s = age_s;
        slot.counters = now;
        slot.asked = None;
        slot.groups = [NONE; 2];
        self.rows[index as usize] = u32::try_from(row).unwrap_or(GONE);
        self.clients[index as usize] = NONE;
        let generation = &mut self.generations[index as usize];
        *generation = generation.wrapping_add(1);
        self.lineages[index as usize] = self.next_lineage;
        self.next_lineage += 1;
        let hash = self.hasher.hash_one(sessions.id[row]);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.by_id.insert_unique(hash, index, |&s| {
            hasher.hash_one(slots[s as usize].session.id)
        });
        self.next_order.push(index);
        let before = if is_fresh { Counters::default() } else { now };
        let did = now.since(&before);
        self.slots[index as usize].cost_risen = cost_of(&did);
        let seen = Seen::New {
            slot: index,
            is_fresh,
        };
        (seen, did)
    }

    fn locate(&mut self, id: u64) -> Option<u32> {
        let ahead = self.order.iter().enumerate().skip(self.cursor).take(SCAN);
        for (place, &index) in ahead {
            let slot = &self.slots[index as usize];
            if slot.session.id == id
                && slot.state == State::Used
                && self.rows[index as usize] == GONE
            {
                self.cursor = place + 1;
                return Some(index);
            }
        }
        self.find(id)
    }

    /// Over one connection an ID stays with its session. Over a reconnection the server may have
    /// been another, so peer, age and counters must agree too. Counters that went back are always
    /// another session's.
    fn is_same(
        &self,
        index: u32,
        sessions: &Sessions,
        row: usize,
        at: Timestamp,
        epoch: Epoch,
        now: &Counters,
    ) -> bool {
        let slot = &self.slots[index as usize];
        if slot.session.peer != sessions.peer[row] || !now.can_follow(&slot.counters) {
            return false;
        }
        if epoch == self.epoch {
            return true;
        }
        let expected_s = slot.age_s + at.since(self.polled).as_secs_f64();
        // An unknown age agrees with nothing: better to lose a history than to mix two.
        (sessions.age_s[row] - expected_s).abs() <= CLOCK_SLACK.as_secs_f64()
    }

    fn unindex(&mut self, index: u32) {
        let hash = self.hasher.hash_one(self.slots[index as usize].session.id);
        if let Ok(entry) = self.by_id.find_entry(hash, |&slot| slot == index) {
            entry.remove();
        }
    }

    fn make_room(&mut self, slots: usize) {
        make_room(&mut self.slots, slots);
        for column in [&mut self.rows, &mut self.generations, &mut self.clients] {
            make_room(column, slots);
        }
        make_room(&mut self.lineages, slots);
    }

    fn vacant(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let next = u32::try_from(self.slots.len());
        let Some(index) = next.ok().filter(|&index| (index as usize) < self.cap) else {
            // Whoever is there comes before those who may come back.
            let slot = self.take_first_left(|_| true)?;
            self.evicted.push(slot);
            return Some(slot);
        };
        self.make_room(index as usize + 1);
        self.slots.push(Slot {
            session: SessionRef {
                id: 0,
                peer: Peer(None),
                since: Timestamp::default(),
            },
            is_private: true,
            address: NONE,
            subnet: NONE,
            groups: [NONE; 2],
            state: State::Free,
            is_fresh: false,
            marks: None,
            age_s: f64::NAN,
            counters: Counters::default(),
            cost_risen: 0,
            asked: None,
        });
        self.rows.push(GONE);
        self.generations.push(0);
        self.clients.push(NONE);
        self.lineages.push(0);
        Some(index)
    }

    /// After the rows of a poll are matched: hands each session that is gone, with its client's
    /// slot, to `gone` and frees its slot.
    pub(super) fn end(
        &mut self,
        at: Timestamp,
        epoch: Epoch,
        mut gone: impl FnMut(u32, &Slot, u32, Visit) -> After,
    ) {
        let elapsed_s = at.since(self.polled).as_secs_f64();
        (self.polled, self.epoch) = (at, epoch);
        for index in 0..self.rows.len() {
            if self.rows[index] != GONE || self.slots[index].state != State::Used {
                continue;
            }
            let slot = &self.slots[index];
            let index32 = slot_id(index);
            let visit = Visit {
                // An unknown age is not below anything.
                is_brief: slot.age_with_earlier_s() + elapsed_s < BRIEF.as_secs_f64(),
                is_expelled: slot.is_expelled(),
            };
            let after = gone(index32, slot, self.clients[index], visit);
            self.unindex(index32);
            match after {
                After::Kept(heritage) => self.keep(index32, heritage, at),
                After::Freed => {
                    self.slots[index].state = State::Free;
                    self.free.push(index32);
                }
            }
        }
        std::mem::swap(&mut self.order, &mut self.next_order);
    }

    fn keep(&mut self, slot: u32, heritage: Heritage, at: Timestamp) {
        self.slots[slot as usize].state = State::Left;
        self.left.entry(heritage).or_default().push_back(slot);
        self.left_in_order.push_back(Leaver {
            at,
            slot,
            generation: self.generations[slot as usize],
            heritage,
        });
        // Who is back leaves an entry behind; whoever comes and goes shall not make it long.
        if self.left_in_order.len() > 2 * self.slots.len().max(LEFT_MIN) {
            let mut left = std::mem::take(&mut self.left_in_order);
            left.retain(|leaver| self.is_left(leaver));
            self.left_in_order = left;
        }
    }

    /// Whether the one that left is in its slot still.
    fn is_left(&self, leaver: &Leaver) -> bool {
        let state = self.slots[leaver.slot as usize].state;
        state == State::Left && self.generation(leaver.slot) == leaver.generation
    }

    /// The slot of one that left, if a fresh session with this heritage is its return. It is free from
    /// then on, and the fresh one has its lineage.
    pub(super) fn inherit(&mut self, heir: u32, heritage: Heritage) -> Option<u32> {
        let left = self.left.get_mut(&heritage)?;
        // Who left last is the likeliest to be back.
        let from = left.pop_back()?;
        if left.is_empty() {
            self.left.remove(&heritage);
        }
        self.lineages[heir as usize] = self.lineages[from as usize];
        self.hand_over_absence(from, heir);
        self.hand_over_errors(from, heir);
        self.heirs.push((heir, self.generations[heir as usize]));
        self.slots[from as usize].state = State::Free;
        self.free.push(from);
        Some(from)
    }

    /// What an heir was away for by the agent's doing must not make it look quieter than it is.
    fn hand_over_absence(&mut self, from: u32, heir: u32) {
        let Some(marks) = self.slots[from as usize].marks.take() else {
            return;
        };
        let heir = &mut self.slots[heir as usize];
        let Marks {
            mut away,
            expelled_at,
            ..
        } = *marks;
        away.extend(expelled_at.map(|at| (at, heir.session.since.clamp(at, at + AWAY_MAX))));
        let excess = away.len().saturating_sub(ABSENCES_MAX);
        away.drain(..excess);
        if !away.is_empty() {
            heir.marks_mut().away = away;
        }
    }

    /// Whoever made errors before is inspected first, so that reconnecting hides nobody.
    fn hand_over_errors(&mut self, from: u32, heir: u32) {
        let errors = self.slots[from as usize].known_errors();
        let heir = &mut self.slots[heir as usize];
        if errors > 0 && heir.inspected().is_none() {
            heir.asked_mut().errors_before = errors;
        }
    }

    /// Whether there is anybody to inherit from.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// The slots of those who took up what another did, and may be judged by it.
    pub(super) fn heirs(&self) -> impl Iterator<Item = u32> {
        let heirs = self.heirs.iter();
        let connected = heirs.filter(|&&(slot, generation)| {
            self.row(slot) != GONE && self.generation(slot) == generation
        });
        connected.map(|&(slot, _)| slot)
    }

    /// Whether there are any.
    pub(super) const fn has_heirs(&self) -> bool {
        !self.heirs.is_empty()
    }

    /// Frees the slots of those who left before `start`.
    pub(super) fn sweep(&mut self, start: Timestamp, mut freed: impl FnMut(u32)) {
        self.heirs.retain(|&(slot, generation)| {
            let session = &self.slots[slot as usize];
            let is_it = self.generations[slot as usize] == generation;
            is_it && session.state == State::Used && session.session.since > start
        });
        while let Some(slot) = self.take_first_left(|left_at| left_at <= start) {
            self.free.push(slot);
            freed(slot);
        }
    }

    /// The slots that were taken from those who left because the table was full, since this was asked
    /// last: what stood in them is nobody's.
    pub(super) fn evicted(&mut self) -> impl Iterator<Item = u32> {
        self.evicted.drain(..)
    }

    /// The slot of the one that left first, if it left when it is `wanted`.
    fn take_first_left(&mut self, wanted: impl Fn(Timestamp) -> bool) -> Option<u32> {
        loop {
            let leaver = *self.left_in_order.front()?;
            if !wanted(leaver.at) {
                return None;
            }
            self.left_in_order.pop_front();
            if !self.is_left(&leaver) {
                continue;
            }
            let Leaver { slot, heritage, .. } = leaver;
            if let Some(left) = self.left.get_mut(&heritage) {
                // Both are in the order in which they left.
                left.pop_front_if(|&mut first| first == slot);
                if left.is_empty() {
                    self.left.remove(&heritage);
                }
            }
            self.slots[slot as usize].state = State::Free;
            return Some(slot);
        }
    }

    /// How long the list of those who left is.
    #[cfg(test)]
    pub(super) fn listed(&self) -> usize {
        self.left_in_order.len()
    }

    /// Tells those who come back from those who come for the first time.
    pub(super) fn lineage(&self, slot: u32) -> u64 {
        self.lineages[slot as usize]
    }

    /// The agent asked the server to disconnect a session that is connected; its age, with that of
    /// the one that it is the return of.
    pub(super) fn expel(
        &mut self,
        id: u64,
        since: Timestamp,
        face: Face,
        at: Timestamp,
    ) -> Option<(u32, f64)> {
        let index = self.find(id)?;
        let slot = &mut self.slots[index as usize];
        if slot.session.since != since {
            return None;
        }
        let marks = slot.marks_mut();
        marks.expelled_at.get_or_insert(at);
        let [rehearsed, real] = &mut marks.asked_at;
        *rehearsed = Some(at);
        if face == Face::Real {
            *real = Some(at);
        }
        Some((index, slot.age_with_earlier_s()))
    }

    /// A fresh session is the return of one that the agent disconnected at this age.
    pub(super) fn returned(&mut self, slot: u32, earlier_s: f64) {
        self.slots[slot as usize].marks_mut().earlier_s = earlier_s;
    }

    /// Whether any session was ever inspected.
    pub(super) const fn has_inspected(&self) -> bool {
        self.has_inspected
    }

    /// Takes in what the server said of one session; gives the errors since the last time.
    pub(super) fn inspected(
        &mut self,
        slot: u32,
        inspection: &Inspection,
        methods: &[Arc<str>],
        at: Timestamp,
    ) -> u64 {
        let slot = &mut self.slots[slot as usize];
        let known = match slot.inspected() {
            Some(last) => last.errors,
            None if slot.is_fresh => 0,
            // Errors from before the first look have no time: they are in the total, not in a rate.
            None => inspection.errors,
        };
        let count = |method: &Arc<str>| inspection.methods.get(&**method).copied().unwrap_or(0);
        self.has_inspected = true;
        let asked = slot.asked_mut();
        asked.at = Some(at);
        asked.told = Some(Inspected {
            errors: inspection.errors,
            requests: inspection.requests,
            methods: methods.iter().map(count).collect(),
        });
        inspection.errors.saturating_sub(known)
    }
}

fn cost_of(did: &Did) -> u64 {
    let cost = did.iter().find(|(counter, _)| *counter == Counter::Cost);
    cost.map_or(0, |&(_, amount)| amount)
}

fn start(at: Timestamp, age_s: f64) -> Timestamp {
    if age_s.is_finite() {
        at - std::time::Duration::from_secs_f64(age_s.clamp(0.0, 1e10))
    } else {
        at
    }
}

/// In milliseconds; an unknown age is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 and up"
)]
pub(super) fn millis(age_s: f64) -> u64 {
    (age_s.max(0.0) * 1_000.0) as u64
}
