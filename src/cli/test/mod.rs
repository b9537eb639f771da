//! `test`: plays the tests that stand beside the policies, and shows where they differ from what is
//! decided.

mod draft;
mod json;
mod report;
mod words;

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::screen::{Format, Screen};
use super::when::{When, now};
use crate::policy::Diagnostic;
use crate::trial::{self, Loaded};
use report::{Played, Report};

/// Play the tests that stand beside the policies
///
/// A test is a few sessions over time, in a short notation, and the decisions that are expected of
/// them. It is played by the code that judges a real server; no server is needed, and nothing is
/// changed. docs/policy-tests.md tells how tests are written.
///
/// With --recording and --at a test is drafted from a moment of a recording, and not played: PATH then is
/// where the policies are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden test
  electrumx-warden test policies/errors.test.toml
  electrumx-warden test policies/errors.toml --filter flood
  electrumx-warden test --complete --format json | jq 'select(.ok == false)'
  electrumx-warden test --recording demo.rec --at '2026-01-01 00:05' --out m.test.toml")]
pub(super) struct Args {
    /// Files that end in `.test.toml`, policy files that have one beside them, and folders
    #[arg(value_name = "PATH", default_value = "policies")]
    paths: Vec<PathBuf>,

    /// Only the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Fail also if a policy has no test that it acts, or none that it does not
    #[arg(long, conflicts_with = "filter")]
    complete: bool,

    /// Draft a test from this recording
    #[arg(long, visible_alias = "from", value_name = "RECORDING", requires = "at", conflicts_with_all = ["filter", "complete", "format"])]
    recording: Vec<PathBuf>,

    /// The moment: 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", requires = "recording", value_parser = When::parse)]
    at: Option<When>,

    /// Judge the recording by mode, limits and protection of this configuration; the draft names it
    #[arg(long, value_name = "FILE", requires = "recording")]
    config: Option<PathBuf>,

    /// The key of the recording's pseudonyms, so that addresses in policies are found by theirs
    #[arg(long, value_name = "FILE", requires = "recording")]
    key: Option<PathBuf>,

    /// Write the draft to this file, which must not be there yet; without it, to standard output
    #[arg(long, alias = "to", value_name = "FILE", requires = "recording")]
    out: Option<PathBuf>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    screen.outlive_readers();
    if let Some(at) = args.at {
        return draft::draft(args, at.resolve(now()), screen);
    }
    let Loaded {
        mut trials,
        policies: named,
        mut diagnostics,
        files,
    } = trial::load(&args.paths);
    let mut policies = Vec::new();
    if args.complete && diagnostics.is_empty() {
        let checked = trial::policies(&args.paths);
        let errors = checked.diagnostics.into_iter().filter(Diagnostic::is_error);
        diagnostics.extend(errors);
        policies = checked.set.unwrap_or_default().policies;
        for policy in named {
            if policies.iter().all(|known| known.name != policy.name) {
                policies.push(policy);
            }
        }
    }
    if let Some(part) = &args.filter {
        trials.retain(|trial| trial.name.contains(&**part));
        if trials.is_empty() && diagnostics.is_empty() {
            let message = format!("no test has `{part}` in its name");
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    let played = trials.iter().map(|trial| Played {
        trial,
        result: trial.run(),
    });
    let played: Vec<Played<'_>> = played.collect();
    let results = played.iter().map(|it| (it.trial, &it.result));
    let report = Report {
        untested: trial::untested(&policies, &results),
        files,
        diagnostics,
        played,
    };
    match args.format {
        Format::Text => report.show(screen)?,
        Format::Json => report.write(screen)?,
    }
    Ok(report.exit())
}
