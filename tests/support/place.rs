//! Where the tests keep what they install, and a lock so that parallel test processes install it once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder of everything put in place by tests, inside the target directory; it outlives a test run.
pub(crate) fn root() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent()
        .expect("the target directory")
        .join("real-servers")
}

/// Makes `root()/name` by `make`, unless an earlier run completed it from the same `recipe`.
///
/// A folder without its marker, or with another recipe's, is removed and made anew: a broken install mends itself.
pub(crate) fn made_once(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let dir = root().join(name);
    let parent = dir.parent().expect("a parent").to_path_buf();
    fs::create_dir_all(&parent).expect("make the folder of real servers");
    let leaf = dir
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let lock = File::create(parent.join(format!("{leaf}.lock"))).expect("make the lock");
    lock.lock().expect("take the lock");
    let marker = dir.join("complete");
    if fs::read_to_string(&marker).is_ok_and(|found| found == recipe) {
        return dir;
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).expect("remove a broken install");
    }
    fs::create_dir_all(&dir).expect("make the folder");
    make(&dir);
    fs::write(&marker, recipe).expect("mark the install complete");
    dir
}
