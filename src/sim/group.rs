//! Which sessions the server puts together, by the rule of its release.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::release::Grouping;
use super::session::Session;

/// Seconds in a group of the oldest kind.
const SLICE_S: u64 = 900;
/// Seconds in a `t<N>` group.
const SHORT_SLICE_S: u64 = 300;
/// A member of a `t<N>` group bears this much of what the others cost.
const SLICE_WEIGHT: f64 = 0.03;
/// Cost taken off each group every five minutes: 300 s of the hard limit over 5,000 s.
const REFUND: f64 = 600.0;
/// The oldest kind merges groups of at most so many members...
const SMALL: usize = 5;
/// ...that have used less than this many bytes.
const SMALL_BYTES: u64 = 2_000_000;

/// Names a group within the table; in the order of creation, which is the order of `groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKey(u64);

/// One group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) weight: f64,
    /// What members that left have cost.
    pub(super) retained: f64,
    pub(super) members: usize,
}

/// All groups. The newer kinds outlive their members until their retained cost is gone.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    rule: Grouping,
    table: BTreeMap<GroupKey, Group>,
    by_name: HashMap<String, GroupKey>,
    next_key: u64,
}

impl Groups {
    pub(super) fn new(rule: Grouping) -> Self {
        Self {
            rule,
            table: BTreeMap::new(),
            by_name: HashMap::new(),
            next_key: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, key: GroupKey) -> Option<&Group> {
        self.table.get(&key)
    }

    pub(super) fn find(&self, name: &str) -> Option<GroupKey> {
        self.by_name.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GroupKey, &Group)> {
        self.table.iter().map(|(key, group)| (*key, group))
    }

    /// The groups of a session that connects from `peer` when the server is `age` old.
    pub(super) fn join(&mut self, peer: IpAddr, age: Duration) -> [Option<GroupKey>; 2] {
        match self.rule {
            Grouping::Slices => [
                Some(self.enter((age.as_secs() / SLICE_S).to_string(), 1.0)),
                None,
            ],
            Grouping::SliceAndPrefix => {
                let slice = format!("t{}", age.as_secs() / SHORT_SLICE_S);
                [
                    Some(self.enter(slice, SLICE_WEIGHT)),
                    Some(self.enter(prefix_name(peer), 1.0)),
                ]
            }
            Grouping::Cidr => [cidr_name(peer).map(|name| self.enter(name, 1.0)), None],
        }
    }

    fn enter(&mut self, name: String, weight: f64) -> GroupKey {
        let key = *self.by_name.entry(name.clone()).or_insert_with(|| {
            let key = GroupKey(self.next_key);
            self.next_key += 1;
            key
        });
        let group = self.table.entry(key).or_insert_with(|| Group {
            name,
            weight,
            retained: 0.0,
            members: 0,
        });
        group.members += 1;
        key
    }

    pub(super) fn part(&mut self, groups: [Option<GroupKey>; 2], cost: f64) {
        for key in groups.into_iter().flatten() {
            if let Some(group) = self.table.get_mut(&key) {
                group.members -= 1;
                group.retained += cost;
            }
        }
        if self.rule == Grouping::Slices {
            self.bury(|group| group.members == 0);
        }
    }

    /// The five-minute round of the newer kinds.
    pub(super) fn refund(&mut self) {
        for group in self.table.values_mut() {
            group.retained = (group.retained - REFUND).max(0.0);
        }
        self.bury(|group| group.members == 0 && group.retained == 0.0);
    }

    fn bury(&mut self, is_dead: impl Fn(&Group) -> bool) {
        let by_name = &mut self.by_name;
        self.table.retain(|_, group| {
            let dead = is_dead(group);
            if dead {
                by_name.remove(&group.name);
            }
            !dead
        });
    }

    /// The minute's round of the oldest kind: all small groups become the newest of them. So a
    /// session's group does not follow from when it connected alone.
    pub(super) fn consolidate<'a>(&mut self, sessions: impl Iterator<Item = &'a mut Session>) {
        if self.rule != Grouping::Slices {
            return;
        }
        let mut sessions: Vec<&mut Session> = sessions.collect();
        let mut bytes: BTreeMap<GroupKey, u64> = BTreeMap::new();
        for session in &sessions {
            if let Some(key) = session.groups[0] {
                *bytes.entry(key).or_default() += session.recv_bytes + session.sent_bytes;
            }
        }
        let small: Vec<GroupKey> = self
            .table
            .iter()
            .filter(|(key, group)| {
                group.members <= SMALL && bytes.get(key).copied().unwrap_or(0) < SMALL_BYTES
            })
            .map(|(key, _)| *key)
            .collect();
        let Some(&last) = small.last() else { return };
        for session in &mut sessions {
            let Some(old) = session.groups[0] else {
                continue;
            };
            if old != last && small.contains(&old) {
                session.groups[0] = Some(last);
                self.move_member(old, last);
            }
        }
        self.bury(|group| group.members == 0);
    }

