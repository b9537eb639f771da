//! The program against real servers: what it prints, what it does to them, and what it leaves alone.

#[path = "../support/mod.rs"]
mod support;

mod daemons;
mod once;
mod run;
mod strangers;
mod subnets;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
