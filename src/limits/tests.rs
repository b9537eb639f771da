//! Each limit on its own, and together at random.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::breaker::NEWCOMERS_MAX;
use super::{Budget, Clients, Cooldown, Limits, LimitsConfig, Ruling, SavedLimits, Verdict};
use crate::decision::{Decision, Epoch, Peer, SessionRef, Suppression, Target};
use crate::engine::Proposal;
use crate::history::{Crowd, Rank};
use crate::policy::{self, Action, DaemonTarget, Mode, PolicySet, Quota};
use crate::time::Timestamp;

fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(s * 1_000)
}

fn session(id: u64) -> SessionRef {
    SessionRef {
        id,
        peer: Peer(Some(SocketAddr::new(
            Ipv4Addr::from_bits(0x0909_0000 + u32::try_from(id).unwrap()).into(),
            1,
        ))),
        since: at(0),
    }
}

fn set() -> PolicySet {
    let policy = |name: &str, more: &str| {
        format!(
            "[[policy]]\nname = \"{name}\"\nabout = \"x\"\nscope = \"subnet\"\n\
             when = {{ sessions = \"> 1\" }}\naction = \"disconnect\"\ncooldown = \"1m\"\n{more}\n"
        )
    };
    let text = policy("free", "")
        + &policy("limited", "limit = \"2/min\"")
        + &policy("trial", "mode = \"dry-run\"")
        + &policy(
            "patient",
            "for = \"5m\"\nbackoff = { max = \"1h\", reset = \"24h\" }",
        );
    let source = policy::Source {
        name: "p.toml".into(),
        text,
    };
    let checked = policy::check(vec![source], &mut |_| unreachable!());
    checked.set.unwrap()
}

fn proposal(name: &str, net: u8, ids: std::ops::Range<u64>) -> Proposal {
    let mode = if name == "trial" {
        Mode::DryRun
    } else {
        Mode::Enforce
    };
    Proposal {
        decision: Decision {
            at: at(0),
            epoch: Epoch(1),
            policy: Arc::from(name),
            mode,
            action: Action::Disconnect,
            target: Target::Subnet(format!("9.9.{net}.0/24").parse().unwrap()),
            evidence: Vec::new(),
            held: Duration::ZERO,
            severity: 1.0,
            sessions: ids.map(session).collect(),
            spared: 0,
            choice: None,
            at_once: false,
            bans: Vec::new(),
            refused: Vec::new(),
            daemons: Vec::new(),
        },
        barred: None,
    }
}

fn rule(limits: &mut Limits, s: i64, proposals: Vec<Proposal>) -> Vec<Ruling> {
    rule_in(limits, s, proposals, crowd(0))
}

fn crowd(regulars: usize) -> Crowd {
    Crowd {
        regulars,
        newcomers: 0,
        newcomers_usual: None,
    }
}

/// The lowest IDs are regulars, and those from 100,000 on newcomers.
fn rule_in(limits: &mut Limits, s: i64, proposals: Vec<Proposal>, crowd: Crowd) -> Vec<Ruling> {
    let rank = |session: &SessionRef| match session.id {
        id if id < crowd.regulars as u64 => Rank::Regular,
        100_000.. => Rank::Newcomer,
        _ => Rank::Stranger,
    };
    let clients = Clients { crowd, rank: &rank };
    limits.rule(proposals, &set(), at(s), &clients)
}

fn suppression(ruling: &Ruling) -> Option<&Suppression> {
    match &ruling.verdict {
        Verdict::Permitted { .. } => None,
        Verdict::Suppressed { by, .. } => Some(by),
    }
}

fn limits() -> Limits {
    Limits::new(LimitsConfig::default(), Mode::Enforce)
}

#[test]
fn what_was_never_sent_costs_nothing() {
    let mut limits = limits();
    let rulings = rule(&mut limits, 0, vec![proposal("limited", 1, 0..100)]);
    assert_eq!(suppression(&rulings[0]), None);
    let before = rulings[0].decision.clone();
    limits.take_back(&before, 100);
    for net in 1..3 {
        let rulings = rule(&mut limits, 0, vec![proposal("limited", net, 0..100)]);
        assert_eq!(suppression(&rulings[0]), None);
    }
    let rulings = rule(&mut limits, 0, vec![proposal("limited", 3, 0..100)]);
    assert_eq!(
        suppression(&rulings[0]),
        Some(&Suppression::PolicyLimit { until: at(60) })
    );
}

#[test]
fn the_cooldown_is_per_policy_and_target() {
    let mut limits = limits();
    let ask = |limits: &mut Limits, s, name, net| {
        suppression(&rule(limits, s, vec![proposal(name, net, 0..2)])[0]).cloned()
    };
    assert_eq!(ask(&mut limits, 0, "free", 1), None);
    assert_eq!(
        ask(&mut limits, 59, "free", 1),
        Some(Suppression::Cooldown { until: at(60) })
    );
    assert_eq!(ask(&mut limits, 59, "free", 2), None);
    assert_eq!(ask(&mut limits, 59, "limited", 1), None);
    assert_eq!(ask(&mut limits, 60, "free", 1), None);
}

#[test]
fn the_same_suppression_at_the_next_poll_is_a_repeat() {
    let mut limits = limits();
    rule(&mut limits, 0, vec![proposal("free", 1, 0..2)]);
    let is_repeat = |limits: &mut Limits, s| match rule(limits, s, vec![proposal("free", 1, 0..2)])
        [0]
    .verdict
    {
        Verdict::Suppressed { is_repeat, .. } => is_repeat,
        Verdict::Permitted { .. } => panic!("in cooldown"),
    };
    assert!(!is_repeat(&mut limits, 10));
    assert!(is_repeat(&mut limits, 20));
    rule(&mut limits, 30, Vec::new());
    assert!(!is_repeat(&mut limits, 40));
}

