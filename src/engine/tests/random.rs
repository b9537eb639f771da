//! Random policies over random lives of clients: what no decision may ever do, and that the same
//! snapshots always give the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::policy;
use crate::decision::{Decision, Seen, Target};
use crate::engine::{Pending, Protection};
use crate::field::{Field, Scope};
use crate::limits::{Ruling, Verdict};
use crate::policy::{AddressSet, Mode};
use crate::recheck::recheck;
use crate::recheck::tests::row;
use crate::scene::life::{Event, Happened, PEERS, happen, lives};
use crate::scene::{Scene, policies};
use crate::snapshot::Snapshot;
use crate::visit::Visits;
use crate::warden::{Judgement, Settings, Subject, Warden};

const PROTECTED: &str = "8.8.8.9";

fn settings() -> Settings {
    Settings {
        mode: Mode::Enforce,
        protection: Protection {
            addresses: [format!("{PROTECTED}/32").parse().unwrap()]
                .into_iter()
                .collect::<AddressSet>(),
            clients: vec![regex::Regex::new("^<b>").unwrap()],
            ..Protection::default()
        },
        ..Settings::default()
    }
}

const TESTS: [&str; 20] = [
    "sessions = \"> 1\"",
    "sessions = [\"> 0\", \"<= 3\"]",
    "subs = \"> 5\"",
    "subs = \"< 3\"",
    "sent_rate = \"> 10 B/s\"",
    "sent_share = \">= 10%\"",
    "new_sessions = \">= 1\"",
    "requests = \"!= 0\"",
    "cost_rate = \"> 1/s\"",
    "subs = \"> 1x median\"",
    "sent_rate = \"> p90\"",
    "address = \"in 8.0.0.0/8\"",
    "address = \"not in [8.8.8.8, 2a00:1:2::/48]\"",
    "client = \"=~ .\"",
    "client = '!= \"wallet\"'",
    "private = false",
    "\"address.sessions\" = \"> 1\"",
    "\"subnet.sent_rate\" = \"> 10 B/s\"",
    "\"client.subs\" = \"> 1x median\"",
    "\"server.subs\" = \"> 5\"",
];

/// Whether a scope knows a test's field.
fn fits(scope: &str, test: &str) -> bool {
    let field = test.split(' ').next().unwrap().trim_matches('"');
    Field::seen_from(Scope::named(scope).unwrap(), field).is_some()
}

fn any_policies() -> impl Strategy<Value = String> {
    let scope = prop::sample::select(vec!["session", "address", "subnet", "group", "client"]);
    let tests = || prop::collection::btree_set(0..TESTS.len(), 1..3);
    let one = (
        scope,
        tests(),
        prop::option::of(tests()),
        prop::option::of(tests()),
        0..3_u32,
        0..4_u32,
        any::<bool>(),
    );
    prop::collection::vec(one, 1..6).prop_map(|policies| {
        let mut text = String::new();
        for (number, (scope, when, unless, at_once, hold, action, include_private)) in
            policies.into_iter().enumerate()
        {
            let table = |tests: &BTreeSet<usize>| {
                let mut fields = BTreeSet::new();
                let fitting = tests.iter().map(|&test| TESTS[test]).filter(|test| {
                    fits(scope, test) && fields.insert(test.split(' ').next().unwrap())
                });
                fitting.collect::<Vec<_>>().join(", ")
            };
            let mut more = format!("for = \"{}s\"\ncooldown = \"20s\"\n", hold * 10);
            if let Some(unless) = unless.as_ref().map(table).filter(|table| !table.is_empty()) {
                _ = writeln!(more, "unless = {{ {unless} }}");
            }
            if let Some(sooner) = at_once
                .as_ref()
                .map(table)
                .filter(|table| !table.is_empty())
            {
                _ = writeln!(more, "at_once = {{ {sooner} }}");
            }
            if include_private && matches!(scope, "address" | "subnet") {
                more += "include_private = true\n";
            }
            more += match action {
                0 => "action = \"alert\"\n",
                1 => "action = { log = { for = \"1m\" } }\n",
                _ => "action = \"disconnect\"\n",
            };
            let when = Some(table(&when)).filter(|table| !table.is_empty());
            let mut when = when.unwrap_or("recv_rate = \">= 0\"".into());
            // What is around a target alone is refused, and so is what always holds beside it.
            let is_around = |test: &str| test.starts_with('"');
            let is_own = |test: &str| !is_around(test) && test != "private = false";
            if when.split(", ").any(is_around) && !when.split(", ").any(is_own) {
                when += ", requests = \"!= 0\"";
            }
            text += &policy(
                &format!("p{number}"),
                scope,
                &format!("{{ {when} }}"),
                &more,
            );
        }
        text
    })
}

