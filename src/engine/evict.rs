//! Who goes while the server's slots are short.
//!
//! Nobody did wrong here, so those go who are missed least, by what is dear to pretend:
//!
//! 1. Idle sessions go first. A client that has never been here before and has just come is given a moment.
//! 2. Then those that many others of their subnet would be left beside, which are as idle or as busy: the
//!    last one of a subnet is the last to go.
//! 3. Then whoever is busy and was here before; a client that is here for the first time has time to do what
//!    it came for.
//! 4. Of equals the client goes that has been known for the shortest time.
//!
//! What is new is the client, not its session, and no age keeps anybody from being chosen: whoever comes back
//! at once would never be old enough, and others would go in his place.
//!
//! Regulars stay, whatever happens.

use std::cmp::Reverse;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use super::hold::Held;
use super::{Engine, Evaluation, Proposal};
use crate::decision::{Choice, ChosenBy, Decision, Evidence, Seen, Suppression, Target};
use crate::field::{Dimension, Field, Scope};
use crate::history::History;
use crate::penalty::Face;
use crate::slots::Part;
use crate::snapshot::Snapshot;

/// A wallet that opens asks for more than this.
const REQUESTS_MIN: u64 = 5;

/// And one that is open asks for something now and then, if only to stay connected: `ElectrumX` cuts whoever
/// has not for ten minutes.
const REQUEST_EVERY: Duration = Duration::from_mins(10);

/// In so long a wallet has said what it came for, wherever it is.
const MOMENT: Duration = Duration::from_secs(3);

/// And in so long it has that, or has sent its transaction.
const ERRAND: Duration = Duration::from_secs(10);

/// What a session does with its slot, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Worth {
    /// It holds it.
    Idle,
    /// Nothing yet, but its client is here for the first time and has just come.
    Silent,
    Busy,
}

impl Worth {
    fn of(slot: u32, known_for: Duration, history: &History, snapshot: &Snapshot) -> Self {
        let requests = snapshot.sessions.recv_count[history.row(slot)];
        let expected = history.age(slot).as_secs() / REQUEST_EVERY.as_secs();
        if requests >= expected.max(REQUESTS_MIN) {
            Self::Busy
        } else if known_for < MOMENT {
            Self::Silent
        } else {
            Self::Idle
        }
    }
}

/// A session that may go.
#[derive(Debug)]
struct Candidate {
    slot: u32,
    /// Its subnet; all peers that stand for many people are one crowd.
    crowd: Option<u32>,
    worth: Worth,
    /// Its client is here for the first time, and came not long ago.
    is_opening: bool,
    seniority: Duration,
    id: u64,
}

/// Those who may go, first those who are missed least.
#[derive(Debug)]
struct Queue {
    candidates: Vec<Candidate>,
    regulars: u32,
}

impl Engine {
    /// Has a policy evict, of those for whom it has held for long enough, as many as the slots need.
    pub(super) fn evict(
        &mut self,
        index: usize,
        keep_free: Part,
        due: &[Held],
        history: &History,
        snapshot: &Snapshot,
        evaluation: &mut Evaluation,
    ) {
        let sessions = snapshot.server.sessions;
        let Some((slots, seen)) = history
            .server_slots()
            .and_then(|slots| Some((slots, slots.left(sessions)?)))
        else {
            return;
        };
        // Who was asked to go a moment ago is as good as gone.
        let at = snapshot.at();
        let policy = &self.set.policies[self.compiled[index].policy];
        let face = history.face_of(policy.mode);
        let going = history
            .connected()
            .filter(|&it| history.is_going(it, face, at));
        let staying = sessions.saturating_sub(going.count() as u64);
        let needed = usize::try_from(slots.to_free(keep_free, staying)).unwrap_or(usize::MAX);
        if needed == 0 {
            return;
        }
        let Queue {
            candidates,
            regulars,
        } = queue(due, face, history, snapshot);
        let order: Vec<u32> = candidates.iter().map(|it| it.slot).collect();
        let mut chosen = self.free(&order, history, snapshot);
        let spared = candidates.len() - chosen.len();
        chosen.truncate(needed);
        let idle = candidates.iter().filter(|it| it.worth < Worth::Busy);
        let idle: HashSet<u64> = idle.map(|it| it.id).collect();
        let outliers = chosen.iter().filter(|it| idle.contains(&it.id)).count();
        let policy = &self.set.policies[self.compiled[index].policy];
        let barred = chosen.is_empty().then_some(Suppression::NobodyStandsOut);
        let left = slots.left(staying.saturating_sub(chosen.len() as u64));
        let choice = Choice {
            by: ChosenBy::Eviction,
            field: Field::SlotsLeft.name().into(),
            members: number(due.len()),
            chosen: number(chosen.len()),
            outliers: number(outliers),
            strangers: number(chosen.len() - outliers),
            regulars,
            rest: left.unwrap_or(seen),
            is_still_met: chosen.len() < needed,
            threshold: keep_free.share(),
            dimension: Some(Dimension::Share),
        };
        let evidence = Evidence {
            field: Field::SlotsLeft.name().into(),
            test: format!("< {keep_free}").into(),
            seen: Seen::Number(seen),
            threshold: Some(keep_free.share()),
            dimension: Some(Dimension::Share),
        };
        let held = due.iter().map(|held| held.duration).max();
        let decision = Decision {
            at,
            epoch: snapshot.epoch,
            policy: policy.name.clone(),
            mode: policy.mode,
            action: policy.action.clone(),
            target: Target::Server,
            evidence: vec![evidence],
            held: held.unwrap_or_default(),
            severity: 1.0,
            sessions: chosen,
            spared: number(spared),
            choice: Some(choice),
            at_once: false,
            bans: Vec::new(),
            refused: Vec::new(),
            daemons: Vec::new(),
        };
        evaluation.proposals.push(Proposal { decision, barred });
    }
}

fn queue(due: &[Held], face: Face, history: &History, snapshot: &Snapshot) -> Queue {
    let at = snapshot.at();
    let mut regulars = 0;
    let mut candidates: Vec<Candidate> = Vec::new();
    for held in due {
        let slot = held.slot;
        if history.is_going(slot, face, at) {
            continue;
        }
        if history.is_regular(slot) {
            regulars += 1;
            continue;
        }
        let [subnet, _] = history.targets_of(Scope::Subnet, slot);
        let known_for = at.since(history.met(slot));
        candidates.push(Candidate {
            slot,
            crowd: subnet.filter(|_| !history.is_private_session(slot)),
            worth: Worth::of(slot, known_for, history, snapshot),
            is_opening: known_for < ERRAND,
            seniority: history.seniority(slot),
            id: history.session(slot).id,
        });
    }
    // From the one that its crowd would miss most.
    candidates.sort_by_key(|it| (Reverse(it.is_opening), Reverse(it.seniority), it.id));
    let mut before: HashMap<_, usize> = HashMap::new();
    let places: Vec<usize> = candidates
        .iter()
        .map(|it| {
            let place = before.entry((it.crowd, it.worth)).or_default();
            *place += 1;
            *place
        })
        .collect();
    let mut placed: Vec<(usize, Candidate)> = places.into_iter().zip(candidates).collect();
    placed.sort_by_key(|(place, it)| {
        let client = (it.is_opening, it.seniority, Reverse(it.id));
        (it.worth, Reverse(*place), client)
    });
    Queue {
        candidates: placed.into_iter().map(|(_, it)| it).collect(),
        regulars,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
