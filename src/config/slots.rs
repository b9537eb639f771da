//! `sessions_max` of `[server]`: how many slots the server has.

use std::path::PathBuf;

use toml::de::DeValue;

use super::value::{count, path};
use crate::policy::reading::{Findings, Node, Table};
use crate::slots::Slots;

/// No machine serves more.
const MOST: u64 = 10_000_000;

const FORM: &str = "write what the server has as `MAX_SESSIONS`, such as `1_000`, or where that stands: \
                    `{ electrumx = \"/etc/electrumx.conf\" }`";

/// How many slots the server has, or where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsMax {
    /// So many.
    Number(u32),
    /// `ElectrumX`'s own environment, a file or a folder: its `MAX_SESSIONS`, or what the server takes
    /// where that is not set.
    Electrumx(PathBuf),
}

impl SessionsMax {
    /// What the configuration itself says.
    pub const fn stated(&self) -> Option<Slots> {
        match self {
            Self::Number(number) => Some(Slots::new(*number)),
            Self::Electrumx(_) => None,
        }
    }
}

pub(super) fn read(node: Node<'_>, findings: &mut Findings) -> Option<SessionsMax> {
    const KEY: &str = "sessions_max";
    match node.get() {
        DeValue::Integer(_) => {
            let number = findings.accept(count(1..=MOST)(node, KEY))?;
            u32::try_from(number).ok().map(SessionsMax::Number)
        }
        DeValue::Table(_) => {
            let mut table = findings.accept(Table::of(node, KEY, "`sessions_max`"))?;
            let place = table.require("electrumx", FORM);
            let synonyms = ["file", "path", "environment", "env"].map(|word| (word, "electrumx"));
            table.finish(&synonyms, findings);
            let place = findings.accept(path(place?.node, "electrumx"))?;
            Some(SessionsMax::Electrumx(place))
        }
        _ => {
            let finding = node.wrong_type("`sessions_max`", "an integer or a table");
            findings.push(finding.help(FORM));
            None
        }
    }
}
