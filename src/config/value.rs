//! Readers of single values: kind, unit and bounds.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use toml::de::DeValue;

use crate::field::Dimension;
use crate::limits::Budget;
use crate::policy::reading::{
    Findings, Node, Table, Written, bad_entry, bad_quantity, canonical, closest, duration,
    host_bits, listed, out_of_bounds, parse_net, quota, regex, strict_quota, unknown_word, word,
};
use crate::policy::{AddressSet, Diagnostic, Quota};
use crate::units;

/// What a reader makes of the value of a key.
pub(crate) type Read<T> = Result<T, Diagnostic>;

/// As many actions may be saved up at most.
const BURST: RangeInclusive<u64> = 1..=1_000_000;

/// A duration within bounds.
pub(crate) fn time(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(Node<'_>, &'static str) -> Read<Duration> {
    move |node, key| duration(node, key, &bounds)
}

/// A size in bytes within bounds.
pub(crate) fn size(bounds: RangeInclusive<u64>) -> impl Fn(Node<'_>, &'static str) -> Read<u64> {
    move |node, key| {
        let written = quantity(node, key, Dimension::Size, "64 MiB")?;
        let bytes = parse(&written, Dimension::Size)?;
        let [min, max] = [bounds.start(), bounds.end()].map(|&bound| bound as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the bounds, which are whole numbers of 64 bits"
        )]
        if (min..=max).contains(&bytes) {
            Ok(bytes as u64)
        } else {
            let [min, max] = [min, max].map(|bound| units::format(bound, Dimension::Size));
            let help = format!("it is from {min} to {max}");
            Err(out_of_bounds(key, written.text, written.whole(), help))
        }
    }
}

/// A share, from above 0 to 100%.
pub(crate) fn share(node: Node<'_>, key: &'static str) -> Read<f64> {
    let written = quantity(node, key, Dimension::Share, "25%")?;
    let share = parse(&written, Dimension::Share)?;
    if share > 0.0 && share <= 1.0 {
        return Ok(share);
    }
    let help = "it is above 0% and at most 100%".to_owned();
    Err(out_of_bounds(key, written.text, written.whole(), help))
}

/// A whole number within bounds.
pub(crate) fn count(bounds: RangeInclusive<u64>) -> impl Fn(Node<'_>, &'static str) -> Read<u64> {
    move |node, key| {
        let DeValue::Integer(number) = node.get() else {
            let finding = node.wrong_type(&format!("`{key}`"), "an integer");
            return Err(finding.help("write it without quotes, unit and fraction: `1_000`"));
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                let help = {
                    let [min, max] = [bounds.start(), bounds.end()]
                        .map(|&bound| units::format(bound as f64, Dimension::Count));
                    format!("it is from {min} to {max}")
                };
                out_of_bounds(key, number.as_str(), node.place(), help)
            })
    }
}

/// `true` or `false`.
pub(crate) fn flag(node: Node<'_>, key: &'static str) -> Read<bool> {
    let DeValue::Boolean(flag) = node.get() else {
        let finding = node.wrong_type(&format!("`{key}`"), "a boolean");
        return Err(finding.help("write `true` or `false`, without quotes"));
    };
    Ok(*flag)
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(Node<'_>, &'static str) -> Read<T> {
    move |node, key| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let all = format!("write one of {}", listed(&names));
        let written = node.string(key, &all)?;
        let chosen = choices.iter().find(|(name, _)| *name == written.text);
        chosen.map(|&(_, value)| value).ok_or_else(|| {
            let longer = names.iter().find(|name| written.text.starts_with(**name));
            let close = longer.copied().or_else(|| closest(written.text, names));
            let help = close.map_or(all, |close| format!("did you mean `{close}`?"));
            unknown_word(key, written.text, written.whole()).help(help)
        })
    }
}

