//! What a number or a word is at each poll, in a short notation, as promtool's tests of rules have it.
//!
//! | written | means |
//! |---|---|
//! | `5` | 5 at one poll |
//! | `5x3` | 5, and 5 at three more polls |
//! | `0+10x3` | 0, and three more polls with 10 more each: 0 10 20 30 |
//! | `30-10x3` | 30 20 10 0 |
//! | `_` | nothing at one poll: not connected, not reached |
//! | `_x3` | nothing at three polls |
//! | `/` | before the next poll it left and came again |
//!
//! The last sample stays until the end.

use std::fmt::Write as _;
use std::ops::Range;

use crate::field::Dimension;
use crate::units;

/// A series is no longer than this, and no test has more polls.
pub(super) const SAMPLES_MAX: usize = 10_000;

/// What is so at each poll.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series<T> {
    /// Never empty.
    samples: Vec<Sample<T>>,
}

/// What is so at one poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<T> {
    /// `None` where there is nothing.
    pub(super) value: Option<T>,
    /// Whether it is not what it was at the poll before, but another under the same name.
    pub(super) is_anew: bool,
}

/// What is wrong with a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mistake {
    pub(super) complaint: String,
    /// Bytes of the text.
    pub(super) at: Range<usize>,
    pub(super) help: String,
}

impl<T> Series<T> {
    /// The same at all polls.
    pub(super) fn constant(value: T) -> Self {
        let samples = vec![Sample {
            value: Some(value),
            is_anew: false,
        }];
        Self { samples }
    }

    /// How many samples are written.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// At a poll, from 0.
    pub(super) fn at(&self, poll: usize) -> Option<&T> {
        let last = self.samples.len() - 1;
        self.samples[poll.min(last)].value.as_ref()
    }

    /// Whether at this poll it is another than at the one before.
    pub(super) fn is_anew(&self, poll: usize) -> bool {
        self.samples.get(poll).is_some_and(|sample| sample.is_anew)
    }
}

/// A word of a series with its repetition: `5x3`.
struct Token<'t> {
    text: &'t str,
    /// The part before the `x`.
    value: &'t str,
    /// What follows the `x`.
    times: Option<usize>,
    start: usize,
}

impl<'t> Token<'t> {
    fn new(text: &'t str, start: usize) -> Result<Self, Mistake> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (value, times) = match text.rsplit_once('x') {
            Some((value, times)) if is_digits(times) => (value, Some(times)),
            _ => (text, None),
        };
        let number = times.map(|times| times.parse().ok().filter(|&number| number > 0));
        let times = match number {
            None => None,
            Some(Some(number)) if number <= SAMPLES_MAX => Some(number),
            Some(_) => {
                let at = start + value.len()..start + text.len();
                let complaint = format!("`x{}` is no number of times", times.unwrap_or_default());
                let help = format!("write how many more polls: `x1` to `x{SAMPLES_MAX}`");
                return Err(Mistake {
                    complaint,
                    at,
                    help,
                });
            }
        };
        Ok(Self {
            text,
            value,
            times,
            start,
        })
    }

    fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Samples as they are read.
struct Reading<T> {
    samples: Vec<Sample<T>>,
    /// Where the `/` before the next sample stands.
    anew: Option<Range<usize>>,
}

impl<T: Clone> Reading<T> {
    fn push(&mut self, value: Option<T>, at: Range<usize>) -> Result<(), Mistake> {
        if self.samples.len() == SAMPLES_MAX {
            return Err(Mistake {
                complaint: "the series is too long".into(),
                at,
                help: format!("at most {SAMPLES_MAX} polls are played"),
            });
        }
        let slash = self.anew.take();
        if value.is_none()
            && let Some(slash) = slash
        {
            return Err(stray(slash));
        }
        self.samples.push(Sample {
            value,
            is_anew: slash.is_some(),
        });
        Ok(())
    }
}

fn stray(at: Range<usize>) -> Mistake {
    Mistake {
        complaint: "`/` stands between two samples".into(),
        at,
        help: "it says that between two polls somebody left and came again: `0+5x3 / 0+5x3`".into(),
    }
}

