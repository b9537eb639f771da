//! TCP ports that no other test takes while one holds them.
//!
//! They lie below the ephemeral range, so no outgoing connection is given one by chance, and a file lock keeps
//! parallel test processes apart. A foreign program on such a port is stepped over.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use super::place;

const FIRST: u16 = 18_500;
const COUNT: u16 = 12_000;

/// A port that is this test's until the value is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let dir = place::root().join("ports");
        fs::create_dir_all(&dir).expect("make the folder of port locks");
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below the count");
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start + step % COUNT) % COUNT;
            let lock = File::create(dir.join(number.to_string())).expect("make a port lock");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT);
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}
