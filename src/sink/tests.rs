use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;
use crate::penalty::tests::{at, ban, net};

fn began(ban: Ban) -> (IpNet, Option<Ban>) {
    (ban.net, Some(ban))
}

fn seconds(until: Timestamp) -> i64 {
    (until.as_millis() - at(0).as_millis()) / 1_000
}

fn told(changes: &Changes) -> (Vec<(String, i64)>, Vec<String>) {
    let held = changes.held.iter();
    let held = held.map(|(net, hold)| (net.to_string(), seconds(hold.until)));
    let lifted = changes.lifted.iter().map(ToString::to_string);
    (held.collect(), lifted.collect())
}

#[test]
fn a_ban_with_holes_is_told_as_its_pieces_and_lifted_as_them() {
    let mut book = Book::default();
    let changes = book.take([began(ban("203.0.113.0/30", &["203.0.113.1/32"], 9))]);
    let pieces = ["203.0.113.0/32", "203.0.113.2/31"].map(str::to_owned);
    let held: Vec<_> = pieces.iter().map(|piece| (piece.clone(), 9)).collect();
    assert_eq!(told(&changes), (held, vec![]));
    let changes = book.take([(net("203.0.113.0/30"), None)]);
    assert_eq!(told(&changes), (vec![], pieces.to_vec()));
}

#[test]
fn what_another_ban_comes_to_as_well_stays_out() {
    let mut book = Book::default();
    book.take([
        began(ban("203.0.113.0/31", &["203.0.113.1/32"], 9)),
        began(ban("203.0.113.0/32", &[], 20)),
    ]);
    let changes = book.take([(net("203.0.113.0/32"), None)]);
    let shorter = vec![("203.0.113.0/32".to_owned(), 9)];
    assert_eq!(told(&changes), (shorter, vec![]));
    let changes = book.take([(net("203.0.113.0/31"), None)]);
    assert_eq!(told(&changes), (vec![], vec!["203.0.113.0/32".to_owned()]));
    assert!(book.take([(net("203.0.113.0/31"), None)]).is_empty());
}

/// A sink that does as it is told, if it is not broken.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    holds: BTreeMap<IpNet, Timestamp>,
    is_broken: bool,
    takes: Duration,
    reconciled: Vec<Instant>,
}

impl Sink for Fake {
    const NAME: &'static str = "fake";

    async fn apply(&mut self, changes: &Changes, _: Timestamp) -> Result<(), String> {
        let takes = self.0.lock().unwrap().takes;
        sleep(takes).await;
        let mut state = self.0.lock().unwrap();
        if state.is_broken {
            return Err("it is broken".to_owned());
        }
        for net in &changes.lifted {
            state.holds.remove(net);
        }
        let held = changes.held.iter().map(|(net, hold)| (*net, hold.until));
        state.holds.extend(held);
        Ok(())
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        _: Timestamp,
    ) -> Result<Option<String>, String> {
        let mut state = self.0.lock().unwrap();
        state.reconciled.push(Instant::now());
        if state.is_broken {
            return Err("it is broken".to_owned());
        }
        let desired = desired
            .iter()
            .map(|(net, hold)| (*net, hold.until))
            .collect();
        let was_wrong = state.holds != desired;
        state.holds = desired;
        Ok(was_wrong.then(|| "it was wrong".to_owned()))
    }
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.0.lock().unwrap()
    }

    fn holds(&self) -> Vec<String> {
        self.state().holds.keys().map(ToString::to_string).collect()
    }
}

/// Virtual time.
#[derive(Clone, Copy)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        at(0) + self.0.elapsed()
    }
}

fn at_work() -> (Fake, Sinks) {
    let fake = Fake::default();
    let mut sinks = Sinks::default();
    sinks.add(fake.clone(), Paused(Instant::now()));
    (fake, sinks)
}

