//! The part of the page on policies: a table of all, then each with its examples and their evidence.

use std::sync::Arc;

use hashbrown::HashMap;

use super::markup::Markup;
use super::{time, words};
use crate::decision::{Evidence, Target};
use crate::policy::Mode;
use crate::report::words::{field, held_back_by, refused_because};
use crate::report::{Decided, Example, Opening, Outcomes, PolicyFigures, Report};

/// So many policies have a colour of their own; those that act most.
const COLOURS: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
/// That of the others.
const COLOUR_OF_OTHERS: &str = "cx";

/// Which colour a policy has, in both sets the same.
pub(super) struct Palette(HashMap<Arc<str>, &'static str>);

impl Palette {
    pub(super) fn of(report: &Report) -> Self {
        let mut acts: Vec<(Arc<str>, u64)> = Vec::new();
        for decided in [Some(&report.decided), report.against.as_ref()]
            .into_iter()
            .flatten()
        {
            for policy in &decided.policies {
                let more = policy.outcomes.acts();
                match acts.iter_mut().find(|(name, _)| *name == policy.name) {
                    Some((_, acts)) => *acts += more,
                    None => acts.push((policy.name.clone(), more)),
                }
            }
        }
        acts.retain(|&(_, acts)| acts > 0);
        acts.sort_by_key(|&(_, acts)| std::cmp::Reverse(acts));
        let names = acts.into_iter().map(|(name, _)| name);
        Self(names.zip(COLOURS).collect())
    }

    fn colour(&self, policy: &PolicyFigures) -> &'static str {
        self.0
            .get(&policy.name)
            .copied()
            .unwrap_or(COLOUR_OF_OTHERS)
    }
}

pub(super) fn section(page: &mut Markup, report: &Report, palette: &Palette) {
    page.raw("<section id=\"policies\" aria-labelledby=\"policies-title\">\n<h2 id=\"policies-title\">Policies</h2>\n");
    let has_hours = report.replayed.has_hours();
    let Some(against) = &report.against else {
        page.raw("<h3 class=\"vh\">All policies</h3>\n");
        set(page, "policy", &report.decided, palette, has_hours);
        page.raw("</section>\n");
        return;
    };
    page.raw("<h3>A: ")
        .text(&report.decided.label)
        .raw("</h3>\n");
    set(page, "policy", &report.decided, palette, has_hours);
    page.raw("<h3>B: ").text(&against.label).raw("</h3>\n");
    set(page, "against", against, palette, has_hours);
    page.raw("</section>\n");
}

/// A set, with this before the numbers of its policies in IDs.
fn set(page: &mut Markup, id: &'static str, decided: &Decided, palette: &Palette, has_hours: bool) {
    if decided.policies.is_empty() {
        page.raw("<p>There is no policy.</p>\n");
        return;
    }
    table(page, id, decided, palette);
    beneath(page, decided, has_hours);
    for (index, policy) in decided.policies.iter().enumerate() {
        if policy.outcomes.decisions > 0 {
            details(page, (id, index), policy, palette, has_hours);
        }
    }
}

const HEADINGS: [(&str, &str); 6] = [
    ("Decisions", "How often the policy wanted to act"),
    ("Acts", "Nothing stood in their way"),
    (
        "Held back",
        "By cooldowns, limits, protection or the breaker",
    ),
    ("Targets", "Distinct targets decided about"),
    ("Sessions", "Distinct sessions of its acts"),
    ("Share", "Of all sessions seen"),
];

