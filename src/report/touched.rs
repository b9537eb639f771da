//! Whom decisions touch: sessions, and with them their addresses and subnets; and what those move from then on.
//!
//! Who is touched is disconnected or logged, or would be; an alert touches nobody. Of a session something is known for
//! as long as it is connected, of addresses and subnets up to [`TOUCHED_MAX`] of each: what is touched after that is
//! not counted among them.

use std::sync::Arc;

use hashbrown::HashMap;

use super::bans::Moved;
use super::crowd::Did;
use super::net::Net;
use super::side::{PolicyId, Sides};
use super::{MEMBERS_MAX, Member, Part, Parts, TOUCHED_MAX, Totals, share};
use crate::decision::{SessionRef, Target};
use crate::history::SubnetWidths;
use crate::policy::ActionKind;
use crate::time::Timestamp;

/// No mark, or no network.
pub(super) const NONE: u32 = u32::MAX;

/// One set of policies or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The set that the replay is about.
    Decided,
    /// The set that it is compared with.
    Against,
}

/// For each set a yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Both([bool; 2]);

impl Both {
    /// Whether it is news.
    fn set(&mut self, which: Which) -> bool {
        !std::mem::replace(&mut self.0[which as usize], true)
    }

    const fn has(self, which: Which) -> bool {
        self.0[which as usize]
    }

    const fn is_any(self) -> bool {
        self.0[0] || self.0[1]
    }
}

/// The first decision about somebody.
#[derive(Clone, Debug)]
struct First {
    at: Timestamp,
    policy: Arc<str>,
}

/// What a connected session is marked with.
#[derive(Debug)]
struct Mark {
    /// Of its address and its subnet, if they are touched.
    nets: [u32; 2],
    session: Option<TouchedSession>,
}

#[derive(Debug)]
struct TouchedSession {
    session: SessionRef,
    client: Option<Arc<str>>,
    /// The policies that named it, alerts included.
    by: Vec<(Which, PolicyId)>,
    disconnected: Both,
    logged: Both,
    touched: Both,
    /// Of the first that touches it.
    first: Option<First>,
    bytes: u64,
    /// Whether a ban keeps it out, or would.
    kept_out: Both,
}

impl TouchedSession {
    fn new(session: SessionRef, client: Option<&str>) -> Self {
        Self {
            session,
            client: client.map(Into::into),
            by: Vec::new(),
            disconnected: Both::default(),
            logged: Both::default(),
            touched: Both::default(),
            first: None,
            bytes: 0,
            kept_out: Both::default(),
        }
    }
}

#[derive(Debug)]
struct TouchedNet {
    net: Net,
    touched: Both,
    first: First,
    bytes: u64,
}

/// Addresses or subnets.
#[derive(Debug, Default)]
struct Nets {
    known: Vec<TouchedNet>,
    by_net: HashMap<Net, u32>,
    is_full: bool,
}

/// Addresses and subnets that this poll touched first. Every session is asked whether it is in one of them, so most
/// must be told no at once.
#[derive(Debug, Default)]
struct Fresh {
    nets: [HashMap<Net, u32>; 2],
    /// A bit for each of them, by [`Net::spread`].
    filter: [u64; 16],
}

impl Fresh {
    fn insert(&mut self, of: usize, net: Net, index: u32) {
        self.nets[of].insert(net, index);
        let bit = net.spread();
        self.filter[bit / 64] |= 1 << (bit % 64);
    }

    const fn may_have(&self, net: Net) -> bool {
        let bit = net.spread();
        self.filter[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn clear(&mut self) {
        self.nets.iter_mut().for_each(HashMap::clear);
        self.filter = [0; 16];
    }
}

/// Everybody touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    marks: Vec<Mark>,
    free: Vec<u32>,
    /// Addresses, subnets.
    nets: [Nets; 2],
    widths: SubnetWidths,
    fresh: Fresh,
    sessions: PartsTally,
    /// Of each set: sessions touched, disconnected, logged.
    counts: [Counts; 2],
    /// Of each set.
    kept_out: [Moved; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sessions: u64,
    disconnected: u64,
    logged: u64,
}

/// Whom a decision is about, and which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch<'a> {
    pub(super) which: Which,
    pub(super) policy: PolicyId,
    pub(super) action: ActionKind,
    pub(super) at: Timestamp,
    pub(super) session: SessionRef,
    pub(super) client: Option<&'a str>,
}

impl Touched {
    /// How wide subnets are from here on. To be said before anybody is touched.
    pub(super) const fn measure(&mut self, widths: SubnetWidths) {
        self.widths = widths;
    }

    pub(super) const fn widths(&self) -> SubnetWidths {
        self.widths
    }

