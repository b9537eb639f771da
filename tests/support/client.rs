//! Electrum clients, honest and abusive, each over a TCP connection of its own.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::{Value, json};

use super::rpc::Lines;

/// One client; the connection closes when it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    lines: Lines,
}

impl Client {
    /// Connects and says nothing.
    pub(crate) fn silent(server: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(TcpStream::connect(server)?),
        })
    }

    /// Connects from one of this host's addresses (in a network namespace, any that was added there).
    pub(crate) fn silent_from(source: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let family = if source.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let fd = socket(family, SocketType::STREAM, None)?;
        bind(&fd, &source)?;
        connect(&fd, &server)?;
        Ok(Self {
            lines: Lines::new(TcpStream::from(fd)),
        })
    }

    /// Connects and introduces itself as `name`.
    pub(crate) fn named(server: SocketAddr, name: &str) -> io::Result<Self> {
        let mut client = Self::silent(server)?;
        client.introduce(&Value::from(name).to_string())?;
        Ok(client)
    }

    /// Sends `server.version` with a name written as JSON, so that it may be what no string can be. Gives the reply.
    pub(crate) fn introduce(&mut self, name_json: &str) -> io::Result<Vec<u8>> {
        self.lines.exchange(
            "server.version",
            &format!(r#"[{name_json}, ["1.4", "1.6"]]"#),
        )
    }

    /// Makes two requests for headers that together cost more than a float holds: a count is charged before it is cut.
    pub(crate) fn spend_without_bound(&mut self) {
        let count = format!("8{}", "0".repeat(309));
        for id in [7, 8] {
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"blockchain.block.headers","params":[0,{count}]}}"#
            );
            self.lines.send_line(&call).expect("send");
        }
    }

    /// The port at this end, by which `sessions` tells the session.
    pub(crate) fn port(&self) -> u16 {
        self.lines.local_port()
    }

    pub(crate) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// An honest client's request: the tip, and notice of later ones.
    pub(crate) fn subscribe_headers(&mut self) -> Value {
        self.lines
            .call("blockchain.headers.subscribe", &json!([]))
            .expect("a header")
    }

    /// A block's header as the server's index has it, in hexadecimal.
    pub(crate) fn header(&mut self, height: u32) -> String {
        let header = self.lines.call("blockchain.block.header", &json!([height]));
        let header = header.expect("a header");
        header.as_str().expect("in hexadecimal").to_owned()
    }

    /// Subscribes to `count` script hashes that nobody uses. Gives how many the server granted before it closed.
    pub(crate) fn subscribe_scripts(&mut self, count: usize) -> usize {
        let calls = (0..count).map(|n| {
            (
                "blockchain.scripthash.subscribe",
                format!(r#"["{n:064x}"]"#),
            )
        });
        self.lines.pipeline(calls)
    }

    /// Makes `count` requests that fail. Gives how many were answered before the server closed.
    pub(crate) fn flood_errors(&mut self, count: usize) -> usize {
        self.lines
            .pipeline((0..count).map(|_| ("no.such.method", "[]".to_owned())))
    }

    /// Makes `count` requests that fail, and does not wait for the replies, which `closed_within` reads away. Gives
    /// how many were sent.
    pub(crate) fn send_errors(&mut self, count: usize) -> usize {
        (0..count)
            .map_while(|_| self.lines.ask("no.such.method", "[]").ok())
            .count()
    }

    /// Makes `count` requests that cost little and succeed. Gives how many were answered before the server closed.
    pub(crate) fn ping(&mut self, count: usize) -> usize {
        self.lines
            .pipeline((0..count).map(|_| ("server.ping", "[]".to_owned())))
    }

    /// Asks `count` times for a transaction, whose size `Daemon::set_tx_size` sets; gives the bytes received.
    pub(crate) fn draw(&mut self, count: u32) -> usize {
        let tx = format!(r#"["{:064x}"]"#, 1);
        (0..count)
            .map_while(|_| self.lines.exchange("blockchain.transaction.get", &tx).ok())
            .map(|l| l.len() + 1)
            .sum()
    }

    /// Whether the server has closed the connection, waiting for that at most `limit`. What it sent is read away.
    pub(crate) fn closed_within(&mut self, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        let mut stream = self.lines.stream();
        let mut heap = vec![0; 65_536];
        loop {
            let left = deadline
                .saturating_duration_since(std::time::Instant::now())
                .max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).expect("set a deadline");
            match stream.read(&mut heap) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    stream
                        .set_read_timeout(Some(Duration::from_secs(30)))
                        .expect("set a deadline");
                    return false;
                }
                Err(_) => return true,
            }
        }
    }

    /// Whether the server still answers this client.
    pub(crate) fn is_served(&mut self) -> bool {
        self.lines.exchange("server.ping", "[]").is_ok()
    }
}
