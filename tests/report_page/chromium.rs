//! Chromium and its driver of the machine's own Debian, unpacked inside the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::debian::Packages;
use crate::support::{NEEDS_BROWSER, debian, place};

const BROWSER: &str = "chromium-headless-shell";

const PACKAGES: Packages = Packages {
    whole: &[BROWSER],
    // It asks for the browser with a window as well, which nobody here looks at.
    alone: &["chromium-driver"],
    // The machine's own serves, since the suite is the machine's own: a libc and its loader must be of one build, and
    // a browser starts itself again without a thought for loaders.
    left_out: &["libc6"],
};

/// Where the programs lie.
pub(crate) struct Chromium {
    root: PathBuf,
    fonts: PathBuf,
}

impl Chromium {
    /// Puts them in place, unless an earlier run has.
    pub(crate) fn unpacked() -> Self {
        let suite = debian::own_suite(&NEEDS_BROWSER);
        let root = debian::unpacked("chromium", &suite, &PACKAGES, &NEEDS_BROWSER);
        let fonts = place::made_once("fonts", &fonts(&root), |dir| {
            fs::write(dir.join("fonts.conf"), fonts(&root)).unwrap();
        });
        Self { root, fonts }
    }

    pub(crate) fn browser(&self) -> PathBuf {
        self.root.join("usr/lib/chromium").join(BROWSER)
    }

    pub(crate) fn driver(&self) -> PathBuf {
        self.root.join("usr/bin/chromedriver")
    }

    /// Makes a process and its children use the unpacked libraries and fonts.
    pub(crate) fn surround(&self, command: &mut Command) {
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let folders = ["usr/lib", "lib"].map(|lib| self.root.join(lib).join(&triplet));
        command
            .env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap())
            .env("FONTCONFIG_FILE", self.fonts.join("fonts.conf"));
    }
}

/// A configuration of fontconfig: the unpacked fonts and no others, so that pages look the same everywhere.
fn fonts(root: &Path) -> String {
    let (fonts, cache) = (
        root.join("usr/share/fonts"),
        root.join("var/cache/fontconfig"),
    );
    format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n\
         <fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>\n",
        fonts.display(),
        cache.display()
    )
}
