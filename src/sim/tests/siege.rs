//! Worlds under attack, before any agent comes.

use std::collections::{BTreeSet, HashSet};

use super::*;

/// Until the attack is in full swing.
const SWING: Duration = Duration::from_secs(90);

fn quick() -> impl Iterator<Item = Attack> {
    // Sleepers do no harm for an hour.
    let all = Attack::ALL.into_iter();
    all.filter(|attack| *attack != Attack::Sleepers)
}

fn under(attack: Attack, seed: u64) -> World {
    World::under(attack, attack.releases()[0], seed)
}

#[test]
fn names_are_unique_and_lead_back() {
    let names: BTreeSet<&str> = Attack::ALL.iter().map(|attack| attack.name()).collect();
    assert_eq!(names.len(), Attack::ALL.len());
    for attack in Attack::ALL {
        assert_eq!(Attack::named(attack.name()), Some(attack));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(attack.name().chars().all(is_plain), "{attack}");
    }
    assert_eq!(Attack::named("all"), None);
}

#[test]
fn each_attack_begins_after_a_quiet_minute_and_does_its_harm() {
    for attack in quick() {
        let mut world = under(attack, 1);
        world.advance(attack.begins());
        assert_eq!(
            (world.abuse_from(), world.abuse()),
            (None, Abuse::default())
        );
        world.advance(SWING);
        for harm in attack.harms() {
            assert!(world.abuse().of(*harm) > 0.0, "{attack}: {}", harm.label());
        }
        assert_eq!(world.abuse_from().is_some(), !attack.harms().is_empty());
        assert!(world.records().all(|(_, record)| record.disconnects == 0));
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let sessions = |seed| {
        let mut world = under(Attack::HogNeighbours, seed);
        world.advance(SWING);
        world.reply("sessions").unwrap()
    };
    assert_eq!(sessions(4), sessions(4));
    assert_ne!(sessions(4), sessions(5));
}

#[test]
fn the_honest_are_there_before_the_attack_and_strangers_come() {
    for attack in quick() {
        let mut world = under(attack, 2);
        world.advance(attack.begins() / 2);
        let roles = |role| {
            let of_role = world.records().filter(|(_, record)| record.role == role);
            of_role
                .filter(|(_, record)| record.met_at.is_some())
                .count()
        };
        assert!(roles(Role::Regular) >= 60, "{attack}");
        assert!(roles(Role::Newcomer) > 0, "{attack}");
        assert_eq!(roles(Role::Abuser) + roles(Role::Decoy), 0, "{attack}");
    }
}

#[test]
fn adversaries_come_back_within_seconds_however_often_they_are_cut() {
    let mut world = under(Attack::ThirtySubnets, 1);
    world.advance(SWING);
    for _ in 0..20 {
        let abusers: HashSet<ActorId> = world
            .records()
            .filter(|(_, record)| record.role == Role::Abuser)
            .map(|(id, _)| id)
            .collect();
        let here = world.sessions().as_slice().iter();
        let keys: Vec<SessionKey> = here
            .filter(|session| {
                session
                    .arrival
                    .actor
                    .is_some_and(|id| abusers.contains(&id))
            })
            .map(|session| session.key)
            .collect();
        assert_eq!(keys.len(), 30);
        for key in keys {
            world.disconnect(key);
        }
        world.advance(Duration::from_secs(3));
    }
}

#[test]
fn a_scout_shows_the_dodgers_when_a_poll_is_over() {
    let mut world = under(Attack::PollDodgers, 1);
    world.advance(SWING);
    for _ in 0..5 {
        let scouts = world.sessions().as_slice().iter();
        let key = scouts
            .filter(|s| s.arrival.client == "<")
            .map(|s| s.key)
            .next();
        world.disconnect(key.expect("it is back"));
        let dodgers = |world: &World| {
            let octets = crate::sim::people::ABUSIVE_OCTETS;
            let sessions = world.sessions().as_slice().iter();
            let is_dodger = |peer: SocketAddr| match peer.ip() {
                std::net::IpAddr::V4(ip) => octets.contains(&ip.octets()[0]),
                std::net::IpAddr::V6(_) => false,
            };
            sessions.filter(|s| is_dodger(s.arrival.peer)).count()
        };
        world.advance(Duration::from_secs(2));
        assert_eq!(dodgers(&world), 6);
        // By then the first poll may come that they do not know of.
        world.advance(Duration::from_millis(4_660));
        assert_eq!(dodgers(&world), 0);
    }
}

#[test]
fn who_is_cut_by_mistake_is_told_of_once() {
    let mut world = under(Attack::HogNeighbours, 1);
    world.advance(SWING);
    world.events();
    for _ in 0..2 {
        let keys: Vec<SessionKey> = world.sessions().as_slice().iter().map(|s| s.key).collect();
        for key in keys {
            world.disconnect(key);
        }
        world.advance(Duration::from_secs(20));
    }
    let texts: Vec<String> = world.events().into_iter().map(|event| event.text).collect();
    let mistakes = texts
        .iter()
        .filter(|text| text.starts_with("by mistake: a "));
    assert!((1..=2).contains(&mistakes.count()), "{texts:?}");
    assert!(texts[0].ends_with("more of the honest"), "{texts:?}");
}
