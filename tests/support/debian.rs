//! Packages of Debian's archive, unpacked inside the target directory with all they depend on. Nothing is installed.
//!
//! apt-get fetches them from the machine's own mirror, with lists, state and cache of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::run_for;
use super::{Need, missing_for, place};

const REMEDY: &str = "use Debian with access to its archive, and install apt and dpkg";

/// What a file tree is made of.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    /// With all they depend on.
    pub(crate) whole: &'static [&'static str],
    /// Without what they depend on.
    pub(crate) alone: &'static [&'static str],
    /// Left out, though something depends on it.
    pub(crate) left_out: &'static [&'static str],
}

/// The root of the file tree `name`, made of packages of a suite.
pub(crate) fn unpacked(name: &str, suite: &str, packages: &Packages, need: &Need) -> PathBuf {
    let recipe = format!("{packages:?} of {suite}");
    let make = |dir: &Path| unpack(dir, suite, packages, need);
    place::made_once(name, &recipe, make).join("root")
}

/// The name of the machine's own suite: `bookworm`.
pub(crate) fn own_suite(need: &Need) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let named = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let Some(suite) = named else {
        missing_for(
            need,
            "/etc/os-release names no suite of Debian",
            "run these tests on a release of Debian",
        );
    };
    suite.trim_matches('"').to_owned()
}

fn unpack(dir: &Path, suite: &str, packages: &Packages, need: &Need) {
    let root = dir.join("root");
    let archives = dir.join("cache/archives");
    for folder in [
        dir.join("lists/partial"),
        archives.join("partial"),
        root.clone(),
    ] {
        fs::create_dir_all(folder).expect("make a folder");
    }
    // With an empty status file nothing counts as installed: every library is fetched, libc with its loader too.
    fs::write(dir.join("status"), "").expect("write the status file");
    let sources = sources(Path::new("/etc/apt"), suite, need);
    fs::write(dir.join("sources.list"), sources).expect("write the sources list");
    let options = [
        format!(
            "Dir::Etc::SourceList={}",
            dir.join("sources.list").display()
        ),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", dir.join("lists").display()),
        format!("Dir::State::status={}", dir.join("status").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Install-Recommends=false".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=3".to_owned(),
    ];
    let apt = |verb: &[&str], packages: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        command.args(verb).args(packages).current_dir(&archives);
        run_for(need, &mut command, REMEDY);
    };
    apt(&["update"], &[]);
    apt(&["-y", "--download-only", "install"], packages.whole);
    if !packages.alone.is_empty() {
        apt(&["download"], packages.alone);
    }
    for entry in fs::read_dir(&archives).expect("fetched packages").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_left_out = packages
            .left_out
            .iter()
            .any(|package| name.starts_with(&format!("{package}_")));
        if name.ends_with(".deb") && !is_left_out {
            let mut command = Command::new("dpkg-deb");
            run_for(need, command.arg("-x").args([&path, &root]), REMEDY);
        }
    }
    for spent in ["lists", "cache"] {
        fs::remove_dir_all(dir.join(spent)).expect("remove what is spent");
    }
}

/// A sources list for a suite on the mirror and with the key of this machine's own Debian.
fn sources(etc_apt: &Path, suite: &str, need: &Need) -> String {
    let mut files = vec![etc_apt.join("sources.list")];
    files.extend(
        fs::read_dir(etc_apt.join("sources.list.d"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path()),
    );
    files.sort();
    let texts = files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let Some(Mirror { uri, signed_by }) = texts.flat_map(|text| mirrors(&text)).next() else {
        missing_for(
            need,
            "no Debian mirror in apt's sources, from which packages would be fetched",
            "run these tests on Debian, or add its `main` component to the sources",
        );
    };
    let key = signed_by
        .map(|key| format!("[signed-by={key}] "))
        .unwrap_or_default();
    format!("deb {key}{uri} {suite} main\n")
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) uri: String,
    pub(crate) signed_by: Option<String>,
}

/// The Debian mirrors that a file of apt sources names, in either of its two formats.
pub(crate) fn mirrors(text: &str) -> Vec<Mirror> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let text = lines.join(
        "
",
    );
    let one_line = text.lines().filter_map(one_line);
    let stanzas = text.split("\n\n").filter_map(stanza);
    one_line.chain(stanzas).collect()
}

fn one_line(line: &str) -> Option<Mirror> {
    let mut rest = line.strip_prefix("deb ")?.trim_start();
    let mut signed_by = None;
    if let Some((options, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        rest = after;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [uri, suite, components @ ..] = words.as_slice() else {
        return None;
    };
    debian(uri, suite, components).then(|| Mirror {
        uri: (*uri).to_owned(),
        signed_by,
    })
}

fn stanza(stanza: &str) -> Option<Mirror> {
    let field = |name: &str| {
        let lines = stanza.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    };
    let uri = field("URIs")?.split_whitespace().next()?;
    let suite = field("Suites")?.split_whitespace().next()?;
    let components: Vec<&str> = field("Components")?.split_whitespace().collect();
    let signed_by = field("Signed-By")
        .filter(|key| key.starts_with('/'))
        .map(str::to_owned);
    debian(uri, suite, &components).then(|| Mirror {
        uri: uri.to_owned(),
        signed_by,
    })
}

/// Whether a source is Debian's own archive, neither its security updates nor somebody else's packages.
fn debian(uri: &str, suite: &str, components: &[&str]) -> bool {
    uri.trim_end_matches('/').ends_with("/debian")
        && !suite.ends_with("-security")
        && components.contains(&"main")
}
