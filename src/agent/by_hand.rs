//! What people ask of the running agent: answered between two polls, journalled with the user, and recorded so
//! that a replay follows.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracing::{info, warn};

use super::{Agent, saved_limits};
use crate::control::{
    Answer, BANS_DEFAULT, BANS_MAX, BanRow, BannedAnswer, BansAnswer, BreakerAnswer, ClosedAnswer,
    Control, LiftedAnswer, Network, PardonedAnswer, Place, REASON_CHARS_MAX, Request, SinkRow,
    StoppedRow, User,
};
use crate::escape;
use crate::journal::{Event, StateChange};
use crate::penalty::{Ban, Face, ManualAct};
use crate::time::Timestamp;
use crate::units::format_duration;
use crate::warden::{BanRequest, Lift};

/// What is recorded of one poll: more changes wait for the next.
const CHANGES_MAX: usize = 1_000;

/// Of a page of bans: a ban may have many holes.
const HOLES_MAX: usize = 10_000;

/// What people changed since the last poll, for the recording.
#[derive(Debug, Default)]
pub(super) struct ByHand {
    pub(super) acts: Vec<ManualAct>,
    /// Policies that the breaker lets go on.
    pub(super) closed: Vec<Arc<str>>,
}

/// Why something is not done, for whoever asked.
type Told = String;

impl Agent {
    /// Answers whoever asks over this socket, between two polls.
    pub fn answer_over(&mut self, control: Control) {
        self.control = Some(Box::new(control));
    }

    /// Waits for the next request, and answers it. It may be given up at any time.
    pub async fn answer_next(&mut self) {
        let asked = match &mut self.control {
            Some(control) => control.next().await,
            None => return std::future::pending().await,
        };
        if asked.is_waited_for() {
            let answer = match self.answer(&asked.request, &asked.user) {
                Ok(value) => Answer::Ok(value),
                Err(why) => Answer::Error(why),
            };
            asked.answer(answer);
        }
    }

    fn answer(&mut self, request: &Request, user: &User) -> Result<serde_json::Value, Told> {
        match request {
            Request::Bans {
                limit,
                after,
                would_be,
            } => {
                let limit = limit.unwrap_or(BANS_DEFAULT).clamp(1, BANS_MAX);
                let face = if *would_be {
                    Face::Rehearsed
                } else {
                    Face::Real
                };
                json(&self.bans(face, limit, *after))
            }
            Request::Ban {
                net,
                for_s,
                reason,
                regulars_too,
            } => {
                let request = BanRequest {
                    net: net.0,
                    duration: Duration::from_secs(*for_s),
                    user: user.to_string().into(),
                    reason: reason.trim().into(),
                    regulars_too: *regulars_too,
                };
                json(&self.ban(&request)?)
            }
            Request::Unban { net, policy, all } => {
                let lift = match (net, policy, all) {
                    (Some(net), None, false) => Lift::Net(net.0),
                    (None, Some(policy), false) => Lift::Policy(policy.as_str().into()),
                    (None, None, true) => Lift::All,
                    _ => return Err("say whom: one of `net`, `policy` and `\"all\":true`".into()),
                };
                json(&self.lift(&lift, user)?)
            }
            Request::Pardon { net } => json(&self.pardon(*net, user)?),
            Request::Breaker {} => json(&self.breaker()),
            Request::BreakerClose { policy } => json(&self.close_breaker(policy, user)?),
        }
    }

    fn bans(&self, face: Face, limit: usize, after: Option<Place>) -> BansAnswer {
        let penalties = self.warden.penalties();
        let at = self.clock.now();
        let after = after.map(|place| (place.begin, place.net));
        let bans = match face {
            Face::Real => &penalties.bans,
            Face::Rehearsed => &penalties.rehearsed,
        };
        let page = bans.newest(after, limit + 1);
        let mut holes = 0;
        let rows = page.iter().take(limit).take_while(|ban| {
            let is_within = holes <= HOLES_MAX;
            holes += ban.holes.len();
            is_within
        });
        let bans: Vec<BanRow> = rows
            .map(|&ban| BanRow {
                ban: ban.clone(),
                strikes: penalties.strikes.level(&ban.net, face, at),
            })
            .collect();
        let is_last = bans.len() == page.len();
        let last = bans.last().filter(|_| !is_last);
        BansAnswer {
            mode: self.warden.mode(),
            total: penalties.bans.len(),
            would_be: penalties.rehearsed.len(),
            next: last.map(
                |BanRow {
                     ban: Ban { begin, net, .. },
                     ..
                 }| Place {
                    begin: *begin,
                    net: *net,
                },
            ),
            bans,
            sinks: self
                .sinks
                .statuses()
                .map(|status| SinkRow {
                    name: status.name.to_owned(),
                    held: status.held,
                    failing: status.failing.clone(),
                })
                .collect(),
        }
    }

    fn ban(&mut self, request: &BanRequest) -> Result<BannedAnswer, Told> {
        self.check_writable()?;
        if request.reason.chars().count() > REASON_CHARS_MAX {
            return Err(format!(
                "a reason has at most {REASON_CHARS_MAX} characters"
            ));
        }
        let at = self.clock.now();
        let planned = self.warden.plan_ban(request, at);
        let planned = planned.map_err(|refusal| refusal.to_string())?;
        let ban = &planned.ban;
        let event = Event::BannedByHand {
            net: ban.net,
            until: ban.end,
            holes: ban.holes.len(),
            user: request.user.to_string(),
            reason: request.reason.to_string(),
        };
        let change = StateChange::Ban(ban.clone());
        self.follow(at, &event, &[change], vec![ManualAct::Ban(ban.clone())])?;
        warn!(
            network = %ban.net,
            user = &*escape::log(&request.user),
            "`{}` is banned by hand for {} by {}: {}",
            Network(ban.net),
            format_duration(request.duration),
            escape::log(&request.user),
            escape::log(&request.reason)
        );
        Ok(BannedAnswer {
            ban: planned.ban,
            replaces: planned.replaces,
        })
    }

