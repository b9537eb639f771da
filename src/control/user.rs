//! Who asks: the user of the process at the other end, as the kernel knows it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name, if `/etc/passwd` has it. Users of directory services are known by their number.
    pub name: Option<String>,
}

/// No such file of ours is larger.
const BYTES_MAX: u64 = 1 << 20;

impl User {
    /// The user of this number.
    pub fn of(uid: u32) -> Self {
        let name = name_of("/etc/passwd", uid);
        Self { uid, name }
    }
}

/// The name of a number, in a file of the shape of `/etc/passwd` and `/etc/group`.
pub(super) fn name_of(file: &str, id: u32) -> Option<String> {
    let mut text = String::new();
    let file = File::open(file).ok()?;
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _, number) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = number.parse() == Ok(id) && !name.is_empty();
        is_it.then(|| name.to_owned())
    })
}

/// `user (1000)`, or `user 1000`.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.uid),
            None => write!(f, "user {}", self.uid),
        }
    }
}
