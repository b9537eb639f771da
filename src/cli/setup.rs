//! What a command needs before it starts, or [`Exit::Setup`].

use std::path::Path;

use super::exit::{Exit, Failure};
use super::screen::complain;
use super::show::counted;
use crate::config::{Config, Policies};
use crate::policy::{Diagnostic, PolicySet};

/// The configuration; what is wrong with it, warnings too, is told on standard error.
pub fn config(path: &Path) -> Result<Config, Failure> {
    let checked = Config::load(path);
    complain(&checked.diagnostics);
    checked
        .config
        .ok_or_else(|| faulty("the configuration has", &checked.diagnostics))
}

/// The policies; what is wrong with them, warnings too, is told on standard error.
pub fn policies(policies: &Policies) -> Result<PolicySet, Failure> {
    let checked = policies.load();
    complain(&checked.diagnostics);
    checked
        .set
        .ok_or_else(|| faulty("the policies have", &checked.diagnostics))
}

fn faulty(what: &str, diagnostics: &[Diagnostic]) -> Failure {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let errors = counted(errors, "error", "errors");
    Failure::new(Exit::Setup, format!("{what} {errors}"))
}
