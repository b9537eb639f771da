//! The report in words, for people who know nothing of it: what text and page say alike.
//!
//! Nothing that a client chose is in these words, so they need no escaping but that of their place.

use std::time::Duration;

use super::{
    Around, BanFigures, Comparison, Decided, Evidence, Helped, KeptOut, Outcomes, Parts, Replayed,
    Report, Totals,
};
use crate::decision::Seen;
use crate::field::{Dimension, Field, Scope};
use crate::policy::{ActionKind, Mode};
use crate::units;

/// From this share of all sessions on a person should look at what is done to them.
const SHARE_WORTH_A_LOOK: f64 = 0.1;
/// In a shorter time the hours of the day tell nothing.
const HOURS_MIN: Duration = Duration::from_hours(6);
/// From this share of all polls on it matters that they failed.
const MISSED_WORTH_A_LOOK: f64 = 0.01;

/// `1_234`
pub fn number(number: u64) -> String {
    units::format(number as f64, Dimension::Count)
}

/// `1_234 sessions`, `1 session`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// What loads were before acts, 30 s after and 5 min after.
pub fn helped(helped: &Helped) -> String {
    let format = |dimension| move |mean: f64| units::format(mean, dimension);
    let mut parts = Vec::new();
    parts.extend(around(
        "the targets' traffic",
        helped.target_bytes_per_s,
        format(Dimension::ByteRate),
    ));
    parts.extend(around(
        "requests pending",
        helped.pending_requests,
        format(Dimension::Count),
    ));
    parts.extend(around(
        "a wallet's wait",
        helped.felt_latency_s,
        format(Dimension::Duration),
    ));
    format!(
        "{} followed; before, 30s on and 5m on, on average: {}",
        counted(helped.acts, "act", "acts"),
        parts.join("; ")
    )
}

/// Nothing, if nobody knows how it was before.
fn around(what: &str, around: Around, format: impl Fn(f64) -> String) -> Option<String> {
    around.before?;
    let means = [around.before, around.soon, around.later];
    let means = means.map(|mean| mean.map_or("unknown".to_owned(), &format));
    Some(format!("{what} {}", means.join(", ")))
}

/// `20%`; what is not nothing is not `0%`, and what is not all is not `100%`.
pub fn share(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.000_1 => "<0.01%".to_owned(),
        s if s < 1.0 && s > 0.999 => "99.9%".to_owned(),
        s => units::format(s, Dimension::Share),
    }
}

/// `1.5 MiB`
pub fn bytes(bytes: u64) -> String {
    units::format(bytes as f64, Dimension::Size)
}

/// `1h30m`
pub fn span(seconds: f64) -> String {
    units::format(seconds, Dimension::Duration)
}

/// `3.2 times`, and nothing where there is no ratio.
pub fn severity(severity: f64) -> Option<String> {
    (severity.is_finite() && severity > 1.0)
        .then(|| format!("{} times", units::format(severity, Dimension::Count)))
}

/// A value as a test saw it, with its unit; unescaped.
pub fn seen(evidence: &Evidence) -> String {
    match &evidence.seen {
        Seen::Flag(flag) => flag.to_string(),
        Seen::Number(number) => match evidence.dimension {
            Some(dimension) => units::format_like(*number, dimension, &evidence.test),
            None => quantity(*number, evidence),
        },
        Seen::Text(text) => text.to_string(),
    }
}

/// What a test compared with, where the test itself does not say: `20x median` came to a number.
pub fn threshold(evidence: &Evidence) -> Option<String> {
    let operand = evidence.test.trim_start_matches(['>', '<', '=', '!', ' ']);
    let is_relative =
        operand.ends_with("median") || operand.starts_with('p') || operand.contains("x p");
    let threshold = evidence.threshold.filter(|_| is_relative)?;
    Some(quantity(threshold, evidence))
}

fn quantity(number: f64, evidence: &Evidence) -> String {
    units::format(number, evidence.dimension.unwrap_or(Dimension::Count))
}

/// What a field of an evidence is, from the reference.
pub(super) fn field(evidence: &Evidence) -> Option<String> {
    let doc = |name: &str| {
        // `subs`, or of a family with a method behind it.
        let name = name.split('.').next()?;
        let mut fields = Field::ALL.iter().map(|field| field.info());
        Some(fields.find(|info| info.name == name)?.doc)
    };
    let around = evidence.field.split_once('.');
    let around = around.and_then(|(scope, name)| Some((Scope::named(scope)?, name)));
    Some(match around {
        None => doc(&evidence.field)?.to_owned(),
        Some((Scope::Server, name)) => format!("of the server: {}", doc(name)?),
        Some((scope, name)) => format!("of its {scope}: {}", doc(name)?),
    })
}

