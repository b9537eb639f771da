//! On whom of a target's members a decision falls.

use proptest::prelude::*;

use super::{Judge, ids, policy};
use crate::decision::{Choice, ChosenBy, Suppression};
use crate::engine::Proposal;
use crate::scene::Scene;

const HOUR_MS: i64 = 3_600_000;

/// What a session sends between two polls that are ten seconds apart, at so many kB/s.
const fn sends(kb_per_s: u64) -> u64 {
    kb_per_s * 10_000
}

/// A server with people at it, each with what it takes.
struct Town {
    judge: Judge,
    scene: Scene,
    takes: Vec<(u64, u64)>,
}

impl Town {
    /// With twenty quiet clients elsewhere, so that something is normal.
    fn new(text: &str) -> Self {
        Self::protecting(text, &[])
    }

    fn protecting(text: &str, nets: &[&str]) -> Self {
        let mut town = Self {
            judge: Judge::protecting(text, nets, &[]),
            scene: Scene::new(),
            takes: Vec::new(),
        };
        for i in 0..20 {
            town.regular(&format!("9.9.{i}.9:1"), 1);
        }
        town
    }

    /// Connected for long.
    fn regular(&mut self, peer: &str, kb_per_s: u64) -> u64 {
        let id = self.stranger(peer, kb_per_s);
        self.scene.of(id).since_ms -= 10 * HOUR_MS;
        id
    }

    /// Connected just now.
    fn stranger(&mut self, peer: &str, kb_per_s: u64) -> u64 {
        let id = self.scene.connect(peer, "wallet");
        self.takes.push((id, kb_per_s));
        id
    }

    fn leave(&mut self, id: u64) {
        self.scene.leave(id);
        self.takes.retain(|&(other, _)| other != id);
    }

    /// Ten seconds, and a poll.
    fn pass(&mut self) -> Vec<Proposal> {
        for &(id, kb_per_s) in &self.takes {
            if let Some(row) = self.scene.rows.iter_mut().find(|row| row.id == id) {
                row.sent += sends(kb_per_s);
            }
        }
        self.scene.wait(10.0);
        self.judge.see(&self.scene)
    }

    /// The proposals of the last of so many polls.
    fn after(&mut self, polls: usize) -> Vec<Proposal> {
        let mut proposals = Vec::new();
        for _ in 0..polls {
            proposals = self.pass();
        }
        proposals
    }
}

fn hog(scope: &str, more: &str) -> String {
    policy(
        "p",
        scope,
        "{ sent_rate = \"> 1 MB/s\" }",
        &format!("window = \"30s\"\n{more}"),
    )
}

fn choice(proposal: &Proposal) -> &Choice {
    proposal.decision.choice.as_ref().unwrap()
}

fn sorted(proposal: &Proposal) -> Vec<u64> {
    let mut ids = ids(proposal);
    ids.sort_unstable();
    ids
}

#[test]
fn the_hog_goes_and_its_neighbours_stay() {
    let mut town = Town::new(&hog("subnet", ""));
    for i in 100..130 {
        town.regular(&format!("8.8.8.{i}:1"), 2);
    }
    let hog = town.stranger("8.8.8.7:1", 3_000);
    let proposals = town.after(4);
    assert_eq!(proposals.len(), 1);
    assert_eq!(ids(&proposals[0]), [hog]);
    let choice = choice(&proposals[0]);
    assert_eq!(choice.by, ChosenBy::Part);
    assert_eq!((choice.members, choice.chosen), (31, 1));
    assert_eq!((choice.outliers, choice.strangers), (1, 0));
    assert!((choice.rest - 60_000.0).abs() < 1.0, "{choice:?}");
    assert_eq!(
        choice.to_string(),
        "1 of 31 sessions (1 out of the ordinary), leaving sent_rate at 58.6 KiB/s"
    );
}

#[test]
fn a_regular_that_hogs_goes_before_strangers_that_do_nothing() {
    let mut town = Town::new(&hog("subnet", ""));
    for i in 100..110 {
        town.stranger(&format!("8.8.8.{i}:1"), 0);
    }
    let hog = town.regular("8.8.8.7:1", 3_000);
    assert_eq!(ids(&town.after(4)[0]), [hog]);
}

