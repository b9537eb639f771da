//! How often a poll asks for memory, once every window is covered.
//!
//! A program of its own: what counts the allocations makes them slower, and larger when they grow.

#![expect(dead_code, reason = "the crowd serves other benches too")]

mod crowd;
mod steady;

use steady::polls;

fn main() {
    println!("sessions | comers a poll | allocations a poll | KiB a poll");
    for sessions in [1_000, 10_000, 100_000] {
        for comers in [0, sessions / 1_000] {
            let poll = polls(sessions, comers);
            println!(
                "{sessions:>8} | {comers:>13} | {:>18} | {:>10.1}",
                poll.count_total,
                poll.bytes_total as f64 / 1_024.0
            );
        }
    }
}
