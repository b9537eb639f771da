//! Exported tables: what `DuckDB` answers about them, and what is left where nothing is exported.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod disk;
mod duckdb;
mod figures;
mod files;
mod heard;
mod questions;
mod real;
mod recorded;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[path = "../support/mod.rs"]
mod support;