    /// A session came: its mark, if its address or subnet is touched.
    pub(super) fn came(&mut self, address: Option<Net>) -> u32 {
        let Some(address) = address else { return NONE };
        let nets = address.with_subnet(self.widths);
        let find = |of: usize| self.nets[of].by_net.get(&nets[of]).copied();
        match [find(0), find(1)] {
            [None, None] => NONE,
            found => self.mark(found.map(|net| net.unwrap_or(NONE))),
        }
    }

    /// A session moved so much since the last poll.
    pub(super) fn moved(&mut self, mark: u32, did: Did) {
        let mark = &mut self.marks[mark as usize];
        let bytes = did.bytes();
        if let Some(session) = &mut mark.session {
            if session.touched.is_any() {
                session.bytes = session.bytes.saturating_add(bytes);
            }
            for (kept_out, is_so) in self.kept_out.iter_mut().zip(session.kept_out.0) {
                if is_so {
                    kept_out.add(did.requests, bytes);
                }
            }
        }
        for (nets, &net) in self.nets.iter_mut().zip(&mark.nets) {
            if let Some(net) = nets.known.get_mut(net as usize) {
                net.bytes = net.bytes.saturating_add(bytes);
            }
        }
    }

    /// A session has left.
    pub(super) fn gone(&mut self, mark: u32) {
        if mark == NONE {
            return;
        }
        self.free.push(mark);
        if let Some(session) = self.marks[mark as usize].session.take() {
            let who = |by: &TouchedSession| (Target::Session(by.session), by.client.clone());
            if let Some(first) = &session.first {
                let (touched, bytes) = (session.touched, session.bytes);
                self.sessions.add(touched, bytes, first, || who(&session));
            }
        }
    }

    fn mark(&mut self, nets: [u32; 2]) -> u32 {
        let mark = Mark {
            nets,
            session: None,
        };
        if let Some(free) = self.free.pop() {
            self.marks[free as usize] = mark;
            return free;
        }
        self.marks.push(mark);
        u32::try_from(self.marks.len() - 1).unwrap_or(NONE)
    }

    /// A session, which has this mark or none so far, did so much since the last poll although a ban is on it.
    pub(super) fn keep_out(&mut self, mark: &mut u32, which: Which, session: SessionRef, did: Did) {
        if *mark == NONE {
            *mark = self.mark([NONE; 2]);
        }
        let marked = &mut self.marks[*mark as usize];
        let new = || TouchedSession::new(session, None);
        let session = marked.session.get_or_insert_with(new);
        if session.kept_out.set(which) {
            let kept_out = &mut self.kept_out[which as usize];
            kept_out.sessions += 1;
            kept_out.add(did.requests, did.bytes());
        }
    }

    /// What bans of one set keep out, or would.
    pub(super) const fn kept_out(&self, which: Which) -> Moved {
        self.kept_out[which as usize]
    }

    /// A decision is about a session, which has this mark or none so far.
    pub(super) fn touch(&mut self, mark: &mut u32, touch: Touch<'_>, sides: &mut Sides) {
        if *mark == NONE {
            *mark = self.mark([NONE; 2]);
        }
        let marked = &mut self.marks[*mark as usize];
        let new = || TouchedSession::new(touch.session, touch.client);
        let session = marked.session.get_or_insert_with(new);
        let Some(side) = sides.get(touch.which) else {
            return;
        };
        let by = (touch.which, touch.policy);
        if !session.by.contains(&by) {
            session.by.push(by);
            side.count_session(touch.policy);
        }
        let counts = &mut self.counts[touch.which as usize];
        match touch.action {
            ActionKind::Disconnect | ActionKind::Ban | ActionKind::Evict => {
                counts.disconnected += u64::from(session.disconnected.set(touch.which));
            }
            ActionKind::Log => counts.logged += u64::from(session.logged.set(touch.which)),
            ActionKind::Alert | ActionKind::DaemonUrl => return,
        }
        if !session.touched.set(touch.which) {
            return;
        }
        counts.sessions += 1;
        let first = session.first.get_or_insert_with(|| First {
            at: touch.at,
            policy: side.name(touch.policy),
        });
        let first = First {
            at: touch.at,
            policy: first.policy.clone(),
        };
        let Some(address) = Net::of(&touch.session) else {
            return;
        };
        for (of, net) in address.with_subnet(self.widths).into_iter().enumerate() {
            if let Some((index, is_new)) = self.nets[of].touch(net, touch.which, &first) {
                marked.nets[of] = index;
                if is_new {
                    self.fresh.insert(of, net, index);
                }
            }
        }
    }

    /// Whether some address or subnet was touched for the first time, so that its other sessions must be marked.
    pub(super) fn has_fresh(&self) -> bool {
        self.fresh.nets.iter().any(|fresh| !fresh.is_empty())
    }

