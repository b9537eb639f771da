//! What a person wants changed, checked and planned. A plan changes nothing: it is journalled first, and then
//! [`Warden::change_by_hand`] follows it.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

use super::Warden;
use super::sentence::HOLES_MAX;
use crate::decision::Target;
use crate::history::{History, PRIVATE_V4, PRIVATE_V6};
use crate::penalty::{Ban, BannedBy, Face, ManualAct};
use crate::policy::Mode;
use crate::time::Timestamp;
use crate::units::format_duration;

/// The shortest ban by hand and the longest.
const BAN_MIN: Duration = Duration::from_mins(1);
const BAN_MAX: Duration = Duration::from_hours(365 * 24);

/// No network that is wider is banned by hand: a slip of the pen must not shut out a provider.
const WIDEST_V4: u8 = 16;
const WIDEST_V6: u8 = 32;

/// Lifting parts of a ban leaves no more holes in it than this.
const LIFTED_PARTS_MAX: usize = 1_000;

/// A ban that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRequest {
    /// Whom to keep out.
    pub net: IpNet,
    /// For how long.
    pub duration: Duration,
    /// The user's name and number, as the system has them.
    pub user: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// Whether regulars are banned as well.
    pub regulars_too: bool,
}

/// A ban that may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBan {
    /// The ban. Its holes are regulars and protected addresses.
    pub ban: Ban,
    /// The end of the ban of the same network that it takes the place of.
    pub replaces: Option<Timestamp>,
}

/// What to lift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lift {
    /// Whatever keeps this network out, or a part of it.
    Net(IpNet),
    /// All bans by this policy.
    Policy(Arc<str>),
    /// All bans.
    All,
}

/// What lifting comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifted {
    /// What to do, in this order.
    pub acts: Vec<ManualAct>,
    /// So many bans end, those that would be in dry-run counted.
    pub bans: usize,
    /// Which, if a network is lifted.
    pub ended: Vec<IpNet>,
    /// The bans that go on, but for a hole.
    pub holed: Vec<IpNet>,
}

/// What there was to pardon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pardoned {
    /// Strikes that had not faded: those of the agent's mode.
    pub strikes: f64,
    /// Addresses and subnets that had them.
    pub offenders: usize,
    /// When the last ban that still keeps all of it out ends.
    pub banned_until: Option<Timestamp>,
}

/// Why a person's wish is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody is banned in this mode.
    #[error(
        "nobody is banned in mode {0}: set `mode = \"enforce\"` in the configuration, and restart the agent"
    )]
    Mode(Mode),
    /// No poll has succeeded yet.
    #[error(
        "the agent has not seen the server yet, so it cannot tell who is a regular: try again after its first poll"
    )]
    Unseen,
    /// Too short or too long.
    #[error(
        "a ban lasts from {} to {}",
        format_duration(BAN_MIN),
        format_duration(BAN_MAX)
    )]
    Duration,
    /// Too wide.
    #[error("`{net}` is too wide: a ban by hand is /{widest} at the widest")]
    TooWide {
        /// The network.
        net: IpNet,
        /// The shortest prefix that is banned.
        widest: u8,
    },
    /// It stands for many people, or is nobody's.
    #[error("`{}` is private: many people come from such an address (Tor, proxies), or nobody does", Target::Address(*.0))]
    Private(IpNet),
    /// It is the server's, or the agent's.
    #[error("`{}` has an address of this machine in it: the ban would shut out the server itself", Target::Address(*.0))]
    Own(IpNet),
    /// Somebody protected is there.
    #[error("`{}` is protected by `[protect]`, or a client with a protected name is there", Target::Address(*.0))]
    Protected(IpNet),
    /// Regulars come from there.
    #[error("regulars come from `{}`: `--regulars-too` (`\"regulars_too\":true`) bans them as well", Target::Address(*.0))]
    Regulars(IpNet),
    /// Most of it is somebody's who must stay.
    #[error(
        "`{net}` has {count} regulars and protected addresses in it, more than {HOLES_MAX}: ban a smaller network"
    )]
    Crowded {
        /// The network.
        net: IpNet,
        /// So many.
        count: usize,
    },
    /// It would be the first to go for want of room.
    #[error(
        "there are as many bans as there may be, and all end later: ban for longer, or lift others"
    )]
    Full,
    /// Nothing to lift.
    #[error("{0}")]
    NothingToLift(NothingToLift),
    /// A ban would have too many holes.
    #[error("the ban of `{0}` has {LIFTED_PARTS_MAX} holes already: lift all of it")]
    TooManyHoles(IpNet),
}

