//! Files that a user named, opened to be read if they are regular files.
//!
//! Opening a named pipe waits for whoever writes to it, and a device may have no end.

use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Opens the file at `path`; links are followed.
///
/// # Errors
/// [`io::Error::other`] with what else it is, in words; or as the system has it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Before it is opened: see above.
    check(&fs::metadata(path)?)?;
    File::open(path)
}

/// # Errors
/// What else it is than a regular file, in words.
pub(crate) fn check(metadata: &Metadata) -> io::Result<()> {
    match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(io::Error::other(format!("it is {kind}, not a file"))),
    }
}

fn kind(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        None
    } else if file_type.is_dir() {
        Some("a folder")
    } else if file_type.is_symlink() {
        Some("a symbolic link")
    } else if file_type.is_fifo() {
        Some("a named pipe")
    } else if file_type.is_socket() {
        Some("a socket")
    } else if file_type.is_block_device() || file_type.is_char_device() {
        Some("a device")
    } else {
        Some("something else")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn nothing_else_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let mut text = String::new();
        open(&path("link"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");

        let _listener = UnixListener::bind(path("socket")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(made.unwrap().success());
        std::os::unix::fs::symlink("pipe", path("link-to-pipe")).unwrap();
        let refused = |path: &Path| open(path).unwrap_err().to_string();
        assert_eq!(refused(folder.path()), "it is a folder, not a file");
        assert_eq!(refused(&path("pipe")), "it is a named pipe, not a file");
        assert_eq!(
            refused(&path("link-to-pipe")),
            "it is a named pipe, not a file"
        );
        assert_eq!(refused(&path("socket")), "it is a socket, not a file");
        assert_eq!(
            refused(Path::new("/dev/zero")),
            "it is a device, not a file"
        );
        assert_eq!(
            open(&path("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
