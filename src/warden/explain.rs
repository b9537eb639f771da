//! Why something is done, or is not, about a session or an address: as data, after a poll.
//!
//! It is put together from what the poll has left, when somebody asks; nothing is kept for it.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;
use serde::{Serialize, Serializer};

use super::Warden;
use crate::decision::{Choice, ChosenBy, Evidence, SessionRef, Suppression, Target};
use crate::engine::{Apart, Case, Proposal, Protected, Standing};
use crate::field::Scope;
use crate::history::History;
use crate::policy::{Mode, Policy};
use crate::snapshot::{Snapshot, Transport};
use crate::time::{Timestamp, rfc3339};

/// Of an address's sessions so many are looked at.
const SESSIONS_LOOKED_MAX: usize = 10_000;

/// So many of the sessions are told.
const SESSIONS_MAX: usize = 100;

/// Of each policy so many targets are told, those nearest to being acted on.
const TARGETS_MAX: usize = 3;

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A session, by the server's ID.
    Session(u64),
    /// All sessions of an address: /32 or /64.
    Address(IpAddr),
}

/// How the policies stand with a session or an address, after a poll.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// When the poll was.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// The agent's mode.
    pub mode: Mode,
    /// Who is asked about.
    pub subject: Subject,
    /// The sessions, in the server's order: at most a hundred.
    pub sessions: Vec<Found>,
    /// Sessions beyond that.
    pub sessions_left_out: usize,
    /// The policies that the breaker has stopped, each with the end of that.
    pub stopped: Vec<Stopped>,
    /// Until when all policies together have used up their share of the regulars, if they have.
    #[serde(with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub share_used_up_until: Option<Timestamp>,
    /// The policies with their targets; those nearest to acting come first, those for the server last.
    pub accounts: Vec<Account>,
    /// The policies whose mode is `off`.
    pub off: Vec<Arc<str>>,
}

/// A policy that the breaker has stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stopped {
    /// The policy's name.
    pub policy: Arc<str>,
    /// When it goes on.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

/// A session that is asked about. Its client chose its name: escape before showing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are told, not branched on"
)]
pub struct Found {
    /// The session.
    #[serde(flatten, serialize_with = "session")]
    pub session: SessionRef,
    /// The name that it gave.
    pub client: Arc<str>,
    /// Whether it is an RPC connection, and never a target.
    pub is_rpc: bool,
    /// Whether it is the agent's own canary, and never a target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_canary: bool,
    /// Whether an RPC connection bears the same ID, so that it cannot be acted on.
    pub is_ambiguous: bool,
    /// Whether it is closing.
    pub is_closing: bool,
    /// Whether the server logs it.
    pub is_logged: bool,
    /// Whether it is watched; it is not where a table is full.
    pub is_watched: bool,
    /// Why the configuration protects it, if it does.
    pub protected: Option<Protected>,
    /// For how long its client has been connected in all, in seconds, if it is watched.
    pub seniority_s: Option<f64>,
    /// Whether its client is one of the regulars.
    pub is_regular: bool,
}

/// How a policy stands with one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// The target.
    #[serde(flatten, serialize_with = "target")]
    pub target: Target,
    /// The weaker of the policy's mode and the agent's.
    pub mode: Mode,
    /// How its tests stand.
    #[serde(flatten)]
    pub standing: Standing,
    /// Why the policy does not look at the target at all, if it does not.
    pub apart: Option<Apart>,
    /// What was decided at this poll, if anything was.
    pub due: Option<Due>,
    /// What held that back; or of a policy that holds and is not due yet, what is going to.
    #[serde(serialize_with = "suppression")]
    pub held_back: Option<Suppression>,
    /// Until when the policy leaves the target alone, because it acted on it.
    #[serde(with = "rfc3339")]
    pub cooldown_until: Option<Timestamp>,
    /// How many more targets of the subject the policy looks at, and is less near to acting on.
    pub others: usize,
}

/// What a policy wanted at a poll.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Due {
    /// The greatest ratio of a value seen to its threshold.
    pub severity: f64,
    /// The sessions to act on.
    pub sessions: usize,
    /// Members left alone.
    pub spared: u32,
    /// Sessions left for the next poll, for want of budget.
    pub withheld: usize,
    /// The tests that held.
    pub evidence: Vec<Evidence>,
    /// Of a target that is many sessions, on whom it falls.
    pub choice: Option<Choice>,
    /// What the subject has to do with that.
    pub own: Option<Own>,
}

/// The subject's part in a target that is many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Own {
    /// Its sessions that are chosen.
    pub chosen: usize,
    /// Its sessions.
    pub sessions: usize,
    /// What they have of the field by which it is told who did it, where that is theirs.
    pub part: Option<f64>,
}

