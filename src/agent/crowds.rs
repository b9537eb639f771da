//! Crowds that meet a policy's tests without anybody in them who stands out: a matter for a person.

use std::sync::Arc;
use std::time::Duration;

use crate::act::Keys;
use crate::decision::{Outcome, Suppression, Target};
use crate::escape;
use crate::limits::{Ruling, Verdict};
use crate::time::Timestamp;
use hashbrown::HashMap;

/// A crowd is told of once in so long, however often it comes and goes.
const TOLD_EVERY: Duration = Duration::from_hours(1);

/// As many are remembered. Whoever is not has its decision in the journal all the same.
const REMEMBERED_MAX: usize = 1_000;

/// Those that were told of, by policy and target, and when.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    told: HashMap<(Arc<str>, Target), Timestamp>,
}

impl Crowds {
    /// Tells of those among a poll's rulings that were not told of lately.
    pub(super) fn tell(&mut self, rulings: &[Ruling], at: Timestamp) {
        self.told
            .retain(|_, told| at.since((*told).min(at)) < TOLD_EVERY);
        for ruling in rulings {
            if self.is_news(ruling, at) {
                tell(ruling);
            }
        }
    }

    fn is_news(&mut self, ruling: &Ruling, at: Timestamp) -> bool {
        let Ruling {
            decision, verdict, ..
        } = ruling;
        let is_held_back = matches!(
            verdict,
            Verdict::Suppressed {
                by: Suppression::NobodyStandsOut,
                ..
            }
        );
        // Of others those who did it are gone, and there is nothing to look at.
        let is_crowd = decision.choice.as_ref().is_some_and(|it| it.is_still_met);
        if !is_held_back || !is_crowd || self.told.len() >= REMEMBERED_MAX {
            return false;
        }
        let crowd = (decision.policy.clone(), decision.target.clone());
        self.told.insert(crowd, at).is_none()
    }
}

fn tell(ruling: &Ruling) {
    let decision = &ruling.decision;
    let target = decision.target.to_string();
    let choice = decision.choice.as_ref().map(ToString::to_string);
    let keys = Keys::of(decision, &Outcome::Suppressed(Suppression::NobodyStandsOut));
    keys.alert(format_args!(
        "{} `{}` meets the tests of `{}`, and nobody of it is acted on: {}; look whether the threshold is \
         too low for so many",
        decision.target.scope(),
        escape::log(&target),
        keys.policy,
        escape::log(&choice.unwrap_or_default())
    ));
}
