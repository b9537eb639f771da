//! Which sessions make up the server's groups: the releases' own rules, and only what is certain.
//!
//! A group is a subnet (by its name) or a slice of connection time (from the server's uptime and
//! the session's age, both only roughly known). Whatever the rule says is believed only if it gives
//! as many members as the server itself counts.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::keys::NONE;
use super::private::SubnetWidths;
use crate::room::stretch;
use crate::snapshot::Snapshot;

/// The first release with groups sliced time into 15 minutes (0.8.11 to 1.10.0).
const SLICE_OF_NUMBER: Duration = Duration::from_secs(900);
/// `t<N>` (1.10.1 to 1.15, and that line's later releases): 5 minutes.
const SLICE_OF_T: Duration = Duration::from_secs(300);

/// What a group's name says of its members.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Subnet(IpNet),
    Slice(u64, Duration),
    Unknown,
}

fn rule(name: &str) -> Rule {
    if let Ok(number) = name.parse() {
        return Rule::Slice(number, SLICE_OF_NUMBER);
    }
    if let Some(number) = name.strip_prefix('t').and_then(|n| n.parse().ok()) {
        return Rule::Slice(number, SLICE_OF_T);
    }
    let cidr = name.parse::<IpNet>();
    let v4 = || format!("{name}.0/24").parse::<IpNet>();
    let v6 = || format!("{name}::/48").parse::<IpNet>();
    cidr.or_else(|_| v4())
        .or_else(|_| v6())
        .map_or(Rule::Unknown, |net| Rule::Subnet(net.trunc()))
}

/// The groups of one poll.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By session row: its subnet's and its slice's group row, or [`NONE`].
    of_session: Vec<[u32; 2]>,
    /// By group row.
    is_certain: Vec<bool>,
    /// By group row, while members are found: how many there are for certain, and how many more
    /// there may be.
    certain: Vec<u64>,
    possible: Vec<u64>,
    undecided: Vec<(usize, u32)>,
    subnets: HashMap<IpNet, u32>,
    slices: HashMap<u64, u32>,
}

impl Members {
    /// The group rows that session row `row` belongs to; certain ones only.
    pub(super) fn of_session(&self, row: usize) -> impl Iterator<Item = u32> {
        self.of_session[row]
            .into_iter()
            .filter(|&group| group != NONE && self.is_certain[group as usize])
    }

    /// Whether the members of group row `row` are known.
    pub(super) fn is_certain(&self, row: usize) -> bool {
        self.is_certain[row]
    }

    /// Finds the members of all groups.
    pub(super) fn assign(&mut self, snapshot: &Snapshot) {
        let (sessions, groups) = (&snapshot.sessions, &snapshot.groups);
        self.of_session.clear();
        stretch(&mut self.of_session, sessions.len(), [NONE; 2]);
        self.is_certain.clear();
        self.is_certain.resize(groups.len(), false);
        self.subnets.clear();
        self.subnets.reserve(groups.len());
        self.slices.clear();
        let mut widths = Vec::new();
        let mut slice_length = None;
        for (row, name) in (0..).zip(&groups.name) {
            match rule(groups.names.get(*name)) {
                Rule::Subnet(net) => {
                    self.subnets.insert(net, row);
                    let width = (matches!(net, IpNet::V4(_)), net.prefix_len());
                    if !widths.contains(&width) {
                        widths.push(width);
                    }
                }
                Rule::Slice(number, length) => {
                    self.slices.insert(number, row);
                    slice_length = Some(length);
                }
                Rule::Unknown => {}
            }
        }
        self.assign_subnets(snapshot, &widths);
        if let Some(length) = slice_length {
            self.assign_slices(snapshot, length);
        }
    }

    fn assign_subnets(&mut self, snapshot: &Snapshot, widths: &[(bool, u8)]) {
        // A server's groups have one width a family. More than that is no release that we know.
        let width = |v4| {
            let mut of_family = widths
                .iter()
                .filter(|(is_v4, _)| *is_v4 == v4)
                .map(|(_, w)| *w);
            of_family.next().filter(|_| of_family.next().is_none())
        };
        let (v4, v6) = (width(true), width(false));
        let widths = SubnetWidths {
            v4: v4.unwrap_or(32),
            v6: v6.unwrap_or(128),
        };
        let counts = zeros(&mut self.certain, snapshot.groups.len());
        for (row, peer) in snapshot.sessions.peer.iter().enumerate() {
            let Some(address) = peer.0.map(|peer| peer.ip()) else {
                continue;
            };
            if (match address {
                IpAddr::V4(_) => v4,
                IpAddr::V6(_) => v6,
            })
            .is_none()
            {
                continue;
            }
            if let Some(&group) = self.subnets.get(&widths.network(address)) {
                self.of_session[row][0] = group;
                counts[group as usize] += 1;
            }
        }
        for &group in self.subnets.values() {
            let group = group as usize;
            self.is_certain[group] = counts[group] == snapshot.groups.sessions[group];
        }
    }

