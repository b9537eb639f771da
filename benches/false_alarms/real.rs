//! The recorded block times of two real nodes: what the agent would have done, with each of them as
//! the primary, by `propagation`.

use std::time::Duration;

use electrumx_warden::time::Timestamp;
use electrumx_warden::watch::Settings;

use crate::chain::recorded::{POLL, Primary, Recorded, play};
use crate::chain::{Blocks, Log, Tip, World, policies};
use crate::chance::SCENES;
use crate::{FIXED, YEAR_S};

/// Beside the default.
const PROPAGATIONS_S: [u64; 5] = [30, 60, 120, 300, 600];

const ODDS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];

/// So many times a daemon gets stuck.
const STUCK_TIMES: u32 = 200;

pub(crate) fn run() {
    let recorded = Recorded::load(Primary::NodeA);
    let span = recorded.span();
    let years = span.end.since(span.start).as_secs_f64() / YEAR_S;
    println!("\nrecorded block times of two nodes, {years:.2} years");
    print_gaps(&recorded);
    print_late(&recorded);
    print_stuck(&recorded);
    let logs = print_policies(years);
    for (primary, log) in logs {
        println!(
            "\n{} is the primary, propagation by the coin",
            primary.name()
        );
        print_acts(&log);
    }
}

/// Blocks come at random if they stand still as often as the odds say.
fn print_gaps(recorded: &Recorded) {
    println!("\nblocks that came later than the odds, of each node's own; expected by chance");
    for odds in ODDS {
        let after_s = -odds.ln() * SCENES[0].block_time_s;
        for (daemon, node) in ["node A", "node B"].iter().enumerate() {
            let over = |gap: &Duration| gap.as_secs_f64() > after_s;
            let count = recorded.gaps(daemon).filter(over).count();
            let expected = recorded.gaps(daemon).count() as f64 * odds;
            let percent = 100.0 * odds;
            println!("{percent:>7}% | {after_s:>6.0} s | {node} | {count:>4} | {expected:>6.1}");
        }
    }
}

fn print_late(recorded: &Recorded) {
    let late = recorded.late();
    println!(
        "\nblocks that one node had more than a minute after the other: {}",
        late.len()
    );
    for (daemon, node) in ["node A", "node B"].iter().enumerate() {
        let own = || late.iter().filter(|late| late.daemon == daemon);
        let after_outage = own().filter(|late| late.is_after_outage).count();
        let online = || own().filter(|late| !late.is_after_outage);
        let longest = online().map(|late| late.by().as_secs()).max();
        let timed_out = online().filter(|late| (590..=630).contains(&late.by().as_secs()));
        println!(
            "{node} | {:>2} late | {after_outage:>2} after an outage | {:>2} by 590 to 630 s | \
             longest without an outage {} s",
            own().count(),
            timed_out.count(),
            longest.unwrap_or_default(),
        );
    }
}

fn print_policies(years: f64) -> Vec<(Primary, Log)> {
    let expected = |policy| SCENES[0].expected(policy, POLL.as_secs_f64());
    println!(
        "\na year; a Poisson process: fixed-1h {:.1}, chain-silent {:.2}, others 0",
        expected("fixed-1h"),
        expected("chain-silent"),
    );
    println!(
        "{:<7} | {:>11} | falls A | falls B | failover | failback | fixed-1h | chain-silent | \
         blocks-held-up | primary-unhealthy",
        "primary", "propagation"
    );
    let mut logs = Vec::new();
    for propagation in propagations() {
        let both = std::thread::scope(|scope| {
            let runs = [Primary::NodeA, Primary::NodeB].map(|primary| {
                (
                    primary,
                    scope.spawn(move || nine_months(primary, propagation)),
                )
            });
            runs.map(|(primary, run)| (primary, run.join().unwrap()))
        });
        for (primary, log) in both {
            print_row(years, primary, propagation, &log);
            if propagation.is_none() {
                logs.push((primary, log));
            }
        }
    }
    logs
}

fn nine_months(primary: Primary, propagation: Option<Duration>) -> Log {
    let settings = Settings {
        propagation,
        ..Settings::default()
    };
    let recorded = Recorded::load(primary);
    let span = recorded.span();
    let mut world = World::new(recorded, "Bitcoin", policies(FIXED), settings);
    play(&mut world, span);
    world.log
}

