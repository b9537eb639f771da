//! What is known of the server's daemons and what the policies are about to do with that, as data.
//!
//! The agent leaves it in a file beside its journal after each poll, for whoever wants to look. It
//! decides nothing, and nothing reads it back to act on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::Address;
use crate::decision::Suppression;
use crate::engine::Standing;
use crate::history::History;
use crate::policy::Mode;
use crate::regular;
use crate::snapshot::Snapshot;
use crate::time::{Timestamp, rfc3339, seconds};
use crate::watch::{Outage, State, Watch, Watched};

/// A status is not larger; whatever is, is none.
const BYTES_MAX: u64 = 1 << 20;

/// The state of things after a poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// From one poll to the next.
    #[serde(rename = "interval_s", with = "seconds")]
    pub interval: Duration,
    /// The agent's mode.
    pub mode: Mode,
    /// What the server said.
    pub server: ServerStatus,
    /// What is wrong, if the last poll failed and the daemons tell.
    #[serde(default)]
    pub outage: Option<Outage>,
    /// The daemons of the configuration, in their order.
    pub daemons: Vec<DaemonStatus>,
    /// The policies that look at daemons or change them.
    pub policies: Vec<PolicyStatus>,
}

/// The server in the last poll that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// When that was; `None` if none has.
    #[serde(with = "rfc3339")]
    pub polled: Option<Timestamp>,
    /// As in `ElectrumX 1.20.0`.
    pub version: Option<String>,
    /// The server's class of its coin.
    pub coin: Option<String>,
    /// Host and port of the daemon in use.
    pub daemon: Option<String>,
    /// Whether that is none of the daemons of the configuration, so that nothing is known of it.
    pub is_daemon_foreign: bool,
    /// The daemon's height, as the server has it.
    pub daemon_height: Option<u64>,
    /// The index's height.
    pub db_height: Option<u64>,
    /// For how long the daemon's height has stood still.
    #[serde(rename = "daemon_stalled_s", with = "seconds")]
    pub daemon_stalled: Option<Duration>,
    /// The chance that a healthy chain stands still for so long.
    pub daemon_stall_odds: Option<f64>,
    /// What holds the blocks up.
    pub stall: Option<String>,
}

/// A daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Host and port.
    pub address: Address,
    /// Whether the server uses it, if that is known.
    pub in_use: Option<bool>,
    /// Its state in the last round.
    pub state: Option<State>,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Its height in the last round.
    pub height: Option<u64>,
    /// Blocks that it is behind the best that does well; below zero if it is ahead of it.
    pub height_gap: Option<i64>,
    /// Whether it is healthy, if that is known.
    pub is_healthy: Option<bool>,
    /// Since when it is healthy, or is not.
    #[serde(with = "rfc3339")]
    pub health_since: Option<Timestamp>,
    /// Checks in a row that speak for the opposite, and how many it takes.
    pub turning: Option<(u32, u32)>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// The weaker of its mode and the agent's.
    pub mode: Mode,
    /// What held it back at the last poll, or would if it were due.
    pub held_back: Option<Suppression>,
    /// Where a change of daemon goes, if it may.
    pub to: Option<Address>,
}

impl ServerStatus {
    fn of(history: &History, snapshot: &Snapshot) -> Self {
        let stalled = history.daemon_stalled(snapshot);
        let odds = |stalled| history.daemons().stall_odds(stalled);
        let server = snapshot.server.clone();
        Self {
            polled: Some(snapshot.at()),
            version: server.version,
            coin: server.coin,
            is_daemon_foreign: history.daemons().foreign().is_some(),
            daemon: server.daemon,
            daemon_height: server.daemon_height,
            db_height: server.db_height,
            daemon_stalled: stalled,
            daemon_stall_odds: stalled.and_then(odds),
            stall: history.stall(snapshot).map(|stall| stall.name().to_owned()),
        }
    }
}

impl DaemonStatus {
    fn of(watch: &Watch, daemon: &Watched) -> Self {
        Self {
            address: daemon.address.clone(),
            in_use: watch.in_use().map(|in_use| in_use == &*daemon.address),
            state: daemon.state.clone(),
            since: daemon.since,
            height: daemon.height(),
            height_gap: watch.shown_gap(daemon),
            is_healthy: daemon.health.up(),
            health_since: daemon.health.since(),
            turning: daemon.health.turning(watch.settings().counts),
        }
    }
}

