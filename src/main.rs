//! The command line of `electrumx-warden`.
fn main() {}
