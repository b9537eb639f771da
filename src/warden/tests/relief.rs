//! Whether acts helped: loads before and after, of what was really done.

use std::time::Duration;

use crate::decision::{Outcome, Target};
use crate::limits::Verdict;
use crate::policy::Mode;
use crate::relief::Relief;
use crate::scene::{Scene, policies};
use crate::visit::{Felt, Visit, Visits};
use crate::warden::{FOLLOWED_MAX, Followed, Settings, Warden};

const HOG: &str = r#"
[[policy]]
name = "hog"
scope = "session"
when = { sent_rate = "> 100 kB/s" }
window = "20s"
action = "disconnect"
cooldown = "1h"
"#;

/// A hog that is disconnected after so many polls, and a quiet client.
struct Town {
    scene: Scene,
    warden: Warden,
    hog: Option<u64>,
    /// Between two polls.
    bytes: u64,
    polls: u64,
}

impl Town {
    fn new(mode: Mode) -> Self {
        let mut scene = Scene::new();
        scene.connect("9.9.9.9:1", "quiet");
        let hog = scene.connect("8.8.8.8:1", "hog");
        let settings = Settings {
            mode,
            ..Settings::default()
        };
        Self {
            scene,
            warden: Warden::new(policies(HOG), settings),
            hog: Some(hog),
            bytes: 2_000_000,
            polls: 0,
        }
    }

    /// A poll ten seconds later; gives what was told of earlier acts, and how many were done.
    fn poll(&mut self) -> (Vec<Followed>, usize) {
        self.scene.wait(10.0);
        self.polls += 1;
        if let Some(hog) = self.hog {
            self.scene.of(hog).sent += self.bytes;
        }
        let mut snapshot = self.scene.poll();
        // Wallets wait for as long as the hog is there.
        let felt = Felt {
            latency: Duration::from_millis(if self.hog.is_some() { 900 } else { 20 }),
            height: 5,
            certificate_ends: None,
        };
        snapshot.visits = Visits {
            made: vec![Visit {
                at: snapshot.at(),
                felt: Ok(felt),
            }],
            ..Visits::default()
        };
        self.warden.observe(&snapshot);
        let judgement = self.warden.judge(&snapshot);
        let mut done = 0;
        for ruling in judgement.rulings {
            let is_done =
                matches!(ruling.verdict, Verdict::Permitted { .. }) && ruling.mode == Mode::Enforce;
            let outcome = if is_done {
                Outcome::Executed {
                    detail: "disconnected".to_owned(),
                }
            } else {
                Outcome::DryRun
            };
            let at = snapshot.at();
            let is_followed = self.warden.settle(&ruling.decision, &outcome, 0, at);
            assert_eq!(is_followed, is_done);
            if is_done {
                done += 1;
                let hog = self.hog.take().unwrap();
                self.scene.leave(hog);
            }
        }
        (judgement.followed, done)
    }

    /// Polls for so long; gives the polls at which something was told.
    fn told(&mut self, polls: u64) -> Vec<(u64, Followed)> {
        let mut told = Vec::new();
        for _ in 0..polls {
            let (followed, _) = self.poll();
            told.extend(followed.into_iter().map(|news| (self.polls, news)));
        }
        told
    }

    fn until_done(&mut self) -> u64 {
        while self.poll().1 == 0 {
            assert!(self.polls < 20);
        }
        self.polls
    }
}

fn rates(relief: &Relief) -> Vec<Option<(u64, f64)>> {
    let looks = [Some(relief.before), relief.soon, relief.later];
    let target = looks.map(|load| load.and_then(|load| load.target));
    let rate = target.map(|it| it.map(|it| (it.sessions, it.bytes_per_s.unwrap().round())));
    rate.to_vec()
}

#[test]
fn an_act_is_followed_for_five_minutes() {
    let mut town = Town::new(Mode::Enforce);
    let done = town.until_done();
    let told = town.told(60);
    let polls: Vec<_> = told
        .iter()
        .map(|(poll, news)| (poll - done, news.is_last))
        .collect();
    assert_eq!(polls, [(3, false), (30, true)]);
    let (_, soon) = &told[0];
    assert_eq!(&*soon.policy, "hog");
    assert!(matches!(soon.target, Target::Session(_)));
    assert_eq!(
        rates(&soon.relief),
        [Some((1, 200_000.0)), Some((0, 0.0)), None]
    );
    let later = told[1].1.relief;
    assert_eq!(
        rates(&later),
        [Some((1, 200_000.0)), Some((0, 0.0)), Some((0, 0.0))]
    );
    assert_eq!(later.before.clients.sessions, 2);
    assert_eq!(later.before.felt_latency, Some(Duration::from_millis(900)));
    let now = later.later.unwrap();
    assert_eq!(now.clients.sessions, 1);
    assert_eq!(now.felt_latency, Some(Duration::from_millis(20)));
}

/// Who comes back under the same address is the same target.
#[test]
fn who_is_back_shows_that_it_did_not_help() {
    let mut town = Town::new(Mode::Enforce);
    town.until_done();
    town.hog = Some(town.scene.connect("8.8.8.8:2", "another"));
    town.bytes = 900_000;
    let told = town.told(3);
    assert_eq!(
        rates(&told[0].1.relief),
        [Some((1, 200_000.0)), Some((1, 90_000.0)), None]
    );
}

#[test]
fn nothing_is_told_of_what_was_not_done() {
    let mut town = Town::new(Mode::DryRun);
    assert_eq!(town.told(60), []);
}

/// A look that is much too late tells of something else.
#[test]
fn a_look_that_was_missed_is_not_made_up_for() {
    let mut town = Town::new(Mode::Enforce);
    town.until_done();
    town.scene.wait(100.0);
    let told = town.told(1);
    assert_eq!(rates(&told[0].1.relief), [Some((1, 200_000.0)), None, None]);
    assert!(!told[0].1.is_last);
    town.scene.wait(260.0);
    let told = town.told(1);
    assert_eq!(rates(&told[0].1.relief), [Some((1, 200_000.0)), None, None]);
    assert!(told[0].1.is_last);
    assert_eq!(town.told(5), []);
}

#[test]
fn a_restart_of_the_server_ends_it() {
    let mut town = Town::new(Mode::Enforce);
    town.until_done();
    town.scene.restart();
    assert_eq!(town.told(60), []);
}

/// More acts than can be followed: the first are, whatever comes.
#[test]
fn so_many_acts_are_followed_and_no_more() {
    let mut scene = Scene::new();
    scene.connect("8.8.8.8:1", "bad");
    let text = r#"
[[policy]]
name = "bad"
scope = "session"
when = { client = "=~ ^bad" }
action = "disconnect"
"#;
    scene.wait(10.0);
    let snapshot = scene.poll();
    let mut warden = Warden::new(policies(text), Settings::default());
    warden.observe(&snapshot);
    let decision = warden.judge(&snapshot).rulings.remove(0).decision;
    let done = Outcome::Executed {
        detail: String::new(),
    };
    let followed = (0..FOLLOWED_MAX + 50)
        .filter(|_| warden.settle(&decision, &done, 0, snapshot.at()))
        .count();
    assert_eq!(followed, FOLLOWED_MAX);
}
