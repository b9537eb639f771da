//! Ways in which a server can fail its RPC clients, for tests of those clients.

use std::time::Duration;

use serde_json::Value;

use super::json::render;

/// What goes wrong with every reply until the fault is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Requests are read, nothing is ever answered.
    Silence,
    /// Replies come this late, in real time.
    Delay(Duration),
    /// Half a line, and then nothing; the connection stays open.
    Stall,
    /// Half a reply, ended with a newline.
    Truncated,
    /// Half a reply, and the connection is closed.
    CloseMidReply,
    /// A line that is not JSON.
    NotJson,
    /// A line of this many bytes, at least: padding inside a valid reply.
    TooLarge(usize),
    /// Something else listens here: an HTTP server's answer, and the connection is closed.
    Http,
    /// A reply that bears another request's ID.
    WrongId,
    /// The second row of `sessions` (the first, if there is one only) is wrong. Other replies
    /// are right.
    Rows(RowFault),
}

/// What is wrong with a row of `sessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFault {
    /// The last column is missing.
    Short,
    /// There is a column too many.
    Long,
    /// Text where the bytes received should be.
    Text,
    /// `null` in place of a row.
    Null,
    /// `NaN`, as Python writes it, for the seconds connected.
    NaN,
    /// A negative count of bytes sent.
    Negative,
    /// The ID of the row before it.
    DuplicateId,
    /// A client name of 1 MiB.
    HugeName,
}

/// What is written in place of a good reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mangled {
    pub(super) bytes: Vec<u8>,
    pub(super) close: bool,
    pub(super) wait: Duration,
}

impl Fault {
    /// Does its damage to `reply`, one line with its newline.
    pub(super) fn mangle(self, method: Option<&str>, reply: Vec<u8>) -> Mangled {
        let half = reply.len() / 2;
        let (bytes, close, wait) = match self {
            Self::Silence => (Vec::new(), false, Duration::ZERO),
            Self::Delay(wait) => (reply, false, wait),
            Self::Stall => (reply[..half].to_vec(), false, Duration::ZERO),
            Self::Truncated => ([&reply[..half], b"\n"].concat(), false, Duration::ZERO),
            Self::CloseMidReply => (reply[..half].to_vec(), true, Duration::ZERO),
            Self::NotJson => (b"the server is on fire\n".to_vec(), false, Duration::ZERO),
            Self::TooLarge(size) => (padded(&reply, size), false, Duration::ZERO),
            Self::Http => (HTTP.to_vec(), true, Duration::ZERO),
            Self::WrongId => (
                edited(&reply, |reply| reply["id"] = 999_999_999.into()),
                false,
                Duration::ZERO,
            ),
            Self::Rows(row) if method == Some("sessions") => {
                (row.mangle(&reply), false, Duration::ZERO)
            }
            Self::Rows(_) => (reply, false, Duration::ZERO),
        };
        Mangled { bytes, close, wait }
    }
}

const HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n\
<html><body>400 Bad Request</body></html>\r\n";

fn padded(reply: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = b"{\"padding\":\"".to_vec();
    bytes.resize(bytes.len() + size, b'x');
    bytes.extend_from_slice(b"\",");
    bytes.extend_from_slice(reply.get(1..).unwrap_or_default());
    bytes
}

fn edited(reply: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice(reply) else {
        return reply.to_vec();
    };
    edit(&mut value);
    let mut bytes = render(&value);
    bytes.push(b'\n');
    bytes
}

impl RowFault {
    fn mangle(self, reply: &[u8]) -> Vec<u8> {
        let bytes = edited(reply, |reply| {
            let Some(rows) = reply["result"].as_array_mut() else {
                return;
            };
            let first_id = rows.first().map(|row| row[0].clone());
            let i = 1.min(rows.len().saturating_sub(1));
            if let Some(row) = rows.get_mut(i) {
                self.mangle_row(row, first_id);
            }
        });
        if self == Self::NaN {
            // No JSON library writes what Python does.
            String::from_utf8_lossy(&bytes)
                .replace("\"NaN\"", "NaN")
                .into_bytes()
        } else {
            bytes
        }
    }

    fn mangle_row(self, row: &mut Value, first_id: Option<Value>) {
        if self == Self::Null {
            *row = Value::Null;
            return;
        }
        let Some(row) = row.as_array_mut() else {
            return;
        };
        let n = row.len();
        match self {
            Self::Short => drop(row.pop()),
            Self::Long => row.push(0.into()),
            Self::Text => row[n - 4] = "many".into(),
            Self::NaN => row[n - 1] = "NaN".into(),
            Self::Negative => row[n - 2] = (-1).into(),
            Self::DuplicateId => row[0] = first_id.unwrap_or_default(),
            Self::HugeName => row[3] = "A".repeat(1 << 20).into(),
            Self::Null => {}
        }
    }
}
