//! What fires by chance, while nothing is wrong. `benches/false_alarms.rs` has the figures of many
//! years.

use std::time::Duration;

use super::world::{Nature, World};
use crate::policy::{Source, check};

/// What one would write without odds.
const FIXED: &str = r#"
[[policy]]
name = "fixed-1h"
scope = "server"
when = { daemon_stalled = "> 60m" }
action = "alert"
cooldown = "2h"
"#;

#[test]
fn a_fixed_hour_misfires_within_days_and_the_odds_do_not() {
    let nature = Nature {
        delay_max_s: 60,
        races: 2,
        reorgs: 1,
        ..Nature::default()
    };
    let mut world = World::of(1, nature, |_| {});
    let source = Source {
        name: "fixed.toml".into(),
        text: FIXED.into(),
    };
    let fixed = check(vec![source], &mut |_| unreachable!("it has no list"));
    world.add(fixed.set.unwrap());
    world.run_long(Duration::from_secs(14 * 86_400));
    // Theory expects 4.3 in so long: 112 a year.
    let misfired = world.alerts.iter().filter(|policy| *policy == "fixed-1h");
    assert!((1..=10).contains(&misfired.count()), "{:?}", world.alerts);
    world.alerts.retain(|policy| policy != "fixed-1h");
    assert_eq!(world.alerts, [""; 0]);
    assert!(world.acts.is_empty(), "{:?}", world.acts);
}
