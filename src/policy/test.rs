//! Reading one test: `> 1 MiB/s`, `> 20x median`, `=~ ^bot`, `not in @trusted`.

use regex::{Regex, RegexBuilder};

use super::bounds::{REGEX_SIZE_MAX, bad_quantity};
use super::diagnostic::{Diagnostic, Problem, closest, did_you_mean};
use super::list::parse_net;
use super::registry::{Lists, Use};
use super::source::{Written, word};
use super::{Comparison, Predicate, Threshold};
use crate::field::{Dimension, Field, Kind, Scope};
use crate::units;
use crate::version::Version;

/// What is tested.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) field: Field,
    /// The field as written.
    pub(super) name: &'s str,
    pub(super) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Compare(Comparison),
    Match {
        negated: bool,
    },
    In {
        negated: bool,
    },
    /// None: the text itself.
    Bare,
}

const OPERATORS: &[(&str, Operator)] = &[
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    ("==", Operator::Compare(Comparison::Equal)),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    ("=~", Operator::Match { negated: false }),
    ("!~", Operator::Match { negated: true }),
    (">", Operator::Compare(Comparison::Greater)),
    ("<", Operator::Compare(Comparison::Less)),
];

const MISSPELT: &[(&str, &str)] = &[
    ("=", "=="),
    ("===", "=="),
    ("=>", ">="),
    ("=<", "<="),
    ("<>", "!="),
    ("~", "=~"),
    ("~=", "=~"),
    ("!", "!="),
    ("≥", ">="),
    ("≤", "<="),
    ("≠", "!="),
    (">>", ">"),
    ("<<", "<"),
];

/// A test of this kind of field as one writes it.
pub(super) fn example(kind: Kind) -> String {
    match kind {
        Kind::Number(dimension) => format!("> {}", units::example(dimension)),
        Kind::Flag => "true".to_owned(),
        Kind::Text => "=~ ^electrum".to_owned(),
        Kind::Address => "in 203.0.113.0/24".to_owned(),
        Kind::Version => "< 4.5".to_owned(),
    }
}

/// What a field holds, with its article.
pub(super) const fn phrase(kind: Kind) -> &'static str {
    match kind {
        Kind::Number(dimension) => units::phrase(dimension),
        Kind::Flag => "a flag",
        Kind::Text => "text",
        Kind::Address => "an address",
        Kind::Version => "a version",
    }
}

/// Reads the test of a number, text or address.
pub(super) fn read(
    subject: Subject<'_>,
    written: &Written<'_>,
    lists: &mut Lists,
) -> Result<Predicate, Diagnostic> {
    let (operator, sign, operand) = split(subject, written)?;
    match subject.field.info().kind {
        Kind::Number(dimension) => match operator {
            Operator::Compare(comparison) => {
                threshold(subject, comparison, dimension, written, operand)
                    .map(|threshold| Predicate::Compare(comparison, threshold))
            }
            Operator::Bare => Err(bare_number(subject, dimension, written, operand)),
            _ => Err(unfit(subject, written, sign)),
        },
        Kind::Text => match operator {
            Operator::Compare(Comparison::Equal) | Operator::Bare => {
                equals(subject, written, operand, false)
            }
            Operator::Compare(Comparison::NotEqual) => equals(subject, written, operand, true),
            Operator::Match { negated } => {
                pattern(written, operand).map(|regex| Predicate::Matches { regex, negated })
            }
            Operator::In { negated } => {
                let list = search(written, operand, Use::Text, lists)?;
                Ok(Predicate::In { list, negated })
            }
            Operator::Compare(_) => Err(unfit(subject, written, sign)),
        },
        Kind::Address => match operator {
            Operator::In { negated } => {
                let list = search(written, operand, Use::Address, lists)?;
                Ok(Predicate::In { list, negated })
            }
            _ => Err(unfit(subject, written, sign)),
        },
        Kind::Version => match operator {
            Operator::Compare(comparison) => version(subject, written, operand)
                .map(|version| Predicate::Version(comparison, version)),
            _ => Err(unfit(subject, written, sign)),
        },
        // The caller reads flags: they are no strings.
        Kind::Flag => Err(unfit(subject, written, sign)),
    }
}

type Span = std::ops::Range<usize>;

