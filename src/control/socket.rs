//! The socket's file: made with its mode before anybody can connect, taken over from an agent that died, and
//! removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

use super::{ControlError, SOCKET_MODE};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 32;

/// `sun_path` without its last byte.
const PATH_BYTES_MAX: usize = 107;

/// The file of a socket; removed when dropped, if it still is that of this socket.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// Listens at `path`.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), ControlError> {
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(ControlError::TooLong(path.to_owned()));
    }
    let failed = |error| ControlError::Io {
        path: path.to_owned(),
        error,
    };
    remove_stale(path)?;
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path).map_err(failed)?,
    };
    // Nobody can connect before it listens, so nobody can while it has another mode.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    Ok((listener, file))
}

/// Removes what an agent left that was killed.
fn remove_stale(path: &Path) -> Result<(), ControlError> {
    let failed = |error| ControlError::Io {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ControlError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(failed(error)),
        _ => Err(ControlError::InUse(path.to_owned())),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            _ = fs::remove_file(&self.path);
        }
    }
}
