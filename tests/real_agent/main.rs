//! The program against real servers: what it prints, what it does to them, and what it leaves alone.

#[path = "../support/mod.rs"]
mod support;

mod daemons;
mod hostile;
mod once;
mod run;
mod strangers;
mod subnets;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_policies_of_these_tests_are_sound() {
    let folder = support::warden::policies("abuse");
    let folder = folder.parent().and_then(std::path::Path::to_str);
    let checked = support::warden::run(&["check", "--deny-warnings", folder.expect("a folder")]);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
}
