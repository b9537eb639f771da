//! From strikes to bans: who is kept out, who is not, and what an attacker makes of it.
#![expect(clippy::float_cmp, reason = "one strike is one")]

use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;

use crate::decision::{Decision, NoBan, Outcome, SessionRef, Suppression};
use crate::limits::{Ruling, Verdict};
use crate::penalty::{Ban, BannedBy, Face, SavedPenalties};
use crate::policy::{Action, Mode};
use crate::scene::{Scene, policies};
use crate::time::Timestamp;
use crate::warden::{Judgement, Settings, Warden};

pub(super) const LADDER: &str = r#"
[[policy]]
name = "hoarder"
scope = "session"
when = { pending_requests = "> 100" }
action = ["disconnect", { ban = { for = "10m" } }, { ban = { for = "2h" } }]
cooldown = "0s"

[[policy]]
name = "crowded"
scope = "subnet"
when = { pending_requests = "> 1_000" }
action = ["disconnect", { ban = { for = "10m" } }]
cooldown = "0s"
"#;

pub(super) const HOUR_MS: i64 = 3_600_000;
const MINUTE: Duration = Duration::from_mins(1);

/// A server, and the agent that acts on it: whoever it disconnects is gone.
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) warden: Warden,
    ports: u16,
}

impl World {
    pub(super) fn new(text: &str, settings: Settings) -> Self {
        let mut world = Self {
            scene: Scene::new(),
            warden: Warden::new(policies(text), settings),
            ports: 10_000,
        };
        // A crowd, so that nobody becomes a regular in a hurry.
        for index in 0..30 {
            let wallet = world.come(&format!("8.8.{index}.1"), "electrum/4.5");
            world.scene.of(wallet).since_ms -= 10 * HOUR_MS;
        }
        world.poll();
        world
    }

    pub(super) fn enforcing() -> Self {
        Self::new(LADDER, enforcing())
    }

    pub(super) fn come(&mut self, address: &str, client: &str) -> u64 {
        self.ports += 1;
        self.scene
            .connect(&format!("{address}:{}", self.ports), client)
    }

    /// Comes, and hoards.
    pub(super) fn hoard(&mut self, address: &str) -> u64 {
        let id = self.come(address, "hog");
        self.scene.of(id).pending = 200;
        id
    }

    /// Twelve addresses of a subnet hoard a little each.
    fn flood(&mut self) -> Judgement {
        for host in 1..=12 {
            let id = self.come(&format!("9.9.9.{host}"), "hog");
            self.scene.of(id).pending = 99;
        }
        self.poll()
    }

    pub(super) fn poll(&mut self) -> Judgement {
        self.scene.wait(10.0);
        let snapshot = self.scene.poll();
        self.warden.observe(&snapshot);
        let judgement = self.warden.judge(&snapshot);
        let at = self.scene.at();
        for Ruling {
            decision,
            mode,
            verdict,
        } in &judgement.rulings
        {
            let outcome = match (verdict, mode) {
                (Verdict::Suppressed { by, .. }, _) => Outcome::Suppressed(by.clone()),
                (_, Mode::Enforce) => {
                    self.leave(&decision.sessions);
                    Outcome::Executed {
                        detail: String::new(),
                    }
                }
                _ => Outcome::DryRun,
            };
            self.warden.settle(decision, &outcome, 0, at);
        }
        if self.warden.mode() == Mode::Enforce {
            self.leave(&judgement.held_off);
        }
        self.warden.held_off(&judgement.held_off, at);
        judgement
    }

    fn leave(&mut self, sessions: &[SessionRef]) {
        for session in sessions {
            self.scene.leave(session.id);
        }
    }

    pub(super) fn is_banned(&self, address: &str) -> bool {
        let face = Face::from(self.warden.mode());
        self.warden
            .penalties()
            .ban_of(address.parse().unwrap(), face)
            .is_some()
    }

    pub(super) fn strikes(&self, net: &str) -> f64 {
        let face = Face::from(self.warden.mode());
        let strikes = &self.warden.penalties().strikes;
        strikes.level(&net.parse().unwrap(), face, self.scene.at())
    }

    pub(super) fn wait(&mut self, minutes: u32) {
        for _ in 0..minutes * 6 {
            self.poll();
        }
    }
}

pub(super) fn enforcing() -> Settings {
    Settings {
        mode: Mode::Enforce,
        ..Settings::default()
    }
}

fn only(judgement: &Judgement) -> &Decision {
    let [ruling] = &judgement.rulings[..] else {
        panic!("one decision: {:#?}", judgement.rulings);
    };
    &ruling.decision
}

