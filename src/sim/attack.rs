//! The attacks that adversaries can be told to play, by name.
//!
//! Each is a world of its own ([`World::under`](super::World::under)): an honest crowd, who may be hit
//! in an abuser's place, and adversaries who know the policies. Who is disconnected comes back after
//! a second or two, as often as it takes.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::abuse::Harm;
use super::release::Release;

/// The attack begins so long after the world: until then the agent sees what is normal.
const QUIET: Duration = Duration::from_mins(1);
/// How long most attacks are watched.
const LENGTH: Duration = Duration::from_mins(4);
/// How long sleepers behave.
pub(super) const SLEEP: Duration = Duration::from_hours(1);
/// The monitor whose address the configuration protects.
pub(super) const MONITOR: Ipv4Addr = Ipv4Addr::new(194, 32, 107, 9);

/// An attack, or an unlucky moment in which nobody attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// Brief sessions from one address, once, in a quiet /24.
    BriefNeighbour,
    /// The same in a /48.
    BriefNeighbourV6,
    /// Nobody attacks: a household with a bad network.
    Household,
    /// A scraper that shares its address with an honest client.
    Housemate,
    /// Nobody attacks: hundreds of wallets behind one address.
    LoadBalancer,
    /// A hog behind the same address as hundreds of wallets.
    BalancerHog,
    /// Nobody attacks: a protected monitor with idle neighbours.
    Monitor,
    /// A hog with quiet neighbours.
    HogNeighbours,
    /// A hog at a carrier's address, where honest clients of the same name keep coming.
    CarrierHog,
    /// One hog among Tor users.
    TorHog,
    /// Twenty hogs among Tor users.
    TorHogs,
    /// Sessions with hostile names that come once.
    TagsOnce,
    /// Sessions with hostile names that come back for good.
    TagsForever,
    /// Many that are cut at once use up the budget.
    BudgetDrain,
    /// Five abusers for each honest client.
    Outnumbered,
    /// Clients that are never there when the agent looks.
    PollDodgers,
    /// Bandwidth spread over subnets.
    ThirtySubnets,
    /// Hogs, and decoys that take enough to make them look usual.
    HogDecoys,
    /// Errors spread over the sessions of one address.
    ErrorsBelow,
    /// All that a session may do, a hundred times from one address.
    AllBelow,
    /// Hogs that reconnect before anything has held for long enough.
    ReconnectingHogs,
    /// The same under another name each time.
    RenamingHogs,
    /// Decoys that draw the inspections away from a flooder.
    ErrorDecoys,
    /// Idle sessions that take all slots.
    SlotFlood,
    /// Clients that behave for an hour first.
    Sleepers,
}

impl Attack {
    /// Every attack.
    pub const ALL: [Self; 25] = [
        Self::BriefNeighbour,
        Self::BriefNeighbourV6,
        Self::Household,
        Self::Housemate,
        Self::LoadBalancer,
        Self::BalancerHog,
        Self::Monitor,
        Self::HogNeighbours,
        Self::CarrierHog,
        Self::TorHog,
        Self::TorHogs,
        Self::TagsOnce,
        Self::TagsForever,
        Self::BudgetDrain,
        Self::Outnumbered,
        Self::PollDodgers,
        Self::ThirtySubnets,
        Self::HogDecoys,
        Self::ErrorsBelow,
        Self::AllBelow,
        Self::ReconnectingHogs,
        Self::RenamingHogs,
        Self::ErrorDecoys,
        Self::SlotFlood,
        Self::Sleepers,
    ];

