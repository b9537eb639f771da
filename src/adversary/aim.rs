//! What must come of each attack.

use std::time::Duration;

use crate::sim::Attack;

/// What must come of an attack, beside that nobody honest is disconnected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// So much of the harm may be left, as a share of that without the agent.
    pub left_max: f64,
    /// Why disconnects cannot leave less than a tenth, where they cannot.
    pub because: Option<&'static str>,
    /// From the first poll on that could see the attack; what is left counts from then on.
    pub grace: Duration,
    /// The policies that the adversaries trip themselves, and so may stop.
    pub may_stop: &'static [&'static str],
}

/// From the first evidence on.
const GRACE: Duration = Duration::from_secs(30);

const TENTH: Aim = Aim {
    left_max: 0.1,
    because: None,
    grace: GRACE,
    may_stop: &[],
};

/// A client that is cut at each poll is away for 1.5 s and there for half a second, on average: the
/// next poll is 0.5 s away, wherever between two polls it comes. 0.5 of 2 s are a quarter, and some
/// more for what the server takes to close a connection.
const BACK_AT_ONCE: Aim = Aim {
    left_max: 0.3,
    because: Some(
        "they are back 1 to 2 s after each disconnect, and the next poll is half a second away",
    ),
    ..TENTH
};

const TAGS: &[&str] = &["hostile-name"];

impl Attack {
    /// What must come of it.
    pub const fn aim(self) -> Aim {
        match self {
            // Nobody attacks, or it is over before anybody could act, or subscriptions must be made
            // again after each disconnect.
            Self::Household
            | Self::LoadBalancer
            | Self::Monitor
            | Self::BriefNeighbour
            | Self::BriefNeighbourV6 => TENTH,
            Self::TagsOnce | Self::TagsForever | Self::BudgetDrain => Aim {
                may_stop: TAGS,
                ..BACK_AT_ONCE
            },
            // By errors alone it cannot be told from a wallet's bad day before 200 of them, at four a
            // second.
            Self::ErrorDecoys => Aim {
                grace: Duration::from_secs(30 + 50),
                ..BACK_AT_ONCE
            },
            Self::Housemate
            | Self::BalancerHog
            | Self::HogNeighbours
            | Self::TorHog
            | Self::TorHogs
            | Self::Outnumbered
            | Self::PollDodgers
            | Self::ThirtySubnets
            | Self::ErrorsBelow
            | Self::AllBelow
            | Self::ReconnectingHogs
            | Self::RenamingHogs
            | Self::Sleepers => BACK_AT_ONCE,
        }
    }
}
