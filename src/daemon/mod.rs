//! The server's daemons: who they are, and what a round of probes hears of them.
//!
//! Data only: [`probe`](crate::probe) asks, [`watch`](crate::watch) judges. A daemon is known by its
//! address, as `getinfo` shows it; only [`Daemons`] hold credentials too.

mod list;
mod report;
mod url;

pub use list::{BadDaemons, DAEMONS_MAX, Daemons};
pub(crate) use report::anchor_height;
pub use report::{Address, BadHex, BlockHash, Chain, Failure, Index, Report, Round, Work};
pub use url::{BadUrl, DaemonUrl};
