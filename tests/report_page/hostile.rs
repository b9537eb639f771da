//! What clients chose stays text, and nothing but the page's own script would run in any case.

use std::net::TcpListener;

use serde_json::json;

use crate::story::HOSTILE;
use crate::{assert_quiet, browser, day};

#[test]
fn names_that_are_markup_do_nothing() {
    let Some(browser) = browser() else { return };
    let page = day();
    browser.open(&page.path);
    browser.run(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; });",
    );
    browser.settle();
    let title = browser.run("return document.title;");
    assert!(title.as_str().unwrap().contains("replayed"), "{title}");
    assert_eq!(
        browser.run("return document.querySelectorAll('img, iframe, object, embed').length;"),
        0
    );
    assert_eq!(browser.run("return document.scripts.length;"), 2);
    let text = browser.run("return document.body.innerText;");
    let shown = HOSTILE
        .replace('\u{202e}', r"\u{202e}")
        .replace('\u{2028}', r"\u{2028}");
    assert!(
        text.as_str().unwrap().contains(&shown),
        "the name is not shown as it is"
    );
    let deceptive = browser.run(r"return /[\u202a-\u202e\u2066-\u2069\u2028\u2029\u0000-\u0008\u001b]/.test(document.body.innerText);");
    assert_eq!(deceptive, false);
    // The JSON has the name to the letter.
    let names = browser.run(
        "const report = JSON.parse(document.getElementById('report').textContent); \
         return report.decided.policies.flatMap((policy) => policy.examples.map((example) => example.target));",
    );
    assert!(
        names.as_array().unwrap().contains(&json!(HOSTILE)),
        "{names}"
    );
    assert_quiet(&browser, page);
}

#[test]
fn the_page_runs_no_script_and_loads_no_picture_that_is_not_its_own() {
    let Some(browser) = browser() else { return };
    browser.open(&day().path);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x.png", listener.local_addr().unwrap());
    let intrusion = "const script = document.createElement('script'); script.textContent = 'window.owned = 1'; document.body.append(script); \
         const div = document.createElement('div'); div.innerHTML = '<b onclick=\"window.owned = 2\">x</b><i style=\"color: rgb(1, 2, 3)\">y</i>'; \
         document.body.append(div); div.firstChild.click(); \
         const image = document.createElement('img'); image.src = 'URL'; document.body.append(image);";
    browser.run(&intrusion.replace("URL", &url));
    browser.settle();
    assert_eq!(browser.run("return window.owned === undefined;"), true);
    let colour =
        "return getComputedStyle(document.querySelector('body > div:last-of-type i')).color;";
    assert_ne!(browser.run(colour), "rgb(1, 2, 3)");
    let complaints = browser.complaints();
    let refused = complaints
        .iter()
        .filter(|said| said.contains("Content Security Policy"));
    assert!(refused.count() >= 4, "{complaints:#?}");
    let asked = listener.accept().map(drop).unwrap_err();
    assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock);
}
