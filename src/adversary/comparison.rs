//! An attack with the agent beside the same without it.

use std::time::Duration;

use super::run::{Run, play};
use crate::policy::PolicySet;
use crate::sim::{Attack, Harm, Release};

/// An attack played twice by the same seed.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// With the agent.
    pub guarded: Run,
    /// Without.
    pub free: Run,
    /// The attack.
    pub attack: Attack,
    /// The release that the server passed for.
    pub release: Release,
}

impl Comparison {
    /// Plays an attack with these policies enforced, and without an agent.
    pub fn play(attack: Attack, release: Release, seed: u64, set: &PolicySet) -> Self {
        Self {
            guarded: play(attack, release, seed, Some(set)),
            free: play(attack, release, seed, None),
            attack,
            release,
        }
    }

    /// The harm that got through, as a share of that without the agent; of several kinds of harm, the
    /// one that got through most.
    pub fn through(&self) -> Option<f64> {
        self.through_from(Duration::ZERO)
    }

    /// The same from the first evidence and the aim's grace on.
    pub fn left(&self) -> Option<f64> {
        let evident = self.guarded.evident_from?;
        self.through_from(evident + self.attack.aim().grace)
    }

    /// From the first abuse until an abuser was first disconnected.
    pub fn time_to_act(&self) -> Option<Duration> {
        let (act, abuse) = (self.guarded.first_act?, self.guarded.abuse_from?);
        Some(act.saturating_sub(abuse))
    }

    fn through_from(&self, from: Duration) -> Option<f64> {
        let harms = self.attack.harms().iter();
        let shares = harms.filter_map(|&harm| self.share(harm, from));
        shares.max_by(f64::total_cmp)
    }

    fn share(&self, harm: Harm, from: Duration) -> Option<f64> {
        let since = |run: &Run| {
            let end = run.abuse_until(self.attack.length());
            end.of(harm) - run.abuse_until(from).of(harm)
        };
        let free = since(&self.free);
        (free > 0.0).then(|| since(&self.guarded) / free)
    }
}
