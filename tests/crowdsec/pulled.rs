//! The stock bouncer pulls from the agent, without any other part of `CrowdSec`.

use electrumx_warden::sink::decisions::Decisions;
use electrumx_warden::sink::{Desired, Sink as _};

use crate::support::crowdsec::{Bouncer, Mode, Programs};
use crate::world::{
    EVIL, EVIL6, NEIGHBOUR, NEIGHBOUR6, answers, banned, hold, lift, now, secret, until,
    until_kept_out, until_let_in, world,
};

pub(crate) const LISTEN: &str = "127.0.0.1:8087";
const URL: &str = "http://127.0.0.1:8087/";
pub(crate) const KEY: &str = "bouncers-key";

fn sink() -> Decisions {
    Decisions::new(LISTEN.parse().unwrap(), secret(KEY))
}

pub(crate) fn bouncer(programs: &Programs, mode: Mode) -> Bouncer {
    Bouncer::start(programs, mode, URL, KEY)
}

/// What is left of a ban in the bouncer's set, in seconds.
fn left(programs: &Programs, address: &str) -> Option<u64> {
    let listed = programs.run(
        "nft",
        &["-j", "list", "set", "ip", "crowdsec", "crowdsec-blacklists"],
    );
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let sets = listed["nftables"].as_array().unwrap().iter();
    let elements = sets.filter_map(|it| it["set"]["elem"].as_array()).flatten();
    let mut elements = elements.map(|it| &it["elem"]);
    elements.find(|it| it["val"] == address)?["expires"].as_u64()
}

#[test]
fn an_address_is_kept_out_renewed_and_let_in() {
    world(async |programs| {
        let mut sink = sink();
        sink.reconcile(&Desired::new(), now()).await.unwrap();
        let bouncer = bouncer(programs, Mode::Nftables);
        assert!(answers(EVIL).await);
        sink.apply(&hold(&["45.90.1.10/32"], 5), now())
            .await
            .unwrap();
        until_kept_out(EVIL).await;
        assert!(answers(NEIGHBOUR).await);
        sink.apply(&hold(&["45.90.1.10/32"], 60), now())
            .await
            .unwrap();
        until("the new end", async || {
            left(programs, EVIL).is_some_and(|left| left > 3_000)
        })
        .await;
        assert!(!answers(EVIL).await);
        sink.apply(&lift(&["45.90.1.10/32"]), now()).await.unwrap();
        until_let_in(EVIL).await;
        let log = bouncer.log();
        assert!(!log.contains("level=error"), "{log}");
    });
}

#[test]
fn networks_are_kept_out_but_for_their_holes() {
    world(async |programs| {
        let mut sink = sink();
        // 45.90.1.8/29 without the neighbour.
        let pieces = [
            "45.90.1.8/31",
            "45.90.1.10/32",
            "45.90.1.12/30",
            "2a01:4f8:1:2::/64",
        ];
        sink.reconcile(&banned(&pieces, 60), now()).await.unwrap();
        let _bouncer = bouncer(programs, Mode::Iptables);
        until_kept_out(EVIL).await;
        until_kept_out(EVIL6).await;
        assert!(answers(NEIGHBOUR).await && answers(NEIGHBOUR6).await);
        sink.apply(&lift(&pieces), now()).await.unwrap();
        until_let_in(EVIL).await;
        until_let_in(EVIL6).await;
    });
}

/// Version 0.0.25 keeps out nothing but a network's first address in this mode. docs/bans.md says so.
#[test]
fn by_nftables_the_stock_bouncer_keeps_out_addresses_only() {
    world(async |programs| {
        let mut sink = sink();
        let nets = ["45.90.1.10/31", "2a01:4f8:1:2::/64"];
        sink.reconcile(&banned(&nets, 60), now()).await.unwrap();
        let _bouncer = bouncer(programs, Mode::Nftables);
        until_kept_out(EVIL).await;
        assert!(answers(NEIGHBOUR).await && answers(EVIL6).await);
    });
}

/// The bouncer goes on with what it has while the agent is away, and catches up after that.
#[test]
fn a_bouncer_outlives_the_sink() {
    world(async |programs| {
        let mut first = sink();
        let both = ["45.90.1.10/32", "45.90.1.11/32"];
        first.reconcile(&banned(&both, 60), now()).await.unwrap();
        let bouncer = bouncer(programs, Mode::Nftables);
        until_kept_out(EVIL).await;
        until_kept_out(NEIGHBOUR).await;
        drop(first);
        until("a pull in vain", async || {
            bouncer.log().contains("connection refused")
        })
        .await;
        assert!(!answers(EVIL).await);
        let mut second = sink();
        second
            .reconcile(&banned(&both[..1], 90), now())
            .await
            .unwrap();
        second.apply(&lift(&both[1..]), now()).await.unwrap();
        until_let_in(NEIGHBOUR).await;
        until("the new end", async || {
            left(programs, EVIL).is_some_and(|left| left > 4_000)
        })
        .await;
    });
}
