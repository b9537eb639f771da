//! How often the policies on standing heights fire by chance, in a year, while nothing is wrong.
//!
//! Blocks are a Poisson process and reach two daemons late; the core is the agent's own, with the
//! policies that ship. Beside each count stands what theory expects of it. Real block times differ
//! in what is varied here, the hash rate's drift, and in nothing else that is known. A number says
//! for how many years: `cargo bench --bench false_alarms -- 100`.

#![expect(clippy::unwrap_used, reason = "a bench")]

use std::process::ExitCode;
use std::time::Duration;

use electrumx_warden::daemon::{BlockHash, Chain, Index, Report, Round, Work};
use electrumx_warden::decision::{Epoch, Outcome};
use electrumx_warden::limits::Verdict;
use electrumx_warden::policy::{Mode, PolicySet, Source, check};
use electrumx_warden::snapshot::{Server, Snapshot, Span};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use electrumx_warden::watch::{self, Counts};

const POLL_S: f64 = 60.0;
const YEAR_POLLS: u32 = 525_960;
const YEARS: u32 = 20;
/// A block takes this long to a daemon at the most.
const DELAY_MAX_S: f64 = 60.0;
/// The difficulty stays as it is for so many blocks.
const PERIOD: u64 = 2_016;
const ODDS: f64 = 1e-5;
/// Beyond so many standard deviations from theory it is no chance.
const SIGMAS_MAX: f64 = 4.0;

const ADDRESSES: [&str; 2] = ["10.0.0.1:8332", "10.0.0.2:8332"];

/// What one would write without odds; two alarms of one standstill are counted as one.
const FIXED: &str = r#"
[[policy]]
name = "fixed-1h"
scope = "server"
when = { daemon_stalled = "> 60m" }
action = "alert"

[[policy]]
name = "fixed-3h"
scope = "server"
when = { daemon_stalled = "> 3h" }
action = "alert"
"#;

const POLICIES: [&str; 5] = [
    "fixed-1h",
    "fixed-3h",
    "chain-silent",
    "blocks-held-up",
    "failover",
];

struct Scene {
    coin: &'static str,
    /// What the odds are reckoned by, and between what the mean of a period really lies.
    block_time_s: f64,
    drift_s: (f64, f64),
}

const SCENES: [Scene; 4] = [
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

fn main() -> ExitCode {
    println!(
        "{:<12} | {:>9} | {:>5} | {:<14} | {:>8} | {:>8}",
        "coin", "mean", "years", "policy", "a year", "expected"
    );
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let years: u32 = asked.unwrap_or(YEARS);
    let mut is_chance = true;
    for (seed, scene) in (1..).zip(&SCENES) {
        let counts = World::new(scene, seed).run(years);
        let (low, high) = scene.drift_s;
        let mean = if low < high {
            format!("{low}-{high} s")
        } else {
            format!("{low} s")
        };
        for (policy, count) in POLICIES.iter().zip(counts) {
            let years = f64::from(years);
            let expected = expected(scene, policy);
            println!(
                "{:<12} | {mean:>9} | {years:>5} | {policy:<14} | {:>8.3} | {expected:>8.3}",
                scene.coin,
                count as f64 / years
            );
            let off = (count as f64 - expected * years).abs();
            is_chance &=
                off <= SIGMAS_MAX * (expected * years).sqrt().max(f64::from(expected > 0.0));
        }
    }
    if is_chance {
        ExitCode::SUCCESS
    } else {
        eprintln!("a count is further from its expectation than chance takes it");
        ExitCode::FAILURE
    }
}

/// Standstills a year that a policy fires at. A standstill begins at the first poll with a new
/// height; it is seen to have lasted too long at the first poll at which it has, and what is to come
/// does not depend on what was.
fn expected(scene: &Scene, policy: &str) -> f64 {
    let threshold_s = match policy {
        "fixed-1h" => 3_600.0,
        "fixed-3h" => 3.0 * 3_600.0,
        "chain-silent" => -ODDS.ln() * scene.block_time_s,
        _ => return 0.0,
    };
    let polls = (threshold_s / POLL_S).floor() + 1.0;
    let (low, high) = scene.drift_s;
    let steps = 1_000;
    // Periods of a longer mean last longer: by time, not by period.
    let (mut sum, mut weight) = (0.0, 0.0);
    for step in 0..steps {
        let mean = low + (high - low) * (f64::from(step) + 0.5) / f64::from(steps);
        let begins = (1.0 - (-POLL_S / mean).exp()) / POLL_S;
        sum += mean * begins * (-polls * POLL_S / mean).exp();
        weight += mean;
    }
    f64::from(YEAR_POLLS) * POLL_S * sum / weight
}

/// A server, two daemons that do well, and the core.
struct World<'a> {
    scene: &'a Scene,
    rng: fastrand::Rng,
    warden: Warden,
    snapshot: Snapshot,
    now_s: f64,
    next_s: f64,
    mean_s: f64,
    height: u64,
    /// When each daemon has the last block.
    arrives_s: [f64; 2],
    counts: [u64; POLICIES.len()],
    /// The height at which each policy fired last.
    fired: [u64; POLICIES.len()],
}

