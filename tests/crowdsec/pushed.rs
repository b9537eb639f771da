//! Bans are pushed to the real local API, and the stock bouncer enforces them.

use std::fs;

use electrumx_warden::sink::crowdsec::{Crowdsec, CrowdsecSettings};
use electrumx_warden::sink::{Changes, Desired, Sink as _};
use serde_json::Value;

use crate::support::crowdsec::{Bouncer, LAPI, Lapi, Mode, Programs};
use crate::world::{
    EVIL, EVIL6, NEIGHBOUR, NEIGHBOUR6, answers, banned, hold, lift, now, secret, until,
    until_kept_out, until_let_in, world,
};

pub(crate) const MACHINE: &str = "warden";
pub(crate) const PASSWORD: &str = "machines-password";
const KEY: &str = "bouncers-key";

fn sink() -> Crowdsec {
    sink_of(MACHINE, PASSWORD)
}

fn sink_of(machine: &str, password: &str) -> Crowdsec {
    Crowdsec::new(CrowdsecSettings {
        url: CrowdsecSettings::url(&format!("http://{LAPI}")).unwrap(),
        machine: machine.to_owned(),
        password: secret(password),
    })
}

/// A local API that knows the agent and a bouncer.
pub(crate) fn lapi(programs: &Programs) -> Lapi<'_> {
    let lapi = Lapi::start(programs);
    introduce(&lapi);
    lapi
}

fn introduce(lapi: &Lapi<'_>) {
    lapi.add_machine(MACHINE, PASSWORD);
    lapi.add_bouncer("firewall", KEY);
}

pub(crate) fn bouncer(programs: &Programs, mode: Mode) -> Bouncer {
    Bouncer::start(programs, mode, &format!("http://{LAPI}/"), KEY)
}

/// The decisions in force: origin, scenario and value.
pub(crate) fn listed(lapi: &Lapi<'_>) -> Vec<String> {
    let listed = lapi.cscli(&["alerts", "list", "--all"]);
    let alerts: Value = serde_json::from_str(&listed).unwrap();
    let alerts = alerts.as_array().into_iter().flatten();
    let decisions = alerts
        .filter_map(|alert| alert["decisions"].as_array())
        .flatten();
    let decisions = decisions.filter(|it| !it["duration"].as_str().unwrap().starts_with('-'));
    let line = |decision: &Value| {
        let text = |key: &str| decision[key].as_str().unwrap().to_owned();
        [text("origin"), text("scenario"), text("value")].join(" ")
    };
    let mut lines: Vec<_> = decisions.map(line).collect();
    lines.sort();
    lines
}

fn ours(networks: &[&str]) -> Vec<String> {
    let networks = networks.iter();
    networks
        .map(|network| format!("electrumx-warden electrumx-warden/hog {network}"))
        .collect()
}

#[test]
fn a_ban_arrives_is_enforced_and_goes() {
    world(async |programs| {
        let lapi = lapi(programs);
        let mut sink = sink();
        sink.reconcile(&Desired::new(), now()).await.unwrap();
        let _bouncer = bouncer(programs, Mode::Iptables);
        // 45.90.1.8/29 without the neighbour.
        let pieces = [
            "2a01:4f8:1:2::/64",
            "45.90.1.10/32",
            "45.90.1.12/30",
            "45.90.1.8/31",
        ];
        sink.apply(&hold(&pieces, 60), now()).await.unwrap();
        let values = [
            "2a01:4f8:1:2::/64",
            "45.90.1.10",
            "45.90.1.12/30",
            "45.90.1.8/31",
        ];
        assert_eq!(listed(&lapi), ours(&values));
        until_kept_out(EVIL).await;
        until_kept_out(EVIL6).await;
        assert!(answers(NEIGHBOUR).await && answers(NEIGHBOUR6).await);
        // A new end takes the place of the old one.
        let renewed = banned(&pieces, 90);
        let changes = Changes {
            held: renewed.clone().into_iter().collect(),
            lifted: Vec::new(),
        };
        sink.apply(&changes, now()).await.unwrap();
        assert_eq!(listed(&lapi), ours(&values));
        assert_eq!(sink.reconcile(&renewed, now()).await, Ok(None));
        sink.apply(&lift(&pieces), now()).await.unwrap();
        assert!(listed(&lapi).is_empty());
        until_let_in(EVIL).await;
        until_let_in(EVIL6).await;
    });
}

