//! Recordings: what the server said, as sent, with what is needed to judge it again.
//!
//! A recording is a folder of segments. A segment is a zstd stream of lines: a heading, then ticks, each with its checksum.
//! A tick is a line of what the agent knew of the poll, the server's replies as they came, each on a
//! line, and a checksum. Every tick is flushed, so that a recording can be read to its last whole
//! tick however its writer ended. docs/recordings.md has the format.
//!
//! Nothing here judges anything: [`crate::replay`] does, with the production core.

mod claim;
mod decoder;
mod error;
mod folder;
mod line;
mod player;
mod reader;
mod recorder;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::{Epoch, Outcome, Target};
use crate::history::{CLIENTS_MAX, SavedClients};
use crate::limits::{Cooldown, SavedLimits};
use crate::penalty::{ManualAct, SavedPenalties};
use crate::policy::bounds::DAEMONS_MAX;
use crate::policy::{Mode, Quota};
use crate::pseudonym::Pseudonyms;
use crate::snapshot::Snapshot;
use crate::time::{Timestamp, seconds};
use crate::warden::{Ongoing, Settings};
use crate::wire::Inspection;

pub use error::RecordingError;
pub use folder::{Recording, Span};
pub use player::Player;
pub use reader::{Item, Notice};
pub use recorder::{Recorder, RecorderOptions, Turn};
pub use writer::Writer;

/// The format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

/// How the agent stood when a segment began: whoever replays the segment begins with this.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Start {
    /// What the server is called: the same in all its recordings.
    pub server: String,
    /// From one poll to the next.
    #[serde(rename = "interval_s", with = "seconds")]
    pub interval: Duration,
    /// The names of the policies, in their order.
    #[serde(default)]
    pub policies: Vec<Arc<str>>,
    /// What the core was configured with.
    pub settings: Settings,
    /// What the limits remembered.
    pub limits: SavedLimits,
    /// Cooldowns that ran.
    pub cooldowns: Vec<Cooldown>,
    /// What was known of clients.
    #[serde(default)]
    pub clients: SavedClients,
    /// Strikes and bans.
    #[serde(default)]
    pub penalties: SavedPenalties,
    /// What was going on.
    #[serde(default)]
    pub ongoing: Ongoing,
}

impl Start {
    /// What is in it that no agent is configured with; a recording may come from anywhere.
    fn complaint(&self) -> Option<&'static str> {
        const YEAR: Duration = Duration::from_hours(366 * 24);
        let times = Duration::from_millis(1)..=YEAR * 10;
        let Settings {
            bounds,
            widths,
            limits,
            daemons,
            ..
        } = &self.settings;
        let budgets = [limits.disconnect, limits.ban, limits.log, limits.alert];
        let budgets = budgets.map(|budget| budget.rate);
        let is_rate = |rate: &Quota| rate.count > 0 && times.contains(&rate.per);
        let breaker = &limits.breaker;
        let is_sound = [
            (self.interval <= YEAR, "interval"),
            (
                bounds.sessions_max <= 10_000_000
                    && bounds.targets_max <= 10_000_000
                    && bounds.clients.clients_max <= CLIENTS_MAX,
                "bounds",
            ),
            (self.clients.is_sound(CLIENTS_MAX), "clients"),
            (self.penalties.is_sound(), "penalties"),
            (times.contains(&bounds.penalties.half_life), "bounds"),
            (
                bounds.gap_max <= YEAR && bounds.clients.forget_after <= YEAR * 10,
                "bounds",
            ),
            (widths.v4 <= 32 && widths.v6 <= 128, "widths"),
            (
                budgets.iter().all(is_rate)
                    && is_rate(&limits.daemon_url)
                    && is_rate(&limits.disconnect_regulars),
                "limits",
            ),
            (
                [breaker.share, breaker.share_of_all]
                    .iter()
                    .all(|share| (0.0..=1.0).contains(share) && *share > 0.0)
                    && breaker.window <= YEAR
                    && breaker.reset <= YEAR,
                "breaker",
            ),
            (daemons.addresses.len() <= DAEMONS_MAX, "daemons"),
            (
                daemons.propagation.is_none_or(|time| time <= YEAR) && daemons.fresh_max <= YEAR,
                "daemons",
            ),
        ];
        is_sound
            .into_iter()
            .find_map(|(is_sound, what)| (!is_sound).then_some(what))
    }

    fn hide(&mut self, pseudonyms: &Pseudonyms) {
        let net = |net| pseudonyms.net(net);
        self.limits.map_addresses(net);
        self.clients.map_addresses(net);
        self.penalties.map_addresses(net);
        self.settings.protection.map_addresses(net);
        let target = |target: &Target| match target {
            // Whose name is an address may be gone, and then nothing tells it from a version.
            Target::Client(name) => Target::Client(pseudonyms.words(name).into()),
            target => pseudonyms.target(target),
        };
        self.ongoing.map_targets(target);
        for cooldown in &mut self.cooldowns {
            cooldown.target = target(&cooldown.target);
        }
    }
}

/// What the agent did by an enforced decision of a tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// The policy.
    pub policy: Arc<str>,
    /// The decision's target.
    #[serde(flatten)]
    pub target: Target,
    /// What came of it: executed or failed.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Of so many sessions the server was never asked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unsent: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One poll as it was, whether it succeeded or not.
#[derive(Debug, Default)]
pub struct Tick {
    /// When it was judged.
    pub at: Timestamp,
    /// The connection.
    pub epoch: Epoch,
    /// The agent's mode in force.
    pub mode: Mode,
    /// Why there is no snapshot, if there is none.
    pub failure: Option<String>,
    /// What the server said; of a poll that failed, what it said last.
    pub snapshot: Snapshot,
    /// What it said of single sessions.
    pub inspections: Vec<(u64, Inspection)>,
    /// The policies that somebody asked to let go on, before the poll was judged.
    pub closed: Vec<Arc<str>>,
    /// What people changed by hand since the poll before.
    pub by_hand: Vec<ManualAct>,
    /// What the agent did.
    pub acts: Vec<Act>,
    /// Of the sessions of those who were banned so many were never asked to be disconnected, the last.
    pub not_held_off: usize,
    /// When it had done that.
    pub settled: Timestamp,
}
