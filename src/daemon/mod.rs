//! The server's daemons: who they are, and what a round of probes hears of them.
//!
//! Data only: [`probe`](crate::probe) asks, [`watch`](crate::watch) judges. A daemon is known by its
//! address, as `getinfo` shows it; only [`Daemons`] hold credentials too.

mod report;
mod url;

pub(crate) use report::anchor_height;
pub use report::{Address, BadHex, BlockHash, Chain, Failure, Index, Report, Round, Work};
pub use url::{BadDaemons, BadUrl, DAEMONS_MAX, DaemonUrl, Daemons};
