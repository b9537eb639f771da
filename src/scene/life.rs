//! Random lives of clients.

use proptest::prelude::*;

use super::Scene;
use crate::snapshot::Transport;

/// Few, so that they meet again: two IPv4 subnets, IPv6, Tor, and no address at all.
pub(crate) const PEERS: [&str; 9] = [
    "8.8.8.8:1",
    "8.8.8.8:2",
    "8.8.8.9:1",
    "9.9.9.9:1",
    "[2a00:1:2:3::1]:1",
    "[2a00:1:2:3::2]:1",
    "[2a00:1:2:4::1]:1",
    "127.0.0.1:1",
    "unknown",
];
pub(crate) const CLIENTS: [&str; 3] = ["wallet", "", "<b>\u{1b}"];

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Connect {
        peer: usize,
        client: usize,
    },
    Leave(usize),
    /// Leaves, and comes back under the same peer and name before the next poll.
    Return(usize),
    Work {
        who: usize,
        sent: u64,
        requests: u64,
    },
    Rename {
        who: usize,
        client: usize,
    },
    /// Counters fall, so it must be another session.
    FallBack(usize),
    LoseAge(usize),
    /// The agent connects anew.
    Reconnect,
    Restart,
    Wait(u32),
    Poll,
    Miss,
    /// An RPC connection with any ID.
    Rpc(u64),
    Close(usize),
    Log(usize),
    Want {
        who: usize,
        subs: u64,
        pending: u64,
        cost: u32,
    },
}

/// What the agent makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Nothing,
    Poll,
    Miss,
}

fn event(with_flags: bool) -> BoxedStrategy<Event> {
    let plain = plain_event();
    if !with_flags {
        return plain.boxed();
    }
    let who = 0..64_usize;
    prop_oneof![
        6 => plain,
        1 => (0..8_u64).prop_map(Event::Rpc),
        1 => who.clone().prop_map(Event::Close),
        1 => who.clone().prop_map(Event::Log),
        4 => (who, 0..20_u64, 0..20_u64, 0..2_000_u32)
            .prop_map(|(who, subs, pending, cost)| Event::Want { who, subs, pending, cost }),
    ]
    .boxed()
}

fn plain_event() -> impl Strategy<Value = Event> {
    let who = 0..64_usize;
    prop_oneof![
        4 => (0..PEERS.len(), 0..CLIENTS.len())
            .prop_map(|(peer, client)| Event::Connect { peer, client }),
        2 => who.clone().prop_map(Event::Leave),
        1 => who.clone().prop_map(Event::Return),
        8 => (who.clone(), 0..100_000_u64, 0..50_u64)
            .prop_map(|(who, sent, requests)| Event::Work { who, sent, requests }),
        1 => (who.clone(), 0..CLIENTS.len()).prop_map(|(who, client)| Event::Rename { who, client }),
        1 => who.clone().prop_map(Event::FallBack),
        1 => who.prop_map(Event::LoseAge),
        1 => Just(Event::Reconnect),
    ]
}

/// Polls 4 to 16 s apart, now and then one missing, seldom a restart or a long gap.
pub(crate) fn lives(with_flags: bool) -> impl Strategy<Value = Vec<Event>> {
    let step = (
        prop::collection::vec(event(with_flags), 0..6),
        4_000..16_000_u32,
        0..100_u8,
    );
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut events = Vec::new();
        for (more, wait_ms, luck) in steps {
            events.extend(more);
            events.push(Event::Wait(wait_ms));
            match luck {
                0 => events.extend([Event::Restart, Event::Poll]),
                1 => events.extend([Event::Wait(301_000), Event::Poll]),
                2..15 => events.push(Event::Miss),
                _ => events.push(Event::Poll),
            }
        }
        events
    })
}

/// Lets it happen.
pub(crate) fn happen(scene: &mut Scene, event: &Event) -> Happened {
    let now_ms = scene.now_ms;
    let ids: Vec<u64> = scene.rows.iter().map(|row| row.id).collect();
    let pick = |who: usize| ids.get(who % ids.len().max(1)).copied();
    match *event {
        Event::Connect { peer, client } => {
            // A port is one connection's at a time.
            if !scene.rows.iter().any(|row| row.peer == PEERS[peer]) {
                scene.connect(PEERS[peer], CLIENTS[client]);
            }
        }
        Event::Leave(who) => pick(who).into_iter().for_each(|id| scene.leave(id)),
        Event::Return(who) => {
            if let Some(id) = pick(who) {
                let row = scene.of(id).clone();
                scene.leave(id);
                scene.connect(&row.peer, &row.client);
            }
        }
        Event::Work {
            who,
            sent,
            requests,
        } => {
            if let Some(id) = pick(who) {
                let row = scene.of(id);
                (row.sent, row.requests) = (row.sent + sent, row.requests + requests);
            }
        }
        Event::Rename { who, client } => {
            if let Some(id) = pick(who) {
                scene.of(id).client = CLIENTS[client].into();
            }
        }
        Event::FallBack(who) => {
            if let Some(id) = pick(who).filter(|&id| scene.of(id).sent > 0) {
                let row = scene.of(id);
                (row.sent, row.since_ms) = (row.sent - 1, now_ms);
            }
        }
        Event::LoseAge(who) => {
            if let Some(id) = pick(who) {
                scene.of(id).is_age_unknown = true;
            }
        }
        Event::Reconnect => scene.epoch.0 += 1,
        Event::Restart => scene.restart(),
        Event::Wait(ms) => scene.now_ms += i64::from(ms),
        Event::Poll => return Happened::Poll,
        Event::Miss => return Happened::Miss,
        Event::Rpc(id) => {
            let row = scene.connect("127.0.0.1:9", "RPC");
            scene.of(row).flags.transport = Transport::Rpc;
            scene.of(row).id = id;
        }
        Event::Close(who) => {
            if let Some(id) = pick(who) {
                scene.of(id).flags.closing = true;
            }
        }
        Event::Log(who) => {
            if let Some(id) = pick(who) {
                scene.of(id).flags.logged = true;
            }
        }
        Event::Want {
            who,
            subs,
            pending,
            cost,
        } => {
            if let Some(id) = pick(who) {
                let row = scene.of(id);
                (row.subs, row.pending, row.cost) = (subs, pending, cost.into());
            }
        }
    }
    Happened::Nothing
}
