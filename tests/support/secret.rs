//! A daemon's credentials in every form in which they might show, and the hunt for them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// User and password, as they are and percent-encoded, and both in Base64 as HTTP has them.
pub(crate) fn forms(user: &str, password: &str) -> Vec<String> {
    let mut forms: Vec<String> = [user, password].map(str::to_owned).to_vec();
    let encoded = [user, password].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    forms.extend(encoded.map(|text| text.to_string()));
    forms.push(base64(&format!("{user}:{password}")));
    forms.sort();
    forms.dedup();
    forms
}

/// Whole groups of three bytes; what is left at the end looks different before other text.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().as_chunks::<3>().0.iter();
    let digits = groups.flat_map(|&[a, b, c]| {
        let bits = u32::from_be_bytes([0, a, b, c]);
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
    });
    digits.collect()
}

/// Fails where any of `secrets` is in what was written: names, and bytes.
pub(crate) fn assert_absent(written: &[(String, Vec<u8>)], secrets: &[String]) {
    for (name, bytes) in written {
        for secret in secrets.iter().map(String::as_bytes) {
            let place = bytes.windows(secret.len()).position(|part| part == secret);
            let around =
                place.map(|at| bytes[at.saturating_sub(80)..at + secret.len()].escape_ascii());
            assert!(place.is_none(), "{name} says: {}", around.expect("a place"));
        }
    }
}