/// `HOST:PORT`.
pub(crate) fn endpoint(node: Node<'_>, key: &'static str) -> Read<String> {
    const FORM: &str = "write host and port: `127.0.0.1:8000`, `[::1]:8000`";
    let written = node.string(key, FORM)?;
    let text = written.text;
    let Some(complaint) = endpoint_complaint(text) else {
        return Ok(text.to_owned());
    };
    let bare = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '@']).next().unwrap_or_default();
    let bracketed = bare
        .parse::<std::net::Ipv6Addr>()
        .map_or_else(|_| bare.to_owned(), |v6| format!("[{v6}]"));
    let likely = [bare.to_owned(), format!("{bracketed}:8000")]
        .into_iter()
        .find(|likely| endpoint_complaint(likely).is_none());
    let help = match likely {
        Some(likely) => format!("did you mean `{}`?", word(&likely)),
        None => FORM.to_owned(),
    };
    Err(
        Diagnostic::complaint(format!("`{}` {complaint}", word(text)))
            .at(written.whole())
            .help(help),
    )
}

fn endpoint_complaint(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("has neither host nor port");
    }
    let is_host = text.ends_with(']') || text.parse::<std::net::Ipv6Addr>().is_ok();
    let Some((host, port)) = text.rsplit_once(':').filter(|_| !is_host) else {
        return Some("has no port");
    };
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.contains("://") {
        Some("is a URL, not a host and port")
    } else if !is_v6 && (host.is_empty() || !host.chars().all(is_host_char)) {
        Some("has no valid host")
    } else if port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+') {
        None
    } else {
        Some("has no port from 1 to 65535")
    }
}

