//! What a person may change, what is refused, and what comes of it.

use std::time::Duration;

use ipnet::IpNet;

use super::bans::{HOUR_MS, LADDER, World, enforcing};
use crate::penalty::{BannedBy, ManualAct};
use crate::policy::Mode;
use crate::warden::{BanRequest, Lift, Lifted, PlannedBan, Refusal, Settings};

const HOUR: Duration = Duration::from_hours(1);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn request(text: &str) -> BanRequest {
    BanRequest {
        net: net(text),
        duration: HOUR,
        user: "user (1000)".into(),
        reason: "scans".into(),
        regulars_too: false,
    }
}

fn plan(world: &World, request: &BanRequest) -> Result<PlannedBan, Refusal> {
    world.warden.plan_ban(request, world.scene.at())
}

fn ban(world: &mut World, request: &BanRequest) -> Vec<String> {
    let planned = plan(world, request).unwrap();
    let holes = planned.ban.holes.iter().map(ToString::to_string).collect();
    world.warden.change_by_hand(&ManualAct::Ban(planned.ban));
    holes
}

fn lift(world: &mut World, what: &Lift) -> Lifted {
    let lifted = world.warden.plan_lift(what).unwrap();
    for act in &lifted.acts {
        world.warden.change_by_hand(act);
    }
    lifted
}

#[test]
fn who_is_banned_by_hand_goes_at_the_next_poll_and_stays_out() {
    let mut world = World::enforcing();
    let id = world.come("9.9.9.9", "wallet");
    let neighbour = world.come("9.9.9.8", "wallet");
    world.poll();
    assert_eq!(ban(&mut world, &request("9.9.9.9/32")), [""; 0]);
    let held_off = world.poll().held_off;
    assert_eq!(held_off.iter().map(|it| it.id).collect::<Vec<_>>(), [id]);
    assert!(world.scene.rows.iter().any(|row| row.id == neighbour));
    world.come("9.9.9.9", "wallet");
    assert_eq!(world.poll().held_off.len(), 1);
    let bans = world.warden.penalties().bans.all();
    assert_eq!(bans[0].kept_out, 2);
    let by = BannedBy::Hand {
        user: "user (1000)".into(),
        reason: "scans".into(),
    };
    assert_eq!(bans[0].by, by);
    world.wait(60);
    assert!(!world.is_banned("9.9.9.9"), "it ends by itself");
}