async fn pass(s: u64) {
    sleep(Duration::from_secs(s)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_touched_before_it_is_known_what_to_keep_out() {
    let (fake, mut sinks) = at_work();
    fake.state().holds.insert(net("203.0.113.9/32"), at(500));
    pass(200).await;
    assert_eq!(fake.holds(), ["203.0.113.9/32"]);
    sinks.begin([ban("198.51.100.7/32", &[], 900)], []);
    pass(1).await;
    assert_eq!(
        fake.holds(),
        ["198.51.100.7/32"],
        "what a run before left goes"
    );
}

/// As those that serve what others fetch.
struct Blind(Arc<Mutex<Vec<Changes>>>);

impl Sink for Blind {
    const NAME: &'static str = "blind";

    async fn apply(&mut self, changes: &Changes, _: Timestamp) -> Result<(), String> {
        self.0.lock().unwrap().push(changes.clone());
        Ok(())
    }

    async fn reconcile(&mut self, _: &Desired, _: Timestamp) -> Result<Option<String>, String> {
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_over_since_the_run_before_is_told_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut sinks = Sinks::default();
    sinks.add(Blind(Arc::clone(&told)), Paused(Instant::now()));
    let now = ban("203.0.113.0/30", &["203.0.113.1/32"], 900);
    let before = ban("203.0.113.0/30", &[], 900);
    let gone = ban("198.51.100.7/32", &[], 900);
    sinks.begin([now], [before, gone]);
    pass(200).await;
    let lifted = ["203.0.113.0/30", "198.51.100.7/32"].map(net).to_vec();
    let held = Vec::new();
    assert_eq!(*told.lock().unwrap(), [Changes { held, lifted }]);
}

#[tokio::test(start_paused = true)]
async fn bans_come_and_go_at_once() {
    let (fake, mut sinks) = at_work();
    sinks.begin([], []);
    pass(1).await;
    sinks.tell([began(ban("198.51.100.7/32", &[], 900))]);
    sinks.tell([began(ban("198.51.100.8/32", &[], 900))]);
    sinks.tell([(net("198.51.100.7/32"), None)]);
    tokio::task::yield_now().await;
    pass(1).await;
    assert_eq!(fake.holds(), ["198.51.100.8/32"]);
    sinks.words();
    assert_eq!(sinks.statuses().next().unwrap().held, 1);
    assert_eq!(
        fake.state().reconciled.len(),
        1,
        "nothing was compared for that"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_is_tried_again_and_loses_nothing() {
    let (fake, mut sinks) = at_work();
    sinks.begin([], []);
    pass(1).await;
    fake.state().is_broken = true;
    sinks.tell([began(ban("198.51.100.7/32", &[], 9_000))]);
    pass(1).await;
    sinks.tell([began(ban("198.51.100.8/32", &[], 9_000))]);
    pass(600).await;
    let words = sinks.words();
    assert!(words.contains(&("fake", Word::Fails("it is broken".to_owned()))));
    assert_eq!(
        sinks.statuses().next().unwrap().failing.as_deref(),
        Some("it is broken")
    );
    let tries = fake.state().reconciled.len();
    assert!(
        (10..=20).contains(&tries),
        "it is not asked without end: {tries}"
    );
    fake.state().is_broken = false;
    pass(61).await;
    assert_eq!(fake.holds(), ["198.51.100.7/32", "198.51.100.8/32"]);
    assert!(sinks.words().contains(&("fake", Word::Recovered(2))));
    assert_eq!(sinks.statuses().next().unwrap().failing, None);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_changed_is_put_right_within_a_minute() {
    let (fake, mut sinks) = at_work();
    sinks.begin([ban("198.51.100.7/32", &[], 9_000)], []);
    pass(1).await;
    sinks.words();
    fake.state().holds.clear();
    pass(60).await;
    assert_eq!(fake.holds(), ["198.51.100.7/32"]);
    assert!(
        sinks
            .words()
            .contains(&("fake", Word::Repaired("it was wrong".to_owned())))
    );
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_is_over_is_not_put_back() {
    let (fake, mut sinks) = at_work();
    sinks.begin([ban("198.51.100.7/32", &[], 30)], []);
    pass(1).await;
    fake.state().holds.clear();
    pass(120).await;
    assert_eq!(fake.holds(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_holds_up_no_other() {
    let (slow, mut sinks) = at_work();
    let quick = Fake::default();
    sinks.add(quick.clone(), Paused(Instant::now()));
    sinks.begin([], []);
    pass(1).await;
    slow.state().takes = Duration::from_secs(3_600);
    sinks.tell([began(ban("198.51.100.7/32", &[], 9_000))]);
    pass(1).await;
    assert_eq!(quick.holds(), ["198.51.100.7/32"]);
    assert_eq!(slow.holds(), Vec::<String>::new());
}

fn any_net() -> impl Strategy<Value = IpNet> {
    (0..=15_u8, 28..=32_u8).prop_map(|(last, length)| {
        IpNet::new([203, 0, 113, last].into(), length)
            .unwrap()
            .trunc()
    })
}

proptest! {
    /// Whatever bans come and go, the changes lead to what the bans come to.
    #[test]
    fn changes_add_up(
        acts in prop::collection::vec(
            (any_net(), prop::option::of((1..20_i64, prop::collection::vec(any_net(), 0..3)))),
            1..40,
        ),
    ) {
        let mut book = Book::default();
        let mut sink: BTreeMap<IpNet, Timestamp> = BTreeMap::new();
        let mut bans: BTreeMap<IpNet, Ban> = BTreeMap::new();
        for (net, began) in acts {
            let ban = began.map(|(end_s, holes)| Ban { net, holes, ..ban("0.0.0.0/0", &[], end_s) });
            let changes = book.take([(net, ban.clone())]);
            for lifted in &changes.lifted {
                prop_assert!(sink.remove(lifted).is_some(), "nothing is lifted for nothing");
            }
            for (net, hold) in changes.held {
                prop_assert_ne!(sink.insert(net, hold.until), Some(hold.until));
            }
            match ban {
                Some(ban) => bans.insert(net, ban),
                None => bans.remove(&net),
            };
            let mut wanted: BTreeMap<IpNet, Timestamp> = BTreeMap::new();
            for ban in bans.values() {
                for piece in ban.pieces() {
                    let until = wanted.entry(piece).or_insert(ban.end);
                    *until = ban.end.max(*until);
                }
            }
            prop_assert_eq!(&sink, &wanted);
        }
    }
}