/// What is not banned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NothingToLift {
    /// A network.
    #[error("`{}` is not banned, nor any part of it", Target::Address(*.0))]
    Net(IpNet),
    /// Whatever a policy banned.
    #[error("no ban by policy `{0}` is in force")]
    Policy(Arc<str>),
    /// Anybody.
    #[error("nobody is banned")]
    All,
}

impl Warden {
    /// Plans a ban by hand, from `at` on. It passes no policy's limits.
    pub fn plan_ban(&self, request: &BanRequest, at: Timestamp) -> Result<PlannedBan, Refusal> {
        if self.mode != Mode::Enforce {
            return Err(Refusal::Mode(self.mode));
        }
        if !self.history.has_seen_server() {
            return Err(Refusal::Unseen);
        }
        if !(BAN_MIN..=BAN_MAX).contains(&request.duration) {
            return Err(Refusal::Duration);
        }
        let net = request.net;
        self.check_bannable(&net)?;
        let end = at + request.duration;
        if !self.history.penalties().bans.has_room_for(&net, end) {
            return Err(Refusal::Full);
        }
        let holes = self.holes_by_hand(&net, request.regulars_too, at)?;
        let ban = Ban {
            net,
            holes,
            begin: at,
            end,
            by: BannedBy::Hand {
                user: request.user.clone(),
                reason: request.reason.clone(),
            },
            kept_out: 0,
        };
        let replaced = self.history.penalties().bans.get(&net);
        let replaces = replaced.map(|ban| ban.end);
        Ok(PlannedBan { ban, replaces })
    }

    fn check_bannable(&self, net: &IpNet) -> Result<(), Refusal> {
        let widest = match net {
            IpNet::V4(_) => WIDEST_V4,
            IpNet::V6(_) => WIDEST_V6,
        };
        if net.prefix_len() < widest {
            return Err(Refusal::TooWide { net: *net, widest });
        }
        if is_partly_private(net) {
            return Err(Refusal::Private(*net));
        }
        if self.settings.protection.own.overlaps(net) {
            return Err(Refusal::Own(*net));
        }
        if self.settings.protection.addresses.contains_net(net) {
            return Err(Refusal::Protected(*net));
        }
        Ok(())
    }

    /// Who must stay in a network. An address has no parts: there one of them is enough to refuse.
    fn holes_by_hand(
        &self,
        net: &IpNet,
        regulars_too: bool,
        at: Timestamp,
    ) -> Result<Vec<IpNet>, Refusal> {
        let sessions = self.history.sessions_in(net);
        let mut innocents = self.innocents(net, sessions.into_iter());
        if regulars_too {
            innocents.regulars.clear();
        } else {
            innocents.regulars.extend(self.history.regulars_of(net));
        }
        if History::client_net(net.addr()).contains(net) {
            let is_shared = || self.history.penalties().strikes.is_shared(net, at);
            return if !innocents.protected.is_empty() {
                Err(Refusal::Protected(*net))
            } else if !innocents.regulars.is_empty() || (!regulars_too && is_shared()) {
                Err(Refusal::Regulars(*net))
            } else {
                Ok(Vec::new())
            };
        }
        let crowded = |count| Refusal::Crowded { net: *net, count };
        innocents.into_holes().map_err(crowded)
    }