/// The comparison that a test of a number begins with.
pub(super) fn comparison(test: &str) -> Option<Comparison> {
    let test = test.trim_start();
    let known = OPERATORS.iter().find(|(sign, _)| test.starts_with(sign))?;
    match known.1 {
        Operator::Compare(comparison) => Some(comparison),
        _ => None,
    }
}

/// The operator, its place in the text, and that of what follows.
fn split(
    subject: Subject<'_>,
    written: &Written<'_>,
) -> Result<(Operator, Span, Span), Diagnostic> {
    let text = written.text;
    let start = text.len() - text.trim_start().len();
    let end = text.trim_end().len().max(start);
    let body = &text[start..end];
    if body.is_empty() {
        let what = format!("the test of `{}`", word(subject.name));
        let help = match subject.field.info().kind {
            Kind::Text => "write `== \"\"` for empty text".to_owned(),
            kind => format!("write `{}`, for example", example(kind)),
        };
        return Err(Diagnostic::new(Problem::EmptyCondition { what })
            .at(written.whole())
            .help(help));
    }
    let from = |length: usize| {
        let after = start + length;
        let blank = text[after..end].len() - text[after..end].trim_start().len();
        (start..after, after + blank..end)
    };
    let is_sign = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~' | '≥' | '≤' | '≠');
    let run = body.find(|c| !is_sign(c)).unwrap_or(body.len());
    if run > 0 {
        let sign = &body[..run];
        let (place, operand) = from(run);
        let known = OPERATORS.iter().find(|(known, _)| *known == sign);
        if let Some((_, operator)) = known {
            return Ok((*operator, place, operand));
        }
        // Requirements of packages are written so.
        if sign == "=" && subject.field.info().kind == Kind::Version {
            return Ok((Operator::Compare(Comparison::Equal), place, operand));
        }
        let help = match MISSPELT.iter().find(|(wrong, _)| *wrong == sign) {
            Some((_, right)) => format!("did you mean `{right}`?"),
            None => "the operators are `>`, `>=`, `<`, `<=`, `==`, `!=`, `=~`, `!~`, `in` and \
                     `not in`"
                .to_owned(),
        };
        let operator = word(sign);
        return Err(Diagnostic::new(Problem::UnknownOperator { operator })
            .at(written.part(place))
            .help(help));
    }
    let keyword = |text: &str, keyword: &str| {
        let rest = text.strip_prefix(keyword)?;
        let ends =
            rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || "@[".contains(c));
        ends.then_some(keyword.len())
    };
    if let Some(length) = keyword(body, "in") {
        let (place, operand) = from(length);
        return Ok((Operator::In { negated: false }, place, operand));
    }
    if let Some(not) = keyword(body, "not") {
        let blank = body[not..].len() - body[not..].trim_start().len();
        if let Some(length) = keyword(&body[not + blank..], "in") {
            let (place, operand) = from(not + blank + length);
            return Ok((Operator::In { negated: true }, place, operand));
        }
    }
    Ok((Operator::Bare, start..start, start..end))
}

/// The operator and the field do not go together.
fn unfit(subject: Subject<'_>, written: &Written<'_>, sign: Span) -> Diagnostic {
    let kind = subject.field.info().kind;
    let operator = &written.text[sign.clone()];
    let complaint = match kind {
        _ if operator.is_empty() => "the test has no operator".to_owned(),
        Kind::Number(_) if operator.ends_with("in") => {
            format!("`{operator}` does not search numbers")
        }
        Kind::Number(_) => format!("`{operator}` does not match numbers"),
        Kind::Text => format!("`{operator}` does not compare text"),
        Kind::Version => format!("`{operator}` does not compare versions"),
        _ => format!("`{operator}` does not go with addresses"),
    };
    let operand = written.text[sign.end..].trim();
    let help = match kind {
        Kind::Address if parse_net(operand).is_some() => {
            let not = if operator == "!=" { "not " } else { "" };
            format!("write `{not}in {operand}`")
        }
        Kind::Address => "use `in` or `not in`, as in `in 203.0.113.0/24` or `in @list`".to_owned(),
        Kind::Text if subject.field == Field::Client && Version::parse(operand).is_some() => {
            format!("to compare versions write `client_version = \"{operator} {operand}\"`")
        }
        Kind::Version if operator.is_empty() && Version::parse(operand).is_some() => {
            format!("write `== {operand}`, `< {operand}` or another comparison")
        }
        Kind::Version => {
            "compare it, as in `< 4.5`; a pattern or a list goes with `client`".to_owned()
        }
        Kind::Text => "use `==`, `!=`, `=~`, `!~`, `in` or `not in`".to_owned(),
        _ => format!("compare it, as in `{}`", example(kind)),
    };
    let place = if operator.is_empty() {
        written.whole()
    } else {
        written.part(sign)
    };
    Diagnostic::new(Problem::WrongTest {
        field: word(subject.name),
        kind: phrase(kind),
        complaint,
    })
    .at(place)
    .help(help)
}