const fn ban(minutes: u64) -> Action {
    Action::Ban {
        duration: Duration::from_mins(minutes),
    }
}

#[test]
fn who_comes_back_and_does_it_again_climbs_the_ladder() {
    let mut world = World::enforcing();
    world.hoard("9.9.9.9");
    assert_eq!(only(&world.poll()).action, Action::Disconnect);
    assert!(!world.is_banned("9.9.9.9"));
    world.hoard("9.9.9.9");
    let second = world.poll();
    let second = only(&second);
    assert_eq!(second.action, ban(10));
    let [order] = &second.bans[..] else {
        panic!("one ban");
    };
    assert_eq!(order.net.to_string(), "9.9.9.9/32");
    assert_eq!(order.until, second.at + 10 * MINUTE);
    assert!((0.99..=1.0).contains(&order.strikes), "{}", order.strikes);
    assert!(world.is_banned("9.9.9.9"));
    assert!(!world.is_banned("9.9.9.8"), "its neighbour is not");
    world.wait(10);
    assert!(!world.is_banned("9.9.9.9"));
    for _ in 0..2 {
        world.hoard("9.9.9.9");
        assert_eq!(only(&world.poll()).action, ban(120), "the last rung stays");
        world.wait(120);
    }
}

#[test]
fn who_is_banned_is_cut_without_more_evidence_and_that_is_no_strike() {
    let mut world = World::enforcing();
    for _ in 0..2 {
        world.hoard("9.9.9.9");
        world.poll();
    }
    let strikes = world.strikes("9.9.9.9/32");
    for _ in 0..5 {
        let quiet = world.come("9.9.9.9", "hog");
        let neighbour = world.come("9.9.9.8", "hog");
        let judgement = world.poll();
        assert_eq!(judgement.rulings, []);
        let held_off: Vec<u64> = judgement.held_off.iter().map(|it| it.id).collect();
        assert_eq!(held_off, [quiet]);
        world.scene.leave(neighbour);
    }
    assert!(world.strikes("9.9.9.9/32") <= strikes);
    let book = &world.warden.penalties().bans;
    assert_eq!(book.all()[0].kept_out, 5);
}

#[test]
fn what_a_banned_one_does_is_no_evidence() {
    let mut world = World::enforcing();
    for _ in 0..2 {
        world.hoard("9.9.9.9");
        world.poll();
    }
    let id = world.hoard("9.9.9.9");
    let judgement = world.poll();
    assert_eq!(judgement.held_off.len(), 1);
    let [ruling] = &judgement.rulings[..] else {
        panic!("one decision");
    };
    let Verdict::Suppressed {
        by: Suppression::Banned { .. },
        ..
    } = ruling.verdict
    else {
        panic!("{:?}", ruling.verdict);
    };
    assert!(!world.scene.rows.iter().any(|row| row.id == id));
}

/// Those that were there when the first was cut were no warned offenders.
#[test]
fn a_household_that_is_cut_one_by_one_has_one_strike() {
    let mut world = World::enforcing();
    let wallets: Vec<u64> = (0..4).map(|_| world.come("9.9.9.9", "wallet")).collect();
    world.poll();
    for id in wallets {
        world.scene.of(id).pending = 200;
        assert_eq!(only(&world.poll()).action, Action::Disconnect);
    }
    assert!(world.strikes("9.9.9.9/32") <= 1.0);
}

#[test]
fn many_sessions_of_an_address_at_once_are_one_strike() {
    let mut world = World::enforcing();
    for _ in 0..5 {
        world.hoard("9.9.9.9");
    }
    assert_eq!(world.poll().rulings.len(), 5);
    assert_eq!(world.strikes("9.9.9.9/32"), 1.0);
}

#[test]
fn strikes_fade_until_the_first_rung_is_the_next_again() {
    let mut world = World::enforcing();
    world.hoard("9.9.9.9");
    world.poll();
    world.scene.now_ms += 25 * HOUR_MS;
    world.hoard("9.9.9.9");
    assert_eq!(only(&world.poll()).action, Action::Disconnect);
}

