//! What came of it in words, alike in the terminal and on the page.
//!
//! Nothing that a client chose is in these words; policies' names are checked to be harmless.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{CONFIDENCE, Per, upper_bound};
use super::pass::Hits;
use super::survey::{Baseline, FieldSpread, Place, Seen};
use super::tuning::{LeftAlone, Proposal, Tuned, Verdict};
use crate::field::{Dimension, Source};
use crate::policy::ActionKind;
use crate::units::{self, format_duration};

impl Seen {
    /// `60 polls of "demo" in 9m50s, 1 missed; 21_340 session rows`
    pub fn words(&self) -> String {
        let mut words = format!(
            "{} in {}, {} of sessions",
            counted(self.polls, "poll", "polls"),
            format_duration(self.watched.total()),
            counted(self.rows, "row", "rows")
        );
        if self.missed > 0 {
            let missed = counted(self.missed, "poll", "polls");
            words = format!("{words}, {missed} missed");
        }
        words
    }

    /// Why it may not be the normal life that it is taken for.
    pub fn caution(&self) -> Option<String> {
        (self.acts > 0).then(|| {
            format!(
                "The agent that recorded acted {}: what it cut short is not in the recording.",
                counted(self.acts, "time", "times")
            )
        })
    }
}

impl Place {
    /// `p99.97`; `never` if the test held for no sample, `always` if for all.
    pub fn words(self) -> String {
        if self.held == 0 {
            return "never".to_owned();
        }
        if self.held == self.of {
            return "always".to_owned();
        }
        let tail = (1.0 - self.below).max(0.1 / self.of as f64);
        // So many digits that two of the tail are seen.
        let digits = (1.0 - (tail * 100.0).log10()).ceil().clamp(0.0, 8.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 8"
        )]
        let digits = digits as usize;
        let percent = format!("{:.digits$}", self.below * 100.0);
        if percent.contains('.') {
            format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
        } else {
            format!("p{percent}")
        }
    }
}

/// What to do when thresholds are changed.
pub const AFTERWARDS: &str = "After a change run `electrumx-warden test` on the policies: tests of a policy may be made for \
     the thresholds that it had.";

impl FieldSpread {
    /// Why it may be unknown throughout: what only some servers tell, or only when they are asked.
    pub fn why_unknown(&self) -> Option<String> {
        let name = crate::escape::terminal(&self.subject.name(), 80).into_owned();
        match self.subject.field.info().source {
            Source::Always | Source::Agent => None,
            Source::Inspection => Some(format!(
                "`{name}` is told from 2.0 on, of sessions that were inspected, and of none if no policy of \
                 the agent asked for it"
            )),
            source => Some(format!("`{name}` is told {}", source.doc())),
        }
    }
}

/// What the numbers of a survey are.
pub fn samples_words(baseline: &Baseline) -> Vec<String> {
    let mut words = vec![
        "A sample is a target at a poll, of targets with a session: who stays long gives many. \
         pN is what N in a hundred samples do not exceed, less than 0.8 % too low; whole numbers up \
         to 256 and the greatest are exact."
            .to_owned(),
    ];
    words.extend(baseline.seen.caution());
    words
}

impl Tuned {
    const fn noun(&self) -> (&'static str, &'static str) {
        match self.budget.of {
            ActionKind::Alert => ("alert", "alerts"),
            _ => ("session", "sessions"),
        }
    }

    /// What was done.
    pub fn opening(&self) -> Vec<String> {
        let mut words = self.method();
        words.extend(self.cannot_lower());
        words
    }

    fn method(&self) -> Vec<String> {
        let (_, many) = self.noun();
        let deed = match self.budget.of {
            ActionKind::Alert => "whatever a policy would raise an alert for",
            _ => "whoever a policy would disconnect",
        };
        let but = match self.abusive {
            0 => String::new(),
            abusive => format!(
                " but for {} that today's policies catch and that you call abusive",
                counted(abusive as u64, "session", "sessions")
            ),
        };
        vec![
            format!(
                "The recording is taken for normal life{but}: {deed} counts as a false alarm. \
                 Thresholds were found on its first {} and checked on its last {}.",
                format_duration(self.training),
                format_duration(self.held_out)
            ),
            format!(
                "The budget is for all policies together: each of {}{} has its part, {} {many} in the \
                 first part and {} in the last. Hits are counted before limits and modes, {}.",
                self.policies(),
                self.left_words(),
                number(self.allowed(self.training)),
                number(self.allowed(self.held_out)),
                match self.budget.of {
                    ActionKind::Alert => "an alert as often as its cooldown lets it",
                    _ => "a session once in each part",
                }
            ),
        ]
    }

