//! How long clients have been known, and which of them are the regulars.
//!
//! A client is an address: IPv4 /32, IPv6 /64. A private or unknown peer stands for many people, so
//! there each session is a client of its own, as senior as it is old.
//!
//! Seniority is time connected. Nobody can have it in a hurry: whoever wants to count as one of the
//! crowd must be connected for as long as the crowd was, without an action against it.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::keys::{NONE, slot_id};
use crate::room::{make_room, stretch};
use crate::time::Timestamp;

/// No agent is configured to know more clients. A recording has all of them at the beginning of each
/// segment.
pub const CLIENTS_MAX: usize = 1_000_000;

/// Hours over which the usual number of clients is taken: a week.
const HOURS_MAX: usize = 168;

/// What is watched for one entry of that.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// Who was not seen for so long is not among the candidates for a regular.
const CANDIDATE_FOR: Duration = Duration::from_hours(168);

/// For so long an action against a client keeps it from being a regular.
const ACTION_FADES: Duration = Duration::from_hours(24);

/// At an hour's end at most one client in so many is forgotten, so that a clock that is wrong for a
/// while costs little.
const FORGOTTEN_PART: usize = 100;

/// When the table is full, one client in so many goes in one go: the least senior of the absent.
const EVICTED_PART: usize = 64;

/// Newcomers are counted by the minute, over an hour.
const MINUTE: Duration = Duration::from_secs(60);

/// What is known of a client, from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownClient {
    /// An IPv4 /32 or an IPv6 /64.
    pub address: IpNet,
    /// When it was first seen.
    pub met: Timestamp,
    /// For how long it has been connected, in milliseconds.
    pub connected_ms: u64,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When the agent last disconnected it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acted_at: Option<Timestamp>,
}

/// An hour of watching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// Clients connected, on average.
    pub clients: u32,
    /// Clients that were seen for the first time.
    pub newcomers: u32,
}

/// The hour that is being watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OpenHour {
    watched_ms: u64,
    /// Clients times milliseconds.
    client_ms: u64,
    newcomers: u32,
}

/// What is usual on this server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usual {
    /// Oldest first, at most a week of them.
    hours: VecDeque<Hour>,
    open: OpenHour,
}

impl Usual {
    /// The median over the hours; `None` before an hour has been watched.
    fn median(&self, of: fn(&Hour) -> u32) -> Option<u32> {
        let mut numbers: Vec<u32> = self.hours.iter().map(of).collect();
        let middle = numbers.len().checked_sub(1)? / 2;
        Some(*numbers.select_nth_unstable(middle).1)
    }

    /// Whether it is what an agent may have saved; it may come from anywhere.
    pub(crate) fn is_sound(&self) -> bool {
        let open = &self.open;
        let client_ms_max = open.watched_ms.saturating_mul(u64::from(u32::MAX));
        self.hours.len() <= HOURS_MAX
            && open.watched_ms < millis(HOUR)
            && open.client_ms <= client_ms_max
    }

    /// Takes in `clients` connected for `elapsed`; whether an hour is full with that.
    fn watch(&mut self, elapsed: Duration, clients: usize, newcomers: usize) -> bool {
        let open = &mut self.open;
        let elapsed_ms = millis(elapsed);
        open.watched_ms += elapsed_ms;
        open.client_ms = open
            .client_ms
            .saturating_add(elapsed_ms.saturating_mul(clients as u64));
        open.newcomers = open.newcomers.saturating_add(count(newcomers));
        if open.watched_ms < millis(HOUR) {
            return false;
        }
        let clients = (open.client_ms + open.watched_ms / 2) / open.watched_ms;
        self.hours.push_back(Hour {
            clients: u32::try_from(clients).unwrap_or(u32::MAX),
            newcomers: open.newcomers,
        });
        if self.hours.len() > HOURS_MAX {
            self.hours.pop_front();
        }
        self.open = OpenHour::default();
        true
    }
}

/// All that is known of clients, from run to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedClients {
    /// In the order in which they became known.
    pub clients: Vec<KnownClient>,
    /// What is usual.
    pub usual: Usual,
}