#[test]
fn a_crowd_of_regulars_behind_one_address_is_left_alone() {
    for scope in ["address", "subnet"] {
        let mut town = Town::new(&hog(scope, ""));
        for port in 1..=300 {
            town.regular(&format!("8.8.8.8:{port}"), 20);
        }
        let proposals = town.after(4);
        assert_eq!(proposals[0].barred, Some(Suppression::NobodyStandsOut));
        assert!(ids(&proposals[0]).is_empty());
        assert_eq!(choice(&proposals[0]).regulars, 300);
        // One of them hogs: it goes alone.
        let hog = town.stranger("8.8.8.8:999", 3_000);
        assert_eq!(ids(&town.after(4)[0]), [hog], "{scope}");
    }
}

#[test]
fn all_members_go_if_the_policy_says_so() {
    let mut town = Town::new(&hog("subnet", "members = \"all\""));
    let neighbour = town.regular("8.8.8.8:1", 0);
    let hog = town.stranger("8.8.8.7:1", 3_000);
    assert_eq!(ids(&town.after(4)[0]), [neighbour, hog]);
}

#[test]
fn who_is_spared_is_no_evidence_against_others() {
    let mut town = Town::protecting(&hog("subnet", ""), &["8.8.8.8/32"]);
    town.regular("8.8.8.8:1", 3_000);
    for i in 1..6 {
        town.stranger(&format!("8.8.8.{i}:1"), 1);
    }
    let proposals = town.after(4);
    assert_eq!(proposals[0].barred, Some(Suppression::NobodyStandsOut));
    let choice = choice(&proposals[0]);
    assert!(choice.rest < choice.threshold);
    // The same by the policy's own exception.
    let text = hog("subnet", "unless = { address = \"in 8.8.8.8\" }");
    let mut town = Town::new(&text);
    town.regular("8.8.8.8:1", 3_000);
    town.stranger("8.8.8.9:1", 1);
    assert!(ids(&town.after(4)[0]).is_empty());
}

#[test]
fn strangers_who_do_the_same_go_until_the_rest_is_below() {
    let mut town = Town::new(&hog("subnet", ""));
    let quiet: Vec<u64> = (100..105)
        .map(|i| town.stranger(&format!("8.8.8.{i}:1"), 0))
        .collect();
    for i in 1..=30 {
        town.stranger(&format!("8.8.8.{i}:1"), 50);
    }
    let proposals = town.after(4);
    // 1,500 kB/s are 500 too many, and exactly 1,000 are not more than 1,000.
    assert_eq!(ids(&proposals[0]).len(), 10);
    assert!(ids(&proposals[0]).iter().all(|id| !quiet.contains(id)));
    let choice = choice(&proposals[0]);
    assert_eq!((choice.outliers, choice.strangers), (0, 10));
}

#[test]
fn a_load_balancer_whose_network_fails_makes_nobody_guilty() {
    let brief = policy(
        "p",
        "address",
        "{ brief_sessions = \"> 4\" }",
        "window = \"2m\"",
    );
    let mut town = Town::new(&brief);
    let mut crowd: Vec<u64> = (1..=40)
        .map(|port| town.regular(&format!("8.8.8.8:{port}"), 1))
        .collect();
    town.after(13);
    for connection in 1..6 {
        // All of them are back at once; the second time they had been there for ten seconds.
        for (port, id) in (1..).zip(&mut crowd) {
            town.leave(*id);
            *id = town.stranger(&format!("8.8.8.8:{}", connection * 100 + port), 1);
            if connection > 2 {
                break;
            }
        }
        let proposals = town.pass();
        assert!(
            proposals.iter().all(|it| ids(it).is_empty()),
            "{connection}"
        );
    }
}

/// Visits last for ten seconds, a subnet's addresses take turns. Whom each poll hits.
fn take_turns(addresses: u32, polls: u32, visits: u32) -> Vec<Vec<u64>> {
    let mut town = Town::new(&policy(
        "p",
        "subnet",
        "{ brief_addresses = \"> 5\" }",
        "window = \"2m\"",
    ));
    let quiet = town.regular("8.8.8.200:1", 1);
    let mut hit = Vec::new();
    let (mut there, mut newcomer) = (None, 0);
    for poll in 0..polls {
        if let Some(id) = there.take() {
            town.leave(id);
        }
        // A newcomer whose network fails once.
        match polls - poll {
            1 | 3 => newcomer = town.stranger("8.8.8.100:1", 1),
            2 => town.leave(newcomer),
            _ => {}
        }
        if poll < addresses * visits {
            there = Some(town.stranger(&format!("8.8.8.{}:{poll}", poll % addresses), 1));
        }
        hit.push(town.pass().iter().flat_map(ids).collect());
    }
    assert!(hit.iter().flatten().all(|&id| id != quiet));
    hit
}