/// Tells the groups as 1.16 does, and now and then one member too many.
fn group_up(scene: &mut Scene) {
    scene.groups.clear();
    for (net, prefix) in [("8.8.8.0/24", "8.8.8."), ("9.9.9.0/24", "9.9.9.")] {
        let members = scene.rows.iter().filter(|row| row.peer.starts_with(prefix));
        let too_many = u64::from(scene.now_ms % 5 == 0);
        let count = members.count() as u64 + too_many;
        if count > 0 {
            scene.groups.push((net.into(), count));
        }
    }
}

fn check(decision: &Decision, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let sessions = &snapshot.sessions;
    prop_assert_eq!(decision.epoch, snapshot.epoch);
    prop_assert_eq!(decision.at, snapshot.at());
    prop_assert!(decision.severity >= 1.0 && decision.severity.is_finite());
    let distinct: std::collections::BTreeSet<_> = decision.sessions.iter().collect();
    prop_assert_eq!(distinct.len(), decision.sessions.len());
    for session in &decision.sessions {
        let rows: Vec<usize> = (0..sessions.len())
            .filter(|&row| sessions.id[row] == session.id)
            .collect();
        // One row alone bears the ID, so none of an RPC connection does.
        prop_assert_eq!(rows.len(), 1);
        let row = rows[0];
        prop_assert!(!sessions.flags[row].is_rpc() && !sessions.flags[row].closing);
        prop_assert_eq!(sessions.peer[row], session.peer);
        let name = sessions.names.get(sessions.client[row]);
        let address = session.peer.0.map(|peer| peer.ip());
        prop_assert!(
            !settings().protection.covers(address, name),
            "{session:?} {name}"
        );
    }
    for evidence in &decision.evidence {
        if let Seen::Number(seen) = evidence.seen {
            let threshold = evidence.threshold.unwrap();
            prop_assert!(seen >= 0.0 && !threshold.is_nan(), "{evidence:?}");
            let holds = match evidence.test.split(' ').next().unwrap() {
                ">" => seen > threshold,
                ">=" => seen >= threshold,
                "<" => seen < threshold,
                "<=" => seen <= threshold,
                _ => seen.to_bits() != threshold.to_bits(),
            };
            prop_assert!(holds, "{evidence:?}");
        }
    }
    Ok(())
}

/// Nobody is due before the time but by `at_once`, and whoever waits is not due.
fn check_waiting(
    warden: &Warden,
    judgement: &Judgement,
    pending: &[Pending],
) -> Result<(), TestCaseError> {
    for Ruling { decision, .. } in &judgement.rulings {
        let set = warden.policies();
        let policy = set
            .policies
            .iter()
            .find(|policy| policy.name == decision.policy);
        let policy = policy.unwrap();
        prop_assert!(decision.at_once || decision.held >= policy.hold);
        prop_assert!(!decision.at_once || policy.at_once.is_some());
        // Of one table each.
        let of_when: usize = policy.when.any[0].tests.len();
        prop_assert_eq!(decision.at_once, decision.evidence.len() > of_when);
        let waits = pending
            .iter()
            .any(|other| other.policy == decision.policy && other.target == decision.target);
        prop_assert!(!waits, "{decision:?}");
    }
    Ok(())
}

