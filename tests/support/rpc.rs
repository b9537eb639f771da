//! A bare client of `ElectrumX`'s JSON-line protocol, the `LocalRPC`'s and the Electrum clients' alike.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for one line of a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection on which one request at a time is in flight.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    id: u64,
}

impl Lines {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("set nodelay");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a deadline");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("set a deadline");
        let reader = BufReader::new(stream.try_clone().expect("clone a socket"));
        Self {
            stream,
            reader,
            id: 0,
        }
    }

    /// The port at this end, as the server's `sessions` shows it.
    pub(crate) fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("a connected socket").port()
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `line` and a line feed.
    pub(crate) fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    /// The next line, as bytes without the line feed; `UnexpectedEof` if the server closed.
    pub(crate) fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.pop().is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }

    /// Sends a request with `params` written out as JSON and gives the reply to it, as the server wrote it.
    pub(crate) fn exchange(&mut self, method: &str, params: &str) -> io::Result<Vec<u8>> {
        self.ask(method, params)?;
        self.hear()
    }

    /// Sends a request and does not wait for the reply.
    pub(crate) fn ask(&mut self, method: &str, params: &str) -> io::Result<()> {
        self.id += 1;
        let id = self.id;
        self.send_line(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
        ))
    }

    /// The reply to the last request.
    pub(crate) fn hear(&mut self) -> io::Result<Vec<u8>> {
        let id = self.id;
        loop {
            let line = self.read_line()?;
            // Notifications bear no ID. Text is enough here: replies may hold what is not strictly JSON.
            let text = String::from_utf8_lossy(&line);
            if text.contains(&format!(r#""id":{id}"#)) || text.contains(&format!(r#""id": {id}"#)) {
                return Ok(line);
            }
        }
    }

    /// Sends all `calls` at once and reads the replies; gives how many came before the last, or the end.
    ///
    /// Releases from 1.20 on hold small replies back for up to a second: one by one, calls would take ages.
    pub(crate) fn pipeline<'a>(&mut self, calls: impl Iterator<Item = (&'a str, String)>) -> usize {
        let first = self.id + 1;
        let mut text = String::new();
        for (method, params) in calls {
            self.id += 1;
            let _ = writeln!(
                text,
                r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{params}}}"#,
                self.id
            );
        }
        let expected = usize::try_from(self.id + 1 - first).expect("a short list");
        if self.stream.write_all(text.as_bytes()).is_err() {
            return 0;
        }
        let replies = std::iter::from_fn(|| self.read_line().ok());
        replies
            .filter(|line| String::from_utf8_lossy(line).contains("\"id\":"))
            .take(expected)
            .count()
    }

    /// The `result` of a call, or its `error`.
    ///
    /// # Panics
    /// If the connection fails or the reply is not JSON.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        let line = self
            .exchange(method, &params.to_string())
            .unwrap_or_else(|e| panic!("`{method}`: {e}"));
        let text = strict(&String::from_utf8_lossy(&line));
        let mut reply: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("`{method}`: {e} in {text}"));
        match reply.get_mut("error") {
            Some(error) if !error.is_null() => Err(error.take()),
            _ => Ok(reply["result"].take()),
        }
    }
}

/// A reply without what hostile clients of these tests put into it and strict JSON has no place for.
fn strict(line: &str) -> String {
    line.replace(r"\ud800", r"\ufffd")
        .replace("Infinity", "1e308")
        .replace("NaN", "null")
}

/// A `LocalRPC` connection.
#[derive(Debug)]
pub(crate) struct Rpc(pub(crate) Lines);

impl Rpc {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Ok(Self(Lines::new(TcpStream::connect(("127.0.0.1", port))?)))
    }

    /// The result of a call that must succeed.
    pub(crate) fn ask(&mut self, method: &str) -> Value {
        self.0
            .call(method, &json!([]))
            .unwrap_or_else(|e| panic!("`{method}`: {e}"))
    }

    /// The rows of `sessions`.
    pub(crate) fn sessions(&mut self) -> Vec<Value> {
        self.ask("sessions").as_array().expect("rows").clone()
    }

    /// The row whose peer has `port`.
    pub(crate) fn session_of(&mut self, port: u16) -> Option<Value> {
        let ending = format!(":{port}");
        self.sessions()
            .into_iter()
            .find(|row| row[2].as_str().is_some_and(|peer| peer.ends_with(&ending)))
    }

    /// `disconnect` or `log` with session IDs.
    pub(crate) fn with_ids(&mut self, method: &str, ids: &[u64]) -> Vec<String> {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let reply = self
            .0
            .call(method, &json!({ "session_ids": ids }))
            .unwrap_or_else(|e| panic!("`{method}`: {e}"));
        reply
            .as_array()
            .expect("lines")
            .iter()
            .map(|line| line.as_str().expect("a line").to_owned())
            .collect()
    }
}
