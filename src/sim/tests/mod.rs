//! The simulation against the captures of real servers, over TCP, and over time.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

mod captures;
mod life;
mod margins;
mod siege;
mod tcp;

/// An RPC client of the plainest kind.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        Self {
            stream: BufReader::new(TcpStream::connect(addr).await.unwrap()),
        }
    }

    async fn send(&mut self, method: &str, params: Option<Value>) {
        let mut request = json!({ "jsonrpc": "2.0", "id": 7, "method": method });
        if let Some(params) = params {
            request["params"] = params;
        }
        let line = format!("{request}\n");
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .await
            .unwrap();
    }

    /// The next line; empty at the end of the connection.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line
    }

    async fn raw(&mut self, method: &str) -> String {
        self.send(method, None).await;
        self.line().await
    }

    async fn call(&mut self, method: &str, params: Option<Value>) -> Value {
        self.send(method, params).await;
        serde_json::from_str(&self.line().await).unwrap()
    }
}
