//! `ElectrumX`'s replies, exactly as sent, every generation since 0.8.11: JSON into columns.
//!
//! Generations are told apart by shape, never by version number: forks number as they like. Each
//! decoder takes the `result` of a reply in one pass, without a tree in between. An error names
//! the row and the column.

mod cursor;
mod dialect;
mod getinfo;
mod groups;
mod inspect;
mod number;
mod rows;
mod sessions;
mod text;

pub use dialect::tame;
pub(crate) use dialect::text_length;
pub use getinfo::GetinfoSeed;
pub use groups::GroupsSeed;
pub(crate) use groups::read_usual_groups;
pub use inspect::Inspection;
pub use rows::SessionsDecoder;
#[cfg(test)]
pub(crate) use rows::shown;
pub use sessions::SessionsSeed;
pub(crate) use sessions::peer;

/// More rows than this are refused: no `ElectrumX` serves so many, and memory is finite.
pub const ROWS_MAX: usize = 1_000_000;
