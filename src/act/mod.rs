//! Carries out what is permitted: the only module that changes anything on the server.
//!
//! Dry-run differs from enforcing here and nowhere else. An intent is in the journal before the
//! server is asked; what the server says of each session becomes the outcome.

mod confirmed;
mod daemon;
mod followed;
mod keys;
mod log;
mod rehearse;
mod words;

use std::time::Duration;

pub use confirmed::Confirmed;
pub use followed::FollowedRows;
pub(crate) use keys::Keys;
use words::Words;

use crate::daemon::Daemons;
use crate::decision::{Decision, Epoch, Outcome, SessionRef, Suppression, Target};
use crate::journal::{DecisionId, Entry, Journal, JournalError, LogRun, LogStart, StateChange};
use crate::limits::{Bucket, Budget, Ruling, Verdict};
use crate::policy::{Action, Mode, Quota};
use crate::rpc::{Client, Disconnected};

/// A decision that went through the limits, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// Its number in the journal, if it has one.
    pub id: Option<DecisionId>,
    /// The decision.
    pub decision: Decision,
    /// The outcome.
    pub outcome: Outcome,
    /// Left for the next poll, for want of budget.
    pub withheld: usize,
    /// Intended, but the server was certainly never asked: so many sessions, or 1 for the server.
    pub unsent: usize,
}

/// Decisions that are held back without being journalled one by one, so that nobody can wash the
/// journal out by being held back: beyond 300 at once and 20 a minute they are counted only.
const HELD_BACK: Budget = Budget {
    rate: Quota {
        count: 20,
        per: Duration::from_secs(60),
    },
    burst: 300,
};

/// The hand that acts, and what it must undo later.
#[derive(Debug, Default)]
pub struct Actor {
    runs: Vec<LogRun>,
    held_back: Option<Bucket>,
    is_ambiguous: bool,
    daemons: Option<Daemons>,
}

/// What came of the rulings of a poll.
#[derive(Debug)]
pub struct Done {
    /// Worst offenders first. What was held back as at the poll before is left out.
    pub carried: Vec<Carried>,
    /// Held back for the first time, and neither journalled nor among `carried`: too many were.
    pub untold: usize,
    /// Whether the journal has all of it.
    pub journalled: Result<(), JournalError>,
}

impl Actor {
    /// Takes up the log runs that an earlier run of the agent left.
    pub fn restore(&mut self, runs: Vec<LogRun>) {
        self.runs = runs;
    }

    /// Sessions that are logged for the agent now.
    pub fn log_runs(&self) -> &[LogRun] {
        &self.runs
    }

    /// Whether an RPC connection bears the ID of a session that something is to be done about, as in
    /// releases to 1.3, which count RPC connections apart. The next poll is better made over another
    /// connection, which gets another number. Told once.
    pub fn wants_another_connection(&mut self) -> bool {
        std::mem::take(&mut self.is_ambiguous)
    }

    /// Journals the rulings of a poll with the changes of state that come of them, carries out what is
    /// permitted, and journals the outcomes. If the intent cannot be journalled, nothing is done.
    pub async fn carry_out(
        &mut self,
        rulings: Vec<Ruling>,
        limits: impl FnOnce() -> serde_json::Value,
        mut changes: Vec<StateChange>,
        client: &mut Client,
        journal: &mut Journal,
    ) -> Done {
        let carried = rulings.into_iter().filter_map(expected).collect();
        let (mut carried, untold) = self.told(carried);
        let ambiguous = Outcome::Suppressed(Suppression::AmbiguousId);
        self.is_ambiguous |= carried.iter().any(|carried| carried.outcome == ambiguous);
        let journalled = if carried.is_empty() && changes.is_empty() {
            Ok(())
        } else {
            changes.push(StateChange::Limits(limits()));
            self.perform(&mut carried, &changes, client, journal).await
        };
        Done {
            carried,
            untold: untold.len(),
            journalled,
        }
    }

    /// Disconnects sessions of those who are banned; how many of them, the last, were never asked for.
    pub async fn hold_off(
        &mut self,
        sessions: &[SessionRef],
        epoch: Epoch,
        mode: Mode,
        client: &mut Client,
    ) -> usize {
        if mode != Mode::Enforce || sessions.is_empty() {
            return 0;
        }
        let ids: Vec<u64> = sessions.iter().map(|session| session.id).collect();
        let words = Words::new(client.disconnect(epoch, &ids).await);
        words.unsent(sessions)
    }

    /// Sets apart what is held back beyond [`HELD_BACK`].
    fn told(&mut self, carried: Vec<Carried>) -> (Vec<Carried>, Vec<Carried>) {
        carried.into_iter().partition(|carried| {
            if !matches!(carried.outcome, Outcome::Suppressed(_)) {
                return true;
            }
            let at = carried.decision.at;
            let bucket = self
                .held_back
                .get_or_insert_with(|| Bucket::full(HELD_BACK, at));
            let is_told = bucket.available(HELD_BACK, at) > 0;
            bucket.take(usize::from(is_told));
            is_told
        })
    }

