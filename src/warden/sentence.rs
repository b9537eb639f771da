//! From strikes to sentences: what the ladder of a policy says of those who did it.
//!
//! A ban hits whoever comes from an address, so it asks for more than a disconnect: who came back and did
//! it again is struck again, and nobody else; where others with a good name are, nobody is banned.

use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use super::Warden;
use crate::decision::{BanOrder, BanRefusal, Decision, NoBan, SessionRef, Suppression, Target};
use crate::engine::Proposal;
use crate::history::{Expulsion, History, Party};
use crate::limits::{Ruling, Verdict};
use crate::penalty::{Ban, BannedBy, Face};
use crate::policy::{Action, Mode, Policy};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// So many addresses of a subnet do the same before the subnet is what does it.
const MANY: usize = 8;

/// A subnet with more regulars and protected addresses than this is not banned: it is theirs.
pub(super) const HOLES_MAX: usize = 64;

/// Whoever was to be disconnected and is still there after so long counts as come back: in dry-run nobody goes.
const BACK_AFTER: Duration = Duration::from_secs(5);

/// Addresses that a ban must spare.
#[derive(Debug)]
pub(super) struct Innocents {
    pub(super) protected: Vec<IpNet>,
    /// Of regulars, and of sessions that are as old.
    pub(super) regulars: Vec<IpNet>,
}

impl Innocents {
    /// All of them as the holes of a ban; how many they are, if they are too many for one.
    pub(super) fn into_holes(self) -> Result<Vec<IpNet>, usize> {
        let mut holes = self.protected;
        holes.extend(self.regulars);
        holes.sort_unstable();
        holes.dedup();
        if holes.len() > HOLES_MAX {
            return Err(holes.len());
        }
        Ok(holes)
    }
}

/// Somebody whose strikes lead to a ban.
struct Case {
    proposal: usize,
    net: IpNet,
    strikes: f64,
    until: Timestamp,
    face: Face,
}

impl Warden {
    /// Has each proposal to disconnect say whom it bans, and leaves out of it who is banned already.
    pub(super) fn sentence(&mut self, proposals: &mut [Proposal], at: Timestamp) {
        let mut cases = Vec::new();
        for (index, proposal) in proposals.iter_mut().enumerate() {
            if proposal.barred.is_some() || !proposal.decision.action.kind().is_done_to_sessions() {
                continue;
            }
            let face = self.face_of(&proposal.decision);
            proposal.barred = leave_banned(&mut proposal.decision, &self.history, face);
            let policy = self.engine.set().named(&proposal.decision.policy);
            if proposal.barred.is_none()
                && let Some(policy) = policy.filter(|policy| policy.bans())
            {
                cases.extend(self.cases(index, policy, &proposal.decision, face, at));
                // Who is named by no ban is disconnected.
                proposal.decision.action = Action::Disconnect;
            }
        }
        if cases.is_empty() {
            return;
        }
        // What a policy on trial finds makes nobody guilty before one that is not.
        let guilty = [Face::Real, Face::Rehearsed].map(|face| self.guilty(proposals, face));
        let nets: Vec<IpNet> = cases.iter().map(|case| case.net).collect();
        let within = self.history.sessions_within(&nets);
        for case in cases {
            let decision = &mut proposals[case.proposal].decision;
            let sessions = within.get(&case.net).map_or(&[][..], |sessions| sessions);
            let guilty = &guilty[usize::from(case.face == Face::Rehearsed)];
            let is_address = History::client_net(case.net.addr()) == case.net;
            if let Err(why) = self.ban(decision, &case, case.net, sessions, guilty, at) {
                decision.refused.push(BanRefusal { net: case.net, why });
                // A subnet is not banned for whoever else is there. Whoever did it is, all the same.
                if !is_address {
                    for net in addresses(decision, &case.net) {
                        let there = self.within(sessions, &net);
                        if let Err(why) = self.ban(decision, &case, net, &there, guilty, at) {
                            decision.refused.push(BanRefusal { net, why });
                        }
                    }
                }
            }
            decision.settle_action();
        }
    }

