//! Whether acts helped, summed up by policy.

use crate::relief::{Load, Relief};
use crate::report::{Around, Helped};

/// The means so far.
#[derive(Debug, Default)]
pub(super) struct HelpedTally {
    acts: u64,
    target_bytes_per_s: [Mean; 3],
    pending_requests: [Mean; 3],
    felt_latency_s: [Mean; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl HelpedTally {
    /// Takes in what is known of an act in the end.
    pub(super) fn add(&mut self, relief: &Relief) {
        self.acts += 1;
        let looks = [Some(relief.before), relief.soon, relief.later];
        for (look, load) in looks.into_iter().enumerate() {
            let of = |value: fn(Load) -> Option<f64>| load.and_then(value);
            self.target_bytes_per_s[look].add(of(|load| load.target?.bytes_per_s));
            self.pending_requests[look].add(of(|load| Some(load.pending_requests as f64)));
            self.felt_latency_s[look].add(of(|load| Some(load.felt_latency?.as_secs_f64())));
        }
    }

    /// `None` if nothing was followed.
    pub(super) fn finish(&self) -> Option<Helped> {
        let around = |means: &[Mean; 3]| {
            let [before, soon, later] = means.map(Mean::value);
            Around {
                before,
                soon,
                later,
            }
        };
        (self.acts > 0).then(|| Helped {
            acts: self.acts,
            target_bytes_per_s: around(&self.target_bytes_per_s),
            pending_requests: around(&self.pending_requests),
            felt_latency_s: around(&self.felt_latency_s),
        })
    }
}
