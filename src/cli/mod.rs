//! The command line: one file a subcommand.
//!
//! Subcommands hold no rules of their own. They call the library, show what it says, and end with
//! an [`Exit`] code.

mod baseline;
mod breaker;
mod by_hand;
mod check;
mod completions;
mod daemons;
mod demo;
mod demo_attack;
mod exit;
mod explain;
mod export;
mod fields;
mod journal;
mod json;
mod judging;
pub mod logging;
mod once;
mod playing;
mod progress;
mod record;
mod relief;
mod replay;
mod report;
mod run;
mod runtime;
mod sample;
mod screen;
mod setup;
pub mod show;
mod test;
mod value;
mod when;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};
use screen::Screen;

const ABOUT: &str = "Watch a running ElectrumX through its LocalRPC, and act on abusive sessions by \
                     policies; changes nothing unless told to enforce";

/// The whole of the command line.
#[derive(Debug, Parser)]
#[command(
    name = "electrumx-warden",
    version,
    about = ABOUT,
    long_about = None,
    after_help = exit::help(),
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// In the order in which one meets them.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Once(once::Args),
    Run(run::Args),
    Record(record::Args),
    Replay(replay::Args),
    Baseline(baseline::Args),
    Check(check::Args),
    Test(test::Args),
    Daemons(daemons::Args),
    Journal(journal::Args),
    Bans(by_hand::BansArgs),
    Ban(by_hand::BanArgs),
    Unban(by_hand::LiftArgs),
    Pardon(by_hand::PardonArgs),
    Breaker(breaker::Args),
    Explain(explain::Args),
    Export(export::Args),
    Fields(fields::Args),
    Completions(completions::Args),
}

impl Command {
    fn run(&self, screen: &mut Screen) -> Result<Exit, Failure> {
        match self {
            Self::Demo(args) => demo::run(args, screen),
            Self::Once(args) => once::run(args, screen),
            Self::Run(args) => run::run(args),
            Self::Record(args) => record::run(args, screen),
            Self::Replay(args) => replay::run(args, screen),
            Self::Baseline(args) => baseline::run(args, screen),
            Self::Check(args) => check::run(args, screen),
            Self::Test(args) => test::run(args, screen),
            Self::Daemons(args) => daemons::run(args, screen),
            Self::Journal(args) => journal::run(args, screen),
            Self::Bans(args) => by_hand::bans(args, screen),
            Self::Ban(args) => by_hand::ban(args, screen),
            Self::Unban(args) => by_hand::lift(args, screen),
            Self::Pardon(args) => by_hand::pardon(args, screen),
            Self::Breaker(args) => breaker::run(args, screen),
            Self::Explain(args) => explain::run(args, screen),
            Self::Export(args) => export::run(args, screen),
            Self::Fields(args) => fields::run(args, screen),
            Self::Completions(args) => completions::run(args, screen),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            screen::usage(&error);
            return Exit::Usage.into();
        }
        Err(help) => help.exit(),
    };
    let ended = cli.command.run(&mut Screen::stdout());
    ended.unwrap_or_else(Failure::tell).into()
}
