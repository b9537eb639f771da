use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::baseline::{Budget, Pass, Survey, Surveyor, Tuning};
use crate::recording::{Start, Tick};
use crate::scene::{Scene, policies};

const HOSTILE: &str = "</td><script src=//evil.example/x.js>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"x' & \u{202e}\u{1b}[2J";

/// A page of clients with names that are made to hurt it.
fn hostile() -> String {
    let set = policies(
        "[[policy]]\nname = \"hog\"\nscope = \"session\"\nwhen = { subs = \"> 5\", client = \"!= <b>'&\" }\naction = \"disconnect\"",
    );
    let mut scene = Scene::new();
    for name in [HOSTILE, "plain"] {
        let id = scene.connect("8.8.8.8:1", name);
        scene.of(id).subs = name.len() as u64;
    }
    scene.groups.push((HOSTILE.into(), 2));
    let start = Start {
        server: HOSTILE.into(),
        ..Start::default()
    };
    let survey = Survey {
        window: Duration::from_secs(60),
        include_private: false,
        scopes: Scope::ALL.to_vec(),
        fields: Vec::new(),
    };
    let ticks: Vec<Tick> = (0..30)
        .map(|_| {
            scene.wait(10.0);
            Tick {
                at: scene.at(),
                snapshot: scene.poll(),
                ..Tick::default()
            }
        })
        .collect();
    let mut surveyor = Surveyor::new(&survey, &set);
    surveyor.start(&start);
    for tick in &ticks {
        surveyor.turn(tick);
    }
    let baseline = surveyor.finish();
    let budget = Budget::parse("0").unwrap();
    let mut tuning = Tuning::new(set, budget, Some(vec![]), &baseline.seen);
    while let Some(mut pass) = tuning.next_pass() {
        Pass::start(&mut pass, &start);
        _ = ticks.iter().all(|tick| pass.turn(tick));
        tuning.take(&pass).unwrap();
    }
    page(&baseline, Some(&tuning.finish()))
}

/// Names of the tags, with how often they open.
fn tags(page: &str) -> HashMap<&str, usize> {
    let mut tags = HashMap::new();
    for tag in page.split('<').skip(1) {
        let end = tag.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '!'));
        *tags.entry(&tag[..end.unwrap_or(tag.len())]).or_default() += 1;
    }
    tags
}

#[test]
fn hostile_names_are_text() {
    let page = hostile();
    let tags = tags(&page);
    for forbidden in ["script", "img", "b", "iframe", "/script"] {
        assert_eq!(tags.get(forbidden), None, "{forbidden}");
    }
    for (open, close) in [
        ("td", "/td"),
        ("tr", "/tr"),
        ("section", "/section"),
        ("pre", "/pre"),
    ] {
        assert!(tags[open] > 0 && tags[open] == tags[close], "{open}");
    }
    assert!(page.contains("&lt;script src=//evil.example/x.js&gt;"));
    assert!(!page.contains(['\u{202e}', '\u{1b}']));
    assert!(
        page.contains("client = &quot;!= &lt;b&gt;&#39;&amp;&quot;"),
        "{page}"
    );
}

#[test]
fn the_page_loads_nothing() {
    let page = hostile();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // Every attribute that could fetch, outside of escaped text.
    for attribute in [
        " src=\"",
        " href=\"",
        " srcset=",
        "url(",
        "@import",
        " style=\"",
        "http:",
    ] {
        for (at, _) in page.match_indices(attribute) {
            let rest = &page[at..page.len().min(at + 16)];
            assert!(
                rest.starts_with(" href=\"#") || rest.starts_with(" href=\"data:,"),
                "{rest}"
            );
        }
    }
}

#[test]
fn the_page_allows_its_own_style_alone() {
    let hash = base64(&Sha256::digest(STYLE));
    assert!(
        POLICY.contains(&format!("style-src 'sha256-{hash}'")),
        "{hash}"
    );
    assert!(POLICY.starts_with("default-src 'none';"));
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4_usize {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() {
                char::from(DIGITS[digit as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[test]
fn thresholds_are_marked_where_they_lie() {
    let page = hostile();
    let mark: Arc<str> = "<title>hog: subs &gt; 5</title>".into();
    // 5 is in the range of no chart but that of sessions, from 5 to the hostile name's length.
    assert_eq!(page.matches(&*mark).count(), 1, "{page}");
}
