//! Many attacks over many seeds, on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Comparison, Row};
use crate::policy::PolicySet;
use crate::sim::{Attack, Release};

/// Plays each attack on each of its releases with the seeds from 1 to `seeds`: a row for each, in
/// their order.
///
/// # Panics
///
/// If a run does.
pub fn matrix(attacks: &[Attack], seeds: u64, set: &PolicySet) -> Vec<Row> {
    let rows: Vec<(Attack, Release)> = attacks
        .iter()
        .flat_map(|&attack| {
            attack
                .releases()
                .iter()
                .map(move |&release| (attack, release))
        })
        .collect();
    // The slowest first, so that no processor is left with one at the end.
    let mut jobs: Vec<(usize, u64)> = (0..rows.len())
        .flat_map(|row| (1..=seeds).map(move |seed| (row, seed)))
        .collect();
    jobs.sort_by_key(|&(row, _)| std::cmp::Reverse(rows[row].0.length()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&(row, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (attack, release) = rows[row];
            done.push((row, seed, Comparison::play(attack, release, seed, set)));
        }
        done
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let ended = workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("it ran"));
        ended.collect()
    });
    done.sort_by_key(|&(row, seed, _)| (row, seed));
    let mut matrix: Vec<Row> = rows
        .iter()
        .map(|&(attack, release)| Row::new(attack, release))
        .collect();
    for (row, _, comparison) in done {
        matrix[row].add(&comparison);
    }
    matrix
}
