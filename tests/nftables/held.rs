//! Who is kept out, and who is not.

use std::time::{Duration, Instant};

use electrumx_warden::sink::nftables::{Reason, Repair};
use electrumx_warden::sink::{Changes, Desired};

use crate::support::nft::Nft;
use crate::world::{
    AT, MINUTE, OTHER_PORT, PORTS, answers, answers_at, for_an_hour, hold, lift, network, until,
    world, world_with,
};

const V4: [&str; 4] = ["45.90.1.10", "45.90.1.11", "45.90.2.10", "45.91.1.10"];
const V6: [&str; 3] = ["2a01:4f8:1:2::1", "2a01:4f8:1:2::2", "2a01:4f8:1:3::1"];

fn everybody() -> Vec<&'static str> {
    [&V4[..], &V6].concat()
}

async fn assert_answered(expected: &[(&str, bool)]) {
    for &(source, answered) in expected {
        assert_eq!(answers(source).await, answered, "{source}");
    }
}

fn a_banned_address_gets_no_answer_and_its_neighbour_does(nft: Nft) {
    world_with(nft, &everybody(), async |world| {
        let mut sink = world.sink(&[]).await;
        assert_answered(&everybody().map_all(true)).await;
        let banned = ["45.90.1.10/32", "2a01:4f8:1:2::/64"];
        sink.apply(&hold(&banned), world.now()).await.unwrap();
        let kept_out = [
            ("45.90.1.10", false),
            ("45.90.1.11", true),
            ("45.90.2.10", true),
            ("2a01:4f8:1:2::1", false),
            ("2a01:4f8:1:2::2", false),
            ("2a01:4f8:1:3::1", true),
        ];
        assert_answered(&kept_out).await;
        for port in PORTS {
            assert!(!answers_at("45.90.1.10", port).await, "{port}");
        }
        assert!(answers_at("45.90.1.10", OTHER_PORT).await);
        assert!(answers_at("2a01:4f8:1:2::1", OTHER_PORT).await);

        let nothing = sink
            .reconcile(&for_an_hour(&banned), world.now())
            .await
            .unwrap();
        assert_eq!(nothing, Repair::Nothing);
        sink.apply(&lift(&banned), world.now()).await.unwrap();
        assert_answered(&everybody().map_all(true)).await;
        assert!(!world.rules().contains("expires"), "{}", world.rules());
    });
}

/// Pairs each with the same answer.
trait MapAll {
    fn map_all(self, answered: bool) -> Vec<(&'static str, bool)>;
}

impl MapAll for Vec<&'static str> {
    fn map_all(self, answered: bool) -> Vec<(&'static str, bool)> {
        self.into_iter().map(|source| (source, answered)).collect()
    }
}

#[test]
fn a_banned_address_gets_no_answer() {
    a_banned_address_gets_no_answer_and_its_neighbour_does(Nft::Bookworm);
}

#[test]
fn a_banned_address_gets_no_answer_with_a_newer_program() {
    a_banned_address_gets_no_answer_and_its_neighbour_does(Nft::Trixie);
}

#[test]
fn networks_nest_and_each_is_lifted_by_itself() {
    world(&everybody(), async |world| {
        let mut sink = world.sink(&[]).await;
        let nested = [
            "45.90.0.0/15",
            "45.90.1.0/24",
            "45.90.1.10/32",
            "2a01:4f8:1::/48",
            "2a01:4f8:1:2::2/128",
        ];
        sink.apply(&hold(&nested), world.now()).await.unwrap();
        assert_answered(&everybody().map_all(false)).await;
        sink.apply(&lift(&["45.90.0.0/15", "2a01:4f8:1::/48"]), world.now())
            .await
            .unwrap();
        let inner = [
            ("45.90.1.10", false),
            ("45.90.1.11", false),
            ("45.90.2.10", true),
            ("45.91.1.10", true),
            ("2a01:4f8:1:2::1", true),
            ("2a01:4f8:1:2::2", false),
        ];
        assert_answered(&inner).await;
        sink.apply(&lift(&["45.90.1.0/24"]), world.now())
            .await
            .unwrap();
        assert_answered(&[("45.90.1.10", false), ("45.90.1.11", true)]).await;
    });
}

#[test]
fn a_subnet_with_a_hole_comes_in_pieces() {
    world(
        &["45.90.1.10", "45.90.1.11", "45.90.1.200"],
        async |world| {
            let hole = network("45.90.1.10/32");
            let halves = |whole: ipnet::IpNet| whole.subnets(whole.prefix_len() + 1).unwrap();
            let mut pieces = Desired::new();
            let mut around = network("45.90.1.0/24");
            while around != hole {
                let (inside, outside): (Vec<_>, Vec<_>) =
                    halves(around).partition(|half| half.contains(&hole));
                pieces.insert(outside[0], until(AT + MINUTE));
                around = inside[0];
            }
            assert_eq!(pieces.len(), 8);
            let mut sink = world.sink(&[]).await;
            let held = pieces.clone().into_iter().collect();
            sink.apply(
                &Changes {
                    held,
                    ..Changes::default()
                },
                world.now(),
            )
            .await
            .unwrap();
            assert_answered(&[
                ("45.90.1.10", true),
                ("45.90.1.11", false),
                ("45.90.1.200", false),
            ])
            .await;
            assert_eq!(
                sink.reconcile(&pieces, world.now()).await.unwrap(),
                Repair::Nothing
            );
        },
    );
}

