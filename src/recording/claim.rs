//! One recorder at a time writes into a folder: a lock on the folder itself, which leaves nothing
//! behind. Readers take none.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::RecordingError;
use crate::lock::try_lock;

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _folder: File,
}

impl Claim {
    /// Where the file system knows no such locks, nobody is kept out.
    pub(super) fn on(path: &Path) -> Result<Self, RecordingError> {
        let folder = File::open(path).map_err(RecordingError::io(path, "read"))?;
        match try_lock(&folder) {
            Err(TryLockError::WouldBlock) => Err(RecordingError::InUse {
                path: path.to_owned(),
                holder: holder(&folder),
            }),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _folder: folder }),
        }
    }
}

/// The process that holds the lock, where the system tells.
fn holder(folder: &File) -> Option<u32> {
    let inode = folder.metadata().ok()?.ino();
    among(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// As in `1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF`. Another file system may have a file of that
/// number: of two nobody knows.
fn among(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    let mut holders = locks.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else {
            return None;
        };
        (file.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())
    });
    let holder = holders.next()??;
    holders.next().is_none().then_some(holder)
}

#[cfg(test)]
mod tests {
    use super::among;

    #[test]
    fn the_holder_is_told_if_there_is_no_doubt() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:01:70 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 fe:01:70 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 fe:01:70 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  14 fe:01:70 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 15 fe:01:71 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 16 00:2c:71 0 EOF\n";
        assert_eq!(among(locks, 70), Some(12));
        assert_eq!(among(locks, 71), None);
        assert_eq!(among(locks, 7), None);
    }
}