    /// Those that the budget is of.
    fn policies(&self) -> usize {
        self.proposals.len() + self.left_counted().count()
    }

    fn left_counted(&self) -> impl Iterator<Item = (&str, Hits)> {
        let left = self.left_alone.iter();
        left.filter_map(|it| Some((&*it.policy, it.hits?)))
    }

    /// Whether there is anything that the verdict is of.
    pub fn is_judged(&self) -> bool {
        self.policies() > 0
    }

    /// `, 2 of them left alone,`
    fn left_words(&self) -> String {
        match self.left_counted().count() {
            0 => String::new(),
            left => format!(", {left} of them left alone,"),
        }
    }

    /// What one policy may hit in a time.
    pub fn allowed(&self, time: Duration) -> f64 {
        self.budget.within(time) * self.share
    }

    /// What the recording is too short for, if it is.
    pub fn too_short(&self) -> Option<String> {
        let (_, many) = self.noun();
        let bound = number(upper_bound(0));
        let held_out = format_duration(self.held_out);
        let Some(needs) = self.budget.needs().filter(|_| self.budget.count > 0.0) else {
            return Some(format!(
                "No recording can show that nothing ever happens: with none in {held_out} as many as \
                 {bound} {many} in as long cannot be excluded with {} confidence.",
                confidence()
            ));
        };
        if self.held_out >= needs {
            return None;
        }
        let whole = needs.mul_f64(3.0);
        Some(format!(
            "The recording is too short to show that the budget is kept. With none in {held_out}, as \
             many as {bound} {many} in as long, {}, cannot be excluded with {} confidence. To show {} \
             takes {} without any, so a recording of {}.",
            self.rate(upper_bound(0)),
            confidence(),
            self.budget,
            format_duration(needs),
            format_duration(whole)
        ))
    }

    /// Why no threshold is lowered, if none can be.
    fn cannot_lower(&self) -> Option<String> {
        let bound = upper_bound(0);
        let allowed = self.allowed(self.training);
        let takes = self.training.as_secs_f64() * 1.5 * bound / allowed;
        let takes = Duration::try_from_secs_f64(takes);
        match (allowed >= bound, takes) {
            (true, _) => self.stuck_words().map(|stuck| {
                format!("No threshold is proposed that is lower than today's: {stuck}.")
            }),
            (_, Ok(takes)) if allowed > 0.0 => Some(format!(
                "No threshold is proposed that is lower than today's: to bear one, a recording for \
                 this budget and these policies must be of {}.",
                format_duration(takes)
            )),
            _ => Some("No threshold is proposed that is lower than today's.".to_owned()),
        }
    }

    /// So many in the time held out, as the budget counts time: `9_072 a week`.
    fn rate(&self, count: f64) -> String {
        let per = self.budget.per;
        let rate = count * per.as_secs_f64() / self.held_out.as_secs_f64().max(1.0);
        format!("{} {}", number(rate), Per(per))
    }

    /// How the proposed thresholds did on the part that they were not found by.
    pub fn judgement(&self) -> String {
        let (one, many) = self.noun();
        let seen = self.proposed.held_out;
        let allowed = number(self.budget.within(self.held_out));
        let told = format!(
            "On the last {} all policies together, by the proposed thresholds, hit {}, where {allowed} \
             were allowed ({} by today's thresholds).",
            format_duration(self.held_out),
            counted(seen, one, many),
            counted(self.present.held_out, one, many)
        );
        let verdict = match self.verdict {
            Verdict::Shown => format!(
                "The budget is kept; that it is by luck has been excluded with {} confidence.",
                confidence()
            ),
            Verdict::NoFactor => format!(
                "The budget cannot be said to be kept: {}.",
                self.stuck_words().unwrap_or_default()
            ),
            Verdict::Kept => format!(
                "The budget is kept, as far as so short a time can tell: up to {} cannot be excluded.",
                self.rate(upper_bound(seen))
            ),
            Verdict::Chance(chance) => format!(
                "That is more, but not by more than chance: in {} of such times it would be so.",
                units::format(chance, Dimension::Share)
            ),
            Verdict::Broken => format!(
                "The budget is broken, and not by chance: {}. {}, or somebody there is abusive. Look at \
                 whom these policies hit before you take the thresholds over; `--assume-abusive` takes \
                 what policies hit today for abuse.",
                self.breakers(),
                match self.stuck_words() {
                    Some(stuck) => format!("From the first on, {stuck}: other tests are needed"),
                    None => "What was normal at first is not what was normal later".to_owned(),
                }
            ),
        };
        format!("{told} {verdict}")
    }
}

