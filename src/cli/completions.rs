//! `completions`: a script that completes this command line in a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::screen::Screen;

/// Print a script that completes this command line in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden completions bash > /etc/bash_completion.d/electrumx-warden
  electrumx-warden completions fish > ~/.config/fish/completions/electrumx-warden.fish
  electrumx-warden completions zsh  > ~/.zfunc/_electrumx-warden")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut command = super::Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    screen.text(String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