fn print_row(years: f64, primary: Primary, propagation: Option<Duration>, log: &Log) {
    let a_year = |count: usize| count as f64 / years;
    let [a, b] = primary.order().map(|node| a_year(log.falls[node].len()));
    println!(
        "{:<7} | {:>11} | {a:>7.1} | {b:>7.1} | {:>8.1} | {:>8.1} | {:>8.1} | {:>12.1} | {:>14.1} \
         | {:>17.1}",
        primary.name(),
        name(propagation),
        a_year(log.changes_of("failover")),
        a_year(log.changes_of("failback")),
        a_year(log.alerts_of("fixed-1h")),
        a_year(log.alerts_of("chain-silent")),
        a_year(log.alerts_of("blocks-held-up")),
        a_year(log.alerts_of("primary-unhealthy")),
    );
}

/// The default first.
fn propagations() -> impl Iterator<Item = Option<Duration>> {
    let by_time = PROPAGATIONS_S.map(|seconds| Some(Duration::from_secs(seconds)));
    std::iter::once(None).chain(by_time)
}

fn name(propagation: Option<Duration>) -> String {
    propagation.map_or("by the coin".into(), |time| format!("{} s", time.as_secs()))
}

fn print_acts(log: &Log) {
    for change in &log.changes {
        let later = change.caught_up.map(|at| at.since(change.at).as_secs());
        println!(
            "{} {}, {} blocks ahead; the daemon left had them {} later",
            change.at,
            change.policy,
            change.blocks,
            later.map_or("no time".into(), |seconds| format!("{seconds} s")),
        );
    }
    for alert in &log.alerts {
        if !alert.policy.starts_with("fixed") {
            println!("{} {}", alert.at, alert.policy);
        }
    }
}

/// A daemon that answers, and gets no block any more.
struct Stuck {
    blocks: Recorded,
    from: Timestamp,
    last: Option<Tip>,
}

impl Blocks for Stuck {
    fn tips(&mut self, at: Timestamp) -> [Option<Tip>; 2] {
        let [mut primary, backup] = self.blocks.tips(at);
        if at < self.from {
            self.last = primary;
        } else {
            primary = self.last;
        }
        [primary, backup]
    }
}

/// The price of a longer `propagation`: a daemon that is stuck is left later.
fn print_stuck(recorded: &Recorded) {
    println!("\nthe primary gets stuck, {STUCK_TIMES} times; minutes until it is left");
    for propagation in propagations() {
        let mut minutes: Vec<f64> = (1..=STUCK_TIMES)
            .filter_map(|time| until_left(recorded, time, propagation))
            .map(|time| time.as_secs_f64() / 60.0)
            .collect();
        minutes.sort_by(f64::total_cmp);
        println!(
            "{:>11} | {:>3} left | median {:>5.1} | mean {:>5.1} | longest {:>5.1}",
            name(propagation),
            minutes.len(),
            minutes[minutes.len() / 2],
            minutes.iter().sum::<f64>() / minutes.len() as f64,
            minutes[minutes.len() - 1],
        );
    }
}

fn until_left(recorded: &Recorded, time: u32, propagation: Option<Duration>) -> Option<Duration> {
    const WARM_UP: Duration = Duration::from_secs(1_800);
    const AT_MOST: Duration = Duration::from_secs(12 * 3_600);
    let span = recorded.span();
    let from = span.start + span.end.since(span.start) / (STUCK_TIMES + 1) * time;
    let stuck = Stuck {
        blocks: recorded.clone(),
        from,
        last: None,
    };
    let settings = Settings {
        propagation,
        ..Settings::default()
    };
    let mut world = World::new(stuck, "Bitcoin", policies(FIXED), settings);
    play(&mut world, from - WARM_UP..from);
    let mut now = from;
    while world.log.changes.is_empty() && now.since(from) < AT_MOST {
        world.poll(now);
        now = now + POLL;
    }
    let change = world
        .log
        .changes
        .iter()
        .find(|it| &*it.policy == "failover");
    change.map(|change| change.at.since(from))
}
