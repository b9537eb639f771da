//! The sink for nftables, with the real program in network namespaces.
#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "../support/mod.rs"]
mod support;

mod altered;
mod container;
mod held;
mod killed;
mod many;
mod program;
mod world;
