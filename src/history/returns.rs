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

/// By what somebody who comes back is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// The address, under whatever name.
    Address(IpNet),
    /// Of a peer that stands for many people, the name: its slot and generation.
    Name(u32, u32),
}

/// Those who are awaited.
#[derive(Debug, Default)]
pub(super) struct Returns {
    in_order: VecDeque<(Timestamp, Sign)>,
    /// When each was disconnected, and how old it was, in seconds; oldest first.
    by_sign: HashMap<Sign, VecDeque<(Timestamp, f64)>>,
}

impl Returns {
    /// The agent disconnected a session of this age.
    pub(super) fn expect(&mut self, sign: Sign, age_s: f64, at: Timestamp) {
        if self.in_order.len() >= AWAITED_MAX {
            self.drop_first();
        }
        self.in_order.push_back((at, sign));
        self.by_sign.entry(sign).or_default().push_back((at, age_s));
    }

    /// Somebody new is there. If it is awaited: how old the session was that it is the return of.
    /// Nobody comes back twice for one disconnect.
    pub(super) fn accept(&mut self, sign: Sign) -> Option<f64> {
        let awaited = self.by_sign.get_mut(&sign)?;
        let (_, age_s) = awaited.pop_front()?;
        if awaited.is_empty() {
            self.by_sign.remove(&sign);
        }
        Some(age_s)
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
            awaited.pop_front_if(|&mut (first, _)| first <= then);
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

    #[test]
    fn one_return_for_each_disconnect_and_not_for_ever() {
        let mut returns = Returns::default();
        let (a, b) = (Sign::Name(1, 1), Sign::Name(1, 2));
        returns.expect(a, 7.0, at(0));
        returns.expect(a, 8.0, at(100));
        assert_eq!(returns.accept(b), None);
        assert_eq!(returns.accept(a), Some(7.0));
        returns.sweep(at(601));
        assert_eq!(returns.accept(a), Some(8.0));
        assert_eq!(returns.accept(a), None);
        returns.expect(b, 9.0, at(700));
        returns.sweep(at(1_301));
        assert_eq!(returns.accept(b), None);
        assert!(returns.by_sign.is_empty() && returns.in_order.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_longest_gone_is_not_awaited() {
        let mut returns = Returns::default();
        for i in 0..=u32::try_from(AWAITED_MAX).unwrap() {
            returns.expect(Sign::Name(i, 0), 1.0, at(i64::from(i)));
        }
        assert_eq!(returns.accept(Sign::Name(0, 0)), None);
        assert_eq!(returns.accept(Sign::Name(1, 0)), Some(1.0));
        assert_eq!(returns.in_order.len(), AWAITED_MAX);
    }
}