    fn move_member(&mut self, from: GroupKey, to: GroupKey) {
        if let Some(group) = self.table.get_mut(&from) {
            group.members -= 1;
        }
        if let Some(group) = self.table.get_mut(&to) {
            group.members += 1;
        }
    }
}

/// `1.2.3`, or the first three groups of an IPv6 address with their leading zeros.
fn prefix_name(peer: IpAddr) -> String {
    match peer {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:04x}:{b:04x}:{c:04x}")
        }
    }
}

/// `1.2.3.0/24` or `2a01:4f8:1::/48`; nothing for a private peer.
fn cidr_name(peer: IpAddr) -> Option<String> {
    if is_private(peer) {
        return None;
    }
    let (net, length) = match peer {
        IpAddr::V4(_) => (peer, 24),
        IpAddr::V6(_) => (peer, 48),
    };
    ipnet::IpNet::new(net, length)
        .ok()
        .map(|net| net.trunc().to_string())
}

/// What Python's `is_private` says, as far as peers of a server go.
fn is_private(peer: IpAddr) -> bool {
    match peer {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || matches!(ip.octets(), [198, 18 | 19, ..] | [240..=255, ..])
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || matches!(ip.segments(), [0x2001, 0xdb8, ..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rule: Grouping, peer: &str, age_s: u64) -> Vec<String> {
        let mut groups = Groups::new(rule);
        let keys = groups.join(peer.parse().unwrap(), Duration::from_secs(age_s));
        keys.into_iter()
            .flatten()
            .map(|key| groups.get(key).unwrap().name.clone())
            .collect()
    }

    #[test]
    fn each_rule_names_its_groups() {
        assert_eq!(names(Grouping::Slices, "45.83.91.7", 1_800), ["2"]);
        assert_eq!(
            names(Grouping::SliceAndPrefix, "45.83.91.7", 700),
            ["t2", "45.83.91"]
        );
        assert_eq!(
            names(Grouping::SliceAndPrefix, "2a01:4f8:1::2", 0),
            ["t0", "2a01:04f8:0001"]
        );
        assert_eq!(names(Grouping::Cidr, "45.83.91.7", 0), ["45.83.91.0/24"]);
        assert_eq!(
            names(Grouping::Cidr, "2a01:4f8:1::2", 0),
            ["2a01:4f8:1::/48"]
        );
        assert!(names(Grouping::Cidr, "127.0.0.1", 0).is_empty());
        assert!(names(Grouping::Cidr, "10.1.2.3", 0).is_empty());
    }

    #[test]
    fn a_group_outlives_its_members_until_refunded() {
        let mut groups = Groups::new(Grouping::Cidr);
        let keys = groups.join("45.83.91.7".parse().unwrap(), Duration::ZERO);
        groups.part(keys, 900.0);
        groups.refund();
        assert_eq!(groups.len(), 1);
        groups.refund();
        assert_eq!(groups.len(), 0);
        assert_eq!(groups.find("45.83.91.0/24"), None);
    }
}