/// What held decisions back, by its word in JSON.
pub fn held_back_by(by: &'static str) -> &'static str {
    match by {
        "protection" => "everybody concerned is protected, or leaving already",
        "cooldown" => "the policy had decided on this target not long ago",
        "backoff" => "after a failure the policy waits for longer",
        "policy-limit" => "the policy's own limit was used up",
        "action-limit" => "the limit for this kind of action was used up",
        "breaker" => "the breaker had stopped the policy",
        "share-of-all" => {
            "all policies together had disconnected as many regular clients as they may"
        }
        "banned" => "whoever it is about is banned already",
        "covered" => "another decision covered the same sessions",
        "uncertain-members" => "it was not certain who belongs to the group",
        "ambiguous-id" => "an RPC connection had the same number",
        "nothing-to-do" => "there was nothing left to change",
        "nobody-stands-out" => "nobody stood out, or whoever did it was gone",
        "unfit-daemon" => "that daemon was not fit to go to",
        other => other,
    }
}

impl Replayed {
    /// Whether it is long enough for the hours of the day to be worth a look.
    pub fn has_hours(&self) -> bool {
        let span = self.from.zip(self.to).map(|(from, to)| to.since(from));
        span.is_some_and(|span| span >= HOURS_MIN)
    }
}

impl Report {
    /// What was replayed and what would have come of it, a sentence each.
    pub fn summary(&self) -> Vec<String> {
        let replayed = &self.replayed;
        let (Some(from), Some(to)) = (replayed.from, replayed.to) else {
            return vec!["The recording holds no poll: there is nothing to tell.".to_owned()];
        };
        let asked = if from == to {
            "The server was asked once".to_owned()
        } else {
            format!(
                "Within {} the server was asked {}",
                span(to.since(from).as_secs_f64()),
                counted(replayed.polls + replayed.missed, "time", "times"),
            )
        };
        let mut sentences = vec![format!(
            "{asked}, and had {} from {}, at most {} at once.",
            counted(replayed.sessions, "client session", "client sessions"),
            counted(replayed.addresses, "public address", "public addresses"),
            number(replayed.sessions_peak),
        )];
        let of = |decided: &Decided, who| decided.summary(who, replayed);
        match &self.against {
            None => sentences.push(of(&self.decided, "The policies")),
            Some(against) => {
                sentences.push(of(&self.decided, "A"));
                sentences.push(of(against, "B"));
            }
        }
        sentences.extend(self.comparison.as_ref().map(Comparison::summary));
        sentences
    }

    /// What a person should look at before the policies may act; nothing if all is well.
    pub fn attention(&self) -> Vec<String> {
        let mut points = Vec::new();
        let replayed = &self.replayed;
        if let Some(comparison) = &self.comparison {
            comparison.attention(&mut points, replayed);
        }
        self.decided.attention(&mut points, replayed);
        let polls = replayed.polls + replayed.missed;
        if replayed.polls == 0 {
            points.push("No poll succeeded: the policies had nothing to judge.".to_owned());
        } else if super::share(replayed.missed, polls) >= MISSED_WORTH_A_LOOK {
            points.push(format!(
                "{} of {} failed: what clients did meanwhile is known only in part.",
                number(replayed.missed),
                counted(polls, "poll", "polls"),
            ));
        }
        if replayed.gaps > 0 {
            points.push(format!(
                "Nobody looked for {} in {}: rates and hold times began anew after each.",
                span(replayed.gaps_s),
                counted(replayed.gaps, "gap", "gaps"),
            ));
        }
        for bound in &self.bounds_reached {
            points.push(format!("A bound was reached: {bound}."));
        }
        points
    }
}

/// Why there was no ban, by its word in JSON.
pub fn refused_because(why: &'static str) -> &'static str {
    match why {
        "regulars" => "regular clients share the network",
        "protected" => "a protected client shares the network",
        "own" => "the network is the server's own",
        "limit" => "the budget of bans was used up",
        other => other,
    }
}

impl BanFigures {
    /// What they came to, in a sentence.
    fn summary(&self, who: &str, had: &str) -> String {
        let KeptOut {
            sessions,
            requests_share,
            traffic_share,
            ..
        } = self.kept_out;
        let banned = if self.bans == 0 {
            format!("{who} {had}banned nobody")
        } else {
            let networks = counted(self.networks, "network", "networks");
            let [shortest, longest] = [self.shortest_s, self.longest_s].map(span);
            let spans = if shortest == longest {
                format!("for {longest}")
            } else {
                format!("for {shortest} to {longest}")
            };
            format!("{who} {had}banned {networks} {spans}")
        };
        let kept_out = match (sessions, had) {
            (0, _) if self.bans == 0 => return format!("{banned}."),
            (0, _) => "nobody came from there again".to_owned(),
            (sessions, had) => format!(
                "that {had}kept out {}, {} of all requests and {} of all traffic",
                counted(sessions, "session", "sessions"),
                share(requests_share),
                share(traffic_share),
            ),
        };
        format!("{banned}: {kept_out}.")
    }
}

impl Decided {
    fn summary(&self, who: &str, replayed: &Replayed) -> String {
        let totals = &self.totals;
        let Outcomes {
            would_act,
            executed,
            ..
        } = totals.outcomes;
        let was_done = executed > 0 && would_act == 0;
        let had = if was_done { "" } else { "would have " };
        let mut deeds = Vec::new();
        let mut sessions = |count: u64, verb: &str| {
            if count > 0 {
                let count = counted(count, "session", "sessions");
                deeds.push(format!("{verb} {count}"));
            }
        };
        sessions(totals.disconnected_sessions, "disconnected");
        sessions(totals.logged_sessions, "logged");
        let acts = |kind: ActionKind| {
            let policies = self.policies.iter().filter(|policy| policy.action == kind);
            policies.map(|policy| policy.outcomes.acts()).sum::<u64>()
        };
        let alerts = acts(ActionKind::Alert);
        if alerts > 0 {
            deeds.push(format!("raised {}", counted(alerts, "alert", "alerts")));
        }
        let changes = acts(ActionKind::DaemonUrl);
        if changes > 0 {
            let times = counted(changes, "time", "times");
            deeds.push(format!("changed the server's daemon {times}"));
        }
        if deeds.is_empty() {
            return format!("{who} would have done nothing.");
        }
        let share = if totals.sessions == 0 {
            "; no client would have been touched".to_owned()
        } else {
            let sessions = share(totals.sessions_share);
            let mut touched = format!(": {sessions} of all sessions");
            if replayed.addresses > 0 {
                let addresses = share(super::share(totals.addresses, replayed.addresses));
                touched = format!("{touched} and {addresses} of all public addresses");
            }
            touched
        };
        let (bans, who) = match &totals.bans {
            None => (String::new(), who),
            Some(bans) => {
                let they = if who == "A" || who == "B" {
                    who
                } else {
                    "They"
                };
                (format!("{} ", bans.summary(who, had)), they)
            }
        };
        let live = if executed > 0 && would_act > 0 {
            let acts = counted(executed + would_act, "act", "acts");
            format!(
                " Of these {acts} the live agent carried out {}.",
                number(executed)
            )
        } else {
            String::new()
        };
        format!("{bans}{who} {had}{}{share}.{live}", listed(&deeds))
    }

    fn attention(&self, points: &mut Vec<String>, replayed: &Replayed) {
        let Totals { outcomes, .. } = &self.totals;
        for policy in &self.policies {
            points.extend(policy.unjudged.as_ref().map(|field| {
                format!(
                    "Policy `{}` could not be judged at any poll: this recording does not tell `{field}`, or \
                     not for long enough, so nothing is known of what it would do.",
                    policy.name
                )
            }));
        }
        if self.breaker.openings > 0 {
            points.push(format!(
                "The breaker stopped a policy {}: it was to disconnect so many regular clients, or so many of \
                 all newcomers, that it is more likely wrong than they are.",
                counted(self.breaker.openings, "time", "times"),
            ));
        }
        let by = outcomes.suppressed_by.iter();
        let of_all = by.filter(|suppressed| suppressed.by == "share-of-all");
        let of_all: u64 = of_all.map(|suppressed| suppressed.decisions).sum();
        if of_all > 0 {
            points.push(format!(
                "All policies together were to disconnect so many regular clients that {} \
                 held back: look at whom they hit.",
                counted(of_all, "decision was", "decisions were"),
            ));
        }
        // A few who come back over and over are few, so addresses count where there are any.
        let (touched, of) = if replayed.addresses > 0 {
            let share = super::share(self.totals.addresses, replayed.addresses);
            (share, "public addresses")
        } else {
            (self.totals.sessions_share, "sessions")
        };
        if touched >= SHARE_WORTH_A_LOOK {
            points.push(format!(
                "{} of all {of} {} touched. Look at the examples: are these really abusers?",
                share(touched),
                if outcomes.executed > 0 && outcomes.would_act == 0 {
                    "were"
                } else {
                    "would be"
                },
            ));
        }
        if outcomes.executed > 0 && outcomes.would_act > 0 {
            points.push(
                "An agent acted while this was recorded: whom it disconnected is gone, so what other \
                 policies would have made of them cannot be told. Recordings in dry-run show all."
                    .to_owned(),
            );
        }
        if outcomes.failed > 0 {
            let acts = counted(outcomes.failed, "act", "acts");
            points.push(format!("{acts} failed on the live server."));
        }
        let by_limits: u64 = outcomes
            .suppressed_by
            .iter()
            .filter(|suppressed| matches!(suppressed.by, "policy-limit" | "action-limit"))
            .map(|suppressed| suppressed.decisions)
            .sum();
        if by_limits > 0 || outcomes.withheld_sessions > 0 {
            let mut held = Vec::new();
            if by_limits > 0 {
                held.push(counted(by_limits, "decision", "decisions"));
            }
            if outcomes.withheld_sessions > 0 {
                let sessions = counted(outcomes.withheld_sessions, "session", "sessions");
                held.push(format!("{sessions} of other decisions"));
            }
            points.push(format!(
                "The limits held back {}: more was wanted than may be done in so short a time.",
                listed(&held)
            ));
        }
        let off = self
            .policies
            .iter()
            .filter(|policy| policy.mode == Mode::Off);
        let off = off.count() as u64;
        if off > 0 {
            let policies = counted(off, "policy is", "policies are");
            points.push(format!("{policies} switched off and decided nothing."));
        }
    }
}

impl Comparison {
    /// Whether those whom one set alone touches are honest nobody knows: so how many they are, and what they moved.
    fn attention(&self, points: &mut Vec<String>, replayed: &Replayed) {
        let sides = [
            ("A", "B", &self.sessions.only_decided),
            ("B", "A", &self.sessions.only_against),
        ];
        for (side, other, part) in sides {
            if part.count == 0 {
                continue;
            }
            points.push(format!(
                "{side} touches {} that {other} leaves alone: {} of all sessions, with {} after the first decision \
                 about each, {} of all traffic.",
                counted(part.count, "session", "sessions"),
                share(super::share(part.count, replayed.sessions)),
                bytes(part.traffic_bytes),
                share(part.traffic_share),
            ));
        }
    }

    fn summary(&self) -> String {
        let Parts {
            only_decided,
            only_against,
            both,
        } = &self.sessions;
        if only_decided.count + only_against.count + both.count == 0 {
            return "Neither touches anybody.".to_owned();
        }
        if only_decided.count + only_against.count == 0 {
            return format!(
                "Both touch the same {}.",
                counted(both.count, "session", "sessions")
            );
        }
        format!(
            "{} touched by A alone, {} by B alone, and {} by both.",
            counted(only_decided.count, "session is", "sessions are"),
            number(only_against.count),
            number(both.count),
        )
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_round_to_nothing_or_all() {
        for (part, text) in [
            (0.0, "0%"),
            (0.000_000_1, "<0.01%"),
            (0.000_1, "0.01%"),
            (0.072_3, "7.23%"),
            (0.999_9, "99.9%"),
            (1.0, "100%"),
        ] {
            assert_eq!(share(part), text);
        }
        assert_eq!(number(1_234_567), "1_234_567");
        assert_eq!(counted(1_234, "time", "times"), "1_234 times");
    }

    #[test]
    fn fields_of_what_is_around_say_whose_they_are() {
        let said = |name: &str| {
            field(&Evidence {
                field: name.into(),
                test: "> 0".into(),
                seen: Seen::Number(1.0),
                threshold: None,
                dimension: None,
            })
        };
        assert_eq!(said("subs").as_deref(), Some("subscriptions"));
        assert_eq!(
            said("address.subs").as_deref(),
            Some("of its address: subscriptions")
        );
        assert_eq!(
            said("server.groups").as_deref(),
            Some("of the server: groups that the server has")
        );
        assert_eq!(said("client.nothing"), None);
        assert_eq!(said("nothing"), None);
    }

    #[test]
    fn lists_read_well() {
        let items = ["a", "b", "c"].map(String::from);
        let read = [0, 1, 2, 3].map(|count| listed(&items[..count]));
        assert_eq!(read, ["", "a", "a and b", "a, b and c"]);
    }
}
