//! Serves bans as decisions of `CrowdSec`, so that its bouncers keep networks out without any other part of it.
//!
//! Bouncers pull. A pull over a connection that has pulled before gets what has changed since; any other gets
//! everything. So nothing is lost with an answer, and no bouncer needs a name.

mod answer;
mod board;
mod query;
mod reply;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::board::Board;
use self::server::{Shared, serve};
use super::{Changes, Desired, Sink};
use crate::config::Secret;
use crate::time::Timestamp;

/// Bouncers pull every few seconds. Without a pull for so long nobody keeps anybody out.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// The sink `decisions`.
#[derive(Debug)]
pub struct Decisions {
    listen: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Decisions {
    /// A sink that will listen at `listen`, and answer who knows `key`.
    pub fn new(listen: SocketAddr, key: Secret) -> Self {
        let board = Arc::new(Mutex::new(Board::new()));
        Self {
            listen,
            shared: Arc::new(Shared::new(board, key)),
            server: None,
        }
    }

    /// Listens, unless it does.
    async fn keep_listening(&mut self) -> Result<(), String> {
        if self.server.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let listen = self.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            format!(
                "cannot listen at `{listen}`: {error}; stop what listens there, or change `listen` of \
                 `[ban.decisions]`"
            )
        })?;
        self.shared.begin();
        self.server = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
        Ok(())
    }

    /// Whether bouncers ask.
    fn heed_silence(&self) -> Result<(), String> {
        let traffic = self.shared.traffic();
        let silence = Instant::now().duration_since(traffic.asked_at);
        if silence < SILENCE_MAX {
            return Ok(());
        }
        let listen = self.listen;
        let minutes = silence.as_secs() / 60;
        Err(match traffic.wrong_keys {
            0 => format!(
                "no bouncer has fetched decisions from `{listen}` for {minutes} min: start one, with `api_url: \
                 http://{listen}/`"
            ),
            wrong => format!(
                "no bouncer has fetched decisions from `{listen}` for {minutes} min; requests with a wrong key: {wrong}; \
                 compare `api_key` of the bouncer with `key` of `[ban.decisions]`"
            ),
        })
    }
}

impl Sink for Decisions {
    const NAME: &'static str = "decisions";

    async fn apply(&mut self, changes: &Changes, at: Timestamp) -> Result<(), String> {
        self.shared.board().follow(changes, at);
        Ok(())
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> Result<Option<String>, String> {
        self.shared.board().reconcile(desired, at);
        self.keep_listening().await?;
        self.heed_silence().map(|()| None)
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