    fn assign_slices(&mut self, snapshot: &Snapshot, length: Duration) {
        let Some(bounds) = StartBounds::new(snapshot) else {
            return;
        };
        let certain = zeros(&mut self.certain, snapshot.groups.len());
        let possible = zeros(&mut self.possible, snapshot.groups.len());
        self.undecided.clear();
        for (row, &age_s) in snapshot.sessions.age_s.iter().enumerate() {
            let Some((first, last)) = bounds.slices(age_s, length) else {
                // Who knows where it belongs: no slice is certain.
                return;
            };
            if first == last {
                if let Some(&group) = self.slices.get(&first) {
                    self.of_session[row][1] = group;
                    certain[group as usize] += 1;
                }
                continue;
            }
            for slice in first..=last {
                if let Some(&group) = self.slices.get(&slice) {
                    possible[group as usize] += 1;
                    self.undecided.push((row, group));
                }
            }
        }
        for &group in self.slices.values() {
            let group = group as usize;
            let counted = snapshot.groups.sessions[group];
            self.is_certain[group] =
                counted == certain[group] || counted == certain[group] + possible[group];
        }
        for &(row, group) in &self.undecided {
            let index = group as usize;
            if self.is_certain[index] && snapshot.groups.sessions[index] > certain[index] {
                self.of_session[row][1] = group;
            }
        }
    }
}

fn zeros(counts: &mut Vec<u64>, len: usize) -> &mut [u64] {
    counts.clear();
    stretch(counts, len, 0);
    counts
}

/// Bounds of a session's start, counted from the server's, in seconds.
///
/// `getinfo` tells the uptime, rounded down, at some time between question and answer; `sessions`
/// tells the ages likewise.
struct StartBounds {
    at_least_s: f64,
    below_s: f64,
}

impl StartBounds {
    fn new(snapshot: &Snapshot) -> Option<Self> {
        let uptime = snapshot.server.uptime?;
        let (info, sessions) = (snapshot.server_read, snapshot.sessions_read);
        let apart = |a: crate::time::Timestamp, b: crate::time::Timestamp| {
            (a.as_millis() - b.as_millis()) as f64 / 1_000.0
        };
        let at_least = uptime.at_least.as_secs_f64();
        Some(Self {
            at_least_s: at_least + apart(sessions.asked, info.answered),
            below_s: at_least
                + uptime.resolution.as_secs_f64()
                + apart(sessions.answered, info.asked),
        })
    }

