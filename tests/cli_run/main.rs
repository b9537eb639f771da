//! `run`, `once` and `demo` as processes, against simulated servers.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod by_hand;
mod check;
mod demo;
mod kill;
mod log;
mod log_lines;
mod once;
mod process;
mod record;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod start;
mod stop;
#[expect(dead_code, reason = "another test needs the rest of it")]
#[path = "../agent/tap.rs"]
mod tap;
