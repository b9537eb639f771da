//! Clients that keep at it while a test looks elsewhere, each on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Client;

/// A client at work; when dropped it stops.
#[derive(Debug)]
pub(crate) struct Busy {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Client>>,
}

impl Busy {
    /// Has `client` do `work` again and again, with `pause` in between.
    pub(crate) fn with(
        mut client: Client,
        pause: Duration,
        mut work: impl FnMut(&mut Client) + Send + 'static,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (port, stop) = (client.port(), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work(&mut client);
                thread::sleep(pause);
            }
            client
        });
        let thread = Some(thread);
        Self {
            port,
            is_over,
            thread,
        }
    }

    /// The client's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Has it finish what it is at, and gives the client back.
    pub(crate) fn stop(mut self) -> Client {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("not stopped yet");
        thread.join().expect("the client's work does not panic")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
