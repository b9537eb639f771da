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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::relief::Traffic;
    use crate::report::words;

    fn load(bytes_per_s: Option<f64>, pending_requests: u64, felt_ms: Option<u64>) -> Load {
        Load {
            target: bytes_per_s.map(|rate| Traffic {
                sessions: 1,
                bytes_per_s: Some(rate),
            }),
            pending_requests,
            felt_latency: felt_ms.map(Duration::from_millis),
            ..Load::default()
        }
    }

    #[test]
    fn means_are_of_what_is_known() {
        let mut tally = HelpedTally::default();
        assert_eq!(tally.finish(), None);
        tally.add(&Relief {
            before: load(Some(2e6), 40, Some(900)),
            soon: Some(load(Some(0.0), 4, Some(20))),
            later: None,
        });
        tally.add(&Relief {
            before: load(Some(1e6), 20, None),
            soon: None,
            later: None,
        });
        assert_eq!(
            words::helped(&tally.finish().unwrap()),
            "2 acts followed; before, 30s on and 5m on, on average: the targets' traffic 1.43 MiB/s, 0 B/s, unknown; \
             requests pending 30, 4, unknown; a wallet's wait 900ms, 20ms, unknown"
        );
        let mut server = HelpedTally::default();
        server.add(&Relief {
            before: load(None, 7, None),
            soon: Some(load(None, 7, None)),
            later: Some(load(None, 9, None)),
        });
        assert_eq!(
            words::helped(&server.finish().unwrap()),
            "1 act followed; before, 30s on and 5m on, on average: requests pending 7, 7, 9"
        );
    }
}
