//! How the table's elements differ from the desired networks.

use std::collections::HashMap;
use std::time::Duration;

use ipnet::IpNet;

use super::listing::ListedNetwork;
use super::plan::{Change, Plan};

/// Ends may differ by this much, and by the time that listing takes: nft counts whole seconds, and transactions wait.
pub(super) const TOLERANCE: Duration = Duration::from_secs(10);

/// How the elements differ from what is desired.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// The changes that remove the difference.
    pub(super) plan: Plan,
    /// Networks that were not in the table.
    pub(super) missing: usize,
    /// Networks that were in the table and should not be.
    pub(super) extra: usize,
    /// Networks that were in the table with another end.
    pub(super) wrong_end: usize,
}

/// Compares networks, each with the time left to it, with those in the table.
///
/// Ends may differ by `tolerance`. A network with no more than that left is neither missing nor extra: the kernel and the
/// agent need not drop it at the same moment.
pub(super) fn difference(
    desired: &[(IpNet, Duration)],
    listed: Vec<ListedNetwork>,
    tolerance: Duration,
) -> Difference {
    let mut listed: HashMap<IpNet, Option<Duration>> = listed.into_iter().collect();
    let mut found = Difference::default();
    for &(network, left) in desired {
        match listed.remove(&network) {
            Some(Some(expires)) if left.abs_diff(expires) <= tolerance => continue,
            Some(_) => found.wrong_end += 1,
            None if left <= tolerance => continue,
            None => found.missing += 1,
        }
        found.plan.push((network, Change::Hold(left)));
    }
    let stays = |expires: Option<Duration>| expires.is_none_or(|left| left > tolerance);
    let extra = listed.into_iter().filter(|&(_, expires)| stays(expires));
    for (network, _) in extra {
        found.extra += 1;
        found.plan.push((network, Change::Lift));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn of(desired: &[(&str, u64)], listed: &[(&str, Option<u64>)]) -> Difference {
        let desired: Vec<_> = desired
            .iter()
            .map(|&(n, left)| (network(n), seconds(left)))
            .collect();
        let listed = listed
            .iter()
            .map(|&(n, left)| (network(n), left.map(seconds)));
        difference(&desired, listed.collect(), TOLERANCE)
    }

    #[test]
    fn equal_but_for_rounding_is_equal() {
        let same = of(
            &[("192.0.2.1/32", 60), ("192.0.2.0/24", 7_200)],
            &[("192.0.2.0/24", Some(7_195)), ("192.0.2.1/32", Some(61))],
        );
        assert_eq!(same, Difference::default());
    }

    #[test]
    fn whoever_goes_just_now_is_neither_missing_nor_extra() {
        let same = of(&[("192.0.2.1/32", 10)], &[("192.0.2.2/32", Some(10))]);
        assert_eq!(same, Difference::default());
    }

    #[test]
    fn each_difference_is_counted_and_undone() {
        let found = of(
            &[
                ("192.0.2.1/32", 60),
                ("192.0.2.2/32", 60),
                ("192.0.2.3/32", 60),
                ("192.0.2.0/24", 60),
            ],
            &[
                ("192.0.2.2/32", Some(71)),
                ("192.0.2.3/32", None),
                // Another one, for it has bits behind its prefix.
                ("192.0.2.9/24", None),
            ],
        );
        let hold = |text| (network(text), Change::Hold(seconds(60)));
        let plan = vec![
            hold("192.0.2.1/32"),
            hold("192.0.2.2/32"),
            hold("192.0.2.3/32"),
            hold("192.0.2.0/24"),
            (network("192.0.2.9/24"), Change::Lift),
        ];
        let expected = Difference {
            plan,
            missing: 2,
            extra: 1,
            wrong_end: 2,
        };
        assert_eq!(found, expected);
    }
}