impl KnownClient {
    /// Whether the address is one that clients have.
    pub(crate) const fn is_sound(&self) -> bool {
        match self.address {
            IpNet::V4(net) => net.prefix_len() == 32,
            IpNet::V6(net) => net.prefix_len() == 64,
        }
    }
}

impl SavedClients {
    /// Whether it is what an agent may have saved; it may come from anywhere.
    pub(crate) fn is_sound(&self, clients_max: usize) -> bool {
        self.clients.len() <= clients_max
            && self.clients.iter().all(KnownClient::is_sound)
            && self.usual.is_sound()
    }

    /// Replaces the addresses in it.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        for client in &mut self.clients {
            client.address = to(client.address);
        }
    }
}

/// What has changed of it since it was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientChanges {
    /// Saved before and no longer known. One that has come back since is among the known too.
    pub forgotten: Vec<IpNet>,
    /// As they are now.
    pub known: Vec<KnownClient>,
    /// What is usual.
    pub usual: Usual,
}

/// How many clients are known, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientBounds {
    /// As many; beyond that the least senior of the absent go first.
    pub clients_max: usize,
    /// Who was not seen for longer is forgotten, within some hours.
    pub forget_after: Duration,
}

impl Default for ClientBounds {
    fn default() -> Self {
        Self {
            clients_max: 200_000,
            forget_after: Duration::from_hours(30 * 24),
        }
    }
}

/// Which of the clients one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rank {
    /// One of the most senior, as many as are usually connected.
    Regular,
    /// Not one of them.
    Stranger,
    /// A stranger that was first seen within the last hour.
    Newcomer,
}

/// The crowd, as the limits need to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// How many regulars the server has.
    pub regulars: usize,
    /// Clients first seen within the last hour.
    pub newcomers: usize,
    /// Newcomers in an hour, usually; `None` before an hour has been watched.
    pub newcomers_usual: Option<usize>,
}

/// A client that is connected, as a poll saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    /// Its slot in the table of addresses, and that slot's generation.
    pub(super) address: u32,
    pub(super) generation: u32,
    pub(super) net: &'a IpNet,
    /// The age of its oldest session.
    pub(super) age_ms: u64,
}

/// A session that is a client of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lone {
    pub(super) age_ms: u64,
    /// Whether it connected since the last poll.
    pub(super) is_fresh: bool,
    /// Whether the agent asked to disconnect it.
    pub(super) is_expelled: bool,
}

/// When and how a poll followed the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) at: Timestamp,
    /// Since the poll before, if nothing lies between.
    pub(super) elapsed: Duration,
    /// How long the server has run, if it tells.
    pub(super) uptime: Option<Duration>,
}

/// What the journal has of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Nothing,
    /// What was known earlier.
    Earlier,
    /// What is known.
    Current,
}

/// The memory.
#[derive(Debug)]
pub(super) struct Seniority {
    bounds: ClientBounds,
    slots: Vec<Option<KnownClient>>,
    /// By slot, apart, or each slot would be an eighth larger.
    stored: Vec<Stored>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By the address's slot: its generation and the client's slot, so that who is known from the
    /// poll before need not be looked for.
    of_address: Vec<(u32, u32)>,
    usual: Usual,
    /// By the minute: clients first seen.
    newcomers: VecDeque<(Timestamp, usize)>,
    /// No more than were saved.
    forgotten: Vec<IpNet>,
    /// Who has been connected for so long is a regular.
    cutoff_ms: u64,
    regulars: usize,
    at: Timestamp,
    /// The poll before: who was there then may be there now.
    before: Timestamp,
    scratch: Vec<u64>,
    overflow: u64,
}

impl Seniority {
    pub(super) fn new(bounds: ClientBounds) -> Self {
        Self {
            bounds,
            slots: Vec::new(),
            stored: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            of_address: Vec::new(),
            usual: Usual::default(),
            newcomers: VecDeque::new(),
            forgotten: Vec::new(),
            cutoff_ms: u64::MAX,
            regulars: 0,
            at: Timestamp::default(),
            before: Timestamp::default(),
            scratch: Vec::new(),
            overflow: 0,
        }
    }

