use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::decision::{BanOrder, BanRefusal, Choice, ChosenBy, NoBan};
use crate::field::Dimension;
use crate::policy::DaemonTarget;

fn any_name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z0-9_-]{0,20}", any::<String>(), "[\0%_'\"\\\\]{0,8}"].prop_map(Arc::from)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn any_net() -> impl Strategy<Value = ipnet::IpNet> {
    (any::<std::net::IpAddr>(), 0..=32_u8)
        .prop_map(|(address, prefix)| ipnet::IpNet::new(address, prefix).unwrap())
}

fn any_session() -> impl Strategy<Value = SessionRef> {
    let peer = proptest::option::of(any::<(std::net::IpAddr, u16)>().prop_map(Into::into));
    (any::<u64>(), peer, any_time()).prop_map(|(id, peer, since)| SessionRef {
        id,
        peer: Peer(peer),
        since,
    })
}

fn any_target() -> impl Strategy<Value = Target> {
    prop_oneof![
        Just(Target::Server),
        any_session().prop_map(Target::Session),
        any_net().prop_map(Target::Address),
        any_net().prop_map(Target::Subnet),
        any_name().prop_map(Target::Group),
        any_name().prop_map(Target::Client),
    ]
}

fn any_number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{INFINITE, NORMAL, SUBNORMAL, ZERO};
    INFINITE | NORMAL | SUBNORMAL | ZERO
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let seen = prop_oneof![
        any::<bool>().prop_map(Seen::Flag),
        any_number().prop_map(Seen::Number),
        any_name().prop_map(Seen::Text),
    ];
    let dimension = prop_oneof![
        Just(None),
        Just(Some(Dimension::Share)),
        Just(Some(Dimension::ByteRate))
    ];
    let threshold = proptest::option::of(any_number());
    (any_name(), any_name(), seen, threshold, dimension).prop_map(
        |(field, test, seen, threshold, dimension)| Evidence {
            field,
            test,
            seen,
            threshold,
            dimension,
        },
    )
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Disconnect),
        Just(Action::Alert),
        any::<Duration>().prop_map(|duration| Action::Log { duration }),
        Just(Action::DaemonUrl {
            to: DaemonTarget::Default
        }),
        Just(Action::DaemonUrl {
            to: DaemonTarget::Primary
        }),
        Just(Action::DaemonUrl {
            to: DaemonTarget::Best
        }),
        proptest::collection::vec(any_name(), 1..4).prop_map(|daemons| Action::DaemonUrl {
            to: DaemonTarget::List(daemons.into())
        }),
    ]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let suppression = prop_oneof![
        Just(Suppression::Protection),
        any_time().prop_map(|until| Suppression::Cooldown { until }),
        (any::<Duration>(), any::<u32>())
            .prop_map(|(hold, failures)| Suppression::Backoff { hold, failures }),
        any_time().prop_map(|until| Suppression::PolicyLimit { until }),
        any_time().prop_map(|until| Suppression::ActionLimit { until }),
        any_time().prop_map(|until| Suppression::Breaker { until }),
        any_time().prop_map(|until| Suppression::ShareOfAll { until }),
        any_name().prop_map(|policy| Suppression::Covered { policy }),
        Just(Suppression::UncertainMembers),
        Just(Suppression::AmbiguousId),
        Just(Suppression::NothingToDo),
        any_name().prop_map(|why| Suppression::UnfitDaemon {
            why: why.to_string()
        }),
    ];
    prop_oneof![
        Just(Outcome::Intended),
        Just(Outcome::DryRun),
        any::<String>().prop_map(|detail| Outcome::Executed { detail }),
        any::<String>().prop_map(|detail| Outcome::Failed { detail }),
        suppression.prop_map(Outcome::Suppressed),
    ]
}

