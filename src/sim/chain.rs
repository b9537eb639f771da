//! The chain, the daemons that know it, and the server's index of it.

use std::time::Duration;

use fastrand::Rng;

/// A part of the machinery whose height can stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The server's index stops; the daemon's height goes on.
    Index,
    /// The first daemon of the server's own list stops, and the index with it. Any other daemon
    /// goes on.
    Daemon,
}

/// Heights and daemons.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Average time between blocks.
    interval: Duration,
    next_block_at: Duration,
    tip: u64,
    primary_height: u64,
    index_height: u64,
    /// The `DAEMON_URL` that the server was started with.
    default_urls: String,
    urls: Vec<String>,
    stalls: Vec<(Stall, Duration, Duration)>,
}

/// Where the chain stands when a simulation begins.
const HEIGHT: u64 = 905_000;
/// The server's list of daemons. The credentials are there to be kept out of sight.
const DEFAULT_URLS: &str = "http://rpcuser:hunter2@127.0.0.1:8332/,\
                            http://rpcuser:hunter2@127.0.0.1:18332/";
const DEFAULT_PORT: u16 = 8_332;

impl Chain {
    pub(super) fn new(interval: Duration, now: Duration) -> Self {
        Self {
            interval,
            next_block_at: now + interval,
            tip: HEIGHT,
            primary_height: HEIGHT,
            index_height: HEIGHT,
            default_urls: DEFAULT_URLS.to_owned(),
            urls: sanitized(DEFAULT_URLS).unwrap_or_default(),
            stalls: Vec::new(),
        }
    }

    /// Something stands still from one time until another.
    pub(super) fn stall(&mut self, what: Stall, from: Duration, until: Duration) {
        self.stalls.push((what, from, until));
    }

    /// Stalls that begin (true) or end (false) after `before` and not after `now`.
    pub(super) fn turns(&self, before: Duration, now: Duration) -> Vec<(Stall, bool)> {
        let within = |at: Duration| before < at && at <= now;
        let begins = self.stalls.iter().filter(|(_, from, _)| within(*from));
        let ends = self.stalls.iter().filter(|(_, _, until)| within(*until));
        begins
            .map(|s| (s.0, true))
            .chain(ends.map(|s| (s.0, false)))
            .collect()
    }

    fn is_stalled(&self, what: Stall, now: Duration) -> bool {
        self.stalls
            .iter()
            .any(|(s, from, until)| *s == what && *from <= now && now < *until)
    }

    pub(super) fn step(&mut self, now: Duration, rng: &mut Rng) {
        if self.next_block_at <= now {
            self.tip += 1;
            self.next_block_at = now + self.interval.mul_f64(0.5 + rng.f64());
        }
        if !self.is_stalled(Stall::Daemon, now) {
            self.primary_height = self.tip;
        }
        if !self.is_stalled(Stall::Index, now) {
            self.index_height = self.index_height.max(self.daemon_height());
        }
    }

    pub(super) fn daemon_height(&self) -> u64 {
        if self.is_on_primary() {
            self.primary_height
        } else {
            self.tip
        }
    }

    /// Of the two daemons in the server's own list.
    pub(super) fn daemon_heights(&self) -> [u64; 2] {
        [self.primary_height, self.tip]
    }

    pub(super) fn index_height(&self) -> u64 {
        self.index_height
    }

    /// The daemon in use is the first of the server's own list.
    pub(super) fn is_on_primary(&self) -> bool {
        let primary = sanitized(&self.default_urls).unwrap_or_default();
        self.urls.first().map(|url| host_and_port(url))
            == primary.first().map(|url| host_and_port(url))
    }

    /// The daemon in use as the server shows it, `127.0.0.1:8332/`.
    pub(super) fn daemon(&self) -> &str {
        self.urls.first().map_or("", |url| host_and_port(url))
    }

    /// Goes to the first of a list; an empty one stands for the server's own. The error is the
    /// server's, and echoes the URL.
    pub(super) fn set_urls(&mut self, list: &str) -> Result<(), String> {
        let list = if list.is_empty() {
            &self.default_urls
        } else {
            list
        };
        self.urls = sanitized(list)?;
        Ok(())
    }

    /// The server starts again with the list it was first started with.
    pub(super) fn restart(&mut self) {
        self.urls = sanitized(&self.default_urls).unwrap_or_default();
    }
}

fn host_and_port(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

fn sanitized(list: &str) -> Result<Vec<String>, String> {
    list.split(',').map(sanitized_url).collect()
}

/// The server asks only for something, an `@`, and a host.
fn sanitized_url(url: &str) -> Result<String, String> {
    let url = url.trim().trim_end_matches('/');
    let host = match url.rsplit_once('@') {
        Some((credentials, host)) if !credentials.is_empty() && !host.is_empty() => host,
        _ => return Err(format!("invalid daemon URL: \"{url}\"")),
    };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let scheme = if url.starts_with("http://") || url.starts_with("https://") {
        ""
    } else {
        "http://"
    };
    let port = if has_port {
        String::new()
    } else {
        format!(":{DEFAULT_PORT}")
    };
    Ok(format!("{scheme}{url}{port}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn run(chain: &mut Chain, from: u64, until: u64) {
        let mut rng = Rng::with_seed(7);
        for s in from..until {
            chain.step(at(s), &mut rng);
        }
    }

    #[test]
    fn a_stalled_index_falls_behind_and_catches_up() {
        let mut chain = Chain::new(at(10), at(0));
        chain.stall(Stall::Index, at(100), at(200));
        run(&mut chain, 0, 100);
        assert_eq!(chain.index_height(), chain.daemon_height());
        run(&mut chain, 100, 200);
        assert!(chain.daemon_height() >= chain.index_height() + 5);
        run(&mut chain, 200, 202);
        assert_eq!(chain.index_height(), chain.daemon_height());
    }

    #[test]
    fn another_daemon_helps_a_server_whose_first_stands_still() {
        let mut chain = Chain::new(at(10), at(0));
        chain.stall(Stall::Daemon, at(0), at(1_000));
        run(&mut chain, 0, 100);
        assert_eq!(chain.daemon_height(), HEIGHT);
        chain.set_urls("u:p@127.0.0.1:18332").unwrap();
        run(&mut chain, 100, 101);
        assert!(chain.daemon_height() > HEIGHT);
        assert_eq!(chain.daemon(), "127.0.0.1:18332/");
        chain.set_urls("").unwrap();
        assert_eq!(chain.daemon(), "127.0.0.1:8332/");
    }

    #[test]
    fn a_bad_url_is_echoed_with_its_credentials() {
        let mut chain = Chain::new(at(10), at(0));
        let error = chain.set_urls("http://user:secret@").unwrap_err();
        assert_eq!(error, "invalid daemon URL: \"http://user:secret@\"");
        assert_eq!(chain.daemon(), "127.0.0.1:8332/");
    }
}
