//! The agent's flight recorder. What goes wrong with it is told once, and never holds the agent up.

use tracing::{info, warn};

use super::Agent;
use crate::act::Carried;
use crate::decision::Outcome;
use crate::policy::Mode;
use crate::recording::{Act, Recorder, RecordingError, Start, Turn};
use crate::rpc::RpcError;
use crate::time::Timestamp;

/// The recorder at work.
pub(super) struct Flight {
    recorder: Recorder,
    /// What the server is called.
    server: String,
    /// Sessions of this poll whose inspection was taken in.
    inspected: Vec<u64>,
    /// So that it is told once.
    is_failing: bool,
    /// What went wrong last.
    trouble: Option<String>,
    polls: u64,
}

/// What the agent knows of a poll beside its snapshot.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub(super) at: Timestamp,
    pub(super) mode: Mode,
    pub(super) failure: Option<&'a RpcError>,
    pub(super) carried: &'a [Carried],
    pub(super) settled: Timestamp,
}

impl Agent {
    /// Records from here on what the server says, under this name of it.
    pub fn record(&mut self, recorder: Recorder, server: String) {
        self.client.keep_tape();
        self.flight = Some(Flight {
            recorder,
            server,
            inspected: Vec::new(),
            is_failing: false,
            trouble: None,
            polls: 0,
        });
    }

    /// Before a poll.
    pub(super) fn begin_recording(&mut self) {
        let Some(flight) = &mut self.flight else {
            return;
        };
        flight.inspected.clear();
        if let Some(tape) = self.client.tape() {
            tape.clear();
        }
        let at = self.clock.now();
        if flight.recorder.is_between_segments(at) {
            let start = Start {
                server: flight.server.clone(),
                interval: self.options.interval,
                policies: self.warden.policies().names().collect(),
                settings: self.warden.settings().clone(),
                limits: self.warden.saved_limits(),
                cooldowns: self.warden.saved_cooldowns(),
            };
            let begun = flight.recorder.begin(at, start);
            flight.note(begun);
        }
    }

    /// How many polls were recorded, those that failed too; and what went wrong with others, if
    /// anything did.
    pub fn recorded(&self) -> (u64, Option<&str>) {
        let flight = self.flight.as_ref();
        let polls = flight.map_or(0, |flight| flight.polls);
        (polls, flight.and_then(|flight| flight.trouble.as_deref()))
    }

    pub(super) fn record_inspected(&mut self, id: u64) {
        if let Some(flight) = &mut self.flight {
            flight.inspected.push(id);
        }
    }

    /// After a poll and all that followed from it.
    pub(super) fn record_turn(&mut self, recorded: Recorded<'_>) {
        let Recorded {
            at,
            mode,
            failure,
            carried,
            settled,
        } = recorded;
        let Some(flight) = &mut self.flight else {
            return;
        };
        let failure = failure.map(ToString::to_string);
        let acts: Vec<Act> = carried.iter().filter_map(act).collect();
        let turn = Turn {
            at,
            epoch: self.snapshot.epoch,
            mode,
            polled: failure.as_deref().map_or(Ok(&self.snapshot), Err),
            inspected: &flight.inspected,
            acts: &acts,
            settled,
        };
        let tape = self.client.tape();
        match flight.recorder.record(&turn, tape.as_deref()) {
            Ok(is_recorded) => flight.polls += u64::from(is_recorded),
            Err(error) => flight.note(Err(error)),
        }
    }

    /// Ends the recording as it should; one that just breaks off lacks nothing else.
    pub fn end_recording(&mut self) {
        if let Some(flight) = &mut self.flight {
            let finished = flight.recorder.finish();
            flight.note(finished);
        }
    }
}

impl Flight {
    fn note(&mut self, result: Result<(), RecordingError>) {
        match result {
            Ok(()) if self.is_failing => {
                info!("recording goes on");
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                warn!("nothing is recorded for a while: {error}");
                self.is_failing = true;
                self.trouble = Some(error.to_string());
            }
            _ => {}
        }
    }
}

/// What the server was asked, or a person told, and what came of it.
fn act(carried: &Carried) -> Option<Act> {
    let Carried {
        decision,
        outcome,
        unsent,
        ..
    } = carried;
    let is_act = matches!(outcome, Outcome::Executed { .. } | Outcome::Failed { .. });
    is_act.then(|| Act {
        policy: decision.policy.clone(),
        target: decision.target.clone(),
        outcome: outcome.clone(),
        unsent: *unsent,
    })
}