fn bare_number(
    subject: Subject<'_>,
    dimension: Dimension,
    written: &Written<'_>,
    operand: Span,
) -> Diagnostic {
    let text = &written.text[operand.clone()];
    let finding = unfit(subject, written, operand.start..operand.start);
    let good = units::parse(text, dimension).is_ok() || population(text).is_some();
    if good {
        finding.help(format!(
            "write `> {text}`, `< {text}` or another comparison"
        ))
    } else {
        finding
    }
}

fn threshold(
    subject: Subject<'_>,
    comparison: Comparison,
    dimension: Dimension,
    written: &Written<'_>,
    operand: Span,
) -> Result<Threshold, Diagnostic> {
    let text = &written.text[operand.clone()];
    let Some((times, quantile)) = population(text) else {
        return units::parse(text, dimension)
            .map(Threshold::Fixed)
            .map_err(|error| {
                let at = operand.start + error.at.start..operand.start + error.at.end;
                bad_quantity(&error, written.part(at))
            });
    };
    let fail = |complaint: String, help: String| {
        Err(Diagnostic::new(Problem::BadPopulation { complaint })
            .at(written.part(operand.clone()))
            .help(help))
    };
    if subject.scope == Scope::Server {
        return fail(
            format!(
                "`{}` compares with other targets, and there is one server only",
                word(text)
            ),
            format!(
                "write a fixed quantity, as in `> {}`",
                units::example(dimension)
            ),
        );
    }
    if matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
        return fail(
            format!(
                "`{}` is a moving mark that nothing equals but by chance",
                word(text)
            ),
            "compare it with `>`, `>=`, `<` or `<=`".to_owned(),
        );
    }
    if let Some(times) = times
        && !text.contains('x')
    {
        return fail(
            format!("`{}` lacks an `x`", word(text)),
            format!("write `{}x {}`", word(times), word(quantile)),
        );
    }
    let times = match times.map(|times| units::parse(times, Dimension::Count)) {
        None => 1.0,
        Some(Ok(times)) if times > 0.0 && times <= 1e6 => times,
        Some(_) => {
            return fail(
                format!("`{}` is not a multiple", word(text)),
                "write a number above 0, and up to 1_000_000, before the `x`: `20x median`"
                    .to_owned(),
            );
        }
    };
    if quantile.is_empty() {
        return fail(
            format!("`{}` does not say of what", word(text)),
            "multiples are of the `median` or a percentile: `20x median`, `3x p90`".to_owned(),
        );
    }
    if quantile == "median" {
        return Ok(Threshold::Population {
            times,
            quantile: 0.5,
        });
    }
    let percent = quantile
        .strip_prefix('p')
        .and_then(|digits| digits.parse::<f64>().ok());
    match percent {
        Some(percent) if (1.0..=99.9).contains(&percent) => Ok(Threshold::Population {
            times,
            quantile: percent / 100.0,
        }),
        Some(_) => fail(
            format!("`{}` is not a percentile", word(quantile)),
            "percentiles go from `p1` to `p99.9`".to_owned(),
        ),
        None => {
            let close = match quantile {
                "mean" | "avg" | "average" | "normal" => Some("did you mean `median`?".to_owned()),
                _ => did_you_mean(quantile, ["median", "p50", "p90", "p99"]),
            };
            let help = close.unwrap_or_else(|| {
                "multiples are of the `median` or a percentile: `20x median`, `3x p90`".to_owned()
            });
            fail(
                format!("`{}` is not something to take multiples of", word(quantile)),
                help,
            )
        }
    }
}

