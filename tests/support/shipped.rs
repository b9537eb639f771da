//! The policies that ship against abuse, as they are or made ten times as fast, for tests that last seconds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

const FILES: [&str; 5] = [
    "bandwidth",
    "client-names",
    "errors",
    "reconnecting",
    "subscriptions",
];

/// Of what a test's server and machine are to bear less. Costs are as shipped.
const LESS: [(&str, &str); 6] = [
    ("\"> 1 MiB/s\"", "\"> 10 KiB/s\""),
    ("\"> 2 MiB/s\"", "\"> 20 KiB/s\""),
    ("\"> 15_000\"", "\"> 150\""),
    ("\"> 100_000\"", "\"> 1_000\""),
    ("\"> 200_000\"", "\"> 2_000\""),
    ("\"> 400_000\"", "\"> 4_000\""),
];

/// A folder with them: windows and hold times are a tenth, as an interval of a second is of that by default; rates of
/// bytes and numbers of subscriptions are a hundredth.
pub(crate) fn hastened() -> TempDir {
    shipped_with(|text| {
        let text = LESS
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        text.lines().map(hastened_line).collect()
    })
}

/// A folder with them, each file's text changed.
pub(crate) fn shipped_with(change: impl Fn(&str) -> String) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for name in FILES {
        let name = format!("{name}.toml");
        let text = fs::read_to_string(shipped.join(&name)).expect("a policy file");
        fs::write(folder.path().join(name), change(&text)).expect("write the policies");
    }
    folder
}

/// `window` and `for` are a line each.
fn hastened_line(line: &str) -> String {
    let split = line
        .split_once('=')
        .filter(|(key, _)| matches!(key.trim(), "window" | "for"));
    match split {
        Some((key, value)) => {
            let tenth = seconds(value.trim().trim_matches('"')) / 10;
            format!("{key}= \"{}ms\"\n", tenth.as_millis())
        }
        None => format!("{line}\n"),
    }
}

/// Of `30s` or `2m`.
fn seconds(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    match unit {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(60 * number),
        _ => panic!("`{text}` is in seconds or minutes"),
    }
}