    /// Takes up what an earlier run knew.
    pub(super) fn restore(&mut self, saved: SavedClients) {
        *self = Self::new(self.bounds);
        self.usual = saved.usual;
        self.usual.hours.truncate(HOURS_MAX);
        for client in saved.clients.into_iter().take(self.bounds.clients_max) {
            if self.find(&client.address).is_none() {
                self.insert(client, Stored::Current);
            }
        }
    }

    /// What the next run needs.
    pub(super) fn save(&self) -> SavedClients {
        SavedClients {
            clients: self.clients().copied().collect(),
            usual: self.usual.clone(),
        }
    }

    /// What has changed since it was saved.
    pub(super) fn changes(&self) -> ClientChanges {
        let slots = self.slots.iter().zip(&self.stored);
        let changed = slots.filter(|(_, stored)| **stored != Stored::Current);
        ClientChanges {
            forgotten: self.forgotten.clone(),
            known: changed.filter_map(|(client, _)| *client).collect(),
            usual: self.usual.clone(),
        }
    }

    /// All that [`Self::changes`] says is saved.
    pub(super) fn saved(&mut self) {
        self.forgotten.clear();
        self.stored.fill(Stored::Current);
    }

    /// Takes in who is connected: addresses, and the sessions that are clients of their own.
    pub(super) fn observe<'a>(
        &mut self,
        pace: Pace,
        present: impl Iterator<Item = Present<'a>>,
        lone: impl Iterator<Item = Lone>,
    ) {
        (self.before, self.at) = (self.at, pace.at);
        let (mut clients, mut newcomers) = (0, 0);
        for present in present {
            let (slot, is_new) = self.meet(&present);
            newcomers += usize::from(is_new);
            let Some(client) = self.client_mut(slot) else {
                clients += 1;
                continue;
            };
            // Of the time since it was last seen it was connected for as long as its oldest
            // session. What it did before it was known is its oldest session's age.
            let away_ms = if is_new {
                present.age_ms
            } else {
                millis(pace.at.since(client.last_seen))
            };
            client.connected_ms = client
                .connected_ms
                .saturating_add(present.age_ms.min(away_ms));
            client.last_seen = pace.at;
            clients += usize::from(!is_blemished(client, pace.at));
        }
        self.scratch.clear();
        for session in lone.filter(|session| !session.is_expelled) {
            clients += 1;
            newcomers += usize::from(session.is_fresh);
            self.scratch.push(session.age_ms);
        }
        self.count_newcomers(pace.at, newcomers);
        if self.usual.watch(pace.elapsed, clients, newcomers) {
            self.forget(pace.at);
        }
        self.choose_regulars(pace);
    }

    /// The slot of a client that is connected, or [`NONE`] if the table is full; and whether it was
    /// not known before.
    fn meet(&mut self, present: &Present<'_>) -> (u32, bool) {
        let index = present.address as usize;
        if index >= self.of_address.len() {
            stretch(&mut self.of_address, index + 1, (0, NONE));
        }
        let (generation, slot) = self.of_address[index];
        if generation == present.generation && self.is_of(slot, present.net) {
            return (slot, false);
        }
        let found = self.find(present.net);
        let slot = found.unwrap_or_else(|| {
            self.insert(
                KnownClient {
                    address: *present.net,
                    met: self.at,
                    connected_ms: 0,
                    last_seen: self.at,
                    acted_at: None,
                },
                Stored::Nothing,
            )
        });
        self.of_address[index] = (present.generation, slot);
        (slot, found.is_none())
    }

    fn is_of(&self, slot: u32, net: &IpNet) -> bool {
        let client = self.slots.get(slot as usize).and_then(Option::as_ref);
        client.is_some_and(|client| client.address == *net)
    }

    fn find(&self, net: &IpNet) -> Option<u32> {
        let hash = self.hasher.hash_one(net);
        self.table
            .find(hash, |&slot| self.is_of(slot, net))
            .copied()
    }

    fn client_mut(&mut self, slot: u32) -> Option<&mut KnownClient> {
        let client = self.slots.get_mut(slot as usize)?.as_mut()?;
        let stored = &mut self.stored[slot as usize];
        if *stored == Stored::Current {
            *stored = Stored::Earlier;
        }
        Some(client)
    }

    fn clients(&self) -> impl Iterator<Item = &KnownClient> {
        self.slots.iter().flatten()
    }

    fn insert(&mut self, client: KnownClient, stored: Stored) -> u32 {
        if self.table.len() >= self.bounds.clients_max {
            self.evict();
        }
        if self.table.len() >= self.bounds.clients_max {
            self.overflow += 1;
            return NONE;
        }
        let hash = self.hasher.hash_one(client.address);
        let index = if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(client);
            self.stored[index as usize] = stored;
            index
        } else {
            let slots = self.slots.len() + 1;
            make_room(&mut self.slots, slots);
            make_room(&mut self.stored, slots);
            self.slots.push(Some(client));
            self.stored.push(stored);
            slot_id(slots - 1)
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, index, |&slot| {
            let client = slots[slot as usize].as_ref();
            client.map_or(0, |client| hasher.hash_one(client.address))
        });
        index
    }

    /// Of those who are not connected the least senior go, so that nobody washes elders out by
    /// coming from many addresses.
    fn evict(&mut self) {
        let part = (self.bounds.clients_max / EVICTED_PART).max(1);
        let mut absent = self.absent(|_| true);
        let senior =
            |&(client, index): &(KnownClient, u32)| (client.connected_ms, client.last_seen, index);
        absent.sort_unstable_by_key(senior);
        for (_, index) in absent.into_iter().take(part) {
            self.remove(index);
        }
    }

    /// Of those who were not seen for too long some go, the longest absent first.
    fn forget(&mut self, at: Timestamp) {
        let forget_after = self.bounds.forget_after;
        let mut absent = self.absent(|client| at.since(client.last_seen) > forget_after);
        absent.sort_unstable_by_key(|&(client, index)| (client.last_seen, index));
        let part = (self.table.len() / FORGOTTEN_PART).max(1);
        for (_, index) in absent.into_iter().take(part) {
            self.remove(index);
        }
    }

    fn absent(&self, wanted: impl Fn(&KnownClient) -> bool) -> Vec<(KnownClient, u32)> {
        let slots = self.slots.iter().enumerate();
        let known = slots.filter_map(|(index, client)| Some(((*client)?, slot_id(index))));
        known
            .filter(|(client, _)| client.last_seen < self.before.min(self.at) && wanted(client))
            .collect()
    }

    fn remove(&mut self, index: u32) {
        let Some(client) = self.slots[index as usize].take() else {
            return;
        };
        let hash = self.hasher.hash_one(client.address);
        if let Ok(entry) = self.table.find_entry(hash, |&slot| slot == index) {
            entry.remove();
        }
        self.free.push(index);
        if self.stored[index as usize] != Stored::Nothing {
            self.forgotten.push(client.address);
        }
    }

    fn count_newcomers(&mut self, at: Timestamp, newcomers: usize) {
        while self
            .newcomers
            .front()
            .is_some_and(|&(minute, _)| at.since(minute) >= HOUR)
        {
            self.newcomers.pop_front();
        }
        match self.newcomers.back_mut() {
            Some((minute, count)) if at.since(*minute) < MINUTE => *count += newcomers,
            _ if newcomers > 0 => self.newcomers.push_back((at, newcomers)),
            _ => {}
        }
    }

    /// The most senior, as many as are usually connected.
    fn choose_regulars(&mut self, pace: Pace) {
        let Self { slots, scratch, .. } = self;
        let candidates = slots.iter().flatten();
        make_room(scratch, scratch.len() + slots.len());
        scratch.extend(
            candidates
                .filter(|client| is_candidate(client, pace.at))
                .map(|client| client.connected_ms),
        );
        // Whoever has been here for less than half of the last hour is new, however few have been
        // here for longer. Of a server that was just started it is half of the time that it runs.
        let known_ms = millis(pace.uptime.unwrap_or(HOUR).min(HOUR)) / 2;
        let usual = self.usual.median(|hour| hour.clients);
        let places = usual.map_or(scratch.len(), |usual| usual as usize);
        let ranked_ms = match places.checked_sub(1) {
            None => u64::MAX,
            Some(last) if last >= scratch.len() => 0,
            Some(last) => *scratch.select_nth_unstable_by(last, |a, b| b.cmp(a)).1,
        };
        self.cutoff_ms = ranked_ms.max(known_ms);
        let cutoff_ms = self.cutoff_ms;
        self.regulars = scratch.iter().filter(|&&ms| ms >= cutoff_ms).count();
    }

    /// The client of an address that is connected, if it is known.
    fn of_address(&self, address: u32) -> Option<&KnownClient> {
        let &(_, slot) = self.of_address.get(address as usize)?;
        self.slots.get(slot as usize)?.as_ref()
    }

    /// For how long the client of a connected address has been known.
    pub(super) fn of(&self, address: u32) -> Option<Duration> {
        let client = self.of_address(address)?;
        Some(Duration::from_millis(client.connected_ms))
    }

    /// When it was first seen.
    pub(super) fn met(&self, address: u32) -> Option<Timestamp> {
        Some(self.of_address(address)?.met)
    }

    /// Whether the client of a connected address is a regular.
    pub(super) fn is_regular(&self, address: u32) -> bool {
        let client = self.of_address(address);
        client.is_some_and(|client| self.is_regular_client(client))
    }

    /// Whether the client of an address is a regular, connected or not.
    pub(super) fn is_regular_net(&self, net: &IpNet) -> bool {
        let slot = self.find(net);
        let client = slot.and_then(|slot| self.slots[slot as usize].as_ref());
        client.is_some_and(|client| self.is_regular_client(client))
    }

    fn is_regular_client(&self, client: &KnownClient) -> bool {
        client.connected_ms >= self.cutoff_ms && is_candidate(client, self.at)
    }

    /// The regulars whose addresses are in a network, connected or not.
    pub(super) fn regulars_within(&self, net: &IpNet) -> impl Iterator<Item = IpNet> {
        let is_regular = |client: &&KnownClient| self.is_regular_client(client);
        let within = self
            .clients()
            .filter(|client| net.contains(&client.address));
        within.filter(is_regular).map(|client| client.address)
    }

    /// The same of a session that is a client of its own.
    pub(super) const fn is_regular_at(&self, age_ms: u64) -> bool {
        age_ms >= self.cutoff_ms
    }

    /// The agent disconnected a client.
    pub(super) fn acted(&mut self, net: &IpNet, at: Timestamp) {
        if let Some(client) = self.find(net).and_then(|slot| self.client_mut(slot)) {
            client.acted_at = Some(at);
        }
    }

    /// Forgets that the agent disconnected the clients of a network; how many of them it had.
    pub(super) fn pardon(&mut self, net: &IpNet) -> usize {
        let is_marked =
            |client: &KnownClient| client.acted_at.is_some() && net.contains(&client.address);
        let marked: Vec<u32> = (0..)
            .zip(&self.slots)
            .filter(|(_, client)| client.as_ref().is_some_and(is_marked))
            .map(|(slot, _)| slot)
            .collect();
        for &slot in &marked {
            if let Some(client) = self.client_mut(slot) {
                client.acted_at = None;
            }
        }
        marked.len()
    }

    pub(super) fn crowd(&self) -> Crowd {
        Crowd {
            regulars: self.regulars,
            newcomers: self.newcomers.iter().map(|&(_, count)| count).sum(),
            newcomers_usual: self.usual.median(|hour| hour.newcomers).map(|n| n as usize),
        }
    }

    /// How often a client was not remembered because the table was full.
    pub(super) const fn overflow(&self) -> u64 {
        self.overflow
    }
}

/// Whether the agent disconnected it not long ago. One in the future was before the clock went back.
fn is_blemished(client: &KnownClient, at: Timestamp) -> bool {
    let acted_at = client.acted_at;
    acted_at.is_some_and(|acted_at| at.since(acted_at.min(at)) < ACTION_FADES)
}

fn is_candidate(client: &KnownClient, at: Timestamp) -> bool {
    at.since(client.last_seen) <= CANDIDATE_FOR && !is_blemished(client, at)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