impl Status {
    /// After a snapshot was judged.
    pub fn new(
        history: &History,
        snapshot: &Snapshot,
        mode: Mode,
        interval: Duration,
        policies: Vec<PolicyStatus>,
    ) -> Self {
        let watch = history.daemons();
        let daemons = watch.daemons().iter();
        Self {
            at: snapshot.at(),
            interval,
            mode,
            server: ServerStatus::of(history, snapshot),
            outage: None,
            daemons: daemons
                .map(|daemon| DaemonStatus::of(watch, daemon))
                .collect(),
            policies,
        }
    }

    /// After a poll that failed: of the server what it said last, if it ever said anything.
    #[must_use]
    pub fn missed(self, last: Option<ServerStatus>, outage: Option<Outage>) -> Self {
        let unknown = ServerStatus {
            polled: None,
            ..self.server
        };
        Self {
            server: last.unwrap_or(unknown),
            outage,
            ..self
        }
    }

    /// Where an agent with this journal leaves its status.
    pub fn path(journal: &Path) -> PathBuf {
        let mut path = journal.as_os_str().to_owned();
        path.push("-status");
        path.into()
    }

    /// Puts it in the place of an earlier one; nobody ever reads half of it.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut passing = path.as_os_str().to_owned();
        passing.push(".new");
        let passing = PathBuf::from(passing);
        // What lies there may be a link that somebody else has put there.
        match fs::remove_file(&passing) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&passing)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(passing, path)
    }

    /// The one that an agent left; `None` if none did.
    pub fn load(path: &Path) -> io::Result<Option<Self>> {
        // Before it is opened: opening a pipe waits for whoever writes to it.
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => regular::check(&metadata?)?,
        }
        let file = File::open(path)?;
        let read = io::Read::take(file, BYTES_MAX);
        Ok(Some(serde_json::from_reader(io::BufReader::new(read))?))
    }

    /// An agent that works leaves the next one sooner.
    pub fn late_after(&self) -> Duration {
        let interval = self.interval.saturating_mul(3);
        interval.saturating_add(Duration::from_secs(60))
    }

    /// For how long the server has not answered that once did, if the last poll failed.
    pub fn silent(&self) -> Option<Duration> {
        let silent = self.at.since(self.server.polled?);
        (self.outage.is_some() || silent > self.interval).then_some(silent)
    }

    /// Whether it is so old that the agent that wrote it must have ended.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.at) > self.late_after()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn status() -> Status {
        let history = History::new(
            crate::history::Plan::new(&[]),
            crate::history::Bounds::default(),
            crate::history::SubnetWidths::default(),
            crate::watch::Settings::default(),
        );
        let snapshot = Snapshot::default();
        let interval = Duration::from_secs(10);
        Status::new(&history, &snapshot, Mode::DryRun, interval, Vec::new())
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = Status::path(&folder.path().join("journal.sqlite"));
        let passing = folder.path().join("journal.sqlite-status.new");
        assert_eq!(Status::load(&path).unwrap(), None);
        let precious = folder.path().join("precious");
        fs::write(&precious, "as it was").unwrap();
        symlink(&precious, &passing).unwrap();
        status().save(&path).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "as it was");
        // Of an agent that was killed while it wrote, and whose file anyone may write to.
        fs::write(&passing, "half").unwrap();
        fs::set_permissions(&passing, fs::Permissions::from_mode(0o666)).unwrap();
        status().save(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7, 0, "{mode:o}");
        assert_eq!(Status::load(&path).unwrap(), Some(status()));
    }

    #[test]
    fn what_is_no_status_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite-status");
        fs::write(&path, "{}").unwrap();
        assert!(Status::load(&path).is_err());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(Status::load(&path).is_err());
        let endless = Status {
            interval: Duration::MAX,
            ..status()
        };
        assert!(!endless.is_stale(Timestamp::from_millis(i64::MAX)));
    }
}
