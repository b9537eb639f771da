//! A sink at work, in a task of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::{Changes, Desired, Hold, Sink, SinkStatus};
use crate::poll::Clock;
use crate::time::Timestamp;

/// What there is is compared with what is wanted this often.
const RECONCILE_EVERY: Duration = Duration::from_mins(1);

/// After an error it is tried again so soon, and after each more twice as late.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);

/// What a sink is told. Bans pass a budget, so no more of it waits than that allows in the time that a sink
/// takes for one order, which is bounded.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Everything, at the start.
    Begin(Arc<Changes>),
    /// What has changed.
    Follow(Arc<Changes>),
}

/// What a sink says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It keeps so many networks out.
    Holds(usize),
    /// It was not as it should be, and is again.
    Repaired(String),
    /// It fails, and is tried again.
    Fails(String),
    /// It works again, and keeps so many networks out.
    Recovered(usize),
}

/// The agent's end.
#[derive(Debug)]
pub(super) struct Post {
    orders: UnboundedSender<Order>,
    words: UnboundedReceiver<Word>,
    task: AbortHandle,
    pub(super) status: SinkStatus,
}

impl Post {
    pub(super) fn of<S: Sink>(sink: S, clock: impl Clock + Sync + 'static) -> Self {
        let (orders, received) = unbounded_channel();
        let (said, words) = unbounded_channel();
        let guard = Guard {
            sink,
            clock,
            desired: Desired::new(),
            pending: BTreeMap::new(),
            has_begun: false,
            left_over: Vec::new(),
            failures: 0,
            said,
        };
        Self {
            orders,
            words,
            task: tokio::spawn(guard.stand(received)).abort_handle(),
            status: SinkStatus {
                name: S::NAME,
                failing: None,
                held: 0,
            },
        }
    }

    pub(super) fn order(&mut self, order: Order) {
        // A task that panicked hears nothing, and its status stays what it was.
        let is_heard = self.orders.send(order).is_ok();
        if !is_heard && self.status.failing.is_none() {
            self.status.failing = Some("it stopped: restart the agent".to_owned());
        }
    }

    pub(super) fn words(&mut self) -> Vec<(&'static str, Word)> {
        let mut words = Vec::new();
        while let Ok(word) = self.words.try_recv() {
            match &word {
                Word::Holds(held) | Word::Recovered(held) => {
                    (self.status.held, self.status.failing) = (*held, None);
                }
                Word::Fails(why) => self.status.failing = Some(why.clone()),
                Word::Repaired(_) => {}
            }
            words.push((self.status.name, word));
        }
        words
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task's end.
struct Guard<S, C> {
    sink: S,
    clock: C,
    desired: Desired,
    /// What the sink was not told yet; `None` of what is lifted.
    pending: BTreeMap<IpNet, Option<Hold>>,
    /// Whether it was told what to begin with.
    has_begun: bool,
    /// What an earlier run kept out and this one does not. A sink that cannot see what there is has to be told.
    left_over: Vec<IpNet>,
    /// Errors one after the other.
    failures: u32,
    said: UnboundedSender<Word>,
}

impl<S: Sink, C: Clock + Sync> Guard<S, C> {
    async fn stand(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut reconcile_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                () = sleep_until(reconcile_at), if self.has_begun => {}
            }
            while let Ok(order) = orders.try_recv() {
                self.take(order);
            }
            if !self.has_begun {
                continue;
            }
            let is_due = reconcile_at <= Instant::now();
            // After an error nobody knows what there is, so it is compared, and not before it is time.
            let is_sound = if is_due {
                self.reconcile().await
            } else if self.failures == 0 && !self.pending.is_empty() {
                self.apply().await
            } else {
                continue;
            };
            if is_due || !is_sound {
                reconcile_at = Instant::now() + self.pause();
            }
        }
    }

    fn take(&mut self, order: Order) {
        let changes = match order {
            Order::Begin(changes) => {
                self.has_begun = true;
                self.left_over.clone_from(&changes.lifted);
                changes
            }
            Order::Follow(changes) => changes,
        };
        for net in &changes.lifted {
            self.desired.remove(net);
            self.pending.insert(*net, None);
        }
        for (net, hold) in &changes.held {
            self.desired.insert(*net, hold.clone());
            self.pending.insert(*net, Some(hold.clone()));
        }
    }

    async fn apply(&mut self) -> bool {
        let mut changes = Changes::default();
        for (net, hold) in std::mem::take(&mut self.pending) {
            match hold {
                Some(hold) => changes.held.push((net, hold)),
                None => changes.lifted.push(net),
            }
        }
        match self.sink.apply(&changes, self.clock.now()).await {
            Ok(()) => {
                self.say(Word::Holds(self.desired.len()));
                true
            }
            Err(why) => self.failed(why),
        }
    }

    async fn reconcile(&mut self) -> bool {
        self.pending.clear();
        let now = self.clock.now();
        self.desired.retain(|_, hold| hold.until > now);
        let mut reconciled = self.sink.reconcile(&self.desired, now).await;
        if reconciled.is_ok() {
            reconciled = self.let_in_left_over(now).await.and(reconciled);
        }
        match reconciled {
            Ok(repaired) => {
                if let Some(what) = repaired {
                    self.say(Word::Repaired(what));
                }
                let held = self.desired.len();
                let had_failed = std::mem::take(&mut self.failures) > 0;
                self.say(if had_failed {
                    Word::Recovered(held)
                } else {
                    Word::Holds(held)
                });
                true
            }
            Err(why) => self.failed(why),
        }
    }

    async fn let_in_left_over(&mut self, now: Timestamp) -> Result<(), String> {
        let mut lifted = self.left_over.clone();
        lifted.retain(|net| !self.desired.contains_key(net));
        if !lifted.is_empty() {
            let held = Vec::new();
            self.sink.apply(&Changes { held, lifted }, now).await?;
        }
        self.left_over = Vec::new();
        Ok(())
    }

    fn failed(&mut self, why: String) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.say(Word::Fails(why));
        false
    }

    fn pause(&self) -> Duration {
        match self.failures.checked_sub(1) {
            None => RECONCILE_EVERY,
            Some(more) => RETRY_FIRST
                .saturating_mul(2_u32.saturating_pow(more))
                .min(RETRY_MAX),
        }
    }

    fn say(&self, word: Word) {
        // Nobody listens any more: the task ends at the next order.
        let _ = self.said.send(word);
    }
}
