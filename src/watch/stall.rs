//! A name for what is wrong when blocks do not come, so that nothing is done about the wrong thing.

use std::time::Duration;

use super::{State, Watch, Watched};
use crate::snapshot::Server;

/// What holds the blocks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Nothing does.
    None,
    /// Nobody has a newer block: it takes its time.
    SlowBlock,
    /// The daemon in use has stopped, or has lost its peers: others are further.
    StuckDaemon,
    /// The server's index lags a healthy daemon: another daemon would not help.
    IndexBehind,
    /// The daemon in use does well, or has no time, and the server hears too little of it.
    BusyRpc,
    /// The daemon in use is on a fork or another chain.
    WrongChain,
}

/// An index that lags by more has a problem; a block is indexed within seconds.
const LAG_MAX: u64 = 2;

/// A chain that stands still for longer than this likely is worth a name.
const ODDS_MIN: f64 = 0.01;

impl Stall {
    /// As policies test it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SlowBlock => "slow block",
            Self::StuckDaemon => "stuck daemon",
            Self::IndexBehind => "index behind",
            Self::BusyRpc => "busy rpc",
            Self::WrongChain => "wrong chain",
        }
    }

    /// Names it; `None` if the daemon in use is not known, or not yet for long enough. `stalled` is
    /// for how long the daemon's height, as the server has it, has stood still.
    pub fn of(watch: &Watch, server: &Server, stalled: Option<Duration>) -> Option<Self> {
        let daemon = watch.current()?;
        if !watch.current_health()? {
            return Some(Self::of_unhealthy(daemon.state.as_ref()?));
        }
        let height = daemon.height();
        if is_behind(server.daemon_height, height) {
            return Some(Self::BusyRpc);
        }
        if is_behind(server.db_height, server.daemon_height.max(height)) {
            return Some(Self::IndexBehind);
        }
        let odds = stalled.and_then(|stalled| watch.stall_odds(stalled));
        if odds.is_none_or(|odds| odds >= ODDS_MIN) {
            return Some(Self::None);
        }
        Some(Self::of_standing(watch, daemon))
    }

    fn of_unhealthy(state: &State) -> Self {
        match state {
            State::OtherChain | State::Fork => Self::WrongChain,
            State::Busy { .. } => Self::BusyRpc,
            // It has every block, and the server can work.
            State::Healthy | State::MissingIndex { .. } | State::Pruned => Self::None,
            _ => Self::StuckDaemon,
        }
    }

    fn of_standing(watch: &Watch, daemon: &Watched) -> Self {
        if watch.height_gap(daemon).is_some_and(|gap| gap > 0) {
            Self::StuckDaemon
        } else {
            Self::SlowBlock
        }
    }
}

fn is_behind(height: Option<u64>, best: Option<u64>) -> bool {
    height
        .zip(best)
        .is_some_and(|(height, best)| height + LAG_MAX < best)
}
