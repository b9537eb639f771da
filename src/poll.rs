//! A poll: `getinfo`, `sessions` and if need be `groups`, over one connection, into a snapshot.
//!
//! It reads and changes nothing. Half a poll is no poll: with any part missing the snapshot is not
//! to be used.

use std::time::Duration;

use crate::rpc::{Client, NO_PARAMS, RpcError};
use crate::snapshot::{Snapshot, Span};
use crate::time::Timestamp;
use crate::wire::{GetinfoSeed, GroupsSeed, Inspection, SessionsSeed};

/// Tells the agent's time.
pub trait Clock: Send {
    /// Now.
    fn now(&self) -> Timestamp;

    /// How far the wall clock is from that, one way or the other. Zero for time that is not the wall's.
    fn apart(&self) -> Duration {
        Duration::ZERO
    }
}

/// The wall clock's time when it was made, counted on by the monotonic clock: setting the clock
/// neither shortens nor stretches anything. Copies of it tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    start: Timestamp,
    since: std::time::Instant,
}

impl SteadyClock {
    /// Starts at the wall clock's time.
    pub fn start() -> Self {
        Self {
            start: wall(),
            since: std::time::Instant::now(),
        }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.start + self.since.elapsed()
    }

    fn apart(&self) -> Duration {
        let (own, wall) = (self.now(), wall());
        own.since(wall).max(wall.since(own))
    }
}

fn wall() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}

/// Whether a poll asks for `groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// It does not.
    Unasked,
    /// A policy looks at them.
    Needed,
}

impl Groups {
    /// For policies that look at them, or do not.
    pub const fn if_needed(needed: bool) -> Self {
        if needed { Self::Needed } else { Self::Unasked }
    }
}

/// Room is made for at most as many sessions before they are read, whatever the server says.
const ROOM_MAX: usize = 200_000;

/// Reads a snapshot, over the connection there is or a new one.
pub async fn poll(
    client: &mut Client,
    clock: &dyn Clock,
    groups: Groups,
    snapshot: &mut Snapshot,
) -> Result<(), RpcError> {
    snapshot.epoch = client.connect().await?;
    let asked = clock.now();
    client
        .call_with("getinfo", &NO_PARAMS, GetinfoSeed(&mut snapshot.server))
        .await?;
    snapshot.server_read = Span {
        asked,
        answered: clock.now(),
    };
    snapshot.groups.clear();
    if groups == Groups::Needed {
        let seed = GroupsSeed(&mut snapshot.groups);
        client.call_with("groups", &NO_PARAMS, seed).await?;
    }
    let expected = usize::try_from(snapshot.server.sessions).unwrap_or(usize::MAX);
    snapshot.sessions.make_room(expected.min(ROOM_MAX));
    // Last, so that the evidence is as fresh as can be when it is acted on.
    let asked = clock.now();
    client
        .call_with("sessions", &NO_PARAMS, SessionsSeed(&mut snapshot.sessions))
        .await?;
    snapshot.sessions_read = Span {
        asked,
        answered: clock.now(),
    };
    observe_cost(client, snapshot);
    Ok(())
}

/// Hears what the server says of its groups for the recording alone. The poll is as good without.
pub async fn hear_groups(client: &mut Client, snapshot: &mut Snapshot) -> Result<(), RpcError> {
    let seed = GroupsSeed(&mut snapshot.groups);
    let heard = client.call_with("groups", &NO_PARAMS, seed).await;
    let heard = heard.map(drop);
    if heard.is_err() {
        snapshot.groups.clear();
        if let Some(tape) = client.tape() {
            tape.forget("groups");
        }
    }
    heard
}

/// Tells the client what its own connection costs the server, by the server's own reckoning.
fn observe_cost(client: &mut Client, snapshot: &Snapshot) {
    let Some(own) = client.local_addr() else {
        return;
    };
    let sessions = &snapshot.sessions;
    let is_own = |&row: &usize| sessions.flags[row].is_rpc() && sessions.peer[row].0 == Some(own);
    if let Some(row) = (0..sessions.len()).find(is_own) {
        client.observe_cost(
            snapshot.epoch,
            sessions.cost[row] + sessions.extra_cost[row],
        );
    }
}

/// What came of asking for one session.
#[derive(Debug)]
pub enum Inspected {
    /// What the server says of it.
    Session(Inspection),
    /// It is gone, or no client.
    Unknown,
    /// A release before 2.0 does not know the question.
    Unsupported,
}

/// Asks what the server knows of one session.
pub async fn inspect(client: &mut Client, id: u64) -> Result<Inspected, RpcError> {
    #[derive(serde::Serialize)]
    struct SessionId {
        session_id: u64,
    }
    match client
        .call::<Inspection>("inspect_session", &SessionId { session_id: id })
        .await
    {
        Ok(reply) => Ok(Inspected::Session(reply.result)),
        Err(RpcError::Server {
            code: METHOD_NOT_FOUND,
            ..
        }) => Ok(Inspected::Unsupported),
        Err(RpcError::Server { .. }) => Ok(Inspected::Unknown),
        Err(error) => Err(error),
    }
}

const METHOD_NOT_FOUND: i64 = -32_601;