#[test]
fn a_missed_poll_makes_no_news_of_what_was_suppressed_before() {
    let mut limits = limits();
    rule(&mut limits, 0, vec![proposal("free", 1, 0..2)]);
    rule(&mut limits, 10, vec![proposal("free", 1, 0..2)]);
    let missed = limits.rule_missed(vec![proposal("free", 1, 0..2)], &set(), at(20));
    limits.rule_missed(Vec::new(), &set(), at(30));
    let next = rule(&mut limits, 40, vec![proposal("free", 1, 0..2)]);
    for ruling in [&missed[0], &next[0]] {
        assert!(matches!(
            ruling.verdict,
            Verdict::Suppressed {
                is_repeat: true,
                ..
            }
        ));
    }
}

#[test]
fn an_alert_is_one_however_many_sessions_it_is_about() {
    let mut limits = limits();
    let alert = |name| {
        let mut proposal = proposal(name, 1, 0..100);
        proposal.decision.action = Action::Alert;
        proposal
    };
    let rulings = rule(&mut limits, 0, vec![alert("free"), alert("limited")]);
    for ruling in &rulings {
        assert_eq!(ruling.verdict, Verdict::Permitted { withheld: 0 });
        assert_eq!(ruling.decision.sessions.len(), 100);
    }
    let again = rule(&mut limits, 10, vec![alert("free")]);
    assert_eq!(
        suppression(&again[0]),
        Some(&Suppression::Cooldown { until: at(60) })
    );
    let disconnect = rule(&mut limits, 10, vec![proposal("trial", 1, 0..2)]);
    assert_eq!(suppression(&disconnect[0]), None);
}

/// Clients choose how many of them there are to tell of.
#[test]
fn alerts_about_clients_hold_back_none_about_the_server() {
    let mut limits = limits();
    let alert = |target| {
        let mut proposal = proposal("free", 1, 0..1);
        proposal.decision.action = Action::Alert;
        proposal.decision.target = target;
        proposal
    };
    let about = |id| alert(Target::Session(session(id)));
    let rulings = rule(&mut limits, 0, (0..60).map(about).collect());
    let held_back = rulings
        .iter()
        .filter(|it| suppression(it).is_some())
        .count();
    assert_eq!(held_back, 40);
    let server = rule(&mut limits, 1, vec![alert(Target::Server)]);
    assert_eq!(suppression(&server[0]), None);
    // Kept over a restart, each as it was.
    let saved = serde_json::to_value(limits.save()).unwrap();
    let mut limits = Limits::new(LimitsConfig::default(), Mode::Enforce);
    limits.restore(serde_json::from_value(saved).unwrap(), []);
    let rulings = rule(&mut limits, 2, vec![about(70), alert(Target::Server)]);
    assert!(matches!(
        suppression(&rulings[0]),
        Some(Suppression::ActionLimit { .. })
    ));
    assert_eq!(suppression(&rulings[1]), None);
    // The server's have a bound, too.
    let mut limits = self::limits();
    let cooldown = 60;
    let passed = (0..60).filter(|n| {
        let at = 1_000 + n * cooldown / 60;
        limits.restore(limits.save(), []);
        let rulings = rule(&mut limits, at, vec![alert(Target::Server)]);
        suppression(&rulings[0]).is_none()
    });
    assert_eq!(passed.count(), 20);
}

#[test]
fn what_was_never_asked_for_is_put_back_once_and_a_log_puts_back_no_disconnect() {
    let config = LimitsConfig {
        alert: Budget {
            burst: 3,
            ..LimitsConfig::default().alert
        },
        breaker: super::Breaker {
            regulars_min: 2,
            share: 0.001,
            ..LimitsConfig::default().breaker
        },
        ..LimitsConfig::default()
    };
    let mut limits = Limits::new(config, Mode::Enforce);
    let with = |action: Action, name, net, ids| {
        let mut proposal = proposal(name, net, ids);
        proposal.decision.action = action;
        proposal
    };
    let log = Action::Log {
        duration: Duration::from_secs(60),
    };
    let proposals = vec![
        with(Action::Alert, "free", 1, 0..100),
        with(Action::Alert, "free", 2, 0..100),
        with(Action::Alert, "free", 3, 0..100),
        proposal("free", 4, 0..1),
        with(log, "free", 5, 0..1),
    ];
    let rulings = rule_in(&mut limits, 0, proposals, crowd(1_000));
    limits.take_back(&rulings[0].decision, 100);
    limits.take_back(&rulings[4].decision, 1);
    let next = vec![
        with(Action::Alert, "free", 6, 0..1),
        with(Action::Alert, "free", 7, 0..1),
        proposal("free", 8, 1..2),
    ];
    let next = rule_in(&mut limits, 0, next, crowd(1_000));
    assert_eq!(suppression(&next[0]), None);
    // One a minute, when the bucket is empty.
    assert_eq!(
        suppression(&next[1]),
        Some(&Suppression::ActionLimit { until: at(60) })
    );
    // Still the second regular of a thousand.
    assert_eq!(
        suppression(&next[2]),
        Some(&Suppression::Breaker { until: at(1_800) })
    );
}

