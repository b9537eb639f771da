//! The binary itself, each case in a fresh folder: what it prints, and how it ends.

mod bans;
mod baseline;
mod breaker;
mod check;
mod daemons;
mod explain;
mod export;
mod fields;
mod frame;
mod journal;
mod pipe;
mod replay;
mod setup;
mod test;

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A fresh folder, in which the binary runs without a terminal.
struct Folder(TempDir);

/// What a run printed, and how it ended.
struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The command, with nothing of the surroundings that changes what it prints.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_electrumx-warden"));
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null());
        for variable in [
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "COLUMNS",
            "ELECTRUMX_WARDEN_LOG",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.ran(&mut self.command(args))
    }

    fn ran(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        let text = |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(
                self.path().canonicalize().unwrap().to_str().unwrap(),
                "FOLDER",
            )
        };
        Ran {
            out: text(output.stdout),
            err: text(output.stderr),
            code: output.status.code().expect("it ends by itself"),
        }
    }
}

impl Ran {
    /// All of it, for a snapshot.
    fn told(&self) -> String {
        let Self { out, err, code } = self;
        format!("exit {code}\n--- stdout\n{out}--- stderr\n{err}")
    }

    /// The lines of JSON.
    fn json(&self) -> Vec<serde_json::Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Several runs, for one snapshot.
fn told(folder: &Folder, runs: &[&[&str]]) -> String {
    let told = runs.iter().map(|args| {
        let ran = folder.run(args);
        let line = args.join(" ").replace('\u{1b}', "\\e");
        format!("$ electrumx-warden {line}\n{}", ran.told())
    });
    told.collect::<Vec<_>>().join("\n")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
