//! How well bans hold: twenty of each of five kinds of abusers beside sixty honest clients, without the agent, with
//! it and the `LocalRPC` alone, and with nftables.
//!
//! `WARDEN_HELD_S=60` makes each part a minute, of which the second half counts, and plays other servers too;
//! `--nocapture` prints what came of it.

use std::time::Duration;

use super::SECOND;
use super::bans::Firewall;
use super::siege::{Siege, abuser_address, since};
use super::support::abusers::{Abusers, Habit};
use super::support::netns::one_syn;
use super::support::python::Release;
use super::support::shipped::hastened;
use super::support::warden::Agent;

const EACH: u8 = 20;

/// As in the simulation.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// What each does is counted in requests.
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
        first: |client| client.subscribe_scripts(1_500) as u64,
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
    requests: u64,
    p50: Duration,
}

/// How long each part lasts, if somebody measures on a machine that does nothing else.
fn by_hand() -> Option<Duration> {
    let seconds = std::env::var("WARDEN_HELD_S").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("seconds")))
}

/// Each kind in subnets of its own, at addresses of its own.
fn abusers(siege: &Siege) -> Abusers {
    let who = (0..5 * EACH).map(|n| {
        let habit = HABITS[usize::from(n / EACH)];
        (abuser_address(60 + n, n % EACH), habit)
    });
    siege.abusers(who)
}

fn second_half(siege: &mut Siege, span: Duration) -> Half {
    let abusers = abusers(siege);
    siege.honest.latencies(span / 2);
    let then = abusers.reached();
    let latencies = siege.honest.latencies(span / 2);
    let requests = since(abusers.reached(), then).harm;
    abusers.stop();
    Half {
        requests,
        p50: median(latencies),
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
        let span = by_hand().unwrap_or(20 * SECOND);
        let calm = median(siege.honest.latencies(span / 4));
        let without = second_half(siege, span);
        siege.wait_for_calm();
        siege.age();

        let policies = hastened();
        // As docs/bans.md advises where there is no firewall.
        let server = "interval_min = \"250ms\"\ncost_share = \"10%\"";
        let rpc = siege.server.rpc_port();
        let mut agent = Agent::start_as(rpc, policies.path(), server, "", &[]);
        agent.wait_to_say("watching", 1);
        let by_rpc = second_half(siege, span);
        siege.wait_for_calm();
        let bans_by_rpc = end(&mut agent);

        let mut agent = firewall.agent(siege, policies.path());
        let by_nft = second_half(siege, span);
        let bans_by_nft = end(&mut agent);
        let left = |half: &Half| half.requests as f64 / without.requests as f64;
        println!(
            "{release:?}, its own limits {}: calm p50 {calm:.1?}; without {} requests, p50 {:.1?}; by localrpc {:.1}%, \
             p50 {:.1?}, {bans_by_rpc} bans; by nftables {:.2}%, p50 {:.1?}, {bans_by_nft} bans",
            if with_limits { "on" } else { "off" },
            without.requests,
            without.p50,
            100.0 * left(&by_rpc),
            by_rpc.p50,
            100.0 * left(&by_nft),
            by_nft.p50,
        );
        assert!(left(&by_rpc) < 0.25, "{by_rpc:?} beside {without:?}");
        assert!(left(&by_nft) < 0.02, "{by_nft:?} beside {without:?}");
        // A test beside this one may take the machine for a moment.
        assert!(
            by_nft.p50 < calm * 3 / 2 + 3 * SECOND / 1_000,
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
    hold(Release::V1_20_0, false);
    if by_hand().is_some() {
        hold(Release::V1_16_0, false);
        hold(Release::V1_20_0, true);
    }
}
