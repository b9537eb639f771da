//! The page as text; in a browser it is `tests/report_page`'s.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::report::sample;

/// Base64, as a content security policy has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}

#[test]
fn the_page_lets_its_own_style_and_script_through_and_nothing_else() {
    let hash = |text: &str| base64(&Sha256::digest(text));
    let mut right =
        String::from("default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:");
    let _ = write!(right, "; style-src 'sha256-{}'", hash(STYLE));
    let _ = writeln!(right, "; script-src 'sha256-{}'", hash(SCRIPT));
    assert_eq!(
        include_str!("csp.txt"),
        right,
        "\nsrc/report/html/csp.txt must read:\n{right}"
    );
}

#[test]
fn base64_is_as_everywhere() {
    let read = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
    assert_eq!(read, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
}

#[test]
fn the_page_names_nothing_outside_of_itself() {
    let page = page(&sample::comparison()).unwrap();
    let namespace = "http://www.w3.org/2000/svg";
    assert_eq!(page.matches("://").count(), page.matches(namespace).count());
    for loads in [
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "innerHTML",
        "eval(",
    ] {
        let allowed = usize::from(loads == "url(");
        let own = page.matches(loads).count();
        assert!(own <= allowed, "{loads}: {own}");
    }
    assert!(!page.contains(" style="));
}

#[test]
fn what_clients_chose_is_text() {
    let page = page(&sample::comparison()).unwrap();
    assert!(page.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\\u{202e}"));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<!--"));
    let deceptive = |c: char| matches!(c, '\u{202e}' | '\u{1b}' | '\u{2028}');
    assert!(!page.contains(deceptive));
}

#[test]
fn the_json_in_the_page_is_the_report() {
    let report = sample::comparison();
    let page = page(&report).unwrap();
    let (_, rest) = page
        .split_once("<script type=\"application/json\" id=\"report\">")
        .unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    let read: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(read, serde_json::to_value(&report).unwrap());
}

#[test]
fn a_page_of_nothing_is_a_page() {
    let page = page(&sample::nothing()).unwrap();
    assert!(page.contains("There is nothing to draw."));
    assert!(page.contains("There is no policy."));
}

#[test]
fn policies_that_act_alike_are_only_counted() {
    let mut report = sample::comparison();
    let pairs = &mut report.comparison.as_mut().unwrap().policies;
    // They differ in what was held back alone.
    let ours = pairs[0].decided.unwrap();
    pairs[0].against = Some(crate::report::PairFigures {
        suppressed: ours.suppressed + 1,
        ..ours
    });
    let page = page(&report).unwrap();
    let (_, rest) = page.split_once("<table class=\"pairs\">").unwrap();
    let (table, after) = rest.split_once("</table>").unwrap();
    assert_eq!(table.matches("<tr>").count(), 1 + 3, "{table}");
    assert!(!table.contains("bandwidth-hog"));
    assert!(
        after
            .trim_start()
            .starts_with("<p class=\"note\">1 policy acts the same in A and B.</p>")
    );
}
