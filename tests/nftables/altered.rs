//! What other programs do to the table, and its repair.

use std::fs;
use std::time::Duration;

use electrumx_warden::sink::Desired;
use electrumx_warden::sink::nftables::{Nftables, NftablesError, Reason, Repair};

use crate::support::nft::{Nft, executable};
use crate::world::{
    MINUTE, World, answers, for_an_hour, hold, network, settings, until, world, world_with,
};

const BANNED: [&str; 3] = ["45.90.1.10/32", "45.90.2.0/24", "2a01:4f8:1:2::/64"];
const ADDRESSES: [&str; 4] = ["45.90.1.10", "45.90.2.10", "2a01:4f8:1:2::1", "45.90.3.10"];

async fn assert_in_force(world: &World, sink: &mut Nftables, desired: &Desired) {
    for source in &ADDRESSES[..3] {
        assert!(!answers(source).await, "{source}");
    }
    assert!(answers(ADDRESSES[3]).await);
    assert_eq!(
        sink.reconcile(desired, world.now()).await.unwrap(),
        Repair::Nothing
    );
}

const fn replaced(reason: Reason) -> Repair {
    let networks = BANNED.len();
    Repair::Replaced { reason, networks }
}

const fn elements(missing: usize, extra: usize, wrong_end: usize) -> Repair {
    Repair::Elements {
        missing,
        extra,
        wrong_end,
    }
}

const ALTERED: Repair = replaced(Reason::Altered);

/// What is done by hand, `TABLE` being the sink's, and the repair.
const CASES: [(&[&str], Repair); 19] = [
    (&["flush ruleset"], replaced(Reason::Gone)),
    (&["delete table TABLE"], replaced(Reason::Gone)),
    // Sets stay, rules go.
    (&["flush table TABLE"], ALTERED),
    (&["flush chain TABLE sources"], ALTERED),
    (&["flush chain TABLE arrivals"], ALTERED),
    (
        &["flush chain TABLE arrivals", "delete chain TABLE arrivals"],
        ALTERED,
    ),
    (&["insert rule TABLE arrivals accept"], ALTERED),
    (
        &["add rule TABLE sources ip saddr 45.90.3.10 drop"],
        ALTERED,
    ),
    (&["add set TABLE mine { type ipv4_addr; }"], ALTERED),
    (
        &["add map TABLE v4_8 { type ipv4_addr : verdict; }"],
        ALTERED,
    ),
    (&["add chain TABLE arrivals { policy drop; }"], ALTERED),
    (&["add table TABLE { flags dormant; }"], ALTERED),
    // A set of another type in its place.
    (
        &[
            "flush chain TABLE sources",
            "delete set TABLE v4_32",
            "add set TABLE v4_32 { type inet_service; }",
            "add element TABLE v4_32 { 22 }",
        ],
        ALTERED,
    ),
    (
        &["delete element TABLE v4_32 { 45.90.1.10 }"],
        elements(1, 0, 0),
    ),
    (&["flush set TABLE v4_24"], elements(1, 0, 0)),
    (
        &["add element TABLE v4_32 { 45.90.3.10 timeout 1h }"],
        elements(0, 1, 0),
    ),
    // Without a timeout, with a comment, and with bits that no masked address has.
    (
        &[
            "add element TABLE v4_32 { 45.90.3.10 comment \"x\" }",
            "add element TABLE v4_24 { 45.90.3.7 }",
            "add element TABLE v6_64 { ::1 timeout 2m }",
        ],
        elements(0, 3, 0),
    ),
    (
        &[
            "delete element TABLE v4_32 { 45.90.1.10 }",
            "add element TABLE v4_32 { 45.90.1.10 timeout 1m }",
            "delete element TABLE v4_24 { 45.90.2.0 }",
            "add element TABLE v4_24 { 45.90.2.0 }",
        ],
        elements(0, 0, 2),
    ),
    // Not the sink's.
    (&["add table inet other"], Repair::Nothing),
];

