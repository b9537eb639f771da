//! The decisions of a replay as they come: shown, and written into a journal of their own.

use std::path::Path;

use serde::Serialize;

use crate::act::{Carried, Confirmed, FollowedRows};
use crate::cli::exit::Failure;
use crate::cli::json::decision_json;
use crate::cli::screen::{Format, Screen};
use crate::cli::setup;
use crate::cli::show::{self, decision_line};
use crate::decision::Outcome;
use crate::escape;
use crate::journal::{DecisionId, Entry, ReplayJournal, Replayed, StateChange};
use crate::policy::Mode;
use crate::replay::Turn;
use crate::time::Timestamp;
use crate::warden::Warden;
use crate::watch::Confirmation;

/// What the server is known to have said of a change of daemon is cut to this many columns.
const DETAIL_COLUMNS: usize = 400;

/// Where decisions go.
pub(super) struct Told {
    journal: Option<ReplayJournal>,
    /// How they are shown, if they are.
    shown: Option<Format>,
    decisions: i64,
    /// The last change of daemon, of which there may be news.
    confirmed: Option<Confirmed>,
    /// The rows of acts that are followed.
    followed: FollowedRows,
    modes: Vec<(Timestamp, Mode)>,
}

impl Told {
    pub(super) fn new(journal: Option<&Path>, shown: Option<Format>) -> Result<Self, Failure> {
        let journal = journal.map(ReplayJournal::create).transpose();
        Ok(Self {
            journal: journal.map_err(setup::unusable)?,
            shown,
            decisions: 0,
            confirmed: None,
            followed: FollowedRows::default(),
            modes: Vec::new(),
        })
    }

    /// Another run of the agent begins: it knows nothing of changes before.
    pub(super) fn start(&mut self) {
        self.confirmed = None;
    }

    /// What came of a poll at `at`, under the agent's mode of that time.
    pub(super) fn turn(
        &mut self,
        at: Timestamp,
        mode: Mode,
        turn: Turn,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        if self.modes.last().is_none_or(|(_, last)| *last != mode) {
            self.modes.push((at, mode));
        }
        // News is of a change before this poll.
        if let Some((_, news)) = &turn.confirmation {
            self.amend(at, news, screen)?;
        }
        if let Some(journal) = &mut self.journal {
            let reliefs = self.followed.reliefs(&turn.followed);
            if !reliefs.is_empty() {
                journal.relieve(&reliefs).map_err(setup::unusable)?;
            }
        }
        turn.carried
            .into_iter()
            .try_for_each(|carried| self.decision(carried, screen))
    }

    fn decision(&mut self, carried: Carried, screen: &mut Screen) -> Result<(), Failure> {
        self.decisions += 1;
        let id = DecisionId(self.decisions);
        if let Some(confirmed) = Confirmed::of(&carried, id)
            && let Some(before) = self.confirmed.replace(confirmed)
        {
            let overtaken = before.id();
            self.write_amended(overtaken, before.overtaken(id))?;
        }
        let Carried {
            decision, outcome, ..
        } = carried;
        match self.shown {
            None => {}
            Some(Format::Text) => {
                let line = decision_line(&decision, &outcome);
                screen.entry(&format!("{}  {line}", show::time(decision.at)), 12)?;
            }
            Some(Format::Json) => {
                screen.json("decision", &decision_json(Some(id), &decision, &outcome))?;
            }
        }
        if let Some(journal) = &mut self.journal {
            // Those of them that are not followed are never told of.
            let is_done = matches!(outcome, Outcome::Executed { .. });
            if is_done && decision.action.kind().disconnects() {
                self.followed.add(&decision, id);
            }
            journal.add(Entry::new(decision, outcome))?;
        }
        Ok(())
    }

    /// The live agent amends its journal, and so does this one.
    fn amend(
        &mut self,
        at: Timestamp,
        news: &Confirmation,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        let Some(confirmed) = &mut self.confirmed else {
            return Ok(());
        };
        let (id, outcome) = (confirmed.id(), confirmed.amended(news));
        if news.is_last() {
            self.confirmed = None;
        }
        let amendment = Amendment::of(at, id, &outcome);
        match self.shown {
            None => {}
            Some(Format::Text) => {
                screen.entry(&amendment.line(&outcome), 12)?;
            }
            Some(Format::Json) => screen.json("amendment", &amendment)?,
        }
        self.write_amended(id, outcome)
    }

    fn write_amended(&mut self, id: DecisionId, outcome: Outcome) -> Result<(), Failure> {
        if let Some(journal) = &mut self.journal {
            journal.amend(id, outcome)?;
        }
        Ok(())
    }

    /// Puts the journal, if there is one, in its place.
    pub(super) fn keep(
        self,
        replayed: impl FnOnce(Vec<(Timestamp, Mode)>) -> Replayed,
        warden: &Warden,
    ) -> Result<(), Failure> {
        let Some(journal) = self.journal else {
            return Ok(());
        };
        let cooldowns = warden.running_cooldowns().into_iter();
        let state: Vec<StateChange> = cooldowns.map(StateChange::Cooldown).collect();
        let kept = journal.keep(&replayed(self.modes), &state);
        kept.map_err(setup::unusable)
    }
}

