//! A bitcoind as far as `ElectrumX` needs one: JSON-RPC over HTTP, on a regtest chain that the test mines.
//!
//! Its height, its stalls and its failures are the test's to command. It checks neither credentials nor transactions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::chain::{Chain, hex};
use super::port::Port;

/// How the daemon meets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers.
    Serving,
    /// Answers every call with the warm-up error, -28.
    WarmingUp,
    /// Takes the request and says nothing until the mood changes.
    Hanging,
    /// Answers with HTTP 503 and a line of text, as a bitcoind with a full work queue does.
    Refusing,
    /// Answers every call with this JSON-RPC error code.
    Failing(i64),
    /// Answers, but gives no blocks: a server that starts now cannot catch up.
    Withholding,
    /// Nobody listens: connections are refused, those that stood are closed.
    Down,
}

/// The daemon; its threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    port: Port,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    chain: Chain,
    branch: u32,
    calls: u64,
    /// What `getrawtransaction` gives, whatever transaction is asked for: traffic of the wanted size.
    raw_tx_hex: String,
    connections: Vec<TcpStream>,
    /// Counts the listeners; an older one gives way.
    listener: u32,
    over: bool,
}

impl Daemon {
    /// A daemon that serves a chain of `height` blocks after genesis.
    pub(crate) fn start(height: u32) -> Self {
        let state = State {
            mood: Mood::Down,
            chain: Chain::of_height(height),
            branch: 0,
            calls: 0,
            raw_tx_hex: "00".repeat(100),
            connections: Vec::new(),
            listener: 0,
            over: false,
        };
        let daemon = Self {
            port: Port::take(),
            state: Arc::new(Mutex::new(state)),
        };
        daemon.set(Mood::Serving);
        daemon
    }

    /// The URL for `DAEMON_URL`, credentials included.
    pub(crate) fn url(&self) -> String {
        format!("http://user:secret@127.0.0.1:{}", self.port.number())
    }

    /// Host and port as getinfo shows them: `ElectrumX` puts a slash behind.
    pub(crate) fn shown(&self) -> String {
        format!("127.0.0.1:{}/", self.port.number())
    }

    pub(crate) fn height(&self) -> u32 {
        self.lock().chain.height()
    }

    /// Adds `count` blocks to the tip.
    pub(crate) fn mine(&self, count: u32) {
        let mut state = self.lock();
        let branch = state.branch;
        state.chain.mine(count, branch);
    }

    /// Replaces the last `depth` blocks by `depth + 1` others.
    pub(crate) fn reorganise(&self, depth: u32) {
        let mut state = self.lock();
        state.branch += 1;
        let branch = state.branch;
        state.chain.undo(depth);
        state.chain.mine(depth + 1, branch);
    }

    /// Makes every transaction `bytes` long, so that each request for one sends twice that to the client.
    pub(crate) fn set_tx_size(&self, bytes: usize) {
        self.lock().raw_tx_hex = "00".repeat(bytes);
    }

    /// How many calls were received: a server that still polls makes it grow.
    pub(crate) fn calls(&self) -> u64 {
        self.lock().calls
    }

    pub(crate) fn set(&self, mood: Mood) {
        let mut state = self.lock();
        let was = std::mem::replace(&mut state.mood, mood);
        if mood == Mood::Down {
            state.listener += 1;
            close_all(&mut state);
        } else if was == Mood::Down {
            drop(state);
            self.listen();
        }
    }

