//! Abusers who come back whenever they are cut, each on a thread of its own, and what they reach together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::Client;

/// What an abuser does while it is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    /// The name that it gives.
    pub(crate) name: &'static str,
    /// Done once a connection; gives the harm done.
    pub(crate) first: fn(&mut Client) -> u64,
    /// Done again and again, likewise.
    pub(crate) then: fn(&mut Client) -> u64,
    /// Between two times.
    pub(crate) pause: Duration,
    /// It leaves by itself after so long.
    pub(crate) stay: Duration,
    /// It is back so long after it left or was cut.
    pub(crate) away: Duration,
}

impl Habit {
    /// Somebody who does nothing, for as long as it may, and is back half a second after a cut.
    pub(crate) const IDLE: Self = Self {
        name: "4.5.8",
        first: |_| 0,
        then: |_| 0,
        pause: Duration::from_millis(250),
        stay: Duration::from_hours(1),
        away: Duration::from_millis(500),
    };
}

/// What abusers have reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// In whatever their habits count.
    pub(crate) harm: u64,
    /// How often one of them was cut.
    pub(crate) cuts: u64,
}

#[derive(Debug, Default)]
struct Shared {
    harm: AtomicU64,
    cuts: AtomicU64,
    is_over: AtomicBool,
}

/// Abusers at work; they stop when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Abusers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Abusers {
    /// One more. `connect` makes its connections, from this thread's network namespace.
    pub(crate) fn add(
        &mut self,
        habit: Habit,
        connect: impl Fn() -> io::Result<Client> + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::spawn(move || {
            while !shared.is_over() {
                let is_cut = connect()
                    .and_then(|client| shared.visit(client, habit))
                    .unwrap_or(true);
                shared.cuts.fetch_add(is_cut.into(), Ordering::Relaxed);
                thread::sleep(habit.away);
            }
        }));
    }

    pub(crate) fn reached(&self) -> Reached {
        Reached {
            harm: self.shared.harm.load(Ordering::Relaxed),
            cuts: self.shared.cuts.load(Ordering::Relaxed),
        }
    }

    /// Has all leave, and waits until they have.
    pub(crate) fn stop(mut self) -> Reached {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("abusers do not panic");
        }
        self.reached()
    }
}

impl Drop for Abusers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// One connection from its beginning to its end; whether the server ended it.
    fn visit(&self, mut client: Client, habit: Habit) -> io::Result<bool> {
        let since = Instant::now();
        client.introduce(&serde_json::Value::from(habit.name).to_string())?;
        let add = |harm| self.harm.fetch_add(harm, Ordering::Relaxed);
        add((habit.first)(&mut client));
        while since.elapsed() < habit.stay && !self.is_over() {
            add((habit.then)(&mut client));
            if client.closed_within(habit.pause) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
