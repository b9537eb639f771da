//! What policies would read, poll by poll: examples, and everything against a naive model.

mod examples;
mod naive;
mod random;
mod requests;
mod seniority;

use super::{Bounds, ColumnId, Continuity, History, Plan, SubnetWidths};
use crate::field::Scope;
use crate::history::Expulsion;
use crate::penalty::Face;
use crate::scene::{Scene, policies};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::watch::Settings as DaemonSettings;

/// As those are disconnected who did wrong.
pub(super) const BLAMED: Expulsion = Expulsion {
    face: Face::Real,
    blames: true,
};

/// A history that is asked for numbers.
pub(super) struct Watch {
    pub(super) history: History,
    columns: Vec<(Scope, &'static str, ColumnId)>,
}

impl Watch {
    /// `wanted`: scope and field, as in `address sent_rate`.
    pub(super) fn new(window: &str, wanted: &[&'static str]) -> Self {
        Self::bounded(window, wanted, Bounds::default())
    }

    pub(super) fn bounded(window: &str, wanted: &[&'static str], bounds: Bounds) -> Self {
        let one = |(number, wanted): (usize, &&str)| {
            let (scope, field) = wanted.split_once(' ').unwrap();
            let is_flag = matches!(field, "private" | "regular");
            let test = if is_flag { "true" } else { "\">= 0\"" };
            format!(
                "[[policy]]\nname = \"p{number}\"\nscope = \"{scope}\"\nwindow = \"{window}\"\n\
                 when = {{ {field} = {test} }}\naction = \"alert\"\n"
            )
        };
        let text: String = wanted.iter().enumerate().map(one).collect();
        let set = policies(&text);
        let plan = Plan::new(&set.policies);
        let columns = set.policies.iter().zip(wanted).map(|(policy, wanted)| {
            let column = plan.column(policy, &policy.when.any[0].tests[0]);
            (policy.scope, wanted.split_once(' ').unwrap().1, column)
        });
        Self {
            columns: columns.collect(),
            history: History::new(
                plan,
                bounds,
                SubnetWidths::default(),
                DaemonSettings::default(),
            ),
        }
    }

    /// The agent asks the server to disconnect a session that is connected.
    pub(super) fn expel(&mut self, id: u64, at: Timestamp) {
        let slot = self.history.find_session(id).unwrap();
        let session = self.history.session(slot);
        self.history.expelled(&[session], BLAMED, at);
    }

    pub(super) fn see(&mut self, snapshot: &Snapshot) -> Continuity {
        let continuity = self.history.begin(snapshot);
        self.history.finish(snapshot);
        continuity
    }

    /// Polls every `step_s` for `s`, the last time at its end.
    pub(super) fn see_for(&mut self, scene: &mut Scene, s: u32, step_s: u32) {
        for _ in 0..s / step_s {
            scene.wait(step_s.into());
            self.see(&scene.poll());
        }
    }

    /// The targets that policies look at, with the numbers of one field.
    pub(super) fn all(&self, scope: Scope, field: &str) -> Vec<(String, f64)> {
        let (.., column) = self
            .columns
            .iter()
            .find(|(s, f, _)| *s == scope && *f == field)
            .unwrap();
        let values = self.history.column(*column);
        let live = self.history.live(scope, true).iter();
        live.map(|&slot| {
            let target = self.history.target(scope, slot).to_string();
            (target, values.of(slot))
        })
        .collect()
    }

    /// A number; `None` if the target is not looked at, or the number is not known.
    pub(super) fn get(&self, scope: Scope, field: &str, target: &str) -> Option<f64> {
        self.all(scope, field)
            .into_iter()
            .find(|(t, _)| t == target || t.split_once(' ').is_some_and(|(id, _)| id == target))
            .map(|(_, value)| value)
            .filter(|value| !value.is_nan())
    }
}
