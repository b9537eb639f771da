//! Real servers for the integration tests: what they are made of, and who connects to them.
//!
//! Everything here blocks and uses the standard library's threads, so that a test may be sync or async.
//! Nothing here knows the library under test; `warden` runs its program.
#![allow(dead_code, reason = "each test binary uses its own part of this tree")]

pub(crate) mod abusers;
pub(crate) mod bitcoind;
pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod crowdsec;
pub(crate) mod daemon;
pub(crate) mod debian;
pub(crate) mod electrumx;
pub(crate) mod honest;
pub(crate) mod netns;
pub(crate) mod nft;
pub(crate) mod place;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod rpc;
pub(crate) mod secret;
pub(crate) mod shipped;
pub(crate) mod wait;
pub(crate) mod warden;

use std::io::Write as _;

/// What a test needs of the machine, and what leaves the test out where the machine lacks it.
#[derive(Debug)]
pub(crate) struct Need {
    what: &'static str,
    /// Set to `1` to leave out the tests that need it.
    skip: &'static str,
}

/// Real servers.
pub(crate) const NEEDS_REAL: Need = Need {
    what: "real servers",
    skip: "ELECTRUMX_WARDEN_SKIP_REAL",
};

/// A browser.
pub(crate) const NEEDS_BROWSER: Need = Need {
    what: "a browser",
    skip: "ELECTRUMX_WARDEN_SKIP_BROWSER",
};

/// Whether the caller, a test that needs a real server, is to be left out. Says so past the test runner's capture.
///
/// # Panics
/// If `CI` is set: there these tests are never left out.
pub(crate) fn skipped() -> bool {
    skipped_for(&NEEDS_REAL)
}

/// The same for any need.
pub(crate) fn skipped_for(Need { what, skip }: &Need) -> bool {
    if !std::env::var(skip).is_ok_and(|v| v == "1") {
        return false;
    }
    let ci = std::env::var("CI").is_ok_and(|v| !v.is_empty() && v != "false" && v != "0");
    assert!(
        !ci,
        "`{skip}=1` is refused in CI: tests against {what} are never left out there"
    );
    // The test harness names a test's thread after it.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(
        std::io::stderr().lock(),
        "\n*** LEFT OUT: `{test}` needs {what} and {skip}=1 is set ***\n"
    );
    true
}

/// Fails the test because the machine lacks something, and says how to go on without it.
pub(crate) fn missing(lacks: &str, remedy: &str) -> ! {
    missing_for(&NEEDS_REAL, lacks, remedy)
}

/// The same for any need.
pub(crate) fn missing_for(Need { what, skip }: &Need, lacks: &str, remedy: &str) -> ! {
    panic!(
        "\nthis machine cannot run the tests against {what}: {lacks}\n\
         to fix it: {remedy}\n\
         to leave these tests out: {skip}=1 cargo test\n"
    );
}
