//! What is done about bans at each poll: who is there all the same goes, the journal has what changed, and
//! the sinks are told.

use tracing::{error, info, warn};

use super::Agent;
use super::recurrence::News;
use crate::decision::SessionRef;
use crate::escape;
use crate::journal::{Event, StateChange};
use crate::penalty::PenaltyNews;
use crate::policy::Mode;
use crate::sink::{Sinks, Word};
use crate::snapshot::Snapshot;

impl Agent {
    /// Has bans take hold by these sinks, beside the `LocalRPC`. An agent that does not enforce lets everybody
    /// in again whom one before it kept out by them.
    pub fn keep_out_by(&mut self, mut sinks: Sinks) {
        let bans = self.warden.penalties().bans.all();
        let spared = std::mem::take(&mut self.spared);
        match self.warden.settings().mode {
            Mode::Enforce => sinks.begin(bans, spared),
            Mode::DryRun | Mode::Off => sinks.begin([], spared.into_iter().chain(bans)),
        }
        self.sinks = sinks;
    }

    /// What of strikes and bans the journal does not have yet. The sinks hear of it by
    /// [`Self::tell_sinks`], when it is certain.
    pub(super) fn penalty_changes(&mut self) -> Vec<StateChange> {
        let PenaltyNews { bans, strikes } = self.warden.penalty_news();
        if !self.sinks.is_empty() {
            self.ban_news.extend(bans.iter().cloned());
        }
        let bans = bans.into_iter().map(|(net, ban)| match ban {
            Some(ban) => StateChange::Ban(ban),
            None => StateChange::Unban(net),
        });
        let strikes = strikes.into_iter().map(|(net, offender)| match offender {
            Some(offender) => StateChange::Strike(offender),
            None => StateChange::Pardon(net),
        });
        bans.chain(strikes).collect()
    }

    /// Disconnects whoever is there and banned; how many the server was not asked for.
    pub(super) async fn hold_off(&mut self, sessions: &[SessionRef], mode: Mode) -> usize {
        let Snapshot { epoch, .. } = self.snapshot;
        let client = &mut self.client;
        let unsent = self.actor.hold_off(sessions, epoch, mode, client).await;
        let asked = sessions.len() - unsent;
        let at = self.snapshot.at();
        self.warden.held_off(&sessions[..asked], at);
        unsent
    }

    /// After the acts of a poll: the sinks follow what came of them.
    pub(super) fn tell_sinks(&mut self) {
        let news = std::mem::take(&mut self.ban_news);
        if self.warden.settings().mode == Mode::Enforce {
            self.sinks.tell(news);
        }
    }

    /// Logs and journals what sinks said.
    pub(super) fn hear_sinks(&mut self) {
        let evicted = self.warden.penalties().bans.evicted();
        let news = evicted - self.evicted_bans;
        self.evicted_bans = evicted;
        let at = self.clock.now();
        if let Some(News::Begun(bans) | News::GoesOn(bans)) = self.full_bans.note(news, at) {
            warn!(
                bans,
                "so many bans were lifted before their end, for there are as many as there may be"
            );
        }
        let failing: Vec<&str> = self
            .sinks
            .statuses()
            .filter(|status| status.failing.is_some())
            .map(|status| status.name)
            .collect();
        for (sink, word) in self.sinks.words() {
            let event = match word {
                Word::Holds(_) => continue,
                Word::Fails(_) if failing.contains(&sink) => continue,
                Word::Fails(why) => {
                    error!(
                        sink,
                        "bans do not take hold by `{sink}`: {}; it is tried again",
                        escape::log(&why)
                    );
                    Event::SinkFailed {
                        sink: sink.into(),
                        why,
                    }
                }
                Word::Recovered(held) => {
                    info!(
                        sink,
                        held, "bans take hold by `{sink}` again: {held} networks"
                    );
                    let held = held as u64;
                    Event::SinkRecovered {
                        sink: sink.into(),
                        held,
                    }
                }
                Word::Repaired(what) => {
                    warn!(sink, "`{sink}` was put right: {}", escape::log(&what));
                    Event::SinkRepaired {
                        sink: sink.into(),
                        what,
                    }
                }
            };
            let noted = self.journal.note(self.clock.now(), &event);
            self.note_journal(noted);
        }
    }
}
