//! Answers bouncers over HTTP, as `CrowdSec`'s local API does.
//!
//! Everybody on this machine can connect. Whoever does not know the key gets a connection for seconds, and cannot keep
//! others from having theirs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::Answer;
use super::board::Board;
use super::query::Query;
use super::reply::{Body, message, reply};
use crate::config::Secret;

/// Whoever has connected must show the key within this time.
const KEY_WITHIN: Duration = Duration::from_secs(10);

/// Whoever has shown it must ask again within this time.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// Connections without the key; beyond that the oldest goes.
const STRANGERS_MAX: usize = 64;

/// Connections with the key; beyond that they are refused.
const BOUNCERS_MAX: usize = 32;

/// A request's line and headers, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// After an error of `accept`, of want of file descriptors above all.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    board: Arc<Mutex<Board>>,
    key: Secret,
    traffic: Mutex<Traffic>,
    bouncers: AtomicUsize,
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    /// When a bouncer last fetched decisions; at the start, when the server began.
    pub(super) asked_at: Instant,
    /// Requests with a wrong key since then.
    pub(super) wrong_keys: u64,
}

impl Shared {
    pub(super) fn new(board: Arc<Mutex<Board>>, key: Secret) -> Self {
        Self {
            board,
            key,
            traffic: Mutex::new(Traffic {
                asked_at: Instant::now(),
                wrong_keys: 0,
            }),
            bouncers: AtomicUsize::new(0),
        }
    }

    /// The server begins.
    pub(super) fn begin(&self) {
        self.traffic().asked_at = Instant::now();
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("nobody panics with it")
    }

    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("nobody panics with it")
    }
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut strangers: VecDeque<(AbortHandle, Arc<AtomicBool>)> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        strangers
            .retain(|(task, is_known)| !task.is_finished() && !is_known.load(Ordering::Relaxed));
        if strangers.len() >= STRANGERS_MAX
            && let Some((oldest, _)) = strangers.pop_front()
        {
            oldest.abort();
        }
        let is_known = Arc::new(AtomicBool::new(false));
        let visit = Visit {
            shared: Arc::clone(&shared),
            is_known: Arc::clone(&is_known),
            known_changes: Mutex::new(0),
            leave_at: watch::channel(Instant::now() + KEY_WITHIN).0,
        };
        strangers.push_back((tasks.spawn(visit.last(stream)), is_known));
    }
}

/// A connection.
struct Visit {
    shared: Arc<Shared>,
    /// Whether it has shown the key.
    is_known: Arc<AtomicBool>,
    /// The last change that it was told. A bouncer that missed an answer comes back over another connection.
    known_changes: Mutex<u64>,
    leave_at: watch::Sender<Instant>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.is_known.load(Ordering::Relaxed) {
            self.shared.bouncers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Visit {
    /// Until it is over.
    async fn last(self, stream: TcpStream) {
        let mut leave_at = self.leave_at.subscribe();
        let visit = &self;
        let service = service_fn(async |request| Ok::<_, Infallible>(visit.answer(&request)));
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        loop {
            let leave = *leave_at.borrow_and_update();
            tokio::select! {
                // Errors are the visitor's own.
                _ = &mut connection => return,
                () = sleep_until(leave) => return,
                _ = leave_at.changed() => {}
            }
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let key = request.headers().get("x-api-key");
        let is_right = key.is_some_and(|key| {
            bool::from(key.as_bytes().ct_eq(self.shared.key.expose().as_bytes()))
        });
        let mut response = if !is_right {
            self.shared.traffic().wrong_keys += u64::from(key.is_some());
            message(StatusCode::FORBIDDEN, "access forbidden")
        } else if !self.is_let_in() {
            message(StatusCode::SERVICE_UNAVAILABLE, "too many bouncers")
        } else {
            self.leave_at.send_replace(Instant::now() + IDLE_MAX);
            self.decisions(request)
        };
        if !self.is_known.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }

    /// Whether there is room for one more bouncer.
    fn is_let_in(&self) -> bool {
        if self.is_known.load(Ordering::Relaxed) {
            return true;
        }
        let bouncers = &self.shared.bouncers;
        if bouncers.load(Ordering::Relaxed) >= BOUNCERS_MAX {
            return false;
        }
        bouncers.fetch_add(1, Ordering::Relaxed);
        self.is_known.store(true, Ordering::Relaxed);
        true
    }

    fn decisions(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.uri().path() != "/v1/decisions/stream" {
            return message(StatusCode::NOT_FOUND, "only /v1/decisions/stream is served");
        }
        let query = request.uri().query().unwrap_or_default();
        let Ok(query) = query.parse::<Query>() else {
            let told = "of the filters only `scopes=ip,range` and `origins` are served";
            return message(StatusCode::BAD_REQUEST, told);
        };
        match *request.method() {
            Method::HEAD => return message(StatusCode::OK, ""),
            Method::GET => {}
            _ => return message(StatusCode::METHOD_NOT_ALLOWED, "only GET is served"),
        }
        *self.shared.traffic() = Traffic {
            asked_at: Instant::now(),
            wrong_keys: 0,
        };
        if !query.is_for_us {
            let nothing = "{\"new\":[],\"deleted\":[]}";
            return reply(Body::Whole(Some(nothing.into())));
        }
        let mut known = self.known_changes.lock().expect("nobody panics with it");
        if query.is_startup {
            *known = 0;
        }
        let (answer, last) = Answer::of(Arc::clone(&self.shared.board), *known);
        *known = last;
        reply(Body::Answer(answer))
    }
}