/// Reads a series; `sample` gives what a token without its `x` is at first, and by how much it grows.
fn read<T: Clone>(
    text: &str,
    example: &str,
    mut expand: impl FnMut(&Token<'_>, &mut dyn FnMut(T) -> Result<(), Mistake>) -> Result<(), Mistake>,
) -> Result<Series<T>, Mistake> {
    let mut reading: Reading<T> = Reading {
        samples: Vec::new(),
        anew: None,
    };
    for word in text.split_whitespace() {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let token = Token::new(word, start)?;
        match (token.value, token.times) {
            ("/", None) => {
                let is_after_one = reading.samples.last().is_some_and(|s| s.value.is_some());
                if !is_after_one || reading.anew.is_some() {
                    return Err(stray(token.span()));
                }
                reading.anew = Some(token.span());
            }
            ("_", times) => {
                for _ in 0..times.unwrap_or(1) {
                    reading.push(None, token.span())?;
                }
            }
            ("", Some(times)) => {
                let Some(last) = reading.samples.last().and_then(|s| s.value.clone()) else {
                    return Err(Mistake {
                        complaint: format!("`{word}` repeats nothing"),
                        at: token.span(),
                        help: format!("write what is so before it: `{example}`"),
                    });
                };
                for _ in 0..times {
                    reading.push(Some(last.clone()), token.span())?;
                }
            }
            _ => expand(&token, &mut |value| reading.push(Some(value), token.span()))?,
        }
    }
    if let Some(slash) = reading.anew {
        return Err(stray(slash));
    }
    if reading.samples.is_empty() {
        return Err(Mistake {
            complaint: "the series is empty".into(),
            at: 0..text.len(),
            help: format!("write what is so at each poll: `{example}`"),
        });
    }
    Ok(Series {
        samples: reading.samples,
    })
}

/// Reads numbers; counts and sizes are whole unless `with_fractions`.
pub(super) fn numbers(
    text: &str,
    dimension: Dimension,
    with_fractions: bool,
) -> Result<Series<f64>, Mistake> {
    read(text, "0+50x6", |token, push| {
        let (first, step) = terms(token, dimension, with_fractions)?;
        for i in 0..=token.times.unwrap_or(0) {
            let value = value(first, step, i);
            if value < 0.0 {
                return Err(Mistake {
                    complaint: format!("`{}` goes below 0", token.text),
                    at: token.span(),
                    help: "nothing that the server counts does".into(),
                });
            }
            push(value)?;
        }
        Ok(())
    })
}

/// So many steps after the first.
fn value(first: f64, step: f64, steps: usize) -> f64 {
    let value = first + step * steps as f64;
    if first.fract() == 0.0 && step.fract() == 0.0 {
        value
    } else {
        // Thousandths are as fine as costs are told apart.
        (value * 1_000.0).round() / 1_000.0
    }
}

/// What `a+b` begins with, and its step.
fn terms(
    token: &Token<'_>,
    dimension: Dimension,
    with_fractions: bool,
) -> Result<(f64, f64), Mistake> {
    if let Some((before, times)) = token.text.split_once(['*', '×']) {
        let times = times.trim_start_matches(['+', '-']);
        return Err(Mistake {
            complaint: format!("`{}` repeats with another sign than `x`", token.text),
            at: token.span(),
            help: format!("write `{before}x{times}`"),
        });
    }
    let mut sign = token.value.char_indices().skip(1);
    let sign = sign.find(|(_, c)| matches!(c, '+' | '-'));
    let number = |part: &str, offset: usize| {
        let start = token.start + offset;
        let is_plain = part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        let dimension = match dimension {
            // As the server tells them: bytes.
            Dimension::Size if is_plain => Dimension::Count,
            other => other,
        };
        let parsed = units::parse(part, dimension).map_err(|error| Mistake {
            complaint: error.to_string(),
            at: start + error.at.start..start + error.at.end,
            help: error.help(),
        })?;
        if parsed.fract() != 0.0 && !with_fractions {
            return Err(Mistake {
                complaint: format!("`{part}` is not whole"),
                at: start..start + part.len(),
                help: "this is counted one by one".into(),
            });
        }
        Ok(parsed)
    };
    let Some((at, sign)) = sign else {
        return Ok((number(token.value, 0)?, 0.0));
    };
    let first = number(&token.value[..at], 0)?;
    let step = number(&token.value[at + 1..], at + 1)?;
    if token.times.is_none() {
        return Err(Mistake {
            complaint: format!("`{}` does not say how often", token.text),
            at: token.span(),
            help: format!("write `{}x6` for six steps", token.value),
        });
    }
    Ok((first, if sign == '-' { -step } else { step }))
}

/// Reads words, each of which `word` must know.
pub(super) fn words<T: Clone>(
    text: &str,
    example: &str,
    mut word: impl FnMut(&str) -> Result<T, (String, String)>,
) -> Result<Series<T>, Mistake> {
    read(text, example, |token, push| {
        let value = word(token.value).map_err(|(complaint, help)| Mistake {
            complaint,
            at: token.start..token.start + token.value.len(),
            help,
        })?;
        for _ in 0..=token.times.unwrap_or(0) {
            push(value.clone())?;
        }
        Ok(())
    })
}

/// Writes numbers as briefly as the notation can; [`numbers`] reads the same samples again.
pub(super) fn write(samples: &[Sample<f64>]) -> String {
    let mut text = String::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let separator = if text.is_empty() { "" } else { " " };
        text.push_str(separator);
        if first.is_anew {
            text.push_str("/ ");
        }
        let run = match first.value {
            None => {
                let run = rest.iter().take_while(|s| s.value.is_none()).count();
                text.push('_');
                if run > 1 {
                    _ = write!(text, "x{run}");
                }
                run
            }
            Some(value) => write_run(&mut text, value, rest),
        };
        rest = &rest[run..];
    }
    text
}

