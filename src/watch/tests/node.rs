//! A watch over scripted daemons.

use std::time::Duration;

use crate::daemon::Address;
use crate::snapshot::Server;
use crate::time::Timestamp;
pub(crate) use crate::trial::node::{Node, Probes};
use crate::watch::{Settings, State, Watch};

pub(crate) const PRIMARY: &str = "10.0.0.1:8332";
pub(crate) const SECONDARY: &str = "10.0.0.2:8332";

/// A watch over the primary and the secondary, round by round, ten seconds apart.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) watch: Watch,
    pub(super) server: Server,
    pub(super) at: Timestamp,
    probes: Probes,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Settings {
            propagation: Some(Duration::from_secs(60)),
            ..Settings::default()
        })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let addresses = [PRIMARY, SECONDARY].map(Address::from).to_vec();
        Self {
            watch: Watch::new(Settings {
                addresses,
                ..settings
            }),
            server: Server {
                version: Some("ElectrumX 1.20.0".into()),
                coin: Some("Bitcoin".into()),
                daemon: Some(SECONDARY.into()),
                daemon_height: Some(800_000),
                db_height: Some(800_000),
                ..Server::default()
            },
            at: Timestamp::from_millis(1_800_000_000_000),
            probes: Probes::default(),
        }
    }

    /// So many rounds in which nothing changes.
    pub(super) fn rounds(&mut self, count: u32, nodes: [&Node; 2]) -> &mut Self {
        let nodes = nodes.map(Clone::clone);
        for _ in 0..count {
            self.at = self.at + Duration::from_secs(10);
            let round = self.probes.round(self.at, &nodes);
            self.watch.observe(self.at, &self.server, &[round]);
        }
        self
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.at = self.at + time;
        self.watch.observe(self.at, &self.server, &[]);
        self
    }

    pub(super) fn states(&self) -> [String; 2] {
        let state = |state: &Option<State>| state.as_ref().map_or("-".into(), ToString::to_string);
        [0, 1].map(|index| state(&self.watch.daemons()[index].state))
    }

    pub(super) fn health(&self) -> [Option<bool>; 2] {
        [0, 1].map(|index| self.watch.daemons()[index].health.up())
    }
}
