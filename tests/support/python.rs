//! `ElectrumX` releases and `DuckDB` from `PyPI`, each in a virtual environment of its own inside the target directory.
//!
//! All versions are pinned: a new release of a library would otherwise break a server that nobody maintains.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{missing, place};

/// A release that the tests drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// kyuupichan 1.13.0: groups are time slices and dotted subnets.
    V1_13_0,
    /// spesmilo 1.16.0: groups are CIDR subnets, private addresses in none.
    V1_16_0,
    /// spesmilo 1.20.0.
    V1_20_0,
    /// spesmilo 2.0.0: `inspect_session`, other names in getinfo; wants Bitcoin Core 31 with two indexes.
    V2_0_0,
}

impl Release {
    pub(crate) const ALL: [Self; 4] = [Self::V1_13_0, Self::V1_16_0, Self::V1_20_0, Self::V2_0_0];

    /// The version as getinfo says it after `ElectrumX `.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V1_13_0 => "1.13.0",
            Self::V1_16_0 => "1.16.0",
            Self::V1_20_0 => "1.20.0",
            Self::V2_0_0 => "2.0.0",
        }
    }

    /// The folder of this release's captures in `tests/fixtures/wire`.
    pub(crate) fn capture(self) -> &'static str {
        match self {
            Self::V1_13_0 => "electrumx-1.13.0",
            Self::V1_16_0 => "electrumx-spesmilo-1.16.0",
            Self::V1_20_0 => "electrumx-spesmilo-1.20.0",
            Self::V2_0_0 => "electrumx-spesmilo-2.0.0",
        }
    }

    pub(crate) fn coin(self) -> &'static str {
        match self {
            Self::V1_13_0 | Self::V1_16_0 => "BitcoinSegwit",
            Self::V1_20_0 | Self::V2_0_0 => "Bitcoin",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::V1_13_0 => include_str!("requirements/1.13.0.txt"),
            Self::V1_16_0 => include_str!("requirements/1.16.0.txt"),
            Self::V1_20_0 => include_str!("requirements/1.20.0.txt"),
            Self::V2_0_0 => include_str!("requirements/2.0.0.txt"),
        }
    }

    /// The virtual environment that holds the release, installed by the first test that asks.
    pub(crate) fn environment(self) -> PathBuf {
        let name = format!("electrumx/{}", self.version());
        environment(&name, self.requirements())
    }
}

/// The virtual environment that holds `DuckDB`, likewise.
pub(crate) fn duckdb() -> PathBuf {
    environment("duckdb", include_str!("requirements/duckdb.txt"))
}

fn environment(name: &str, requirements: &str) -> PathBuf {
    let python = python();
    let recipe = format!("{python}\n{requirements}");
    place::made_once(name, &recipe, |dir| install(requirements, dir))
}

fn install(requirements: &str, dir: &Path) {
    run(
        Command::new("python3").args(["-m", "venv"]).arg(dir),
        "install python3-venv",
    );
    let list = dir.join("requirements.txt");
    std::fs::write(&list, requirements).expect("write the requirements");
    run(
        Command::new(dir.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "-r",
            ])
            .arg(&list),
        "give pip access to PyPI; where plyvel has no wheel, install libleveldb-dev, python3-dev and g++",
    );
}

/// What `python3` is: its path and version, which an environment is bound to.
fn python() -> String {
    let code = "import sys; assert sys.version_info >= (3, 10), sys.version; print(sys.executable, sys.version)";
    let found = Command::new("python3").args(["-c", code]).output();
    match found {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => missing(
            &format!(
                "python3 is too old or broken: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            "install Python 3.10 or newer with python3-venv",
        ),
        Err(error) => missing(
            &format!("python3: {error}"),
            "install python3 and python3-venv",
        ),
    }
}

/// Runs `command` to its end, or fails with its words and the `remedy`.
pub(crate) fn run(command: &mut Command, remedy: &str) -> String {
    let shown = format!(
        "{} {:?}",
        command.get_program().to_string_lossy(),
        command.get_args()
    );
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => missing(
            &format!(
                "`{shown}` failed with {}:\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            remedy,
        ),
        Err(error) => missing(&format!("`{shown}`: {error}"), remedy),
    }
}
