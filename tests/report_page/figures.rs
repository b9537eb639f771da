//! The numbers on the page are those of the JSON.

use serde_json::{Value, json};

use crate::{all, assert_quiet, browser, compared, day};

/// The values of all `<data>` within an element, as numbers.
const VALUES: &str = "const values = (element) => [...element.querySelectorAll('data')].map((data) => Number(data.value)); ";

#[test]
fn tables_and_tiles_say_what_the_json_says() {
    let Some(browser) = browser() else { return };
    for page in all() {
        browser.open(&page.path);
        let json = &page.json;
        for (table, side) in [("policy", &json["decided"]), ("against", &json["against"])] {
            let Some(policies) = side["policies"].as_array() else {
                continue;
            };
            let rows = browser.run(&format!(
                "{VALUES} return [...document.querySelectorAll('#{table}-table tbody tr, #{table}-table tfoot tr')].map(values);"
            ));
            let rows: Vec<Vec<f64>> = serde_json::from_value(rows).unwrap();
            let mut expected: Vec<Vec<f64>> = policies.iter().map(row).collect();
            if policies.len() > 1 {
                expected.push(row(&side["totals"]));
            }
            assert_eq!(rows.len(), expected.len(), "{}", page.path.display());
            for (shown, meant) in rows.iter().flatten().zip(expected.iter().flatten()) {
                // The way through JSON and back may cost a share its last bit.
                assert!(
                    (shown - meant).abs() < 1e-12,
                    "{shown} {meant} {}",
                    page.path.display()
                );
            }
        }
        let tile = |id: &str| {
            let script = format!(
                "const data = document.querySelector('#tile-{id} data'); return data && Number(data.value);"
            );
            browser.run(&script)
        };
        let replayed = &json["replayed"];
        let totals = &json["decided"]["totals"];
        assert_eq!(tile("sessions"), replayed["sessions"]);
        assert_eq!(tile("touched"), totals["sessions"]);
        assert_eq!(tile("acts").as_u64(), Some(acts(totals)));
        let bytes = ["recv_bytes", "sent_bytes"].map(|key| replayed[key].as_u64().unwrap());
        assert_eq!(tile("bytes").as_u64(), Some(bytes.iter().sum()));
        assert_quiet(&browser, page);
    }
}

/// Decisions, acts, held back, targets, sessions, share.
fn row(figures: &Value) -> Vec<f64> {
    let number = |key: &str| figures[key].as_f64().unwrap();
    vec![
        number("decisions"),
        number("would_act") + number("executed"),
        number("suppressed"),
        number("targets"),
        number("sessions"),
        number("sessions_share"),
    ]
}

fn acts(figures: &Value) -> u64 {
    let count = |key: &str| figures[key].as_u64().unwrap();
    count("would_act") + count("executed")
}

#[test]
fn the_comparison_says_what_the_json_says() {
    let Some(browser) = browser() else { return };
    let page = compared();
    browser.open(&page.path);
    for kind in ["sessions", "addresses", "subnets"] {
        let shown = browser.run(&format!(
            "{VALUES} return values(document.querySelector('[data-parts={kind}]'));"
        ));
        let parts = &page.json["comparison"][kind];
        let expected: Vec<&Value> = ["only_decided", "both", "only_against"]
            .iter()
            .flat_map(|part| [&parts[part]["count"], &parts[part]["traffic_bytes"]])
            .collect();
        assert_eq!(shown, json!(expected), "{kind}");
    }
    assert_ne!(
        page.json["comparison"]["sessions"]["only_against"]["count"],
        0
    );
}

#[test]
fn the_tip_says_what_the_json_says_of_a_bin() {
    let Some(browser) = browser() else { return };
    let page = day();
    browser.open(&page.path);
    let line = &page.json["timeline"];
    let bins = line["from_ms"].as_array().unwrap().len();
    let busy = (bins / 3..bins)
        .find(|&bin| line["acts"][0][bin].as_u64().unwrap() > 0)
        .unwrap();
    browser.middle("#chart-sessions svg");
    let place = browser.run(&format!(
        "const host = document.getElementById('charts'); const line = JSON.parse(document.getElementById('report').textContent).timeline; \
         const mid = (line.from_ms[{busy}] + line.to_ms[{busy}]) / 2; const part = (mid - host.dataset.from) / (host.dataset.to - host.dataset.from); \
         const box = document.querySelector('#chart-sessions svg').getBoundingClientRect(); \
         const plot = document.querySelector('#chart-sessions clipPath rect'); \
         return [box.x + Number(plot.getAttribute('x')) + part * Number(plot.getAttribute('width')), box.y + box.height / 2];"
    ));
    browser.hover((place[0].as_f64().unwrap(), place[1].as_f64().unwrap()));
    let tip = browser.run(
        "return Object.fromEntries([...document.querySelectorAll('.tip div')].map((row) => [...row.children].map((cell) => cell.textContent)));",
    );
    let acts = line["acts"][0][busy].as_u64().unwrap();
    assert_eq!(tip["bandwidth-hog"], json!(acts.to_string()), "{tip}");
    let height = line["daemon_height"][busy].as_u64().unwrap();
    let shown = tip["daemon at block"].as_str().unwrap().replace('_', "");
    assert_eq!(shown, height.to_string());
    browser.press("Escape");
    browser.hover((5.0, 5.0));
    assert_eq!(
        browser.run("return document.querySelector('.tip').hidden;"),
        true
    );
    assert_quiet(&browser, page);
}

#[test]
fn charts_draw_every_act() {
    let Some(browser) = browser() else { return };
    for page in all() {
        browser.open(&page.path);
        for (id, key) in [("acts", "acts"), ("against-acts", "against_acts")] {
            let acts: u64 = page.json["timeline"][key]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|policy| policy.as_array().unwrap())
                .map(|count| count.as_u64().unwrap())
                .sum();
            let label = browser.run(&format!(
                "const svg = document.querySelector('#chart-{id} svg'); return svg && svg.getAttribute('aria-label').replace(/[^0-9]/g, '');"
            ));
            let expected = if acts == 0 {
                Value::Null
            } else {
                json!(acts.to_string())
            };
            assert_eq!(label, expected, "{id} of {}", page.path.display());
        }
    }
}

#[test]
fn what_two_sets_did_has_one_scale() {
    let Some(browser) = browser() else { return };
    let page = compared();
    browser.open(&page.path);
    browser.middle("#chart-acts svg");
    let top = |id: &str| {
        browser.run(&format!(
            "const texts = [...document.querySelectorAll('#chart-{id} svg text')]; return texts.at(-1).textContent;"
        ))
    };
    assert_eq!(top("acts"), top("against-acts"));
    // Ten minutes that begin at midnight would have a date there.
    let first = browser.run("return document.querySelector('#chart-acts svg text').textContent;");
    assert!(first.as_str().unwrap().contains(':'), "{first}");
    assert_quiet(&browser, page);
}
