//! The policies that ship against every attack of the simulation.
//!
//! Few seeds, so that it is quick: `cargo bench --bench adversaries -- 100` plays many.

use electrumx_warden::adversary::{matrix, table};
use electrumx_warden::policy::shipped;
use electrumx_warden::sim::Attack;

/// One that needs an hour of the world's time is the bench's.
fn quick() -> Vec<Attack> {
    let mut attacks = Vec::from(Attack::ALL);
    attacks.retain(|&attack| attack != Attack::Sleepers);
    attacks
}

#[test]
fn no_attack_reaches_anything_beyond_what_its_aim_allows() {
    let set = shipped().set.expect("the policies that ship are right");
    let rows = matrix(&quick(), 1, &set);
    let table = table(&rows);
    println!("{table}");
    let short = rows.iter().filter(|row| !row.shortfalls().is_empty());
    assert_eq!(short.count(), 0, "\n{table}");
}
