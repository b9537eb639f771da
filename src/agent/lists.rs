//! List files that are read again when they change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::policy::reading::unreadable;
use crate::policy::{ListId, PolicySet, read_list};

/// Of the mistakes in a list file so many are told.
const MISTAKES_MAX: usize = 5;

/// All list files.
pub(super) struct WatchedLists(Vec<WatchedList>);

/// A list file as it was when it was read last.
struct WatchedList {
    id: ListId,
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// What changes when a file does, in one way or another: some file systems tell times to the second
/// only, and some programs set them back. Times are seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl WatchedLists {
    /// As they are now, read a moment ago.
    pub(super) fn of(policies: &PolicySet) -> Self {
        let files = policies.list_files().iter();
        let lists = files.map(|file| WatchedList {
            id: file.id,
            path: file.path.clone(),
            stamp: Stamp::of(&file.path),
        });
        Self(lists.collect())
    }

    /// Reads those again that have changed. A list that cannot be read stays as it was.
    pub(super) fn reload(&mut self, policies: &mut PolicySet) {
        for list in &mut self.0 {
            let stamp = Stamp::of(&list.path);
            if stamp == list.stamp {
                continue;
            }
            list.stamp = stamp;
            let path = list.path.display();
            let read = read_list(&list.path).map_err(|error| vec![unreadable(&list.path, &error)]);
            match read.and_then(|text| policies.reload_list(list.id, text)) {
                Ok(()) => info!("read the list `{path}` again"),
                Err(diagnostics) => {
                    let mistakes = diagnostics.len();
                    for diagnostic in diagnostics.iter().take(MISTAKES_MAX) {
                        warn!("the list `{path}` stays as it was: {diagnostic}");
                    }
                    if mistakes > MISTAKES_MAX {
                        warn!("the list `{path}` has {mistakes} mistakes");
                    }
                }
            }
        }
    }
}

impl Stamp {
    /// `None` if there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
