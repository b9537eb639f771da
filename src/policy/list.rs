//! Lists: exact texts, and addresses as sorted ranges.
//!
//! A list has the faces that its uses need; where its text comes from is not known here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{IpNet, IpSubnets, Ipv4Net, Ipv4Subnets, Ipv6Subnets};
use serde::{Deserialize, Serialize};

use super::ListId;

/// A list as tests use it.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub(super) name: Option<Arc<str>>,
    pub(super) texts: Option<HashSet<Box<str>>>,
    pub(super) addresses: Option<AddressSet>,
    pub(super) entries: usize,
    pub(super) version: u64,
}

impl List {
    /// Its name; a list that stands in a test has none.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether `text` is an entry, to the letter. Always false where no text field uses the list.
    pub fn contains_text(&self, text: &str) -> bool {
        self.texts.as_ref().is_some_and(|set| set.contains(text))
    }

    /// Whether an entry covers the address. Always false where no address field uses the list.
    pub fn contains_addr(&self, address: IpAddr) -> bool {
        self.addresses
            .as_ref()
            .is_some_and(|set| set.contains_addr(address))
    }

    /// Whether the entries together cover the whole subnet.
    pub fn contains_net(&self, net: &IpNet) -> bool {
        self.addresses
            .as_ref()
            .is_some_and(|set| set.contains_net(net))
    }

    /// Entries, repeated ones included.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Goes up when the list is read again, so that what was looked up before can be dropped.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// A list that is read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// The list.
    pub id: ListId,
    /// Where it is read from.
    pub path: PathBuf,
}

/// Addresses, as ranges that neither overlap nor touch, in order.
///
/// IPv4 addresses in IPv6 form (`::ffff:1.2.3.4`) are IPv4 addresses here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>", into = "Vec<IpNet>")]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// The first and the last address of a network or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    V4(u32, u32),
    V6(u128, u128),
}

impl Span {
    /// Reads `203.0.113.4-203.0.113.9`, blanks around the hyphen or not.
    pub(super) fn parse_range(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let address = |text: &str| text.trim().parse().map(|it: IpAddr| it.to_canonical()).ok();
        match (address(first)?, address(last)?) {
            (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Some(Self::V4(a.into(), b.into())),
            (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => Some(Self::V6(a.into(), b.into())),
            _ => None,
        }
    }

    pub(super) fn of(net: &IpNet) -> Self {
        const MAPPED: u128 = 0xffff << 32;
        match net {
            IpNet::V4(net) => Self::V4(net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => {
                let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                if first & !0xffff_ffff == MAPPED && last & !0xffff_ffff == MAPPED {
                    let low = |address: u128| {
                        let [.., a, b, c, d] = Ipv6Addr::from(address).octets();
                        u32::from_be_bytes([a, b, c, d])
                    };
                    Self::V4(low(first), low(last))
                } else {
                    Self::V6(first, last)
                }
            }
        }
    }
}

impl AddressSet {
    /// Whether the address is in it.
    pub fn contains_addr(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => covers(&self.v4, address.into(), address.into()),
            IpAddr::V6(address) => covers(&self.v6, address.into(), address.into()),
        }
    }

    /// Whether every address of the subnet is in it.
    pub fn contains_net(&self, net: &IpNet) -> bool {
        match Span::of(net) {
            Span::V4(first, last) => covers(&self.v4, first, last),
            Span::V6(first, last) => covers(&self.v6, first, last),
        }
    }

    /// Whether any address of the network is in it.
    pub fn overlaps(&self, net: &IpNet) -> bool {
        !self.is_disjoint(&Self::of_spans([Span::of(net)]))
    }

    /// What of it is in a network, as the fewest networks.
    pub fn within(&self, net: &IpNet) -> Vec<IpNet> {
        let mut within = Self::default();
        match Span::of(net) {
            Span::V4(first, last) => within.v4 = clip(&self.v4, first, last),
            Span::V6(first, last) => within.v6 = clip(&self.v6, first, last),
        }
        within.nets().collect()
    }

    /// Every network of it as `to` has it.
    #[must_use]
    pub fn mapped(&self, to: impl Fn(IpNet) -> IpNet) -> Self {
        self.nets().map(to).collect()
    }

    /// The fewest networks that make it up.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self
            .v4
            .iter()
            .map(|&(first, last)| IpSubnets::from(Ipv4Subnets::new(first.into(), last.into(), 0)));
        let v6 = self
            .v6
            .iter()
            .map(|&(first, last)| IpSubnets::from(Ipv6Subnets::new(first.into(), last.into(), 0)));
        v4.chain(v6).flatten()
    }

    /// Whether every address of this set is in the other one too.
    pub(super) fn is_subset(&self, other: &Self) -> bool {
        self.v4.iter().all(|&(a, b)| covers(&other.v4, a, b))
            && self.v6.iter().all(|&(a, b)| covers(&other.v6, a, b))
    }

    /// Whether no address is in both.
    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        disjoint(&self.v4, &other.v4) && disjoint(&self.v6, &other.v6)
    }
}

