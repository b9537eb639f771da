//! Five abusers for each honest client: moderation goes on for as long as the attack does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::SECOND;
use super::siege::{Siege, abuser_address, disconnects, since};
use super::support::abusers::Habit;
use super::support::python::Release;
use super::support::shipped::hastened;

const HONEST: u8 = 60;

const BACK_AFTER: Duration = Duration::from_secs(2);

/// Six errors a second cost more than a session may.
const FLOODER: Habit = Habit {
    then: |client| client.send_errors(6) as u64,
    pause: SECOND,
    away: BACK_AFTER,
    ..Habit::IDLE
};

const HOARDER: Habit = Habit {
    first: |client| client.subscribe_scripts(200) as u64,
    away: BACK_AFTER,
    ..Habit::IDLE
};

const TAG: Habit = Habit {
    name: "<",
    away: BACK_AFTER,
    ..Habit::IDLE
};

/// In five seconds; 41 to 126 a second are cut on two cores that others use as well.
const CUTS_MIN: u64 = 100;

/// Of each /24 with an honest client in it come five abusers.
fn moderation_goes_on(release: Release) {
    Siege::of(release, HONEST, |siege| {
        let policies = hastened();
        siege.age();
        let mut agent = siege.agent(policies.path());
        let who = (0..HONEST).flat_map(|subnet| {
            let habits = match subnet % 3 {
                0 => [FLOODER, FLOODER, HOARDER, TAG, TAG],
                _ => [FLOODER, TAG, TAG, TAG, TAG],
            };
            (0..)
                .zip(habits)
                .map(move |(host, habit)| (abuser_address(subnet, host), habit))
        });
        let abusers = siege.abusers(who);
        let mut reached = vec![abusers.reached()];
        for _ in 0..3 {
            siege.pass(5 * SECOND);
            reached.push(abusers.reached());
        }
        let cuts: Vec<u64> = reached
            .windows(2)
            .map(|pair| since(pair[1], pair[0]).cuts)
            .collect();
        abusers.stop();
        let decisions = disconnects(&mut agent);
        println!(
            "{release:?}: {cuts:?} sessions of 300 abusers cut in 5 s each, by {} acts",
            decisions.len()
        );
        assert!(cuts.iter().all(|&cuts| cuts >= CUTS_MIN), "{cuts:?}");
        let policies: BTreeSet<&str> = decisions
            .iter()
            .filter_map(|d| d["policy"].as_str())
            .collect();
        for policy in ["cost-flood", "hostile-name", "subscription-hoarder"] {
            assert!(policies.contains(policy), "{policies:?}");
        }
    });
}

#[test]
fn moderation_goes_on_on_1_16_0() {
    moderation_goes_on(Release::V1_16_0);
}

#[test]
fn moderation_goes_on_on_1_20_0() {
    moderation_goes_on(Release::V1_20_0);
}
