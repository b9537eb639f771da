//! Takes in a replay poll by poll, and sums it up.

use std::sync::Arc;
use std::time::Duration;

use super::crowd::{Crowd, Moved};
use super::side::{Came, Side, SideTally, Sides};
use super::timeline::{Bins, Point};
use super::touched::{Touch, Touched, Which};
use super::{
    Comparison, DISTINCT_MAX, Decided, Gap, LISTED_MAX, Missed, Moment, PolicyPair, Replayed,
    Report, ServerFacts, TOUCHED_MAX,
};
use crate::act::Carried;
use crate::decision::SessionRef;
use crate::history::Bounds;
use crate::snapshot::{Server, Snapshot};
use crate::time::Timestamp;
use crate::warden::{Followed, Settings};

/// Ways in which polls failed that are told apart.
const REASONS_MAX: usize = 5;
/// A reason is cut here.
const REASON_BYTES_MAX: usize = 200;
/// Versions and coins that are listed.
const SERVERS_MAX: usize = 10;

/// The figures so far. What it remembers is bounded by the sessions connected at one time and by the constants of this
/// module, not by the recording's length; a poll in which nobody comes allocates nothing per session.
#[derive(Debug)]
pub struct Collector {
    replayed: Replayed,
    sides: Sides,
    crowd: Crowd,
    touched: Touched,
    bins: Bins,
    /// The last poll, good or not, and the last good one.
    gap_max: Duration,
    last_at: Option<Timestamp>,
    last: Option<Last>,
}

/// What the last good poll said of the server.
#[derive(Debug)]
struct Last {
    at: Timestamp,
    errors: u64,
    pid: Option<u64>,
    /// By its uptime.
    started: Option<Timestamp>,
}

impl Collector {
    /// For a replay of one set of policies, or of two side by side.
    pub fn new(decided: Side, against: Option<Side>) -> Self {
        Self {
            replayed: Replayed::default(),
            sides: Sides {
                decided: SideTally::new(decided),
                against: against.map(SideTally::new),
            },
            crowd: Crowd::default(),
            touched: Touched::default(),
            bins: Bins::new(),
            last_at: None,
            last: None,
            gap_max: Bounds::default().gap_max,
        }
    }

    /// Takes in that another run of the agent begins: what it calls a connection says nothing of those before.
    /// Longer times than its `gap_max` without a good poll are gaps to it. How wide subnets are, the first says for all:
    /// counts of different ones are no count.
    pub fn start(&mut self, settings: &Settings) {
        self.gap_max = settings.bounds.gap_max;
        if self.last_at.is_none() {
            self.touched.measure(settings.widths);
        }
        self.crowd.forget_connection();
    }

    /// Takes in a poll that succeeded, and what each set of policies decided on it. Polls come in the order of time.
    pub fn poll(&mut self, snapshot: &Snapshot, decided: &[Carried], against: &[Carried]) {
        let at = snapshot.at();
        self.tick(at);
        self.replayed.polls += 1;
        let moved = self.crowd.follow(snapshot, &mut self.touched);
        self.note(at, moved);
        self.observe_server(at, &snapshot.server, moved);
        self.take(Which::Decided, decided, Some(snapshot));
        self.take(Which::Against, against, Some(snapshot));
        if self.touched.has_fresh() {
            self.crowd.join(&mut self.touched);
        }
    }

    /// Takes in who is there at the last poll although a ban keeps them out, or would.
    pub fn held_off(&mut self, decided: &[SessionRef], against: &[SessionRef]) {
        for (which, sessions) in [(Which::Decided, decided), (Which::Against, against)] {
            for &session in sessions {
                if let Some((_, did, mark)) = self.crowd.find(session.id) {
                    self.touched.keep_out(mark, which, session, did);
                }
            }
        }
    }

    /// Takes in a poll that failed, why, and what was decided all the same.
    pub fn missed(&mut self, at: Timestamp, why: &str, decided: &[Carried], against: &[Carried]) {
        self.tick(at);
        self.replayed.missed += 1;
        self.bins.miss(at);
        self.count_reason(why);
        self.take(Which::Decided, decided, None);
        self.take(Which::Against, against, None);
    }