#[test]
fn a_policys_own_limit() {
    let mut limits = limits();
    let proposals = || (1..=3).map(|net| proposal("limited", net, 0..0)).collect();
    let by: Vec<_> = rule(&mut limits, 0, proposals())
        .iter()
        .map(|r| suppression(r).cloned())
        .collect();
    let used_up = Suppression::PolicyLimit { until: at(60) };
    assert_eq!(by, [None, None, Some(used_up.clone())]);
    for (s, by) in [(59, Some(&used_up)), (60, None)] {
        let third = rule(&mut limits, s, vec![proposal("limited", 3, 0..0)]);
        assert_eq!(suppression(&third[0]), by);
    }
}

/// A policy with a `backoff` asks, its tests having held for so long.
fn patient(held_s: u64) -> Proposal {
    let mut proposal = proposal("patient", 1, 0..1);
    proposal.decision.held = Duration::from_secs(held_s);
    proposal
}

#[test]
fn after_failures_it_waits_for_longer() {
    let mut limits = limits();
    let ask = |limits: &mut Limits, s, proposal| {
        suppression(&rule(limits, s, vec![proposal])[0]).cloned()
    };
    let wait = |minutes, failures| {
        let hold = Duration::from_mins(minutes);
        Some(Suppression::Backoff { hold, failures })
    };
    assert_eq!(ask(&mut limits, 0, patient(300)), None);
    limits.failed("patient", at(0), &set());
    limits.failed("free", at(0), &set());
    // What held all along is waited for anew.
    assert_eq!(ask(&mut limits, 599, patient(3_600)), wait(10, 1));
    // What broke off in between as well.
    assert_eq!(ask(&mut limits, 900, patient(599)), wait(10, 1));
    let mut at_once = patient(0);
    at_once.decision.at_once = true;
    assert_eq!(ask(&mut limits, 900, at_once), None);
    assert_eq!(ask(&mut limits, 960, patient(600)), None);
    for (s, minutes, failures) in [
        (1_100, 20, 2),
        (2_000, 40, 3),
        (3_000, 60, 4),
        (4_000, 60, 5),
    ] {
        limits.failed("patient", at(s), &set());
        let said = ask(&mut limits, s + 100, patient(3_600));
        assert_eq!(said, wait(minutes, failures));
    }
    assert_eq!(ask(&mut limits, 4_100, proposal("free", 1, 9..10)), None);

    let saved = serde_json::to_string(&limits.save()).unwrap();
    let mut again = Limits::new(LimitsConfig::default(), Mode::Enforce);
    again.restore(serde_json::from_str(&saved).unwrap(), []);
    assert_eq!(ask(&mut again, 4_200, patient(3_599)), wait(60, 5));
    let day_s = 24 * 3_600;
    assert_eq!(ask(&mut again, 3_999 + day_s, patient(300)), wait(60, 5));
    assert_eq!(ask(&mut again, 4_000 + day_s, patient(300)), None);
    again.failed("patient", at(4_000 + day_s), &set());
    assert_eq!(ask(&mut again, 4_100 + day_s, patient(300)), wait(10, 1));
}

#[test]
fn a_trial_does_not_wait_for_failures_of_those_at_work() {
    let mut limits = limits();
    limits.failed("patient", at(0), &set());
    limits.set_mode(Mode::DryRun);
    let ruling = &rule(&mut limits, 1, vec![patient(300)])[0];
    assert_eq!(suppression(ruling), None);
}

fn change_daemon(name: &str) -> Proposal {
    let mut proposal = proposal(name, 1, 0..0);
    proposal.decision.action = Action::DaemonUrl {
        to: DaemonTarget::Default,
    };
    proposal.decision.target = Target::Server;
    proposal
}

#[test]
fn the_daemon_is_changed_three_times_a_day_by_all_policies_together() {
    let mut limits = limits();
    let mut ask = |s, name| {
        let ruling = &rule(&mut limits, s, vec![change_daemon(name)])[0];
        suppression(ruling).cloned()
    };
    // A change so soon after another is no matter.
    assert_eq!(ask(0, "free"), None);
    assert_eq!(ask(60, "free"), None);
    assert_eq!(ask(70, "limited"), None);
    let until = at(86_400);
    let used_up = Suppression::ActionLimit { until };
    assert_eq!(ask(200, "free"), Some(used_up.clone()));
    assert_eq!(ask(86_399, "limited"), Some(used_up));
    assert_eq!(ask(86_400, "limited"), None);
    let until = at(86_460);
    assert_eq!(
        ask(86_410, "free"),
        Some(Suppression::ActionLimit { until })
    );
}

#[test]
fn a_change_that_was_never_asked_for_is_none() {
    let mut limits = limits();
    for s in 0..9 {
        let rulings = rule(&mut limits, s, vec![change_daemon("free")]);
        assert_eq!(suppression(&rulings[0]), None, "{s}");
        let mut decision = rulings[0].decision.clone();
        decision.at = at(s);
        limits.take_back(&decision, 1);
    }
}

#[test]
fn a_budget_counts_sessions_and_serves_in_part() {
    let config = LimitsConfig {
        disconnect: Budget {
            rate: Quota {
                count: 6,
                per: Duration::from_secs(60),
            },
            burst: 5,
        },
        ..LimitsConfig::default()
    };
    let mut limits = Limits::new(config, Mode::Enforce);
    let rulings = rule(
        &mut limits,
        0,
        vec![
            proposal("free", 1, 0..3),
            proposal("free", 2, 10..14),
            proposal("free", 3, 20..21),
        ],
    );
    assert_eq!(rulings[0].verdict, Verdict::Permitted { withheld: 0 });
    assert_eq!(rulings[1].verdict, Verdict::Permitted { withheld: 2 });
    assert_eq!(rulings[1].decision.sessions, [session(10), session(11)]);
    assert_eq!(
        suppression(&rulings[2]),
        Some(&Suppression::ActionLimit { until: at(10) })
    );
    // No cooldown holds back the rest.
    let rest = rule(&mut limits, 20, vec![proposal("free", 2, 12..14)]);
    assert_eq!(rest[0].verdict, Verdict::Permitted { withheld: 0 });
}

