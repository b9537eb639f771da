//! Abuse that is spread, so that no session does much: over subnets, over the sessions of one address, over
//! connections one after another. What gets through is measured beside the same attack without the agent.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::siege::{Siege, abuser_address, disconnects, since};
use super::support::abusers::Habit;
use super::support::python::Release;
use super::support::shipped::hastened;

/// How long an attack is watched without the agent, and once the agent has cut somebody.
const SPAN: Duration = Duration::from_secs(5);

/// Until then.
const FIRST_CUT_MAX: Duration = Duration::from_secs(40);

/// What may get through, as a share of that without the agent. A server bears less at one time than at another where
/// others use the machine, so it is above what is printed on a quiet one.
const LEFT_MAX: f64 = 0.7;

/// The same of those that are back at once: a disconnect costs them the connection, and the server as much as without.
const LEFT_MAX_OF_RECONNECTING: f64 = 1.2;

/// As the simulation has it, where they come back after one second or two.
const BACK_AFTER: Duration = Duration::from_millis(1_500);

/// 50 kB/s, which is five times what the hastened policies let a session have.
const HOG: Habit = Habit {
    then: |client| client.draw(1) as u64,
    pause: Duration::from_millis(400),
    away: BACK_AFTER,
    ..Habit::IDLE
};

/// Below every threshold of a session. Its errors count.
const BELOW: Habit = Habit {
    first: |client| {
        client.subscribe_scripts(20);
        0
    },
    then: |client| client.send_errors(1) as u64,
    pause: Duration::from_millis(300),
    away: BACK_AFTER,
    ..Habit::IDLE
};

/// Leaves before anything has held for long enough, and is back at once.
const RECONNECTING: Habit = Habit {
    stay: Duration::from_millis(1_500),
    away: Duration::from_millis(20),
    pause: Duration::from_millis(150),
    ..HOG
};

/// The abusers are cut again and again, and nobody honest is.
fn are_cut(siege: &mut Siege, what: &str, who: &[(Ipv4Addr, Habit)], left_max: f64) {
    let abusers = siege.abusers(who.iter().copied());
    siege.pass(SPAN);
    let without = abusers.stop();
    assert_eq!(without.cuts, 0, "nobody is there to cut them");
    // Whom the agent finds connected it takes for as old as the connection.
    siege.wait_for_calm();
    siege.age();

    let policies = hastened();
    let mut agent = siege.agent(policies.path());
    let (abusers, begun) = (siege.abusers(who.iter().copied()), Instant::now());
    while abusers.reached().cuts == 0 {
        assert!(begun.elapsed() < FIRST_CUT_MAX, "nobody was cut");
        siege.pass(SPAN / 10);
    }
    let (first_cut, found) = (begun.elapsed(), abusers.reached());
    siege.pass(SPAN);
    let then = since(abusers.stop(), found);
    let acts = disconnects(&mut agent).len();
    siege.wait_for_calm();

    let left = then.harm as f64 / without.harm as f64;
    println!(
        "{what}: {} without the agent; with it {:.0}% and {} cuts in as long, once somebody was cut after \
         {first_cut:.1?}; {acts} acts",
        without.harm,
        100.0 * left,
        then.cuts,
    );
    assert!(then.cuts > 0, "only once: {then:?}");
    assert!(left < left_max, "{then:?} beside {without:?}");
}

#[test]
fn abuse_that_is_spread_is_cut() {
    let each_in_a_subnet = |count, habit| -> Vec<_> {
        let subnets = 0..count;
        subnets
            .map(|subnet| (abuser_address(subnet, 0), habit))
            .collect()
    };
    Siege::of(Release::V1_20_0, 40, |siege| {
        are_cut(
            siege,
            "30 subnets, bytes",
            &each_in_a_subnet(30, HOG),
            LEFT_MAX,
        );
        let of_one_address = [(abuser_address(7, 0), BELOW); 100];
        are_cut(
            siege,
            "100 sessions of an address, errors",
            &of_one_address,
            LEFT_MAX,
        );
        // Between two polls nobody sees whoever is back at once: all that a disconnect costs it is the connection.
        let reconnecting = each_in_a_subnet(12, RECONNECTING);
        are_cut(
            siege,
            "12 that are back at once, bytes",
            &reconnecting,
            LEFT_MAX_OF_RECONNECTING,
        );
    });
}
