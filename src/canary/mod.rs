//! The canary: connects to the server as a wallet does, and tells what a wallet would feel.
//!
//! It judges nothing, and holds nobody up: it visits in a task of its own, after each poll. It keeps
//! one connection at the most. What the server sends is bounded in bytes, lines and time, and nothing
//! of it but numbers is kept.

mod certificate;
mod connection;
mod destination;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::poll::Clock;
use crate::visit::{Felt, Unserved, Visit};
use connection::Connection;
pub use destination::{BadDestination, Destination};
pub use watch::Watching;

/// A connection is not kept for longer: wallets come newly too, and they are the first whom a full
/// server shuts out.
const KEPT_MAX: Duration = Duration::from_secs(60);

/// Visits a server as a wallet.
pub struct Canary {
    destination: Destination,
    deadline: Duration,
    tls: TlsConnector,
    connection: Option<Connection>,
    clock: Box<dyn Clock>,
}

/// What happens to a canary, in the order of time.
#[derive(Debug)]
enum News {
    /// It is about to connect from here: the server has not seen it yet.
    Opens(SocketAddr),
    /// It has visited.
    Visited {
        visit: Visit,
        /// The only connection that it has now.
        kept: Option<SocketAddr>,
    },
}

impl Canary {
    /// Does not connect yet. `deadline` is a whole visit's, `clock` gives visits their time.
    pub fn new(destination: Destination, deadline: Duration, clock: Box<dyn Clock>) -> Self {
        Self {
            destination,
            deadline,
            tls: tls::connector(),
            connection: None,
            clock,
        }
    }

    /// Visits once, over the connection there is or a new one. One that failed is not used again.
    async fn visit(&mut self, news: &Sender<News>) -> Visit {
        let deadline = self.deadline;
        let felt = match timeout(deadline, self.serve(news)).await {
            Ok(felt) => felt,
            Err(_) => Err(Unserved::Slow { deadline }),
        };
        if felt.is_err() {
            self.connection = None;
        }
        let at = self.clock.now();
        Visit { at, felt }
    }

    async fn serve(&mut self, news: &Sender<News>) -> Result<Felt, Unserved> {
        // Before a new one is made: it must not take two places of a server that has few.
        let kept = self.connection.take();
        let kept = kept.filter(|kept| kept.opened().elapsed() < KEPT_MAX);
        let connection = match kept {
            Some(kept) => kept,
            None => Connection::open(&self.destination, &self.tls, news).await?,
        };
        let connection = self.connection.insert(connection);
        let asked = Instant::now();
        let height = connection.tip_and_ping().await?;
        Ok(Felt {
            latency: asked.elapsed(),
            height,
            certificate_ends: connection.certificate_ends(),
        })
    }

    fn socket(&self) -> Option<SocketAddr> {
        self.connection.as_ref().map(Connection::local)
    }
}