#[test]
fn who_goes_from_address_to_address_is_hit_though_the_others_are_not_there() {
    let hit = take_turns(6, 16, 3);
    assert!(hit.iter().flatten().count() >= 2, "{hit:?}");
}

#[test]
fn who_comes_and_goes_once_is_not_blamed_for_those_who_are_gone() {
    // As many addresses, once each; then only the newcomer is there, back after ten seconds.
    let hit = take_turns(12, 16, 1);
    assert_eq!(hit.iter().flatten().count(), 0, "{hit:?}");
}

#[test]
fn a_regular_at_a_busy_moment_is_not_hit_in_the_place_of_hogs_beside_it() {
    let mut town = Town::new(&hog("subnet", ""));
    let victim = town.regular("8.8.8.200:1", 120);
    for i in 1..=12 {
        town.stranger(&format!("8.8.8.{i}:1"), 100);
    }
    for _ in 0..6 {
        for proposal in town.pass() {
            assert!(!ids(&proposal).contains(&victim));
        }
    }
}

#[test]
fn idle_strangers_do_not_go_for_what_regulars_do() {
    let mut town = Town::new(&hog("subnet", ""));
    for i in 1..=30 {
        town.regular(&format!("8.8.8.{i}:1"), 50);
    }
    for i in 100..105 {
        town.stranger(&format!("8.8.8.{i}:1"), 1);
    }
    let proposals = town.after(4);
    assert_eq!(proposals[0].barred, Some(Suppression::NobodyStandsOut));
}

#[test]
fn who_reconnects_under_other_names_is_found_by_its_address() {
    let mut town = Town::new(&hog("subnet", ""));
    for i in 100..130 {
        town.regular(&format!("8.8.8.{i}:1"), 1);
    }
    let mut found = Vec::new();
    for round in 0..8 {
        let id = town
            .scene
            .connect(&format!("8.8.8.7:{}", round + 1), &format!("n{round}"));
        town.takes.push((id, 3_000));
        found = town.pass().iter().map(ids).collect();
        if found.is_empty() {
            town.scene.leave(id);
        } else {
            assert_eq!(found, [vec![id]], "{round}");
            break;
        }
    }
    assert_eq!(found.len(), 1);
}

#[test]
fn a_cap_keeps_the_oldest() {
    for scope in ["address", "subnet"] {
        let text = policy("p", scope, "{ sessions = \"> 20\" }", "");
        let mut town = Town::new(&text);
        let old: Vec<u64> = (1..=20)
            .map(|port| town.regular(&format!("8.8.8.8:{port}"), 0))
            .collect();
        assert!(town.pass().is_empty());
        let new: Vec<u64> = (1..=5)
            .map(|port| {
                let host = if scope == "address" { 8 } else { 9 };
                town.stranger(&format!("8.8.8.{host}:{}", 100 + port), 0)
            })
            .collect();
        let proposals = town.pass();
        assert_eq!(sorted(&proposals[0]), new, "{scope}");
        assert_eq!(choice(&proposals[0]).by, ChosenBy::Newest);
        assert!(old.iter().all(|id| !ids(&proposals[0]).contains(id)));
    }
}

#[test]
fn of_an_address_that_comes_and_goes_only_what_is_new_goes() {
    let text = policy(
        "p",
        "address",
        "{ brief_sessions = \"> 3\" }",
        "window = \"1m\"",
    );
    let mut town = Town::new(&text);
    // Younger than the crowd, so a stranger; but it has been there all along.
    let resident = town.stranger("8.8.8.8:1", 0);
    town.scene.of(resident).since_ms -= 600_000;
    let mut hit = Vec::new();
    for port in 2..12 {
        let id = town.stranger(&format!("8.8.8.8:{port}"), 0);
        hit.extend(town.pass().iter().flat_map(ids));
        town.scene.leave(id);
    }
    assert!(!hit.is_empty());
    assert!(!hit.contains(&resident), "{hit:?}");
}

