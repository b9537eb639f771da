//! A recording judged again by the production core: what policies would have decided.
//!
//! Time is the recording's. With the policies and the settings that the agent had, the decisions are
//! those of the agent, byte for byte; with others they are what those would have made of the same
//! server. Nobody was disconnected by a replay, so clients that would be gone go on in it.

#[cfg(test)]
mod tests;
mod wanted;

use crate::act::{Actor, Carried};
use crate::decision::SessionRef;
use crate::history::Continuity;
use crate::policy::{Mode, PolicySet};
use crate::pseudonym::{Key, Pseudonyms};
use crate::recording::{Start, Tick};
use crate::snapshot::Snapshot;
use crate::warden::{Followed, Settings, Warden};
use crate::watch::{Change, Confirmation};

pub use wanted::Wanted;

/// Policies at work on a recording.
#[derive(Debug)]
pub struct Replay {
    set: PolicySet,
    /// In place of the recorded ones.
    settings: Option<Settings>,
    warden: Warden,
    actor: Actor,
    /// Whether what the agent really did counts.
    recalls: bool,
}

/// What came of a tick.
#[derive(Debug, Default)]
pub struct Turn {
    /// How the tick follows the one before, if its poll succeeded.
    pub continuity: Option<Continuity>,
    /// Worst offenders first. What was held back as at the poll before is left out.
    pub carried: Vec<Carried>,
    /// Held back too, but not told one by one by a live agent: too many were.
    pub untold: Vec<Carried>,
    /// Targets that were due but beyond what one poll decides on.
    pub crowded: u64,
    /// Who was there although a ban keeps them out, or would.
    pub held_off: Vec<SessionRef>,
    /// News of the last change of daemon.
    pub confirmation: Option<(Change, Confirmation)>,
    /// What became of the load after earlier acts that the agent really did.
    pub followed: Vec<Followed>,
}

impl Replay {
    /// With policies, and with settings if not the recorded ones are to hold.
    pub fn new(set: PolicySet, settings: Option<Settings>) -> Self {
        Self {
            warden: ready(&set, settings.clone().unwrap_or_default()),
            set,
            settings,
            actor: Actor::default(),
            recalls: true,
        }
    }

    /// The same for a recording by the pseudonyms of this key: what policies and settings say of
    /// addresses is looked for by pseudonyms too.
    pub fn by_pseudonyms(set: PolicySet, settings: Option<Settings>, key: &Key) -> Self {
        let pseudonyms = Pseudonyms::new(key);
        let (mut set, mut settings) = (set, settings);
        set.map_addresses(|net| pseudonyms.net(net));
        if let Some(settings) = &mut settings {
            settings.protection.map_addresses(|net| pseudonyms.net(net));
        }
        Self::new(set, settings)
    }

    /// As if the agent had done nothing: two replays differ by their policies then, and not by which of
    /// them bears the name of one that acted.
    #[must_use]
    pub fn without_acts(mut self) -> Self {
        self.recalls = false;
        self
    }

    /// Begins as an agent of the recording began.
    pub fn start(&mut self, start: &Start) {
        let settings = self.settings.as_ref().unwrap_or(&start.settings);
        self.warden = ready(&self.set, settings.clone());
        self.warden
            .restore(start.limits.clone(), start.cooldowns.clone());
        self.warden.restore_clients(start.clients.clone());
        // An agent that was recorded has spared whom it protects already.
        _ = self.warden.restore_penalties(start.penalties.clone());
        self.warden.resume(start.ongoing.clone());
        self.actor = Actor::default();
    }

    /// Judges a tick.
    pub fn turn(&mut self, tick: &Tick) -> Turn {
        if self.settings.is_none() {
            self.warden.restrict(judging(tick.mode));
        }
        for policy in &tick.closed {
            self.warden.close_breaker(policy);
        }
        for act in &tick.by_hand {
            self.warden.change_by_hand(act);
        }
        let continuity = tick.failure.is_none().then(|| self.observe(tick));
        let judgement = if continuity.is_some() {
            self.warden.judge(&tick.snapshot)
        } else {
            let Snapshot { rounds, visits, .. } = &tick.snapshot;
            self.warden.missed(tick.at, tick.epoch, rounds, visits)
        };
        let acts = if self.recalls { &tick.acts[..] } else { &[] };
        let (carried, untold) = self.actor.rehearse(judgement.rulings, acts);
        for carried in &carried {
            let Carried {
                decision,
                outcome,
                unsent,
                ..
            } = carried;
            self.warden.settle(decision, outcome, *unsent, tick.settled);
        }
        let unsent = if self.recalls { tick.not_held_off } else { 0 };
        let asked = judgement.held_off.len().saturating_sub(unsent);
        self.warden.held_off(&judgement.held_off[..asked], tick.at);
        Turn {
            continuity,
            carried,
            untold,
            crowded: judgement.crowded,
            held_off: judgement.held_off,
            confirmation: judgement.confirmation,
            followed: judgement.followed,
        }
    }

    fn observe(&mut self, tick: &Tick) -> Continuity {
        let continuity = self.warden.observe(&tick.snapshot);
        for (id, inspection) in &tick.inspections {
            self.warden.inspected(*id, inspection);
        }
        continuity
    }

    /// The core, as it stands after the last tick.
    pub fn warden(&self) -> &Warden {
        &self.warden
    }

    /// The same, to be asked how things stand.
    pub fn warden_mut(&mut self) -> &mut Warden {
        &mut self.warden
    }
}

fn ready(set: &PolicySet, mut settings: Settings) -> Warden {
    settings.mode = judging(settings.mode);
    Warden::new(set.clone(), settings)
}

/// An agent that only watches decides nothing; its recordings are there to be judged all the same.
fn judging(mode: Mode) -> Mode {
    mode.max(Mode::DryRun)
}
