//! What each kind of client does, in numbers.
//!
//! Rates are per session and per second; the actor scales them a little, so that no two are alike.
//! The margins are wide on purpose: whatever a sensible threshold is, the honest stay well below
//! it and the abusive well above.
//!
//! | per session           | honest at most            | abusive at least        |
//! |-----------------------|---------------------------|-------------------------|
//! | errors                | 1 in half an hour         | 21 a second             |
//! | sent                  | 110 kB/s for 45 s         | 1.4 MiB/s by a subnet   |
//! | subscriptions         | 2,000                     | 10,000 within 15 s      |
//! | pending requests      | 12                        | 200                     |
//! | below 30 s, address   | none                      | 13 a minute             |
//! | below 30 s, subnet    | none                      | 150 a minute            |

use super::session::Method;

/// What a client is at bottom. Honest kinds come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person's wallet: a short burst on connecting, then a ping now and then.
    LightWallet,
    /// Thousands of addresses: most of a minute of heavy traffic on connecting, then quiet.
    HeavyWallet,
    /// A shop's server, connected for days and hardly ever heard of.
    Merchant,
    /// One of many who all come from 127.0.0.1 through a local Tor or proxy.
    TorUser,
    /// One of several wallets in an office, all out of one /24.
    NatWallet,
    /// A telephone that comes and goes every few minutes.
    MobileWallet,
    /// Sends tens of failing requests a second. Comes back twice.
    ErrorFlood,
    /// Several sessions out of one subnet that pull megabytes a second. Each comes back once.
    BandwidthHog,
    /// Gives a name made to hurt a terminal or a page, or a known scraper's. Comes back twice.
    OddName,
    /// One address, or many of one subnet, that stay for a second or two, over and over, before
    /// any limit of a session bites. Each address gives up at its third disconnect.
    QuickReconnector,
    /// Subscribes to tens of thousands of addresses, hundreds of requests under way. Comes back
    /// once.
    SubscriptionHoarder,
}

impl Kind {
    /// Every kind, honest ones first.
    pub const ALL: [Self; 11] = [
        Self::LightWallet,
        Self::HeavyWallet,
        Self::Merchant,
        Self::TorUser,
        Self::NatWallet,
        Self::MobileWallet,
        Self::ErrorFlood,
        Self::BandwidthHog,
        Self::OddName,
        Self::QuickReconnector,
        Self::SubscriptionHoarder,
    ];

    /// True for those whom nobody should disconnect.
    pub fn is_honest(self) -> bool {
        self < Self::ErrorFlood
    }

    /// In plain words, singular: `error flood`.
    pub fn label(self) -> &'static str {
        match self {
            Self::LightWallet => "light wallet",
            Self::HeavyWallet => "heavy wallet",
            Self::Merchant => "merchant",
            Self::TorUser => "Tor user",
            Self::NatWallet => "wallet behind NAT",
            Self::MobileWallet => "mobile wallet",
            Self::ErrorFlood => "error flood",
            Self::BandwidthHog => "bandwidth hog",
            Self::OddName => "odd client name",
            Self::QuickReconnector => "quick reconnector",
            Self::SubscriptionHoarder => "subscription hoarder",
        }
    }

    /// How often a client of this kind comes back after being disconnected. The honest always do.
    pub fn returns(self) -> u32 {
        match self {
            Self::ErrorFlood | Self::OddName | Self::QuickReconnector => 2,
            Self::BandwidthHog | Self::SubscriptionHoarder => 1,
            _ => u32::MAX,
        }
    }
}

/// A steady flow of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) requests: f64,
    pub(super) request_bytes: f64,
    pub(super) reply_bytes: f64,
    pub(super) method: Method,
    pub(super) errors: f64,
    pub(super) subs: f64,
    pub(super) txs: f64,
    /// Least and most requests under way.
    pub(super) pending: (u64, u64),
}

pub(super) const SILENT: Flow = Flow {
    requests: 0.0,
    request_bytes: 110.0,
    reply_bytes: 400.0,
    method: Method::Ping,
    errors: 0.0,
    subs: 0.0,
    txs: 0.0,
    pending: (0, 0),
};