    fn lift(&mut self, lift: &Lift, user: &User) -> Result<LiftedAnswer, Told> {
        self.check_writable()?;
        let planned = self.warden.plan_lift(lift);
        let planned = planned.map_err(|refusal| refusal.to_string())?;
        let what = match lift {
            Lift::Net(net) => Network(*net).to_string(),
            Lift::Policy(policy) => format!("policy {policy}"),
            Lift::All => "all".to_owned(),
        };
        let event = Event::LiftedByHand {
            what: what.clone(),
            bans: planned.bans,
            holed: planned.holed.len(),
            user: user.to_string(),
        };
        let ended = planned.ended.iter().copied().map(StateChange::Unban);
        let rest = planned.acts.iter().filter_map(|act| match act {
            ManualAct::Ban(holed) => Some(StateChange::Ban(holed.clone())),
            ManualAct::UnbanPolicy(policy) => Some(StateChange::UnbanPolicy(policy.clone())),
            ManualAct::UnbanAll => Some(StateChange::UnbanAll),
            ManualAct::Unban(_) | ManualAct::Pardon(_) => None,
        });
        let changes: Vec<StateChange> = ended.chain(rest).collect();
        self.follow(self.clock.now(), &event, &changes, planned.acts)?;
        let name = user.to_string();
        warn!(
            bans = planned.bans,
            user = &*escape::log(&name),
            "bans are lifted by hand, by {}: {}",
            escape::log(&name),
            escape::log(&what)
        );
        Ok(LiftedAnswer {
            bans: planned.bans,
            holed: planned.holed,
        })
    }

    fn pardon(&mut self, net: Network, user: &User) -> Result<PardonedAnswer, Told> {
        self.check_writable()?;
        let at = self.clock.now();
        let pardoned = self.warden.plan_pardon(&net.0, at);
        let event = Event::Pardoned {
            net: net.0,
            user: user.to_string(),
        };
        let clients = self.follow(at, &event, &[], vec![ManualAct::Pardon(net.0)])?;
        self.save_clients();
        let name = user.to_string();
        info!(
            network = %net.0,
            user = &*escape::log(&name),
            "`{net}` is pardoned by {}",
            escape::log(&name)
        );
        Ok(PardonedAnswer {
            net: net.0,
            strikes: pardoned.strikes,
            offenders: pardoned.offenders,
            clients,
            banned_until: pardoned.banned_until,
        })
    }

    fn breaker(&self) -> BreakerAnswer {
        let at = self.clock.now();
        let stopped = self.warden.stopped(at).into_iter();
        BreakerAnswer {
            stopped: stopped
                .map(|(policy, until)| StoppedRow { policy, until })
                .collect(),
            share_used_up_until: self.warden.share_used_up_until(at),
        }
    }

    fn close_breaker(&mut self, policy: &str, user: &User) -> Result<ClosedAnswer, Told> {
        self.check_writable()?;
        let at = self.clock.now();
        let stopped = self.warden.stopped(at);
        if !stopped.iter().any(|(other, _)| **other == *policy) {
            return Err(format!("the breaker has not stopped `{policy}`"));
        }
        let event = Event::BreakerClosed {
            policy: policy.to_owned(),
            user: user.to_string(),
        };
        self.follow(at, &event, &[], Vec::new())?;
        self.warden.close_breaker(policy);
        self.by_hand.closed.push(policy.into());
        let limits = StateChange::Limits(saved_limits(&self.warden));
        let saved = self.journal.save(&[limits]);
        self.note_journal(saved);
        let (policy_name, name) = (escape::log(policy), user.to_string());
        warn!(
            policy = &*policy_name,
            user = &*escape::log(&name),
            "the breaker of policy `{policy_name}` was closed by {}",
            escape::log(&name)
        );
        Ok(ClosedAnswer {
            policy: policy.to_owned(),
        })
    }

    /// Whether what a person wants can be journalled and recorded.
    fn check_writable(&self) -> Result<(), Told> {
        if self.is_journal_down {
            return Err("the journal cannot be written, so nothing is done: see the log".into());
        }
        if self.by_hand.acts.len() + self.by_hand.closed.len() >= CHANGES_MAX {
            return Err("too many changes between two polls: try again after the next".into());
        }
        Ok(())
    }

    /// Journals what a person does, and then does it; the sinks hear of it at once. How many clients a pardon
    /// concerns.
    fn follow(
        &mut self,
        at: Timestamp,
        event: &Event,
        changes: &[StateChange],
        acts: Vec<ManualAct>,
    ) -> Result<usize, Told> {
        if let Err(error) = self.journal.note_with(at, event, changes) {
            let why = format!("nothing is done, for the journal cannot be written: {error}");
            self.note_journal(Err(error));
            return Err(why);
        }
        let mut clients = 0;
        for act in &acts {
            clients += self.warden.change_by_hand(act);
        }
        self.by_hand.acts.extend(acts);
        // What is journalled already is so again, which changes nothing; with it goes what went for want of room.
        let is_whole = matches!(
            changes,
            [StateChange::UnbanAll | StateChange::UnbanPolicy(_), ..]
        );
        let rest = self.penalty_changes();
        if !is_whole {
            let saved = self.journal.save(&rest);
            self.note_journal(saved);
        }
        self.tell_sinks();
        Ok(clients)
    }
}

fn json(answer: &impl Serialize) -> Result<serde_json::Value, Told> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}
