//! What is remembered of those who did it: strikes, and who is kept out.
//!
//! Pure. Both exist twice: what was enforced, and what would have been, so that a ladder can be seen
//! climbed before anything is done. Dry-run decisions are judged by the second, which counts what was
//! enforced too.

mod ban;
mod bans;
mod manual;
mod pieces;
mod strikes;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use ban::{Ban, BannedBy};
pub use bans::{BANS_MAX, Bans};
pub use manual::ManualAct;
pub use pieces::pieces;
pub use strikes::{Offender, STRIKES_MAX, Strike, Strikes};

use crate::policy::Mode;
use crate::time::Timestamp;

/// How strikes fade, and how much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltySettings {
    /// After so long a strike counts half.
    pub half_life: Duration,
    /// Bans; beyond that those nearest to their end go first.
    pub bans_max: usize,
}

impl Default for PenaltySettings {
    fn default() -> Self {
        Self {
            half_life: Duration::from_hours(24),
            bans_max: BANS_MAX,
        }
    }
}

/// Whether it was enforced, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Face {
    /// Done.
    Real,
    /// What would have been done, and what was.
    Rehearsed,
}

impl From<Mode> for Face {
    fn from(mode: Mode) -> Self {
        if mode == Mode::Enforce {
            Self::Real
        } else {
            Self::Rehearsed
        }
    }
}

/// All of it that outlives the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedPenalties {
    /// Strikes, in the order of their networks.
    pub offenders: Vec<Offender>,
    /// Bans in force, in the order of their networks. Those of dry-run are not kept.
    pub bans: Vec<Ban>,
}

impl SavedPenalties {
    /// Whether it is what an agent may have saved; it may come from anywhere.
    pub(crate) fn is_sound(&self) -> bool {
        self.offenders.len() <= STRIKES_MAX
            && self.bans.len() <= BANS_MAX
            && self.offenders.iter().all(Offender::is_sound)
    }

    /// Replaces the addresses in it.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        for offender in &mut self.offenders {
            offender.net = to(offender.net);
        }
        for ban in &mut self.bans {
            ban.map_addresses(&to);
        }
    }
}

/// What changed, each with how it is now; `None` of what is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PenaltyNews {
    /// Bans.
    pub bans: Vec<(IpNet, Option<Ban>)>,
    /// Strikes.
    pub strikes: Vec<(IpNet, Option<Offender>)>,
}

/// Strikes and bans.
#[derive(Debug)]
pub struct Penalties {
    /// The strikes.
    pub strikes: Strikes,
    /// The bans in force.
    pub bans: Bans,
    /// Those that would be, beside them.
    pub rehearsed: Bans,
}

impl Penalties {
    /// Nobody did anything yet.
    pub fn new(settings: PenaltySettings) -> Self {
        Self {
            strikes: Strikes::new(settings.half_life),
            bans: Bans::new(settings.bans_max),
            rehearsed: Bans::new(settings.bans_max),
        }
    }

    /// Takes up what an earlier run left.
    pub fn restore(&mut self, saved: SavedPenalties) {
        self.strikes.restore(saved.offenders);
        self.bans.restore(saved.bans);
    }

    /// What the next run needs.
    pub fn save(&self) -> SavedPenalties {
        SavedPenalties {
            offenders: self.strikes.all(),
            bans: self.bans.all(),
        }
    }

    /// The ban that keeps an address out, or would.
    pub fn ban_of(&self, address: std::net::IpAddr, face: Face) -> Option<&Ban> {
        let real = self.bans.of(address);
        real.or_else(|| {
            let rehearsed = self.rehearsed.of(address);
            rehearsed.filter(|_| face == Face::Rehearsed)
        })
    }

    /// A session of whoever has this address was disconnected for a ban, or would have been.
    pub fn keep_out(&mut self, address: std::net::IpAddr, face: Face) {
        if !self.bans.keep_out(address) && face == Face::Rehearsed {
            self.rehearsed.keep_out(address);
        }
    }

    /// Whether anybody is kept out, or would be.
    pub fn is_anybody_out(&self, face: Face) -> bool {
        !self.bans.is_empty() || (face == Face::Rehearsed && !self.rehearsed.is_empty())
    }

    /// All bans that policies see by that face, in the order of their networks. A network may be banned
    /// twice: in earnest, and as it would be.
    pub fn bans_as(&self, face: Face) -> Vec<Ban> {
        let rehearsed = match face {
            Face::Real => Vec::new(),
            Face::Rehearsed => self.rehearsed.all(),
        };
        let mut all = self.bans.all();
        all.extend(rehearsed);
        all.sort_by_key(|ban| ban.net);
        all
    }

    /// The bans of that face.
    pub fn bans_of(&mut self, face: Face) -> &mut Bans {
        match face {
            Face::Real => &mut self.bans,
            Face::Rehearsed => &mut self.rehearsed,
        }
    }

    /// What changed since this was asked last, for the journal and for what keeps people out.
    pub fn news(&mut self) -> PenaltyNews {
        let bans = self.bans.take_changed().into_iter();
        let bans = bans.map(|net| (net, self.bans.get(&net).cloned()));
        // Rehearsed ones keep nobody out.
        self.rehearsed.take_changed();
        PenaltyNews {
            bans: bans.collect(),
            strikes: self.strikes.take_changed(),
        }
    }

    /// What a person changed. Rehearsed bans are lifted as well.
    pub fn change_by_hand(&mut self, act: &ManualAct) {
        match act {
            ManualAct::Ban(ban) => self.bans.set(ban.clone()),
            ManualAct::Pardon(net) => self.strikes.pardon_within(net),
            ManualAct::Unban(net) => {
                let is_within = |ban: &Ban| net.contains(&ban.net);
                self.bans.remove_all(is_within);
                self.rehearsed.remove_all(is_within);
            }
            ManualAct::UnbanPolicy(policy) => {
                let is_by = |ban: &Ban| ban.by == BannedBy::Policy(policy.clone());
                self.bans.remove_all(is_by);
                self.rehearsed.remove_all(is_by);
            }
            ManualAct::UnbanAll => {
                self.bans.remove_all(|_| true);
                self.rehearsed.remove_all(|_| true);
            }
        }
    }

    /// At a poll: lets those in whose time is over.
    pub fn expire(&mut self, at: Timestamp) {
        self.bans.expire(at);
        self.rehearsed.expire(at);
    }
}
