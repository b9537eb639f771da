//! The simulation against the captures of real servers, and over TCP.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

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

    async fn call(&mut self, method: &str, params: Option<Value>) -> Value {
        self.send(method, params).await;
        serde_json::from_str(&self.line().await).unwrap()
    }
}

#[tokio::test]
async fn every_release_answers_over_tcp() {
    for release in Release::ALL {
        let server = Server::start(World::story(release, 1), Pace::Manual)
            .await
            .unwrap();
        server.advance(Duration::from_secs(90));
        let mut client = Client::connect(server.addr()).await;
        let info = client.call("getinfo", None).await;
        assert!(info["result"].is_object(), "{info}");
        let sessions = client.call("sessions", None).await;
        let rows = sessions["result"].as_array().unwrap();
        assert!(rows.len() > 100);
        assert!(
            rows.iter()
                .all(|row| row.as_array().unwrap().len() == release.columns())
        );
        let groups = client.call("groups", None).await;
        assert!(!groups["result"].as_array().unwrap().is_empty());
        let id = rows[3][0].as_u64().unwrap();
        let params = if release == Release::V0_10_2 {
            json!([id])
        } else {
            json!({ "session_ids": [id.to_string()] })
        };
        let word = if release >= Release::V1_13_0 {
            "disconnecting session"
        } else {
            "disconnected"
        };
        let reply = client.call("disconnect", Some(params)).await;
        assert_eq!(reply["result"], json!([format!("{word} {id}")]));
        server.shutdown().await;
    }
}