/// What became of the outcome of a decision that was told before.
#[derive(Serialize)]
struct Amendment<'a> {
    id: DecisionId,
    at: String,
    outcome: &'static str,
    detail: &'a str,
}

impl<'a> Amendment<'a> {
    fn of(at: Timestamp, id: DecisionId, outcome: &'a Outcome) -> Self {
        Self {
            id,
            at: at.to_string(),
            outcome: show::outcome_word(outcome),
            detail: match outcome {
                Outcome::Executed { detail } | Outcome::Failed { detail } => detail,
                Outcome::Intended | Outcome::DryRun | Outcome::Suppressed(_) => "",
            },
        }
    }

    fn line(&self, outcome: &Outcome) -> String {
        let Self { id, at, detail, .. } = self;
        let outcome = show::outcome_column(outcome);
        let detail = escape::terminal(detail, DETAIL_COLUMNS);
        format!("{at}  {outcome}  decision {id}, later: {detail}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anstream::adapter::strip_str;

    use super::*;
    use crate::decision::{Decision, Epoch, Target};
    use crate::journal::{Filter, Journal};
    use crate::policy::{Action, DaemonTarget, PolicySet};
    use crate::warden::Settings;
    use crate::watch::Change;

    const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn change(to: &str) -> Carried {
        Carried {
            id: None,
            decision: Decision {
                at: AT,
                epoch: Epoch(1),
                policy: "failover".into(),
                mode: Mode::Enforce,
                action: Action::DaemonUrl {
                    to: DaemonTarget::Best,
                },
                target: Target::Server,
                evidence: Vec::new(),
                held: Duration::ZERO,
                severity: 1.0,
                sessions: Vec::new(),
                spared: 0,
                choice: None,
                at_once: false,
                bans: Vec::new(),
                refused: Vec::new(),
                daemons: vec![to.into()],
            },
            outcome: Outcome::Executed {
                detail: format!("now using {to}"),
            },
            withheld: 0,
            unsent: 0,
        }
    }

    fn turn(carried: Vec<Carried>, news: Option<Confirmation>) -> Turn {
        let change = Change {
            policy: "failover".into(),
            at: AT,
            to: "10.0.0.2:8332".into(),
        };
        Turn {
            carried,
            confirmation: news.map(|news| (change, news)),
            ..Turn::default()
        }
    }

    /// As the live agent's journal has it.
    #[test]
    fn news_of_a_change_of_daemon_is_written_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.sqlite");
        let mut told = Told::new(Some(&path), None).unwrap();
        let mut screen = Screen::stdout();
        let after = Duration::from_secs(10);
        let turns = [
            turn(vec![change("10.0.0.2:8332")], None),
            turn(vec![], Some(Confirmation::Named { after })),
            // The one before still waits for a block.
            turn(vec![change("10.0.0.3:8332")], None),
            turn(vec![], Some(Confirmation::Named { after })),
            turn(vec![], Some(Confirmation::Followed { height: 900_000 })),
            turn(vec![change("10.0.0.4:8332")], None),
            turn(
                vec![],
                Some(Confirmation::Failed {
                    detail: "getinfo does not name the daemon".into(),
                }),
            ),
        ];
        for turn in turns {
            told.turn(AT, Mode::Enforce, turn, &mut screen).unwrap();
        }
        let warden = Warden::new(PolicySet::default(), Settings::default());
        let replayed = |modes| Replayed {
            recordings: Vec::new(),
            policies: String::new(),
            from: AT,
            to: AT,
            modes,
        };
        told.keep(replayed, &warden).unwrap();
        let reader = Journal::open_read_only(&path).unwrap();
        let filter = Filter {
            newest_first: false,
            ..Filter::default()
        };
        let outcomes = reader.query(&filter).unwrap();
        let outcomes: Vec<String> = outcomes
            .iter()
            .map(|row| format!("{:?}", row.outcome))
            .collect();
        insta::assert_snapshot!(outcomes.join("\n"), @r#"
        Executed { detail: "now using 10.0.0.2:8332; named by getinfo after 10s, overtaken by decision 2" }
        Executed { detail: "now using 10.0.0.3:8332; named by getinfo after 10s; followed to block 900000" }
        Failed { detail: "now using 10.0.0.4:8332, but getinfo does not name the daemon" }
        "#);
        assert_eq!(
            reader.replayed().unwrap().unwrap().modes,
            [(AT, Mode::Enforce)]
        );
    }

    #[test]
    fn news_is_shown() {
        let detail =
            "now using 10.0.0.2:8332; named by getinfo after 10s; its next block is to come";
        let outcome = Outcome::Executed {
            detail: detail.to_owned(),
        };
        let amendment = Amendment::of(AT, DecisionId(12), &outcome);
        insta::assert_snapshot!(strip_str(&amendment.line(&outcome)).to_string(), @"2026-01-01T00:00:00.000Z  executed    decision 12, later: now using 10.0.0.2:8332; named by getinfo after 10s; its next block is to come");
        insta::assert_snapshot!(serde_json::to_string(&amendment).unwrap(), @r#"{"id":12,"at":"2026-01-01T00:00:00.000Z","outcome":"executed","detail":"now using 10.0.0.2:8332; named by getinfo after 10s; its next block is to come"}"#);
    }
}
