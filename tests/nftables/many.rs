//! As many networks as an attack brings.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use electrumx_warden::sink::nftables::{Reason, Repair};
use electrumx_warden::sink::{Changes, Desired};
use ipnet::{IpNet, Ipv4Net};

use crate::world::{AT, MINUTE, answers, until, world};

/// Far beyond what it takes: the tests run unoptimized, and beside others.
const LIMIT: Duration = Duration::from_secs(20);

const MANY: u32 = 100_000;

/// One more than is compared.
const TOO_MANY: u32 = 200_001;

fn addresses(count: u32) -> Desired {
    let first = u32::from(Ipv4Addr::new(45, 90, 0, 0));
    let address = |n| Ipv4Net::new(Ipv4Addr::from(first + n), 32).unwrap();
    (0..count)
        .map(|n| (IpNet::V4(address(n)), until(AT + 60 * MINUTE)))
        .collect()
}

/// What `work` gives, and how long it took, printed.
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let done = work.await;
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < LIMIT, "{what}: {took:?}");
    done
}

#[test]
fn a_hundred_thousand_bans_are_applied_compared_and_replaced_in_seconds() {
    world(
        &["45.90.1.10", "45.91.134.159", "45.91.134.160"],
        async |world| {
            let desired = addresses(MANY);
            let held = desired.clone().into_iter().collect();
            let changes = Changes {
                held,
                ..Changes::default()
            };
            let mut sink = world.sink(&[]).await;
            timed("applied", sink.apply(&changes, world.now()))
                .await
                .unwrap();
            assert!(!answers("45.90.1.10").await);
            assert!(!answers("45.91.134.159").await);
            assert!(answers("45.91.134.160").await);

            let untouched = timed(
                "reconciled untouched",
                sink.reconcile(&desired, world.now()),
            )
            .await;
            assert_eq!(untouched.unwrap(), Repair::Nothing);

            world.by_hand("add table inet other");
            let compared = timed("compared", sink.reconcile(&desired, world.now())).await;
            assert_eq!(compared.unwrap(), Repair::Nothing);

            world.by_hand("delete element inet electrumx_warden v4_32 { 45.90.1.10 }");
            let repaired = timed(
                "compared and repaired",
                sink.reconcile(&desired, world.now()),
            )
            .await;
            assert_eq!(
                repaired.unwrap(),
                Repair::Elements {
                    missing: 1,
                    extra: 0,
                    wrong_end: 0
                }
            );
            assert!(!answers("45.90.1.10").await);

            timed(
                "replaced",
                world.new_sink().reconcile(&desired, world.now()),
            )
            .await
            .unwrap();
            assert!(!answers("45.91.134.159").await);
        },
    );
}

#[test]
fn a_table_too_large_to_compare_is_replaced_after_a_change() {
    world(&["45.90.1.10"], async |world| {
        let desired = addresses(TOO_MANY);
        let mut sink = world.new_sink();
        sink.reconcile(&desired, world.now()).await.unwrap();
        let untouched = sink.reconcile(&desired, world.now()).await.unwrap();
        assert_eq!(untouched, Repair::Nothing);
        world.by_hand("flush set inet electrumx_warden v4_32");
        assert!(answers("45.90.1.10").await);
        let repair = sink.reconcile(&desired, world.now()).await.unwrap();
        let networks = desired.len();
        assert_eq!(
            repair,
            Repair::Replaced {
                reason: Reason::TooLarge,
                networks
            }
        );
        assert!(!answers("45.90.1.10").await);
    });
}
