//! How well bans hold: twenty of each of five kinds of abusers beside sixty honest clients, without the agent, with
//! it and the `LocalRPC` alone, and with nftables.
//!
//! `WARDEN_HELD_S=60` makes each part a minute, of which the second half counts, and plays other servers too;
//! `--nocapture` prints what came of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::SECOND;
use super::bans::Firewall;
use super::siege::{Siege, abuser_address, alone, since};
use super::support::abusers::{Abusers, Habit, Reached};
use super::support::netns::one_syn;
use super::support::python::Release;
use super::support::shipped::hastened;
use super::support::warden::Agent;

const EACH: u8 = 20;

/// As in the simulation.
const BACK_AFTER: Duration = Duration::from_secs(1);

const KINDS: [&str; 5] = ["hogs", "errors", "hoarders", "churners", "scrapers"];

/// What each does is counted in requests; of whoever hoards subscriptions those count that it makes while it holds
/// them, and not those by which it gets them.
const HABITS: [Habit; 5] = [
    // Bandwidth.
    Habit {
        then: |client| u64::from(client.draw(1) > 0),
        pause: Duration::from_millis(40),
        away: BACK_AFTER,
        ..Habit::IDLE
    },
    // Errors.
    Habit {
        then: |client| client.send_errors(5) as u64,
        pause: Duration::from_millis(250),
        away: BACK_AFTER,
        ..Habit::IDLE
    },
    // Subscriptions.
    Habit {
        first: |client| {
            client.subscribe_scripts(1_500);
            0
        },
        then: |client| client.ping(1) as u64,
        pause: Duration::from_millis(250),
        away: BACK_AFTER,
        ..Habit::IDLE
    },
    // Comes and goes.
    Habit {
        first: |client| u64::from(client.draw(1) > 0),
        then: |client| client.ping(1) as u64,
        pause: Duration::from_millis(100),
        stay: Duration::from_millis(700),
        away: Duration::from_millis(300),
        ..Habit::IDLE
    },
    // By its own word.
    Habit {
        name: "all_seeing_eye",
        then: |client| client.ping(5) as u64,
        pause: Duration::from_millis(100),
        away: BACK_AFTER,
        ..Habit::IDLE
    },
];

/// A part of the test: what the second half of it was like.
#[derive(Debug)]
struct Half {
    /// By kind.
    requests: Vec<u64>,
    p50: Duration,
}

impl Half {
    /// The share of the requests without the agent that is left: of all, and of each kind.
    fn left(&self, without: &Self) -> (f64, String) {
        let share = |now: u64, then: u64| now as f64 / then as f64;
        let kinds = self.requests.iter().zip(&without.requests);
        let kinds = kinds
            .zip(KINDS)
            .map(|((&now, &then), kind)| format!("{kind} {:.1}%", 100.0 * share(now, then)));
        let kinds: Vec<String> = kinds.collect();
        let all = share(self.requests.iter().sum(), without.requests.iter().sum());
        (all, kinds.join(", "))
    }
}

/// How long each part lasts, if somebody measures on a machine that does nothing else.
fn by_hand() -> Option<Duration> {
    let seconds = std::env::var("WARDEN_HELD_S").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("seconds")))
}

/// Each kind in subnets of its own, at addresses of its own.
fn abusers(siege: &Siege) -> Vec<Abusers> {
    let of_kind = |(kind, habit): (u8, Habit)| {
        let who = (0..EACH).map(move |n| (abuser_address(60 + kind * EACH + n, n), habit));
        siege.abusers(who)
    };
    (0..).zip(HABITS).map(of_kind).collect()
}

fn second_half(siege: &mut Siege, span: Duration, before: impl FnOnce(&mut Siege)) -> Half {
    let abusers = abusers(siege);
    before(siege);
    let then: Vec<Reached> = abusers.iter().map(Abusers::reached).collect();
    let latencies = siege.honest.latencies(span / 2);
    let now = abusers.iter().map(Abusers::reached);
    let requests = now
        .zip(then)
        .map(|(now, then)| since(now, then).harm)
        .collect();
    for abusers in abusers {
        abusers.stop();
    }
    Half {
        requests,
        p50: median(latencies),
    }
}

