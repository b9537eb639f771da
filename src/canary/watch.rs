//! Visits on and on, in a task of their own: a server that is slow must not hold up the agent.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Canary, News};
use crate::decision::Peer;
use crate::visit::Visits;

/// After visits in vain: so long until the next, doubled with each, up to the most.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A canary waits when so much was not taken.
const NEWS_MAX: usize = 64;

/// A canary at work. Dropped, it ends.
pub struct Watching {
    news: Receiver<News>,
    polled: Arc<Notify>,
    open: BTreeSet<SocketAddr>,
    /// Closed since the take before: the server may have listed them in between.
    closed: BTreeSet<SocketAddr>,
    task: AbortHandle,
}

impl Canary {
    /// Visits at once, and then after each [`Watching::take`], unless the last visit still lasts. After
    /// visits in vain it waits for up to half a minute.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch(mut self) -> Watching {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let polled = Arc::new(Notify::new());
        let nudge = Arc::clone(&polled);
        let visiting = async move {
            let mut failures = 0;
            let mut not_before = Instant::now();
            loop {
                if Instant::now() >= not_before {
                    let visit = self.visit(&sender).await;
                    failures = if visit.felt.is_ok() { 0 } else { failures + 1 };
                    not_before = Instant::now() + backoff(failures);
                    let kept = self.socket();
                    if sender.send(News::Visited { visit, kept }).await.is_err() {
                        return;
                    }
                }
                nudge.notified().await;
            }
        };
        Watching {
            news,
            polled,
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            task: tokio::spawn(visiting).abort_handle(),
        }
    }
}

impl Watching {
    /// What came of visits since the last call, and asks for the next. It does not wait. After the
    /// server's sessions were read: whatever of the canary's is among them is known by then.
    pub fn take(&mut self) -> Visits {
        let mut visits = Visits::default();
        let mut sockets = std::mem::take(&mut self.closed);
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Opens(socket) => {
                    self.open.insert(socket);
                }
                News::Visited { visit, kept } => {
                    let gone = self.open.extract_if(.., |socket| Some(*socket) != kept);
                    self.closed.extend(gone);
                    visits.made.push(visit);
                }
            }
        }
        sockets.extend(self.open.iter().chain(&self.closed));
        visits.sockets = sockets
            .into_iter()
            .map(|socket| Peer(Some(socket)))
            .collect();
        self.polled.notify_one();
        visits
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

fn backoff(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => BACKOFF_MAX.min(BACKOFF_MIN * 2_u32.saturating_pow(failures - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let waits: Vec<_> = [0, 1, 2, 3, 5, 6, 7, u32::MAX].map(backoff).into();
        let seconds: Vec<_> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 16, 30, 30, 30]);
    }
}