/// They come back at each poll, as many as there are.
#[test]
fn those_who_are_banned_use_up_nobody_elses_budget() {
    let mut limits = limits();
    assert_eq!(limits.hold_off(10_000, at(0)), 1_500);
    for s in 0..60 {
        limits.hold_off(10_000, at(s));
        let net = u8::try_from(s).unwrap();
        let rulings = rule(&mut limits, s, vec![proposal("free", net, 0..100)]);
        assert_eq!(
            rulings[0].verdict,
            Verdict::Permitted { withheld: 0 },
            "{s}"
        );
    }
    assert_eq!(limits.hold_off(7, at(120)), 7, "and what is left is theirs");
}

#[test]
fn a_session_is_taken_once_a_poll() {
    let mut limits = limits();
    let rulings = rule(
        &mut limits,
        0,
        vec![
            proposal("free", 1, 0..3),
            proposal("limited", 1, 0..2),
            proposal("limited", 2, 2..4),
        ],
    );
    assert_eq!(
        suppression(&rulings[1]),
        Some(&Suppression::Covered {
            policy: "free".into()
        })
    );
    assert_eq!(rulings[2].decision.sessions, [session(3)]);
}

/// Limits that let so many regulars go as the breaker allows.
fn for_regulars() -> Limits {
    let config = LimitsConfig {
        disconnect_regulars: Quota {
            count: 1_000_000,
            per: Duration::from_secs(60),
        },
        ..LimitsConfig::default()
    };
    Limits::new(config, Mode::Enforce)
}

const STOPPED: Suppression = Suppression::Breaker {
    until: Timestamp::from_millis(1_800_000),
};

#[test]
fn the_breaker_stops_a_policy_before_a_tenth_of_the_regulars_is_passed() {
    let mut limits = for_regulars();
    let mut ask = |s, name, net, ids| {
        let rulings = rule_in(&mut limits, s, vec![proposal(name, net, ids)], crowd(1_000));
        suppression(&rulings[0]).cloned()
    };
    assert_eq!(ask(0, "free", 1, 0..100), None, "a tenth of 1,000");
    assert_eq!(ask(0, "free", 2, 100..101), Some(STOPPED));
    assert_eq!(
        ask(1_799, "free", 3, 5_000..5_001),
        Some(STOPPED),
        "strangers neither"
    );
    assert_eq!(ask(1_800, "free", 3, 400..401), None);
}

#[test]
fn one_policy_is_stopped_and_the_others_go_on() {
    let mut limits = for_regulars();
    let crowd = crowd(1_000);
    rule_in(&mut limits, 0, vec![proposal("free", 1, 0..101)], crowd);
    assert_eq!(limits.stopped(at(1_799)), [("free".into(), at(1_800))]);
    let mut change = change_daemon("limited");
    change.decision.policy = "patient".into();
    change.decision.held = Duration::from_hours(1);
    let others = vec![proposal("limited", 2, 200..205), change];
    for ruling in rule_in(&mut limits, 10, others, crowd) {
        assert_eq!(suppression(&ruling), None);
    }
    assert!(limits.close_breaker("free"));
    assert!(!limits.close_breaker("free"));
    let again = rule_in(&mut limits, 20, vec![proposal("free", 3, 300..301)], crowd);
    assert_eq!(suppression(&again[0]), None);
}

const USED_UP: Suppression = Suppression::ShareOfAll {
    until: Timestamp::from_millis(300_000),
};

/// Five policies, each of which asks for as many sessions as it is told.
fn five() -> PolicySet {
    let one = |name: usize| {
        format!(
            "[[policy]]\nname = \"p{name}\"\nscope = \"subnet\"\n\
             when = {{ sessions = \"> 1\" }}\naction = \"disconnect\"\n"
        )
    };
    let source = policy::Source {
        name: "p.toml".into(),
        text: (0..5).map(one).collect(),
    };
    let checked = policy::check(vec![source], &mut |_| unreachable!());
    checked.set.unwrap()
}

/// What becomes of a decision of one of the five: how many sessions go, or what holds it back.
fn ask_five(
    limits: &mut Limits,
    s: i64,
    number: usize,
    ids: std::ops::Range<u64>,
    crowd: Crowd,
) -> Result<usize, Suppression> {
    let rank = |session: &SessionRef| match session.id {
        id if id < crowd.regulars as u64 => Rank::Regular,
        _ => Rank::Stranger,
    };
    let clients = Clients { crowd, rank: &rank };
    // Each its own target, so that no cooldown holds it back.
    let net = u8::try_from(ids.start % 250).unwrap();
    let mut proposal = proposal(&format!("p{number}"), net, ids);
    proposal.decision.at = at(s);
    let wanted = proposal.decision.sessions.clone();
    let ruling = limits
        .rule(vec![proposal], &five(), at(s), &clients)
        .remove(0);
    match ruling.verdict {
        Verdict::Permitted { withheld } => {
            let done = ruling.decision.sessions.len();
            assert_eq!(done + withheld, wanted.len());
            Ok(done)
        }
        Verdict::Suppressed { by, .. } => {
            assert_eq!(
                ruling.decision.sessions, wanted,
                "it says whom it was about"
            );
            Err(by)
        }
    }
}

