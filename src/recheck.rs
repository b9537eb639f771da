//! A decision of the journal, reckoned again from its own evidence.
//!
//! What the tests saw must pass the tests, and what came of the decision must be possible for such a
//! decision. Where it is not so, the journal is damaged, or somebody else wrote it. Nothing here
//! knows the policies of today.

use serde::Serialize;

use crate::decision::{Decision, Evidence, Outcome, Seen, Suppression};
use crate::field::{Field, Kind, Scope};
use crate::journal::{NAME_CHARS_MAX, Row, TEXT_CHARS_MAX};
use crate::policy::{Comparison, LoneTest, Margin, Mode, Threshold};
use crate::units;

/// A row, reckoned again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recheck {
    /// One a test, in the row's order.
    pub evidence: Vec<Reread>,
    /// What else in the row cannot be, each in a sentence; not escaped.
    pub contradictions: Vec<String>,
}

/// A test, reckoned again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reread {
    /// Whether the value passes the test.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How far a number is from its threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
}

/// Whether a value passes its test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It does, as the row says.
    Agrees,
    /// It does not.
    Disagrees {
        /// Why not; not escaped.
        why: String,
    },
    /// The row does not say enough.
    Unknown {
        /// What it lacks; not escaped.
        why: String,
    },
}

impl Recheck {
    /// Whether nothing contradicts the row.
    pub fn agrees(&self) -> bool {
        let disagrees = |reread: &Reread| matches!(reread.verdict, Verdict::Disagrees { .. });
        self.contradictions.is_empty() && !self.evidence.iter().any(disagrees)
    }
}

/// Reckons a row again.
pub fn recheck(row: &Row) -> Recheck {
    let decision = &row.decision;
    let scope = decision.target.scope();
    let evidence = decision.evidence.iter();
    let evidence: Vec<Reread> = evidence.map(|evidence| reread(scope, evidence)).collect();
    let contradictions = [severity(row), mode(decision), outcome(row)];
    Recheck {
        evidence,
        contradictions: contradictions.into_iter().flatten().collect(),
    }
}

fn reread(scope: Scope, evidence: &Evidence) -> Reread {
    if is_cut(&evidence.test, TEXT_CHARS_MAX) || is_cut(&evidence.field, NAME_CHARS_MAX) {
        let why = "the journal has only the beginning of this test".to_owned();
        return Reread {
            verdict: Verdict::Unknown { why },
            margin: None,
        };
    }
    let test = match LoneTest::read(scope, &evidence.field, &evidence.test) {
        Ok(test) => test,
        Err(why) => return Reread::disagrees(format!("this is no test of a policy: {why}")),
    };
    if let (Kind::Number(dimension), Some(found)) = (test.field().info().kind, evidence.dimension)
        && found != dimension
    {
        return Reread::disagrees(format!(
            "`{}` is {}, and not {}",
            evidence.field,
            units::phrase(dimension),
            units::phrase(found)
        ));
    }
    match (&evidence.seen, test.comparison()) {
        (Seen::Number(seen), Some((comparison, threshold))) => {
            compared(*seen, comparison, threshold, evidence.threshold)
        }
        (Seen::Flag(seen), _) => passed(test.holds_for_flag(*seen)),
        (Seen::Text(seen), _) if test.asks_for_named_list() => {
            let why = if seen.is_empty() && test.field() != Field::Client {
                "nothing was seen, and what was in the list is not in the journal"
            } else {
                "what was in the list then is not in the journal"
            };
            Reread::unknown(why)
        }
        (Seen::Text(seen), _) if is_cut(seen, NAME_CHARS_MAX) => {
            Reread::unknown("the journal has only the beginning of this text")
        }
        (Seen::Text(seen), _) => passed(test.holds_for_text(seen)),
        (Seen::Number(_), None) => Reread::disagrees("no number passes this test".to_owned()),
    }
}

impl Reread {
    const fn disagrees(why: String) -> Self {
        Self {
            verdict: Verdict::Disagrees { why },
            margin: None,
        }
    }

    fn unknown(why: &str) -> Self {
        Self {
            verdict: Verdict::Unknown {
                why: why.to_owned(),
            },
            margin: None,
        }
    }
}

fn passed(holds: Option<bool>) -> Reread {
    match holds {
        Some(true) => Reread {
            verdict: Verdict::Agrees,
            margin: None,
        },
        Some(false) => Reread::disagrees("the value does not pass this test".to_owned()),
        None => Reread::disagrees("this test is not for such a value".to_owned()),
    }
}

fn compared(
    seen: f64,
    comparison: Comparison,
    written: Threshold,
    threshold: Option<f64>,
) -> Reread {
    let Some(threshold) = threshold else {
        return Reread::disagrees("the number that the test compared with is missing".to_owned());
    };
    let margin = Some(Margin::of(comparison, seen, threshold));
    let verdict = match written {
        Threshold::Fixed(written) if written.total_cmp(&threshold).is_ne() => Verdict::Disagrees {
            why: format!("the test asks for {written}, and the journal says {threshold}"),
        },
        _ if !comparison.function()(seen, threshold) => Verdict::Disagrees {
            why: "the value does not pass this test".to_owned(),
        },
        _ => Verdict::Agrees,
    };
    Reread { verdict, margin }
}