/// A client's doings over time. Times in seconds, as least and most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// How long after connecting the first flow lasts.
    pub(super) lead_s: f64,
    pub(super) lead: Flow,
    /// Everything after that. For the abusive, the abuse.
    pub(super) then: Flow,
    pub(super) subs_max: u64,
    /// How long a visit lasts; without it the client stays for good.
    pub(super) stay_s: Option<(f64, f64)>,
    /// Between visits.
    pub(super) away_s: (f64, f64),
    /// Between being disconnected and coming back.
    pub(super) sulk_s: (f64, f64),
    /// How often each of its sessions comes by itself, before it stays away for good.
    pub(super) visits: u32,
}

/// Connecting as a small wallet does: 8 kB/s for eight seconds.
const GREETING: Flow = Flow {
    requests: 12.0,
    reply_bytes: 600.0,
    method: Method::History,
    subs: 5.0,
    pending: (0, 3),
    ..SILENT
};

/// A ping every 20 seconds; half an hour without an error.
pub(super) const PINGS: Flow = Flow {
    requests: 0.05,
    errors: 0.000_5,
    txs: 0.000_2,
    ..SILENT
};

pub(super) const LIGHT: Habits = Habits {
    lead_s: 8.0,
    lead: GREETING,
    then: PINGS,
    subs_max: 40,
    stay_s: None,
    away_s: (0.0, 0.0),
    sulk_s: (5.0, 15.0),
    visits: u32::MAX,
};

impl Habits {
    pub(super) fn of(kind: Kind) -> Self {
        if kind.is_honest() {
            Self::honest(kind)
        } else {
            Self::abusive(kind)
        }
    }

    fn honest(kind: Kind) -> Self {
        match kind {
            Kind::HeavyWallet => Self {
                lead_s: 45.0,
                lead: Flow {
                    requests: 60.0,
                    reply_bytes: 1_200.0,
                    subs: 45.0,
                    pending: (2, 12),
                    ..GREETING
                },
                then: Flow {
                    requests: 0.5,
                    reply_bytes: 800.0,
                    ..PINGS
                },
                subs_max: 2_000,
                ..LIGHT
            },
            Kind::Merchant => Self {
                lead_s: 4.0,
                lead: Flow {
                    subs: 60.0,
                    ..GREETING
                },
                then: Flow {
                    requests: 0.03,
                    txs: 0.005,
                    ..PINGS
                },
                subs_max: 200,
                ..LIGHT
            },
            Kind::NatWallet => Self {
                then: Flow {
                    requests: 0.2,
                    reply_bytes: 2_000.0,
                    ..PINGS
                },
                ..LIGHT
            },
            Kind::MobileWallet => Self {
                stay_s: Some((40.0, 150.0)),
                away_s: (30.0, 120.0),
                ..LIGHT
            },
            _ => LIGHT,
        }
    }

    fn abusive(kind: Kind) -> Self {
        match kind {
            Kind::ErrorFlood => Self {
                lead_s: 10.0,
                then: Flow {
                    requests: 2.0,
                    errors: 25.0,
                    pending: (0, 5),
                    ..SILENT
                },
                sulk_s: (20.0, 40.0),
                ..LIGHT
            },
            Kind::BandwidthHog => Self {
                lead_s: 4.0,
                then: Flow {
                    requests: 35.0,
                    reply_bytes: 4_700.0,
                    method: Method::Block,
                    pending: (1, 8),
                    ..SILENT
                },
                sulk_s: (25.0, 35.0),
                ..LIGHT
            },
            Kind::OddName => Self {
                lead_s: 0.0,
                then: Flow {
                    requests: 3.0,
                    method: Method::Transaction,
                    ..SILENT
                },
                sulk_s: (10.0, 20.0),
                ..LIGHT
            },
            Kind::QuickReconnector => Self {
                lead_s: 0.0,
                lead: SILENT,
                then: Flow {
                    requests: 2.0,
                    reply_bytes: 900.0,
                    ..SILENT
                },
                subs_max: 0,
                stay_s: Some((1.0, 2.0)),
                away_s: (1.0, 2.0),
                sulk_s: (3.0, 6.0),
                ..LIGHT
            },
            _ => Self {
                lead_s: 5.0,
                then: Flow {
                    requests: 1.0,
                    subs: 800.0,
                    pending: (200, 800),
                    ..SILENT
                },
                subs_max: 40_000,
                sulk_s: (30.0, 40.0),
                ..LIGHT
            },
        }
    }
}
