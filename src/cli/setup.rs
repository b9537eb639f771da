//! What a command needs before it starts, or else [`Exit::Setup`].

use std::path::Path;

use super::exit::{Exit, Failure};
use super::screen::complain;
use crate::config::Config;
use crate::policy::{Checked, PolicySet};

/// The configuration; what is wrong with it, warnings too, is told on standard error.
pub(super) fn config(path: &Path) -> Result<Config, Failure> {
    let checked = Config::load(path);
    complain(&checked.diagnostics);
    checked.config.ok_or_else(|| {
        let path = path.display();
        let message = format!("not started, for the configuration `{path}` must be mended first");
        Failure::new(Exit::Setup, message)
    })
}

/// The policies; what is wrong with them, warnings too, is told on standard error.
pub(super) fn policies(checked: Checked) -> Result<PolicySet, Failure> {
    complain(&checked.diagnostics);
    checked.set.ok_or_else(|| {
        let message = "not started, for the policies must be mended first";
        Failure::new(Exit::Setup, message)
    })
}