#[test]
fn one_brief_address_makes_no_botnet_of_its_neighbours() {
    let text = policy(
        "p",
        "subnet",
        "{ brief_addresses = \"> 3\" }",
        "window = \"1m\"",
    );
    let mut town = Town::new(&text);
    for i in 100..130 {
        town.regular(&format!("8.8.8.{i}:1"), 0);
    }
    for port in 1..20 {
        let id = town.stranger(&format!("8.8.8.8:{port}"), 0);
        assert!(town.pass().is_empty());
        town.scene.leave(id);
    }
    // Five do: only they go, and of those no more than need be.
    let mut hit = Vec::new();
    for round in 0..8 {
        let ids_now: Vec<u64> = (1..=5)
            .map(|host| town.stranger(&format!("8.8.8.{host}:{}", round + 1), 0))
            .collect();
        for proposal in town.pass() {
            let going = ids(&proposal);
            assert!(going.iter().all(|id| ids_now.contains(id)));
            hit.push(going.len());
        }
        for id in ids_now {
            town.scene.leave(id);
        }
    }
    assert!(!hit.is_empty());
}

#[test]
fn users_of_tor_in_one_group_are_judged_one_by_one() {
    let text = policy(
        "p",
        "group",
        "{ sent_rate = \"> 1 MB/s\" }",
        "window = \"30s\"",
    );
    let mut town = Town::new(&text);
    for port in 1..=40 {
        town.regular(&format!("127.0.0.1:{port}"), 2);
    }
    let hog = town.stranger("127.0.0.1:999", 3_000);
    town.scene.groups = vec![("127.0.0".into(), 41)];
    assert_eq!(ids(&town.after(4)[0]), [hog]);
}

#[test]
fn users_of_tor_are_never_acted_on_as_a_whole() {
    for (scope, when, more) in [
        ("group", "{ sent_rate = \"> 1 MB/s\" }", "members = \"all\""),
        ("group", "{ group = \"127.0.0\" }", ""),
        (
            "address",
            "{ address = \"in 127.0.0.1\" }",
            "include_private = true",
        ),
        (
            "subnet",
            "{ private = true }",
            "include_private = true\nmembers = \"all\"",
        ),
    ] {
        let more = format!("window = \"30s\"\n{more}");
        let mut town = Town::new(&policy("p", scope, when, &more));
        for port in 1..=5 {
            town.stranger(&format!("127.0.0.1:{port}"), 1_000);
        }
        town.scene.groups = vec![("127.0.0".into(), 5)];
        let proposals = town.after(4);
        assert_eq!(proposals.len(), 1, "{scope} {when}");
        assert!(ids(&proposals[0]).is_empty(), "{scope} {when}");
        assert!(proposals[0].barred.is_some());
    }
}

#[test]
fn whom_the_tests_name_goes_without_further_questions() {
    let text = policy("p", "client", "{ client = \"wallet\" }", "");
    let mut town = Town::new(&text);
    let proposals = town.pass();
    assert_eq!(ids(&proposals[0]).len(), 20);
    assert_eq!(proposals[0].decision.choice, None);
}

proptest! {
    /// Whatever everybody takes: nobody goes without an even share of the threshold, no regular with
    /// less than a quarter of it, and nobody more once the rest is below.
    #[test]
    fn it_falls_on_those_who_did_it(
        members in prop::collection::vec((any::<bool>(), 0_u64..1_500), 1..40)
    ) {
        let mut town = Town::new(&hog("subnet", ""));
        let mut parts = std::collections::BTreeMap::new();
        for (i, &(is_regular, kb_per_s)) in members.iter().enumerate() {
            let peer = format!("8.8.8.{}:1", i + 1);
            let id = if is_regular {
                town.regular(&peer, kb_per_s)
            } else {
                town.stranger(&peer, kb_per_s)
            };
            parts.insert(id, (is_regular, kb_per_s * 1_000));
        }
        let sum: u64 = parts.values().map(|&(_, part)| part).sum();
        let proposals = town.after(4);
        prop_assert_eq!(proposals.len(), usize::from(sum > 1_000_000));
        let Some(proposal) = proposals.first() else {
            return Ok(());
        };
        let (mut rest, mut left) = (sum, parts.len() as u64);
        for id in ids(proposal) {
            let (is_regular, part) = parts[&id];
            prop_assert!(rest > 1_000_000, "one too many");
            prop_assert!(part * left >= 1_000_000, "less than its share: {part} of {left}");
            prop_assert!(!is_regular || part >= 250_000, "a regular with {part}");
            (rest, left) = (rest - part, left - 1);
        }
        prop_assert!((choice(proposal).rest - rest as f64).abs() < 1.0);
    }
}
