//! What would have come of decisions: nothing is done, nobody is asked.

use super::{Actor, Carried, expected};
use crate::decision::Outcome;
use crate::limits::Ruling;
use crate::recording::Act;

impl Actor {
    /// In place of [`Actor::carry_out`], for the rulings of a poll that is long past. What was really
    /// done then, `acts` tell; the rest comes out as in dry-run. What was held back
    /// for the first time without being told one by one comes apart.
    pub fn rehearse(&mut self, rulings: Vec<Ruling>, acts: &[Act]) -> (Vec<Carried>, Vec<Carried>) {
        let carried = rulings.into_iter().filter_map(expected).collect();
        let (mut carried, untold) = self.told(carried);
        for carried in &mut carried {
            if carried.outcome == Outcome::Intended {
                recall(carried, acts);
            }
        }
        (carried, untold)
    }
}

fn recall(carried: &mut Carried, acts: &[Act]) {
    let decision = &carried.decision;
    let is_this = |act: &&Act| act.policy == decision.policy && act.target == decision.target;
    match acts.iter().find(is_this) {
        Some(act) => {
            carried.outcome = act.outcome.clone();
            carried.unsent = act.unsent;
        }
        None => carried.outcome = Outcome::DryRun,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::decision::{Decision, Epoch, Suppression, Target};
    use crate::limits::Verdict;
    use crate::policy::{Action, Mode};
    use crate::time::Timestamp;

    fn held_back(of: u32) -> Ruling {
        Ruling {
            decision: Decision {
                at: Timestamp::from_millis(1_767_225_600_000),
                epoch: Epoch(1),
                policy: "hog".into(),
                mode: Mode::DryRun,
                action: Action::Disconnect,
                target: Target::Address(IpAddr::from(of.to_be_bytes()).into()),
                evidence: Vec::new(),
                held: Duration::ZERO,
                severity: 1.0,
                sessions: Vec::new(),
                spared: 0,
                choice: None,
                at_once: false,
                bans: Vec::new(),
                refused: Vec::new(),
                daemons: Vec::new(),
            },
            mode: Mode::DryRun,
            verdict: Verdict::Suppressed {
                by: Suppression::Protection,
                is_repeat: false,
            },
        }
    }

    /// The first of them are those that a live agent tells.
    #[test]
    fn what_is_not_told_is_not_lost() {
        let (told, untold) = Actor::default().rehearse((0..400).map(held_back).collect(), &[]);
        assert_eq!((told.len(), untold.len()), (300, 100));
        assert_eq!(untold[0].decision.target, held_back(300).decision.target);
    }
}
