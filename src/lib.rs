//! An unattended agent that moderates a running `ElectrumX` by TOML policies.
pub mod sim;
