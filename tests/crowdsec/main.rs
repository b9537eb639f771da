//! The sinks `decisions` and `crowdsec`, with the real local API and the stock bouncer in network namespaces.
#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod pulled;
mod pushed;
mod world;
