//! What holds whatever the daemons do. `PROPTEST_CASES` asks for more cases than the few of every day.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Act, Fault, LONG_STEP, Nature, STEP, Trouble, World};
use crate::watch::Confirmation;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug)]
struct Phase {
    faults: [Fault; 3],
    event: Event,
    steps: u32,
    /// A minute each, so that several phases make a day.
    is_long: bool,
}

/// What happens beside the daemons' faults; what lasts, lasts for the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    None,
    AgentRestarts,
    ServerRestarts { steps_to_start: u32 },
    OperatorSends(usize),
    Trouble(Trouble),
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::*;
    prop_oneof![
        5 => Just(None),
        2 => Just(Down),
        2 => Just(Stuck),
        1 => proptest::sample::select(vec![
            WrongCredentials, WarmingUp, Busy, Syncing(2_000), Fork, OtherChain, NoIndex, Pruned,
        ]),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => Just(Event::None),
        1 => Just(Event::AgentRestarts),
        1 => (0_u32..30).prop_map(|steps_to_start| Event::ServerRestarts { steps_to_start }),
        1 => (0_usize..4).prop_map(Event::OperatorSends),
        1 => Just(Event::Trouble(Trouble::RpcDown)),
        1 => Just(Event::Trouble(Trouble::ProberSilent)),
        1 => Just(Event::Trouble(Trouble::DaemonUnnamed)),
    ]
}

fn phase() -> impl Strategy<Value = Phase> {
    let faults = [fault(), fault(), fault()];
    (faults, event(), 1_u32..400, prop::bool::weighted(0.3)).prop_map(
        |(faults, event, steps, is_long)| Phase {
            faults,
            event,
            steps,
            is_long,
        },
    )
}

fn nature() -> impl Strategy<Value = Nature> {
    let coin = prop_oneof![3 => Just(("Bitcoin", 600)), 1 => Just(("Groestlcoin", 60))];
    (2_usize..=3, coin, 0_u64..=60, 0_u64..10, 0_u64..10).prop_map(
        |(daemons, (coin, block_time_s), delay_max_s, races, reorgs)| Nature {
            daemons,
            coin,
            block_time_s,
            delay_max_s,
            races,
            reorgs,
        },
    )
}

fn play(world: &mut World, nature: Nature, phases: &[Phase]) {
    for phase in phases {
        for (index, &fault) in phase.faults[..nature.daemons].iter().enumerate() {
            world.break_daemon(index, fault);
        }
        match phase.event {
            Event::AgentRestarts => world.restart_agent(),
            Event::ServerRestarts { steps_to_start } => world.restart_server(steps_to_start),
            Event::OperatorSends(to) if to < nature.daemons => world.send_to(to),
            Event::OperatorSends(_) => world.send_away(),
            _ => {}
        }
        world.trouble = match phase.event {
            Event::Trouble(trouble) => trouble,
            _ => Trouble::None,
        };
        if phase.is_long {
            world.run_long(LONG_STEP * phase.steps);
        } else {
            world.run(STEP * phase.steps);
        }
    }
}

/// All is well again; an operator who sent the server elsewhere has it back.
fn all_is_well() -> [Phase; 1] {
    [Phase {
        faults: [Fault::None; 3],
        event: Event::OperatorSends(1),
        steps: 1,
        is_long: false,
    }]
}

fn cases(few: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(few)
    }
}

/// No more than three in any day.
fn check_acts(world: &World) -> Result<(), TestCaseError> {
    for act in &world.acts {
        prop_assert_eq!(&act.objection, &None, "{:?}", act);
        let within = |other: &&Act| other.at >= act.at && other.at.since(act.at) < DAY;
        prop_assert!(
            world.acts.iter().filter(within).count() <= 3,
            "{:?}",
            world.acts
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn no_daemon_is_gone_to_that_should_not_be_and_none_too_often(
        seed in any::<u64>(),
        nature in nature(),
        phases in prop::collection::vec(phase(), 1..16),
    ) {
        let mut world = World::of(seed, nature, |_| {});
        play(&mut world, nature, &phases);
        check_acts(&world)?;
    }
}

proptest! {
    #![proptest_config(cases(5))]

    #[test]
    fn with_a_healthy_primary_it_always_ends_there(
        seed in any::<u64>(),
        nature in nature(),
        phases in prop::collection::vec(phase(), 1..8),
    ) {
        let mut world = World::of(seed, nature, |_| {});
        play(&mut world, nature, &phases);
        play(&mut world, nature, &all_is_well());
        // Three changes may have been made, and the wait be at its longest.
        let wait = DAY + Duration::from_secs(3_600 + 1_200);
        prop_assert!(world.run_until_primary(wait).is_some(), "{:?}", world.held_back);
        let changes = world.acts.len();
        world.run(Duration::from_secs(7_200));
        prop_assert!(world.is_on_primary());
        prop_assert_eq!(world.acts.len(), changes, "it stays there");
        check_acts(&world)?;
    }

    /// Delays, races and reorganisations are a chain's normal life.
    #[test]
    fn normal_life_moves_nobody_and_makes_nobody_unhealthy(
        seed in any::<u64>(),
        nature in nature(),
        is_on_secondary in any::<bool>(),
    ) {
        let mut world = World::of(seed, nature, |settings| {
            settings.daemons.preempt = !is_on_secondary;
        });
        if is_on_secondary {
            world.send_to(1);
        }
        world.run(Duration::from_secs(300));
        world.unhealthy = 0;
        world.run(DAY);
        prop_assert_eq!(world.unhealthy, 0);
        prop_assert_eq!(world.acts.len(), 0, "{:?}", world.acts);
        // By chance a chain stands still once in 100,000 blocks.
        world.alerts.retain(|policy| policy != "chain-silent");
        prop_assert_eq!(&world.alerts, &[""; 0]);
        let failed = |news: &&Confirmation| matches!(news, Confirmation::Failed { .. });
        prop_assert_eq!(world.news.iter().find(failed), None);
    }
}