    /// The sessions that decisions of this face say did wrong, or real ones.
    fn guilty(&self, proposals: &[Proposal], face: Face) -> HashSet<u64> {
        let counts = |it: &&Proposal| {
            it.barred.is_none()
                && it.decision.action.kind().blames()
                && (face == Face::Rehearsed || self.face_of(&it.decision) == Face::Real)
        };
        let sessions = proposals.iter().filter(counts);
        let sessions = sessions.flat_map(|it| &it.decision.sessions);
        sessions.map(|session| session.id).collect()
    }

    /// Has a decision ban a network for as long as a case asks, or says why not.
    fn ban(
        &mut self,
        decision: &mut Decision,
        case: &Case,
        net: IpNet,
        sessions: &[u32],
        guilty: &HashSet<u64>,
        at: Timestamp,
    ) -> Result<(), NoBan> {
        let holes = self.holes(&net, sessions, guilty, at)?;
        decision.bans.push(BanOrder {
            net,
            until: case.until,
            strikes: case.strikes,
            holes,
        });
        Ok(())
    }

    /// Of sessions those of a network.
    fn within(&self, sessions: &[u32], net: &IpNet) -> Vec<u32> {
        let peer = |session: u32| self.history.session(session).peer.0;
        let is_there = |session: u32| peer(session).is_some_and(|peer| net.contains(&peer.ip()));
        let there = sessions.iter().copied();
        there.filter(|&session| is_there(session)).collect()
    }

    fn face_of(&self, decision: &Decision) -> Face {
        decision.mode.min(self.mode).into()
    }

    /// Whom of a decision the ladder wants banned.
    fn cases(
        &self,
        proposal: usize,
        policy: &Policy,
        decision: &Decision,
        face: Face,
        at: Timestamp,
    ) -> Vec<Case> {
        let case = |(net, sessions): (IpNet, Vec<&SessionRef>)| {
            let strikes = &self.history.penalties().strikes;
            let before = strikes.level(&net, face, at);
            let last = strikes.last(&net, face);
            let has_come_back =
                last.is_none_or(|last| self.has_come_back(&sessions, last.at, face, at));
            // What was there when the last strike fell is a part of that one.
            let rung = whole(before).saturating_sub(usize::from(!has_come_back));
            match policy.rung(rung) {
                Action::Ban { duration } => Some(Case {
                    proposal,
                    net,
                    strikes: before,
                    until: at + *duration,
                    face,
                }),
                _ => None,
            }
        };
        offenders(decision).into_iter().filter_map(case).collect()
    }

    /// Whether any of them connected after the last strike; or would have been disconnected then, and does it
    /// still. A server that is slow to disconnect makes nobody come back.
    fn has_come_back(
        &self,
        sessions: &[&SessionRef],
        last: Timestamp,
        face: Face,
        at: Timestamp,
    ) -> bool {
        let is_still_there = |session: &SessionRef| {
            face == Face::Rehearsed
                && at.since(last) >= BACK_AFTER
                && self.history.was_to_go(session) == Some(true)
        };
        let mut sessions = sessions.iter();
        sessions.any(|session| session.since >= last || is_still_there(session))
    }

    /// What a ban of a network must leave out, or why there is none.
    fn holes(
        &mut self,
        net: &IpNet,
        sessions: &[u32],
        guilty: &HashSet<u64>,
        at: Timestamp,
    ) -> Result<Vec<IpNet>, NoBan> {
        if self.settings.protection.own.overlaps(net) {
            return Err(NoBan::Own);
        }
        let guilty = |session: &&u32| guilty.contains(&self.history.session(**session).id);
        let others = sessions.iter().filter(|it| !guilty(it)).copied();
        let mut innocents = self.innocents(net, others);
        if History::client_net(net.addr()) == *net {
            return self.only_theirs(net, &innocents, at);
        }
        innocents.regulars.extend(self.history.regulars_of(net));
        innocents.into_holes().map_err(|_| NoBan::Regulars)
    }

