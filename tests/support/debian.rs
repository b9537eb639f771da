//! Packages of any suite of Debian, unpacked below the target directory and started through their own dynamic loader.
//!
//! They come from the archive that the machine's own apt uses, with lists, state and cache of their own. Nothing is
//! installed, and no library of the machine is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::run;
use super::{missing, place};

/// A package, with all that it depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) suite: &'static str,
    /// Where it is put, below [`place::root`].
    pub(crate) folder: &'static str,
}

impl Package {
    /// The loader and the arguments that make it run one of the package's programs, given by its path below `/usr`.
    pub(crate) fn program(&self, path: &str) -> (PathBuf, Vec<String>) {
        let root = self.root();
        let folders = libraries(&root);
        let loader = folders
            .iter()
            .find_map(|dir| loader(dir))
            .expect("the unpacked loader");
        let folders: Vec<_> = folders.iter().map(|dir| dir.to_string_lossy()).collect();
        let program = root.join("usr").join(path);
        let args = vec![
            "--library-path".to_owned(),
            folders.join(":"),
            program.to_string_lossy().into_owned(),
        ];
        (loader, args)
    }

    /// A file or folder of the package, given by its path below `/usr`.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root().join("usr").join(path)
    }

    /// Where it is unpacked.
    fn root(&self) -> PathBuf {
        let recipe = format!("{} of {}", self.name, self.suite);
        place::made_once(self.folder, &recipe, |dir| self.unpack(dir)).join("root")
    }

    /// Fetches it, and unpacks it to `dir/root`.
    fn unpack(&self, dir: &Path) {
        const REMEDY: &str = "use Debian with access to its archive, and install apt and dpkg";
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
        fs::write(
            dir.join("sources.list"),
            self.sources(Path::new("/etc/apt")),
        )
        .expect("write the sources list");
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
        let apt = |verb: &[&str]| {
            let mut command = Command::new("apt-get");
            for option in &options {
                command.args(["-o", option]);
            }
            run(command.args(verb), REMEDY);
        };
        apt(&["update"]);
        apt(&["-y", "--download-only", "install", self.name]);
        for entry in fs::read_dir(&archives).expect("fetched packages").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                run(
                    Command::new("dpkg-deb").arg("-x").args([&path, &root]),
                    REMEDY,
                );
            }
        }
        for spent in ["lists", "cache"] {
            fs::remove_dir_all(dir.join(spent)).expect("remove what is spent");
        }
    }

    /// A sources list for the suite on the mirror and with the key of this machine's own Debian.
    fn sources(&self, etc_apt: &Path) -> String {
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
            missing(
                &format!(
                    "no Debian mirror in apt's sources, from which {} would be fetched",
                    self.name
                ),
                "run these tests on Debian, or add its `main` component to the sources",
            );
        };
        let key = signed_by
            .map(|key| format!("[signed-by={key}] "))
            .unwrap_or_default();
        format!("deb {key}{uri} {} main\n", self.suite)
    }
}

/// The folders of the unpacked libraries; older suites have libc's apart.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let parents = ["lib", "usr/lib"].map(|folder| root.join(folder));
    let folders = parents
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok());
    let folders = folders.flatten().flatten().map(|entry| entry.path());
    folders
        .filter(|dir| dir.to_string_lossy().contains("-linux-gnu"))
        .collect()
}

fn loader(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
            && path.is_file()
    })
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