fn session<S: Serializer>(session: &SessionRef, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told {
        id: u64,
        peer: String,
        #[serde(with = "rfc3339")]
        since: Timestamp,
    }
    let told = Told {
        id: session.id,
        peer: session.peer.to_string(),
        since: session.since,
    };
    told.serialize(serializer)
}

fn target<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told {
        scope: Scope,
        target: String,
    }
    let told = Told {
        scope: target.scope(),
        target: target.to_string(),
    };
    told.serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn suppression<S: Serializer>(by: &Option<Suppression>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told<'a> {
        by: &'static str,
        #[serde(with = "rfc3339")]
        until: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        covered_by: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    }
    let told = by.as_ref().map(|by| Told {
        by: by.word(),
        until: by.until(),
        covered_by: match by {
            Suppression::Covered { policy } => Some(policy),
            _ => None,
        },
        detail: match by {
            Suppression::UnfitDaemon { why } => Some(why),
            _ => None,
        },
    });
    told.serialize(serializer)
}

/// The targets of the subject, by scope.
struct Targets {
    /// Slots of sessions.
    sessions: Vec<u32>,
    networks: [Option<u32>; 2],
}

impl Targets {
    fn of(&self, scope: Scope, history: &History) -> Vec<u32> {
        if scope == Scope::Server {
            return vec![0];
        }
        let known = match scope {
            Scope::Address => self.networks[0],
            Scope::Subnet => self.networks[1],
            _ => None,
        };
        let sessions = self.sessions.iter();
        let of_sessions = sessions.flat_map(|&session| history.targets_of(scope, session));
        let mut targets: Vec<u32> = of_sessions.flatten().chain(known).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

impl Warden {
    /// Explains how the policies stand with a session or an address, after [`Warden::judge`] with
    /// the same snapshot. `None` if neither the snapshot nor the history knows of it.
    pub fn explain(&mut self, snapshot: &Snapshot, subject: Subject) -> Option<Explanation> {
        let at = snapshot.at();
        let rows = rows(snapshot, subject);
        let networks = match subject {
            Subject::Session(_) => [None; 2],
            Subject::Address(address) => self.history.find_networks(address),
        };
        // That its subnet is known says nothing of an address.
        if rows.is_empty() && networks[0].is_none() {
            return None;
        }
        let watched = rows.iter().filter_map(|&row| self.watched(snapshot, row));
        let targets = Targets {
            sessions: watched.take(SESSIONS_LOOKED_MAX).collect(),
            networks,
        };
        let history = &self.history;
        let of = |scope| targets.of(scope, history);
        let cases = self.engine.cases(history, snapshot, of, TARGETS_MAX);
        let policies: Vec<Policy> = self.engine.judged().cloned().collect();
        let mut accounts = Vec::new();
        for ((cases, others), policy) in cases.into_iter().zip(&policies) {
            let count = cases.len();
            for (place, case) in (1..).zip(cases) {
                let others = if place == count { others } else { 0 };
                accounts.push(self.account(case, policy, others, &targets.sessions, at));
            }
        }
        // What holds for the server is not about the subject.
        let aside = |account: &Account| account.target == Target::Server;
        accounts.sort_by(|a, b| {
            let relevance = b.relevance().total_cmp(&a.relevance());
            aside(a).cmp(&aside(b)).then(relevance)
        });
        let off = self.engine.set().policies.iter();
        let off = off.filter(|policy| policy.mode == Mode::Off);
        let off = off.map(|policy| policy.name.clone()).collect();
        let sessions = rows.iter().take(SESSIONS_MAX);
        Some(Explanation {
            at,
            mode: self.mode,
            subject,
            sessions: sessions.map(|&row| self.found(snapshot, row)).collect(),
            sessions_left_out: rows.len().saturating_sub(SESSIONS_MAX),
            stopped: self
                .stopped(at)
                .into_iter()
                .map(|(policy, until)| Stopped { policy, until })
                .collect(),
            share_used_up_until: self.share_used_up_until(at),
            accounts,
            off,
        })
    }

    /// The slot of the client session in a row.
    fn watched(&self, snapshot: &Snapshot, row: usize) -> Option<u32> {
        if !snapshot.sessions.flags[row].is_client() {
            return None;
        }
        let slot = self.history.find_session(snapshot.sessions.id[row])?;
        (self.history.row(slot) == row).then_some(slot)
    }

    fn found(&mut self, snapshot: &Snapshot, row: usize) -> Found {
        let sessions = &snapshot.sessions;
        let (id, flags) = (sessions.id[row], sessions.flags[row]);
        let slot = self.watched(snapshot, row);
        let is_rpc_too = |other: usize| sessions.id[other] == id && sessions.flags[other].is_rpc();
        let unwatched = SessionRef {
            id,
            peer: sessions.peer[row],
            since: snapshot.at(),
        };
        Found {
            session: slot.map_or(unwatched, |slot| self.history.session(slot)),
            client: sessions.names.get(sessions.client[row]).into(),
            is_rpc: flags.is_rpc(),
            is_canary: flags.transport == Transport::Canary,
            is_ambiguous: flags.is_client() && (0..sessions.len()).any(is_rpc_too),
            is_closing: flags.closing,
            is_logged: flags.logged,
            is_watched: slot.is_some(),
            protected: self.engine.protected(snapshot, row),
            seniority_s: slot.map(|slot| self.history.seniority(slot).as_secs_f64()),
            is_regular: slot.is_some_and(|slot| self.history.is_regular(slot)),
        }
    }

    /// `subject` are the slots of its sessions.
    fn account(
        &self,
        case: Case,
        policy: &Policy,
        others: usize,
        subject: &[u32],
        at: Timestamp,
    ) -> Account {
        let Case {
            target,
            standing,
            apart,
            proposal,
        } = case;
        let mode = policy.mode.min(self.mode);
        let held_back = match &proposal {
            Some(_) => self.limits.held_back(policy, &target).cloned(),
            None if standing.holds && !standing.is_due() => {
                let due = at + standing.hold.saturating_sub(standing.held);
                self.limits.foresee(policy, &target, due)
            }
            None => None,
        };
        let cooldown = self.limits.cooldown(&policy.name, &target, policy.mode);
        let due = proposal.map(|proposal| self.due(proposal, held_back.is_some(), policy, subject));
        Account {
            target,
            mode,
            standing,
            apart,
            due,
            held_back,
            cooldown_until: cooldown.filter(|&until| until > at),
            others,
        }
    }

    fn due(&self, proposal: Proposal, is_held_back: bool, policy: &Policy, subject: &[u32]) -> Due {
        let decision = proposal.decision;
        let own = decision.choice.as_ref().map(|choice| Own {
            chosen: self.chosen_of(subject, &decision.sessions),
            sessions: subject.len(),
            part: self.own_part(subject, policy, choice),
        });
        let kind = decision.action.kind();
        let sessions = decision.sessions.iter();
        let is_withheld = |session: &&SessionRef| {
            let taken = self.limits.taken_by(kind, session.id, policy.mode);
            kind.is_done_to_sessions() && !is_held_back && taken.is_none()
        };
        Due {
            severity: decision.severity,
            sessions: decision.sessions.len(),
            spared: decision.spared,
            withheld: sessions.filter(is_withheld).count(),
            evidence: decision.evidence,
            choice: decision.choice,
            own,
        }
    }

    /// How many of the subject's sessions are among those chosen.
    fn chosen_of(&self, subject: &[u32], chosen: &[SessionRef]) -> usize {
        let ids: HashSet<u64> = chosen.iter().map(|session| session.id).collect();
        let of_subject = subject.iter().map(|&slot| self.history.session(slot).id);
        of_subject.filter(|id| ids.contains(id)).count()
    }

    /// What the subject's sessions have of the field that a choice is by. Where addresses come and
    /// go, or the newest are chosen, nobody's part is a session's own.
    fn own_part(&self, subject: &[u32], policy: &Policy, choice: &Choice) -> Option<f64> {
        if choice.by != ChosenBy::Part {
            return None;
        }
        let mut tests = policy.when.any.iter().flat_map(|table| &table.tests);
        let test = tests.find(|test| test.field_written == choice.field)?;
        let plan = self.history.plan();
        let column = plan.part(policy, Scope::Session, test.field)?;
        let numbers = self.history.column(column);
        let parts = subject.iter().map(|&slot| numbers.of(slot));
        Some(parts.filter(|part| part.is_finite()).sum())
    }
}

impl Account {
    /// What is told first: what was done, what was held back, what waits, what is near.
    fn relevance(&self) -> f64 {
        let is_far = if self.target == Target::Server {
            0.5
        } else {
            1.0
        };
        match (&self.due, &self.held_back) {
            (Some(_), None) => 4.0,
            (Some(_), Some(_)) => 3.0,
            (None, _) if self.apart.is_some() => -1.0,
            (None, _) if self.standing.holds => self.standing.progress(),
            (None, _) => self.standing.progress() * is_far,
        }
    }
}

/// The rows of the snapshot that are asked about.
fn rows(snapshot: &Snapshot, subject: Subject) -> Vec<usize> {
    let sessions = &snapshot.sessions;
    let is_asked = |&row: &usize| match subject {
        Subject::Session(id) => sessions.id[row] == id,
        Subject::Address(address) => {
            let peer = sessions.peer[row].0.map(|peer| peer.ip());
            sessions.flags[row].is_client()
                && peer.is_some_and(|peer| History::is_same_address(peer, address))
        }
    };
    (0..sessions.len()).filter(is_asked).collect()
}
