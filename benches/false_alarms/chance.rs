//! Blocks of a Poisson process, which reach two daemons late. Beside each count stands what theory
//! expects of it.

use std::time::Duration;

use electrumx_warden::time::Timestamp;
use electrumx_warden::watch::{Counts, Settings};

use crate::chain::{Blocks, Log, Tip, World, policies};
use crate::{FIXED, YEAR_S};

const POLL_S: f64 = 60.0;
const YEAR_POLLS: u32 = 525_960;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// A block takes this long to a daemon at the most.
const DELAY_MAX_S: f64 = 60.0;
/// The difficulty stays as it is for so many blocks.
const PERIOD: u64 = 2_016;
const ODDS: f64 = 1e-5;
/// Beyond so many standard deviations from theory it is no chance.
const SIGMAS_MAX: f64 = 4.0;

const POLICIES: [&str; 5] = [
    "fixed-1h",
    "fixed-3h",
    "chain-silent",
    "blocks-held-up",
    "failover",
];

pub(crate) struct Scene {
    coin: &'static str,
    /// What the odds are reckoned by, and between what the mean of a period really lies.
    pub(crate) block_time_s: f64,
    drift_s: (f64, f64),
}

pub(crate) const SCENES: [Scene; 4] = [
    Scene {
        coin: "Bitcoin",
        block_time_s: 600.0,
        drift_s: (600.0, 600.0),
    },
    Scene {
        coin: "Bitcoin",
        block_time_s: 600.0,
        drift_s: (570.0, 640.0),
    },
    Scene {
        coin: "Litecoin",
        block_time_s: 150.0,
        drift_s: (150.0, 150.0),
    },
    Scene {
        coin: "Groestlcoin",
        block_time_s: 60.0,
        drift_s: (60.0, 60.0),
    },
];

/// Whether all counts are as theory has them.
pub(crate) fn run(years: u32) -> bool {
    println!(
        "{:<12} | {:>9} | {:>5} | {:<14} | {:>8} | {:>8}",
        "coin", "mean", "years", "policy", "a year", "expected"
    );
    let mut is_chance = true;
    for (seed, scene) in (1..).zip(&SCENES).filter(|_| years > 0) {
        let log = run_by_chance(scene, seed, years);
        let (low, high) = scene.drift_s;
        let mean = if low < high {
            format!("{low}-{high} s")
        } else {
            format!("{low} s")
        };
        for policy in POLICIES {
            let count = (log.alerts_of(policy) + log.changes_of(policy)) as f64;
            let years = f64::from(years);
            let expected = scene.expected(policy, POLL_S);
            println!(
                "{:<12} | {mean:>9} | {years:>5} | {policy:<14} | {:>8.3} | {expected:>8.3}",
                scene.coin,
                count / years
            );
            let off = (count - expected * years).abs();
            is_chance &=
                off <= SIGMAS_MAX * (expected * years).sqrt().max(f64::from(expected > 0.0));
        }
    }
    is_chance
}

fn run_by_chance(scene: &Scene, seed: u64, years: u32) -> Log {
    let settings = Settings {
        // Probed at each poll.
        counts: Counts { rise: 3, fall: 2 },
        ..Settings::default()
    };
    let blocks = Chance::new(scene, seed);
    let mut world = World::new(blocks, scene.coin, policies(FIXED), settings);
    let mut now = START;
    for _ in 0..u64::from(years) * u64::from(YEAR_POLLS) {
        now = now + Duration::from_secs_f64(POLL_S);
        world.poll(now);
    }
    world.log
}

impl Scene {
    /// Standstills a year that a policy fires at. A standstill begins at the first poll with a new
    /// height; it is seen to have lasted too long at the first poll at which it has, and what is to come
    /// does not depend on what was.
    pub(crate) fn expected(&self, policy: &str, poll_s: f64) -> f64 {
        let threshold_s = match policy {
            "fixed-1h" => 3_600.0,
            "fixed-3h" => 3.0 * 3_600.0,
            "chain-silent" => -ODDS.ln() * self.block_time_s,
            _ => return 0.0,
        };
        let polls = (threshold_s / poll_s).floor() + 1.0;
        let (low, high) = self.drift_s;
        let steps = 1_000;
        // Periods of a longer mean last longer: by time, not by period.
        let (mut sum, mut weight) = (0.0, 0.0);
        for step in 0..steps {
            let mean = low + (high - low) * (f64::from(step) + 0.5) / f64::from(steps);
            let begins = (1.0 - (-poll_s / mean).exp()) / poll_s;
            sum += mean * begins * (-polls * poll_s / mean).exp();
            weight += mean;
        }
        YEAR_S * sum / weight
    }
}

/// Blocks of a Poisson process, which reach both daemons late.
struct Chance<'a> {
    scene: &'a Scene,
    rng: fastrand::Rng,
    next_s: f64,
    mean_s: f64,
    height: u64,
    /// When each daemon has the last block.
    arrives_s: [f64; 2],
}

impl<'a> Chance<'a> {
    fn new(scene: &'a Scene, seed: u64) -> Self {
        Self {
            scene,
            rng: fastrand::Rng::with_seed(seed),
            next_s: 0.0,
            mean_s: scene.block_time_s,
            height: 800_000,
            arrives_s: [0.0; 2],
        }
    }

    fn find_block(&mut self) {
        self.height += 1;
        if self.height.is_multiple_of(PERIOD) {
            let (low, high) = self.scene.drift_s;
            self.mean_s = low + (high - low) * self.rng.f64();
        }
        // The server's own daemon is the one with the block first or last, as it comes.
        for arrives_s in &mut self.arrives_s {
            *arrives_s = self.next_s + DELAY_MAX_S * self.rng.f64().powi(3);
        }
        self.next_s -= self.mean_s * (1.0 - self.rng.f64()).ln();
    }
}

impl Blocks for Chance<'_> {
    fn tips(&mut self, at: Timestamp) -> [Option<Tip>; 2] {
        let now_s = at.since(START).as_secs_f64();
        while self.next_s <= now_s {
            self.find_block();
        }
        self.arrives_s
            .map(|arrives_s| Some(Tip::main(self.height - u64::from(arrives_s > now_s))))
    }
}
