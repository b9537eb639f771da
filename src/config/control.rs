//! `[control]`: the socket by which a person changes what the running agent does.

use std::path::PathBuf;

use super::read::Section;
use super::value::{flag, path};
use super::{Control, Journal};
use crate::control::beside;

pub(super) fn read(mut section: Section<'_, '_>, journal: &Journal) -> Control {
    let is_on = section.value("on", true, flag);
    let path: PathBuf = section.value("path", beside(&journal.path), path);
    section.finish(&[("socket", "path"), ("enabled", "on"), ("paths", "path")]);
    Control { is_on, path }
}
