//! The agent's end: a task that reads requests, hands them over, and writes answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::socket::{SocketFile, listen};
use super::{
    ANSWER_DEADLINE, Answer, CLIENT_DEADLINE, CONNECTIONS_MAX, ControlError, REQUEST_BYTES_MAX,
    Request, User,
};

/// When a connection cannot be accepted, as when there are too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The control socket of an agent. It is gone when this is dropped.
#[derive(Debug)]
pub struct Control {
    asked: mpsc::Receiver<Asked>,
    task: AbortHandle,
    _file: SocketFile,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// By whom.
    pub user: User,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// Whether anybody waits for the answer. Who has given up may ask again, so nothing is done for them.
    pub fn is_waited_for(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Answers it.
    pub fn answer(self, answer: Answer) {
        _ = self.answer.send(answer);
    }
}

impl Control {
    /// Listens at `path`, with mode 0660 from the beginning. What an agent left there that was killed is replaced.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(path: &Path) -> Result<Self, ControlError> {
        let (listener, file) = listen(path)?;
        let (hand_over, asked) = mpsc::channel(CONNECTIONS_MAX);
        Ok(Self {
            asked,
            task: tokio::spawn(accept(listener, hand_over)).abort_handle(),
            _file: file,
        })
    }

    /// The next request. It may be given up at any time.
    pub async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // The task has ended, which it does with this alone.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, hand_over: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Its tasks end with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let hand_over = hand_over.clone();
                connections.spawn(async move {
                    serve(stream, &hand_over).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn serve(mut stream: UnixStream, hand_over: &mpsc::Sender<Asked>) {
    let answer = match timeout(CLIENT_DEADLINE, read_request(&mut stream)).await {
        Ok(Ok(request)) => answer(request, &stream, hand_over).await,
        Ok(Err(None)) => return,
        Ok(Err(Some(why))) => Answer::Error(why),
        Err(_) => Answer::error("no whole line came within 5 s: send one line of JSON"),
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    let written = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    _ = timeout(CLIENT_DEADLINE, written).await;
}

/// The request of a line; what is wrong with it, or nothing if nobody is there any more.
async fn read_request(stream: &mut UnixStream) -> Result<Request, Option<String>> {
    let mut line = Vec::with_capacity(256);
    let mut room = stream.take(REQUEST_BYTES_MAX as u64);
    let end = loop {
        let before = line.len();
        let read = room.read_buf(&mut line).await.map_err(|_| None)?;
        if let Some(end) = memchr::memchr(b'\n', &line[before..]) {
            break before + end;
        }
        match read {
            0 if line.is_empty() => return Err(None),
            0 if line.len() >= REQUEST_BYTES_MAX => {
                let why = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                return Err(Some(why));
            }
            // Whoever sends no more has sent it all.
            0 => break line.len(),
            _ => {}
        }
    };
    serde_json::from_slice(&line[..end]).map_err(|error| {
        Some(format!(
            "the request cannot be read: {error}; see docs/control.md"
        ))
    })
}

async fn answer(request: Request, stream: &UnixStream, hand_over: &mpsc::Sender<Asked>) -> Answer {
    let Ok(peer) = stream.peer_cred() else {
        return Answer::error("the system does not tell who asks");
    };
    let (answer, answered) = oneshot::channel();
    let asked = Asked {
        request,
        user: User::of(peer.uid()),
        answer,
    };
    if hand_over.send(asked).await.is_err() {
        return Answer::error("the agent stops");
    }
    match timeout(ANSWER_DEADLINE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::error("the agent stops"),
        Err(_) => Answer::error("the agent's poll takes long, and nothing was done: try again"),
    }
}