/// A name that people give, and that programs show.
pub(super) fn name_of(node: Node<'_>, key: &'static str) -> Read<String> {
    const CHARS_MAX: usize = 64;
    let written = node.string(key, "write a name in quotes")?;
    let text = written.text;
    if (1..=CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let complaint = format!("`{key}` is no name");
    let help = format!("give 1 to {CHARS_MAX} characters that can be printed");
    Err(Diagnostic::complaint(complaint)
        .at(written.whole())
        .help(help))
}

/// A path, relative to the folder of the file.
pub(crate) fn path(node: Node<'_>, key: &'static str) -> Read<PathBuf> {
    let written = node.string(key, "write a path in quotes")?;
    if written.text.is_empty() || written.text.contains('\0') {
        let finding = Diagnostic::complaint(format!("`{key}` is not a path"));
        return Err(finding.at(written.whole()).help("write a path in quotes"));
    }
    Ok(node.text.path(written.text))
}

/// The strings of an array, each read by `read`; what is wrong with one does not hide the next.
pub(crate) fn each<T>(
    node: Node<'_>,
    key: &'static str,
    example: &'static str,
    findings: &mut Findings,
    mut read: impl FnMut(Written<'_>, Node<'_>, &mut Findings) -> Read<T>,
) -> Vec<T> {
    let DeValue::Array(array) = node.get() else {
        let finding = node.wrong_type(&format!("`{key}`"), "an array of strings");
        findings.push(finding.help(format!("write `[{example}]`")));
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| {
            let node = node.with(value);
            let Some(written) = node.as_written() else {
                findings.push(node.wrong_type(&format!("an entry of `{key}`"), "a string"));
                return None;
            };
            let read = read(written, node, findings);
            findings.accept(read)
        })
        .collect()
}

/// Addresses and subnets.
pub(crate) fn addresses(node: Node<'_>, key: &'static str, findings: &mut Findings) -> AddressSet {
    let nets = each(
        node,
        key,
        "\"10.0.0.0/8\"",
        findings,
        |written, _, found| {
            let text = written.text;
            let net = parse_net(text).ok_or_else(|| bad_entry(text, written.whole()))?;
            let whole = canonical(net);
            if whole.addr() != net.addr().to_canonical() {
                found.push(host_bits(text, whole, written.whole()));
            }
            Ok(whole)
        },
    );
    nets.into_iter().collect()
}

/// Patterns of client names.
pub(crate) fn patterns(node: Node<'_>, key: &'static str, findings: &mut Findings) -> Vec<Regex> {
    each(node, key, "\"^my-monitor/\"", findings, |written, _, _| {
        if written.text.is_empty() {
            let finding = Diagnostic::complaint("an empty pattern protects every client".into());
            let help = "remove it; `mode = \"dry-run\"` keeps the agent from acting";
            return Err(finding.at(written.whole()).help(help));
        }
        // As in policies. It would be a good pattern that matches nobody, and protects nobody.
        if let Some(sign) = ["=~", "!~"]
            .iter()
            .find(|sign| written.text.starts_with(**sign))
        {
            let finding = Diagnostic::complaint(format!("`{sign}` is no part of a pattern"));
            let help = "leave it out: here the whole text is the pattern";
            return Err(finding.at(written.whole()).help(help));
        }
        regex(&written, 0..written.text.len())
    })
}

/// `{ rate = "300/min", burst = 500 }`; what is left out stays as it is by default.
pub(crate) fn budget(
    node: Node<'_>,
    key: &'static str,
    default: Budget,
    findings: &mut Findings,
) -> Budget {
    let table = Table::of(node, key, "a limit").map_err(|finding| finding.help(budget_form(node)));
    let Some(mut table) = findings.accept(table) else {
        return default;
    };
    let mut budget = default;
    if let Some(entry) = table.take("rate")
        && let Some(rate) = findings.accept(quota(entry.node, "rate"))
    {
        budget.rate = rate;
    }
    if let Some(entry) = table.take("burst")
        && let Some(burst) = findings.accept(count(BURST)(entry.node, "burst"))
    {
        budget.burst = u32::try_from(burst).unwrap_or(u32::MAX);
    }
    table.finish(&[("limit", "rate"), ("max", "burst")], findings);
    budget
}

/// How to write a budget: as large as the rate that stands there instead, and as much at once.
fn budget_form(node: Node<'_>) -> String {
    let written = match node.get() {
        DeValue::Integer(number) => Some(format!("{}/min", number.as_str())),
        _ => node.as_written().map(|written| written.text.to_owned()),
    };
    let count = |rate: &str| rate.split('/').next()?.trim().parse::<u32>().ok();
    let written = written.filter(|rate| units::parse(rate, Dimension::Rate).is_ok());
    let (rate, burst) = written
        .and_then(|rate| count(&rate).map(|count| (rate, count)))
        .unwrap_or_else(|| ("30/min".to_owned(), 30));
    format!(
        "write `{{ rate = \"{rate}\", burst = {burst} }}`; a burst is how many may come at once"
    )
}

/// `"3/d"`, strictly.
pub(crate) fn strict(node: Node<'_>, key: &'static str) -> Read<Quota> {
    let help = "write `\"3/d\"`, without a burst: within any such time never more";
    if let DeValue::Table(_) = node.get() {
        return Err(node.wrong_type(&format!("`{key}`"), "a string").help(help));
    }
    strict_quota(node, key)
}

/// The text that a quantity must be. For a bare number the help is that number with its unit.
fn quantity<'t>(
    node: Node<'t>,
    key: &str,
    dimension: Dimension,
    example: &str,
) -> Read<Written<'t>> {
    let number = match node.get() {
        DeValue::Integer(number) => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => "",
    };
    let quoted = |unit| format!("`\"{}{unit}\"`", word(number));
    let help = match (dimension, number.parse::<f64>()) {
        (Dimension::Share, Ok(part)) if part <= 1.0 => format!(
            "write {} if `{}` is a part of 1, or {}",
            format_args!("`\"{}\"`", units::format(part, dimension)),
            word(number),
            quoted("%"),
        ),
        (_, Ok(_)) => format!(
            "write {}, with its unit",
            quoted(units::default_unit(dimension))
        ),
        _ => format!("write it in quotes, with its unit: `\"{example}\"`"),
    };
    node.string(key, &help)
}

fn parse(written: &Written<'_>, dimension: Dimension) -> Read<f64> {
    units::parse(written.text, dimension)
        .map_err(|error| bad_quantity(&error, written.part(error.at.clone())))
}
