//! The client sessions connected now, and what they moved since the poll before.
//!
//! Sessions stand here by ID, which is also the server's order but for a few of its releases: so a poll is matched by
//! going through both lists once, asks no table and allocates nothing for whoever stays.

use std::time::Duration;

use super::distinct::Distinct;
use super::net::Net;
use super::touched::{NONE, Touched};
use crate::decision::{Epoch, Peer, SessionRef};
use crate::history::SubnetWidths;
use crate::snapshot::{Sessions, Snapshot};
use crate::time::Timestamp;

/// How far the server's clock and the agent's may drift apart between two polls.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// What a session did between two polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Did {
    pub(super) recv: u64,
    pub(super) sent: u64,
    pub(super) requests: u64,
}

impl Did {
    pub(super) const fn bytes(self) -> u64 {
        self.recv.saturating_add(self.sent)
    }
}

/// What every poll reads of every session.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: u64,
    recv: u64,
    sent: u64,
    requests: u64,
    /// What it did since the poll before.
    did: Did,
    /// In the present snapshot.
    row: u32,
    /// Its mark among those touched, or [`NONE`].
    mark: u32,
}

/// What few polls ask for.
#[derive(Clone, Copy, Debug)]
struct Person {
    peer: Peer,
    since: Timestamp,
    is_age_known: bool,
}

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    known: Vec<Known>,
    people: Vec<Person>,
    /// Of those that have one of their own.
    addresses: Vec<Option<Net>>,
    /// Who came with the present poll.
    comers: Vec<(Known, Person)>,
    /// Rows by ID.
    order: Vec<u32>,
    last: Option<(Timestamp, Epoch)>,
    /// Whether `last` was of another run of the agent.
    is_other_run: bool,
    seen: Seen,
}

/// Who was ever here.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sessions: u64,
    pub(super) private: u64,
    pub(super) addresses: Distinct,
    pub(super) subnets: Distinct,
}

/// What a poll adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Client sessions now.
    pub(super) sessions: u64,
    /// All of them since the poll before.
    pub(super) did: Did,
}

/// Up to where the sessions of the poll before have been looked at, and how many of them stay.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    from: usize,
    to: usize,
}

impl Crowd {
    /// Takes in that the next snapshot's epoch is of another agent's counting.
    pub(super) fn forget_connection(&mut self) {
        self.is_other_run = true;
    }

