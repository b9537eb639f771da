//! Chromium and its driver, from the machine's own Debian.
//!
//! A browser is 240 packages that belong together, so it is installed and not unpacked beside the tests.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::support::{NEEDS_BROWSER, missing_for, place};

const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Sees to it that they are there: whoever comes first installs what is missing, as root.
pub(crate) fn installed() {
    fs::create_dir_all(place::root()).expect("make the folder of real servers");
    let lock = File::create(place::root().join("chromium.lock")).expect("make the lock");
    lock.lock().expect("take the lock");
    if PROGRAMS.iter().all(|program| answers(program)) {
        return;
    }
    apt_get(&["update"]);
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(PACKAGES);
    apt_get(&install);
}

fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    command.output().is_ok_and(|said| said.status.success())
}

fn apt_get(arguments: &[&str]) {
    let mut command = Command::new("apt-get");
    command
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    let failed = match command.output() {
        Ok(said) if said.status.success() => return,
        Ok(said) => String::from_utf8_lossy(&said.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    missing_for(
        &NEEDS_BROWSER,
        &format!("`apt-get {}` failed: {failed}", arguments.join(" ")),
        "install the packages chromium and chromium-driver, or run the tests as root on Debian",
    );
}
