//! The command line of `electrumx-warden`.

use std::process::ExitCode;

fn main() -> ExitCode {
    electrumx_warden::cli::main()
}