impl Tuned {
    /// Who hit more than his part where it was checked: "`hoard` hit 81, `named` 80".
    fn breakers(&self) -> String {
        let allowed = self.allowed(self.held_out);
        let proposals = self.proposals.iter();
        let proposals = proposals.map(|it| (&*it.policy, it.proposed));
        let all = proposals.chain(self.left_counted());
        let over = all.filter(|(_, hits)| hits.held_out as f64 > allowed);
        let over = over.map(|(policy, hits)| {
            let hits = units::format(hits.held_out as f64, Dimension::Count);
            format!("`{policy}` hit {hits}")
        });
        over.collect::<Vec<_>>().join(", ")
    }

    /// Whom no factor helps, if anybody.
    fn stuck_words(&self) -> Option<String> {
        let is_left = |policy: &&Arc<str>| self.left_alone.iter().any(|it| it.policy == **policy);
        let (left, in_vain): (Vec<_>, Vec<_>) = self.stuck.iter().partition(is_left);
        let whose = [
            (in_vain, "by thresholds up to 100 times today's"),
            (left, "as left alone"),
        ];
        let clauses = whose.iter().filter(|(policies, _)| !policies.is_empty());
        let clauses = clauses.map(|(policies, how)| {
            let names: Vec<_> = policies.iter().map(|it| format!("`{it}`")).collect();
            let hit = if names.len() == 1 { "hits" } else { "hit" };
            let names = names.join(" and ");
            format!("{names} {hit} more than a policy's part of the budget {how}")
        });
        let clauses: Vec<_> = clauses.collect();
        (!clauses.is_empty()).then(|| clauses.join(", "))
    }
}

impl LeftAlone {
    /// Why, and what it hits for all that.
    pub fn words(&self) -> String {
        match self.hits {
            Some(hits) if hits != Hits::default() => {
                let shown = |count: u64| units::format(count as f64, Dimension::Count);
                format!(
                    "{}; it hit {} in the first part and {} in the last, which count",
                    self.why,
                    shown(hits.training),
                    shown(hits.held_out)
                )
            }
            _ => self.why.clone(),
        }
    }
}

impl Proposal {
    /// How it did, for a cell.
    pub fn verdict_words(&self) -> String {
        match self.verdict {
            Verdict::NoFactor => "none up to 100 times keeps it".to_owned(),
            Verdict::Shown => "kept, shown".to_owned(),
            Verdict::Kept => "kept".to_owned(),
            Verdict::Chance(_) => "above, may be chance".to_owned(),
            Verdict::Broken => "broken".to_owned(),
        }
    }

    /// `1.26 times`, or `as it is`.
    pub fn factor_words(&self) -> String {
        match self.factor {
            None => "-".to_owned(),
            Some(_) if !self.is_change() => "as it is".to_owned(),
            Some(factor) => format!("{} times", number(factor)),
        }
    }
}

/// A number to about three digits: `0.002_5`, `12.5`, `1_234`.
pub fn number(number: f64) -> String {
    if number > 0.0 && number < 0.095 {
        let digits = 1.0 - number.log10().floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "3 to 12"
        )]
        let digits = digits.clamp(3.0, 12.0) as usize;
        let text = format!("{number:.digits$}");
        return text.trim_end_matches('0').to_owned();
    }
    units::format(number, Dimension::Count)
}

fn confidence() -> String {
    format!("{:.0} %", CONFIDENCE * 100.0)
}

/// `1 poll`, `1_234 polls`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let shown = units::format(count as f64, Dimension::Count);
    format!("{shown} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_its_tail() {
        let place = |held: u64, of: u64| Place {
            held,
            of,
            below: 1.0 - held as f64 / of as f64,
        };
        let words = [
            (0, 10),
            (5, 10),
            (10, 10),
            (1, 1_000),
            (3, 10_000),
            (57, 6_000),
            (1, 3_000_000),
        ];
        let words = words.map(|(held, of)| place(held, of).words());
        assert_eq!(
            words,
            [
                "never",
                "p50",
                "always",
                "p99.9",
                "p99.97",
                "p99.05",
                "p99.999967"
            ]
        );
    }

    #[test]
    fn small_numbers_are_not_nothing() {
        let words = [0.0, 0.000_324, 0.001, 0.0123, 0.1, 2.9957, 9_072.4].map(number);
        assert_eq!(
            words,
            ["0", "0.00032", "0.001", "0.012", "0.1", "3", "9_072"]
        );
    }
}
