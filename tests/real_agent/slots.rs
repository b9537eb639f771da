//! A flood of idle sessions on a real server: it closes its listeners, and the agent opens them again.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use super::SECOND;
use super::siege::{Siege, abuser_address, acts, connect};
use super::support::abusers::Habit;
use super::support::python::Release;
use super::support::wait;
use super::support::warden::Agent;

/// All that are at hand.
const SLOTS: &str = "60";
const HONEST: u8 = 20;
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(45, 90, 200, 7);

/// Whether somebody who has just come is served.
fn gets_in(siege: &Siege) -> bool {
    let Ok(mut client) = connect(siege.server.tcp_port(), NEWCOMER) else {
        return false;
    };
    client.introduce("\"4.5.8\"").is_ok() && client.is_served()
}

fn newcomers_get_in(release: Release) {
    Siege::with(release, HONEST, &[("MAX_SESSIONS", SLOTS)], |siege| {
        siege.age();
        // From ten subnets of their own, five each.
        let who = (0..50).map(|n| (abuser_address(100 + n / 5, n % 5), Habit::IDLE));
        let _idle = siege.abusers(who);
        wait::until("the listeners to close", 20 * SECOND, || {
            (!gets_in(siege)).then_some(())
        });
        siege.pass(3 * SECOND);
        assert!(!gets_in(siege), "nobody gets in without the agent");

        let environment = siege.server.environment();
        let slots = format!(
            "sessions_max = {{ electrumx = '{}' }}",
            environment.display()
        );
        let rpc = siege.server.rpc_port();
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/slots.toml");
        let mut agent = Agent::start_as(rpc, &policies, &slots, "", &[]);
        agent.wait_to_say("watching", 1);
        for _ in 0..10 {
            let since = Instant::now();
            wait::until("a newcomer to get in", 30 * SECOND, || {
                gets_in(siege).then_some(())
            });
            println!("in after {:?}", since.elapsed());
            siege.pass(SECOND);
        }
        let evictions = acts(&mut agent);
        assert!(!evictions.is_empty());
        for eviction in evictions {
            assert_eq!(
                (&eviction["action"], &eviction["scope"]),
                (&"evict".into(), &"server".into())
            );
            assert_eq!(eviction["keep_free"], 0.1);
        }
    });
}

#[test]
fn newcomers_get_in_on_1_16_0() {
    newcomers_get_in(Release::V1_16_0);
}

#[test]
fn newcomers_get_in_on_1_20_0() {
    newcomers_get_in(Release::V1_20_0);
}
