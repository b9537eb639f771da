//! Clients that keep at it while a test looks elsewhere, each on a thread of its own.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Client;

/// A client at work; when dropped it stops.
#[derive(Debug)]
pub(crate) struct Busy {
    port: u16,
    thread: JoinHandle<Client>,
    /// Its end is the sign to stop.
    at_work: Sender<()>,
}

impl Busy {
    /// Has `client` do `work` again and again, with `pause` in between.
    pub(crate) fn with(
        mut client: Client,
        pause: Duration,
        mut work: impl FnMut(&mut Client) + Send + 'static,
    ) -> Self {
        let port = client.port();
        let (at_work, over) = channel();
        let thread = thread::spawn(move || {
            loop {
                work(&mut client);
                if over.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return client;
                }
            }
        });
        Self {
            port,
            thread,
            at_work,
        }
    }

    /// The port of the client that it began with.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Has it finish what it is at, and gives the client back.
    pub(crate) fn stop(self) -> Client {
        drop(self.at_work);
        self.thread
            .join()
            .expect("the client's work does not panic")
    }
}