/// An explanation says what the rulings say, and its tests what it says itself.
fn check_explained(
    warden: &mut Warden,
    judgement: &Judgement,
    snapshot: &Snapshot,
    subject: Subject,
) -> Result<Vec<(Arc<str>, Target)>, TestCaseError> {
    let mut due = Vec::new();
    let Some(explanation) = warden.explain(snapshot, subject) else {
        return Ok(due);
    };
    for account in explanation.accounts {
        let standing = &account.standing;
        let is_exempt = !standing.unless.is_empty();
        let by_tests = standing.holding().is_some() && !is_exempt && account.apart.is_none();
        prop_assert_eq!(standing.holds, by_tests, "{:?}", &account);
        prop_assert!((0.0..=2.0).contains(&standing.progress()));
        for looked in standing.when.iter().flatten() {
            let is_unknown = looked.seen.is_none() || looked.missing.is_some();
            prop_assert!(!(looked.holds && is_unknown), "{looked:?}");
            if let Some(margin) = looked.margin() {
                prop_assert!(!looked.holds || margin.nearness >= 1.0, "{looked:?}");
            }
        }
        let mut rulings = judgement.rulings.iter();
        let ruling = rulings.find(|ruling| {
            let decision = &ruling.decision;
            decision.policy == standing.policy && decision.target == account.target
        });
        prop_assert_eq!(account.due.is_some(), ruling.is_some(), "{:?}", &account);
        prop_assert!(standing.is_due() || ruling.is_none());
        let Some((told, ruling)) = account.due.as_ref().zip(ruling) else {
            continue;
        };
        prop_assert_eq!(&told.evidence, &ruling.decision.evidence);
        prop_assert_eq!(told.severity.to_bits(), ruling.decision.severity.to_bits());
        prop_assert_eq!(standing.held, ruling.decision.held);
        match &ruling.verdict {
            Verdict::Suppressed { by, .. } => prop_assert_eq!(account.held_back.as_ref(), Some(by)),
            Verdict::Permitted { withheld } => {
                prop_assert_eq!(account.held_back.as_ref(), None);
                prop_assert_eq!(told.withheld, *withheld);
            }
        }
        due.push((standing.policy.clone(), account.target));
    }
    Ok(due)
}

/// Of every ruling there is somebody whose explanation tells of it.
fn check_all_explained(
    warden: &mut Warden,
    judgement: &Judgement,
    snapshot: &Snapshot,
) -> Result<(), TestCaseError> {
    let ids: BTreeSet<u64> = snapshot.sessions.id.iter().copied().collect();
    let peers = PEERS
        .iter()
        .filter_map(|peer| peer.parse::<SocketAddr>().ok());
    let addresses = peers.map(|peer| Subject::Address(peer.ip()));
    let mut due = Vec::new();
    for subject in ids.into_iter().map(Subject::Session).chain(addresses) {
        due.extend(check_explained(warden, judgement, snapshot, subject)?);
    }
    for Ruling { decision, .. } in &judgement.rulings {
        let is_told = due.contains(&(decision.policy.clone(), decision.target.clone()));
        let has_gone = decision.sessions.is_empty() && decision.spared == 0;
        prop_assert!(is_told || has_gone, "{decision:?}");
    }
    Ok(())
}

/// What is told of a poll, to the byte.
fn told(judgement: &Judgement) -> String {
    let rulings = judgement.rulings.iter().map(|ruling| {
        let decision = serde_json::to_string(&ruling.decision).unwrap();
        format!("{decision} {:?} {:?}\n", ruling.mode, ruling.verdict)
    });
    rulings.collect::<String>() + &serde_json::to_string(&judgement.cooldowns).unwrap()
}

fn play(text: &str, events: &[Event]) -> Result<String, TestCaseError> {
    let mut warden = Warden::new(policies(text), settings());
    let (mut scene, mut all) = (Scene::new(), String::new());
    for event in events {
        match happen(&mut scene, event) {
            Happened::Nothing => {}
            Happened::Miss => {
                all += &told(&warden.missed(scene.at(), scene.epoch, &[], &Visits::default()));
            }
            Happened::Poll => {
                group_up(&mut scene);
                let snapshot = scene.poll();
                warden.observe(&snapshot);
                let judgement = warden.judge(&snapshot);
                let severities = judgement.rulings.iter().map(|r| r.decision.severity);
                prop_assert!(severities.is_sorted_by(|a, b| a >= b));
                for ruling in &judgement.rulings {
                    check(&ruling.decision, &snapshot)?;
                    let recheck = recheck(&row(ruling));
                    prop_assert!(recheck.agrees(), "{recheck:?} {ruling:?}");
                    if let Verdict::Permitted { .. } = ruling.verdict
                        && ruling.decision.action.kind().is_done_to_sessions()
                    {
                        prop_assert!(!ruling.decision.sessions.is_empty());
                    }
                }
                all += &told(&judgement);
                check_all_explained(&mut warden, &judgement, &snapshot)?;
                let pending = warden.pending(&snapshot);
                check_waiting(&warden, &judgement, &pending)?;
                _ = write!(all, "{pending:?}");
                all += &serde_json::to_string(&warden.saved_limits()).unwrap();
            }
        }
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nobody_is_hit_who_must_not_be_and_the_same_gives_the_same(
        text in any_policies(), events in lives(true)
    ) {
        // Every table is hashed by another seed.
        prop_assert_eq!(play(&text, &events)?, play(&text, &events)?);
    }
}