    /// Matches a snapshot with the one before.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, touched: &mut Touched) -> Moved {
        let sessions = &snapshot.sessions;
        // Over one connection an ID stays with its session.
        let is_other_run = std::mem::take(&mut self.is_other_run);
        let is_certain =
            !is_other_run && self.last.is_some_and(|(_, epoch)| epoch == snapshot.epoch);
        let is_sorted = self.sort(sessions);
        let mut moved = Moved::default();
        let mut place = Place::default();
        for index in 0..sessions.len() {
            let row = if is_sorted {
                index
            } else {
                self.order[index] as usize
            };
            if !sessions.flags[row].is_client() {
                continue;
            }
            self.leave_below(sessions.id[row], &mut place, touched);
            if self.is_same(place.from, snapshot, row, is_certain) {
                self.stay(&mut place, sessions, row, &mut moved, touched);
            } else {
                self.comers.push(comer(snapshot, row));
            }
        }
        for known in &self.known[place.from..] {
            touched.gone(known.mark);
        }
        self.known.truncate(place.to);
        self.people.truncate(place.to);
        self.addresses.truncate(place.to);
        self.welcome(&mut moved, touched);
        self.last = Some((snapshot.at(), snapshot.epoch));
        moved.sessions = self.known.len() as u64;
        moved
    }

    /// Whether the rows are by ID already; else `order` is.
    fn sort(&mut self, sessions: &Sessions) -> bool {
        let mut last = 0;
        let mut rows = sessions.id.iter().zip(&sessions.flags);
        // An RPC connection of old releases has an ID of another count.
        if rows.all(|(&id, flags)| !flags.is_client() || std::mem::replace(&mut last, id) <= id) {
            return true;
        }
        let rows = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        self.order.clear();
        self.order.extend(0..rows);
        self.order
            .sort_unstable_by_key(|&row| sessions.id[row as usize]);
        false
    }

    /// Whoever comes before `id` and was not found has left.
    fn leave_below(&self, id: u64, place: &mut Place, touched: &mut Touched) {
        while let Some(known) = self.known.get(place.from).filter(|known| known.id < id) {
            touched.gone(known.mark);
            place.from += 1;
        }
    }

    /// Over a reconnection the server may have been another, so peer and start must agree too. Counters that went
    /// back are always another session's.
    fn is_same(&self, from: usize, snapshot: &Snapshot, row: usize, is_certain: bool) -> bool {
        let sessions = &snapshot.sessions;
        self.known.get(from).is_some_and(|known| {
            known.id == sessions.id[row]
                && known.recv <= sessions.recv_size[row]
                && known.sent <= sessions.sent_size[row]
                && known.requests <= sessions.recv_count[row]
        }) && (is_certain || self.people[from].is_same(&person(snapshot, row)))
    }

    fn stay(
        &mut self,
        place: &mut Place,
        sessions: &Sessions,
        row: usize,
        moved: &mut Moved,
        touched: &mut Touched,
    ) {
        let mut known = self.known[place.from];
        let (recv, sent) = (sessions.recv_size[row], sessions.sent_size[row]);
        let requests = sessions.recv_count[row];
        known.did = Did {
            recv: recv - known.recv,
            sent: sent - known.sent,
            requests: requests - known.requests,
        };
        moved.add(known.mark, known.did, touched);
        (known.recv, known.sent, known.requests) = (recv, sent, requests);
        known.row = row_id(row);
        self.known[place.to] = known;
        if place.to != place.from {
            self.people[place.to] = self.people[place.from];
            self.addresses[place.to] = self.addresses[place.from];
        }
        place.from += 1;
        place.to += 1;
    }

    /// Takes in who came.
    fn welcome(&mut self, moved: &mut Moved, touched: &mut Touched) {
        for (mut known, person) in self.comers.drain(..) {
            let session = person.session(known.id);
            let address = Net::of(&session);
            self.seen.count(address, touched.widths());
            known.mark = touched.came(address);
            // Who was there before, and was not seen then, did an unknown part of what it did since.
            let is_fresh = |(polled, _)| person.since + CLOCK_SLACK >= polled;
            if person.is_age_known && self.last.is_some_and(is_fresh) {
                known.did = Did {
                    recv: known.recv,
                    sent: known.sent,
                    requests: known.requests,
                };
                moved.add(known.mark, known.did, touched);
            }
            self.known.push(known);
            self.people.push(person);
            self.addresses.push(address);
        }
        if !self.known.is_sorted_by_key(|known| known.id) {
            self.sort_known();
        }
    }

    /// Newcomers have the highest IDs, save on a server that was started again.
    fn sort_known(&mut self) {
        let people = self.people.drain(..).zip(self.addresses.drain(..));
        let mut all: Vec<_> = self.known.drain(..).zip(people).collect();
        all.sort_by_key(|(known, _)| known.id);
        for (known, (person, address)) in all {
            self.known.push(known);
            self.people.push(person);
            self.addresses.push(address);
        }
    }

    /// The session with this ID: its row in the last snapshot, what it did since the one before, and its mark,
    /// for changing.
    pub(super) fn find(&mut self, id: u64) -> Option<(usize, Did, &mut u32)> {
        let place = self
            .known
            .binary_search_by_key(&id, |known| known.id)
            .ok()?;
        let known = &mut self.known[place];
        Some((known.row as usize, known.did, &mut known.mark))
    }

    /// Marks whose address or subnet was just touched for the first time.
    pub(super) fn join(&mut self, touched: &mut Touched) {
        for (known, address) in self.known.iter_mut().zip(&self.addresses) {
            if let Some(address) = *address {
                touched.join(&mut known.mark, address);
            }
        }
        touched.settle();
    }

    /// Everybody leaves.
    pub(super) fn close(self, touched: &mut Touched) -> Seen {
        for known in &self.known {
            touched.gone(known.mark);
        }
        self.seen
    }
}

impl Person {
    fn session(&self, id: u64) -> SessionRef {
        SessionRef {
            id,
            peer: self.peer,
            since: self.since,
        }
    }

    /// An unknown age agrees with nothing: better to count one session twice than two as one.
    fn is_same(&self, now: &Self) -> bool {
        let apart = self.since.since(now.since).max(now.since.since(self.since));
        self.peer == now.peer && self.is_age_known && now.is_age_known && apart <= CLOCK_SLACK
    }
}

impl Moved {
    fn add(&mut self, mark: u32, did: Did, touched: &mut Touched) {
        let all = &mut self.did;
        all.recv = all.recv.saturating_add(did.recv);
        all.sent = all.sent.saturating_add(did.sent);
        all.requests = all.requests.saturating_add(did.requests);
        if mark != NONE {
            touched.moved(mark, did);
        }
    }
}

impl Seen {
    fn count(&mut self, address: Option<Net>, widths: SubnetWidths) {
        self.sessions += 1;
        let Some(address) = address else {
            self.private += 1;
            return;
        };
        let [address, subnet] = address.with_subnet(widths);
        self.addresses.insert(address);
        self.subnets.insert(subnet);
    }
}

/// Decoders bound the rows far below 2^32.
fn row_id(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

fn comer(snapshot: &Snapshot, row: usize) -> (Known, Person) {
    let sessions = &snapshot.sessions;
    let known = Known {
        id: sessions.id[row],
        recv: sessions.recv_size[row],
        sent: sessions.sent_size[row],
        requests: sessions.recv_count[row],
        did: Did::default(),
        row: row_id(row),
        mark: NONE,
    };
    (known, person(snapshot, row))
}

fn person(snapshot: &Snapshot, row: usize) -> Person {
    let age_s = snapshot.sessions.age_s[row];
    let age = Duration::try_from_secs_f64(age_s).ok();
    Person {
        peer: snapshot.sessions.peer[row],
        since: snapshot.at() - age.unwrap_or_default(),
        is_age_known: age.is_some(),
    }
}
