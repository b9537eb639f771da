//! What comes of each attack of the simulation, with the policies that ship enforced.
//!
//! `cargo bench --bench adversaries -- [SEEDS] [NAME]`. A row that falls short of its aim is told of
//! below the table, and fails the bench.

#![expect(clippy::unwrap_used, reason = "a bench")]

use std::process::ExitCode;
use std::time::Instant;

use electrumx_warden::adversary::{matrix, table};
use electrumx_warden::policy::shipped;
use electrumx_warden::sim::Attack;

const SEEDS: u64 = 5;

fn main() -> ExitCode {
    let set = shipped().set.unwrap();
    // Cargo adds `--bench`.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let seeds = asked.iter().find_map(|argument| argument.parse().ok());
    let names: Vec<&String> = asked.iter().filter(|a| a.parse::<u64>().is_err()).collect();
    let mut attacks = Vec::new();
    for name in names {
        let Some(attack) = Attack::named(name) else {
            eprintln!("there is no attack `{name}`");
            return ExitCode::FAILURE;
        };
        attacks.push(attack);
    }
    if attacks.is_empty() {
        attacks = Attack::ALL.into();
    }
    let began = Instant::now();
    let seeds = seeds.unwrap_or(SEEDS);
    let rows = matrix(&attacks, seeds, &set);
    print!("{}", table(&rows));
    println!("{seeds} seeds, {:.0} s", began.elapsed().as_secs_f64());
    if rows.iter().all(|row| row.shortfalls().is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
