//! What came of tests, for programs: an object a test.

use std::io;

use serde::Serialize;

use super::report::{Played, Report};
use super::words::{course_words, why_not};
use crate::cli::check::Finding;
use crate::cli::exit::Exit;
use crate::cli::screen::Screen;
use crate::decision::Choice;
use crate::trial::Row;

/// So many of those acted on are told.
const MEMBERS_MAX: usize = 100;

impl Report<'_> {
    pub(super) fn write(&self, screen: &mut Screen) -> io::Result<()> {
        for diagnostic in &self.diagnostics {
            screen.json("diagnostic", &Finding::of(diagnostic))?;
        }
        for played in &self.played {
            screen.json("test", &played.json())?;
        }
        for untested in &self.untested {
            let untested = UntestedJson {
                policy: &untested.policy,
                never_acts: untested.never_fires,
                never_spares: untested.never_spares,
            };
            screen.json("untested", &untested)?;
        }
        let summary = Summary {
            ok: self.exit() == Exit::Ok,
            files: self.files,
            tests: self.played.len(),
            failed: self.failed(),
            untested: self.untested.len(),
            errors: self.diagnostics.len(),
        };
        screen.json("summary", &summary)
    }
}

impl Played<'_> {
    fn json(&self) -> TestJson<'_> {
        let rows = self.result.rows.iter().map(|row| RowJson {
            came: match row {
                Row::Met(..) => "as expected",
                Row::Otherwise(..) => "otherwise",
                Row::Missing(..) => "missing",
                Row::Unexpected(_) => "unexpected",
            },
            expected: row.expected().map(|it| DecisionJson {
                at_s: it.at.as_secs_f64(),
                policy: &it.policy,
                target: it.target.to_string(),
                held_back: it.held_back,
                sessions: it.sessions,
                acts_on: it.acts_on.as_deref().map(|it| texts(it.iter())),
                bans: it.bans.as_deref().map(|it| texts(it.iter())),
                ban_for_s: it.ban_for.map(|it| it.as_secs_f64()),
                choice: None,
            }),
            actual: row.actual().map(|it| DecisionJson {
                at_s: it.at.as_secs_f64(),
                policy: &it.decision.policy,
                target: it.target.to_string(),
                held_back: it.held_back(),
                sessions: Some(it.decision.sessions.len()),
                acts_on: Some(texts(it.decision.sessions.iter().map(|it| it.peer))),
                bans: Some(&it.decision.bans)
                    .filter(|bans| !bans.is_empty())
                    .map(|bans| texts(bans.iter().map(|it| it.net))),
                ban_for_s: it.decision.bans_for().map(|it| it.as_secs_f64()),
                choice: it.decision.choice.as_ref(),
            }),
            why: match row {
                Row::Missing(_, why) => Some(why_not(why)),
                Row::Otherwise(_, _, Some(course)) => Some(course_words(course)),
                _ => None,
            },
        });
        TestJson {
            file: &self.trial.file,
            line: self.trial.line,
            name: &self.trial.name,
            ok: self.result.is_ok(),
            unjudged: self.result.unjudged.iter().map(|(it, _)| &**it).collect(),
            decisions: rows.collect(),
        }
    }
}

#[derive(Serialize)]
struct TestJson<'a> {
    file: &'a str,
    line: usize,
    name: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unjudged: Vec<&'a str>,
    decisions: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    came: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<DecisionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<DecisionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct DecisionJson<'a> {
    at_s: f64,
    policy: &'a str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
    /// Of those that came, at most a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    acts_on: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bans: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban_for_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<&'a Choice>,
}

fn texts(peers: impl Iterator<Item: ToString>) -> Vec<String> {
    peers.take(MEMBERS_MAX).map(|it| it.to_string()).collect()
}

#[derive(Serialize)]
struct UntestedJson<'a> {
    policy: &'a str,
    never_acts: bool,
    never_spares: bool,
}

/// The end of it.
#[derive(Serialize)]
struct Summary {
    ok: bool,
    files: usize,
    tests: usize,
    failed: usize,
    untested: usize,
    errors: usize,
}
