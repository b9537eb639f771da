//! Waiting for what another process does. Real servers keep real time, so these waits poll; each has its deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Asks every 20 ms until `ready` gives a value; panics with `what` after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