#[test]
fn all_policies_together_have_a_third_and_none_is_stopped_for_it() {
    let mut limits = for_regulars();
    let mut ask = |s, number, ids| ask_five(&mut limits, s, number, ids, crowd(1_000));
    for number in 0..3 {
        let first = number as u64 * 90;
        assert_eq!(ask(0, number, first..first + 90), Ok(90));
    }
    assert_eq!(ask(0, 3, 270..360), Ok(60), "330 in all");
    assert_eq!(ask(1, 4, 360..361), Err(USED_UP));
    assert_eq!(ask(1, 3, 330..331), Err(USED_UP));
    assert_eq!(ask(1, 4, 995..1_005), Ok(5), "strangers go");
    assert_eq!(ask(1, 4, 0..20), Ok(20), "who went before is no more");
    assert_eq!(ask(299, 4, 361..362), Err(USED_UP));
    assert_eq!(limits.stopped(at(299)), []);
    assert_eq!(limits.share_used_up_until(at(299)), Some(at(300)));

    let saved = serde_json::to_string(&limits.save()).unwrap();
    let saved: SavedLimits = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved.share_used_up_until(at(299)), Some(at(300)));
    let mut again = for_regulars();
    again.restore(saved, []);
    for limits in [&mut limits, &mut again] {
        let mut ask = |s, number, ids| ask_five(limits, s, number, ids, crowd(1_000));
        assert_eq!(ask(299, 4, 363..364), Err(USED_UP));
        assert_eq!(
            ask(300, 3, 364..454),
            Ok(90),
            "20 of the 330 went later again"
        );
        assert_eq!(limits.share_used_up_until(at(300)), None);
    }
}

/// The rule that is for a policy that is wrong is no switch: nine of 26 regulars are not enough to stop
/// the policy that they trip, and each further hit of another one would have stopped that.
#[test]
fn who_fills_the_share_of_all_policies_stops_none() {
    let mut limits = for_regulars();
    let mut ask = |s, number, ids| ask_five(&mut limits, s, number, ids, crowd(26));
    for id in 0..9 {
        assert_eq!(ask(0, 0, id..id + 1), Ok(1));
    }
    for number in 1..5 {
        let id = 9 + number as u64;
        assert_eq!(ask(2, number, id..id + 1), Err(USED_UP));
        let strangers = 1_000 * id..1_000 * id + 200;
        assert_eq!(ask(2, number, strangers), Ok(200));
    }
    assert_eq!(limits.stopped(at(2)), []);
    // The tenth of its own: that is more likely a policy that is wrong.
    let mut ask = |s, number, ids| ask_five(&mut limits, s, number, ids, crowd(26));
    let until = at(3 + 1_800);
    assert_eq!(ask(3, 0, 20..21), Err(Suppression::Breaker { until }));
    assert_eq!(
        ask(3, 1, 21..22),
        Err(USED_UP),
        "the nine were disconnected"
    );
    assert_eq!(limits.stopped(at(3)), [("p0".into(), until)]);
}

/// What is remembered, and saved at each poll with an act, does not grow with an attack.
#[test]
fn of_newcomers_no_more_are_kept_than_can_stop_a_policy() {
    // Each poll disconnects a thousand that came since the last: 100,000 in an hour.
    let cut = |usual: Option<usize>, most: usize| {
        let mut limits = limits();
        for poll in 0..100_u64 {
            let first = 100_000 + poll * 1_000;
            let net = u8::try_from(poll).unwrap();
            let proposals = vec![proposal("free", net, first..first + 1_000)];
            let crowd = Crowd {
                newcomers: usize::try_from(poll + 1).unwrap() * 1_000,
                newcomers_usual: usual,
                ..crowd(60)
            };
            rule_in(&mut limits, 36 * poll.cast_signed(), proposals, crowd);
            let saved = serde_json::to_value(limits.save()).unwrap();
            let kept = saved["ledger"]["breaker"]["policies"].as_array().unwrap();
            let kept = kept
                .iter()
                .map(|account| account["newcomers"].as_array().unwrap().len());
            let kept: usize = kept.sum();
            assert!(kept <= most, "{usual:?}: {kept} at {poll}");
            let size = saved.to_string().len();
            assert!(size <= 1_000 + 50 * most, "{usual:?}: {size} B at {poll}");
        }
    };
    cut(Some(20), 0);
    cut(None, NEWCOMERS_MAX);
    cut(Some(1_000_000), NEWCOMERS_MAX);
}

/// Just as many come as are usual, ten of them disconnected at a time.
#[test]
fn of_as_many_newcomers_as_are_usual_no_more_than_half_are_kept() {
    let mut limits = limits();
    let crowd = Crowd {
        newcomers: 186,
        newcomers_usual: Some(150),
        ..crowd(60)
    };
    let mut ask = |poll: u8| {
        let first = 100_000 + u64::from(poll) * 10;
        let proposals = vec![proposal("free", poll, first..first + 10)];
        let ruling = rule_in(&mut limits, i64::from(poll), proposals, crowd).remove(0);
        let saved = serde_json::to_value(limits.save()).unwrap();
        let kept = &saved["ledger"]["breaker"]["policies"][0]["newcomers"];
        (
            suppression(&ruling).is_none(),
            kept.as_array().unwrap().len(),
        )
    };
    for poll in 0..9 {
        assert_eq!(ask(poll), (true, usize::from(poll + 1) * 10));
    }
    assert_eq!(ask(9), (false, 0), "a hundred of 186");
}

