//! Who may come back because the agent disconnected it: coming back is then no evidence.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::time::Timestamp;

/// Who comes back later than this comes by itself.
pub(super) const RETURN_WITHIN: Duration = Duration::from_secs(600);

/// As many are waited for; beyond that the longest gone are not waited for any more.
const AWAITED_MAX: usize = 100_000;

/// A client name: its slot and generation.
pub(super) type Name = (u32, u32);

/// By what somebody who comes back is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// The address, under whatever name.
    Address(IpNet),
    /// Of a peer that stands for many people, the name.
    Name(Name),
}

/// Somebody who may come back.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// When it was disconnected, and its age then.
    at: Timestamp,
    age_s: f64,
    name: Option<Name>,
    /// Whether somebody of another name came from its address, and was taken for it.
    is_lent: bool,
}

/// Those who are awaited.
#[derive(Debug, Default)]
pub(super) struct Returns {
    in_order: VecDeque<(Timestamp, Sign)>,
    /// Oldest first.
    by_sign: HashMap<Sign, VecDeque<Awaited>>,
}

impl Returns {
    /// The agent disconnected a session of this age.
    pub(super) fn expect(&mut self, sign: Sign, name: Option<Name>, age_s: f64, at: Timestamp) {
        if self.in_order.len() >= AWAITED_MAX {
            self.drop_first();
        }
        self.in_order.push_back((at, sign));
        self.by_sign.entry(sign).or_default().push_back(Awaited {
            at,
            age_s,
            name,
            is_lent: false,
        });
    }

    /// Somebody new is there that connected at `since`. If it is awaited: how old the session would
    /// have been by then that it is the return of.
    ///
    /// For one disconnect somebody comes back once under the name that left, and once under another:
    /// the agent cannot tell a client that changes its name from its neighbour behind one address.
    pub(super) fn accept(
        &mut self,
        sign: Sign,
        name: Option<Name>,
        since: Timestamp,
    ) -> Option<f64> {
        let awaited = self.by_sign.get_mut(&sign)?;
        let found = if let Some(place) = awaited.iter().position(|one| one.name == name) {
            awaited.remove(place)?
        } else {
            let lent = awaited.iter_mut().find(|one| !one.is_lent)?;
            lent.is_lent = true;
            *lent
        };
        if awaited.is_empty() {
            self.by_sign.remove(&sign);
        }
        Some(found.age_s + since.since(found.at).as_secs_f64())
    }

    /// Those who were disconnected too long ago are not awaited any more.
    pub(super) fn sweep(&mut self, at: Timestamp) {
        while self
            .in_order
            .front()
            .is_some_and(|&(then, _)| at.since(then) > RETURN_WITHIN)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some((then, sign)) = self.in_order.pop_front() else {
            return;
        };
        if let Some(awaited) = self.by_sign.get_mut(&sign) {
            // Who is back already left its place to a later one.
            awaited.pop_front_if(|first| first.at <= then);
            if awaited.is_empty() {
                self.by_sign.remove(&sign);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    const NAME: Option<Name> = Some((1, 1));
    const OTHER: Option<Name> = Some((2, 1));

    fn address(last: u8) -> Sign {
        Sign::Address(IpNet::from(std::net::IpAddr::from([8, 8, 8, last])))
    }

    #[test]
    fn one_return_for_each_disconnect_and_not_for_ever() {
        let mut returns = Returns::default();
        let (a, b) = (address(1), address(2));
        returns.expect(a, NAME, 7.0, at(0));
        returns.expect(a, NAME, 8.0, at(100));
        assert_eq!(returns.accept(b, NAME, at(2)), None);
        let first = returns.accept(a, NAME, at(2));
        assert_eq!(first, Some(9.0), "as if it had stayed");
        returns.sweep(at(601));
        assert_eq!(returns.accept(a, NAME, at(601)), Some(509.0));
        assert_eq!(returns.accept(a, NAME, at(601)), None);
        returns.expect(b, NAME, 9.0, at(700));
        returns.sweep(at(1_301));
        assert_eq!(returns.accept(b, NAME, at(1_301)), None);
        assert!(returns.by_sign.is_empty() && returns.in_order.is_empty());
    }

    #[test]
    fn a_neighbour_of_another_name_does_not_take_the_place_of_who_was_disconnected() {
        let mut returns = Returns::default();
        returns.expect(address(1), NAME, 7.0, at(0));
        assert_eq!(returns.accept(address(1), OTHER, at(0)), Some(7.0));
        assert_eq!(returns.accept(address(1), OTHER, at(0)), None, "only once");
        assert_eq!(returns.accept(address(1), NAME, at(0)), Some(7.0));
        assert!(returns.by_sign.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_longest_gone_is_not_awaited() {
        let mut returns = Returns::default();
        for i in 0..=u32::try_from(AWAITED_MAX).unwrap() {
            let name = (i, 0);
            returns.expect(Sign::Name(name), Some(name), 1.0, at(i64::from(i)));
        }
        let mut accept = |i| returns.accept(Sign::Name((i, 0)), Some((i, 0)), at(i.into()));
        assert_eq!((accept(0), accept(1)), (None, Some(1.0)));
        assert_eq!(returns.in_order.len(), AWAITED_MAX);
    }
}