/// Alters the table in each way, and expects the repair of each.
fn each_alteration_is_repaired(nft: Nft) {
    world_with(nft, &ADDRESSES, async |world| {
        let mut sink = world.sink(&BANNED).await;
        let desired = for_an_hour(&BANNED);
        for (by_hand, expected) in CASES {
            for args in by_hand {
                world.by_hand(&args.replace("TABLE", "inet electrumx_warden"));
            }
            let repair = sink.reconcile(&desired, world.now()).await.unwrap();
            assert_eq!(repair, expected, "{by_hand:?}");
            assert_in_force(&world, &mut sink, &desired).await;
        }
    });
}

#[test]
fn alterations_are_repaired() {
    each_alteration_is_repaired(Nft::Bookworm);
}

#[test]
fn alterations_are_repaired_with_a_newer_program() {
    each_alteration_is_repaired(Nft::Trixie);
}

#[test]
fn a_ban_without_a_table_fails_and_is_repaired() {
    world(&ADDRESSES, async |world| {
        let mut sink = world.sink(&[]).await;
        world.by_hand("flush ruleset");
        let error = sink.apply(&hold(&BANNED), world.now()).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        let desired = for_an_hour(&BANNED);
        sink.reconcile(&desired, world.now()).await.unwrap();
        assert_in_force(&world, &mut sink, &desired).await;
    });
}

#[test]
fn a_table_of_unknown_state_is_reconciled_first() {
    world(&[], async |world| {
        let error = world
            .new_sink()
            .apply(&hold(&BANNED), world.now())
            .await
            .unwrap_err();
        assert!(matches!(error, NftablesError::NotReconciled), "{error}");
        assert_eq!(world.rules(), "");
    });
}

/// A sink whose program leaves a line in a file each time.
fn counted(world: &World) -> (Nftables, impl Fn() -> usize + use<>) {
    let calls = world.folder.path().join("calls");
    let script = format!(
        "echo >> {}\nexec {} \"$@\"",
        calls.display(),
        world.nft.display()
    );
    let program = executable(world.folder.path(), "counted", &script);
    let count = move || {
        fs::read_to_string(&calls)
            .unwrap_or_default()
            .lines()
            .count()
    };
    (Nftables::new(settings(&program)), count)
}

#[test]
fn nothing_is_run_while_nobody_changes_the_firewall() {
    world(&ADDRESSES, async |world| {
        let (mut sink, calls) = counted(&world);
        let desired = for_an_hour(&BANNED);
        sink.reconcile(&Desired::new(), world.now()).await.unwrap();
        sink.apply(&hold(&BANNED), world.now()).await.unwrap();
        let before = calls();
        for minutes in 0..59 {
            let repair = sink
                .reconcile(&desired, world.now() + minutes * MINUTE)
                .await
                .unwrap();
            assert_eq!(repair, Repair::Nothing);
        }
        assert_eq!(calls(), before);

        // After a change of any table it looks, once.
        world.by_hand("add table inet other");
        for _ in 0..2 {
            assert_eq!(
                sink.reconcile(&desired, world.now()).await.unwrap(),
                Repair::Nothing
            );
        }
        assert_eq!(calls(), before + 2);

        // And once in an hour all the same: by then these have ended for the sink, and not for the kernel.
        let repair = sink
            .reconcile(&Desired::new(), world.now() + 60 * MINUTE)
            .await
            .unwrap();
        assert_eq!(
            repair,
            Repair::Elements {
                missing: 0,
                extra: 3,
                wrong_end: 0
            }
        );
    });
}

#[test]
fn an_end_that_is_near_is_left_alone() {
    world(&ADDRESSES, async |world| {
        let mut sink = world.sink(&BANNED).await;
        world.by_hand("add element inet electrumx_warden v4_32 { 45.90.3.10 timeout 5s }");
        let mut desired = for_an_hour(&BANNED);
        desired.insert(
            network("45.90.3.11/32"),
            until(world.now() + Duration::from_secs(5)),
        );
        assert_eq!(
            sink.reconcile(&desired, world.now()).await.unwrap(),
            Repair::Nothing
        );
    });
}