/// Whether the journal kept the beginning of a text alone.
fn is_cut(text: &str, max: usize) -> bool {
    text.ends_with('…') && text.chars().count() == max
}

/// The severity is the greatest ratio of the tests of `when`; those of `at_once`, which come after
/// them, have no part in it, and neither has what is around the target.
fn severity(row: &Row) -> Option<String> {
    let decision = &row.decision;
    if row.evidence_left_out > 0 {
        return None;
    }
    let scope = decision.target.scope();
    let is_own = |evidence: &Evidence| {
        let seen = Field::seen_from(scope, &evidence.field);
        seen.is_none_or(|(of, _)| of == scope)
    };
    let ratio = |evidence: &Evidence| {
        let upwards = Comparison::of(&evidence.test)
            .filter(|comparison| comparison.is_upwards() && is_own(evidence));
        match (&evidence.seen, evidence.threshold, upwards) {
            (Seen::Number(seen), Some(threshold), Some(_)) if threshold > 0.0 => seen / threshold,
            _ => 1.0,
        }
    };
    let mut worst = 1.0_f64;
    let so_far = decision.evidence.iter().map(|evidence| {
        worst = worst.max(ratio(evidence));
        worst
    });
    let mut possible: Vec<f64> = std::iter::once(1.0).chain(so_far).collect();
    if !decision.at_once {
        possible.drain(..possible.len() - 1);
    }
    let is_it = |severity: &f64| severity.total_cmp(&decision.severity).is_eq();
    let worst = possible.last().copied().unwrap_or(1.0);
    (!possible.iter().any(is_it)).then(|| {
        format!(
            "the severity is {}, and by the evidence it is {worst}",
            decision.severity
        )
    })
}

fn mode(decision: &Decision) -> Option<String> {
    (decision.mode == Mode::Off).then(|| "a policy whose mode is `off` decides nothing".to_owned())
}

