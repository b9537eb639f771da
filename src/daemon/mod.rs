//! The server's daemons: what was heard of each, and what that makes of it.
//!
//! Pure: probes come in as [`Round`]s, with their time. It asks no daemon anything. A
//! daemon is known by its address, as `getinfo` shows it; only [`Daemons`] hold credentials too.

mod coin;
mod compare;
mod confirm;
mod health;
mod report;
mod stall;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod url;
mod watch;

pub use confirm::{Change, Confirmation, Confirming};
pub use health::{Counts, Health};
pub use report::{Address, BadHex, BlockHash, Chain, Failure, Index, Report, Round, Work};
pub use stall::Stall;
pub use state::State;
pub use url::{BadDaemons, BadUrl, DAEMONS_MAX, DaemonUrl, Daemons};
pub use watch::{Settings, Tip, Unfit, Watch, Watched};