/// Somebody has waited for an address to be shared with a regular, and would have that one banned.
#[test]
fn an_address_that_a_regular_shares_is_not_banned_and_that_is_told() {
    let mut world = World::enforcing();
    let elder = world.come("9.9.9.9", "electrum/4.5");
    world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    world.poll();
    for _ in 0..4 {
        for _ in 0..3 {
            world.hoard("9.9.9.9");
        }
        for ruling in world.poll().rulings {
            let decision = ruling.decision;
            assert_eq!(decision.action, Action::Disconnect);
            assert!(!decision.sessions.iter().any(|session| session.id == elder));
        }
    }
    world.hoard("9.9.9.9");
    let judgement = world.poll();
    let [refused] = &only(&judgement).refused[..] else {
        panic!("the ban was refused: {judgement:#?}");
    };
    assert_eq!(refused.why, NoBan::Regulars);
    assert!(!world.is_banned("9.9.9.9"));
    // Nor while the elder is away for a moment.
    world.scene.leave(elder);
    world.hoard("9.9.9.9");
    let judgement = world.poll();
    assert_eq!(only(&judgement).refused.len(), 1);
    assert!(!world.is_banned("9.9.9.9"));
}

#[test]
fn protected_and_own_addresses_are_not_banned() {
    let mut settings = enforcing();
    settings.protection.clients = vec![regex::Regex::new("^mine$").unwrap()];
    settings.protection.own = std::iter::once("9.9.9.7/32".parse().unwrap()).collect();
    let mut world = World::new(LADDER, settings);
    world.come("9.9.9.9", "mine");
    let mut refused = Vec::new();
    for _ in 0..3 {
        for address in ["9.9.9.7", "9.9.9.9"] {
            world.hoard(address);
        }
        for ruling in world.poll().rulings {
            assert_eq!(ruling.decision.action, Action::Disconnect);
            refused.extend(
                ruling
                    .decision
                    .refused
                    .iter()
                    .map(|it| (it.net.to_string(), it.why)),
            );
        }
    }
    refused.sort_by(|a, b| a.0.cmp(&b.0));
    refused.dedup();
    let expected = [
        ("9.9.9.7/32".to_owned(), NoBan::Own),
        ("9.9.9.9/32".to_owned(), NoBan::Protected),
    ];
    assert_eq!(refused, expected);
}

/// Tor, local proxies: nobody's address.
#[test]
fn private_peers_have_no_strikes_and_are_not_banned() {
    let mut world = World::enforcing();
    for _ in 0..4 {
        world.hoard("127.0.0.1");
        world.hoard("100.64.0.1");
        for ruling in world.poll().rulings {
            assert_eq!(ruling.decision.action, Action::Disconnect);
        }
    }
    assert!(world.warden.penalties().strikes.is_empty());
}

/// A few addresses of a subnet are banned each for itself; where many do the same the subnet is, but for
/// its regulars and protected addresses.
#[test]
fn a_subnet_is_banned_where_many_of_it_do_the_same_and_has_holes() {
    let mut settings = enforcing();
    let protected = std::iter::once("9.9.9.240/32".parse().unwrap());
    settings.protection.addresses = protected.collect();
    let text = LADDER.replace("> 1_000", "> 300");
    let mut world = World::new(&text, settings);
    let elder = world.come("9.9.9.200", "electrum/4.5");
    world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    world.poll();
    assert_eq!(only(&world.flood()).action, Action::Disconnect);
    let judgement = world.flood();
    let decision = only(&judgement);
    assert_eq!(decision.action, ban(10));
    let [order] = &decision.bans[..] else {
        panic!("one ban");
    };
    assert_eq!(order.net.to_string(), "9.9.9.0/24");
    let holes: Vec<String> = order.holes.iter().map(ToString::to_string).collect();
    assert_eq!(holes, ["9.9.9.200/32", "9.9.9.240/32"]);
    assert!(world.is_banned("9.9.9.77"));
    assert!(!world.is_banned("9.9.9.200"));
    assert!(!world.is_banned("9.9.9.240"));
    assert!(world.scene.rows.iter().any(|row| row.id == elder));
    assert_eq!(
        world.strikes("9.9.9.1/32"),
        0.0,
        "the subnet has the strikes"
    );
}

/// Whoever has many old addresses in a subnet does not keep the others of it from being banned.
#[test]
fn where_a_subnet_is_not_banned_those_who_did_it_are() {
    let text = LADDER.replace("> 1_000", "> 300");
    let mut world = World::new(&text, enforcing());
    for host in 100..170 {
        let elder = world.come(&format!("9.9.9.{host}"), "electrum/4.5");
        world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    }
    world.poll();
    world.flood();
    let judgement = world.flood();
    let decision = only(&judgement);
    assert_eq!(decision.refused[0].net.to_string(), "9.9.9.0/24");
    assert_eq!(decision.refused[0].why, NoBan::Regulars);
    let banned: Vec<String> = decision.bans.iter().map(|it| it.net.to_string()).collect();
    assert!(banned.len() > 5, "{banned:?}");
    for (order, session) in decision.bans.iter().zip(&decision.sessions) {
        assert!(order.net.contains(&session.peer.0.unwrap().ip()));
    }
    assert!(!world.is_banned("9.9.9.150"));
    assert!(!world.is_banned("9.9.9.77"));
}

