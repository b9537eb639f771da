use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::field::{Field, Scope};
use crate::policy::{ActionKind, PolicySet, shipped};
use crate::recording::{Start, Tick};
use crate::scene::{Scene, policies};
use crate::sim::{Release, World};
use crate::time::Timestamp;

/// A recording in memory: what feeds a survey or a pass.
struct Recorded(Vec<Tick>);

fn tick(scene: &Scene) -> Tick {
    Tick {
        at: scene.at(),
        epoch: scene.epoch,
        snapshot: scene.poll(),
        ..Tick::default()
    }
}

fn missed(scene: &Scene) -> Tick {
    Tick {
        at: scene.at(),
        epoch: scene.epoch,
        failure: Some("the connection is closed".into()),
        ..Tick::default()
    }
}

fn start() -> Start {
    Start {
        server: "scene".into(),
        ..Start::default()
    }
}

impl Recorded {
    fn survey(&self, survey: &Survey, set: &PolicySet) -> Baseline {
        let mut surveyor = Surveyor::new(survey, set);
        surveyor.start(&start());
        for tick in &self.0 {
            surveyor.turn(tick);
        }
        surveyor.finish()
    }

    /// With how many passes it took.
    fn tune(&self, set: PolicySet, budget: &str, abusers: Option<&[&str]>) -> (Tuned, usize) {
        self.tune_while(set, budget, abusers, |_| self).unwrap()
    }

    /// The same, where each pass hears what `heard` gives.
    fn tune_while<'h>(
        &self,
        set: PolicySet,
        budget: &str,
        abusers: Option<&[&str]>,
        heard: impl Fn(usize) -> &'h Self,
    ) -> Result<(Tuned, usize), Shrunk> {
        let seen = self.survey(&everything(), &set).seen;
        let abusers = abusers.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let budget = Budget::parse(budget).unwrap();
        let mut tuning = Tuning::new(set, budget, abusers, &seen);
        let mut passes = 0;
        while let Some(mut pass) = tuning.next_pass() {
            pass.start(&start());
            _ = heard(passes).0.iter().all(|tick| pass.turn(tick));
            tuning.take(&pass)?;
            passes += 1;
        }
        Ok((tuning.finish(), passes))
    }
}

fn everything() -> Survey {
    Survey {
        window: Duration::from_secs(60),
        include_private: false,
        scopes: Scope::ALL.to_vec(),
        fields: Vec::new(),
    }
}

fn of(baseline: &Baseline, scope: Scope, field: Field) -> &FieldSpread {
    let fields = baseline.fields.iter().filter(|it| it.is_asked);
    let mut fields = fields.filter(|it| it.subject.scope == scope && it.subject.field == field);
    fields.next().unwrap()
}

/// A hundred sessions that pull 1 to 100 kB/s and have as many subscriptions; one of them has a
/// hundred times as many from minute 5 on, and one is from a private address.
fn crowd(minutes: u32) -> Recorded {
    let mut scene = Scene::new();
    for number in 1..=100 {
        let peer = match number {
            7 => "10.0.0.1:7".to_owned(),
            _ => format!("8.8.{number}.1:5"),
        };
        let id = scene.connect(&peer, "w<b>\u{1b}");
        scene.of(id).subs = number;
    }
    let mut ticks = Vec::new();
    for poll in 0..minutes * 6 {
        if poll == 30 {
            scene.rows[99].subs = 10_000;
        }
        ticks.push(tick(&scene));
        for (row, rate) in scene.rows.iter_mut().zip(1_u64..) {
            row.sent += rate * 10_000;
        }
        scene.wait(10.0);
    }
    Recorded(ticks)
}

