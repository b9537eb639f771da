//! The core against adversaries: attacks played in memory, with the agent and without, and what came of it.
//!
//! The world is the simulated server's, the judge is the production core, and nothing is between
//! them but the wire format: no socket, no clock, no task. The same seed gives the same run.

mod aim;
mod comparison;
mod matrix;
mod rhythm;
mod row;
mod run;
mod setup;
#[cfg(test)]
mod tests;

pub use aim::Aim;
pub use comparison::Comparison;
pub use matrix::matrix;
pub use rhythm::Rhythm;
pub use row::{Row, table};
pub use run::{Run, Tally, play};
pub(crate) use setup::{DAEMONS, EPOCH, Prober, settings};