/// A server that is slow to close a session makes nobody come back.
#[test]
fn who_is_not_gone_yet_has_not_come_back() {
    let mut world = World::enforcing();
    let id = world.hoard("9.9.9.9");
    let snapshot = |world: &mut World| {
        world.scene.wait(10.0);
        let snapshot = world.scene.poll();
        world.warden.observe(&snapshot);
        world.warden.judge(&snapshot)
    };
    for _ in 0..4 {
        let judgement = snapshot(&mut world);
        let decision = only(&judgement);
        assert_eq!(decision.action, Action::Disconnect);
        let done = Outcome::Executed {
            detail: String::new(),
        };
        let at = world.scene.at();
        let decision = decision.clone();
        world.warden.settle(&decision, &done, 0, at);
    }
    assert!(world.scene.rows.iter().any(|row| row.id == id));
    assert!(world.strikes("9.9.9.9/32") <= 1.0);
}

#[test]
fn dry_run_climbs_the_same_ladder_apart() {
    let mut world = World::new(LADDER, Settings::default());
    world.hoard("9.9.9.9");
    assert_eq!(only(&world.poll()).action, Action::Disconnect);
    let id = world.hoard("9.9.9.9");
    let judgement = world.poll();
    let actions: Vec<_> = judgement
        .rulings
        .iter()
        .map(|it| &it.decision.action)
        .collect();
    assert!(actions.contains(&&ban(10)), "{actions:?}");
    assert!(world.is_banned("9.9.9.9"), "it would be");
    assert!(world.warden.penalties().bans.is_empty(), "and is not");
    assert_eq!(world.warden.saved_penalties().bans, []);
    // Who would be gone is told of once, and decided on no more.
    let late = world.come("9.9.9.9", "hog");
    let judgement = world.poll();
    let held_off: Vec<u64> = judgement.held_off.iter().map(|it| it.id).collect();
    assert!(
        held_off.contains(&late) && !held_off.contains(&id),
        "{held_off:?}"
    );
    assert!(world.poll().held_off.is_empty());
}

/// In dry-run nobody goes, so whoever would have been cut and goes on is one that came back.
#[test]
fn dry_run_climbs_with_who_goes_on() {
    let mut world = World::new(LADDER, Settings::default());
    world.hoard("9.9.9.9");
    let mut actions = Vec::new();
    for _ in 0..3 {
        let judgement = world.poll();
        let permitted = judgement.rulings.into_iter();
        let permitted = permitted.filter(|it| matches!(it.verdict, Verdict::Permitted { .. }));
        actions.extend(permitted.map(|ruling| ruling.decision.action));
    }
    assert_eq!(
        actions,
        [Action::Disconnect, ban(10)],
        "and then it is banned"
    );
}

#[test]
fn what_was_never_sent_is_no_strike_and_no_ban() {
    let mut world = World::enforcing();
    world.hoard("9.9.9.9");
    world.poll();
    world.hoard("9.9.9.9");
    world.scene.wait(10.0);
    let snapshot = world.scene.poll();
    world.warden.observe(&snapshot);
    let judgement = world.warden.judge(&snapshot);
    let decision = only(&judgement);
    assert_eq!(decision.action, ban(10));
    let failed = Outcome::Failed {
        detail: String::new(),
    };
    world.warden.settle(decision, &failed, 1, world.scene.at());
    assert!(!world.is_banned("9.9.9.9"));
    assert!(world.strikes("9.9.9.9/32") <= 1.0);
}

#[test]
fn a_budget_that_is_used_up_leaves_it_at_a_disconnect() {
    let mut settings = enforcing();
    settings.limits.ban.burst = 3;
    let mut world = World::new(LADDER, settings);
    for _ in 0..2 {
        for host in 1..=5 {
            world.hoard(&format!("9.{host}.9.9"));
        }
        world.poll();
    }
    let all = world.warden.penalties().bans.len();
    assert_eq!(all, 3);
    assert!(!world.scene.rows.iter().any(|row| row.client == "hog"));
}

#[test]
fn strikes_and_bans_outlive_the_agent() {
    let mut world = World::enforcing();
    for _ in 0..2 {
        world.hoard("9.9.9.9");
        world.hoard("9.9.8.8");
        world.poll();
        world.scene.wait(1.0);
    }
    let saved = world.warden.saved_penalties();
    world.warden = Warden::new(policies(LADDER), enforcing());
    assert_eq!(world.warden.restore_penalties(saved), []);
    world.come("9.9.9.9", "hog");
    world.poll();
    assert!(world.is_banned("9.9.9.9"));
    world.wait(10);
    world.hoard("9.9.9.9");
    assert_eq!(only(&world.poll()).action, ban(120), "the third strike");
}