#[test]
fn every_number_of_every_target_is_counted() {
    let recorded = crowd(10);
    let baseline = recorded.survey(&everything(), &PolicySet::default());
    let seen = &baseline.seen;
    assert_eq!((seen.polls, seen.missed, seen.rows), (60, 0, 6_000));
    assert_eq!(seen.watched.total(), Duration::from_secs(590));
    assert_eq!(seen.servers.iter().collect::<Vec<_>>(), ["scene"]);

    let subs = of(&baseline, Scope::Session, Field::Subs);
    assert_eq!(subs.spread.count(), 6_000);
    let quantiles = [0.5, 0.9, 0.99, 1.0].map(|q| subs.spread.quantile(q));
    assert_eq!(quantiles, [50.0, 90.0, 99.0, 10_000.0].map(Some));
    let peak = subs.peak.as_ref().unwrap();
    assert_eq!(peak.target.to_string(), "99 (8.8.100.1:5)");
    assert_eq!(peak.client.as_deref(), Some("w<b>\u{1b}"));
    assert_eq!(peak.at, Timestamp::from_millis(1_000_300_000));

    // Rates are unknown until the window is covered.
    let rates = &of(&baseline, Scope::Address, Field::SentRate).spread;
    assert_eq!(rates.count() + rates.unknown(), 99 * 60);
    assert_eq!(rates.unknown(), 99 * 6);
    let median = rates.quantile(0.5).unwrap();
    assert!(
        (median - 51_000.0).abs() <= 51_000.0 * RELATIVE_ERROR,
        "{median}"
    );

    // The private one is a session, and no address unless that is asked for.
    let addresses = of(&baseline, Scope::Address, Field::Subs);
    assert_eq!(addresses.spread.count(), 99 * 60);
    let survey = Survey {
        include_private: true,
        scopes: vec![Scope::Address],
        fields: vec!["subs".into()],
        ..everything()
    };
    let private = recorded.survey(&survey, &PolicySet::default());
    assert_eq!(private.fields.len(), 1);
    assert_eq!(private.fields[0].spread.count(), 6_000);
}

#[test]
fn what_is_no_poll_is_no_sample() {
    let mut scene = Scene::new();
    scene.connect("8.8.8.8:1", "w");
    let mut ticks = vec![tick(&scene)];
    for _ in 0..3 {
        scene.wait(20.0);
        ticks.push(missed(&scene));
    }
    scene.wait(20.0);
    ticks.push(tick(&scene));
    // A gap is not watched, nor is what a restart lies in.
    scene.wait(1_000.0);
    ticks.push(tick(&scene));
    scene.wait(10.0);
    scene.restart();
    ticks.push(tick(&scene));
    let baseline = Recorded(ticks).survey(&everything(), &PolicySet::default());
    let seen = &baseline.seen;
    assert_eq!((seen.polls, seen.missed), (4, 3));
    assert_eq!(seen.watched.total(), Duration::from_secs(80));
    let down = of(&baseline, Scope::Server, Field::RpcDown);
    assert_eq!(down.spread.greatest(), Some(60.0));
    assert_eq!((down.spread.count(), down.spread.zeros()), (7, 4));
    let ages = of(&baseline, Scope::Session, Field::Age);
    assert_eq!(ages.spread.count(), 3);
}

#[test]
fn infinite_costs_are_counted_apart() {
    let mut scene = Scene::new();
    for cost in [f64::INFINITY, f64::NAN, 5.0, 0.0] {
        let id = scene.connect("8.8.8.8:1", "w");
        scene.of(id).cost = cost;
    }
    let baseline = Recorded(vec![tick(&scene)]).survey(&everything(), &PolicySet::default());
    let costs = &of(&baseline, Scope::Session, Field::Cost).spread;
    assert_eq!((costs.count(), costs.zeros()), (2, 1));
    assert_eq!((costs.infinite(), costs.unknown()), (1, 1));
    assert_eq!(costs.greatest(), Some(5.0));
}

const HOARDER: &str = r#"
[[policy]]
name = "hoarder"
scope = "session"
when = { subs = "> 60" }
action = "disconnect"
"#;