    async fn perform(
        &mut self,
        carried: &mut [Carried],
        changes: &[StateChange],
        client: &mut Client,
        journal: &mut Journal,
    ) -> Result<(), JournalError> {
        let entries: Vec<Entry> = carried.iter().map(entry).collect();
        match journal.intend(&entries, changes) {
            Ok(ids) => {
                for (carried, id) in carried.iter_mut().zip(ids) {
                    carried.id = Some(id);
                }
            }
            Err(error) => {
                fail_intended(carried, &error);
                return Err(error);
            }
        }
        let intended: Vec<usize> = (0..carried.len())
            .filter(|&i| carried[i].outcome == Outcome::Intended)
            .collect();
        if intended.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        disconnect(carried, &intended, client).await;
        self.log(carried, &intended, client, &mut changes).await;
        self.change_daemon(carried, &intended, client).await;
        alert(carried, &intended);
        let outcomes: Vec<(DecisionId, Outcome)> = intended
            .iter()
            .filter_map(|&i| Some((carried[i].id?, carried[i].outcome.clone())))
            .collect();
        journal.finish_all(&outcomes, &changes)
    }
}

/// A ruling as it will come out unless something goes wrong. What was suppressed in the same way at
/// the last poll is not told again, and nothing is where the agent only watches.
fn expected(ruling: Ruling) -> Option<Carried> {
    let (outcome, withheld) = match (ruling.verdict, ruling.mode) {
        (_, Mode::Off)
        | (
            Verdict::Suppressed {
                is_repeat: true, ..
            },
            _,
        ) => return None,
        (Verdict::Suppressed { by, .. }, _) => (Outcome::Suppressed(by), 0),
        (Verdict::Permitted { withheld }, Mode::Enforce) => (Outcome::Intended, withheld),
        (Verdict::Permitted { withheld }, Mode::DryRun) => (Outcome::DryRun, withheld),
    };
    Some(Carried {
        id: None,
        decision: ruling.decision,
        outcome,
        withheld,
        unsent: 0,
    })
}

fn entry(carried: &Carried) -> Entry {
    let decision = &carried.decision;
    let logs = match decision.action {
        Action::Log { duration } if carried.outcome == Outcome::Intended => decision
            .sessions
            .iter()
            .map(|&session| LogStart {
                session,
                until: decision.at + duration,
            })
            .collect(),
        _ => Vec::new(),
    };
    Entry {
        decision: decision.clone(),
        outcome: carried.outcome.clone(),
        logs,
    }
}

fn fail_intended(carried: &mut [Carried], error: &JournalError) {
    let intended = carried
        .iter_mut()
        .filter(|carried| carried.outcome == Outcome::Intended);
    for carried in intended {
        let detail = format!("not done, for the journal cannot be written: {error}");
        carried.outcome = Outcome::Failed { detail };
        carried.unsent = carried.decision.sessions.len().max(1);
    }
}

/// The epoch and the sessions of the intended decisions with such an action.
fn sessions_of(
    carried: &[Carried],
    intended: &[usize],
    is_wanted: impl Fn(&Action) -> bool,
) -> Option<(Epoch, Vec<u64>)> {
    let decisions = || {
        intended
            .iter()
            .map(|&i| &carried[i].decision)
            .filter(|d| is_wanted(&d.action))
    };
    let epoch = decisions().next()?.epoch;
    Some((
        epoch,
        decisions()
            .flat_map(|d| &d.sessions)
            .map(|session| session.id)
            .collect(),
    ))
}

async fn disconnect(carried: &mut [Carried], intended: &[usize], client: &mut Client) {
    let is_disconnect = |action: &Action| action.kind().disconnects();
    let Some((epoch, ids)) = sessions_of(carried, intended, is_disconnect) else {
        return;
    };
    let words = Words::new(client.disconnect(epoch, &ids).await);
    for &i in intended {
        let Carried {
            decision,
            outcome,
            unsent,
            ..
        } = &mut carried[i];
        if is_disconnect(&decision.action) {
            *unsent = words.unsent(&decision.sessions);
            *outcome = words.outcome(&decision.sessions, "disconnected", |Disconnected| None);
        }
    }
}

fn alert(carried: &mut [Carried], intended: &[usize]) {
    for &i in intended {
        let Carried {
            decision, outcome, ..
        } = &mut carried[i];
        if decision.action == Action::Alert {
            let told = Outcome::Executed {
                detail: "told".into(),
            };
            tell_alert(decision, &told);
            *outcome = told;
        }
    }
}

fn tell_alert(decision: &Decision, outcome: &Outcome) {
    let keys = Keys::of(decision, outcome);
    let of = if decision.target == Target::Server {
        keys.scope.to_owned()
    } else {
        format!("{} `{}`", keys.scope, keys.target)
    };
    keys.alert(format_args!(
        "{}; by `{}` on {of}",
        keys.evidence(),
        keys.policy
    ));
}