/// The multiple and the quantile, as written, if the text is about the population.
fn population(text: &str) -> Option<(Option<&str>, &str)> {
    let number = |text: &str| {
        let text = text.trim();
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || "._-".contains(c))
    };
    if let Some((times, quantile)) = text.split_once('x')
        && number(times)
    {
        return Some((Some(times.trim()), quantile.trim()));
    }
    // `20 median`: the `x` is forgotten.
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or(("", text));
    let quantile = rest.trim();
    let is_quantile = matches!(quantile, "median" | "mean" | "avg" | "average")
        || quantile.strip_prefix('p').is_some_and(number);
    match first {
        "" => is_quantile.then_some((None, quantile)),
        _ => (is_quantile && number(first)).then_some((Some(first), quantile)),
    }
}

fn version(
    subject: Subject<'_>,
    written: &Written<'_>,
    operand: Span,
) -> Result<Version, Diagnostic> {
    let text = &written.text[operand.clone()];
    if text.is_empty() {
        return Err(Diagnostic::new(Problem::WrongTest {
            field: word(subject.name),
            kind: phrase(Kind::Version),
            complaint: "there is no version to compare it with".to_owned(),
        })
        .at(written.whole())
        .help("write one, as in `< 4.5`"));
    }
    Version::parse(text).ok_or_else(|| {
        let help = match text.strip_prefix(['v', 'V']) {
            Some(bare) if Version::parse(bare).is_some() => format!("write `{bare}`"),
            _ => {
                "a version is numbers with dots, as in `4.5.8`, `4.6.0b1` or `4.6.0-rc1`".to_owned()
            }
        };
        let text = word(text);
        Diagnostic::new(Problem::BadVersion { text })
            .at(written.part(operand))
            .help(help)
    })
}

fn equals(
    subject: Subject<'_>,
    written: &Written<'_>,
    operand: Span,
    negated: bool,
) -> Result<Predicate, Diagnostic> {
    let text = &written.text[operand.clone()];
    if text.is_empty() {
        return Err(Diagnostic::new(Problem::WrongTest {
            field: word(subject.name),
            kind: phrase(Kind::Text),
            complaint: "there is no text to compare it with".to_owned(),
        })
        .at(written.whole())
        .help("write `== \"\"` for empty text"));
    }
    let text = match unquote(text) {
        Some((unquoted, "")) => unquoted,
        _ => text.to_owned(),
    };
    Ok(Predicate::Equals {
        text: text.into(),
        negated,
    })
}

/// The quoted text that `text` begins with, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut unquoted = String::new();
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            c if escaped => {
                unquoted.push(c);
                escaped = false;
            }
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some((unquoted, &text[i + 1..])),
            c => unquoted.push(c),
        }
    }
    None
}

fn pattern(written: &Written<'_>, operand: Span) -> Result<Regex, Diagnostic> {
    if operand.is_empty() {
        let complaint = "empty".to_owned();
        let help = "write one after the operator: `=~ ^electrum`; an empty one matches all";
        return Err(Diagnostic::new(Problem::BadRegex { complaint })
            .at(written.part(operand))
            .help(help));
    }
    regex(written, operand)
}

/// Compiles a part of what is written.
pub(crate) fn regex(written: &Written<'_>, operand: Span) -> Result<Regex, Diagnostic> {
    let text = &written.text[operand.clone()];
    let fail = |complaint: String, at: Span, help: Option<String>| {
        Err(Diagnostic::new(Problem::BadRegex { complaint })
            .at(written.part(at))
            .help_maybe(help))
    };
    match RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build() {
        Ok(regex) => Ok(regex),
        Err(regex::Error::Syntax(told)) => {
            let complaint = told
                .rsplit_once("error: ")
                .map_or(told.as_str(), |(_, complaint)| complaint)
                .trim()
                .to_lowercase();
            let at = caret(&told, text).map_or(operand.clone(), |caret| {
                operand.start + caret.start..operand.start + caret.end
            });
            let help = regex_help(text, &complaint);
            fail(format!("wrong: {complaint}"), at, help)
        }
        Err(_) => fail(
            "too large when compiled".to_owned(),
            operand,
            Some("make its repetitions shorter, or split it into several tests".to_owned()),
        ),
    }
}