impl<'a> World<'a> {
    fn new(scene: &'a Scene, seed: u64) -> Self {
        let settings = Settings {
            mode: Mode::Enforce,
            daemons: watch::Settings {
                addresses: ADDRESSES.map(Into::into).to_vec(),
                // Probed at each poll.
                counts: Counts { rise: 3, fall: 2 },
                ..watch::Settings::default()
            },
            ..Settings::default()
        };
        Self {
            scene,
            rng: fastrand::Rng::with_seed(seed),
            warden: Warden::new(policies(), settings),
            snapshot: Snapshot {
                epoch: Epoch(1),
                server: Server {
                    version: Some("ElectrumX 1.20.0".into()),
                    coin: Some(scene.coin.into()),
                    daemon: Some(ADDRESSES[0].into()),
                    pid: Some(1),
                    ..Server::default()
                },
                ..Snapshot::default()
            },
            now_s: 0.0,
            next_s: 0.0,
            mean_s: scene.block_time_s,
            height: 800_000,
            arrives_s: [0.0; 2],
            counts: [0; POLICIES.len()],
            fired: [0; POLICIES.len()],
        }
    }

    fn run(mut self, years: u32) -> [u64; POLICIES.len()] {
        for _ in 0..u64::from(years) * u64::from(YEAR_POLLS) {
            self.now_s += POLL_S;
            while self.next_s <= self.now_s {
                self.find_block();
            }
            self.poll();
        }
        self.counts
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

    fn poll(&mut self) {
        let now = Timestamp::from_millis(1_800_000_000_000) + Duration::from_secs_f64(self.now_s);
        let heights = self
            .arrives_s
            .map(|arrives_s| self.height - u64::from(arrives_s > self.now_s));
        let read = Span {
            asked: now,
            answered: now,
        };
        let server = &mut self.snapshot.server;
        (server.daemon_height, server.db_height) = (Some(heights[0]), Some(heights[0]));
        (self.snapshot.server_read, self.snapshot.sessions_read) = (read, read);
        self.snapshot.rounds = vec![round(now, heights)];
        self.warden.observe(&self.snapshot);
        let judgement = self.warden.judge(&self.snapshot);
        for ruling in judgement.rulings {
            let Verdict::Permitted { .. } = ruling.verdict else {
                continue;
            };
            let policy = &ruling.decision.policy;
            let index = POLICIES.iter().position(|name| **name == **policy).unwrap();
            if self.fired[index] != heights[0] {
                self.fired[index] = heights[0];
                self.counts[index] += 1;
            }
            let (decision, at) = (&ruling.decision, ruling.decision.at);
            let detail = "daemon set".to_owned();
            let outcome = Outcome::Executed { detail };
            self.warden.settle(decision, &outcome, 0, at);
        }
    }
}

fn round(at: Timestamp, heights: [u64; 2]) -> Round {
    let chain = |height: u64| Chain {
        name: "main".into(),
        height,
        headers: height,
        tip: hash(height),
        work: Work::from_bytes(bytes(height)),
        is_initial_download: false,
        is_pruned: false,
        hashes: (Round::heights(heights, height).into_iter())
            .map(|height| (height, hash(height)))
            .collect(),
        indexes: Some(vec![Index {
            name: "txindex".into(),
            is_synced: true,
        }]),
    };
    let reports = heights.map(|height| Report {
        heard: Ok(chain(height)),
        took: Duration::from_millis(1),
    });
    Round {
        at,
        reports: reports.into(),
    }
}

fn hash(height: u64) -> BlockHash {
    BlockHash::from_bytes(bytes(height))
}

fn bytes(height: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&height.to_be_bytes());
    bytes
}

/// The files that ship, and the fixed times.
fn policies() -> PolicySet {
    let texts = [
        include_str!("../policies/heights.toml"),
        include_str!("../policies/daemons.toml"),
        FIXED,
    ];
    let sources = texts.iter().zip(["heights", "daemons", "fixed"]);
    let sources = sources.map(|(text, name)| Source {
        name: format!("{name}.toml"),
        text: (*text).to_owned(),
    });
    check(sources.collect(), &mut |_| unreachable!("none has a list"))
        .set
        .unwrap()
}
