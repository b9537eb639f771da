//! The server's daemons, judged: what state each is in, who is healthy, where the server may go.
//!
//! Pure: rounds of probes come in with their time. It asks no daemon anything, holds no
//! credentials, and decides nothing: policies do, and [`Watch::route`] says what they must not.

mod coin;
mod compare;
mod confirm;
mod daemons;
mod health;
mod stall;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use confirm::{Change, Confirmation, Confirming};
pub use daemons::{Outage, SavedDaemons, Settings, Tip, Unfit, Watch, Watched};
pub use health::{Counts, Health};
pub use stall::Stall;
pub use state::State;