/// Where the regex parser points, if it shows the pattern on one line.
fn caret(told: &str, pattern: &str) -> Option<Span> {
    let mut lines = told.lines().skip(1);
    let shown = lines.next()?.strip_prefix("    ")?;
    let carets = lines.next()?.strip_prefix("    ")?;
    if shown != pattern {
        return None;
    }
    let first = carets.find('^')?;
    let count = carets[first..].chars().take_while(|&c| c == '^').count();
    // Carets stand under characters, not bytes.
    let byte = |column: usize| {
        pattern
            .char_indices()
            .nth(column)
            .map_or(pattern.len(), |(i, _)| i)
    };
    Some(byte(first)..byte(first + count))
}

fn regex_help(pattern: &str, complaint: &str) -> Option<String> {
    let help = if complaint.contains("look-around") || complaint.contains("backreference") {
        "the syntax is that of the regex crate, without look-around and backreferences: use `!~` \
         to exclude"
    } else if pattern.starts_with(['*', '+', '?']) {
        "this is a regular expression, not a wildcard: write `.*` for anything"
    } else if complaint.contains("unclosed") || complaint.contains("unopened") {
        "write `\\` before a bracket that stands for itself"
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// Finds or makes the list that follows `in`.
fn search(
    written: &Written<'_>,
    operand: Span,
    face: Use,
    lists: &mut Lists,
) -> Result<super::ListId, Diagnostic> {
    let text = &written.text[operand.clone()];
    let fail = |complaint: &str, help: String| {
        let place = if operand.is_empty() {
            written.whole()
        } else {
            written.part(operand.clone())
        };
        let complaint = complaint.to_owned();
        Err(Diagnostic::new(Problem::BadList { complaint })
            .at(place)
            .help(help))
    };
    if let Some(name) = text.strip_prefix('@') {
        let place = written.part(operand.clone());
        let Some(id) = lists.find(name).or_else(|| lists.lost(&place)) else {
            let problem = Problem::UnknownList { name: word(name) };
            let names: Vec<_> = lists.names().collect();
            let help = match closest(name, names.iter().copied()) {
                Some(close) => format!("did you mean `@{close}`?"),
                None if names.is_empty() => {
                    format!("define it: `[lists]`, then `{} = [...]`", word(name))
                }
                None => "lists are defined under `[lists]`, in any file of the set".to_owned(),
            };
            return Err(Diagnostic::new(problem).at(place).help(help));
        };
        lists.used(id, face, place);
        return Ok(id);
    }
    let entries = if text.starts_with('[') {
        match array(text) {
            Some(entries) => entries,
            None => {
                return fail(
                    "the array is not closed, or a quote in it",
                    "write it as `[\"one\", \"two\"]` or `[10.0.0.0/8, 192.168.0.0/16]`".to_owned(),
                );
            }
        }
    } else if face == Use::Address && !text.is_empty() {
        if text.contains([',', ' '])
            && text
                .split([',', ' '])
                .all(|part| part.is_empty() || parse_net(part).is_some())
        {
            return fail(
                "several addresses want brackets",
                format!("write `[{}]`", word(text)),
            );
        }
        if parse_net(text).is_none() && lists.find(text).is_some() {
            return fail(
                "lists are named with `@`",
                format!("write `@{}`", word(text)),
            );
        }
        vec![(text.to_owned(), 0..text.len())]
    } else {
        let help = match text {
            "" => "write `@list`, or an array: `in [\"one\", \"two\"]`".to_owned(),
            name if lists.find(name).is_some() => format!("write `@{}`", word(name)),
            other => format!(
                "write `in [\"{}\"]`; or `== \"{}\"` to compare with the whole text",
                word(other),
                word(written.text.trim())
            ),
        };
        return fail("`in` wants a list", help);
    };
    let place = |span: &Span| written.part(operand.start + span.start..operand.start + span.end);
    let entries = entries
        .into_iter()
        .map(|(text, span)| (text, place(&span)))
        .collect();
    let id = lists.inline(entries, written.part(operand.clone()));
    lists.used(id, face, written.part(operand));
    Ok(id)
}

/// The entries of `[a, "b", 10.0.0.0/8]`, with their places in `text`.
fn array(text: &str) -> Option<Vec<(String, Span)>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut entries = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let start = text.len() - 1 - rest.len();
        let (entry, after) = if rest.starts_with(['"', '\'']) {
            unquote(rest)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim_end().to_owned(), &rest[end..])
        };
        let length = rest[..rest.len() - after.len()].trim_end().len();
        entries.push((entry, start..start + length));
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(entries)
}
