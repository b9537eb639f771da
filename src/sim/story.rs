//! Worlds ready made: the demo's story, the same without abusers, and a large quiet one.

use std::time::Duration;

use super::chain::Stall;
use super::habit::Kind;
use super::release::Release;
use super::world::World;

/// How long the story lasts. Whoever comes last has been abusive for more than two minutes by
/// then, and the last stall has lasted as long as it is going to.
pub const STORY: Duration = Duration::from_mins(10);

/// Honest people: here from the beginning, and coming later.
const HONEST: [(Kind, u32, u32); 6] = [
    (Kind::LightWallet, 45, 15),
    (Kind::HeavyWallet, 12, 8),
    (Kind::Merchant, 25, 0),
    (Kind::TorUser, 14, 6),
    (Kind::NatWallet, 11, 4),
    (Kind::MobileWallet, 7, 3),
];

/// Abusers, and the second at which each first connects. The first minute is quiet, so that
/// whoever watches knows what is normal.
const ABUSIVE: [(Kind, &[u64]); 5] = [
    (Kind::ErrorFlood, &[60, 120, 185, 250, 320, 390]),
    (Kind::BandwidthHog, &[75, 160, 270]),
    (Kind::OddName, &[65, 95, 150, 205, 260, 330, 400]),
    (Kind::QuickReconnector, &[85, 140, 215, 300, 375]),
    (Kind::SubscriptionHoarder, &[105, 175, 285, 380]),
];

/// The server's index stands still for the first of these, its first daemon for the second.
const STALLS: [(Stall, u64, u64); 2] = [(Stall::Index, 60, 280), (Stall::Daemon, 330, 600)];

impl World {
    /// The demo's story, of length [`STORY`]: about 150 honest people, 25 abusers of every kind,
    /// an index that stands still and a daemon that does.
    pub fn story(release: Release, seed: u64) -> Self {
        let mut world = Self::honest(release, seed);
        for (kind, times) in ABUSIVE {
            for at in times {
                world.invite(kind, Duration::from_secs(*at));
            }
        }
        for (stall, from, until) in STALLS {
            world.stall(stall, Duration::from_secs(from), Duration::from_secs(until));
        }
        world
    }

    /// The story's honest people alone: nobody here should ever be disconnected.
    pub fn honest(release: Release, seed: u64) -> Self {
        let mut world = Self::empty(release, seed);
        let mut here = Vec::new();
        for (kind, now, later) in HONEST {
            for _ in 0..now {
                here.push(world.invite(kind, Duration::ZERO));
            }
            for _ in 0..later {
                let at = 5.0 + world.rng().f64() * 500.0;
                world.invite(kind, Duration::from_secs_f64(at));
            }
        }
        world.backdate(&here, Duration::from_hours(20));
        world
    }

    /// A server with so many steady sessions, for benches.
    pub fn big(release: Release, sessions: u32, seed: u64) -> Self {
        let mut world = Self::empty(release, seed);
        let here: Vec<_> = (0..sessions)
            .map(|i| {
                let kind = match i % 20 {
                    0 => Kind::HeavyWallet,
                    1..=4 => Kind::Merchant,
                    5 | 6 => Kind::TorUser,
                    _ => Kind::LightWallet,
                };
                world.invite(kind, Duration::ZERO)
            })
            .collect();
        world.backdate(&here, Duration::from_hours(20));
        world
    }
}
