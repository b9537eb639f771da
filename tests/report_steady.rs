//! What a replay's collector remembers of a poll costs no memory for whoever stays.

#![expect(dead_code, reason = "the crowd serves the benches too")]

#[path = "../benches/crowd/mod.rs"]
mod crowd;

use allocation_counter::measure;
use electrumx_warden::report::{Collector, Side};
use electrumx_warden::snapshot::Snapshot;
use electrumx_warden::wire::SessionsSeed;
use serde::de::DeserializeSeed;

use crowd::Crowd;

/// The most allocations of a poll of so many sessions, of which at each poll as many leave and come.
fn allocations(sessions: usize, comers: usize) -> u64 {
    let mut crowd = Crowd::new(sessions, 1);
    crowd.comers = comers;
    let side = |label: &str| Side {
        label: label.to_owned(),
        policies: Vec::new(),
    };
    let mut collector = Collector::new(side("a"), Some(side("b")));
    let mut snapshot = Snapshot::default();
    let mut rows = Vec::new();
    let mut polls = Vec::new();
    for _ in 0..30 {
        crowd.write_sessions(&mut rows);
        crowd.date(&mut snapshot);
        crowd.advance();
        let mut json = serde_json::Deserializer::from_slice(&rows);
        let decoded = SessionsSeed(&mut snapshot.sessions).deserialize(&mut json);
        decoded.expect("a good reply");
        let poll = measure(|| collector.poll(&snapshot, &[], &[]));
        polls.push(poll.count_total);
    }
    // Tables grow while the first sessions come.
    polls.into_iter().skip(10).max().unwrap_or(0)
}

#[test]
fn who_stays_costs_nothing() {
    assert_eq!(allocations(1_000, 0), 0);
    assert_eq!(allocations(20_000, 0), 0);
}

#[test]
fn who_comes_costs_next_to_nothing() {
    // Now and then the table of addresses seen grows.
    let most = allocations(5_000, 50);
    assert!(most <= 8, "{most}");
}
