//! Whom two sets of policies want, and how badly, before breaker and limits have their say: policies that
//! want everybody are stopped by the breaker, and touch but a few.

use hashbrown::HashMap;

use crate::act::Carried;
use crate::decision::{Outcome, SessionRef, Suppression};
use crate::policy::{ActionKind, Mode};

/// Sessions of so many are told apart; whoever is wanted beyond is counted as more.
const WANTED_MAX: usize = 1_000_000;

/// What is to be done to a session at the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    #[default]
    Nothing,
    /// Whatever it is, a policy in dry-run only says so.
    ToSay,
    Log,
    Disconnect,
}

/// The sessions that the first of two sets wants, and those that the second does.
#[derive(Debug, Default)]
pub struct Wanted {
    sessions: HashMap<SessionRef, [Wish; 2]>,
    /// Of the first set, that were no longer told apart.
    beyond: u64,
}

impl Wanted {
    /// Takes in what the first set decided at a poll.
    pub fn by_first<'a>(&mut self, carried: impl IntoIterator<Item = &'a Carried>) {
        self.take(0, carried);
    }

    /// Takes in what the second set decided at the same poll.
    pub fn by_second<'a>(&mut self, carried: impl IntoIterator<Item = &'a Carried>) {
        self.take(1, carried);
    }

    fn take<'a>(&mut self, set: usize, carried: impl IntoIterator<Item = &'a Carried>) {
        for carried in carried {
            let wish = wish(carried);
            if wish == Wish::Nothing {
                continue;
            }
            for session in &carried.decision.sessions {
                if self.sessions.len() >= WANTED_MAX && !self.sessions.contains_key(session) {
                    self.beyond += u64::from(set == 0);
                    continue;
                }
                let wishes = self.sessions.entry(*session).or_default();
                wishes[set] = wishes[set].max(wish);
            }
        }
    }

    /// To how many sessions the first set would do more than the second.
    pub fn more(&self) -> u64 {
        let worse = |[first, second]: &&[Wish; 2]| first > second;
        self.sessions.values().filter(worse).count() as u64 + self.beyond
    }
}

fn wish(carried: &Carried) -> Wish {
    let is_wanted = match &carried.outcome {
        Outcome::Suppressed(by) => matches!(
            by,
            Suppression::PolicyLimit { .. }
                | Suppression::ActionLimit { .. }
                | Suppression::Breaker { .. }
                | Suppression::ShareOfAll { .. }
        ),
        _ => true,
    };
    match (carried.decision.action.kind(), carried.decision.mode) {
        _ if !is_wanted => Wish::Nothing,
        (ActionKind::Alert | ActionKind::DaemonUrl, _) => Wish::Nothing,
        (_, Mode::Off | Mode::DryRun) => Wish::ToSay,
        (ActionKind::Log, Mode::Enforce) => Wish::Log,
        (ActionKind::Disconnect | ActionKind::Ban | ActionKind::Evict, Mode::Enforce) => {
            Wish::Disconnect
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decision::{Decision, Epoch, Peer, Target};
    use crate::policy::Action;
    use crate::time::Timestamp;

    fn carried(action: Action, mode: Mode, outcome: Outcome, ids: &[u64]) -> Carried {
        let at = Timestamp::default();
        let session = |&id: &u64| SessionRef {
            id,
            peer: Peer(None),
            since: at,
        };
        Carried {
            id: None,
            decision: Decision {
                at,
                epoch: Epoch(1),
                policy: "p".into(),
                mode,
                action,
                target: Target::Server,
                evidence: Vec::new(),
                held: Duration::ZERO,
                severity: 1.0,
                sessions: ids.iter().map(session).collect(),
                spared: 0,
                choice: None,
                at_once: false,
                bans: Vec::new(),
                refused: Vec::new(),
                daemons: Vec::new(),
            },
            outcome,
            withheld: 0,
            unsent: 0,
        }
    }

    fn more(first: &[Carried], second: &[Carried]) -> u64 {
        let mut wanted = Wanted::default();
        wanted.by_first(first);
        wanted.by_second(second);
        wanted.more()
    }

    #[test]
    fn what_is_held_back_is_wanted_and_what_was_done_before_is_not() {
        let until = Timestamp::default();
        let by = |by| {
            carried(
                Action::Disconnect,
                Mode::Enforce,
                Outcome::Suppressed(by),
                &[1, 2],
            )
        };
        for held_back in [
            Suppression::Breaker { until },
            Suppression::ShareOfAll { until },
            Suppression::PolicyLimit { until },
            Suppression::ActionLimit { until },
        ] {
            let first = by(held_back);
            assert_eq!(more(std::slice::from_ref(&first), &[]), 2);
            // Others in as great a number make up for nothing.
            let others = Carried {
                decision: Decision {
                    sessions: vec![first.decision.sessions[0]; 9],
                    ..first.decision.clone()
                },
                ..first.clone()
            };
            assert_eq!(more(&[first], &[others]), 1);
        }
        assert_eq!(more(&[by(Suppression::Cooldown { until })], &[]), 0);
        assert_eq!(more(&[by(Suppression::Protection)], &[]), 0);
    }

    #[test]
    fn to_do_worse_to_the_same_is_more() {
        let log = Action::Log {
            duration: Duration::from_secs(60),
        };
        let ascending = [
            carried(Action::Alert, Mode::Enforce, Outcome::DryRun, &[1]),
            carried(Action::Disconnect, Mode::DryRun, Outcome::DryRun, &[1]),
            carried(log, Mode::Enforce, Outcome::DryRun, &[1]),
            carried(Action::Disconnect, Mode::Enforce, Outcome::DryRun, &[1]),
        ];
        for (i, first) in ascending.iter().enumerate() {
            for (j, second) in ascending.iter().enumerate() {
                let more = more(std::slice::from_ref(first), std::slice::from_ref(second));
                assert_eq!(more, u64::from(i > j), "{i} {j}");
            }
        }
    }
}