    /// What a ban of a network must spare: what of it is protected, and of these sessions the addresses.
    pub(super) fn innocents(&self, net: &IpNet, sessions: impl Iterator<Item = u32>) -> Innocents {
        let (history, protection) = (&self.history, &self.settings.protection);
        let mut innocents = Innocents {
            protected: protection.addresses.within(net),
            regulars: Vec::new(),
        };
        for session in sessions {
            let Some(address) = history.session(session).peer.0.map(|peer| peer.ip()) else {
                continue;
            };
            let client = history.client(crate::field::Scope::Session, session);
            let name = client.map_or("", |client| history.client_name(client));
            if protection.covers(Some(address), name) {
                innocents.protected.push(History::client_net(address));
            } else if history.is_regular(session) || history.has_good_name(session) {
                innocents.regulars.push(History::client_net(address));
            }
        }
        innocents
    }

    /// Whether an address is of those alone who did it.
    fn only_theirs(
        &mut self,
        address: &IpNet,
        innocents: &Innocents,
        at: Timestamp,
    ) -> Result<Vec<IpNet>, NoBan> {
        if !innocents.protected.is_empty() {
            return Err(NoBan::Protected);
        }
        let is_of_regular = self.history.is_regular_address(address);
        let strikes = &mut self.history.penalties_mut().strikes;
        if !innocents.regulars.is_empty() {
            strikes.share(address, at);
        }
        if is_of_regular || strikes.is_shared(address, at) {
            return Err(NoBan::Regulars);
        }
        Ok(Vec::new())
    }

    /// Takes in what the limits permit: each offender has one strike more, and those who are banned are.
    pub(super) fn convict(&mut self, rulings: &[Ruling], at: Timestamp) {
        self.history.penalties_mut().strikes.begin();
        for ruling in rulings {
            let Ruling {
                decision,
                mode,
                verdict,
            } = ruling;
            let is_permitted = matches!(verdict, Verdict::Permitted { .. });
            if !is_permitted || !decision.action.kind().blames() || *mode == Mode::Off {
                continue;
            }
            let face = Face::from(*mode);
            for (net, sessions) in offenders(decision) {
                let last = self.history.penalties().strikes.last(&net, face);
                let is_struck = last.is_none_or(|last| {
                    last.at < at && self.has_come_back(&sessions, last.at, face, at)
                });
                if is_struck {
                    self.history.penalties_mut().strikes.strike(net, face, at);
                }
            }
            let penalties = self.history.penalties_mut();
            for ban in &decision.bans {
                penalties.bans_of(face).add(ban_of(decision, ban));
            }
        }
    }

    /// Of those who are banned, or would be, the sessions that are there all the same, as many as the
    /// budget allows. A decision of this poll is about none of them.
    pub(super) fn hold_off(&mut self, snapshot: &Snapshot, rulings: &[Ruling]) -> Vec<SessionRef> {
        let mut banned = self.history.banned(self.mode.into());
        // A ban by hand spares regulars by its holes, unless whoever ordered it wants them banned as well.
        let is_by_hand = |session| {
            let ban = self
                .history
                .ban_on(&self.history.session(session), self.mode.into());
            ban.is_some_and(|ban| matches!(ban.by, BannedBy::Hand { .. }))
        };
        banned.retain(|&session| !self.history.is_regular(session) || is_by_hand(session));
        let mut free = self.engine.free(&banned, &self.history, snapshot);
        let permitted = rulings.iter().filter(|ruling| {
            matches!(ruling.verdict, Verdict::Permitted { .. })
                && ruling.mode == self.mode
                && ruling.decision.action.kind().disconnects()
        });
        let taken: HashSet<u64> = permitted
            .flat_map(|ruling| &ruling.decision.sessions)
            .map(|session| session.id)
            .collect();
        free.retain(|session| !taken.contains(&session.id));
        if self.mode == Mode::Enforce {
            let granted = self.limits.hold_off(free.len(), snapshot.at());
            free.truncate(granted);
        }
        free
    }

