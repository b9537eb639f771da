//! The report's page in a real browser: headless Chromium, driven through chromedriver.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod story;

use electrumx_warden::report::Report;
use electrumx_warden::report::html::Destination;
use std::path::PathBuf;
use std::time::Duration;

fn save(report: &Report, name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report_page");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    Destination::new(&path, true)
        .unwrap()
        .write(report)
        .unwrap();
    path
}

#[test]
fn pages() {
    save(&story::story(false), "story.html");
    save(&story::story(true), "compared.html");
    save(
        &story::long(60_480, Duration::from_secs(10), false),
        "week.html",
    );
    save(
        &story::long(3_000, Duration::from_secs(60), true),
        "long-compared.html",
    );
    save(&story::one_poll(), "one.html");
    save(&story::quiet(), "quiet.html");
    save(&story::nothing(), "nothing.html");
}
