//! What the agent is told of the simulated server that is under attack, and its probes.

use std::time::Duration;

use crate::daemon::Round;
use crate::policy::Mode;
use crate::sim::{Attack, World};
use crate::slots::Slots;
use crate::time::Timestamp;
use crate::trial::node::{Node, Probes};
use crate::warden::Settings;
use crate::watch;

/// The beginning of a world: a new year's morning, so that times read well.
pub(crate) const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The daemons of the simulated server; the first is the primary.
pub(crate) const DAEMONS: [&str; 2] = ["127.0.0.1:8332", "127.0.0.1:18332"];
/// From one round of probes to the next.
const ROUND_EVERY: Duration = Duration::from_secs(10);

/// The agent's configuration in an attack.
pub(crate) fn settings(attack: Attack, mode: Mode) -> Settings {
    let mut settings = Settings {
        mode,
        slots: attack
            .slots()
            .and_then(|slots| u32::try_from(slots).ok())
            .map(Slots::new),
        ..Settings::default()
    };
    if let Some(net) = attack.protected() {
        settings.protection.addresses = std::iter::once(net).collect();
    }
    if attack.sticks_daemon() {
        settings.daemons = watch::Settings {
            addresses: DAEMONS.map(Into::into).into(),
            // The attack is over before a daemon is late by what is usual on Bitcoin.
            propagation: Some(Duration::from_secs(60)),
            ..watch::Settings::default()
        };
    }
    settings
}

/// Probes the daemons of a world at a steady pace, whenever the polls are.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    probes: Probes,
    last: Option<Duration>,
}

impl Prober {
    /// The round that has become due since the last call, if one has.
    pub(crate) fn round(&mut self, world: &World) -> Option<Round> {
        let now = world.now();
        if self.last.is_some_and(|last| now < last + ROUND_EVERY) {
            return None;
        }
        self.last = Some(now);
        let nodes = world.daemon_heights().map(Node::at);
        Some(self.probes.round(EPOCH + now, &nodes))
    }
}