/// An earlier version kept 100,000 newcomers, and did not know whom all policies together disconnected.
#[test]
fn what_an_earlier_version_saved_is_taken_up() {
    let mut limits = for_regulars();
    assert_eq!(ask_five(&mut limits, 0, 0, 0..90, crowd(300)), Err(STOPPED));
    assert_eq!(ask_five(&mut limits, 0, 1, 0..20, crowd(300)), Ok(20));
    let mut saved = serde_json::to_value(limits.save()).unwrap();
    let breaker = &mut saved["ledger"]["breaker"];
    breaker.as_object_mut().unwrap().remove("regulars");
    breaker
        .as_object_mut()
        .unwrap()
        .remove("share_used_up_until");
    let newcomers: Vec<_> = (0..9_999)
        .map(|id| serde_json::json!([{ "session": id }, 1_000]))
        .collect();
    breaker["policies"][1]["newcomers"] = newcomers.into();
    let mut limits = for_regulars();
    limits.restore(serde_json::from_value(saved).unwrap(), []);
    assert_eq!(limits.stopped(at(1)), [("p0".into(), at(1_800))]);
    for number in 2..5 {
        let first = number as u64 * 30;
        let done = ask_five(&mut limits, 1, number, first..first + 30, crowd(300));
        assert_eq!(done, Ok(if number == 4 { 19 } else { 30 }), "99 in all");
    }
    let saved = serde_json::to_value(limits.save()).unwrap();
    let kept = &saved["ledger"]["breaker"]["policies"][1]["newcomers"];
    assert_eq!(kept.as_array().unwrap().len(), NEWCOMERS_MAX);
}

#[test]
fn strangers_never_stop_a_policy_however_many() {
    let mut limits = limits();
    for s in 0..20 {
        let ids = 1_000 + s * 100..1_100 + s * 100;
        let proposal = proposal("free", u8::try_from(s).unwrap(), ids);
        let rulings = rule_in(&mut limits, s.cast_signed(), vec![proposal], crowd(60));
        assert_eq!(suppression(&rulings[0]), None, "{s}");
    }
}

#[test]
fn a_policy_that_cuts_most_newcomers_is_stopped_if_no_more_than_usual_come() {
    let ask = |newcomers, usual, ids| {
        let crowd = Crowd {
            newcomers,
            newcomers_usual: usual,
            ..crowd(60)
        };
        let proposal = proposal("free", 1, ids);
        let rulings = rule_in(&mut limits(), 0, vec![proposal], crowd);
        suppression(&rulings[0]).cloned()
    };
    let first = 100_000;
    assert_eq!(ask(20, Some(20), first..first + 11), Some(STOPPED));
    assert_eq!(
        ask(20, Some(20), first..first + 10),
        None,
        "half is not most"
    );
    assert_eq!(ask(12, Some(20), first..first + 9), None, "too few to tell");
    // Three standard deviations above 20 are 33.4.
    assert_eq!(ask(33, Some(20), first..first + 30), Some(STOPPED));
    assert_eq!(ask(34, Some(20), first..first + 30), None, "a flood");
    assert_eq!(
        ask(20, None, first..first + 20),
        None,
        "not known what is usual"
    );
}

#[test]
fn regulars_have_a_strict_budget_of_their_own() {
    let mut limits = limits();
    let ask = |limits: &mut Limits, s, net, ids| {
        let proposals = vec![proposal("free", net, ids)];
        let ruling = rule_in(limits, s, proposals, crowd(1_000)).remove(0);
        let done = match ruling.verdict {
            Verdict::Permitted { .. } => ruling.decision.sessions.len(),
            Verdict::Suppressed { .. } => 0,
        };
        (done, suppression(&ruling).cloned())
    };
    // Twenty regulars and twenty strangers.
    assert_eq!(ask(&mut limits, 0, 1, 980..1_020), (40, None));
    assert_eq!(
        ask(&mut limits, 10, 2, 960..1_010),
        (20, None),
        "10 of 40, and 10 strangers"
    );
    let until = at(60);
    let used_up = Some(Suppression::ActionLimit { until });
    assert_eq!(ask(&mut limits, 20, 3, 900..910), (0, used_up));
    assert_eq!(ask(&mut limits, 20, 4, 2_000..2_010), (10, None));
    assert_eq!(ask(&mut limits, 60, 3, 900..910), (10, None));
}

/// Sixty sessions of one address that is a regular, as one decision or as sixty, worst first.
#[test]
fn no_regular_takes_the_budget_from_the_others() {
    let hog = |ids: std::ops::Range<u64>| {
        let mut hog = proposal("free", 1, ids);
        for session in &mut hog.decision.sessions {
            session.peer = Peer(Some(([8, 8, 8, 8], 1).into()));
        }
        hog
    };
    let at_once = || vec![hog(0..60)];
    let one_by_one = || {
        let each = (0..60).map(|id| {
            let mut each = hog(id..id + 1);
            each.decision.target = Target::Session(each.decision.sessions[0]);
            each
        });
        each.collect()
    };
    let ways: [&dyn Fn() -> Vec<Proposal>; 2] = [&at_once, &one_by_one];
    for of_hog in ways {
        let mut limits = limits();
        let mut ask = |s, others: std::ops::Range<u64>| {
            let mut proposals = of_hog();
            let count = proposals.len();
            proposals.push(proposal("free", 2, others));
            let rulings = rule_in(&mut limits, s, proposals, crowd(1_000));
            let done = |rulings: &[Ruling]| {
                let permitted = rulings.iter().filter(|it| suppression(it).is_none());
                permitted
                    .map(|it| it.decision.sessions.len())
                    .sum::<usize>()
            };
            (done(&rulings[..count]), done(&rulings[count..]))
        };
        assert_eq!(ask(0, 100..110), (15, 10));
        // Nobody else waits: but for one the rest is for it.
        assert_eq!(ask(2, 0..0).0, 2);
        assert_eq!(ask(4, 0..0).0, 1);
        assert_eq!(ask(6, 0..0).0, 1);
        assert_eq!(ask(8, 0..0).0, 0);
        assert_eq!(ask(60, 110..150), (13, 13));
        // What becomes free by itself is not always for the worst.
        assert_eq!(ask(62, 150..160), (1, 1));
    }
    let one = Quota {
        count: 1,
        per: Duration::from_secs(60),
    };
    let config = LimitsConfig {
        disconnect_regulars: one,
        ..LimitsConfig::default()
    };
    let mut limits = Limits::new(config, Mode::Enforce);
    let rulings = rule_in(
        &mut limits,
        0,
        vec![proposal("free", 1, 0..1)],
        crowd(1_000),
    );
    assert_eq!(
        suppression(&rulings[0]),
        None,
        "half of one would be nobody"
    );
}

