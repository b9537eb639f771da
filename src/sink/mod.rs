//! Where bans take hold: each sink keeps networks out by its own means, and knows nothing of policies.
//!
//! A sink works in a task of its own, so one that is slow or fails holds up neither the watch nor the other
//! sinks. What it lacks is tried again.

mod book;
pub mod command;
pub mod crowdsec;
mod decision;
pub mod decisions;
mod name;
pub mod nftables;
mod post;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::penalty::{Ban, BannedBy};
use crate::poll::Clock;
use crate::time::Timestamp;

use book::Book;
pub use post::Word;
use post::{Order, Post};

/// For how long a network is kept out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Until when.
    pub until: Timestamp,
    /// The policy or the person that banned it.
    pub by: BannedBy,
}

/// What has changed since a sink was last told.
///
/// A network is an address or more, IPv4 or IPv6, and may lie within another. Bits behind its prefix count for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Networks to keep out. A network that is kept out already gets this end instead of its own.
    pub held: Vec<(IpNet, Hold)>,
    /// Networks to let in again, whether or not they are kept out. A network that is held as well stays out.
    pub lifted: Vec<IpNet>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.lifted.is_empty()
    }
}

/// Everything that is to be kept out.
pub type Desired = BTreeMap<IpNet, Hold>;

/// A means to keep networks out.
pub trait Sink: Send + 'static {
    /// As the configuration names it.
    const NAME: &'static str;

    /// Follows changes. An error says why some of them or all were not followed, and what to do.
    fn apply(
        &mut self,
        changes: &Changes,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Makes what there is equal to `desired`, at the start, after an error, and now and then. What was wrong
    /// with it, if anything was.
    fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<String>, String>> + Send;
}

/// How a sink stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: &'static str,
    /// Why it fails, if it does.
    pub failing: Option<String>,
    /// Networks that it keeps out, as far as it said.
    pub held: usize,
}

/// All sinks at work.
#[derive(Debug, Default)]
pub struct Sinks {
    book: Book,
    posts: Vec<Post>,
}

impl Sinks {
    /// Puts a sink to work. It is told what to keep out by [`Sinks::begin`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn add(&mut self, sink: impl Sink, clock: impl Clock + Sync + 'static) {
        self.posts.push(Post::of(sink, clock));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// At the start: everything that is to be kept out, and bans of an earlier run that are not, or not whole.
    pub fn begin(
        &mut self,
        bans: impl IntoIterator<Item = Ban>,
        over: impl IntoIterator<Item = Ban>,
    ) {
        let news = bans.into_iter().map(|ban| (ban.net, Some(ban)));
        let mut changes = self.book.take(news);
        let over = over.into_iter().flat_map(|ban| ban.pieces());
        changes
            .lifted
            .extend(over.filter(|net| !self.book.holds(net)));
        self.order(&Order::Begin(Arc::new(changes)));
    }

    /// Bans that began, changed or ended.
    pub fn tell(&mut self, news: impl IntoIterator<Item = (IpNet, Option<Ban>)>) {
        let changes = self.book.take(news);
        if !changes.is_empty() {
            self.order(&Order::Follow(Arc::new(changes)));
        }
    }

    fn order(&mut self, order: &Order) {
        for post in &mut self.posts {
            post.order(order.clone());
        }
    }

    /// What sinks said since this was asked last.
    pub fn words(&mut self) -> Vec<(&'static str, Word)> {
        let posts = self.posts.iter_mut();
        posts.flat_map(Post::words).collect()
    }

    /// How each stands, by what it has said.
    pub fn statuses(&self) -> impl Iterator<Item = &SinkStatus> {
        self.posts.iter().map(|post| &post.status)
    }
}