/// Writes what goes on evenly from the first of these, and gives how many that are.
fn write_run(text: &mut String, first: f64, samples: &[Sample<f64>]) -> usize {
    let next = samples.get(1).filter(|next| !next.is_anew);
    let step = next.and_then(|next| next.value).map(|next| next - first);
    let step = step.map(|step| (step * 1_000.0).round() / 1_000.0);
    let goes_on = |step: f64| {
        let even = samples.iter().enumerate().skip(1);
        1 + even
            .take_while(|&(i, s)| !s.is_anew && s.value == Some(value(first, step, i)))
            .count()
    };
    text.push_str(&number(first));
    match step.map(|step| (step, goes_on(step))) {
        Some((0.0, run)) if run > 1 => {
            _ = write!(text, "x{}", run - 1);
            run
        }
        // Two numbers are shorter than a start and a step.
        Some((step, run)) if run > 2 => {
            let sign = if step < 0.0 { '-' } else { '+' };
            _ = write!(text, "{sign}{}x{}", number(step.abs()), run - 1);
            run
        }
        _ => 1,
    }
}

/// Up to thousandths.
fn number(value: f64) -> String {
    // The sum of nothing is -0.
    let text = format!("{:.3}", value + 0.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(text: &str) -> Result<Vec<Option<f64>>, String> {
        let series = numbers(text, Dimension::Count, false);
        let told = |mistake: Mistake| {
            let Mistake {
                complaint,
                help,
                at,
            } = mistake;
            format!("{complaint} [{}]: {help}", &text[at])
        };
        let values = |series: Series<f64>| series.samples.iter().map(|s| s.value).collect();
        series.map(values).map_err(told)
    }

    #[test]
    fn the_notation() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(counts("5").unwrap(), some(&[5.0]));
        assert_eq!(counts("5x3").unwrap(), some(&[5.0; 4]));
        assert_eq!(counts("5 x3").unwrap(), some(&[5.0; 4]));
        assert_eq!(counts("0+10x3").unwrap(), some(&[0.0, 10.0, 20.0, 30.0]));
        assert_eq!(counts("30-10x3").unwrap(), some(&[30.0, 20.0, 10.0, 0.0]));
        assert_eq!(counts("1_000+1_000x1").unwrap(), some(&[1e3, 2e3]));
        assert_eq!(
            counts("_ 1 _x2 7+1x1").unwrap(),
            [None, Some(1.0), None, None, Some(7.0), Some(8.0)]
        );
        let sizes = numbers("0+1MiBx1 2 kB", Dimension::Size, false);
        assert!(sizes.is_err(), "a blank ends a number");
        let sizes = numbers("0+1MiBx1 2kB", Dimension::Size, false).unwrap();
        assert_eq!(sizes.at(1), Some(&1_048_576.0));
        assert_eq!(sizes.at(99), Some(&2_000.0));
        let again = numbers("0+5x2 / 0+5x2", Dimension::Count, false).unwrap();
        let anew: Vec<_> = (0..again.len()).filter(|&i| again.is_anew(i)).collect();
        assert_eq!((again.len(), anew), (6, vec![3]));
        assert!(!again.is_anew(99));
    }

    #[test]
    fn every_mistake_says_what_to_do() {
        let told = |text: &str| counts(text).unwrap_err();
        let all = [
            "0+10*12", "", "x3", "_ x3", "5x0", "5x99999", "5+1", "5+1x", "5-1x6", "1.5",
            "0+0.5x3", "five", "5 MiB", "/ 5", "5 /", "5 / / 5", "_ / 5", "5 / _", "5x9999 5",
            "-5", "5x-3",
        ]
        .map(told);
        insta::assert_snapshot!(all.join("\n"));
    }

    fn samples() -> impl Strategy<Value = Vec<Sample<f64>>> {
        let value = prop_oneof![
            2 => Just(None),
            8 => (0..6_u32).prop_map(|n| Some(f64::from(n))),
            2 => (0..9_000_000_000_u64).prop_map(|n| Some(n as f64)),
            2 => (0..9_000_000_u32).prop_map(|n| Some(f64::from(n) / 1_000.0)),
        ];
        let run = (value, 1..5_usize, 0..3_u32, any::<bool>());
        prop::collection::vec(run, 1..12).prop_map(|runs| {
            let mut samples: Vec<Sample<f64>> = Vec::new();
            for (first, length, step, is_anew) in runs {
                let can_be_anew = samples.last().is_some_and(|last| last.value.is_some());
                for i in 0..length {
                    let value = first.map(|first| super::value(first, f64::from(step), i));
                    samples.push(Sample {
                        value,
                        is_anew: is_anew && i == 0 && can_be_anew && value.is_some(),
                    });
                }
            }
            samples
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(samples in samples()) {
            let text = write(&samples);
            let read = numbers(&text, Dimension::Count, true);
            prop_assert_eq!(read, Ok(Series { samples }), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9x_/+. a-]{0,30}") {
            let _ = numbers(&text, Dimension::Size, true);
        }
    }
}
