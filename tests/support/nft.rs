//! The real `nft`, of the releases that Debian has.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::debian::Package;

/// A release of nft.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nft {
    /// 1.0.6, of Debian 12.
    Bookworm,
    /// 1.1.3, of Debian 13.
    Trixie,
}

impl Nft {
    /// A script that is the program: one that was unpacked needs its own loader. Call it outside any namespace.
    pub(crate) fn script(self) -> String {
        let (loader, args) = self.package().program("sbin/nft");
        format!("exec {} {} \"$@\"", loader.display(), args.join(" "))
    }

    fn package(self) -> Package {
        let (suite, folder) = match self {
            Self::Bookworm => ("bookworm", "nft/1.0.6"),
            Self::Trixie => ("trixie", "nft/1.1.3"),
        };
        Package {
            name: "nftables",
            suite,
            folder,
        }
    }
}

/// Writes an executable script for `sh` into `folder`.
pub(crate) fn executable(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    // Written by another process: a file that this one has open for writing cannot be executed, and a test beside this
    // one may have inherited the handle.
    let mut tee = Command::new("tee")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("start tee");
    let mut stdin = tee.stdin.take().expect("its input");
    write!(stdin, "#!/bin/sh\n{script}\n").expect("write the script");
    drop(stdin);
    assert!(tee.wait().expect("wait for tee").success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    path
}