    /// Takes in what the last poll, good or not, held back beyond what an agent tells one by one: clients
    /// could wash out a journal with it, but here it only counts.
    pub fn untold(&mut self, decided: &[Carried], against: &[Carried]) {
        self.take(Which::Decided, decided, None);
        self.take(Which::Against, against, None);
    }

    /// Takes in what became of the load after acts of the first set.
    pub fn followed(&mut self, followed: &[Followed]) {
        for news in followed {
            self.sides.decided.followed(news);
        }
    }

    /// Takes in that the breaker of the first set was open at `at`. Decisions that it holds back say so themselves;
    /// this is for openings that held nothing back.
    pub fn breaker_open(&mut self, at: Timestamp, until: Timestamp) {
        self.sides.decided.breaker_open(at, until);
    }

    /// The figures.
    pub fn finish(self) -> Report {
        let Self {
            mut replayed,
            sides,
            crowd,
            mut touched,
            bins,
            ..
        } = self;
        let seen = crowd.close(&mut touched);
        replayed.sessions = seen.sessions;
        replayed.private_sessions = seen.private;
        replayed.addresses = seen.addresses.count();
        replayed.subnets = seen.subnets.count();
        replayed
            .missed_because
            .sort_by_key(|reason| std::cmp::Reverse(reason.count));

        let mut bounds_reached = Vec::new();
        let mut reached = |is_full: bool, what: &str, max: usize| {
            if is_full {
                bounds_reached.push(format!("{what} are counted up to {max}; there were more"));
            }
        };
        let [addresses_full, subnets_full] = touched.is_full();
        reached(seen.addresses.is_full(), "addresses seen", DISTINCT_MAX);
        reached(seen.subnets.is_full(), "subnets seen", DISTINCT_MAX);
        reached(addresses_full, "addresses touched", TOUCHED_MAX);
        reached(subnets_full, "subnets touched", TOUCHED_MAX);
        let targets_full =
            sides.decided.is_full() || sides.against.as_ref().is_some_and(SideTally::is_full);
        reached(
            targets_full,
            "targets of all policies together",
            DISTINCT_MAX,
        );

        let bans_full = sides.decided.bans().is_full()
            || sides
                .against
                .as_ref()
                .is_some_and(|side| side.bans().is_full());
        reached(bans_full, "networks banned", TOUCHED_MAX);

        let policies_against = sides.against.as_ref().map(SideTally::len);
        let timeline = bins.finish(sides.decided.len(), policies_against);
        let (bytes, sessions) = (replayed.bytes(), replayed.sessions);
        let finish = |side: SideTally, which| {
            let totals = touched.totals(which, sessions, bytes);
            side.finish(&totals, touched.kept_out(which), &replayed)
        };
        let decided = finish(sides.decided, Which::Decided);
        let against = sides.against.map(|side| finish(side, Which::Against));
        let (sessions, addresses, subnets) = touched.finish(bytes);
        let comparison = against.as_ref().map(|against| Comparison {
            sessions,
            addresses,
            subnets,
            policies: pairs(&decided, against),
        });
        Report {
            replayed,
            decided,
            against,
            comparison,
            timeline,
            bounds_reached,
        }
    }

    fn tick(&mut self, at: Timestamp) {
        let replayed = &mut self.replayed;
        replayed.from.get_or_insert(at);
        replayed.to = Some(replayed.to.map_or(at, |to| to.max(at)));
        if let Some(from) = self.last_at.replace(at) {
            let elapsed = at.since(from);
            if elapsed > self.gap_max {
                replayed.gaps += 1;
                replayed.gaps_s += elapsed.as_secs_f64();
                list(&mut replayed.gaps_listed, Gap { from, to: at });
            }
        }
    }

    fn note(&mut self, at: Timestamp, moved: Moved) {
        let replayed = &mut self.replayed;
        let did = moved.did;
        replayed.recv_bytes = replayed.recv_bytes.saturating_add(did.recv);
        replayed.sent_bytes = replayed.sent_bytes.saturating_add(did.sent);
        replayed.requests = replayed.requests.saturating_add(did.requests);
        if replayed.sessions_peak_at.is_none() || moved.sessions > replayed.sessions_peak {
            replayed.sessions_peak = moved.sessions;
            replayed.sessions_peak_at = Some(at);
        }
    }

