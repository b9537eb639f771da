//! A poll asks for memory for who comes, and for nobody who stays.

#![expect(dead_code, reason = "the crowd serves the benches too")]

#[path = "../benches/crowd/mod.rs"]
mod crowd;
#[path = "../benches/steady/mod.rs"]
mod steady;

use steady::polls;

#[test]
fn a_poll_allocates_nothing_per_session() {
    let (few, many) = (polls(500, 0), polls(5_000, 0));
    assert!(few.count_total <= 8, "{few:?}");
    assert_eq!(
        (many.count_total, many.bytes_total),
        (few.count_total, few.bytes_total)
    );
}

#[test]
fn who_comes_takes_a_few_allocations() {
    let (staying, coming) = (polls(2_000, 0), polls(2_000, 20));
    let more = coming.count_total.saturating_sub(staying.count_total);
    assert!(more <= 5 * 20, "{coming:?}");
}