    fn listen(&self) {
        let address = ("127.0.0.1", self.port.number());
        let listener = super::wait::until("the daemon's own port", Duration::from_secs(5), || {
            TcpListener::bind(address).ok()
        });
        listener
            .set_nonblocking(true)
            .expect("a listener that can be stopped");
        let mine = self.lock().listener;
        let state = Arc::clone(&self.state);
        thread::spawn(move || accept(&listener, mine, &state));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.over = true;
        close_all(&mut state);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close_all(state: &mut State) {
    for connection in state.connections.drain(..) {
        let _ = connection.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, mine: u32, state: &Arc<Mutex<State>>) {
    loop {
        {
            let state = lock(state);
            if state.over || state.listener != mine {
                return;
            }
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let kept = stream.try_clone().expect("clone a socket");
                lock(state).connections.push(kept);
                let state = Arc::clone(state);
                thread::spawn(move || serve(stream, &state));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Answers the requests of one connection until it closes.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    stream.set_nonblocking(false).expect("a blocking socket");
    let mut writer = stream.try_clone().expect("clone a socket");
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_request(&mut reader) {
        let Some((status, kind, text)) = answer(&body, state) else {
            return;
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(text.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

/// The body of the next request; `None` when the connection is closed or makes no sense.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// Status, content type and text of a reply; `None` if the connection is to be closed without one.
fn answer(body: &[u8], state: &Mutex<State>) -> Option<(&'static str, &'static str, String)> {
    lock(state).calls += 1;
    while lock(state).mood == Mood::Hanging && !lock(state).over {
        thread::sleep(Duration::from_millis(10));
    }
    let state = lock(state);
    if state.over || state.mood == Mood::Down {
        return None;
    }
    if state.mood == Mood::Refusing {
        return Some((
            "503 Service Unavailable",
            "text/plain",
            "Work queue depth exceeded".to_owned(),
        ));
    }
    let request: Value = serde_json::from_slice(body).ok()?;
    let reply = match request {
        Value::Array(calls) => calls.iter().map(|call| state.reply(call)).collect(),
        call => state.reply(&call),
    };
    Some(("200 OK", "application/json", reply.to_string()))
}

impl State {
    fn reply(&self, call: &Value) -> Value {
        let (result, error) = match self.result(call) {
            Ok(result) => (result, Value::Null),
            Err((code, message)) => (Value::Null, json!({ "code": code, "message": message })),
        };
        json!({ "result": result, "error": error, "id": call["id"] })
    }

    fn chain_info(&self) -> Value {
        let height = self.chain.height();
        let tip = self.chain.at(height.into()).expect("the tip").hash();
        // A block is worth two hashes.
        let work = format!("{:064x}", 2 * (height + 1));
        json!({
            "chain": "regtest", "blocks": height, "headers": height, "bestblockhash": tip, "chainwork": work,
            "initialblockdownload": false, "pruned": false,
        })
    }

    fn result(&self, call: &Value) -> Result<Value, (i64, &'static str)> {
        match self.mood {
            Mood::WarmingUp => return Err((-28, "Verifying blocks")),
            Mood::Failing(code) => return Err((code, "the test wants it so")),
            Mood::Withholding if call["method"] == "getblock" => {
                return Err((-1, "Block not available"));
            }
            Mood::Serving | Mood::Withholding | Mood::Hanging | Mood::Refusing | Mood::Down => {}
        }
        let index = |name: &str| json!({ name: { "synced": true, "best_block_height": self.chain.height() } });
        match call["method"].as_str().unwrap_or_default() {
            "getblockcount" => Ok(json!(self.chain.height())),
            "getblockchaininfo" => Ok(self.chain_info()),
            "getblockhash" => {
                let height = call["params"][0]
                    .as_u64()
                    .ok_or((-1, "height is not a number"))?;
                let block = self
                    .chain
                    .at(height)
                    .ok_or((-8, "Block height out of range"))?;
                Ok(json!(block.hash()))
            }
            "getblock" => {
                let hash = call["params"][0].as_str().unwrap_or_default();
                let block = self.chain.by_hash(hash).ok_or((-5, "Block not found"))?;
                Ok(json!(hex(&block.raw)))
            }
            "getrawmempool" => Ok(json!([])),
            "getrawtransaction" => Ok(json!(self.raw_tx_hex)),
            // Version and indexes are those that 2.0.0 insists on.
            "getnetworkinfo" => Ok(json!({
                "version": 310_000, "subversion": "/Satoshi:31.0.0/", "relayfee": 0.000_01, "warnings": [],
            })),
            "getindexinfo" => {
                let mut both = index("txindex");
                both["txospenderindex"] = index("txospenderindex")["txospenderindex"].take();
                Ok(both)
            }
            "getmempoolinfo" => Ok(json!({
                "mempoolminfee": 0.000_01, "minrelaytxfee": 0.000_01, "incrementalrelayfee": 0.000_01,
            })),
            "estimatesmartfee" => Ok(json!({ "errors": ["Insufficient data"], "blocks": 2 })),
            "sendrawtransaction" => Err((-26, "this daemon takes no transactions")),
            _ => Err((-32601, "Method not found")),
        }
    }
}