/// Whether such a decision can come out so.
fn outcome(row: &Row) -> Option<String> {
    let decision = &row.decision;
    let (at, sessions) = (decision.at, decision.sessions.len());
    let complaint = match &row.outcome {
        Outcome::Intended | Outcome::Executed { .. } | Outcome::Failed { .. } => {
            if decision.mode == Mode::Enforce {
                if decision.action.kind().is_done_to_sessions() && sessions == 0 {
                    "it was done to sessions, and there are none"
                } else {
                    return None;
                }
            } else {
                "it was carried out, and its policy is not to enforce anything"
            }
        }
        Outcome::DryRun => return None,
        Outcome::Suppressed(by) => match by {
            Suppression::Cooldown { until } | Suppression::PolicyLimit { until }
                if *until <= at =>
            {
                "what held it back had ended before"
            }
            // To the millisecond these may end at once.
            Suppression::ActionLimit { until }
            | Suppression::Breaker { until }
            | Suppression::ShareOfAll { until }
                if *until < at =>
            {
                "what held it back had ended before"
            }
            Suppression::Backoff { .. } if decision.at_once => {
                "it was to wait for longer, and `at_once` waits for nothing"
            }
            Suppression::Protection | Suppression::AmbiguousId if sessions > 0 => {
                "nobody was to be acted on, and there are sessions to act on"
            }
            Suppression::Protection | Suppression::AmbiguousId if decision.spared == 0 => {
                "everybody was to be spared, and nobody was"
            }
            Suppression::NothingToDo if sessions > 0 => {
                "nothing was to be done, and there are sessions to act on"
            }
            Suppression::UncertainMembers if decision.target.scope() != Scope::Group => {
                "its members were uncertain, and it is no group"
            }
            _ => return None,
        },
    };
    Some(complaint.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decision::{Epoch, SessionRef, Target};
    use crate::field::Dimension;
    use crate::journal::DecisionId;
    use crate::limits::{Ruling, Verdict as Ruled};
    use crate::policy::Action;
    use crate::time::Timestamp;

    /// A ruling as the journal has it, if it is carried out without a hitch.
    pub(crate) fn row(ruling: &Ruling) -> Row {
        let outcome = match (&ruling.verdict, ruling.mode) {
            (Ruled::Suppressed { by, .. }, _) => Outcome::Suppressed(by.clone()),
            (Ruled::Permitted { .. }, Mode::Enforce) => Outcome::Intended,
            (Ruled::Permitted { .. }, _) => Outcome::DryRun,
        };
        Row {
            id: DecisionId(1),
            decision: ruling.decision.clone(),
            outcome,
            relief: None,
            evidence_left_out: 0,
            sessions_left_out: 0,
        }
    }

    fn decision(evidence: Vec<Evidence>) -> Decision {
        Decision {
            at: Timestamp::from_millis(1_000_000),
            epoch: Epoch(1),
            policy: "hog".into(),
            mode: Mode::Enforce,
            action: Action::Disconnect,
            target: Target::Subnet("203.0.113.0/24".parse().unwrap()),
            evidence,
            held: std::time::Duration::ZERO,
            severity: 1.0,
            sessions: vec![SessionRef {
                id: 7,
                peer: crate::decision::Peer(None),
                since: Timestamp::default(),
            }],
            spared: 0,
            choice: None,
            at_once: false,
            bans: Vec::new(),
            refused: Vec::new(),
            daemons: Vec::new(),
        }
    }

    fn evidence(field: &str, test: &str, seen: Seen, threshold: Option<f64>) -> Evidence {
        Evidence {
            field: field.into(),
            test: test.into(),
            seen,
            threshold,
            dimension: None,
        }
    }

    fn told(decision: Decision, outcome: Outcome) -> String {
        let recheck = recheck(&Row {
            id: DecisionId(1),
            decision,
            outcome,
            relief: None,
            evidence_left_out: 0,
            sessions_left_out: 0,
        });
        let reread = recheck.evidence.iter().map(|reread| match &reread.verdict {
            Verdict::Agrees => "agrees".to_owned(),
            Verdict::Disagrees { why } => format!("disagrees: {why}"),
            Verdict::Unknown { why } => format!("unknown: {why}"),
        });
        let told: Vec<String> = reread.chain(recheck.contradictions.clone()).collect();
        told.join("\n")
    }

    #[test]
    fn a_test_that_the_value_does_not_pass_is_found() {
        let number = |test: &str, seen, threshold| {
            evidence("sent_rate", test, Seen::Number(seen), Some(threshold))
        };
        let wrong_unit = Evidence {
            dimension: Some(Dimension::Share),
            ..number("> 1 MiB/s", 2e6, 1_048_576.0)
        };
        let name = format!("{}…", "x".repeat(NAME_CHARS_MAX - 1));
        let evidence = vec![
            number("> 1 MiB/s", 1_048_577.0, 1_048_576.0),
            number("> 1 MiB/s", 1_048_576.0, 1_048_576.0),
            number("> 1 MiB/s", 1_048_577.0, 1_000.0),
            number(">= 20x median", 40.0, 40.0),
            number("> p99", 40.0, 41.0),
            number("> a lot", 40.0, 41.0),
            wrong_unit,
            evidence("sent_rate", "> 0", Seen::Number(1.0), None),
            evidence("sent_rate", "> 0", Seen::Flag(true), Some(0.0)),
            evidence("private", "false", Seen::Flag(false), None),
            evidence("private", "false", Seen::Flag(true), None),
            evidence("private", "false", Seen::Number(1.0), None),
            evidence(
                "address",
                "in @bad",
                Seen::Text("203.0.113.0/24".into()),
                None,
            ),
            evidence(
                "address",
                "in 203.0.113.0/25",
                Seen::Text("203.0.113.0/24".into()),
                None,
            ),
            evidence(
                "address",
                "not in 10.0.0.0/8",
                Seen::Text("203.0.113.0/24".into()),
                None,
            ),
            evidence("client", "=~ .", Seen::Text("evil".into()), None),
        ];
        let severity = 1_048_577.0 / 1_000.0;
        insta::assert_snapshot!(told(
            Decision {
                severity,
                ..decision(evidence)
            },
            Outcome::DryRun
        ));
        let mut client = decision(vec![evidence_of_client(&name)]);
        client.target = Target::Client(name.as_str().into());
        insta::assert_snapshot!(
            told(client, Outcome::DryRun),
            @"unknown: the journal has only the beginning of this text"
        );
    }

    fn evidence_of_client(name: &str) -> Evidence {
        evidence("client", "=~ ^x", Seen::Text(name.into()), None)
    }

    #[test]
    fn an_outcome_that_cannot_be_is_found() {
        let at = decision(Vec::new()).at;
        let nobody = || Decision {
            sessions: Vec::new(),
            ..decision(Vec::new())
        };
        let done = || Outcome::Executed {
            detail: String::new(),
        };
        let held_back = Outcome::Suppressed;
        let mut told_all = String::new();
        for (decision, outcome) in [
            (decision(Vec::new()), done()),
            (nobody(), done()),
            (
                Decision {
                    mode: Mode::DryRun,
                    ..decision(Vec::new())
                },
                Outcome::Intended,
            ),
            (
                Decision {
                    mode: Mode::Off,
                    ..decision(Vec::new())
                },
                Outcome::DryRun,
            ),
            (
                Decision {
                    severity: 2.0,
                    ..decision(Vec::new())
                },
                Outcome::DryRun,
            ),
            (
                decision(Vec::new()),
                held_back(Suppression::Cooldown { until: at }),
            ),
            (decision(Vec::new()), held_back(Suppression::Protection)),
            (nobody(), held_back(Suppression::Protection)),
            (
                decision(Vec::new()),
                held_back(Suppression::UncertainMembers),
            ),
            (decision(Vec::new()), held_back(Suppression::NothingToDo)),
        ] {
            told_all = told_all + &told(decision, outcome) + "\n";
        }
        insta::assert_snapshot!(told_all);
    }
}
