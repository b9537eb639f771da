//! An unattended agent that moderates a running `ElectrumX` by TOML policies.

pub mod decision;
pub mod field;
pub mod journal;
pub mod policy;
pub mod time;
