//! Readable in light and dark, on a phone and on paper, and without eyes.

use serde_json::{Value, json};

use crate::{all, assert_quiet, browser, compared, day};

const OPEN_ALL: &str =
    "document.querySelectorAll('details').forEach((details) => { details.open = true; });";

/// Texts whose contrast with what is behind them is too low, by the rules of WCAG 2, AA.
const PALE: &str = r"
const parse = (text) => { const found = text.match(/[\d.]+/g).map(Number); return found.length < 4 ? [...found.slice(0, 3), 1] : found; };
const light = (colour) => { const [r, g, b] = colour.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (element) => { for (let e = element; e; e = e.parentElement) { const colour = parse(getComputedStyle(e).backgroundColor); if (colour[3] > 0.99) return colour; } return [255, 255, 255, 1]; };
const pale = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let texts = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest('script, title, .vh, [hidden], :disabled') || element.getClientRects().length === 0) continue;
  const style = getComputedStyle(element);
  const colour = parse(element instanceof SVGElement ? style.fill : style.color);
  const [one, other] = [light(colour), light(behind(element))].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const ratio = (one + 0.05) / (other + 0.05);
  texts += 1;
  if (ratio < (isLarge ? 3 : 4.5)) pale.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
}
return { texts, pale };
";

#[test]
fn light_and_dark_follow_the_readers_wish_with_enough_contrast() {
    let Some(browser) = browser() else { return };
    let page = compared();
    browser.open(&page.path);
    browser.run(OPEN_ALL);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(&[("prefers-color-scheme", scheme)]);
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor;"));
        let found = browser.run(PALE);
        assert_eq!(found["pale"], json!([]), "{scheme}");
        assert!(found["texts"].as_u64().unwrap() > 300, "{found}");
    }
    assert_ne!(grounds[0], grounds[1]);
    assert_quiet(&browser, page);
}

#[test]
fn no_page_is_wider_than_a_phone() {
    let Some(browser) = browser() else { return };
    for page in all() {
        for width in [390, 320, 1_280] {
            browser.size(width, 844);
            browser.open(&page.path);
            browser.run(OPEN_ALL);
            browser.settle();
            let wide = browser.run(
                "return [document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')] \
                 .filter((e) => !e.closest('.vh, .skip, svg, thead') && e.getBoundingClientRect().right > innerWidth + 1) \
                 .map((e) => `${e.tagName} ${e.className}`)];",
            );
            assert_eq!(wide, json!([width]), "{}", page.path.display());
        }
        assert_quiet(&browser, page);
    }
}

#[test]
fn a_page_can_be_read_without_eyes() {
    let Some(browser) = browser() else { return };
    for page in all() {
        browser.open(&page.path);
        let faults = browser.run(
            "const faults = []; const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); \
             ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => faults.push(`id twice: ${id}`)); \
             if (document.querySelectorAll('h1').length !== 1) faults.push('h1'); \
             for (const mark of ['header', 'main', 'footer']) if (!document.querySelector(`body > ${mark}`)) faults.push(mark); \
             if (document.documentElement.lang !== 'en') faults.push('lang'); \
             document.querySelectorAll('section').forEach((e) => { if (!document.getElementById(e.getAttribute('aria-labelledby'))) faults.push(`section ${e.id}`); }); \
             document.querySelectorAll('svg').forEach((e) => { if (!e.getAttribute('aria-hidden') && !(e.getAttribute('role') === 'img' && e.getAttribute('aria-label'))) faults.push(`svg in ${e.parentElement.id}`); }); \
             document.querySelectorAll('button, [role=slider], [tabindex=\"0\"]').forEach((e) => { if (!e.getAttribute('aria-label')) faults.push(`no name: ${e.outerHTML.slice(0, 80)}`); }); \
             document.querySelectorAll('a[href^=\"#\"]').forEach((e) => { if (!document.querySelector(e.getAttribute('href'))) faults.push(`nowhere: ${e.href}`); }); \
             document.querySelectorAll('th').forEach((e) => { if (!e.scope) faults.push('th without scope'); }); \
             let level = 1; document.querySelectorAll('h1, h2, h3, h4').forEach((e) => { const next = Number(e.tagName[1]); if (next > level + 1) faults.push(`after h${level}: ${e.textContent}`); level = next; }); \
             return faults;",
        );
        assert_eq!(faults, json!([]), "{}", page.path.display());
    }
    let scroll = "return getComputedStyle(document.documentElement).scrollBehavior;";
    browser.prefer(&[("prefers-reduced-motion", "reduce")]);
    assert_eq!(browser.run(scroll), "auto");
    let moving = "return document.getAnimations().length;";
    assert_eq!(browser.run(moving), 0);
}

#[test]
fn a_link_to_a_policy_opens_it_and_paper_shows_all() {
    let Some(browser) = browser() else { return };
    let page = day();
    browser.open(&page.path);
    let opened = "return document.querySelectorAll('details[open]').length;";
    assert_eq!(browser.run(opened), 0);
    browser.run("document.querySelector('#policy-table a.name').click();");
    assert_eq!(browser.run(opened), 1);
    // As much paper as it takes, and the page is as it was.
    let printed = browser.tell("Page.printToPDF", &json!({ "printBackground": false }));
    assert!(printed["data"].as_str().unwrap().len() > 50_000);
    assert_eq!(browser.run(opened), 1);
    browser.tell("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
    let shown = browser.run(
        "return ['.brush', '.bar-of-tools button', '.handle'].map((e) => getComputedStyle(document.querySelector(e)).display);",
    );
    assert_eq!(shown, json!(["none", "none", "none"]));
    assert_quiet(&browser, page);
}

#[test]
fn the_drawings_follow_the_width() {
    let Some(browser) = browser() else { return };
    let page = compared();
    browser.open(&page.path);
    let width =
        "return Number(document.querySelector('#chart-sessions svg').getAttribute('width'));";
    let wide = browser.number(width);
    browser.size(390, 844);
    // Told by the browser when it has laid the page out anew.
    let told = (0..100).find(|_| {
        browser.settle();
        browser.number(width) < 400.0
    });
    assert!(told.is_some() && wide > 900.0, "{wide}");
    let texts = browser.run(
        "return [...document.querySelectorAll('.panel svg text')].filter((e) => { const b = e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth; }).length;",
    );
    assert_eq!(texts, Value::from(0));
}