prop_compose! {
    fn any_choice()(
        by in prop_oneof![Just(ChosenBy::Part), Just(ChosenBy::Visits), Just(ChosenBy::Newest)],
        field in any_name(),
        numbers in any::<[u32; 5]>(),
        rest in any::<u32>(),
        threshold in any::<u32>(),
        is_still_met in any::<bool>(),
    ) -> Choice {
        let [members, chosen, outliers, strangers, regulars] = numbers;
        Choice {
            by, field, members, chosen, outliers, strangers, regulars,
            rest: rest.into(), is_still_met, threshold: threshold.into(),
            dimension: Some(Dimension::ByteRate),
        }
    }
}

prop_compose! {
    fn any_ban()(
        net in any_net(),
        until in any_time(),
        strikes in 0..1_000_u32,
        holes in proptest::collection::vec(any_net(), 0..3),
    ) -> BanOrder {
        BanOrder { net, until, strikes: f64::from(strikes) / 8.0, holes }
    }
}

fn any_bans() -> impl Strategy<Value = (Vec<BanOrder>, Vec<BanRefusal>)> {
    let why = prop_oneof![
        Just(NoBan::Regulars),
        Just(NoBan::Protected),
        Just(NoBan::Own),
        any_time().prop_map(|until| NoBan::Limit { until }),
    ];
    let refusal = (any_net(), why).prop_map(|(net, why)| BanRefusal { net, why });
    (
        proptest::collection::vec(any_ban(), 0..3),
        proptest::collection::vec(refusal, 0..3),
    )
}

prop_compose! {
    fn any_decision()(
        at in any_time(),
        epoch in any::<u64>(),
        policy in any_name(),
        mode in prop_oneof![Just(Mode::Off), Just(Mode::DryRun), Just(Mode::Enforce)],
        action in any_action(),
        target in any_target(),
        evidence in proptest::collection::vec(any_evidence(), 0..5),
        held in (0..=i64::MAX.cast_unsigned()).prop_map(Duration::from_nanos),
        severity in any_number(),
        sessions in proptest::collection::vec(any_session(), 0..5),
        spared in any::<u32>(),
        choice in proptest::option::of(any_choice()),
        at_once in any::<bool>(),
        (bans, refused) in any_bans(),
        daemons in proptest::collection::vec(any_name(), 0..4),
    ) -> Decision {
        Decision {
            at, epoch: Epoch(epoch), policy, mode, action, target, evidence, held, severity,
            sessions, spared, choice, at_once, bans, refused, daemons,
        }
    }
}

#[test]
fn whatever_is_written_is_read_back_equal() {
    let home = Home::new();
    let mut journal = home.open();
    // Each case need not reach the disk.
    let pragma = journal.connection.execute_batch("PRAGMA synchronous = OFF");
    pragma.unwrap();
    let journal = std::cell::RefCell::new(&mut journal);
    proptest!(|(decision in any_decision(), first in any_outcome(), then in any_outcome())| {
        let mut journal = journal.borrow_mut();
        let entry = Entry::new(decision.clone(), first.clone());
        let id = journal.intend(&[entry], &[]).unwrap()[0];
        let mut row = Row {
            id,
            decision,
            outcome: first.clone(),
            relief: None,
            evidence_left_out: 0,
            sessions_left_out: 0,
        };
        let newest = Filter { limit: 1, ..Filter::default() };
        prop_assert_eq!(&journal.query(&newest).unwrap()[0], &row);
        if first == Outcome::Intended {
            journal.finish(id, then.clone()).unwrap();
            row.outcome = then;
            prop_assert_eq!(&journal.query(&newest).unwrap()[0], &row);
        }
    });
}

#[test]
fn what_is_not_a_number_survives_too() {
    let home = Home::new();
    let mut journal = home.open();
    let mut odd = decision("p", Target::Server, 0);
    odd.severity = f64::NAN;
    odd.evidence[0].seen = Seen::Number(f64::NAN);
    journal
        .intend(&[Entry::new(odd, Outcome::DryRun)], &[])
        .unwrap();
    let row = all(&journal).remove(0);
    assert!(row.decision.severity.is_nan());
    assert!(matches!(row.decision.evidence[0].seen, Seen::Number(number) if number.is_nan()));
}
