//! One brush zooms all charts: by mouse, by finger, by keys.

use serde_json::Value;

use crate::browser::Browser;
use crate::{assert_quiet, browser, compared, day};

/// The time shown, in milliseconds.
fn view(browser: &Browser) -> (f64, f64) {
    let script = "const { from, to } = document.getElementById('charts').dataset; return [Number(from), Number(to)];";
    let view = browser.run(script);
    (view[0].as_f64().unwrap(), view[1].as_f64().unwrap())
}

/// What is drawn while nothing is pointed at, as text, so that a change is seen.
fn drawing(browser: &Browser) -> Value {
    browser.hover((2.0, 2.0));
    browser.run("return [...document.querySelectorAll('.panel svg')].map((svg) => svg.innerHTML);")
}

/// Places in the middle of an element's height, at these parts of its width.
fn across(browser: &Browser, selector: &str, parts: &[f64]) -> Vec<(f64, f64)> {
    browser.middle(selector);
    let place = browser.run(&format!(
        "const b = document.querySelector('{selector}').getBoundingClientRect(); return [b.x, b.y + b.height / 2, b.width];"
    ));
    let [x, y, width] = [0, 1, 2].map(|i| place[i].as_f64().unwrap());
    parts.iter().map(|part| (x + part * width, y)).collect()
}

fn is_close(found: f64, wanted: f64, whole: (f64, f64)) -> bool {
    (found - wanted).abs() < (whole.1 - whole.0) * 0.02
}

fn reset(browser: &Browser) {
    browser.run("document.querySelector('.bar-of-tools button:last-child').click();");
    browser.settle();
}

#[test]
fn a_drag_across_a_chart_zooms_all_and_reset_shows_all() {
    let Some(browser) = browser() else { return };
    let page = day();
    browser.open(&page.path);
    let (whole, before) = (view(&browser), drawing(&browser));
    let is_disabled = "return document.querySelector('.bar-of-tools button:last-child').disabled;";
    assert_eq!(browser.run(is_disabled), true);
    let places = across(&browser, "#chart-traffic clipPath rect", &[0.0]);
    assert!(places[0].0.is_finite());
    browser.drag(&across(
        &browser,
        "#chart-traffic .axis",
        &[0.25, 0.3, 0.4, 0.5],
    ));
    let zoomed = view(&browser);
    let length = whole.1 - whole.0;
    assert!(
        is_close(zoomed.0, whole.0 + 0.25 * length, whole),
        "{zoomed:?} of {whole:?}"
    );
    assert!(
        is_close(zoomed.1, whole.0 + 0.5 * length, whole),
        "{zoomed:?} of {whole:?}"
    );
    let after = drawing(&browser);
    let (before_all, after_all) = (before.as_array().unwrap(), after.as_array().unwrap());
    for (before, after) in before_all.iter().zip(after_all) {
        assert_ne!(before, after);
    }
    assert_eq!(browser.run(is_disabled), false);
    reset(&browser);
    assert_eq!(view(&browser), whole);
    assert_eq!(drawing(&browser), before);
    assert_quiet(&browser, page);
}

#[test]
fn the_strip_takes_drags_of_its_window_and_of_its_handles() {
    let Some(browser) = browser() else { return };
    browser.open(&day().path);
    let whole = view(&browser);
    let length = whole.1 - whole.0;
    let strip = |browser: &Browser, parts: &[f64]| across(browser, ".brush svg .window", parts);
    browser.drag(&strip(&browser, &[0.2, 0.3, 0.6]).clone());
    // Drawn over the whole window, so what moves is a new one.
    let drawn = view(&browser);
    assert!(
        is_close(drawn.0, whole.0 + 0.2 * length, whole),
        "{drawn:?} of {whole:?}"
    );
    assert!(
        is_close(drawn.1, whole.0 + 0.6 * length, whole),
        "{drawn:?} of {whole:?}"
    );
    // The middle of the window moves it by half of its length.
    browser.drag(&strip(&browser, &[0.5, 0.7, 1.0]));
    let moved = view(&browser);
    assert!(
        is_close(moved.0, drawn.0 + 0.2 * length, whole),
        "{moved:?} of {drawn:?}"
    );
    assert!(is_close(moved.1 - moved.0, drawn.1 - drawn.0, whole));
    // An edge alone.
    let edge = browser.middle("[data-handle=\"0\"]");
    browser.drag(&[edge, (edge.0 - 60.0, edge.1), (edge.0 - 100.0, edge.1)]);
    let widened = view(&browser);
    assert!(
        widened.0 < moved.0 - 0.05 * length,
        "{widened:?} of {moved:?}"
    );
    assert!(is_close(widened.1, moved.1, whole));
    // No edge goes past the other.
    let edge = browser.middle("[data-handle=\"1\"]");
    browser.drag(&[edge, (10.0, edge.1), (5.0, edge.1)]);
    let narrow = view(&browser);
    assert!(
        narrow.0 < narrow.1 && narrow.1 - narrow.0 < 0.05 * length,
        "{narrow:?}"
    );
    // Twice in quick succession is all.
    let (x, y) = browser.middle("#chart-sessions .axis");
    for clicks in [1, 2] {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = serde_json::json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": clicks });
            browser.tell("Input.dispatchMouseEvent", &event);
        }
    }
    browser.settle();
    assert_eq!(view(&browser), whole);
}