#[test]
fn what_must_not_be_banned_is_refused() {
    let mut settings = enforcing();
    settings.protection.own = std::iter::once(net("9.9.7.7/32")).collect();
    settings.protection.addresses = std::iter::once(net("9.9.6.0/24")).collect();
    settings.protection.clients = vec![regex::Regex::new("^mine$").unwrap()];
    let mut world = World::new(LADDER, settings);
    world.come("9.9.5.5", "mine");
    world.poll();
    let mut told = Vec::new();
    for text in [
        "0.0.0.0/0",
        "9.0.0.0/15",
        "2a00::/31",
        "127.0.0.1/32",
        "192.168.7.0/24",
        "100.64.0.0/16",
        "fe80::/64",
        "::/64",
        "9.9.7.7/32",
        "9.9.7.0/24",
        "9.9.6.6/32",
        "9.9.6.0/25",
        "9.9.5.5/32",
        // A regular of the crowd.
        "8.8.3.1/32",
    ] {
        let refusal = plan(&world, &request(text)).unwrap_err();
        told.push(format!("{text}: {refusal}"));
    }
    for duration in [0, 59, 366 * 86_400] {
        let request = BanRequest {
            duration: Duration::from_secs(duration),
            ..request("9.9.9.9/32")
        };
        assert_eq!(plan(&world, &request), Err(Refusal::Duration), "{duration}");
    }
    // Protected ones are not banned for a wish, either.
    let anyway = BanRequest {
        regulars_too: true,
        ..request("9.9.5.5/32")
    };
    told.push(format!("anyway: {}", plan(&world, &anyway).unwrap_err()));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn before_the_first_poll_nobody_is_known_and_so_nobody_is_banned() {
    let world = World::enforcing();
    let warden = crate::warden::Warden::new(crate::scene::policies(LADDER), enforcing());
    let refused = warden.plan_ban(&request("9.9.9.9/32"), world.scene.at());
    assert_eq!(refused, Err(Refusal::Unseen));
}

#[test]
fn regulars_and_protected_addresses_of_a_network_are_holes() {
    let mut settings = enforcing();
    settings.protection.addresses = std::iter::once(net("9.9.9.240/32")).collect();
    settings.protection.clients = vec![regex::Regex::new("^mine$").unwrap()];
    let mut world = World::new(LADDER, settings);
    let elder = world.come("9.9.9.200", "electrum/4.5");
    world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    world.come("9.9.9.100", "mine");
    world.poll();
    let all = ["9.9.9.100/32", "9.9.9.200/32", "9.9.9.240/32"];
    assert_eq!(ban(&mut world, &request("9.9.9.0/24")), all);
    assert!(world.is_banned("9.9.9.1"));
    assert!(!world.is_banned("9.9.9.200"));
    // The regular is away, and known all the same.
    world.scene.leave(elder);
    world.poll();
    let planned = plan(&world, &request("9.9.9.0/24")).unwrap();
    assert_eq!(planned.ban.holes.len(), 3);
    assert_eq!(
        planned.replaces,
        Some(world.warden.penalties().bans.all()[0].end)
    );
    let anyway = BanRequest {
        regulars_too: true,
        ..request("9.9.9.0/24")
    };
    assert_eq!(ban(&mut world, &anyway), ["9.9.9.100/32", "9.9.9.240/32"]);
    assert!(world.is_banned("9.9.9.200"));
    let elder = world.come("9.9.9.200", "electrum/4.5");
    let held_off = world.poll().held_off;
    assert!(held_off.iter().any(|it| it.id == elder), "and it holds");
}

#[test]
fn a_network_that_is_mostly_regulars_is_not_banned() {
    let mut world = World::enforcing();
    for host in 0..65 {
        let elder = world.come(&format!("9.9.9.{host}"), "electrum/4.5");
        world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    }
    world.poll();
    let refused = plan(&world, &request("9.9.9.0/24")).unwrap_err();
    assert!(
        matches!(refused, Refusal::Crowded { count: 65, .. }),
        "{refused}"
    );
}

#[test]
fn dry_run_bans_nobody_and_lifts_what_is_there() {
    let mut world = World::new(LADDER, Settings::default());
    assert_eq!(
        plan(&world, &request("9.9.9.9/32")),
        Err(Refusal::Mode(Mode::DryRun))
    );
    world.hoard("9.9.9.9");
    for _ in 0..3 {
        world.poll();
    }
    assert!(world.is_banned("9.9.9.9"), "it would be");
    assert_eq!(lift(&mut world, &Lift::All).bans, 1);
    assert!(!world.is_banned("9.9.9.9"));
}

#[test]
fn an_address_of_a_banned_subnet_gets_a_hole() {
    let mut world = World::enforcing();
    world.poll();
    ban(&mut world, &request("9.9.9.0/24"));
    ban(&mut world, &request("9.9.9.9/32"));
    ban(&mut world, &request("9.9.8.8/32"));
    let lifted = lift(&mut world, &Lift::Net(net("9.9.9.9/32")));
    assert_eq!((lifted.bans, lifted.holed), (1, vec![net("9.9.9.0/24")]));
    assert!(!world.is_banned("9.9.9.9"));
    assert!(world.is_banned("9.9.9.8") && world.is_banned("9.9.8.8"));
    let again = world.warden.plan_lift(&Lift::Net(net("9.9.9.9/32")));
    let told = again.unwrap_err().to_string();
    assert_eq!(told, "`9.9.9.9` is not banned, nor any part of it");
    // A wider hole takes in the narrower.
    lift(&mut world, &Lift::Net(net("9.9.9.8/30")));
    assert_eq!(
        world
            .warden
            .penalties()
            .bans
            .get(&net("9.9.9.0/24"))
            .unwrap()
            .holes,
        [net("9.9.9.8/30")]
    );
    // All that lies within a network ends with it.
    let lifted = lift(&mut world, &Lift::Net(net("9.9.0.0/16")));
    assert_eq!((lifted.bans, lifted.holed), (2, vec![]));
    assert!(world.warden.penalties().bans.is_empty());
}

#[test]
fn a_ban_gets_no_more_holes_than_a_thousand() {
    let mut world = World::enforcing();
    world.poll();
    ban(&mut world, &request("9.9.0.0/16"));
    for host in 0..1_000 {
        let part = net(&format!("9.9.{}.{}/32", host / 100, host % 100 * 2));
        lift(&mut world, &Lift::Net(part));
    }
    let refused = world.warden.plan_lift(&Lift::Net(net("9.9.200.1/32")));
    assert_eq!(refused, Err(Refusal::TooManyHoles(net("9.9.0.0/16"))));
}

#[test]
fn bans_by_a_policy_are_lifted_and_others_stay() {
    let mut world = World::enforcing();
    for _ in 0..2 {
        world.hoard("9.9.9.9");
        world.poll();
    }
    ban(&mut world, &request("9.9.8.8/32"));
    let hoarder = Lift::Policy("hoarder".into());
    assert_eq!(lift(&mut world, &hoarder).bans, 1);
    assert!(!world.is_banned("9.9.9.9") && world.is_banned("9.9.8.8"));
    let told = world.warden.plan_lift(&hoarder).unwrap_err().to_string();
    assert_eq!(told, "no ban by policy `hoarder` is in force");
    assert_eq!(lift(&mut world, &Lift::All).bans, 1);
    let told = world.warden.plan_lift(&Lift::All).unwrap_err().to_string();
    assert_eq!(told, "nobody is banned");
}

#[test]
fn a_pardon_forgets_strikes_and_makes_a_regular_one_again() {
    let mut world = World::enforcing();
    let elder = world.come("9.9.9.9", "electrum/4.5");
    world.scene.of(elder).since_ms -= 20 * HOUR_MS;
    world.poll();
    // It goes for what it did itself.
    world.scene.of(elder).pending = 5_000;
    world.poll();
    world.hoard("9.9.9.9");
    world.poll();
    let strikes = world.strikes("9.9.9.9/32");
    assert!(strikes > 0.9, "{strikes}");
    let is_blemished = |world: &World| {
        let clients = world.warden.saved_clients().clients;
        let client = clients.iter().find(|it| it.address == net("9.9.9.9/32"));
        client.unwrap().acted_at.is_some()
    };
    assert!(is_blemished(&world));
    let pardoned = world
        .warden
        .plan_pardon(&net("9.9.9.9/32"), world.scene.at());
    assert_eq!(pardoned.offenders, 1);
    assert!((pardoned.strikes - strikes).abs() < 0.01, "{pardoned:?}");
    let clients = world
        .warden
        .change_by_hand(&ManualAct::Pardon(net("9.9.9.9/32")));
    assert_eq!(clients, 1);
    assert!(world.strikes("9.9.9.9/32").abs() < f64::EPSILON);
    assert!(!is_blemished(&world));
}

#[test]
fn a_pardon_lifts_no_ban_and_says_so() {
    let mut world = World::enforcing();
    world.poll();
    ban(&mut world, &request("9.9.9.0/24"));
    let pardoned = world
        .warden
        .plan_pardon(&net("9.9.9.9/32"), world.scene.at());
    assert_eq!(
        (pardoned.offenders, pardoned.banned_until),
        (0, Some(world.scene.at() + HOUR))
    );
    world
        .warden
        .change_by_hand(&ManualAct::Pardon(net("9.9.9.9/32")));
    assert!(world.is_banned("9.9.9.9"));
}

/// It would be the first to go for want of room.
#[test]
fn a_ban_that_ends_before_all_others_is_refused_where_there_is_no_room() {
    let mut settings = enforcing();
    settings.bounds.penalties.bans_max = 2;
    let mut world = World::new(LADDER, settings);
    world.poll();
    let lasting = |text, hours| BanRequest {
        duration: HOUR * hours,
        ..request(text)
    };
    ban(&mut world, &lasting("9.9.9.1/32", 2));
    ban(&mut world, &lasting("9.9.9.2/32", 3));
    assert_eq!(plan(&world, &lasting("9.9.9.3/32", 1)), Err(Refusal::Full));
    ban(&mut world, &lasting("9.9.9.1/32", 1));
    ban(&mut world, &lasting("9.9.9.3/32", 2));
    assert!(
        !world.is_banned("9.9.9.1") && world.is_banned("9.9.9.2") && world.is_banned("9.9.9.3")
    );
}
