//! The program against real servers: what it prints, what it does to them, and what it leaves alone.

#[path = "../support/mod.rs"]
mod support;

mod bans;
mod canary;
mod daemons;
mod dodgers;
mod held;
mod hostile;
mod once;
mod outnumbered;
mod paused;
mod recorded;
mod run;
mod siege;
mod slots;
mod spread;
mod strangers;
mod subnets;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_policies_of_these_tests_are_sound() {
    let one = support::warden::policies("abuse");
    let folder = one.parent().expect("a folder").read_dir().expect("files");
    for file in folder.flatten() {
        let path = file.path();
        let path = path.to_str().expect("a path in UTF-8");
        let checked = support::warden::run(&["check", "--deny-warnings", path]);
        assert_eq!(checked.code, Some(0), "{checked:#?}");
    }
}
