//! Honest clients who stay connected, and tell who of them is still served.

use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;

/// Wallets with a subscription or two, which ping now and then.
#[derive(Debug)]
pub(crate) struct Honest(Vec<Client>);

impl Honest {
    /// So many; `connect` is given a number for each.
    pub(crate) fn gather(count: u8, connect: impl Fn(u8) -> Client) -> Self {
        let clients = (0..count).map(|n| {
            let mut client = connect(n);
            client.introduce("\"4.5.8\"").expect("be welcome");
            client.subscribe_headers();
            assert_eq!(
                client.subscribe_scripts(1 + usize::from(n % 3)),
                1 + usize::from(n % 3)
            );
            client
        });
        Self(clients.collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// One after the other asks for an answer, over and over for a while; how long each answer took.
    pub(crate) fn latencies(&mut self, time: Duration) -> Vec<Duration> {
        let until = Instant::now() + time;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            for client in &mut self.0 {
                let asked = Instant::now();
                assert!(client.is_served(), "an honest client was cut");
                latencies.push(asked.elapsed());
                thread::sleep(Duration::from_millis(15));
            }
        }
        latencies
    }

    /// How many of them the server still answers on the connection that each began with. All ask at once.
    pub(crate) fn served(&mut self) -> usize {
        let asked = self.0.iter_mut().map(|client| {
            let asked = client.lines().ask("server.ping", "[]");
            asked.map(|()| client)
        });
        let asked: Vec<_> = asked.flatten().collect();
        asked
            .into_iter()
            .filter_map(|client| client.lines().hear().ok())
            .count()
    }
}
