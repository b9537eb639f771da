//! Who is kept out now: a book of bans, one a network, bounded.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Ban;
use crate::policy::AddressSet;
use crate::time::Timestamp;

/// As many bans at the most.
pub const BANS_MAX: usize = 1_000_000;

/// A ban with more holes than this is lifted instead.
const HOLES_MAX: usize = 1_000;

/// The bans in force.
#[derive(Debug)]
pub struct Bans {
    by_net: HashMap<IpNet, Ban>,
    /// Those nearest to their end first; of equals the one in the lower network.
    by_end: BTreeSet<(Timestamp, IpNet)>,
    /// By family, how many bans have networks of each prefix length: an address is looked for in these.
    v4: Box<[u32; 33]>,
    v6: Box<[u32; 129]>,
    max: usize,
    evicted: u64,
    /// Bans that kept out more sessions since that was asked last.
    counted: BTreeSet<IpNet>,
    /// Networks whose ban began, changed or ended since that was asked last.
    changed: BTreeSet<IpNet>,
}

impl Bans {
    /// Nobody.
    pub fn new(max: usize) -> Self {
        Self {
            by_net: HashMap::new(),
            by_end: BTreeSet::new(),
            v4: Box::new([0; 33]),
            v6: Box::new([0; 129]),
            max: max.min(BANS_MAX),
            evicted: 0,
            counted: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Takes up what an earlier run left. Of more than there is room for, those with the latest ends stay.
    pub fn restore(&mut self, bans: Vec<Ban>) {
        *self = Self::new(self.max);
        for ban in bans {
            self.set(ban);
        }
        // Those are known already; what went for want of room is not.
        self.changed.retain(|net| !self.by_net.contains_key(net));
    }

    /// All, in the order of their networks.
    pub fn all(&self) -> Vec<Ban> {
        let mut all: Vec<Ban> = self.by_net.values().cloned().collect();
        all.sort_unstable_by_key(|ban| ban.net);
        all
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.by_net.values()
    }

    /// The newest of those behind `after` in this order: the last begun first, of equals the lower network.
    pub fn newest(&self, after: Option<(Timestamp, IpNet)>, limit: usize) -> Vec<&Ban> {
        let place = |ban: &&Ban| (Reverse(ban.begin), ban.net);
        let after = after.map(|(begin, net)| (Reverse(begin), net));
        let mut rest: Vec<&Ban> = self
            .iter()
            .filter(|ban| after.is_none_or(|after| place(ban) > after))
            .collect();
        if limit < rest.len() {
            rest.select_nth_unstable_by_key(limit, place);
            rest.truncate(limit);
        }
        rest.sort_unstable_by_key(place);
        rest
    }

    /// The bans that keep out all of a network, whatever their holes.
    pub fn around(&self, net: &IpNet) -> Vec<&Ban> {
        let nets = self.nets_around(net.addr());
        let bans = nets.filter_map(|it| self.by_net.get(&it));
        bans.filter(|ban| ban.net.contains(net)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_net.len()
    }

    /// Whether nobody is kept out.
    pub fn is_empty(&self) -> bool {
        self.by_net.is_empty()
    }

    /// How many went before their end, for there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The ban of a network.
    pub fn get(&self, net: &IpNet) -> Option<&Ban> {
        self.by_net.get(net)
    }

    /// The ban that keeps an address out; of several the one with the latest end.
    pub fn of(&self, address: IpAddr) -> Option<&Ban> {
        if self.by_net.is_empty() {
            return None;
        }
        let nets = self.nets_around(address);
        let bans = nets.filter_map(|net| self.by_net.get(&net));
        bans.filter(|ban| ban.covers(address))
            .max_by_key(|ban| (ban.end, ban.net))
    }

    fn nets_around(&self, address: IpAddr) -> impl Iterator<Item = IpNet> {
        let counts: &[u32] = match address {
            IpAddr::V4(_) => &self.v4[..],
            IpAddr::V6(_) => &self.v6[..],
        };
        let lengths = (0..).zip(counts).filter(|(_, count)| **count > 0);
        lengths.map(move |(length, _)| net_around(address, length))
    }

    /// Keeps a network out. A ban of the same network that ends later stays as it is.
    pub fn add(&mut self, ban: Ban) {
        let longer = self
            .by_net
            .get(&ban.net)
            .is_some_and(|old| old.end >= ban.end);
        if !longer {
            self.set(ban);
        }
    }

    /// Whether a ban of this network with this end would stay: without room those nearest to their end go.
    pub fn has_room_for(&self, net: &IpNet, end: Timestamp) -> bool {
        let goes_first = || self.by_end.first().is_some_and(|&(first, _)| first < end);
        self.len() < self.max || self.by_net.contains_key(net) || goes_first()
    }

    /// Puts this ban in the place of another of the same network.
    pub fn set(&mut self, ban: Ban) {
        self.remove(&ban.net);
        self.changed.insert(ban.net);
        *self.count(&ban.net) += 1;
        self.by_end.insert((ban.end, ban.net));
        self.by_net.insert(ban.net, ban);
        while self.by_net.len() > self.max
            && let Some(&(_, first)) = self.by_end.first()
        {
            self.remove(&first);
            self.evicted += 1;
        }
    }

    /// Lets a network in again; what its ban was.
    pub fn remove(&mut self, net: &IpNet) -> Option<Ban> {
        let ban = self.by_net.remove(net)?;
        self.by_end.remove(&(ban.end, ban.net));
        *self.count(net) -= 1;
        self.changed.insert(*net);
        Some(ban)
    }

    /// Lets in who is in this set. Returns the bans that this changed, as they were.
    pub fn spare(&mut self, spared: &AddressSet) -> Vec<Ban> {
        let all_of_it = self.iter().filter(|ban| spared.contains_net(&ban.net));
        let mut touched: BTreeSet<IpNet> = all_of_it.map(|ban| ban.net).collect();
        for net in spared.nets() {
            touched.extend(self.around(&net).into_iter().map(|ban| ban.net));
        }
        let touched = touched.into_iter();
        touched
            .filter_map(|net| self.spare_of(&net, spared))
            .collect()
    }

    /// The same of one ban; nothing if nobody in the set was kept out by it.
    fn spare_of(&mut self, net: &IpNet, spared: &AddressSet) -> Option<Ban> {
        let before = self.get(net)?.clone();
        let is_free = |part: &IpNet| before.holes.iter().any(|hole| hole.contains(part));
        let mut free = spared.within(net);
        free.retain(|part| !is_free(part));
        if free.is_empty() {
            return None;
        }
        let is_new = |hole: &IpNet| !free.iter().any(|part| part.contains(hole));
        let mut holes: Vec<IpNet> = before.holes.iter().copied().filter(is_new).collect();
        holes.extend(free);
        holes.sort_unstable();
        if holes.len() > HOLES_MAX || holes.contains(net) {
            self.remove(net);
        } else {
            self.set(Ban {
                holes,
                ..before.clone()
            });
        }
        Some(before)
    }

    /// Lets in again whomever such a ban keeps out.
    pub fn remove_all(&mut self, is_it: impl Fn(&Ban) -> bool) {
        let nets: Vec<IpNet> = self
            .iter()
            .filter(|ban| is_it(ban))
            .map(|ban| ban.net)
            .collect();
        for net in nets {
            self.remove(&net);
        }
    }

    /// Lets those in whose time is over at `at`.
    pub fn expire(&mut self, at: Timestamp) {
        while let Some(&(end, net)) = self.by_end.first()
            && end <= at
        {
            self.remove(&net);
        }
    }

    /// One more session of whoever has this address was disconnected for its ban; whether there is one.
    pub fn keep_out(&mut self, address: IpAddr) -> bool {
        let net = self.of(address).map(|ban| ban.net);
        let ban = net.and_then(|net| self.by_net.get_mut(&net));
        if let Some(ban) = ban {
            ban.kept_out += 1;
            self.counted.insert(ban.net);
        }
        net.is_some()
    }

    /// The networks whose ban began, changed or ended since this was asked last.
    pub fn take_changed(&mut self) -> BTreeSet<IpNet> {
        std::mem::take(&mut self.changed)
    }

    /// Those that kept out more sessions since this was asked last.
    pub fn take_counted(&mut self) -> Vec<Ban> {
        let counted = std::mem::take(&mut self.counted).into_iter();
        counted
            .filter_map(|net| self.by_net.get(&net).cloned())
            .collect()
    }

    fn count(&mut self, net: &IpNet) -> &mut u32 {
        let length = usize::from(net.prefix_len());
        match net {
            IpNet::V4(_) => &mut self.v4[length],
            IpNet::V6(_) => &mut self.v6[length],
        }
    }
}

fn net_around(address: IpAddr, length: u8) -> IpNet {
    match address {
        IpAddr::V4(v4) => Ipv4Net::new_assert(v4, length).trunc().into(),
        IpAddr::V6(v6) => Ipv6Net::new_assert(v6, length).trunc().into(),
    }
}