#[test]
fn thresholds_have_their_place() {
    let set = policies(&format!(
        "{HOARDER}
        [[policy]]
        name = \"puller\"
        scope = \"session\"
        when = {{ sent_rate = \"> 99 kB/s\", subs = [\">= 101\", \"> 50x median\", \"< 5\"] }}
        window = \"30s\"
        action = \"alert\""
    ));
    let baseline = crowd(10).survey(&everything(), &set);
    let places = baseline.marks.iter().map(|mark| {
        let place = baseline.place(mark);
        let place = place.map(|it| (it.held, it.of, (it.below * 1e4).round() / 1e4));
        format!("{} {} {}: {place:?}", mark.policy, mark.field, mark.test)
    });
    insta::assert_snapshot!(places.collect::<Vec<_>>().join("\n"), @r"
    hoarder subs > 60: Some((2400, 6000, 0.6))
    puller sent_rate > 99 kB/s: Some((57, 6000, 0.9905))
    puller subs >= 101: Some((30, 6000, 0.995))
    puller subs > 50x median: None
    puller subs < 5: Some((240, 6000, 0.04))
    ");
    // Over another window it is another spread, which nobody asked for.
    let others = baseline.fields.iter().filter(|it| !it.is_asked);
    assert_eq!(others.count(), 1);
}

/// A session a minute with subscriptions for 50 s: `peaks` in turn.
fn visitors(minutes: u32, peak: impl Fn(u32) -> u64) -> Recorded {
    let mut scene = Scene::new();
    let mut ticks = Vec::new();
    for minute in 0..minutes {
        let id = scene.connect(&format!("8.8.8.8:{}", 1_000 + minute), "w");
        scene.of(id).subs = peak(minute);
        for _ in 0..5 {
            ticks.push(tick(&scene));
            scene.wait(10.0);
        }
        scene.leave(id);
        ticks.push(tick(&scene));
        scene.wait(10.0);
    }
    Recorded(ticks)
}

/// Who is hit in the first part is hit in the last part too, if he is: what is counted there does not
/// depend on what was before.
#[test]
fn parts_are_counted_each_for_itself() {
    let mut scene = Scene::new();
    let id = scene.connect("8.8.8.8:1", "w");
    let mut ticks = Vec::new();
    for poll in 0..90 {
        scene.of(id).subs = if poll < 60 { 70 } else { 100 };
        ticks.push(tick(&scene));
        scene.wait(10.0);
    }
    let (tuned, _) = Recorded(ticks).tune(policies(HOARDER), "0", Some(&[]));
    let it = only(&tuned);
    let hits = |training, held_out| Hits { training, held_out };
    assert_eq!((it.present, it.proposed), (hits(1, 1), hits(0, 1)));
    assert_eq!((tuned.present, tuned.proposed), (hits(1, 1), hits(0, 1)));
}

#[test]
fn the_time_watched_is_cut_where_it_was() {
    let mut scene = Scene::new();
    let mut ticks = Vec::new();
    for poll in 0..30 {
        ticks.push(tick(&scene));
        scene.wait(if poll == 9 { 5_000.0 } else { 10.0 });
    }
    let baseline = Recorded(ticks).survey(&everything(), &PolicySet::default());
    let watched = baseline.seen.watched;
    // 90 s, a gap, and 190 s.
    assert_eq!(watched.total(), Duration::from_secs(280));
    let begun = baseline.seen.first.unwrap();
    for (s, at) in [(0, 0), (90, 90), (100, 5_100), (280, 5_280), (999, 5_280)] {
        let cut = watched.after(Duration::from_secs(s));
        assert_eq!(cut.since(begun).as_secs(), at, "{s}");
    }
}

const SPIKES: &str = r#"
[[policy]]
name = "hoarder"
scope = "session"
when = { subs = "> 60" }
for = "10s"
action = "disconnect"

[[policy]]
name = "puller"
scope = "subnet"
when = [{ subs = "> 90", sent_share = "> 20%" }, { sent_rate = ["> 2x median", "> 1 kB/s"] }]
window = "20s"
action = "disconnect"

[[policy]]
name = "watched"
scope = "session"
when = { subs = "> 60" }
cooldown = "30s"
action = "alert"
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the sessions do, a laxer threshold never counts more, in neither part.
    #[test]
    fn laxer_thresholds_never_count_more(
        lives in prop::collection::vec(prop::collection::vec((0_u64..200, 0_u64..100_000), 30), 1..6),
        factors in [0.2_f64..5.0, 0.2_f64..5.0],
        cut in 0_u64..300,
    ) {
        let mut scene = Scene::new();
        let ids: Vec<_> = (0..lives.len())
            .map(|life| scene.connect(&format!("8.8.{}.1:5", life / 2), "w"))
            .collect();
        let mut ticks = Vec::new();
        for poll in 0..30 {
            for (id, life) in ids.iter().zip(&lives) {
                let row = scene.of(*id);
                row.subs = life[poll].0;
                row.sent += life[poll].1;
            }
            ticks.push(tick(&scene));
            scene.wait(10.0);
        }
        let training = ticks[0].at + Duration::from_secs(cut);
        let [strict, lax] = [f64::min, f64::max].map(|of| {
            let factor = of(factors[0], factors[1]);
            let mut set = policies(SPIKES);
            for policy in &mut set.policies {
                policy.when = super::scale::scaled(policy, factor);
            }
            let mut pass = Pass::new(set, training, false);
            pass.start(&start());
            for tick in &ticks {
                pass.turn(tick);
            }
            pass
        });
        for policy in ["hoarder", "puller", "watched"] {
            for of in [ActionKind::Disconnect, ActionKind::Alert] {
                let count = |pass: &Pass| {
                    let hits = pass.hit(policy).map(|hits| hits.count(of, &HashSet::new()));
                    hits.unwrap_or_default()
                };
                let (strict, lax) = (count(&strict), count(&lax));
                prop_assert!(lax.training <= strict.training, "{policy} {strict:?} {lax:?}");
                prop_assert!(lax.held_out <= strict.held_out, "{policy} {strict:?} {lax:?}");
            }
        }
    }
}

fn only(tuned: &Tuned) -> &Proposal {
    assert_eq!(tuned.proposals.len(), 1);
    &tuned.proposals[0]
}

#[test]
fn thresholds_go_up_until_the_budget_is_kept() {
    // In two hours of training 12 of 120 sessions have more than 60, and one 400.
    let recorded = visitors(180, |minute| match minute {
        77 => 400,
        _ if minute % 10 == 0 => 100 + u64::from(minute % 7),
        _ => 20,
    });
    let (tuned, passes) = recorded.tune(policies(HOARDER), "1 false disconnect an hour", Some(&[]));
    let it = only(&tuned);
    assert_eq!(
        it.present,
        Hits {
            training: 13,
            held_out: 6
        }
    );
    // Two are allowed: those with 100 to 106 must go, the one with 400 may stay.
    assert_eq!(
        it.proposed,
        Hits {
            training: 1,
            held_out: 0
        }
    );
    assert_eq!(&*it.changes[0].proposed, "> 110", "{it:?}");
    assert_eq!(it.when, r#"{ subs = "> 110" }"#);
    assert_eq!(it.verdict, Verdict::Kept);
    assert!(passes <= 8, "{passes}");

    let (tuned, _) = recorded.tune(policies(HOARDER), "0", Some(&[]));
    let it = only(&tuned);
    assert_eq!(it.proposed, Hits::default());
    assert_eq!(&*it.changes[0].proposed, "> 430");
}

#[test]
fn what_was_not_looked_at_can_break_it() {
    // After two thirds people begin to have ten times as many.
    let recorded = visitors(180, |minute| if minute < 120 { 20 } else { 200 });
    let (tuned, passes) = recorded.tune(policies(HOARDER), "2 a day", Some(&[]));
    let it = only(&tuned);
    assert!(!it.is_change() && passes == 2, "{it:?}");
    assert_eq!((it.proposed.training, it.proposed.held_out), (0, 60));
    assert_eq!(
        (it.verdict, tuned.verdict),
        (Verdict::Broken, Verdict::Broken)
    );
}

#[test]
fn thresholds_go_down_only_where_the_recording_bears_it() {
    let recorded = visitors(180, |minute| if minute % 40 == 0 { 50 } else { 10 });
    // Twelve in two hours: with none seen, three is the bound.
    let (tuned, _) = recorded.tune(policies(HOARDER), "6 an hour", Some(&[]));
    let it = only(&tuned);
    assert!(upper_bound(3) <= 12.0);
    assert_eq!(
        (it.when.as_str(), it.proposed.training),
        (r#"{ subs = "> 10" }"#, 3)
    );
    // In an hour six are allowed; with the two that were seen, as many as 6.3 are to be expected.
    assert_eq!((it.proposed.held_out, it.verdict), (2, Verdict::Kept));
    // One a week: nothing of the kind can be said.
    let (tuned, passes) = recorded.tune(policies(HOARDER), "1 a week", Some(&[]));
    let it = only(&tuned);
    assert!(!it.is_change() && it.verdict == Verdict::Kept && passes == 2);
}

#[test]
fn abusive_sessions_are_not_false_alarms() {
    let recorded = visitors(90, |minute| if minute % 10 == 5 { 5_000 } else { 20 });
    let set = || {
        policies(&format!(
            "{HOARDER}\n{}",
            HOARDER.replace("hoarder", "strict").replace("60", "1_000")
        ))
    };
    let (without, _) = recorded.tune(set(), "0", Some(&[]));
    assert_eq!(
        without.proposals[0].present,
        Hits {
            training: 6,
            held_out: 3
        }
    );
    assert!(without.proposals[0].factor.unwrap() > 80.0);
    for abusers in [Some(&["strict"][..]), None] {
        let (with, _) = recorded.tune(set(), "0", abusers);
        assert_eq!(with.abusive, 9);
        assert_eq!(with.proposals[0].present, Hits::default());
        assert!(with.proposals.iter().all(|it| !it.is_change()));
    }
}

#[test]
fn a_policy_that_no_factor_helps_is_said_to_be_so() {
    let recorded = visitors(30, |_| 1_000_000);
    let (tuned, _) = recorded.tune(policies(HOARDER), "0", Some(&[]));
    let it = only(&tuned);
    assert_eq!((it.factor, it.verdict), (None, Verdict::NoFactor));
    // It stays, so it hits as before, and the others' luck is no verdict.
    assert_eq!((it.present, it.proposed), (tuned.present, tuned.proposed));
    assert_eq!((it.proposed.training, it.proposed.held_out), (20, 10));
    assert_eq!(tuned.verdict, Verdict::Broken);
}

const QUIET: &str = r#"
[[policy]]
name = "quiet"
scope = "session"
when = { pending_requests = "> 500" }
action = "disconnect"
"#;
const NAMED: &str = r#"
[[policy]]
name = "named"
scope = "session"
when = { client = "=~ w" }
action = "disconnect"
"#;

/// Who is hit whatever the factor is hit, and counts: alone, and beside policies that keep theirs.
#[test]
fn policies_that_no_factor_helps_count() {
    let recorded = visitors(120, |_| 1_000_000);
    for (stuck, why) in [
        (HOARDER, "by thresholds up to 100 times today's"),
        (NAMED, "as left alone"),
    ] {
        for beside in ["", QUIET] {
            let set = policies(&format!("{stuck}{beside}"));
            let name = set.policies[0].name.clone();
            let (tuned, _) = recorded.tune(set, "20 an hour", Some(&[]));
            let told = tuned.judgement();
            assert_eq!(
                (tuned.verdict, tuned.proposed.held_out),
                (Verdict::Broken, 40)
            );
            assert_eq!(tuned.present, tuned.proposed);
            assert!(
                told.contains(&format!("by chance: `{name}` hit 40.")),
                "{told}"
            );
            let stays = format!("`{name}` hits more than a policy's part of the budget {why}");
            assert!(told.contains(&stays), "{told}");
            // What it uses up is not there for others.
            assert!(tuned.proposals.iter().all(|it| !it.is_change()));
        }
    }
    let (tuned, _) = recorded.tune(policies(NAMED), "20 an hour", Some(&[]));
    let hits = Hits {
        training: 80,
        held_out: 40,
    };
    assert_eq!(tuned.left_alone[0].hits, Some(hits));
    let words = tuned.left_alone[0].words();
    assert!(words.ends_with("; it hit 80 in the first part and 40 in the last, which count"));
    // Without him there is room.
    let (tuned, _) = recorded.tune(policies(QUIET), "20 an hour", Some(&[]));
    assert!(tuned.proposals[0].is_change());
    // What another action does, or an off policy does not, is nothing to it.
    for (from, to) in [
        ("action = \"disconnect\"", "action = \"alert\""),
        ("action", "mode = \"off\"\naction"),
    ] {
        let set = policies(&format!("{}{QUIET}", NAMED.replace(from, to)));
        let (tuned, _) = recorded.tune(set, "20 an hour", Some(&[]));
        assert_eq!((tuned.left_alone[0].hits, tuned.share), (None, 1.0));
        assert!(tuned.proposals[0].is_change() && tuned.proposed.held_out == 0);
    }
}

/// That the last part was quiet is no factor that keeps the budget.
#[test]
fn what_no_factor_keeps_is_not_called_kept() {
    let recorded = visitors(180, |minute| if minute < 120 { 1_000_000 } else { 20 });
    let set = policies(&format!("{HOARDER}{QUIET}"));
    let (tuned, _) = recorded.tune(set, "20 an hour", Some(&[]));
    assert_eq!(
        (tuned.verdict, tuned.proposed.held_out),
        (Verdict::NoFactor, 0)
    );
    insta::assert_snapshot!(tuned.judgement(), @"On the last 59m57s all policies together, by the proposed thresholds, hit 0 sessions, where 20 were allowed (0 sessions by today's thresholds). The budget cannot be said to be kept: `hoarder` hits more than a policy's part of the budget by thresholds up to 100 times today's.");
}

fn without(recorded: Recorded, gone: &HashSet<usize>) -> Recorded {
    let ticks = recorded.0.into_iter().enumerate();
    let ticks = ticks.filter(|(place, _)| !gone.contains(place));
    Recorded(ticks.map(|(_, tick)| tick).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever polls go, and before whichever pass, nothing is proposed by what is left.
    #[test]
    fn a_recording_that_shrinks_is_told_of(
        gone in prop::collection::hash_set(0_usize..180, 1..60), pass in 0_usize..8,
    ) {
        let whole = || visitors(30, |minute| if minute % 10 == 0 { 100 } else { 20 });
        let (recorded, left) = (whole(), without(whole(), &gone));
        let (_, passes) = recorded.tune(policies(HOARDER), "0", Some(&[]));
        prop_assert!(passes > 2);
        let pass = pass % passes;
        let heard = |now| if now < pass { &recorded } else { &left };
        let tuned = recorded.tune_while(policies(HOARDER), "0", Some(&[]), heard);
        prop_assert_eq!(tuned.map(|_| ()), Err(Shrunk));
    }

    /// The verdict is of all that is in force: each session that any policy of the budget hits.
    #[test]
    fn all_that_is_in_force_counts(
        peaks in prop::collection::vec(prop::sample::select(vec![20, 100, 3_000, 1_000_000]), 30),
        budget in prop::sample::select(vec!["0", "20 an hour", "200 an hour", "2_000 an hour"]),
    ) {
        let recorded = visitors(30, |minute| peaks[minute as usize]);
        let set = || policies(&format!("{HOARDER}{QUIET}{NAMED}"));
        let (tuned, _) = recorded.tune(set(), budget, Some(&[]));
        // Everybody has the name.
        let all = Hits { training: 20, held_out: 10 };
        prop_assert_eq!((tuned.present, tuned.proposed), (all, all));
        let is_kept = matches!(tuned.verdict, Verdict::Kept | Verdict::Shown);
        prop_assert!(!is_kept || tuned.stuck.is_empty() && 10.0 <= tuned.budget.within(tuned.held_out));
        let is_stuck = tuned.proposals.iter().any(|it| it.factor.is_none());
        prop_assert!(!is_kept || !is_stuck);
    }
}

#[test]
fn alerts_have_budgets_too() {
    let alert = HOARDER
        .replace("disconnect", "alert")
        .replace("subs", "pending_requests");
    let alert = alert.replace("session", "server").replace("> 60", "> 2");
    let alert = format!("{alert}cooldown = '1m'");
    let mut scene = Scene::new();
    let mut ticks = Vec::new();
    for poll in 0..600 {
        let mut tick = tick(&scene);
        // For three polls in twenty it is due: one alert each.
        tick.snapshot.server.pending_requests = if poll % 20 < 3 { 5 } else { 0 };
        ticks.push(tick);
        scene.wait(10.0);
    }
    let recorded = Recorded(ticks);
    let (tuned, _) = recorded.tune(policies(&alert), "0 alerts", Some(&[]));
    let it = only(&tuned);
    assert_eq!((it.present.training, it.present.held_out), (20, 10));
    assert_eq!(it.proposed, Hits::default());
    assert_eq!(it.when, r#"{ pending_requests = "> 5" }"#);
    let (tuned, passes) = recorded.tune(policies(&alert), "0", Some(&[]));
    assert_eq!((tuned.proposals.len(), passes), (0, 0));
    assert_eq!(
        tuned.left_alone[0].why,
        "it is there to alert, not to disconnect"
    );
}

/// A world's life, as its server tells it.
fn life(mut world: World, polls: u32) -> Recorded {
    let mut ticks = Vec::new();
    for poll in 0..polls {
        let at = Timestamp::from_millis(1_767_225_600_000 + i64::from(poll) * 10_000);
        ticks.push(told(&world, at));
        world.advance(Duration::from_secs(10));
    }
    Recorded(ticks)
}

fn told(world: &World, at: Timestamp) -> Tick {
    use crate::snapshot::{Snapshot, Span};
    use crate::wire::{GetinfoSeed, GroupsSeed, SessionsSeed};
    use serde::de::DeserializeSeed as _;

    let span = Span {
        asked: at,
        answered: at,
    };
    let mut snapshot = Snapshot {
        server_read: span,
        sessions_read: span,
        ..Snapshot::default()
    };
    let reply = |method| world.reply(method).unwrap();
    let [info, sessions, groups] = ["getinfo", "sessions", "groups"].map(reply);
    let json = serde_json::Deserializer::from_slice;
    GetinfoSeed(&mut snapshot.server)
        .deserialize(&mut json(&info))
        .unwrap();
    SessionsSeed(&mut snapshot.sessions)
        .deserialize(&mut json(&sessions))
        .unwrap();
    GroupsSeed(&mut snapshot.groups)
        .deserialize(&mut json(&groups))
        .unwrap();
    Tick {
        at,
        snapshot,
        ..Tick::default()
    }
}

#[test]
fn on_an_honest_world_the_shipped_policies_stay_as_they_are() {
    let recorded = life(World::honest(Release::V1_20_0, 3), 90);
    let (tuned, passes) = recorded.tune(shipped().set.unwrap(), "1 a week", Some(&[]));
    assert_eq!(passes, 2);
    assert_eq!(
        (tuned.present, tuned.proposed),
        (Hits::default(), Hits::default())
    );
    assert!(tuned.proposals.len() >= 7);
    assert!(
        tuned
            .proposals
            .iter()
            .all(|it| !it.is_change() && it.verdict == Verdict::Kept)
    );
    // A fifth of the thresholds is too low for them, and goes up again.
    let mut set = shipped().set.unwrap();
    for policy in &mut set.policies {
        policy.when = super::scale::scaled(policy, 0.02);
    }
    let (tuned, _) = recorded.tune(set, "0", Some(&[]));
    assert!(tuned.present.training > 0);
    let raised = tuned
        .proposals
        .iter()
        .filter(|it| it.factor.is_some_and(|f| f > 1.0));
    assert!(raised.count() >= 2);
    assert_eq!(tuned.proposed.training, 0);
    for it in &tuned.proposals {
        assert_eq!(it.proposed.training, 0, "{it:?}");
    }
}
