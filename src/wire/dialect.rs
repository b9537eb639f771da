//! The dialect of JSON that Python writes: `NaN`, `Infinity` and `-Infinity` stand bare.
//!
//! A client can make the server reckon its cost as infinite (by asking for block headers in an
//! absurd number, on 1.13 to 2.0), and no JSON parser reads the replies any more: one client would
//! blind the agent. So such words are replaced by JSON of the same length before a reply is read.

/// What stands for `NaN`, which no JSON number can: an empty object and a blank.
const NAN: &[u8; 3] = b"{} ";
/// As near to infinity as JSON goes.
const INFINITY: &[u8; 8] = b"1.79e308";

/// Replaces the bare words outside of texts. The line's length stays; the decoders of this module
/// read what stands for `NaN` as a number that is not known.
pub fn tame(line: &mut [u8]) {
    // The search is far faster than the walk below, and nearly always finds nothing.
    let mut marks = memchr::memchr2_iter(b'N', b'I', line);
    if !marks.any(|at| line[at..].starts_with(b"NaN") || line[at..].starts_with(b"Infinity")) {
        return;
    }
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += match byte {
            b'"' => text_length(&line[at..]),
            b'N' if line[at..].starts_with(b"NaN") => replace(&mut line[at..], NAN),
            b'I' if line[at..].starts_with(b"Infinity") => replace(&mut line[at..], INFINITY),
            _ => 1,
        };
    }
}

fn replace(line: &mut [u8], by: &[u8]) -> usize {
    line[..by.len()].copy_from_slice(by);
    by.len()
}

/// The length of the text that `line` begins with, quotes included.
pub(crate) fn text_length(line: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', line.get(at..).unwrap_or_default()) {
        at += found;
        if line[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(text: &str) -> String {
        let mut line = text.as_bytes().to_vec();
        tame(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn bare_words_become_json() {
        assert_eq!(
            tamed(r#"{"result":[[1,NaN,Infinity,-Infinity]]}"#),
            r#"{"result":[[1,{} ,1.79e308,-1.79e308]]}"#
        );
    }

    #[test]
    fn texts_stay_as_they_are() {
        for text in [
            r#"["NaN","Infinity",1]"#,
            r#"["a\"NaN",1]"#,
            r#"["a\\","NaN"]"#,
            r#"["\\\"NaN\\\\","Infinity"#,
            r#"["NaN\"#,
            "NaX Infinit",
        ] {
            assert_eq!(tamed(text), text);
        }
        assert_eq!(tamed(r#"["a\\",NaN,"NaN"]"#), r#"["a\\",{} ,"NaN"]"#);
    }
}
