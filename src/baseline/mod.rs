//! What is normal on a server, by a recording: how each field spreads, and which thresholds a budget of
//! false alarms allows.
//!
//! [`Surveyor`] counts every number of every target; [`Tuning`] looks for thresholds by judging the
//! recording over and over with the production's engine, and checks them on a part of it that it has
//! not looked at. Both are fed, poll by poll; neither reads a file, asks a clock or changes a policy.

mod budget;
mod page;
mod pass;
mod scale;
mod spread;
mod survey;
#[cfg(test)]
mod tests;
mod tuning;
mod words;

pub use budget::{Budget, BudgetError, CONFIDENCE, Per, upper_bound};
pub use page::page;
pub use pass::{Hits, Pass};
pub use spread::{RELATIVE_ERROR, Spread};
pub use survey::{
    Baseline, FieldSpread, Mark, Peak, Place, Seen, Subject, Survey, Surveyor, Watched,
};
pub use tuning::{Change, LeftAlone, Proposal, Shrunk, Tuned, Tuning, Verdict};
pub use words::{AFTERWARDS, counted, number, samples_words};
