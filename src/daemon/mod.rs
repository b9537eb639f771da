//! The server's daemons: what was heard of each, and what that makes of it.
//!
//! Pure: probes come in as [`Round`]s, with their time. It asks no daemon anything and holds no
//! credentials; a daemon is known here by its address, as `getinfo` shows it.

mod report;

pub use report::{Address, BadHex, BlockHash, Chain, Failure, Index, Report, Round, Work};