/// What of ranges lies between two addresses.
fn clip<T: Copy + Ord>(ranges: &[(T, T)], first: T, last: T) -> Vec<(T, T)> {
    let overlapping = ranges.iter().filter(|&&(a, b)| a <= last && b >= first);
    overlapping
        .map(|&(a, b)| (a.max(first), b.min(last)))
        .collect()
}

impl From<AddressSet> for Vec<IpNet> {
    fn from(set: AddressSet) -> Self {
        set.nets().collect()
    }
}

impl From<Vec<IpNet>> for AddressSet {
    fn from(nets: Vec<IpNet>) -> Self {
        nets.into_iter().collect()
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        Self::of_spans(nets.into_iter().map(|net| Span::of(&net)))
    }
}

impl AddressSet {
    pub(super) fn of_spans(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut set = Self::default();
        for span in spans {
            match span {
                Span::V4(first, last) => set.v4.push((first, last)),
                Span::V6(first, last) => set.v6.push((first, last)),
            }
        }
        merge(&mut set.v4, |last| last.checked_add(1));
        merge(&mut set.v6, |last| last.checked_add(1));
        set
    }
}

fn covers<T: Copy + Ord>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= first);
    after > 0 && last <= ranges[after - 1].1
}

fn disjoint<T: Copy + Ord>(left: &[(T, T)], right: &[(T, T)]) -> bool {
    left.iter().all(|&(first, last)| {
        let after = right.partition_point(|range| range.0 <= last);
        after == 0 || right[after - 1].1 < first
    })
}

fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|range, kept| {
        let touches = next(kept.1).is_none_or(|next| range.0 <= next);
        if touches {
            kept.1 = kept.1.max(range.1);
        }
        touches
    });
    ranges.shrink_to_fit();
}

/// Reads an address or subnet: `203.0.113.7`, `2001:db8::/32`. Bits beyond the prefix are kept.
pub(crate) fn parse_net(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) => Some(net),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// The entries of a list file, with their places: one a line, without comments.
///
/// A comment begins with `#` or `;` at the start of a line or after a blank.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut next = 0;
    text.split('\n').filter_map(move |whole| {
        let start = next;
        next += whole.len() + 1;
        let line = whole.trim_start_matches('\u{feff}').trim_start();
        let start = start + whole.len() - line.len();
        let comment = line
            .match_indices(['#', ';'])
            .map(|(i, _)| i)
            .find(|&i| i == 0 || line[..i].ends_with(char::is_whitespace));
        let entry = line[..comment.unwrap_or(line.len())].trim_end();
        (!entry.is_empty()).then(|| (entry, start..start + entry.len()))
    })
}