    fn observe_server(&mut self, at: Timestamp, server: &Server, moved: Moved) {
        let before = self.last.replace(Last {
            at,
            errors: server.errors,
            pid: server.pid,
            started: server.uptime.map(|uptime| at - uptime.at_least),
        });
        let is_restart = before
            .as_ref()
            .is_some_and(|before| before.is_other(at, server));
        if is_restart {
            self.replayed.restarts += 1;
            list(&mut self.replayed.restarts_listed, Moment(at));
        }
        self.name_server(server);
        // Errors leave the count with their sessions, so that a rise is the least that was made.
        let errors = before.as_ref().map_or(0, |before| {
            let earlier = if is_restart { 0 } else { before.errors };
            server.errors.saturating_sub(earlier)
        });
        let span = before.map(|before| at.since(before.at)).unwrap_or_default();
        self.bins.add(Point {
            at,
            span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            sessions: moved.sessions,
            recv: moved.did.recv,
            sent: moved.did.sent,
            errors,
            server,
        });
    }

    fn name_server(&mut self, server: &Server) {
        let servers = &mut self.replayed.servers;
        let is_known = servers
            .last()
            .is_some_and(|known| known.version == server.version && known.coin == server.coin);
        if !is_known && servers.len() < SERVERS_MAX {
            servers.push(ServerFacts {
                version: server.version.clone(),
                coin: server.coin.clone(),
            });
        }
    }

    fn count_reason(&mut self, why: &str) {
        let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
        let reasons = &mut self.replayed.missed_because;
        let find =
            |reasons: &[Missed], why: &str| reasons.iter().position(|known| known.why == why);
        let why = match find(reasons, why) {
            None if reasons.len() >= REASONS_MAX => "other",
            _ => why,
        };
        match find(reasons, why) {
            Some(known) => reasons[known].count += 1,
            None => reasons.push(Missed {
                why: why.to_owned(),
                count: 1,
            }),
        }
    }

    fn take(&mut self, which: Which, all: &[Carried], snapshot: Option<&Snapshot>) {
        for carried in all {
            let Some(side) = self.sides.get(which) else {
                return;
            };
            let (policy, came) = side.count(carried);
            match came {
                Came::Act => self.bins.act(which, policy as usize),
                Came::Suppressed => self.bins.suppress(which),
                Came::Failed => {}
            }
            if came == Came::Act {
                self.touch(which, policy, carried, snapshot);
            }
        }
    }

    fn touch(&mut self, which: Which, policy: u32, carried: &Carried, snapshot: Option<&Snapshot>) {
        let decision = &carried.decision;
        for &session in &decision.sessions {
            let Some((row, _, mark)) = self.crowd.find(session.id) else {
                continue;
            };
            let touch = Touch {
                which,
                policy,
                action: decision.action.kind(),
                at: decision.at,
                session,
                client: snapshot.map(|snapshot| client(snapshot, row)),
            };
            self.touched.touch(mark, touch, &mut self.sides);
        }
    }
}

impl Last {
    /// Whether the server at `at` is another process.
    fn is_other(&self, at: Timestamp, server: &Server) -> bool {
        let is_younger = self
            .started
            .zip(server.uptime)
            .is_some_and(|(started, now)| {
                let at_most = now.at_least + now.resolution;
                at_most + super::crowd::CLOCK_SLACK < at.since(started)
            });
        // In a container a pid can come again.
        is_younger
            || self
                .pid
                .zip(server.pid)
                .is_some_and(|(then, now)| then != now)
    }
}

fn client(snapshot: &Snapshot, row: usize) -> &str {
    let sessions = &snapshot.sessions;
    sessions.names.get(sessions.client[row])
}

fn list<T>(listed: &mut Vec<T>, one: T) {
    if listed.len() < LISTED_MAX {
        listed.push(one);
    }
}

fn pairs(decided: &Decided, against: &Decided) -> Vec<PolicyPair> {
    let find = |side: &Decided, name: &Arc<str>| {
        let policy = side.policies.iter().find(|policy| policy.name == *name);
        policy.map(super::PolicyFigures::pair)
    };
    let ours = decided.policies.iter();
    let theirs = against.policies.iter();
    let theirs = theirs.filter(|policy| find(decided, &policy.name).is_none());
    ours.chain(theirs)
        .map(|policy| PolicyPair {
            name: policy.name.clone(),
            decided: find(decided, &policy.name),
            against: find(against, &policy.name),
        })
        .collect()
}