#[test]
fn whoevers_end_has_come_is_let_in_by_the_kernel_alone() {
    world(&["45.90.1.10"], async |world| {
        let mut sink = world.sink(&[]).await;
        let soon = world.now() + Duration::from_millis(1_500);
        let held = vec![(network("45.90.1.10/32"), until(soon))];
        let start = Instant::now();
        sink.apply(
            &Changes {
                held,
                ..Changes::default()
            },
            world.now(),
        )
        .await
        .unwrap();
        drop(sink);
        assert!(!answers("45.90.1.10").await);
        while !answers("45.90.1.10").await {
            assert!(start.elapsed() < Duration::from_secs(4));
        }
        // It counts whole seconds, up.
        assert!(
            start.elapsed() > Duration::from_millis(1_900),
            "{:?}",
            start.elapsed()
        );
    });
}

#[test]
fn a_second_ban_moves_the_end_both_ways() {
    world(&["45.90.1.10"], async |world| {
        let mut sink = world.sink(&[]).await;
        for minutes in [10, 120, 5] {
            let held = vec![(
                network("45.90.1.10/32"),
                until(world.now() + minutes * MINUTE),
            )];
            sink.apply(
                &Changes {
                    held,
                    ..Changes::default()
                },
                world.now(),
            )
            .await
            .unwrap();
            let rules = world.rules();
            let timeout = match minutes {
                120 => "timeout 2h expires 1h59m".to_owned(),
                minutes => format!("timeout {minutes}m expires {}m", minutes - 1),
            };
            assert!(rules.contains(&timeout), "{rules}");
        }
        let ended = vec![(network("45.90.1.10/32"), until(AT))];
        sink.apply(
            &Changes {
                held: ended,
                ..Changes::default()
            },
            world.now(),
        )
        .await
        .unwrap();
        assert!(answers("45.90.1.10").await);
    });
}

#[test]
fn the_whole_of_a_family_and_ends_far_away_are_taken() {
    world(&["45.90.1.10", "2a01:4f8:1:2::1"], async |world| {
        let forever = AT + Duration::MAX;
        let desired: Desired = ["0.0.0.0/0", "2a01:4f8:1:2::1/128"]
            .map(|text| (network(text), until(forever)))
            .into();
        let mut sink = world.new_sink();
        sink.reconcile(&desired, world.now()).await.unwrap();
        assert_answered(&[("45.90.1.10", false), ("2a01:4f8:1:2::1", false)]).await;
        let nothing = world
            .new_sink()
            .reconcile(&Desired::new(), world.now())
            .await
            .unwrap();
        assert_eq!(
            nothing,
            Repair::Replaced {
                reason: Reason::Unknown,
                networks: 0
            }
        );
        assert_answered(&[("45.90.1.10", true), ("2a01:4f8:1:2::1", true)]).await;
    });
}

#[test]
fn other_tables_stay_as_they_are() {
    world(&["45.90.1.10"], async |world| {
        // Another's table has the same names, and what it has is all but the same.
        for args in [
            "add table ip electrumx_warden",
            "add set ip electrumx_warden v4_32 { type ipv4_addr; flags timeout; }",
            "add element ip electrumx_warden v4_32 { 45.90.1.10 }",
            "add table inet filter",
            "add set inet filter v4_32 { type ipv4_addr; }",
            "add element inet filter v4_32 { 45.90.1.10, 45.90.1.11 }",
            "add chain inet filter sources",
            "add chain inet filter arrivals { type filter hook prerouting priority -250; }",
            "add rule inet filter arrivals tcp dport 22 ip saddr @v4_32 jump sources",
            "add table inet electrumx_warden2",
            "add chain inet electrumx_warden2 sources",
        ] {
            world.by_hand(args);
        }
        let before = world.by_hand("-a list ruleset");
        let mut sink = world.sink(&["45.90.1.11/32"]).await;
        sink.apply(&hold(&["45.90.1.10/32", "45.90.0.0/16"]), world.now())
            .await
            .unwrap();
        sink.apply(&lift(&["45.90.1.11/32"]), world.now())
            .await
            .unwrap();
        world.by_hand("flush table inet electrumx_warden");
        sink.reconcile(&for_an_hour(&["45.90.1.10/32"]), world.now())
            .await
            .unwrap();
        assert!(!answers("45.90.1.10").await);
        let remove = electrumx_warden::sink::nftables::Nftables::REMOVE;
        world.by_hand(remove.strip_prefix("nft ").unwrap());
        assert_eq!(world.by_hand("-a list ruleset"), before);
        assert!(answers("45.90.1.10").await);
    });
}
