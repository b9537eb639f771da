//! The server's daemons: what was heard of each, and what that makes of it.
//!
//! Pure: probes come in as [`Round`]s, with their time. It asks no daemon anything. A
//! daemon is known by its address, as `getinfo` shows it; only [`Daemons`] hold credentials too.

mod report;
mod url;

pub use report::{Address, BadHex, BlockHash, Chain, Failure, Index, Report, Round, Work};
pub use url::{BadDaemons, BadUrl, DAEMONS_MAX, DaemonUrl, Daemons};
