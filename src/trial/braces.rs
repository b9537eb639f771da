//! Crowds in a word: `203.0.113.{1..40}` stands for forty addresses.

use std::ops::Range;

use super::series::Mistake;

/// As many texts come of one at the most.
pub(super) const TEXTS_MAX: usize = 10_000;

/// All texts that `text` stands for, in order; each pair of braces is a range of numbers, both ends
/// included.
pub(super) fn expand(text: &str) -> Result<Vec<String>, Mistake> {
    let mut texts = vec![String::new()];
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once('{') {
        let start = text.len() - rest.len() + before.len();
        let Some((range, after)) = inside.split_once('}') else {
            return Err(not_a_range(start..text.len()));
        };
        let span = start..start + range.len() + 2;
        let Some((first, last)) = ends(range) else {
            return Err(not_a_range(span));
        };
        let count = usize::try_from(last - first)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        if texts.len().saturating_mul(count) > TEXTS_MAX {
            return Err(Mistake {
                complaint: "this stands for too many".into(),
                at: span,
                help: format!("at most {TEXTS_MAX} are played"),
            });
        }
        let longer = texts
            .iter()
            .flat_map(|text| (first..=last).map(move |number| format!("{text}{before}{number}")));
        texts = longer.collect();
        rest = after;
    }
    for text in &mut texts {
        text.push_str(rest);
    }
    Ok(texts)
}

fn ends(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.split_once("..")?;
    let number = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn not_a_range(at: Range<usize>) -> Mistake {
    Mistake {
        complaint: "this is no range".into(),
        at,
        help: "write the first and the last number: `{1..40}`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(expand("a").unwrap(), ["a"]);
        assert_eq!(expand("a{8..10}b").unwrap(), ["a8b", "a9b", "a10b"]);
        assert_eq!(
            expand("{1..2}.{5..6}").unwrap(),
            ["1.5", "1.6", "2.5", "2.6"]
        );
        assert_eq!(expand("10.0.{0..99}.{0..99}").unwrap().len(), 10_000);
    }

    #[test]
    fn mistakes() {
        for (text, blamed) in [
            ("a{", "{"),
            ("a{}b", "{}"),
            ("a{1..}b", "{1..}"),
            ("a{2..1}b", "{2..1}"),
            ("a{1,2}b", "{1,2}"),
            ("a{+1..2}", "{+1..2}"),
            ("{1..200}.{1..200}", "{1..200}"),
            ("{0..18446744073709551615}", "{0..18446744073709551615}"),
        ] {
            let mistake = expand(text).unwrap_err();
            assert_eq!(&text[mistake.at.clone()], blamed, "{mistake:?}");
        }
    }
}
