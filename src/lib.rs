//! An unattended agent that moderates a running `ElectrumX` by TOML policies.

pub mod decision;
pub mod field;
pub mod names;
pub mod policy;
pub mod snapshot;
pub mod time;
pub mod wire;
