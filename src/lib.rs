//! An unattended agent that moderates a running `ElectrumX` by TOML policies.

#![warn(clippy::unwrap_used)]

pub mod act;
pub mod agent;
pub mod cli;
pub mod config;
pub mod decision;
pub mod engine;
pub mod escape;
pub mod field;
pub mod history;
pub mod journal;
pub mod limits;
pub mod names;
pub mod policy;
pub mod poll;
pub mod redact;
pub mod rpc;
#[cfg(test)]
mod scene;
pub mod sim;
pub mod snapshot;
pub mod time;
pub mod units;
pub mod warden;
pub mod wire;
