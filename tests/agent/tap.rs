//! A tap on the line between the agent and a server: it writes down what the agent asks, and does
//! something to the line, or at that very moment, when a request comes.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens when a request for a method comes; once.
pub(crate) enum Trick {
    /// The line breaks before the server hears of it.
    CutBefore,
    /// The server has done it, and the line breaks before the agent hears of that.
    CutAfter,
    /// This is done first.
    First(Box<dyn FnOnce() + Send>),
    /// This is done after the server has, before the agent hears of it.
    Then(Box<dyn FnOnce() + Send>),
    /// The server does not hear of it, and the agent is told that it refused.
    Refuse,
    /// The server hears of it, and the agent cannot read the result.
    Garble,
    /// The server hears of it this much later.
    Delay(Duration),
}

type Tricks = Arc<Mutex<VecDeque<(&'static str, Trick)>>>;

/// The tap; it goes with the line when dropped.
pub(crate) struct Tap {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<Value>>>,
    tricks: Tricks,
    _tasks: JoinSet<()>,
}

impl Tap {
    pub(crate) async fn on(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let tricks = Tricks::default();
        let mut tasks = JoinSet::new();
        let line = (Arc::clone(&asked), Arc::clone(&tricks));
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((agent, _)) = listener.accept().await {
                lines.spawn(carry(agent, server, line.0.clone(), line.1.clone()));
            }
        });
        Self {
            addr,
            asked,
            tricks,
            _tasks: tasks,
        }
    }

    /// The parameters of every request for `method` so far, in order.
    pub(crate) fn asked(&self, method: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|request| request["method"] == method);
        of.map(|request| request["params"].clone()).collect()
    }

    /// The IDs of every such request, one list.
    pub(crate) fn ids(&self, method: &str) -> Vec<u64> {
        let asked = self.asked(method);
        let lists = asked.iter().flat_map(|params| {
            let list = params.get("session_ids").unwrap_or(params);
            list.as_array().cloned().unwrap_or_default()
        });
        lists
            .map(|id| match id {
                Value::String(text) => text.parse().unwrap(),
                number => number.as_u64().unwrap(),
            })
            .collect()
    }

    /// At the next request for `method`.
    pub(crate) fn play(&self, method: &'static str, trick: Trick) {
        self.tricks.lock().unwrap().push_back((method, trick));
    }

    /// What was to come does not.
    pub(crate) fn play_no_more(&self) {
        self.tricks.lock().unwrap().clear();
    }
}

async fn carry(
    agent: TcpStream,
    server: SocketAddr,
    asked: Arc<Mutex<Vec<Value>>>,
    tricks: Tricks,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (agent_read, mut agent) = agent.into_split();
    let (server_read, mut server) = server.into_split();
    let mut requests = BufReader::new(agent_read).split(b'\n');
    let mut replies = BufReader::new(server_read);
    while let Ok(Some(mut line)) = requests.next_segment().await {
        let request: Value = serde_json::from_slice(&line).unwrap();
        let trick = take(&tricks, request["method"].as_str().unwrap());
        asked.lock().unwrap().push(request);
        let (mut is_cut, mut is_garbled) = (false, false);
        let mut then: Option<Box<dyn FnOnce() + Send>> = None;
        match trick {
            Some(Trick::CutBefore) => return,
            Some(Trick::Refuse) => {
                let id = asked.lock().unwrap().last().unwrap()["id"].clone();
                let error = json!({ "code": 1, "message": "no" });
                let mut reply = json!({ "jsonrpc": "2.0", "error": error, "id": id }).to_string();
                reply.push('\n');
                if agent.write_all(reply.as_bytes()).await.is_err() {
                    return;
                }
                continue;
            }
            Some(Trick::CutAfter) => is_cut = true,
            Some(Trick::Garble) => is_garbled = true,
            Some(Trick::First(first)) => first(),
            Some(Trick::Then(act)) => then = Some(act),
            Some(Trick::Delay(delay)) => tokio::time::sleep(delay).await,
            None => {}
        }
        line.push(b'\n');
        if server.write_all(&line).await.is_err() {
            return;
        }
        let mut reply = Vec::new();
        let read = replies.read_until(b'\n', &mut reply).await;
        if let Some(then) = then {
            then();
        }
        if is_garbled {
            let mut answer: Value = serde_json::from_slice(&reply).unwrap();
            answer["result"] = json!("garbled");
            reply = format!("{answer}\n").into_bytes();
        }
        if is_cut || read.is_err() || agent.write_all(&reply).await.is_err() {
            return;
        }
        if !reply.ends_with(b"\n") {
            return;
        }
    }
}

fn take(tricks: &Tricks, method: &str) -> Option<Trick> {
    let mut tricks = tricks.lock().unwrap();
    let place = tricks.iter().position(|(of, _)| *of == method)?;
    tricks.remove(place).map(|(_, trick)| trick)
}
