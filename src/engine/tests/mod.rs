//! Who is due for what, poll by poll.

mod examples;
mod guilt;
mod random;
mod surroundings;

use std::time::Duration;

use super::{Engine, Evaluation, Proposal, Protection};
use crate::decision::Target;
use crate::history::{Bounds, Continuity, History, SubnetWidths};
use crate::policy::AddressSet;
use crate::scene::{Scene, policies};
use crate::visit::Visits;
use crate::watch::Settings as DaemonSettings;

/// The engine over a history.
pub(super) struct Judge {
    pub(super) engine: Engine,
    pub(super) history: History,
}

impl Judge {
    pub(super) fn new(text: &str) -> Self {
        Self::protecting(text, &[], &[])
    }

    pub(super) fn protecting(text: &str, nets: &[&str], clients: &[&str]) -> Self {
        Self::bounded(text, nets, clients, Bounds::default())
    }

    pub(super) fn bounded(text: &str, nets: &[&str], clients: &[&str], bounds: Bounds) -> Self {
        let nets = nets.iter().map(|net| net.parse::<ipnet::IpNet>().unwrap());
        let clients = clients.iter().map(|c| regex::Regex::new(c).unwrap());
        let protection = Protection {
            addresses: nets.collect::<AddressSet>(),
            clients: clients.collect(),
            ..Protection::default()
        };
        let engine = Engine::new(policies(text), protection);
        let plan = engine.plan().clone();
        Self {
            history: History::new(
                plan,
                bounds,
                SubnetWidths::default(),
                DaemonSettings::default(),
            ),
            engine,
        }
    }

    /// A poll.
    pub(super) fn see(&mut self, scene: &Scene) -> Vec<Proposal> {
        self.evaluate(scene).proposals
    }

    pub(super) fn evaluate(&mut self, scene: &Scene) -> Evaluation {
        let snapshot = scene.poll();
        if self.history.begin(&snapshot) == Continuity::Gap {
            self.engine.forget();
        }
        self.history.finish(&snapshot);
        self.engine.evaluate(&self.history, &snapshot)
    }

    /// A poll that fails.
    pub(super) fn miss(&mut self, scene: &Scene) -> Vec<Proposal> {
        self.history.missed(scene.at(), &[], &Visits::default());
        let missed = self.engine.missed(&self.history, scene.at(), scene.epoch);
        missed.proposals
    }

    /// A poll `s` later, and whom it found due.
    pub(super) fn due(&mut self, scene: &mut Scene, s: u32) -> Vec<String> {
        scene.wait(s.into());
        targets(&self.see(scene))
    }
}

/// A policy on sessions, unless `more` says otherwise.
pub(super) fn policy(name: &str, scope: &str, when: &str, more: &str) -> String {
    let action = if more.contains("action") {
        ""
    } else if scope == "server" {
        "action = \"alert\""
    } else {
        "action = \"disconnect\""
    };
    format!("[[policy]]\nname = \"{name}\"\nscope = \"{scope}\"\nwhen = {when}\n{action}\n{more}\n")
}

pub(super) fn targets(proposals: &[Proposal]) -> Vec<String> {
    proposals
        .iter()
        .map(|proposal| match &proposal.decision.target {
            Target::Session(session) => session.id.to_string(),
            target => target.to_string(),
        })
        .collect()
}

/// The IDs that a decision would act on.
pub(super) fn ids(proposal: &Proposal) -> Vec<u64> {
    proposal.decision.sessions.iter().map(|s| s.id).collect()
}

pub(super) const TEN: Duration = Duration::from_secs(10);