    /// Marks a session whose address or subnet is touched for the first time.
    pub(super) fn join(&mut self, mark: &mut u32, address: Net) {
        let nets = address.with_subnet(self.widths);
        if !nets.iter().any(|&net| self.fresh.may_have(net)) {
            return;
        }
        for (of, net) in nets.iter().enumerate() {
            if let Some(&index) = self.fresh.nets[of].get(net) {
                if *mark == NONE {
                    *mark = self.mark([NONE; 2]);
                }
                self.marks[*mark as usize].nets[of] = index;
            }
        }
    }

    /// All sessions are marked.
    pub(super) fn settle(&mut self) {
        self.fresh.clear();
    }

    /// Whether some address or some subnet was touched beyond the bound.
    pub(super) fn is_full(&self) -> [bool; 2] {
        [self.nets[0].is_full, self.nets[1].is_full]
    }

    /// Who was touched by whom, and what that is of all that was moved. All sessions have left.
    pub(super) fn finish(self, bytes: u64) -> (Parts, Parts, Parts) {
        let [addresses, subnets] = self.nets;
        (
            self.sessions.finish(bytes),
            addresses.parts(None).finish(bytes),
            subnets.parts(Some(self.widths)).finish(bytes),
        )
    }

    /// What one set touched, without what its decisions came to.
    pub(super) fn totals(&self, which: Which, sessions_seen: u64, bytes: u64) -> Totals {
        let counts = self.counts[which as usize];
        let [addresses, subnets] = [0, 1].map(|of| {
            let nets: &Nets = &self.nets[of];
            nets.known
                .iter()
                .filter(|net| net.touched.has(which))
                .count() as u64
        });
        let traffic_bytes = self.sessions.bytes(which);
        Totals {
            sessions: counts.sessions,
            sessions_share: share(counts.sessions, sessions_seen),
            disconnected_sessions: counts.disconnected,
            logged_sessions: counts.logged,
            addresses,
            subnets,
            traffic_bytes,
            traffic_share: share(traffic_bytes, bytes),
            ..Totals::default()
        }
    }
}

impl Nets {
    /// The network's index and whether it is new; `None` if there is no room for it.
    fn touch(&mut self, net: Net, which: Which, first: &First) -> Option<(u32, bool)> {
        if let Some(&index) = self.by_net.get(&net) {
            self.known[index as usize].touched.set(which);
            return Some((index, false));
        }
        if self.known.len() >= TOUCHED_MAX {
            self.is_full = true;
            return None;
        }
        let index = u32::try_from(self.known.len()).ok()?;
        let mut touched = Both::default();
        touched.set(which);
        self.known.push(TouchedNet {
            net,
            touched,
            first: first.clone(),
            bytes: 0,
        });
        self.by_net.insert(net, index);
        Some((index, true))
    }

    fn parts(self, subnet: Option<SubnetWidths>) -> PartsTally {
        let mut parts = PartsTally::default();
        for net in &self.known {
            let who = || (net.net.target(subnet), None);
            parts.add(net.touched, net.bytes, &net.first, who);
        }
        parts
    }
}

/// The parts of a comparison so far.
#[derive(Debug, Default)]
struct PartsTally {
    only_decided: PartTally,
    only_against: PartTally,
    both: PartTally,
}

#[derive(Debug, Default)]
struct PartTally {
    count: u64,
    bytes: u64,
    members: Vec<Member>,
}

impl PartsTally {
    fn add(
        &mut self,
        touched: Both,
        bytes: u64,
        first: &First,
        who: impl FnOnce() -> (Target, Option<Arc<str>>),
    ) {
        let part = match touched.0 {
            [true, false] => &mut self.only_decided,
            [false, true] => &mut self.only_against,
            [true, true] => &mut self.both,
            [false, false] => return,
        };
        part.count += 1;
        part.bytes = part.bytes.saturating_add(bytes);
        let place = part
            .members
            .partition_point(|member| (member.traffic_bytes, first.at) >= (bytes, member.at));
        if place < MEMBERS_MAX {
            let (target, client) = who();
            part.members.truncate(MEMBERS_MAX - 1);
            part.members.insert(
                place,
                Member {
                    target: target.to_string(),
                    client,
                    at: first.at,
                    policy: first.policy.clone(),
                    traffic_bytes: bytes,
                },
            );
        }
    }

    fn bytes(&self, which: Which) -> u64 {
        let alone = match which {
            Which::Decided => &self.only_decided,
            Which::Against => &self.only_against,
        };
        alone.bytes.saturating_add(self.both.bytes)
    }

    fn finish(self, bytes: u64) -> Parts {
        let part = |part: PartTally| Part {
            count: part.count,
            traffic_bytes: part.bytes,
            traffic_share: share(part.bytes, bytes),
            members_left_out: part.count.saturating_sub(part.members.len() as u64),
            members: part.members,
        };
        Parts {
            only_decided: part(self.only_decided),
            only_against: part(self.only_against),
            both: part(self.both),
        }
    }
}
