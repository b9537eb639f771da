//! Advisory locks on files, by which one process at a time does something.
//!
//! The kernel drops a lock with the process, however that ends.

use std::fs::{File, TryLockError};
use std::time::Duration;

/// Tries for a moment: whoever forks has a copy of the lock until it executes another program, even if
/// the holder itself has let go of it.
pub(crate) fn try_lock(file: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
    file.try_lock()
}
