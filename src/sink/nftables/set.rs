//! The sets of the table: one for each family and prefix length in use.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The set of one family and one prefix length: `v4_24`, `v6_64`.
///
/// A hash set takes an element in the same time however many it has, and networks in different sets may nest. A set of
/// intervals does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set {
    family: Family,
    prefix_len: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Set {
    /// The set for a network.
    pub(super) fn of(network: &IpNet) -> Self {
        let family = match network {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        Self {
            family,
            prefix_len: network.prefix_len(),
        }
    }

    /// nft's type of the elements.
    pub(super) fn element_type(self) -> &'static str {
        match self.family {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        }
    }

    /// nft's name of the header that has the source address.
    pub(super) fn protocol(self) -> &'static str {
        match self.family {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    /// The mask of a source address before it is looked up; `None` if all of it counts.
    pub(super) fn mask(self) -> Option<IpAddr> {
        let (zero, address_len): (IpAddr, u8) = match self.family {
            Family::V4 => ([0; 4].into(), 32),
            Family::V6 => ([0; 16].into(), 128),
        };
        let mask = IpNet::new(zero, self.prefix_len).ok()?.netmask();
        (self.prefix_len < address_len).then_some(mask)
    }

    /// An element of this set as a network, bits behind the prefix included; `None` if it is of the other family.
    pub(super) fn network(self, address: IpAddr) -> Option<IpNet> {
        let network = IpNet::new(address, self.prefix_len).ok()?;
        (Self::of(&network) == self).then_some(network)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        write!(f, "v{version}_{}", self.prefix_len)
    }
}

/// From its name.
impl FromStr for Set {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (family, prefix_len) = name.split_once('_').ok_or(())?;
        let (family, longest) = match family {
            "v4" => (Family::V4, 32),
            "v6" => (Family::V6, 128),
            _ => return Err(()),
        };
        let prefix_len = prefix_len.parse().map_err(drop)?;
        (prefix_len <= longest)
            .then_some(Self { family, prefix_len })
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(network: &str) -> Set {
        Set::of(&network.parse().unwrap())
    }

    #[test]
    fn networks_of_one_family_and_length_share_a_set() {
        for (network, name, mask) in [
            ("10.1.2.0/24", "v4_24", Some("255.255.255.0")),
            ("10.1.2.3/32", "v4_32", None),
            ("0.0.0.0/0", "v4_0", Some("0.0.0.0")),
            ("2001:db8::/64", "v6_64", Some("ffff:ffff:ffff:ffff::")),
            ("2001:db8::1/128", "v6_128", None),
            ("2001:db8::/32", "v6_32", Some("ffff:ffff::")),
        ] {
            let set = set(network);
            assert_eq!(set.to_string(), name);
            assert_eq!(set.mask().map(|mask| mask.to_string()).as_deref(), mask);
            assert_eq!(name.parse(), Ok(set));
        }
    }

    #[test]
    fn a_foreign_name_is_no_set() {
        for name in [
            "", "v4", "v4_", "v4_33", "v6_129", "v5_1", "v4_-1", "v4_24_",
        ] {
            assert_eq!(name.parse::<Set>(), Err(()), "{name}");
        }
    }

    #[test]
    fn an_element_keeps_the_bits_that_make_it_a_foreign_one() {
        let network = set("10.1.2.0/24").network([10, 1, 2, 3].into()).unwrap();
        assert_eq!(network.to_string(), "10.1.2.3/24");
        assert_eq!(set("10.1.2.0/24").network([0; 16].into()), None);
    }
}