#[test]
fn who_comes_back_over_and_over_stops_no_policy() {
    let mut limits = for_regulars();
    for round in 0..20 {
        let proposals = vec![proposal("free", 1, 0..100)];
        let rulings = rule_in(&mut limits, round * 60, proposals, crowd(1_000));
        assert_eq!(suppression(&rulings[0]), None, "{round}");
    }
}

#[test]
fn few_regulars_stop_no_policy() {
    let mut limits = limits();
    let mut ask = |ids| {
        let rulings = rule_in(&mut limits, 0, vec![proposal("free", 1, ids)], crowd(4));
        suppression(&rulings[0]).cloned()
    };
    assert_eq!(ask(0..2), None);
}

#[test]
fn a_trial_neither_uses_budgets_nor_stops_those_at_work() {
    let mut limits = for_regulars();
    let crowd = crowd(1_000);
    let trial = rule_in(&mut limits, 0, vec![proposal("trial", 1, 0..400)], crowd);
    assert_eq!(trial[0].mode, Mode::DryRun);
    assert!(matches!(
        suppression(&trial[0]),
        Some(Suppression::Breaker { .. })
    ));
    assert!(limits.stopped(at(1)).is_empty());
    let at_work = rule_in(&mut limits, 1, vec![proposal("free", 1, 0..100)], crowd);
    assert_eq!(suppression(&at_work[0]), None);
}

#[test]
fn the_weaker_mode_wins() {
    let mut limits = Limits::new(LimitsConfig::default(), Mode::DryRun);
    assert_eq!(
        rule(&mut limits, 0, vec![proposal("free", 1, 0..1)])[0].mode,
        Mode::DryRun
    );
}

#[test]
fn what_bars_a_decision_is_not_charged() {
    let mut limits = limits();
    let mut barred = proposal("limited", 1, 0..0);
    barred.barred = Some(Suppression::Protection);
    for s in 0..5 {
        let ruling = rule(&mut limits, s, vec![barred.clone()]);
        assert_eq!(suppression(&ruling[0]), Some(&Suppression::Protection));
    }
    assert_eq!(
        suppression(&rule(&mut limits, 5, vec![proposal("limited", 1, 0..1)])[0]),
        None
    );
}

#[test]
fn a_restart_changes_nothing() {
    let mut limits = limits();
    rule(
        &mut limits,
        0,
        vec![
            proposal("limited", 1, 0..200),
            proposal("limited", 2, 200..250),
        ],
    );
    let json = serde_json::to_string(&limits.save()).unwrap();
    let until = limits.cooldown(
        "limited",
        &proposal("limited", 1, 0..0).decision.target,
        Mode::Enforce,
    );
    let mut again = Limits::new(LimitsConfig::default(), Mode::Enforce);
    again.restore(
        serde_json::from_str(&json).unwrap(),
        [Cooldown {
            policy: "limited".into(),
            target: proposal("limited", 1, 0..0).decision.target,
            until: until.unwrap(),
        }],
    );
    let ask = |limits: &mut Limits| {
        let proposals = vec![
            proposal("limited", 1, 0..1),
            proposal("limited", 3, 5..6),
            proposal("free", 4, 300..301),
        ];
        rule(limits, 1, proposals)
    };
    assert_eq!(ask(&mut again), ask(&mut limits));
}

/// An agent that was started again takes a session to have connected some milliseconds off.
#[test]
fn a_session_stays_in_its_cooldown_over_a_restart() {
    let session = |since_ms| SessionRef {
        since: Timestamp::from_millis(since_ms),
        ..session(7)
    };
    let mut limits = limits();
    limits.restore(
        SavedLimits::default(),
        [Cooldown {
            policy: "free".into(),
            target: Target::Session(session(10_000)),
            until: at(60),
        }],
    );
    let mut again = proposal("free", 1, 7..8);
    again.decision.target = Target::Session(session(9_994));
    assert_eq!(
        suppression(&rule(&mut limits, 20, vec![again])[0]),
        Some(&Suppression::Cooldown { until: at(60) })
    );
}

