//! Commands by which a person changes what the running agent does, over its control socket.

mod ban;
mod bans;
mod lift;
mod pardon;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::exit::{Exit, Failure};
use super::{setup, show};
use crate::control::{AskError, Request, ask_for, beside};
use crate::journal::{Holder, Journal};

pub(super) use ban::Args as BanArgs;
pub(super) use ban::run as ban;
pub(super) use bans::Args as BansArgs;
pub(super) use bans::run as bans;
pub(super) use lift::Args as LiftArgs;
pub(super) use lift::run as lift;
pub(super) use pardon::Args as PardonArgs;
pub(super) use pardon::run as pardon;

/// Which agent it is about.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "where", required = true, multiple = false)]
pub(super) struct Which {
    /// The agent's configuration, which names the journal and the control socket
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The agent's journal; the control socket is beside it
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
}

/// An agent, which may run or not.
#[derive(Debug)]
pub(super) struct OtherAgent {
    pub(super) journal: PathBuf,
    /// The control socket, if the configuration wants one.
    socket: Option<PathBuf>,
}

impl Which {
    pub(super) fn agent(&self) -> Result<OtherAgent, Failure> {
        match (&self.path, &self.config) {
            (Some(path), _) => Ok(OtherAgent {
                journal: path.clone(),
                socket: Some(beside(path)),
            }),
            (None, Some(config)) => {
                let config = setup::config(config)?;
                Ok(OtherAgent {
                    journal: config.journal.path,
                    socket: config.control.is_on.then_some(config.control.path),
                })
            }
            (None, None) => Err(Failure::new(Exit::Usage, "name the agent: `--config FILE`")),
        }
    }
}

impl OtherAgent {
    /// Asks it; without it nothing can be done.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        let answer = self.ask_if_there(request)?;
        answer.ok_or_else(|| Failure::new(Exit::Failed, self.why_nobody()))
    }

    /// Asks it, if it runs and listens.
    pub(super) fn ask_if_there<T: DeserializeOwned>(
        &self,
        request: &Request,
    ) -> Result<Option<T>, Failure> {
        let Some(socket) = &self.socket else {
            return Ok(None);
        };
        match ask_for(socket, request) {
            Ok(answer) => Ok(Some(answer)),
            Err(AskError::Nobody(_)) => Ok(None),
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
        }
    }

    /// Whether an agent has the journal open.
    pub(super) fn runs(&self) -> bool {
        Journal::holder(&self.journal) != Holder::Nobody
    }

    fn why_nobody(&self) -> String {
        let journal = self.journal.display();
        let Some(socket) = &self.socket else {
            return "the agent has no control socket: set `on = true` in `[control]`, and restart it"
                .to_owned();
        };
        let socket = socket.display();
        match Journal::holder(&self.journal) {
            Holder::Nobody => format!("no agent runs with the journal `{journal}`: start it first"),
            Holder::Process(Some(id)) => format!(
                "the agent (process {id}) does not listen at `{socket}`: name its configuration by \
                 `--config`, see in its log why it has no control socket, or restart it with this version"
            ),
            Holder::Process(None) | Holder::Unknown => format!(
                "nobody listens at `{socket}`: see in the agent's log why it has no control socket"
            ),
        }
    }
}

/// `1 ban`, `2 bans`.
fn counted_bans(bans: usize) -> String {
    show::counted(bans, "ban", "bans")
}