#[test]
fn a_finger_zooms_and_the_page_still_scrolls() {
    let Some(browser) = browser() else { return };
    browser.size(390, 844);
    browser.tell(
        "Emulation.setTouchEmulationEnabled",
        &serde_json::json!({ "enabled": true }),
    );
    browser.open(&compared().path);
    let whole = view(&browser);
    let steps: Vec<f64> = (0..=10).map(|step| 0.2 + f64::from(step) * 0.05).collect();
    browser.swipe(&across(&browser, "#chart-sessions .axis", &steps));
    let zoomed = view(&browser);
    let length = whole.1 - whole.0;
    assert!(zoomed.0 > whole.0 + 0.1 * length, "{zoomed:?} of {whole:?}");
    assert!(zoomed.1 < whole.1 - 0.1 * length, "{zoomed:?} of {whole:?}");
    reset(&browser);
    let edge = browser.middle("[data-handle=\"1\"]");
    let pulled: Vec<_> = (0..=8)
        .map(|step| (edge.0 - f64::from(step) * 15.0, edge.1))
        .collect();
    browser.swipe(&pulled);
    assert!(
        view(&browser).1 < whole.1 - 0.2 * length,
        "{:?}",
        view(&browser)
    );
    reset(&browser);
    let (x, y) = browser.middle("#chart-sessions .axis");
    let before = browser.number("return scrollY;");
    let up: Vec<_> = (0..=10)
        .map(|step| (x, y - f64::from(step) * 20.0))
        .collect();
    browser.swipe(&up);
    assert_eq!(view(&browser), whole);
    assert!(browser.number("return scrollY;") > before + 50.0);
    assert_quiet(&browser, compared());
}

#[test]
fn keys_do_all_that_a_mouse_does() {
    let Some(browser) = browser() else { return };
    let page = day();
    browser.open(&page.path);
    let whole = view(&browser);
    let length = whole.1 - whole.0;
    browser.run("document.querySelector('[data-handle=\"0\"]').focus();");
    for _ in 0..10 {
        browser.press("ArrowRight");
    }
    let later = view(&browser);
    assert!(
        is_close(later.0, whole.0 + 0.1 * length, whole),
        "{later:?} of {whole:?}"
    );
    let told = browser.run("return document.activeElement.getAttribute('aria-valuenow');");
    let now: f64 = told.as_str().unwrap().parse().unwrap();
    assert!((now - later.0).abs() < 2.0);
    browser.press("Home");
    assert_eq!(view(&browser), whole);
    browser.press("End");
    let narrow = view(&browser);
    assert!(narrow.1 - narrow.0 < 0.05 * length && narrow.0 < narrow.1);
    browser.press("Escape");
    assert_eq!(view(&browser), whole);
    browser.run("document.querySelector('.panels').focus();");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    let said = browser.run("return document.querySelector('[aria-live]').textContent;");
    assert!(
        said.as_str().unwrap().contains("client sessions "),
        "{said}"
    );
    assert_eq!(
        browser.run("return document.querySelector('.tip').hidden;"),
        false
    );
    browser.press("+");
    let closer = view(&browser);
    assert!(
        is_close(closer.1 - closer.0, 0.5 * length, whole),
        "{closer:?}"
    );
    browser.press("-");
    assert_eq!(view(&browser), whole);
    assert_quiet(&browser, page);
}
