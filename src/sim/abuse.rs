//! The harm that adversaries do, in units that make sense for each attack.

use std::ops::AddAssign;
use std::time::Duration;

use super::session::Traffic;

/// What abusers did, from the beginning of their abuse on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Abuse {
    /// Bytes, received and sent.
    pub bytes: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests that went well, subscriptions included.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Subscriptions held, times the seconds for which they were.
    pub sub_seconds: f64,
    /// Seconds for which the honest found the listeners closed.
    pub shut_out_seconds: f64,
}

/// What an attack is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Harm {
    /// Bytes, received and sent.
    Bytes,
    /// Failing requests.
    Errors,
    /// Requests that went well.
    Requests,
    /// Connections.
    Connections,
    /// Subscriptions times seconds.
    SubSeconds,
    /// Seconds for which the honest found the listeners closed.
    ShutOut,
}

impl Harm {
    /// In plain words, plural.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Errors => "errors",
            Self::Requests => "requests",
            Self::Connections => "connections",
            Self::SubSeconds => "subscription seconds",
            Self::ShutOut => "seconds before closed listeners",
        }
    }
}

impl Abuse {
    pub(super) fn add(&mut self, traffic: &Traffic, subs: u64, dt: Duration) {
        self.bytes += traffic.recv_bytes + traffic.sent_bytes;
        self.errors += traffic.errors;
        self.requests += traffic.requests + traffic.subs;
        self.sub_seconds += subs as f64 * dt.as_secs_f64();
    }

    /// How much of one kind of harm.
    pub fn of(&self, harm: Harm) -> f64 {
        match harm {
            Harm::Bytes => self.bytes as f64,
            Harm::Errors => self.errors as f64,
            Harm::Requests => self.requests as f64,
            Harm::Connections => self.connections as f64,
            Harm::SubSeconds => self.sub_seconds,
            Harm::ShutOut => self.shut_out_seconds,
        }
    }
}

impl AddAssign for Abuse {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.requests += other.requests;
        self.connections += other.connections;
        self.sub_seconds += other.sub_seconds;
        self.shut_out_seconds += other.shut_out_seconds;
    }
}
