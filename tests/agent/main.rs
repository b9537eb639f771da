//! The agent as a whole against the simulated server, poll by poll in simulated time.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod acting;
mod by_hand;
mod clients;
mod clock;
mod daemons;
mod disk;
mod faults;
mod flood;
mod inspecting;
mod lists;
mod log;
mod logging;
mod placed;
mod relief;
mod scene;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod story;
#[expect(dead_code, reason = "another test needs the rest of it")]
mod tap;
