//! The driver itself; what the policies make of each attack is in `tests/adversaries.rs`.

use std::time::Duration;

use super::*;
use crate::policy::shipped;
use crate::sim::{Attack, Release, Role};

#[test]
fn the_same_seed_gives_the_same_run() {
    let set = shipped().set.unwrap();
    let run = |seed| play(Attack::HogNeighbours, Release::V1_20_0, seed, Some(&set));
    let one = run(1);
    assert_eq!(one, run(1));
    assert_ne!(one, run(2));
}

#[test]
fn without_an_agent_nobody_is_cut_and_the_harm_goes_on() {
    let run = play(Attack::HogNeighbours, Release::V1_20_0, 1, None);
    assert!(run.roles.values().all(|tally| tally.hit == 0));
    assert_eq!(run.roles[&Role::Victim].met, 30);
    assert_eq!(run.polls, 0);
    let minute = |at: u64| {
        let until = |at| run.abuse_until(Duration::from_secs(at)).bytes;
        until(at + 60) - until(at)
    };
    assert_eq!(minute(0), 0);
    // Three megabytes a second, as much as the hog's scale makes of it.
    for at in [90, 120, 180] {
        assert!(
            (140_000_000..220_000_000).contains(&minute(at)),
            "{}",
            minute(at)
        );
    }
}

#[test]
fn polls_are_jittered_as_the_agents_are() {
    let mut rhythm = Rhythm::new(1);
    for (is_alert, mean_s, least_s, most_s) in [(false, 10.0, 6.66, 13.34), (true, 1.0, 0.0, 1.57)]
    {
        let intervals: Vec<f64> = (0..2_000)
            .map(|_| rhythm.interval(is_alert).as_secs_f64())
            .collect();
        let least = intervals.iter().copied().fold(f64::INFINITY, f64::min);
        let most = intervals.iter().copied().fold(0.0, f64::max);
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        let off = 0.01 * mean_s;
        assert!((least_s..least_s + off).contains(&least), "{least}");
        assert!((most_s - 2.0 * off..most_s).contains(&most), "{most}");
        assert!((mean - mean_s).abs() < 3.0 * off, "{mean}");
    }
}
