//! How a recording is to be judged: by which settings, and under which names of its clients.

use std::net::IpAddr;
use std::path::Path;

use super::exit::{Exit, Failure};
use super::screen::warn;
use super::setup;
use crate::policy::{Mode, PolicySet};
use crate::pseudonym::{Key, KeyError, Pseudonyms};
use crate::recording::Recording;
use crate::replay::Replay;
use crate::warden::Settings;

/// Settings and key for replays of one recording.
#[derive(Debug)]
pub(super) struct Judging {
    /// In place of the recorded ones.
    settings: Option<Settings>,
    key: Option<Key>,
    /// The agent's mode, as far as it can be told beforehand.
    pub(super) mode: Mode,
}

impl Judging {
    /// By the settings of the configuration `config`, or else by the recorded ones; with the key at
    /// `key` if the recording has pseudonyms.
    pub(super) fn new(
        recording: &Recording,
        config: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, Failure> {
        let settings = config.map(settings).transpose()?;
        let recorded = recording.starts().last().map(|start| start.settings.mode);
        let mode = settings.as_ref().map(|settings| settings.mode).or(recorded);
        Ok(Self {
            key: key.map(|path| matching(recording, path)).transpose()?,
            settings,
            mode: mode.unwrap_or_default().max(Mode::DryRun),
        })
    }

    /// How the recording names an address.
    pub(super) fn name(&self, address: IpAddr) -> IpAddr {
        match &self.key {
            Some(key) => Pseudonyms::new(key).address(address),
            None => address,
        }
    }

    /// A replay by these policies.
    pub(super) fn replay(&self, recording: &Recording, set: PolicySet) -> Replay {
        let settings = self.settings.clone();
        if let Some(key) = &self.key {
            return Replay::by_pseudonyms(set, settings, key);
        }
        if recording.pseudonyms().is_some() && set.names_addresses() {
            warn(
                "the addresses in this recording are pseudonyms, and policies name addresses, \
                 which they cannot find in it: give --key FILE",
            );
        }
        Replay::new(set, settings)
    }
}

fn settings(path: &Path) -> Result<Settings, Failure> {
    let config = setup::config(path)?;
    let daemons = config.server.daemon.as_ref();
    let daemons = daemons.map(setup::daemons).transpose()?;
    Ok(config.settings(daemons.as_ref(), setup::slots(&config)?))
}

/// The key, if it is that of the recording's pseudonyms.
fn matching(recording: &Recording, path: &Path) -> Result<Key, Failure> {
    let unusable = |message: String| Failure::new(Exit::Setup, message);
    let key = Key::load(path).map_err(|error: KeyError| {
        unusable(format!(
            "{error}; give the key with which the recording was made"
        ))
    })?;
    let path = path.display();
    match recording.pseudonyms() {
        Some(fingerprint) if fingerprint == key.fingerprint() => Ok(key),
        Some(fingerprint) => Err(unusable(format!(
            "`{path}` is the key {}, and the recording's pseudonyms were made by the key {fingerprint}",
            key.fingerprint()
        ))),
        None => Err(unusable(format!(
            "the recording has no pseudonyms: leave out --key {path}"
        ))),
    }
}
