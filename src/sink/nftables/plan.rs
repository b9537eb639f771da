//! What to do to each network.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;

use super::super::{Changes, Desired};
use crate::time::Timestamp;

/// What to do to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Keep it out for this long from now on.
    Hold(Duration),
    /// Let it in.
    Lift,
}

/// Each network once, in order.
pub(super) type Plan = Vec<(IpNet, Change)>;

/// The plan for `changes` at a time. A network whose end has come is lifted.
pub(super) fn of_changes(changes: &Changes, at: Timestamp) -> Plan {
    let lifted = changes
        .lifted
        .iter()
        .map(|network| (network.trunc(), Change::Lift));
    let held = changes.held.iter().map(|(network, hold)| {
        let left = hold.until.since(at);
        let change = if left.is_zero() {
            Change::Lift
        } else {
            Change::Hold(left)
        };
        (network.trunc(), change)
    });
    let plan: BTreeMap<_, _> = lifted.chain(held).collect();
    plan.into_iter().collect()
}

/// The networks to keep out at a time, each with the time left to it.
pub(super) fn of_desired(desired: &Desired, at: Timestamp) -> Vec<(IpNet, Duration)> {
    let left = desired
        .iter()
        .map(|(network, hold)| (network.trunc(), hold.until.since(at)));
    let left: BTreeMap<_, _> = left.filter(|(_, left)| !left.is_zero()).collect();
    left.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::penalty::BannedBy;
    use crate::sink::Hold;

    const AT: Timestamp = Timestamp::from_millis(1_000_000);

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn in_seconds(seconds: u64) -> Hold {
        Hold {
            until: AT + Duration::from_secs(seconds),
            by: BannedBy::Policy("hog".into()),
        }
    }

    #[test]
    fn a_network_is_changed_once_by_the_last_word_on_it() {
        let changes = Changes {
            held: vec![
                (network("198.51.100.7/24"), in_seconds(10)),
                (network("198.51.100.0/24"), in_seconds(20)),
                (network("2001:db8::/64"), in_seconds(0)),
                (network("192.0.2.1/32"), in_seconds(5)),
            ],
            lifted: vec![network("192.0.2.1/32"), network("192.0.2.9/30")],
        };
        let seconds = |seconds| Change::Hold(Duration::from_secs(seconds));
        assert_eq!(
            of_changes(&changes, AT),
            [
                (network("192.0.2.1/32"), seconds(5)),
                (network("192.0.2.8/30"), Change::Lift),
                (network("198.51.100.0/24"), seconds(20)),
                (network("2001:db8::/64"), Change::Lift),
            ]
        );
    }

    #[test]
    fn what_has_ended_is_not_desired() {
        let desired = Desired::from([
            (network("192.0.2.1/32"), in_seconds(0)),
            (network("192.0.2.2/31"), in_seconds(7)),
        ]);
        let left = [(network("192.0.2.2/31"), Duration::from_secs(7))];
        assert_eq!(of_desired(&desired, AT), left);
    }
}