/// Beside other tests bans come when they come.
fn wait_for_bans(siege: &mut Siege, agent: &Agent) {
    let until = Instant::now() + 150 * SECOND;
    loop {
        siege.honest.latencies(SECOND);
        let bans = super::bans::bans(agent);
        let nets = bans
            .iter()
            .flat_map(|ban| ban["bans"].as_array().expect("bans"));
        let nets: BTreeSet<String> = nets.map(|ban| ban["net"].to_string()).collect();
        if nets.len() >= usize::from(5 * EACH) {
            return;
        }
        assert!(Instant::now() < until, "{} of them are banned", nets.len());
    }
}

fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}

/// Nobody honest was cut or banned, and no policy was stopped.
fn end(agent: &mut Agent) -> usize {
    let decisions = super::siege::acts(agent);
    decisions
        .iter()
        .filter(|decision| decision["action"] == "ban")
        .count()
}

fn hold(release: Release, with_limits: bool) {
    if super::support::skipped() {
        return;
    }
    let firewall = Firewall::new();
    let test = |siege: &mut Siege| {
        one_syn();
        let span = by_hand().unwrap_or(30 * SECOND);
        let calm = median(siege.honest.latencies(span / 4));
        let first_half = |siege: &mut Siege| drop(siege.honest.latencies(span / 2));
        let without = second_half(siege, span, first_half);
        siege.wait_for_calm();
        siege.age();

        let policies = hastened();
        // As docs/bans.md advises where there is no firewall.
        let server = "interval_min = \"250ms\"\ncost_share = \"10%\"";
        let rpc = siege.server.rpc_port();
        let mut agent = Agent::start_as(rpc, policies.path(), server, "", &[]);
        agent.wait_to_say("watching", 1);
        let by_rpc = second_half(siege, span, first_half);
        siege.wait_for_calm();
        let bans_by_rpc = end(&mut agent);

        let mut agent = firewall.agent(siege, policies.path());
        let by_nft = second_half(siege, span, |siege| match by_hand() {
            Some(_) => first_half(siege),
            None => wait_for_bans(siege, &agent),
        });
        let bans_by_nft = end(&mut agent);
        let ((left_by_rpc, rpc_kinds), (left_by_nft, nft_kinds)) =
            (by_rpc.left(&without), by_nft.left(&without));
        let limits = if with_limits { "on" } else { "off" };
        println!(
            "{release:?}, its own limits {limits}: calm p50 {calm:.1?}; without the agent p50 {:.1?}, {:?} requests",
            without.p50, without.requests,
        );
        println!(
            "by localrpc p50 {:.1?}, {bans_by_rpc} bans, left {:.1}%: {rpc_kinds}",
            by_rpc.p50,
            100.0 * left_by_rpc,
        );
        println!(
            "by nftables p50 {:.1?}, {bans_by_nft} bans, left {:.2}%: {nft_kinds}",
            by_nft.p50,
            100.0 * left_by_nft,
        );
        assert!(left_by_nft < 0.02, "{by_nft:?} beside {without:?}");
        assert!(
            by_hand().is_none() || by_nft.p50 < calm * 3 / 2,
            "{by_nft:?} beside {calm:?}"
        );
    };
    if with_limits {
        Siege::with_cost_limits(release, 60, test);
    } else {
        Siege::of(release, 60, test);
    }
}

/// Beside other tests on the same machine only what is left of the abuse can be measured.
#[test]
fn bans_hold() {
    alone(|| hold(Release::V1_20_0, false));
    if by_hand().is_some() {
        hold(Release::V1_16_0, false);
        hold(Release::V1_20_0, true);
    }
}
