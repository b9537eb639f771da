//! An unattended agent that moderates a running `ElectrumX` by TOML policies.
//!
//! ```text
//! LocalRPC JSON -> Snapshot -> History -> Engine -> Limits -> Act -> Journal
//!                  columns     rates      decisions rulings   the only I/O that changes anything
//!                  '---------------- pure ----------------'
//! ```
//!
//! To read it from the beginning: [`field`] has what can be tested, [`policy`] the language,
//! [`decision`] what comes out. [`wire`] decodes replies into a [`snapshot`], and [`daemon`] has what
//! probes hear of the server's daemons; [`watch`], [`history`], [`engine`] and [`limits`] are the
//! pure core, put together in [`warden`]. [`rpc`], [`poll`] and [`probe`] read from servers, [`act`]
//! changes one, [`sink`] keeps banned networks out, [`journal`] remembers, [`agent`] is the loop. [`recording`] keeps what was said,
//! [`replay`] judges it again, and [`report`] sums that up; [`trial`] tests policies. [`sim`] is a
//! server to play with, [`adversary`] plays attacks on it, and [`cli`] is the command line.
//!
//! ARCHITECTURE.md in the repository has the invariants, and the reasons.

#![warn(clippy::unwrap_used)]

pub mod act;
pub mod adversary;
pub mod agent;
pub mod baseline;
pub mod canary;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decision;
pub mod engine;
pub mod escape;
#[cfg(feature = "parquet")]
pub mod export;
pub mod field;
pub mod history;
mod http;
pub mod journal;
pub mod limits;
mod lock;
pub mod names;
pub mod page;
pub mod penalty;
pub mod placement;
pub mod policy;
pub mod poll;
pub mod probe;
pub mod pseudonym;
pub mod recheck;
pub mod recording;
pub mod redact;
mod regular;
pub mod relief;
pub mod replay;
pub mod report;
mod room;
pub mod rpc;
mod scene;
pub mod sim;
pub mod sink;
pub mod slots;
pub mod snapshot;
pub mod status;
pub mod time;
pub mod trial;
pub mod units;
pub mod version;
pub mod visit;
pub mod warden;
pub mod watch;
pub mod wire;