/// `::ffff:10.0.0.0/104` and the like, as the IPv4 subnet that it is.
pub(crate) fn canonical(net: IpNet) -> IpNet {
    match (Span::of(&net), net) {
        (Span::V4(first, _), IpNet::V6(net)) => {
            Ipv4Net::new(first.into(), net.prefix_len().saturating_sub(96))
                .map_or(IpNet::V6(net), IpNet::V4)
        }
        _ => net.trunc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(nets: &[&str]) -> AddressSet {
        nets.iter().map(|net| parse_net(net).unwrap()).collect()
    }

    #[test]
    fn neighbours_cover_a_subnet_together() {
        let set = set(&[
            "10.0.0.0/25",
            "10.0.0.128/25",
            "2001:db8::/33",
            "2001:db8:8000::/33",
        ]);
        assert!(set.contains_net(&"10.0.0.0/24".parse().unwrap()));
        assert!(!set.contains_net(&"10.0.0.0/23".parse().unwrap()));
        assert!(set.contains_net(&"2001:db8::/32".parse().unwrap()));
        assert!(set.contains_addr("::ffff:10.0.0.7".parse().unwrap()));
        assert_eq!((set.v4.len(), set.v6.len()), (1, 1));
    }

    #[test]
    fn the_ends_of_the_address_space_are_in_it() {
        let all = set(&["0.0.0.0/0", "::/0", "255.255.255.255"]);
        assert!(all.contains_addr("255.255.255.255".parse().unwrap()));
        assert!(all.contains_addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()));
        assert!(set(&["10.1.2.3"]).is_subset(&all));
        assert!(set(&["10.1.2.3"]).is_disjoint(&set(&["10.1.2.4", "10.1.2.2"])));
        assert!(!all.is_disjoint(&set(&["10.1.2.3"])));
    }

    #[test]
    fn ipv4_in_ipv6_form_is_ipv4() {
        let mapped = set(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.contains_addr("10.2.3.4".parse().unwrap()));
        let net = parse_net("::ffff:10.0.0.0/104").unwrap();
        assert_eq!(canonical(net).to_string(), "10.0.0.0/8");
    }

    #[test]
    fn list_files_have_comments_and_blank_lines() {
        let text = "\u{feff}# head\r\n\r\n  a b  \r\nc#d # why\n\t# e\nf\n; g\n1.2.3.0/24 ; SBL123 # h\n\
                    a (X11; b)\n ;\n;";
        let entries: Vec<_> = lines(text).map(|(entry, _)| entry).collect();
        assert_eq!(entries, ["a b", "c#d", "f", "1.2.3.0/24", "a (X11; b)"]);
        assert!(lines(text).all(|(entry, span)| &text[span] == entry));
    }

    #[test]
    fn a_range_is_the_fewest_networks() {
        let nets = |text: &str| {
            let set: Option<AddressSet> =
                Span::parse_range(text).map(|span| AddressSet::of_spans([span]));
            set.map(|set| {
                set.nets()
                    .map(|net| net.to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        let found = |text: &str| nets(text).unwrap();
        assert_eq!(found("1.2.3.4-1.2.3.9"), "1.2.3.4/30 1.2.3.8/31");
        assert_eq!(found("1.2.3.4 - 1.2.3.4"), "1.2.3.4/32");
        assert_eq!(found("0.0.0.0-255.255.255.255"), "0.0.0.0/0");
        assert_eq!(found("2001:db8::-2001:db8::ffff"), "2001:db8::/112");
        assert_eq!(found("::ffff:1.2.3.4-1.2.3.5"), "1.2.3.4/31");
        // However wide, it is a span here, and few networks where it is shown.
        assert_eq!(found("0.0.0.1-255.255.255.254").split(' ').count(), 62);
        for bad in [
            "1.2.3.9-1.2.3.4",
            "1.2.3.4-::1",
            "1.2.3.4-",
            "-1.2.3.4",
            "1.2.3.4-5",
            "1.2.3.0/24-1.2.4.0/24",
            "1.2.3.4-1.2.3.5-1.2.3.6",
        ] {
            assert_eq!(nets(bad), None, "{bad}");
        }
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        // Few bits at either end, so that nets meet often.
        let v4 = (any::<u8>(), 0_u8..=32).prop_map(|(bits, prefix)| {
            let address = (u32::from(bits & 0xf0) << 24) | u32::from(bits & 0xf);
            IpNet::new(IpAddr::V4(address.into()), prefix).unwrap()
        });
        let v6 = (any::<u8>(), 0_u8..=128).prop_map(|(bits, prefix)| {
            let address = (u128::from(bits & 0xf0) << 120) | u128::from(bits & 0xf);
            IpNet::new(IpAddr::V6(address.into()), prefix).unwrap()
        });
        prop_oneof![v4, v6].prop_map(|net| net.trunc())
    }

    proptest! {
        #[test]
        fn agrees_with_a_walk_over_the_entries(
            nets in prop::collection::vec(any_net(), 0..12),
            asked in prop::collection::vec(any_net(), 1..20),
        ) {
            let set: AddressSet = nets.iter().copied().collect();
            for net in asked {
                let address = net.addr();
                let naive = nets.iter().any(|n| n.contains(&address));
                prop_assert_eq!(set.contains_addr(address), naive, "{}", address);
                // Aggregation is another way to the union.
                let union = IpNet::aggregate(&nets);
                let naive = union.iter().any(|n| n.contains(&net));
                prop_assert_eq!(set.contains_net(&net), naive, "{}", net);
            }
            prop_assert!(set.is_subset(&set));
            let empty = set == AddressSet::default();
            prop_assert_eq!(set.is_disjoint(&set), empty);
        }
    }
}
