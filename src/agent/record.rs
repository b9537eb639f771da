//! The agent's flight recorder. What goes wrong with it is told once, and never holds the agent up:
//! it works on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Agent;
use crate::act::Carried;
use crate::decision::Outcome;
use crate::penalty::ManualAct;
use crate::policy::Mode;
use crate::poll;
use crate::recording::{Act, Recorder, RecordingError, Start, Turn, Writer};
use crate::rpc::RpcError;
use crate::time::Timestamp;

/// The recorder at work.
pub(super) struct Flight {
    writer: Writer,
    /// What the server is called.
    server: String,
    /// Sessions of this poll whose inspection was taken in.
    inspected: Vec<u64>,
    /// So that it is told once.
    is_failing: bool,
    /// What went wrong last.
    trouble: Option<String>,
    polls: u64,
    /// When groups could not be had last.
    groupless: Option<Timestamp>,
}

/// A server that cannot tell its groups is not asked for them again for so long: that may cost a connection,
/// and only the recording needs them.
const GROUPLESS: Duration = Duration::from_hours(1);

/// What the agent knows of a poll beside its snapshot.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub(super) at: Timestamp,
    pub(super) mode: Mode,
    pub(super) failure: Option<&'a RpcError>,
    pub(super) closed: &'a [Arc<str>],
    pub(super) by_hand: &'a [ManualAct],
    pub(super) carried: &'a [Carried],
    pub(super) not_held_off: usize,
    pub(super) settled: Timestamp,
}

impl Agent {
    /// Records from here on what the server says, under this name of it. A disk that is too slow
    /// costs polls of the recording, and never holds the agent up.
    pub fn record_aside(&mut self, recorder: Recorder, server: String) {
        self.fly(Writer::aside(recorder), server);
    }

    /// The same, but waits until each poll is recorded: for time that is not the wall's.
    pub fn record(&mut self, recorder: Recorder, server: String) {
        self.fly(Writer::in_step(recorder), server);
    }

    fn fly(&mut self, writer: Writer, server: String) {
        self.client.keep_tape();
        self.flight = Some(Flight {
            writer,
            server,
            inspected: Vec::new(),
            is_failing: false,
            trouble: None,
            polls: 0,
            groupless: None,
        });
    }

    /// Before a poll.
    pub(super) fn begin_recording(&mut self) {
        let Some(flight) = &mut self.flight else {
            return;
        };
        flight.hear();
        flight.inspected.clear();
        if let Some(tape) = self.client.tape() {
            tape.clear();
        }
        let at = self.clock.now();
        if flight.writer.is_between_segments(at) {
            let start = Start {
                server: flight.server.clone(),
                interval: self.options.cadence.interval,
                policies: self.warden.policies().names().collect(),
                settings: self.warden.settings().clone(),
                limits: self.warden.saved_limits(),
                cooldowns: self.warden.saved_cooldowns(),
                clients: self.warden.saved_clients(),
                penalties: self.warden.saved_penalties(),
                ongoing: self.warden.ongoing(at),
            };
            flight
                .writer
                .begin(at, start, self.clock_trust.is_proven(at));
        }
    }

    /// How many polls were recorded, those that failed too; and what went wrong with others, if
    /// anything did.
    pub fn recorded(&self) -> (u64, Option<&str>) {
        let flight = self.flight.as_ref();
        let polls = flight.map_or(0, |flight| flight.polls);
        (polls, flight.and_then(|flight| flight.trouble.as_deref()))
    }

    /// After a poll for which nobody else asked for groups.
    pub(super) async fn record_groups(&mut self) {
        let now = self.clock.now();
        let Some(flight) = &mut self.flight else {
            return;
        };
        if flight
            .groupless
            .is_some_and(|failed| now.since(failed) < GROUPLESS)
        {
            return;
        }
        let heard = poll::hear_groups(&mut self.client, &mut self.snapshot).await;
        flight.groupless = heard.is_err().then_some(now);
        if let Err(error) = heard {
            warn!("groups are not recorded for an hour: {error}");
        }
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
            closed,
            by_hand,
            carried,
            not_held_off,
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
            rounds: &self.snapshot.rounds,
            visits: &self.snapshot.visits,
            inspected: &flight.inspected,
            closed,
            by_hand,
            acts: &acts,
            not_held_off,
            settled,
        };
        if let Some(tape) = self.client.tape()
            && let Err(error) = flight.writer.record(&turn, tape)
        {
            flight.note(Err(error));
        }
        flight.hear();
    }

    /// Ends the recording as it should; one that just breaks off lacks nothing else. Waits for what is
    /// not written yet, though not forever.
    pub fn end_recording(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.writer.end();
            flight.hear();
        }
    }
}

impl Flight {
    /// Takes in what came of the polls that were handed over.
    fn hear(&mut self) {
        while let Some(news) = self.writer.news() {
            self.note(news);
        }
    }

    fn note(&mut self, is_recorded: Result<bool, RecordingError>) {
        match is_recorded {
            Ok(is_recorded) => {
                self.polls += u64::from(is_recorded);
                if is_recorded && self.is_failing && !self.writer.is_losing() {
                    info!("recording goes on");
                    self.is_failing = false;
                }
            }
            Err(error) => {
                if !self.is_failing {
                    warn!("nothing is recorded for a while: {error}");
                }
                self.is_failing = true;
                self.trouble = Some(error.to_string());
            }
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