    /// The first and the last slice that a session of this age can be in.
    fn slices(&self, age_s: f64, length: Duration) -> Option<(u64, u64)> {
        let slice = |start_s: f64| {
            let slice = (start_s / length.as_secs_f64()).floor().max(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 up"
            )]
            (slice.is_finite() && slice < 1e12).then_some(slice as u64)
        };
        slice(self.at_least_s - age_s).zip(slice(self.below_s - age_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Peer;
    use crate::snapshot::{Flags, Span, Transport, Uptime};
    use crate::time::Timestamp;

    fn snapshot(uptime_s: u64, sessions: &[(&str, f64)], groups: &[(&str, u64)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.server.uptime = Some(Uptime {
            at_least: Duration::from_secs(uptime_s),
            resolution: Duration::from_secs(1),
        });
        let at = Timestamp::from_millis(1_000_000);
        let span = Span {
            asked: at,
            answered: at,
        };
        (snapshot.server_read, snapshot.sessions_read) = (span, span);
        for (peer, age_s) in sessions {
            snapshot.sessions.id.push(0);
            snapshot.sessions.flags.push(Flags {
                transport: Transport::Tcp,
                closing: false,
                logged: false,
            });
            snapshot.sessions.peer.push(Peer(peer.parse().ok()));
            snapshot.sessions.age_s.push(*age_s);
        }
        for (name, count) in groups {
            let name = snapshot.groups.names.intern(name);
            snapshot.groups.name.push(name);
            snapshot.groups.sessions.push(*count);
        }
        snapshot
    }

    fn assign(snapshot: &Snapshot) -> (Vec<Vec<u32>>, Vec<bool>) {
        let mut members = Members::default();
        members.assign(snapshot);
        let of = (0..snapshot.sessions.len())
            .map(|row| members.of_session(row).collect())
            .collect();
        (of, members.is_certain)
    }

    #[test]
    fn names_of_every_release() {
        let net = |text: &str| Rule::Subnet(text.parse().unwrap());
        assert_eq!(rule("7"), Rule::Slice(7, SLICE_OF_NUMBER));
        assert_eq!(rule("t7"), Rule::Slice(7, SLICE_OF_T));
        assert_eq!(rule("127.0.0"), net("127.0.0.0/24"));
        assert_eq!(rule("2001:0db8:0000"), net("2001:db8::/48"));
        assert_eq!(rule("198.51.100.0/22"), net("198.51.100.0/22"));
        assert_eq!(rule("2001:db8::/56"), net("2001:db8::/56"));
        assert_eq!(rule("unknown_addr"), Rule::Unknown);
        assert_eq!(rule("all"), Rule::Unknown);
    }

    #[test]
    fn subnets_are_certain_when_the_counts_agree() {
        let sessions = [
            ("8.8.8.8:1", 1.0),
            ("8.8.8.9:1", 1.0),
            ("9.9.9.9:1", 1.0),
            ("[2a00::1]:1", 1.0),
        ];
        let groups = [
            ("8.8.8.0/24", 2),
            ("9.9.9.0/24", 2),
            ("2a00::/48", 1),
            ("unknown_addr", 0),
        ];
        let (of, certain) = assign(&snapshot(9, &sessions, &groups));
        assert_eq!(of, [vec![0], vec![0], vec![], vec![2]]);
        assert_eq!(certain, [true, false, true, false]);
    }

    #[test]
    fn a_session_is_in_a_slice_and_in_a_subnet() {
        let (of, certain) = assign(&snapshot(
            650,
            &[("127.0.0.1:1", 10.5)],
            &[("t2", 1), ("127.0.0", 1)],
        ));
        assert_eq!((of, certain), (vec![vec![1, 0]], vec![true, true]));
    }

    #[test]
    fn a_border_case_goes_by_the_servers_count() {
        // Started between 899.5 and 900.5 s after the server.
        let odd = [("8.8.8.8:1", 10.5), ("8.8.8.8:2", 500.0)];
        let (of, _) = assign(&snapshot(910, &odd, &[("0", 1), ("1", 1)]));
        assert_eq!(of, [vec![1], vec![0]]);
        let (of, _) = assign(&snapshot(910, &odd, &[("0", 2)]));
        assert_eq!(of, [vec![0], vec![0]]);
    }

    #[test]
    fn a_slice_that_is_certain_lacks_nobody() {
        // The first may have started before 900 s or after, the second before 1,800 s or after.
        let odd = [("8.8.8.8:1", 910.5), ("8.8.8.8:2", 10.5)];
        let (of, certain) = assign(&snapshot(1_810, &odd, &[("0", 1), ("1", 1)]));
        assert_eq!((of, certain), (vec![vec![0], vec![]], vec![true, false]));
    }

    /// What a server of some release says of `starts_ms`, counted from its own start.
    fn told(
        starts_ms: &[u32],
        now_ms: u32,
        lag_ms: u32,
        is_old: bool,
        resolution_s: u64,
    ) -> (Snapshot, Vec<String>) {
        let name = |start_ms: u32| {
            if is_old {
                (start_ms / 900_000).to_string()
            } else {
                format!("t{}", start_ms / 300_000)
            }
        };
        let names: Vec<String> = starts_ms.iter().map(|&ms| name(ms)).collect();
        let mut groups: Vec<(&str, u64)> = Vec::new();
        for name in &names {
            match groups.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => groups.push((name, 1)),
            }
        }
        let ages: Vec<(&str, f64)> = starts_ms
            .iter()
            .map(|&ms| ("8.8.8.8:1", f64::from(now_ms + lag_ms - ms) / 1_000.0))
            .collect();
        let mut snapshot = snapshot(u64::from(now_ms) / 1_000, &ages, &groups);
        let uptime_s = u64::from(now_ms) / 1_000 / resolution_s * resolution_s;
        snapshot.server.uptime = Some(Uptime {
            at_least: Duration::from_secs(uptime_s),
            resolution: Duration::from_secs(resolution_s),
        });
        snapshot.sessions_read.asked = snapshot.server_read.answered;
        snapshot.sessions_read.answered =
            snapshot.sessions_read.asked + Duration::from_millis(lag_ms.into());
        (snapshot, names)
    }

    proptest::proptest! {
        #[test]
        fn who_is_told_to_be_in_a_slice_is_and_a_certain_one_is_whole(
            starts_ms in proptest::collection::vec(0..4_000_000_u32, 1..40),
            lag_ms in 0..5_000_u32,
            is_old: bool,
            is_coarse: bool,
        ) {
            let resolution_s = if is_coarse { 60 } else { 1 };
            let (snapshot, names) = told(&starts_ms, 4_000_123, lag_ms, is_old, resolution_s);
            let (of, certain) = assign(&snapshot);
            let groups = &snapshot.groups;
            for (group, &is_certain) in certain.iter().enumerate() {
                let name = groups.names.get(groups.name[group]);
                let members = || of.iter().map(|of| of.contains(&u32::try_from(group).unwrap()));
                for (is_told, truth) in members().zip(&names) {
                    let should = is_certain && truth == name;
                    proptest::prop_assert_eq!(is_told, should, "{} {:?}", name, of);
                }
            }
        }
    }

    #[test]
    fn without_an_uptime_no_slice_is_certain() {
        let mut old = snapshot(0, &[("8.8.8.8:1", 1.0)], &[("0", 1)]);
        old.server.uptime = None;
        assert_eq!(assign(&old), (vec![vec![]], vec![false]));
    }
}
