//! What goes on over a restart of the agent.

use std::time::Duration;

use super::world::{Fault, Nature, STEP, World};
use crate::decision::Decision;
use crate::scene::{Scene, policies};
use crate::visit::Visits;
use crate::warden::{Ongoing, Settings, Warden};

const TEN: Duration = Duration::from_secs(10);

const STALLED: &str = r#"
[[policy]]
name = "stalled"
scope = "server"
when = { daemon_stalled = "> 30m" }
action = "alert"
"#;

const DOWN: &str = r#"
[[policy]]
name = "down"
scope = "server"
when = { rpc_down = "> 30m" }
action = "alert"
"#;

const HOG: &str = r#"
[[policy]]
name = "hog"
scope = "session"
when = { sent_rate = "> 100 kB/s" }
window = "60s"
for = "20m"
action = "disconnect"
"#;

/// A server with an agent that is started again and again.
struct Town {
    scene: Scene,
    text: String,
    warden: Warden,
    hog: u64,
    hogs: bool,
    answers: bool,
}

impl Town {
    fn new(text: &str) -> Self {
        let mut scene = Scene::new();
        let hog = scene.connect("8.8.8.8:1", "hog");
        Self {
            scene,
            text: text.to_owned(),
            warden: Warden::new(policies(text), Settings::default()),
            hog,
            hogs: true,
            answers: true,
        }
    }

    fn pass(&mut self) {
        self.scene.wait(TEN.as_secs_f64());
        if self.hogs {
            self.scene.of(self.hog).sent += 2_000_000;
        }
    }

    fn poll(&mut self) -> Vec<Decision> {
        self.pass();
        let judgement = if self.answers {
            let snapshot = self.scene.poll();
            self.warden.observe(&snapshot);
            self.warden.judge(&snapshot)
        } else {
            self.warden
                .missed(self.scene.at(), self.scene.epoch, &[], &Visits::default())
        };
        let rulings = judgement.rulings.into_iter();
        rulings.map(|ruling| ruling.decision).collect()
    }

    /// For how many minutes it takes until something is due, in an hour.
    fn due_after_min(&mut self, restart: impl Fn(&mut Self, u32)) -> Option<u32> {
        for poll in 1..360 {
            if !self.poll().is_empty() {
                return Some(poll / 6);
            }
            restart(self, poll);
        }
        None
    }

    /// The agent is gone for so many intervals of ten seconds.
    fn restart(&mut self, intervals: u32) {
        let saved = self.saved();
        (0..intervals).for_each(|_| self.pass());
        self.begin(&saved);
    }

    fn saved(&self) -> String {
        serde_json::to_string(&self.warden.ongoing(self.scene.at())).unwrap()
    }

    fn begin(&mut self, saved: &str) {
        self.scene.epoch.0 += 1;
        self.warden = Warden::new(policies(&self.text), Settings::default());
        let ongoing: Ongoing = serde_json::from_str(saved).unwrap();
        self.warden.resume(ongoing.clone());
        assert_eq!(
            self.warden.ongoing(self.scene.at()),
            ongoing,
            "saved at once"
        );
    }
}

/// Every ten minutes, for half a minute.
fn often(town: &mut Town, poll: u32) {
    if poll.is_multiple_of(60) {
        town.restart(3);
    }
}

fn never(_: &mut Town, _: u32) {}

#[test]
fn a_height_that_stands_still_is_told_of_in_time() {
    let plain = Town::new(STALLED).due_after_min(never);
    assert_eq!(plain, Some(30));
    let often = Town::new(STALLED).due_after_min(often);
    // The restarts are not polls.
    assert_eq!(often, Some(29));
}

#[test]
fn an_outage_is_told_of_in_time() {
    for polled in [0, 1] {
        let mut town = Town::new(DOWN);
        for _ in 0..polled {
            town.poll();
        }
        town.answers = false;
        assert_eq!(town.due_after_min(often), Some(29), "{polled}");
    }
}

#[test]
fn a_session_goes_on_where_it_was_and_the_restart_does_not_count() {
    assert_eq!(Town::new(HOG).due_after_min(never), Some(20));
    let due = Town::new(HOG).due_after_min(|town, poll| {
        // Of somebody new everything is known sooner.
        if poll.is_multiple_of(7) {
            town.scene.connect("9.9.9.9:1", "new");
        }
        often(town, poll);
    });
    // The window is covered anew after each of two restarts.
    assert!((20..=24).contains(&due.unwrap()), "{due:?}");
}

#[test]
fn whoever_pauses_over_the_restart_begins_anew() {
    let due = Town::new(HOG).due_after_min(|town, poll| {
        if poll == 60 {
            town.hogs = false;
            town.restart(3);
        }
        town.hogs = !(60..70).contains(&poll);
    });
    assert!(due.unwrap() > 31, "{due:?}");
}

#[test]
fn after_too_long_or_backwards_all_begins_anew() {
    for text in [STALLED, HOG] {
        let long = |town: &mut Town, poll| {
            if poll == 60 {
                town.restart(31);
            }
        };
        assert!(Town::new(text).due_after_min(long).unwrap() >= 30);
        let back = |town: &mut Town, poll| {
            if poll == 60 {
                let saved = town.saved();
                town.scene.now_ms -= 60_000;
                town.scene.started_ms -= 60_000;
                town.begin(&saved);
            }
        };
        assert!(Town::new(text).due_after_min(back).unwrap() >= 30);
    }
}

/// The server did not answer at first: the last answer is what counts.
#[test]
fn an_answer_that_comes_too_late_begins_anew() {
    let due = Town::new(STALLED).due_after_min(|town, poll| match poll {
        60 => {
            town.restart(3);
            town.answers = false;
        }
        100 => town.answers = true,
        _ => {}
    });
    assert!(due.unwrap() > 45, "{due:?}");
}

#[test]
fn a_policy_that_was_changed_begins_anew() {
    let due = Town::new(HOG).due_after_min(|town, poll| {
        if poll == 60 {
            town.text = HOG.replace("100 kB/s", "101 kB/s");
            town.restart(3);
        }
    });
    assert!(due.unwrap() > 30, "{due:?}");
}

#[test]
fn a_daemon_stays_what_it_was_for_as_long_as_it_was() {
    let mut world = World::of(1, Nature::default(), |_| {});
    world.run(STEP * 200);
    world.break_daemon(1, Fault::Down);
    world.run(STEP * 60);
    let of = |world: &World| {
        let daemon = &world.warden.daemons().daemons()[1];
        (
            daemon.state.clone(),
            daemon.since,
            daemon.health.up(),
            daemon.health.since(),
        )
    };
    let before = of(&world);
    world.restart_agent();
    assert_eq!(world.warden.daemons().primary(), None, "not heard yet");
    world.run(STEP * 2);
    assert_eq!(of(&world), before);
    assert_eq!(before.2, Some(false));
}
