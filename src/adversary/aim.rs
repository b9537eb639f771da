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

/// A client that is cut is away for 1.5 s on average. The next poll is 0.5 s away, wherever between two
/// polls it comes back, and often it has done nothing yet then: it could be a neighbour, so that it goes
/// at the poll after that. 0.7 of 2.2 s are a third, and one seed needs some more.
const BACK_AT_ONCE: Aim = Aim {
    left_max: 0.4,
    because: Some("they are back 1 to 2 s after each disconnect, and must be seen at it again"),
    ..TENTH
};

/// Nobody can tell which user of Tor is back: each return is watched from its beginning, for as long as
/// the policy's window and hold time take.
const BEHIND_TOR: Aim = Aim {
    left_max: 0.9,
    because: Some("a user of Tor who is back cannot be told from any other"),
    ..TENTH
};

/// Every second who comes takes up what the hog did, and is spared at its own pace; the hog's next return
/// is watched from its beginning then.
const AMONG_NAMESAKES: Aim = Aim {
    left_max: 0.65,
    because: Some("others of its address and name come as often, and nobody can tell who is back"),
    ..TENTH
};

/// Whoever has behaved for an hour is a regular: until each has been disconnected once, no more go than
/// of regulars may.
const AMONG_REGULARS: Aim = Aim {
    left_max: 0.72,
    because: Some("they are regulars, of whom no more than 30 a minute are disconnected"),
    ..TENTH
};

/// Whoever leaves by itself before anything has held is found by its brief sessions, a minute later.
const RECONNECTING: Aim = Aim {
    left_max: 0.6,
    because: Some("who reconnects by itself is found after a minute, by its brief sessions"),
    ..TENTH
};

/// The same of many whose part in it shows at once.
const FOUND_AT_ONCE: Aim = Aim {
    left_max: 0.36,
    ..BACK_AT_ONCE
};

/// Hogs at 1.4 times the threshold take longer to be seen at it.
const BARELY_ABOVE: Aim = Aim {
    left_max: 0.5,
    ..BACK_AT_ONCE
};

/// Whoever is evicted is back a second later, and the listeners are closed until the next poll.
const SHORT_OF_SLOTS: Aim = Aim {
    left_max: 0.2,
    because: Some("who is evicted is back at once, and takes slots until the next poll"),
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
                ..FOUND_AT_ONCE
            },
            // Which session made errors is known some polls later, when it was asked about.
            Self::ErrorDecoys => Aim {
                left_max: 0.5,
                because: Some("a session's errors are known only after it was inspected"),
                ..TENTH
            },
            Self::SlotFlood => SHORT_OF_SLOTS,
            Self::TorHog | Self::TorHogs => BEHIND_TOR,
            Self::CarrierHog => AMONG_NAMESAKES,
            Self::Sleepers => AMONG_REGULARS,
            Self::ReconnectingHogs | Self::RenamingHogs => RECONNECTING,
            Self::Outnumbered
            | Self::BalancerHog
            | Self::HogNeighbours
            | Self::HogDecoys
            | Self::PollDodgers => FOUND_AT_ONCE,
            Self::ThirtySubnets => BARELY_ABOVE,
            Self::Housemate | Self::ErrorsBelow | Self::AllBelow => BACK_AT_ONCE,
        }
    }
}
