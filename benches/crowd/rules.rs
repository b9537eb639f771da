//! As many policies as asked for: patterns, address lists, rates over several windows, and
//! multiples of the population.

use std::fmt::Write as _;
use std::io;

use electrumx_warden::policy::{PolicySet, Source, check};

const WINDOWS: [&str; 4] = ["30s", "1m", "2m", "5m"];

/// Patterns that a list of texts could not replace.
pub(crate) const PATTERNS: [&str; 5] = [
    r"(?i)^(all_seeing|crawler\\b|spider\\b)",
    r"^electrum/4\\.[0-3]\\.[0-9]+$",
    r"(?i)(scan|probe|monitor)",
    r"[\\x00-\\x1f<>]",
    r"^Sparrow 2\\.(1|2|5)",
];

/// The first is of all kinds at once; of the others each kind has its turn.
pub(crate) fn policies(count: usize) -> PolicySet {
    let mut toml = lists();
    for i in 0..count {
        let action = if i % 10 == 9 { "alert" } else { "disconnect" };
        writeln!(toml, "[[policy]]\nname = \"p{i}\"\naction = \"{action}\"").expect("text");
        let window = WINDOWS[i / 10 % WINDOWS.len()];
        writeln!(toml, "window = \"{window}\"\nfor = \"20s\"").expect("text");
        toml.push_str(&conditions(i));
    }
    let name = "bench.toml".to_owned();
    let checked = check(vec![Source { name, text: toml }], &mut |_| {
        Err(io::ErrorKind::NotFound.into())
    });
    let diagnostics = checked.diagnostics;
    checked.set.unwrap_or_else(|| {
        let errors = diagnostics.iter().filter(|d| d.is_error());
        let errors: Vec<_> = errors.map(ToString::to_string).collect();
        panic!("{}", errors.join("\n"))
    })
}

fn lists() -> String {
    let mut toml = "[lists]\n".to_owned();
    for list in 0..5 {
        let nets: Vec<_> = (0..200)
            .map(|i| format!("\"{}.{}.{}.0/22\"", 11 + list, i, 4 * list))
            .collect();
        writeln!(toml, "nets{list} = [{}]", nets.join(", ")).expect("text");
    }
    toml
}

fn conditions(i: usize) -> String {
    let (list, step) = (i / 10 % 5, 1 + i / 10);
    let pattern = PATTERNS[(i + i / 10) % PATTERNS.len()];
    let unless = format!("unless = {{ address = \"in @nets{list}\" }}\n");
    match i % 10 {
        0 => format!(
            "scope = \"session\"\n{unless}when = {{ client = \"!~ {pattern}\", address = \"not in \
             @nets{list}\", sent_rate = \"> {step}0 kB/s\", subs = \"> 20x median\" }}\n"
        ),
        1 => format!(
            "scope = \"session\"\nwhen = {{ client = \"=~ {pattern}\", protocol = \"0.9\", age = \"> {step}m\" }}\n"
        ),
        2 => format!(
            "scope = \"subnet\"\n{unless}when = {{ sent_rate = \"> {step} MiB/s\", sent_share = \"> \
             20%\" }}\n"
        ),
        3 => format!(
            "scope = \"session\"\nwhen = {{ cost_rate = [\"> {step}00/s\", \"> 20x p90\"] }}\n"
        ),
        4 => format!(
            "scope = \"address\"\n{unless}when = {{ new_sessions = \"> {step}0\", gone_sessions = \
             \"> 10\" }}\n"
        ),
        5 => format!(
            "scope = \"session\"\nwhen = {{ address = \"in @nets{list}\", age = \"> {step}m\" }}\n"
        ),
        6 => format!(
            "scope = \"client\"\nwhen = {{ client = \"=~ {pattern}\", sessions_share = \"> 90%\", \
             recv_rate = \"> {step} MiB/s\" }}\n"
        ),
        7 => format!(
            "scope = \"subnet\"\nwhen = {{ new_sessions = [\"> {step}00\", \"> 20x median\"], \
             addresses = \"< 25\" }}\n"
        ),
        8 => format!(
            "scope = \"session\"\nwhen = [{{ subs = [\"> {step}0_000\", \"> {step}x p99\"] }}, {{ \
             pending_requests = \"> {step}00\" }}]\n"
        ),
        _ => format!("scope = \"server\"\nwhen = {{ sent_rate = \"> {step} GiB/s\" }}\n"),
    }
}
