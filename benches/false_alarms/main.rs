//! How often the policies on heights and daemons fire in a year while nothing is wrong, or nothing
//! that does not pass by itself.
//!
//! First with blocks of a Poisson process, then with the recorded block times of two real nodes. The
//! core is the agent's own, with the built-in policies. A number says for how many years the first
//! part runs: `cargo bench --bench false_alarms -- 100`; with 0 it is left out.

#![expect(clippy::unwrap_used, reason = "a bench")]
#![expect(dead_code, reason = "the chain serves a test too")]

#[path = "../chain/mod.rs"]
mod chain;
mod chance;
mod real;

use std::process::ExitCode;

const YEARS: u32 = 20;
const YEAR_S: f64 = 365.25 * 86_400.0;

/// What one would write without odds; two alarms of one standstill are counted as one.
const FIXED: &str = r#"
[[policy]]
name = "fixed-1h"
scope = "server"
when = { daemon_stalled = "> 60m" }
action = "alert"

[[policy]]
name = "fixed-3h"
scope = "server"
when = { daemon_stalled = "> 3h" }
action = "alert"
"#;

fn main() -> ExitCode {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let is_chance = chance::run(asked.unwrap_or(YEARS));
    real::run();
    if is_chance {
        ExitCode::SUCCESS
    } else {
        eprintln!("a count is further from its expectation than chance takes it");
        ExitCode::FAILURE
    }
}