    /// Sessions of those who are banned were asked to be disconnected at a poll at `at`, or would have been.
    pub fn held_off(&mut self, sessions: &[SessionRef], at: Timestamp) {
        let face = Face::from(self.mode);
        for session in sessions {
            let is_news = self.history.was_to_go(session) == Some(false);
            if let Some(peer) = session.peer.0.filter(|_| is_news) {
                self.history.penalties_mut().keep_out(peer.ip(), face);
            }
        }
        let act = Expulsion { face, blames: true };
        self.history.expelled(sessions, act, at);
    }

    /// A decision was never carried out: neither strikes nor bans came of it.
    pub(super) fn acquit(&mut self, decision: &Decision) {
        let face = self.face_of(decision);
        let penalties = self.history.penalties_mut();
        for (net, _) in offenders(decision) {
            penalties.strikes.take_back(&net);
        }
        for ban in &decision.bans {
            let bans = penalties.bans_of(face);
            if bans
                .get(&ban.net)
                .is_some_and(|it| *it == ban_of(decision, ban))
            {
                bans.remove(&ban.net);
            }
        }
    }
}

fn ban_of(decision: &Decision, order: &BanOrder) -> Ban {
    Ban {
        net: order.net,
        holes: order.holes.clone(),
        begin: decision.at,
        end: order.until,
        by: BannedBy::Policy(decision.policy.clone()),
        kept_out: 0,
    }
}

/// Whoever did what a decision is about, each with the sessions that it falls on: their addresses, or the
/// subnet where many of it do the same. Peers that stand for many people are nobody.
/// In the order of the sessions, the worst first: no address comes before another for what it is.
fn offenders(decision: &Decision) -> Vec<(IpNet, Vec<&SessionRef>)> {
    let mut offenders: Vec<(IpNet, Vec<&SessionRef>)> = Vec::new();
    let mut places: HashMap<IpNet, usize> = HashMap::new();
    for session in &decision.sessions {
        let Party::Address(net) = Party::of(session) else {
            continue;
        };
        let place = *places.entry(net).or_insert(offenders.len());
        match offenders.get_mut(place) {
            Some((_, sessions)) => sessions.push(session),
            None => offenders.push((net, vec![session])),
        }
    }
    match decision.target {
        Target::Subnet(subnet) if offenders.len() >= MANY => {
            let all = offenders.into_iter().flat_map(|(_, sessions)| sessions);
            vec![(subnet, all.collect())]
        }
        _ => offenders,
    }
}

/// The addresses of a network that a decision is about, in the order of their sessions.
fn addresses(decision: &Decision, net: &IpNet) -> Vec<IpNet> {
    let mut addresses = Vec::new();
    let mut known = HashSet::new();
    for session in &decision.sessions {
        if let Party::Address(address) = Party::of(session)
            && net.contains(&address)
            && known.insert(address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// Strikes as a number: what has not faded to a half counts.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small count, not below 0"
)]
fn whole(strikes: f64) -> usize {
    strikes.round() as usize
}

/// Leaves out who is banned already and is kept out for that; what bars the decision if nobody is left.
fn leave_banned(decision: &mut Decision, history: &History, face: Face) -> Option<Suppression> {
    if decision.sessions.is_empty() || !history.penalties().is_anybody_out(face) {
        return None;
    }
    let mut until = None;
    decision
        .sessions
        .retain(|session| match history.ban_on(session, face) {
            Some(ban) => {
                until = until.max(Some(ban.end));
                false
            }
            None => true,
        });
    let is_over = decision.sessions.is_empty();
    until
        .filter(|_| is_over)
        .map(|until| Suppression::Banned { until })
}