fn table(page: &mut Markup, id: &'static str, decided: &Decided, palette: &Palette) {
    page.raw("<table class=\"policies\" id=\"")
        .raw(id)
        .raw("-table\">\n<thead><tr><th scope=\"col\">Policy</th>");
    for (heading, explained) in HEADINGS {
        page.raw("<th scope=\"col\" class=\"n\" title=\"")
            .raw(explained)
            .raw("\">")
            .raw(heading)
            .raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for (index, policy) in decided.policies.iter().enumerate() {
        let has_decided = policy.outcomes.decisions > 0;
        page.raw("<tr data-policy=\"")
            .number(index)
            .raw("\" data-colour=\"")
            .raw(palette.colour(policy));
        page.raw(if has_decided {
            "\""
        } else {
            "\" class=\"idle\""
        });
        page.raw("><th scope=\"row\"><i class=\"dot ")
            .raw(palette.colour(policy))
            .raw("\"></i>");
        if has_decided {
            page.raw("<a class=\"name\" href=\"#")
                .raw(id)
                .raw("-")
                .number(index)
                .raw("\">");
            page.text(&policy.name).raw("</a>");
        } else {
            page.raw("<span class=\"name\">")
                .text(&policy.name)
                .raw("</span>");
        }
        page.raw(" <span class=\"wants\">")
            .text(&policy.wants)
            .raw("</span>");
        if policy.mode == Mode::Off {
            page.raw(" <span class=\"wants\">off</span>");
        }
        page.raw("<p>").prose(&policy.about).raw("</p></th>");
        let counts = [policy.targets, policy.sessions];
        cells(page, &policy.outcomes, counts, policy.sessions_share);
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n");
    if decided.policies.len() > 1 {
        let totals = &decided.totals;
        page.raw("<tfoot><tr><th scope=\"row\">All together</th>");
        let counts = [totals.targets, totals.sessions];
        cells(page, &totals.outcomes, counts, totals.sessions_share);
        page.raw("</tr></tfoot>\n");
    }
    page.raw("</table>\n");
}

fn cells(page: &mut Markup, outcomes: &Outcomes, [targets, sessions]: [u64; 2], share: f64) {
    let numbers = [
        outcomes.decisions,
        outcomes.acts(),
        outcomes.suppressed,
        targets,
        sessions,
    ];
    for ((heading, _), number) in HEADINGS.into_iter().zip(numbers) {
        page.raw("<td class=\"n\" data-label=\"")
            .raw(heading)
            .raw("\">");
        page.figure(number, &words::number(number)).raw("</td>");
    }
    page.raw("<td class=\"n\" data-label=\"Share\">")
        .figure(share, &words::share(share))
        .raw("</td>");
}

/// What held back the decisions of a whole set, and when it acted.
fn beneath(page: &mut Markup, decided: &Decided, has_hours: bool) {
    let outcomes = &decided.totals.outcomes;
    if outcomes.decisions == 0 {
        return;
    }
    page.raw("<div class=\"two held\"><div>\n<h4>Held back, because</h4>\n");
    reasons(page, outcomes);
    if outcomes.withheld_sessions > 0 {
        let sessions = words::counted(outcomes.withheld_sessions, "session", "sessions");
        page.raw("<p>For ").text(sessions);
        page.raw(" of other decisions the limits left no room at once.</p>\n");
    }
    not_banned(page, decided);
    if decided.breaker.openings > 0 {
        let times = words::counted(decided.breaker.openings, "time", "times");
        page.raw("<p>The breaker stopped a policy ")
            .text(times)
            .raw(":");
        let openings = decided.breaker.openings_listed.iter().take(10);
        for (index, Opening { at, until }) in openings.enumerate() {
            page.raw(if index == 0 { " " } else { ", " });
            page.raw("from ").text(time(*at));
            page.raw(" until ").text(time(*until));
        }
        page.raw(" UTC.</p>\n");
    }
    if has_hours {
        hours(page, &decided.totals.hours, COLOUR_OF_OTHERS);
    }
    page.raw("</div></div>\n");
}

fn reasons(page: &mut Markup, outcomes: &Outcomes) {
    if outcomes.suppressed_by.is_empty() {
        page.raw("<p class=\"note\">Nothing was held back.</p>\n");
        return;
    }
    page.raw("<ul class=\"reasons\">\n");
    for suppressed in &outcomes.suppressed_by {
        page.raw("<li data-by=\"").raw(suppressed.by).raw("\"><b>");
        page.figure(suppressed.decisions, &words::number(suppressed.decisions));
        page.raw("</b> ")
            .text(held_back_by(suppressed.by))
            .raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn not_banned(page: &mut Markup, decided: &Decided) {
    let bans = decided.totals.bans.as_ref();
    let Some(bans) = bans.filter(|bans| !bans.refused.is_empty()) else {
        return;
    };
    page.raw("<h4>Not banned, because</h4>\n<ul class=\"reasons\">\n");
    for refused in &bans.refused {
        page.raw("<li data-why=\"").raw(refused.why).raw("\"><b>");
        page.figure(refused.bans, &words::number(refused.bans));
        page.raw("</b> ")
            .text(refused_because(refused.why))
            .raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn details(
    page: &mut Markup,
    (id, index): (&'static str, usize),
    policy: &PolicyFigures,
    palette: &Palette,
    has_hours: bool,
) {
    page.raw("<details class=\"policy\" id=\"")
        .raw(id)
        .raw("-")
        .number(index)
        .raw("\">\n<summary><i class=\"dot ");
    page.raw(palette.colour(policy))
        .raw("\"></i><b>")
        .text(&policy.name)
        .raw("</b> <span>");
    page.text(brief(policy))
        .raw("</span></summary>\n<div class=\"inside\">\n<p>")
        .prose(&policy.about)
        .raw("</p>\n");
    page.raw("<div class=\"two\"><div>\n<dl class=\"facts\">\n");
    let mut fact = |what: &'static str, text: &str| {
        page.raw("<div><dt>")
            .raw(what)
            .raw("</dt><dd>")
            .text(text)
            .raw("</dd></div>\n");
    };
    fact("Looks at", policy.scope.doc());
    fact("Wants", &policy.wants);
    fact("Mode here", &policy.mode.to_string());
    if let (Some(first), Some(last)) = (policy.first_at, policy.last_at) {
        fact("First decision", &format!("{} UTC", time(first)));
        fact("Last decision", &format!("{} UTC", time(last)));
    }
    if policy.outcomes.failed > 0 {
        fact(
            "Failed",
            &words::counted(policy.outcomes.failed, "act", "acts"),
        );
    }
    if let Some(helped) = &policy.helped {
        fact("Did it help", &words::helped(helped));
    }
    page.raw("</dl>\n");
    if has_hours {
        hours(page, &policy.hours, palette.colour(policy));
    }
    page.raw("</div></div>\n");
    if policy.outcomes.suppressed > 0 {
        page.raw("<h4>Held back, because</h4>\n");
        reasons(page, &policy.outcomes);
    }
    page.raw("<h4>The worst examples</h4>\n<ol class=\"examples\">\n");
    for (index, one) in policy.examples.iter().enumerate() {
        example(page, one, index == 0);
    }
    page.raw("</ol>\n</div>\n</details>\n");
}

/// `12 acts on 8 sessions, 300 held back`
fn brief(policy: &PolicyFigures) -> String {
    let outcomes = &policy.outcomes;
    let mut brief = words::counted(outcomes.acts(), "act", "acts");
    if policy.sessions > 0 {
        let sessions = words::counted(policy.sessions, "session", "sessions");
        brief = format!("{brief} on {sessions}");
    }
    if outcomes.suppressed > 0 {
        brief = format!("{brief}, {} held back", words::number(outcomes.suppressed));
    }
    brief
}

/// 24 bars, in the next column.
fn hours(page: &mut Markup, hours: &[u64; 24], colour: &'static str) {
    page.raw("</div><div>\n<h4>Acts by the hour of the day, UTC</h4>\n");
    let most = hours.iter().copied().max().unwrap_or(0);
    if most == 0 {
        page.raw("<p class=\"note\">None.</p>\n");
        return;
    }
    let peak = hours.iter().position(|&count| count == most).unwrap_or(0);
    page.raw("<svg class=\"hours ")
        .raw(colour)
        .raw("\" viewBox=\"0 0 288 64\" role=\"img\" aria-label=\"");
    page.text(format!(
        "Most between {peak}:00 and {peak}:59 UTC: {}",
        words::counted(most, "act", "acts")
    ));
    page.raw("\">");
    for (hour, &count) in hours.iter().enumerate() {
        let height = if count == 0 {
            1.0
        } else {
            (count as f64 / most as f64 * 44.0).max(3.0)
        };
        page.raw("<rect x=\"")
            .number(hour * 12 + 1)
            .raw("\" y=\"")
            .number(48.0 - height);
        page.raw("\" width=\"10\" height=\"").number(height);
        page.raw(if count == 0 {
            "\" class=\"none\"><title>"
        } else {
            "\"><title>"
        });
        page.text(format!("{hour}:00 UTC: {}", words::number(count)))
            .raw("</title></rect>");
    }
    for hour in [0, 6, 12, 18] {
        page.raw("<text x=\"")
            .number(hour * 12_usize + 1)
            .raw("\" y=\"61\">")
            .number(hour)
            .raw("</text>");
    }
    page.raw("</svg>\n");
}

/// What the fields are is said of the first one alone.
fn example(page: &mut Markup, example: &Example, is_first: bool) {
    page.raw("<li><p class=\"who\"><b>")
        .text(who(&example.target))
        .raw("</b>");
    if example.sessions > 1 {
        page.raw(", ")
            .text(words::counted(example.sessions, "session", "sessions"));
    }
    page.raw(" <time>")
        .text(time(example.at))
        .raw(" UTC</time>");
    if let Some(by) = example.by {
        page.raw(" <span class=\"wants\">held back: ")
            .text(held_back_by(by))
            .raw("</span>");
    }
    page.raw("</p>\n<ul>\n");
    for evidence in &example.evidence {
        let doc = field(evidence).filter(|_| is_first);
        evidence_item(page, evidence, doc);
    }
    page.raw("</ul>\n");
    let mut more = Vec::new();
    more.extend(example.choice.as_ref().map(ToString::to_string));
    if example.held_s > 0.0 {
        more.push(format!("had held for {}", words::span(example.held_s)));
    }
    if let Some(times) = words::severity(example.severity) {
        more.push(format!("severity {times} the threshold"));
    }
    if example.spared > 0 {
        more.push(format!(
            "{} left alone",
            words::counted(example.spared, "member", "members")
        ));
    }
    if !more.is_empty() {
        page.raw("<p class=\"note\">")
            .text(more.join("; "))
            .raw("</p>\n");
    }
    page.raw("</li>\n");
}

/// `sent_rate was 3.2 MiB/s (> 1 MiB/s)`, and what `sent_rate` is.
fn evidence_item(page: &mut Markup, evidence: &Evidence, doc: Option<String>) {
    page.raw("<li><code>")
        .text(&evidence.field)
        .raw("</code> was <b>")
        .text(words::seen(evidence));
    page.raw("</b>, and the policy asks for <code>")
        .text(&evidence.test)
        .raw("</code>");
    if let Some(threshold) = words::threshold(evidence) {
        page.raw(", which was ").text(threshold);
    }
    if let Some(doc) = doc {
        page.raw(" <small>").text(doc).raw("</small>");
    }
    page.raw("</li>\n");
}

/// `session 42 (203.0.113.9:50001)`, `the server`.
fn who(target: &Target) -> String {
    match target {
        Target::Server => "the server".to_owned(),
        _ => format!("{} {target}", target.scope()),
    }
}