proptest! {
    /// Whatever is asked for, no window of time sees more sessions disconnected than the budget's
    /// burst and rate allow, nor more regulars than their limit and the breaker's share.
    #[test]
    fn nothing_exceeds_the_limits(
        asks in proptest::collection::vec((0_i64..30, 0_u8..8, 1_u64..80), 1..60)
    ) {
        const REGULARS: usize = 500;
        let config = LimitsConfig::default();
        let mut limits = limits();
        let (mut s, mut id) = (0, 0);
        let (mut done, mut regulars) = (Vec::<(i64, usize)>::new(), Vec::<(i64, usize)>::new());
        for (wait, net, count) in asks {
            s += wait;
            let proposals = vec![proposal("free", net, id..id + count)];
            let rulings = rule_in(&mut limits, s, proposals, crowd(REGULARS));
            id += count;
            if let Verdict::Permitted { .. } = rulings[0].verdict {
                let sessions = &rulings[0].decision.sessions;
                done.push((s, sessions.len()));
                let is_regular = |session: &&SessionRef| session.id < REGULARS as u64;
                regulars.push((s, sessions.iter().filter(is_regular).count()));
            }
        }
        for (i, &(start, _)) in regulars.iter().enumerate() {
            let within = |span_s| {
                let within = regulars[i..].iter().filter(move |(end, _)| end - start < span_s);
                within.map(|(_, count)| count).sum::<usize>()
            };
            prop_assert!(within(60) <= config.disconnect_regulars.count as usize);
            prop_assert!(within(300) <= REGULARS / 10);
        }
        for (i, &(start, _)) in done.iter().enumerate() {
            let mut sum = 0;
            for &(end, count) in &done[i..] {
                sum += count;
                let allowed = f64::from(config.disconnect.burst) + (end - start) as f64 * 50.0;
                prop_assert!(sum as f64 <= allowed + 1.0);
            }
        }
    }

    /// After a failure nothing is tried without `at_once` before the time that is due then.
    #[test]
    fn nothing_is_tried_again_before_its_time(
        asks in proptest::collection::vec(
            (0_i64..4_000, 0_u64..4_000, any::<bool>(), any::<bool>()), 1..60
        )
    ) {
        let mut limits = limits();
        let (mut s, mut failed): (i64, Option<(i64, u32)>) = (0, None);
        for (wait, held_s, fails, restarts) in asks {
            s += wait;
            if restarts {
                let saved = serde_json::to_string(&limits.save()).unwrap();
                limits = Limits::new(LimitsConfig::default(), Mode::Enforce);
                limits.restore(serde_json::from_str(&saved).unwrap(), []);
            }
            let ruling = &rule(&mut limits, s, vec![patient(held_s)])[0];
            if ruling.verdict != (Verdict::Permitted { withheld: 0 }) {
                continue;
            }
            let before = failed.filter(|(last, _)| s - last < 86_400);
            if let Some((last, count)) = before {
                let due = (300 << count.min(4)).min(3_600);
                prop_assert!(s - last >= due && held_s.cast_signed() >= due);
            }
            if fails {
                limits.failed("patient", at(s), &set());
                failed = Some((s, before.map_or(0, |(_, count)| count) + 1));
            }
        }
    }

    /// Over restarts, and whatever is taken back, no minute sees more than two targets of the policy
    /// that may have two, and no hour more changes of the daemon than all policies may make.
    #[test]
    fn no_span_of_time_holds_more_than_a_strict_limit(
        asks in proptest::collection::vec((0_i64..50, 0_u8..6, any::<bool>(), 0_u8..8), 1..120)
    ) {
        let hour = Duration::from_hours(1);
        let config = LimitsConfig {
            daemon_url: Quota { count: 3, per: hour },
            ..LimitsConfig::default()
        };
        let mut limits = Limits::new(config, Mode::Enforce);
        let (mut changes, mut targets, mut s) = (Vec::new(), Vec::new(), 0);
        for (wait, net, is_change, event) in asks {
            s += wait;
            let mut proposals: Vec<_> = (0..net)
                .map(|net| proposal("limited", net, 0..0))
                .collect();
            proposals.extend(["free", "limited"].map(change_daemon).into_iter().filter(|_| is_change));
            for proposal in &mut proposals {
                proposal.decision.at = at(s);
            }
            for (i, ruling) in rule(&mut limits, s, proposals).into_iter().enumerate() {
                if ruling.verdict != (Verdict::Permitted { withheld: 0 }) {
                    continue;
                }
                let decision = &ruling.decision;
                if event == 0 && i % 2 == 0 {
                    limits.take_back(decision, 1);
                    continue;
                }
                if decision.target == Target::Server {
                    changes.push(s);
                }
                if *decision.policy == *"limited" {
                    targets.push(s);
                }
            }
            if event == 1 {
                let saved = serde_json::to_string(&limits.save()).unwrap();
                limits = Limits::new(config, Mode::Enforce);
                limits.restore(serde_json::from_str(&saved).unwrap(), []);
            }
        }
        for (done, count, span_s) in [(changes, 3, 3_600), (targets, 2, 60)] {
            for (i, start) in done.iter().enumerate() {
                let within = done[i..].iter().filter(|&then| then - start < span_s);
                prop_assert!(within.count() <= count, "{done:?}");
            }
        }
    }
}

/// The agent starts before the clock is set, and again after it was.
#[test]
fn a_clock_that_was_ahead_bars_nothing_for_long() {
    let year = 365 * 86_400;
    let mut limits = limits();
    let ruled = rule(&mut limits, year, vec![proposal("free", 1, 0..2)]);
    assert_eq!(suppression(&ruled[0]), None);
    limits.failed("patient", at(year), &set());
    let cooldowns = limits.started_cooldowns().to_vec();
    let saved = limits.save();
    let mut limits = Limits::new(LimitsConfig::default(), Mode::Enforce);
    limits.restore(saved, cooldowns);

    let both = || vec![proposal("free", 1, 0..2), patient(100_000)];
    let ruled = rule(&mut limits, 0, both());
    let until = at(60);
    assert_eq!(
        suppression(&ruled[0]),
        Some(&Suppression::Cooldown { until })
    );
    let hold = Duration::from_secs(600);
    let failures = 1;
    let backoff = Suppression::Backoff { hold, failures };
    assert_eq!(suppression(&ruled[1]), Some(&backoff));
    for late in [proposal("free", 1, 0..2), patient(100_000)] {
        let ruled = rule(&mut limits, 600, vec![late]);
        assert_eq!(suppression(&ruled[0]), None);
    }
}