/// Somebody is protected while the agent is away.
#[test]
fn who_is_protected_by_the_next_agent_is_let_in() {
    let saved = SavedPenalties {
        offenders: Vec::new(),
        bans: vec![
            ban_of("9.9.9.9/32", &[]),
            ban_of("9.9.8.0/24", &["9.9.8.5/32", "9.9.8.9/32"]),
            ban_of("9.9.7.7/32", &[]),
        ],
    };
    let mut settings = enforcing();
    let protected = ["9.9.9.9/32", "9.9.8.4/31", "9.9.8.9/32", "9.9.6.0/24"];
    settings.protection.addresses = protected
        .iter()
        .map(|net| net.parse::<IpNet>().unwrap())
        .collect();
    let mut warden = Warden::new(policies(LADDER), settings);
    let changed = warden.restore_penalties(saved.clone());
    assert_eq!(changed, [saved.bans[1].clone(), saved.bans[0].clone()]);
    let bans = warden.penalties().bans.all();
    let expected = [
        ban_of("9.9.7.7/32", &[]),
        ban_of("9.9.8.0/24", &["9.9.8.4/31", "9.9.8.9/32"]),
    ];
    assert_eq!(bans, expected);
    let news = warden.penalty_news().bans;
    let nets: Vec<String> = news
        .iter()
        .map(|(net, ban)| format!("{net} {}", ban.is_some()))
        .collect();
    assert_eq!(
        nets,
        ["9.9.8.0/24 true", "9.9.9.9/32 false"],
        "the journal is told"
    );
}

fn ban_of(net: &str, holes: &[&str]) -> Ban {
    Ban {
        net: net.parse().unwrap(),
        holes: holes.iter().map(|hole| hole.parse().unwrap()).collect(),
        begin: Timestamp::from_millis(0),
        end: Timestamp::from_millis(i64::MAX),
        by: BannedBy::Policy("hog".into()),
        kept_out: 0,
    }
}

#[test]
fn policies_see_strikes_and_bans() {
    let text = r#"
        [[policy]]
        name = "once"
        scope = "session"
        when = { pending_requests = "> 100", strikes = "< 0.5" }
        action = "disconnect"
        cooldown = "0s"

        [[policy]]
        name = "again"
        scope = "address"
        when = { subs = "> 100", strikes = ">= 0.5", banned = false }
        action = { ban = { for = "1h" } }
        cooldown = "0s"
    "#;
    let mut world = World::new(text, enforcing());
    let subscribe = |world: &mut World| {
        let id = world.come("9.9.9.9", "hog");
        world.scene.of(id).subs = 200;
        world.poll()
    };
    assert_eq!(subscribe(&mut world).rulings, [], "no strike yet");
    world.hoard("9.9.9.9");
    assert_eq!(&*only(&world.poll()).policy, "once");
    let judgement = world.poll();
    let decision = only(&judgement);
    assert_eq!(&*decision.policy, "again");
    assert_eq!(decision.action, ban(60));
}

/// What hosts do at a poll: 0 stays away, 1 hoards, 2 behaves.
fn doings() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..3_u8, 6), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No regular is ever cut or banned for what a neighbour does, and nobody who only behaves is.
    #[test]
    fn nobody_is_banned_for_others(doings in doings()) {
        let mut world = World::enforcing();
        // The first three hosts share their address with a regular.
        let mut elders = Vec::new();
        for host in 0..3 {
            let elder = world.come(&format!("9.9.9.{host}"), "electrum/4.5");
            world.scene.of(elder).since_ms -= 20 * HOUR_MS;
            elders.push(elder);
        }
        world.poll();
        let mut guilty = [false; 6];
        for poll in doings {
            for (host, doing) in poll.into_iter().enumerate() {
                let address = format!("9.9.9.{host}");
                match doing {
                    1 => {
                        guilty[host] = true;
                        world.hoard(&address);
                    }
                    2 => {
                        world.come(&address, "wallet");
                    }
                    _ => {}
                }
            }
            world.poll();
            for &elder in &elders {
                prop_assert!(world.scene.rows.iter().any(|row| row.id == elder));
            }
            for (host, &is_guilty) in guilty.iter().enumerate() {
                let is_banned = world.is_banned(&format!("9.9.9.{host}"));
                prop_assert!(!is_banned || (is_guilty && host >= 3), "host {}", host);
            }
        }
    }
}