    /// Its name on the command line: `hog-neighbours`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BriefNeighbour => "brief-neighbour",
            Self::BriefNeighbourV6 => "brief-neighbour-v6",
            Self::Household => "household",
            Self::Housemate => "housemate",
            Self::LoadBalancer => "load-balancer",
            Self::BalancerHog => "balancer-hog",
            Self::Monitor => "monitor",
            Self::HogNeighbours => "hog-neighbours",
            Self::CarrierHog => "carrier-hog",
            Self::TorHog => "tor-hog",
            Self::TorHogs => "tor-hogs",
            Self::TagsOnce => "tags-once",
            Self::TagsForever => "tags-forever",
            Self::BudgetDrain => "budget-drain",
            Self::Outnumbered => "outnumbered",
            Self::PollDodgers => "poll-dodgers",
            Self::ThirtySubnets => "thirty-subnets",
            Self::HogDecoys => "hog-decoys",
            Self::ErrorsBelow => "errors-below",
            Self::AllBelow => "all-below",
            Self::ReconnectingHogs => "reconnecting-hogs",
            Self::RenamingHogs => "renaming-hogs",
            Self::ErrorDecoys => "error-decoys",
            Self::SlotFlood => "slot-flood",
            Self::Sleepers => "sleepers",
        }
    }

    /// What happens, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::BriefNeighbour => {
                "one address connects 17 times for a moment, once; 30 quiet clients in its /24"
            }
            Self::BriefNeighbourV6 => {
                "one address connects 17 times for a moment, once; 30 quiet clients in its /48"
            }
            Self::Household => "nobody attacks: a household whose network drops four sessions",
            Self::Housemate => "a scraper reconnects; an honest client has the same address",
            Self::LoadBalancer => {
                "nobody attacks: 300 wallets behind one address, 20 kB/s for each"
            }
            Self::BalancerHog => "one of 300 clients behind one address pulls 3 MB/s",
            Self::Monitor => {
                "nobody attacks: a protected monitor with 3 MB/s, 5 idle clients in its /24"
            }
            Self::HogNeighbours => {
                "one client pulls 3 MB/s and reconnects; 30 quiet clients in its /24"
            }
            Self::CarrierHog => {
                "one client of a carrier's address pulls 3 MB/s; others of its name come there all the time"
            }
            Self::TorHog => "one of 41 Tor users pulls 3 MB/s",
            Self::TorHogs => "20 of 60 Tor users pull 1.5 MB/s each",
            Self::TagsOnce => {
                "52 sessions named `<` over Tor, once, to open the breaker for a hog, a flooder and a stuck daemon"
            }
            Self::TagsForever => {
                "58 sessions named `<` over Tor that come back, to open the breaker for a hog, a flooder and a stuck daemon"
            }
            Self::BudgetDrain => {
                "150 sessions named `<` that come back, to use up the budget while a hog pulls 3 MB/s"
            }
            Self::Outnumbered => "300 abusers of every kind, 60 honest clients",
            Self::PollDodgers => {
                "six clients pull 1.5 MB/s each between two polls, and are gone when the next comes"
            }
            Self::ThirtySubnets => "30 clients in 30 /24s pull 1.5 MB/s each",
            Self::HogDecoys => {
                "30 clients pull 3 MB/s each; 200 decoys take enough to make that look usual"
            }
            Self::ErrorsBelow => "100 sessions of one address, each below five errors a second",
            Self::AllBelow => {
                "100 sessions of one address, each just below every threshold of a session"
            }
            Self::ReconnectingHogs => {
                "12 clients pull 1.5 MB/s each and reconnect every few seconds"
            }
            Self::RenamingHogs => {
                "12 clients pull 1.5 MB/s each and reconnect every few seconds, by another name"
            }
            Self::ErrorDecoys => {
                "22 fresh sessions with an error a poll draw attention from a flooder with four a second"
            }
            Self::SlotFlood => {
                "300 idle sessions from 84 subnets take all slots, and come back as often as they go"
            }
            Self::Sleepers => "60 clients behave for an hour, then flood, hoard and pull",
        }
    }

    /// The releases to play it on. The first shows it best.
    pub const fn releases(self) -> &'static [Release] {
        match self {
            Self::TorHog => &[Release::V1_13_0],
            Self::TorHogs => &[Release::V1_20_0, Release::V1_13_0],
            Self::Outnumbered => &[Release::V1_16_0, Release::V1_20_0],
            Self::ErrorDecoys => &[Release::V2_0_0],
            _ => &[Release::V1_20_0],
        }
    }

    /// What its harm is measured by. Nothing where nobody attacks.
    pub const fn harms(self) -> &'static [Harm] {
        match self {
            Self::Household | Self::LoadBalancer | Self::Monitor => &[],
            Self::BriefNeighbour | Self::BriefNeighbourV6 => &[Harm::Connections],
            Self::Housemate => &[Harm::Requests],
            Self::TagsOnce | Self::TagsForever => &[Harm::Bytes, Harm::Errors],
            Self::ErrorsBelow | Self::ErrorDecoys => &[Harm::Errors],
            Self::Outnumbered | Self::AllBelow => &[Harm::Errors, Harm::SubSeconds],
            Self::SlotFlood => &[Harm::ShutOut],
            Self::Sleepers => &[Harm::Bytes, Harm::Errors, Harm::SubSeconds],
            Self::BalancerHog
            | Self::HogNeighbours
            | Self::CarrierHog
            | Self::TorHog
            | Self::TorHogs
            | Self::BudgetDrain
            | Self::PollDodgers
            | Self::ThirtySubnets
            | Self::HogDecoys
            | Self::ReconnectingHogs
            | Self::RenamingHogs => &[Harm::Bytes],
        }
    }

    /// When it begins.
    pub const fn begins(self) -> Duration {
        QUIET
    }

    /// For how long it is watched, from the world's beginning on.
    pub fn length(self) -> Duration {
        match self {
            Self::Sleepers => LENGTH + SLEEP,
            _ if self.sticks_daemon() => Duration::from_mins(7),
            _ => LENGTH,
        }
    }

    /// Whether the first daemon's height stops when the attack begins, so that a failover is due.
    pub const fn sticks_daemon(self) -> bool {
        matches!(self, Self::TagsOnce | Self::TagsForever | Self::Outnumbered)
    }

    /// How many slots the server has, where they are short.
    pub const fn slots(self) -> Option<usize> {
        match self {
            Self::SlotFlood => Some(400),
            _ => None,
        }
    }

    /// Whom the configuration protects.
    pub fn protected(self) -> Option<IpNet> {
        (self == Self::Monitor).then(|| Ipv4Net::from(MONITOR).into())
    }

    /// The attack of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attack| attack.name() == name)
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
