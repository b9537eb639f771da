//! What holds whatever the daemons do.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Fault, STEP, World};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug)]
struct Phase {
    faults: [Fault; 2],
    is_rpc_down: bool,
    is_agent_restarted: bool,
    steps: u32,
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

fn phase() -> impl Strategy<Value = Phase> {
    (
        [fault(), fault()],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        1_u32..400,
    )
        .prop_map(|(faults, is_rpc_down, is_agent_restarted, steps)| Phase {
            faults,
            is_rpc_down,
            is_agent_restarted,
            steps,
        })
}

fn play(world: &mut World, phases: &[Phase]) {
    for phase in phases {
        for (index, &fault) in phase.faults.iter().enumerate() {
            world.break_daemon(index, fault);
        }
        if phase.is_agent_restarted {
            world.restart_agent();
        }
        world.is_rpc_down = phase.is_rpc_down;
        world.run(STEP * phase.steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_daemon_is_gone_to_that_should_not_be_and_none_too_often(
        seed in any::<u64>(),
        phases in prop::collection::vec(phase(), 1..16),
    ) {
        let mut world = World::new(seed);
        play(&mut world, &phases);
        for act in &world.acts {
            prop_assert_eq!(&act.objection, &None, "{:?}", act);
            let within = |other: &&super::world::Act| {
                other.at >= act.at && other.at.since(act.at) < DAY
            };
            prop_assert!(world.acts.iter().filter(within).count() <= 3, "{:?}", world.acts);
        }
    }

    #[test]
    fn with_a_healthy_primary_it_always_ends_there(
        seed in any::<u64>(),
        phases in prop::collection::vec(phase(), 1..8),
    ) {
        let mut world = World::new(seed);
        play(&mut world, &phases);
        play(&mut world, &[Phase {
            faults: [Fault::None; 2],
            is_rpc_down: false,
            is_agent_restarted: false,
            steps: 1,
        }]);
        // Three changes may have been made, and the wait be at its longest.
        let wait = DAY + Duration::from_secs(3_600 + 600);
        prop_assert!(world.run_until_primary(wait).is_some(), "{:?}", world.held_back);
        let changes = world.acts.len();
        world.run(Duration::from_secs(7_200));
        prop_assert!(world.is_on_primary());
        prop_assert_eq!(world.acts.len(), changes, "it stays there");
    }
}
