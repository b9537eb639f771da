//! What would have come of decisions: nothing is done, nobody is asked.

use super::{Actor, Carried, expected};
use crate::decision::Outcome;
use crate::limits::Ruling;
use crate::recording::Act;

impl Actor {
    /// In place of [`Actor::carry_out`], for the rulings of a poll that is long past. What was really
    /// done then, `acts` tell; the rest comes out as in dry-run. Gives, as that does, what was held
    /// back for the first time without being told one by one.
    pub fn rehearse(&mut self, rulings: Vec<Ruling>, acts: &[Act]) -> (Vec<Carried>, usize) {
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
