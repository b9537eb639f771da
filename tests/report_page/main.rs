//! The report's page in a real browser: headless Chromium, driven through chromedriver.
//!
//! The pages stay in the target directory's `tmp/report_page`, for looking at.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod browser;
mod chromium;
mod figures;
mod hostile;
mod looks;
mod story;
#[path = "../support/mod.rs"]
mod support;
mod zoom;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use electrumx_warden::page::Destination;
use electrumx_warden::report::{Report, html};
use serde_json::Value;

use browser::Browser;

/// A page, and the report that it must tell.
struct Page {
    path: PathBuf,
    json: Value,
}

impl Page {
    fn of(name: &str, report: &Report) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report_page");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.html"));
        let destination = Destination::new(&path, true).unwrap();
        destination.write(&html::page(report).unwrap()).unwrap();
        let json = serde_json::to_value(report).unwrap();
        Self { path, json }
    }
}

/// The demo's ten minutes under two sets of policies.
fn compared() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| Page::of("compared", &story::story(true)))
}

/// A day with failures, gaps, hostile names and more policies than colours.
fn day() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| Page::of("day", &story::long(2_880, Duration::from_secs(30), false)))
}

/// Every kind of page.
fn all() -> &'static [&'static Page] {
    static OTHERS: OnceLock<Vec<Page>> = OnceLock::new();
    static PAGES: OnceLock<Vec<&'static Page>> = OnceLock::new();
    let others = OTHERS.get_or_init(|| {
        let months = story::long(3_000, Duration::from_hours(1), true);
        vec![
            Page::of("story", &story::story(false)),
            Page::of("months-compared", &months),
            Page::of("one-poll", &story::one_poll()),
            Page::of("quiet", &story::quiet()),
            Page::of("nothing", &story::nothing()),
        ]
    });
    PAGES.get_or_init(|| [compared(), day()].into_iter().chain(others).collect())
}

/// A browser, unless tests that need one are to be left out.
fn browser() -> Option<Browser> {
    (!support::skipped_for(&support::NEEDS_BROWSER)).then(Browser::start)
}

/// The browser complains of nothing, and asked for nothing but this page.
fn assert_quiet(browser: &Browser, page: &Page) {
    assert_eq!(
        browser.complaints(),
        Vec::<String>::new(),
        "{}",
        page.path.display()
    );
    let own = format!("file://{}", page.path.display());
    let asked = browser.requests();
    let foreign = |url: &&String| **url != own && !url.starts_with("data:");
    assert_eq!(asked.iter().find(foreign), None, "{}", page.path.display());
    assert!(asked.contains(&own), "{asked:?}");
}