/// As after a restart of the agent with another `[protect]`, or in dry-run.
#[test]
fn what_an_agent_before_left_is_lifted_if_it_is_not_wanted() {
    world(async |programs| {
        let lapi = lapi(programs);
        let both = ["45.90.1.10/32", "45.90.1.11/32"];
        sink().reconcile(&banned(&both, 60), now()).await.unwrap();
        let _bouncer = bouncer(programs, Mode::Nftables);
        until_kept_out(EVIL).await;
        until_kept_out(NEIGHBOUR).await;
        let mut again = sink();
        let desired = banned(&both[..1], 60);
        assert_eq!(again.reconcile(&desired, now()).await, Ok(None));
        until_let_in(NEIGHBOUR).await;
        assert!(!answers(EVIL).await);
        assert_eq!(listed(&lapi), ours(&["45.90.1.10"]));
    });
}

#[test]
fn decisions_of_others_stay() {
    world(async |programs| {
        let lapi = lapi(programs);
        lapi.add_machine("other", "others-password");
        lapi.cscli(&["decisions", "add", "--ip", EVIL, "--duration", "2h"]);
        let mut other = sink_of("other", "others-password");
        let desired = banned(&["45.90.1.10/32"], 60);
        other.reconcile(&desired, now()).await.unwrap();
        let mut sink = sink();
        sink.reconcile(&desired, now()).await.unwrap();
        assert_eq!(listed(&lapi).len(), 3, "{:?}", listed(&lapi));
        sink.apply(&lift(&["45.90.1.10/32"]), now()).await.unwrap();
        sink.reconcile(&Desired::new(), now()).await.unwrap();
        let left = listed(&lapi);
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(other.reconcile(&desired, now()).await, Ok(None));
    });
}

#[test]
fn what_somebody_deletes_is_put_back_and_told() {
    world(async |programs| {
        let lapi = lapi(programs);
        let mut sink = sink();
        let desired = banned(&["45.90.1.10/32", "45.90.1.11/32"], 60);
        sink.reconcile(&desired, now()).await.unwrap();
        lapi.cscli(&["decisions", "delete", "--ip", EVIL]);
        let told = sink.reconcile(&desired, now()).await.unwrap();
        assert_eq!(
            told.unwrap(),
            "1 bans had no decision, and 0 decisions no ban"
        );
        assert_eq!(listed(&lapi), ours(&["45.90.1.10", "45.90.1.11"]));
        assert_eq!(sink.reconcile(&desired, now()).await, Ok(None));
    });
}

#[test]
fn a_local_api_that_lost_its_database_gets_everything_again() {
    world(async |programs| {
        let mut lapi = lapi(programs);
        let mut sink = sink();
        let desired = banned(&["45.90.1.10/32"], 60);
        sink.reconcile(&desired, now()).await.unwrap();
        // Away.
        lapi.stop();
        let told = sink.apply(&hold(&["45.90.1.11/32"], 60), now()).await;
        let told = told.unwrap_err();
        assert!(
            told.starts_with("cannot ask `http://127.0.0.1:8080/`"),
            "{told}"
        );
        // Back, with nothing: not even the machine.
        fs::remove_file(lapi.database()).unwrap();
        lapi.go_on();
        let told = sink.reconcile(&desired, now()).await;
        assert_eq!(
            told.unwrap_err(),
            "`http://127.0.0.1:8080/` refuses the login of machine `warden`: ent: machine not found; compare `machine` \
             and `password` of `[ban.crowdsec]` with `cscli machines list`"
        );
        introduce(&lapi);
        assert_eq!(sink.reconcile(&desired, now()).await, Ok(None));
        assert_eq!(listed(&lapi), ours(&["45.90.1.10"]));
        // The same without anybody noticing in between.
        lapi.stop();
        fs::remove_file(lapi.database()).unwrap();
        lapi.go_on();
        introduce(&lapi);
        // The connection that was kept is dead.
        until("the repair", async || {
            sink.reconcile(&desired, now()).await.is_ok()
        })
        .await;
        assert_eq!(listed(&lapi), ours(&["45.90.1.10"]));
        // Garbage.
        lapi.stop();
        fs::write(lapi.database(), "x".repeat(8_192)).unwrap();
        assert!(sink.reconcile(&desired, now()).await.is_err());
    });
}

#[test]
fn two_thousand_bans_are_pushed_and_lifted() {
    world(async |programs| {
        let lapi = lapi(programs);
        let nets: Vec<String> = (0..2_000_u32)
            .map(|n| format!("45.91.{}.{}/32", n / 250, n % 250))
            .collect();
        let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
        let mut sink = sink();
        let desired = banned(&nets, 60);
        sink.reconcile(&desired, now()).await.unwrap();
        assert_eq!(sink.reconcile(&desired, now()).await, Ok(None));
        sink.reconcile(&banned(&nets[..1_900], 60), now())
            .await
            .unwrap();
        assert_eq!(listed(&lapi).len(), 1_900);
    });
}