    /// Plans to lift bans: afterwards nobody of what is named is kept out.
    pub fn plan_lift(&self, lift: &Lift) -> Result<Lifted, Refusal> {
        let bans = &self.history.penalties().bans;
        let rehearsed = &self.history.penalties().rehearsed;
        let count = |is_it: &dyn Fn(&Ban) -> bool| {
            bans.iter()
                .chain(rehearsed.iter())
                .filter(|ban| is_it(ban))
                .count()
        };
        let lifted = match lift {
            Lift::Net(net) => return self.plan_lift_of(net),
            Lift::Policy(policy) => Lifted {
                bans: count(&|ban| ban.by == BannedBy::Policy(policy.clone())),
                acts: vec![ManualAct::UnbanPolicy(policy.clone())],
                ..Lifted::default()
            },
            Lift::All => Lifted {
                bans: count(&|_| true),
                acts: vec![ManualAct::UnbanAll],
                ..Lifted::default()
            },
        };
        match (lifted.bans, lift) {
            (0, Lift::Policy(policy)) => Err(NothingToLift::Policy(policy.clone()).into()),
            (0, _) => Err(NothingToLift::All.into()),
            _ => Ok(lifted),
        }
    }

    /// Bans of the network and within it end; wider ones get a hole.
    fn plan_lift_of(&self, net: &IpNet) -> Result<Lifted, Refusal> {
        let penalties = self.history.penalties();
        let mut lifted = Lifted::default();
        let all = penalties.bans.iter().chain(penalties.rehearsed.iter());
        let mut within: Vec<IpNet> = all
            .map(|ban| ban.net)
            .filter(|it| net.contains(it))
            .collect();
        within.sort_unstable();
        within.dedup();
        if !within.is_empty() {
            lifted.acts.push(ManualAct::Unban(*net));
        }
        lifted.bans = within.len();
        lifted.ended = within;
        for ban in penalties.bans.around(net) {
            let is_free = ban.holes.iter().any(|hole| hole.contains(net));
            if ban.net == *net || is_free {
                continue;
            }
            if ban.holes.len() >= LIFTED_PARTS_MAX {
                return Err(Refusal::TooManyHoles(ban.net));
            }
            let mut holed = ban.clone();
            holed.holes.retain(|hole| !net.contains(hole));
            holed.holes.push(*net);
            holed.holes.sort_unstable();
            lifted.holed.push(ban.net);
            lifted.acts.push(ManualAct::Ban(holed));
        }
        if lifted.acts.is_empty() {
            return Err(NothingToLift::Net(*net).into());
        }
        Ok(lifted)
    }

    /// What a pardon of a network comes to.
    pub fn plan_pardon(&self, net: &IpNet, at: Timestamp) -> Pardoned {
        let penalties = self.history.penalties();
        let (offenders, strikes) = penalties.strikes.within(net, Face::from(self.mode), at);
        let bans = penalties.bans.around(net).into_iter();
        let in_force = bans.filter(|ban| ban.covers(net.addr()));
        Pardoned {
            strikes,
            offenders,
            banned_until: in_force.map(|ban| ban.end).max(),
        }
    }

    /// Follows a plan, between two polls; how many clients had been acted on before they were pardoned.
    pub fn change_by_hand(&mut self, act: &ManualAct) -> usize {
        self.history.change_by_hand(act)
    }

    /// The network that a client at an address has: IPv4 /32, IPv6 /64.
    pub fn client_net(address: std::net::IpAddr) -> IpNet {
        History::client_net(address.to_canonical())
    }
}

impl From<NothingToLift> for Refusal {
    fn from(nothing: NothingToLift) -> Self {
        Self::NothingToLift(nothing)
    }
}

/// Whether any address of a network is private.
fn is_partly_private(net: &IpNet) -> bool {
    let overlaps = |block: IpNet| block.contains(net) || net.contains(&block);
    match net {
        IpNet::V4(_) => PRIVATE_V4.iter().any(|&block| overlaps(block.into())),
        IpNet::V6(_) => PRIVATE_V6.iter().any(|&block| overlaps(block.into())),
    }
}
